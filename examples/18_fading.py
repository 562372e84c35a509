"""Why does a plain recurrent network forget its first input?

At each step the gradient is multiplied by a matrix of the same kind, so that |dh_t/dx_1| fades (or explodes) like a
power. An LSTM adds to its cell instead: c_t = f c_(t-1) + i g, and where the forget gate f is open the gradient passes
the step as it is. The pictures show both over 7 and over 30 steps, and the two extremes: f = 1, i = 0 keeps the cell
for ever, f = 0, i = 1 is a plain network again.
"""

# %% A plain network and an LSTM, one cell kept once and repeated
import tempfile
from pathlib import Path

import numpy

import graphc
from graphc.drawing.flow import flow_drawing
from graphc.drawing.fonts import number_text

features, units, batch = 2, 4, 3
folder = Path(tempfile.mkdtemp())


def measured(kind, steps, bias):
    """Flow through a repeat whose loss sees the last state only; ``bias`` holds one number a gate (i, f, g, o)."""
    rows = len(bias) * units
    x, h0 = graphc.input("x", (steps, "N", features)), graphc.input("h", ("N", units))
    c0 = graphc.input("c", ("N", units))
    w, u = graphc.parameter("w", (rows, features)), graphc.parameter("u", (rows, units))
    b = graphc.parameter("b", (rows,))

    def plain(x, h):
        h = graphc.rnn_cell(x, h, w, u, b)
        return h, h

    def gated(x, state):
        h, c = graphc.lstm_cell(x, *state, w, u, b)
        return h, (h, c)

    cell, start = (plain, h0) if kind == "rnn" else (gated, (h0, c0))
    _, last = graphc.unroll(cell, x, start, name=kind)
    h = last if kind == "rnn" else last[0]
    generator = numpy.random.default_rng(0)
    values = {
        "x": generator.normal(size=(steps, batch, features)) * 0.5,
        "h": numpy.zeros((batch, units)),
        "w": generator.normal(size=(rows, features)) * 0.7,
        # for each gate a rotation, shrunk: by the matrix alone every direction fades to 0.8 a step
        "u": 0.8 * numpy.concatenate([numpy.linalg.qr(generator.normal(size=(units, units)))[0] for _ in bias]),
        "b": numpy.repeat(numpy.array(bias, dtype=float), units),
    }
    if kind == "lstm":
        values["c"] = generator.normal(size=(batch, units))
    return graphc.backward(graphc.sum(h * h)).at(values).flow()


def drawn(flow, name):
    """Draw the flow, and find in the picture the numbers that were measured."""
    picture = flow_drawing(flow, gates=[gate for gate in "ifo" if gate in flow.values])
    path = picture.save(folder / f"{name}.svg")
    svg = path.read_text(encoding="utf-8")
    for state, norms in flow.sensitivity.items():
        for t in (1, len(norms)):
            assert f"<title>{state}_{t}: |d{state}_t/dx_1| = {number_text(norms[t - 1])}</title>" in svg
    print(f"{path}\n{picture.text()}")


# %% The plain network fades, the LSTM with open forget gates does not
for steps in (7, 30):
    rnn, lstm = measured("rnn", steps, [0]), measured("lstm", steps, [0, 6, 0, 0])
    drawn(rnn, f"rnn_{steps}")
    drawn(lstm, f"lstm_{steps}")
    left = {"rnn": rnn.sensitivity["h"], "lstm": lstm.sensitivity["c"]}
    for kind, norms in left.items():
        print(f"{kind}: after {steps} steps {norms[-1] / norms[0]:.2g} of |ds_1/dx_1| is left")
    assert lstm.values["f"].min() > 0.97
    assert left["rnn"][-1] < (0.05 if steps == 7 else 1e-3) * left["rnn"][0]
    assert left["lstm"][-1] > 0.5 * left["lstm"][0]

# %% f = 1, i almost 0: the cell is kept, and its gradient with it; little of the inputs enters, but what does stays
keeps = measured("lstm", 30, [-8, 40, 0, 40])
drawn(keeps, "keeps")
assert numpy.allclose(keeps.values["f"], 1)
assert keeps.values["i"].max() < 1e-3
assert numpy.allclose(keeps.states["c"], keeps.states["c"][-1], rtol=0.02)
assert numpy.allclose(keeps.sensitivity["c"], keeps.sensitivity["c"][0], rtol=0.02)
assert keeps.sensitivity["c"].max() < 1e-3

# %% f = 0, i = 1: what the cell was does not matter, and the gradient fades as in the plain network
forgets = measured("lstm", 30, [40, -40, 0, 40])
drawn(forgets, "forgets")
assert numpy.allclose(forgets.values["f"], 0)
assert numpy.allclose(forgets.values["i"], 1)
assert forgets.states["c"][0] < 1e-12
assert forgets.sensitivity["c"][-1] < 1e-3 * forgets.sensitivity["c"][0]
