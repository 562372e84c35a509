"""Plots of gates: the function above its derivative, grey where the gradient is killed, circles at kinks.

The plot is the same bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from graphc.drawing.fonts import number_text, text_label, text_width
from graphc.drawing.function import HIGHEST, Curve, Function, at, grid, killed, kinks, scalar_curve
from graphc.drawing.scene import Box, Command, Group, Item, Path, Scene, circle, line, rounded
from graphc.drawing.svg import svg_text
from graphc.drawing.theme import Theme, theme_named
from graphc.graph import registry

__all__ = ["Frame", "axes", "curve", "curve_scene", "panel", "value_range"]

_WIDTH, _PANEL, _GAP = 400.0, 138.0, 16.0  # points
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 16.0, 34.0, 28.0
_TICK, _LEGEND = 9.5, 12.0  # font sizes
_DASHES: tuple[tuple[float, ...], ...] = ((), (6.0, 3.0), (1.5, 2.5))


def _ticks(low: float, high: float, count: int) -> list[float]:
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _interval(curves: Sequence[Curve]) -> tuple[float, float]:
    """Wide for functions that stay in sight, narrow for those that grow fast, cut to where they are defined."""
    points = grid(-8.0, 8.0)
    values = numpy.concatenate([c.value(points) for c in curves])
    known = values[numpy.isfinite(values)]
    half = 8.0 if known.size and float(numpy.abs(known).max()) <= 3 * HIGHEST and len(curves) == 1 else 4.0
    points = grid(-half, half)
    defined = numpy.isfinite(numpy.array([c.value(points) for c in curves])).any(axis=0)
    places = points[defined]
    low = -half if not places.size or places[0] < -half / 2 else -half / 8
    return low, half


@dataclass(frozen=True)
class Frame:
    """A panel: where a point of the plane stands on the page."""

    box: Box
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, x: float) -> float:
        """Return where a number stands from left to right."""
        low, high = self.x
        return round(self.box.left + (x - low) / (high - low) * (self.box.right - self.box.left), 2)

    def down(self, y: float) -> float:
        """Return where a number stands from top to bottom."""
        low, high = self.y
        return round(self.box.bottom - (y - low) / (high - low) * (self.box.bottom - self.box.top), 2)


def value_range(functions: Sequence[Function], x: tuple[float, float]) -> tuple[float, float]:
    """Return the numbers that a panel shows for functions on an interval."""
    points = grid(*x)
    values = numpy.concatenate([f(points) for f in functions])
    values = values[numpy.isfinite(values)]
    shown = values[numpy.abs(values) <= HIGHEST]
    if not shown.size:
        return -1.0, 1.0
    # 0 is part of every picture, and so are the nearest round numbers around the curve
    low, high = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    if high - low < 1e-9:
        low, high = -1.0, 1.0
    margin = 0.08 * (high - low)
    return low - margin, high + margin


def _stroke(function: Function, frame: Frame, breaks: Sequence[float]) -> tuple[Command, ...]:
    """Line segments, broken at jumps and cut off at the panel's border."""
    low, high = frame.y
    points = [float(v) for v in grid(*frame.x)]
    for place in breaks:  # up to the jump from both sides
        points += [place - 2e-6, place + 2e-6]
    points = sorted(g for g in points if not any(abs(g - place) < 1e-6 for place in breaks))  # places have 6 digits
    values = function(numpy.array(points))
    commands: list[Command] = []
    pen = False
    for k in range(1, len(points)):
        (x0, y0), (x1, y1) = (points[k - 1], float(values[k - 1])), (points[k], float(values[k]))
        jump = any(x0 < place < x1 for place in breaks)
        if jump or not math.isfinite(y0) or not math.isfinite(y1) or max(y0, y1) < low or min(y0, y1) > high:
            pen = False
            continue

        def cut(y: float, x0: float = x0, y0: float = y0, x1: float = x1, y1: float = y1) -> tuple[float, float]:
            inside = min(max(y, low), high)
            return (x0 + (x1 - x0) * (inside - y0) / (y1 - y0), inside) if inside != y else (x0 if y == y0 else x1, y)

        if not pen or not low <= y0 <= high:
            x, y = cut(y0)
            commands.append(("M", frame.across(x), frame.down(y)))
        x, y = (x1, y1) if low <= y1 <= high else cut(y1)
        commands.append(("L", frame.across(x), frame.down(y)))
        pen = low <= y1 <= high
    return tuple(commands)


def axes(frame: Frame, theme: Theme, *, numbers: bool, count: int = 8) -> list[Item]:
    """Draw the grid of a panel, with about ``count`` lines down; ``numbers`` says whether they are numbered."""
    box = frame.box
    items: list[Item] = []
    for tick in _ticks(*frame.y, 4):
        y = frame.down(tick)
        items.append(line(box.left, y, box.right, y, theme.grid if abs(tick) > 1e-9 else theme.quiet, 0.8))
        label = text_label(number_text(round(tick, 9)), _TICK, theme.quiet)
        items += label.at(round(box.left - 7 - label.width, 2), y + 3.4)
    for tick in _ticks(*frame.x, count):
        x = frame.across(tick)
        items.append(line(x, box.top, x, box.bottom, theme.grid if abs(tick) > 1e-9 else theme.quiet, 0.8))
        if numbers:
            label = text_label(number_text(round(tick, 9)), _TICK, theme.quiet)
            items += label.at(round(x - label.width / 2, 2), box.bottom + 13)
    return items


