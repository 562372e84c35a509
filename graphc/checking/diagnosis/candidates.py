"""Mistakes that explain a claim at the points in float64, and what a factor has to do for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.circuit import State
from graphc.checking.diagnosis.evidence import flat
from graphc.checking.diagnosis.explanation import called
from graphc.checking.diagnosis.units import Unit
from graphc.graph.node import Node

__all__ = ["Candidate", "Spot", "on_path_text", "spread"]

#: Relative difference allowed when factors are compared in float64.
CLOSE = 1e-6


@dataclass
class Candidate:
    """A mistake that explains the float64 points, before it is confirmed."""

    rank: float
    kind: str
    text: str
    prediction: Callable[[State], Any]
    edges: tuple[tuple[Node, Node], ...] = ()
    nodes: tuple[Node, ...] = ()


def spread(value: Any, shape: tuple[int, ...]) -> Any:
    """A factor as one row of numbers, one for each element; NaN where it does not fit."""
    try:
        return numpy.broadcast_to(numpy.asarray(value, dtype="float64"), shape).reshape(-1)
    except (ValueError, TypeError, OverflowError):
        return numpy.full(int(numpy.prod(shape)) if shape else 1, numpy.nan)


class Spot:
    """One unit with its numbers: prediction is ``weights . factor``."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self.evidence = unit, unit.evidence
        evidence = unit.evidence
        self.weights, self.slopes = [], []
        node = unit.node if unit.edge is None else unit.edge.target
        self.shape = numpy.shape(evidence.points[0].state.values[node.id])
        for number, point in enumerate(evidence.points):
            tangent = unit.tangent(number)
            if unit.position is None:
                slope = numpy.ones(tangent.shape)
            else:
                places = evidence.map(unit.position)
                assert places is not None
                tangent = tangent[places.reshape(-1)]
                slope = spread(evidence.factor(unit.position, point.state), self.shape)
            self.weights.append(tangent * flat(unit.upstream(point.state)))
            self.slopes.append(slope)
        self.base = [float(w @ s) for w, s in zip(self.weights, self.slopes, strict=True)]

    @property
    def flows_whole(self) -> bool:
        """Whether everything that reaches the target passes here."""
        target = self.evidence.target.id
        return all(
            abs(b - flat(p.state.gradients[target]) @ p.direction) <= 1e-9 * abs(b)
            for b, p in zip(self.base, self.evidence.points, strict=True)
        )

    def hits(self, replacements: Sequence[Any]) -> Any:
        """Which rows of replacement factors, given for each point, explain the claim."""
        ok = None
        with numpy.errstate(all="ignore"):
            for rows, weights, base, point in zip(replacements, self.weights, self.base, self.evidence.points,
                                                  strict=True):  # fmt: skip
                moved = rows @ weights - base
                close = (
                    numpy.abs(moved - point.wanted)
                    <= CLOSE * numpy.maximum(numpy.abs(moved), abs(point.wanted)) + point.slack
                )
                ok = close if ok is None else ok & close
        return numpy.flatnonzero(ok) if ok is not None else []

    def one(self, replacement: Sequence[Any]) -> bool:
        """Whether one replacement factor explains the claim."""
        return bool(len(self.hits([r.reshape(1, -1) for r in replacement])))


def on_path_text(unit: Unit) -> str:
    """Which path is meant, where not all are."""
    if not unit.single:
        return ""
    circuit = unit.evidence.circuit
    nodes = [circuit.edges[p].target for p in (unit.below or ())]
    if unit.position is not None:
        nodes.append(circuit.edges[unit.position].target)
    nodes += [circuit.edges[p].target for p in (unit.above or ())]
    named = [n.label for n in nodes if n.name is not None and n is not circuit.root]
    kept = named or [called(n) for n in nodes if n is not circuit.root] or [called(n) for n in nodes]
    return f", on the path through {', '.join(kept)}"
