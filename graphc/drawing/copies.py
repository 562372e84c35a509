"""Equal copies in a graph of nodes: steps of a recurrence written out, repeated layers, with their names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from graphc.drawing.repeats import Repeat, repeats
from graphc.graph.node import Node, topological

__all__ = ["GateOrder", "Steps", "ordered", "steps_at", "steps_of"]


@dataclass(frozen=True, slots=True)
class Steps:
    """Equal copies of a part of the graph, aligned: ``copies[c][i]`` is gate ``i`` of copy ``c``.

    Attributes
    ----------
    recurrent : bool
        Steps of a recurrence (they share leaves and read the step before), not layers with weights of their own.
    names : tuple of str
        Of each copy: ``"t = 3"``, ``"block3"``; empty strings where the graph has no names to tell.
    """

    copies: tuple[tuple[Node, ...], ...]
    recurrent: bool
    names: tuple[str, ...]


# ---------------------------------------------------------------- the order


@dataclass(slots=True)
class GateOrder:
    """Gates in an order in which operands come first, as the user wrote them, and the leaves below them."""

    root: Node
    gates: list[Node]
    leaves: list[Node]
    operands: list[list[int]] = field(default_factory=list)  # positions; -1 - number of a leaf

    def __post_init__(self) -> None:
        at = {node.id: k for k, node in enumerate(self.gates)}
        at |= {node.id: -1 - k for k, node in enumerate(self.leaves)}
        self.operands = [[at[operand.id] for operand in gate.operands] for gate in self.gates]

    def labels(self) -> list[Hashable]:
        """Kind of each gate, with its shapes."""
        return [(gate.gate, gate.shape, tuple(o.shape for o in gate.operands), gate.output) for gate in self.gates]


def ordered(root: Node) -> GateOrder:
    """Return the gates below a node, nearly as they were written."""
    nodes = topological([root])
    gates = sorted((node for node in nodes if node.operands), key=lambda node: node.id)
    leaves = [node for node in nodes if not node.operands]
    # what only takes a part of a leaf stands by its first reader: all steps of a sequence may have been cut before
    aside = {g.id: g for g in gates if g is not root and _cuts_a_leaf(g)}
    order: list[Node] = []
    for gate in gates:
        if gate.id in aside:
            continue
        order += [aside.pop(operand.id) for operand in dict.fromkeys(gate.operands) if operand.id in aside]
        order.append(gate)
    return GateOrder(root, order, leaves)


def _cuts_a_leaf(gate: Node) -> bool:
    return len({o.id for o in gate.operands if o.kind != "constant"}) == 1 and not any(
        o.operands for o in gate.operands
    )


# ---------------------------------------------------------------- copies


def steps_of(root: Node) -> list[Steps]:
    """Find equal copies below a node: steps of a recurrence written out, repeated layers.

    Parameters
    ----------
    root : Node

    Returns
    -------
    list of Steps
        In forward order; each has at least three copies.
    """
    order = ordered(root)
    return [steps_at(order, repeat) for repeat in repeats(order.labels(), order.operands)]


def steps_at(order: GateOrder, repeat: Repeat) -> Steps:
    """Return the nodes of a repeat that was found in the order."""
    copies = tuple(tuple(order.gates[k] for k in repeat.copy(c)) for c in range(repeat.copies))
    return Steps(copies, repeat.recurrent, _copy_names(copies, repeat.recurrent))


def _copy_names(copies: Sequence[Sequence[Node]], recurrent: bool) -> tuple[str, ...]:
    for named in _aligned_names(copies):
        counted = _counted(named)
        if counted is not None:
            numbers, parts = counted
            return tuple(f"t = {n}" for n in numbers) if recurrent else tuple(parts)
    if recurrent:
        return tuple(f"t = {c + 1}" for c in range(len(copies)))
    return ("",) * len(copies)


def _aligned_names(copies: Sequence[Sequence[Node]]) -> Iterator[list[str]]:
    """Names that gates, and then leaves, at one place have in all copies."""
    for column in zip(*copies, strict=True):
        if all(node.name for node in column):
            yield [node.name or "" for node in column]
    for column in zip(*copies, strict=True):
        for leaves in zip(*(node.operands for node in column), strict=True):
            if all(leaf.name and not leaf.operands for leaf in leaves):
                yield [leaf.name or "" for leaf in leaves]


def _counted(names: Sequence[str]) -> tuple[list[int], list[str]] | None:
    """Numbers by which names of copies count up or down, and each name up to the dotted part with its number."""
    pieces = [re.split(r"(\d+)", name) for name in names]
    if len({len(p) for p in pieces}) != 1:
        return None
    varying = [k for k, column in enumerate(zip(*pieces, strict=True)) if len(set(column)) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return None
    (k,) = varying
    numbers = [int(p[k]) for p in pieces]
    if {b - a for a, b in itertools.pairwise(numbers)} not in ({1}, {-1}):
        return None
    parts = ["".join(p[: k + 1]) + "".join(p[k + 1 :]).partition(".")[0] for p in pieces]
    return numbers, parts
