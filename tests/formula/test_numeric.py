"""The NumPy table: complete, accurate in both tails, silent."""

from __future__ import annotations

import warnings

import mpmath
import numpy
import pytest

from graphc.checking.precise import OutsideDomain, precise_functions
from graphc.formula.expression import FUNCTIONS
from graphc.formula.numeric import NUMPY

MAGNITUDES = [1e-30, 1e-10, 1e-3, 0.5, 1.0, 2.75, 36.5, 700.0, 1e4]
POINTS = [0.0, *MAGNITUDES, *(-m for m in MAGNITUDES)]
TINY = numpy.finfo(numpy.float64).tiny


def representable(exact: mpmath.mpf) -> bool:
    return exact == 0 or TINY <= abs(exact) <= numpy.finfo(numpy.float64).max


def test_every_function_has_one_row() -> None:
    assert set(NUMPY) == set(FUNCTIONS)
    assert set(precise_functions()) == set(FUNCTIONS) - {"uniform"}  # claims have no random numbers


@pytest.mark.parametrize(
    ("key", "step", "element", "word"),
    [
        # known answers of Random123 for philox2x32 with 10 rounds
        (0, 0, 0, 0xFF1DAE59),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0x2C3F628B),
        (0x13198A2E, 0x85A308D3, 0x243F6A88, 0xDD7CE038),
    ],
)
def test_uniform_is_philox(key: int, step: int, element: int, word: int) -> None:
    assert NUMPY["uniform"](key, step, element) == (word >> 8) * 2.0**-24


def test_uniform_is_uniform_and_streams_do_not_resemble_each_other() -> None:
    element = numpy.arange(100_000)
    streams = [NUMPY["uniform"](key, step, element) for key, step in ((1, 0), (2, 0), (1, 1), (1, 2))]
    for stream in streams:
        counts, _ = numpy.histogram(stream, bins=100, range=(0, 1))
        assert ((counts - 1000) ** 2 / 1000).sum() < 150  # chi-square with 99 degrees of freedom: 99 +- 14
    correlation = numpy.corrcoef(streams)
    assert numpy.abs(correlation - numpy.eye(4)).max() < 0.02


@pytest.mark.parametrize("name", [n for n, row in FUNCTIONS.items() if row.arity == 1])
def test_function_of_one_operand_is_right_wherever_its_value_is_representable(name: str) -> None:
    checked = 0
    with mpmath.workdps(60):
        for point in POINTS:
            try:
                exact = mpmath.mpf(precise_functions()[name](mpmath.mpf(point)))
            except OutsideDomain:
                continue
            if not representable(exact):
                continue
            found = mpmath.mpf(float(NUMPY[name](numpy.float64(point))))
            # sin and cos near their zeros are as good as their argument reduction
            assert abs(found - exact) <= 1e-14 * abs(exact), (name, point, found, exact)
            checked += 1
    assert checked >= 9


@pytest.mark.parametrize("name", [n for n, row in FUNCTIONS.items() if row.arity == 2])
def test_function_of_two_operands_is_right_wherever_its_value_is_representable(name: str) -> None:
    checked = 0
    with mpmath.workdps(60):
        for a in POINTS:
            for b in POINTS:
                try:
                    exact = mpmath.mpf(precise_functions()[name](mpmath.mpf(a), mpmath.mpf(b)))
                except OutsideDomain:
                    continue
                if not representable(exact):
                    continue
                found = mpmath.mpf(float(NUMPY[name](numpy.float64(a), numpy.float64(b))))
                if name in ("logaddexp", "add", "sub") and abs(exact) < 1e-2:
                    assert abs(found - exact) <= 1e-15  # cancellation of rounded operands
                    continue
                if name == "floordiv" and abs(exact) > 2**53:
                    continue
                assert abs(found - exact) <= 2e-13 * abs(exact), (name, a, b, found, exact)
                checked += 1
    assert checked >= 80


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_nothing_warns_and_shapes_broadcast(name: str) -> None:
    extremes = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1e308, -1e308, 5e-324])
    operands = [extremes.reshape((-1,) + (1,) * k) for k in range(FUNCTIONS[name].arity)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = NUMPY[name](*operands)
    assert numpy.shape(result) == numpy.broadcast_shapes(*(o.shape for o in operands))


def test_nan_goes_through_everything_that_computes_numbers() -> None:
    silent = {"uniform", "select", "pow", "or", "and", "not", "less", "less_equal", "greater", "greater_equal"}
    for name, row in FUNCTIONS.items():
        if name in silent | {"equal", "not_equal"}:
            continue
        for k in range(row.arity):
            operands = [numpy.float64(0.5)] * row.arity
            operands[k] = numpy.float64(numpy.nan)
            assert numpy.isnan(NUMPY[name](*operands)), (name, k)


def test_first_operand_wins_a_tie_of_zeros() -> None:
    for name in ("max", "min"):
        assert numpy.signbit(NUMPY[name](-0.0, 0.0))
        assert not numpy.signbit(NUMPY[name](0.0, -0.0))


def test_comparisons_give_booleans() -> None:
    for name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"):
        assert NUMPY[name](numpy.ones(3), numpy.zeros(3)).dtype == bool


def test_conditions_count_as_zero_and_one_in_arithmetic() -> None:
    yes = NUMPY["less"](numpy.zeros(2), numpy.ones(2))
    assert (NUMPY["add"](yes, yes) == 2).all()
    assert (NUMPY["sub"](yes, yes) == 0).all()
    assert (NUMPY["neg"](yes) == -1).all()
    assert (NUMPY["mul"](yes, yes) == 1).all()
    assert NUMPY["exp"](yes).dtype == numpy.float64
    assert NUMPY["sigmoid"](yes).dtype == NUMPY["tanh"](yes * 1.0).dtype
    for name, row in FUNCTIONS.items():
        assert numpy.isfinite(NUMPY[name](*[yes] * row.arity)).all(), name


def test_sigmoid_underflows_gently() -> None:
    assert NUMPY["sigmoid"](-745.0) == numpy.exp(-745.0) > 0
    assert NUMPY["sigmoid"](-800.0) == 0
    assert NUMPY["sigmoid"](800.0) == 1
