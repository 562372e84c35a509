"""The circuit of a graph with folded parts: each fold is one block with its count of gates and its gradients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.drawing.circuit import Circuit, Element, Port
from graphc.drawing.folding import Fold, Grouped, grouped
from graphc.drawing.fonts import number_text, printable
from graphc.drawing.size import HARD_LIMIT
from graphc.errors import DrawingError
from graphc.graph.node import Node

__all__ = ["FOLD", "folded_circuit"]

#: Kind of an element that is a fold.
FOLD = "fold"
_NAMED_WIRES = 2  # values that leave a fold and are named on its wire; more are counted


def folded_circuit(
    root: Node,
    back: Any,
    run: Any,
    fold: Any,
    read: Callable[..., Circuit],
    *,
    digits: int = 4,
    keep: Iterable[Any] = (),
) -> Circuit:
    """Read a circuit, folded where it is too large or where the user asks for it.

    Parameters
    ----------
    fold : str, None, False or sequence
        See `graphc.drawing.folding.grouped`.
    read : callable
        ``read(nodes=...)`` describes the nodes that are drawn one by one; called once.
    keep : iterable
        Nodes, names, or pairs of them that stay unfolded, such as those with a mark.

    Returns
    -------
    Circuit
        Its ``note`` says what was folded.

    Raises
    ------
    DrawingError
        If the picture may not be folded and would take minutes.
    """
    kept = [part for key in keep for part in (key if isinstance(key, tuple) else (key,))]
    made = grouped(root, fold, keep=kept)
    if not made.folds:
        if made.estimate.seconds > HARD_LIMIT:
            raise DrawingError(
                f"drawing every gate of {root.label!r} means {made.estimate}; a picture may take {HARD_LIMIT:.0f} s. "
                f"Leave fold='auto', or name the parts to be folded: fold=['encoder', ...]",
                node=root,
                site=root.site,
            )
        return read()
    return _with_folds(read(nodes=made.kept), made, back, run, digits)


def _with_folds(circuit: Circuit, made: Grouped, back: Any, run: Any, digits: int) -> Circuit:
    """Put the folds between the elements that were read, and lead the wires to and from them."""
    home = {node.id: k for k, item in enumerate(made.order) for node in _nodes(item)}
    number = {element.index: home[node.id] for node, element in zip(circuit.nodes, circuit.elements, strict=True)}
    read = dict(zip((node.id for node in circuit.nodes), circuit.elements, strict=True))
    numeric = any(port.number for element in circuit.elements for port in element.ports)
    into_folds = {
        home[operand.id]
        for item in made.folds
        for node in item.nodes
        for operand in node.operands
        if operand.id in home and home[operand.id] != home[node.id]
    }
    elements: list[Element] = []
    for k, item in enumerate(made.order):
        if isinstance(item, Fold):
            elements.append(_fold_element(k, item, made, home, back, run, digits))
            continue
        element = read[item.id]
        ports = [replace(port, operand=number[port.operand]) for port in element.ports]
        known = {port.position for port in ports}
        for position, operand in enumerate(item.operands):
            if position not in known and operand.id in home:
                local = _local(item, operand, position, run, digits) if numeric else ""
                ports.append(Port(home[operand.id], position, number=local))
        ports.sort(key=lambda port: port.position)
        # the terms of a sum are shown where all of them are drawn
        shares = () if k in into_folds else tuple((number[gate], position) for gate, position in element.shares)
        elements.append(replace(element, index=k, ports=tuple(ports), shares=shares))
    readers = Counter(port.operand for element in elements for port in element.ports)
    return replace(
        circuit,
        elements=tuple(replace(element, readers=readers[element.index]) for element in elements),
        nodes=(),
        note=made.note,
    )


def _nodes(item: Node | Fold) -> tuple[Node, ...]:
    return item.nodes if isinstance(item, Fold) else (item,)


def _fold_element(k: int, fold: Fold, made: Grouped, home: dict[int, int], back: Any, run: Any, digits: int) -> Element:
    tails: dict[int, None] = {}
    for node in fold.nodes:
        for operand in node.operands:
            at = home.get(operand.id)
            if at is not None and at != k:
                tails[at] = None
    leaving = _leaving(k, fold, made)
    name = ", ".join(node.name or "" for node in leaving)
    if not leaving or len(leaving) > _NAMED_WIRES or not all(node.name for node in leaving):
        name = "" if len(leaving) == 1 else f"{len(leaving):,} values"
    return Element(
        index=k,
        label=fold.label,
        name=printable(name, 28),
        name_latex="",
        symbol=f"{fold.label}, {fold.gates:,} gates",
        kind=FOLD,
        gradient=_magnitude(fold, back, run, digits),
        ports=tuple(Port(tail, position) for position, tail in enumerate(tails)),
    )


def _leaving(k: int, fold: Fold, made: Grouped) -> list[Node]:
    """Values of a fold that something outside reads."""
    inside = {node.id: node for node in fold.nodes}
    found: dict[int, Node] = {}
    for other, item in enumerate(made.order):
        if other != k:
            for node in _nodes(item):
                for operand in node.operands:
                    if operand.id in inside:
                        found[operand.id] = inside[operand.id]
    return list(found.values())


def _local(node: Node, operand: Node, position: int, run: Any, digits: int) -> str:
    """Local gradient at an input that comes from a fold; empty where it is no single number."""
    from graphc.gradients.local import elementwise

    if run is None or node.formula is None or not elementwise(node.formula) or (node, position) not in run.back.edges:
        return ""
    local = np.asarray(run.local(operand, node, operand=position))
    return number_text(float(local.reshape(())), digits) if local.size == 1 else ""


def _magnitude(fold: Fold, back: Any, run: Any, digits: int) -> str:
    """Smallest and largest of the largest |gradient| of each gate."""
    if run is None or back is None:
        return ""
    found = [
        float(np.max(np.abs(run.grad(node)), initial=0.0))
        for node in fold.nodes
        if node.operands and back.has_grad(node)
    ]
    if not found:
        return ""
    if any(math.isnan(value) for value in found):
        return "|∇| NaN"
    low, high = (number_text(value, min(digits, 2)) for value in (min(found), max(found)))
    return f"|∇| {low}" if low == high else f"|∇| {low} … {high}"
