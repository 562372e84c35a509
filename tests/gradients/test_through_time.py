"""Backpropagation through time step by step: terms against BPTT written by hand, their sum against the sweep's."""

from __future__ import annotations

import itertools

import numpy
import pytest

import graphc
from graphc.errors import DerivativeError
from graphc.gradients.through_time import ThroughTime, repeat_of, rolled_run
from graphc.graph.reference import evaluate

STEPS = 6


def terms(run, inside=False):
    """Name of a weight -> array (T, ...), by row of the sequence."""
    run = rolled_run(run)
    sweep = ThroughTime(run, repeat_of(run.back.nodes, None), inside=inside)
    found = {w.name: [None] * STEPS for w in sweep.weights}
    for step in sweep.steps():
        for weight, term in step.terms.items():
            found[weight.name][step.number] = term
    return {name: numpy.stack(arrays) for name, arrays in found.items()}


def layer_run(layer, seed=0, **options):
    rng = numpy.random.default_rng(seed)
    xs = graphc.input("x", (STEPS, "N", 2))
    hs = layer(xs, 3, name="m", **options)
    back = graphc.backward(graphc.sum(hs * hs))
    weights = {n.name: rng.normal(size=n.shape) * 0.6 for n in back.nodes if n.kind == "parameter"}
    return back.at(x=rng.normal(size=(STEPS, 2, 2)), parameters=weights), weights


def test_terms_of_a_plain_recurrence_are_those_of_bptt_by_hand():
    run, weights = layer_run(graphc.layers.rnn)
    w, u, b = (weights[f"m.{name}"] for name in ("weight_x", "weight_h", "bias"))
    x = run.value("x")
    h = [numpy.zeros((2, 3))]
    for t in range(STEPS):
        h.append(numpy.tanh(x[t] @ w.T + h[-1] @ u.T + b))
    arriving, expected = numpy.zeros((2, 3)), {name: [] for name in weights}
    for t in range(STEPS, 0, -1):
        delta = (2 * h[t] + arriving) * (1 - h[t] ** 2)
        for name, term in (("weight_x", delta.T @ x[t - 1]), ("weight_h", delta.T @ h[t - 1]), ("bias", delta.sum(0))):
            expected[f"m.{name}"].insert(0, term)
        arriving = delta @ u
    found = terms(run)
    assert set(found) == set(expected)
    for name, arrays in expected.items():
        numpy.testing.assert_allclose(found[name], arrays, rtol=1e-10, atol=1e-12)


def test_terms_of_an_lstm_are_those_of_copies_with_weights_of_their_own():
    run, weights = layer_run(graphc.layers.lstm)
    x = graphc.input("x", (STEPS, 2, 2))
    own = [{k: graphc.parameter(f"{k}[{t}]", v.shape) for k, v in weights.items()} for t in range(STEPS)]
    h, c = graphc.constant(numpy.zeros((2, 3))), graphc.constant(numpy.zeros((2, 3)))
    loss = graphc.constant(0.0)
    for t in range(STEPS):
        h, c = graphc.lstm_cell(x[t], h, c, *(own[t][f"m.{k}"] for k in ("weight_x", "weight_h", "bias")))
        loss = loss + graphc.sum(h * h)
    back = graphc.backward(loss)
    given = {node: weights[k] for copies in own for k, node in copies.items()} | {x: run.value("x")}
    for name, found in terms(run).items():
        expected = evaluate([back.grad(copies[name]) for copies in own], given)
        numpy.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (graphc.layers.rnn, {"activation": "relu"}),
        (graphc.layers.gru, {}),
        (graphc.layers.gru, {"skip_time": 3}),
        (graphc.layers.lstm, {"backward": True}),
        (graphc.layers.lstm, {"returns": "last"}),
    ],
)
def test_terms_add_up_to_the_gradient(layer, options, inside):
    run, weights = layer_run(layer, **options)
    found = terms(run, inside)
    assert set(found) == set(weights)
    for name, arrays in found.items():
        assert abs(arrays).max() > 0
        numpy.testing.assert_allclose(arrays.sum(0), run.grad(name), rtol=1e-9, atol=1e-10)


