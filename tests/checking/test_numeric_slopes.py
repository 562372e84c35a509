"""Slopes by a sweep of steps: value, error bound, order, both sides."""

from __future__ import annotations

import math

import numpy
import pytest

from graphc.checking.numeric.slopes import measure

NOISE = numpy.array([1e-15])


def sweep(function, at=0.0, scale=1.0):
    return measure(lambda t: [function(at + t)], [function(at)], scale, noise=NOISE * abs(function(at)), goal=1e-9)


@pytest.mark.parametrize(
    ("function", "at", "slope"),
    [
        (math.exp, 1.0, math.e),
        (math.sin, 0.3, math.cos(0.3)),
        (lambda x: x**3, 2.0, 12.0),
        (lambda x: math.tanh(50 * x), 0.01, 50 / math.cosh(0.5) ** 2),  # varies over a fiftieth of the scale
        (lambda x: math.exp(1000 * x), 0.0, 1000.0),
        (lambda x: 3 * x - 7, 0.5, 3.0),
    ],
)
def test_slopes_are_found_and_their_error_is_bounded(function, at, slope):
    found = sweep(function, at)
    assert found.value[0] == pytest.approx(slope, rel=1e-7)
    assert abs(found.value[0] - slope) <= 4 * found.error[0]


def test_order_is_two_for_the_right_gradient_and_one_for_a_wrong_one():
    found = sweep(math.exp)
    assert found.order(numpy.array([1.0]))[0] == pytest.approx(2.0, abs=0.02)
    assert found.order(numpy.array([1.01]))[0] == pytest.approx(1.0, abs=0.2)
    assert sweep(lambda x: 3 * x).order(numpy.array([3.0])) == [None]


def test_sides_of_a_kink_are_told_apart():
    found = sweep(lambda x: abs(x) + math.sin(x))
    sides = found.sided()
    assert sides.kink
    assert sides.left == pytest.approx(0.0, abs=1e-3)
    assert sides.right == pytest.approx(2.0, abs=1e-3)
    assert not sweep(math.sin).sided().kink


def test_a_kink_near_the_point_is_stepped_around():
    found = sweep(lambda x: abs(x - 1e-4) + math.exp(x))
    assert found.value[0] == pytest.approx(0.0, abs=1e-7)


def test_noise_widens_the_bound():
    generator = numpy.random.default_rng(0)
    found = measure(
        lambda t: [math.exp(t) + 1e-6 * generator.standard_normal()], [1.0], 1.0, noise=numpy.array([1e-6]), goal=1e-9
    )
    assert abs(found.value[0] - 1) <= 4 * found.error[0]
    assert found.error[0] > 1e-7
