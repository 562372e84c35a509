"""What a circuit drawing says: wires with value and gradient, gates with local gradients.

Read from a run (numbers), from a `Backward` (closed forms) or from a node (structure only). No
coordinates here; the geometry, the DOT text and the text table all start from this description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from graphc.drawing.closed_forms import closed_forms
from graphc.drawing.fonts import number_text
from graphc.drawing.gate_names import gate_pattern, gate_symbol, inside_gate, is_scalar
from graphc.drawing.wording import is_symbol, printed_names, symbol_latex, written
from graphc.errors import DrawingError, did_you_mean
from graphc.formula.expression import (
    Expression,
    Number,
    operation_count,
    symbols,
)
from graphc.gradients.local import elementwise, local_expression, node_expression
from graphc.graph import shapes
from graphc.graph.node import topological

__all__ = ["BLANK", "FORMS", "Circuit", "Element", "Port", "read_circuit", "share_texts"]

#: Stands for an answer that is to be filled in, in every text of a circuit.
BLANK = "____"

#: What wires say: numbers, formulas, or both.
FORMS = ("numeric", "symbolic", "both")

_OUTLINED = 200  # elements; in larger circuits formulas are plain text, since an outline costs 10 ms
_DESCRIBED = 200  # elements that the description in words goes through
_LONGEST_FORMULA = 9  # operations; a longer local gradient is left to the number
_MOST_TERMS = 4  # of a sum that is written out


@dataclass(frozen=True, slots=True)
class Port:
    """One input of a gate: which element feeds it, and the local gradient there."""

    operand: int  # index of the element
    position: int  # operand position, as the user wrote it
    formula: str = ""  # plain characters
    latex: str = ""
    number: str = ""
    mark: str = ""
    upstream: str = ""  # gradient of the gate's own wire
    sent: str = ""  # local gradient times upstream gradient: what goes back along this wire

    @property
    def local_lines(self) -> tuple[str, ...]:
        """Formula and number of the local gradient, once where they are the same."""
        return tuple(dict.fromkeys(filter(None, (self.formula, self.number))))


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
    gradient: str = ""  # a number, or without numbers the name of the gradient
    gradient_latex: str = ""  # of the name
    ports: tuple[Port, ...] = ()
    root: bool = False
    readers: int = 0
    mark: str = ""
    expression: str = ""  # what the gate computes, in the names of its operands
    expression_latex: str = ""
    gradient_name: str = ""  # where it is printed beside the number
    shares: tuple[tuple[int, int], ...] = ()  # (gate, position) of each term, where the gradient is a sum
    pattern: str = ""

    @property
    def value_text(self) -> str:
        """Formula and value as one text; a shape is not what the formula equals."""
        joint = " " if self.value.startswith("(") else " = "
        return joint.join(filter(None, (self.expression, self.value)))


@dataclass(frozen=True, slots=True)
class Circuit:
    """Elements in forward order, each after its operands."""

    elements: tuple[Element, ...]
    title: str
    root_name: str
    with_gradients: bool
    with_locals: bool
    with_work: bool = False  # worked lines: local × upstream = downstream
    nodes: tuple[Any, ...] = field(default=(), compare=False)
    note: str = ""  # what was folded away, in words

    @property
    def description(self) -> str:
        """The picture in words, for readers who cannot see it."""
        return _description(self)

    def sum_text(self, element: Element) -> str:
        """Gradient of an element, with the terms of its sum where it is one."""
        named = " = ".join(filter(None, (element.gradient_name, "")))
        if not element.shares:
            return f"{named}{element.gradient}" if element.gradient else ""
        if len(element.shares) > _MOST_TERMS:
            return f"{named}∑ of {len(element.shares)} = {element.gradient}"
        return f"{named}{' '.join(share_texts(self, element))} = {element.gradient}"


def share_texts(circuit: Circuit, element: Element) -> tuple[str, ...]:
    """Terms of the sum that a gradient is, each after the first with its sign: ``3``, ``− 2``.

    A sum of many terms is one text that counts them.
    """
    if len(element.shares) > _MOST_TERMS:
        return (f"∑ of {len(element.shares)}",)
    sent = {(e, p.position): p.sent for e, _ in element.shares for p in circuit.elements[e].ports}
    terms = [sent[share] for share in element.shares]
    signed = [f"− {t[1:]}" if t.startswith("−") else f"+ {t}" for t in terms[1:]]
    return (*terms[:1], *signed)


# ---------------------------------------------------------------- names and numbers


def _value_text(array: Any, digits: int, shape: str) -> str:
    array = np.asarray(array, dtype=np.float64)
    if array.size == 1:
        return number_text(float(array.reshape(())), digits)
    return shape


def _norm_text(array: Any, digits: int) -> str:
    array = np.asarray(array, dtype=np.float64)
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


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the parts of the description share while it is read."""

    run: Any
    back: Any
    digits: int
    form: str
    index: Mapping[int, int]  # node id -> element
    names: Mapping[str, str]  # node label -> printed name
    expressions: Mapping[tuple[int, int], Expression]  # all local gradients in closed form
    outlined: bool
    root_name: str
    marks: Mapping[Any, Any]
    gradients: Mapping[int, str]  # node id -> gradient, where it is one number
    closed: Mapping[int, Expression]  # node id -> gradient as a formula, where that is short


