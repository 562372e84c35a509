"""Local gradients: the derivative of one gate with respect to one operand."""

from __future__ import annotations

from functools import lru_cache

from graphc.errors import DerivativeError
from graphc.formula.expression import (
    Expression,
    Number,
    Symbol,
    fold,
    number,
    operation_count,
    substitute,
    symbols,
    to_text,
)
from graphc.formula.statement import Formula
from graphc.formula.symbolic import derivative, output_form
from graphc.graph.node import Node

__all__ = ["elementwise", "local_body", "local_expression", "node_expression"]


@lru_cache(maxsize=4096)
def elementwise(formula: Formula) -> bool:
    """Whether a formula maps elements to elements: one ``set`` statement, no guards, broadcasting allowed."""
    if len(formula.statements) != 1:
        return False
    statement = formula.statements[0]
    return (
        statement.operator in ("set", "sum")
        and not statement.reduced()
        and not statement.guards
        and not statement.write.flat
        and statement.race_free()
        and all(a.outside == "forbidden" and not a.flat for _, a in statement.reads)
        and not formula.integers
        and {n for n in symbols(statement.body) if "." not in n}
        <= {p for p, _ in statement.reads}  # no axis as a number
    )


@lru_cache(maxsize=4096)
def local_body(formula: Formula, operand: int) -> Expression:
    """Derivative of an elementwise formula through its inputs, in the formula's own placeholders."""
    statement = formula.statements[0]
    tensor = formula.inputs[operand]
    total: Expression = Number(0)
    for placeholder, access in statement.reads:
        if access.tensor == tensor:
            from graphc.formula.expression import call

            total = call("add", total, derivative(statement.body, placeholder))
    return total


@lru_cache(maxsize=4096)
def _through_output(formula: Formula, operand: int, output: str) -> Expression | None:
    statement = formula.statements[0]
    slope = local_body(formula, operand)
    reads = [(p, a) for p, a in statement.reads if a.tensor == formula.inputs[operand]]
    if len(reads) != 1:
        return None
    return output_form(statement.body, slope, reads[0][0], output)


def _operand_symbols(node: Node) -> dict[str, Expression]:
    """Placeholder -> symbol of the operand's label, or its number for a scalar constant."""
    formula = node.formula
    assert formula is not None
    by_name = dict(zip(formula.inputs, node.operands, strict=True))
    replacements: dict[str, Expression] = {}
    for placeholder, access in formula.statements[0].reads:
        operand = by_name[access.tensor]
        if operand.kind == "constant" and isinstance(operand.value, float):
            replacements[placeholder] = number(operand.value)
        else:
            replacements[placeholder] = Symbol(operand.label)
    return replacements


def _length(expression: Expression) -> int:
    """Operations as a reader counts them: sech(u)^2 is longer to think of than 1 - y^2."""
    return operation_count(expression) + 2 * to_text(expression).count("sech2")


def node_expression(node: Node) -> Expression:
    """Body of an elementwise node in the labels of its operands."""
    formula = node.formula
    if formula is None or not elementwise(formula):
        raise DerivativeError(f"{node.label!r} is not an elementwise gate", node=node, site=node.site)
    return fold(substitute(formula.statements[0].body, _operand_symbols(node)))


def local_expression(node: Node, operand: int) -> Expression:
    """Local gradient of an elementwise node with respect to operand ``operand``.

    Symbols are the operands' labels. Where it is shorter the derivative is written through the output, whose
    symbol is the node's own label: ``f*(1 - f)`` for a sigmoid.

    Raises
    ------
    DerivativeError
        If the node is not the output of an elementwise gate.
    """
    formula = node.formula
    if formula is None or not elementwise(formula):
        raise DerivativeError(
            f"{node.label!r} is not an elementwise gate; its local gradient is an index formula or a Jacobian",
            node=node,
            site=node.site,
        )
    slope = local_body(formula, operand)
    inner = fold(substitute(slope, _operand_symbols(node)))
    labels = {o.label for o in node.operands}
    if node.label not in labels:
        through = _through_output(formula, operand, "*output")
        if through is not None:
            replacements = {**_operand_symbols(node), "*output": Symbol(node.label)}
            outer = fold(substitute(through, replacements))
            if _length(outer) <= _length(inner):
                return outer
    return inner
