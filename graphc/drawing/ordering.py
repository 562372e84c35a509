"""The order within each layer: barycentre sweeps, then swaps of neighbours, for few crossings.

A row whose neighbours stand as they stood before gives the same answer again, so it is remembered; crossings are
counted again only where an order changed.

Source: Sugiyama, Tagawa, Toda, IEEE Trans. Systems, Man, Cybernetics 11 (1981).
"""

from __future__ import annotations

from bisect import bisect_right, insort

from graphc.drawing.grid import MANY_PLACES, Grid

__all__ = ["order_rows"]

_SWEEPS = 12
_FEW_SWEEPS = 6


def order_rows(grid: Grid) -> None:
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
    for sweep in range(_SWEEPS if len(grid.layer) <= MANY_PLACES else _FEW_SWEEPS):
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
