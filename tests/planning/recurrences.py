"""Recurrences of many kinds: graphs with repeats for tests of planning and of `graphc.unroll`.

Each function takes a number of steps (or ``"T"``, known at run time only) and ``backward``, and returns the outputs of
all steps and the states behind the last one.
"""

from __future__ import annotations

import numpy

import graphc
from graphc.graph import topological

HIDDEN, FEATURES = 3, 2


def sequence(steps, *shape, name="x", dtype="float64"):
    return graphc.input(name, (steps, *shape), dtype)


def state(name, *shape):
    return graphc.input(name, shape, "float64")


def weight(name, *shape):
    return graphc.input(name, shape, "float64")


def rnn(steps, **options):
    x, h = sequence(steps, "N", FEATURES), state("h", "N", HIDDEN)
    w, u, b = weight("W", HIDDEN, FEATURES), weight("U", HIDDEN, HIDDEN), weight("b", HIDDEN)

    def cell(x, h):
        h = graphc.rnn_cell(x, h, w, u, b)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def lstm(steps, **options):
    x, h, c = sequence(steps, "N", FEATURES), state("h", "N", HIDDEN), state("c", "N", HIDDEN)
    w, u, b = weight("W", 4 * HIDDEN, FEATURES), weight("U", 4 * HIDDEN, HIDDEN), weight("b", 4 * HIDDEN)
    peephole = weight("p", 3 * HIDDEN)

    def cell(x, state):
        h, c = graphc.lstm_cell(x, *state, w, u, b, peephole)
        return h, (h, c)

    return graphc.unroll(cell, x, (h, c), **options)


def gru(steps, *, reset_after=False, update="new", **options):
    x, h = sequence(steps, "N", FEATURES), state("h", "N", HIDDEN)
    w, u = weight("W", 3 * HIDDEN, FEATURES), weight("U", 3 * HIDDEN, HIDDEN)
    b, v = weight("b", 3 * HIDDEN), weight("v", 3 * HIDDEN)

    def cell(x, h):
        h = graphc.gru_cell(x, h, w, u, b, v, reset_after=reset_after, update=update)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def gru_reset_after(steps, **options):
    return gru(steps, reset_after=True, update="old", **options)


def plain_gates(steps, **options):
    """A gated cell from matmul, add, sigmoid and tanh; the output is another function of the state."""
    x, h = sequence(steps, "N", FEATURES), state("h", "N", HIDDEN)
    w, u, b = weight("W", FEATURES, HIDDEN), weight("U", HIDDEN, HIDDEN), weight("b", HIDDEN)
    v, out = weight("V", HIDDEN, HIDDEN), weight("O", HIDDEN, 2)

    def cell(x, h):
        keep = graphc.sigmoid(h @ v)
        new = keep * h + (1 - keep) * graphc.tanh(x @ w + h @ u + b)
        return (graphc.exp(new @ out), keep), new

    return graphc.unroll(cell, x, h, **options)


def two_ranks(steps, **options):
    """A vector and a scalar for each example, which see each other."""
    scaled = graphc.gate("y[i,j] = a[i,j]*s[i]", name="scaled")
    x, h, s = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN), state("s", "N")
    u = weight("U", HIDDEN, HIDDEN)

    def cell(x, state):
        h, s = state
        new = graphc.tanh(scaled(h @ u, s) + x)
        return new, (new, graphc.tanh(0.5 * s + graphc.sum(h * x, 1)))

    return graphc.unroll(cell, x, (h, s), **options)


def stacked(steps, **options):
    """Two unrolls one after the other."""
    hidden, last = rnn(steps, **options)
    g, w, u = state("g", "N", 2), weight("W2", 2, HIDDEN), weight("U2", 2, 2)

    def cell(x, g):
        g = graphc.rnn_cell(x, g, w, u)
        return g, g

    outputs, second = graphc.unroll(cell, graphc.sin(hidden), g, **options)
    return outputs, (last, second)


def two_layers(steps, **options):
    """Two cells in one."""
    x, h, g = sequence(steps, "N", FEATURES), state("h", "N", HIDDEN), state("g", "N", 2)
    w, u = weight("W", HIDDEN, FEATURES), weight("U", HIDDEN, HIDDEN)
    w2, u2 = weight("W2", 2, HIDDEN), weight("U2", 2, 2)

    def cell(x, state):
        h = graphc.rnn_cell(x, state[0], w, u)
        g = graphc.rnn_cell(h, state[1], w2, u2)
        return g, (h, g)

    return graphc.unroll(cell, x, (h, g), **options)


