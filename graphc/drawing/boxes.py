"""Boxes, arrows and numbers of a picture that has strips of bars below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.drawing.fonts import Label, number_text, text_label, text_width
from graphc.drawing.scene import Box, Command, Group, Item, Path, rounded
from graphc.drawing.strips import Strips, cut, short, subscripted

__all__ = ["Boxes"]

_TEXT, _TINY = 10.5, 7.5  # font sizes


class Boxes(Strips):
    """Draws boxes and arrows; ``digits`` is how many are printed of a number, where there is room for them."""

    digits = 4

    def fitted(self, value: float, room: float, size: float) -> str:
        """A number with as many digits as are asked for, or as fit."""
        said = number_text(value, self.digits)
        return said if text_width(said, size) <= room else short(value, room * _TINY / size)

    def group(self, items: Sequence[Item], name: str, classes: str, title: str = "") -> None:
        """Items that belong together."""
        self.items.append(Group(tuple(items), id=name, classes=classes, title=title))

    def arrow(
        self, name: str, points: Sequence[tuple[float, float]], *, head: bool = True, classes: str = "link"
    ) -> None:
        """Straight pieces, with a head at the end."""
        ink = self.theme.wire
        found = [(round(x, 2), round(y, 2)) for x, y in points]
        (x0, y0), (x, y) = found[-2], found[-1]
        length = math.hypot(x - x0, y - y0) or 1.0
        dx, dy = (x - x0) / length, (y - y0) / length
        stop = (round(x - 4 * dx, 2), round(y - 4 * dy, 2)) if head else (x, y)
        commands: list[Command] = [("M", *found[0])]
        commands += [("L", *point) for point in [*found[1:-1], stop]]
        drawn: list[Item] = [Path(tuple(commands), stroke=ink, width=1.2)]
        if head:
            tip = [
                (x, y),
                (x - 6 * dx - 2.8 * dy, y - 6 * dy + 2.8 * dx),
                (x - 6 * dx + 2.8 * dy, y - 6 * dy - 2.8 * dx),
            ]
            corners = [(round(a, 2), round(b, 2)) for a, b in tip]
            outline: tuple[Command, ...] = (("M", *corners[0]), ("L", *corners[1]), ("L", *corners[2]), ("Z",))
            drawn.append(Path(outline, fill=ink))
        self.group(drawn, name, classes)

    def curve(self, name: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A line that leaves and arrives level."""
        (x1, y1), (x2, y2) = start, end
        if abs(y1 - y2) < 0.01:
            self.arrow(name, [start, end], head=False)
            return
        middle = round((x1 + x2) / 2, 2)
        path = Path((("M", x1, y1), ("C", middle, y1, middle, y2, x2, y2)), stroke=self.theme.wire, width=1.2)
        self.group([path], name, "link")

    def node(
        self, box: Box, label: Label, name: str, classes: str, title: str, fill: str,
        dash: tuple[float, ...] = (), wrong: bool = False,
    ) -> None:  # fmt: skip
        """A box with a label; ``wrong`` where a number of it is none."""
        round_off = (box.bottom - box.top) / 2 if classes.startswith("state") else 3.0
        stroke, width = (self.theme.wrong, 2.0) if wrong else (self.theme.ink, 1.1)
        drawn: list[Item] = [rounded(box, round_off, fill=fill, stroke=stroke, width=width, dash=dash)]
        drawn += label.centred((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        self.group(drawn, name, classes, title)

    def named(self, stem: str, low: str, room: float, colour: str) -> Label:
        """A name with what stands low behind it, cut to fit."""
        size = _TEXT
        label = subscripted([cut(stem, size, room), low], size, colour)
        while label.width > room and len(stem) > 1:
            stem = stem[:-1]
            label = subscripted([stem + "…", low], size, colour)
        return label

    def number_below(self, name: str, box: Box, value: float | None) -> None:
        """A gradient below a box."""
        if value is None:
            return
        number = self.fitted(value, box.right - box.left + 14, _TINY)
        said = text_label(number, _TINY, self.theme.gradient, italic=True, id=f"{name}-grad", classes="grad")
        self.write(said, (box.left + box.right) / 2 - said.width / 2, box.bottom + 8.5)