def by_hand(seed=1):
    rng = numpy.random.default_rng(seed)
    x, h = graphc.input("x", (STEPS, 3)), graphc.input("h0", (4,))
    w, u = graphc.parameter("W", (4, 4)), graphc.parameter("U", (4, 3))
    values = {n: rng.normal(size=n.shape) for n in (x, h, w, u)}
    for t in range(STEPS):
        h = graphc.tanh(w @ h + u @ x[t]).named(f"h{t + 1}")
    return graphc.backward(graphc.sum(h * h)).at(values)


def test_a_loop_by_hand_has_the_same_terms_and_a_flow():
    run = by_hand()
    found = terms(run)
    assert set(found) == {"W", "U"}
    for name, arrays in found.items():
        numpy.testing.assert_allclose(arrays.sum(0), run.grad(name), rtol=1e-9)
        assert abs(arrays[0]).max() > 0
    flow = run.flow()
    norms = [numpy.linalg.norm(run.grad(f"h{t + 1}")) for t in range(STEPS)]
    numpy.testing.assert_allclose(flow.states["h"][1:], norms, rtol=1e-10)


def test_a_hand_written_lstm_whose_memory_nobody_asks_for_at_the_end_is_a_loop_too():
    rng = numpy.random.default_rng(6)
    x, h, c = graphc.input("x", (STEPS, 2, 2)), graphc.input("h", (2, 3)), graphc.input("c", (2, 3))
    w, u = graphc.parameter("w", (12, 2)), graphc.parameter("u", (12, 3))
    values = {n: rng.normal(size=n.shape) for n in (x, h, c, w, u)}
    for t in range(STEPS):
        h, c = graphc.lstm_cell(x[t], h, c, w, u)
    run = graphc.backward(graphc.sum(h * h)).at(values)
    assert rolled_run(run) is not run
    found = terms(run)
    for name, arrays in found.items():
        numpy.testing.assert_allclose(arrays.sum(0), run.grad(name), rtol=1e-9)
    assert len(run.flow().states) == 2


def test_sensitivity_where_there_is_no_batch_is_the_norm_of_the_jacobian():
    run = by_hand()
    nodes = {n.name: n for n in run.back.nodes if n.name is not None}
    last, x = nodes[f"h{STEPS}"], nodes["x"]

    def state(shift, feature):
        moved = run.value("x").copy()
        moved[0, feature] += shift
        return evaluate([last], {**run.leaves, x: moved})[0]

    slopes = [(state(1e-5, d) - state(-1e-5, d)) / 2e-5 for d in range(3)]
    assert run.flow().sensitivity["h"][-1] == pytest.approx(numpy.linalg.norm(slopes), rel=1e-5)


def test_a_gate_with_two_outputs_behind_a_repeat_counts_once():
    rng = numpy.random.default_rng(5)
    xs = graphc.input("x", (STEPS, "N", 2))
    last = graphc.layers.rnn(xs, 3, name="m", returns="last")
    w, u = graphc.parameter("w", (12, 3)), graphc.parameter("u", (12, 3))
    h, c = graphc.lstm_cell(last, last, last, w, u)
    back = graphc.backward(graphc.sum(h * c))
    weights = {n.name: rng.normal(size=n.shape) for n in back.nodes if n.kind == "parameter"}
    run = back.at(x=rng.normal(size=(STEPS, 2, 2)), parameters=weights)
    for name, arrays in terms(run).items():
        numpy.testing.assert_allclose(arrays.sum(0), run.grad(name), rtol=1e-9, atol=1e-10)


def test_what_arrives_is_what_leaves_the_step_behind():
    run, _ = layer_run(graphc.layers.lstm, returns="last")
    sweep = ThroughTime(run, repeat_of(run.back.nodes, "m"))
    steps = list(sweep.steps())
    assert [s.number for s in steps] == list(range(STEPS))[::-1]
    for later, earlier in itertools.pairwise(steps):
        leaving = [later.leaving[n] for n in sweep.application.cell.states]
        arriving = [earlier.arriving[n] for n in sweep.following]
        numpy.testing.assert_array_equal(leaving, arriving)


def test_without_a_loop_there_is_an_error_that_says_so():
    x = graphc.input("x")
    with pytest.raises(DerivativeError, match="it has no loop"):
        repeat_of(graphc.backward(x * x).nodes, None)