def copied_input(steps, **options):
    """The state is the input of the step before."""
    x, s, c = sequence(steps, "N", HIDDEN), state("s", "N", HIDDEN), weight("c", HIDDEN)
    return graphc.unroll(lambda x, s: (x * s + c, x), x, s, **options)


def exchanged(steps, **options):
    """States change places: what one is, the other was."""
    x, a, b = sequence(steps, "N", HIDDEN), state("a", "N", HIDDEN), state("b", "N", HIDDEN)
    c = weight("c", HIDDEN)

    def cell(x, state):
        a, b = state
        return a - b, (b, graphc.tanh(a * c + b + x))

    return graphc.unroll(cell, x, (a, b), **options)


def kept_state(steps, **options):
    """A state that never changes, and one that does."""
    x, a, b = sequence(steps, "N", HIDDEN), state("a", "N", HIDDEN), state("b", "N", HIDDEN)
    return graphc.unroll(lambda x, s: (s[0] * s[1], (s[0], graphc.tanh(s[0] * s[1] + x))), x, (a, b), **options)


def constant_matrix(steps, **options):
    """The state times a captured constant."""
    x, h = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN)
    matrix = graphc.constant(numpy.linspace(-0.7, 0.6, HIDDEN * HIDDEN).reshape(HIDDEN, HIDDEN))
    shift = graphc.constant(numpy.linspace(-0.2, 0.4, HIDDEN))

    def cell(x, h):
        h = graphc.tanh(h @ matrix + shift) + x
        return 2 * h, h

    return graphc.unroll(cell, x, h, **options)


def scalars(steps, **options):
    """A weighted sum without batch."""
    x, s, a = sequence(steps), state("s"), weight("a")

    def cell(x, s):
        s = graphc.tanh(a * s + x)
        return s * s, s

    return graphc.unroll(cell, x, s, **options)


def product_of_scalars(steps, **options):
    x, s = sequence(steps), state("s")
    return graphc.unroll(lambda x, s: (s * x, s * x), x, s, **options)


def vector_without_batch(steps, **options):
    x, h, u = sequence(steps, HIDDEN), state("h", HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(x, h):
        h = graphc.tanh(u @ h + x)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def matrix_state(steps, **options):
    """Fast weights: a matrix for each example, to which an outer product is added."""
    x, m = sequence(steps, "N", HIDDEN), state("M", "N", HIDDEN, HIDDEN)
    k, v = weight("K", HIDDEN, HIDDEN), weight("V", HIDDEN, HIDDEN)

    def cell(x, m):
        key, value = graphc.tanh(x @ k), x @ v
        m = 0.5 * m + graphc.einsum("ni,nj->nij", value, key)
        return graphc.einsum("nij,nj->ni", m, x), m

    return graphc.unroll(cell, x, m, **options)


def matrix_product(steps, **options):
    """A matrix for each example that is multiplied by another at each step."""
    x, m, u = sequence(steps, "N", HIDDEN, HIDDEN), state("M", "N", HIDDEN, HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(x, m):
        m = graphc.tanh(m @ x @ u)
        return m, m

    return graphc.unroll(cell, x, m, **options)


def tokens(steps, **options):
    """A table is looked up at each step."""
    token = sequence(steps, "N", name="token", dtype="int32")
    h, table, u = state("h", "N", HIDDEN), weight("table", 3, HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(token, h):
        h = graphc.tanh(graphc.embedding(table, token) + h @ u)
        return h, h

    return graphc.unroll(cell, token, h, **options)


def masked(steps, **options):
    """Sequences of different lengths: beyond its end an example keeps its state."""
    x, mask = sequence(steps, "N", HIDDEN), sequence(steps, "N", 1, name="mask", dtype="int32")
    h, u = state("h", "N", HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(given, h):
        x, mask = given
        h = graphc.where(mask, graphc.tanh(x + h @ u), h)
        return h, h

    return graphc.unroll(cell, (x, mask), h, **options)


def counted(steps, **options):
    """An integer state beside a float one."""
    x, token = sequence(steps, "N", HIDDEN), sequence(steps, "N", name="token", dtype="int32")
    h, n, u = state("h", "N", HIDDEN), graphc.input("n", ("N",), "int32"), weight("U", HIDDEN, HIDDEN)
    scaled = graphc.gate("y[i,j] = a[i,j]*s[i]", name="scaled")

    def cell(given, state):
        x, token = given
        h, n = state
        h = graphc.tanh(scaled(x, n) + h @ u)
        return h, (h, graphc.where(token, n + token, n))

    return graphc.unroll(cell, (x, token), (h, n), **options)


def no_inputs(steps, **options):
    """A state that runs by itself."""
    h, u = state("h", "N", HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(_, h):
        h = graphc.sin(h @ u)
        return h, h

    return graphc.unroll(cell, None, h, steps, **options)


def several_products(steps, **options):
    """A state is multiplied by two matrices, one of them transposed, and by itself."""
    x, h = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN)
    u, v = weight("U", HIDDEN, HIDDEN), weight("V", HIDDEN, HIDDEN)

    def cell(x, h):
        h = graphc.tanh(h @ u + (h * x) @ v.T + h * h)
        return graphc.softmax(h @ u), h

    return graphc.unroll(cell, x, h, **options)


def normalised(steps, **options):
    """A reduction and a maximum inside of the step."""
    x, h, u = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(x, h):
        a = graphc.relu(x + h @ u) + 0.1 * h
        h = a / (1 + graphc.amax(graphc.abs(a), 1, keepdims=True))
        return graphc.sum(h, 1), h

    return graphc.unroll(cell, x, h, **options)


def across_examples(steps, **options):
    """Examples see each other: what a step makes of one needs all of them."""
    turned = graphc.gate("y[i,j] = a[size(a,0) - 1 - i,j]", extents={"i": "size(a,0)"}, name="turned")
    x, h, u = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN), weight("U", HIDDEN, HIDDEN)

    def cell(x, h):
        h = graphc.tanh(h - graphc.mean(h, 0) + turned(h) @ u + x)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def shared_state(steps, **options):
    """One state for each example, and one that all of them add to."""
    x, h, s = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN), state("s", HIDDEN)

    def cell(x, state):
        h, s = state
        h = graphc.tanh(h * s + x)
        return h, (h, graphc.tanh(s + graphc.sum(h * x, 0)))

    return graphc.unroll(cell, x, (h, s), **options)


def first_example_seen(steps, **options):
    """All examples see the first one."""
    led = graphc.gate("y[i,j] = a[i,j] + 0.5*a[0,j]", name="led")
    x, h = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN)

    def cell(x, h):
        h = graphc.tanh(led(h) + x)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def first_example_added(steps, **options):
    """Something is added to the first example alone."""
    moved = graphc.gate("y[i,j] = 0.9*a[i,j]\ny[0,j] += b[j]", name="moved")
    x, h, b = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN), weight("b", HIDDEN)

    def cell(x, h):
        h = graphc.tanh(moved(h, b) + x)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def first_column_seen(steps, **options):
    """A line reads another element than the one that the line before it has written."""
    led = graphc.gate("a[i,j] = sin(x[i,j] + h[i,j])\ny[i,j] = a[i,j]*a[i,0] + a[i,j]", name="led")
    x, h = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN)
    return graphc.unroll(lambda x, h: (led(x, h),) * 2, x, h, **options)


