"""The picture of gradient flow through time: states that fade from step to step, and strips of bars below.

The picture follows from the arrays of a `Flow` alone and knows no cell: which gates are open and which path keeps the
gradient shows in the numbers. Equal flows give the same bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy

from graphc.drawing.fonts import Label, number_text, printable, text_label, text_width
from graphc.drawing.scene import Box, Group, Item, Path, Scene, circle, line, rounded
from graphc.drawing.theme import Theme, theme_named
from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean

if TYPE_CHECKING:
    from graphc.gradients.flow import Flow

__all__ = ["FlowDrawing", "flow_drawing"]

_MARGIN, _LEFT, _LEAST = 16.0, 86.0, 520.0  # points: around the page, left of the first step, and its least width
_TITLE, _TEXT, _SMALL, _TINY, _DEEP = 13.0, 10.5, 9.0, 7.5, 0.72  # font sizes; that of a subscript is a share
_NARROW, _WIDE = 30.0, 76.0  # width of a step
_BOX, _ROW = 30.0, 54.0  # height of a box and of a row of boxes
_BARS, _TITLED, _BETWEEN = 38.0, 13.0, 14.0  # heights of a strip: bars, title, and the gap below
_OVER, _OVER_NARROW = 11.5, 19.0  # room for numbers: in one line, and in two where bars are narrower than numbers
#: More steps than `_UNFOLDED` are folded but for `_ENDS` at both ends; `_FOLD` is the width of the fold, in steps.
_UNFOLDED, _ENDS, _FOLD = 24, 4, 3.0
#: More bars than this are drawn in groups.
_BARS_SHOWN = 120
#: Strips of gates that are drawn.
_GATES = 12
#: A state below this share of the largest is outlined by dashes; a strip with a larger ratio is logarithmic.
_FADED, _RATIO = 0.01, 100.0


@dataclass(frozen=True, eq=False)
class FlowDrawing(Written):
    """The flow through a repeat, drawn once and written in any format.

    Attributes
    ----------
    flow : Flow
        What is drawn.
    gates : tuple of str
        Tensors that have a strip of their own.
    """

    flow: Flow
    gates: tuple[str, ...]
    theme: Theme

    @cached_property
    def _drawn(self) -> Scene:
        return _Page(self).scene()

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    def text(self) -> str:
        """Return the numbers of every step as a table."""
        columns: dict[str, numpy.ndarray] = {}
        for name, norms in self.flow.states.items():
            columns[f"|dL/d{printable(name)}|"] = norms[1:]
        for name, norms in self.flow.sensitivity.items():
            columns[f"|d{printable(name)}/dx_1|"] = norms
        for name in self.gates:
            columns[f"mean {printable(name)}"] = self.flow.values[name]
        widths = [max(len(title), 9) for title in columns]
        rows = ["  ".join(["step", *(title.rjust(w) for title, w in zip(columns, widths, strict=True))])]
        for t, numbers in enumerate(zip(*columns.values(), strict=True), 1):
            shown = [number_text(n).rjust(w) for n, w in zip(numbers, widths, strict=True)]
            rows.append("  ".join([f"{t:>4}", *shown]))
        return "\n".join([self.scene.title, "", *rows]) + "\n"


def flow_drawing(flow: Flow, *, theme: str = "default", gates: Sequence[str] | None = None) -> FlowDrawing:
    """Draw how gradients pass through a repeat, step by step.

    Each state is a row of boxes, one a step, shaded by |ds_t/dx_1|: how much of the first input is left. Below are
    bars over time of |dL/ds_t|, of |ds_t/dx_1|, and of the means of gates: how open they are.

    Parameters
    ----------
    flow : Flow
        From `Run.flow`.
    theme : str, default ``"default"``
        Colours, as for `draw`.
    gates : sequence of str, optional
        Tensors of the cell whose means are drawn. By default those whose means stay between 0 and 1, as those of a
        gate do, the first 12 of them.

    Returns
    -------
    FlowDrawing
        Shows itself in notebooks; ``save`` writes it as .svg, .pdf, .png or .txt.

    Raises
    ------
    DrawingError
        If there is no such theme or tensor, or if the flow has no state or no step.
    """
    colours = theme_named(theme)
    if not any(len(norms) > 1 for norms in flow.states.values()):
        raise DrawingError(f"the flow through {flow.name!r} has no state and step to draw; measure it by Run.flow")
    if gates is None:
        inside = [name for name, means in flow.values.items() if numpy.all((means >= 0) & (means <= 1))]
        return FlowDrawing(flow, tuple(inside[:_GATES]), colours)
    for name in gates:
        if name not in flow.values:
            known = ", ".join(map(repr, flow.values)) or "none"
            hint = did_you_mean(name, flow.values)
            raise DrawingError(f"the cell {flow.name!r} makes no tensor {name!r}; it makes {known}{hint}")
    return FlowDrawing(flow, tuple(dict.fromkeys(gates)), colours)


def _cut(text: str, size: float, width: float) -> str:
    """Shorten a name until it fits."""
    text = printable(text, 200)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _formula(pieces: Sequence[str], size: float, colour: str) -> Label:
    """Lay out a line of text in which every second piece is a subscript."""
    items: list[Item] = []
    at = 0.0
    for number, piece in enumerate(pieces):
        low = number % 2 == 1
        label = text_label(piece, size * _DEEP if low else size, colour)
        items += label.at(round(at, 2), 0.24 * size if low else 0.0) if piece.strip() else ()
        at += label.width + (0.06 * size if low else 0.0)
    return Label(tuple(items), at, 0.72 * size, 0.21 * size, "".join(pieces))


def _of_loss(name: str) -> list[str]:
    return [f"|dL/d{name}", "t", "|"]


def _of_input(name: str) -> list[str]:
    return [f"|d{name}", "t", "/dx", "1", "|"]


def _luminance(colour: str) -> float:
    """Relative luminance of a colour (WCAG 2.1)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _readable(fill: str, theme: Theme) -> str:
    """Whichever of ink and paper stands out more."""
    back, ink, paper = (_luminance(colour) + 0.05 for colour in (fill, theme.ink, theme.paper))
    return theme.ink if max(back / ink, ink / back) >= max(back / paper, paper / back) else theme.paper


