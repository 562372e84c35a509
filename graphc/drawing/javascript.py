"""The numbers of a circuit as JavaScript: straight-line code over slots, printed from the formulas of the gates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from graphc.drawing.circuit import Circuit
from graphc.errors import DrawingError
from graphc.formula.expression import Expression, Number, Symbol
from graphc.gradients.local import elementwise, local_body
from graphc.graph.node import Node, topological

__all__ = ["JAVASCRIPT", "Program", "program_of", "to_javascript"]

#: How a function is written; ``{0}`` and ``{1}`` are operands. Conditions are 0 and 1, as in the formulas.
JAVASCRIPT: Mapping[str, str] = {
    "or": "({0} !== 0 || {1} !== 0 ? 1 : 0)",
    "and": "({0} !== 0 && {1} !== 0 ? 1 : 0)",
    "not": "({0} !== 0 ? 0 : 1)",
    "less": "({0} < {1} ? 1 : 0)",
    "less_equal": "({0} <= {1} ? 1 : 0)",
    "greater": "({0} > {1} ? 1 : 0)",
    "greater_equal": "({0} >= {1} ? 1 : 0)",
    "equal": "({0} === {1} ? 1 : 0)",
    "not_equal": "({0} !== {1} ? 1 : 0)",
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "div": "({0} / {1})",
    "floordiv": "m.floordiv({0}, {1})",
    "neg": "(-{0})",
    "pow": "m.pow({0}, {1})",
    "exp": "Math.exp({0})",
    "log": "Math.log({0})",
    "log1p": "Math.log1p({0})",
    "expm1": "Math.expm1({0})",
    "sqrt": "Math.sqrt({0})",
    "sin": "Math.sin({0})",
    "cos": "Math.cos({0})",
    "tanh": "Math.tanh({0})",
    "sech2": "m.sech2({0})",
    "erf": "m.erf({0})",
    "erfc": "m.erfc({0})",
    "sigmoid": "m.sigmoid({0})",
    "softplus": "m.softplus({0})",
    "softsign": "m.softsign({0})",
    "logaddexp": "m.logaddexp({0}, {1})",
    "abs": "Math.abs({0})",
    "sign": "Math.sign({0})",
    "max": "m.max({0}, {1})",
    "min": "m.min({0}, {1})",
    "select": "({0} !== 0 ? {1} : {2})",
}


def to_javascript(expression: Expression, names: Mapping[str, str]) -> str:
    """Write an expression as JavaScript over doubles.

    Parameters
    ----------
    expression : Expression
        What to write.
    names : mapping
        JavaScript of each symbol.

    Raises
    ------
    DrawingError
        If the expression has a symbol without a name, or a random number.
    """
    if isinstance(expression, Number):
        return _literal(expression.value)
    if isinstance(expression, Symbol):
        if expression.name not in names:
            raise DrawingError(f"the symbol {expression.name!r} has no JavaScript name")
        return names[expression.name]
    written = JAVASCRIPT.get(expression.function)
    if written is None:
        raise DrawingError(f"the function {expression.function} is not computed in a page")
    return written.format(*(to_javascript(operand, names) for operand in expression.operands))


def _literal(value: Fraction | float) -> str:
    number = float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "(-Infinity)"
    text = repr(number).removesuffix(".0")
    return f"({text})" if text.startswith("-") else text  # "- -2" would read as a decrement


@dataclass(frozen=True, slots=True)
class Program:
    """Straight-line code over slots, and which slot holds what the picture shows."""

    lines: tuple[str, ...]
    start: tuple[float, ...]  # of every slot: leaves are read, the others are computed
    value: Mapping[int, int]  # element -> slot
    gradient: Mapping[int, int]
    edge: Mapping[tuple[int, int], int]  # (element of the gate, operand position) -> slot
    local: Mapping[tuple[int, int], int]


def program_of(run: Any, circuit: Circuit) -> Program | str:
    """Code for every number in the picture, or the reason why the page cannot compute them."""
    back, drawn = run.back, circuit.nodes
    edges = [(k, p) for k, node in enumerate(drawn) for p in range(len(node.operands)) if (node, p) in back.edges]
    gradients = {k: back.grad(node) for k, node in enumerate(drawn) if back.has_grad(node)}
    roots = [back.root, *gradients.values(), *(back.edges[drawn[k], p] for k, p in edges)]
    order = topological(roots)
    if any(node.shape != () for node in order):
        return "The graph has arrays, so numbers cannot be edited in this page; steps and numbers are shown."
    if any(e.mark or any(p.mark for p in e.ports) for e in circuit.elements):
        return "The frames are the verdicts of a check at these numbers, so numbers cannot be edited in this page."
    slots = {node: number for number, node in enumerate(order)}
    lines: list[str] = []
    start: list[float] = []
    local: dict[tuple[int, int], int] = {}
    try:
        for node, slot in slots.items():
            if node.formula is None:
                given = run.given.get(node, node.value)
                if given is None:
                    raise DrawingError(f"no value for {node.label!r}")
                start.append(float(np.asarray(given).reshape(())))
                continue
            start.append(0.0)
            if not elementwise(node.formula):
                raise DrawingError(f"the gate {node.gate} is not elementwise")
            body = node.formula.statements[0].body
            lines.append(f"v[{slot}] = {to_javascript(body, _placeholders(node, slots))};")
        for k, position in edges:
            node = drawn[k]
            local[k, position] = len(start)
            slope = local_body(node.formula, position)
            lines.append(f"v[{len(start)}] = {to_javascript(slope, _placeholders(node, slots))};")
            start.append(0.0)
    except DrawingError as reason:
        return f"Numbers cannot be edited in this page: {reason}."
    return Program(
        tuple(lines),
        tuple(start),
        {k: slots[node] for k, node in enumerate(drawn)},
        {k: slots[node] for k, node in gradients.items()},
        {(k, p): slots[back.edges[drawn[k], p]] for k, p in edges},
        local,
    )


def _placeholders(node: Node, slots: Mapping[Node, int]) -> dict[str, str]:
    """Placeholder of each read of a node's formula -> its slot."""
    formula = node.formula
    assert formula is not None
    by_name = dict(zip(formula.inputs, node.operands, strict=True))
    return {p: f"v[{slots[by_name[access.tensor]]}]" for p, access in formula.statements[0].reads}
