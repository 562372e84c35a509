"""Geometry of one element of a circuit: the gate with its inputs, and the wire that it drives.

An element is one block: boxes with the local gradients, the gate, and its wire with the value on one side and the
gradient on the other. The texts are part of the block and blocks are kept apart, so no text can meet another or a
foreign wire. Everything is measured along the flow and across it: a picture from left to right has the value above
the wire, one from top to bottom has it to the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.drawing.circuit import Element
from graphc.drawing.fonts import Label, text_label
from graphc.drawing.layout import GAP, Block
from graphc.drawing.parts import (
    TAG_ROW,
    Part,
    Views,
    gradient_row,
    name_label,
    row_width,
    tag_rows,
    value_row,
)
from graphc.drawing.scene import Box, Path, line
from graphc.drawing.theme import Theme

__all__ = ["ASIDE", "LEAD", "RADIUS", "ROW", "Axes", "Shape", "Steps", "is_fold", "measured", "symbol_size", "tag_size"]

ROW = 42.0  # pitch of a gate's inputs
_WIRE = ROW - GAP  # height of a wire block: inputs side by side have the pitch of a gate's inputs
_SYMBOL = 13.0
_PATTERN = 9.0
RADIUS = 14.0
_FOLD_ROW = 16.0  # pitch of the wires into a fold
_FOLD = 44.0  # least breadth of a fold
LEAD = 15.0  # from a tag to its gate
_FALL = 32.0  # length of a wire that runs down, beside which its texts stand
_CAPTION = 19.0  # room of a name above or below such a wire
ASIDE = 6.0  # from such a wire to its texts


@dataclass(frozen=True, slots=True)
class Axes:
    """Directions of a picture: ``along`` the flow and ``across`` it."""

    down: bool = False

    def point(self, along: float, across: float) -> tuple[float, float]:
        """Coordinates on the page."""
        return (across, along) if self.down else (along, across)

    def box(self, along: float, across: float, until: float, beyond: float) -> Box:
        """Rectangle between two corners."""
        return Box(*self.point(along, across), *self.point(until, beyond))

    def line(self, along: float, across: float, until: float, beyond: float, stroke: str) -> Path:
        """A piece of wire."""
        return line(*self.point(along, across), *self.point(until, beyond), stroke, 1.2)


@dataclass(frozen=True, slots=True)
class Steps:
    """Frame at which each text appears; the last frame is the still."""

    gradient: Mapping[int, int]
    backward: Mapping[int, int]
    forward: Mapping[int, int]
    count: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Measured parts of an element."""

    element: Element
    name: Label | None
    named: tuple[Part, ...]  # name beside the value
    value: tuple[Part, ...]
    gradient: tuple[Part, ...]
    tags: tuple[tuple[tuple[Part, ...], ...], ...]
    symbol: Label | None
    pattern: Part | None
    tag_length: float
    slot: float  # of the gate, along the flow
    gate_width: float  # on the page
    wire: float
    caption: float  # room of the name at the start of an input's wire
    block: Block  # in flow coordinates


def tag_size(tag: Sequence[Sequence[Part]]) -> tuple[float, float]:
    """Width and height of the box before a gate; nothing where it says nothing."""
    if not tag:
        return 0.0, 0.0
    heights = [max((part.label.height for part in row), default=0.0) for row in tag]
    heights = [max(height, TAG_ROW) for height in heights]
    return max(row_width(row) for row in tag) + 9, sum(heights) + 2.5 * (len(tag) - 1) + 6


def symbol_size(symbol: str) -> float:
    """Font size of what is written in a gate."""
    return _SYMBOL + 2 if symbol in ("+", "−", "×", "÷", "=") else _SYMBOL


def measured(views: Views, theme: Theme, axes: Axes, steps: Steps, together: bool) -> list[Shape]:
    """Measure every element.

    Parameters
    ----------
    together : bool
        Whether all inputs stand in the first layer, their wires of one length.
    """
    shapes = [_texts(views, k, theme, steps) for k in range(len(views.whole.elements))]
    inputs = [s for s in shapes if not s.element.symbol]
    names = max((s.name.width for s in inputs if s.name), default=0.0)
    wires = max((max(row_width(s.value), row_width(s.gradient)) for s in inputs), default=0.0)
    fit = _fitted_down if axes.down else _fitted
    return [fit(s, names, wires, together) for s in shapes]


