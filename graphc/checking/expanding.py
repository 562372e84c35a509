"""Gradients of scalar circuits as one expression: over the names of a lecture, or over the leaves alone."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.checking.circuit import Circuit
from graphc.formula.expression import (
    ONE,
    ZERO,
    Expression,
    Number,
    Symbol,
    number,
    operation_count,
    substitute,
    symbols,
)
from graphc.formula.symbolic import plus, product
from graphc.gradients.local import local_expression, node_expression
from graphc.graph.node import Node

__all__ = ["correct", "expanded"]


def correct(circuit: Circuit, target: Node, limit: int = 60) -> Expression | None:
    """Gradient with respect to ``target`` as a lecturer writes it; None beyond ``limit`` operations.

    Named nodes appear by name, others are written out. None for graphs with arrays.
    """
    if not circuit.scalar:
        return None
    shown: dict[str, Expression] = {}
    sizes: dict[str, int] = {}
    for node in circuit.nodes:
        if node.application is None or node.name is not None:
            if node.kind == "constant":
                shown[node.label] = _literal(node)
            continue
        # every operand is a symbol of its label: unnamed ones are written out in turn
        body = node_expression(node)
        size = operation_count(body) + sum(sizes.get(name, 0) for name in symbols(body))
        if size > limit:
            continue
        sizes[node.label] = size
        shown[node.label] = substitute(body, shown)
    total: dict[int, Expression] = {circuit.root.id: ONE}
    for node in reversed(circuit.nodes):
        upstream = total.get(node.id)
        if upstream is None or node is target:
            continue
        for position in circuit.edges_into.get(node.id, ()):
            edge = circuit.edges[position]
            slope = substitute(local_expression(node, edge.k), shown)
            term = product(upstream, slope)
            total[edge.source.id] = plus(total.get(edge.source.id, ZERO), term)
            if operation_count(total[edge.source.id]) > limit:
                return None
    result = total.get(target.id, ZERO)
    known = {n.name for n in circuit.nodes if n.name is not None}
    return result if set(symbols(result)) <= known else None


def expanded(
    circuit: Circuit, target: Node, leaves: Mapping[int, str], limit: int = 400
) -> tuple[dict[int, Expression], Expression] | None:
    """Every node and the gradient over the leaves alone; None if that takes over ``limit`` operations."""
    if not circuit.scalar:
        return None
    expressions: dict[int, Expression] = {}
    for node in circuit.nodes:
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
    total: dict[int, Expression] = {circuit.root.id: ONE}
    for node in reversed(circuit.nodes):
        if node.id not in total or node.application is None or node is target:
            continue
        formula = node.application.formula
        by_name = dict(zip(formula.inputs, node.operands, strict=True))
        inner = {p: expressions[by_name[a.tensor].id] for p, a in formula.statements[0].reads}
        for position in circuit.edges_into.get(node.id, ()):
            edge = circuit.edges[position]
            assert edge.slope is not None
            term = product(total[node.id], substitute(edge.slope, inner))
            total[edge.source.id] = plus(total.get(edge.source.id, ZERO), term)
            if operation_count(total[edge.source.id]) > limit:
                return None
    return expressions, total.get(target.id, ZERO)


def _literal(node: Node) -> Number:
    """Value of a scalar constant."""
    assert isinstance(node.value, float)
    return number(node.value)
