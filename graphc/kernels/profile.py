"""``graphc.profile``: the report of a compiled step as a picture."""

from __future__ import annotations

from typing import Any

from graphc.drawing.profile import SUFFIXES, Part, Profile
from graphc.drawing.written import checked_path
from graphc.errors import DataError
from graphc.kernels.compile import Step

__all__ = ["profile"]


def profile(step: Step, file: Any = None) -> Profile:
    """Time the launches of a step and draw where its time goes.

    Every launch is run alone on one thread many times; parameters, states and results are put back as they were.

    Parameters
    ----------
    step : Step
        What ``graphc.compile`` returned, called at least once: the sizes of the last call are timed.
    file : str or path, optional
        Where to write it; the suffix decides (.svg .pdf .png, and .txt for the table of ``step.report()``). Without it
        nothing is written.

    Returns
    -------
    Profile
        Shown by notebooks; ``save(file)`` writes it, ``str()`` gives the table.

    Raises
    ------
    DataError
        If the step has not run yet.
    DrawingError
        If the suffix is unknown or the file cannot be written.

    Examples
    --------
    >>> x = graphc.input("x", ("N", 100))
    >>> step = graphc.compile([graphc.exp(x)])
    >>> _ = step(x=numpy.zeros((64, 100)))
    >>> picture = graphc.profile(step)
    >>> "exp x" in picture.svg()
    True
    """
    from graphc.kernels.cpu.report import measured

    if not isinstance(step, Step):
        raise DataError(
            f"profile needs a compiled step, found {type(step).__name__}; compile the graph and call the step once:\n"
            "  step = graphc.compile([loss]); step(x=array); graphc.profile(step)"
        )
    if file is not None:
        checked_path(file, SUFFIXES)  # before any work
    report = measured(step.program)
    if not report.peak:
        raise DataError(
            "the step has not run yet, so there is nothing to time; call it once with a batch of the size that counts"
        )
    parts = tuple(Part(row.label, row.kind, row.seconds or 0.0, row.work) for row in report.rows)
    note = f"Each launch alone on one thread; FMA peak of one core {report.peak / 1e9:.0f} GFLOP/s in {report.dtype}."
    if report.parts > 1:
        note += f" Where {report.parts} threads divide the examples: the part of one."
    drawn = Profile(parts, report.peak, note, str(report))
    if file is not None:
        drawn.save(file)
    return drawn
