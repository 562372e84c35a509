"""Scalar functions over NumPy: the arithmetic of the float64 reference.

Every function of `graphc.formula.expression.FUNCTIONS` has one row. Rows are relatively accurate in both
tails, propagate NaN, and never warn: overflow is an infinity and underflow a zero, as in a kernel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy

__all__ = ["NUMPY"]

_BOOLEAN = numpy.dtype(bool)


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let IEEE arithmetic speak through its values only, and count conditions as 0 and 1.

    NumPy would add two conditions by "or", and refuses to negate one.
    """

    @functools.wraps(function)
    def wrapped(*operands: Any) -> Any:
        with numpy.errstate(all="ignore"):
            return function(*(x * 1.0 if getattr(x, "dtype", None) is _BOOLEAN else x for x in operands))

    return wrapped


def _sigmoid(x: Any) -> Any:
    # exp only of what is not positive: no overflow, and sigmoid(-800) underflows like exp(-800)
    e = numpy.exp(-numpy.abs(x))
    return numpy.where(numpy.less(x, 0), e, 1.0) / (1.0 + e)


def _softplus(x: Any) -> Any:
    # maximum keeps NaN; for x << 0 this is log1p(exp(x)), which keeps its digits
    return numpy.maximum(x, 0.0) + numpy.log1p(numpy.exp(-numpy.abs(x)))


def _sech2(x: Any) -> Any:
    e = numpy.exp(-2.0 * numpy.abs(x))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


def _max(a: Any, b: Any) -> Any:
    # the first operand wins a tie, which matters for the sign of a zero
    return numpy.where(numpy.greater_equal(a, b) | numpy.isnan(a), a, b)


def _min(a: Any, b: Any) -> Any:
    return numpy.where(numpy.less_equal(a, b) | numpy.isnan(a), a, b)


def _softsign(x: Any) -> Any:
    # both forms are the same; x/(1 + abs(x)) would be inf/inf at infinity
    a = numpy.abs(x)
    return numpy.where(numpy.isinf(a), numpy.sign(x), x / (1.0 + a))


_erf = numpy.vectorize(math.erf, otypes=[numpy.float64])
_erfc = numpy.vectorize(math.erfc, otypes=[numpy.float64])


def _uniform(key: Any, step: Any, element: Any) -> Any:
    """24 bits of Philox-2x32-10 with counter (element, step), as a number in [0, 1).

    Source: Salmon, Moraes, Dror, Shaw, SC (2011), section 3.3.
    """
    low, high = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)

    def word(x: Any) -> Any:
        return numpy.asarray(x).astype("int64").astype("uint64") & low

    first, second, key = numpy.broadcast_arrays(word(element), word(step), word(key))
    for round_ in range(10):
        if round_:
            key = (key + numpy.uint64(0x9E3779B9)) & low
        product = first * numpy.uint64(0xD256D193)
        first, second = (product >> high) ^ key ^ second, product & low
    return (first >> numpy.uint64(8)).astype("float64") * 2.0**-24


#: Implementation of each scalar function on arrays of shape broadcast from the operands.
NUMPY: Mapping[str, Callable[..., Any]] = {
    name: _quiet(function)
    for name, function in {
        "or": numpy.logical_or,
        "and": numpy.logical_and,
        "not": numpy.logical_not,
        "less": numpy.less,
        "less_equal": numpy.less_equal,
        "greater": numpy.greater,
        "greater_equal": numpy.greater_equal,
        "equal": numpy.equal,
        "not_equal": numpy.not_equal,
        "add": numpy.add,
        "sub": numpy.subtract,
        "mul": numpy.multiply,
        "div": numpy.true_divide,
        # floor_divide alone makes NaN of an infinity
        "floordiv": lambda a, b: numpy.where(numpy.isinf(a), numpy.true_divide(a, b), numpy.floor_divide(a, b)),
        "neg": numpy.negative,
        # float_power: numpy.power refuses a negative integer exponent
        "pow": numpy.float_power,
        "exp": numpy.exp,
        "log": numpy.log,
        "log1p": numpy.log1p,
        "expm1": numpy.expm1,
        "sqrt": numpy.sqrt,
        "sin": numpy.sin,
        "cos": numpy.cos,
        "tanh": numpy.tanh,
        "sech2": _sech2,
        "erf": _erf,
        "erfc": _erfc,
        "sigmoid": _sigmoid,
        "softplus": _softplus,
        "softsign": _softsign,
        "logaddexp": numpy.logaddexp,
        "abs": numpy.abs,
        "sign": numpy.sign,
        "max": _max,
        "min": _min,
        "uniform": _uniform,
        "select": numpy.where,
    }.items()
}
