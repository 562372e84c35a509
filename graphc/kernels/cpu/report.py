"""Where the time of a step goes: launch by launch, compared with what the processor can do.

Each launch is run alone on one thread many times and the shortest run counts, less what it takes to launch nothing. A
launch that divides the batch among threads is timed on the part of the first. Afterwards everything is as it was:
parameters, states, results.
"""

from __future__ import annotations

import functools
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.formula.size import extent_value
from graphc.kernels.cpu.peak import fma_peak
from graphc.planning.plan import THREADS, Launch, item_bytes

if TYPE_CHECKING:
    from graphc.kernels.cpu.program import Program

__all__ = ["Report", "Row", "measured"]

#: What a named size is taken to be before the program has been given any.
_TYPICAL_SIZE = 64
#: Runs of a launch, seconds after which no other one starts, and the shortest time that is believed.
_RUNS, _SECONDS, _SHORTEST = 300, 0.01, 1e-8
_PEAK_SECONDS = 0.1
_WIDTH = 110


@dataclass(frozen=True)
class Row:
    """A launch.

    Attributes
    ----------
    label : str
        Gate and node.
    kind : str
        Of kernel; ``"loops"`` are derived from the formula, all others are schedules of their own.
    kernel : int
        Number of the kernel in the plan.
    elements : int
        Elements of the array that it writes.
    bytes : int
        Sizes of the arrays that it reads and writes, each once; caches may spare some of the traffic.
    seconds : float or None
        Shortest of many runs on one thread; None where the program has not run.
    work : float
        FLOP of what was timed, a multiply-add counts 2.
    traffic : float
        Bytes of what was timed.
    """

    label: str
    kind: str
    kernel: int
    elements: int
    bytes: int
    seconds: float | None
    work: float
    traffic: float


@dataclass(frozen=True)
class Report:
    """The launches of a program in their order.

    Attributes
    ----------
    rows : tuple of Row
    peak : float
        FLOP/s of multiply-adds of one core; 0 where nothing was timed.
    dtype : str
        Of the peak.
    parts : int
        Threads that divide the batch.
    """

    rows: tuple[Row, ...]
    peak: float
    dtype: str
    parts: int

    @property
    def seconds(self) -> float:
        """Sum of all launches."""
        return sum(row.seconds or 0.0 for row in self.rows)

    @property
    def share(self) -> float:
        """Share of the peak that the whole reaches."""
        return sum(row.work for row in self.rows) / max(self.seconds * self.peak, 1e-30)

    @property
    def derived(self) -> tuple[Row, ...]:
        """Launches that no schedule accepted."""
        return tuple(row for row in self.rows if row.kind == "loops")

    def __str__(self) -> str:
        timed = self.peak > 0
        wide = max((len(f"{row.kind} {row.kernel}") for row in self.rows), default=6)
        header = f"{'launch':<34} {'kernel':<{wide}} {'elements':>11} {'bytes':>11}"
        if timed:
            header += f" {'time [us]':>10} {'GFLOP/s':>8} {'of peak':>8} {'GB/s':>7}"
        lines = [header, "-" * len(header)]
        for row in self.rows:
            line = f"{row.label[:34]:<34} {f'{row.kind} {row.kernel}':<{wide}} {row.elements:>11,} {row.bytes:>11,}"
            if row.seconds is not None:
                speed = row.work / row.seconds
                line += f" {row.seconds * 1e6:>10.2f} {speed / 1e9:>8.2f} {speed / self.peak:>8.1%}"
                line += f" {row.traffic / row.seconds / 1e9:>7.1f}"
            lines.append(line)
        if timed:
            total = sum(row.bytes for row in self.rows)
            speed = self.share * self.peak / 1e9
            line = f"{'sum':<34} {'':<{wide}} {'':>11} {total:>11,} {self.seconds * 1e6:>10.2f}"
            line += f" {speed:>8.2f} {self.share:>8.1%}"
            lines += ["-" * len(header), line]
            text = f"one thread, each launch alone; FMA peak {self.peak / 1e9:.0f} GFLOP/s ({self.dtype}, one core)"
            if self.parts > 1:
                text += f"; launches that {self.parts} threads divide by examples: the part of one"
            lines += ["", *textwrap.wrap(text, _WIDTH)]
        return "\n".join([*lines, *textwrap.wrap(self._derived_text(), _WIDTH)])

    def _derived_text(self) -> str:
        rows = self.derived
        text = f"derived loops (no schedule accepted them): {len(rows)} of {len(self.rows)} launches"
        if not rows:
            return text
        if self.peak > 0:
            text += f", {sum(row.seconds or 0.0 for row in rows) / max(self.seconds, 1e-30):.0%} of the time"
            rows = sorted(rows, key=lambda row: -(row.seconds or 0.0))
        return f"{text}: {', '.join(dict.fromkeys(row.label for row in rows))}"


