"""The report of a gradient check: one line for each parameter, and for each wrong one what was found where."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.checking.conventions import Conventions
from graphc.errors import CheckError, did_you_mean
from graphc.graph import verbs

__all__ = ["GradientFinding", "GradientReport", "Sample", "convention_lines"]

#: What every report of a gradient check says about its rules.
CONVENTIONS = (
    "Numeric values are central differences in float64, extrapolated over a sweep of steps (Ridders 1982).",
    (
        "The order is that of the Taylor remainder f(x + h) - f(x) - h*gradient: 2 for the right gradient, 1 for a "
        "wrong one, - where f is linear to rounding."
    ),
    "relative error = |numeric - analytic| / max(|numeric|, |analytic|).",
    "The gradient of a parameter has the shape of the parameter. Dropout and other random choices stay as drawn.",
)


def convention_lines(conventions: Conventions) -> tuple[str, ...]:
    """What a report says about its rules: those of differences, and those for ties."""
    return (*CONVENTIONS, *(line for line in conventions if line.startswith(("relu", "At a"))))


_WORDS = {
    "right": "right",
    "tie": "right (at a tie)",
    "unclear": "unclear",
    "wrong": "WRONG",
}


@dataclass(frozen=True)
class Sample:
    """One comparison of an analytic gradient with a numeric one.

    Attributes
    ----------
    place : tuple of int, or None
        Index of the element; None for a random direction through all elements.
    numeric, analytic : float
        Slope measured by differences, and the gradient that is judged.
    error, allowed : float
        Absolute error, and the largest that rounding explains.
    step : float
        Smallest step of the differences, in units of the parameter.
    order : float or None
        Order of the Taylor remainder; None where it drowns in rounding.
    interval : (float, float) or None
        Slopes that ties at the point allow.
    kinks : tuple of str
        Gates whose winners change between x - h and x + h, with how many do.
    verdict : str
        ``"right"``, ``"tie"``, ``"unclear"`` or ``"wrong"``.
    reason : str
        Why, where it is not plainly right.
    """

    place: tuple[int, ...] | None
    numeric: float
    analytic: float
    error: float
    allowed: float
    step: float
    order: float | None
    verdict: str
    interval: tuple[float, float] | None = None
    kinks: tuple[str, ...] = ()
    reason: str = ""

    @property
    def relative(self) -> float:
        """Error relative to the larger value; 0 where both are 0 to rounding."""
        size = max(abs(self.numeric), abs(self.analytic))
        return self.error / size if size > self.allowed or self.error > self.allowed else 0.0


@dataclass(frozen=True)
class GradientFinding:
    """The verdict on the gradient of one parameter.

    Attributes
    ----------
    name, shape, kind : str, tuple, str
    verdict : str
        ``"right"``, ``"tie"`` (right, within what a tie allows), ``"unclear"`` or ``"wrong"``.
    samples : tuple of Sample
        Elements, and random directions through all elements.
    compared : int
        Elements compared with the float64 reference gradient, beside the samples.
    terms : mapping
        Worst relative error for each term of the loss, where the graph shows several.
    message : str
        For a wrong gradient: index, both values, error, step, reason and what to do next.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    verdict: str
    samples: tuple[Sample, ...]
    compared: int = 0
    terms: Mapping[str, float] = field(default_factory=dict)
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the gradient was found right."""
        return self.verdict in ("right", "tie")

    @property
    def worst(self) -> Sample | None:
        """The sample to look at: the worst verdict, then the largest relative error."""
        rank = {"wrong": 3, "unclear": 2, "tie": 1, "right": 0}
        return max(
            self.samples,
            key=lambda s: (
                rank[s.verdict],
                s.place is not None or s.verdict == "right",  # an index says more than a direction
                s.error / s.allowed if s.allowed > 0 else s.relative,
            ),
            default=None,
        )

    def __str__(self) -> str:
        return self.message or f"{self.name}: {_WORDS[self.verdict]}"


class GradientReport(Mapping[str, GradientFinding]):
    """Findings by parameter, in the order of the graph or of the data.

    Attributes
    ----------
    subject : str
        What was checked.
    loss : float
        Its loss at the point.
    notes : tuple of str
        What else was seen: ties at the point, terms that differ much in size, how a dtype was treated.
    seconds : float
    """

    def __init__(
        self,
        subject: str,
        loss: float,
        findings: Sequence[GradientFinding],
        *,
        notes: Sequence[str] = (),
        problems: Sequence[str] = (),
        dtype: str = "float64",
        seconds: float = 0.0,
        conventions: Sequence[str] = (),
    ) -> None:
        self.subject = subject
        self.loss = loss
        self.notes = tuple(notes)
        self.problems = tuple(problems)
        self.dtype = dtype
        self.conventions = tuple(conventions or convention_lines(Conventions()))
        self.seconds = seconds
        self._findings = {finding.name: finding for finding in findings}

    def __getitem__(self, name: Any) -> GradientFinding:
        key = getattr(name, "label", name)
        if key not in self._findings:
            known = ", ".join(self._findings)
            raise KeyError(f"no gradient was checked for {key!r}{did_you_mean(str(key), self._findings)}; {known}")
        return self._findings[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._findings)

    def __len__(self) -> int:
        return len(self._findings)

    @property
    def ok(self) -> bool:
        """Whether every gradient, and the value of the loss, was found right."""
        return not self.problems and all(finding.ok for finding in self._findings.values())

    @property
    def exit_code(self) -> int:
        """0 if all gradients are right, 1 if one is wrong, 3 if one is unclear and none is wrong."""
        verdicts = {finding.verdict for finding in self._findings.values()}
        if "wrong" in verdicts or self.problems:
            return 1
        return 3 if "unclear" in verdicts else 0

    def raise_if_wrong(self) -> None:
        """Raise the messages of everything that was not found right.

        Raises
        ------
        CheckError
            If `ok` is not true.
        """
        if not self.ok:
            wrong = [str(f) for f in self._findings.values() if not f.ok]
            raise CheckError("\n".join([f"gradients of {self.subject} are not right", *self.problems, *wrong]))

    def json(self) -> str:
        """The report as JSON text."""
        return json.dumps(
            {
                "subject": self.subject,
                "dtype": self.dtype,
                "loss": _number(self.loss),
                "ok": self.ok,
                "exit_code": self.exit_code,
                "seconds": round(self.seconds, 4),
                "problems": list(self.problems),
                "parameters": [_plain(finding) for finding in self._findings.values()],
                "notes": list(self.notes),
                "conventions": list(self.conventions),
            },
            indent=2,
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(text=str(self))

    def __str__(self) -> str:
        right = sum(finding.ok for finding in self._findings.values())
        head = f"Gradients of {self.subject}, loss {self.loss:.6g}: {right} of {len(self)} right"
        rows = [
            (
                "parameter",
                "shape",
                "samples",
                "worst at",
                "numeric",
                "analytic",
                "rel. error",
                "step",
                "order",
                "verdict",
            )
        ]
        rows += [_row(finding) for finding in self._findings.values()]
        lines = [head, *_aligned(rows)]
        terms = [(f, t, e) for f in self._findings.values() for t, e in f.terms.items()]
        if terms:
            lines.append("Terms of the loss, each alone: worst relative error")
            worst: dict[str, tuple[float, str]] = {}
            for finding, term, error in terms:
                worst[term] = max(worst.get(term, (-1.0, "")), (error, finding.name))
            lines += [f"  {term}: {error:.1e} ({name})" for term, (error, name) in worst.items()]
        lines += self.problems
        lines += [finding.message for finding in self._findings.values() if finding.message]
        lines += [f"Note: {note}" for note in self.notes]
        lines += ["Conventions", *(f"  {line}" for line in self.conventions)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<GradientReport on {self.subject}: " + ", ".join(
            f"{name} {finding.verdict}" for name, finding in self._findings.items()
        ) + ">"  # fmt: skip


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  " + "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  " + "-" * (max(map(len, lines)) - 2), *lines[1:]]


def _row(finding: GradientFinding) -> tuple[str, ...]:
    elements = sum(sample.place is not None for sample in finding.samples)
    directions = len(finding.samples) - elements
    counted = f"{elements} + {directions} direction{'s' if directions != 1 else ''}"
    if finding.compared:
        counted += f", all {finding.compared} with the reference"
    shape = "x".join(map(str, finding.shape)) or "scalar"
    worst = finding.worst
    if worst is None:
        return (finding.name, shape, counted, "-", "-", "-", "-", "-", "-", _WORDS[finding.verdict])
    return (
        finding.name,
        shape,
        counted,
        place_text(worst.place),
        f"{worst.numeric:.6g}" if worst.interval is None else f"{worst.interval[0]:.4g} to {worst.interval[1]:.4g}",
        f"{worst.analytic:.6g}",
        "-" if worst.verdict == "tie" else f"{worst.relative:.1e}",
        f"{worst.step:.1e}",
        "-" if worst.order is None or worst.verdict == "tie" else f"{worst.order:.2f}",
        _WORDS[finding.verdict],
    )


def place_text(place: tuple[int, ...] | None) -> str:
    """An index as it is written in Python; ``direction`` for None."""
    if place is None:
        return "direction"
    return f"[{', '.join(map(str, place))}]" if place else "()"


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _plain(finding: GradientFinding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "shape": list(finding.shape),
        "kind": finding.kind,
        "verdict": finding.verdict,
        "ok": finding.ok,
        "compared": finding.compared,
        "terms": {term: _number(error) for term, error in finding.terms.items()},
        "samples": [
            {
                "place": None if s.place is None else list(s.place),
                "numeric": _number(s.numeric),
                "analytic": _number(s.analytic),
                "error": _number(s.error),
                "relative_error": _number(s.relative),
                "allowed": _number(s.allowed),
                "step": s.step,
                "order": None if s.order is None else round(s.order, 3),
                "interval": None if s.interval is None else [_number(b) for b in s.interval],
                "kinks": list(s.kinks),
                "verdict": s.verdict,
                "reason": s.reason,
            }
            for s in finding.samples
        ],
        "message": finding.message,
    }
