"""Outlines of wires between placed blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphc.drawing.blocks import Block, Link, Result
from graphc.drawing.scene import Command

if TYPE_CHECKING:
    from graphc.drawing.grid import Grid

__all__ = ["curve_between", "ends_of", "layered_wires"]

_STEEPNESS = 0.22  # room for a curve, in points a point of its drop
_WIDEST_CHANNEL = 90.0
_LEVEL = 0.05  # points; a smaller drop is drawn as level


def ends_of(
    blocks: Sequence[Block], corners: Sequence[tuple[float, float]], link: Link
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a wire leaves its tail and enters its head."""
    tail, head = blocks[link.tail], blocks[link.head]
    (x1, y1), (x2, y2) = corners[link.tail], corners[link.head]
    entry = head.entries[link.entry] if head.entries else head.height / 2
    return (x1 + tail.width, y1 + tail.exit), (x2, y2 + entry)


def curve_between(start: tuple[float, float], end: tuple[float, float]) -> tuple[Command, ...]:
    """Join two points by an S-curve that leaves and arrives level."""
    if abs(start[1] - end[1]) < _LEVEL:
        return (("M", *start), ("L", *end))
    middle = (start[0] + end[0]) / 2
    return (("M", *start), ("C", middle, start[1], middle, end[1], *end))


def layered_wires(blocks: Sequence[Block], links: Sequence[Link], grid: Grid, channel: float) -> Result:
    """Give every layer its place from left to right and lead each wire along its route."""
    top, rows, count = grid.top, grid.rows, len(blocks)
    widths = [max((blocks[k].width for k in row if k < count), default=10.0) for row in rows]
    lefts = [0.0]
    for number, row in enumerate(rows[:-1]):
        drops = [abs(top[k] + own - top[n] - entry) for k in row for n, entry, own in grid.after[k]]
        steep = _STEEPNESS * max(drops, default=0.0)
        lefts.append(lefts[-1] + widths[number] + min(max(channel, steep), _WIDEST_CHANNEL))
    corners = [(lefts[grid.layer[k]], top[k]) for k in range(count)]
    wires: list[tuple[Command, ...]] = []
    for link, route in zip(links, grid.routes, strict=True):
        start, end = ends_of(blocks, corners, link)
        here = start
        commands: list[Command] = [("M", *start)]
        for a, b in itertools.pairwise(route):
            layer = grid.layer[a]
            there = end if b == route[-1] else (lefts[grid.layer[b]], top[b] + grid.height[b] / 2)
            if b != route[-1] and there[1] == here[1]:
                continue  # level from layer to layer: one line, drawn where it ends
            edge = lefts[layer] + widths[layer]
            if edge > here[0] + _LEVEL:
                here = (edge, here[1])
                _go(commands, ("L", *here))
            _go(commands, curve_between(here, there)[1])
            here = there
        wires.append(tuple(commands))
    return corners, wires


def _go(commands: list[Command], command: Command) -> None:
    """Add a piece of wire; level pieces in a row are one line, so that no viewer shows a seam."""
    if command[0] == "L" and commands[-1][0] == "L" and command[-1] == commands[-1][-1] == commands[-2][-1]:
        commands[-1] = command
    else:
        commands.append(command)
