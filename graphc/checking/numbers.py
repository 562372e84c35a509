"""The two kinds of numbers that the checker computes with: mpmath's to any precision, and float64.

Functions work on scalars and on arrays alike; arrays of exact numbers have dtype object.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy

from graphc.checking.precise import OutsideDomain, constant, precise_functions
from graphc.formula.expression import FUNCTIONS
from graphc.formula.numeric import NUMPY

__all__ = ["Numbers", "double", "exact", "is_array", "undefined"]

#: Last digits that rounding may have changed.
_ROUNDED_DIGITS = 15

_COMPARISONS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"})


@dataclass(frozen=True)
class Numbers:
    """A number system.

    Attributes
    ----------
    exact : bool
        Whether precision is that of mpmath at the moment, or that of float64.
    functions : mapping
        Implementation of each function of the language, for scalars and arrays.
    sided : mapping
        For -1 and 1 the functions that differ just beside a tie, on the side where the first operand is the smaller or
        the larger one.
    literal : callable
        Turns a literal of a formula into a number; infinities are allowed.
    constant : callable
        Turns a literal of a claim into a number.
    dtype : type
        Of arrays.
    near : callable
        Whether numbers are equal but for rounding; of arrays, for every entry.
    formulas : bool
        Whether numbers are formulas (`graphc.checking.terms`), which cannot be compared.
    """

    exact: bool
    functions: Mapping[str, Callable[..., Any]]
    sided: Mapping[int, Mapping[str, Callable[..., Any]]]
    literal: Callable[[Any], Any]
    constant: Callable[[Any], Any]
    dtype: type
    near: Callable[..., Any] = operator.eq
    formulas: bool = False

    def array(self, values: Any) -> Any:
        """A number or an array of fractions, floats or whole numbers as numbers of the system."""
        if isinstance(values, numpy.ndarray):
            if self.dtype is not object:
                return values.astype("float64")
            result = numpy.empty(values.shape, dtype=object)
            flat, source = result.reshape(-1), values.reshape(-1).tolist()
            for k, value in enumerate(source):
                flat[k] = self.number(value)
            return result
        return self.number(values)

    def number(self, value: Any) -> Any:
        """A single number."""
        if self.dtype is not object:
            return float(value)
        if isinstance(value, int | float | Fraction):
            return self.literal(value)
        return value

    def whole(self, array: numpy.ndarray) -> numpy.ndarray:
        """Positions as numbers that a body may compute with."""
        if self.dtype is not object:
            return array
        return array.astype(object)


def is_array(value: Any) -> bool:
    """Whether a value is an array."""
    return isinstance(value, numpy.ndarray)


def undefined(value: Any) -> bool:
    """Whether some number of a value is none (NaN)."""
    return bool(numpy.any(numpy.not_equal(value, value)))


def _lifted(function: Callable[..., Any], operands: int) -> Callable[..., Any]:
    over_arrays = numpy.frompyfunc(function, operands, 1)

    def apply(*values: Any) -> Any:
        for value in values:
            if isinstance(value, numpy.ndarray):
                return over_arrays(*values)
        return function(*values)

    return apply


def _exact_near(a: Any, b: Any) -> bool:
    """Whether two numbers are equal but for rounding: (x + y + z)/3 - x is not always 0 where it should be."""
    from mpmath import mp

    return bool(a == b or abs(a - b) <= mp.mpf(10) ** (_ROUNDED_DIGITS - mp.dps) * max(1, abs(a), abs(b)))


def _double_near(a: Any, b: Any) -> Any:
    with numpy.errstate(all="ignore"):
        scale = numpy.maximum(1.0, numpy.maximum(numpy.abs(a), numpy.abs(b)))
        return numpy.equal(a, b) | (numpy.abs(numpy.subtract(a, b)) <= 1e-13 * scale)


def _exact_sides(side: int) -> Mapping[str, Callable[..., Any]]:
    from mpmath import mpf, sign

    def relation(smaller: bool, larger: bool, tie: bool) -> Callable[..., Any]:
        def compare(a: Any, b: Any) -> Any:
            if _exact_near(a, b):
                if type(a) is int or type(b) is int:  # positions and labels: no slope leads there
                    return mpf(1 if tie else 0)
                below = side < 0
            else:
                below = a < b
            return mpf(1 if (smaller if below else larger) else 0)

        return _lifted(compare, 2)

    return {
        "less": relation(True, False, False),
        "less_equal": relation(True, False, True),
        "greater": relation(False, True, False),
        "greater_equal": relation(False, True, True),
        "sign": _lifted(lambda x: mpf(side) if _exact_near(x, 0) else mpf(sign(x)), 1),
    }


def _whole_kind(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "iub")


def _double_sides(side: int) -> Mapping[str, Callable[..., Any]]:
    def relation(smaller: bool, larger: bool, tie: bool) -> Callable[..., Any]:
        def compare(a: Any, b: Any) -> Any:
            at_tie = tie if _whole_kind(a) or _whole_kind(b) else (smaller if side < 0 else larger)
            return numpy.where(_double_near(a, b), at_tie, numpy.where(numpy.less(a, b), smaller, larger)) * 1.0

        return compare

    return {
        "less": relation(True, False, False),
        "less_equal": relation(True, False, True),
        "greater": relation(False, True, False),
        "greater_equal": relation(False, True, True),
        "sign": lambda x: numpy.where(_double_near(x, 0.0), float(side), numpy.sign(x)),
    }


@functools.cache
def exact() -> Numbers:
    """Numbers of mpmath, in its working precision."""
    from mpmath import mpf

    small = {k: mpf(k) for k in range(-63, 64)}

    def literal(value: Any) -> Any:
        if type(value) is int and -64 < value < 64:
            return small[value]
        if isinstance(value, float) and math.isinf(value):
            return mpf(value)
        return constant(value)

    def uniform(key: Any, step: Any, element: Any) -> Any:
        return mpf(float(NUMPY["uniform"](int(key), int(step), int(element))))

    functions = {name: _lifted(f, FUNCTIONS[name].arity) for name, f in precise_functions().items()}
    functions["uniform"] = _lifted(uniform, 3)
    sides = {side: {**functions, **_exact_sides(side)} for side in (-1, 1)}
    return Numbers(True, functions, sides, literal, constant, object, _lifted(_exact_near, 2))


@functools.cache
def double() -> Numbers:
    """Numbers of float64."""
    sides = {side: {**NUMPY, **_double_sides(side)} for side in (-1, 1)}

    def finite(value: Any) -> float:
        try:
            found = float(value)
        except OverflowError:
            raise OutsideDomain("a number too large") from None
        if not math.isfinite(found):
            raise OutsideDomain("not finite")
        return found

    return Numbers(False, NUMPY, sides, float, finite, float, _double_near)


def comparisons() -> frozenset[str]:
    """Names of the functions that compare."""
    return _COMPARISONS
