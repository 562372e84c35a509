"""Names and formulas the way they are printed: letters for unnamed wires, expressions as one says them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphc.drawing.fonts import formula_text, number_text, printable
from graphc.formula.expression import Call, Expression, Number, Symbol, call, symbols, to_latex

__all__ = ["is_symbol", "printed_names", "symbol_latex", "written"]

_LETTERS = tuple("uvpqrstabcdghmnk")
_SIMPLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def _letters(taken: set[str]) -> Iterator[str]:
    """Yield names for wires that the user left unnamed but a formula needs."""
    for letter in _LETTERS:
        if letter not in taken:
            yield letter
    number = 1
    while True:
        if f"u{number}" not in taken:
            yield f"u{number}"
        number += 1


def is_symbol(name: str) -> bool:
    """Say whether a name can be set as a symbol of mathematics."""
    return _SIMPLE.match(name) is not None


def symbol_latex(name: str) -> str:
    """Set a name as a symbol; what follows one letter and an underscore stands low: ``W_xh``."""
    letter, _, low = name.partition("_")
    if len(letter) == 1 and low.isalnum():
        below = low if len(low) == 1 or low.isdigit() else rf"\mathrm{{{low}}}"
        return f"{letter}_{{{below}}}"
    return to_latex(Symbol(name))


def printed_names(root: Any, drawn: Sequence[Any], needed: set[str]) -> dict[str, str]:
    """Names that are printed: the user's own, and a letter for each unnamed wire that a formula mentions."""
    taken = {node.name for node in drawn if node.name} | {node.label for node in drawn if not node.gate}
    letters = _letters(taken)
    names: dict[str, str] = {}
    for node in drawn:
        if node.name or not node.gate:
            names[node.label] = printable(node.name or ("constant" if node.kind == "constant" else node.label))
        elif node is root:
            names[node.label] = "f" if "f" not in taken else next(letters)
        elif node.label in needed:
            names[node.label] = next(letters)
    return names


def written(expression: Expression | None, names: Mapping[str, str]) -> tuple[str, str]:
    """Plain and LaTeX form of a local gradient; no LaTeX where a name cannot be set as a symbol."""
    if expression is None:
        return "", ""
    if isinstance(expression, Number):
        return number_text(float(expression.value)), ""
    expression = _as_said(expression)
    plain = formula_text(expression, names)
    mentioned = {name: names.get(name, name) for name in symbols(expression)}
    if not all(_SIMPLE.match(name) for name in mentioned.values()):
        return plain, ""
    return plain, to_latex(expression, {name: symbol_latex(shown) for name, shown in mentioned.items()})


_OPPOSITE = {
    "less": "greater_equal",
    "less_equal": "greater",
    "greater": "less_equal",
    "greater_equal": "less",
    "equal": "not_equal",
    "not_equal": "equal",
}


_TURNED = {
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
}


def _as_said(expression: Expression) -> Expression:
    """Write an expression the way it is said: minus a fraction, ``x > 0`` for not ``0 >= x``."""
    if not isinstance(expression, Call):
        return expression
    function, operands = expression.function, tuple(_as_said(o) for o in expression.operands)
    if function == "not" and isinstance(operands[0], Call) and operands[0].function in _OPPOSITE:
        return _as_said(Call(_OPPOSITE[operands[0].function], operands[0].operands))
    if function == "select" and operands[1] == Number(0):
        return Call("select", (_as_said(Call("not", (operands[0],))), operands[2], operands[1]))
    first = operands[0]
    if function in _TURNED and isinstance(first, Number):
        return Call(_TURNED[function], (operands[1], first))
    if function in ("div", "mul") and isinstance(first, Number) and first.value < 0:
        return call("neg", call(function, Number(-first.value), operands[1]))
    return Call(function, operands)
