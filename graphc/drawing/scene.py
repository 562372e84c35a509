"""A picture as plain data: outlines, texts and groups in points, the y axis pointing down.

Every writer (SVG, PDF, PNG) reads the same scene, so coordinates agree across formats. A group
carries the id and class by which programs and tests find a part of the picture again, and the frame
at which it appears when the picture is stepped through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

__all__ = [
    "Box",
    "Command",
    "Group",
    "Item",
    "Path",
    "Scene",
    "Text",
    "circle",
    "line",
    "moved",
    "numbers_of",
    "rounded",
    "scaled",
    "texts",
    "visible",
]

#: One path command: ``("M", x, y)``, ``("L", x, y)``, ``("C", x1, y1, x2, y2, x, y)`` or
#: ``("Z",)``.
Command = tuple[str, *tuple[float, ...]]


def numbers_of(command: Command) -> tuple[float, ...]:
    """Coordinates of a command."""
    return cast("tuple[float, ...]", command[1:])


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel rectangle, in points."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box, slack: float = 0.0) -> bool:
        """Say whether the interiors, shrunk by ``slack`` points, meet."""
        return (
            self.left + slack < other.right
            and other.left + slack < self.right
            and self.top + slack < other.bottom
            and other.top + slack < self.bottom
        )


@dataclass(frozen=True, slots=True)
class Path:
    """An outline, filled, stroked or both (colours as six hexadecimal digits, empty for none)."""

    commands: tuple[Command, ...]
    fill: str = ""
    stroke: str = ""
    width: float = 1.0
    dash: tuple[float, ...] = ()
    label: str = ""  # what the outline says, where it is a formula: for readers who cannot see it


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text: ``x`` its left end, ``y`` its baseline, ``length`` its measured width."""

    x: float
    y: float
    text: str
    length: float
    size: float
    colour: str
    bold: bool = False
    italic: bool = False
    id: str = ""
    classes: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Items that belong together; ``appears`` and ``vanishes`` count frames."""

    items: tuple[Item, ...]
    id: str = ""
    classes: str = ""
    title: str = ""
    node: str = ""  # label of the graph's node, written as data-node
    appears: int = 0
    vanishes: int | None = None


Item = Path | Text | Group


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture of ``width`` by ``height`` points with a title and a description in words."""

    width: float
    height: float
    items: tuple[Item, ...]
    title: str
    description: str
    frames: int = 1
    paper: str = "FFFFFF"  # colour of the page, which every writer paints


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1.0) -> Path:
    """Return a straight stroke."""
    return Path((("M", x1, y1), ("L", x2, y2)), stroke=stroke, width=width)


def rounded(
    box: Box,
    radius: float,
    fill: str = "",
    stroke: str = "",
    width: float = 1.0,
    dash: tuple[float, ...] = (),
) -> Path:
    """Return a rectangle with round corners."""
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    r = min(radius, (right - left) / 2, (bottom - top) / 2)
    if r <= 0:
        corners: tuple[Command, ...] = (
            ("M", left, top), ("L", right, top), ("L", right, bottom), ("L", left, bottom), ("Z",)
        )  # fmt: skip
        return Path(corners, fill, stroke, width, dash)
    k = r * 0.44772  # distance of a control point from the corner, for a quarter circle
    commands: tuple[Command, ...] = (
        ("M", left + r, top),
        ("L", right - r, top),
        ("C", right - k, top, right, top + k, right, top + r),
        ("L", right, bottom - r),
        ("C", right, bottom - k, right - k, bottom, right - r, bottom),
        ("L", left + r, bottom),
        ("C", left + k, bottom, left, bottom - k, left, bottom - r),
        ("L", left, top + r),
        ("C", left, top + k, left + k, top, left + r, top),
        ("Z",),
    )
    return Path(commands, fill, stroke, width, dash)


def circle(x: float, y: float, radius: float, fill: str = "", stroke: str = "", width: float = 1.0) -> Path:
    """Return a circle."""
    return rounded(Box(x - radius, y - radius, x + radius, y + radius), radius, fill, stroke, width)


def moved(item: Item, dx: float, dy: float) -> Item:
    """Return the item shifted by ``(dx, dy)`` points."""
    if isinstance(item, Text):
        return replace(item, x=item.x + dx, y=item.y + dy)
    if isinstance(item, Group):
        return replace(item, items=tuple(moved(child, dx, dy) for child in item.items))
    shift = (dx, dy, dx, dy, dx, dy)
    commands = tuple((c[0], *(v + s for v, s in zip(numbers_of(c), shift, strict=False))) for c in item.commands)
    return replace(item, commands=commands)


def scaled(item: Item, factor: float) -> Item:
    """Return the item ``factor`` times as large, strokes and letters included."""
    if isinstance(item, Text):
        return replace(
            item, x=item.x * factor, y=item.y * factor, length=item.length * factor, size=item.size * factor
        )  # fmt: skip
    if isinstance(item, Group):
        return replace(item, items=tuple(scaled(child, factor) for child in item.items))
    commands = tuple((c[0], *(v * factor for v in numbers_of(c))) for c in item.commands)
    return replace(item, commands=commands, width=item.width * factor, dash=tuple(d * factor for d in item.dash))


def visible(items: tuple[Item, ...], frame: int | None) -> tuple[Item, ...]:
    """Keep what one frame shows; ``None`` means the still, which shows everything that stays."""
    kept: list[Item] = []
    for item in items:
        if isinstance(item, Group):
            gone = item.vanishes is not None and (frame is None or frame >= item.vanishes)
            if gone or (frame is not None and frame < item.appears):
                continue
            item = replace(item, items=visible(item.items, frame))
        kept.append(item)
    return tuple(kept)


def texts(items: tuple[Item, ...]) -> Iterator[Text]:
    """Yield every text, in drawing order."""
    for item in items:
        if isinstance(item, Text):
            yield item
        elif isinstance(item, Group):
            yield from texts(item.items)
