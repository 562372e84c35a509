"""Finds equal copies in a graph: steps of a recurrence, layers of a deep network.

Plain data in, plain data out: labels of elements in an order in which operands come first, and the positions of their
operands. A repeat is a run of the order in which every label returns after one period; it counts only where the
wiring returns too. Nothing is known about cells or layers.

Source: for runs in a sequence: Main, Lorentz, "An O(n log n) algorithm for finding all repetitions in a string",
J. Algorithms 5 (1984); here all periods are compared directly, which is 0.1 s at 10,000 elements.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Repeat", "repeats"]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Equal copies one behind the other.

    Attributes
    ----------
    start : int
        Position of the first element of the first copy.
    period : int
        Elements in a copy.
    copies : int
        At least 2.
    recurrent : bool
        Copies read the copy before and share something outside, as steps that share weights do. Repeated layers, with
        weights of their own, do not.
    """

    start: int
    period: int
    copies: int
    recurrent: bool

    @property
    def stop(self) -> int:
        """Position behind the last copy."""
        return self.start + self.period * self.copies

    def copy(self, number: int) -> range:
        """Positions of one copy."""
        return range(self.start + number * self.period, self.start + (number + 1) * self.period)


def repeats(labels: Sequence[Hashable], operands: Sequence[Sequence[int]], least: int = 3) -> list[Repeat]:
    """Find runs of equal copies.

    Parameters
    ----------
    labels : sequence of hashable
        Kind of each element, operands first.
    operands : sequence of sequence of int
        Positions of the operands of each element; a negative number is something outside of the order (a leaf), the
        same number the same thing.
    least : int, default 3
        Copies that a repeat has at least.

    Returns
    -------
    list of Repeat
        Disjoint; where two overlap, the one that covers more was taken, of equal ones that with the shorter period.
        Sorted by position.
    """
    codes: dict[Hashable, int] = {}
    sequence = np.array([codes.setdefault(label, len(codes)) for label in labels], dtype=np.int64)
    found: list[Repeat] = []
    for _, period, start, stop in _runs(sequence, least):
        for low, high in _free(start, stop, found):
            found += _aligned(operands, low, high, period, least)
    return sorted(found, key=lambda repeat: repeat.start)


def _runs(sequence: np.ndarray, least: int) -> list[tuple[int, int, int, int]]:
    """Runs in which labels return after a period, as (-covered, period, start, stop), those that cover most first."""
    count, found = len(sequence), []
    for period in range(1, count // least + 1):
        same = sequence[:-period] == sequence[period:]
        if int(same.sum()) < (least - 1) * period:
            continue
        breaks = np.concatenate(([-1], np.flatnonzero(~same), [len(same)]))
        lengths = np.diff(breaks) - 1
        for k in np.flatnonzero(lengths >= (least - 1) * period):
            start = int(breaks[k]) + 1
            stop = start + int(lengths[k]) + period
            # only whole copies count, so that a multiple of the period does not seem to cover more
            found.append((-((stop - start) // period * period), period, start, stop))
    return sorted(found)


def _free(start: int, stop: int, taken: Sequence[Repeat]) -> list[tuple[int, int]]:
    """Parts of an interval that no repeat has taken."""
    parts: list[tuple[int, int]] = []
    for repeat in sorted(taken, key=lambda repeat: repeat.start):
        if repeat.stop <= start or repeat.start >= stop:
            continue
        if repeat.start > start:
            parts.append((start, repeat.start))
        start = max(start, repeat.stop)
    return [*parts, (start, stop)] if start < stop else parts


def _aligned(operands: Sequence[Sequence[int]], low: int, high: int, period: int, least: int) -> list[Repeat]:
    """Cut a run into copies where fewest wires are cut, and keep stretches of copies whose wiring agrees."""
    candidates = range(low, min(low + period, high - least * period + 1))
    if not candidates:
        return []
    crossing = _crossings(operands, low, high)
    # a boundary in the middle of the run stands for all: the first copy may begin where nothing is read yet
    middle = (high - low) // period // 2 * period
    start = min(candidates, key=lambda s: (crossing[min(s + middle, high) - low], s))
    copies = (high - start) // period
    patterns = [_pattern(operands, start, start + c * period, period) for c in range(copies)]
    best = (0, 0)
    first = 1 if copies > 1 else 0
    while first < copies:  # stretches of copies with one wiring; the copy before reads what was there at the start
        last = first
        while last + 1 < copies and patterns[last + 1] == patterns[first]:
            last += 1
        lead = _begins(patterns[first - 1], patterns[first])
        best = max(best, (last - first + 1 + lead, -(first - lead)))
        first = last + 1
    count, begin = best[0], -best[1]
    if count < least:
        return []
    start += begin * period
    made = Repeat(start, period, count, _recurrent(operands, start, period))
    return [
        *_aligned(operands, low, made.start, period, least),
        made,
        *_aligned(operands, made.stop, high, period, least),
    ]


def _crossings(operands: Sequence[Sequence[int]], low: int, high: int) -> list[int]:
    """How many values made within ``[low, high)`` are read across each of its boundaries by others within."""
    last_reader = list(range(low, high))
    for k in range(low, high):
        for operand in operands[k]:
            if operand >= low:
                last_reader[operand - low] = max(last_reader[operand - low], k)
    change = [0] * (high - low + 2)
    for k, reader in enumerate(last_reader):
        if reader > low + k:
            change[k + 1] += 1
            change[reader - low + 1] -= 1
    total, found = 0, []
    for step in change[: high - low + 1]:
        total += step
        found.append(total)
    return found


_Place = tuple[int, int]  # (copies back, offset); (-1, 0): outside of the run


def _pattern(operands: Sequence[Sequence[int]], start: int, begin: int, period: int) -> tuple[tuple[_Place, ...], ...]:
    """Where the operands of one copy stand: in the copy itself, in one before, or outside."""
    found = []
    for k in range(begin, begin + period):
        places = []
        for operand in operands[k]:
            if operand < start:
                places.append((-1, 0))
            else:
                back = -((operand - begin) // period)
                places.append((back, operand - begin + back * period))
        found.append(tuple(places))
    return tuple(found)


def _begins(first: tuple[tuple[_Place, ...], ...], second: tuple[tuple[_Place, ...], ...]) -> bool:
    """Whether a copy differs from the next only in reading from outside what the next reads from the copy before."""
    for mine, other in zip(first, second, strict=True):
        if len(mine) != len(other):
            return False
        for a, b in zip(mine, other, strict=True):
            if a != b and not (a[0] == -1 and b[0] >= 1):
                return False
    return True


def _recurrent(operands: Sequence[Sequence[int]], start: int, period: int) -> bool:
    one, two = range(start + period, start + 2 * period), range(start, start + period)
    chained = any(start <= operand < start + period for k in one for operand in operands[k])
    shared = {operand for k in one for operand in operands[k] if operand < start}
    return chained and any(operand in shared for k in two for operand in operands[k])
