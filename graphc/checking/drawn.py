"""What a drawing of a report marks: verdicts at nodes, and where a mistake is made what was given and expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.checking.text import shortened
from graphc.gradients import Backward
from graphc.graph.node import Node

if TYPE_CHECKING:
    from graphc.checking.report import Finding, Report

__all__ = ["drawn_marks", "given_and_expected"]

#: Longest formula in a mark, in characters.
_LONGEST = 48


def given_and_expected(finding: Finding) -> str:
    """A wrong claim beside what is right: formulas where they are short, else numbers of the counterexample."""
    example, correct = finding.counterexample, finding.correct
    claimed = shortened(finding.claimed)
    if correct is not None and max(len(claimed), len(correct)) <= _LONGEST:
        return f"given {claimed}, expected {correct}"
    if example is None or example.claimed is None:
        return "given a claim without a value" if example is not None else "given a claim of another shape"
    place = "" if example.element is None else f"[{','.join(map(str, example.element))}]"
    return f"given{place} {example.claimed:.4g}, expected{place} {example.correct:.4g}"


def drawn_marks(report: Report) -> tuple[Any, dict[Any, str]]:
    """What to draw, and its marks.

    Returns
    -------
    subject : Backward
        What the user differentiated; the graph as it was checked where a mark lies on a node that only that one has.
    marks : dict
        By node the verdict, and by (operand, gate) and by node the kind of mistake with what was given and expected.
    """
    places: dict[Any, str] = {}
    for finding in report.values():
        if finding.verdict == "differs" and finding.explanations:
            best = finding.explanations[0]
            said = f"{finding.name}, {best.kind}: {given_and_expected(finding)}"
            for place in (*best.edges, *best.nodes):
                places.setdefault(place, said)
    verdicts = {node: finding.verdict for node, finding in report.by_node().items()}
    standing = {} if report.circuit is None else report.circuit.standing
    users = {node.id: user for user, node in standing.items()}
    drawn = set(report.subject.nodes)

    def known(node: Node) -> bool:
        return users.get(node.id, node) in drawn

    touched = [node for place in places for node in (place if isinstance(place, tuple) else (place,))]
    if report.circuit is None or all(known(node) for node in (*touched, *verdicts)):
        marks: dict[Any, str] = {node: word for node, word in verdicts.items() if node in drawn}
        for place, said in places.items():
            key = tuple(users.get(n.id, n) for n in place) if isinstance(place, tuple) else users.get(place.id, place)
            marks.setdefault(key, said)
        return report.subject, marks
    circuit = report.circuit
    written_out = Backward(circuit.root, None, circuit.upstream)
    marks = {standing.get(node, node): word for node, word in verdicts.items()}
    for place, said in places.items():
        marks.setdefault(place, said)
    return written_out, marks
