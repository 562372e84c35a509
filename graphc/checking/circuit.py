"""A scalar graph as the checker sees it: exact values, gradients and local gradients at a point.

Everything is evaluated node by node, so that a value used many times costs once; only texts for reading and
for proofs are expanded, under a limit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphc.checking.precise import constant, precise_functions
from graphc.errors import CheckError
from graphc.formula.expression import (
    ONE,
    ZERO,
    Call,
    Expression,
    Number,
    Symbol,
    evaluate,
    number,
    operation_count,
    substitute,
    symbols,
)
from graphc.formula.symbolic import plus, product
from graphc.gradients.local import elementwise, local_body, local_expression
from graphc.graph.node import Node, topological
from graphc.graph.shapes import shape_text

__all__ = ["Circuit", "Edge", "State", "kinks"]

_KINKS = frozenset({"max", "min", "abs", "sign", "select", "floordiv"})


def kinks(expression: Expression) -> Iterator[tuple[Expression, Expression]]:
    """Yield pairs of expressions whose equality is a kink: operands of max and min, of comparisons, abs."""
    if not isinstance(expression, Call):
        return
    if expression.function in ("max", "min", "less", "less_equal", "greater", "greater_equal"):
        yield expression.operands[0], expression.operands[1]
    elif expression.function in ("abs", "sign"):
        yield expression.operands[0], ZERO
    for operand in expression.operands:
        yield from kinks(operand)


@dataclass(frozen=True)
class Edge:
    """Operand ``k`` of a gate node, with the derivative of the gate along it in the formula's placeholders."""

    source: Node
    target: Node
    k: int
    slope: Expression


@dataclass
class State:
    """Numbers at one point: value, gradient of the root, and local gradient of every edge.

    ``intervals`` holds the range of a gradient where a kink is met exactly; elsewhere nothing.
    """

    point: Mapping[str, Any]
    values: dict[int, Any]
    gradients: dict[int, Any]
    slopes: list[Any]
    intervals: dict[int, tuple[Any, Any]]


