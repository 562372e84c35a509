"""A network as cards, one box a layer: what it does, the shape it hands on, its parameters, and what a run measures.

The layers are those of `graphc.drawing.network`. A card can be expanded to the gates of its layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy

from graphc.drawing.card_picture import cards_scene
from graphc.drawing.fonts import number_text, printable
from graphc.drawing.measures import DIGITS, Measures, measured
from graphc.drawing.network import Layer, attributes_text, grouped, links_between, parameter_count, shape_text
from graphc.drawing.sheet import needs_run
from graphc.drawing.theme import Theme
from graphc.errors import DrawingError, did_you_mean
from graphc.graph.mode import chooses, in_training, operands_in_training

if TYPE_CHECKING:
    from graphc.drawing.drawing import Drawing

__all__ = ["Card", "Cards", "Inside", "cards_drawing", "cards_scene", "read_cards"]


@dataclass(frozen=True, slots=True)
class Inside:
    """A gate or parameter of an expanded card.

    Attributes
    ----------
    operands : tuple of int
        Which of the others it reads; -1 is what comes from another card.
    """

    name: str
    gate: str
    shape: str
    gradient: str
    operands: tuple[int, ...]
    node: str = ""


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
    measures: Measures = field(default_factory=Measures)
    inside: tuple[Inside, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines below the name."""
        counted = f"{self.count_text} parameters" if self.count_text else ""
        numbers = (*map(str, self.measures.magnitudes), str(self.measures.dead or ""))
        return tuple(filter(None, (self.gates, self.shape, counted, self.extra, *numbers)))


@dataclass(frozen=True, slots=True)
class Cards:
    """Layers in forward order and the links between them."""

    cards: tuple[Card, ...]
    links: tuple[tuple[int, int], ...]
    parameters: int
    title: str
    description: str
    note: str = ""


def cards_drawing(
    root: Any,
    back: Any,
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    expand: Any = (),
    example: int = 0,
    images: bool = True,
    fold: Any = "auto",
) -> Drawing:
    """Draw a network as cards, one a layer.

    Parameters
    ----------
    expand : str or sequence of str, optional
        Layers whose gates are drawn inside of their card.
    example : int, default 0
        Which example of the run is drawn as small images.
    images : bool, default True
        Whether a run's activations are drawn.
    fold : "auto" or False, default ``"auto"``
        Whether layers that repeat are put on one card where there are very many.

    Returns
    -------
    Drawing

    Raises
    ------
    DrawingError
        If no layer has a name of ``expand``, or the run has no such example.
    """
    from graphc.drawing.drawing import Drawing
    from graphc.drawing.folded_cards import folded_cards

    content = read_cards(root, run, digits=digits, expand=expand, example=example)
    if not images:
        content = replace(content, cards=tuple(_without_image(card) for card in content.cards))
    if fold not in ("auto", False):
        raise DrawingError(f"fold={fold!r} of style='cards' is 'auto' or False")
    content = folded_cards(content, False if expand else fold)  # what is expanded stays
    return Drawing(content, theme, direction, engine, run or back or root, digits)


def _without_image(card: Card) -> Card:
    return replace(card, measures=replace(card.measures, image=None))


