"""Factors that a student may have left out, put in, or taken for another: local gradients, their parts, values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.candidates import spread
from graphc.checking.diagnosis.evidence import Evidence
from graphc.checking.diagnosis.explanation import called, formula_of, local_gradient
from graphc.checking.precise import OutsideDomain
from graphc.formula.expression import Call, Expression, Number, Symbol, evaluate, fold, number, substitute, symbols
from graphc.gradients.local import elementwise, local_body, local_expression
from graphc.graph.node import Node

__all__ = ["Factor", "Pool", "evaluated", "factors", "forms", "neighbourhood"]


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
    expression: Expression | None = None


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
        if operand.kind == "constant" and isinstance(operand.value, float):
            operands[placeholder] = number(operand.value)
        else:
            operands[placeholder] = Symbol(operand.label)
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
        slopes = [evidence.factor(position, point.state) for point in evidence.points]
        if slopes[0] is None or _constant(slopes):
            continue
        found.append(
            Factor(
                "slope",
                _slope_text(edge),
                functools.partial(evidence.factor, position),
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
                        part,
                    )
                )
    for node in circuit.nodes:
        if node.is_float and node.kind != "constant" and fits(state.values[node.id]):
            value = functools.partial(lambda key, s: s.values[key], node.id)
            found.append(Factor("value", called(node), value, None, node))
            if node.name is not None and node.application is not None:
                rest = functools.partial(lambda key, s: 1 - s.values[key], node.id)
                found.append(Factor("value", f"1 - {node.name}", rest, None, node))
    return found


def _at(expression: Expression, names: Mapping[str, int], state: State) -> Any:
    return evaluated(expression, {name: state.values[key] for name, key in names.items()}, state)


def _slope_text(edge: Edge) -> str:
    shown = forms(edge)
    text = formula_of(shown[0], neighbourhood(edge).values()) if shown else None
    return text or f"the local gradient {local_gradient(edge)}"


def _constant(slopes: Sequence[Any]) -> bool:
    """Whether a local gradient is the same number everywhere: constants are mistakes of their own kind."""
    numbers = [numpy.asarray(slope, dtype="float64").reshape(-1) for slope in slopes]
    return all(bool(numpy.all(n == numbers[0].flat[0])) for n in numbers)


class Pool:
    """Factors of one shape with their numbers at the points."""

    def __init__(self, evidence: Evidence, shape: tuple[int, ...]) -> None:
        self.factors = factors(evidence, shape)
        size = int(numpy.prod(shape)) if shape else 1
        self.numbers = [
            numpy.array([spread(f.value(p.state), shape) for f in self.factors]).reshape(-1, size)
            for p in evidence.points
        ]
        self.aliases: dict[tuple[float, ...], list[Factor]] = {}
        self._pairs: tuple[Any, ...] | None = None

    def equal(self, k: int) -> list[Factor]:
        """Factors with the same numbers as one of those that `pairs` returns."""
        return self.aliases[tuple(float(n[k, 0]) for n in self.numbers)]

    def pairs(self) -> tuple[Any, Any, Any, Any]:
        """Products of two local gradients or their reciprocals, sorted by magnitude at the first point.

        Only for scalars: magnitudes (sorted), numbers by point, indices of both factors, exponents of both.
        """
        if self._pairs is None:
            usable = [
                k for k, f in enumerate(self.factors)
                if all(numpy.isfinite(n[k, 0]) and n[k, 0] != 0 for n in self.numbers)
            ]  # fmt: skip
            # equal factors once: the first one stands for all
            for k in usable:
                self.aliases.setdefault(tuple(float(n[k, 0]) for n in self.numbers), []).append(self.factors[k])
            by_numbers = {tuple(float(n[k, 0]) for n in self.numbers): k for k in reversed(usable)}
            unique = sorted(by_numbers.values())[:60]
            first, second = (i.reshape(-1) for i in numpy.meshgrid(unique, unique, indexing="ij"))
            left, right, signs = [], [], []
            for a, b in ((1, 1), (1, -1), (-1, -1)):
                keep = first != second if (a, b) == (1, -1) else first <= second
                left.append(first[keep])
                right.append(second[keep])
                signs.append(numpy.tile((a, b), (int(keep.sum()), 1)))
            i, j, s = numpy.concatenate(left), numpy.concatenate(right), numpy.concatenate(signs)
            with numpy.errstate(all="ignore"):
                numbers = [n[i, 0] ** s[:, 0] * n[j, 0] ** s[:, 1] for n in self.numbers] if len(i) else []
            order = numpy.argsort(numpy.abs(numbers[0])) if len(i) else numpy.array([], dtype=int)
            self._pairs = (
                numpy.abs(numbers[0])[order] if len(i) else numpy.array([]),
                [n[order] for n in numbers],
                (i[order], j[order]),
                s[order],
            )
        return self._pairs