class Circuit:
    """A graph of scalar elementwise gates below ``root``.

    Raises
    ------
    CheckError
        If a node has extents or a gate is not elementwise: claims are about scalars.
    """

    def __init__(self, root: Node) -> None:
        self.root = root
        self.nodes = topological([root])
        for node in self.nodes:
            scalar = node.shape == ()
            formula = node.formula
            if not scalar or (formula is not None and not elementwise(formula)):
                what = f"shape {shape_text(node.shape)}" if not scalar else f"the gate {node.gate!r}"
                raise CheckError(
                    f"a claim is checked on a graph of scalars; {node.label!r} has {what}\n"
                    f"  declared at {node.site}\n"
                    "  Try: declare the same computation for one element, with graphc.inputs",
                    node=node,
                    gate=node.gate or None,
                    shapes=(node.shape,),
                    site=node.site,
                )
        leaves = [n for n in self.nodes if n.application is None and n.kind != "constant"]
        self.leaves = sorted(leaves, key=lambda n: n.id)  # as declared: so a counterexample reads best
        self.edges = [
            Edge(operand, node, k, local_body(node.application.formula, k))
            for node in self.nodes
            if node.application is not None
            for k, operand in enumerate(node.operands)
            if operand.is_float and node.is_float
        ]
        self._edges_into: dict[int, list[int]] = {}
        for position, edge in enumerate(self.edges):
            self._edges_into.setdefault(edge.target.id, []).append(position)
        self.kinked = [
            n
            for n in self.nodes
            if n.application is not None and _functions(n.application.formula.statements[0].body) & _KINKS
        ]
        self._functions = dict(precise_functions())

    # ---- numbers ---------------------------------------------------------------------------------

    def environment(self, node: Node, values: Mapping[int, Any]) -> dict[str, Any]:
        """Values of the placeholders of a gate's formula."""
        assert node.application is not None
        formula = node.application.formula
        by_name = dict(zip(formula.inputs, node.operands, strict=True))
        return {p: values[by_name[a.tensor].id] for p, a in formula.statements[0].reads}

    def values(self, point: Mapping[str, Any]) -> dict[int, Any]:
        """Value of every node at a point, by number of the node.

        Raises
        ------
        OutsideDomain
            If some gate has no real value there.
        """
        values: dict[int, Any] = {}
        for node in self.nodes:
            if node.application is not None:
                body = node.application.formula.statements[0].body
                inner = self.environment(node, values)
                values[node.id] = evaluate(body, inner, self._functions, constant)
            elif node.kind == "constant":
                values[node.id] = constant(_literal(node).value)
            else:
                values[node.id] = point[node.label]
        return values

    def state(self, point: Mapping[str, Any]) -> State:
        """Evaluate everything at a point, in the working precision of mpmath.

        Raises
        ------
        OutsideDomain
            If some gate has no real value there.
        """
        values = self.values(point)
        tied = [n for n in self.kinked if self._tie(n, values)]
        slopes = self._slopes(values, {})
        gradients = self._sweep(slopes)
        intervals: dict[int, tuple[Any, Any]] = {}
        if tied:
            # every combination of the slopes that the tied gates have on either side
            options = list(itertools.islice(itertools.product((-1, 1), repeat=len(tied)), 16))
            for choice in [*options, (-1,) * len(tied), (1,) * len(tied)]:
                sided = self._sweep(self._slopes(values, dict(zip((n.id for n in tied), choice, strict=True))))
                for key, value in sided.items():
                    low, high = intervals.get(key, (gradients[key], gradients[key]))
                    intervals[key] = (min(low, value), max(high, value))
            intervals = {k: pair for k, pair in intervals.items() if pair[0] != pair[1]}
        return State(point, values, gradients, slopes, intervals)

    def _tie(self, node: Node, values: Mapping[int, Any]) -> bool:
        assert node.application is not None
        body = node.application.formula.statements[0].body
        inner = self.environment(node, values)
        return any(
            evaluate(a, inner, self._functions, constant) == evaluate(b, inner, self._functions, constant)
            for a, b in kinks(body)
        )

    def _slopes(self, values: Mapping[int, Any], sides: Mapping[int, int]) -> list[Any]:
        result = []
        for edge in self.edges:
            functions: Mapping[str, Callable[..., Any]] = self._functions
            side = sides.get(edge.target.id)
            if side is not None:
                functions = {**self._functions, **_sided(side)}
            inner = self.environment(edge.target, values)
            result.append(evaluate(edge.slope, inner, functions, constant))
        return result

    def _sweep(self, slopes: list[Any]) -> dict[int, Any]:
        from mpmath import mpf

        gradients: dict[int, Any] = {node.id: mpf(0) for node in self.nodes}
        gradients[self.root.id] = mpf(1)
        for node in reversed(self.nodes):
            upstream = gradients[node.id]
            if upstream:
                for position in self._edges_into.get(node.id, ()):
                    source = self.edges[position].source
                    gradients[source.id] += upstream * slopes[position]
        return gradients

    def contributions(self, target: Node, state: State) -> list[tuple[Edge, Any]]:
        """Edges that leave ``target``, with what each adds to its gradient."""
        return [
            (edge, state.gradients[edge.target.id] * state.slopes[position])
            for position, edge in enumerate(self.edges)
            if edge.source is target
        ]

    # ---- expressions -----------------------------------------------------------------------------

    def correct(self, target: Node, limit: int = 60) -> Expression | None:
        """Gradient with respect to ``target`` as a lecturer writes it; None beyond ``limit`` operations.

        Named nodes appear by name, others are written out.
        """
        shown: dict[str, Expression] = {}
        sizes: dict[str, int] = {}
        for node in self.nodes:
            if node.application is None or node.name is not None:
                if node.kind == "constant":
                    shown[node.label] = _literal(node)
                continue
            # every operand is a symbol of its label: unnamed ones are written out in turn
            body = _node_expression(node)
            size = operation_count(body) + sum(sizes.get(name, 0) for name in symbols(body))
            if size > limit:
                continue
            sizes[node.label] = size
            shown[node.label] = substitute(body, shown)
        total: dict[int, Expression] = {self.root.id: ONE}
        for node in reversed(self.nodes):
            upstream = total.get(node.id)
            if upstream is None or node is target:
                continue
            for position in self._edges_into.get(node.id, ()):
                edge = self.edges[position]
                slope = substitute(local_expression(node, edge.k), shown)
                term = product(upstream, slope)
                total[edge.source.id] = plus(total.get(edge.source.id, ZERO), term)
                if operation_count(total[edge.source.id]) > limit:
                    return None
        result = total.get(target.id, ZERO)
        known = {n.name for n in self.nodes if n.name is not None}
        return result if set(symbols(result)) <= known else None

    def expanded(
        self, target: Node, leaves: Mapping[int, str], limit: int = 400
    ) -> tuple[dict[int, Expression], Expression] | None:
        """Every node and the gradient over the leaves alone; None if that takes over ``limit`` operations."""
        expressions: dict[int, Expression] = {}
        for node in self.nodes:
            if node.kind == "constant":
                expressions[node.id] = _literal(node)
            elif node.application is None:
                expressions[node.id] = Symbol(leaves[node.id])
            else:
                formula = node.application.formula
                by_name = dict(zip(formula.inputs, node.operands, strict=True))
                inner = {p: expressions[by_name[a.tensor].id] for p, a in formula.statements[0].reads}
                expressions[node.id] = substitute(formula.statements[0].body, inner)
            if operation_count(expressions[node.id]) > limit:
                return None
        total: dict[int, Expression] = {self.root.id: ONE}
        for node in reversed(self.nodes):
            if node.id not in total or node.application is None or node is target:
                continue
            formula = node.application.formula
            by_name = dict(zip(formula.inputs, node.operands, strict=True))
            inner = {p: expressions[by_name[a.tensor].id] for p, a in formula.statements[0].reads}
            for position in self._edges_into.get(node.id, ()):
                edge = self.edges[position]
                term = product(total[node.id], substitute(edge.slope, inner))
                total[edge.source.id] = plus(total.get(edge.source.id, ZERO), term)
                if operation_count(total[edge.source.id]) > limit:
                    return None
        return expressions, total.get(target.id, ZERO)


def _literal(node: Node) -> Number:
    """Value of a scalar constant."""
    assert isinstance(node.value, float)
    return number(node.value)


def _node_expression(node: Node) -> Expression:
    from graphc.gradients.local import node_expression

    return node_expression(node)


def _functions(expression: Expression) -> set[str]:
    if not isinstance(expression, Call):
        return set()
    return {expression.function}.union(*(_functions(o) for o in expression.operands))


def _sided(side: int) -> dict[str, Callable[..., Any]]:
    """Comparisons and sign as they are just beside a tie: of two equal operands the first is larger or smaller."""
    from mpmath import mpf, sign

    def relation(smaller: bool, larger: bool) -> Callable[..., Any]:
        def compare(a: Any, b: Any) -> Any:
            below = side < 0 if a == b else a < b
            return mpf(1 if (smaller if below else larger) else 0)

        return compare

    return {
        "less": relation(True, False),
        "less_equal": relation(True, False),
        "greater": relation(False, True),
        "greater_equal": relation(False, True),
        "sign": lambda x: mpf(side) if x == 0 else mpf(sign(x)),
    }
