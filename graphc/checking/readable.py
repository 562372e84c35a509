"""A gradient as a student would write it: conditions as brackets of 0 and 1, or as ``a if c else b``."""

from __future__ import annotations

from collections.abc import Callable

from graphc.formula.expression import ONE, ZERO, Call, Expression, Number, Symbol, to_text

__all__ = ["readable_text"]

_OPPOSITE = {
    "less": "greater_equal",
    "greater_equal": "less",
    "greater": "less_equal",
    "less_equal": "greater",
    "equal": "not_equal",
    "not_equal": "equal",
}
_MIRRORED = {"less": "greater", "greater": "less", "less_equal": "greater_equal", "greater_equal": "less_equal"}


def readable_text(expression: Expression, text: Callable[[Expression], str] = to_text) -> str:
    """Write an expression; ``select(0 >= z, 0, 1)`` becomes ``(z > 0)``.

    Parameters
    ----------
    text : callable
        Writes an expression without conditions.
    """
    return text(_without_conditions(expression, text))


def _without_conditions(expression: Expression, text: Callable[[Expression], str]) -> Expression:
    """The expression with each condition as a symbol that is called as it is written."""
    if not isinstance(expression, Call):
        return expression
    if expression.function != "select":
        return Call(expression.function, tuple(_without_conditions(o, text) for o in expression.operands))
    condition, first, second = expression.operands
    if isinstance(condition, Call) and (first, second) == (ZERO, ONE) and condition.function in _OPPOSITE:
        condition, first, second = Call(_OPPOSITE[condition.function], condition.operands), ONE, ZERO
    if isinstance(condition, Call) and condition.function in _MIRRORED and isinstance(condition.operands[0], Number):
        condition = Call(_MIRRORED[condition.function], condition.operands[::-1])
    said = text(_without_conditions(condition, text))
    if (first, second) == (ONE, ZERO):
        return Symbol(f"({said})")
    left, right = (text(_without_conditions(branch, text)) for branch in (first, second))
    return Symbol(f"({left} if {said} else {right})")
