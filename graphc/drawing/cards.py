"""A network as cards, one box a layer: what it does, the shape it hands on, its parameters.

A layer is read off the parameter names: ``conv1.weight`` and ``conv1.bias`` belong to ``conv1``,
together with the gates that use them; an elementwise activation right behind joins. Every other
gate has its own card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphc.drawing.fonts import number_text, printable, text_label
from graphc.drawing.layout import Block, Link, Placement, place
from graphc.drawing.network import attributes_text, grouped, links_between, parameter_count, shape_text
from graphc.drawing.rows import CHANNEL, place_in_rows
from graphc.drawing.scene import Box, Command, Group, Item, Path, Scene, moved, numbers_of, rounded
from graphc.drawing.theme import Theme
from graphc.graph.mode import chooses, in_training

__all__ = ["Card", "Cards", "cards_scene", "read_cards"]

_MARGIN = 14.0
_TITLE = 12.5
_LINE = 10.5
_LEADING = 14.5
_PADDING = 10.0


@dataclass(frozen=True, slots=True)
class Card:
    """One layer."""

    index: int
    name: str
    gates: str
    shape: str
    count: int
    count_text: str
    extra: str
    tint: int  # index into the theme's card colours
    node: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines below the name."""
        counted = f"{self.count_text} parameters" if self.count_text else ""
        return tuple(filter(None, (self.gates, self.shape, counted, self.extra)))


@dataclass(frozen=True, slots=True)
class Cards:
    """Layers in forward order and the links between them."""

    cards: tuple[Card, ...]
    links: tuple[tuple[int, int], ...]
    parameters: int
    title: str
    description: str


def read_cards(root: Any, run: Any = None, *, digits: int = 4) -> Cards:
    """Describe the network under ``root``, one card a layer.

    Parameters
    ----------
    root : Node
        Usually the loss or the scores.
    run : Run, optional
        Adds the root's value and, on each card, the largest magnitude of the gradient there.
    """
    nodes = in_training(root)
    layers, home = grouped(nodes)
    cards: list[Card] = []
    total = sum(parameter_count(p) for p in nodes if p.kind == "parameter")
    for k, layer in enumerate(layers):
        last = layer.nodes[-1]
        weights = [p for p in layer.parameters if p.kind == "parameter"]
        counted = sum(parameter_count(p) for p in weights)
        gates = " · ".join(dict.fromkeys(n.gate for n in layer.nodes if n.gate and not chooses(n))) or last.kind
        tint = 0 if not last.operands else 3 if last is root else 1 if weights else 2
        shape = shape_text(last.shape)
        cards.append(
            Card(
                index=k,
                name=printable(layer.name, 28),
                gates=printable(gates, 36) if gates != layer.name else attributes_text(last),
                shape=shape,
                count=counted,
                count_text=f"{counted:,}" if weights else "",
                extra=_measured(last, root, run, digits),
                tint=tint,
                node=last.name or "",
            )
        )
    said = [f"Network with {len(cards)} layers and {total:,} parameters."]
    said += [f"{c.name}: {', '.join(c.lines)}." for c in cards[:80]]
    return Cards(
        tuple(cards),
        links_between(nodes, home),
        total,
        f"Layers of {printable(root.name or 'the network')}",
        " ".join(said),
    )


def _measured(node: Any, root: Any, run: Any, digits: int) -> str:
    if run is None:
        return ""
    import numpy as np

    if node is root and np.size(run.value(node)) == 1:
        return f"value {number_text(float(np.reshape(run.value(node), ())), digits)}"
    if not run.back.has_grad(node):
        return ""
    largest = float(np.max(np.abs(run.grad(node)), initial=0.0))
    return f"largest |gradient| {number_text(largest, 2)}"


# ---------------------------------------------------------------- geometry


