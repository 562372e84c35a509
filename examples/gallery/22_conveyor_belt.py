"""The conveyor belt of an LSTM, forward and backward; the same of a GRU.

Paths on which every local gradient is free of its own operand are linear: they are drawn in one colour, the others in
another. An LSTM has the straight line through its cell c, a GRU the one through h. Which ones are linear is read off
the formulas of the cell.
"""

from shared import save, texts

import graphc

for kind in ("lstm", "gru"):
    x = graphc.input("x", (5, "N", 2))
    last = getattr(graphc.layers, kind)(x, 3, name=kind, returns="last")
    picture = graphc.draw(graphc.backward(graphc.sum(last)), style="paths")
    said = texts(save(picture, f"belt_{kind}"))
    assert {"lstm": "× f", "gru": "× (1 − z)"}[kind] in said  # what the belt multiplies a gradient by
