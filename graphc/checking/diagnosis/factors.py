"""Factors that a student may have left out, put in, or taken for another: local gradients, their parts, values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.evidence import Evidence
from graphc.checking.diagnosis.explanation import called, formula_of, local_gradient
from graphc.checking.precise import OutsideDomain
from graphc.formula.expression import Call, Expression, Number, Symbol, evaluate, fold, substitute, symbols
from graphc.gradients.local import elementwise, local_body, local_expression
from graphc.graph.node import Node

__all__ = ["Factor", "evaluated", "factors", "forms", "neighbourhood"]


@dataclass(frozen=True)
class Factor:
    """A factor by name.

    Attributes
    ----------
    kind : str
        ``"slope"`` of an edge, ``"part"`` of one, or ``"value"`` of a node.
    text : str
        As it reads in a formula.
    value : callable
        The factor at a state.
    """

    kind: str
    text: str
    value: Callable[[State], Any]
    position: int | None = None
    node: Node | None = None


def evaluated(expression: Expression, values: Mapping[str, Any], state: State) -> Any:
    """An expression over labels of nodes, elementwise; NaN where it has no value."""
    try:
        with numpy.errstate(all="ignore"):
            return evaluate(expression, values, state.numbers.functions, state.numbers.constant)
    except (OutsideDomain, OverflowError, ZeroDivisionError):
        return float("nan")


def forms(edge: Edge) -> list[Expression]:
    """Local gradient of an elementwise edge over labels: as a lecturer writes it, and through the inputs."""
    target = edge.target
    formula = target.formula
    if formula is None or not elementwise(formula):
        return []
    shown = local_expression(target, edge.k)
    by_name = dict(zip(formula.inputs, target.operands, strict=True))
    operands: dict[str, Expression] = {}
    for placeholder, access in formula.statements[0].reads:
        operand = by_name[access.tensor]
        number = operand.kind == "constant" and isinstance(operand.value, float)
        operands[placeholder] = Number(operand.value) if number else Symbol(operand.label)  # type: ignore[arg-type]
    through_inputs = fold(substitute(local_body(formula, edge.k), operands))
    return [shown] if through_inputs == shown else [shown, through_inputs]


def neighbourhood(edge: Edge) -> dict[str, Node]:
    """Nodes that the local gradient of an edge may name, by label."""
    return {**{o.label: o for o in edge.target.operands}, edge.target.label: edge.target}


def _parts(expression: Expression) -> Iterator[Expression]:
    """Factors of a product that are no numbers."""
    match expression:
        case Call("mul", (a, b)):
            yield from _parts(a)
            yield from _parts(b)
        case Call("div", (a, b)):
            yield from _parts(a)
            yield Call("div", (Number(1), b))
        case Call("neg", (a,)):
            yield from _parts(a)
        case Call():
            yield expression


def factors(evidence: Evidence, shape: tuple[int, ...]) -> list[Factor]:
    """Factors that can multiply an array of a shape, element by element.

    Constant ones are left out: a constant factor is a mistake of its own kind.
    """
    circuit = evidence.circuit
    found: list[Factor] = []
    state = evidence.points[0].state

    def fits(value: Any) -> bool:
        other = numpy.shape(value)
        if len(other) > len(shape) or (numpy.size(value) == 1 and shape and other not in (shape, ())):
            return False
        return all(a == b for a, b in zip(reversed(other), reversed(shape), strict=False))

    for position, edge in enumerate(circuit.edges):
        if not fits(state.values[edge.target.id]):
            continue
        slope = evidence.factor(position, state)
        if slope is None or _trivial(slope):
            continue
        found.append(
            Factor(
                "slope",
                _slope_text(edge),
                functools.partial(lambda p, s: evidence.factor(p, s), position),
                position,
                edge.target,
            )
        )
        around = neighbourhood(edge)
        for shown in forms(edge)[:1]:
            parts = list(_parts(shown))
            if len(parts) < 2 and shown == (parts[0] if parts else None):
                continue
            for part in parts:
                names = list(symbols(part))
                if any(name not in around for name in names):
                    continue
                found.append(
                    Factor(
                        "part",
                        formula_of(part, around.values()) or "",
                        functools.partial(_at, part, {name: around[name].id for name in names}),
                        position,
                        edge.target,
                    )
                )
    for node in circuit.nodes:
        if node.is_float and node.kind != "constant" and fits(state.values[node.id]):
            value = functools.partial(lambda key, s: s.values[key], node.id)
            found.append(Factor("value", called(node), value, None, node))
    return found


def _at(expression: Expression, names: Mapping[str, int], state: State) -> Any:
    return evaluated(expression, {name: state.values[key] for name, key in names.items()}, state)


def _slope_text(edge: Edge) -> str:
    shown = forms(edge)
    text = formula_of(shown[0], neighbourhood(edge).values()) if shown else None
    return text or f"the local gradient {local_gradient(edge)}"


def _trivial(slope: Any) -> bool:
    """Whether a local gradient is 1 or -1 everywhere."""
    return bool(numpy.all(numpy.abs(numpy.asarray(slope, dtype="float64")) == 1))
