"""Mistakes with an edge's own factors: its local gradient left out, put in twice, taken elsewhere; no upstream."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.candidates import Candidate, Spot
from graphc.checking.diagnosis.evidence import flat
from graphc.checking.diagnosis.explanation import called, formula_of, local_gradient, step_of, told_gradient
from graphc.checking.diagnosis.factors import Pool, evaluated, forms, neighbourhood
from graphc.checking.diagnosis.units import Unit
from graphc.formula.expression import Expression, symbols
from graphc.graph.node import Node

__all__ = ["Found", "own_mistakes"]

Found = Callable[..., Candidate]

#: Gates whose derivative is often taken on the wrong side.
_ACTIVATIONS = frozenset({"tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "exp", "gelu", "swish", "sin"})


def one(_: State) -> Any:
    """The factor 1."""
    return 1


def own_mistakes(unit: Unit, spot: Spot, found: Found, pool: Pool) -> Iterator[Candidate]:
    """Mistakes with the local gradient of the edge itself."""
    evidence, edge = unit.evidence, unit.edge
    assert edge is not None
    ones = [numpy.ones_like(s) for s in spot.slopes]
    position = unit.position or 0

    def own(state: State) -> Any:
        return evidence.factor(position, state)

    if len({float(v) for s in spot.slopes for v in s}) > 1:  # constants are mistakes of their own kind
        # each: rank, kind, what is said after the local gradient, rows, and the factor that stands there instead
        with numpy.errstate(all="ignore"):
            tried = [
                (1.0, "missing factor", "is missing", ones, one),
                (2.5, "missing factor", "is missing, and the sign is flipped", [-o for o in ones], lambda _: -1),
                (1.2, "extra factor", "is one too many", [s * s for s in spot.slopes],
                 lambda s: own(s) * own(s)),
                (1.4, "inverted factor", "divides where it multiplies", [1 / s for s in spot.slopes],
                 lambda s: 1 / own(s)),
                (2.6, "extra factor", "is one too many, and the sign is flipped", [-s * s for s in spot.slopes],
                 lambda s: -own(s) * own(s)),
            ]  # fmt: skip
        for rank, kind, words, rows, factor in tried:
            if not spot.one(rows):
                continue
            text = f"the local gradient {local_gradient(edge)}{evidence.steps.at(edge.target)} {words}"
            if rank == 1.0 and _is_mask(spot):
                kind = "missing mask"
                text = f"the mask of the gate {edge.target.gate} is missing{evidence.steps.at(edge.target)}: "
                text += f"what flows back to {called(edge.source)} is 0 where {_off(edge)}"
            yield found(rank, kind, text, factor)
    yield from _without_upstream(unit, spot, found)
    yield from _elsewhere(unit, spot, found, pool)


def _is_mask(spot: Spot) -> bool:
    """Whether a local gradient has two values, of which one is zero."""
    numbers = {float(v) for s in spot.slopes for v in s}
    return 0.0 in numbers and len(numbers) == 2


def _off(edge: Edge) -> str:
    gate = edge.target.gate
    if gate == "relu":
        return f"{called(edge.source)} is negative"
    if gate in ("max", "min"):
        return f"{called(edge.source)} does not win"
    return "it lets nothing through"


def _without_upstream(unit: Unit, spot: Spot, found: Found) -> Iterator[Candidate]:
    """The gradient that arrives left out, or multiplied in twice."""
    edge, evidence = unit.edge, unit.evidence
    assert edge is not None
    arriving = [flat(unit.upstream(p.state)) for p in evidence.points]
    if edge.target is evidence.circuit.root or all(numpy.isin(a, (-1, 0, 1)).all() for a in arriving):
        return
    position = unit.position or 0
    own = unit.scaled(functools.partial(evidence.factor, position))

    def without(state: State, upstream: Any) -> Any:
        return own(state, 0 * upstream + 1)

    def twice(state: State) -> Any:
        return evidence.factor(position, state) * unit.upstream(state)

    what = f"the upstream gradient at {called(edge.target)}"
    if edge.target.name is not None and not unit.single:
        what = f"the upstream gradient d{called(evidence.circuit.root)}/d{edge.target.name}"
    if unit.explains(without):
        text = f"{what} is missing: it multiplies the local gradient {local_gradient(edge)}"
        later = found(1.3, "missing upstream", text, one)
        yield replace(later, prediction=unit.prediction(without))
    if spot.one([s * a for s, a in zip(spot.slopes, arriving, strict=True)]):
        yield found(1.4, "extra upstream", f"{what} is one too many: it counts once", twice)


def _elsewhere(unit: Unit, spot: Spot, found: Found, pool: Pool) -> Iterator[Candidate]:
    """The local gradient taken at another node: post- for pre-activation, another time step, another operand."""
    edge, evidence = unit.edge, unit.evidence
    assert edge is not None
    around = neighbourhood(edge)
    shapes = evidence.circuit.shapes
    rank = len(spot.shape)
    whole = [(shown, None) for shown in forms(edge)]
    parts = [(k, f) for k, f in enumerate(pool.factors) if f.kind == "part" and f.position == unit.position]
    one_place = [(f.expression, k) for k, f in parts if f.expression is not None]
    for shown, part in [*whole, *one_place]:
        names = list(symbols(shown))
        if any(n not in around for n in names):
            continue
        for name in names:
            right = around[name]
            stand_ins = evidence.alike(right)
            own = (len(stand_ins), *(1,) * (rank - len(shapes[right.id])), *shapes[right.id])
            rows = []
            for k, point in enumerate(evidence.points):
                values = {n: point.state.values[around[n].id] for n in names}
                values[name] = evidence.values_alike(right, k).reshape(own)
                result = evaluated(shown, values, point.state)
                full = (len(stand_ins), *spot.shape)
                row = numpy.broadcast_to(result, full).reshape(len(stand_ins), -1)
                if part is not None:  # the rest of the local gradient stays as it is
                    with numpy.errstate(all="ignore"):
                        row = row * (spot.slopes[k] / pool.numbers[k][part])
                rows.append(row)
            for hit in spot.hits(rows):
                other = stand_ins[hit]
                if other is right:
                    continue
                value = functools.partial(_with, shown, {n: around[n].id for n in names} | {name: other.id})
                likely, kind, text = _taken(unit, forms(edge)[0] if part is not None else shown, right, other)
                if part is not None:
                    value = functools.partial(_exchanged, evidence, unit.position or 0, pool.factors[part].value, value)
                    text += f" in the factor {pool.factors[part].text}" if pool.factors[part].text else ""
                yield found(likely, kind, text, value, nodes=(right, other))
    for k, part in parts:
        rows = []
        for slope, numbers in zip(spot.slopes, pool.numbers, strict=True):
            with numpy.errstate(all="ignore"):
                rows.append(numbers * (slope / numbers[k]))
        for hit in spot.hits(rows):
            other = pool.factors[hit]
            if other.kind == "slope" or other is part or not other.text:
                continue
            swapped = f"{other.text} stands in place of the factor {part.text}"
            text = f"in the local gradient {local_gradient(edge)}, {swapped}"
            value = functools.partial(_exchanged, evidence, unit.position or 0, part.value, other.value)
            yield found(1.7, "other factor", text, value, nodes=() if other.node is None else (other.node,))


def _exchanged(
    evidence: Any, position: int, part: Callable[[State], Any], other: Callable[[State], Any], state: State
) -> Any:
    return evidence.factor(position, state) / part(state) * other(state)


def _with(expression: Expression, ids: dict[str, int], state: State) -> Any:
    return evaluated(expression, {name: state.values[key] for name, key in ids.items()}, state)


def _taken(unit: Unit, shown: Expression, right: Node, other: Node) -> tuple[float, str, str]:
    """Rank, kind and sentence for a local gradient taken at another node."""
    edge = unit.edge
    assert edge is not None
    gradient = told_gradient(edge, formula_of(shown, (*edge.target.operands, edge.target)))
    swapped = f"in the local gradient {gradient}, {called(other)} stands in place of {called(right)}"
    if edge.target.gate in _ACTIVATIONS and other is edge.target and right is edge.source:
        text = f"the local gradient {gradient} is taken at the output {called(other)}, after the activation"
        return 1.05, "post-activation", f"{text}; it wants the input {called(right)}"
    if edge.target.gate in _ACTIVATIONS and right is edge.target and other is edge.source:
        text = f"the local gradient {gradient} is taken at the input {called(other)}, before the activation"
        return 1.05, "pre-activation", f"{text}; it wants the output {called(right)}"
    own, step = step_of(right), step_of(other)
    if own is not None and step is not None and own[0] == step[0]:
        kind, end = unit.evidence.steps.another()
        return 1.1, kind, swapped + end
    if any(o is other for o in edge.target.operands):
        return 1.3, "other operand", swapped
    if (dropped := _dropped_constant(right, other)) is not None:
        text = f"in the local gradient {gradient}, {dropped} is dropped from {called(right)}"
        return 1.1, "dropped constant", text
    return 1.6, "other value", swapped


def _dropped_constant(right: Node, other: Node) -> str | None:
    """The constant of ``right = other + constant``, if that is so."""
    if right.gate not in ("add", "sub") or all(o is not other for o in right.operands):
        return None
    rest = [o for o in right.operands if o is not other]
    return f"{rest[0].value:g}" if len(rest) == 1 and isinstance(rest[0].value, float) else None