def cards_scene(
    cards: Cards, theme: Theme, direction: str = "LR", engine: str | None = None
) -> tuple[Scene, Placement]:
    """Lay out cards from left to right (long chains go on in the next row) or top to bottom."""
    sizes = [_card_size(card) for card in cards.cards]
    tallest = max((h for _, h in sizes), default=0.0)
    sizes = [(w, tallest) for w, _ in sizes]
    if direction == "TB":
        widest = max((w for w, _ in sizes), default=0.0)
        sizes = [(widest, h) for _, h in sizes]
        placement = _transposed(cards, sizes, engine)
    else:
        placement = place_in_rows(sizes, cards.links, engine)
    items: list[Item] = []
    for k, commands in enumerate(placement.wires):
        items.append(_arrowed(commands, theme, f"link-{k}"))
    for card, (x, y), (w, h) in zip(cards.cards, placement.corners, sizes, strict=True):
        items.append(_card(card, Box(x + _MARGIN, y + _MARGIN, x + w + _MARGIN, y + h + _MARGIN), theme))
    caption = text_label(f"{cards.parameters:,} parameters in all", 10.0, theme.quiet)
    height = placement.height + 2 * _MARGIN + 14
    items.append(Group(caption.at(_MARGIN, height - _MARGIN + 1), classes="legend"))
    width = max(placement.width, caption.width) + 2 * _MARGIN
    return Scene(round(width, 2), round(height, 2), tuple(items), cards.title, cards.description), placement


def _card_size(card: Card) -> tuple[float, float]:
    name = text_label(card.name, _TITLE, "", bold=True)
    lines = [text_label(line, _LINE, "") for line in card.lines]
    width = max([name.width, *(line.width for line in lines)]) + 2 * _PADDING
    return max(width, 64.0), _TITLE + _LEADING * len(lines) + 2 * _PADDING - 2


def _card(card: Card, box: Box, theme: Theme) -> Group:
    items: list[Item] = [rounded(box, 6, fill=theme.card_fills[card.tint], stroke=theme.wire, width=1.0)]
    centre = (box.left + box.right) / 2
    name = text_label(card.name, _TITLE, theme.ink, bold=True, id=f"card-{card.index}-name")
    lines = [
        (card.gates, theme.quiet, "gates"),
        (card.shape, theme.value, "shape"),
        (f"{card.count_text} parameters" if card.count_text else "", theme.ink, "parameters"),
        (card.extra, theme.value if card.extra.startswith("value") else theme.gradient, "measured"),
    ]
    shown = [entry for entry in lines if entry[0]]
    used = _TITLE + _LEADING * len(shown)
    baseline = (box.top + box.bottom - used) / 2 + _TITLE - 2
    items += name.at(centre - name.width / 2, baseline)
    for text, colour, part in shown:
        baseline += _LEADING
        label = text_label(text, _LINE, colour, id=f"card-{card.index}-{part}", classes=part)
        items += label.at(centre - label.width / 2, baseline)
    said = f"{card.name}: {', '.join(card.lines)}"
    return Group(tuple(items), id=f"card-{card.index}", classes="card", title=said, node=card.node)


def _arrowed(commands: Sequence[Command], theme: Theme, id: str) -> Group:
    wire = moved(Path(tuple(commands), stroke=theme.wire, width=1.2), _MARGIN, _MARGIN)
    assert isinstance(wire, Path)
    (x0, y0), (x, y) = _last_two(wire.commands)
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    ux, uy = (x - x0) / length, (y - y0) / length
    head = Path(
        (
            ("M", x, y),
            ("L", x - 6.5 * ux - 3.2 * uy, y - 6.5 * uy + 3.2 * ux),
            ("L", x - 6.5 * ux + 3.2 * uy, y - 6.5 * uy - 3.2 * ux),
            ("Z",),
        ),
        fill=theme.wire,
    )
    return Group((wire, head), id=id, classes="link")


def _last_two(commands: Sequence[Command]) -> tuple[tuple[float, float], tuple[float, float]]:
    points = [p for c in commands for p in zip(numbers_of(c)[::2], numbers_of(c)[1::2], strict=True)]
    end = points[-1]
    before = next((p for p in reversed(points[:-1]) if p != end), end)
    return before, end


def _block(size: tuple[float, float]) -> Block:
    return Block(size[0], size[1], (size[1] / 2,), size[1] / 2)


def _transposed(cards: Cards, sizes: Sequence[tuple[float, float]], engine: str | None) -> Placement:
    blocks = [_block((h, w)) for w, h in sizes]
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
