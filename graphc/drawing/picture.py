"""The lecture picture of a circuit: geometry of wires, gates and local gradients.

An element is one block: tags with the local gradients on the left, the gate in the middle, on the
right its wire with the value above and the gradient below. The rows are part of the block and
blocks are kept apart, so no text can meet another or a foreign wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.drawing.circuit import Circuit, Element, Port
from graphc.drawing.fonts import Label, formula_label, printable, text_label, text_width
from graphc.drawing.layout import GAP, Block, Link, Placement, place
from graphc.drawing.scene import (
    Box,
    Command,
    Group,
    Item,
    Path,
    Scene,
    circle,
    line,
    moved,
    rounded,
)
from graphc.drawing.theme import Theme

__all__ = ["circuit_scene"]

_MARGIN = 14.0
_ROW = 42.0  # pitch of a gate's inputs
_WIRE = _ROW - GAP  # height of a wire block: inputs side by side have the pitch of a gate's inputs
_NUMBER = 12.5  # font sizes
_NAME = 15.0
_TAG = 11.5
_SYMBOL = 13.0
_RADIUS = 14.0
_LEAD = 15.0  # from a tag to its gate
_LEGEND = 10.0
_LEGEND_LEAST = 180.0  # a legend in a narrower picture widens it
_INPUTS_TOGETHER = 40  # elements; in larger circuits an input stands just before its first reader


@dataclass(frozen=True, slots=True)
class _Shape:
    """Measured parts of an element."""

    element: Element
    name: Label | None
    value: Label | None
    gradient: Label | None
    tags: tuple[tuple[Label, ...], ...]
    symbol: Label | None
    tag_width: float
    gate_width: float
    wire_width: float
    name_width: float
    block: Block


def circuit_scene(circuit: Circuit, theme: Theme, engine: str | None = None) -> tuple[Scene, Placement]:
    """Lay out a circuit.

    Returns
    -------
    tuple
        The scene, and the placement that says which layout engine served.
    """
    columns = _first_pass(circuit, theme)
    together = len(circuit.elements) <= _INPUTS_TOGETHER
    shapes = [_shape(element, theme, columns, together) for element in circuit.elements]
    links: list[Link] = []
    for element in circuit.elements:
        for entry, port in enumerate(element.ports):
            links.append(Link(port.operand, element.index, entry))
    placement = place([shape.block for shape in shapes], links, engine)
    steps = _steps(circuit)
    items: list[Item] = []
    for number, (_link, commands) in enumerate(zip(links, placement.wires, strict=True)):
        wire = Path(_shifted(commands), stroke=theme.wire, width=1.2)
        items.append(Group((wire,), id=f"link-{number}", classes="link"))
    for shape, corner in zip(shapes, placement.corners, strict=True):
        items += _drawn(shape, corner[0] + _MARGIN, corner[1] + _MARGIN, theme, steps)
    width, height = placement.width + 2 * _MARGIN, placement.height + 2 * _MARGIN
    for part in _legend(circuit, theme, max(width - 2 * _MARGIN, _LEGEND_LEAST)):
        height += 14
        items.append(Group(part.at(_MARGIN, height - _MARGIN + 1), classes="legend"))
        width = max(width, part.width + 2 * _MARGIN)
    scene = Scene(
        round(width, 2),
        round(height, 2),
        tuple(items),
        circuit.title,
        circuit.description,
        steps.count,
    )
    return scene, placement


# ---------------------------------------------------------------- frames


@dataclass(frozen=True, slots=True)
class _Steps:
    """Frame at which each text appears; the last frame is the still."""

    value: dict[int, int]
    gradient: dict[int, int]
    local: dict[int, int]
    forward: dict[int, int]
    count: int


def _steps(circuit: Circuit) -> _Steps:
    gates = [e for e in circuit.elements if e.symbol]
    forward = {e.index: k + 1 for k, e in enumerate(gates)}
    if not circuit.with_gradients:
        return _Steps(forward, {}, {}, forward, len(gates) + 2)
    seed = len(gates) + 1
    backward = {e.index: seed + 1 + k for k, e in enumerate(reversed(gates))}
    gradient: dict[int, int] = {}
    for e in circuit.elements:
        # a gradient is complete when the last of its readers, going back, has sent its share
        readers = [backward[r.index] for r in gates if any(p.operand == e.index for p in r.ports)]
        gradient[e.index] = max(readers, default=seed)
    return _Steps(forward, gradient, backward, forward, seed + len(gates) + 2)


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths shared by all inputs, so that they line up."""

    name: float
    wire: float


