"""Gradients of wires as short formulas in the values of wires: what stands below a wire where no number does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graphc.formula.expression import Call, Expression, Number, call, operation_count

__all__ = ["LONGEST", "closed_forms"]

#: Operations of the longest formula; longer gradients only have a name.
LONGEST = 3


def closed_forms(
    root: Any, drawn: Sequence[Any], local: Mapping[tuple[int, int], Expression], edges: Collection[tuple[Any, int]]
) -> dict[int, Expression]:
    """Multiply local gradients from the root to each wire, and add what several readers send back.

    Parameters
    ----------
    drawn : sequence of Node
        In forward order.
    local : mapping
        Local gradients by (node id, operand position).
    edges : collection of (Node, int)
        Gate inputs through which a gradient flows.

    Returns
    -------
    dict of int to Expression
        Node id to gradient, in the labels of nodes; of wires whose gradient is short.
    """
    found: dict[int, Expression] = {}
    sums: dict[int, Expression] = {root.id: Number(1)}
    without: set[int] = set()
    for node in reversed(drawn):
        gradient = sums.get(node.id)
        if gradient is None or node.id in without or operation_count(gradient) > LONGEST:
            gradient = None
        else:
            found[node.id] = gradient
        for position, operand in enumerate(node.operands):
            if (node, position) not in edges:
                continue
            slope = local.get((node.id, position))
            if gradient is None or slope is None:
                without.add(operand.id)
                continue
            term = _product(slope, gradient)
            if term is None:
                without.add(operand.id)
                continue
            sums[operand.id] = call("add", sums[operand.id], term) if operand.id in sums else term
    return found


def _product(slope: Expression, gradient: Expression) -> Expression | None:
    """Local times upstream, sign and number in front; None for a choice times something, which reads badly."""
    if Number(1) not in (slope, gradient) and any(_chooses(factor) for factor in (slope, gradient)):
        return None
    minus, factors = False, []
    for factor in (slope, gradient):
        if isinstance(factor, Call) and factor.function == "neg":
            minus, factor = not minus, factor.operands[0]
        if isinstance(factor, Number) and factor.value < 0:
            minus, factor = not minus, Number(-factor.value)
        factors.append(factor)
    product = call("mul", *sorted(factors, key=lambda factor: not isinstance(factor, Number)))
    return call("neg", product) if minus else product


def _chooses(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.function == "select"
