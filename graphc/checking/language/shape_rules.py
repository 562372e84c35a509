"""The shape that each array function of claims gives, or why its operands do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from graphc.checking.arrays import ARRAYS, MODES
from graphc.checking.language.text import claim_text
from graphc.errors import CheckError, FormulaError
from graphc.formula.expression import Call, Expression, Number
from graphc.formula.size import Extent, Size
from graphc.graph.shapes import Shape

if TYPE_CHECKING:
    from graphc.checking.language.shapes import Shapes

__all__ = ["RULES", "broadcast", "short"]


def short(expression: Expression) -> str:
    """Write an expression in quotes, cut where it is long."""
    text = claim_text(expression)
    return repr(text if len(text) <= 80 else text[:77] + "...")


_Rule = Callable[["Shapes", Call], Shape]


def _broadcast_shapes(shapes: Sequence[Shape]) -> Shape | None:
    """Shape that NumPy broadcasts to, or None; a named size fits itself and 1."""
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Extent] = [1] * rank
    for shape in shapes:
        for axis, extent in enumerate(shape, start=rank - len(shape)):
            if extent == 1:
                continue
            if result[axis] not in (1, extent):
                return None
            result[axis] = extent
    return tuple(result)


def broadcast(self: Shapes, expression: Call) -> Shape:
    """Shape of an elementwise function."""
    shape = _broadcast_shapes([self.of(operand) for operand in expression.operands])
    if shape is None:
        raise self.clash(
            expression, expression.operands, "axes are matched from the right, and extents must be equal or 1"
        )
    return shape


def _matmul(self: Shapes, expression: Call) -> Shape:
    a, b = (self.of(operand) for operand in expression.operands)
    if not a or not b:
        raise self.clash(expression, expression.operands, "a matrix product needs arrays; a scalar factor is written *")
    inner = b[-2:][0]  # of a vector its only extent
    if a[-1] != inner:
        hint = ""
        if len(a) == 2 and a[0] == inner:
            hint = "; the left operand transposed would fit"
        elif len(b) == 2 and b[-1] == a[-1]:
            hint = "; the right operand transposed would fit"
        reason = f"the last extent on the left, {a[-1]}, must be the first of the matrix on the right, {inner}{hint}"
        raise self.clash(expression, expression.operands, reason)
    batch = _broadcast_shapes([a[:-2], b[:-2]])
    if batch is None:
        raise self.clash(expression, expression.operands, "the batch axes in front do not match")
    return (*batch, *(a[-2:-1]), *(b[-1:] if len(b) > 1 else ()))


def _dot(self: Shapes, expression: Call) -> Shape:
    a, b = (self.of(operand) for operand in expression.operands)
    if not a or not b:
        return a or b
    if len(a) > 2 or len(b) > 2:
        raise self.clash(expression, expression.operands, "dot is read for matrices and vectors; write @ for batches")
    return _matmul(self, expression)


def _outer(self: Shapes, expression: Call) -> Shape:
    shape: list[Extent] = []
    for operand in expression.operands:
        total: Extent = 1
        for extent in self.of(operand):
            total = extent * total
        shape.append(total)
    return tuple(shape)


def _transpose(self: Shapes, expression: Call) -> Shape:
    axes, shape = self.axes(expression)
    if len(expression.operands) == 1:
        return shape[::-1]
    if sorted(axes) != list(range(len(shape))):
        raise CheckError(f"{short(expression)} must name each of the {len(shape)} axes once")
    return tuple(shape[axis] for axis in axes)


def _swap_last(self: Shapes, expression: Call) -> Shape:
    shape = self.of(expression.operands[0])
    if len(shape) < 2:
        raise self.clash(expression, expression.operands, "only an array with two axes or more has two to swap")
    return (*shape[:-2], shape[-1], shape[-2])


def _reduction(self: Shapes, expression: Call) -> Shape:
    axes, shape = self.axes(expression)
    return tuple(extent for axis, extent in enumerate(shape) if axis not in axes)


def _last_axis(keep: bool) -> _Rule:
    def rule(self: Shapes, expression: Call) -> Shape:
        shape = self.of(expression.operands[0])
        settings = expression.operands[1:]
        axis = self.axis(expression, settings[0] if settings else Number(-1), len(shape))
        return shape if keep else shape[:axis] + shape[axis + 1 :]

    return rule


def _diag(self: Shapes, expression: Call) -> Shape:
    shape = self.of(expression.operands[0])
    if len(shape) == 1:
        return (shape[0], shape[0])
    if len(shape) == 2 and shape[0] == shape[1]:
        return (shape[0],)
    raise self.clash(expression, expression.operands, "diag takes a vector, or a square matrix")


def _trace(self: Shapes, expression: Call) -> Shape:
    shape = self.of(expression.operands[0])
    if len(shape) != 2 or shape[0] != shape[1]:
        raise self.clash(expression, expression.operands, "trace takes a square matrix")
    return ()


def _same(self: Shapes, expression: Call) -> Shape:
    return self.of(expression.operands[0])


def _flip(self: Shapes, expression: Call) -> Shape:
    return self.axes(expression)[1]


def _product(extents: Sequence[Extent]) -> Extent:
    total: Extent = 1
    for extent in extents:
        total = extent * total
    return total


def _quotient(total: Extent, part: Extent) -> Extent:
    """What is missing in a product, or -1."""
    try:
        if isinstance(total, int) and isinstance(part, int):
            return total // part if part and total % part == 0 else -1
        return (total if isinstance(total, Size) else Size({(): total})) // part
    except FormulaError:
        return -1


def _reshape(self: Shapes, expression: Call) -> Shape:
    source = self.of(expression.operands[0])
    extents = [self.extent(operand) for operand in expression.operands[1:]]
    if extents.count(-1) == 1:
        rest = _product([extent for extent in extents if extent != -1])
        extents[extents.index(-1)] = _quotient(_product(source), rest)
    if any(isinstance(extent, int) and extent < 0 for extent in extents) or _product(extents) != _product(source):
        raise self.clash(expression, expression.operands[:1], "a reshape keeps the number of elements")
    return tuple(extents)


def _reshape_like(self: Shapes, expression: Call) -> Shape:
    source, target = (self.of(operand) for operand in expression.operands)
    if _product(source) != _product(target):
        raise self.clash(expression, expression.operands, "a reshape keeps the number of elements")
    return target


def _broadcast_like(self: Shapes, expression: Call) -> Shape:
    source, target = (self.of(operand) for operand in expression.operands)
    if _broadcast_shapes([source, target]) != target:
        raise self.clash(expression, expression.operands, "extents must be equal or 1, matched from the right")
    return target


def _flatten(self: Shapes, expression: Call) -> Shape:
    return (_product(self.of(expression.operands[0])),)


def _expand_dims(self: Shapes, expression: Call) -> Shape:
    shape = list(self.of(expression.operands[0]))
    rank = len(shape) + len(expression.operands) - 1
    for axis in sorted(self.axis(expression, setting, rank) for setting in expression.operands[1:]):
        shape.insert(axis, 1)
    return tuple(shape)


def _squeeze(self: Shapes, expression: Call) -> Shape:
    axes, shape = self.axes(expression)
    if len(expression.operands) > 1 and any(shape[axis] != 1 for axis in axes):
        raise self.clash(expression, expression.operands[:1], "squeeze drops axes of extent 1 only")
    return tuple(extent for axis, extent in enumerate(shape) if axis not in axes or extent != 1)


def _joined(stacked: bool) -> _Rule:
    def rule(self: Shapes, expression: Call) -> Shape:
        *operands, setting = expression.operands
        shapes = [self.of(operand) for operand in operands]
        rank = len(shapes[0])
        axis = self.axis(expression, setting, rank + stacked)
        skip = rank if stacked else axis  # a concatenation may differ in the axis it joins
        for shape in shapes:
            fits = len(shape) == rank and all(
                a == b for k, (a, b) in enumerate(zip(shape, shapes[0], strict=True)) if k != skip
            )
            if not fits:
                raise self.clash(expression, operands, f"all but axis {axis} must have equal extents")
        if stacked:
            return (*shapes[0][:axis], len(shapes), *shapes[0][axis:])
        total: Extent = 0
        for shape in shapes:
            total = shape[axis] + total
        return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])

    return rule


def _one_hot(self: Shapes, expression: Call) -> Shape:
    labels, like = expression.operands
    pattern = self.of(like)
    return (*self.of(labels), pattern[-1] if pattern else self.extent(like))


def _new(self: Shapes, expression: Call) -> Shape:
    return tuple(self.extent(operand) for operand in expression.operands)


def _eye(self: Shapes, expression: Call) -> Shape:
    return (self.extent(expression.operands[0]),) * 2


def _sliding(self: Shapes, expression: Call) -> Shape:
    a, b, setting = expression.operands
    shape, window, mode = self.of(a), self.of(b), self.extent(setting)
    if len(shape) != len(window) or not shape:
        raise self.clash(expression, (a, b), "both operands need the same number of axes, one at least")
    if mode == MODES["same"]:
        return shape
    if mode == MODES["full"]:
        return tuple(n + m - 1 for n, m in zip(shape, window, strict=True))
    extents = tuple(n - m + 1 for n, m in zip(shape, window, strict=True))
    if any(isinstance(extent, int) and extent < 1 for extent in extents):
        raise self.clash(expression, (a, b), "a valid window lies inside of its operand, and this one is larger")
    return extents


def _size(self: Shapes, expression: Call) -> Shape:
    self.extent(expression)  # refuses an axis that is not there
    return ()


def _item(self: Shapes, expression: Call) -> Shape:
    shape = self.of(expression.operands[0])
    indices = expression.operands[1:]
    new = Call("newaxis", ())
    if sum(index != new for index in indices) > len(shape):
        what = f"{len(shape)} axes" if len(shape) != 1 else "1 axis"
        raise self.clash(expression, expression.operands[:1], f"{len(indices)} indices for {what}")
    result: list[Extent] = []
    rest = list(shape)
    places = [k for k, index in enumerate(indices) if not isinstance(index, Call) or index.function not in _PLAIN]
    arrays = [k for k in places if self.of(indices[k])]
    for k, index in enumerate(indices):
        if index == new:
            result.append(1)
            continue
        extent = rest.pop(0)
        if isinstance(index, Call) and index.function == "slice":
            result.append(_sliced(self, index, extent))
        elif k in arrays:
            if k == arrays[0]:
                broadcast = _broadcast_shapes([self.of(indices[j]) for j in arrays])
                if broadcast is None or places != list(range(places[0], places[0] + len(places))):
                    raise self.clash(expression, expression.operands, "the arrays of indices do not fit each other")
                result += broadcast
        elif not isinstance(extent, int):
            continue  # a named size: whether the index lies inside is known with its number
        elif isinstance(index, Number) and not -extent <= index.value < extent:
            raise self.clash(expression, expression.operands[:1], f"index {index} lies outside of 0 to {extent - 1}")
    return (*result, *rest)


_PLAIN = ("slice", "newaxis", "none")


def _sliced(self: Shapes, index: Call, extent: Extent) -> Extent:
    if not index.operands:
        return extent
    bounds = [None if o == Call("none", ()) else self.extent(o) for o in index.operands]
    if isinstance(extent, int) and all(isinstance(bound, int | None) for bound in bounds):
        return len(range(*slice(*bounds).indices(extent)))
    start, stop, step = (*bounds, None)[:3]
    if step in (None, 1) and not (isinstance(start, int) and start < 0):
        stop = extent if stop is None else stop + extent if isinstance(stop, int) and stop < 0 else stop
        return stop - (start or 0)
    if step == -1 and start is None and stop is None:
        return extent
    raise CheckError(f"{short(index)} cuts an axis of extent {extent}, which is not known before the graph runs")


def _nothing(_: Shapes, __: Call) -> Shape:
    return ()


def _spread(self: Shapes, expression: Call) -> Shape:
    a, *settings = expression.operands
    rank, *positions = (self.extent(setting) for setting in settings)
    assert isinstance(rank, int)
    shape: list[Extent] = [1] * rank
    found: dict[Extent, Extent] = {}
    for position, extent in zip(positions, self.of(a), strict=True):
        if found.setdefault(position, extent) != extent:
            raise self.clash(expression, (a,), "an index that occurs twice needs equal extents")
        assert isinstance(position, int)
        shape[position] = extent
    return tuple(shape)


#: Rule of each array function.
RULES: Mapping[str, _Rule] = {
    "matmul": _matmul,
    "dot": _dot,
    "outer": _outer,
    "transpose": _transpose,
    "swap_last": _swap_last,
    "sum": _reduction,
    "mean": _reduction,
    "max_over": _reduction,
    "min_over": _reduction,
    "norm2": _reduction,
    "softmax": _last_axis(keep=True),
    "logsumexp": _last_axis(keep=False),
    "diag": _diag,
    "trace": _trace,
    "flip": _flip,
    "reshape": _reshape,
    "reshape_like": _reshape_like,
    "broadcast_like": _broadcast_like,
    "flatten": _flatten,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "concatenate": _joined(stacked=False),
    "stack": _joined(stacked=True),
    "one_hot": _one_hot,
    "ones_like": _same,
    "zeros_like": _same,
    "ones": _new,
    "zeros": _new,
    "eye": _eye,
    "arange": _new,
    "convolve": _sliding,
    "correlate": _sliding,
    "size": _size,
    "item": _item,
    "slice": _nothing,
    "none": _nothing,
    "newaxis": _nothing,
    "shape": _nothing,
    "spread": _spread,
}

assert RULES.keys() - {"shape"} == ARRAYS.keys()  # x.shape stands inside of a reshape while it is read