def panel(frame: Frame, curves: Sequence[Curve], which: str, theme: Theme) -> list[Item]:
    """Draw the values (``which`` is ``"value"``) or the slopes of curves, with circles at their kinks."""
    colour = theme.value if which == "value" else theme.gradient
    items: list[Item] = []
    for number, item in enumerate(curves):
        places = kinks(item, *frame.x)
        function = item.value if which == "value" else item.slope
        stroke = _stroke(function, frame, places)
        if stroke:
            path = Path(stroke, stroke=colour, width=2.2, dash=_DASHES[number % len(_DASHES)])
            items.append(Group((path,), classes=which))
        for place in places:
            here = at(function, place)
            if math.isfinite(here) and frame.y[0] <= here <= frame.y[1]:
                dot = circle(frame.across(place), frame.down(here), 3.4, fill=theme.paper, stroke=colour, width=1.8)
                items.append(Group((dot,), classes="kink"))
    return items


def _legend(curves: Sequence[Curve], left: float, baseline: float, theme: Theme) -> list[Item]:
    items: list[Item] = []
    labels = [item.label for item in curves]
    if sum(text_width(label, _LEGEND) + 43 for label in labels) > _WIDTH - left - _RIGHT + 14:
        labels = [item.short or item.label for item in curves]
    for number, text in enumerate(labels):
        dash = _DASHES[number % len(_DASHES)]
        items.append(
            Path((("M", left, baseline - 4), ("L", left + 24, baseline - 4)), stroke=theme.value, width=2.2, dash=dash)
        )
        label = text_label(text, _LEGEND, theme.ink)
        items += label.at(left + 29, baseline)
        left = round(left + 29 + label.width + 14, 2)
    return items


def curve_scene(name: str, theme: str = "default") -> Scene | None:
    """Return the plot of a gate, or None where it does not map each element by itself.

    Parameters
    ----------
    name : str
        Registry name.
    theme : str, default ``"default"``
        Colours, as for `draw`.

    Returns
    -------
    Scene or None
        The function above its derivative. Grey bands: the derivative is below 1 % of its largest, so that a gradient
        does not pass. Circles: kinks, at the value or derivative that the gate takes there.

    Raises
    ------
    GraphcError
        If there is no such gate or theme.
    """
    curves = scalar_curve(name)
    colours = theme_named(theme)
    if not curves:
        return None
    x = _interval(curves)
    first = registry.gate(name).operands[0]
    bands = killed(curves[0], *x) if len(curves) == 1 else []
    marks = sorted({place for item in curves for place in kinks(item, *x)})
    height = _TOP + 2 * _PANEL + _GAP + _LEGEND + _BOTTOM
    boxes = [
        Box(_LEFT, _TOP, _WIDTH - _RIGHT, _TOP + _PANEL),
        Box(_LEFT, _TOP + _PANEL + _GAP + _LEGEND, _WIDTH - _RIGHT, _TOP + 2 * _PANEL + _GAP + _LEGEND),
    ]
    items: list[Item] = []
    for k, (which, box) in enumerate(zip(("value", "slope"), boxes, strict=True)):
        frame = Frame(box, x, value_range([c.value if which == "value" else c.slope for c in curves], x))
        for left, right in bands:
            band = rounded(
                Box(frame.across(left), box.top, frame.across(right), box.bottom),
                0,
                fill=colours.mixed(colours.quiet, 0.16),
            )
            items.append(Group((band,), classes="killed"))
        items += axes(frame, colours, numbers=k == 1)
        items += panel(frame, curves, which, colours)
        if k == 1:
            text = f"dy/d{first}" if len(first) == 1 else f"dy / d {first}"
            items.append(
                Path(
                    (("M", box.left, box.top - 10), ("L", box.left + 24, box.top - 10)),
                    stroke=colours.gradient,
                    width=2.2,
                )
            )
            label = text_label(text, _LEGEND, colours.ink)
            items += label.at(box.left + 29, box.top - 6)
            note = _note(bands, marks)
            if note:
                said = text_label(note, _TICK, colours.quiet)
                items += said.at(round(box.right - said.width, 2), box.top - 6)
    items += _legend(curves, _LEFT, _TOP - 12, colours)
    return Scene(
        _WIDTH,
        height,
        tuple(items),
        f"The gate {name} and its derivative",
        _words(name, curves, bands, marks),
        paper=colours.paper,
    )


def _note(bands: Sequence[tuple[float, float]], marks: Sequence[float]) -> str:
    parts = ["grey: gradient killed"] if bands else []
    parts += ["circle: kink"] if marks else []
    return ", ".join(parts)


def _words(name: str, curves: Sequence[Curve], bands: Sequence[tuple[float, float]], marks: Sequence[float]) -> str:
    parts = [f"Curves of {', '.join(c.label.removeprefix('y = ') for c in curves)} and, below, of the derivative."]
    for left, right in bands:
        parts.append(
            f"From {number_text(left, 3)} to {number_text(right, 3)} the derivative is below 1 % of its largest."
        )
    if marks:
        parts.append(f"{name} has a kink or a jump at {', '.join(number_text(m) for m in marks)}.")
    return " ".join(parts)


def curve(name: str, theme: str = "default") -> str:
    """Return the plot of a gate as SVG text, empty where the gate has none; see `curve_scene`."""
    scene = curve_scene(name, theme)
    return "" if scene is None else svg_text(scene)
