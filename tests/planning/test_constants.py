"""Constants that planning puts into kernels, and launches that nobody reads."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.planning import plan


def kernels_of(step: graphc.Node | list[graphc.Node], **options: bool) -> list[str]:
    roots = step if isinstance(step, list) else [step]
    return [launch.label for launch in plan(roots, **options)[0].launches]


def test_a_step_for_training_and_one_for_use_hold_their_own_branch_only() -> None:
    x = graphc.input("x", ("N", 3))
    y = graphc.where(graphc.is_training(), graphc.exp(x), graphc.tanh(x))
    assert kernels_of(y, training=True) == ["exp"]
    assert kernels_of(y, training=False) == ["tanh"]
    at = numpy.linspace(-1, 1, 6).reshape(2, 3)
    numpy.testing.assert_allclose(graphc.compile(y, dtype="float64")(x=at)[0], numpy.exp(at))
    numpy.testing.assert_allclose(graphc.compile(y, dtype="float64", training=False)(x=at)[0], numpy.tanh(at))


def test_the_branch_that_is_not_taken_has_no_gradient_kernels() -> None:
    x = graphc.input("x", (3,))
    w = graphc.parameter("w", (3,), initial=1.0)
    y = graphc.where(graphc.is_training(), w * x, graphc.sigmoid(w * w))
    step = graphc.compile(graphc.sum(y), gradients=True, dtype="float64")
    assert not any("sigmoid" in launch.label for launch in step.plan.launches)
    (_,), gradients = step(x=[1.0, 2.0, 3.0])
    numpy.testing.assert_allclose(gradients["w"], [1.0, 2.0, 3.0])


def test_the_reference_trains_unless_told_otherwise() -> None:
    x = graphc.input("x")
    y = graphc.where(graphc.is_training(), 2 * x, 5 * x).named("y")
    back = graphc.backward(y)
    assert back.at(x=1.0).value("y") == 2
    assert back.at(x=1.0, training=0).value("y") == 5
    assert back.at(x=1.0, training=0).grad("x") == 5


def test_one_mode_is_one_node() -> None:
    assert graphc.is_training() is graphc.is_training()
    x = graphc.input("x")
    y = graphc.where(graphc.is_training(), x, graphc.where(graphc.is_training(), 2 * x, 3 * x))
    assert graphc.compile([y], training=False)(x=1.0)[0] == 3


def test_a_gradient_that_is_zero_everywhere_is_returned_as_zeros() -> None:
    x = graphc.input("x", ("N", 2))
    y = graphc.sum(graphc.where(graphc.is_training(), 0.0, x))
    (value,), gradients = graphc.compile([y], gradients=["x"])(x=numpy.ones((3, 2)))
    assert value == 0
    numpy.testing.assert_array_equal(gradients["x"], numpy.zeros((3, 2)))


def test_a_constant_everywhere_is_an_output_like_any_other() -> None:
    x = graphc.input("x", ("N", 2))
    y = 0 * x + 3.0
    (value,) = graphc.compile([y])(x=numpy.ones((4, 2)))
    numpy.testing.assert_array_equal(value, numpy.full((4, 2), 3.0))


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_constant_read_beyond_its_edge_is_zero_there(value: float) -> None:
    # a constant may be put in for a read only where the read cannot leave its tensor
    x = graphc.input("x", (3,))
    spread = 0 * x + value
    blur = graphc.gate("y[i] = exp(x[i-1])", name="blur", outside={"x": 0}, extents={"i": "size(x,0) + 2"})
    (found,) = graphc.compile([blur(spread)], dtype="float64")(x=[1.0, 2.0, 3.0])
    numpy.testing.assert_allclose(found, numpy.exp([0, value, value, value, 0]))


def test_zeros_are_not_added() -> None:
    a, b = graphc.input("a", (2, 3)), graphc.input("b", (2, 4))
    joined = graphc.gate("y[n,c] = a[n,c]\ny[n,3+c] += b[n,c]", extents={"y.1": "7"}, name="joined")
    y = joined(a * 0, graphc.exp(b))
    assert kernels_of(y) == ["exp · joined"]
    values = {"a": numpy.ones((2, 3)), "b": numpy.ones((2, 4))}
    (found,) = graphc.compile([y], dtype="float64")(**values)
    numpy.testing.assert_allclose(found, numpy.concatenate([numpy.zeros((2, 3)), numpy.full((2, 4), numpy.e)], 1))
    y = joined(graphc.exp(a), b * 0)
    (found,) = graphc.compile([y], dtype="float64")(**values)
    numpy.testing.assert_allclose(found, numpy.concatenate([numpy.full((2, 3), numpy.e), numpy.zeros((2, 4))], 1))


def test_launches_that_nobody_reads_are_dropped() -> None:
    x = graphc.input("x", (3,))
    split = graphc.gate("a[i] = exp(x[i])\nb[i] = tanh(x[i])", name="both")
    a, _ = split(x)
    assert len(kernels_of(a)) == 1