def measured(program: Program) -> Report:
    """Return what each launch of a program does, with times where the program has run.

    Nothing that the program holds is changed: parameters, states and results of the last run are put back.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Report
    """
    frame = program._frame
    if not program._ran or frame is None:
        sizes = frame.sizes if frame is not None else dict.fromkeys(program.plan.sizes, _TYPICAL_SIZE)
        rows = [_row(program, launch, {THREADS: 1, **sizes}, 1, None) for launch in program.plan.launches]
        return Report(tuple(rows), 0.0, "", 1)
    dtype = _dtype(program)
    peak = _peak(dtype)
    kept = [(array, array.copy()) for array in (program._arena, *_written(program))]
    rows = []
    nothing = program._headed([])
    started = _best_time(lambda: program._execute(nothing.ctypes.data, 0, 1))
    try:
        for number, launch in enumerate(program.plan.launches):
            parts = frame.shard if number in program._segment else 1
            seconds = max(_best_time(program._call(number)) - started, _SHORTEST)
            rows.append(_row(program, launch, frame.sizes, parts, seconds))
    finally:
        for array, copy in kept:
            array[...] = copy
    return Report(tuple(rows), peak, dtype, frame.shard)


def _row(program: Program, launch: Launch, sizes: Mapping[str, int], parts: int, seconds: float | None) -> Row:
    plan = program.plan
    kernel = plan.kernels[launch.kernel]
    written = kernel.written(launch.buffers)[0]
    part = dict(sizes)
    if parts > 1:  # the examples and the arrays of one thread
        part |= {plan.batch: max(sizes[plan.batch] // parts, 1), THREADS: 1}

    def moved(known: Mapping[str, int]) -> int:
        arrays = (plan.buffers[number] for number in set(launch.buffers))
        return sum(extent_value(buffer.elements(), known) * item_bytes(buffer.dtype) for buffer in arrays)

    return Row(
        launch.label,
        program.schedules[launch.kernel],
        launch.kernel,
        extent_value(plan.buffers[written].elements(), sizes),
        moved(sizes),
        seconds,
        extent_value(launch.work, sizes) / parts,
        moved(part),
    )


def _written(program: Program) -> list:
    """Arrays outside the arena that launches or updates may write."""
    buffers = program.plan.buffers
    return [array for number, array in program._arrays.items() if buffers[number].role in ("parameter", "state")]


def _dtype(program: Program) -> str:
    types = {buffer.dtype for buffer in program.plan.buffers}
    return "float64" if "float64" in types else "float32"


@functools.cache
def _peak(dtype: str) -> float:
    return fma_peak(_PEAK_SECONDS, dtype)


def _best_time(call: Callable[[], None]) -> float:
    """Shortest of many runs, in seconds."""
    best, spent = float("inf"), 0.0
    for _ in range(_RUNS):
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
        if spent > _SECONDS:
            break
    return best
