"""Fold states of a picture, laid out beforehand, so that a page can fold and unfold without a layout engine.

What can be folded (clusters) are the parts that a circuit was drawn with, else repeated cells and layers and what
shares the prefix of a name; of a network drawn as cards, the gates of each card.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from graphc.drawing.circuit import Circuit
from graphc.drawing.drawing import Drawing
from graphc.drawing.folded import FOLD
from graphc.drawing.folding import LIMIT, Fold
from graphc.drawing.folding import grouped as grouped_gates
from graphc.drawing.network import grouped as grouped_layers
from graphc.drawing.size import BUDGET
from graphc.errors import DrawingError
from graphc.graph.mode import in_training
from graphc.graph.node import Node

__all__ = ["View", "Views", "fold_views"]

_FREE = 3  # clusters that fold and unfold freely; of more, one at a time is open, or all
_MOST = 12  # clusters
_MOST_CARDS = 300  # in all states together
_MOST_TEXT = 3_000_000  # characters of SVG in all states together


@dataclass(frozen=True, eq=False)
class View:
    """One state.

    Attributes
    ----------
    unfolded : frozenset of int
        The clusters that are open.
    picture : Drawing
    blocks : dict of str to int
        Id of a block in the picture -> the cluster that it stands for.
    """

    unfolded: frozenset[int]
    picture: Drawing
    blocks: dict[str, int]


@dataclass(frozen=True, eq=False)
class Views:
    """States of a picture; the first is the picture as it was asked for."""

    clusters: tuple[str, ...]
    states: tuple[View, ...]


def fold_views(drawing: Drawing) -> Views:
    """Lay out the fold states of a picture: the picture alone where nothing can be folded.

    States that would take too long or make the page too heavy are left out.

    Raises
    ------
    DrawingError
        If the picture cannot be drawn.
    """
    alone = Views((), (View(frozenset(), drawing, {}),))
    if drawing.again is None:
        return alone
    made = _of_circuit(drawing) if isinstance(drawing.content, Circuit) else _of_cards(drawing)
    if made is None:
        return alone
    states, length = [made.states[0]], len(drawing.svg())
    for state in made.states[1:]:
        length += len(state.picture.svg())
        if length <= _MOST_TEXT:
            states.append(state)
    return Views(made.clusters, tuple(states)) if len(states) > 1 else alone


def _subsets(count: int, start: frozenset[int]) -> Iterator[frozenset[int]]:
    """Yield which clusters are open, the start first."""
    yield start
    sizes = range(count + 1) if count <= _FREE else (0, 1, count)
    for size in sizes:
        for chosen in combinations(range(count), size):
            if frozenset(chosen) != start:
                yield frozenset(chosen)


def _of_circuit(drawing: Drawing) -> Views | None:
    assert drawing.again is not None
    options = drawing.again.keywords
    asked = options.get("fold", "auto")
    root = _root(drawing.subject)
    kept = [part for key in options.get("marks") or () for part in (key if isinstance(key, tuple) else (key,))]
    clusters = grouped_gates(root, asked, keep=kept).folds
    start: frozenset[int] = frozenset()
    if not clusters and asked == "auto":
        parts = grouped_gates(root, "auto", limit=1, keep=kept).folds
        clusters = tuple(fold for fold in parts if fold.kind in ("steps", "layers", "name"))
        start = frozenset(range(len(clusters)))
    if not 0 < len(clusters) <= _MOST:
        return None
    states: list[View] = []
    left = BUDGET
    for unfolded in _subsets(len(clusters), start):
        folded = [fold for k, fold in enumerate(clusters) if k not in unfolded]
        if unfolded == start:
            states.append(View(unfolded, drawing, _folds(drawing.content, clusters, unfolded)))
            continue
        try:
            estimate = grouped_gates(root, folded or False, keep=kept).estimate
        except DrawingError:  # these parts make no blocks without the others
            continue
        if estimate.blocks > LIMIT or estimate.seconds > left:
            continue
        left -= estimate.seconds
        picture = drawing.again(fold=folded or False)
        states.append(View(unfolded, picture, _folds(picture.content, clusters, unfolded)))
    return Views(tuple(f"{fold.label} ({fold.gates} gates)" for fold in clusters), tuple(states))


def _folds(content: Any, clusters: Sequence[Fold], unfolded: frozenset[int]) -> dict[str, int]:
    """Find the blocks of a circuit that are folds."""
    waiting = [k for k in range(len(clusters)) if k not in unfolded]
    found: dict[str, int] = {}
    for element in content.elements:
        of = next((k for k in waiting if element.kind == FOLD and element.label == clusters[k].label), None)
        if of is not None:
            waiting.remove(of)
            found[f"gate-{element.index}"] = of
    return found


def _of_cards(drawing: Drawing) -> Views | None:
    assert drawing.again is not None
    options = drawing.again.keywords
    layers, _ = grouped_layers(in_training(_root(drawing.subject)))
    times = Counter(layer.name for layer in layers)
    names = [
        layer.name
        for layer in layers
        if times[layer.name] == 1 and layer.nodes[-1].operands and len(layer.nodes) + len(layer.parameters) > 1
    ]
    if drawing.content.note or not 0 < len(names) <= _MOST or len(layers) * (len(names) + 2) > _MOST_CARDS:
        return None
    expand = options.get("expand") or ()
    opened = {expand} if isinstance(expand, str) else set(expand)
    start = frozenset(k for k, name in enumerate(names) if name in opened)
    cards = {layer.name: number for number, layer in enumerate(layers)}
    states = []
    for unfolded in _subsets(len(names), start):
        wanted = [name for k, name in enumerate(names) if k in unfolded]
        picture = drawing if unfolded == start else drawing.again(expand=wanted)
        blocks = {f"card-{cards[name]}": k for k, name in enumerate(names)}
        states.append(View(unfolded, picture, blocks))
    return Views(tuple(names), tuple(states))


def _root(subject: Any) -> Node:
    back = getattr(subject, "back", subject)
    return getattr(back, "root", back)
