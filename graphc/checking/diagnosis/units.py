"""Where a mistake may sit: in the whole gradient, at a node, on an edge, or on one path only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.evidence import Evidence, flat, summed
from graphc.graph.node import Node

__all__ = ["Change", "Tried", "Unit", "units"]

#: Paths that are looked at one by one, and places in all.
_PATHS, _UNITS = 32, 400

#: What takes the place of a pull, from state and upstream gradient.
Change = Callable[[State, Any], Any]

#: Rank, kind, sentence, change, and nodes of a mistake that is tried.
Tried = tuple[float, str, str, Change, tuple[Node, ...]]


@dataclass
class Unit:
    """A place of the reverse sweep.

    Attributes
    ----------
    position : int or None
        The edge, or None for the gradient of ``node`` as a whole.
    above, below : tuple of int or None
        Edges by which the gradient arrives and goes on, nearest the target first; None means all paths.
    """

    evidence: Evidence
    node: Node
    position: int | None = None
    above: tuple[int, ...] | None = None
    below: tuple[int, ...] | None = None
    _old: dict[int, Any] = field(default_factory=dict, repr=False)

    @property
    def edge(self) -> Edge | None:
        """The edge, if the unit is one."""
        return None if self.position is None else self.evidence.circuit.edges[self.position]

    @property
    def whole(self) -> bool:
        """Whether this is the gradient of the target itself."""
        return self.position is None and self.node is self.evidence.target

    @property
    def single(self) -> bool:
        """Whether only some of the paths are meant."""
        return self.above is not None or self.below is not None

    # ---- numbers ---------------------------------------------------------------------------------

    def upstream(self, state: State) -> Any:
        """Gradient that arrives."""
        start = self.node if self.edge is None else self.edge.target
        if self.above is None:
            return state.gradients[start.id]
        return self.evidence.upstream_along(self.above, state)

    def old(self, state: State, upstream: Any) -> Any:
        """What rightly leaves the place."""
        return upstream if self.position is None else self.evidence.circuit.pull(self.position, state, upstream)

    def rightly(self, number: int) -> Any:
        """What rightly leaves the place at a point in float64, remembered."""
        if number not in self._old:
            state = self.evidence.points[number].state
            self._old[number] = flat(self.old(state, self.upstream(state)))
        return self._old[number]

    def deliver(self, change: Any, state: State) -> Any:
        """What a change of what leaves the place changes in the gradient of the target."""
        if self.below is None:
            return self.evidence.carry(self.node, change, state)
        for position in reversed(self.below):
            change = self.evidence.circuit.pull(position, state, change)
        return change

    def prediction(self, change: Change) -> Callable[[State], Any]:
        """The target's gradient at a state, had the change been made."""

        def predicted(state: State) -> Any:
            upstream = self.upstream(state)
            difference = change(state, upstream) - self.old(state, upstream)
            return state.gradients[self.evidence.target.id] + self.deliver(difference, state)

        return predicted

    def tangent(self, number: int) -> Any:
        """Sensitivity of the target's gradient along a point's direction to what leaves the place."""
        if self.below is None:
            return self.evidence.points[number].tangents[self.node.id]
        return self.evidence.tangent_along(self.below, number)

    def explains(self, change: Change) -> bool:
        """Whether a change gives the claim at the points in float64."""
        for number, point in enumerate(self.evidence.points):
            upstream = self.upstream(point.state)
            with numpy.errstate(all="ignore"):
                difference = flat(change(point.state, upstream)) - self.rightly(number)
            if not point.agrees(float(difference @ self.tangent(number))):
                return False
        return True

    def scaled(self, factor: Callable[[State], Any]) -> Change:
        """The change that puts another factor in place of the local gradient (of 1 at a node)."""
        if self.edge is None:
            return lambda state, upstream: upstream * factor(state)
        shapes = self.evidence.circuit.shapes
        shape, full = shapes[self.edge.source.id], shapes[self.edge.target.id]

        def change(state: State, upstream: Any) -> Any:
            product = upstream * factor(state)
            return summed(numpy.broadcast_to(product, full), shape) if full else product

        return change


def units(evidence: Evidence) -> Iterator[Unit]:
    """Places of mistakes, the likely ones first: all paths at once, then single paths."""
    circuit, target = evidence.circuit, evidence.target
    yield Unit(evidence, target)
    for position in reversed(evidence.edges):
        yield Unit(evidence, circuit.edges[position].source, position)
    for node in reversed(evidence.between):
        if node is not target:
            yield Unit(evidence, node)
    paths = evidence.paths(_PATHS)
    if len(paths) < 2:
        return
    seen: set[Any] = set()
    count = 0
    for path in paths:
        for k, position in enumerate(path):
            above, below = path[k + 1 :], path[:k]
            for up, down in ((above or None, below or None), (above or None, None), (None, below or None)):
                key = (position, up, down)
                if key in seen or count > _UNITS or (up is None and down is None):
                    continue
                seen.add(key)
                count += 1
                yield Unit(evidence, circuit.edges[position].source, position, up, down)
