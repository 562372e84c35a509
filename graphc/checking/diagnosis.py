"""What is wrong with a wrong claim, where that is cheap to say and certain.

A diagnosis is a relation between the claim and the true gradient that holds at every random point to 40
digits: a sign, a constant factor, the gradient of another node, a missing path, a missing or an extra local
gradient. Where several relations of one kind hold, all are named.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from graphc.checking.circuit import Circuit, Edge, State
from graphc.graph.node import Node

__all__ = ["diagnose"]

Sample = tuple[State, Any]

_AGREEING = 40


def _same(a: Any, b: Any) -> bool:
    from mpmath import mpf

    return abs(a - b) <= max(abs(a), abs(b)) * mpf(10) ** -_AGREEING


def diagnose(circuit: Circuit, target: Node, samples: Sequence[Sample], names: Sequence[str]) -> str | None:
    """Say how a wrong claim for ``target`` follows from the right gradient, or None.

    Parameters
    ----------
    samples : sequence of (State, value of the claim)
        Random points; fewer than three say nothing.
    names : sequence of str
        Names whose gradients the claim may have been mistaken for.
    """
    import mpmath

    if len(samples) < 3:
        return None
    with mpmath.workdps(60):
        correct = [state.gradients[target.id] for state, _ in samples]
        claimed = [value for _, value in samples]
        if all(_same(c, r) for c, r in zip(claimed, correct, strict=True)):
            return "only the value on a kink is wrong"
        if all(value == 0 for value in claimed):
            return f"the claim is zero, but {target.label} reaches {circuit.root.label}"
        if all(value == 0 for value in correct):
            return f"the gradient is zero: nothing flows from {circuit.root.label} to {target.label}"
        return (
            _constant(claimed, correct)
            or _path(circuit, target, samples)
            or _factor(circuit, target, samples, claimed, correct)
            or _another(circuit, target, samples, names)
        )


def _constant(claimed: Sequence[Any], correct: Sequence[Any]) -> str | None:
    """The sign, or a constant factor or term."""
    pairs = list(zip(claimed, correct, strict=True))
    if all(_same(c, -r) for c, r in pairs):
        return "the sign is flipped"
    if any(r == 0 for r in correct):
        return None
    ratios = [c / r for c, r in pairs]
    if all(_same(ratio, ratios[0]) for ratio in ratios):
        return f"the claim is {_number(ratios[0])} times the correct gradient"
    terms = [c - r for c, r in pairs]
    if all(_same(term, terms[0]) for term in terms):
        return f"the claim is the correct gradient plus the constant {_number(terms[0])}"
    return None


def _number(value: Any) -> str:
    import mpmath

    simple = Fraction(str(mpmath.nstr(value, 30))).limit_denominator(1000)
    if _same(value, mpmath.mpf(simple.numerator) / simple.denominator):
        return str(simple)
    return str(mpmath.nstr(value, 6))


def _another(circuit: Circuit, target: Node, samples: Sequence[Sample], names: Sequence[str]) -> str | None:
    """The gradient of another node."""
    found = [
        node.label
        for node in circuit.nodes
        if node is not target
        and node is not circuit.root
        and node.name in names
        and node.kind != "constant"
        and all(_same(value, state.gradients[node.id]) for state, value in samples)
    ]
    return f"this is the gradient with respect to {' and to '.join(found)}" if found else None


def _path(circuit: Circuit, target: Node, samples: Sequence[Sample]) -> str | None:
    """Some of the paths on which a value that is used several times reaches the root are missing."""
    parts = [circuit.contributions(target, state) for state, _ in samples]
    uses = [edge for edge, _ in parts[0]]
    if not 2 <= len(uses) <= 6:
        return None
    found = []
    for size in range(1, len(uses)):
        for missing in itertools.combinations(range(len(uses)), size):
            kept = [sum((part for k, (_, part) in enumerate(point) if k not in missing), 0) for point in parts]
            if all(_same(value, total) for (_, value), total in zip(samples, kept, strict=True)):
                found.append(", ".join(dict.fromkeys(_use(uses[k]) for k in missing)))
        if found:
            break
    if not found:
        return None
    return (
        f"a path is missing: {target.label} is used {len(uses)} times and the gradients add up; "
        f"not counted is the use in {' or '.join(dict.fromkeys(found))}"
    )


def _use(edge: Edge) -> str:
    operands = edge.target.operands
    position = f" as operand {edge.k}" if operands.count(edge.source) > 1 else ""
    return f"{edge.target.label} ({edge.target.gate}){position}"


def _factor(
    circuit: Circuit, target: Node, samples: Sequence[Sample], claimed: Sequence[Any], correct: Sequence[Any]
) -> str | None:
    """One local gradient is missing, or one too many, perhaps with a flipped sign besides."""
    tests: list[tuple[str, Callable[[Any, Any, Any], bool]]] = [
        ("is missing", lambda c, r, slope: _same(c * slope, r)),
        ("is one too many", lambda c, r, slope: _same(c, r * slope)),
        ("is missing, and the sign is flipped", lambda c, r, slope: _same(-c * slope, r)),
        ("is one too many, and the sign is flipped", lambda c, r, slope: _same(c, -r * slope)),
    ]
    for words, test in tests:
        found = []
        for position, edge in enumerate(circuit.edges):
            slopes = [state.slopes[position] for state, _ in samples]
            if all(abs(slope) == 1 for slope in slopes):
                continue
            if all(test(c, r, s) for c, r, s in zip(claimed, correct, slopes, strict=True)):
                found.append((edge, position))
        if found:
            # of equal factors, those on the way from the target to the root explain best
            below = _reached(circuit, target)
            on_path = [edge for edge, _ in found if edge.source.id in below] or [e for e, _ in found]
            named = " or ".join(_local(edge) for edge in on_path[:3])
            return f"the local gradient {named} {words}"
    return None


def _reached(circuit: Circuit, target: Node) -> set[int]:
    """Nodes between ``target`` and the root."""
    reached = {target.id}
    for node in circuit.nodes:
        if any(operand.id in reached for operand in node.operands):
            reached.add(node.id)
    return reached


def _local(edge: Edge) -> str:
    from graphc.formula.expression import to_text
    from graphc.gradients.local import local_expression

    return (
        f"d{edge.target.label}/d{edge.source.label} = {to_text(local_expression(edge.target, edge.k))} "
        f"of the gate {edge.target.gate}"
    )
