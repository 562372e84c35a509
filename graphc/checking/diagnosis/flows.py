"""What flows back too little, too often or with the wrong sign: missing paths, time steps, detached nodes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.candidates import Candidate, on_path_text
from graphc.checking.diagnosis.evidence import Evidence, flat
from graphc.checking.diagnosis.explanation import called, joined, named_constant
from graphc.checking.diagnosis.recurrence import Steps
from graphc.checking.diagnosis.units import Unit
from graphc.graph.node import Node

__all__ = ["detached", "missing_uses", "scaled_flows"]

#: Uses of a node of which every subset is tried; beyond it single ones and runs at the ends; more
#: uses than the second number are left alone.
_SUBSETS, _MOST = 7, 64


def _use(edge: Edge, steps: Steps) -> str:
    gate = steps.behind(edge.target)
    position = f" as operand {edge.k}" if edge.target.operands.count(edge.source) > 1 else ""
    kind = f" ({gate.gate})" if gate.name is not None else ""
    return f"{called(gate)}{kind}{position}"


def missing_uses(evidence: Evidence, steps: Steps) -> Iterator[Candidate]:
    """Some of the uses of the target do not count."""
    circuit, target = evidence.circuit, evidence.target
    uses = evidence.uses()
    if not 2 <= len(uses) <= _MOST:
        return
    parts = []
    for point in evidence.points:
        pulled = [circuit.pull(p, point.state, point.state.gradients[circuit.edges[p].target.id]) for p in uses]
        parts.append([float(flat(part) @ point.direction) for part in pulled])
    size_found = None
    for missing in _subsets(len(uses)):
        if size_found is not None and len(missing) > size_found:
            break
        if not evidence.agrees([-sum(row[k] for k in missing) for row in parts]):
            continue
        size_found = len(missing)
        left = [uses[k] for k in range(len(uses)) if k not in missing]

        def prediction(state: State, left: Sequence[int] = left) -> Any:
            return sum(
                (circuit.pull(p, state, state.gradients[circuit.edges[p].target.id]) for p in left),
                start=0 * state.gradients[target.id],
            )

        gone = [circuit.edges[uses[k]] for k in missing]
        text = missing_text(target, gone, len(uses), steps)
        rank = 0.95 if len(missing) < 2 or _kind(gone, steps) == "missing step" else 1.15
        yield Candidate(rank, _kind(gone, steps), text, prediction, tuple((e.source, e.target) for e in gone))


def _kind(gone: Sequence[Edge], steps: Steps) -> str:
    return "missing step" if all(e.target.id in steps.found for e in gone) else "missing path"


def missing_text(node: Node, gone: Sequence[Edge], count: int, steps: Steps) -> str:
    """Which uses of a node are not counted."""
    text = (
        f"a path is missing: {called(node)} is used {count} times and the gradients add up; "
        f"not counted is the use in {', '.join(dict.fromkeys(_use(e, steps) for e in gone))}"
    )
    if all(e.target.id in steps.found for e in gone):
        numbers = sorted({steps.found[e.target.id][1] for e in gone})
        text += f", that is, time step{'s' if len(numbers) > 1 else ''} {joined(map(str, numbers))}"
    return text


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    if count <= _SUBSETS:
        for size in range(1, count):
            yield from itertools.combinations(range(count), size)
        return
    yield from ((k,) for k in range(count))
    for size in range(2, count):
        yield tuple(range(size))
        yield tuple(range(count - size, count))


def scaled_flows(places: Iterable[Unit], sizes: Mapping[str, int], steps: Steps) -> Iterator[Candidate]:
    """What flows through a place is left out, counted twice, or has another sign."""
    known: list[tuple[float, ...]] = []
    for unit in places:
        evidence = unit.evidence
        if unit.whole:
            continue
        base = [float(unit.rightly(k) @ unit.tangent(k)) for k in range(len(evidence.points))]
        if not all(numpy.isfinite(base)) or sum(b != 0 for b in base) < 2:
            continue
        total = [float(flat(p.state.gradients[evidence.target.id]) @ p.direction) for p in evidence.points]
        if numpy.allclose(base, total, 1e-9, 0):
            continue  # everything flows here: a constant of the whole gradient
        if any(b == 0 and p.wanted != 0 for p, b in zip(evidence.points, base, strict=True)):
            continue  # nothing flows here, and yet the claim is wrong
        ratios = [1 + p.wanted / b for p, b in zip(evidence.points, base, strict=True) if b != 0]
        if not numpy.allclose(ratios, ratios[0], 1e-6, 1e-7):
            continue
        ratio = float(numpy.mean(ratios))
        simple = _simple(ratio, sizes)
        if simple is None:
            continue
        if any(numpy.allclose(base, other, 1e-9, 0) for other in known):
            continue  # another place on the same stretch of path
        if not unit.single and unit.edge is not None and not _forks(unit):
            rank = 0.1
        else:
            rank = 0.0
            known.append(tuple(base))
        yield _scaled(unit, ratio, simple, rank, steps)


def _forks(unit: Unit) -> bool:
    """Whether the operand of a unit's edge is used more than once on the way to the root."""
    evidence = unit.evidence
    return sum(evidence.circuit.edges[p].source is unit.node for p in evidence.edges) > 1


