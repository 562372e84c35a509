"""Seven steps: the plain network fades, the LSTM does not.

Boxes are shaded by |dh_t/dx_1|, how much of the first input is left. With its forget gate open the LSTM keeps it in
its cell.
"""

import numpy
from shared import save

import graphc
from graphc.drawing import flow_drawing
from graphc.drawing.fonts import number_text

steps, units = 7, 4
for kind, biases in (("rnn", [0]), ("lstm", [0, 6, 0, 0])):  # of the gates i, f, g, o
    x = graphc.input("x", (steps, "N", 2))
    last = getattr(graphc.layers, kind)(x, units, name=kind, returns="last")
    generator = numpy.random.default_rng(0)
    turns = [numpy.linalg.qr(generator.normal(size=(units, units)))[0] for _ in biases]
    values = {
        f"{kind}.weight_h": 0.8 * numpy.concatenate(turns), f"{kind}.bias": numpy.repeat(biases, units),
        f"{kind}.weight_x": 0.7 * generator.normal(size=(units * len(biases), 2)),
        "x": generator.normal(size=(steps, 3, 2)),
    }  # fmt: skip
    flow = graphc.backward(graphc.sum(last * last)).at(values).flow()
    norms = list(flow.sensitivity.values())[-1]  # h of the one, c of the other
    assert norms[-1] > 0.5 * norms[0] if kind == "lstm" else norms[-1] < 0.05 * norms[0]
    picture = flow_drawing(flow, gates=["f"] if kind == "lstm" else [])
    path = save(picture, f"fading_{kind}")
    assert f"/dx_1| = {number_text(norms[-1])}</title>" in path.read_text(encoding="utf-8")
