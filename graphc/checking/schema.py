"""Reports as plain data, and the published schema that they follow."""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.checking.report import Finding, Report

__all__ = ["FORMAT", "plain_finding", "plain_report", "schema"]

#: Version of the format: it grows when a reader of the old one would fail.
FORMAT = 1


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of reports, derivations and gradebooks: ``$defs`` has one for each."""
    text = resources.files("graphc.checking").joinpath("schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def number(value: Any) -> Any:
    """A float as JSON knows it: what is not finite becomes a text; lists entry by entry."""
    if isinstance(value, list | tuple):
        return [number(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def plain_finding(finding: Finding) -> dict[str, Any]:
    """A finding as plain data."""
    example = finding.counterexample
    return {
        "name": finding.name,
        "verdict": finding.verdict,
        "claimed": finding.claimed,
        "correct": finding.correct,
        "counterexample": None
        if example is None
        else {
            "at": {name: number(value) for name, value in example.at.items()},
            "claimed": number(example.claimed),
            "correct": number(example.correct),
            "interval": None if example.interval is None else number(example.interval),
            **({} if example.element is None else {"element": list(example.element)}),
        },
        "diagnosis": finding.diagnosis,
        "explanations": [
            {
                "kind": explanation.kind,
                "text": explanation.text,
                "certain": explanation.certain,
                "rank": explanation.rank,
                "edges": [[operand.label, gate.label] for operand, gate in explanation.edges],
                "nodes": [node.label for node in explanation.nodes],
            }
            for explanation in finding.explanations
        ],
        "digits": finding.digits,
        "points": finding.points,
        "seconds": round(finding.seconds, 4),
        "note": finding.note,
    }


def plain_report(report: Report) -> dict[str, Any]:
    """A report as plain data."""
    return {
        "format": FORMAT,
        "root": report.root.label,
        "ok": report.ok,
        "exit_code": report.exit_code,
        "seconds": round(report.seconds, 4),
        "claims": [plain_finding(finding) for finding in report.values()],
        "conventions": list(report.conventions),
    }
