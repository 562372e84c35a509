"""How the paths through a cell look: lines in two colours and styles, widths by the gradient that flows back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy

from graphc.drawing.fonts import Label, number_text, printable, text_label, text_width
from graphc.drawing.scene import Box, Command, Group, Item, Path, Scene, circle, moved, rounded
from graphc.drawing.strand_layout import Placed, place
from graphc.drawing.strands import Operation, Strand, Strands
from graphc.drawing.strips import short, subscripted
from graphc.drawing.theme import Theme

if TYPE_CHECKING:
    from graphc.drawing.paths import PathsDrawing

__all__ = ["cell_picture", "operation_sizes", "paths_scene"]

_MARGIN, _TITLE, _TEXT, _SMALL = 16.0, 13.0, 10.5, 9.0
_ROOM = 44.0  # for a number at an end
_HALF, _ROUND = 12.0, 11.0  # half the height of a box, radius of a circle
_NAMED = 10.0  # room for the name of a value above what makes it
_THICK, _THIN, _WIDEST = 2.6, 1.2, 7.0
_DASH, _DOTS = (5.0, 3.0), (1.5, 2.5)
_CIRCLED = frozenset("+−×÷")


def operation_sizes(strands: Strands) -> dict[int, tuple[float, float, float]]:
    """Width of each operation, and how far it reaches above and below its middle."""
    found = {}
    for o in strands.operations:
        if o.kind != "operation":
            found[o.number] = (_end_label(o, "").width + 8, _HALF, _HALF)
            continue
        width = 2 * _ROUND if o.symbol in _CIRCLED else max(text_width(printable(o.symbol, 24), _TEXT) + 12, 26)
        found[o.number] = (width, _HALF + (_NAMED if o.name else 0.0), _HALF)
    return found


def _end_label(o: Operation, colour: str) -> Label:
    return subscripted([printable(o.symbol, 18), o.low], _TITLE, colour)


def cell_picture(
    strands: Strands,
    flows: Mapping[Strand, float],
    theme: Theme,
    placed: Placed,
    *,
    backward: bool,
    prefix: str = "",
) -> list[Item]:
    """Draw the operations and lines of a cell at their places, with widths by what flows back where that is known."""
    largest = max(flows.values(), default=0.0)
    lines: list[tuple[bool, Item]] = []
    for k, run in enumerate(placed.runs):
        direct = any(s.direct for s in run.strands)
        width = _THICK if direct else _THIN
        if backward and flows:
            share = float(numpy.linalg.norm([flows[s] for s in run.strands])) / largest if largest > 0 else 0.0
            width = round(max(0.5, _WIDEST * min(share, 1.0)), 2)
        colour = theme.linear if direct else theme.nonlinear
        closed = all(s.closed for s in run.strands)
        if backward and closed:
            continue
        dash = () if direct else _DOTS if closed else (max(5.0, 1.5 * width), max(3.0, width))
        (x1, y1), (x2, y2) = run.start, run.end
        head = max(5.0, 1.6 * width) if (run.arrives and not backward) or (run.starts and backward) else 0.0
        a = x1 + head if backward and run.starts else x1
        b = x2 if not run.arrives else x2 - (width / 2 if backward else head)  # a thick line has round ends
        bend = (b - a) / 2
        commands: list[Command] = [("M", a, y1), ("C", a + bend, y1, b - bend, y2, b, y2)]
        if abs(y1 - y2) < 0.01:
            commands = [("M", a, y1), ("L", b, y2)]
        if not run.arrives:
            commands.append(("L", round(run.until + 0.6 * (not dash), 2), y2))  # pieces overlap: no seam between them
        drawn: list[Item] = [Path(tuple(commands), stroke=colour, width=width, dash=dash)]
        if head:
            at, y, way = (x2, y2, -1) if not backward else (x1, y1, 1)
            wide = max(2.6, 0.8 * width)
            tip: tuple[Command, ...] = (
                ("M", at, y), ("L", at + way * head * 1.1, y - wide), ("L", at + way * head * 1.1, y + wide), ("Z",)
            )  # fmt: skip
            drawn.append(Path(tip, fill=colour))
        names = [
            strands.operations[n].name or strands.operations[n].symbol
            for s in run.strands
            for n in (s.source, s.target)
        ]
        kind = "linear" if direct else "nonlinear"
        titles = [f"{names[2 * n]} to {names[2 * n + 1]}: {_words(s, flows)}" for n, s in enumerate(run.strands)]
        group = Group(tuple(drawn), id=f"link-{prefix}{k + 1}", classes=f"path {kind}", title="; ".join(titles))
        lines.append((direct, group))
    items = [item for _, item in sorted(lines, key=lambda pair: pair[0])]  # linear paths lie on top
    for x, y, own in placed.joints:
        if backward and all(s.closed for s in own):
            continue
        direct = any(s.direct for s in own)
        dot = circle(x, y, 3.2 if direct else 2.2, fill=theme.linear if direct else theme.nonlinear)
        items.append(Group((dot,), classes="joint"))
    items += [_operation(o, placed.boxes[o.number], theme, f"{prefix}gate-{o.number}") for o in strands.operations]
    if backward:
        items += _factors(theme, placed)
    return items


def _words(s: Strand, flows: Mapping[Strand, float]) -> str:
    said = "linear" if s.linear else "nonlinear"
    said += f", local gradient {s.local}" if s.local else ""
    return said + (f", carries {number_text(flows[s])}" if s in flows else "")


def _operation(o: Operation, box: Box, theme: Theme, name: str) -> Group:
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    if o.kind != "operation":
        return Group(_end_label(o, theme.ink).centred(x, y), id=name, classes=o.kind, title=o.said)
    radius = _ROUND if o.symbol in _CIRCLED else 4.0
    shape = Box(box.left, y - _ROUND, box.right, y + _ROUND)
    fill = theme.gate_fill if o.symbol in _CIRCLED else theme.local_fill
    drawn: list[Item] = [rounded(shape, radius, fill=fill, stroke=theme.ink, width=1.1)]
    size = 14.0 if o.symbol in _CIRCLED else _TEXT
    drawn += text_label(printable(o.symbol, 24), size, theme.ink).centred(x, y)
    if o.name:
        said = text_label(printable(o.name, 16), _SMALL, theme.value, italic=True)
        drawn += said.at(round(x - said.width / 2, 2), round(y - _ROUND - 3.5, 2))
    return Group(tuple(drawn), id=name, classes="gate", title=o.said)


def _factors(theme: Theme, placed: Placed) -> list[Item]:
    """Local gradients at level lines of linear paths: above the uppermost line into an operation, below the lowest."""
    entering: dict[int, list[float]] = {}
    for run in placed.runs:
        if run.arrives:
            entering.setdefault(run.strands[0].target, []).append(run.end[1])
    items: list[Item] = []
    for run in placed.runs:
        s, (x, y) = run.strands[0], run.end
        heights = entering.get(s.target, [])
        level = run.arrives and s.direct and s.local not in ("", "1") and abs(run.start[1] - y) < 0.5
        if not level or y not in (min(heights), max(heights)):
            continue
        said = text_label(f"× {printable(s.local, 20)}", _SMALL, theme.linear, classes="local")
        width = max(_WIDEST * 0.5, _THICK)
        baseline = y - width - 3.5 if y == min(heights) else y + width + 9.5
        items += said.at(round(x - 8 - said.width, 2), round(baseline, 2))
    return items


def _gaps(strands: Strands) -> dict[int, float]:
    """Room for local gradients before operations of linear paths."""
    found = {}
    for s in strands.strands:
        if s.direct and s.local not in ("", "1"):
            found[s.target] = text_width(f"× {printable(s.local, 20)}", _SMALL) + 20
    return found


def paths_scene(drawing: PathsDrawing) -> Scene:
    """Return the picture of the paths through a cell."""
    theme = drawing.theme
    placed = place(drawing.strands, operation_sizes(drawing.strands), _gaps(drawing.strands), 34.0)
    width = max(placed.width + 2 * _MARGIN, 420.0)
    items: list[Item] = []

    def write(label: Label, x: float, y: float) -> None:
        items.extend(label.at(round(x, 2), round(y, 2)))

    write(text_label(drawing.title, _TITLE, theme.ink, bold=True), _MARGIN, 26)
    kinds = (
        (
            any(s.direct for s in drawing.strands.strands),
            True, (), "linear path: no local gradient on it contains its operand",
        ),
        (
            any(not s.direct and not s.closed for s in drawing.strands.strands),
            False, _DASH, "nonlinear: on every path along it some local gradient does",
        ),
        (any(s.closed for s in drawing.strands.strands), False, _DOTS, "no gradient passes"),
    )  # fmt: skip
    top = 42.0
    for there, direct, dash, said in kinds:
        if there:
            colour = theme.linear if direct else theme.nonlinear
            ends: tuple[Command, ...] = (("M", _MARGIN, top - 3), ("L", _MARGIN + 30, top - 3))
            items.append(Path(ends, stroke=colour, width=_THICK if direct else 1.6, dash=dash))
            write(text_label(said, _SMALL, theme.quiet), _MARGIN + 38, top)
            top += 14
    for backward in (False, True):
        top += 8 * backward
        if drawing.show not in ("both", "backward" if backward else "forward"):
            continue
        top += 16
        head = "Backward" if backward else "Forward"
        write(text_label(head, _TEXT, theme.gradient if backward else theme.value, bold=True), _MARGIN, top)
        if backward and drawing.flows:
            said = f"width: gradient that flows back along a line, |dL/d·|, {drawing.said}"
            write(text_label(said, _SMALL, theme.quiet), _MARGIN + text_width(head, _TEXT, True) + 12, top)
        top += 14
        left = round((width - placed.width) / 2, 2)
        prefix = "back-" if backward else "fore-"
        if drawing.show != "both":
            prefix = ""
        picture = cell_picture(drawing.strands, drawing.flows, theme, placed, backward=backward, prefix=prefix)
        items += [moved(item, left, top) for item in picture]
        if backward:
            items += [moved(item, left, top) for item in _numbers(drawing, placed, left)]
        top += placed.height
    if drawing.flows and drawing.show != "forward":
        top += 28
        for state, (straight, other) in drawing.shares().items():
            if state in drawing.ends or not drawing.ends:
                parts = [number_text(share, drawing.digits) for share in (straight, other)]
                said = f"into {state}: {parts[0]} along linear paths, {parts[1]} along others"
                write(text_label(printable(said, 120), _SMALL, theme.quiet), _MARGIN, top)
                top += 13
        top -= 13
    return Scene(
        round(width, 2), round(top + _MARGIN, 2), tuple(items), drawing.title, _description(drawing), paper=theme.paper
    )


def _numbers(drawing: PathsDrawing, placed: Placed, margin: float) -> list[Item]:
    """Norms of gradients at the ends."""
    items: list[Item] = []
    for o in drawing.strands.operations:
        if o.said in drawing.ends and o.kind != "operation":
            box = placed.boxes[o.number]
            value = drawing.ends[o.said]
            number = number_text(value, drawing.digits)
            number = number if text_width(number, _SMALL) <= _ROOM else short(value, _ROOM - 6)
            said = text_label(number, _SMALL, drawing.theme.gradient, italic=True)
            x = min((box.left + box.right) / 2 - said.width / 2, placed.width + margin - 4 - said.width)
            items += said.at(round(max(x, 4 - margin), 2), round(box.bottom + 9, 2))
    return items


def _description(drawing: PathsDrawing) -> str:
    operations = drawing.strands.operations
    states = sorted({o.state for o in operations if o.state >= 0})
    said = []
    for state in states:
        belt = drawing.strands.belt(state)
        name = next(o.said for o in operations if o.state == state)
        if belt:
            via = ", ".join(operations[n].symbol for n in belt[1:-1]) or "nothing else"
            said.append(f"A linear path leads from {name} through {via} to {operations[belt[-1]].said}.")
        else:
            said.append(f"No path of {name} through the step is linear.")
    return " ".join(said) or "Operations and the lines between them."
