"""Activations side by side: any node that depends on one number, above its derivative.

Where a gradient is killed and where a function has kinks is found on the numbers of the two functions (`function.py`),
which come from the graph and its reverse sweep; nothing is listed by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy

from graphc.drawing.curve import Frame, axes, panel, value_range
from graphc.drawing.fonts import number_text, printable, text_label
from graphc.drawing.function import Curve, Function, at, grid, killed, kinks
from graphc.drawing.scene import Box, Command, Group, Item, Path, Scene, circle, rounded
from graphc.drawing.strips import cut
from graphc.drawing.theme import Theme
from graphc.drawing.written import Written
from graphc.errors import DrawingError
from graphc.gradients.backward import backward
from graphc.graph import input, registry
from graphc.graph.node import Node, topological
from graphc.graph.rebuild import rebuilt
from graphc.graph.reference import evaluate
from graphc.graph.unroll import unroll

__all__ = ["CurvesDrawing", "Plot", "curve_drawing", "node_curve"]

_WIDTH, _PANEL, _GAP, _BETWEEN = 196.0, 104.0, 26.0, 22.0  # points: a column, its panels, and between columns
_LEFT, _MARGIN, _TOP = 34.0, 16.0, 44.0
_NAME, _SMALL = 12.0, 9.0
_BESIDE = 4
_DEAD = 1e-12  # a slope below it is none


@dataclass(frozen=True, eq=False)
class Plot:
    """One function.

    Attributes
    ----------
    name : str
    curve : Curve
        Value and derivative.
    variable : str
        The number that it depends on.
    point : float or None
        What that is in a run.
    """

    name: str
    curve: Curve
    variable: str
    point: float | None


@dataclass(frozen=True, eq=False)
class CurvesDrawing(Written):
    """Functions of one number and their derivatives.

    Attributes
    ----------
    plots : tuple of Plot
    interval : (float, float)
    """

    plots: tuple[Plot, ...]
    interval: tuple[float, float]
    theme: Theme
    digits: int = 4

    @cached_property
    def _drawn(self) -> Scene:
        return _scene(self)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    @cached_property
    def killed(self) -> tuple[list[tuple[float, float, bool]], ...]:
        """For each plot the intervals where the slope is below 1 % of its largest, and whether it is 0 in them."""
        found = []
        for plot in self.plots:
            bands = []
            for left, right in killed(plot.curve, *self.interval):
                inside = plot.curve.slope(grid(left + 1e-6, right - 1e-6, 60))
                bands.append((left, right, bool(numpy.abs(inside).max() < _DEAD)))
            found.append(bands)
        return tuple(found)

    def text(self) -> str:
        """Return what is marked as lines."""
        rows = []
        for plot, bands in zip(self.plots, self.killed, strict=True):
            rows.append(f"{printable(plot.name)}, a function of {printable(plot.variable)}")
            for left, right, dead in bands:
                what = "dead" if dead else "saturated"
                rows.append(f"  {what} from {number_text(left)} to {number_text(right)}")
            rows += [f"  kink at {number_text(place)}" for place in kinks(plot.curve, *self.interval)]
            if plot.point is not None:
                numbers = [number_text(at(f, plot.point), self.digits) for f in (plot.curve.value, plot.curve.slope)]
                rows.append(f"  at {number_text(plot.point)}: value {numbers[0]}, derivative {numbers[1]}")
        return "\n".join(rows) + "\n"


def node_curve(node: Node, given: Mapping[Node, Any] | None = None) -> tuple[Curve, Node]:
    """Return a node as a function of the one number that it depends on, and the input that this is.

    Parameters
    ----------
    given : mapping, optional
        Values of parameters and of other inputs.

    Raises
    ------
    DrawingError
        If the node is no number, or depends on no number or on several.
    """
    known: dict[Node, Any] = {}
    free: list[Node] = []
    for leaf in topological([node]):
        if leaf.application is not None or leaf.kind == "constant":
            continue
        if leaf.kind == "input" and leaf.shape == () and leaf.is_float:
            free.append(leaf)
        elif given is not None and leaf in given:
            known[leaf] = given[leaf]
        elif isinstance(leaf.initial, numpy.ndarray):
            known[leaf] = leaf.initial
        else:
            raise DrawingError(
                f"style='curve' needs a value for {leaf.label!r}: draw a run\n  declared at {leaf.site}",
                node=leaf, site=leaf.site,
            )  # fmt: skip
    if len(free) != 1 or node.shape != () or not node.is_float:
        names = ", ".join(repr(leaf.label) for leaf in free) or "none"
        raise DrawingError(
            f"style='curve' draws a number as a function of one number; {node.label!r} has shape {node.shape} and "
            f"depends on {len(free)} scalar inputs: {names}\n  declared at {node.site}",
            node=node, site=node.site,
        )  # fmt: skip
    (variable,) = free
    points = input("points", ("P",), dtype=variable.dtype)
    # the steps of a loop without states are computed for all points at once
    values, _ = unroll(lambda x, state: (rebuilt([node], {variable: x})[node], state), points, (), name="curve")
    back = backward(registry.call("sum", values), [points])
    slopes = back.gradient_of(points)

    def function(result: Node | None) -> Function:
        def evaluated(x: numpy.ndarray) -> numpy.ndarray:
            if result is None:
                return numpy.zeros_like(x)
            with numpy.errstate(all="ignore"):
                (found,) = evaluate([result], {**known, back.seed: 1.0, points: x})
            return numpy.broadcast_to(found, x.shape)

        return evaluated

    return Curve(node.label, node.label, function(values), function(slopes)), variable


def curve_drawing(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given the same
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    beside: Sequence[Node] | Mapping[str, Node] = (),
    interval: tuple[float, float] = (-8.0, 8.0),
) -> CurvesDrawing:
    """Draw a node as a function of the one number that it depends on, above its derivative.

    Grey: less than 1 % of the largest gradient passes; ``dead`` where none does. Circles: kinks. With a run a dot
    stands at its number.

    Parameters
    ----------
    root : Node
        A scalar that depends on one scalar input.
    beside : sequence of Node, or mapping of str to Node
        More of them, each in a column of its own.
    interval : (float, float), default (-8, 8)
        From where to where.
    """
    if direction != "LR" or engine is not None:
        raise DrawingError("style='curve' places itself: leave direction= and engine= out")
    low, high = _checked_interval(interval)
    named = dict(beside) if isinstance(beside, Mapping) else dict(enumerate(beside))
    plots = []
    for key, node in [(None, root), *named.items()]:
        if not isinstance(node, Node):
            raise DrawingError(f"beside= is for nodes, found {type(node).__name__}")
        curve, variable = node_curve(node, run.leaves if run is not None else None)
        name = key if isinstance(key, str) else node.name or node.gate or node.label
        point = float(run.leaves[variable]) if run is not None and variable in run.leaves else None
        plots.append(Plot(name, curve, variable.label, point))
    return CurvesDrawing(tuple(plots), (low, high), theme, digits)


def _checked_interval(interval: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in interval)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise DrawingError(f"interval={interval!r} is two numbers, the smaller first: (-8, 8)")
    return low, high


def _scene(drawing: CurvesDrawing) -> Scene:
    theme = drawing.theme
    count = len(drawing.plots)
    beside = math.ceil(count / math.ceil(count / _BESIDE))  # lines of about equal length
    step = _WIDTH + _BETWEEN
    width = _MARGIN + beside * step - _BETWEEN + _MARGIN
    tall = _TOP + 2 * _PANEL + _GAP + 44
    items: list[Item] = []
    for number in range(count):
        left, top = _MARGIN + (number % beside) * step, (number // beside) * tall
        items.append(Group(tuple(_column(drawing, number, left, top)), id=f"plot-{number + 1}", classes="plot"))
    lines = math.ceil(count / beside)
    foot = lines * tall + 4
    bands = any(drawing.killed)
    marks = any(kinks(plot.curve, *drawing.interval) for plot in drawing.plots)
    notes = ["grey: less than 1 % of the largest gradient passes"] if bands else []
    notes += ["circle: kink"] if marks else []
    notes += ["dot: the number of this run"] if any(p.point is not None for p in drawing.plots) else []
    baseline = foot
    for note in notes:
        items += text_label(cut(note, _SMALL, width - 2 * _MARGIN), _SMALL, theme.quiet).at(_MARGIN, round(baseline, 2))
        baseline += 13
    names = ", ".join(printable(p.name) for p in drawing.plots)
    words = drawing.text().replace("\n  ", "; ").replace("\n", ". ").strip()
    return Scene(
        round(width, 2), round(baseline + 4, 2), tuple(items), f"{names}, with derivatives", words, paper=theme.paper
    )  # fmt: skip


def _column(drawing: CurvesDrawing, number: int, left: float, top: float) -> list[Item]:
    """A function above its derivative."""
    theme, x, plot = drawing.theme, drawing.interval, drawing.plots[number]
    items: list[Item] = []
    name = text_label(cut(plot.name, _NAME, _WIDTH), _NAME, theme.ink, bold=True)
    items += name.at(round(left + _LEFT, 2), round(top + 24, 2))
    for k, (which, function) in enumerate((("value", plot.curve.value), ("slope", plot.curve.slope))):
        upper = round(top + _TOP + k * (_PANEL + _GAP), 2)
        frame = Frame(Box(left + _LEFT, upper, left + _WIDTH, upper + _PANEL), x, value_range([function], x))
        box = frame.box
        bands = [(frame.across(begin), frame.across(end), dead) for begin, end, dead in drawing.killed[number]]
        grey = theme.mixed(theme.quiet, 0.16)
        for begin, end, dead in bands:
            shape = rounded(Box(begin, upper, end, box.bottom), 0, fill=grey)
            items.append(Group((shape,), classes="dead" if dead else "killed"))
        items += axes(frame, theme, numbers=k == 1, count=5)
        for begin, end, dead in bands:
            said = text_label("dead" if dead else "saturated", _SMALL, theme.quiet)
            if k == 1 and said.width + 6 <= end - begin:
                middle, y = (begin + end) / 2, round(upper + _PANEL * 0.4, 2)
                behind = Box(middle - said.width / 2 - 2, y - 9, middle + said.width / 2 + 2, y + 4)
                items.append(rounded(behind, 0, fill=grey))  # over the grid
                items += said.at(round(middle - said.width / 2, 2), y)
        items += panel(frame, [plot.curve], which, theme)
        colour = theme.value if which == "value" else theme.gradient
        stroke: tuple[Command, ...] = (("M", box.left, upper - 7), ("L", box.left + 18, upper - 7))
        items.append(Path(stroke, stroke=colour, width=2.2))
        said = f"f({plot.variable})" if k == 0 else f"df/d{plot.variable}"
        label = text_label(cut(said, _SMALL, 80), _SMALL, theme.ink)
        items += label.at(round(box.left + 23, 2), round(upper - 4, 2))
        if plot.point is not None and x[0] <= plot.point <= x[1]:
            value = at(function, plot.point)
            shown = text_label(number_text(value, drawing.digits), _SMALL, colour, italic=k == 1)
            items += shown.at(round(box.right - shown.width, 2), round(upper - 4, 2))
            if math.isfinite(value) and frame.y[0] <= value <= frame.y[1]:
                dot = circle(
                    frame.across(plot.point), frame.down(value), 3.6, fill=colour, stroke=theme.paper, width=1.2
                )
                items.append(Group((dot,), classes="point", title=f"{said} at {number_text(plot.point)}"))
    return items