def _name_label(element: Element, theme: Theme) -> Label | None:
    if not element.name:
        return None
    if element.name_latex:
        return formula_label(element.name_latex, element.name, _NAME, theme.ink, italic=True)
    return text_label(element.name, _NAME * 0.85, theme.ink, italic=True)


def _texts(element: Element, theme: Theme) -> tuple[Label | None, Label | None]:
    k = element.index
    value = gradient = None
    if element.value:
        value = text_label(element.value, _NUMBER, theme.value, id=f"wire-{k}-value", classes="value")
    if element.gradient_latex:
        gradient = formula_label(element.gradient_latex, element.gradient, _NUMBER, theme.gradient, italic=True)
    elif element.gradient:
        gradient = text_label(
            element.gradient,
            _NUMBER,
            theme.gradient,
            italic=True,
            id=f"wire-{k}-gradient",
            classes="gradient",
        )
    return value, gradient


def _first_pass(circuit: Circuit, theme: Theme) -> _Columns:
    names, wires = [0.0], [0.0]
    for element in circuit.elements:
        if not element.symbol:
            label = _name_label(element, theme)
            names.append(label.width if label else 0.0)
            wires += [t.width for t in _texts(element, theme) if t]
    return _Columns(max(names), max(wires))


def _shape(element: Element, theme: Theme, columns: _Columns, together: bool) -> _Shape:
    name = _name_label(element, theme)
    value, gradient = _texts(element, theme)
    numbers = max([t.width for t in (value, gradient) if t], default=0.0)
    if not element.symbol:
        wire = max(numbers, columns.wire, 22.0) + 12
        name_width = columns.name + 7
        extra = name.width + 7 if element.root and name else 0.0
        block = Block(name_width + wire + extra, _WIRE, (), _WIRE / 2, first=together)
        return _Shape(element, name, value, gradient, (), None, 0.0, 0.0, wire, name_width, block)
    symbol = text_label(element.symbol, _symbol_size(element.symbol), theme.ink)
    gate_width = max(2 * _RADIUS, symbol.width + 12)
    tags = tuple(_tag(port, element, theme) for port in element.ports)
    tag_width = max([_tag_size(tag)[0] for tag in tags], default=0.0)
    lead = _LEAD if tag_width else 0.0
    if tag_width:
        tag_width += 5  # a little wire before the tag
    aside = 0.0
    if name is not None and not element.root:
        equals = text_width(_joint(element), _NUMBER) + 3 if value else 0.0
        aside = name.width + equals
    wire = max(aside + (value.width if value else 0.0), gradient.width if gradient else 0.0, 18.0) + 12
    name_width = name.width + 7 if element.root and name is not None else 0.0
    count = max(len(element.ports), 1)
    height = max(count * _ROW - GAP, _WIRE)
    entries = tuple(height / 2 + (k - (count - 1) / 2) * _ROW for k in range(len(element.ports)))
    lead_in = _LEAD if not tag_width and len(element.ports) > 1 else 0.0
    width = tag_width + lead + lead_in + gate_width + wire + name_width
    block = Block(width, height, entries, height / 2)
    return _Shape(element, name, value, gradient, tags, symbol, tag_width, gate_width, wire, name_width, block)


def _symbol_size(symbol: str) -> float:
    return 17.0 if symbol in ("+", "−", "×", "÷", "σ", "∑", "@") else _SYMBOL


def _tag(port: Port, element: Element, theme: Theme) -> tuple[Label, ...]:
    """One or two lines: the local gradient in closed form and as a number."""
    lines: list[Label] = []
    same = port.formula == port.number
    if port.formula and not (same and port.number):
        if port.latex:
            lines.append(formula_label(port.latex, port.formula, _TAG + 1.5, theme.local))
        else:
            lines.append(text_label(port.formula, _TAG, theme.local))
    if port.number:
        lines.append(
            text_label(
                port.number, _TAG, theme.local,
                id=f"wire-{port.operand}-local-{element.index}-{port.position}", classes="local",
            )
        )  # fmt: skip
    return tuple(lines)


def _tag_size(tag: tuple[Label, ...]) -> tuple[float, float]:
    if not tag:
        return 0.0, 0.0
    return max(t.width for t in tag) + 9, sum(t.height for t in tag) + 2.5 * (len(tag) - 1) + 6


# ---------------------------------------------------------------- drawing


