"""One workload: the losses of all contestants are compared first, then their steps are timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from graphc.benchmarks.floor import Floor, floor_of
from graphc.benchmarks.runner import Peer, Runner, RunnerError, own_runner
from graphc.benchmarks.timing import Times, steps_for, time_in_turn
from graphc.benchmarks.workloads import Workload

__all__ = ["TOLERANCE", "Result", "Row", "difference", "measure"]

#: Steps whose losses are compared, and the largest relative difference that is let through.
CHECKED, TOLERANCE = 10, 1e-4


@dataclass(frozen=True)
class Row:
    """A contestant on a workload.

    Attributes
    ----------
    name : str
        Contestant.
    difference : float or None
        Largest relative difference of its losses from graphc's; none for graphc itself and where it failed.
    times : Times or None
        None where it was not timed; `note` then says why.
    note : str
    """

    name: str
    difference: float | None
    times: Times | None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """A workload: its floor, graphc's row first, then those of the peers; `refused` says why nothing was timed."""

    workload: Workload
    floor: Floor
    rows: tuple[Row, ...]
    refused: str = ""

    @property
    def own(self) -> Row:
        """Row of graphc."""
        return self.rows[0]

    @property
    def best(self) -> Row | None:
        """Row of the fastest peer, by the median."""
        timed = [row for row in self.rows[1:] if row.times is not None]
        return min(timed, key=lambda row: row.times.median if row.times else 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        """Median of the best peer over that of graphc: above 1, graphc is faster."""
        best = self.best
        if best is None or best.times is None or self.own.times is None:
            return None
        return best.times.median / self.own.times.median


def difference(found: Sequence[float], expected: Sequence[float]) -> float:
    """Largest relative difference of two curves; infinite where one is not finite."""
    pairs = zip(found, expected, strict=True)
    worst = [abs(a - b) / max(abs(b), 1e-30) for a, b in pairs]
    return max(value if value >= 0 else float("inf") for value in worst)  # NaN compares false


def measure(
    workload: Workload,
    peers: Iterable[Peer],
    *,
    threads: int = 1,
    steps: int | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> Result:
    """Check a workload against its peers and time it.

    Parameters
    ----------
    workload : Workload
    peers : iterable of Peer
        Their first contestant that runs is the judge: where the losses of graphc differ from its losses by more than
        `TOLERANCE`, nothing is timed. Any other contestant whose losses differ is left out itself.
    threads : int, default 1
        Threads of every contestant.
    steps : int, optional
        Timed steps of each contestant; by default what fits into a few seconds.
    advance : callable, optional
        Called with a line of text before every turn, for a progress bar.
    """
    name, floor = workload.name, floor_of(workload.declare(), workload.batch)
    advance(f"{name}: graphc, compiling")
    own, task = own_runner(workload, threads)
    expected, seconds = _curve(own)
    rows: list[Row] = [Row(own.name, None, None)]
    timed, estimates = [own], [seconds]
    judged = False
    for runner in [runner for peer in peers for runner in peer.runners(task)]:
        advance(f"{name}: {runner.name}, losses")
        try:
            found, seconds = _curve(runner)
        except RunnerError as failure:
            rows.append(Row(runner.name, None, None, str(failure)))
            continue
        apart = difference(expected, found)
        if not apart <= TOLERANCE:
            rows.append(Row(runner.name, apart, None, f"its losses differ from those of graphc by {apart:.1e}"))
            if not judged:
                refused = f"its losses differ from those of {runner.name} by {apart:.1e}"
                return Result(workload, floor, tuple(rows), refused)
            continue
        judged = True
        rows.append(Row(runner.name, apart, None))
        timed.append(runner)
        estimates.append(seconds)
    count = steps_for(max(estimates)) if steps is None else steps
    times = time_in_turn(timed, estimates, count, lambda who: advance(f"{name}: {who}"))
    by_name = {runner.name: found for runner, found in zip(timed, times, strict=True)}
    rows = [Row(row.name, row.difference, by_name.get(row.name), row.note) for row in rows]
    return Result(workload, floor, tuple(rows))


def _curve(runner: Runner) -> tuple[list[float], float]:
    """Losses of the checked steps, and the shortest time of one."""
    losses, shortest = [], float("inf")
    for _ in range(CHECKED):
        start = time.perf_counter()
        losses.append(runner.step())
        shortest = min(shortest, time.perf_counter() - start)
    return losses, shortest
