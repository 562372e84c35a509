"""Grids of numbered cells, and the colours that tell the weights of a grid apart."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.drawing.fonts import number_text, text_label, text_width
from graphc.drawing.scene import Box, Command, Group, Item, Path, rounded
from graphc.drawing.theme import Theme

__all__ = ["Grid", "cell_width", "numbered", "rectangles", "said", "tints"]


def tints(count: int, theme: Theme) -> tuple[str, ...]:
    """Return fills for ``count`` kinds of cells, near the colour of the page; greys in a theme without colours."""
    grey = len({theme.value[k : k + 2] for k in (0, 2, 4)}) == 1
    if grey:
        return tuple(theme.mixed(theme.ink, 0.06 + 0.3 * k / max(count - 1, 1)) for k in range(count))
    found = []
    for k in range(count):
        # neighbours in the filter are far apart in hue; every other one is stronger
        hue = (k * 0.381966) % 1.0 if count > 12 else k / count
        red, green, blue = colorsys.hls_to_rgb(hue, 0.5, 0.85)
        pure = f"{round(255 * red):02X}{round(255 * green):02X}{round(255 * blue):02X}"
        found.append(theme.mixed(pure, 0.22 if k % 2 else 0.36))
    return tuple(found)


def rectangles(boxes: Sequence[Box], fill: str) -> Path:
    """Return one filled outline of several rectangles."""
    commands: list[Command] = []
    for box in boxes:
        left, top, right, bottom = (round(v, 2) for v in (box.left, box.top, box.right, box.bottom))
        commands += [("M", left, top), ("L", right, top), ("L", right, bottom), ("L", left, bottom), ("Z",)]
    return Path(tuple(commands), fill=fill)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of numbers at a place of the page; cells are counted from 0, rows first.

    Attributes
    ----------
    id : str
        Of the group; the text of a cell is ``id-row-column``.
    cells : tuple of tuple of str
        What the cells say; nothing is written in an empty one.
    """

    id: str
    cells: tuple[tuple[str, ...], ...]
    left: float
    top: float
    width: float  # of a cell
    height: float
    size: float = 10.0  # of the font

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.cells)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.cells[0]) if self.cells else 0

    @property
    def right(self) -> float:
        """Right end."""
        return self.left + self.columns * self.width

    @property
    def bottom(self) -> float:
        """Lower end."""
        return self.top + self.rows * self.height

    def box(self, row: int, column: int, rows: int = 1, columns: int = 1) -> Box:
        """Return the place of a block of cells."""
        left, top = self.left + column * self.width, self.top + row * self.height
        return Box(left, top, left + columns * self.width, top + rows * self.height)

    def fills(self, colours: Mapping[tuple[int, int], str]) -> tuple[Item, ...]:
        """Return the fills of cells, one outline a colour."""
        groups: dict[str, list[Box]] = {}
        for (row, column), colour in sorted(colours.items()):
            groups.setdefault(colour, []).append(self.box(row, column))
        return tuple(rectangles(boxes, colour) for colour, boxes in groups.items())

    def lines(self, colour: str, strong: str, every: tuple[int, int] = (0, 0)) -> tuple[Item, ...]:
        """Return the lines between cells, stronger ones after ``every`` so many rows and columns, and the outline."""
        thin: list[Command] = []
        thick: list[Command] = []
        for row in range(1, self.rows):
            y = round(self.top + row * self.height, 2)
            target = thick if every[0] and row % every[0] == 0 else thin
            target += [("M", round(self.left, 2), y), ("L", round(self.right, 2), y)]
        for column in range(1, self.columns):
            x = round(self.left + column * self.width, 2)
            target = thick if every[1] and column % every[1] == 0 else thin
            target += [("M", x, round(self.top, 2)), ("L", x, round(self.bottom, 2))]
        found: list[Item] = [Path(tuple(thin), stroke=colour, width=0.5)] if thin else []
        if thick:
            found.append(Path(tuple(thick), stroke=strong, width=0.7))
        return (*found, self.outline(0, 0, self.rows, self.columns, strong, 1.0))

    def outline(
        self, row: int, column: int, rows: int, columns: int, stroke: str, width: float = 2.0, dash: bool = False
    ) -> Path:
        """Return the outline of a block of cells."""
        box = self.box(row, column, rows, columns)
        corners = Box(*(round(v, 2) for v in (box.left, box.top, box.right, box.bottom)))
        return rounded(corners, 0, stroke=stroke, width=width, dash=(3.0, 2.0) if dash else ())

    def text(self, row: int, column: int, colour: str, *, bold: bool = False, lift: float = 0.0) -> tuple[Item, ...]:
        """Return the text of a cell."""
        said = self.cells[row][column]
        if not said:
            return ()
        label = text_label(said, self.size, colour, bold=bold, id=f"{self.id}-{row}-{column}", classes="cell")
        box = self.box(row, column)
        return label.centred(round((box.left + box.right) / 2 - lift, 2), round((box.top + box.bottom) / 2 - lift, 2))

    def texts(self, colour: str, other: Mapping[tuple[int, int], str] | None = None) -> Group:
        """Return the texts of all cells; some may have other colours."""
        other = other or {}
        items: list[Item] = []
        for row in range(self.rows):
            for column in range(self.columns):
                items += self.text(row, column, other.get((row, column), colour))
        return Group(tuple(items), id=self.id, classes="grid")


def said(value: Any, digits: int) -> str:
    """Print a number; a name is printed as it is."""
    return value if isinstance(value, str) else number_text(float(value), digits)


def numbered(values: Any, digits: int) -> tuple[tuple[str, ...], ...]:
    """Print an array of two axes, or a list of rows."""
    return tuple(tuple(said(v, digits) for v in row) for row in values)


def cell_width(cells: Sequence[Sequence[str]], size: float, least: float) -> float:
    """Return the width in which every text of a table has room."""
    widest = max((text_width(text, size) for row in cells for text in row), default=0.0)
    return max(least, round(widest + 6.0, 1))
