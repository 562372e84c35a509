"""How cards look: texts, small images, a table of gradients, and the gates of a card that is expanded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graphc.drawing.arrows import arrowed
from graphc.drawing.fonts import Label, number_text, text_label
from graphc.drawing.layout import Block, Link, Placement, place
from graphc.drawing.measures import DIGITS
from graphc.drawing.rows import CHANNEL, place_in_rows
from graphc.drawing.scene import Box, Group, Item, Path, Scene, moved, numbers_of, rounded
from graphc.drawing.theme import Theme
from graphc.drawing.tiles import coloured, downsampled, scale_of, thumbnail, tile

if TYPE_CHECKING:
    from graphc.drawing.cards import Card, Cards, Inside

__all__ = ["cards_scene"]

_MARGIN = 14.0
_TITLE, _LINE, _SMALL = 12.5, 10.5, 9.0
_LEADING, _TIGHT = 14.5, 11.5
_PADDING = 10.0
_IMAGE = 26.0  # height of a small image
_FEW = 40  # cards; more have one small image each
_COLUMN = 12.0  # between the columns of the table
_LOW = 0.62  # share of the largest height below which a card keeps its own


def cards_scene(
    cards: Cards, theme: Theme, direction: str = "LR", engine: str | None = None
) -> tuple[Scene, Placement]:
    """Lay out cards from left to right (long chains go on in the next row) or top to bottom."""
    planes = 4 if len(cards.cards) <= _FEW else 1
    faces = [_Face(card, theme, planes, engine, direction) for card in cards.cards]
    plain = [face for face in faces if not face.card.inside]
    tallest = max((face.height for face in plain), default=0.0)
    # cards that say about as much as the largest are as high as it
    sizes = [(f.width, tallest if _LOW * tallest < f.height < tallest else f.height) for f in faces]
    if direction == "TB":
        widest = max((w for w, _ in sizes), default=0.0)
        sizes = [(widest, h) for _, h in sizes]
        placement = _transposed(cards, sizes, engine)
    else:
        placement = place_in_rows(sizes, cards.links, engine)
    items: list[Item] = []
    for k, commands in enumerate(placement.wires):
        wire = moved(Path(tuple(commands)), _MARGIN, _MARGIN)
        assert isinstance(wire, Path)
        items.append(arrowed(wire.commands, theme, f"link-{k}"))
    for face, (x, y), (w, h) in zip(faces, placement.corners, sizes, strict=True):
        items.append(face.drawn(Box(x + _MARGIN, y + _MARGIN, x + w + _MARGIN, y + h + _MARGIN)))
    height, width = placement.height + 2 * _MARGIN + 14, placement.width
    notes = [f"{cards.parameters:,} parameters in all", cards.note]
    if any(card.measures.dead for card in cards.cards):
        notes.append("dead: 0 for every example of the run, so that no gradient passes")
    height -= 13.0
    for note in filter(None, notes):
        height += 13.0
        caption = text_label(note, 10.0, theme.quiet)
        items.append(Group(caption.at(_MARGIN, round(height - _MARGIN + 1, 2)), classes="legend"))
        width = max(width, caption.width)
    scene = Scene(
        round(width + 2 * _MARGIN, 2), round(height, 2), tuple(items), cards.title, cards.description,
        paper=theme.paper,
    )  # fmt: skip
    return scene, placement


@dataclass(frozen=True)
class _Row:
    """A line of a card: its items at the origin of the baseline, and the room that it takes."""

    items: tuple[Item, ...]
    width: float
    drop: float  # from the line before to this baseline
    below: float = 0.0  # further room below the baseline


class _Face:
    """A card, measured before it has a place."""

    def __init__(self, card: Card, theme: Theme, planes: int, engine: str | None, direction: str) -> None:
        self.card, self.theme, self.direction = card, theme, direction
        self.said, self.shown = self._said(), self._shown(planes)
        rows = [*self.said, *self.shown]
        self.width = max(max(row.width for row in rows) + 2 * _PADDING, 64.0)
        self.height = _height(rows) + 2 * _PADDING - 2
        if card.inside:
            self.inner = _Gates(card, theme, engine)
            self.width = max(self.width, self.inner.width + 2 * _PADDING)
            # the wire through the card is level with those outside: half way down; what is said is above it, and as
            # much of it below as makes the card lowest
            level, rest = self.inner.level, self.inner.height - self.inner.level

            def half(lines: int) -> float:
                return max(_height(self.said[:lines]) + level, _height([*self.said[lines:], *self.shown]) + rest)

            kept = min(range(len(self.said), 0, -1), key=half)
            self.said, self.shown = self.said[:kept], [*self.said[kept:], *self.shown]
            above, below = _height(self.said) + level, _height(self.shown) + rest
            self.middle = max(above, below) + 1.8 * _PADDING
            self.height = 2 * self.middle

    def _said(self) -> list[_Row]:
        """Name, gates, shape, parameters and value."""
        card, theme, key = self.card, self.theme, f"card-{self.card.index}"
        counted = f"{card.count_text} parameters" if card.count_text else ""
        rows = [_text(text_label(card.name, _TITLE, theme.ink, bold=True, id=f"{key}-name"), _TITLE)]
        for text, colour, part in (
            (card.gates, theme.quiet, "gates"), (card.shape, theme.value, "shape"), (counted, theme.ink, "parameters"),
            (card.extra, theme.value, "measured"),
        ):  # fmt: skip
            if text:
                label = text_label(text, _LINE, colour, bold=part == "measured", id=f"{key}-{part}", classes=part)
                rows.append(_text(label, _LEADING))
        return rows

    def _shown(self, planes: int) -> list[_Row]:
        """What a run has measured: images, gradients, dead units."""
        card, key = self.card, f"card-{self.card.index}"
        rows = [*self._image(planes), *self._table()]
        if card.measures.dead:
            label = text_label(str(card.measures.dead), _SMALL, self.theme.ink, id=f"{key}-dead", classes="dead")
            rows.append(_text(label, _TIGHT + 1.5))
        return rows

    def _image(self, planes: int) -> list[_Row]:
        measures, theme = self.card.measures, self.theme
        if measures.image is None:
            return []
        if measures.coloured:
            small = downsampled(measures.image, 16)
            width = round(_IMAGE * small.shape[2] / small.shape[1], 2)
            box = Box(0.0, 0.0, width, _IMAGE)
            items = tile(coloured(small, scale_of(measures.image), theme), box, theme.frame)
        else:
            items, width = thumbnail(measures.image, theme, _IMAGE, planes=planes)
        lifted = tuple(moved(item, 0.0, -_IMAGE) for item in items)
        return [_Row((Group(lifted, classes="image"),), width, _IMAGE + 7.0, 1.0)]

    def _table(self) -> list[_Row]:
        """|gradient| of parameters and output: mean and largest, in columns."""
        theme, key = self.theme, f"card-{self.card.index}"
        magnitudes = self.card.measures.magnitudes
        if not magnitudes:
            return []

        def cell(text: str, colour: str, id: str = "", classes: str = "") -> Label:
            return text_label(text, _SMALL, colour, id=f"{key}-{id}" if id else "", classes=classes)

        lines = [[cell("|gradient|", theme.quiet), cell("mean", theme.quiet), cell("max", theme.quiet)]]
        for m in magnitudes:
            numbers = [("mean", m.mean), ("max", m.largest)]
            said = [
                cell(
                    number_text(v, DIGITS),
                    theme.gradient if math.isfinite(v) else theme.wrong,
                    f"{m.of}-{kind}",
                    "measured",
                )
                for kind, v in numbers
            ]
            lines.append([cell(m.of, theme.ink), *said])
        widths = [max(line[k].width for line in lines) for k in range(3)]
        rows = []
        for number, (first, *cells) in enumerate(lines):
            items, right = list(first.at(0.0, 0.0)), widths[0]
            for label, width in zip(cells, widths[1:], strict=True):
                right += _COLUMN + width
                items += label.at(round(right - label.width, 2), 0.0)
            rows.append(_Row(tuple(items), round(right, 2), _TIGHT + (4.0 if number == 0 else 0.0)))
        return rows

    def drawn(self, box: Box) -> Group:
        """Draw the card at its place."""
        card, theme = self.card, self.theme
        frame = rounded(box, 6, fill=theme.card_fills[card.tint], stroke=theme.wire, width=1.0)
        if card.inside:  # wires run inside of it: the fill and the line are two outlines
            items: list[Item] = [replace(frame, stroke=""), replace(frame, fill="")]
        else:
            items = [frame]
        centre = (box.left + box.right) / 2
        if card.inside:
            _stacked(self.said, centre, box.top + _PADDING - 2, items)
            _stacked(self.shown, centre, box.bottom - _PADDING - _height(self.shown), items)
            items += self.inner.drawn(box, self.direction)
        else:
            rows = [*self.said, *self.shown]
            _stacked(rows, centre, (box.top + box.bottom - _height(rows)) / 2 - 2, items)
        said = f"{card.name}: {', '.join(card.lines)}"
        return Group(tuple(items), id=f"card-{card.index}", classes="card", title=said, node=card.node)


def _height(rows: Sequence[_Row]) -> float:
    return sum(row.drop + row.below for row in rows)


def _stacked(rows: Sequence[_Row], centre: float, top: float, items: list[Item]) -> None:
    """Put rows below each other."""
    baseline = top
    for row in rows:
        baseline += row.drop
        items += [moved(item, centre - row.width / 2, baseline) for item in row.items]
        baseline += row.below


def _text(label: Label, drop: float) -> _Row:
    return _Row(label.at(0.0, 0.0), label.width, drop)


class _Gates:
    """The gates of an expanded card, placed from left to right."""

    def __init__(self, card: Card, theme: Theme, engine: str | None) -> None:
        self.card, self.theme = card, theme
        self.labels = [_gate_lines(part, theme, f"card-{card.index}-gate-{k}") for k, part in enumerate(card.inside)]
        blocks, links = [], []
        for lines in self.labels:
            width = max(label.width for label in lines) + 12.0
            height = 6.0 + 11.0 * len(lines)
            blocks.append(Block(round(width, 2), height, (height / 2,), height / 2))
        for head, part in enumerate(card.inside):
            links += [Link(len(blocks) if tail < 0 else tail, head, 0) for tail in part.operands]
        self.door = any(link.tail == len(blocks) for link in links)
        self.blocks = blocks
        self.links = links
        self.placed = place([*blocks, *([Block(1.0, 10.0, (), 5.0)] if self.door else [])], links, engine, 22.0)
        self.width, self.height = self.placed.width + 36.0, self.placed.height
        last = len(blocks) - 1
        self.out = self.placed.corners[last][1] + blocks[last].exit
        self.level = self.placed.corners[-1][1] + 5.0 if self.door else self.out

    def drawn(self, box: Box, direction: str) -> list[Item]:
        """Draw the gates, their wire half way down the card where cards run from left to right."""
        theme, card = self.theme, self.card
        key = f"card-{card.index}-link"
        left = (box.left + box.right - self.placed.width) / 2
        top = (box.top + box.bottom) / 2 - self.level
        items: list[Item] = []
        for k, commands in enumerate(self.placed.wires):
            wire = moved(Path(tuple(commands)), left, top)
            assert isinstance(wire, Path)
            items.append(arrowed(wire.commands, theme, f"{key}-{k}", width=1.0, head=5.0))
        if direction == "LR":
            level, out = top + self.level, top + self.out
            right = left + self.placed.corners[len(self.blocks) - 1][0] + self.blocks[-1].width
            if self.door:
                start = left + self.placed.corners[-1][0] + 1.0
                items.append(arrowed((("M", box.left, level), ("L", start, level)), theme, f"{key}-in", head=0))
            end = (box.left + box.right) / 2 + (box.right - box.left) / 2
            leave = (("M", right, out), ("C", end - 8, out, end - 12, level, end, level))
            items.append(
                arrowed(
                    leave if abs(out - level) > 0.1 else (leave[0], ("L", end, level)),
                    theme,
                    f"{key}-out",
                    head=0,
                )
            )
        for k, (labels, block) in enumerate(zip(self.labels, self.blocks, strict=True)):
            x, y = self.placed.corners[k]
            place_ = Box(left + x, top + y, left + x + block.width, top + y + block.height)
            leaf = not card.inside[k].operands
            fill = theme.local_fill if leaf else theme.gate_fill
            parts: list[Item] = [rounded(place_, 0 if leaf else 5, fill=fill, stroke=theme.wire, width=0.8)]
            baseline = place_.top + 12.0
            for label in labels:
                parts += label.at(round((place_.left + place_.right - label.width) / 2, 2), round(baseline, 2))
                baseline += 11.0
            said = ", ".join(label.text for label in labels)
            items.append(
                Group(
                    tuple(parts), id=f"card-{card.index}-gate-{k}", classes="gate", title=said, node=card.inside[k].node
                )
            )
        return items


def _gate_lines(part: Inside, theme: Theme, key: str) -> list[Label]:
    lines = [text_label(part.gate, _SMALL, theme.ink, bold=True, classes="gate")]
    lines.append(text_label(part.shape, 8.0, theme.value, classes="shape"))
    if part.gradient:
        lines.append(
            text_label(f"mean |∇| {part.gradient}", 8.0, theme.gradient, id=f"{key}-gradient", classes="measured")
        )
    return lines


def _transposed(cards: Cards, sizes: Sequence[tuple[float, float]], engine: str | None) -> Placement:
    blocks = [Block(h, w, (w / 2,), w / 2) for w, h in sizes]
    flat = place(blocks, [Link(a, b, 0) for a, b in cards.links], engine, CHANNEL)
    wires = tuple(
        tuple(
            (c[0], *(v for pair in zip(numbers_of(c)[1::2], numbers_of(c)[::2], strict=True) for v in pair))
            for c in wire
        )
        for wire in flat.wires
    )
    corners = tuple((y, x) for x, y in flat.corners)
    return replace(flat, corners=corners, wires=wires, width=flat.height, height=flat.width)
