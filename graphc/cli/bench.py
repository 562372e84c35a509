"""``graphc bench``: time one training step of a few networks, and the same step in other libraries."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from graphc.errors import DataError, GraphcError
from graphc.files import replace_file

__all__ = ["bench"]


def bench(
    names: list[str], against: str | None, threads: int, steps: int | None, output: str | None, *, memory: bool = False
) -> int:
    """Measure, print the table, and write it where a file is given.

    Parameters
    ----------
    names : list of str
        Workloads; all where it is empty.
    against : str or None
        Peers, separated by commas, or ``"none"``; by default those that are installed, but for PyTensor and tinygrad.
    threads : int
        Threads of every contestant.
    steps : int or None
        Timed steps of each contestant; by default what fits into a few seconds.
    output : str or None
        File for the table.
    memory : bool, default False
        Whether a process of its own for each contestant says how much memory it takes.

    Returns
    -------
    int
        0, or 1 where the losses of a workload differ from those of its peers.

    Raises
    ------
    GraphcError
        If a name is unknown, a number is too small, or the file cannot be written.
    """
    from graphc.benchmarks import WORKLOADS, measure, memory_table, report, workload
    from graphc.benchmarks.machine import load
    from graphc.benchmarks.memory import rises
    from graphc.benchmarks.peers import installed, peers
    from graphc.kernels.cpu.peak import fma_peak

    if threads < 1 or (steps is not None and steps < 1):
        raise DataError("--threads and --steps must be at least 1")
    target = None if output is None else Path(output)
    if target is not None and not target.parent.is_dir():
        raise GraphcError(f"--output: there is no folder {str(target.parent)!r}")
    works = [workload(name) for name in dict.fromkeys(names or WORKLOADS)]
    chosen = installed() if against is None else [] if against == "none" else against.split(",")
    opponents = peers(chosen)
    results, before = [], load()
    with _progress(len(works)) as (advance, finish):
        advance("FMA peak")
        peak = fma_peak()
        for work in works:
            results.append(measure(work, opponents, threads=threads, steps=steps, advance=advance))
            finish()
        grown = []
        for work in works if memory else ():
            advance(f"{work.name}: memory")
            grown += rises(work, chosen, threads)
    text = report(results, peak, threads, chosen, before) + memory_table(grown)
    print(text, end="")
    if target is not None:
        try:
            replace_file(target, text.encode())
        except OSError as error:
            raise GraphcError(f"--output: {str(target)!r} cannot be written: {error}") from error
    return 1 if any(result.refused for result in results) else 0


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """Show on a terminal what is being measured; gives functions for a line of text and for a workload done."""
    if not sys.stderr.isatty():
        yield lambda _: None, lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # redrawn only when asked to: a thread that draws would take time from what is measured
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield (
            lambda text: bar.update(task, description=text, refresh=True),
            lambda: bar.update(task, advance=1, refresh=True),
        )
