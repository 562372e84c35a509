"""The gather form: loop limits that are exact, divisibility, and writes without conflict."""

from __future__ import annotations

import itertools

import pytest

from graphc.formula.adjoint import adjoint
from graphc.formula.definition import Definition, bind
from graphc.formula.expression import Symbol
from graphc.formula.gather import bounds, conflict_free, gather, gather_or_reason
from graphc.formula.statement import (
    Access,
    Axis,
    Divides,
    Interval,
    Statement,
    Wins,
    Zero,
    affine,
)


def limits(guard: Interval, axis: str, environment: dict[str, int]) -> range:
    found = bounds(guard, axis)
    assert found is not None
    lower, upper = (-(-bound.numerator.value(environment) // bound.divisor) for bound in found)
    return range(lower, upper)


def test_loop_limits_are_exactly_the_points_that_pass_the_guard() -> None:
    """Neither a point too many nor one too few, for every coefficient, offset and extent."""
    for c, k, offset, extent in itertools.product((-3, -2, -1, 1, 2, 3), range(-3, 4), range(-2, 3), range(8)):
        guard = Interval(affine({"p": c, "q": k}, offset), affine("x.0"))
        for q in range(4):
            environment = {"q": q, "x.0": extent}
            expected = [p for p in range(-60, 60) if 0 <= c * p + k * q + offset < extent]
            assert list(limits(guard, "p", environment)) == expected


def test_a_guard_without_the_axis_limits_nothing() -> None:
    guard = Interval(affine("q"), affine("x.0"))
    assert bounds(guard, "p") is None
    assert bounds(Interval(affine("p"), affine("p", 3)), "p") is None


def test_limits_with_a_negative_coefficient_keep_positive_divisors() -> None:
    found = bounds(Interval(affine({"p": -2, "q": 1}, 5), affine("x.0")), "p")
    assert found is not None
    assert [bound.divisor for bound in found] == [2, 2]


def strided(text: str, **attributes: int) -> Statement:
    formula = bind("gate", Definition(text, {"x": 0}, {"i": "size(u,0)"} if "u[i]" in text else {}),
                   {"x": 1, "w": 1, "u": 1} if "u[i]" in text else {"x": 1, "w": 1}, attributes)  # fmt: skip
    template = adjoint(formula, "x")
    assert template is not None
    return template.formula.statements[0]


def test_a_strided_convolution_gathers_by_solving_for_the_filter_axis_or_by_divisibility() -> None:
    scatter = strided("y[i] = sum(x[2*i + r] * w[r], r)")
    form = gather(scatter)
    assert form is not None
    assert form.race_free()
    assert not scatter.race_free()
    dilated = gather(strided("y[i] = sum(x[2*i + 3*r] * w[r], r)"))
    assert dilated is not None
    assert [type(g) for g in dilated.guards if isinstance(g, Divides)] == [Divides]
    assert len(dilated.lets) == 1


def test_a_flipped_index_gathers_with_both_bounds() -> None:
    form = gather(strided("y[i] = sum(x[i - r] * w[r], r)"))
    assert form is not None
    assert not form.lets  # coefficient 1: no division
    assert any(isinstance(g, Interval) for g in form.guards)


def test_a_constant_written_index_becomes_an_equality() -> None:
    statement = Statement(
        Access("y", (affine("i"), affine({"i": 1}, 1))), "set", (Axis("i", affine("x.0")),),
        (("x", Access("x", (affine("i"),))),), Symbol("x"),
    )  # fmt: skip
    form = gather(statement)
    assert form is not None
    assert any(isinstance(g, Zero) for g in form.guards)
    assert form.race_free()


def test_a_form_that_is_race_free_already_is_left_alone() -> None:
    formula = bind("gate", Definition("y[m,n] = sum(a[m,k] * b[k,n], k)"), {"a": 2, "b": 2}, {})
    (statement,) = formula.statements
    assert gather_or_reason(statement) == (statement, "")


def test_what_cannot_be_gathered_says_why() -> None:
    lookup = bind("gate", Definition("y[n] = x[t[n]]"), {"x": 1, "t": 1}, {})
    template = adjoint(lookup, "x")
    assert template is not None
    assert gather_or_reason(template.formula.statements[0]) == (None, "the write index depends on data")
    largest = Statement(
        Access("y", (affine({"i": 1, "j": 1}),)), "max", (Axis("i", affine("x.0")), Axis("j", affine("x.1"))),
        (("x", Access("x", (affine("i"), affine("j")))),), Symbol("x"),
    )  # fmt: skip
    assert gather_or_reason(largest) == (None, "a max over a non-plain write map")


def test_overlapping_pooling_gathers_with_the_winner_as_a_guard() -> None:
    pool = bind("pool", Definition("y[i] = max(x[2*i + r], r)", extents={"r": "3"}), {"x": 1}, {})
    template = adjoint(pool, "x")
    assert template is not None
    form = gather(template.formula.statements[-1])
    assert form is not None
    assert any(isinstance(g, Wins) for g in form.guards)
    assert form.race_free()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y[i] = sum(x[2*i + r] * w[r], r)", ()),
        ("y[i] = sum(x[2*i] * w[r], r)", ("i",)),
    ],
)
def test_axes_alone_in_a_written_dimension_are_free_of_conflict(text: str, expected: tuple[str, ...]) -> None:
    assert conflict_free(strided(text)) == expected


def test_the_variable_solved_for_has_coefficient_1_and_is_the_spatial_one() -> None:
    form = gather(strided("y[i] = sum(x[i + r] * w[r], r)"))
    assert form is not None
    # the short filter axis stays a loop; the spatial axis i is worked out
    assert [axis.name for axis in form.axes][1:] == ["r"]
