"""From the text of an expression to nodes, through the registry of gates; nothing is evaluated."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.errors import FormulaError, GraphcError
from graphc.formula.expression import Call, Expression, Number, Symbol, symbols, to_text
from graphc.formula.parser import parse_expression
from graphc.graph import Gate, Node, registry
from graphc.graph.declare import input as declare_input

__all__ = ["assignments", "declare", "numbers"]

#: Scalar functions of the language that are drawn as one gate although the registry has none of that name.
_OTHERS = {
    "select": ("y = a if c > 0.5 else b", ("c", "a", "b")),
    "less": ("y = 1 if a < b else 0", ("a", "b")),
    "less_equal": ("y = 1 if a <= b else 0", ("a", "b")),
    "greater": ("y = 1 if a > b else 0", ("a", "b")),
    "greater_equal": ("y = 1 if a >= b else 0", ("a", "b")),
    "not_equal": ("y = 1 if a != b else 0", ("a", "b")),
}
_REFUSED = ("and", "or", "not", "floordiv")


def declare(text: str, name: str = "f") -> Node:
    """Declare the graph of a scalar expression: every name an input, every operation a gate.

    Parameters
    ----------
    text : str
        Python notation, such as ``"1/(1+exp(-x))"``.
    name : str, default ``"f"``
        Name given to the root, unless an input has it.

    Raises
    ------
    FormulaError
        If the text is not in the formula language, or has no name in it.
    """
    expression = parse_expression(text)
    names = list(symbols(expression))
    for symbol in names:
        if "." in symbol:
            raise FormulaError(f"size(...) in {text!r}: the inputs of an expression are scalars")
    if not names:
        raise FormulaError(f"{text!r} contains no name, so there is nothing to differentiate; try 'x*{text}'")
    leaves = {symbol: declare_input(symbol) for symbol in names}
    root = _node(expression, leaves)
    assert isinstance(root, Node)  # an expression with a name in it is not a number
    if root.application is not None and name not in leaves:
        root.named(name)
    return root


def _node(expression: Expression, leaves: Mapping[str, Node]) -> Node | float:
    if isinstance(expression, Number):
        return float(expression.value)
    if isinstance(expression, Symbol):
        return leaves[expression.name]
    operands = [_node(operand, leaves) for operand in expression.operands]
    function = expression.function
    if function == "div" and operands[0] == 1.0:
        return registry.call("reciprocal", operands[1])
    if function in _REFUSED:
        raise FormulaError(f"{to_text(expression)!r}: {function!r} has no derivative and is no gate")
    if function in registry.gates():
        return registry.call(function, *operands)
    if function in _OTHERS:
        formula, names = _OTHERS[function]
    else:
        names = tuple("abc"[: len(operands)])
        formula = f"y = {to_text(Call(function, tuple(map(Symbol, names))))}"
    return Gate(function, formula, names, symbol=function)(*operands)


def assignments(items: list[str], option: str) -> dict[str, str]:
    """Read ``name=text`` items.

    Raises
    ------
    GraphcError
        If an item has no ``=``, or a name comes twice.
    """
    found: dict[str, str] = {}
    for item in items:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or not text.strip():
            raise GraphcError(f"{option} takes name=value, for example x=2; found {item!r}")
        if name in found:
            raise GraphcError(f"{option} gives {name!r} twice: {found[name]!r} and {text!r}")
        found[name] = text.strip()
    return found


def numbers(text: str, option: str) -> dict[str, float]:
    """Read ``x=-2,y=5``.

    Raises
    ------
    GraphcError
        If a value is not a number.
    """
    found: dict[str, float] = {}
    for name, value in assignments([item for item in text.split(",") if item.strip()], option).items():
        try:
            found[name] = float(value)
        except ValueError:
            raise GraphcError(f"{option}: {value!r} is not a number (for {name!r})") from None
    return found
