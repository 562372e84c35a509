"""Every scalar function on the CPU against mpmath, wherever the result is representable."""

from __future__ import annotations

import math

import mpmath
import numpy
import pytest

from graphc.formula.expression import FUNCTIONS, Number, Symbol, call, number
from tests.kernels.statements import at, run, statement

DTYPES = ("float32", "float64")
#: Relative error in units of the type's epsilon.
LIMIT = 4

x, y = Symbol("x"), Symbol("y")

MAGNITUDES = [
    *(10.0**e for e in range(-30, 5)), 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 0.999, 1.001, 1.5, 2.0, 3.0, 5.0, 8.5, 16.5, 17.3,
    20.0, 40.0, 60.0, 80.0, 86.0, 88.5, 90.0, 100.0, 103.0, 300.0, 500.0, 700.0, 709.5, 740.0,
]  # fmt: skip
POINTS = numpy.array(sorted([*MAGNITUDES, *(-m for m in MAGNITUDES), 0.0]))
NEAR = numpy.concatenate([POINTS, numpy.linspace(-9, 9, 2001), numpy.linspace(0.3, 3, 2001)])

EXACT = {
    "exp": mpmath.exp,
    "log": lambda a: mpmath.log(a) if a > 0 else None,
    "log1p": lambda a: mpmath.log1p(a) if a > -1 else None,
    "expm1": mpmath.expm1,
    "sqrt": lambda a: mpmath.sqrt(a) if a >= 0 else None,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "sech2": lambda a: mpmath.sech(a) ** 2,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)),
    "softplus": lambda a: mpmath.log1p(mpmath.exp(a)),
    "softsign": lambda a: a / (1 + abs(a)),
    "abs": abs,
    "sign": mpmath.sign,
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b else None,
    "floordiv": lambda a, b: mpmath.floor(a / b) if b and abs(a / b) < 1000 else None,
    "max": max,
    "min": min,
    "logaddexp": lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)),
    "pow": lambda a, b: a**b if a > 0 else None,
}
LOGIC = {"or", "and", "not", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "select"}
LOGIC |= {"uniform"}  # of whole numbers: tests/formula/test_language.py


def apply(body, dtype, first, second=None):
    reads = {"x": at("t1", "i")}
    arrays = {"t0": numpy.zeros(len(first)), "t1": first}
    if second is not None:
        reads["y"] = at("t2", "i")
        arrays["t2"] = second
    return run(statement(at("t0", "i"), "set", {"i": "t0.0"}, reads, body), arrays, dtype)


def compare(found, exact, dtype, points, limit=LIMIT):
    """Largest error in units of epsilon; underflow to the subnormal range is excused to one step of it."""
    info = numpy.finfo(dtype)
    worst, where = 0.0, None
    with mpmath.workdps(60):
        for value, truth, point in zip(found, exact, points, strict=True):
            if truth is None or abs(truth) > float(info.max):
                continue
            error = abs(mpmath.mpf(float(value)) - truth)
            if error <= 2 * float(info.smallest_subnormal):
                continue
            scale = max(abs(truth), mpmath.mpf(float(info.tiny))) * float(info.eps)
            units = float(error / scale) if math.isfinite(float(value)) else math.inf
            if units > worst:
                worst, where = units, (point, float(value), truth)
    assert worst <= limit, f"{worst} epsilons at {where}"
    return worst


def test_every_function_of_the_table_has_a_row_here():
    assert set(EXACT) | LOGIC == set(FUNCTIONS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [n for n in EXACT if FUNCTIONS[n].arity == 1])
def test_functions_of_one_operand(name, dtype):
    points = NEAR.astype(dtype)
    found = apply(call(name, x), dtype, points)
    with mpmath.workdps(60):
        exact = [EXACT[name](mpmath.mpf(float(p))) for p in points]
    worst = compare(found, exact, dtype, points)
    print(f"{name} {dtype}: {worst:.2f} epsilons")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [n for n in EXACT if FUNCTIONS[n].arity == 2])
