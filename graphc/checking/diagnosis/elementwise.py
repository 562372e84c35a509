"""Mistakes in one factor: left out, put in twice, a foreign one, taken at another value, of another sign."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.evidence import Evidence, flat
from graphc.checking.diagnosis.explanation import called, formula_of, local_gradient, step_of, told_gradient
from graphc.checking.diagnosis.factors import Factor, evaluated, factors, forms, neighbourhood
from graphc.checking.diagnosis.units import Unit
from graphc.formula.expression import Expression, symbols, to_text
from graphc.graph.node import Node

__all__ = ["Candidate", "Pool", "factor_mistakes"]

#: Relative difference allowed when factors are compared in float64.
_CLOSE = 1e-6


@dataclass
class Candidate:
    """A mistake that explains the float64 points, before it is confirmed."""

    rank: float
    kind: str
    text: str
    prediction: Callable[[State], Any]
    edges: tuple[tuple[Node, Node], ...] = ()
    nodes: tuple[Node, ...] = ()


class Pool:
    """Factors of one shape with their numbers at the points."""

    def __init__(self, evidence: Evidence, shape: tuple[int, ...]) -> None:
        self.factors = factors(evidence, shape)
        size = int(numpy.prod(shape)) if shape else 1
        self.numbers = [
            numpy.array([_spread(f.value(p.state), shape) for f in self.factors]).reshape(-1, size)
            for p in evidence.points
        ]
        self._pairs: tuple[Any, ...] | None = None

    def pairs(self) -> tuple[Any, Any, Any, Any]:
        """Products of two local gradients or their reciprocals, sorted by magnitude at the first point.

        Only for scalars: magnitudes (sorted), numbers by point, indices of both factors, exponents of both.
        """
        if self._pairs is None:
            usable = [
                k for k, f in enumerate(self.factors)
                if all(numpy.isfinite(n[k, 0]) and n[k, 0] != 0 for n in self.numbers)
            ]  # fmt: skip
            # equal factors once: the first one speaks for all
            unique = list({tuple(float(n[k, 0]) for n in self.numbers): k for k in reversed(usable)}.values())[:60]
            first, second = (i.reshape(-1) for i in numpy.meshgrid(unique, unique, indexing="ij"))
            left, right, signs = [], [], []
            for a, b in ((1, 1), (1, -1), (-1, -1)):
                keep = first != second if (a, b) == (1, -1) else first <= second
                left.append(first[keep])
                right.append(second[keep])
                signs.append(numpy.tile((a, b), (int(keep.sum()), 1)))
            i, j, s = numpy.concatenate(left), numpy.concatenate(right), numpy.concatenate(signs)
            with numpy.errstate(all="ignore"):
                numbers = [n[i, 0] ** s[:, 0] * n[j, 0] ** s[:, 1] for n in self.numbers] if len(i) else []
            order = numpy.argsort(numpy.abs(numbers[0])) if len(i) else numpy.array([], dtype=int)
            self._pairs = (
                numpy.abs(numbers[0])[order] if len(i) else numpy.array([]),
                [n[order] for n in numbers],
                (i[order], j[order]),
                s[order],
            )
        return self._pairs


def _spread(value: Any, shape: tuple[int, ...]) -> Any:
    try:
        return numpy.broadcast_to(numpy.asarray(value, dtype="float64"), shape).reshape(-1)
    except (ValueError, TypeError, OverflowError):
        return numpy.full(int(numpy.prod(shape)) if shape else 1, numpy.nan)


def _whole_flow(base: Sequence[float], evidence: Evidence) -> bool:
    """Whether everything that reaches the target passes a place."""
    return all(
        abs(b - flat(p.state.gradients[evidence.target.id]) @ p.direction) <= 1e-9 * abs(b)
        for b, p in zip(base, evidence.points, strict=True)
    )


class _Place:
    """One unit with its numbers: prediction is ``weights . factor``."""

    def __init__(self, unit: Unit) -> None:
        self.unit, self.evidence = unit, unit.evidence
        evidence = unit.evidence
        self.weights, self.slopes = [], []
        node = unit.node if unit.edge is None else unit.edge.target
        self.shape = numpy.shape(evidence.points[0].state.values[node.id])
        for point in evidence.points:
            tangent = unit.tangent(point)
            if unit.position is None:
                slope = numpy.ones(tangent.shape)
            else:
                places = evidence.map(unit.position)
                assert places is not None
                tangent = tangent[places.reshape(-1)]
                slope = _spread(evidence.factor(unit.position, point.state), self.shape)
            self.weights.append(tangent * flat(unit.upstream(point.state)))
            self.slopes.append(slope)
        self.base = [float(w @ s) for w, s in zip(self.weights, self.slopes, strict=True)]

    def hits(self, replacements: Sequence[Any]) -> Any:
        """Which rows of replacement factors, given for each point, explain the claim."""
        ok = None
        with numpy.errstate(all="ignore"):
            for rows, weights, base, point in zip(replacements, self.weights, self.base, self.evidence.points,
                                                  strict=True):  # fmt: skip
                moved = rows @ weights - base
                close = numpy.abs(moved - point.wanted) <= _CLOSE * numpy.maximum(numpy.abs(moved), abs(point.wanted))
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


def factor_mistakes(
    unit: Unit, pool: Callable[[tuple[int, ...]], Pool], steps: Callable[[Node], str]
) -> Iterator[Candidate]:
    """Mistakes in the factor of a place."""
    evidence, edge = unit.evidence, unit.edge
    if edge is not None:
        slope = evidence.factor(unit.position or 0, evidence.points[0].state)
        if slope is None or evidence.map(unit.position or 0) is None:
            return
    spot = _Place(unit)
    if all(abs(b) < 1e-200 for b in spot.base):
        return
    path = on_path_text(unit)
    later = 1.5 if unit.single else 0.0
    marks = () if edge is None else ((edge.source, edge.target),)

    def found(rank: float, kind: str, text: str, factor: Callable[[State], Any],
              marked: tuple[tuple[Node, Node], ...] = marks, nodes: tuple[Node, ...] = ()) -> Candidate:  # fmt: skip
        if edge is None and not nodes:
            nodes = (unit.node,)
        return Candidate(rank + later, kind, text + path, unit.prediction(unit.scaled(factor)), marked, nodes)

    if edge is not None:
        yield from _own(unit, spot, found, steps)
    flows = _whole_flow(spot.base, evidence)
    if flows and not unit.whole and not spot.shape:
        return  # a factor of the whole gradient, and that is looked at once
    own = _one if edge is None else functools.partial(evidence.factor, unit.position or 0)
    chosen = pool(spot.shape)
    if len(chosen.factors):
        yield from _foreign(unit, spot, chosen, own, found)
    if not spot.shape:
        yield from _two(unit, spot, chosen, own, found)


Found = Callable[..., Candidate]


def _one(_: State) -> Any:
    return 1


def _own(unit: Unit, spot: _Place, found: Found, steps: Callable[[Node], str]) -> Iterator[Candidate]:
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
                yield found(1.0, "missing mask", text, _one)
            else:
                yield found(1.0, "missing factor", f"the local gradient {gradient} is missing", _one)
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
    yield from _elsewhere(unit, spot, found, steps)


def _off(edge: Edge) -> str:
    gate = edge.target.gate
    if gate == "relu":
        return f"{called(edge.source)} is negative"
    if gate in ("max", "min"):
        return f"{called(edge.source)} does not win"
    return "it lets nothing through"


def _elsewhere(unit: Unit, spot: _Place, found: Found, steps: Callable[[Node], str]) -> Iterator[Candidate]:
    """The local gradient taken at another node: post- for pre-activation, another time step, another operand."""
    edge = unit.edge
    assert edge is not None
    around = neighbourhood(edge)
    seen: set[tuple[str, int]] = set()
    for shown in forms(edge):
        names = list(symbols(shown))
        if any(n not in around for n in names):
            continue
        for name in names:
            right = around[name]
            for other in _stand_ins(unit, right, edge, simple=to_text(shown) in (name, f"-{name}")):
                key = (to_text(shown), name, other.id)  # type: ignore[assignment]
                if key in seen:
                    continue
                seen.add(key)  # type: ignore[arg-type]
                ids = {n: around[n].id for n in names} | {name: other.id}
                value = functools.partial(_with, shown, ids)
                rows = [_spread(value(p.state), spot.shape) for p in unit.evidence.points]
                if not spot.one(rows):
                    continue
                yield found(*_taken(edge, shown, right, other), value, nodes=(right, other))


def _with(expression: Expression, ids: dict[str, int], state: State) -> Any:
    return evaluated(expression, {name: state.values[key] for name, key in ids.items()}, state)


def _stand_ins(unit: Unit, right: Node, edge: Edge, simple: bool) -> Iterator[Node]:
    """Nodes that may have been taken for the right one."""
    state = unit.evidence.points[0].state
    shape = numpy.shape(state.values[right.id])
    own = step_of(right)
    beside = {edge.target.id, *(o.id for o in edge.target.operands)}
    for node in unit.evidence.circuit.nodes:
        if node is right or not node.is_float or numpy.shape(state.values[node.id]) != shape:
            continue
        step = step_of(node)
        related = node.id in beside or (own is not None and step is not None and step[0] == own[0])
        if related or (simple and (node.name is not None or node.id in beside)) or node.gate == right.gate != "":
            yield node


def _taken(edge: Edge, shown: Expression, right: Node, other: Node) -> tuple[float, str, str]:
    """Rank, kind and sentence for a local gradient taken at another node."""
    gradient = told_gradient(edge, formula_of(shown, (*edge.target.operands, edge.target)))
    if other is edge.target and right is edge.source:
        return (
            1.05, "post-activation",
            f"the local gradient {gradient} is taken at the output {called(other)}, after the activation; "
            f"it wants the input {called(right)}",
        )  # fmt: skip
    if right is edge.target and other is edge.source:
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


def _foreign(unit: Unit, spot: _Place, pool: Pool, own: Callable[[State], Any], found: Found) -> Iterator[Candidate]:
    """A factor of the circuit missing from, or too many in, a place."""
    multiplied = [rows * slope for rows, slope in zip(pool.numbers, spot.slopes, strict=True)]
    with numpy.errstate(all="ignore"):
        divided = [slope / rows for rows, slope in zip(pool.numbers, spot.slopes, strict=True)]
    for sign, words in ((1, ""), (-1, ", and the sign is flipped")):
        worse = 0.0 if sign > 0 else 1.5
        for k in spot.hits([sign * d for d in divided]):
            factor = pool.factors[k]
            rank, kind, text, marked, nodes = _missing(unit, factor)
            yield found(
                rank + worse, kind, text + words, functools.partial(_quotient, own, factor, sign), marked, nodes
            )
        for k in spot.hits([sign * m for m in multiplied]):
            factor = pool.factors[k]
            rank, kind, text, marked, nodes = _extra(unit, factor)
            yield found(rank + worse, kind, text + words, functools.partial(_product, own, factor, sign), marked, nodes)
    if unit.edge is not None:
        for k in spot.hits(pool.numbers):
            factor = pool.factors[k]
            if factor.position == unit.position and factor.kind == "slope":
                continue
            text = f"{factor.text} stands in place of the local gradient {local_gradient(unit.edge)}"
            rank = {"slope": 1.7, "part": 1.75, "value": 1.6}[factor.kind]
            kind = "part of a factor" if factor.kind == "part" and factor.position == unit.position else "other factor"
            if kind == "part of a factor":
                continue  # said as a missing part
            yield found(rank, kind, text, functools.partial(_product, _one, factor, 1))


def _quotient(own: Callable[[State], Any], factor: Factor, sign: int, state: State) -> Any:
    return sign * own(state) / factor.value(state)


def _product(own: Callable[[State], Any], factor: Factor, sign: int, state: State) -> Any:
    return sign * own(state) * factor.value(state)


Told = tuple[float, str, str, tuple[tuple[Node, Node], ...], tuple[Node, ...]]


def _where(unit: Unit) -> str:
    return "" if unit.whole or unit.edge is not None else f" in the gradient of {called(unit.node)}"


def _part(factor: Factor) -> str:
    return f"the factor {factor.text}" if factor.text else "a factor"


def _missing(unit: Unit, factor: Factor) -> Told:
    evidence = unit.evidence
    if factor.position is None:
        assert factor.node is not None
        return 1.5, "missing factor", f"the factor {factor.text} is missing{_where(unit)}", (), (factor.node,)
    edge = evidence.circuit.edges[factor.position]
    marked = ((edge.source, edge.target),)
    near = factor.position in evidence.edges
    if factor.kind == "part":
        text = f"{_part(factor)} of the local gradient {local_gradient(edge)} is missing"
        return (1.1 if near else 2.4), "missing factor", text, marked, ()
    text = f"the local gradient {local_gradient(edge)} is missing"
    return (1.0 if near else 2.2), "missing factor", text, marked, ()


def _extra(unit: Unit, factor: Factor) -> Told:
    evidence = unit.evidence
    if factor.position is None:
        assert factor.node is not None
        return 1.5, "extra factor", f"the factor {factor.text} is one too many{_where(unit)}", (), (factor.node,)
    edge = evidence.circuit.edges[factor.position]
    marked = ((edge.source, edge.target),)
    near = factor.position in evidence.edges
    if factor.kind == "part":
        text = f"{_part(factor)} of the local gradient {local_gradient(edge)} is one too many"
        return (1.3 if near else 2.5), "extra factor", text, marked, ()
    text = f"the local gradient {local_gradient(edge)} is one too many"
    return (1.2 if near else 2.3), "extra factor", text, marked, ()


def _two(unit: Unit, spot: _Place, pool: Pool, own: Callable[[State], Any], found: Found) -> Iterator[Candidate]:
    """Two factors at once, for scalars."""
    magnitudes, numbers, (first, second), signs = pool.pairs()
    ratios = [1 + p.wanted / b if b else float("nan") for p, b in zip(unit.evidence.points, spot.base, strict=True)]
    if not len(magnitudes) or not all(numpy.isfinite(ratios)) or any(r == 0 for r in ratios):
        return
    low = numpy.searchsorted(magnitudes, abs(ratios[0]) * (1 - _CLOSE))
    high = numpy.searchsorted(magnitudes, abs(ratios[0]) * (1 + _CLOSE))
    for k in range(low, high):
        quotients = [n[k] / r for n, r in zip(numbers, ratios, strict=True)]
        sign = 1 if quotients[0] > 0 else -1
        if any(abs(q * sign - 1) > _CLOSE for q in quotients):
            continue
        a, b = pool.factors[first[k]], pool.factors[second[k]]
        words = []
        for factor, exponent in ((a, signs[k][0]), (b, signs[k][1])):
            told = (_extra if exponent > 0 else _missing)(unit, factor)
            words.append(told)
        text = f"two slips: {words[0][2]}, and {words[1][2]}" + (", and the sign is flipped" if sign < 0 else "")
        if words[0][1] != words[1][1] and a.kind == b.kind == "value":
            extra, missing = (a, b) if signs[k][0] > 0 else (b, a)
            text = f"the factor {extra.text} stands in place of {missing.text}{_where(unit)}"
            if sign < 0:
                text += ", and the sign is flipped"
        rank = 3.0 + sum(w[0] for w in words) / 10 + (0.5 if sign < 0 else 0)
        yield found(
            rank, "two factors" if text.startswith("two") else "other factor", text,
            functools.partial(_both, own, (a, b), tuple(int(s) for s in signs[k]), sign),
            words[0][3] + words[1][3], words[0][4] + words[1][4],
        )  # fmt: skip


def _both(
    own: Callable[[State], Any], pair: tuple[Factor, Factor], exponents: tuple[int, int], sign: int, state: State
) -> Any:
    result = sign * own(state)
    for factor, exponent in zip(pair, exponents, strict=True):
        result = result * factor.value(state) if exponent > 0 else result / factor.value(state)
    return result
