"""The conveyor belt: a cell taken apart, its linear paths in one colour and its nonlinear ones in another.

The picture knows no cell. Which lines are linear is read off the local gradients (`graphc.drawing.strands`), and with a
run their widths say how much gradient flows back along them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy

from graphc.drawing.fonts import Label, number_text, printable, text_label, text_width
from graphc.drawing.scene import Box, Command, Group, Item, Path, Scene, circle, moved, rounded
from graphc.drawing.strand_layout import Placed, place
from graphc.drawing.strands import Operation, Strand, Strands, short_name
from graphc.drawing.strips import subscripted
from graphc.drawing.theme import Theme
from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean
from graphc.gradients.through_time import ThroughTime, repeat_of, rolled_run, written_out
from graphc.graph.node import Node, topological
from graphc.graph.repeating import Unrolling
from graphc.graph.rolling import rolled

__all__ = ["PathsDrawing", "cell_picture", "operation_sizes", "paths_drawing", "read_cell"]

_MARGIN, _TITLE, _TEXT, _SMALL = 16.0, 13.0, 10.5, 9.0
_HALF, _ROUND = 12.0, 11.0  # half the height of a box, radius of a circle
_NAMED = 10.0  # room for the name of a value above what makes it
_THICK, _THIN, _WIDEST = 2.6, 1.2, 7.0
_DASH, _DOTS = (5.0, 3.0), (1.5, 2.5)
_SHOW = ("both", "forward", "backward")
_CIRCLED = frozenset("+−×÷")


def read_cell(application: Unrolling) -> tuple[Strands, tuple[str, ...]]:
    """Take the cell of a repeat apart; returns its operations and the names of its states."""
    cell = application.cell
    _, became, _ = written_out([n for n in (*cell.outputs, *cell.following) if n.is_float])
    return _strands(application, became), state_names(application)


def state_names(application: Unrolling) -> tuple[str, ...]:
    """Names by which people know the states."""
    names = []
    for k, (before, behind) in enumerate(zip(application.initial, application.cell.following, strict=True)):
        name = short_name(behind) or short_name(before) or f"s{k + 1}"
        names.append(name if name not in names else f"{name}'")
    return tuple(names)


def input_names(application: Unrolling) -> tuple[str, ...]:
    """Names of what a step reads of the sequences; a part of a sequence has the name of the whole."""
    found = []
    for k, node in enumerate(application.sequences):
        while node.name is None and node.gate in ("slice", "transpose"):
            (node,) = node.operands
        found.append(short_name(node) or node.gate.rpartition(" ")[2] or f"x{k + 1}")
    return tuple(found)


def _strands(application: Unrolling, became: Mapping[Node, Node]) -> Strands:
    cell = application.cell
    names, read = state_names(application), input_names(application)
    sources = [(n, name, "t−1", k) for k, (n, name) in enumerate(zip(cell.states, names, strict=True))]
    sources += [(n, name, "t", -1) for n, name in zip(cell.inputs, read, strict=True)]
    sinks = [(became.get(n, n), name, "t", k) for k, (n, name) in enumerate(zip(cell.following, names, strict=True))]
    given = {became.get(n, n) for n in cell.following}
    for k, node in enumerate(dict.fromkeys(became.get(n, n) for n in cell.outputs)):
        if node not in given and node.is_float:
            sinks.append((node, short_name(node) or ("y" if k == 0 else f"y{k + 1}"), "t", -1))
    return Strands.of(sources, sinks)


@dataclass(frozen=True, eq=False)
class PathsDrawing(Written):
    """The paths through a cell.

    Attributes
    ----------
    title : str
    strands : Strands
        Operations, and the lines between them.
    flows : mapping of Strand to float
        Norm of the gradient that flows back along each line; empty without a run.
    arriving, leaving : mapping of str to float
        Norm of the gradient at what the step gives, and at what it reads.
    said : str
        Over which steps the norms are.
    """

    title: str
    strands: Strands
    flows: Mapping[Strand, float]
    ends: Mapping[str, float]
    said: str
    theme: Theme
    show: str = "both"
    digits: int = 3

    def shares(self) -> dict[str, tuple[float, float]]:
        """For each state before the step the norms of the gradient that reaches it along linear and other lines."""
        found = {}
        for o in self.strands.of_kind("source"):
            own = [s for s in self.strands.strands if s.source == o.number]
            parts = [
                numpy.linalg.norm([self.flows.get(s, 0.0) for s in own if s.direct == kind]) for kind in (True, False)
            ]
            found[o.said] = (float(parts[0]), float(parts[1]))
        return found

    @cached_property
    def _drawn(self) -> Scene:
        return _scene(self)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    def text(self) -> str:
        """Return the lines as a table."""
        names = [o.said for o in self.strands.operations]
        rows = [self.title, ""]
        for s in self.strands.strands:
            kind = "linear path" if s.direct else "linear" if s.linear else "nonlinear"
            flow = f"  {number_text(self.flows[s])}" if s in self.flows else ""
            local = f"  × {s.local}" if s.local not in ("", "1") else ""
            rows.append(f"{names[s.source]} -> {names[s.target]}  {kind}{local}{flow}")
        return printable("\n".join(rows), 10**9).replace("\\n", "\n") + "\n"


def paths_drawing(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given the same
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    show: str = "both",
    name: str | None = None,
    step: int | None = None,
) -> PathsDrawing:
    """Draw the paths through a cell, forward and backward.

    Parameters
    ----------
    root : Node
        A graph with a repeat (``graphc.unroll``, a recurrent layer or a loop by hand), or an output of a cell.
    show : {"both", "forward", "backward"}
        Which directions.
    name : str, optional
        Of the repeat, where there are several.
    step : int, optional
        The step, from 1, of which the gradients are; by default the mean over all steps.
    """
    if show not in _SHOW:
        raise DrawingError(f"show={show!r} is not known; known: {', '.join(_SHOW)}{did_you_mean(str(show), _SHOW)}")
    if direction != "LR" or engine is not None:
        raise DrawingError(
            "style='paths' runs from left to right and places itself: direction='TB' and engine= are not for it"
        )
    if run is not None:
        run = rolled_run(run)
        root = run.back.root
    elif not any(isinstance(n.application, Unrolling) for n in topological([root])):
        root = rolled([root])[root]
    if not any(isinstance(n.application, Unrolling) for n in topological([root])):
        return _single(root, run, theme, digits, show)
    application = repeat_of(topological([root]), name)
    title = f"Paths through one step of {printable(application.formula.name)}"
    if run is None:
        strands, _ = read_cell(application)
        return PathsDrawing(title, strands, {}, {}, "", theme, show, digits)
    sweep = ThroughTime(run, application, inside=True)
    became = dict(
        zip((*application.cell.outputs, *application.cell.following), (*sweep.outputs, *sweep.following), strict=True)
    )
    strands = _strands(application, became)
    steps = list(sweep.steps())
    count = len(steps)
    if step is not None:
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= count:
            raise DrawingError(f"step={step!r} is not one of the steps 1 to {count} of {application.formula.name!r}")
        steps = [s for s in steps if s.number == step - 1]
    flows = {
        strand: float(numpy.mean([strand.contribution(s.values, s.gradients, s.edges, run.sizes) for s in steps]))
        for strand in strands.strands
    }
    ends = {}
    for before, behind, own in zip(application.cell.states, sweep.following, state_names(application), strict=True):
        ends[f"{own}_t−1"] = float(numpy.mean([numpy.linalg.norm(s.leaving.get(before, 0.0)) for s in steps]))
        ends[f"{own}_t"] = float(numpy.mean([numpy.linalg.norm(s.arriving.get(behind, 0.0)) for s in steps]))
    said = f"at t = {step}" if step is not None else f"mean over t = 1 … {count}" if count > 1 else "at t = 1"
    return PathsDrawing(title, strands, flows, ends, said, theme, show, digits)


def _single(root: Node, run: Any, theme: Theme, digits: int, show: str) -> PathsDrawing:
    """The paths of a graph without a repeat, such as a cell that is applied once."""
    outputs = [n for n in (root.application.outputs if root.application is not None else ()) if n.is_float]
    if not outputs:
        raise DrawingError(f"{root.label!r} is no result of a gate, so that there are no paths to draw")
    values: dict[Node, numpy.ndarray] = {}
    gradients: dict[Node, numpy.ndarray] = {}
    edges: dict[tuple[Node, int], numpy.ndarray] = {}
    if run is None:
        _, became, _ = written_out(outputs)
        ends = [became[n] for n in outputs]
    else:
        from graphc.gradients.backward import backward
        from graphc.gradients.run import Run
        from graphc.graph.expand import expanded

        whole = Run(backward(expanded(root), upstream=run.back.seed), run.leaves)
        nodes = whole.back.nodes
        values = {n: whole.value(n) for n in nodes}
        gradients = {n: whole.grad(n) for n in nodes if whole.back.has_grad(n)}
        edges = {key: whole.edge(*key) for key in whole.back.edges}
        ends = [whole.back.root]
    below = topological(ends)
    sources = [(n, n.label, "", -1) for n in below if n.kind in ("input", "state") and n.is_float]
    sinks = [(n, n.name or (f"y{k + 1}" if len(ends) > 1 else "y"), "", -1) for k, n in enumerate(ends)]
    strands = Strands.of(sources, sinks)
    measured = strands.strands if run is not None else []
    sizes = run.sizes if run is not None else {}
    flows = {s: s.contribution(values, gradients, edges, sizes) for s in measured}
    title = f"Paths through {printable(root.gate or root.label)}"
    return PathsDrawing(title, strands, flows, {}, "at this point", theme, show, digits)


# ---- the picture -----------------------------------------------------------------------------------


def operation_sizes(strands: Strands) -> dict[int, tuple[float, float, float]]:
    """Width of each operation, and how far it reaches above and below its middle."""
    found = {}
    for o in strands.operations:
        if o.kind != "operation":
            found[o.number] = (_end_label(o, "000000").width + 8, _HALF, _HALF)
            continue
        width = 2 * _ROUND if o.symbol in _CIRCLED else max(text_width(printable(o.symbol, 24), _TEXT) + 12, 26)
        found[o.number] = (width, _HALF + (_NAMED if o.name else 0.0), _HALF)
    return found


def _end_label(o: Operation, colour: str) -> Label:
    return subscripted([printable(o.symbol, 18), o.low], _TITLE, colour)


def _lift(sizes: Mapping[int, tuple[float, float, float]], number: int) -> float:
    return sizes[number][1] - sizes[number][2]


def cell_picture(drawing: PathsDrawing, placed: Placed, *, backward: bool, prefix: str = "") -> list[Item]:
    """The operations and lines of a cell at their places."""
    theme, strands, flows = drawing.theme, drawing.strands, drawing.flows
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
            commands.append(("L", run.until, y2))
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
        items += _factors(drawing, placed)
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


def _factors(drawing: PathsDrawing, placed: Placed) -> list[Item]:
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
        said = text_label(f"× {printable(s.local, 20)}", _SMALL, drawing.theme.linear, classes="local")
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


def _scene(drawing: PathsDrawing) -> Scene:
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
        picture = cell_picture(drawing, placed, backward=backward, prefix=prefix)
        items += [moved(item, left, top) for item in picture]
        if backward:
            items += [moved(item, left, top) for item in _numbers(drawing, placed)]
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


def _numbers(drawing: PathsDrawing, placed: Placed) -> list[Item]:
    """Norms of gradients at the ends."""
    items: list[Item] = []
    for o in drawing.strands.operations:
        if o.said in drawing.ends and o.kind != "operation":
            box = placed.boxes[o.number]
            said = text_label(
                number_text(drawing.ends[o.said], drawing.digits), _SMALL, drawing.theme.gradient, italic=True
            )
            items += said.at(round((box.left + box.right) / 2 - said.width / 2, 2), round(box.bottom + 9, 2))
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
