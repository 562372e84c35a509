"""Time steps: of which step a node is, and which edges are copies of one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphc.checking.circuit import Circuit
from graphc.checking.diagnosis.explanation import step_of
from graphc.graph.node import Node

__all__ = ["Steps"]

#: Gates that only rearrange.
_VIEWS = frozenset({"transpose", "reshape", "flatten", "slice"})


class Steps:
    """Time steps of the nodes of a circuit, by their names or by the names of what they feed."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        numbers: dict[str, set[int]] = {}
        for node in circuit.nodes:
            step = step_of(node)
            if step is not None and node.application is not None:
                numbers.setdefault(step[0], set()).add(step[1])
        stems = {stem for stem, found in numbers.items() if len(found) > 1}
        self.found: dict[int, tuple[str, int]] = {}
        self.readers: dict[int, list[Node]] = {}
        readers = self.readers
        for node in circuit.nodes:
            for operand in node.operands:
                readers.setdefault(operand.id, []).append(node)
        for node in reversed(circuit.nodes):
            step = step_of(node)
            if step is not None and step[0] in stems and node.application is not None:
                self.found[node.id] = step
            elif node.name is None and node.application is not None:
                near = {self.found.get(reader.id) for reader in readers.get(node.id, ())}
                only = near.pop() if len(near) == 1 else None
                if only is not None:
                    self.found[node.id] = only

        # layers are numbered as well, but only a recurrence uses one leaf at several steps
        shared = [{self.found[r.id] for r in readers.get(n.id, ()) if r.id in self.found} for n in circuit.leaves]
        if not any(len({s[0] for s in steps}) < len(steps) for steps in shared):
            self.found = {}

    def behind(self, node: Node) -> Node:
        """The gate that works with a node: what reads a transpose or another view without a name."""
        while node.name is None and len(self.readers.get(node.id, ())) == 1 and node.gate in _VIEWS:
            (node,) = self.readers[node.id]
        return node

    def another(self) -> tuple[str, str]:
        """Kind of a mistake with a node of the same name and another number, and the end of its sentence."""
        return ("other step", ": another time step") if self.found else ("other value", "")

    def at(self, node: Node) -> str:
        """``" at time step 2"`` for a node of a recurrence, else nothing."""
        return f" at time step {self.found[node.id][1]}" if node.id in self.found else ""

    def families(self, edges: Sequence[int]) -> Iterator[list[int]]:
        """Edges that are copies of one another at several time steps."""
        circuit = self.circuit
        groups: dict[tuple[Any, ...], dict[int, int]] = {}
        for position in edges:
            edge = circuit.edges[position]
            step = self.found.get(edge.target.id)
            if step is None:
                continue
            site = str(edge.target.site) if edge.target.name is None else ""
            key = (step[0], edge.target.gate, edge.k, edge.target.name is None, site, _kin(edge.target))
            groups.setdefault(key, {})[step[1]] = position
        for group in groups.values():
            if len(group) > 1:
                yield list(group.values())


def _kin(node: Node) -> tuple[str | None, ...]:
    """Names of a node's operands without numbers, so that ``w*h2`` is told from ``u*x2`` on the same line."""
    steps = [step_of(o) for o in node.operands]
    return tuple(o.name if s is None else s[0] for o, s in zip(node.operands, steps, strict=True))
