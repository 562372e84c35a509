"""The report in Markdown: the machine, a row for each workload, then a row for each contestant."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence

from graphc.benchmarks.machine import processor, versions
from graphc.benchmarks.measure import CHECKED, TOLERANCE, Result, Row
from graphc.benchmarks.memory import Rise
from graphc.kernels.cpu.peak import independent_sums
from graphc.kernels.cpu.threads import available

__all__ = ["memory_table", "report"]

_PACKAGES = ["graphc", "numpy", "numba", "scipy"]


def report(results: Sequence[Result], peak: float, threads: int, peers: Sequence[str], load: str = "unknown") -> str:
    """Write the results down.

    Parameters
    ----------
    results : sequence of Result
    peak : float
        FLOP/s of one core.
    threads : int
        Threads of every contestant.
    peers : sequence of str
        Packages of the peers.
    load : str
        Load of the machine before the measurement.

    Returns
    -------
    str
        Markdown.
    """
    lines = [*_header(peak, threads, peers, load), "", *_summary(results, peak * threads)]
    mean = _geometric_mean(results)
    if mean is not None:
        lines += ["", mean]
    return "\n".join([*lines, "", *_details(results), ""])


def _header(peak: float, threads: int, peers: Sequence[str], load: str) -> list[str]:
    many = f"{threads} thread{'s' if threads > 1 else ''}"
    return f"""\
# One training step: forward, backward, gradient descent with momentum 0.9

- processor: {processor()}, {available()} cores usable, {platform.system()} {platform.machine()}
- load before the measurement: {load}; above about 0.5, other programs share the cores, and threads that wait for each
  other lose most
- versions: {versions([*_PACKAGES, *peers])}
- {many} for every contestant, float32
- FMA peak: {peak / 1e9:.0f} GFLOP/s a core, measured on one core with {math.prod(independent_sums())} independent sums
  in vector registers; for {many} taken as {peak * threads / 1e9:.0f} GFLOP/s
- floor: FLOP of convolutions, dense layers and recurrent cells, forward and both gradients, at the FMA peak, as the
  formulas have them: minimal filtering (3x3) and lookups in products may take less; bytes are data read, parameters and
  velocities read and written
- losses of {CHECKED} steps from the same weights on the same data are compared before anything is timed: relative
  difference at most {TOLERANCE:g}
- medians of steps timed in turn in one process, with quartiles; every step ends with the loss as a Python number
""".splitlines()


def _summary(results: Sequence[Result], peak: float) -> list[str]:
    rows = []
    for result in results:
        floor = result.floor
        cells = [result.workload.name, f"{floor.flops / 1e9:.4g}" if floor.flops else "-", _bytes(floor.bytes)]
        least = floor.flops / peak
        cells.append(_milliseconds(least) if floor.flops else "-")
        own = result.own.times
        if own is None:
            rows.append([*cells, "not timed", "-", "-", "-", "-"])
            continue
        cells += [_milliseconds(own.median), f"{least / own.median:.1%}" if floor.flops else "-"]
        best, ratio = result.best, result.ratio
        if best is None or best.times is None or ratio is None:
            rows.append([*cells, "no peer", "-", "-"])
        else:
            rows.append([*cells, best.name, _milliseconds(best.times.median), f"{ratio:.2f}"])
    names = ["workload", "GFLOP", "bytes", "floor ms", "graphc ms", "of peak", "best peer", "peer ms", "peer / graphc"]
    return _table(names, rows, "lrrrrrlrr")


def _details(results: Sequence[Result]) -> list[str]:
    rows = []
    for result in results:
        rows += [[result.workload.name, row.name, *_measured(row, result)] for row in result.rows]
    names = ["workload", "contestant", "median ms", "quartiles ms", "steps", "over graphc", "losses differ by"]
    lines = [f"- {result.workload.name}: {result.workload.title}" for result in results]
    for result in results:
        reasons = {result.own.name: result.refused} if result.refused else {row.name: row.note for row in result.rows}
        lines += [f"- {result.workload.name}, {who}, not timed: {why}" for who, why in reasons.items() if why]
    return [*_table(names, rows, "llrrrrr"), "", *lines]


def _measured(row: Row, result: Result) -> list[str]:
    apart = "-" if row.difference is None else f"{row.difference:.1e}"
    if row.times is None:
        return ["not timed", "-", "-", "-", apart]
    own = result.own.times
    over = f"{row.times.median / own.median:.2f}" if own is not None else "-"
    quartiles = f"{_milliseconds(row.times.lower)} to {_milliseconds(row.times.upper)}"
    return [_milliseconds(row.times.median), quartiles, str(row.times.steps), over, apart]


def memory_table(rises: Sequence[Rise]) -> str:
    """Return how much each contestant's process grew, as Markdown; nothing where nothing was measured."""
    if not rises:
        return ""
    rows = [
        [rise.workload, rise.name, rise.note if rise.bytes is None else f"{rise.bytes / 1e6:.0f}"] for rise in rises
    ]
    head = "Resident memory, from imported and idle to ten steps, in a process for each (a peer's first contestant):"
    return "\n".join(["", head, "", *_table(["workload", "contestant", "MB"], rows, "llr"), ""])


def _geometric_mean(results: Sequence[Result]) -> str | None:
    ratios = [result.ratio for result in results if result.ratio is not None]
    if not ratios:
        return None
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return f"Geometric mean of peer / graphc over {len(ratios)} workloads: {mean:.2f}"


def _table(names: list[str], rows: list[list[str]], sides: str) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in [names, *rows]]
    cells = [[*row, *[""] * (len(names) - len(row))][: len(names)] for row in cells]
    widths = [max(3, *(len(row[k]) for row in cells)) for k in range(len(names))]

    def line(row: list[str]) -> str:
        filled = [c.ljust(w) if s == "l" else c.rjust(w) for c, w, s in zip(row, widths, sides, strict=True)]
        return f"| {' | '.join(filled)} |"

    rule = ["-" * w if s == "l" else "-" * (w - 1) + ":" for w, s in zip(widths, sides, strict=True)]
    return [line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])]


def _milliseconds(seconds: float) -> str:
    """About three digits, no exponent."""
    value = 1e3 * seconds
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def _bytes(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
