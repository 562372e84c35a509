"""The same mistake at every time step, and constants that were dropped from the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.candidates import Candidate
from graphc.checking.diagnosis.evidence import Evidence
from graphc.checking.diagnosis.explanation import called, local_gradient, step_of
from graphc.checking.diagnosis.units import Unit

__all__ = ["every_step"]

Change = Callable[[State, Any], Any]


def every_step(evidence: Evidence) -> Iterator[Candidate]:
    """One mistake made at all copies of a gate."""
    circuit = evidence.circuit
    for positions in evidence.steps.families(evidence.edges):
        edges = [circuit.edges[p] for p in positions]
        first = edges[-1]
        gradient = f"{local_gradient(first)}, and its like at the other time steps,"
        marks = tuple((e.source, e.target) for e in edges)
        for rank, kind, text, changes in _changes(evidence, positions, gradient):
            prediction = functools.partial(_swept, evidence, changes)
            if evidence.explains(prediction):
                yield Candidate(rank, kind, text, prediction, marks)


def _swept(evidence: Evidence, changes: dict[int, Change], state: State) -> Any:
    root = evidence.circuit.root.id
    swept = evidence.sweep({root: state.gradients[root]}, state, changes)
    return swept.get(evidence.target.id, 0 * state.gradients[evidence.target.id])


def _changes(
    evidence: Evidence, positions: Sequence[int], gradient: str
) -> Iterator[tuple[float, str, str, dict[int, Change]]]:
    circuit = evidence.circuit
    state = evidence.points[0].state
    slopes = [evidence.factor(p, state) for p in positions]
    places = {p: Unit(evidence, circuit.edges[p].source, p) for p in positions}
    elementwise = all(s is not None for s in slopes)
    if elementwise and not all(numpy.all(numpy.asarray(s, dtype="float64") == 1) for s in slopes):
        left_out = {p: places[p].scaled(lambda _: 1) for p in positions}
        yield 1.2, "missing factor", f"the local gradient {gradient} is missing", left_out
        squared = {p: places[p].scaled(functools.partial(_squared, evidence, p)) for p in positions}
        yield 1.4, "extra factor", f"the local gradient {gradient} is one too many", squared
    steps_apart = [p for p in positions if _recurrent(circuit.edges[p])]
    if steps_apart:
        last = circuit.edges[steps_apart[-1]]
        text = "the gradient is cut off between time steps: nothing flows back from "
        text += f"{called(last.target)} to {called(last.source)} and so on"
        yield 1.2, "missing step", text, dict.fromkeys(steps_apart, _nothing)
    yield 1.5, "missing path", f"nothing flows back along {gradient}".rstrip(","), dict.fromkeys(positions, _nothing)
    flipped = {p: functools.partial(_negated, evidence, p) for p in positions}
    yield 1.4, "sign", f"the sign of {gradient} is flipped", flipped
    yield from _shifted(evidence, positions, gradient)


def _squared(evidence: Evidence, position: int, state: State) -> Any:
    return evidence.factor(position, state) ** 2


def _nothing(_: State, upstream: Any) -> Any:
    del upstream
    return 0


def _negated(evidence: Evidence, position: int, state: State, upstream: Any) -> Any:
    return -evidence.circuit.pull(position, state, upstream)


def _recurrent(edge: Edge) -> bool:
    """Whether an edge leads from one time step to the next."""
    before, after = step_of(edge.source), step_of(edge.target)
    return before is not None and after is not None and before[1] != after[1]


def _shifted(
    evidence: Evidence, positions: Sequence[int], gradient: str
) -> Iterator[tuple[float, str, str, dict[int, Change]]]:
    """Operands of the neighbouring step at every step."""
    circuit = evidence.circuit
    numbered = {step: node for node in circuit.nodes if (step := step_of(node)) is not None}
    first = circuit.edges[positions[0]]
    for k in range(len(first.target.operands)):
        for shift in (1, -1):
            changes: dict[int, Change] = {}
            text = ""
            for position in positions:
                edge = circuit.edges[position]
                if k >= len(edge.target.operands) or k == edge.k:
                    continue
                right = edge.target.operands[k]
                step = step_of(right)
                other = None if step is None else numbered.get((step[0], step[1] + shift))
                if other is None:
                    continue
                changes[position] = functools.partial(_with_other, evidence, position, right.id, other.id)
                text = f"{called(other)} stands in place of {called(right)}"
            if len(changes) > 1:
                yield (
                    1.15,
                    "other step",
                    f"in the local gradient {gradient} {text}{evidence.steps.another()[1]}",
                    changes,
                )


def _with_other(evidence: Evidence, position: int, right: int, other: int, state: State, upstream: Any) -> Any:
    changed = replace(state, values={**state.values, right: state.values[other]})
    return evidence.circuit.pull(position, changed, upstream)
