"""Timing in turn: every contestant runs a few steps in each round, so that all meet the same machine."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy

from graphc.benchmarks.runner import Runner

__all__ = ["Times", "steps_for", "time_in_turn"]

#: Seconds that a turn lasts at least, and seconds at its start that are not timed: caches hold what another library
#: left there, and its threads may still be waiting for work.
_TURN, _SETTLING = 0.03, 0.01
#: Seconds that a contestant may take on a workload where no number of steps is given, and the bounds of that number.
_BUDGET, _FEWEST, _MOST = 4.0, 12, 1000


@dataclass(frozen=True)
class Times:
    """Seconds of a step: median, lower and upper quartile, and how many steps they come from."""

    median: float
    lower: float
    upper: float
    steps: int


def steps_for(seconds: float) -> int:
    """Number of steps for a contestant whose step takes so many seconds."""
    return min(max(int(_BUDGET / max(seconds, 1e-9)), _FEWEST), _MOST)


def time_in_turn(
    runners: Sequence[Runner], estimates: Sequence[float], steps: int, advance: Callable[[str], None]
) -> list[Times]:
    """Time the steps of all contestants, round by round.

    Parameters
    ----------
    runners : sequence of Runner
        Contestants, in the order of a round.
    estimates : sequence of float
        About how many seconds a step of each takes: short ones run several in a turn.
    steps : int
        Timed steps of each contestant.
    advance : callable
        Called with a name before every turn.

    Returns
    -------
    list of Times, one for each contestant
    """
    turn = min(max(math.ceil(_TURN / max(min(estimates), 1e-9)), 1), steps)
    taken: list[list[float]] = [[] for _ in runners]
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for first in range(0, steps, turn):
            for runner, found in zip(runners, taken, strict=True):
                advance(runner.name)
                settled = time.perf_counter() + _SETTLING
                runner.step()
                while time.perf_counter() < settled:
                    runner.step()
                for _ in range(min(turn, steps - first)):
                    start = time.perf_counter()
                    runner.step()
                    found.append(time.perf_counter() - start)
    finally:
        if collects:
            gc.enable()
    return [_times(found) for found in taken]


def _times(taken: list[float]) -> Times:
    lower, median, upper = (float(value) for value in numpy.percentile(taken, (25, 50, 75)))
    return Times(median, lower, upper, len(taken))
