"""A recurrent network rolled, folded and unrolled.

h_t = tanh(W_hh h_(t-1) + W_xh x_t), y_t = W_hy h_t. Rolled it is a cell with a loop; folded, the first and the last
step; unrolled, every step has its own copy of the weights, and the gradient of a weight is the sum over its copies.
"""

import numpy
from shared import save, says_norm

import graphc

steps = 7
x, h0 = graphc.input("x", (steps, 2)), graphc.input("h0", (3,))
w_hh, w_xh = graphc.parameter("W_hh", (3, 3)), graphc.parameter("W_xh", (3, 2))


def cell(x, h):
    """Return the state twice: as output and for the next step."""
    h = graphc.tanh(w_hh @ h + w_xh @ x).named("h")
    return h, h


hs, last = graphc.unroll(cell, x, h0, name="rnn")
generator = numpy.random.default_rng(0)
run = graphc.backward(graphc.sum(last * last).named("L")).at(
    x=generator.normal(size=(steps, 2)), h0=numpy.zeros(3),
    W_hh=generator.normal(size=(3, 3)) * 0.4, W_xh=generator.normal(size=(3, 2)),
)  # fmt: skip
for view in ("rolled", "folded", "unrolled"):
    path = save(graphc.draw(run, style="recurrence", view=view), f"rnn_{view}")
    assert says_norm(path, run.grad("W_hh"))
    assert says_norm(path, run.grad("W_xh"))
