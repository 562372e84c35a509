"""The layered layout: layers from left to right, few crossings, straight wires.

Heights are chosen in sweeps that go on from row to row; a row whose neighbours stand as they stood before gives the
same answer again, so it is remembered: in most graphs rows settle within a few sweeps.

Source: vertical positions are isotonic regressions (pool adjacent violators) in the absolute distance: Ayer, Brunk,
Ewing, Reid, Silverman, Annals of Mathematical Statistics 26 (1955).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import inf

from graphc.drawing.blocks import GAP, Block, Link, Result
from graphc.drawing.grid import MANY_PLACES, Grid, Near, grid_of
from graphc.drawing.ordering import order_rows
from graphc.drawing.routing import layered_wires

__all__ = ["place_layered"]

_LEVEL_SWEEPS = 24  # for the heights; in the last quarter both sides pull
_FEW_LEVEL_SWEEPS = 8
_PASSES = 3  # of straightening


def place_layered(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> Result:
    """Place blocks in layers and lead the wires between them."""
    if not blocks:
        return [], []
    grid = grid_of(blocks, links)
    order_rows(grid)
    _level(grid)
    return layered_wires(blocks, links, grid, channel)


class _Pulls:
    """Where the neighbours of each place want it to be, how much, and what that depends on."""

    def __init__(self, grid: Grid, near: list[Near], sides: tuple[int, ...]) -> None:
        #: per place: neighbour, height of the place above it, weight
        self.wishes = near
        self.depends: list[tuple[int, ...]] = []
        count = len(grid.rows)
        for number, row in enumerate(grid.rows):
            rows = [number + side for side in sides if 0 <= number + side < count]
            if not all(near[k] for k in row):  # what nobody pulls stays where it is
                rows.append(number)
            self.depends.append(tuple(rows))
        self.known: dict[int, tuple[list[list[float]], list[float]]] = {}


def _level(grid: Grid) -> None:
    """Choose heights so that wires run straight where they can."""
    rows, top, height = grid.rows, grid.top, grid.height
    offsets: list[list[float]] = []
    for row in rows:
        offset = [0.0]
        for k in row[:-1]:
            offset.append(offset[-1] + height[k] + GAP)
        offsets.append(offset)
        for k, start in zip(row, offset, strict=True):
            top[k] = start
    tops = [list(offset) for offset in offsets]
    before, after = _wishes(grid, grid.before), _wishes(grid, grid.after)
    first = (_Pulls(grid, before, (-1,)), _Pulls(grid, after, (1,)))
    either = (
        _Pulls(grid, [b or a for b, a in zip(before, after, strict=True)], (-1, 1)),
        _Pulls(grid, [a or b for b, a in zip(before, after, strict=True)], (-1, 1)),
    )
    both = _Pulls(grid, [b + a for b, a in zip(before, after, strict=True)], (-1, 1))
    sweeps = _LEVEL_SWEEPS if len(grid.layer) <= MANY_PLACES else _FEW_LEVEL_SWEEPS
    for sweep in range(sweeps):
        turn = sweep % 2
        pulls = both if sweep >= sweeps - sweeps // 4 else either[turn] if sweep > 1 else first[turn]
        for number in range(len(rows)) if turn == 0 else range(len(rows) - 1, -1, -1):
            given = [tops[n] for n in pulls.depends[number]]
            memory = pulls.known.get(number)
            if memory is not None and memory[0] == given:
                settled = memory[1]
            else:
                settled = _settled(rows[number], pulls, top, offsets[number])
                pulls.known[number] = given, settled
            if settled != tops[number]:
                tops[number] = settled
                for k, value in zip(rows[number], settled, strict=True):
                    top[k] = value
    _straighten(grid, before, after)


def _wishes(grid: Grid, side: list[Near]) -> list[Near]:
    return [[(n, height - own, _pull(grid, k, n)) for n, height, own in near] for k, near in enumerate(side)]


def _pull(grid: Grid, k: int, n: int) -> float:
    """How much two neighbours want to be level: the main line most, inputs and by-passes less."""
    if k >= grid.blocks and n >= grid.blocks:
        return 4.0
    if k >= grid.blocks or n >= grid.blocks:
        return 0.6
    return 1.0 if grid.before[k] and grid.before[n] else 0.4


def _settled(row: list[int], pulls: _Pulls, top: list[float], offsets: list[float]) -> list[float]:
    """Tops nearest to the wanted ones (least absolute distance) that keep the order and the gaps.

    Least distance rather than least squares: one far wish does not bend the wires of a whole stack.
    """
    wanted: list[float] = []
    for k, offset in zip(row, offsets, strict=True):
        wishes = pulls.wishes[k]
        if len(wishes) == 1:
            n, lift, _ = wishes[0]
            wanted.append(top[n] + lift - offset)
        elif len(wishes) == 2 and wishes[0][2] == wishes[1][2]:  # a passing wire between its two neighbours
            wanted.append((top[wishes[0][0]] + wishes[0][1] + top[wishes[1][0]] + wishes[1][1]) / 2 - offset)
        elif wishes:
            wanted.append(_median(sorted([(top[n] + lift, pull) for n, lift, pull in wishes])) - offset)
        else:
            wanted.append(top[k] - offset)
    if all(a <= b for a, b in itertools.pairwise(wanted)):
        return [want + offset for want, offset in zip(wanted, offsets, strict=True)]
    pools: list[tuple[float, list[tuple[float, float]]]] = []  # median, its (wish, weight) pairs
    for k, want in zip(row, wanted, strict=True):
        pools.append((want, [(want, sum([weight for _, _, weight in pulls.wishes[k]]) or 0.01)]))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            wishes = sorted(pools.pop()[1] + pools.pop()[1])
            pools.append((_median(wishes), wishes))
    medians = [median for median, wishes in pools for _ in wishes]
    return [median + offset for median, offset in zip(medians, offsets, strict=True)]


def _median(wishes: list[tuple[float, float]]) -> float:
    """Middle of the weighted median interval of sorted wishes."""
    half = sum([weight for _, weight in wishes]) / 2
    total = 0.0
    for k, (wish, weight) in enumerate(wishes):
        total += weight
        if total > half + 1e-9:
            return wish
        if total > half - 1e-9 and k + 1 < len(wishes):
            return (wish + wishes[k + 1][0]) / 2
    return wishes[-1][0]


def _straighten(grid: Grid, before: list[Near], after: list[Near]) -> None:
    """Move places and whole passing wires, within their room, to where fewer wires bend."""
    top, height, rows = grid.top, grid.height, grid.rows
    above, below = [-1] * len(top), [-1] * len(top)
    for row in rows:
        for a, b in itertools.pairwise(row):
            above[b], below[a] = a, b

    def cost(k: int, at: float, apart: frozenset[int]) -> float:
        """Bends of the wires at a place, those to the rest of its own group left out."""
        total = 0.0
        for side in (before[k], after[k]):
            for n, lift, pull in side:
                if n not in apart:
                    drop = abs(top[n] + lift - at)
                    total += pull * (drop + 12.0) if drop > 0.05 else pull * drop
        return total

    def fits(k: int, at: float) -> bool:
        over, under = above[k], below[k]
        if over >= 0 and top[over] + height[over] + GAP > at + 1e-6:
            return False
        return under < 0 or at + height[k] + GAP <= top[under] + 1e-6

    def room(group: list[int]) -> tuple[float, float]:
        """Between which tops a whole group has room at one height."""
        low = max((top[above[k]] + height[above[k]] + GAP for k in group if above[k] >= 0), default=-inf)
        high = min((top[below[k]] - height[k] - GAP for k in group if below[k] >= 0), default=inf)
        return low, high

    nobody: frozenset[int] = frozenset()
    singles = [([k], nobody) for row in rows for k in row]
    groups = singles + [(chain, frozenset(chain)) for chain in _passing(grid)]
    for _ in range(_PASSES if len(top) <= MANY_PLACES else 1):
        moved = False
        for group, members in groups:
            # an equal cost moves a bend onwards, to a place where it may vanish
            wishes = [top[n] + lift for n, lift, _ in before[group[0]]]
            if len(group) > 1:
                wishes += [top[n] + lift for n, lift, _ in after[group[-1]]]
                low, high = room(group)
                if low <= high:  # level all along, as near as there is room
                    wishes += [min(max(at, low), high) for at in wishes]
            elif all(at == top[group[0]] for at in wishes):
                continue
            best = -1.0
            for at in wishes:
                if not all(fits(k, at) for k in group):
                    continue
                if best < 0:
                    best = sum([cost(k, top[k], nobody) for k in group])
                found = sum([cost(k, at, members) for k in group])
                if found <= best + 1e-6:
                    best = found
                    for k in group:
                        moved = moved or top[k] != at
                        top[k] = at
        if not moved:
            break


def _passing(grid: Grid) -> list[list[int]]:
    """Chains of two and more places where one wire passes through layers."""
    chains: list[list[int]] = []
    for k in range(grid.blocks, len(grid.layer)):
        if any(n >= grid.blocks for n, _, _ in grid.before[k]):
            continue
        chain = [k]
        while True:
            following = [n for n, _, _ in grid.after[chain[-1]] if n >= grid.blocks]
            if not following:
                break
            chain.append(following[0])
        if len(chain) > 1:
            chains.append(chain)
    return chains
