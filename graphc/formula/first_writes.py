"""Where a gradient of a repeat starts: the first write of each element sets it, the others add.

Which write is the first follows from offsets: a tensor's row is reached at another step by each statement that writes
at another distance from the current step. Where that cannot be seen, a tensor starts from zeros everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from graphc.formula.expression import ZERO
from graphc.formula.size import Extent, Size
from graphc.formula.statement import Access, Affine, Axis, Statement, affine, affine_extent, size_name

__all__ = ["Box", "disjoint", "region", "started", "volume_of"]

#: Most rows of a tensor beyond its steps that are filled one by one.
_SPARE_ROWS = 8

#: First element and extent in each dimension but the first.
Box = tuple[tuple[Extent, Extent], ...]


def started(
    groups: list[tuple[bool, tuple[Statement, ...]]],
    rest: list[Statement],
    gradients: Collection[str],
    ranks: Mapping[str, int],
    filled: Collection[str],
    sizes: Mapping[str, Extent],
    axis: str,
    *,
    backward: bool,
) -> tuple[list[Statement], list[tuple[bool, tuple[Statement, ...]]], list[Statement]]:
    """Let the first write of each element set it, and the others add to it; ``filled`` tensors hold something already.

    Parameters
    ----------
    groups : list of (bool, tuple of Statement)
        As `graphc.formula.steps.split` returns them.
    rest : list of Statement
        What has no steps and comes last.
    gradients, filled : collection of str
        Tensors that are gradients, and those that hold something before the first statement.

    Returns
    -------
    list of Statement, groups, list of Statement
        Zeros that must be there before; the statements as they set or add.
    """
    order = [(cycle, s) for cycle, members in groups for s in members]
    by_tensor: dict[str, list[tuple[bool, int, Statement]]] = {}
    for k, (cycle, s) in enumerate(order):
        by_tensor.setdefault(s.write.tensor, []).append((cycle, k, s))
    initial: list[Statement] = []
    changed: dict[int, Statement] = {}
    begun = set(filled)
    for tensor, writers in by_tensor.items():
        if tensor not in gradients:  # a position of a winner and the like: written once
            begun.add(tensor)
            continue
        if tensor not in filled:
            firsts, rows = _firsts(writers, sizes, axis, backward=backward)
            if len(writers) == 1 and not writers[0][0] and not (firsts and rows):
                changed[writers[0][1]] = replace(writers[0][2], accumulate=False)
                begun.add(tensor)
                continue
            if firsts is None:
                initial.append(_zeros(tensor, ranks[tensor], None))
            else:
                initial += [_zeros(tensor, ranks[tensor], row) for row in rows]
        else:
            firsts = frozenset()
        begun.add(tensor)
        for _, k, s in writers:
            set_here = firsts is not None and k in firsts
            operator = "set" if set_here and not s.reduced() else s.operator
            changed[k] = replace(s, operator=operator, accumulate=not set_here, partial=set_here)
    position = 0
    result = []
    for cycle, members in groups:
        result.append((cycle, tuple(changed.get(position + k, s) for k, s in enumerate(members))))
        position += len(members)
    behind = []
    for s in rest:
        behind.append(replace(s, accumulate=s.write.tensor in begun))
        begun.add(s.write.tensor)
    return initial, result, behind


def _zeros(tensor: str, rank: int, row: Affine | None) -> Statement:
    """Zeros everywhere, or in one row."""
    dimensions = range(rank) if row is None else range(1, rank)
    axes = tuple(Axis(f"a{d}", affine(size_name(tensor, d))) for d in dimensions)
    index = tuple(affine(a.name) for a in axes)
    write = Access(tensor, index if row is None else (row, *index))
    return Statement(write, "set", axes, (), ZERO, partial=row is not None)


def _firsts(
    writers: list[tuple[bool, int, Statement]], sizes: Mapping[str, Extent], axis: str, *, backward: bool
) -> tuple[frozenset[int] | None, list[Affine]]:
    """Which statements (by number) reach an element before all others, and the rows that none of these reaches."""
    tensor = writers[0][2].write.tensor
    found = []
    single: list[tuple[int, Affine]] = []  # statements that write one row
    for cycle, k, s in writers:
        row = _row(s, sizes, axis)
        if row is not None:
            single.append((k, row))
            continue
        own = region(s, sizes, axis)
        if own is None:
            return None, []
        found.append((cycle, k, *own))
    if not found:
        return None, []
    # before the steps, or at the step that reaches a row first; what follows adds
    begin = min((number for cycle, number, *_ in found if cycle), default=1 << 30)
    plain = [item for item in found if item[1] < begin]
    chosen = plain or [item for item in found if item[0]]
    offset = (min if backward else max)(item[2] for item in chosen)
    if plain and {item[2] for item in chosen} != {offset}:
        return None, []
    firsts: list[tuple[int, tuple[tuple[Extent, Extent], ...]]] = []
    for _, k, own, box in chosen:
        if own == offset and all(disjoint(box, other) for _, other in firsts):
            firsts.append((k, box))
    whole = [sizes[size_name(tensor, d)] for d in range(1, len(writers[0][2].write.index))]
    if volume_of([box for _, box in firsts]) != _volume(whole):
        return None, []
    s = next(s for _, k, s in writers if k == firsts[0][0])
    spare = sizes[size_name(tensor, 0)] - affine_extent(
        s.extent(axis), sizes
    )  # rows that no step reaches at this offset
    if not isinstance(spare, int) or not 0 <= offset <= spare <= _SPARE_ROWS:
        return None, []
    missing = [affine({}, r) for r in range(offset)]
    missing += [affine({size_name(tensor, 0): 1}, -r) for r in range(1, spare - offset + 1)]
    if any(k < min(k for k, _ in firsts) and row not in missing for k, row in single):
        return None, []  # it would be written over
    alone = {k: row for k, row in single if row in missing and [r for _, r in single].count(row) == 1}
    missing = [row for row in missing if row not in alone.values()]
    return frozenset([*(k for k, _ in firsts), *alone]), missing


def _row(s: Statement, sizes: Mapping[str, Extent], axis: str) -> Affine | None:
    """The row that a statement without steps sets, if it reaches all of it."""
    first = s.write.index[0] if s.write.index else None
    names = {a.name for a in s.axes}
    if axis in names or not isinstance(first, Affine) or names & set(first.names()) or s.guards or s.lets:
        return None
    plain = [item.plain() if isinstance(item, Affine) else None for item in s.write.index[1:]]
    whole = [sizes[size_name(s.write.tensor, d)] for d in range(1, len(s.write.index))]
    extents = {a.name: affine_extent(a.extent, sizes) for a in s.axes}
    if len(set(plain)) != len(plain) or any(
        p not in extents or extents[p] != e for p, e in zip(plain, whole, strict=True)
    ):
        return None
    # as counted from the other end of the gradient
    rows = sizes[size_name(s.write.tensor, 0)]
    behind = affine_extent(first, sizes) - rows
    return (
        first
        if not first.terms
        else affine({size_name(s.write.tensor, 0): 1}, behind if isinstance(behind, int) else 0)
    )


def region(
    s: Statement, sizes: Mapping[str, Extent], axis: str
) -> tuple[int, tuple[tuple[Extent, Extent], ...]] | None:
    """Offset of the step in the first index, and first element and extent in each other dimension."""
    if s.guards or s.lets or s.write.flat or s.operator not in ("set", "sum") or not s.write.index:
        return None
    names = {a.name for a in s.axes}
    used: list[str] = []
    box: list[tuple[Extent, Extent]] = []
    offset: int | None = None
    for d, item in enumerate(s.write.index):
        if not isinstance(item, Affine):
            return None
        own = [n for n in item.names() if n in names]
        if len(own) > 1 or any(item.coefficient(n) != 1 for n in own):
            return None
        if d == 0:
            if own != [axis] or (item - affine(axis)).terms:
                return None
            offset = item.constant
            continue
        used += own
        if own:
            box.append((affine_extent(item - affine(own[0]), sizes), affine_extent(s.extent(own[0]), sizes)))
        else:
            box.append((affine_extent(item, sizes), 1))
    if offset is None or axis in used or len(set(used)) != len(used):
        return None
    return offset, tuple(box)


def disjoint(a: Sequence[tuple[Extent, Extent]], b: Sequence[tuple[Extent, Extent]]) -> bool:
    """Whether two boxes have no element in common, as far as their extents tell."""
    for (low, count), (start, extent) in zip(a, b, strict=True):
        for gap in (start - low - count, low - start - extent):
            if isinstance(gap, int) and gap >= 0:
                return True
            if isinstance(gap, Size) and all(c > 0 for _, c in gap.terms):
                return True
    return False


def _volume(extents: Sequence[Extent]) -> Extent:
    total: Extent = 1
    for extent in extents:
        total = extent * total
    return total


def volume_of(boxes: Iterable[Sequence[tuple[Extent, Extent]]]) -> Extent:
    """Elements of all boxes together."""
    total: Extent = 0
    for box in boxes:
        total = _volume([count for _, count in box]) + total
    return total
