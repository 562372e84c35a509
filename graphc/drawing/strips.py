"""Strips of bars over time, linear or logarithmic, one bar a step or a group of steps, and the words at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy

from graphc.drawing.fonts import Label, number_text, printable, text_label, text_width
from graphc.drawing.scene import Box, Group, Item, Path, circle, line, rounded
from graphc.drawing.theme import Theme

__all__ = [
    "BETWEEN",
    "STRIP",
    "Strip",
    "Strips",
    "cut",
    "lowered",
    "luminance",
    "plain_text",
    "readable",
    "reduced",
    "short",
    "subscripted",
]

_TEXT, _SMALL, _TINY, _DEEP = 10.5, 9.0, 7.5, 0.72  # font sizes; that of a subscript is a share
_NARROW = 30.0  # narrowest bar that has room for its number
_BARS, _TITLED, BETWEEN = 38.0, 13.0, 14.0  # heights of a strip: bars, title, and the gap below
_OVER, _OVER_NARROW = 11.5, 19.0  # room for numbers: in one line, and in two where bars are narrower than numbers
#: Height of a strip without the room for numbers.
STRIP = _TITLED + _BARS + BETWEEN
#: More bars than this are drawn in groups.
_BARS_SHOWN = 120
#: A strip with a larger ratio is logarithmic.
_RATIO = 100.0


def cut(text: str, size: float, width: float) -> str:
    """Shorten a name until it fits."""
    text = printable(text, 200)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def subscripted(pieces: Sequence[str], size: float, colour: str) -> Label:
    """Lay out a line of text in which every second piece is a subscript."""
    items: list[Item] = []
    at = 0.0
    for number, piece in enumerate(pieces):
        low = number % 2 == 1
        label = text_label(piece, size * _DEEP if low else size, colour)
        items += label.at(round(at, 2), 0.24 * size if low else 0.0) if piece.strip() else ()
        at += label.width + (0.06 * size if low else 0.0)
    return Label(tuple(items), at, 0.72 * size, 0.21 * size, "".join(pieces))


def lowered(name: str) -> list[str]:
    """Split a name so that every second piece stands low: ``W_hh``, ``w1``."""
    stem, _, low = name.partition("_")
    if not (stem and low):
        stem = name.rstrip("0123456789")
        low = name[len(stem) :]
    return [stem, low] if stem and low else [name]


def luminance(colour: str) -> float:
    """Relative luminance of a colour (WCAG 2.1)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def readable(fill: str, theme: Theme) -> str:
    """Whichever of ink and paper stands out more."""
    back, ink, paper = (luminance(colour) + 0.05 for colour in (fill, theme.ink, theme.paper))
    return theme.ink if max(back / ink, ink / back) >= max(back / paper, paper / back) else theme.paper


def short(value: float, width: float) -> str:
    """A number of three digits, or of as many as fit."""
    found = [number_text(value, digits) for digits in (3, 2)]
    if math.isfinite(value) and value != 0:
        mantissa, _, exponent = f"{value:.1e}".partition("e")  # 0.00073 is longer than 7.3e-4
        found.append(f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−"))
    found.append(number_text(value, 1))
    return next((text for text in found if text_width(text, _TINY) <= width), found[-1])


def reduced(values: numpy.ndarray, parts: int, mean: bool = False) -> numpy.ndarray:
    """The largest or the mean of each of some groups of successive numbers; NaN stays."""
    groups = numpy.array_split(numpy.asarray(values, dtype="float64"), min(parts, len(values)))
    with numpy.errstate(invalid="ignore"):  # inf - inf in a mean is NaN, and drawn as such
        return numpy.array([group.mean() if mean else group.max() for group in groups])


def plain_text(pieces: Sequence[str]) -> str:
    """Write a line with subscripts as plain text."""
    return "".join(("_" if k % 2 else "") + piece for k, piece in enumerate(pieces))


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
class Strip:
    """What a strip shows: its title with subscripts, a number for each step, and what they are."""

    pieces: list[str]
    values: numpy.ndarray
    kind: str  # "gradient", "sensitivity" or "gate"


class Strips:
    """Draws strips of bars below one another.

    Parameters
    ----------
    theme : Theme
    steps : int
        Number of steps from ``left`` to ``right``.
    left, right : float
        Ends of the strips.
    folded : bool
        Whether bars are narrower than numbers.
    """

    def __init__(self, theme: Theme, steps: int, left: float, right: float, folded: bool) -> None:
        self.theme, self.steps, self.left, self.right, self.folded = theme, steps, left, right, folded
        self.width = right + 16.0
        self.over = _OVER_NARROW if folded else _OVER
        self.begin, self.down = 0, False  # steps before the first bar, and whether the last step comes first
        self.items: list[Item] = []

    def write(self, label: Label, x: float, baseline: float) -> float:
        """Write a label; returns where it ends."""
        self.items.extend(label.at(round(x, 2), round(baseline, 2)))
        return x + label.width

    def strip(self, number: int, strip: Strip, top: float) -> None:
        """Draw a strip; `STRIP` and the room for numbers, ``over``, is its height."""
        theme = self.theme
        gate = strip.kind == "gate"
        values = reduced(strip.values, _BARS_SHOWN, mean=gate)
        axis = _axis(values, unit=gate)
        pieces = [*strip.pieces, *([""] if len(strip.pieces) % 2 == 0 else [])]  # what follows is no subscript
        pieces[-1] += ", logarithmic" if axis.logarithmic else ""
        if len(values) < len(strip.values) and not gate:
            pieces[-1] += f", each bar the largest of up to {-(-len(strip.values) // len(values))} steps"
        baseline = round(top + 9, 2)
        self.write(subscripted(pieces, _TEXT, theme.ink), self.left, baseline)
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
            title = f"{plain_text(strip.pieces)}, {self.span(k, len(values))}: {number_text(value)}"
            self.items.append(Group((shape,), id=f"bar-{number}-{k + 1}", classes=f"bar {strip.kind}", title=title))
        self.numbers(number, values, tops, upper - self.over)

    def span(self, bar: int, bars: int) -> str:
        """The steps of a bar."""
        first, last = map(self.numbered, self.ends(bar, bars))
        return f"t = {first}" if first == last else f"t = {first} … {last}"

    def numbered(self, t: int) -> int:
        """The number of the t-th step."""
        return self.steps + 1 - t if self.down else t + self.begin

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
        shown = {k: short(float(values[k]), room) for k in ends}
        largest = int(numpy.where(numpy.isfinite(values), numpy.abs(values), -1.0).argmax())
        said = short(float(values[largest]), room)
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
        room = text_width(str(self.steps + self.begin), _SMALL) + 8
        every = next(m * 10**p for p in range(9) for m in (1, 2, 5) if m * 10**p * width >= room)
        places = {self.numbered(t): t for t in range(1, self.steps + 1)}
        shown = [n for n in places if n % every == 0]
        first = min(places)
        if first not in shown and (not shown or abs(places[min(shown)] - places[first]) * width >= room):
            shown.insert(0, first)
        written: set[int] = set()
        for number in shown:
            t = places[number]
            # the middle of the bar that has the step: bars of groups differ by one step
            bar = next(k for k in range(bars) if self.ends(k, bars)[0] <= t <= self.ends(k, bars)[1])
            if bar in written:
                continue
            written.add(bar)
            centre = self.left + (bar + 0.5) * (self.right - self.left) / bars
            label = text_label(str(number), _SMALL, theme.ink)
            x = min(max(centre - label.width / 2, self.left - 2), self.width - 2 - label.width)
            self.write(label, x, top + 11)