def _texts(views: Views, k: int, theme: Theme, steps: Steps) -> Shape:
    whole, shown, exam = (circuit.elements[k] for circuit in (views.whole, views.shown, views.exam))
    named, value = value_row(views, k, theme)
    gradient = gradient_row(views, k, theme, dict(steps.backward))
    tags = tuple(tag_rows(views, k, entry, theme) for entry in range(len(whole.ports)))
    symbol = text_label(whole.symbol, symbol_size(whole.symbol), theme.ink) if whole.symbol else None
    pattern = None
    if whole.pattern:
        label = text_label(whole.pattern, _PATTERN, theme.quiet, italic=True, id=f"gate-{k}-pattern", classes="pattern")
        asked = exam.pattern != whole.pattern and bool(shown.pattern)
        pattern = Part(label, shown.pattern == whole.pattern, asked)
    width = max(2 * RADIUS, symbol.width + 12) if symbol else 0.0
    return Shape(
        whole, name_label(whole, theme), named, value, gradient, tags, symbol, pattern, 0.0, 0.0, width, 0.0, 0.0,
        Block(0.0, 0.0),
    )  # fmt: skip


def _fitted(shape: Shape, names: float, wires: float, together: bool) -> Shape:
    """Sizes of an element that runs from left to right."""
    element = shape.element
    if not element.symbol:
        wire, caption = max(wires, 22.0) + 12, names + 7
        extra = shape.name.width + 7 if element.root and shape.name else 0.0
        block = Block(caption + wire + extra, _WIRE, (), _WIRE / 2, first=together)
        return replace(shape, wire=wire, caption=caption, block=block)
    tag_length = max((tag_size(tag)[0] for tag in shape.tags), default=0.0)
    if tag_length:
        tag_length += 5  # a little wire before the tag
    above = row_width(shape.named) + row_width(shape.value)
    wire = max(above, row_width(shape.gradient), 18.0) + (18 if element.root else 12)  # room for the arrow
    end = shape.name.width + 7 if element.root and shape.name is not None else 0.0
    count = max(len(element.ports), 1)
    pitch = _FOLD_ROW if is_fold(element) else ROW
    breadth = max(count * pitch - GAP, _FOLD if is_fold(element) else _WIRE)
    slot = shape.gate_width
    if shape.pattern is not None:
        slot = max(slot, shape.pattern.label.width + 4)
        breadth = max(breadth, 2 * (RADIUS + 13.0))
    entries = tuple(breadth / 2 + (k - (count - 1) / 2) * pitch for k in range(len(element.ports)))
    lead = LEAD if tag_length or len(element.ports) > 1 else 0.0
    block = Block(tag_length + lead + slot + wire + end, breadth, entries, breadth / 2)
    return replace(shape, tag_length=tag_length, slot=slot, wire=wire, block=block)


def _fitted_down(shape: Shape, names: float, wires: float, together: bool) -> Shape:  # noqa: ARG001
    """Sizes of an element that runs from top to bottom."""
    element = shape.element
    # a gradient must not be taken for the value of the next wire
    left = row_width(shape.named) + row_width(shape.value) + 2 * ASIDE
    right = row_width(shape.gradient) + 2 * ASIDE
    caption = _CAPTION if shape.name is not None else 0.0
    if not element.symbol:
        half = shape.name.width / 2 if shape.name else 0.0
        left, right = max(left, half), max(right, half)
        extra = _CAPTION if element.root and shape.name is not None else 0.0
        block = Block(caption + _FALL + extra, left + right, (), left, first=together)
        return replace(shape, wire=_FALL, caption=caption, block=block)
    sizes = [tag_size(tag) for tag in shape.tags]
    pitches = [_FOLD_ROW if is_fold(element) else max(width + 10.0, _WIRE) for width, _ in sizes]
    breadth = sum(pitches)
    tag_length = max((height for _, height in sizes), default=0.0)
    if tag_length:
        tag_length += 5
    half = shape.gate_width / 2
    if is_fold(element):
        half = max(half, breadth / 2)
        shape = replace(shape, gate_width=2 * half)
    beside = half + 4 + shape.pattern.label.width if shape.pattern is not None else half
    left, right = max(left, breadth / 2, half), max(right, breadth / 2, beside)
    if element.root and shape.name is not None:
        left, right = max(left, shape.name.width / 2), max(right, shape.name.width / 2)
    starts = [sum(pitches[:k]) for k in range(len(pitches))]
    entries = tuple(left - breadth / 2 + s + p / 2 for s, p in zip(starts, pitches, strict=True))
    lead = LEAD if tag_length or len(element.ports) > 1 else 0.0
    end = _CAPTION if element.root and shape.name is not None else 0.0
    block = Block(tag_length + lead + 2 * RADIUS + _FALL + end, left + right, entries, left)
    return replace(shape, tag_length=tag_length, slot=2 * RADIUS, wire=_FALL, block=block)


def is_fold(element: Element) -> bool:
    """Say whether an element stands for many gates: a box as broad as all the wires that enter it."""
    return element.kind == "fold"
