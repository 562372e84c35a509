"""Gradient flow through time: against finite differences, and the extremes of the lectures."""

import numpy
import pytest

import graphc
from graphc.errors import DerivativeError
from graphc.graph.reference import evaluate

STEPS, FEATURES, UNITS = 6, 2, 3


def run(kind, bias=None, seed=0, backward=False):
    rng = numpy.random.default_rng(seed)
    rows = 4 if kind == "lstm" else 1
    x, h0 = graphc.input("x", (STEPS, "N", FEATURES)), graphc.input("h", ("N", UNITS))
    c0 = graphc.input("c", ("N", UNITS))
    w, u = graphc.parameter("w", (rows * UNITS, FEATURES)), graphc.parameter("u", (rows * UNITS, UNITS))
    b = graphc.parameter("b", (rows * UNITS,))

    def lstm(x, state):
        h, c = graphc.lstm_cell(x, *state, w, u, b)
        return h, (h, c)

    def rnn(x, h):
        h = graphc.rnn_cell(x, h, w, u, b)
        return h, h

    cell, start = (lstm, (h0, c0)) if kind == "lstm" else (rnn, h0)
    hs, last = graphc.unroll(cell, x, start, backward=backward, name=kind)
    h = last[0] if kind == "lstm" else last
    loss = graphc.sum(h * h)
    values = {
        "x": rng.normal(size=(STEPS, 2, FEATURES)),
        "h": rng.normal(size=(2, UNITS)) * 0.1,
        "w": rng.normal(size=w.shape),
        "u": rng.normal(size=u.shape) * 0.4,
        "b": numpy.zeros(rows * UNITS) if bias is None else numpy.repeat(bias, UNITS),
    }
    if kind == "lstm":
        values["c"] = rng.normal(size=(2, UNITS)) * 0.1
    return graphc.backward(loss).at(values), hs, values


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_sensitivity_is_the_norm_of_the_jacobian(kind, backward):
    found, hs, values = run(kind, backward=backward)
    sensitivity = found.flow(example=1).sensitivity["h"]
    nodes = {n.name: n for n in found.back.nodes if n.name is not None}
    first = STEPS - 1 if backward else 0

    def states(shift, feature):
        x = values["x"].copy()
        x[first, 1, feature] += shift
        return evaluate([hs], {nodes[k]: v for k, v in (values | {"x": x}).items()})[0][:, 1]

    slopes = [(states(1e-5, d) - states(-1e-5, d)) / 2e-5 for d in range(FEATURES)]
    expected = numpy.sqrt((numpy.stack(slopes) ** 2).sum(axis=(0, 2)))
    numpy.testing.assert_allclose(sensitivity, expected[::-1] if backward else expected, rtol=1e-6, atol=1e-9)


def test_gradients_of_states_are_those_of_the_copies():
    found, _, values = run("rnn")
    copies = graphc.unrolled(found.back.root)
    every = graphc.backward(copies)
    nodes = {n.name: n for n in every.nodes if n.name is not None}
    cells = [n for n in every.nodes if n.gate == "rnn_cell"]
    gradients = evaluate([every.grad(n) for n in cells], {nodes[k]: v for k, v in values.items()})
    norms = [numpy.sqrt((g**2).sum()) for g in gradients]
    numpy.testing.assert_allclose(found.flow("rnn").states["h"][1:], norms, rtol=1e-10)


def test_a_repeat_that_runs_backward_is_in_the_order_of_its_steps():
    found = run("rnn", backward=True)[0].flow()
    # the state behind the last step is the loss's own
    assert found.states["h"][-1] == found.states["h"].max()
    assert found.sensitivity["h"][0] == found.sensitivity["h"].max()


def test_a_flow_is_drawn(tmp_path):
    flow = run("lstm")[0].flow()
    flow.draw(tmp_path / "flow.svg")
    assert "<svg" in (tmp_path / "flow.svg").read_text(encoding="utf-8")
    assert "<svg" in flow._repr_mimebundle_()["text/html"]


def test_an_open_memory_keeps_the_gradient_and_a_closed_one_forgets():
    keeps = run("lstm", [-40.0, 40.0, 0.0, 40.0])[0].flow()
    numpy.testing.assert_allclose(keeps.values["f"], 1.0)
    numpy.testing.assert_allclose(keeps.states["c"] / keeps.states["c"][-1], 1.0, rtol=1e-9)
    forgets = run("lstm", [40.0, -40.0, 0.0, 40.0])[0].flow()
    assert forgets.states["c"][0] < 1e-12
    numpy.testing.assert_allclose(forgets.values["i"], 1.0)
    assert set(forgets.gates) >= {"i", "f", "g", "o"}
    assert all(norms.shape == (STEPS,) for norms in forgets.gates.values())


def test_a_fading_recurrence_fades():
    flow = run("rnn")[0].flow()
    assert flow.sensitivity["h"][-1] < 0.2 * flow.sensitivity["h"][0]
    assert flow.states["h"].shape == (STEPS + 1,)
    assert f"{flow.states['h'][-1]:.4g}" in str(flow)


def test_a_graph_without_a_repeat_is_refused():
    x = graphc.input("x")
    with pytest.raises(DerivativeError, match=r"graph with a repeat; it has no loop"):
        graphc.backward(x * x).at(x=1.0).flow()
    with pytest.raises(DerivativeError, match=r"did you mean 'rnn'"):
        run("rnn")[0].flow("rn")
