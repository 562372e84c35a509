"""The network that reads "hello": gradients of shared weights are sums over steps.

It reads h, e, l, l as one-hot vectors and shall answer e, l, l, o: three hidden units, and the same weights at every
step. Below each step stands what it adds to the gradient of each weight.
"""

import numpy
from shared import save, says_norm

import graphc

x, follows, h0 = graphc.input("x", (4, 4)), graphc.input("follows", (4, 4)), graphc.input("h0", (3,))
w_hh, w_xh, w_hy = (graphc.parameter(n, s) for n, s in (("W_hh", (3, 3)), ("W_xh", (3, 4)), ("W_hy", (4, 3))))


def cell(read, h):
    """Read a letter; the loss of the letter that follows, and the new state."""
    letter, wanted = read
    h = graphc.tanh(w_hh @ h + w_xh @ letter).named("h")
    y = (w_hy @ h).named("y")
    return (graphc.log(graphc.sum(graphc.exp(y))) - graphc.sum(y * wanted)).named("L"), h


losses, _ = graphc.unroll(cell, (x, follows), h0, name="cell")
generator, one_hot = numpy.random.default_rng(0), lambda word: numpy.eye(4)[["helo".index(letter) for letter in word]]
values = {node: generator.normal(size=node.shape) for node in (w_hh, w_xh, w_hy)}
values |= {x: one_hot("hell"), follows: one_hot("ello"), h0: numpy.zeros(3)}
run = graphc.backward(graphc.sum(losses).named("L")).at(values)
path = save(graphc.draw(run, style="recurrence"), "hello")

# the same by hand, step by step: the gradients are sums, and the picture says their norms and those of their terms
states, terms, behind = [values[h0]], [], numpy.zeros(3)
for letter in values[x]:
    states.append(numpy.tanh(values[w_hh] @ states[-1] + values[w_xh] @ letter))
for t in reversed(range(4)):
    y = values[w_hy] @ states[t + 1]
    at_y = numpy.exp(y) / numpy.exp(y).sum() - values[follows][t]
    delta = (1 - states[t + 1] ** 2) * (values[w_hy].T @ at_y + behind)
    behind = values[w_hh].T @ delta
    terms.append([numpy.outer(delta, states[t]), numpy.outer(delta, values[x][t]), numpy.outer(at_y, states[t + 1])])
for node, of_steps in zip((w_hh, w_xh, w_hy), zip(*terms, strict=True), strict=True):
    assert numpy.allclose(sum(of_steps), run.grad(node)), node
    for array in (*of_steps, run.grad(node)):
        assert says_norm(path, array), node