def test_functions_of_two_operands(name, dtype):
    some = POINTS[::3].astype(dtype)
    first, second = (a.ravel().copy() for a in numpy.meshgrid(some, some))
    found = apply(call(name, x, y), dtype, first, second)
    points = list(zip(first, second, strict=True))
    with mpmath.workdps(60):
        exact = [EXACT[name](mpmath.mpf(float(a)), mpmath.mpf(float(b))) for a, b in points]
    if name == "logaddexp":  # near its zero the result is a difference: the error is relative to the operands
        keep = [abs(t) > 1e-3 * max(abs(float(a)), abs(float(b))) for t, (a, b) in zip(exact, points, strict=True)]
        exact = [t if k else None for t, k in zip(exact, keep, strict=True)]
        limit = 2000 * LIMIT
    else:
        limit = LIMIT
    if name == "floordiv":  # a quotient that rounds to a whole number has either neighbour
        ratio = first.astype(float) / numpy.where(second == 0, 1, second)
        exact = [None if abs(r - round(r)) < 1e-4 else t for r, t in zip(ratio, exact, strict=True)]
    compare(found, exact, dtype, points, limit)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [-3, -2, -1, 2, 3, 4, 7])
def test_whole_powers(exponent, dtype):
    points = numpy.concatenate([NEAR[NEAR != 0], -NEAR[NEAR != 0]]).astype(dtype)
    found = apply(call("pow", x, Number(exponent)), dtype, points)
    with mpmath.workdps(60):
        exact = [mpmath.mpf(float(p)) ** exponent for p in points]
        # (1/x)**n underflows where x**-n is subnormal only
        tiny = float(numpy.finfo(dtype).tiny)
        exact = [None if abs(t) < tiny / float(numpy.finfo(dtype).eps) else t for t in exact]
    compare(found, exact, dtype, points, LIMIT + abs(exponent))


@pytest.mark.parametrize("dtype", DTYPES)
def test_square_roots_by_powers(dtype):
    points = NEAR[NEAR > 0].astype(dtype)
    with mpmath.workdps(60):
        exact = [mpmath.sqrt(mpmath.mpf(float(p))) for p in points]
        compare(apply(call("pow", x, number(0.5)), dtype, points), exact, dtype, points)
        compare(apply(call("pow", x, number(-0.5)), dtype, points), [1 / t for t in exact], dtype, points)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [n for n in EXACT if FUNCTIONS[n].arity == 1])
def test_nan_and_infinity_of_one_operand(name, dtype):
    points = numpy.array([math.nan, math.inf, -math.inf, 0.0, -0.0])
    found = apply(call(name, x), dtype, points)
    assert math.isnan(found[0])
    nan, inf = math.nan, math.inf
    expected = {
        "exp": (inf, 0), "log": (inf, nan), "log1p": (inf, nan), "expm1": (inf, -1), "sqrt": (inf, nan),
        "sin": (nan, nan), "cos": (nan, nan), "tanh": (1, -1), "sech2": (0, 0), "erf": (1, -1), "erfc": (0, 2),
        "sigmoid": (1, 0), "softplus": (inf, 0), "softsign": (1, -1), "abs": (inf, inf), "sign": (1, -1),
        "neg": (-inf, inf),
    }[name]  # fmt: skip
    numpy.testing.assert_array_equal(found[1:3], expected)
    if name in ("log1p", "expm1", "sqrt", "sin", "tanh", "erf", "sign", "softsign"):
        assert found[3] == found[4] == 0
        assert math.copysign(1, found[4]) == -1
    if name == "log":
        assert found[3] == -inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_ordered_maxima_propagate_nan(dtype):
    nan, inf = math.nan, math.inf
    first = numpy.array([1, nan, 2, nan, inf, -inf, 3.0])
    second = numpy.array([nan, 1, 3, nan, 1, inf, 3.0])
    numpy.testing.assert_array_equal(apply(call("max", x, y), dtype, first, second), [nan, nan, 3, nan, inf, inf, 3])
    numpy.testing.assert_array_equal(apply(call("min", x, y), dtype, first, second), [nan, nan, 2, nan, 1, -inf, 3])
    equal = apply(call("logaddexp", x, y), dtype, numpy.array([-inf, inf, 0.0]), numpy.array([-inf, inf, -inf]))
    numpy.testing.assert_array_equal(equal, [-inf, inf, 0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_division_by_zero_is_infinite(dtype):
    found = apply(call("div", x, y), dtype, numpy.array([1.0, -1.0, 0.0]), numpy.zeros(3))
    numpy.testing.assert_array_equal(found, [math.inf, -math.inf, math.nan])
