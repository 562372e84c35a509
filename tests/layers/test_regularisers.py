"""Regularisers: lambda times the sum of squares or of absolute values, added to a loss."""

from __future__ import annotations

import numpy
import pytest

import graphc


def weights() -> tuple[graphc.Node, graphc.Node]:
    w = graphc.parameter("w", (2, 2), initial=[[1.0, -2.0], [0.0, 3.0]])
    v = graphc.parameter("v", (3,), initial=[-1.0, 0.5, 0.0])
    return w, v


def test_l2_is_the_sum_of_squares_without_a_half():
    back = graphc.backward(graphc.l2(weights(), 0.1))
    run = back.at()
    assert run.value(back.root) == pytest.approx(0.1 * (1 + 4 + 9 + 1 + 0.25), rel=1e-14)
    assert run.grad("w") == pytest.approx(numpy.array([[0.2, -0.4], [0.0, 0.6]]), rel=1e-14)
    assert run.grad("v") == pytest.approx([-0.2, 0.1, 0.0], rel=1e-14)


def test_l1_is_the_sum_of_absolute_values():
    back = graphc.backward(graphc.l1(weights(), 0.1))
    run = back.at()
    assert run.value(back.root) == pytest.approx(0.1 * 7.5, rel=1e-14)
    assert run.grad("w") == pytest.approx(numpy.array([[0.1, -0.1], [0.0, 0.1]]), rel=1e-14)


def test_one_node_may_be_given_alone():
    w, _ = weights()
    back = graphc.backward(graphc.l2(w, 0.5))
    assert back.at().value(back.root) == 7.0


@pytest.mark.parametrize("penalty", [graphc.l1, graphc.l2])
def test_a_penalty_is_compiled_with_the_loss(penalty):
    w, v = weights()
    x = graphc.input("x", ("N", 2))
    loss = graphc.mean((x @ w) ** 2) + penalty([w, v], 0.01)
    data = numpy.random.default_rng(0).normal(size=(4, 2))
    run = graphc.backward(loss).at(x=data)
    (value,), gradients = graphc.compile([loss], gradients=["w", "v"], dtype="float64")(x=data)
    assert value == pytest.approx(float(run.value(loss)), rel=1e-12)
    for name in "wv":
        assert gradients[name] == pytest.approx(run.grad(name), rel=1e-12)


def test_a_step_of_gradient_descent_decays_each_weight():
    w, _ = weights()
    step = graphc.compile([graphc.l2(w, 0.1)], optimizer=graphc.SGD(0.5), dtype="float64")
    before = step.parameters["w"].copy()
    step()
    assert step.parameters["w"] == pytest.approx(before * (1 - 2 * 0.5 * 0.1), rel=1e-12)


def test_l1_drives_a_useless_weight_to_zero_and_l2_does_not():
    target = numpy.array([2.0, 0.02])  # the second is not worth its penalty
    found = {}
    for name, penalty in (("l1", graphc.l1), ("l2", graphc.l2)):
        w = graphc.parameter("w", (2,), initial=[1.0, 1.0])
        step = graphc.compile(
            [graphc.sum((w - target) ** 2) * 0.5 + penalty(w, 0.1)], optimizer=graphc.SGD(0.01), dtype="float64"
        )
        for _ in range(2000):
            step()
        found[name] = step.parameters["w"].copy()
    assert found["l1"] == pytest.approx([1.9, 0.0], abs=2e-3)  # within one step of 0
    assert found["l2"] == pytest.approx(target / 1.2, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: graphc.l2([], 0.1), ["l2", "nothing"]),
        (lambda: graphc.l1(["w"], 0.1), ["l1", "str"]),
        (lambda: graphc.l2(weights(), -0.1), ["-0.1", "strength"]),
        (lambda: graphc.l2(weights(), float("nan")), ["nan", "strength"]),
        (lambda: graphc.l2(weights(), "0.1"), ["'0.1'", "strength"]),
    ],
)
def test_what_is_no_penalty_is_refused(call, words):
    with pytest.raises(graphc.GraphcError) as error:
        call()
    for word in words:
        assert word in str(error.value)
