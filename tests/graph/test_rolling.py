"""Loops written by hand become repeats: with the same values, gradients and kernels as ``graphc.unroll``."""

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.rolling import rolled
from graphc.planning import plan

FEATURES, UNITS, CLASSES = 2, 3, 4


def leaves(steps, *, batch_first=False, rows=1):
    x = graphc.input("x", ("N", steps, FEATURES) if batch_first else (steps, "N", FEATURES))
    h, label = graphc.input("h0", ("N", UNITS)), graphc.input("label", (steps, "N"), "int32")
    w, u = graphc.parameter("w", (rows * UNITS, FEATURES)), graphc.parameter("u", (rows * UNITS, UNITS))
    return x, h, label, w, u, graphc.parameter("b", (rows * UNITS,)), graphc.parameter("v", (UNITS, CLASSES))


def sum_of_losses(steps):
    x, h, label, w, u, b, v = leaves(steps)
    total = 0
    for t in range(steps):
        h = graphc.tanh(h @ u.T + x[t] @ w.T + b)
        total = total + graphc.softmax_cross_entropy(h @ v, label[t])
    return total / steps


def list_of_losses(steps):
    x, h, label, w, u, b, v = leaves(steps)
    losses = []
    for t in range(steps):
        h = graphc.tanh(x[t] @ w.T + h @ u.T + b)
        losses.append(graphc.softmax_cross_entropy(h @ v, label[t]))
    return sum(losses) / steps


def first_step_apart(steps):
    x, h, _, w, u, b, _ = leaves(steps, batch_first=True)
    total, states = None, []
    for t in range(steps):
        h = graphc.tanh(x[:, t] @ w.T + h @ u.T + b).named(f"state{t}")
        states.append(h)
        loss = graphc.sum(h * h)
        total = loss if total is None else total + loss
    return total + graphc.sum(graphc.stack(states) ** 3)


def lstm(steps):
    x, h, _, w, u, b, _ = leaves(steps, rows=4)
    c, states = graphc.input("c0", ("N", UNITS)), []
    for t in range(steps):
        h, c = graphc.lstm_cell(x[t], h, c, w, u, b)
        states.append(h)
    states = graphc.stack(states)
    return graphc.sum(states * states) + graphc.sum(c)


def lstm_whose_memory_nobody_asks_for(steps):
    """The last copy of the cell has no memory, unlike those before."""
    x, h, _, w, u, b, _ = leaves(steps, rows=4)
    c, total = graphc.input("c0", ("N", UNITS)), None
    for t in range(steps):
        h, c = graphc.lstm_cell(x[t], h, c, w, u, b)
        total = graphc.sum(h * h) if total is None else total + graphc.sum(h * h)
    return total


def unrolled_lstm(steps):
    x, h, _, w, u, b, _ = leaves(steps, rows=4)
    c = graphc.input("c0", ("N", UNITS))

    def cell(x, state):
        h, c = graphc.lstm_cell(x, *state, w, u, b)
        return h, (h, c)

    states, (_, c) = graphc.unroll(cell, x, (h, c))
    return graphc.sum(states * states) + graphc.sum(c)


def two_layers(steps):
    x, h, _, w, u, b, _ = leaves(steps)
    above, g, total = graphc.parameter("w2", (UNITS, UNITS)), graphc.input("g0", ("N", UNITS)), 0.0
    for t in range(steps):
        h = graphc.tanh(x[t] @ w.T + h @ u.T + b)
        g = graphc.relu(g @ above + h)
        total = total + graphc.sum(g)
    return total + graphc.sum(g * h)


def without_state(steps):
    x, _, _, w, *_ = leaves(steps)
    return sum(graphc.sum(graphc.tanh(x[t] @ w.T)) for t in range(steps))


LOOPS = [
    sum_of_losses,
    list_of_losses,
    first_step_apart,
    lstm,
    lstm_whose_memory_nobody_asks_for,
    two_layers,
    without_state,
]


def values_of(loss):
    rng = numpy.random.default_rng(0)
    found = {}
    for node in topological([loss]):
        if node.kind in ("input", "parameter"):
            shape = [3 if str(e) == "N" else e for e in node.shape]
            found[node.label] = rng.normal(size=shape) * 0.5 if node.is_float else rng.integers(0, CLASSES, shape)
    return found


@pytest.mark.parametrize("build", LOOPS)
@pytest.mark.parametrize("steps", [4, 7])
def test_the_same_values_and_gradients(build, steps):
    loss = build(steps)
    other = rolled([loss])[loss]
    assert other is not loss
    assert len(topological([other])) < len(topological([loss]))
    values = values_of(loss)
    one, two = graphc.backward(loss).at(values), graphc.backward(other).at(values)
    numpy.testing.assert_allclose(two.value(other), one.value(loss), rtol=1e-12)
    for name, value in values.items():
        if value.dtype.kind == "f":
            numpy.testing.assert_allclose(two.grad(name), one.grad(name), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("build", LOOPS)
def test_the_graph_does_not_grow_with_the_number_of_steps(build):
    sizes = {len(topological(rolled([build(steps)]).values())) for steps in (5, 40)}
    assert len(sizes) == 1


def test_the_kernels_are_those_of_unroll():
    def keys(loss):
        root = rolled([loss])[loss]
        back = graphc.backward(root)
        made, _ = plan([root], {n.label: back.grad(n) for n in back.wrt})
        return len(made.launches), {kernel.key() for kernel in made.kernels}

    assert keys(lstm(100)) == keys(unrolled_lstm(100)) == keys(unrolled_lstm(1000))


def test_a_compiled_loop_is_a_repeat():
    loss = lstm(6)
    step = graphc.compile([loss], gradients=["u", "x"], dtype="float64", threads=2)
    assert step.plan.repeats == (6, 6)
    values = values_of(loss)
    run = graphc.backward(loss).at(values)
    for name in ("w", "u", "b"):
        step.parameters[name][...] = values[name]
    _, gradients = step(**{name: values[name] for name in ("x", "h0", "c0")})
    for name, gradient in gradients.items():
        numpy.testing.assert_allclose(gradient, run.grad(name), rtol=1e-9, atol=1e-11)


def test_a_node_that_is_asked_for_by_itself_stays():
    x, h, _, w, u, b, _ = leaves(5)
    states = []
    for t in range(5):
        h = graphc.tanh(x[t] @ w.T + h @ u.T + b)
        states.append(h)
    step = graphc.compile([graphc.sum(h)], gradients=[states[2].named("middle")])
    assert step.plan.repeats == ()


@pytest.mark.parametrize(
    "build",
    [
        lambda x: sum(graphc.sum(x[t] * (t + 1.0)) for t in range(5)),  # another number at every step
        lambda x: graphc.sum(x[0]) + graphc.sum(x[1]) * graphc.sum(x[2]) + graphc.tanh(graphc.sum(x[3] + x[4])),
        lambda x: graphc.sum(x[0]) + graphc.sum(x[1]),  # not every step
        lambda x: graphc.sum(x * x),
    ],
)
def test_what_is_no_loop_stays(build):
    loss = build(graphc.input("x", (5, "N")))
    assert rolled([loss])[loss] is loss
