"""Every error graphc raises on purpose.

::

    GraphcError                what you asked cannot be done; the message says what to change
    ├── FormulaError           a formula's text or structure (not affine, unknown call, bad guard)
    ├── ShapeError             shapes, ranks or dtypes that do not fit at declaration
    ├── DerivativeError        a derivative that does not exist or was not asked for properly
    ├── DrawingError           a picture that cannot be made or written
    ├── CheckError             a claim that cannot be read or judged
    ├── PlanError              a graph that cannot be planned for execution
    ├── KernelError            a kernel that cannot be built, loaded or run
    ├── DataError              data handed in at run time (missing, wrong shape, wrong dtype, NaN)
    └── CheckpointError        a checkpoint that cannot be written or read
    InternalError              our fault: please report it

Each error carries what a tool may want to act on: ``node``, ``gate``, ``shapes``, ``site``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "CheckError",
    "CheckpointError",
    "DataError",
    "DerivativeError",
    "DrawingError",
    "FormulaError",
    "GraphcError",
    "InternalError",
    "KernelError",
    "PlanError",
    "ShapeError",
    "Site",
    "did_you_mean",
]


@dataclass(frozen=True, slots=True)
class Site:
    """Where the user declared something: a file and a line of their own code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class GraphcError(Exception):
    """Base of all errors that the user can mend.

    Parameters
    ----------
    message : str
        What was asked, what was found, what was expected, what to do.
    node : object, optional
        The node (or its name) the error is about.
    gate : str, optional
        Registry name of the gate.
    shapes : tuple, optional
        Shapes of the operands, in operand order.
    site : Site, optional
        Where the user declared the node.
    """

    def __init__(
        self,
        message: str,
        *,
        node: Any = None,
        gate: str | None = None,
        shapes: tuple[Any, ...] = (),
        site: Site | None = None,
    ) -> None:
        super().__init__(message)
        self.node = node
        self.gate = gate
        self.shapes = shapes
        self.site = site


class FormulaError(GraphcError):
    """A formula's text or structure is not in the language."""


class ShapeError(GraphcError):
    """Shapes, ranks or dtypes of operands do not fit a gate."""


class DerivativeError(GraphcError):
    """A derivative does not exist, or the request is ambiguous."""


class DrawingError(GraphcError):
    """A picture cannot be laid out or written."""


class CheckError(GraphcError):
    """A claim cannot be read or judged."""


class PlanError(GraphcError):
    """A graph cannot be planned for execution."""


class KernelError(GraphcError):
    """A kernel cannot be built, loaded or run."""


class DataError(GraphcError):
    """Data handed in at run time is missing or does not fit."""


class CheckpointError(GraphcError):
    """A checkpoint cannot be written or read."""


class InternalError(Exception):
    """A defect of graphc itself: please report it with the message."""


def did_you_mean(name: str, known: Any) -> str:
    """Return ``"; did you mean 'x'?"`` when a known name is close, else an empty string."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
