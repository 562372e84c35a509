"""Optimisers against their definitions, written out in NumPy."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.training.optimizers import optimizer_from

STEPS = 6
START = numpy.array([1.0, -2.0, 0.5])


def _descent(optimizer, rates=(0.1,) * STEPS):
    """Values of w after each step on the loss ``sum(c * w**2) / 2``, whose gradient is ``c * w``."""
    w = graphc.parameter("w", (3,), initial=START, dtype="float64")
    c = graphc.input("c", (3,), dtype="float64")
    loss = graphc.sum(c * w * w) * 0.5
    step = graphc.compile([loss], optimizer=optimizer, dtype="float64")
    values = []
    for k, rate in enumerate(rates):
        optimizer.learning_rate = rate
        step(c=[1.0, 2.0, 3.0 + k])
        values.append(step.parameters["w"].copy())
    return numpy.array(values), step


def _gradient(w, k):
    return numpy.array([1.0, 2.0, 3.0 + k]) * w


def test_plain_descent_is_w_minus_rate_times_gradient():
    w, expected = START.copy(), []
    for k in range(STEPS):
        w = w - 0.1 * _gradient(w, k)
        expected.append(w)
    found, step = _descent(graphc.SGD(0.1))
    numpy.testing.assert_allclose(found, expected, rtol=1e-13)
    assert not step.optimizer_state


def test_momentum_accumulates_a_velocity_as_in_the_lecture():
    w, v, expected = START.copy(), 0.0, []
    for k in range(STEPS):
        v = 0.9 * v + _gradient(w, k)
        w = w - 0.1 * v
        expected.append(w)
    found, step = _descent(graphc.SGD(0.1, momentum=0.9))
    numpy.testing.assert_allclose(found, expected, rtol=1e-13)
    numpy.testing.assert_allclose(step.optimizer_state["w/velocity"], v, rtol=1e-13)


def test_nesterov_looks_ahead_and_weight_decay_adds_to_the_gradient():
    w, v, expected = START.copy(), 0.0, []
    for k in range(STEPS):
        g = _gradient(w, k) + 0.3 * w
        v = 0.8 * v + g
        w = w - 0.1 * (g + 0.8 * v)
        expected.append(w)
    found, _ = _descent(graphc.SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.3))
    numpy.testing.assert_allclose(found, expected, rtol=1e-13)


def test_adam_is_algorithm_1_of_its_paper():
    w, m, v, expected = START.copy(), 0.0, 0.0, []
    for k in range(STEPS):
        g, t = _gradient(w, k), k + 1
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (numpy.sqrt(v / (1 - 0.999**t)) + 1e-8)
        expected.append(w)
    found, step = _descent(graphc.Adam(0.1))
    numpy.testing.assert_allclose(found, expected, rtol=1e-12)
    assert float(step.optimizer_state["step"]) == STEPS


def test_first_step_of_adam_in_float32_has_the_length_of_the_rate():
    # 1 - 0.999**1 computed in float32 would be off in the fifth digit
    w = graphc.parameter("w", (3,), initial=START)
    optimizer = graphc.Adam(0.5)
    step = graphc.compile([graphc.sum(w * w)], optimizer=optimizer)
    step()
    moved = step.parameters["w"] - START
    numpy.testing.assert_allclose(moved, -0.5 * numpy.sign(START), rtol=3e-7)


def test_a_new_learning_rate_acts_at_the_next_step():
    found, _ = _descent(graphc.SGD(0.1), rates=(0.1, 0.0, 0.01))
    w = START - 0.1 * _gradient(START, 0)
    numpy.testing.assert_allclose(found[1], w, rtol=1e-13)
    numpy.testing.assert_allclose(found[2], w - 0.01 * _gradient(w, 2), rtol=1e-13)


def test_frozen_parameters_stay():
    w = graphc.parameter("w", (2,), initial=[1.0, 2.0])
    frozen = graphc.parameter("frozen", (2,), initial=[3.0, 4.0], trainable=False)
    step = graphc.compile([graphc.sum(w * frozen)], optimizer=graphc.SGD(0.1, momentum=0.5))
    step()
    numpy.testing.assert_array_equal(step.parameters["frozen"], [3.0, 4.0])
    assert list(step.optimizer_state) == ["w/velocity"]
    numpy.testing.assert_allclose(step.parameters["w"], [0.7, 1.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: graphc.SGD(-0.1), ["learning_rate", "at least 0", "-0.1"]),
        (lambda: graphc.SGD(float("nan")), ["learning_rate", "nan"]),
        (lambda: graphc.SGD("fast"), ["learning_rate", "'fast'"]),
        (lambda: graphc.SGD(True), ["learning_rate", "True"]),
        (lambda: graphc.SGD(0.1, momentum=1.0), ["momentum", "below 1", "1.0"]),
        (lambda: graphc.SGD(0.1, weight_decay=-1), ["weight_decay", "-1"]),
        (lambda: graphc.SGD(0.1, nesterov=True), ["nesterov", "momentum=0.9"]),
        (lambda: graphc.Adam(beta1=0.0), ["beta1", "above 0", "below 1"]),
        (lambda: graphc.Adam(beta2=1.5), ["beta2", "1.5"]),
        (lambda: graphc.Adam(epsilon=0), ["epsilon", "above 0"]),
        (lambda: optimizer_from({"class": "Adan"}), ["Adan", "Adam"]),
        (lambda: optimizer_from({"class": "SGD", "learning_rate": 1.0, "x": 1}), ["'x'", "momentum"]),
    ],
)
def test_hyper_parameters_out_of_range_are_refused_by_name(make, words):
    with pytest.raises(graphc.GraphcError) as error:
        make()
    for word in words:
        assert word in str(error.value)


def test_a_bad_new_learning_rate_leaves_the_old_one():
    optimizer = graphc.SGD(0.1)
    with pytest.raises(graphc.GraphcError, match="learning_rate"):
        optimizer.learning_rate = float("inf")
    assert optimizer.learning_rate == 0.1


@pytest.mark.parametrize("optimizer", [graphc.SGD(0.1, momentum=0.5, nesterov=True), graphc.Adam(0.2, 0.8)])
def test_settings_give_the_same_optimizer_back(optimizer):
    assert repr(optimizer_from(optimizer.settings())) == repr(optimizer)