def read_cards(root: Any, run: Any = None, *, digits: int = 4, expand: Any = (), example: int = 0) -> Cards:
    """Describe the network under ``root``, one card a layer.

    Parameters
    ----------
    root : Node
        Usually the loss or the scores.
    run : Run, optional
        Adds the root's value and, on each card, mean and largest |gradient| of parameters and output, the share of
        dead units, and one example as images.
    expand : str or sequence of str, optional
        Layers whose gates are listed as well.
    example : int, default 0
        Which example of the run.

    Raises
    ------
    DrawingError
        If no layer has a name of ``expand``, or the run has no such example.
    """
    nodes = in_training(root)
    layers, home = grouped(nodes)
    opened = _opened(layers, expand)
    if example:
        _check_example(nodes, needs_run(run, "cards"), example)
    cards: list[Card] = []
    total = sum(parameter_count(p) for p in nodes if p.kind == "parameter")
    for k, layer in enumerate(layers):
        last = layer.nodes[-1]
        weights = [p for p in layer.parameters if p.kind == "parameter"]
        counted = sum(parameter_count(p) for p in weights)
        gates = " · ".join(dict.fromkeys(n.gate for n in layer.nodes if n.gate and not chooses(n))) or last.kind
        tint = 0 if not last.operands else 3 if last is root else 1 if weights else 2
        cards.append(
            Card(
                index=k,
                name=printable(layer.name, 28),
                gates=printable(gates, 36) if gates != layer.name else attributes_text(last),
                shape=shape_text(last.shape),
                count=counted,
                count_text=f"{counted:,}" if weights else "",
                extra=_result(last, root, run, digits),
                tint=tint,
                node=last.name or "",
                measures=_measures(layer, weights, root, run, example),
                inside=_inside(layer, run) if k in opened else (),
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


def _result(node: Any, root: Any, run: Any, digits: int) -> str:
    if run is None or node is not root or numpy.size(run.value(node)) != 1:
        return ""
    return f"value {number_text(float(numpy.reshape(run.value(node), ())), digits)}"


def _measures(layer: Layer, weights: Sequence[Any], root: Any, run: Any, example: int) -> Measures:
    if run is None or not layer.nodes[-1].is_float:
        return Measures()
    found = measured(layer.nodes, weights, run, example=example)
    if layer.nodes[-1] is root:  # its gradient with respect to itself is 1
        found = replace(found, magnitudes=tuple(m for m in found.magnitudes if m.of != "output"))
    return found


def _check_example(nodes: Sequence[Any], run: Any, example: Any) -> None:
    inputs = [node for node in nodes if node.kind == "input" and node.shape]
    count = max((len(run.value(node)) for node in inputs if not isinstance(node.shape[0], int)), default=1)
    if isinstance(example, bool) or not isinstance(example, int) or not 0 <= example < count:
        raise DrawingError(f"the run has examples 0 to {count - 1}, found example={example!r}")


# ---- expanded cards ----------------------------------------------------------------------------------


def _opened(layers: Sequence[Layer], expand: Any) -> set[int]:
    """Return the numbers of the layers asked for."""
    names = (expand,) if isinstance(expand, str) else tuple(expand or ())
    known = {layer.name: k for k, layer in enumerate(layers) if layer.nodes[-1].operands}
    for name in names:
        if name not in known:
            listed = ", ".join(map(repr, list(known)[:12])) + (", …" if len(known) > 12 else "")
            raise DrawingError(
                f"expand={name!r}: no card with gates has this name{did_you_mean(str(name), known)}; cards: {listed}"
            )
    return {k for k, layer in enumerate(layers) if layer.name in names and layer.nodes[-1].operands}


def _inside(layer: Layer, run: Any) -> tuple[Inside, ...]:
    """List the parameters and gates of a layer, operands first."""
    members = [node for node in layer.nodes if not chooses(node)]
    read = {o.id: o for node in members for o in operands_in_training(node)}
    leaves = [p for p in layer.parameters if p.id in read]
    rank = {node.id: k for k, node in enumerate([*leaves, *members])}
    found = []
    for node in [*leaves, *members]:
        operands = tuple(dict.fromkeys(rank.get(_trained(o).id, -1) for o in operands_in_training(node)))
        gradient = ""
        if run is not None and run.back.has_grad(node):
            sizes = numpy.abs(run.grad(node))
            gradient = number_text(float(sizes.mean()) if sizes.size else 0.0, DIGITS)
        name = node.name or ""
        own = name.removeprefix(f"{layer.name}.") if node.kind in ("parameter", "state") else ""
        gate = own or node.gate or node.kind
        found.append(Inside(printable(own, 20), printable(gate, 24), shape_text(node.shape), gradient, operands, name))
    return tuple(found)


def _trained(node: Any) -> Any:
    """What stands for a choice between training and use."""
    return operands_in_training(node)[0] if chooses(node) else node
