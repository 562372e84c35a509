"""Activations whose formula depends on attributes or shapes, at single points against many digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy
import pytest

import graphc
from graphc.graph import Gate, registry
from tests.gates import contract

#: Gates with attributes other than their defaults, and forms that a rule writes.
FORMS: dict[str, tuple[str, Mapping[str, Any], tuple[tuple[int, ...], ...]]] = {
    "gelu": ("gelu", {"approximate": False}, ((),)),
    "gelu, approximate": ("gelu", {"approximate": True}, ((),)),
    "prelu, one slope": ("prelu", {}, ((), ())),
    "leaky_relu, 0.3": ("leaky_relu", {"slope": 0.3}, ((),)),
    "elu, 0.5": ("elu", {"alpha": 0.5}, ((),)),
    "swish, 3": ("swish", {"beta": 3.0}, ((),)),
    "swish, 0.1": ("swish", {"beta": 0.1}, ((),)),
}


def form(name: str) -> Gate:
    """The gate of one form, with its text and values in place of rule and defaults."""
    gate, attributes, shapes = registry.gate(FORMS[name][0]), *FORMS[name][1:]
    numbers = {k: v for k, v in attributes.items() if not isinstance(v, bool)}
    definition = gate.define(shapes, {**gate.attributes, **attributes})
    return replace(gate, definition=definition, attributes=numbers, _bound={})


@pytest.mark.parametrize("name", FORMS)
def test_the_reference_is_right_from_1e_minus_30_to_1e4(name: str) -> None:
    assert contract.check_points_reference(form(name)) >= 20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMS)
def test_the_kernels_are_right_from_1e_minus_30_to_1e4(name: str, dtype: str) -> None:
    assert contract.check_points_kernels(form(name), dtype) >= 20


def test_gelu_keeps_its_digits_between_the_points_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "POINTS", tuple(-12.0 + 0.37 * k for k in range(60)))
    for name in ("gelu", "gelu, approximate"):
        for dtype in ("float32", "float64"):
            assert contract.check_points_kernels(form(name), dtype) >= 100


def test_the_approximation_of_gelu_is_as_near_as_it_says() -> None:
    x = graphc.input("x", (4001,), dtype="float64")
    exact, near = graphc.compile([graphc.gelu(x), graphc.gelu(x, approximate=True)], dtype="float64")(
        x=numpy.linspace(-10, 10, 4001)
    )
    assert 0 < numpy.abs(numpy.asarray(exact) - numpy.asarray(near)).max() < 5e-4


def test_selu_keeps_mean_0_and_variance_1() -> None:
    # Klambauer et al. (2017): the fixed point of (mean, variance) for normal operands
    x = graphc.input("x", (200001,), dtype="float64")
    points = numpy.linspace(-12, 12, 200001)
    weight = numpy.exp(-(points**2) / 2) / numpy.sqrt(2 * numpy.pi) * (points[1] - points[0])
    y = numpy.asarray(graphc.compile([graphc.selu(x)], dtype="float64")(x=points)[0])
    assert abs((weight * y).sum()) < 1e-8
    assert abs((weight * y**2).sum() - 1) < 1e-8


def test_softsign_of_an_infinity_is_its_sign() -> None:
    x = graphc.input("x", (2,))
    found = graphc.compile([graphc.softsign(x)])(x=[numpy.inf, -numpy.inf])[0]
    numpy.testing.assert_array_equal(found, [1, -1])


@pytest.mark.parametrize("shape", [(2, 3), (1,), (2, 2)])
def test_slopes_of_prelu_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    x, slope = graphc.input("x", (4, 5) if len(shape) == 1 else (2, 2)), graphc.parameter("slope", shape)
    with pytest.raises(graphc.ShapeError, match="slope"):
        graphc.prelu(x, slope)


@pytest.mark.parametrize(
    ("pieces", "axis", "message"),
    [(2, 1, "must divide the extent 5"), (0, 1, "at least 1"), (True, 1, "whole number"), (2, 3, "does not exist")],
)
def test_maxout_refuses_what_does_not_fit(pieces: Any, axis: int, message: str) -> None:
    with pytest.raises(graphc.ShapeError, match=message):
        graphc.maxout(graphc.input("x", (4, 5)), pieces=pieces, axis=axis)


def test_nothing_of_the_operand_that_where_does_not_choose_gets_through() -> None:
    a, b = graphc.input("a", (2,)), graphc.input("b", (2,))
    y = graphc.where(graphc.constant([1, 0]), a, b)
    run = graphc.compile([graphc.sum(y)], gradients=["a", "b"])
    (value,), gradients = run(a=[1, numpy.nan], b=[numpy.inf, 2])
    assert value == 3
    numpy.testing.assert_array_equal(gradients["a"], [1, 0])
    numpy.testing.assert_array_equal(gradients["b"], [0, 1])
