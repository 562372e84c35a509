"""Reports as text, line by line with the part that each line plays, and colours for terminals."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.checking.derivation import Derivation
    from graphc.checking.report import Finding, Report

__all__ = ["Parts", "coloured", "derivation_parts", "finding_parts", "joined_text", "report_parts"]

#: Role and text of pieces of lines; a line ends where a piece ends with a line break.
Parts = list[tuple[str, str]]

#: Codes of terminals: bold, and the colours that every theme of a terminal has.
_CODES = {
    "head": "1",
    "right": "32",
    "wrong": "1;31",
    "undecided": "33",
    "why": "1",
    "quiet": "2",
}

_WORDS = {
    "proved": ("right", "right, proved"),
    "agrees": ("right", "right at every point tried"),
    "differs": ("wrong", "WRONG"),
    "undecided": ("undecided", "undecided"),
}


def coloured(stream: Any = None) -> bool:
    """Whether a stream should get colours: a terminal, and neither ``NO_COLOR`` nor ``TERM=dumb`` is set.

    Source
    ------
    https://no-color.org
    """
    stream = sys.stdout if stream is None else stream
    terminal = bool(getattr(stream, "isatty", lambda: False)())
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def joined_text(parts: Iterable[tuple[str, str]], *, colour: bool) -> str:
    """Pieces as one text, without the last line break."""
    pieces = []
    for role, text in parts:
        code = _CODES.get(role) if colour else None
        if code is None or not text.strip():
            pieces.append(text)
            continue
        end = len(text) - len(text.rstrip("\n"))
        body = text[: len(text) - end]
        pieces.append("\n".join(f"\033[{code}m{line}\033[0m" for line in body.split("\n")) + "\n" * end)
    return "".join(pieces).removesuffix("\n")


def _indented(role: str, text: str) -> Parts:
    return [(role, f"    {line}\n") for line in text.splitlines()]


def shortened(text: str) -> str:
    """A claim on one line of bounded length."""
    text = " ".join(text.split())
    return text if len(text) <= 120 else text[:117] + "..."


def finding_parts(finding: Finding) -> Parts:
    """A finding: the claim with its verdict, where it fails, why, and what is correct."""
    role, word = _WORDS[finding.verdict]
    if finding.verdict == "agrees":
        one = finding.points == 1
        word = "right at this point" if one else f"{word} ({finding.digits} digits at {finding.points} points)"
    wrong = finding.verdict == "differs"
    note = f", {finding.note}" if finding.note and not wrong else ""
    parts: Parts = [("", f"{finding.name}: {shortened(finding.claimed)}   "), (role, word), ("", f"{note}\n")]
    if not wrong:
        return parts
    parts += _indented("", finding.note)
    if finding.counterexample is not None:
        parts += _indented("", str(finding.counterexample))
    unknown = "" if finding.note else "the cause is not known"
    parts += _indented("why", finding.diagnosis or unknown)
    if finding.correct is not None:
        parts += _indented("right", f"correct: {finding.correct}")
    return parts


def report_parts(report: Report) -> Parts:
    """A report: how many claims are right, each of them, and the conventions."""
    right = sum(finding.ok for finding in report.values())
    parts: Parts = [("head", f"Gradients of {report.root.label}: {right} of {len(report)} claims right\n")]
    for finding in report.values():
        new_line = True
        for role, text in finding_parts(finding):
            parts.append((role, f"  {text}" if new_line else text))
            new_line = text.endswith("\n")
    parts.append(("quiet", "Conventions\n"))
    parts += [("quiet", f"  {line}\n") for line in report.conventions]
    return parts


_STEPS = {
    "right": "right",
    "definition": "right",
    "wrong": "wrong",
    "follows": "undecided",
    "undecided": "undecided",
}


def derivation_parts(derivation: Derivation) -> Parts:
    """A derivation: each line with the colour of its verdict."""
    text = str(derivation).splitlines()
    parts: Parts = [("head", f"{text[0]}\n")]
    for step in derivation:
        first, *others = str(step).splitlines()
        body, _, word = first.rpartition("   ")
        parts += [("", f"{body}   "), (_STEPS[step.verdict], f"{word}\n")]
        parts += [("", f"{line}\n") for line in others]
    return parts
