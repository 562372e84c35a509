"""Array functions of claims: what each does to shapes, and to arrays of mpmath numbers or of float64.

A claim is an `Expression`. Beyond the elementwise functions of the formula language, which broadcast as NumPy
does, it may call the functions of `ARRAYS`. Operands come first and settings (axes, extents, modes) after them,
as numbers: ``sum(a, 0)`` is the sum over axis 0, ``transpose(a, 0, 2, 1)`` a permutation, ``item(a, 0, slice())``
is ``a[0, :]``. An index is a number, ``slice()`` with none or two or three operands, ``newaxis()``, or an array.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.precise import precise_functions
from graphc.formula.numeric import NUMPY

__all__ = ["ARRAYS", "MODES", "ArrayFunction", "claim_functions"]

#: Settings of convolutions, by the words of NumPy and SciPy.
MODES: Mapping[str, int] = {"valid": 0, "full": 1, "same": 2}


@dataclass(frozen=True)
class ArrayFunction:
    """One array function: how many operands it takes, and its value.

    Attributes
    ----------
    least, most : int
        Number of operands with their settings; ``most`` is -1 where there is no limit.
    value : callable
        Takes the elementwise functions of the number system by name, then the operands.
    """

    least: int
    most: int
    value: Callable[..., Any]


_Scalars = Mapping[str, Callable[..., Any]]


def _array(a: Any) -> numpy.ndarray:
    array = numpy.asarray(a)
    return array * 1.0 if array.dtype == bool else array


def _axes(settings: Sequence[Any]) -> tuple[int, ...] | None:
    """Axes as numbers of Python; none given means all."""
    return tuple(int(s) for s in settings) or None


def _sum(_: _Scalars, a: Any, *axes: Any) -> Any:
    return numpy.sum(_array(a), axis=_axes(axes))


def _count(a: numpy.ndarray, axes: tuple[int, ...] | None) -> int:
    return a.size if axes is None else math.prod(a.shape[axis] for axis in axes)


def _mean(scalars: _Scalars, a: Any, *axes: Any) -> Any:
    a = _array(a)
    return scalars["div"](numpy.sum(a, axis=_axes(axes)), _like(a, _count(a, _axes(axes))))


def _like(a: numpy.ndarray, value: int) -> Any:
    """A whole number in the number system of an array."""
    if a.dtype != object:
        return float(value)
    from mpmath import mpf

    return mpf(value)


def _filled(like: Any, shape: Any, value: int) -> numpy.ndarray:
    like = _array(like)
    return numpy.full(shape, _like(like, value), dtype=like.dtype if like.dtype == object else numpy.float64)


def _softmax(scalars: _Scalars, a: Any, axis: Any = -1) -> Any:
    a = _array(a)
    e = _array(scalars["exp"](a - numpy.max(a, axis=int(axis), keepdims=True)))
    return scalars["div"](e, numpy.sum(e, axis=int(axis), keepdims=True))


def _logsumexp(scalars: _Scalars, a: Any, axis: Any = -1) -> Any:
    a = _array(a)
    largest = numpy.max(a, axis=int(axis), keepdims=True)
    total = numpy.sum(_array(scalars["exp"](a - largest)), axis=int(axis), keepdims=True)
    return numpy.squeeze(_array(scalars["log"](total) + largest), axis=int(axis))


def _norm2(scalars: _Scalars, a: Any, *axes: Any) -> Any:
    a = _array(a)
    return scalars["sqrt"](numpy.sum(a * a, axis=_axes(axes)))


def _one_hot(_: _Scalars, labels: Any, like: Any) -> Any:
    like, labels = _array(like), _array(labels)
    classes = int(like[()]) if like.ndim == 0 else like.shape[-1]
    rows = _filled(like, (*labels.shape, classes), 0)
    for position in numpy.ndindex(labels.shape):
        rows[(*position, int(labels[position]))] += 1
    return rows


def _item(_: _Scalars, a: Any, *indices: Any) -> Any:
    return _array(a)[tuple(_index(index) for index in indices)]


def _index(index: Any) -> Any:
    if index is None or isinstance(index, slice):
        return index
    array = _array(index)
    return int(array[()]) if array.ndim == 0 else array.astype(int)


def _slice(_: _Scalars, *bounds: Any) -> slice:
    return slice(*(None if bound is None else int(bound) for bound in bounds)) if bounds else slice(None)


def _sliding(a: Any, b: Any, mode: Any, flipped: bool) -> Any:
    """Sum of products of a window with what lies under it."""
    a, b = _array(a), _array(b)
    if flipped:
        b = b[(slice(None, None, -1),) * b.ndim]
    if int(mode) != MODES["valid"]:
        full = int(mode) == MODES["full"]
        before = [extent - 1 if full else extent // 2 for extent in b.shape]  # "same": the middle of "full"
        after = [extent - 1 if full else extent - 1 - first for extent, first in zip(b.shape, before, strict=True)]
        padded = _filled(a, [n + f + s for n, f, s in zip(a.shape, before, after, strict=True)], 0)
        padded[tuple(slice(f, f + n) for n, f in zip(a.shape, before, strict=True))] = a
        a = padded
    extents = [n - m + 1 for n, m in zip(a.shape, b.shape, strict=True)]
    total = _filled(a, extents, 0)
    for offset in numpy.ndindex(b.shape):
        window = tuple(slice(o, o + n) for o, n in zip(offset, extents, strict=True))
        total = total + a[window] * b[offset]
    return total


def _spread(_: _Scalars, a: Any, rank: Any, *positions: Any) -> Any:
    """Place axis k of ``a`` at position k of ``rank`` axes; equal positions mean the diagonal."""
    a = _array(a)
    letters = [int(p) for p in positions]
    kept = sorted(set(letters))
    if a.dtype == object:  # einsum has no diagonals of objects: take them by indices
        extents = {p: a.shape[letters.index(p)] for p in kept}
        grid = dict(zip(kept, numpy.ix_(*(range(extents[p]) for p in kept)), strict=True))
        a = a[tuple(grid[p] for p in letters)] if letters else a
    else:
        a = numpy.einsum(a, letters, kept)
    shape = [1] * int(rank)
    for position, extent in zip(kept, a.shape, strict=True):
        shape[position] = extent
    return a.reshape(shape)


def _concatenate(_: _Scalars, *operands: Any) -> Any:
    return numpy.concatenate([_array(a) for a in operands[:-1]], axis=int(operands[-1]))


def _stack(_: _Scalars, *operands: Any) -> Any:
    return numpy.stack([_array(a) for a in operands[:-1]], axis=int(operands[-1]))


def _size(_: _Scalars, a: Any, axis: Any = None) -> Any:
    a = _array(a)
    return _like(a, a.size if axis is None else a.shape[int(axis)])


def _reshape(_: _Scalars, a: Any, *extents: Any) -> Any:
    return _array(a).reshape([int(extent) for extent in extents])


def _extents(extents: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(extent) for extent in extents)


#: The array functions, by name.
ARRAYS: Mapping[str, ArrayFunction] = {
    "matmul": ArrayFunction(2, 2, lambda _, a, b: numpy.matmul(_array(a), _array(b))),
    "dot": ArrayFunction(2, 2, lambda _, a, b: numpy.dot(_array(a), _array(b))),
    "outer": ArrayFunction(2, 2, lambda _, a, b: numpy.multiply.outer(_array(a).ravel(), _array(b).ravel())),
    "transpose": ArrayFunction(1, -1, lambda _, a, *axes: numpy.transpose(_array(a), _axes(axes))),
    "swap_last": ArrayFunction(1, 1, lambda _, a: numpy.swapaxes(_array(a), -1, -2)),
    "sum": ArrayFunction(1, -1, _sum),
    "mean": ArrayFunction(1, -1, _mean),
    "max_over": ArrayFunction(1, -1, lambda _, a, *axes: numpy.max(_array(a), axis=_axes(axes))),
    "min_over": ArrayFunction(1, -1, lambda _, a, *axes: numpy.min(_array(a), axis=_axes(axes))),
    "norm2": ArrayFunction(1, -1, _norm2),
    "softmax": ArrayFunction(1, 2, _softmax),
    "logsumexp": ArrayFunction(1, 2, _logsumexp),
    "diag": ArrayFunction(1, 1, lambda _, a: _diag(a)),
    "trace": ArrayFunction(1, 1, lambda _, a: numpy.sum(numpy.diagonal(_array(a)))),
    "flip": ArrayFunction(1, -1, lambda _, a, *axes: numpy.flip(_array(a), _axes(axes))),
    "reshape": ArrayFunction(2, -1, _reshape),
    "reshape_like": ArrayFunction(2, 2, lambda _, a, b: _array(a).reshape(_array(b).shape)),
    "broadcast_like": ArrayFunction(2, 2, lambda _, a, b: numpy.broadcast_to(_array(a), _array(b).shape)),
    "flatten": ArrayFunction(1, 1, lambda _, a: _array(a).ravel()),
    "expand_dims": ArrayFunction(2, -1, lambda _, a, *axes: numpy.expand_dims(_array(a), _extents(axes))),
    "squeeze": ArrayFunction(1, -1, lambda _, a, *axes: numpy.squeeze(_array(a), axis=_axes(axes))),
    "concatenate": ArrayFunction(2, -1, _concatenate),
    "stack": ArrayFunction(2, -1, _stack),
    "one_hot": ArrayFunction(2, 2, _one_hot),
    "ones_like": ArrayFunction(1, 1, lambda _, a: _filled(a, _array(a).shape, 1)),
    "zeros_like": ArrayFunction(1, 1, lambda _, a: _filled(a, _array(a).shape, 0)),
    "ones": ArrayFunction(1, -1, lambda _, *extents: _filled(extents[0], _extents(extents), 1)),
    "zeros": ArrayFunction(1, -1, lambda _, *extents: _filled(extents[0], _extents(extents), 0)),
    "eye": ArrayFunction(1, 1, lambda _, n: _diag(_filled(n, (int(n),), 1))),
    "arange": ArrayFunction(1, 1, lambda _, n: numpy.array([_like(_array(n), k) for k in range(int(n))])),
    "convolve": ArrayFunction(3, 3, lambda _, a, b, mode: _sliding(a, b, mode, True)),
    "correlate": ArrayFunction(3, 3, lambda _, a, b, mode: _sliding(a, b, mode, False)),
    "size": ArrayFunction(1, 2, _size),
    "item": ArrayFunction(2, -1, _item),
    "slice": ArrayFunction(0, 3, _slice),
    "none": ArrayFunction(0, 0, lambda _: None),
    "newaxis": ArrayFunction(0, 0, lambda _: None),
    "spread": ArrayFunction(2, -1, _spread),
}


def _diag(a: Any) -> Any:
    a = _array(a)
    if a.ndim != 1:
        return numpy.diagonal(a).copy()
    square = _filled(a, (a.size, a.size), 0)
    square[range(a.size), range(a.size)] = a
    return square


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers as a function of arrays of objects; numbers stay numbers."""
    ufuncs: dict[int, Any] = {}

    def broadcast(*operands: Any) -> Any:
        if not any(isinstance(operand, numpy.ndarray) for operand in operands):
            return function(*operands)
        count = len(operands)
        if count not in ufuncs:
            ufuncs[count] = numpy.frompyfunc(function, count, 1)
        return ufuncs[count](*operands)

    return broadcast


@functools.cache
def claim_functions(precision: str = "exact") -> Mapping[str, Callable[..., Any]]:
    """Return every function that a claim may call, over one number system.

    Parameters
    ----------
    precision : str
        ``"exact"`` for mpmath numbers and arrays of them (dtype object), ``"double"`` for float64.

    Returns
    -------
    mapping
        For `graphc.formula.expression.evaluate`; results without axes are numbers.
    """
    scalars: Mapping[str, Callable[..., Any]]
    if precision == "exact":
        scalars = {name: _lifted(function) for name, function in precise_functions().items()}
    else:
        scalars = dict(NUMPY)

    def bound(row: ArrayFunction) -> Callable[..., Any]:
        def value(*operands: Any) -> Any:
            result = row.value(scalars, *operands)
            return result[()] if isinstance(result, numpy.ndarray) and result.ndim == 0 else result

        return value

    return {**scalars, **{name: bound(row) for name, row in ARRAYS.items()}}
