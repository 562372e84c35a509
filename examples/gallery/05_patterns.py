"""Distributor, router, switcher.

What a gate does with the gradient that reaches it: a sum hands it to both inputs, a maximum to the larger one, a
product exchanges the factors.
"""

from shared import save, texts, wires

import graphc

x, y, z, w = graphc.inputs("x y z w")
f = ((x * y + graphc.max(z, w)) * 2).named("f")
run = graphc.backward(f).at(x=3, y=-4, z=2, w=-1)

path = save(graphc.draw(run, style="circuit", patterns=True), "patterns")
printed = wires(path)
assert [printed[name] for name in "xyzw"] == [("3", "−8"), ("−4", "6"), ("2", "2"), ("−1", "0")]
assert printed["f"] == ("−20", "1")
for pattern in ("distributor", "router", "switcher"):
    assert pattern in texts(path)