def _short(value: float, width: float) -> str:
    """A number of three digits, or of as many as fit."""
    found = [number_text(value, digits) for digits in (3, 2)]
    if math.isfinite(value) and value != 0:
        mantissa, _, exponent = f"{value:.1e}".partition("e")  # 0.00073 is longer than 7.3e-4
        found.append(f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−"))
    found.append(number_text(value, 1))
    return next((text for text in found if text_width(text, _TINY) <= width), found[-1])


def _reduced(values: numpy.ndarray, parts: int, mean: bool = False) -> numpy.ndarray:
    """The largest or the mean of each of some groups of successive numbers; NaN stays."""
    groups = numpy.array_split(numpy.asarray(values, dtype="float64"), min(parts, len(values)))
    with numpy.errstate(invalid="ignore"):  # inf - inf in a mean is NaN, and drawn as such
        return numpy.array([group.mean() if mean else group.max() for group in groups])


@dataclass
class _Axis:
    """Heights of numbers, from 0 at the lower to 1 at the upper end, and the numbers written beside it."""

    low: float
    high: float
    logarithmic: bool
    ticks: list[tuple[float, str]] = field(default_factory=list)

    def height(self, value: float) -> float:
        if self.logarithmic:
            return 0.0 if value <= 0 else (math.log10(value) - self.low) / (self.high - self.low)
        return (value - self.low) / (self.high - self.low)


def _axis(values: numpy.ndarray, unit: bool) -> _Axis:
    """The axis of a strip: logarithmic where the numbers are far apart; ``unit`` for 0 to 1."""
    finite = values[numpy.isfinite(values)]
    positive = finite[finite > 0]
    if unit and finite.size == values.size and (finite >= 0).all() and (finite <= 1).all():
        return _Axis(0.0, 1.0, False, [(0.0, "0"), (0.5, "0.5"), (1.0, "1")])
    if not (finite < 0).any() and positive.size and positive.max() / _RATIO > positive.min():
        # powers, not numbers: those of the smallest numbers cannot be written as one
        high = math.ceil(math.log10(positive.max()) - 1e-12)
        low = math.floor(math.log10(positive.min()) - 0.15)  # the smallest bar is seen as well
        step = math.ceil((high - low) / 4)
        low = high - step * math.ceil((high - low) / step)
        ticks = [((p - low) / (high - low), _power(p)) for p in range(low, high + 1, step)]
        return _Axis(low, high, True, ticks)
    largest = float(numpy.abs(finite).max(initial=0.0))
    top = _round_up(largest) if largest > 0 else 1.0
    low = -top if (finite < 0).any() else 0.0
    low = 0.0 if math.isinf(top) else low
    high = largest if math.isinf(top) else top
    marks = sorted({low, 0.0, high})
    return _Axis(low, high, False, [((m - low) / (high - low), number_text(m, 2)) for m in marks])


def _power(exponent: int) -> str:
    return number_text(10.0**exponent) if -3 <= exponent <= 4 else f"1e{exponent}".replace("-", "−")


def _round_up(value: float) -> float:
    """The next round number that is not below."""
    exponent = math.floor(math.log10(value))
    # read as decimals: 3 * 0.1 is not 0.3
    found = [float(f"{digits}e{exponent - 1}") for digits in (10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150)]
    return next(number for number in found if number >= value)


@dataclass(frozen=True)
class _Strip:
    pieces: list[str]
    values: numpy.ndarray
    kind: str  # "gradient", "sensitivity" or "gate"


class _Page:
    """Places rows of boxes, then strips of bars, below one another."""

    def __init__(self, drawing: FlowDrawing) -> None:
        self.drawing, self.flow, self.theme = drawing, drawing.flow, drawing.theme
        self.steps = max(len(norms) for norms in self.flow.states.values()) - 1
        self.folded = self.steps > _UNFOLDED
        columns = 2 * _ENDS + _FOLD if self.folded else float(self.steps)
        self.column = min(max(648.0 / columns, _NARROW), _WIDE)
        self.left, self.right = _LEFT, round(_LEFT + columns * self.column, 2)
        self.width = max(self.right + _MARGIN, _LEAST)
        self.over = _OVER_NARROW if self.folded else _OVER
        self.items: list[Item] = []

    def write(self, label: Label, x: float, baseline: float) -> float:
        """Write a label; returns where it ends."""
        self.items.extend(label.at(round(x, 2), round(baseline, 2)))
        return x + label.width

    def wrapped(self, text: str, baseline: float) -> float:
        """Write text in lines as wide as the page; returns the baseline of the last."""
        said = ""
        for word in text.split():
            longer = f"{said} {word}".strip()
            if said and text_width(longer, _SMALL) > self.width - 2 * _MARGIN:
                self.write(text_label(said, _SMALL, self.theme.quiet), _MARGIN, baseline)
                baseline, longer = baseline + 13, word
            said = longer
        self.write(text_label(said, _SMALL, self.theme.quiet), _MARGIN, baseline)
        return baseline

    def scene(self) -> Scene:
        theme, flow = self.theme, self.flow
        title = f"Gradient flow through {_cut(flow.name, _TITLE, 260)}, {self.steps} step{'s' * (self.steps > 1)}"
        self.write(text_label(title, _TITLE, theme.ink, bold=True), _MARGIN, 26)
        unmeasured = [name for name in flow.states if name not in flow.sensitivity]
        said = "Boxes show how strongly a state depends on the first input"
        if unmeasured:
            names = ", ".join(_cut(name, _SMALL, 90) for name in unmeasured[:8])
            names += f" and {len(unmeasured) - 8} others" if len(unmeasured) > 8 else ""
            loss = "how strongly the loss depends on a state"
            said = f"{said}, or {loss} where that was not measured ({names})"
            if len(unmeasured) == len(flow.states):
                said = f"Boxes show {loss}; how strongly it depends on the first input was not measured"
        said += ", as a share of the largest of the row; dashes: below 1 %."
        top = self.wrapped(said, 43) + 15
        for number, name in enumerate(flow.states):
            self.row(number, name, top)
            top += _ROW
        top += 2
        strips: list[_Strip] = []
        for name, norms in flow.states.items():
            shown = _cut(name, _TEXT, 90)
            strips.append(_Strip(_of_loss(shown), norms[1:], "gradient"))
            if name in flow.sensitivity:
                strips.append(_Strip(_of_input(shown), flow.sensitivity[name], "sensitivity"))
        gates = self.drawing.gates
        strips += [_Strip([f"mean of {_cut(name, _TEXT, 90)}", "t"], flow.values[name], "gate") for name in gates]
        for number, strip in enumerate(strips):
            self.strip(number, strip, top)
            top += _TITLED + self.over + _BARS + _BETWEEN
        self.times(top - _BETWEEN)
        height = round(top + _MARGIN + 4, 2)
        return Scene(self.width, height, tuple(self.items), title, _words(flow, self.steps))

    # ---- rows of boxes -------------------------------------------------------------------------

    def row(self, number: int, name: str, top: float) -> None:
        theme = self.theme
        measured = name in self.flow.sensitivity
        values = self.flow.sensitivity[name] if measured else self.flow.states[name][1:]
        values = numpy.asarray(values, dtype="float64")
        quantity = _of_input if measured else _of_loss
        what = quantity(printable(name))
        colour = theme.value if measured else theme.gradient
        finite = values[numpy.isfinite(values)]
        largest = float(finite.max(initial=0.0))
        shares = numpy.clip(values / largest if largest > 0 else numpy.zeros_like(values), 0.0, 1.0)
        width = round(min(self.column * 0.64, 44.0), 2)
        middle = top + _BOX / 2
        label = _formula([_cut(name, _TEXT, 30), "t"], _TEXT, theme.ink)
        self.write(label, _MARGIN, middle + 3.5)
        self.write(_formula(quantity(_cut(name, _SMALL, 30)), _SMALL, theme.quiet), _MARGIN, top + _BOX + 10)
        if measured:
            entry = _formula(["x", "1"], _SMALL, theme.ink)
            end = self.left - 14
            self.write(entry, end - entry.width - 2, middle + 3)
            self.arrow(f"link-{number}-x", end, self.left + (self.column - width) / 2, middle)
        before = 0.0
        for first, last, left, span in self.places():
            alone = first == last
            broad = width if alone else span - (self.column - width)
            box = Box(*(round(v, 2) for v in (left + (span - broad) / 2, top, left + (span + broad) / 2, top + _BOX)))
            drawn: list[Item] = []
            part = shares[first - 1 : last]
            known = numpy.isfinite(values[first - 1 : last]).all()
            bands = _reduced(numpy.nan_to_num(part), 12)
            for k, share in enumerate(bands):
                ends = [round(box.left + (box.right - box.left) * j / len(bands), 2) for j in (k, k + 1)]
                if not alone:
                    drawn.append(rounded(Box(ends[0], top, ends[1], box.bottom), 0, fill=theme.mixed(colour, share)))
            faded = bool((part < _FADED).all())
            fill = theme.mixed(colour, float(part[0])) if alone and known else theme.paper if alone else ""
            drawn.append(
                rounded(
                    box, 4 if alone else 0, fill=fill, stroke=theme.ink if known else theme.wrong,
                    width=1.0 if known else 2.0, dash=(3.0, 2.0) if faded and known else (),
                )
            )  # fmt: skip
            if alone:
                inside = _formula([_cut(name, _TEXT, 200), str(first)], _TEXT, _readable(fill, theme))
                if inside.width > broad - 4:
                    inside = text_label(str(first), _SMALL, _readable(fill, theme))
                drawn += inside.centred((box.left + box.right) / 2, middle)
                said = _short(float(values[first - 1]), self.column - 5)
            else:
                ends = [_short(float(values[t - 1]), self.column - 5) for t in (first, last)]
                said = f"t = {first} … {last}: {ends[0]} … {ends[1]}"
            below = text_label(said, _TINY, theme.ink)
            drawn += below.at(round(left + (span - below.width) / 2, 2), round(box.bottom + 10, 2))
            title = f"{printable(name)}_{first}: " if alone else f"{printable(name)}, t = {first} … {last}: "
            numbers = [number_text(values[t - 1]) for t in dict.fromkeys((first, last))]
            title += f"{_plain(what)} = {' … '.join(numbers)}"
            self.items.append(Group(tuple(drawn), id=f"state-{number}-{first}", classes="state", title=title))
            if before:
                self.arrow(f"link-{number}-{first}", before, box.left, middle)
            before = box.right

    def places(self) -> Iterator[tuple[int, int, float, float]]:
        """First and last step, left end and width of each box of a row."""
        if not self.folded:
            for t in range(1, self.steps + 1):
                yield t, t, self.left + (t - 1) * self.column, self.column
            return
        for t in range(1, _ENDS + 1):
            yield t, t, self.left + (t - 1) * self.column, self.column
        yield _ENDS + 1, self.steps - _ENDS, self.left + _ENDS * self.column, _FOLD * self.column
        for k in range(_ENDS):
            left = self.left + (_ENDS + _FOLD + k) * self.column
            yield self.steps - _ENDS + 1 + k, self.steps - _ENDS + 1 + k, left, self.column

    def arrow(self, name: str, start: float, end: float, y: float) -> None:
        ink = self.theme.wire
        start, end = round(start + 0.8, 2), round(end - 0.8, 2)
        head = Path((("M", end, y), ("L", end - 5, y - 2.6), ("L", end - 5, y + 2.6), ("Z",)), fill=ink)
        self.items.append(Group((line(start, y, end - 4, y, ink, 1.1), head), id=name, classes="link"))

    # ---- strips of bars ------------------------------------------------------------------------

    def strip(self, number: int, strip: _Strip, top: float) -> None:
        theme = self.theme
        gate = strip.kind == "gate"
        values = _reduced(strip.values, _BARS_SHOWN, mean=gate)
        axis = _axis(values, unit=gate)
        pieces = [*strip.pieces, *([""] if len(strip.pieces) % 2 == 0 else [])]  # what follows is no subscript
        pieces[-1] += ", logarithmic" if axis.logarithmic else ""
        if len(values) < len(strip.values) and not gate:
            pieces[-1] += f", each bar the largest of up to {-(-len(strip.values) // len(values))} steps"
        baseline = round(top + 9, 2)
        self.write(_formula(pieces, _TEXT, theme.ink), self.left, baseline)
        upper = round(top + _TITLED + self.over, 2)
        lower = upper + _BARS
        fills = {"gradient": theme.gradient, "sensitivity": theme.value, "gate": theme.local_fill}
        stroke = theme.local if gate else ""
        zero = lower - _BARS * (0.0 if axis.logarithmic else axis.height(0.0))
        self.items.append(line(self.left, upper, self.left, lower, theme.quiet, 0.8))
        for share, said in axis.ticks:
            y = round(lower - _BARS * share, 2)
            self.items.append(line(self.left - 3, y, self.left, y, theme.quiet, 0.8))
            tick = text_label(said, _TINY, theme.quiet)
            self.write(tick, self.left - 5 - tick.width, y + 2.6)
        self.items.append(line(self.left, zero, self.right, zero, theme.quiet, 0.8))
        width = (self.right - self.left) / len(values)
        narrow = min(width * 0.7, 34.0)
        tops: list[tuple[float, float, float]] = []  # left, right and upper end of what is drawn
        for k, value in enumerate(values):
            centre = self.left + (k + 0.5) * width
            ends = round(centre - narrow / 2, 2), round(centre + narrow / 2, 2)
            reach = lower - _BARS * axis.height(float(value)) if math.isfinite(value) else upper
            high, low = min(reach, zero), max(reach, zero)
            shape: Path
            if not math.isfinite(value):
                shape = rounded(Box(ends[0], upper, ends[1], lower), 0, stroke=theme.wrong, width=1.2, dash=(2.0, 2.0))
            elif value == 0:
                radius = min(narrow / 2, 2.2)
                shape, high = circle(round(centre, 2), zero, radius, stroke=theme.ink, width=0.8), zero - radius
            else:
                shape = rounded(Box(ends[0], round(high, 2), ends[1], round(low, 2)), 0, fills[strip.kind], stroke, 0.8)
            tops.append((ends[0], ends[1], high))
            title = f"{_plain(strip.pieces)}, {self.span(k, len(values))}: {number_text(value)}"
            self.items.append(Group((shape,), id=f"bar-{number}-{k + 1}", classes=f"bar {strip.kind}", title=title))
        self.numbers(number, values, tops, upper - self.over)

    def span(self, bar: int, bars: int) -> str:
        """The steps of a bar."""
        first, last = self.ends(bar, bars)
        return f"t = {first}" if first == last else f"t = {first} … {last}"

    def ends(self, bar: int, bars: int) -> tuple[int, int]:
        """First and last step of a bar; the first groups are larger by one, as numpy.array_split makes them."""
        size, larger = divmod(self.steps, bars)
        first = bar * size + min(bar, larger) + 1
        return first, first + size - (0 if bar < larger else 1)

    def numbers(
        self, strip: int, values: numpy.ndarray, tops: list[tuple[float, float, float]], ceiling: float
    ) -> None:
        """Write the numbers of the first, the last and the largest bar, and of the first NaN and infinity."""
        room = 36.0 if self.folded else _NARROW - 5
        ends = dict.fromkeys([0, len(values) - 1])
        shown = {k: _short(float(values[k]), room) for k in ends}
        largest = int(numpy.where(numpy.isfinite(values), numpy.abs(values), -1.0).argmax())
        said = _short(float(values[largest]), room)
        if said not in shown.values():
            # where numbers are wider than bars, the largest says which bar it is of
            note = f" ({self.span(largest, len(values))})" if self.folded else ""
            shown = {largest: said + note, **shown}
        for kind in (numpy.isnan(values), numpy.isinf(values)):
            for k in numpy.flatnonzero(kind)[:1]:
                shown.setdefault(int(k), number_text(float(values[k])))
        placed: list[Box] = []
        for k, text in shown.items():
            said = text_label(text, _TINY, self.theme.ink)
            centre = (tops[k][0] + tops[k][1]) / 2
            left = min(max(centre - said.width / 2, self.left + 2), self.right - said.width)
            highest = min(top for a, b, top in tops if a < left + said.width and left < b)
            while True:
                box = Box(left, highest - 2.5 - said.ascent, left + said.width, highest - 1.0)
                met = [other for other in placed if box.overlaps(other)]
                if not met:
                    break
                highest = min(other.top for other in met) - 0.5
            if box.top < ceiling:  # a third number at one place: the dashed bar says that it is none
                continue
            placed.append(box)
            label = text_label(said.text, _TINY, self.theme.ink, id=f"number-{strip}-{k + 1}", classes="number")
            self.write(label, left, highest - 2.5)

    def times(self, top: float) -> None:
        """Write steps below the last strip."""
        theme = self.theme
        self.write(text_label("t", _SMALL, theme.ink), self.left - 12, top + 11)
        bars = min(self.steps, _BARS_SHOWN)
        width = (self.right - self.left) / self.steps
        room = text_width(str(self.steps), _SMALL) + 8
        every = next(m * 10**p for p in range(9) for m in (1, 2, 5) if m * 10**p * width >= room)
        shown = list(range(every, self.steps + 1, every))
        if shown[0] != 1 and (shown[0] - 1) * width >= room:
            shown.insert(0, 1)
        for t in shown:
            # the middle of the bar that has the step: bars of groups differ by one step
            bar = next(k for k in range(bars) if self.ends(k, bars)[0] <= t <= self.ends(k, bars)[1])
            centre = self.left + (bar + 0.5) * (self.right - self.left) / bars
            label = text_label(str(t), _SMALL, theme.ink)
            x = min(max(centre - label.width / 2, self.left - 2), self.width - 2 - label.width)
            self.write(label, x, top + 11)


def _plain(pieces: Sequence[str]) -> str:
    return "".join(("_" if k % 2 else "") + piece for k, piece in enumerate(pieces))


def _words(flow: Flow, steps: int) -> str:
    said = [f"States of {printable(flow.name)} over {steps} step{'s' * (steps > 1)}."]
    for name, norms in flow.states.items():
        rows = [(f"|dL/d{printable(name)}_t|", norms[1:])]
        if name in flow.sensitivity:
            rows.append((f"|d{printable(name)}_t/dx_1|", flow.sensitivity[name]))
        said += [f"{what} is {number_text(n[0])} at the first, {number_text(n[-1])} at the last." for what, n in rows]
    return " ".join(said)
