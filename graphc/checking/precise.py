"""Scalar functions over mpmath numbers: the arithmetic that decides a claim, to as many digits as asked.

What has no real value (a logarithm of a negative number, a division by zero, a power too large to write
down) raises `OutsideDomain`: such a point says nothing about a claim.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from graphc.formula.symbolic import TWO_OVER_ROOT_PI

__all__ = ["OutsideDomain", "constant", "precise_functions"]

#: Largest exponent of e, and of 2 in a power: beyond it a number has no use and its digits no end.
_LARGEST_EXPONENT = 10**9

#: Largest argument of sin, cos and floor.
_LARGEST_ANGLE = 10**50


class OutsideDomain(Exception):  # noqa: N818 - it steers the choice of points and is no error
    """A function has no real value at a point."""


def _finite(x: Any) -> Any:
    import mpmath

    if not isinstance(x, mpmath.mpf):
        raise OutsideDomain("not real")
    if not mpmath.isfinite(x):
        raise OutsideDomain("not finite")
    return x


@functools.cache
def precise_functions() -> Mapping[str, Callable[..., Any]]:
    """Return the implementation of each function of the language over ``mpmath.mpf``."""
    import mpmath
    from mpmath import mpf

    def exp(x: Any) -> Any:
        if abs(x) > _LARGEST_EXPONENT:
            if x < 0:
                return mpf(0)
            raise OutsideDomain("exp")
        return mpmath.exp(x)

    def log(x: Any) -> Any:
        if x <= 0:
            raise OutsideDomain("log")
        return mpmath.log(x)

    def log1p(x: Any) -> Any:
        if x <= -1:
            raise OutsideDomain("log1p")
        return mpmath.log1p(x)

    def sqrt(x: Any) -> Any:
        if x < 0:
            raise OutsideDomain("sqrt")
        return mpmath.sqrt(x)

    def div(a: Any, b: Any) -> Any:
        if b == 0:
            raise OutsideDomain("division by zero")
        return (mpf(a) if type(a) is int else a) / b

    def power(a: Any, b: Any) -> Any:
        if abs(b) > _LARGEST_EXPONENT:
            raise OutsideDomain("a power too large")
        if a == 0:
            if b < 0:
                raise OutsideDomain("a power of zero")
            return mpf(0 if b > 0 else 1)
        if a < 0 and b != mpmath.floor(b):
            raise OutsideDomain("a fractional power of a negative number")
        if abs(b) * abs(mpmath.log(abs(a), 2)) > _LARGEST_EXPONENT:
            # beyond it the digits of a number have no end
            raise OutsideDomain("a power too large")
        # an odd power of a negative number is real: take the sign out before the logarithm
        sign = -1 if a < 0 and int(mpmath.fmod(b, 2)) else 1
        return sign * _finite(mpf(abs(a)) ** b)

    def sigmoid(x: Any) -> Any:
        e = exp(-abs(x))
        return (e if x < 0 else mpf(1)) / (1 + e)

    def softplus(x: Any) -> Any:
        return max(x, mpf(0)) + mpmath.log1p(exp(-abs(x)))

    def sech2(x: Any) -> Any:
        e = exp(-2 * abs(x))
        return 4 * e / (1 + e) ** 2

    def tanh(x: Any) -> Any:
        return mpmath.sign(x) * mpf(1) if abs(x) > _LARGEST_EXPONENT else mpmath.tanh(x)

    def periodic(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def reduced(x: Any) -> Any:
            if abs(x) > _LARGEST_ANGLE:  # its remainder would need as many digits of pi
                raise OutsideDomain("an angle too large")
            return function(x)

        return reduced

    def floordiv(a: Any, b: Any) -> Any:
        quotient = div(a, b)
        return quotient if abs(quotient) > _LARGEST_ANGLE else mpmath.floor(quotient)

    def erf(x: Any) -> Any:
        return mpmath.erf(x) if abs(x) < 1000 else mpf(mpmath.sign(x))

    def erfc(x: Any) -> Any:
        # the digits of exp(-x**2) have an end where x**2 has one
        return mpmath.erfc(x) if abs(x) < 10**4 else mpf(0 if x > 0 else 2)

    def logaddexp(a: Any, b: Any) -> Any:
        return max(a, b) + mpmath.log1p(exp(-abs(a - b)))

    def truth(value: bool) -> Any:
        return mpf(1 if value else 0)

    return {
        "or": lambda a, b: truth(a != 0 or b != 0),
        "and": lambda a, b: truth(a != 0 and b != 0),
        "not": lambda a: truth(a == 0),
        "less": lambda a, b: truth(a < b),
        "less_equal": lambda a, b: truth(a <= b),
        "greater": lambda a, b: truth(a > b),
        "greater_equal": lambda a, b: truth(a >= b),
        "equal": lambda a, b: truth(a == b),
        "not_equal": lambda a, b: truth(a != b),
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": div,
        "floordiv": floordiv,
        "neg": lambda a: -a,
        "pow": power,
        "exp": exp,
        "log": log,
        "log1p": log1p,
        "expm1": lambda x: mpmath.expm1(x) if abs(x) < 1 else exp(x) - 1,
        "sqrt": sqrt,
        "sin": periodic(mpmath.sin),
        "cos": periodic(mpmath.cos),
        "tanh": tanh,
        "sech2": sech2,
        "erf": erf,
        "erfc": erfc,
        "sigmoid": sigmoid,
        "softplus": softplus,
        "softsign": lambda x: x / (1 + abs(x)),
        "logaddexp": logaddexp,
        "abs": abs,
        "sign": lambda x: mpf(mpmath.sign(x)),
        "max": max,  # the first at a tie
        "min": min,
        "select": lambda c, a, b: a if c != 0 else b,
    }


@functools.cache
def _famous() -> dict[float, Callable[[], Any]]:
    from mpmath import mp

    return {
        math.pi: lambda: +mp.pi,
        math.tau: lambda: 2 * mp.pi,
        math.e: lambda: +mp.e,
        math.sqrt(2): lambda: mp.sqrt(2),
        math.log(2): lambda: mp.log(2),
        math.sqrt(2 / math.pi): lambda: mp.sqrt(2 / mp.pi),
        TWO_OVER_ROOT_PI: lambda: 2 / mp.sqrt(mp.pi),
    }


def constant(value: Fraction | float) -> Any:
    """Turn a literal into a number of the working precision.

    A float is the decimal it is written as (0.1 is one tenth), unless it is the float nearest to pi, e or
    another of a few famous constants: then it is that constant.
    """
    from mpmath import mpf

    if isinstance(value, float):
        if not math.isfinite(value):
            raise OutsideDomain("not finite")
        famous = _famous().get(value)
        if famous is not None:
            return famous()
        value = Fraction(repr(value))
    if isinstance(value, Fraction):
        return mpf(value.numerator) / value.denominator
    if value.bit_length() > _LARGEST_EXPONENT:
        raise OutsideDomain("a number too large")
    return mpf(value)