def _shifted(commands: Sequence[Command]) -> tuple[Command, ...]:
    moved_path = moved(Path(tuple(commands)), _MARGIN, _MARGIN)
    assert isinstance(moved_path, Path)
    return moved_path.commands


def _drawn(shape: _Shape, x: float, y: float, theme: Theme, steps: _Steps) -> list[Item]:
    element, k = shape.element, shape.element.index
    middle = y + shape.block.exit
    items: list[Item] = []
    if element.symbol:
        left = x + shape.block.width - shape.name_width - shape.wire_width - shape.gate_width
        items += _gate(shape, x, y, left, middle, theme, steps)
        start = left + shape.gate_width
    else:
        start = x + shape.name_width
        if shape.name is not None:
            items += shape.name.at(start - 7 - shape.name.width, middle + _NAME * 0.28)
    end = start + shape.wire_width
    rule: list[Item] = []
    if element.mark:
        rule.append(_mark(element.mark, Box(start + 2, middle - 15, end - 2, middle + 17), theme))
    rule.append(line(start, middle, end, middle, theme.wire, 1.2))
    if element.readers > 1:
        rule.append(circle(end, middle, 2.4, fill=theme.wire))
    if element.root:
        rule.append(_arrow(end, middle, theme.wire))
        if shape.name is not None:
            rule += shape.name.at(end + 5, middle + _NAME * 0.28)
    rule += _values(shape, start, end, middle, theme, steps)
    items.append(
        Group(
            tuple(rule),
            id=f"wire-{k}",
            classes="wire",
            title=_wire_title(element),
            node=element.label,
        )
    )
    return items


def _joint(element: Element) -> str:
    """What stands between a name and what is above the wire: a shape is not what the name equals."""
    return "" if element.value.startswith("(") else " ="


def _values(shape: _Shape, start: float, end: float, middle: float, theme: Theme, steps: _Steps) -> list[Item]:
    element, k = shape.element, shape.element.index
    centre = (start + end) / 2
    above, below = middle - 5, middle + 13.5
    items: list[Item] = []
    value_items: list[Item] = []
    aside = shape.name if element.symbol and not element.root else None
    if aside is not None:
        joint = text_label(_joint(element), _NUMBER, theme.quiet)
        gap = joint.width + 3 if shape.value else 0.0
        total = aside.width + gap + (shape.value.width if shape.value else 0.0)
        at = centre - total / 2
        items += aside.at(at, above)
        if shape.value is not None:
            value_items += joint.at(at + aside.width, above) if joint.text else ()
            value_items += shape.value.at(at + aside.width + gap, above)
    elif shape.value is not None:
        value_items += shape.value.at(centre - shape.value.width / 2, above)
    if value_items:
        appears = steps.forward.get(k, 0) if element.symbol else 0
        items.append(Group(tuple(value_items), classes="above", title=f"value {element.value}", appears=appears))
    if shape.gradient is not None:
        inside = shape.gradient.at(centre - shape.gradient.width / 2, below)
        items.append(
            Group(inside, classes="below", title=f"gradient {element.gradient}", appears=steps.gradient.get(k, 0))
        )
    return items


def _gate(shape: _Shape, x: float, y: float, left: float, middle: float, theme: Theme, steps: _Steps) -> list[Item]:
    element, k = shape.element, shape.element.index
    box = Box(left, middle - _RADIUS, left + shape.gate_width, middle + _RADIUS)
    items: list[Item] = []
    for entry, (port, tag) in enumerate(zip(element.ports, shape.tags, strict=True)):
        row = y + shape.block.entries[entry]
        tag_right = x + shape.tag_width
        width, height = _tag_size(tag)
        lead: list[Item] = [_lead(x if not tag else tag_right, row, box, middle, theme)]
        if tag:
            lead.insert(0, line(x, row, tag_right - width, row, theme.wire, 1.2))
            frame = Box(tag_right - width, row - height / 2, tag_right, row + height / 2)
            inner: list[Item] = []
            top = frame.top + 3
            for label in tag:
                inner += label.centred(tag_right - width / 2, top + label.height / 2)
                top += label.height + 2.5
            lead.append(rounded(frame, 4.5, fill=theme.local_fill, stroke="C9C9C2", width=0.7))
            if port.mark:
                lead.append(_mark(port.mark, frame, theme))
            operand = f"wire {port.operand}"
            equals = " = ".join(dict.fromkeys(filter(None, (port.formula, port.number))))
            lead.append(
                Group(
                    tuple(inner),
                    classes="local-gradient",
                    title=f"local gradient with respect to {operand}: {equals}",
                    appears=steps.local.get(k, 0),
                )
            )
        items.append(
            Group(
                tuple(lead),
                id=f"wire-{port.operand}-local-{k}-{port.position}-tag",
                classes="input",
            )
        )
    assert shape.symbol is not None
    outline = rounded(box, _RADIUS, fill=theme.gate_fill, stroke=theme.ink, width=1.4)
    glow = rounded(
        Box(box.left - 3, box.top - 3, box.right + 3, box.bottom + 3),
        _RADIUS + 3,
        fill=theme.accent,
    )
    lights: list[Item] = []
    lights += [
        Group((glow,), classes="now", appears=when, vanishes=when + 1)
        for when in (steps.forward.get(k), steps.local.get(k))
        if when is not None
    ]
    centre = (box.left + box.right) / 2
    # operators are centred on the axis of the line, words on their capital height
    drop = _symbol_size(element.symbol) * (0.33 if element.symbol in ("+", "−", "×", "÷", "=") else 0.36)
    symbol = shape.symbol.at(centre - shape.symbol.width / 2, middle + drop)
    items.append(
        Group(
            (*lights, outline, *symbol), id=f"gate-{k}", classes=f"gate {element.kind}",
            title=f"gate {element.symbol}", node=element.label,
        )
    )  # fmt: skip
    return items


