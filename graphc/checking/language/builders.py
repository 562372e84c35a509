"""Builders of array functions in claims: operands and settings as NumPy takes them become an expression.

A builder takes the reader, which knows ranks, then the operands as the caller wrote them: expressions, tuples
of them, ``None``, booleans and words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from graphc.checking.arrays import ARRAYS, MODES
from graphc.checking.language.text import claim_text
from graphc.errors import CheckError
from graphc.formula.expression import Call, Expression, Number, Symbol

__all__ = [
    "Builder", "Operands", "Ranks", "broadcast_to", "call_of", "chosen_axes", "deviation", "einsum", "filled",
    "half_turn", "joined", "last_axis", "log_softmax", "norm", "raw", "reduction", "reshape", "size", "sliding",
    "swapaxes", "transpose", "variance",
]  # fmt: skip


class Ranks(Protocol):
    """What a builder asks of the reader."""

    def rank(self, expression: Expression) -> int | None:
        """Number of axes, or None where the shapes do not fit."""


class Operands(Exception):  # noqa: N818 - never seen by the user: `build` words the error
    """A builder cannot take the operands it was given."""


Builder = Callable[..., Expression]


def call_of(function: str, *operands: Expression) -> Expression:
    """A call as it is written: nothing is simplified."""
    return Call(function, operands)


def _flat(settings: tuple[Any, ...]) -> tuple[Expression, ...]:
    """Axes or extents given one by one or as a tuple."""
    if len(settings) == 1 and isinstance(settings[0], tuple):
        settings = settings[0]
    return tuple(setting for setting in settings if setting is not None)


def _whole(setting: Any, what: str) -> int:
    if isinstance(setting, Number) and isinstance(setting.value, int):
        return setting.value
    found = claim_text(setting) if isinstance(setting, Number | Symbol | Call) else repr(setting)
    raise CheckError(f"{what} is a whole number, found {found[:60]}")


def chosen_axes(settings: tuple[Any, ...], axis: Any) -> tuple[Expression, ...]:
    """Axes given one by one, as a tuple or by ``axis=``, as numbers."""
    axes = _flat(settings) or _flat((axis,))
    for setting in axes:
        _whole(setting, "an axis")
    return axes


def _rank(reader: Ranks, a: Expression) -> int:
    rank = reader.rank(a)
    return 0 if rank is None else rank


def reduction(function: str) -> Builder:
    """Builder of a sum, mean or maximum over axes."""

    def builder(
        reader: Ranks, a: Expression, *axes: Any, axis: Any = None, keepdims: bool = False, dim: Any = None,
        keepdim: bool = False,
    ) -> Expression:  # fmt: skip
        chosen = chosen_axes(axes, axis if axis is not None else dim)
        result = call_of(function, a, *chosen)
        if keepdims is True or keepdim is True:
            kept = chosen or tuple(Number(k) for k in range(_rank(reader, a)))
            result = call_of("expand_dims", result, *kept) if kept else result
        return result

    return builder


def variance(reader: Ranks, a: Expression, *axes: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """Mean of the squared distances from the mean."""
    mean = reduction("mean")
    centred = call_of("sub", a, mean(reader, a, *axes, axis=axis, keepdims=True))
    return mean(reader, call_of("pow", centred, Number(2)), *axes, axis=axis, keepdims=keepdims)


def deviation(reader: Ranks, a: Expression, *axes: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    """Square root of the variance."""
    return call_of("sqrt", variance(reader, a, *axes, axis=axis, keepdims=keepdims))


def last_axis(function: str) -> Builder:
    """Builder of a function along one axis, the last unless another is given."""

    def builder(_: Ranks, a: Expression, axis: Any = None, dim: Any = None, keepdims: bool = False) -> Expression:
        chosen = chosen_axes((), axis if axis is not None else dim)
        if len(chosen) > 1:
            raise CheckError(f"{function} runs over one axis, found {len(chosen)}")
        result = call_of(function, a, *chosen)
        return call_of("expand_dims", result, *(chosen or (Number(-1),))) if keepdims is True else result

    return builder


def log_softmax(reader: Ranks, a: Expression, axis: Any = None) -> Expression:
    """Logarithm of the softmax."""
    return call_of("sub", a, last_axis("logsumexp")(reader, a, axis=axis, keepdims=True))


def norm(reader: Ranks, a: Expression, axis: Any = None, keepdims: bool = False) -> Expression:
    """Square root of the sum of squares; of a number its absolute value."""
    if reader.rank(a) == 0:
        return call_of("abs", a)
    return reduction("norm2")(reader, a, axis=axis, keepdims=keepdims)


def _shape(settings: tuple[Any, ...]) -> tuple[Expression, ...] | Expression:
    """Extents of a new array, or the array whose ``.shape`` was given."""
    extents = _flat(settings)
    match extents:
        case (Call("shape", (other,)),):
            return other
    return extents


def reshape(_: Ranks, a: Expression, *shape: Any) -> Expression:
    """The same elements in another shape, or in that of another array."""
    extents = _shape(shape)
    return call_of("reshape", a, *extents) if isinstance(extents, tuple) else call_of("reshape_like", a, extents)


def broadcast_to(_: Ranks, a: Expression, *shape: Any) -> Expression:
    """An array repeated to a shape, or to that of another array."""
    extents = _shape(shape)
    if isinstance(extents, tuple):
        return call_of("broadcast_like", a, call_of("zeros", *extents))
    return call_of("broadcast_like", a, extents)


def filled(function: str) -> Builder:
    """Builder of an array of ones or zeros, of a shape or like another array."""

    def builder(_: Ranks, *shape: Any) -> Expression:
        extents = _shape(shape)
        return call_of(function, *extents) if isinstance(extents, tuple) else call_of(f"{function}_like", extents)

    return builder


def transpose(_: Ranks, a: Expression, *axes: Any) -> Expression:
    """All axes reversed, or in the order given."""
    return call_of("transpose", a, *chosen_axes(axes, None))


def swapaxes(reader: Ranks, a: Expression, first: Any, second: Any) -> Expression:
    """Two axes exchanged."""
    rank = _rank(reader, a)
    i, j = (_whole(axis, "an axis") for axis in (first, second))
    if {i - rank * (i >= 0), j - rank * (j >= 0)} == {-1, -2}:
        return call_of("swap_last", a)
    order = list(range(rank))
    if not (-rank <= i < rank and -rank <= j < rank):
        raise CheckError(f"swapaxes asks for axes {i} and {j} of an array with {rank} axes")
    order[i], order[j] = order[j], order[i]
    return call_of("transpose", a, *map(Number, order))


def joined(function: str, axis_of_words: int | None = None) -> Builder:
    """Builder that joins a list of arrays along an axis."""

    def builder(_: Ranks, *operands: Any, axis: Any = None, dim: Any = None) -> Expression:
        axis = axis if axis is not None else dim
        if operands and isinstance(operands[0], tuple):
            parts, rest = operands[0], operands[1:]
            axis = rest[0] if rest else axis
        elif len(operands) < 2:
            raise Operands("takes a list of arrays, and the axis to join")
        else:  # as it is printed: the axis comes last
            parts, axis = operands[:-1], operands[-1]
        if not parts:
            raise Operands("takes at least one array")
        if axis_of_words is not None:
            axis = Number(axis_of_words)
        chosen = Number(0) if axis is None else axis
        _whole(chosen, "an axis")
        return call_of(function, *parts, chosen)

    return builder


def sliding(function: str, usual: str) -> Builder:
    """Builder of a convolution or correlation, with the mode that its NumPy name has."""

    def builder(_: Ranks, a: Expression, b: Expression, mode: Any = usual) -> Expression:
        if isinstance(mode, str):
            if mode not in MODES:
                raise CheckError(f"the mode of {function} is {' or '.join(map(repr, MODES))}, found {mode!r}")
            mode = Number(MODES[mode])
        return call_of(function, a, b, mode)

    return builder


def half_turn(_: Ranks, a: Expression, k: Any = None) -> Expression:
    """NumPy's ``rot90(w, 2)``, which flips a filter."""
    if k != Number(2):
        raise CheckError("rot90 is read with k=2, which flips a filter")
    return call_of("flip", a, Number(0), Number(1))


