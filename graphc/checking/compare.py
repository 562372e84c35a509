"""Comparing a claimed value with a gradient: element by element, with ranges at ties, and what rounding may leave."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.circuit import State
from graphc.graph.node import Node

__all__ = ["AGREEING", "DIGITS", "MOST_EXACT", "Counterexample", "apart", "depth", "magnitudes", "noise", "plain"]

#: Working precision in decimal digits.
DIGITS = 60

#: Digits that must agree; what rounding takes from the rest is checked by working with more digits.
AGREEING = 40

#: Operations beyond which a graph is evaluated in float64 only.
MOST_EXACT = 150_000

#: Arrays up to this many entries are printed whole.
_SHOWN = 24


@dataclass(frozen=True)
class Counterexample:
    """A point where claim and gradient differ.

    Attributes
    ----------
    at : mapping
        Value of each leaf, arrays as nested lists.
    claimed : float or None
        What the claim gives, at ``element`` of an array; None where it has no real value.
    correct : float
        The gradient there.
    interval : (float, float) or None
        Range of accepted values where the point lies on a kink.
    element : tuple of int or None
        Which entry of an array differs most; None for scalars.
    arrays : (list, list) or None
        Claim and gradient as nested lists, where they are arrays.
    """

    at: Mapping[str, Any]
    claimed: float | None
    correct: float
    interval: tuple[float, float] | None = None
    element: tuple[int, ...] | None = None
    arrays: tuple[Any, Any] | None = None

    def __str__(self) -> str:
        where = ", ".join(f"{name}={_text(value)}" for name, value in self.at.items()) or "every point"
        correct = f"{self.correct:.12g}"
        if self.interval is not None:
            correct = f"anything from {self.interval[0]:.12g} to {self.interval[1]:.12g} (a kink)"
        if self.claimed is None:
            return f"at {where} the claim has no real value; correct is {correct}"
        claimed = f"{self.claimed:.12g}"
        if claimed == correct:
            claimed, correct = f"{self.claimed!r}", f"{self.correct!r}"
            if self.claimed == self.correct:
                claimed, correct = claimed + " to 16 digits", correct + ", and they differ further on"
        if self.element is None:
            return f"at {where} the claim gives {claimed}; correct is {correct}"
        name = f"gradient[{','.join(map(str, self.element))}]"
        lines = [f"at {where} the claim gives {name} = {claimed}; correct is {correct}"]
        if len(lines[0]) > 110:
            lines = ["at", *(f"  {key} = {_text(value)}" for key, value in self.at.items())]
            lines.append(f"the claim gives {name} = {claimed}; correct is {correct}")
        if self.arrays is not None:
            for word, array in zip(("claimed", "correct"), self.arrays, strict=True):
                lines.append(f"  {word} {self._shown(numpy.asarray(array, dtype=float))}")
        return "\n".join(lines)

    def _shown(self, array: numpy.ndarray) -> str:
        """An array, or of a large one the row of the element."""
        if array.size <= _SHOWN or array.ndim < 2 or self.element is None:
            return _text(array.tolist())
        row = array[self.element[:-1]] if len(self.element) == array.ndim else array.reshape(-1)
        return f"row {','.join(map(str, self.element[:-1]))}: {_text(row.tolist())}"


def _text(value: Any) -> str:
    """A number or a nested list, short."""
    if not isinstance(value, list):
        return "none" if value is None else f"{value:.6g}"
    array = numpy.asarray(value, dtype=float)
    if array.size <= _SHOWN:
        return f"[{', '.join(map(_text, value))}]"
    flat = array.reshape(-1)[:3]
    extents = " x ".join(map(str, array.shape))
    return f"[{', '.join(f'{v:.6g}' for v in flat)}, ... {extents} entries]"


def plain(value: Any) -> Any:
    """A number or an array of any numbers as floats in nested lists."""
    if isinstance(value, numpy.ndarray):
        return value.astype(float).tolist()
    return float(value)


def _numbers(state: State) -> Iterable[Any]:
    for value in itertools.chain(state.values.values(), state.gradients.values(), state.slopes):
        if isinstance(value, numpy.ndarray):
            yield from value.reshape(-1).tolist()
        elif value is not None:
            yield value


def magnitudes(state: State) -> Any:
    """The largest number of a state, at least 1."""
    import mpmath

    largest = mpmath.mpf(1)
    for value in _numbers(state):
        size = abs(value)
        if size > largest and mpmath.isfinite(size):
            largest = size
    return mpmath.mpf(largest)


def depth(state: State) -> int:
    """Digits in which a number as small or large as any of the state shows up beside 1."""
    import mpmath

    finite = (v for v in _numbers(state) if v != 0 and mpmath.isfinite(v))
    return 2 * DIGITS + int(max((abs(mpmath.mag(v)) for v in finite), default=0) * 0.302)


def noise(state: State, digits: int) -> Any:
    """What rounding may leave of an exact zero: x - x is zero, x - (x/3)*3 is not."""
    import mpmath

    with mpmath.workdps(DIGITS):
        return magnitudes(state) * mpmath.mpf(10) ** (DIGITS // 3 - digits)


def apart(value: Any, state: State, target: Node, margin: Any, slack: Any = 0) -> tuple[int, ...] | None:
    """Where a value lies far outside of what is right.

    Parameters
    ----------
    margin : number
        Relative to the larger of value and gradient, entry by entry.
    slack : number or array
        Absolute.

    Returns
    -------
    tuple of int or None
        Index of an entry, ``()`` for scalars; None if everything is right.
    """
    correct = state.gradients[target.id]
    where = _outside(value, correct, correct, margin, slack)
    if where is None or target.id not in state.intervals:
        return where
    return _outside(value, *state.intervals[target.id], margin, slack)


def _outside(value: Any, low: Any, high: Any, margin: Any, slack: Any) -> tuple[int, ...] | None:
    if not isinstance(low, numpy.ndarray):
        width = max(abs(low), abs(high), abs(value)) * margin + slack
        return None if low - width <= value <= high + width else ()
    shape = low.shape
    value = numpy.broadcast_to(_array(value), shape)
    largest = numpy.maximum(numpy.maximum(abs(low), abs(high)), abs(value))
    width = largest * margin + slack
    outside = numpy.maximum(low - value, value - high) - width
    wrong = outside > 0
    if not bool(wrong.any()):
        return None
    flat = numpy.where(wrong, outside, -1).reshape(-1).tolist()
    # the first of those that are far off: nobody looks for it long
    least = max(flat) / 10
    position = next(k for k, excess in enumerate(flat) if excess >= least)
    return tuple(int(k) for k in numpy.unravel_index(position, shape))


def _array(value: Any) -> numpy.ndarray:
    if isinstance(value, numpy.ndarray):
        return value
    result = numpy.empty((), dtype=object)
    result[()] = value
    return result