def read_circuit(
    root: Any,
    back: Any = None,
    run: Any = None,
    *,
    digits: int = 4,
    marks: Mapping[Any, Any] | None = None,
    form: str | None = None,
    work: bool = False,
    patterns: bool = False,
    nodes: Sequence[Any] | None = None,
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
    form : str, optional
        One of `FORMS`; by default numbers where there is a run.
    work : bool
        Adds the worked line of each gate input: local × upstream = downstream.
    patterns : bool
        Names the pattern of each gate: distributor, router, switcher.
    nodes : sequence of Node, optional
        Those that are drawn one by one, in forward order; by default all below the root.

    Raises
    ------
    DrawingError
        If the form is unknown, or needs numbers or gradients that there are none of.
    """
    form = _checked_form(form, back, run)
    below = topological([root]) if nodes is None else nodes
    drawn = [node for node in below if node is root or not inside_gate(node)]
    index = {node.id: k for k, node in enumerate(drawn)}
    expressions = _local_expressions(back, drawn) if back is not None else {}
    mentioned = [e for e in expressions.values() if operation_count(e) <= _LONGEST_FORMULA]
    if form != "numeric":
        mentioned += [e for e in map(_gate_expression, drawn) if e is not None]
    needed = {name for e in mentioned for name in symbols(e)}
    if form != "numeric" and len(drawn) <= _OUTLINED:
        needed |= {node.label for node in drawn}  # a gradient is named after its wire
    names = printed_names(root, drawn, needed)
    reading = _Reading(
        run, back, digits, form, index, names, expressions, len(drawn) <= _OUTLINED, names.get(root.label, "f"),
        marks or {}, _gradients(back, run, drawn, digits) if form != "symbolic" else {},
        closed_forms(root, drawn, expressions, back.edges) if form == "symbolic" and back and nodes is None else {},
    )  # fmt: skip
    elements: list[Element] = []
    shares: list[list[tuple[int, int]]] = [[] for _ in drawn]
    readers = [0] * len(drawn)
    for k, node in enumerate(drawn):
        ports = tuple(_port(reading, node, p, o) for p, o in enumerate(node.operands) if o.id in index)
        for port in ports:
            readers[port.operand] += 1
            if port.sent:
                shares[port.operand].append((k, port.position))
        elements.append(_element(reading, node, ports, root, patterns))
    for k, terms in enumerate(shares):
        # a sum where every reader is drawn and sends a number, and none comes from elsewhere
        summed = nodes is None and len(terms) == readers[k] > 1 and drawn[k] is not root and elements[k].gradient
        # going back, the last gate sends its term first
        ordered = tuple(sorted(terms, key=lambda term: (-term[0], term[1]))) if summed else ()
        elements[k] = replace(elements[k], readers=readers[k], shares=ordered)
    return Circuit(
        tuple(elements),
        f"Computation graph of {reading.root_name}",
        reading.root_name,
        with_gradients=back is not None,
        with_locals=bool(expressions),
        with_work=work and bool(expressions),
        nodes=tuple(drawn),
    )


def _checked_form(form: str | None, back: Any, run: Any) -> str:
    if form is None:
        return "numeric" if run is not None or back is None else "symbolic"
    if form not in FORMS:
        raise DrawingError(f"unknown form {form!r}; known: {', '.join(FORMS)}{did_you_mean(str(form), FORMS)}")
    if form != "symbolic" and run is None:
        raise DrawingError(f"form={form!r} needs numbers: draw a run, graphc.backward(node).at(...)")
    if back is None:
        raise DrawingError(f"form={form!r} needs gradients: draw graphc.backward(node)")
    return form


def _gate_expression(node: Any) -> Expression | None:
    """What a gate computes, in labels, where it is short and maps each element by itself."""
    if node.formula is None or not elementwise(node.formula):
        return None
    expression = node_expression(node)
    return expression if operation_count(expression) <= _LONGEST_FORMULA else None


def _port(reading: _Reading, node: Any, position: int, operand: Any) -> Port:
    found = reading.expressions.get((node.id, position))
    short = found if found is not None and operation_count(found) <= _LONGEST_FORMULA else None
    formula, latex = written(short, reading.names)
    number = upstream = sent = ""
    run = reading.run
    if run is not None and reading.form != "symbolic":
        if found is not None and is_scalar(node):
            number = _single(run.local(operand, node, operand=position), reading.digits)
        if (node, position) in reading.back.edges:
            upstream = reading.gradients[node.id]
            sent = _single(run.edge(node, position), reading.digits)
    elif reading.back is not None and node.label in reading.names:
        upstream = "1" if node is reading.back.root else _gradient_name(reading, node)
    return Port(
        reading.index[operand.id],
        position,
        formula,
        latex if reading.outlined else "",
        number,
        _verdict(reading.marks, (operand, node), (operand.label, node.label)),
        upstream,
        sent,
    )


def _gradients(back: Any, run: Any, drawn: Sequence[Any], digits: int) -> dict[int, str]:
    if run is None:
        return {}
    return {node.id: _single(run.grad(node), digits) for node in drawn if back.has_grad(node)}


def _single(array: Any, digits: int) -> str:
    array = np.asarray(array)
    return number_text(float(array.reshape(())), digits) if array.size == 1 else ""


def _gradient_name(reading: _Reading, node: Any) -> str:
    return f"∂{reading.root_name}/∂{reading.names[node.label]}"


def _with_formula(reading: _Reading, node: Any, name: str, latex: str) -> tuple[str, str]:
    """A gradient's name and what it is, plain and as LaTeX: ``∂f/∂z = q``."""
    if node.id not in reading.closed or not name:
        return name, latex
    plain, outlined = written(reading.closed[node.id], reading.names)
    outlined = outlined or (plain if isinstance(reading.closed[node.id], Number) else "")
    return f"{name} = {plain}", f"{latex} = {outlined}" if latex and outlined else ""


def _element(reading: _Reading, node: Any, ports: tuple[Port, ...], root: Any, patterns: bool) -> Element:
    run, back, names, form = reading.run, reading.back, reading.names, reading.form
    name = names.get(node.label, "")
    plain = is_symbol(name)
    value = gradient = gradient_name = gradient_latex = expression = expression_latex = ""
    if run is not None and form != "symbolic":
        value = _value_text(run.value(node), reading.digits, shapes.shape_text(node.shape))
    elif not is_scalar(node):
        value = shapes.shape_text(node.shape)
    if form != "numeric":
        expression, expression_latex = written(_gate_expression(node), names)
    if back is not None and back.has_grad(node):
        if form != "numeric" and name and node is not root and (form == "symbolic" or is_scalar(node)):
            gradient_name = _gradient_name(reading, node)
            if reading.outlined and plain and is_symbol(reading.root_name):
                over, under = (symbol_latex(n) for n in (reading.root_name, name))
                gradient_latex = rf"\partial {over} / \partial {under}"
        if run is not None and form != "symbolic":
            gradient = reading.gradients[node.id] or _norm_text(run.grad(node), reading.digits)
        elif node is root:
            gradient = "1" if is_scalar(node) else ""
        else:
            gradient, gradient_name = gradient_name, ""
            gradient, gradient_latex = _with_formula(reading, node, gradient, gradient_latex)
    return Element(
        index=reading.index[node.id],
        label=node.name or "",
        name=name,
        name_latex=symbol_latex(name) if reading.outlined and plain else "",
        symbol=gate_symbol(node, reading.digits) if node.gate else "",
        kind=node.kind,
        value=value,
        gradient=gradient,
        gradient_latex=gradient_latex,
        ports=ports,
        root=node is root,
        mark=_verdict(reading.marks, node, node.label, node.name),
        expression=expression,
        expression_latex=expression_latex if reading.outlined else "",
        gradient_name=gradient_name,
        pattern=gate_pattern(node) if patterns and node.gate else "",
    )


# ---------------------------------------------------------------- in words


def _said(text: str) -> str:
    return text.replace(BLANK, "to fill in")


def _described(circuit: Circuit) -> Iterator[str]:
    elements = circuit.elements
    inputs = sum(1 for e in elements if not e.symbol)
    yield f"Computation graph of {circuit.root_name}: {inputs} input(s), {len(elements) - inputs} gate(s)."
    for e in elements[:_DESCRIBED]:
        who = e.name or f"wire {e.index}"
        pattern = f" ({_said(e.pattern)})" if e.pattern else ""
        parts = [f"Input {who}" if not e.symbol else f"Gate {e.symbol}{pattern} gives {who}"]
        if e.value_text:
            parts.append(f"value {_said(e.value_text)}")
        if e.gradient:
            parts.append(f"gradient {_said(circuit.sum_text(e))}")
        yield ", ".join(parts) + "."
        for port in e.ports:
            if not port.local_lines:
                continue
            operand = elements[port.operand]
            who = operand.name or f"wire {operand.index}"
            worked = ""
            if circuit.with_work and port.upstream and port.sent:
                worked = f", times upstream {_said(port.upstream)} gives {_said(port.sent)}"
            yield f"Local gradient with respect to {who}: {_said(' = '.join(port.local_lines))}{worked}."


def _description(circuit: Circuit) -> str:
    return " ".join(_described(circuit))
