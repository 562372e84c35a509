"""What is wrong with a wrong claim: a diagnosis is a hypothesis about the student's reverse sweep.

The sweep is run again with one change (an edge left out, a local gradient forgotten or taken elsewhere, an operand
transposed, an axis not summed over), and its result compared with the claim: in float64 at a few points first, then
with all digits. What is said is therefore true of the numbers; where nothing fits, nothing is said.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, State
from graphc.checking.diagnosis.candidates import Candidate
from graphc.checking.diagnosis.evidence import Evidence, same
from graphc.checking.diagnosis.explanation import Diagnosis, Explanation, called
from graphc.checking.diagnosis.factors import Pool
from graphc.checking.diagnosis.flows import detached, missing_uses, scaled_flows
from graphc.checking.diagnosis.foreign import factor_mistakes
from graphc.checking.diagnosis.gates import gate_mistakes
from graphc.checking.diagnosis.rebuilt import dropped_constants, opened_gates
from graphc.checking.diagnosis.steps import every_step
from graphc.checking.diagnosis.units import Unit, units
from graphc.checking.diagnosis.whole import constants, gradients_of_others, rearranged, shape_mistake
from graphc.graph.node import Node

__all__ = ["Diagnosis", "Explanation", "diagnose"]

#: Fewest samples that say something.
_FEWEST = 3

#: Ranks below the first are single mistakes on the way from the target to the root, from the second on two mistakes.
_SINGLE, _DOUBLE = 2.0, 3.0

#: Explanations that are confirmed at most, and the time in seconds after which the search goes no further.
_KEPT, _SECONDS = 8, 0.5


def diagnose(circuit: Circuit, target: Node, samples: Sequence[tuple[State, Any]], names: Sequence[str]) -> Diagnosis:
    """Say how a wrong claim for ``target`` follows from the right gradient.

    Parameters
    ----------
    samples : sequence of (State, value of the claim)
        Random points; fewer than three say nothing.
    names : sequence of str
        Names whose gradients the claim may have been mistaken for.

    Returns
    -------
    Diagnosis
        Explanations, best first; none where the cause is not known.
    """
    import mpmath

    if len(samples) < _FEWEST and circuit.leaves:
        return Diagnosis()
    with mpmath.workdps(60), numpy.errstate(all="ignore"):
        found = _diagnosed(circuit, target, samples, names)
        if not found or min(e.rank for e in found) >= _SINGLE:
            found += _inside(circuit, target, samples, names)
        return _ordered(found)


def _ordered(found: Sequence[Explanation]) -> Diagnosis:
    by_text: dict[str, Explanation] = {}
    best = min((e.rank for e in found), default=0.0)
    for explanation in sorted(found, key=lambda e: e.rank):
        if explanation.rank < _DOUBLE or best >= _SINGLE:  # what one slip explains needs no two
            by_text.setdefault(explanation.text, explanation)
    return Diagnosis(tuple(by_text.values())[:_KEPT])


def _diagnosed(
    circuit: Circuit, target: Node, samples: Sequence[tuple[State, Any]], names: Sequence[str]
) -> list[Explanation]:
    sizes: Mapping[str, int] = getattr(circuit, "sizes", {})
    correct = [state.gradients[target.id] for state, _ in samples]
    claimed = [value for _, value in samples]
    nodes = (target,)
    if any(numpy.shape(c) != numpy.shape(r) for c, r in zip(claimed, correct, strict=True)):
        return shape_mistake(circuit, target, samples, sizes)
    digits = 40 if numpy.asarray(claimed[0]).dtype == object else 9
    if all(same(c, r, digits) for c, r in zip(claimed, correct, strict=True)):
        if not circuit.kinked:
            return []  # the claim has no value somewhere, or differs in digits that were not compared
        return [Explanation("kink", "only the value on a kink is wrong", (), nodes, True, 0.0)]
    zero = [not numpy.any(numpy.asarray(c) != 0) for c in claimed]
    if all(zero):
        text = f"the claim is zero, but {called(target)} reaches {called(circuit.root)}"
        return [Explanation("zero", text, (), nodes, True, 0.0)]
    if all(not numpy.any(numpy.asarray(r) != 0) for r in correct):
        text = f"the gradient is zero: nothing flows from {called(circuit.root)} to {called(target)}"
        return [Explanation("zero", text, (), nodes, True, 0.0)]
    deadline = time.perf_counter() + _SECONDS
    evidence = Evidence(circuit, target, samples)
    found = [*constants(evidence, sizes)]
    if any(e.rank < 0.9 for e in found):
        return found
    found += gradients_of_others(evidence, names)
    for stage in _stages(evidence, sizes, deadline):
        candidates = list(stage)
        found += _confirmed(evidence, candidates, deadline)
        if (found and min(e.rank for e in found) < _SINGLE) or time.perf_counter() > deadline:
            break
    if not found or min(e.rank for e in found) >= _SINGLE:
        found += dropped_constants(evidence)
    return found


def _inside(
    circuit: Circuit, target: Node, samples: Sequence[tuple[State, Any]], names: Sequence[str]
) -> list[Explanation]:
    """Single mistakes inside of gates of several lines."""
    made = opened_gates(circuit, target, samples)
    if made is None:
        return []
    other, standing, again = made
    if len(again) < _FEWEST:
        return []
    return [e for e in _diagnosed(other, standing, again, names) if e.rank < _SINGLE]


def _stages(evidence: Evidence, sizes: Mapping[str, int], deadline: float) -> Iterator[Iterator[Candidate]]:
    """Searches, the likeliest mistakes first."""
    numbered = evidence.steps
    pools: dict[tuple[int, ...], Pool] = {}

    def pool(shape: tuple[int, ...]) -> Pool:
        if shape not in pools:
            pools[shape] = Pool(evidence, shape)
        return pools[shape]

    def in_time(places: Sequence[Unit]) -> Iterator[Unit]:
        return itertools.takewhile(lambda _: time.perf_counter() < deadline, places)

    everywhere = list(units(evidence))
    general = [unit for unit in everywhere if not unit.single]
    # edges that leave a fork first: they name a missing path best
    forks = sorted(general, key=lambda unit: unit.edge is None)
    single = [unit for unit in everywhere if unit.single]

    def first() -> Iterator[Candidate]:
        yield from rearranged(evidence)
        yield from missing_uses(evidence, numbered)
        yield from scaled_flows(in_time(forks), sizes, numbered)
        for unit in in_time(general):
            yield from factor_mistakes(unit, pool)
            yield from gate_mistakes(unit)

    def second() -> Iterator[Candidate]:
        yield from every_step(evidence)
        yield from detached(evidence)

    def third() -> Iterator[Candidate]:
        yield from scaled_flows(in_time(single), sizes, numbered)
        for unit in in_time(single):
            yield from factor_mistakes(unit, pool)
            yield from gate_mistakes(unit)

    yield first()
    yield second()
    yield third()


def _confirmed(evidence: Evidence, candidates: Sequence[Candidate], deadline: float) -> list[Explanation]:
    """Candidates that hold with all digits, best first."""
    found: list[Explanation] = []
    texts: set[str] = set()
    for candidate in sorted(candidates, key=lambda c: c.rank):
        late = time.perf_counter() > deadline
        if candidate.text in texts or len(found) >= _KEPT or (late and found):
            continue
        if evidence.confirmed(candidate.prediction):
            texts.add(candidate.text)
            found.append(
                Explanation(candidate.kind, candidate.text, candidate.edges, candidate.nodes, True, candidate.rank)
            )
    return found
