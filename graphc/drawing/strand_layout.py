"""Places for the operations of a cell: from left to right, with the linear paths of states as straight lines on top.

Columns are longest paths. A line that passes columns has a place in each of them, so that it runs around what stands
there. Orders are improved by barycentres, heights by least squares under least distances.

Source: Sugiyama, Tagawa, Toda, IEEE Trans. SMC 11 (1981); Ayer et al., Ann. Math. Statist. 26 (1955), for heights.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphc.drawing.scene import Box
from graphc.drawing.strands import Strand, Strands

__all__ = ["Placed", "Run", "place"]

_GAP, _PASS = 12.0, 9.0  # points: least distance of things above each other, and of lines
_SWEEPS, _SMOOTH = 24, 12
_FIXED = 1e4  # weight of what shall be straight


@dataclass(frozen=True)
class Run:
    """A piece of line in the gap behind a column: from an operation or a passing place to another.

    Attributes
    ----------
    strands : tuple of Strand
        Which lines it is a part of.
    start, end : (float, float)
        Points.
    arrives : bool
        Whether it ends at an operation, else at a passing place; `starts` likewise.
    until : float
        Where the straight piece through the next column ends, for one that does not arrive.
    """

    strands: tuple[Strand, ...]
    start: tuple[float, float]
    end: tuple[float, float]
    starts: bool
    arrives: bool
    until: float


@dataclass
class Placed:
    """Boxes of operations by number, runs of lines, points where lines part, and the extent of it all from (0, 0)."""

    boxes: dict[int, Box] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    joints: list[tuple[float, float, tuple[Strand, ...]]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


@dataclass(eq=False)
class _Item:
    """An operation, or the place of a net where it passes a column."""

    net: int  # number of the operation that it comes from
    column: int
    operation: bool
    strands: list[Strand] = field(default_factory=list)
    above: float = _PASS / 2
    below: float = _PASS / 2
    straight: bool = False
    rank: float = 0.0
    y: float = 0.0
    before: list[_Item] = field(default_factory=list)
    behind: list[_Item] = field(default_factory=list)


def place(
    strands: Strands, sizes: Mapping[int, tuple[float, float, float]], gaps: Mapping[int, float], least: float = 30.0
) -> Placed:
    """Place operations and lines.

    Parameters
    ----------
    sizes : mapping of int to (float, float, float)
        Width of each operation, and how far it reaches above and below its middle, with what is written at it.
    gaps : mapping of int to float
        Room that is needed before an operation.
    least : float
        Least room between columns.
    """
    columns = _columns(strands)
    items, table = _items(strands, columns, sizes)
    _order(table)
    _heights(table)
    count = len(table)
    widths = [max((sizes[i.net][0] for i in table[c] if i.operation), default=0.0) for c in range(count)]
    lefts = [0.0]
    for c in range(1, count):
        need = max([least, *(gaps.get(i.net, 0.0) for i in table[c] if i.operation)])
        lefts.append(lefts[-1] + widths[c - 1] + need)
    found = Placed(width=round(lefts[-1] + widths[-1], 2))
    top = min(i.y - i.above for i in items)
    for item in items:
        item.y = round(item.y - top, 2)
    found.height = round(max(i.y + i.below for i in items), 2)
    for item in items:
        if item.operation:
            width, above, below = sizes[item.net]
            left = lefts[item.column] + (widths[item.column] - width) / 2
            half = min(above, below)
            found.boxes[item.net] = Box(round(left, 2), item.y - half, round(left + width, 2), item.y + half)
    ports = _ports(items, found.boxes)
    for item in items:
        begin = found.boxes[item.net].right if item.operation else lefts[item.column] + widths[item.column]
        if not item.operation and len(item.behind) > 1:
            found.joints.append((begin, item.y, tuple(item.strands)))
        for other in item.behind:
            shared = tuple(s for s in item.strands if s in other.strands) if not item.operation else tuple(
                s for s in other.strands if s.source == item.net
            )  # fmt: skip
            if other.operation:
                for strand in shared:
                    end = (found.boxes[other.net].left, ports[id(other), strand])
                    found.runs.append(Run((strand,), (begin, item.y), end, item.operation, True, end[0]))
            else:
                left, right = lefts[other.column], lefts[other.column] + widths[other.column]
                run = Run(tuple(other.strands), (begin, item.y), (left, other.y), item.operation, False, right)
                found.runs.append(run)
    return found


def _columns(strands: Strands) -> dict[int, int]:
    columns = {o.number: 0 for o in strands.operations}
    for operation in strands.operations:
        before = [columns[s.source] + 1 for s in strands.strands if s.target == operation.number]
        columns[operation.number] = max(before, default=0)
    last = max(columns.values())
    for operation in strands.of_kind("sink"):
        columns[operation.number] = last
    # what reads only late things waits for them
    for operation in reversed(strands.operations):
        if operation.kind == "operation":
            behind = [columns[s.target] for s in strands.strands if s.source == operation.number]
            alone = len([s for s in strands.strands if s.target == operation.number]) == 1
            if behind and alone and min(behind) - 1 > columns[operation.number]:
                columns[operation.number] = min(behind) - 1
    return columns


def _items(
    strands: Strands, columns: Mapping[int, int], sizes: Mapping[int, tuple[float, float, float]]
) -> tuple[list[_Item], list[list[_Item]]]:
    """Operations and passing places, as a list and by column."""
    belts: list[list[int]] = []
    for state in sorted({o.state for o in strands.operations if o.state >= 0}):
        belt = strands.belt(state)
        if belt and not any(set(belt) & set(other) for other in belts):
            belts.append(belt)
    on_belt = {number: k for k, belt in enumerate(belts) for number in belt}
    legs = {leg: k for k, belt in enumerate(belts) for leg in itertools.pairwise(belt)}
    table: list[list[_Item]] = [[] for _ in range(max(columns.values()) + 1)]
    operations: dict[int, _Item] = {}
    for o in strands.operations:
        item = _Item(o.number, columns[o.number], True, [s for s in strands.strands if s.target == o.number])
        item.above, item.below = sizes[o.number][1:]
        item.straight = o.number in on_belt
        # belts on top, then other states, then inputs
        item.rank = on_belt.get(o.number, len(belts) + (o.state if o.state >= 0 else 99))
        operations[o.number] = item
        table[item.column].append(item)
    for o in strands.operations:
        own = [s for s in strands.strands if s.source == o.number]
        now = operations[o.number]
        last = max((columns[s.target] for s in own), default=0)
        for c in range(columns[o.number] + 1, last + 1):
            for s in own:
                if columns[s.target] == c:
                    target = operations[s.target]
                    if target not in now.behind:
                        now.behind.append(target)
                        target.before.append(now)
            later = [s for s in own if columns[s.target] > c]
            if later:
                item = _Item(o.number, c, False, later)
                belt = next((legs[s.source, s.target] for s in later if (s.source, s.target) in legs), None)
                item.straight = belt is not None
                item.rank = belt if belt is not None else now.rank
                now.behind.append(item)
                item.before.append(now)
                table[c].append(item)
                now = item
    return [item for column in table for item in column], table


def _crossings(table: Sequence[Sequence[_Item]]) -> int:
    """Pairs of lines between neighbouring columns that cross."""
    total = 0
    for column in table[:-1]:
        ends = [(k, other.rank) for k, item in enumerate(column) for other in sorted(item.behind, key=lambda i: i.rank)]
        total += sum(a[0] < b[0] and a[1] > b[1] for n, a in enumerate(ends) for b in ends[n + 1 :])
    return total


def _order(table: list[list[_Item]]) -> None:
    """Sort every column so that few lines cross; what is straight stays on top."""

    def number(column: list[_Item]) -> None:
        for k, item in enumerate(column):
            item.rank = k

    for column in table:
        column.sort(key=lambda i: (not i.straight, i.rank))
        number(column)
    best, kept = _crossings(table), [list(column) for column in table]
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in table if forward else reversed(table):
            means = {}
            for item in column:
                near = (item.before if forward else item.behind) or (item.behind if forward else item.before)
                means[item] = sum(i.rank for i in near) / len(near) if near else item.rank
            column.sort(key=lambda i: (not i.straight, means[i] if not i.straight else i.rank))
            number(column)
        found = _crossings(table)
        if found < best:
            best, kept = found, [list(column) for column in table]
    for column, order in zip(table, kept, strict=True):
        column[:] = order
        number(column)


def _heights(table: Sequence[Sequence[_Item]]) -> None:
    """Heights near those of neighbours, in order, at least a distance apart."""
    for column in table:
        y = 0.0
        for k, item in enumerate(column):
            y += 0.0 if not k else _distance(column[k - 1], item)
            item.y = y
    straight = {
        item: sum(_distance(a, b) for a, b in itertools.pairwise(column[: k + 1]))
        for column in table
        for k, item in enumerate(column)
        if item.straight
    }
    for sweep in range(_SMOOTH):
        for column in table if sweep % 2 == 0 else reversed(table):
            wanted, weights = [], []
            for item in column:
                near = [*item.before, *item.behind]
                mean = sum(i.y for i in near) / len(near) if near else item.y
                wanted.append(straight.get(item, mean))
                weights.append(_FIXED if item in straight else 1.0 + len(near))
            for item, y in zip(column, _apart(column, wanted, weights), strict=True):
                item.y = straight.get(item, y)


def _distance(upper: _Item, lower: _Item) -> float:
    gap = _GAP if upper.operation or lower.operation else _PASS
    return upper.below + lower.above + (gap if upper.operation and lower.operation else gap * 0.6)


def _apart(column: Sequence[_Item], wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest heights in weighted least squares that keep all distances (pool adjacent violators)."""
    offsets = [0.0]
    for upper, lower in itertools.pairwise(column):
        offsets.append(offsets[-1] + _distance(upper, lower))
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = value - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, own, number = blocks.pop()
            mean, total, count = (mean * total + other * own) / (total + own), total + own, count + number
        blocks.append((mean, total, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _ports(items: Sequence[_Item], boxes: Mapping[int, Box]) -> dict[tuple[int, Strand], float]:
    """Heights at which lines enter an operation: in the order of where they come from."""
    found: dict[tuple[int, Strand], float] = {}
    for item in items:
        if not item.operation or not item.strands:
            continue
        comes = {s: other.y for other in item.before for s in item.strands if s.source == other.net}
        order = sorted(item.strands, key=lambda s: comes.get(s, item.y))
        height = boxes[item.net].bottom - boxes[item.net].top
        # a line that is straight stays so
        straight = next((k for k, s in enumerate(order) if abs(comes.get(s, -1e9) - item.y) < 0.02 and s.direct), None)
        middle = straight if straight is not None else (len(order) - 1) / 2
        pitch = min(8.0, (height / 2 - 4) / max(middle, len(order) - 1 - middle, 0.5))
        for k, s in enumerate(order):
            found[id(item), s] = round(item.y + (k - middle) * pitch, 2)
    return found
