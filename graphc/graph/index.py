"""Indices in square brackets: read into plain data, and written as the text of a formula.

Plain data are what gates keep as attributes: a tuple of whole numbers, ``(start, stop, step)``, ``"..."`` and None.
"""

from __future__ import annotations

import operator
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.definition import Definition
from graphc.formula.size import Extent
from graphc.graph.axes import indexed, letters_of
from graphc.graph.node import call_site
from graphc.graph.shapes import Shape, shape_text

__all__ = ["index_definition", "plain_index", "with_new_axes"]


def plain_index(index: Any) -> tuple[Any, ...]:
    """Return an index as plain data.

    Raises
    ------
    ShapeError
        If it holds anything but whole numbers, slices, ``...`` and None.
    """
    items = index if isinstance(index, tuple) else (index,)
    try:
        return tuple(_plain(item) for item in items)
    except ShapeError as error:
        site = call_site()
        raise ShapeError(f"slice: {error}\n  called at {site}", gate="slice", site=site) from None


def _plain(item: Any) -> Any:
    if item is None:
        return None
    if item is Ellipsis:
        return "..."
    if isinstance(item, slice):
        return tuple(_whole(part) for part in (item.start, item.stop, item.step))
    return _whole(item)


def _whole(item: Any) -> int | None:
    if item is None:
        return None
    kind = getattr(getattr(item, "dtype", None), "kind", "") or str(getattr(item, "dtype", ""))[:1]
    if isinstance(item, bool) or kind == "b":
        raise ShapeError("a mask cannot be an index: how many elements it keeps depends on data; use graphc.where")
    if isinstance(item, float) or kind == "f":
        raise ShapeError(f"an index is a whole number, found {item!r:.60}")
    if isinstance(item, list | tuple) or getattr(item, "shape", ()):
        raise ShapeError(
            f"an index of several numbers, {item!r:.60}, picks rows only where it is a node and the only index: "
            "x[graphc.constant([0, 2], 'int32')]; along other axes use graphc.gather"
        )
    try:
        return operator.index(item)
    except TypeError:
        raise ShapeError(
            f"an index is made of whole numbers, slices, ... and None, found {type(item).__name__}: {item!r:.60}; "
            "a node can be the only index, and graphc.gather takes one along an axis"
        ) from None


def index_definition(shape: Shape, index: tuple[Any, ...]) -> Definition:
    """Write ``y[...] = x[...]`` for an index as plain data.

    Raises
    ------
    ShapeError
        If there are too many indices, one is out of range, nothing is left, or an extent that is known at run time
        only would have to be known.
    """
    used = sum(item is not None and item != "..." for item in index)
    if index.count("...") > 1:
        raise ShapeError("an index has one ... at most")
    if used > len(shape):
        raise ShapeError(f"{used} indices for {len(shape)} axes: x has the shape {shape_text(shape)}")
    rest = ((None, None, None),) * (len(shape) - used)
    place = index.index("...") if "..." in index else len(index)
    items = (*index[:place], *rest, *index[place + 1 :])
    letters = letters_of(len(shape))
    read: list[str] = []
    write: list[str] = []
    extents: dict[str, str] = {}
    for item in items:
        if item is None:
            write.append("0")
            continue
        d = len(read)
        if isinstance(item, int):
            read.append(_position(item, d, shape[d]))
            continue
        start, step, count = _cut(item, d, shape[d])
        letter = letters[d]
        write.append(letter)
        if (start, step) == ("0", 1):
            read.append(letter)
        else:
            read.append(f"{start} {'-' if step < 0 else '+'} {abs(step)}*{letter}")
        if count != f"size(x,{d})" or read[-1] != letter:
            extents[letter] = count
    # a whole number may be out of range of an axis that is known at run time only
    named = any(isinstance(item, int) and not isinstance(shape[d], int) for d, item in _numbered(items))
    return Definition(f"{indexed('y', write)} = {indexed('x', read)}", {"x": 0} if named else {}, extents)


def with_new_axes(shape: Shape, index: tuple[Any, ...]) -> Shape | None:
    """Return the shape under an index that takes every element and may add axes; None for any other index.

    Also None where reshape could not say the extents: it knows sizes such as ``N``, but not ``N - 1``.
    """
    kept = [item for item in index if item not in (None, "...")]
    simple = all(isinstance(e, int) or (len(e.terms) == 1 and e.terms[0][1] == 1) for e in shape)
    if not simple or len(kept) > len(shape) or index.count("...") > 1 or any(i != (None,) * 3 for i in kept):
        return None
    rest = len(shape) - len(kept)
    place = index.index("...") if "..." in index else len(index)
    extents = iter(shape)
    before = [1 if item is None else next(extents) for item in index[:place]]
    middle = [next(extents) for _ in range(rest)]
    return (*before, *middle, *(1 if item is None else next(extents) for item in index[place + 1 :]))


def _numbered(items: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """Items that take an axis, with its number."""
    return list(enumerate(item for item in items if item is not None))


def _position(item: int, d: int, extent: Extent) -> str:
    if isinstance(extent, int):
        if not -extent <= item < extent:
            raise ShapeError(f"index {item} is out of range: axis {d} has {extent} elements")
        return str(item % extent)
    return f"size(x,{d}) - {-item}" if item < 0 else str(item)


def _cut(item: tuple[int | None, ...], d: int, extent: Extent) -> tuple[str, int, str]:
    """Return start, step and number of elements of a slice along axis ``d``, as text."""
    start, stop, step = item
    step = 1 if step is None else step
    if step == 0:
        raise ShapeError(f"a slice has no step of 0, found one on axis {d}")
    if isinstance(extent, int):
        first, last, step = slice(start, stop, step).indices(extent)
        count = len(range(first, last, step))
        if count == 0 < extent:
            raise ShapeError(f"the slice {_text(item)} leaves nothing of axis {d}, which has {extent} elements")
        return str(first), step, f"size(x,{d})" if count == extent and step == 1 else str(count)
    # a size known at run time: ends are constant + sizes*size
    forward = step > 0
    constant, sizes = _end(start, (0, 0) if forward else (-1, 1))
    until, whole = _end(stop, (0, 1) if forward else (-1, 0))
    distance, factor = (until - constant, whole - sizes) if forward else (constant - until, sizes - whole)
    if abs(step) != 1 or factor != 1 or distance > 0:
        raise ShapeError(
            f"the slice {_text(item)} of axis {d} has an extent that depends on the size {extent}, known at run time "
            "only, and not just by adding a number; use a number for this extent, or graphc.gather"
        )
    begin = f"size(x,{d}) - {-constant}" if sizes else str(constant)
    return begin, step, f"size(x,{d}) - {-distance}" if distance else f"size(x,{d})"


def _end(value: int | None, default: tuple[int, int]) -> tuple[int, int]:
    if value is None:
        return default
    return (value, 1) if value < 0 else (value, 0)


def _text(item: tuple[int | None, ...]) -> str:
    start, stop, step = ("" if part is None else str(part) for part in item)
    return f"{start}:{stop}" + (f":{step}" if step else "")