def einsum(_: Ranks, subscripts: Any, *operands: Expression) -> Expression:
    """NumPy's sum of products over letters, written out: letters of the result come first."""
    inputs, arrow, result = subscripts.partition("->") if isinstance(subscripts, str) else ("", "", "")
    letters = inputs.split(",")
    used = "".join(letters)
    if not operands or len(letters) != len(operands) or not arrow or not set(result) <= set(used):
        raise CheckError("einsum is written einsum('ni,nj->ij', a, b), with letters for the axes of every operand")
    order = result + "".join(sorted(set(used) - set(result)))
    factors = [
        call_of("spread", a, Number(len(order)), *(Number(order.index(letter)) for letter in axes))
        for a, axes in zip(operands, letters, strict=True)
    ]
    product = functools.reduce(lambda a, b: call_of("mul", a, b), factors)
    summed = [Number(k) for k in range(len(result), len(order))]
    return call_of("sum", product, *summed) if summed else product


def size(_: Ranks, a: Expression, axis: Any = None) -> Expression:
    """Extent of an axis, or the number of elements."""
    return call_of("size", a, *chosen_axes((), axis))


def raw(function: str) -> Builder:
    """Builder of an array function with settings as trailing numbers, as graphc prints it."""
    row = ARRAYS[function]

    def builder(_: Ranks, *operands: Any) -> Expression:
        settings = _flat(operands[1:])
        count = len(operands[:1]) + len(settings)
        if count < row.least or (row.most >= 0 and count > row.most):
            wanted = str(row.least) if row.least == row.most else f"at least {row.least}"
            raise Operands(f"takes {wanted} operand{'s' if wanted != '1' else ''}, found {count}")
        return call_of(function, *operands[:1], *settings)

    return builder
