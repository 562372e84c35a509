"""Gradients in closed form: one expression while it is short, "let" lines beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphc.formula.expression import (
    Expression,
    Symbol,
    fold,
    number,
    operation_count,
    substitute,
    to_latex,
    to_text,
)
from graphc.gradients.local import elementwise
from graphc.graph.node import Node, topological

if TYPE_CHECKING:
    from graphc.gradients.backward import Backward

__all__ = ["IndexFormula", "LetForm", "closed_form"]


@dataclass(frozen=True)
class LetForm:
    """A gradient as lines ``let name = expression``, each used below, and the result."""

    lines: tuple[tuple[str, Expression], ...]
    result: Expression

    def operations(self) -> int:
        """Operations in all lines together."""
        return sum(operation_count(e) for _, e in self.lines) + operation_count(self.result)

    def latex(self) -> str:
        r"""Lines as LaTeX, separated by ``\\``."""
        rows = [f"{to_latex(Symbol(name))} = {to_latex(e)}" for name, e in self.lines]
        return r" \\ ".join([*rows, to_latex(self.result)])

    def __str__(self) -> str:
        rows = [f"let {name} = {to_text(e)}" for name, e in self.lines]
        return "\n".join([*rows, to_text(self.result)])


@dataclass(frozen=True)
class IndexFormula:
    """A gradient of an array graph: the index formula of each gate on the way back."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _scalar(node: Node) -> bool:
    return node.application is None or elementwise(node.application.formula)


def closed_form(gradient: Node, back: Backward, operations: int) -> Any:
    """Write a gradient node in closed form; see `Backward.formula`."""
    order = topological([gradient])
    if not all(node.shape == () and _scalar(node) for node in order):
        return _index_form(order, back)
    own = {id(node) for node in back.nodes}
    counts: dict[int, int] = {}
    for node in order:
        if node.application is None:
            counts[node.id] = 0
            continue
        statement = node.application.formula.statements[0]
        total = operation_count(statement.body)
        for operand in node.operands:
            total += counts[operand.id]
        counts[node.id] = total
    if counts[gradient.id] <= operations:
        expressions: dict[int, Expression] = {}
        for node in order:
            expressions[node.id] = _expand(node, expressions)
        from graphc.formula.symbolic import closed_form as tidy

        return tidy(expressions[gradient.id])
    uses: dict[int, int] = {}
    for node in order:
        for operand in node.operands:
            uses[operand.id] = uses.get(operand.id, 0) + 1
    expressions = {}
    lines: list[tuple[str, Expression]] = []
    for node in order:
        expression = _expand(node, expressions)
        if (
            node is not gradient
            and node.application is not None
            and (uses[node.id] > 1 or operation_count(expression) > 8)
        ):
            name = node.name if node.name is not None and id(node) in own else f"t{len(lines) + 1}"
            lines.append((name, expression))
            expression = Symbol(name)
        expressions[node.id] = expression
    return LetForm(tuple(lines), expressions[gradient.id])


def _expand(node: Node, expressions: dict[int, Expression]) -> Expression:
    if node.application is None:
        if node.kind == "constant" and isinstance(node.value, float):
            return number(node.value)
        return Symbol(node.label)
    formula = node.application.formula
    statement = formula.statements[0]
    by_name = dict(zip(formula.inputs, node.operands, strict=True))
    replacements = {p: expressions[by_name[a.tensor].id] for p, a in statement.reads}
    return fold(substitute(statement.body, replacements))


def _index_form(order: list[Node], back: Backward) -> IndexFormula:
    forward = {id(node) for node in back.nodes}
    labels: dict[int, str] = {}
    for node in back.nodes:
        labels[node.id] = node.label
        if back.has_grad(node):
            labels.setdefault(back.grad(node).id, f"d{node.label}")
    lines: list[str] = []
    done: set[int] = set()
    for node in order:
        if id(node) in forward or node.application is None or id(node.application) in done:
            continue
        done.add(id(node.application))
        formula = node.application.formula
        names = {t: labels.get(o.id, o.label) for t, o in zip(formula.inputs, node.operands, strict=True)}
        names |= {t: labels.get(o.id, o.label) for t, o in zip(formula.outputs, node.application.outputs, strict=True)}
        bound = ", ".join(f"{t} = {n}" for t, n in names.items() if t != n)
        lines += str(formula).splitlines()
        if bound:
            lines[-1] += f"   ({bound})"
    return IndexFormula(tuple(lines))
