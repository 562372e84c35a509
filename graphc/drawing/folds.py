"""Folds: gates that are drawn as one block, and the graph in which they are contracted.

Contracting the folds leaves a graph without cycles, so it is drawn like any other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphc.drawing.copies import GateOrder
from graphc.drawing.size import BUDGET, Estimate, estimate
from graphc.errors import DrawingError
from graphc.graph.node import Node

__all__ = ["Fold", "Folding", "Grouped", "inside_gate"]


@dataclass(frozen=True, slots=True)
class Fold:
    """Gates that are drawn as one block.

    Attributes
    ----------
    label : str
        Such as ``"t = 2 … 49"``.
    kind : str
        ``"steps"``, ``"layers"``, ``"chain"``, ``"name"`` or ``"part"``.
    nodes : tuple of Node
        Gates, and the leaves that nobody else reads, operands first.
    copies : int
        Of a repeated cell or layer.
    """

    label: str
    kind: str
    nodes: tuple[Node, ...]
    copies: int = 1

    @property
    def gates(self) -> int:
        """How many gates it holds."""
        return sum(1 for node in self.nodes if node.operands)


@dataclass(frozen=True, slots=True)
class Grouped:
    """A graph whose parts are drawn one by one or folded.

    Attributes
    ----------
    order : tuple of Node or Fold
        What is drawn, operands first.
    note : str
        One sentence that says what was folded; empty where nothing was.
    estimate : Estimate
        Blocks, wires and seconds of the picture.
    """

    order: tuple[Node | Fold, ...]
    note: str
    estimate: Estimate

    @property
    def folds(self) -> tuple[Fold, ...]:
        """What is drawn as one block each."""
        return tuple(item for item in self.order if isinstance(item, Fold))

    @property
    def kept(self) -> tuple[Node, ...]:
        """What is drawn as it is."""
        return tuple(item for item in self.order if isinstance(item, Node))


def inside_gate(node: Node) -> bool:
    """Whether a constant is drawn inside of its gate."""
    return node.kind == "constant" and all(extent == 1 for extent in node.shape)


class Folding:
    """Folds as they are being chosen: sets of positions in the order."""

    def __init__(self, order: GateOrder, leaves: list[Node], keep: set[Any]) -> None:
        self.order = order
        self.leaves = leaves
        self.keep = keep
        self.chosen: list[tuple[str, str, list[int], int]] = []  # label, kind, positions, copies
        self.owner = [-1] * len(order.gates)
        self.read_by: list[list[int]] = [[] for _ in order.gates]
        self.leaf_read_by: list[list[int]] = [[] for _ in order.leaves]
        for k, operands in enumerate(order.operands):
            for operand in operands:
                (self.read_by[operand] if operand >= 0 else self.leaf_read_by[-1 - operand]).append(k)

    def kept(self, position: int) -> bool:
        """Whether a gate is to be drawn as it is."""
        gate = self.order.gates[position]
        return gate.id in self.keep or gate.name in self.keep

    def add(self, label: str, kind: str, positions: Iterable[int], copies: int = 1) -> None:
        """Fold positions that are not folded yet and are not to be kept."""
        free = [k for k in positions if self.owner[k] < 0 and not self.kept(k)]
        if len(free) > 1:
            for k in free:
                self.owner[k] = len(self.chosen)
            self.chosen.append((label, kind, free, copies))

    def count(self) -> int:
        """How many blocks would be drawn."""
        inside = {leaf.id for leaves in self.inner_leaves() for leaf in leaves}
        drawn = sum(1 for leaf in self.leaves if leaf.id not in inside)
        return drawn + sum(1 for owner in self.owner if owner < 0) + len(self.chosen)

    def fits(self, limit: int) -> bool:
        """Whether what would be drawn is small enough, in blocks and in time."""
        return self.count() <= limit and self.estimate().seconds <= BUDGET

    def estimate(self) -> Estimate:
        """Blocks, wires and seconds of the picture, as folded so far."""
        leaves = {leaf.id for leaf in self.leaves} - {leaf.id for found in self.inner_leaves() for leaf in found}
        number: dict[tuple[bool, int], int] = {}
        links: dict[tuple[int, int], None] = {}
        for k, operands in enumerate(self.order.operands):
            unit = self._unit(k)
            for operand in operands:
                tail = (True, self._unit(operand)) if operand >= 0 else (False, -1 - operand)
                if operand < 0 and self.order.leaves[-1 - operand].id not in leaves:
                    continue
                number.setdefault(tail, len(number))
                number.setdefault((True, unit), len(number))
                if tail != (True, unit):
                    links[number[tail], number[True, unit]] = None
        return estimate(len(number), list(links))

    def _unit(self, position: int) -> int:
        owner = self.owner[position]
        return position if owner < 0 else len(self.owner) + owner

    def inner_leaves(self) -> list[list[Node]]:
        """Leaves that one fold alone reads, by fold."""
        found: list[list[Node]] = [[] for _ in self.chosen]
        for leaf, readers in zip(self.order.leaves, self.leaf_read_by, strict=True):
            owners = {self.owner[k] for k in readers}
            if len(owners) == 1 and -1 not in owners and leaf.name not in self.keep and leaf.id not in self.keep:
                found[owners.pop()].append(leaf)
        return found

    # ---- the answer

    def result(self) -> Grouped:
        """Return the graph with its folds."""
        leaves = self.inner_leaves()
        gates = self.order.gates
        folds = [
            Fold(label, kind, (*leaves[k], *(gates[n] for n in positions)), copies)
            for k, (label, kind, positions, copies) in enumerate(self.chosen)
        ]
        inside = {leaf.id for found in leaves for leaf in found}
        shown = [leaf for leaf in self.leaves if leaf.id not in inside]
        order = self._contracted(folds)
        hidden = sum(fold.gates for fold in folds)
        note = ""
        if folds:
            blocks = "one block" if len(folds) == 1 else f"{len(folds)} blocks"
            note = f"{hidden:,} of {len(gates):,} gates are folded into {blocks}; fold=False draws them all"
        return Grouped(tuple(_leaves_first(shown, order)), note, self.estimate())

    def _contracted(self, folds: list[Fold]) -> list[Node | Fold]:
        """Gates and folds, operands first, near to the order in which they were written."""
        count = len(self.owner)
        unit = [self._unit(k) for k in range(count)]
        heads: dict[int, set[int]] = {}
        for k, operands in enumerate(self.order.operands):
            for operand in operands:
                if operand >= 0 and unit[operand] != unit[k]:
                    heads.setdefault(unit[operand], set()).add(unit[k])
        waiting: dict[int, int] = dict.fromkeys(unit, 0)
        for following in heads.values():
            for head in following:
                waiting[head] += 1
        first = {u: k for k, u in reversed(list(enumerate(unit)))}
        ready = [(first[u], u) for u, number in waiting.items() if number == 0]
        heapq.heapify(ready)
        found: list[Node | Fold] = []
        while ready:
            _, u = heapq.heappop(ready)
            found.append(self.order.gates[u] if u < count else folds[u - count])
            for head in heads.get(u, ()):
                waiting[head] -= 1
                if waiting[head] == 0:
                    heapq.heappush(ready, (first[head], head))
        if len(found) < len(waiting):
            stuck = next(folds[u - count] for u, number in waiting.items() if number and u >= count)
            raise DrawingError(
                f"fold: {stuck.label!r} cannot be one block, since a value that leaves it comes back in through gates "
                f"outside; fold these too, or a smaller part"
            )
        return found


def _leaves_first(leaves: list[Node], order: list[Node | Fold]) -> list[Node | Fold]:
    """Put each leaf before its first reader."""
    waiting = {leaf.id: leaf for leaf in leaves}
    found: list[Node | Fold] = []
    for item in order:
        for node in item.nodes if isinstance(item, Fold) else (item,):
            found += [waiting.pop(operand.id) for operand in dict.fromkeys(node.operands) if operand.id in waiting]
        found.append(item)
    return [*found, *waiting.values()]
