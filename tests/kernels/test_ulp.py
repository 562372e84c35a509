"""Errors of the float32 functions in units in the last place, over all magnitudes; where their numbers come from."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy
import pytest
import scipy.special

from graphc.formula.expression import Symbol, call
from graphc.kernels.cpu import cache, scalar
from graphc.kernels.cpu.emit import emit
from tests.kernels.statements import at, kernel, statement

ROOT = Path(__file__).parents[2]
#: The bounds that the docstring of `graphc.kernels.cpu.scalar` gives.
BOUNDS = {
    "sqrt": 0.5, "exp": 1, "log": 1, "sin": 1, "cos": 1, "expm1": 2, "log1p": 2, "tanh": 2, "sigmoid": 2,
    "softplus": 2, "softsign": 2, "sech2": 2, "erf": 2, "erfc": 2,
}  # fmt: skip


def _sech2(x):
    return 4 * numpy.exp(-2 * numpy.abs(x)) / (1 + numpy.exp(-2 * numpy.abs(x))) ** 2


EXACT = {
    "sqrt": numpy.sqrt,
    "exp": numpy.exp,
    "log": numpy.log,
    "sin": numpy.sin,
    "cos": numpy.cos,
    "expm1": numpy.expm1,
    "log1p": numpy.log1p,
    "tanh": numpy.tanh,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: numpy.maximum(x, 0) + numpy.log1p(numpy.exp(-numpy.abs(x))),
    "softsign": lambda x: numpy.where(numpy.isinf(x), numpy.sign(x), x / (1 + numpy.abs(x))),
    "sech2": _sech2,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
}

#: Where a polynomial gives way to another, a result rounds to a constant, overflows, or leaves the normal numbers.
THRESHOLDS = [
    0.6, 0.92, 4.0, 10.2, 10.0, 9.046489, 9.0, 8.66, 9.19, 1.0, 2.0, 0.5, 2**-0.5, 2**0.5, 2 * 2**0.5, 17.3, 16.6,
    88.72284, 87.3365, 103.27893, 103.97208, 104.0, 107.0, 89.0, 60.0, 43.6, 51.9, 52.6, 2.0**-126, 2.0**-24, 2.0**24,
    *(numpy.log(2) * (k + 0.5) for k in range(-3, 4)), *(numpy.pi / 4 * k for k in range(1, 12)),
    16367173 * 2.0**60, 2.0**31, 2.0**63,
]  # fmt: skip


def text_of(name, dtype="float32"):
    body = call(name, Symbol("x"))
    return emit(kernel(statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, body), dtype))


def apply(name, x):
    function = cache.function(cache.addresses([cache.Source(text_of(name), name)])[0])
    y = numpy.full_like(x, 7)
    arguments = numpy.array([y.ctypes.data, x.ctypes.data, x.size, x.size], numpy.int64)
    function(arguments.ctypes.data)
    return y


def numbers():
    """Every 4096th bit pattern, and 400 neighbours of each threshold and of 0, both signs."""
    patterns = [numpy.arange(0, 2**32, 2**12, dtype=numpy.uint64).astype(numpy.uint32)]
    for threshold in [0.0, *THRESHOLDS, numpy.inf]:
        middle = int(numpy.abs(numpy.float32(threshold)).view(numpy.uint32))
        near = numpy.arange(max(middle - 200, 0), min(middle + 200, 2**31), dtype=numpy.int64).astype(numpy.uint32)
        patterns += [near, near | numpy.uint32(2**31)]
    return numpy.concatenate(patterns).view(numpy.float32)


def units(found, exact):
    """Errors in units in the last place of the exact results; infinite where NaN or infinities differ."""
    with numpy.errstate(all="ignore"):
        rounded = exact.astype(numpy.float32)
        spacing = numpy.maximum(numpy.ldexp(1.0, numpy.frexp(exact)[1] - 24), 2.0**-149)
        errors = numpy.abs(found.astype(numpy.float64) - exact) / spacing
    special = ~numpy.isfinite(rounded) | ~numpy.isfinite(found)
    same = (found == rounded) | (numpy.isnan(found) & numpy.isnan(rounded))
    return numpy.where(special, numpy.where(same, 0, numpy.inf), errors)


def largest(name):
    """Largest error of a function, in units, and where it is."""
    x = numbers()
    with numpy.errstate(all="ignore"):
        exact = EXACT[name](x.astype(numpy.float64))
    errors = units(apply(name, x), exact)
    worst = int(errors.argmax())
    print(f"{name}: {errors[worst]:.3f} units at {x[worst]!r}")
    return errors[worst], x[worst]


@pytest.mark.parametrize("name", BOUNDS)
def test_the_error_is_within_its_bound_for_numbers_of_all_magnitudes(name):
    error, place = largest(name)
    assert error <= BOUNDS[name], f"{error} units at {place!r}"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names a processor of the family x86")
def test_without_fused_multiply_add_the_error_is_at_most_twice_its_bound():
    code = """if True:
        from tests.kernels.test_ulp import BOUNDS, largest
        for name, bound in BOUNDS.items():
            error, place = largest(name)
            assert error <= (2 * bound if bound >= 1 else bound), f"{name}: {error} units at {place!r}"
    """
    # the first processors of the family: vectors of 128 bits, no such instruction
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr


def test_units_count_digits():
    exact = numpy.array([1.0, 0.75, 2.0**-149, numpy.inf, numpy.nan, 1e300])
    found = numpy.array([1 + 2**-23, 0.75 + 2**-23, 2.0**-148, numpy.inf, 1.0, numpy.inf], numpy.float32)
    assert units(found, exact).tolist() == [1, 2, 1, 0, numpy.inf, 0]


@pytest.mark.parametrize("name", ["tanh", "erf", "expm1", "log1p", "softsign", "sin", "sqrt"])
def test_zeros_keep_their_sign(name):
    found = apply(name, numpy.array([0.0, -0.0] * 40, numpy.float32))
    assert not found.any()
    assert (numpy.signbit(found) == [False, True] * 40).all()


@pytest.mark.parametrize("name", BOUNDS)
def test_loops_over_a_function_run_in_vectors(name):
    text = cache.llvm_text(text_of(name))
    assert re.search(r"<\d+ x float>", text)
    called = set(re.findall(r"call [^@\n]*@([\w.]+)", text))
    assert all(function.startswith("llvm.") for function in called), called


# ---- the numbers ---------------------------------------------------------------------------------


def fitted(function, low, high, count, weight):
    """Coefficients of least squares, relative to a weight, at 64 Chebyshev nodes; and the largest weighted error."""
    low, high = mpmath.mpf(low), mpmath.mpf(high)
    nodes = [(low + high + (high - low) * mpmath.cos(mpmath.pi * (2 * k + 1) / 128)) / 2 for k in range(64)]
    weights = [weight(t) for t in nodes]
    matrix = mpmath.matrix([[w * t**j for j in range(count)] for w, t in zip(weights, nodes, strict=True)])
    right = mpmath.matrix([w * function(t) for w, t in zip(weights, nodes, strict=True)])
    found = mpmath.lu_solve(matrix.T * matrix, matrix.T * right)
    return [found[j] for j in range(count)]


def _odd(function):
    """``function(x)/x`` of ``s = x**2``."""
    return lambda s: function(mpmath.sqrt(s)) / mpmath.sqrt(s)


def _slow(q):
    """``erfc(a)*exp(a**2)*(1 + a)`` with ``q = 43/64 - 2/(1 + a)``."""
    a = 2 / (mpmath.mpf(43) / 64 - q) - 1
    return mpmath.erfc(a) * mpmath.exp(a**2) * (1 + a)


ZERO = mpmath.mpf(10) ** -30
#: Function, interval, weight that makes the error relative, and largest error, as the comments in scalar.py say.
FITS = {
    "_EXP_NEAR": (
        lambda r: mpmath.hyp1f1(1, 3, r) / 2, -0.37, 0.37, lambda r: r**2 / mpmath.exp(r), 2e-10,
    ),
    "_SIN_NEAR": (
        lambda s: (_odd(mpmath.sin)(s) - 1) / s, 10 ** mpmath.mpf(-12), 0.8**2, lambda s: s / _odd(mpmath.sin)(s), 5e-9,
    ),
    "_COS_NEAR": (
        lambda s: (mpmath.cos(mpmath.sqrt(s)) - 1 + s / 2) / s**2, 10 ** mpmath.mpf(-12), 0.8**2,
        lambda s: s**2 / mpmath.cos(mpmath.sqrt(s)), 2e-10,
    ),
    "_TANH_SMALL": (
        lambda s: (_odd(mpmath.tanh)(s) - 1) / s, ZERO, 0.6**2, lambda s: s / _odd(mpmath.tanh)(s), 3e-9,
    ),
    "_ERF_SMALL": (lambda s: _odd(mpmath.erf)(s) - 1, ZERO, 0.92**2, lambda s: 1 / _odd(mpmath.erf)(s), 2e-8),
    "_ERF_LARGE": (
        lambda t: mpmath.log(mpmath.erfc(t)) / t, 0.92, 4, lambda t: t * mpmath.erfc(t) / mpmath.erf(t), 4e-9,
    ),
    "_ERFC": (lambda q: _slow(q) - mpmath.mpf(3) / 4, 43 / 64 - 2, 43 / 64 - 2 / 11.2, lambda q: 1 / _slow(q), 5e-9),
}  # fmt: skip


def test_the_table_holds_the_bits_of_two_over_pi():
    with mpmath.workprec(400):
        bits = int(mpmath.floor(2 / mpmath.pi * mpmath.mpf(2) ** 224))
    words = [(bits >> (192 - 32 * k)) & 0xFFFFFFFF for k in range(7)]
    assert (0, *words) == scalar._TWO_OVER_PI
    assert sum(scalar._HALF_PI) == pytest.approx(numpy.pi / 2, rel=1e-14)


@pytest.mark.parametrize("name", FITS)
def test_the_coefficients_come_from_the_functions(name):
    function, low, high, weight, error = FITS[name]
    given = getattr(scalar, name)
    with mpmath.workdps(40):
        derived = fitted(function, low, high, len(given), weight)
        numpy.testing.assert_allclose(numpy.array(derived, float), given, rtol=1e-6)
        points = [low + (high - low) * mpmath.mpf(k) / 200 for k in range(201)]
        worst = max(abs(weight(t) * (mpmath.polyval(given[::-1], t) - function(t))) for t in points)
    assert worst < error