def _lead(x: float, row: float, box: Box, middle: float, theme: Theme) -> Path:
    """The last piece of wire, from a tag to the rim of the gate."""
    if abs(row - middle) < 0.5:
        return line(x, row, box.left, middle, theme.wire, 1.2)
    # aim at the rim so that the wires of one gate arrive apart from each other
    lift = max(-1.0, min(1.0, (row - middle) / _ROW)) * _RADIUS * 0.62
    inset = _RADIUS - (_RADIUS**2 - lift**2) ** 0.5
    return line(x, row, box.left + inset, middle + lift, theme.wire, 1.2)


def _arrow(x: float, y: float, colour: str) -> Path:
    return Path((("M", x + 2, y), ("L", x - 6, y - 3.2), ("L", x - 6, y + 3.2), ("Z",)), fill=colour)


def _mark_style(mark: str, theme: Theme) -> tuple[str, tuple[float, ...]]:
    """Colour and dash of a verdict's frame; the dash tells right from wrong without colour."""
    if mark == "differs":
        return theme.wrong, (4.0, 2.5)
    if mark in ("proved", "agrees"):
        return theme.right, ()
    return theme.quiet, (1.0, 2.5)


def _mark(mark: str, box: Box, theme: Theme) -> Path:
    colour, dash = _mark_style(mark, theme)
    grown = Box(box.left - 2, box.top - 2, box.right + 2, box.bottom + 2)
    return rounded(grown, 6, stroke=colour, width=1.8, dash=dash)


def _wire_title(element: Element) -> str:
    said = [element.name or f"wire {element.index}"]
    if element.mark:
        said.append(element.mark)
    return ", ".join(said)


def _legend(circuit: Circuit, theme: Theme, room: float) -> list[Label]:
    """Lines that say what stands where, each within ``room`` points."""
    parts: list[Label] = []
    if circuit.with_gradients and any(e.value for e in circuit.elements):
        parts.append(text_label("value above the wire", _LEGEND, theme.value))
    if circuit.with_gradients:
        parts.append(text_label("gradient below the wire", _LEGEND, theme.gradient, italic=True))
    if circuit.with_locals:
        parts.append(text_label("local gradient in the box before a gate", _LEGEND, theme.local))
    marks = {e.mark for e in circuit.elements} | {p.mark for e in circuit.elements for p in e.ports}
    for mark in sorted(marks - {""}):
        colour, dash = _mark_style(mark, theme)
        line_kind = {0: "solid", 1: "dotted", 4: "dashed"}[int(dash[0]) if dash else 0]
        parts.append(text_label(f"{line_kind} frame: {printable(mark)}", _LEGEND, colour))
    lines: list[Label] = []
    items: list[Item] = []
    at = 0.0
    for part in parts:
        if items and at + part.width > room:
            lines.append(Label(tuple(items), at - 16, 0.72 * _LEGEND, 0.21 * _LEGEND, ""))
            items, at = [], 0.0
        items += part.at(at, 0.0)
        at += part.width + 16
    if items:
        lines.append(Label(tuple(items), at - 16, 0.72 * _LEGEND, 0.21 * _LEGEND, ""))
    return lines
