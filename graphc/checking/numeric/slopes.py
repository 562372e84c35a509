"""Slopes by central differences over a sweep of steps, with an error bound and the order of the Taylor remainder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy

__all__ = ["FIRST", "LEVELS", "RATIO", "Sided", "Slope", "measure"]

#: The first step, relative to the size of what is moved; each next one is `RATIO` times smaller.
FIRST = 2.0**-6
RATIO = 4.0
LEVELS = 10

Array = numpy.ndarray


@dataclass
class Slope:
    """What the sweep found, for several functions at once.

    Attributes
    ----------
    value, error : ndarray, shape (functions,)
        Extrapolated slope and a bound on its error: disagreement of neighbouring extrapolations, and rounding.
    step : ndarray
        Smallest step behind each value, in the units of what was moved.
    noise : ndarray
        Rounding error of one value of each function.
    """

    value: Array
    error: Array
    step: Array
    noise: Array
    centre: Array
    steps: list[float] = field(default_factory=list)
    ahead: list[Array] = field(default_factory=list)
    behind: list[Array] = field(default_factory=list)

    def order(self, gradient: Array, slack: float = 0.0) -> list[float | None]:
        """Order of ``f(x + h) - f(x) - h*gradient`` in h: 2 for the right gradient, 1 for a wrong one.

        Steps whose remainder drowns in rounding, or in the error ``slack`` that the gradient may have, do not count;
        None where fewer than two are left, as for a function that is linear in what is moved.

        Source
        ------
        Farrell, Ham, Funke, Rognes, SIAM J. Sci. Comput. 35 (2013), section 4.2 (the Taylor remainder test)
        """
        remainders = [
            numpy.maximum(abs(f - self.centre - h * gradient), abs(b - self.centre + h * gradient))
            for h, f, b in zip(self.steps, self.ahead, self.behind, strict=True)
        ]
        found: list[float | None] = []
        for k in range(len(self.value)):
            orders = [
                float(numpy.log(large[k] / small[k]) / numpy.log(RATIO))
                for h, (large, small) in zip(self.steps[1:], itertools.pairwise(remainders), strict=True)
                if small[k] > 64 * self.noise[k] + h * slack and large[k] > 0
            ]
            found.append(orders[-1] if orders else None)
        return found

    def sided(self) -> Sided:
        """Slopes ahead of and behind the point, of the first function, from its two smallest usable steps."""
        best: Sided | None = None
        for (h, f, b), (i, g, c) in itertools.pairwise(zip(self.steps, self.ahead, self.behind, strict=True)):
            rough = ((f[0] - self.centre[0]) / h, (self.centre[0] - b[0]) / h)
            fine = ((g[0] - self.centre[0]) / i, (self.centre[0] - c[0]) / i)
            right, left = ((RATIO * y - x) / (RATIO - 1) for x, y in zip(rough, fine, strict=True))
            error = max(abs(right - fine[0]), abs(left - fine[1])) + 4 * float(self.noise[0]) / i
            if best is None or error < best.error:
                best = Sided(float(left), float(right), float(error))
        assert best is not None
        return best


@dataclass(frozen=True)
class Sided:
    """Slopes on either side of a point, with a bound on their errors."""

    left: float
    right: float
    error: float

    @property
    def kink(self) -> bool:
        """Whether the sides differ by more than the errors explain."""
        return abs(self.left - self.right) > 8 * self.error + 1e-7 * max(abs(self.left), abs(self.right))


def measure(
    along: Callable[[float], Sequence[float]],
    centre: Sequence[float],
    scale: float,
    *,
    noise: Array,
    goal: float,
    first: float = FIRST,
    levels: int = LEVELS,
) -> Slope:
    """Measure slopes at 0 of functions of one number.

    Parameters
    ----------
    along : callable
        Values of the functions at a displacement.
    centre : sequence of float
        Values at 0.
    scale : float
        A displacement of natural size; the first step is ``first*scale``.
    noise : ndarray
        Rounding error of one value.
    goal : float
        The sweep ends when every error, relative to its slope or to the largest of them, is below this.

    Returns
    -------
    Slope

    Source
    ------
    Ridders, Adv. Eng. Software 4 (1982) 75; Press et al., Numerical Recipes (2007), section 5.7
    """
    middle = numpy.asarray(centre, dtype="float64")
    count = len(middle)
    slope = Slope(numpy.zeros(count), numpy.full(count, numpy.inf), numpy.zeros(count), noise, middle)
    previous: list[Array] = []
    for level in range(levels):
        h = first * scale / RATIO**level
        ahead, behind = numpy.asarray(along(h), dtype="float64"), numpy.asarray(along(-h), dtype="float64")
        slope.steps.append(h)
        slope.ahead.append(ahead)
        slope.behind.append(behind)
        row = [(ahead - behind) / (2 * h)]
        factor = RATIO**2
        rounding = 2 * noise / h
        for j, before in enumerate(previous[:3]):
            row.append(row[j] + (row[j] - before) / (factor - 1))
            error = numpy.maximum(abs(row[j + 1] - row[j]), abs(row[j + 1] - before)) + rounding
            better = error < slope.error
            slope.value = numpy.where(better, row[j + 1], slope.value)
            slope.error = numpy.where(better, error, slope.error)
            slope.step = numpy.where(better, h, slope.step)
            factor *= RATIO**2
        previous = row
        size = numpy.maximum(abs(slope.value), 1e-3 * abs(slope.value).max(initial=0.0))
        if level >= 2 and bool((slope.error <= numpy.maximum(goal * size, 4 * rounding)).all()):
            break
    return slope
