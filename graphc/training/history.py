"""History of a training: one row an epoch, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphc.errors import DataError, did_you_mean
from graphc.graph import verbs

__all__ = ["History"]


class History:
    """What each epoch gave: ``epoch``, ``loss``, the metrics, ``seconds``, and the same on validation data.

    Parameters
    ----------
    rows : list of dict, optional
        One dict an epoch, name -> number.

    Examples
    --------
    >>> from graphc.training import History
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"]
    [0.5, 0.25]
    >>> print(history)
    epoch |   loss
    ------+-------
        1 | 0.5000
        2 | 0.2500
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows: list[dict[str, float]] = list(rows or [])

    def append(self, row: Mapping[str, float]) -> None:
        """Add one epoch."""
        self.rows.append(dict(row))

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """Return a column; epochs without it are left out."""
        if name not in self.names:
            raise DataError(
                f"the history has no column {name!r}{did_you_mean(str(name), self.names)}; "
                f"it has: {', '.join(self.names) or 'no epochs yet'}"
            )
        return [row[name] for row in self.rows if name in row]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(text=str(self))

    def __str__(self) -> str:
        if not self.rows:
            return "no epochs yet"
        names = self.names
        table = [names, *([_cell(name, row.get(name)) for name in names] for row in self.rows)]
        widths = [max(len(line[k]) for line in table) for k in range(len(names))]
        lines = [" | ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in table]
        lines.insert(1, "-+-".join("-" * width for width in widths))
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, path: Any) -> Path:
        """Draw the curves over the epochs, losses above and metrics below.

        Parameters
        ----------
        path : str or path
            File to write, ending in ``.svg``.

        Raises
        ------
        DataError
            If there are no epochs, or the file cannot be written; no part of it is left then.
        """
        from graphc.training.plot import curves, write

        if not self.rows:
            raise DataError("there are no epochs to plot yet; call fit first")
        epochs = [row.get("epoch", k + 1) for k, row in enumerate(self.rows)]
        panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for name in self.names:
            if name in ("epoch", "seconds", "learning rate"):
                continue
            kind = name.removeprefix("validation ")
            points = [(e, row[name]) for e, row in zip(epochs, self.rows, strict=True) if name in row]
            panels.setdefault(kind, {})["validation" if name.startswith("validation ") else "training"] = points
        return write(path, curves(panels))


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "epoch":
        return f"{value:.0f}"
    if name == "seconds":
        return f"{value:.2f}"
    if name == "learning rate":
        return f"{value:.4g}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.1e}"
