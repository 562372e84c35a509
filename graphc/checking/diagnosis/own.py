"""Mistakes with an edge's own factors: its local gradient left out, put in twice, taken elsewhere; its upstream left out."""

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


def own_mistakes(unit: Unit, spot: Spot, found: Found, pool: Pool, steps: Callable[[Node], str]) -> Iterator[Candidate]:
    """Mistakes with the local gradient of the edge itself."""
    evidence, edge = unit.evidence, unit.edge
    assert edge is not None
    ones = [numpy.ones_like(s) for s in spot.slopes]
    position = unit.position or 0

    def own(state: State) -> Any:
        return evidence.factor(position, state)

    gradient = local_gradient(edge) + steps(edge.target)
    numbers = {float(v) for s in spot.slopes for v in s}
    if len(numbers) > 1:
        mask = 0.0 in numbers and len(numbers) == 2
        if spot.one(ones):
            if mask:
                text = (
                    f"the mask of the gate {edge.target.gate} is missing{steps(edge.target)}: what flows back "
                    f"to {called(edge.source)} is 0 where {_off(edge)}"
                )
                yield found(1.0, "missing mask", text, one)
            else:
                yield found(1.0, "missing factor", f"the local gradient {gradient} is missing", one)
        if spot.one([-o for o in ones]):
            text = f"the local gradient {gradient} is missing, and the sign is flipped"
            yield found(2.5, "missing factor", text, lambda _: -1)
        if spot.one([s * s for s in spot.slopes]):
            text = f"the local gradient {gradient} is one too many: it counts once"
            yield found(1.2, "extra factor", text, lambda s: own(s) * own(s))
        with numpy.errstate(all="ignore"):
            inverse = [1 / s for s in spot.slopes]
        if spot.one(inverse):
            text = f"the local gradient {gradient} divides where it multiplies"
            yield found(1.4, "inverted factor", text, lambda s: 1 / own(s))
        if spot.one([-s * s for s in spot.slopes]):
            text = f"the local gradient {gradient} is one too many, and the sign is flipped"
            yield found(2.6, "extra factor", text, lambda s: -own(s) * own(s))
    yield from _without_upstream(unit, spot, found)
    yield from _elsewhere(unit, spot, found, pool)


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
    if edge.target is evidence.circuit.root or all(numpy.all(a == 1) for a in arriving):
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
                likely, kind, text = _taken(edge, forms(edge)[0] if part is not None else shown, right, other)
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
            text = (
                f"in the local gradient {local_gradient(edge)}, {other.text} stands in place of the factor {part.text}"
            )
            value = functools.partial(_exchanged, evidence, unit.position or 0, part.value, other.value)
            yield found(1.7, "other factor", text, value, nodes=() if other.node is None else (other.node,))


def _exchanged(
    evidence: Any, position: int, part: Callable[[State], Any], other: Callable[[State], Any], state: State
) -> Any:
    return evidence.factor(position, state) / part(state) * other(state)


def _with(expression: Expression, ids: dict[str, int], state: State) -> Any:
    return evaluated(expression, {name: state.values[key] for name, key in ids.items()}, state)


def _taken(edge: Edge, shown: Expression, right: Node, other: Node) -> tuple[float, str, str]:
    """Rank, kind and sentence for a local gradient taken at another node."""
    gradient = told_gradient(edge, formula_of(shown, (*edge.target.operands, edge.target)))
    activation = edge.target.gate in _ACTIVATIONS
    if activation and other is edge.target and right is edge.source:
        return (
            1.05, "post-activation",
            f"the local gradient {gradient} is taken at the output {called(other)}, after the activation; "
            f"it wants the input {called(right)}",
        )  # fmt: skip
    if activation and right is edge.target and other is edge.source:
        return (
            1.05, "pre-activation",
            f"the local gradient {gradient} is taken at the input {called(other)}, before the activation; "
            f"it wants the output {called(right)}",
        )  # fmt: skip
    own, step = step_of(right), step_of(other)
    if own is not None and step is not None and own[0] == step[0]:
        return (
            1.1, "other step",
            f"in the local gradient {gradient}, {called(other)} stands in place of {called(right)}: another time step",
        )  # fmt: skip
    if other.label in {n.label for n in edge.target.operands} and other.kind != "constant":
        return (
            1.3,
            "other operand",
            f"in the local gradient {gradient}, {called(other)} stands in place of {called(right)}",
        )
    if (dropped := _dropped_constant(right, other)) is not None:
        text = f"in the local gradient {gradient}, {dropped} is dropped from {called(right)}"
        return 1.1, "dropped constant", text
    return 1.6, "other value", f"in the local gradient {gradient}, {called(other)} stands in place of {called(right)}"


def _dropped_constant(right: Node, other: Node) -> str | None:
    """The constant of ``right = other + constant``, if that is so."""
    if right.gate not in ("add", "sub") or all(o is not other for o in right.operands):
        return None
    rest = [o for o in right.operands if o is not other]
    return f"{rest[0].value:g}" if len(rest) == 1 and isinstance(rest[0].value, float) else None
