"""The layers of a network, read off the names of its parameters.

``conv1.weight`` and ``conv1.bias`` belong to ``conv1``, together with the gates that use them; an elementwise
activation right behind joins. Every other gate is a layer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.drawing.fonts import printable
from graphc.errors import DrawingError
from graphc.graph.mode import chooses, operands_in_training

__all__ = ["Layer", "attributes_text", "grouped", "links_between", "parameter_count", "shape_text"]


def shape_text(shape: Sequence[Any]) -> str:
    """Print a shape the way it is read aloud: ``N × 6 × 14 × 14``."""
    return " × ".join(str(extent).replace("*", "·") for extent in shape) or "scalar"


@dataclass(slots=True)
class Layer:
    """Nodes that belong together, and the parameters and states that they read."""

    name: str
    nodes: list[Any]
    parameters: list[Any]
    closed: bool = False  # an activation has joined: nothing else may


def _prefix(name: str) -> str:
    return name.rpartition(".")[0] or name


def parameter_count(parameter: Any) -> int:
    """Return how many entries a parameter has; raises `DrawingError` where an extent is no number."""
    total = 1
    for extent in parameter.shape:
        if not isinstance(extent, int):
            raise DrawingError(
                f"the parameter {parameter.label!r} has the shape ({shape_text(parameter.shape)}); "
                "its entries cannot be counted before every extent is a number",
                node=parameter,
                site=parameter.site,
            )
        total *= extent
    return total


def _leaf_only(nodes: Sequence[Any]) -> dict[int, set[Any]]:
    """Map each node made of parameters and constants alone to those parameters."""
    made: dict[int, set[Any]] = {}
    for node in nodes:
        if node.kind in ("parameter", "state"):
            made[node.id] = {node}
        elif node.kind in ("constant", "mode"):
            made[node.id] = set()
        elif node.operands and all(operand.id in made for operand in node.operands):
            made[node.id] = set().union(*(made[operand.id] for operand in node.operands))
    return made


def grouped(nodes: Sequence[Any]) -> tuple[list[Layer], dict[int, int]]:
    """Put every node into a layer; returns the layers and the number of the layer of each node id."""
    made = _leaf_only(nodes)
    readers: dict[int, int] = {}
    for node in nodes:
        for operand in operands_in_training(node):
            readers[operand.id] = readers.get(operand.id, 0) + 1
    layers: list[Layer] = []
    home: dict[int, int] = {}

    def open_layer(name: str, node: Any) -> Layer:
        layers.append(Layer(name, [node], []))
        home[node.id] = len(layers) - 1
        return layers[-1]

    for node in nodes:
        if node.id in made and node is not nodes[-1]:
            continue  # drawn on the card of the gate that uses it
        mine = [p for o in node.operands for p in made.get(o.id, ()) if p.kind in ("parameter", "state")]
        mine.sort(key=lambda p: p.id)
        fed = [o for o in operands_in_training(node) if o.id in home]
        if chooses(node) and fed:  # one thing in training, another in use: the card of what is trained
            home[node.id] = home[fed[0].id]
            layers[home[node.id]].nodes.append(node)
            continue
        before = layers[home[fed[0].id]] if len({home[o.id] for o in fed}) == 1 else None
        alone = before is not None and len(fed) == 1 and readers[fed[0].id] == 1 and before.nodes[-1] is fed[0]
        if not node.operands:
            open_layer(node.name or node.label, node)
            continue
        if mine:
            names = {_prefix(p.label) for p in mine}
            dotted = all("." in p.label for p in mine)
            joins = alone and before is not None and before.parameters and not before.closed
            if joins and before is not None and (names == {before.name} or not dotted):
                before.nodes.append(node)
                before.parameters += [p for p in mine if p not in before.parameters]
                home[node.id] = home[fed[0].id]
                continue
            given = node.name if node.name is not None and not dotted else None  # beside parameters without a layer
            layer = open_layer(given or (min(names) if len(names) == 1 else node.label), node)
            layer.parameters += list(dict.fromkeys(mine))
            continue
        unary = len(fed) == 1 and node.shape == fed[0].shape
        worked = before is not None and (before.parameters or len(before.nodes[-1].operands) > 1)
        if alone and unary and before is not None and worked and not before.closed:
            before.nodes.append(node)
            before.closed = True
            home[node.id] = home[fed[0].id]
            continue
        open_layer(node.name or node.gate or node.label, node)
    return layers, home


def attributes_text(node: Any) -> str:
    """Sizes and steps that the user chose for a gate, as one line."""
    gate = node.application.gate if node.application is not None else None
    shown: list[str] = []
    for name, default in (gate.attributes if gate is not None else {}).items():
        value = node.attributes.get(name)
        parts = value if isinstance(value, tuple | list) else (value,)
        whole = all(isinstance(part, int) and not isinstance(part, bool) for part in parts)
        if whole and (value != default or not shown):
            shown.append(f"{name.replace('_', ' ')} {'×'.join(map(str, parts))}")
    return printable(", ".join(shown), 36)


def links_between(nodes: Sequence[Any], home: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """Return each pair of layers of which the second reads the first, once, in order."""
    links: dict[tuple[int, int], None] = {}
    for node in nodes:
        for operand in operands_in_training(node):
            if node.id in home and operand.id in home and home[node.id] != home[operand.id]:
                links[home[operand.id], home[node.id]] = None
    return tuple(links)
