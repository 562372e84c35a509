"""Where the time of a step goes, as a picture: a bar for each group of launches, the longest first.

The picture follows from the times alone: equal times give the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphc.drawing.fonts import printable, text_label, text_width
from graphc.drawing.scene import Box, Group, Item, Scene, line, rounded
from graphc.drawing.theme import THEMES, Theme
from graphc.drawing.written import Written

__all__ = ["SUFFIXES", "Part", "Profile"]

#: Formats that a profile is written in.
SUFFIXES = (".svg", ".pdf", ".png", ".txt")

_WIDTH, _MARGIN = 760.0, 16.0  # points
_NAMES, _BARS = 212.0, 236.0  # widths of the columns
_ROW, _BAR = 19.0, 12.0  # heights
_TITLE, _TEXT, _SMALL = 13.0, 10.5, 9.5  # font sizes
#: Groups with a bar of their own; what is left is one bar.
_SHOWN = 24
#: Colours of kinds of kernel by the first words of the kinds of a family, in the order of the legend: the first kind
#: has the first colour, the last one the second, those between shades between. Other kinds are a family together.
_COLOURS = {
    ("convolution",): ("005A9C", "9CC8EA"),
    ("correlation",): ("B34700", "F0B88C"),
    ("contraction",): ("1B7A3D", "7DBB93"),
    ("pooling",): ("C79A00", "E6C65C"),
    ("sums", "moments"): ("6B2E80", "D3A8E0"),
    ("rows", "strided"): ("1F7A7A", "8FCFCF"),
    ("loops",): ("9A9A94", "C4C4BE"),
}
_OTHERS = ("8C2E4F", "DB9DB4")


@dataclass(frozen=True)
class Part:
    """Launches of one kernel kind under one label: seconds, and FLOP (a multiply-add counts 2)."""

    label: str
    kind: str
    seconds: float
    work: float


@dataclass(frozen=True)
class _Bar:
    label: str
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    @property
    def work(self) -> float:
        return sum(part.work for part in self.parts)


@dataclass(frozen=True, eq=False)
class Profile(Written):
    """A profile, drawn once and written in any format.

    Attributes
    ----------
    parts : tuple of Part
        In the order in which they run.
    peak : float
        FLOP/s that shares are of.
    note : str
        How the times were taken.
    table : str
        The same as text, launch by launch.
    """

    parts: tuple[Part, ...]
    peak: float
    note: str
    table: str
    theme: Theme = THEMES["default"]

    @cached_property
    def _drawn(self) -> Scene:
        return _scene(self)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    def text(self) -> str:
        """Return the table."""
        return self.table

    def writers(self) -> Mapping[str, Callable[[], str | bytes]]:
        """What writes each of `SUFFIXES`."""
        return {**super().writers(), ".txt": lambda: self.table + "\n"}


def _bars(parts: Sequence[Part]) -> list[_Bar]:
    """A bar for each label, the longest first; what is beyond the last one shown is one bar at the end."""
    groups: dict[str, dict[str, Part]] = {}
    for part in parts:
        kinds = groups.setdefault(part.label, {})
        known = kinds.get(part.kind, Part(part.label, part.kind, 0.0, 0.0))
        kinds[part.kind] = Part(part.label, part.kind, known.seconds + part.seconds, known.work + part.work)
    bars = [_Bar(label, tuple(kinds.values())) for label, kinds in groups.items()]
    bars.sort(key=lambda bar: -bar.seconds)  # stable: equal times stay in the order of the step
    if len(bars) <= _SHOWN + 1:
        return bars
    rest = [part for bar in bars[_SHOWN:] for part in bar.parts]
    label = f"{len(bars) - _SHOWN} others"
    merged = _bars([Part(label, part.kind, part.seconds, part.work) for part in rest])
    return [*bars[:_SHOWN], *merged]


def _colours(parts: Sequence[Part]) -> dict[str, str]:
    """Colour of each kind that occurs, in the order of the legend."""
    left = sorted({part.kind for part in parts})
    words = {kind: kind.partition("_")[0] for kind in left}
    known = {word for family in _COLOURS for word in family}
    families: list[tuple[tuple[str, ...], tuple[str, str]]] = [*_COLOURS.items()]
    families.append((tuple(set(words.values()) - known), _OTHERS))
    found: dict[str, str] = {}
    for family, ends in families:
        members = [kind for kind in left if words[kind] in family]
        found |= {kind: _shade(*ends, k / max(len(members) - 1, 1)) for k, kind in enumerate(members)}
    return found


def _shade(first: str, last: str, part: float) -> str:
    """A colour between two others."""
    pairs = zip(bytes.fromhex(first), bytes.fromhex(last), strict=True)
    return "".join(format(round(a + (b - a) * part), "02X") for a, b in pairs)


def _kind(kind: str) -> str:
    return kind.replace("_", " ")


def _milliseconds(seconds: float) -> str:
    """About three digits, no exponent."""
    value = 1e3 * seconds
    digits = 4 if value < 0.1 else 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} ms"


def _share(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.095 else f"{share:.1%}".replace("%", " %")


def _cut(text: str, size: float, width: float) -> str:
    """Shorten a label until it fits."""
    text = printable(text, 200)
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _scene(profile: Profile) -> Scene:
    theme, bars = profile.theme, _bars(profile.parts)
    colours = _colours(profile.parts)
    total = sum(bar.seconds for bar in bars)
    work = sum(bar.work for bar in bars)
    longest = max((bar.seconds for bar in bars), default=0.0)
    items: list[Item] = []

    def write(text: str, x: float, baseline: float, size: float, colour: str, **options: Any) -> float:
        label = text_label(text, size, colour, **options)
        items.extend(label.at(round(x, 2), baseline))
        return x + label.width

    reached = _share(work / max(total * profile.peak, 1e-30))
    title = f"Where the time of a step goes: {_milliseconds(total)}, {reached} of the peak"
    write(title, _MARGIN, 26, _TITLE, theme.ink, bold=True)
    write(profile.note, _MARGIN, 43, _SMALL, theme.quiet)
    x, y = _MARGIN, 55.0
    for kind, colour in colours.items():
        seconds = sum(part.seconds for part in profile.parts if part.kind == kind)
        said = f"{_kind(kind)} {_share(seconds / max(total, 1e-30))}"
        if x > _MARGIN and x + 14 + text_width(said, _TEXT) > _WIDTH - _MARGIN:
            x, y = _MARGIN, y + 16
        swatch = rounded(Box(x, y, x + 10, y + 10), 2, fill=colour)
        items.append(Group((swatch,), classes="key"))
        x = write(said, x + 14, y + 8.5, _TEXT, theme.ink) + 16
    top = y + 23
    left = _MARGIN + _NAMES + 8
    bottom = top + _ROW * len(bars)
    items.append(line(left, top, left, bottom, theme.quiet, 0.8))
    for number, bar in enumerate(bars):
        baseline = round(top + _ROW * number + _ROW / 2 + 3.7, 2)
        label = _cut(bar.label, _TEXT, _NAMES)
        write(label, _MARGIN + _NAMES - text_width(label, _TEXT), baseline, _TEXT, theme.ink)
        drawn: list[Item] = []
        x, upper = left, top + _ROW * number + (_ROW - _BAR) / 2
        for part in bar.parts:
            end = x + _BARS * part.seconds / max(longest, 1e-30)
            drawn.append(rounded(Box(x, upper, end, upper + _BAR), 0, fill=colours[part.kind]))
            x = end
        speed = bar.work / max(bar.seconds * profile.peak, 1e-30)
        kinds = " + ".join(_kind(part.kind) for part in bar.parts)
        said = f"{_milliseconds(bar.seconds)}, {_share(bar.seconds / max(total, 1e-30))}; {_share(speed)} of the peak"
        items.append(Group(tuple(drawn), id=f"group-{number}", classes="bar", title=f"{bar.label}: {said}, {kinds}"))
        x = write(said, x + 6, baseline, _SMALL, theme.ink)
        room = _WIDTH - _MARGIN - x - 8
        if text_width(kinds, _SMALL) <= room:
            write(kinds, x + 8, baseline, _SMALL, theme.quiet)
    height = bottom + _MARGIN
    return Scene(_WIDTH, height, tuple(items), "Where the time of a step goes", _words(bars, total))


def _words(bars: Sequence[_Bar], total: float) -> str:
    if not bars:
        return "Nothing was launched."
    said = [f"{bar.label} {_share(bar.seconds / max(total, 1e-30))}" for bar in bars[:5]]
    return f"Bars of the time of {len(bars)} groups of launches, the longest first: {', '.join(said)}."
