"""Folds a long chain of boxes into rows, the way a page folds a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.drawing.layout import Block, Link, Placement, place
from graphc.drawing.scene import Command, Path, moved, numbers_of

__all__ = ["CHANNEL", "place_apart", "place_in_rows"]

#: Least distance between neighbouring boxes, in points.
CHANNEL = 26.0
_WIDEST = 900.0  # points; a longer chain goes on in the next row
_BETWEEN = 30.0  # from one row to the next
_END_APART = 13.0  # between the ends of two wires at one box
_CORNER = 9.0  # of a box, where no wire ends
_ASIDE = 18.0  # room at both ends for the wires that turn

_Links = Sequence[tuple[int, int]]


def place_in_rows(sizes: Sequence[tuple[float, float]], links: _Links, engine: str | None = None) -> Placement:
    """Place boxes from left to right, in several rows where one row would be too wide.

    Parameters
    ----------
    sizes : sequence of (float, float)
        Width and height of each box, in points; boxes come in forward order.
    links : sequence of (int, int)
        Tail and head.
    engine : str, optional
        Layout engine.
    """
    depth = _depths(len(sizes), links)
    cuts = _cuts(sizes, links, depth)
    row_of = [sum(1 for cut in cuts if d > cut) for d in depth]
    corners: list[tuple[float, float]] = [(0.0, 0.0)] * len(sizes)
    wires: dict[int, tuple[Command, ...]] = {}
    doors: dict[int, tuple[float, float]] = {}  # row -> where the wire from the row above comes in
    tops: list[float] = []
    top = width = 0.0
    placed = place([], [], engine)
    note = ""
    for row in range(len(cuts) + 1):
        members = [k for k in range(len(sizes)) if row_of[k] == row]
        rank = {k: i for i, k in enumerate(members)}
        blocks = [Block(sizes[k][0], sizes[k][1], (sizes[k][1] / 2,), sizes[k][1] / 2) for k in members]
        inner: list[int] = []
        local: list[Link] = []
        for n, (tail, head) in enumerate(links):
            if head in rank:
                # a wire from the row above starts at the door, a block almost without width
                local.append(Link(rank.get(tail, len(members)), rank[head], 0))
                inner.append(n)
        if any(link.tail == len(members) for link in local):
            blocks.append(Block(1.0, 10.0, (), 5.0))
        placed = place_apart(blocks, local, engine)
        for k, (x, y) in zip(members, placed.corners, strict=False):
            corners[k] = (x, y + top)
        if len(blocks) > len(members):
            x, y = placed.corners[-1]
            doors[row] = (x, y + top + 5.0)
        for n, wire in zip(inner, placed.wires, strict=True):
            wires[n] = _moved(wire, 0.0, top)
        note = placed.note or note
        tops.append(top)
        top += placed.height + _BETWEEN
        width = max(width, placed.width)
    for n, (tail, head) in enumerate(links):
        if row_of[tail] != row_of[head]:
            row = row_of[head]
            start = (corners[tail][0] + sizes[tail][0], corners[tail][1] + sizes[tail][1] / 2)
            turn = _turn(start, doors[row], tops[row] - _BETWEEN / 2, width)
            wires[n] = turn + wires[n][1:]
    shift = _ASIDE if cuts else 0.0
    return Placement(
        tuple((x + shift, y) for x, y in corners),
        tuple(_moved(wires[n], shift, 0.0) for n in range(len(links))),
        width + 2 * shift,
        top - _BETWEEN,
        placed.engine,
        note,
    )


def place_apart(blocks: Sequence[Block], links: Sequence[Link], engine: str | None = None) -> Placement:
    """Place boxes so that the wires into one box end apart from each other.

    Placed once to see from where each wire comes: the one that comes level keeps the middle, the others end above or
    below it. Wires of Graphviz stay as they are: curves into the side of a box would run over its corners.
    """
    placed = place(blocks, links, engine, CHANNEL)
    if placed.engine != "layered":
        return placed
    incoming: dict[int, list[int]] = {}
    for n, link in enumerate(links):
        incoming.setdefault(link.head, []).append(n)
    apart = list(blocks)
    entries = [0] * len(links)
    for head, found in incoming.items():
        if len(found) == 1:
            continue
        rise = {n: _rise(placed.wires[n]) for n in found}
        found.sort(key=lambda n, rise=rise: (rise[n], n))
        middle = min(range(len(found)), key=lambda k, rise=rise, found=found: abs(rise[found[k]]))
        block = blocks[head]
        side = max(middle, len(found) - 1 - middle)
        step = min(_END_APART, (block.height / 2 - _CORNER) / side)
        heights = tuple(block.height / 2 + (k - middle) * step for k in range(len(found)))
        apart[head] = replace(block, entries=heights)
        for k, n in enumerate(found):
            entries[n] = k
    if apart == list(blocks):
        return placed
    told = [replace(link, entry=entry) for link, entry in zip(links, entries, strict=True)]
    return place(apart, told, engine, CHANNEL)


def _rise(wire: tuple[Command, ...]) -> float:
    """How far below its end the last piece of a wire begins."""
    heights = [numbers_of(command)[-1] for command in wire]
    return next((y - heights[-1] for y in reversed(heights) if abs(y - heights[-1]) > 0.5), 0.0)


def _moved(wire: tuple[Command, ...], dx: float, dy: float) -> tuple[Command, ...]:
    path = moved(Path(wire), dx, dy)
    assert isinstance(path, Path)
    return path.commands


def _depths(count: int, links: _Links) -> list[int]:
    """Longest path from the start; a box that nothing feeds stands just before its first reader."""
    depth = [0] * count
    for tail, head in sorted(links, key=lambda link: link[1]):  # tails come first, so they are final
        depth[head] = max(depth[head], depth[tail] + 1)
    fed = {head for _, head in links}
    for k in range(count):
        heads = [depth[head] for tail, head in links if tail == k]
        if heads and k not in fed:
            depth[k] = min(heads) - 1
    return depth


def _cuts(sizes: Sequence[tuple[float, float]], links: _Links, depth: Sequence[int]) -> list[int]:
    """Depths after which a row ends: only where one single box feeds everything that follows."""
    deepest = max(depth, default=0)
    widths = [
        max((size[0] for size, d in zip(sizes, depth, strict=True) if d == layer), default=0.0) + CHANNEL
        for layer in range(deepest + 1)
    ]
    total = sum(widths)
    count = max(1, round(total / _WIDEST + 0.35))
    limit = total / count * 1.15
    cuts: list[int] = []
    used = 0.0
    for layer in range(deepest):
        used += widths[layer]
        if count == 1 or used + widths[layer + 1] <= limit:
            continue
        tails = {tail for tail, head in links if depth[tail] <= layer < depth[head]}
        if len(tails) == 1 and depth[min(tails)] > (cuts[-1] if cuts else -1):
            cuts.append(layer)
            used = 0.0
    return cuts


def _turn(start: tuple[float, float], end: tuple[float, float], channel: float, width: float) -> tuple[Command, ...]:
    """Lead a wire from the end of one row to the start of the next."""
    right, left, r = max(start[0], width) + 12.0, end[0] - 14.0, 8.0
    return (
        ("M", *start),
        ("L", right - r, start[1]),
        ("C", right, start[1], right, start[1], right, start[1] + r),
        ("L", right, channel - r),
        ("C", right, channel, right, channel, right - r, channel),
        ("L", left + r, channel),
        ("C", left, channel, left, channel, left, channel + r),
        ("L", left, end[1] - r),
        ("C", left, end[1], left, end[1], left + r, end[1]),
        ("L", *end),
    )
