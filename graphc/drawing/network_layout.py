"""Lays out the steps of a network in rows: boxes, frames around what repeats, branches and skip links."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from graphc.drawing.arrows import arrowed
from graphc.drawing.fonts import Label, text_label
from graphc.drawing.layout import Block, Link, place
from graphc.drawing.network_steps import Chain, Repeat, Step, Unit
from graphc.drawing.scene import Box, Command, Group, Item, Path, circle, moved, numbers_of, rounded
from graphc.drawing.theme import Theme

__all__ = ["ROW", "TEXT", "NetworkLayout", "Piece", "drawn_units", "numbered_wires"]

TEXT = 8.0  # size of the smallest font, before the picture is scaled to its page
ROW = 20.0  # between rows
_BOLD = 9.0
_CHANNEL = 15.0  # between boxes, with room for an arrow
_ASIDE = 12.0  # room at the ends of rows for the wires that turn

Commands = tuple[Command, ...]


def drawn_units(steps: Iterable[Step]) -> list[int]:
    """Units of steps, those inside of them first."""
    return [k for step in steps for k in (*_inside(step), *step.leaves, step.end)]


def _inside(step: Step) -> list[int]:
    return drawn_units(s for chain in step.inner for part in chain.parts for s in part.steps)


@dataclass
class Piece:
    """A part of the picture; its wire comes in at the left at ``entry`` and leaves at the right at ``exit``."""

    width: float
    height: float
    entry: float
    exit: float
    items: list[Item] = field(default_factory=list)
    arrow: bool = True  # the wire that comes in ends here


class NetworkLayout:
    """Lays out chains in rows of at most a width; ``level`` 0 says most in a box, 2 least."""

    def __init__(
        self, units: Sequence[Unit], theme: Theme, engine: str | None, level: int, widest: float = math.inf,
        unbroken: NetworkLayout | None = None,
    ) -> None:  # fmt: skip
        self.units, self.theme, self.engine, self.level, self.widest = units, theme, engine, level, widest
        self.unbroken = unbroken  # the layout in one row, which serves wherever it is narrow enough
        self.made: dict[int, Piece] = {}

    def _once(self, part: Step | Repeat, make: Callable[[], Piece]) -> Piece:
        if self.unbroken is not None:
            piece = self.unbroken.piece(part)
            if piece.width <= self.widest:
                return piece
        if id(part) not in self.made:
            self.made[id(part)] = make()
        return self.made[id(part)]

    def piece(self, part: Step | Repeat) -> Piece:
        """Draw a step, or steps that repeat."""
        if isinstance(part, Repeat):
            return self._once(part, lambda: self.repeat(part)) if part.times > 1 else self.piece(part.steps[0])
        return self._once(part, lambda: self.step(part))

    def wire(self, commands: Commands, *, arrow: bool) -> Item:
        """Return a wire, with a head where it ends at a box."""
        return arrowed(commands, self.theme, "", width=1.0, head=5.0 if arrow else 0.0)

    def chain(self, chain: Chain, *, whole: bool = False, fed: bool = True) -> Piece:
        """Put the steps of a chain into rows; nothing comes into the whole, nothing goes out of it."""
        return self.rows([self.piece(part) for part in chain.parts], fed=fed and not whole, read=not whole)

    def rows(self, pieces: list[Piece], *, fed: bool = True, read: bool = True) -> Piece:
        """Put pieces one after the other, in the next row where they are too wide.

        Parameters
        ----------
        fed, read : bool
            Whether a wire comes into the first and goes out of the last.
        """
        rows: list[list[Piece]] = [[]]
        used = 0.0
        for piece in pieces:
            if rows[-1] and used + _CHANNEL + piece.width > self.widest:
                rows.append([])
                used = 0.0
            used += piece.width + (_CHANNEL if rows[-1] else 0.0)
            rows[-1].append(piece)
        aside = _ASIDE if len(rows) > 1 else 0.0
        items: list[Item] = []
        top = right = 0.0
        ends: list[tuple[float, float, float, float]] = []  # of each row: left, entry, right, exit
        bounds: list[float] = []
        for row in rows:
            # each piece goes to where its wire is level with the one before
            lifts = [0.0]
            for before, piece in pairwise(row):
                lifts.append(lifts[-1] + before.exit - piece.entry)
            shift, x = top - min(lifts), aside
            for number, (piece, lift) in enumerate(zip(row, lifts, strict=True)):
                y = shift + lift
                if number:
                    level = y + piece.entry
                    items.append(self.wire((("M", x - _CHANNEL, level), ("L", x, level)), arrow=piece.arrow))
                items += [moved(item, x, y) for item in piece.items]
                x += piece.width + _CHANNEL
            x -= _CHANNEL
            ends.append((aside, shift + row[0].entry, x, shift + lifts[-1] + row[-1].exit))
            bounds.append(max(shift + lift + piece.height for piece, lift in zip(row, lifts, strict=True)))
            top, right = bounds[-1] + ROW, max(right, x)
        for number in range(1, len(rows)):
            turn = _turn(ends[number - 1][2:], ends[number][:2], bounds[number - 1] + ROW / 2, right)
            items.append(self.wire(turn, arrow=rows[number][0].arrow))
        first, (_, _, last, exit) = rows[0][0], ends[-1]
        width = right + aside
        if aside and fed:  # past the room for turns
            items.append(self.wire((("M", 0.0, ends[0][1]), ("L", aside, ends[0][1])), arrow=first.arrow))
        if aside and read:
            items.append(self.wire((("M", last, exit), ("L", width, exit)), arrow=False))
        return Piece(width, bounds[-1], ends[0][1], exit, items, arrow=first.arrow and not aside)

    def repeat(self, part: Repeat) -> Piece:
        """Put a frame around steps, with the number of times."""
        theme, pad, head = self.theme, 9.0, 15.0
        inside = self.rows([self.piece(step) for step in part.steps])
        label = text_label(f"× {part.times}", _BOLD + 2.5, theme.ink, bold=True)
        counted = sum(self.units[k].parameters for step in part.steps for k in drawn_units((step,)))
        each = text_label(f"{counted:,} parameters each" if counted else "", TEXT, theme.quiet)
        width = max(inside.width, label.width + each.width + 8) + 2 * pad
        box = Box(0.0, 0.0, width, inside.height + head + pad)
        items: list[Item] = [
            rounded(box, 6, fill=theme.mixed(theme.accent, 0.16)),
            rounded(box, 6, stroke=theme.wire, width=0.9, dash=(4.0, 2.5)),
            *label.at(pad, 12.0),
            *(each.at(round(pad + label.width + 8, 2), 12.0) if counted else ()),
        ]
        x, y = (width - inside.width) / 2, head
        items += [moved(item, x, y) for item in inside.items]
        entry, exit = y + inside.entry, y + inside.exit
        items.append(self.wire((("M", 0.0, entry), ("L", x, entry)), arrow=inside.arrow))
        items.append(self.wire((("M", x + inside.width, exit), ("L", width, exit)), arrow=False))
        return Piece(width, box.bottom, entry, exit, items, arrow=False)

    def step(self, step: Step) -> Piece:
        """Draw a unit with what leads to it."""
        end = self.box(self.units[step.end])
        if not step.inner:
            return self._above(end, [self.box(self.units[k]) for k in step.leaves]) if step.leaves else end
        fed = {head for _, head in step.links}
        chains = [self.chain(chain, fed=chain.first in fed) for chain in step.inner]
        pieces = [*chains, *(self.box(self.units[k]) for k in step.leaves), end]
        blocks = [Block(p.width, p.height, (p.entry,), p.exit) for p in pieces]
        home = {step.end: len(pieces) - 1} | {chain.first: n for n, chain in enumerate(step.inner)}
        lasts = {chain.last: n for n, chain in enumerate(step.inner)} | {-1: len(pieces)}
        links = [
            Link(lasts[tail], home[head], 0)
            for tail, head in step.links
            if tail in lasts and head in home and lasts[tail] != home[head]
        ]
        links += [Link(len(chains) + n, len(pieces) - 1, 0) for n in range(len(step.leaves))]
        door = any(link.tail == len(pieces) for link in links)
        blocks += [Block(1.0, 10.0, (), 5.0)] if door else []
        placed = place(blocks, links, self.engine, _CHANNEL)
        corners, wires = list(placed.corners), list(placed.wires)
        entry = corners[-1][1] + 5.0 if door else placed.height / 2
        if door and not step.leaves and placed.engine == "layered":
            # entry and exit are level: in the middle of many branches, else where the sum is
            out = corners[len(pieces) - 1]
            level = placed.height / 2 if len(chains) > 2 else out[1] + end.exit
            for n, link in enumerate(links):
                if link.tail == len(pieces):
                    wires[n] = _from(wires[n], level)
                if link.head == len(pieces) - 1:
                    wires[n] = _to(wires[n], level)
            entry, corners[len(pieces) - 1] = level, (out[0], level - end.entry)
        if door:  # the wire that comes in ends at the left edge
            wires = [_led_in(w) if link.tail == len(pieces) else w for w, link in zip(wires, links, strict=True)]
        items: list[Item] = [
            self.wire(commands, arrow=pieces[link.head].arrow) for commands, link in zip(wires, links, strict=True)
        ]
        for piece, (x, y) in zip(pieces, corners, strict=False):
            items += [moved(item, x, y) for item in piece.items]
        x, y = corners[len(pieces) - 1]
        reach, level = x + end.width, y + end.exit
        if reach < placed.width - 0.5:
            items.append(self.wire((("M", reach, level), ("L", placed.width, level)), arrow=False))
        low, high = min(0.0, y), max(placed.height, y + end.height)
        items = [moved(item, 0.0, -low) for item in items]
        return Piece(placed.width, high - low, entry - low, level - low, items, arrow=False)

    def _above(self, end: Piece, leaves: list[Piece]) -> Piece:
        """Put inputs that only one unit reads below it."""
        width = sum(leaf.width for leaf in leaves) + _CHANNEL * (len(leaves) - 1)
        wide = max(width, end.width)
        items = [moved(item, (wide - end.width) / 2, 0.0) for item in end.items]
        x, top, count = (wide - width) / 2, end.height + _CHANNEL, len(leaves)
        for number, leaf in enumerate(leaves):
            foot = (wide - end.width) / 2 + end.width * (number + 1) / (count + 1)
            middle = x + leaf.width / 2
            rise: Commands = (("M", foot, top), ("L", foot, end.height))
            if abs(foot - middle) > leaf.width / 2 - 4:
                rise = (("M", middle, top), ("C", middle, top - 8, foot, end.height + 8, foot, end.height))
            items += [self.wire(rise, arrow=True), *(moved(item, x, top) for item in leaf.items)]
            x += leaf.width + _CHANNEL
        shift = (wide - end.width) / 2
        height = top + max(leaf.height for leaf in leaves)
        if shift > 0.5:
            items.append(self.wire((("M", 0.0, end.entry), ("L", shift, end.entry)), arrow=end.arrow))
            items.append(self.wire((("M", wide - shift, end.exit), ("L", wide, end.exit)), arrow=False))
        return Piece(wide, height, end.entry, end.exit, items, arrow=end.arrow and shift <= 0.5)

    def box(self, unit: Unit) -> Piece:
        """Draw one unit."""
        theme = self.theme
        if unit.kind == "join":
            return self._sign(unit)
        tint = {"input": 0, "weights": 1, "result": 3}.get(unit.kind, 2)
        lines: list[Label] = []
        if self.level == 0 and unit.name and unit.name != unit.title:
            lines.append(text_label(unit.name, TEXT, theme.quiet))
        lines.append(text_label(unit.title, _BOLD, theme.ink, bold=True, id=f"unit-{unit.number}", classes="unit"))
        if unit.extras:
            lines.append(text_label(unit.extras, TEXT, theme.quiet))
        if unit.shape and self.level < 2:
            lines.append(text_label(unit.shape, TEXT, theme.value, classes="shape"))
        if unit.parameters and self.level == 0:
            lines.append(text_label(f"{unit.parameters:,}", TEXT, theme.quiet, classes="parameters"))
        width = round(max(line.width for line in lines) + 10.0, 2)
        leading = 10.5
        height = round(leading * len(lines) + 6.0, 2)
        items: list[Item] = [
            rounded(Box(0.0, 0.0, width, height), 4, fill=theme.card_fills[tint], stroke=theme.wire, width=0.9)
        ]
        for number, line in enumerate(lines):
            items += line.at(round((width - line.width) / 2, 2), round(11.0 + number * leading, 2))
        said = " ".join(filter(None, (unit.name, unit.title, unit.extras, unit.shape)))
        group = Group(tuple(items), id=f"box-{unit.number}", classes=f"box {unit.kind}", title=said)
        return Piece(width, height, height / 2, height / 2, [group])

    def _sign(self, unit: Unit) -> Piece:
        """Draw a sum or product as a circle, with what follows below."""
        theme, radius = self.theme, 7.5
        below = text_label(unit.extras, TEXT, theme.quiet) if unit.extras else None
        width = round(max(2 * radius, below.width if below else 0.0) + 2, 2)
        middle = width / 2
        sign = text_label(unit.title, 12.0, theme.ink, bold=True, id=f"unit-{unit.number}", classes="unit")
        shape = circle(middle, radius, radius, fill=theme.card_fills[2], stroke=theme.wire, width=0.9)
        items: list[Item] = [shape, *sign.centred(round(middle, 2), radius + 0.4)]
        height = 2 * radius
        if below:
            items += below.at(round((width - below.width) / 2, 2), round(height + 8.5, 2))
            height += 11.0
        lead = middle - radius
        if lead > 0.5:
            items.insert(0, Path((("M", 0.0, radius), ("L", lead, radius)), stroke=theme.wire, width=1.0))
            items.insert(0, Path((("M", middle + radius, radius), ("L", width, radius)), stroke=theme.wire, width=1.0))
        said = f"{unit.title} {unit.extras}".strip()
        group = Group(tuple(items), id=f"box-{unit.number}", classes="box join", title=said)
        return Piece(width, round(height, 2), radius, radius, [group], arrow=lead <= 0.5)


def _point(command: Command) -> tuple[float, float]:
    x, y = numbers_of(command)[-2:]
    return x, y


def _joined(start: tuple[float, float], end: tuple[float, float]) -> Command:
    """Lead on to a point, leaving and arriving level."""
    if abs(start[1] - end[1]) < 0.05:
        return ("L", *end)
    middle = (start[0] + end[0]) / 2
    return ("C", middle, start[1], middle, end[1], *end)


def _from(wire: Commands, y: float) -> Commands:
    """Let a wire start at another height; a level one bends before it comes to the boxes."""
    (x, _), first = _point(wire[0]), _point(wire[1])
    start = (x, y)
    if wire[1][0] == "L" and first[0] > x + _CHANNEL + 0.1:
        return (("M", *start), _joined(start, (x + _CHANNEL, first[1])), *wire[1:])
    return (("M", *start), _joined(start, first), *wire[2:])


def _led_in(wire: Commands) -> Commands:
    """Let a wire start at the left edge."""
    x, y = _point(wire[0])
    return (("M", 0.0, y), *((("L", x, y),) if x > 1.5 else ()), *wire[1:])


def _to(wire: Commands, y: float) -> Commands:
    """Let a wire end at another height; a level one bends behind the boxes."""
    before, (x, _) = _point(wire[-2]), _point(wire[-1])
    if wire[-1][0] == "L" and before[0] < x - _CHANNEL - 0.1:
        bend = (x - _CHANNEL, before[1])
        return (*wire[:-1], ("L", *bend), _joined(bend, (x, y)))
    return (*wire[:-1], _joined(before, (x, y)))


def numbered_wires(items: Sequence[Item]) -> list[Item]:
    """Count the wires anew, in drawing order."""
    count = 0

    def visit(item: Item) -> Item:
        nonlocal count
        if not isinstance(item, Group):
            return item
        if item.classes == "link":
            count += 1
            return replace(item, id=f"link-{count}")
        return replace(item, items=tuple(visit(child) for child in item.items))

    return [visit(item) for item in items]


def _turn(start: tuple[float, ...], end: tuple[float, ...], channel: float, right: float) -> Commands:
    """Lead a wire from the end of one row to the start of the next."""
    out, back, r = right + _ASIDE - 2, end[0] - _ASIDE + 2, 5.0
    return (
        ("M", *start),
        ("L", out - r, start[1]),
        ("C", out, start[1], out, start[1], out, start[1] + r),
        ("L", out, channel - r),
        ("C", out, channel, out, channel, out - r, channel),
        ("L", back + r, channel),
        ("C", back, channel, back, channel, back, channel + r),
        ("L", back, end[1] - r),
        ("C", back, end[1], back, end[1], back + r, end[1]),
        ("L", *end),
    )
