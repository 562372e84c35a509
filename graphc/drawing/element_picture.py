"""Draws one element of a circuit where it was placed: the boxes before its gate, the gate, and its wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.drawing.circuit import BLANK, Element, Port
from graphc.drawing.elements import ASIDE, LEAD, RADIUS, ROW, Axes, Shape, Steps, is_fold, symbol_size, tag_size
from graphc.drawing.parts import NAME, TAG_ROW, Part, Views, row_items, row_width
from graphc.drawing.scene import Box, Group, Item, Path, circle, rounded
from graphc.drawing.theme import Theme

__all__ = ["drawn", "mark_style"]

_OVERLAP = 0.4  # points by which pieces of a wire overlap


@dataclass(frozen=True, slots=True)
class _Pen:
    views: Views
    theme: Theme
    axes: Axes
    steps: Steps
    is_hidden: Callable[..., bool]


def drawn(
    shape: Shape,
    corner: tuple[float, float],
    views: Views,
    theme: Theme,
    axes: Axes,
    steps: Steps,
    is_hidden: Callable[..., bool],
) -> list[Item]:
    """Draw an element whose block starts at a corner, in flow coordinates."""
    pen = _Pen(views, theme, axes, steps, is_hidden)
    element, k = shape.element, shape.element.index
    along, across = corner
    middle = across + shape.block.exit
    items: list[Item] = []
    rule: list[Item] = []
    if element.symbol:
        lead = LEAD if shape.tag_length or len(element.ports) > 1 else 0.0
        start = along + shape.tag_length + lead + shape.slot
        items += _gate(shape, along, across, start - shape.slot, middle, pen)
    else:
        start = along + shape.caption
        rule += _caption(shape, start, middle, pen, before=True)
    end = start + shape.wire
    if not is_hidden("wires", k):
        if element.mark:
            frame = (start + 2, middle - 15, end - 2, middle + 17)
            box = axes.box(start + 2, middle - 9, end - 2, middle + 9) if axes.down else Box(*frame)
            rule.append(_mark(element.mark, box, theme))
        rim = start - (shape.slot - shape.gate_width) / 2 if element.symbol and not axes.down else start
        seam = 0.0 if element.root else _OVERLAP  # the link begins where the rule ends: no light line between them
        rule.append(axes.line(rim, middle, round(end + seam, 2), middle, theme.wire))
        if element.readers > 1:
            rule.append(circle(*axes.point(end, middle), 2.4, fill=theme.wire))
        if element.root:
            rule.append(_arrow(end, middle, theme.wire, axes))
    if element.root:
        rule += _caption(shape, end, middle, pen, before=False)
    rule += _rows(shape, start, end, middle, pen)
    title = _wire_title(views.shown.elements[k])
    items.append(Group(tuple(rule), id=f"wire-{k}", classes="wire", title=title, node=element.label))
    return items


def _caption(shape: Shape, at: float, middle: float, pen: _Pen, before: bool) -> Sequence[Item]:
    """Name of an input at the start of its wire, or of the output behind it."""
    name = shape.name
    if name is None or not pen.views.shown.elements[shape.element.index].name:
        return ()
    if pen.axes.down:
        return name.at(middle - name.width / 2, at - 5 if before else at + 5 + name.ascent)
    x = at - 7 - name.width if before else at + 5
    return name.at(x, middle + NAME * 0.28)


def _rows(shape: Shape, start: float, end: float, middle: float, pen: _Pen) -> list[Item]:
    element, k, theme = shape.element, shape.element.index, pen.theme
    shown = pen.views.shown.elements[k]
    above = row_width(shape.named) + row_width(shape.value)
    if pen.axes.down:
        x, y = middle - ASIDE - above, (start + end) / 2 + 4.5
        x_below, y_below = middle + ASIDE, y
    else:
        centre = (start + end) / 2
        deep = max((part.label.descent for part in shape.named), default=0.0)
        x, y = centre - above / 2, middle - max(5.0, deep + 1.2)  # a low letter stays clear of the wire
        x_below, y_below = centre - row_width(shape.gradient) / 2, middle + 13.5
    items: list[Item] = row_items(shape.named, x, y, theme)
    value = row_items(shape.value, x + row_width(shape.named), y, theme, 1.0 if pen.axes.down else 0.5)
    if value:
        appears = pen.steps.forward.get(k, 0) if element.symbol else 0
        items.append(Group(tuple(value), classes="above", title=_title("value", shown.value_text), appears=appears))
    alone = 0.0 if pen.axes.down else 0.5
    below = _below(shape.gradient, x_below, y_below, pen.steps.gradient.get(k, 0), theme, alone)
    if below:
        title = _title("gradient", pen.views.shown.sum_text(shown))
        first = min((item.appears for item in below if isinstance(item, Group)), default=0)
        first = first if any(part.appears for part in shape.gradient) else pen.steps.gradient.get(k, 0)
        items.append(Group(tuple(below), classes="below", title=title, appears=first))
    return items


def _below(row: Sequence[Part], x: float, y: float, complete: int, theme: Theme, alone: float) -> list[Item]:
    """Write a gradient; the terms of a sum appear one by one, its result with the last of them."""
    terms = [n for n, part in enumerate(row) if part.appears]
    if not terms:
        return row_items(row, x, y, theme, alone)
    items: list[Item] = []
    first, after = terms[0], terms[-1] + 1
    for n, part in enumerate(row):
        made = row_items([part], x, y, theme, part.shift)
        if not part.appears and made:
            made = [Group(tuple(made), classes="result", appears=complete if n >= after else row[first].appears)]
        items += made
        x += part.gap + part.room
    return items


def _title(what: str, text: str) -> str:
    return f"{what} {text}".replace(BLANK, "to fill in") if text else ""


def _gate(shape: Shape, along: float, across: float, slot: float, middle: float, pen: _Pen) -> list[Item]:
    element, k, theme, axes = shape.element, shape.element.index, pen.theme, pen.axes
    shown = pen.views.shown.elements[k]
    centre = slot + shape.slot / 2
    x, y = axes.point(centre, middle)
    half = shape.block.height / 2 if is_fold(element) and not axes.down else RADIUS
    box = Box(x - shape.gate_width / 2, y - half, x + shape.gate_width / 2, y + half)
    items: list[Item] = []
    for entry, port in enumerate(element.ports):
        lead = _input(shape, entry, along, across + shape.block.entries[entry], slot, (centre, middle), pen)
        id = f"wire-{port.operand}-local-{k}-{port.position}-tag"
        if lead:
            items.append(Group(tuple(lead), id=id, classes="input"))
    if pen.is_hidden("gates", k):
        return items
    assert shape.symbol is not None
    if is_fold(element):
        outline = rounded(box, 4.5, fill=theme.card_fills[2], stroke=theme.ink, width=1.4)
    else:
        outline = rounded(box, RADIUS, fill=theme.gate_fill, stroke=theme.ink, width=1.4)
    rim = Box(box.left - 3, box.top - 3, box.right + 3, box.bottom + 3)
    glow = rounded(rim, RADIUS + 3, fill=theme.accent)
    lights: list[Item] = [
        Group((glow,), classes="now", appears=when, vanishes=when + 1)
        for when in (pen.steps.forward.get(k), pen.steps.backward.get(k))
        if when is not None
    ]
    # operators are centred on the axis of the line, words on their capital height
    drop = symbol_size(element.symbol) * (0.33 if element.symbol in ("+", "−", "×", "÷", "=") else 0.36)
    said: list[Item] = list(shape.symbol.at(x - shape.symbol.width / 2, y + drop))
    if shape.pattern is not None:
        width = shape.pattern.label.width
        at = (box.right + 4, y + 3.2) if axes.down else (x - width / 2, y + RADIUS + 9.5)
        said += row_items([shape.pattern], *at, theme)
    title = f"gate {element.symbol}" + (f", {shown.pattern}" if shown.pattern else "")
    items.append(
        Group(
            (*lights, outline, *said), id=f"gate-{k}", classes=f"gate {element.kind}",
            title=title.replace(BLANK, "pattern to fill in"), node=element.label,
        )
    )  # fmt: skip
    return items


def _input(
    shape: Shape, entry: int, along: float, row: float, slot: float, gate: tuple[float, float], pen: _Pen
) -> list[Item]:
    """One wire into a gate, with the box of its local gradient."""
    element, k, theme, axes = shape.element, shape.element.index, pen.theme, pen.axes
    tag, port, shown = shape.tags[entry], element.ports[entry], pen.views.shown.elements[k].ports[entry]
    tag_end = along + shape.tag_length
    with_wire = not pen.is_hidden("wires", k, port.operand)
    items: list[Item] = []
    if with_wire:
        items.append(_lead(shape, tag_end if tag else along, row, slot, gate, pen))
    if not tag:
        return items
    width, height = tag_size(tag)
    size = height if axes.down else width
    if with_wire:
        items.insert(0, axes.line(round(along - _OVERLAP, 2), row, tag_end - size, row, theme.wire))
    if axes.down:
        frame = Box(row - width / 2, tag_end - height, row + width / 2, tag_end)
    else:
        frame = Box(tag_end - width, row - height / 2, tag_end, row + height / 2)
    inner: list[Item] = []
    top = frame.top + 3
    for line_ in tag:
        tall = max(TAG_ROW, *(part.label.height for part in line_))
        label = max((part.label for part in line_), key=lambda found: found.height)
        baseline = top + tall / 2 + (label.ascent - label.descent) / 2
        inner += row_items(line_, (frame.left + frame.right - row_width(line_)) / 2, baseline, theme)
        top += tall + 2.5
    if with_wire and not inner:  # the wire goes on where the box is hidden
        items.append(axes.line(tag_end - size, row, tag_end, row, theme.wire))
    if inner:
        items.append(rounded(frame, 4.5, fill=theme.local_fill, stroke=theme.frame, width=0.7))
        if port.mark:
            items.append(_mark(port.mark, frame, theme))
        appears = pen.steps.backward.get(k, 0)
        title = _local_title(shown)
        items.append(Group(tuple(inner), classes="local-gradient", title=title, appears=appears))
    return items


def _local_title(port: Port) -> str:
    worked = f", times {port.upstream} gives {port.sent}" if port.upstream and port.sent else ""
    return _title(f"local gradient with respect to wire {port.operand}:", " = ".join(port.local_lines) + worked)


def _lead(shape: Shape, along: float, row: float, slot: float, gate: tuple[float, float], pen: _Pen) -> Path:
    """The last piece of wire, from a tag to the rim of the gate."""
    centre, middle = gate
    theme, axes, width = pen.theme, pen.axes, shape.gate_width
    rim = centre - (2 * RADIUS if axes.down else width) / 2
    if abs(row - middle) < 0.5 or is_fold(shape.element):
        return axes.line(along, row, rim, row, theme.wire)
    # aim at the rim so that the wires of one gate arrive apart from each other
    reach = (width - 2 * RADIUS) / 2 + RADIUS * 0.62 if axes.down else RADIUS * 0.62
    lift = max(-1.0, min(1.0, (row - middle) / ROW)) * reach
    bent = max(0.0, abs(lift) - (width / 2 - RADIUS)) if axes.down else abs(lift)
    inset = RADIUS - (RADIUS**2 - bent**2) ** 0.5
    points = [(along, row), (slot, middle + lift), (rim + inset, middle + lift)]
    if rim - slot < 0.5:
        points.pop(1)  # no room for a pattern's name to go around
    first, *others = [axes.point(*point) for point in points]
    return Path((("M", *first), *(("L", *point) for point in others)), stroke=theme.wire, width=1.2)


def _arrow(along: float, across: float, colour: str, axes: Axes) -> Path:
    tip, first, second = (
        axes.point(along + 2, across), axes.point(along - 6, across - 3.2), axes.point(along - 6, across + 3.2),
    )  # fmt: skip
    return Path((("M", *tip), ("L", *first), ("L", *second), ("Z",)), fill=colour)


def mark_style(mark: str, theme: Theme) -> tuple[str, tuple[float, ...]]:
    """Colour and dash of a verdict's frame; the dash tells right from wrong without colour."""
    if mark == "differs":
        return theme.wrong, (4.0, 2.5)
    if mark in ("proved", "agrees"):
        return theme.right, ()
    # what is no verdict says where a mistake is, and what was expected there
    return theme.quiet if mark in ("undecided", "missing") else theme.wrong, (1.0, 2.5)


def _mark(mark: str, box: Box, theme: Theme) -> Path:
    colour, dash = mark_style(mark, theme)
    grown = Box(box.left - 2, box.top - 2, box.right + 2, box.bottom + 2)
    return rounded(grown, 6, stroke=colour, width=1.8, dash=dash)


def _wire_title(element: Element) -> str:
    said = [element.name or f"wire {element.index}"]
    if element.mark:
        said.append(element.mark)
    return ", ".join(said)
