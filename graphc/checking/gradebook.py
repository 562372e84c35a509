"""What was graded: marks, students, and the whole as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphc.checking.schema import FORMAT
from graphc.checking.sheets import Answers, Sheet
from graphc.checking.text import Parts, joined_text, shortened

__all__ = ["OPEN", "RIGHT", "Gradebook", "Graded", "Mark"]

#: Verdicts that earn the whole weight.
RIGHT = ("proved", "agrees", "right")

#: Verdicts that a person should look at.
OPEN = ("undecided",)


@dataclass(frozen=True)
class Mark:
    """The verdict on one gradient that was asked for, and what it earns.

    Attributes
    ----------
    exercise, name : str
    verdict : str
        As of a finding or of the line of a derivation; or ``"unreadable"``, ``"missing"``.
    claimed : str
        The answer.
    weight, share : float
        What a right answer earns, and the share of it that was earned.
    parts : list of (role, text)
        What a student should read.
    finding : dict or None
        The finding as plain data.
    """

    exercise: str
    name: str
    verdict: str
    claimed: str
    weight: float
    share: float
    parts: Parts = field(default_factory=list)
    finding: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """What a student should read."""
        return joined_text(self.parts, colour=False)


@dataclass(frozen=True)
class Graded:
    """One student's answers with their marks.

    Attributes
    ----------
    derivations : mapping
        For each exercise, its judged lines as plain data.
    lines : mapping
        For each exercise, its judged lines as parts of a text.
    """

    answers: Answers
    marks: tuple[Mark, ...]
    derivations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lines: Mapping[str, Parts] = field(default_factory=dict)
    problem: str = ""

    @property
    def score(self) -> float:
        """What was earned."""
        return sum(mark.weight * mark.share for mark in self.marks)

    @property
    def weight(self) -> float:
        """What could be earned."""
        return sum(mark.weight for mark in self.marks)

    @property
    def exit_code(self) -> int:
        """0 if everything is right, 1 if something is wrong, missing or unreadable, 3 if the rest is undecided."""
        verdicts = {mark.verdict for mark in self.marks}
        verdicts |= {line["verdict"] for found in self.derivations.values() for line in found["lines"]} - {"definition"}
        if self.problem or verdicts - {*RIGHT, *OPEN}:
            return 1
        return 3 if verdicts & set(OPEN) else 0


class Gradebook(Sequence[Graded]):
    """Everything that was graded.

    Attributes
    ----------
    sheet : Sheet
    seconds : float
        Time taken in all.
    """

    def __init__(self, sheet: Sheet, graded: Iterable[Graded], seconds: float) -> None:
        self.sheet, self.graded, self.seconds = sheet, tuple(graded), seconds

    def __getitem__(self, number: Any) -> Any:
        return self.graded[number]

    def __len__(self) -> int:
        return len(self.graded)

    @property
    def exit_code(self) -> int:
        """0 all right, 1 something wrong, 3 something undecided and nothing wrong."""
        codes = {graded.exit_code for graded in self.graded}
        return 1 if 1 in codes else 3 if 3 in codes else 0

    def json(self) -> str:
        """Everything as JSON text; see `graphc.checking.schema`."""
        students = [
            {
                "student": graded.answers.student,
                "file": graded.answers.file,
                "score": round(graded.score, 6),
                "weight": round(graded.weight, 6),
                "problem": graded.problem,
                "notes": list(graded.answers.notes),
                "marks": [
                    {
                        "exercise": mark.exercise,
                        "name": mark.name,
                        "verdict": mark.verdict,
                        "claimed": mark.claimed,
                        "weight": mark.weight,
                        "share": mark.share,
                        "text": mark.text,
                        "finding": mark.finding,
                    }
                    for mark in graded.marks
                ],
                "derivations": dict(graded.derivations),
            }
            for graded in self.graded
        ]
        return json.dumps(
            {
                "format": FORMAT,
                "title": self.sheet.title,
                "exit_code": self.exit_code,
                "seconds": round(self.seconds, 3),
                "partial": dict(self.sheet.partial),
                "students": students,
            },
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )

    def csv(self) -> str:
        """A table for a spreadsheet: one row a student, one column for what each answer earned."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        columns = [f"{exercise.name}.{name}" for exercise in self.sheet.exercises for name in exercise.weights]
        writer.writerow(["student", "file", "score", "of", *map(_cell, columns), "to look at", "problem"])
        for graded in self.graded:
            earned = {(mark.exercise, mark.name): mark.weight * mark.share for mark in graded.marks}
            looked = [f"{mark.exercise}.{mark.name}" for mark in graded.marks if mark.verdict in OPEN]
            writer.writerow([
                _cell(graded.answers.student), _cell(graded.answers.file), f"{graded.score:g}", f"{graded.weight:g}",
                *(f"{earned[exercise.name, name]:g}" for exercise in self.sheet.exercises for name in exercise.weights),
                _cell(" ".join(looked)), _cell(graded.problem),
            ])  # fmt: skip
        return out.getvalue()

    def table(self) -> Parts:
        """One line a student, as parts of a text."""
        rows = [("student", "score", "right", "wrong", "missing", "to look at", "problem")]
        for graded in self.graded:
            verdicts = [mark.verdict for mark in graded.marks]
            right = sum(verdict in RIGHT for verdict in verdicts)
            undecided = sum(verdict in OPEN for verdict in verdicts)
            missing = verdicts.count("missing")
            rows.append((
                graded.answers.student, f"{graded.score:.4g} of {graded.weight:g}", str(right),
                str(len(verdicts) - right - undecided - missing), str(missing), str(undecided),
                shortened(graded.problem or "; ".join(graded.answers.notes)),
            ))  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        parts: Parts = [("head", f"{self.sheet.title}: {len(self)} submission{'s' if len(self) != 1 else ''}\n")]
        for k, row in enumerate(rows):
            cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
            role = "quiet" if not k else {0: "right", 1: "", 3: "undecided"}[self.graded[k - 1].exit_code]
            parts.append((role, ("  " + "  ".join(cells)).rstrip() + "\n"))
        if len(self):
            mean = sum(graded.score for graded in self.graded) / len(self)
            parts.append(("", f"mean {mean:.4g} of {self.sheet.weight:g}, in {self.seconds:.1f} s\n"))
        return parts

    def details(self) -> Parts:
        """Every mark and line, as parts of a text."""
        parts: Parts = []
        for graded in self.graded:
            if len(self) > 1:
                parts.append(("head", f"{graded.answers.student}: {graded.score:.4g} of {graded.weight:g}\n"))
            if graded.problem:
                parts.append(("wrong", f"  {graded.problem}\n"))
            parts += [("undecided", f"  {note}\n") for note in graded.answers.notes]
            for exercise in self.sheet.exercises:
                marks = [mark for mark in graded.marks if mark.exercise == exercise.name]
                if graded.problem or not (marks or exercise.name in graded.lines):
                    continue
                earned = sum(mark.weight * mark.share for mark in marks)
                total = f" ({earned:.4g} of {sum(mark.weight for mark in marks):g})" if marks else ""
                parts.append(("head", f"{exercise.name}{total}\n"))
                parts += _moved(graded.lines.get(exercise.name, []))
                for mark in marks:
                    parts += _moved(mark.parts)
                    if 0 < mark.share < 1:
                        parts.append(("undecided", f"      earns {mark.share:.3g} of its weight\n"))
        return parts


def _moved(parts: Parts) -> Parts:
    """Parts two columns to the right."""
    moved: Parts = []
    new_line = True
    for role, text in parts:
        moved.append((role, f"  {text}" if new_line else text))
        new_line = text.endswith("\n")
    return moved


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    Source
    ------
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
