"""Expressions as numbers: a circuit and a claim evaluated on symbols give every entry as a formula, for proofs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy

from graphc.checking.numbers import Numbers
from graphc.errors import CheckError
from graphc.formula.expression import FUNCTIONS, ZERO, Call, Expression, Number, Symbol, call, number

__all__ = ["Term", "TooLongError", "claim_terms", "symbolic", "unknown"]

#: Operations of a single entry, counted as written.
MOST_OPERATIONS = 600


class TooLongError(CheckError):
    """An entry takes too many operations to be proved."""


class Term:
    """An expression that Python's operators build on; ``size`` counts its operations as written."""

    __slots__ = ("expression", "size")

    def __init__(self, expression: Expression, size: int = 0) -> None:
        if size > MOST_OPERATIONS:
            raise TooLongError("too long to be proved")
        self.expression, self.size = expression, size

    def __add__(self, other: Any) -> Term:
        return _applied("add", self, other)

    def __radd__(self, other: Any) -> Term:
        return _applied("add", other, self)

    def __sub__(self, other: Any) -> Term:
        return _applied("sub", self, other)

    def __rsub__(self, other: Any) -> Term:
        return _applied("sub", other, self)

    def __mul__(self, other: Any) -> Term:
        return _applied("mul", self, other)

    def __rmul__(self, other: Any) -> Term:
        return _applied("mul", other, self)

    def __truediv__(self, other: Any) -> Term:
        return _applied("div", self, other)

    def __rtruediv__(self, other: Any) -> Term:
        return _applied("div", other, self)

    def __pow__(self, other: Any) -> Term:
        return _applied("pow", self, other)

    def __neg__(self) -> Term:
        return _applied("neg", self)

    def __abs__(self) -> Term:
        return _applied("abs", self)

    def __bool__(self) -> bool:
        return self.expression != ZERO

    def __int__(self) -> int:
        if isinstance(self.expression, Number) and self.expression.value == int(self.expression.value):
            return int(self.expression.value)
        raise TypeError("a formula is no whole number")


def _term(value: Any) -> Term:
    if isinstance(value, Term):
        return value
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, bool | int | float | Fraction):
        return Term(number(value if isinstance(value, float | Fraction) else int(value)))
    if hasattr(value, "_mpf_") and value == int(value):
        return Term(Number(int(value)))
    raise TypeError(f"{type(value).__name__} is no formula")


def _applied(function: str, *operands: Any) -> Term:
    terms = [_term(operand) for operand in operands]
    expression = call(function, *(t.expression for t in terms))
    if not isinstance(expression, Call):
        return Term(expression)
    return Term(expression, 1 + sum(t.size for t in terms))


def _lifted(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    over_arrays = numpy.frompyfunc(function, count, 1)

    def apply(*operands: Any) -> Any:
        return (over_arrays if any(isinstance(o, numpy.ndarray) for o in operands) else function)(*operands)

    return apply


_fresh = itertools.count()


def unknown(shape: tuple[int, ...]) -> Any:
    """New symbols: of something whose value does not matter, such as a shift that cancels."""
    found = numpy.empty(shape, dtype=object)
    for index in numpy.ndindex(shape):
        found[index] = Term(Symbol(f"u{next(_fresh)}"))
    return found


@functools.cache
def symbolic() -> Numbers:
    """Numbers that are formulas."""
    functions = {
        name: _lifted(functools.partial(_applied, name), row.arity)
        for name, row in FUNCTIONS.items()
        if name != "uniform"
    }
    return Numbers(True, functions, {}, _term, _term, object, formulas=True)


@functools.cache
def claim_terms() -> Mapping[str, Callable[..., Any]]:
    """Every function that a claim may call, over formulas."""
    from graphc.checking.arrays import ARRAYS

    scalars = symbolic().functions

    def bound(value: Callable[..., Any]) -> Callable[..., Any]:
        def apply(*operands: Any) -> Any:
            result = value(scalars, *operands)
            return result[()] if isinstance(result, numpy.ndarray) and result.ndim == 0 else result

        return apply

    def softmax(_: Any, a: Any, axis: Any = -1) -> Any:
        e = scalars["exp"](a)
        return e / numpy.sum(e, axis=int(axis), keepdims=True)

    def logsumexp(_: Any, a: Any, axis: Any = -1) -> Any:
        return scalars["log"](numpy.sum(scalars["exp"](a), axis=int(axis)))

    table = {name: bound(row.value) for name, row in ARRAYS.items()}
    return {**scalars, **table, "softmax": bound(softmax), "logsumexp": bound(logsumexp)}
