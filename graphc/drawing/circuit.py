"""What a circuit drawing says: wires with value and gradient, gates with local gradients.

Read from a run (numbers), from a `Backward` (closed forms) or from a node (structure only). No
coordinates here; the geometry, the DOT text and the text table all start from this description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.drawing.fonts import formula_text, number_text, printable
from graphc.formula.expression import (
    Call,
    Expression,
    Number,
    Symbol,
    call,
    operation_count,
    symbols,
    to_latex,
)
from graphc.gradients.local import elementwise, local_expression
from graphc.graph import shapes
from graphc.graph.node import topological

__all__ = ["Circuit", "Element", "Port", "gate_symbol", "read_circuit"]

_OUTLINED = 200  # elements; in larger circuits formulas are plain text, since an outline costs 10 ms
_DESCRIBED = 200  # elements that the description in words goes through
_LONGEST_FORMULA = 9  # operations; a longer local gradient is left to the number


@dataclass(frozen=True, slots=True)
class Port:
    """One input of a gate: which element feeds it, and the local gradient there."""

    operand: int  # index of the element
    position: int  # operand position, as the user wrote it
    formula: str = ""  # plain characters
    latex: str = ""
    number: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Element:
    """One wire with the gate that drives it; an input has no gate."""

    index: int
    label: str  # the user's name as data, empty for an unnamed node
    name: str  # what is printed beside the wire; empty for an unnamed wire nobody refers to
    name_latex: str
    symbol: str  # of the gate, constants included; empty for an input
    kind: str
    value: str = ""  # a number; of an array the shape, as Python writes it
    gradient: str = ""
    gradient_latex: str = ""  # where the gradient is a name, not a number
    ports: tuple[Port, ...] = ()
    root: bool = False
    readers: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Circuit:
    """Elements in forward order, each after its operands."""

    elements: tuple[Element, ...]
    title: str
    description: str
    with_gradients: bool
    with_locals: bool
    nodes: tuple[Any, ...] = field(default=(), compare=False)


def _is_scalar(node: Any) -> bool:
    return all(isinstance(extent, int) and extent == 1 for extent in node.shape)


def _inside_gate(node: Any) -> bool:
    return node.kind == "constant" and _is_scalar(node)


_UNARY = {
    "neg": "×−1", "reciprocal": "1/x", "exp": "exp", "log": "log", "sqrt": "√", "abs": "|x|",
    "sigmoid": "σ", "tanh": "tanh", "relu": "ReLU", "sum": "∑", "mean": "mean",
}  # fmt: skip
_BINARY = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "matmul": "@",
    "pow": "x^y",
    "max": "max",
    "min": "min",
}
_WITH_CONSTANT = {  # gate: (constant second, constant first)
    "add": ("+{}", "+{}"),
    "sub": ("−{}", "{}−x"),
    "mul": ("×{}", "×{}"),
    "div": ("÷{}", "{}/x"),
    "pow": ("x^{}", "{}^x"),
    "max": ("max(x, {})", "max({}, x)"),
    "min": ("min(x, {})", "min({}, x)"),
}


def _constant_text(node: Any, digits: int) -> str:
    return number_text(float(np.asarray(node.value).reshape(())), digits)


def gate_symbol(node: Any, digits: int = 4) -> str:
    """Return what is written in the gate, constant operands included: ``+1``, ``×−1``, ``1/x``."""
    inside = [k for k, operand in enumerate(node.operands) if _inside_gate(operand)]
    if len(node.operands) == 2 and len(inside) == 1 and node.gate in _WITH_CONSTANT:
        (k,) = inside
        constant = _constant_text(node.operands[k], digits)
        if node.gate in ("add", "sub") and constant.startswith("−") and k == 1:
            return ("−" if node.gate == "add" else "+") + constant[1:]
        if node.gate == "pow" and k == 1 and constant in ("2", "3"):
            return "x" + {"2": "²", "3": "³"}[constant]
        return _WITH_CONSTANT[node.gate][1 - k].format(constant)
    if inside and node.gate:
        shown = [_constant_text(o, digits) if _inside_gate(o) else "·" for o in node.operands]
        return printable(f"{node.gate}({', '.join(shown)})", 24)
    if len(node.operands) == 1 and node.gate in _UNARY:
        return _UNARY[node.gate]
    return _BINARY.get(node.gate) or printable(node.gate or node.label, 24)


_LETTERS = tuple("uvpqrstabcdghmnk")
_SIMPLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def _letters(taken: set[str]) -> Any:
    """Yield names for wires that the user left unnamed but a formula needs."""
    for letter in _LETTERS:
        if letter not in taken:
            yield letter
    number = 1
    while True:
        if f"u{number}" not in taken:
            yield f"u{number}"
        number += 1


def _array_text(array: Any, digits: int, shape: str) -> str:
    array = np.asarray(array, dtype=np.float64)
    if array.size == 1:
        return number_text(float(array.reshape(())), digits)
    return shape


def _gradient_text(array: Any, digits: int) -> str:
    array = np.asarray(array, dtype=np.float64)
    if array.size == 1:
        return number_text(float(array.reshape(())), digits)
    return f"‖∇‖ {number_text(float(np.linalg.norm(array.ravel())), max(digits - 1, 2))}"


def _local_expressions(back: Any, nodes: Sequence[Any]) -> dict[tuple[int, int], Expression]:
    """Local gradients in closed form wherever a gradient flows; by (node id, operand position)."""
    found: dict[tuple[int, int], Expression] = {}
    for node in nodes:
        if node.formula is None or not elementwise(node.formula):
            continue
        for position in range(len(node.operands)):
            if (node, position) in back.edges:
                found[node.id, position] = local_expression(node, position)
    return found


def _verdict(marks: Mapping[Any, Any], *keys: Any) -> str:
    for key in keys:
        if key in marks:
            found = marks[key]
            return str(getattr(found, "verdict", found))
    return ""


def read_circuit(
    root: Any,
    back: Any = None,
    run: Any = None,
    *,
    digits: int = 4,
    marks: Mapping[Any, Any] | None = None,
) -> Circuit:
    """Describe the graph under ``root``.

    Parameters
    ----------
    root : Node
        The output wire.
    back : Backward, optional
        Adds local gradients in closed form and a gradient name under each wire.
    run : Run, optional
        Adds numbers: value above, gradient below, local gradient at each gate input.
    digits : int
        Significant digits of the numbers.
    marks : mapping, optional
        Node, its label, or a pair of them for a gate input, to a verdict of a check.
    """
    marks = marks or {}
    drawn = [node for node in topological([root]) if node is root or not _inside_gate(node)]
    index = {node.id: k for k, node in enumerate(drawn)}
    expressions = _local_expressions(back, drawn) if back is not None else {}
    shown = {key: e for key, e in expressions.items() if operation_count(e) <= _LONGEST_FORMULA}

    # names: the user's own, and a letter for each unnamed wire that a formula mentions
    needed = {name for e in shown.values() for name in symbols(e)}
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
    readers = [0] * len(drawn)
    for node in drawn:
        for operand in node.operands:
            if operand.id in index:
                readers[index[operand.id]] += 1
    root_name = names.get(root.label, "f")
    outlined = len(drawn) <= _OUTLINED

    elements: list[Element] = []
    for k, node in enumerate(drawn):
        ports: list[Port] = []
        for position, operand in enumerate(node.operands):
            if operand.id not in index:
                continue
            formula, latex = _written(shown.get((node.id, position)), names)
            latex = latex if outlined else ""
            number = ""
            if run is not None and (node.id, position) in expressions and _is_scalar(node):
                local = np.asarray(run.local(operand, node, operand=position))
                number = number_text(float(local.reshape(())), digits) if local.size == 1 else ""
            mark = _verdict(marks, (operand, node), (operand.label, node.label))
            ports.append(Port(index[operand.id], position, formula, latex, number, mark))
        value = gradient = gradient_latex = ""
        if run is not None:
            value = _array_text(run.value(node), digits, shapes.shape_text(node.shape))
        elif not _is_scalar(node):
            value = shapes.shape_text(node.shape)
        if back is not None and back.has_grad(node):
            if run is not None:
                gradient = _gradient_text(run.grad(node), digits)
            elif node is root:
                gradient = "1" if _is_scalar(node) else ""
            elif node.label in names:
                gradient = f"∂{root_name}/∂{names[node.label]}"
                if outlined and _SIMPLE.match(root_name) and _SIMPLE.match(names[node.label]):
                    over, under = (to_latex(Symbol(n)) for n in (root_name, names[node.label]))
                    gradient_latex = rf"\partial {over} / \partial {under}"
        name = names.get(node.label, "")
        elements.append(
            Element(
                index=k,
                label=node.name or "",
                name=name,
                name_latex=to_latex(Symbol(name)) if outlined and _SIMPLE.match(name) else "",
                symbol=gate_symbol(node, digits) if node.gate else "",
                kind=node.kind,
                value=value,
                gradient=gradient,
                gradient_latex=gradient_latex,
                ports=tuple(ports),
                root=node is root,
                readers=readers[k],
                mark=_verdict(marks, node, node.label, node.name),
            )
        )
    return Circuit(
        tuple(elements),
        f"Computation graph of {root_name}",
        _description(elements, root_name),
        with_gradients=back is not None,
        with_locals=bool(expressions),
        nodes=tuple(drawn),
    )


def _written(expression: Expression | None, names: Mapping[str, str]) -> tuple[str, str]:
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
    return plain, to_latex(expression, {name: to_latex(Symbol(shown)) for name, shown in mentioned.items()})


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


def _description(elements: Sequence[Element], root_name: str) -> str:
    """Say the picture in words, for readers who cannot see it."""
    inputs = [e for e in elements if not e.symbol]
    gates = [e for e in elements if e.symbol]
    said = [f"Computation graph of {root_name}: {len(inputs)} input(s), {len(gates)} gate(s)."]
    for e in elements[:_DESCRIBED]:
        who = e.name or f"wire {e.index}"
        parts = [f"Input {who}" if not e.symbol else f"Gate {e.symbol} gives {who}"]
        if e.value:
            parts.append(f"value {e.value}")
        if e.gradient:
            parts.append(f"gradient {e.gradient}")
        said.append(", ".join(parts) + ".")
        for port in e.ports:
            if port.formula or port.number:
                operand = elements[port.operand]
                equals = " = ".join(dict.fromkeys(filter(None, (port.formula, port.number))))
                who = operand.name or f"wire {operand.index}"
                said.append(f"Local gradient with respect to {who}: {equals}.")
    return " ".join(said)
