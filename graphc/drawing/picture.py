"""The lecture picture of a circuit: elements placed along the flow, frames, and the legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.drawing.circuit import Circuit
from graphc.drawing.element_picture import drawn, mark_style
from graphc.drawing.elements import Axes, Steps, measured
from graphc.drawing.fonts import Label, printable, text_label
from graphc.drawing.layout import Link, Placement, place
from graphc.drawing.parts import Views
from graphc.drawing.scene import Command, Group, Item, Path, Scene, numbers_of
from graphc.drawing.theme import Theme

__all__ = ["circuit_scene"]

_MARGIN = 14.0
_LEGEND = 10.0
_LEGEND_LEAST = 180.0  # a legend in a narrower picture widens it
_INPUTS_TOGETHER = 40  # elements; in larger circuits an input stands just before its first reader
_CHANNEL = {False: 18.0, True: 26.0}  # between layers; wires that run down turn sideways in it


def _nothing(kind: str, element: int | None = None, operand: int | None = None) -> bool:  # noqa: ARG001
    return False


def circuit_scene(
    circuit: Circuit,
    theme: Theme,
    engine: str | None = None,
    *,
    direction: str = "LR",
    shown: Circuit | None = None,
    exam: Circuit | None = None,
    is_hidden: Callable[..., bool] = _nothing,
) -> tuple[Scene, Placement]:
    """Lay out a circuit.

    Parameters
    ----------
    circuit : Circuit
        The whole circuit, from which everything is measured.
    direction : str
        ``"LR"`` or ``"TB"``.
    shown, exam : Circuit, optional
        What is written, and where answers stand; see `graphc.drawing.exam`.
    is_hidden : callable, optional
        Says of a kind of part, an element and an operand whether it is not drawn.

    Returns
    -------
    tuple
        The scene, and the placement that says which layout engine served.
    """
    views = Views(circuit, shown or circuit, exam or shown or circuit)
    axes, steps = Axes(direction == "TB"), _steps(circuit)
    together = len(circuit.elements) <= _INPUTS_TOGETHER
    shapes = measured(views, theme, axes, steps, together)
    links = [
        Link(port.operand, element.index, entry)
        for element in circuit.elements
        for entry, port in enumerate(element.ports)
    ]
    placement = place([shape.block for shape in shapes], links, engine, _CHANNEL[axes.down])
    items: list[Item] = []
    for number, (link, commands) in enumerate(zip(links, placement.wires, strict=True)):
        if is_hidden("wires", link.head, link.tail) or is_hidden("wires", link.tail):
            continue
        wire = Path(_on_page(commands, axes), stroke=theme.wire, width=1.2)
        items.append(Group((wire,), id=f"link-{number}", classes="link"))
    for shape, corner in zip(shapes, placement.corners, strict=True):
        at = (corner[0] + _MARGIN, corner[1] + _MARGIN)
        items += drawn(shape, at, views, theme, axes, steps, is_hidden)
    width, height = axes.point(placement.width, placement.height)
    width, height = width + 2 * _MARGIN, height + 2 * _MARGIN
    for part in _legend(views, theme, max(width - 2 * _MARGIN, _LEGEND_LEAST), axes.down):
        height += 14
        if not is_hidden("legend"):
            items.append(Group(part.at(_MARGIN, height - _MARGIN + 1), classes="legend"))
        width = max(width, part.width + 2 * _MARGIN)
    scene = Scene(
        round(width, 2),
        round(height, 2),
        tuple(items),
        circuit.title,
        views.shown.description,
        steps.count,
        theme.paper,
    )
    return scene, placement


def _on_page(commands: Sequence[Command], axes: Axes) -> tuple[Command, ...]:
    made: list[Command] = []
    for command in commands:
        numbers = numbers_of(command)
        points = [axes.point(a + _MARGIN, c + _MARGIN) for a, c in zip(numbers[::2], numbers[1::2], strict=True)]
        made.append((command[0], *(v for point in points for v in point)))
    return tuple(made)


def _steps(circuit: Circuit) -> Steps:
    gates = [e for e in circuit.elements if e.symbol]
    forward = {e.index: k + 1 for k, e in enumerate(gates)}
    if not circuit.with_gradients:
        return Steps({}, {}, forward, len(gates) + 2)
    seed = len(gates) + 1
    backward = {e.index: seed + 1 + k for k, e in enumerate(reversed(gates))}
    last: dict[int, int] = {}
    for gate in reversed(gates):
        for port in gate.ports:  # a gradient is complete when the last of its readers, going back, has sent its share
            last[port.operand] = backward[gate.index]
    gradient = {e.index: last.get(e.index, seed) for e in circuit.elements}
    return Steps(gradient, backward, forward, seed + len(gates) + 2)


def _legend(views: Views, theme: Theme, room: float, down: bool) -> list[Label]:
    """Lines that say what stands where, each within ``room`` points."""
    circuit = views.whole
    parts: list[tuple[Label, bool]] = []
    value_side, gradient_side = ("left of", "right of") if down else ("above", "below")
    if circuit.with_gradients and any(e.value or e.expression for e in circuit.elements):
        label = text_label(f"value {value_side} the wire", _LEGEND, theme.value, bold=theme.value_bold)
        parts.append((label, any(e.value or e.expression for e in views.shown.elements)))
    if circuit.with_gradients:
        label = text_label(f"gradient {gradient_side} the wire", _LEGEND, theme.gradient, italic=True)
        parts.append((label, any(e.gradient for e in views.shown.elements)))
    if circuit.with_locals:
        said = "local × upstream = downstream" if circuit.with_work else "local gradient"
        label = text_label(f"{said} in the box before a gate", _LEGEND, theme.local)
        parts.append((label, any(p.local_lines or p.upstream for e in views.shown.elements for p in e.ports)))
    if _not_finite(circuit):
        label = text_label("dotted frame: not a finite number", _LEGEND, theme.wrong)
        parts.append((label, _not_finite(views.shown)))
    marks = {e.mark for e in circuit.elements} | {p.mark for e in circuit.elements for p in e.ports}
    for mark in sorted(marks - {""}):
        colour, dash = mark_style(mark, theme)
        line_kind = {0: "solid", 1: "dotted", 4: "dashed"}[int(dash[0]) if dash else 0]
        parts.append((text_label(f"{line_kind} frame: {printable(mark, 120)}", _LEGEND, colour), True))
    if circuit.note:
        parts.append((text_label(circuit.note, _LEGEND, theme.ink), True))
    lines: list[Label] = []
    items: list[Item] = []
    at = 0.0
    for part, seen in parts:  # what is hidden keeps its room
        if at and at + part.width > room:
            lines.append(Label(tuple(items), at - 16, 0.72 * _LEGEND, 0.21 * _LEGEND, ""))
            items, at = [], 0.0
        items += part.at(at, 0.0) if seen else ()
        at += part.width + 16
    if at:
        lines.append(Label(tuple(items), at - 16, 0.72 * _LEGEND, 0.21 * _LEGEND, ""))
    return lines


def _not_finite(circuit: Circuit) -> bool:
    numbers = [t for e in circuit.elements for t in (e.value, e.gradient, *(p.number for p in e.ports))]
    return any(text in ("nan", "∞", "−∞") for text in numbers)
