"""The layered layout: layers from left to right, few crossings, straight wires.

A wire that passes through a layer has a place of its own there, so wires go around blocks by construction.
Sweeps go on from row to row; a row whose neighbours stand as they stood before gives the same answer
again, so it is remembered: in deep graphs most rows settle within a few sweeps.

Source: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures"
(1981), for the layers and the barycentre order; vertical positions are isotonic regressions
(pool adjacent violators) in the absolute distance.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.drawing.blocks import GAP, Block, Link, Result
from graphc.drawing.routing import layered_wires

__all__ = ["PASSING", "Grid", "layers", "place_layered"]

#: Height of the place of a wire that passes through a layer, in points.
PASSING = 10.0
_SWEEPS = 12  # for the order
_LEVEL_SWEEPS = 24  # for the heights; in the last quarter both sides pull
_MANY_PLACES = 20_000  # above, half the sweeps serve: what is left to gain is no longer seen

_Near = list[tuple[int, float, float]]


@dataclass(slots=True)
class Grid:
    """Blocks, and the places where long wires pass through a layer, by number; blocks come first.

    ``before[k]`` holds (neighbour, height at which the wire leaves it, height at which it enters ``k``),
    ``after[k]`` the same with the two ends swapped.
    """

    blocks: int
    layer: list[int]
    height: list[float]
    before: list[_Near]
    after: list[_Near]
    rows: list[list[int]]
    routes: list[list[int]]
    top: list[float]


def layers(blocks: Sequence[Block], links: Sequence[Link]) -> list[int]:
    """Longest path from the inputs; an input not bound to the first layer stands by its reader."""
    heads: list[list[int]] = [[] for _ in blocks]
    waiting = [0] * len(blocks)
    for link in links:
        heads[link.tail].append(link.head)
        waiting[link.head] += 1
    layer = [0] * len(blocks)
    ready = [k for k, count in enumerate(waiting) if count == 0]
    while ready:
        k = ready.pop()
        for head in heads[k]:
            layer[head] = max(layer[head], layer[k] + 1)
            waiting[head] -= 1
            if waiting[head] == 0:
                ready.append(head)
    _late(blocks, links, heads, layer)
    return layer


def _late(blocks: Sequence[Block], links: Sequence[Link], heads: list[list[int]], layer: list[int]) -> None:
    """Move blocks towards their readers where that shortens the wires."""
    tails: list[set[int]] = [set() for _ in blocks]
    for link in links:
        tails[link.head].add(link.tail)
    free = [not tails[k] and not block.first for k, block in enumerate(blocks)]
    for _ in range(2):
        for k in sorted(range(len(blocks)), key=lambda k: (-layer[k], k)):
            if not heads[k] or (blocks[k].first and not tails[k]):
                continue
            latest = min(layer[head] for head in heads[k]) - 1
            gain = latest - layer[k]
            for tail in tails[k]:
                if not free[tail]:  # a free input comes along
                    others = [layer[head] for head in heads[tail] if head != k]
                    gain -= max(0, latest - max([layer[k], *others]))
            if gain > 0 or free[k]:
                layer[k] = latest


def place_layered(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> Result:
    """Place blocks in layers and lead the wires between them."""
    if not blocks:
        return [], []
    grid = _grid(blocks, links)
    _order(grid)
    _level(grid)
    return layered_wires(blocks, links, grid, channel)


def _grid(blocks: Sequence[Block], links: Sequence[Link]) -> Grid:
    layer = layers(blocks, links)
    height = [block.height for block in blocks]
    before: list[_Near] = [[] for _ in blocks]
    after: list[_Near] = [[] for _ in blocks]
    # one chain of passing places per tail: the wires of a fan-out share their way
    routes: list[list[int]] = []
    chains: dict[int, list[int]] = {}
    joined: set[tuple[int, int, float]] = set()
    for link in links:
        chain = chains.setdefault(link.tail, [])
        needed = layer[link.head] - layer[link.tail] - 1
        while len(chain) < needed:
            chain.append(len(layer))
            layer.append(layer[link.tail] + len(chain))
            height.append(PASSING)
            before.append([])
            after.append([])
        route = [link.tail, *chain[:needed], link.head]
        routes.append(route)
        for a, b in itertools.pairwise(route):
            exit_ = blocks[a].exit if a < len(blocks) else PASSING / 2
            entry = PASSING / 2
            if b < len(blocks):
                head = blocks[b]
                entry = head.entries[link.entry] if head.entries else head.height / 2
            if (a, b, entry) not in joined:
                joined.add((a, b, entry))
                before[b].append((a, exit_, entry))
                after[a].append((b, entry, exit_))
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for k, number in enumerate(layer):
        rows[number].append(k)
    return Grid(len(blocks), layer, height, before, after, rows, routes, [0.0] * len(layer))


# ---------------------------------------------------------------- the order within each layer


def _order(grid: Grid) -> None:
    """Order each layer by barycentres of its neighbours; keep the order with fewest crossings."""
    position = [0.0] * len(grid.layer)
    rows = grid.rows
    for row in rows:
        for rank, k in enumerate(row):
            position[k] = rank
    # the height at which the neighbour is met breaks ties between its entries
    sides = tuple([[(n, height / 1e4) for n, height, _ in near] for near in side] for side in (grid.before, grid.after))
    counts = _Counts(sides[1], position)
    best, fewest = list(rows), counts.total(rows)
    known: dict[tuple[bool, int], tuple[list[int], list[int], list[int]]] = {}
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        near = sides[0] if down else sides[1]
        changed = False
        for number in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed, row = rows[number - 1 if down else number + 1], rows[number]
            memory = known.get((down, number))
            if memory is not None and memory[0] == fixed and memory[1] == row:
                arranged = memory[2]
            else:
                arranged = _arranged(row, near, position)
                known[down, number] = fixed, row, arranged
            if arranged != row:
                changed = True
                rows[number] = arranged
                for rank, k in enumerate(arranged):
                    position[k] = rank
        count = counts.total(rows)
        if count < fewest:
            best, fewest = list(rows), count
        if not changed and sweep:
            break
    rows[:] = best
    if fewest:
        _exchange(grid, sides)


def _arranged(row: list[int], near: list[list[tuple[int, float]]], position: list[float]) -> list[int]:
    keys: dict[int, float] = {}
    for k in row:
        found = near[k]
        if len(found) == 1:
            n, lift = found[0]
            keys[k] = position[n] + lift
        elif found:
            keys[k] = sum([position[n] + lift for n, lift in found]) / len(found)
        else:
            keys[k] = position[k]
    return sorted(row, key=keys.__getitem__)


class _Counts:
    """Pairs of wires that cross between neighbouring layers; counted again only where the order changed."""

    def __init__(self, after: list[list[tuple[int, float]]], position: list[float]) -> None:
        self.after = after
        self.position = position
        self.known: dict[int, tuple[list[int], list[int], int]] = {}

    def between(self, rows: list[list[int]], number: int) -> int:
        row, following = rows[number], rows[number + 1]
        memory = self.known.get(number)
        if memory is not None and memory[0] == row and memory[1] == following:
            return memory[2]
        position, seen, found, last = self.position, [], 0, -1.0
        for k in row:
            ends = self.after[k]
            for end in (
                sorted([position[n] + lift for n, lift in ends])
                if len(ends) > 1
                else [position[n] + lift for n, lift in ends]
            ):
                if end >= last:
                    seen.append(end)
                    last = end
                else:
                    found += len(seen) - bisect_right(seen, end)
                    insort(seen, end)
        self.known[number] = list(row), list(following), found
        return found

    def total(self, rows: list[list[int]]) -> int:
        return sum(self.between(rows, number) for number in range(len(rows) - 1))


def _exchange(grid: Grid, sides: tuple[list[list[tuple[int, float]]], ...]) -> None:
    """Swap neighbours of a layer as long as that removes crossings."""
    rows = grid.rows
    rows[:] = [list(row) for row in rows]
    position = [0.0] * len(grid.layer)
    for row in rows:
        for rank, k in enumerate(row):
            position[k] = rank
    counts = _Counts(sides[1], position)
    stamps = [0] * len(rows)  # how often a row has changed
    visited: dict[int, tuple[int, ...]] = {}
    for _ in range(6):
        swapped = False
        for number, row in enumerate(rows):
            around = tuple(stamps[max(number - 1, 0) : number + 2])
            if visited.get(number) == around:
                continue
            visited[number] = around
            crossed = (number and counts.between(rows, number - 1)) or (
                number + 1 < len(rows) and counts.between(rows, number)
            )
            if crossed and _swapped(row, sides, position):
                stamps[number] += 1
                swapped = True
        if not swapped:
            break


def _swapped(row: list[int], sides: tuple[list[list[tuple[int, float]]], ...], position: list[float]) -> bool:
    ends = {k: [[position[n] + lift for n, lift in side[k]] for side in sides] for k in row}
    swapped = False
    for rank in range(len(row) - 1):
        a, b = row[rank], row[rank + 1]
        now = turned = 0
        for mine, other in zip(ends[a], ends[b], strict=True):
            for x in mine:
                for y in other:
                    if y < x:
                        now += 1
                    elif y > x:
                        turned += 1
        if turned < now:
            row[rank], row[rank + 1] = b, a
            position[a], position[b] = position[b], position[a]
            swapped = True
    return swapped


# ---------------------------------------------------------------- heights


class _Pulls:
    """Where the neighbours of each place want it to be, how much, and what that depends on."""

    def __init__(self, grid: Grid, near: list[_Near]) -> None:
        #: per place: neighbour, height of the place above it, weight
        self.wishes = near
        self.weights = [sum(w for _, _, w in wishes) or 0.01 for wishes in near]
        self.depends: list[tuple[int, ...]] = []
        for number, row in enumerate(grid.rows):
            found = {grid.layer[n] for k in row for n, _, _ in near[k]}
            if not all(near[k] for k in row):
                found.add(number)
            self.depends.append(tuple(sorted(found)))
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
    first = (_Pulls(grid, before), _Pulls(grid, after))
    either = (
        _Pulls(grid, [b or a for b, a in zip(before, after, strict=True)]),
        _Pulls(grid, [a or b for b, a in zip(before, after, strict=True)]),
    )
    both = _Pulls(grid, [b + a for b, a in zip(before, after, strict=True)])
    sweeps = _LEVEL_SWEEPS if len(grid.layer) <= _MANY_PLACES else _LEVEL_SWEEPS // 2
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


def _wishes(grid: Grid, side: list[_Near]) -> list[_Near]:
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
        pools.append((want, [(want, pulls.weights[k])]))
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


def _straighten(grid: Grid, before: list[_Near], after: list[_Near]) -> None:
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

    nobody: frozenset[int] = frozenset()
    singles = [([k], nobody) for row in rows for k in row]
    groups = singles + [(chain, frozenset(chain)) for chain in _passing(grid)]
    for _ in range(3):
        moved = False
        for group, members in groups:
            # an equal cost moves a bend onwards, to a place where it may vanish
            wishes = [top[n] + lift for n, lift, _ in before[group[0]]]
            if len(group) > 1:
                wishes += [top[n] + lift for n, lift, _ in after[group[-1]]]
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
