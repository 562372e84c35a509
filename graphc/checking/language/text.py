"""Writing an expression of a claim as Python text, so that reading the text gives the same tree back; its numbers."""

from __future__ import annotations

from graphc.formula.expression import FUNCTIONS, Call, Expression, Number, Symbol, fold, to_text

__all__ = ["claim_text", "literal"]

_MATMUL_PRECEDENCE = 20
_ATOM = 100


def _precedence(expression: Expression) -> int:
    if isinstance(expression, Call):
        if expression.function == "matmul":
            return _MATMUL_PRECEDENCE
        row = FUNCTIONS.get(expression.function)
        return row.precedence if row is not None else _ATOM
    if isinstance(expression, Number):
        if "/" in to_text(expression):
            return _MATMUL_PRECEDENCE
        return 15 if expression.value < 0 else _ATOM
    return _ATOM


def _index(expression: Expression) -> str:
    """Write one index of an item: ``:``, ``1:3``, ``None`` or an expression."""
    if isinstance(expression, Call) and expression.function == "slice":
        if not expression.operands:
            return ":"
        parts = [claim_text(o) if o != Call("none", ()) else "" for o in expression.operands]
        return ":".join(parts)
    return "None" if expression == Call("newaxis", ()) else claim_text(expression)


def claim_text(expression: Expression) -> str:
    """Write an expression over names of a graph, array functions included, in Python notation.

    Parameters
    ----------
    expression : Expression
        As `graphc.checking.claims.read_claim` builds it.

    Returns
    -------
    str
        Text that reads back as the same expression.
    """
    if not isinstance(expression, Call):
        return to_text(expression)
    name, operands = expression.function, expression.operands
    row = FUNCTIONS.get(name)
    if name == "matmul" or (row is not None and row.infix):
        left, right = operands
        sign, precedence = (" @ ", _MATMUL_PRECEDENCE) if row is None else (f" {row.infix} ", row.precedence)
        tight = name == "pow" or precedence == FUNCTIONS["less"].precedence
        a, b = claim_text(left), claim_text(right)
        if _precedence(left) < precedence or (tight and _precedence(left) == precedence):
            a = f"({a})"
        gradients = isinstance(right, Symbol) and right.name.startswith("∂")  # ∂f/∂h would be read as one gradient
        # operand order is meaning: equal precedence keeps its brackets
        if _precedence(right) <= precedence or (name == "div" and gradients):
            b = f"({b})"
        return f"{a}{sign.strip() if name == 'pow' else sign}{b}"
    if name in ("neg", "not"):
        (inner,) = operands
        sign, text = "-" if name == "neg" else "not ", claim_text(inner)
        return f"{sign}({text})" if _precedence(inner) <= _MATMUL_PRECEDENCE else f"{sign}{text}"
    base = claim_text(operands[0]) if operands else ""
    if operands and _precedence(operands[0]) < _ATOM:
        base = f"({base})"
    if name == "transpose" and len(operands) == 1:
        return f"{base}.T"
    if name == "item":
        return f"{base}[{', '.join(_index(o) for o in operands[1:])}]"
    return f"{name}({', '.join(claim_text(o) for o in operands)})"


def literal(expression: Expression) -> Number | None:
    """Return the number that an expression of numbers is; None where it depends on names or arrays."""

    def scalar(item: Expression) -> bool:
        if isinstance(item, Call):
            return item.function in FUNCTIONS and all(scalar(operand) for operand in item.operands)
        return isinstance(item, Number)

    found = fold(expression) if scalar(expression) else None
    return found if isinstance(found, Number) else None