def neighbours(steps, **options):
    """Each element is made of two neighbours: on the way back two lines add to overlapping parts of one tensor."""
    pairs = graphc.gate("y[i,j] = tanh(p[i,j]*p[i,j + 1])", extents={"j": "size(p,1) - 1"}, name="pairs")
    x, h, v = sequence(steps, "N", HIDDEN), state("h", "N", HIDDEN), weight("V", HIDDEN, HIDDEN + 1)
    return graphc.unroll(lambda x, h: (pairs(graphc.sin(h @ v)) + x,) * 2, x, h, **options)


RECURRENCES = (
    rnn, lstm, gru, gru_reset_after, plain_gates, two_ranks, stacked, two_layers, copied_input, exchanged, kept_state,
    constant_matrix, scalars, product_of_scalars, vector_without_batch, matrix_state, matrix_product, tokens, masked,
    counted, no_inputs, several_products, normalised, across_examples, shared_state, first_example_seen,
    first_example_added, first_column_seen, neighbours,
)  # fmt: skip


def flattened(value):
    """Nodes of an output or a state, whatever its structure."""
    if isinstance(value, tuple | list):
        return [node for item in value for node in flattened(item)]
    return [value]


def loss_of(made):
    """A scalar in which every output and state has a share, each step another one."""
    outputs, states = made
    total = graphc.constant(0.0)
    for k, node in enumerate(node for node in (*flattened(outputs), *flattened(states)) if node.is_float):
        total = total + graphc.sum(graphc.sin(node * (1 + 0.3 * k)) + 0.5 * node * node)
    return total


def values_of(roots, sizes, seed=0):
    """Numbers for every leaf below nodes, by node."""
    generator = numpy.random.default_rng(seed)
    found = {}
    for node in topological(list(roots)):
        if node.kind in ("input", "parameter", "state"):
            shape = tuple(e if isinstance(e, int) else sizes[str(e)] for e in node.shape)
            found[node] = 0.7 * generator.normal(size=shape) if node.is_float else generator.integers(0, 3, shape)
    return found