def _simple(ratio: float, sizes: Mapping[str, int]) -> Any:
    """An exact constant near a ratio, with its name; None if there is none that mistakes are made of."""
    import mpmath

    if abs(ratio) < 1e-6:
        return mpmath.mpf(0), "0"
    words = named_constant([mpmath.mpf(ratio)], dict(sizes), 5)
    if words is None:
        return None
    value = words.split(" ")[0]
    minus, value = (-1, value[1:]) if value.startswith("-") else (1, value)
    with mpmath.workdps(60):
        known = {"ln(10)": mpmath.log(10), "ln(2)": mpmath.log(2), "pi": +mpmath.mp.pi, "sqrt(2)": mpmath.sqrt(2)}
        top, _, bottom = value.partition("/")
        number = (known.get(top) or mpmath.mpf(top)) / (known.get(bottom) or mpmath.mpf(bottom or 1))
    if not any(c.isalpha() for c in value) and max(int(v) for v in value.split("/")) > 100:
        return None
    return minus * number, words


def _scaled(unit: Unit, ratio: float, simple: Any, worse: float, steps: Steps) -> Candidate:
    evidence, edge = unit.evidence, unit.edge
    constant, words = simple
    path = on_path_text(unit)
    marks = () if edge is None else ((edge.source, edge.target),)
    nodes = (unit.node,) if edge is None else ()

    def change(state: State, upstream: Any) -> Any:
        return unit.old(state, upstream) * state.numbers.number(constant)

    later = 1.5 if unit.single else 0.0
    through = f"through {called(unit.node)}" if edge is None else f"{called(edge.target)} to {called(edge.source)}"
    if ratio == 0 or abs(ratio) < 1e-6:
        if edge is None:
            kind, text = "detached", f"nothing flows back {through}: {called(unit.node)} is treated as a constant"
            rank = 0.98
        elif unit.single:
            kind, text, rank = "missing path", f"a path is missing: the one{path[len(', on the path') :]}", 0.0
            path = ""
        elif _forks(unit):
            count = sum(evidence.circuit.edges[p].source is unit.node for p in evidence.edges)
            kind, text, rank = _kind([edge], steps), missing_text(unit.node, [edge], count, steps), 0.95
        else:
            kind, text, rank = "missing path", f"a path is missing: nothing flows back from {through}", 0.97
    elif constant == -1:
        kind, text, rank = "sign", f"the sign of what flows back from {through} is flipped", 1.05
        if edge is None:
            text = f"the sign of what flows back {through} is flipped"
    else:
        often = "twice" if constant == 2 else f"{words} times"
        what = f"what flows back {through}" if edge is None else f"what flows back from {through}"
        kind, text, rank = "constant factor", f"{what} is counted {often}", 1.3
    return Candidate(rank + worse + later, kind, text + path, unit.prediction(change), marks, nodes)


def detached(evidence: Evidence) -> Iterator[Candidate]:
    """Two nodes at once are treated as constants: the mean and the variance of a batch."""
    circuit = evidence.circuit
    reducing = [
        node
        for node in evidence.between
        if node is not evidence.target
        and node is not circuit.root
        and any(
            numpy.size(evidence.points[0].state.values[circuit.edges[p].source.id])
            > numpy.size(evidence.points[0].state.values[node.id])
            for p in evidence.into.get(node.id, ())
        )
    ][:10]
    for pair in itertools.combinations(reducing, 2):
        ids = frozenset(n.id for n in pair)

        def prediction(state: State, ids: frozenset[int] = ids) -> Any:
            seed = {circuit.root.id: state.gradients[circuit.root.id]}
            return evidence.sweep(seed, state, zeroed=ids).get(
                evidence.target.id, 0 * state.gradients[evidence.target.id]
            )

        if evidence.explains(prediction):
            text = f"{called(pair[0])} and {called(pair[1])} are treated as constants: nothing flows back through them"
            yield Candidate(1.4, "detached", text, prediction, (), pair)
