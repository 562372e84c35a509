"""Factors of the circuit missing from, or too many in, a place, alone or two at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from graphc.checking.circuit import State
from graphc.checking.diagnosis.candidates import CLOSE, Candidate, Spot, on_path_text
from graphc.checking.diagnosis.explanation import called, local_gradient
from graphc.checking.diagnosis.factors import Factor, Pool, forms
from graphc.checking.diagnosis.own import Found, one, own_mistakes
from graphc.checking.diagnosis.units import Unit
from graphc.formula.expression import Symbol
from graphc.graph.node import Node

__all__ = ["factor_mistakes"]

#: Factors times elements beyond which no pairs are compared.
_LARGEST = 4000


def factor_mistakes(unit: Unit, pool: Callable[[tuple[int, ...]], Pool]) -> Iterator[Candidate]:
    """Mistakes in the factor of a place."""
    evidence, edge = unit.evidence, unit.edge
    if edge is not None:
        slope = evidence.factor(unit.position or 0, evidence.points[0].state)
        if slope is None or evidence.map(unit.position or 0) is None:
            return
    spot = Spot(unit)
    if all(abs(b) < 1e-200 for b in spot.base):
        return
    path = on_path_text(unit)
    later = 1.5 if unit.single else 0.0
    marks = () if edge is None else ((edge.source, edge.target),)

    def found(rank: float, kind: str, text: str, factor: Callable[[State], Any],
              marked: tuple[tuple[Node, Node], ...] = marks, nodes: tuple[Node, ...] = ()) -> Candidate:  # fmt: skip
        if edge is None and not nodes and not marked:
            nodes = (unit.node,)
        return Candidate(rank + later, kind, text + path, unit.prediction(unit.scaled(factor)), marked, nodes)

    chosen = pool(spot.shape)
    if edge is not None:
        yield from own_mistakes(unit, spot, found, chosen)
    if spot.flows_whole and not unit.whole and not spot.shape:
        return  # a factor of the whole gradient, and that is looked at once
    own = one if edge is None else functools.partial(evidence.factor, unit.position or 0)
    if chosen.factors:
        yield from _foreign(unit, spot, chosen, own, found)
        if not spot.shape:
            yield from _two(unit, spot, chosen, own, found)
        elif edge is None:
            yield from _exchanges(unit, spot, chosen, found)


def _foreign(unit: Unit, spot: Spot, pool: Pool, own: Callable[[State], Any], found: Found) -> Iterator[Candidate]:
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
            if factor.position == unit.position or not factor.text:
                continue  # said as a missing part
            shown = forms(unit.edge)
            if factor.kind == "value" and shown and isinstance(shown[0], Symbol):
                continue  # said as a value in place of another
            text = f"{factor.text} stands in place of the local gradient {local_gradient(unit.edge)}"
            nodes = () if factor.node is None else (factor.node,)
            value = functools.partial(_product, one, factor, 1)
            yield found(1.75 if factor.kind == "part" else 1.7, "other factor", text, value, nodes=nodes)


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
        text = (
            f"{_part(factor)} of the local gradient {local_gradient(edge)}{evidence.steps.at(edge.target)} is missing"
        )
        return (1.1 if near else 2.4), "missing factor", text, marked, ()
    text = f"the local gradient {local_gradient(edge)}{evidence.steps.at(edge.target)} is missing"
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
        gradient = local_gradient(edge) + evidence.steps.at(edge.target)
        text = f"{_part(factor)} of the local gradient {gradient} is one too many"
        return (1.3 if near else 2.5), "extra factor", text, marked, ()
    text = f"the local gradient {local_gradient(edge)}{evidence.steps.at(edge.target)} is one too many"
    return (1.2 if near else 2.3), "extra factor", text, marked, ()


def _two(unit: Unit, spot: Spot, pool: Pool, own: Callable[[State], Any], found: Found) -> Iterator[Candidate]:
    """Two factors at once, for scalars: one in place of another, or two forgotten."""
    magnitudes, numbers, (first, second), signs = pool.pairs()
    ratios = [1 + p.wanted / b if b else float("nan") for p, b in zip(unit.evidence.points, spot.base, strict=True)]
    if not len(magnitudes) or not all(numpy.isfinite(ratios)) or any(r == 0 for r in ratios):
        return
    low = numpy.searchsorted(magnitudes, abs(ratios[0]) * (1 - CLOSE))
    high = numpy.searchsorted(magnitudes, abs(ratios[0]) * (1 + CLOSE))
    for k in range(low, high):
        if any(abs(n[k] / r - 1) > CLOSE for n, r in zip(numbers, ratios, strict=True)):
            continue
        pair = pool.factors[first[k]], pool.factors[second[k]]
        exponents = int(signs[k][0]), int(signs[k][1])
        value = functools.partial(_both, own, pair, exponents)
        if exponents[0] != exponents[1]:
            extra, missing = (pool.equal(int(i[k])) for i in ((first, second) if exponents[0] > 0 else (second, first)))
            told = _exchange(unit, extra, missing)
            if told is not None:
                yield found(*told[:3], value, *told[3:])
            continue
        if unit.single or any(f.position not in unit.evidence.edges for f in pair if f.position is not None):
            continue
        words = [(_extra if exponents[0] > 0 else _missing)(unit, factor) for factor in pair]
        text = f"two slips: {words[0][2]}, and {words[1][2]}"
        rank = 3.0 + sum(w[0] for w in words) / 10
        yield found(rank, "two factors", text, value, words[0][3] + words[1][3], words[0][4] + words[1][4])


def _exchanges(unit: Unit, spot: Spot, pool: Pool, found: Found) -> Iterator[Candidate]:
    """One factor in place of another, for arrays."""
    chosen = [k for k, f in enumerate(pool.factors) if all(numpy.isfinite(n[k]).all() for n in pool.numbers)]
    if len(chosen) * spot.weights[0].size > _LARGEST:
        return
    values = [k for k in chosen if pool.factors[k].kind == "value"]
    with numpy.errstate(all="ignore"):
        quotients = [numbers[values, None] / numbers[None, chosen] for numbers in pool.numbers]
        size = quotients[0].shape[-1]
        hits = spot.hits([q.reshape(-1, size) for q in quotients])
    for hit in hits:
        extra, missing = pool.factors[values[hit // len(chosen)]], pool.factors[chosen[hit % len(chosen)]]
        told = _exchange(unit, [extra], [missing])
        if told is not None:
            value = functools.partial(_both, one, (extra, missing), (1, -1))
            yield found(*told[:3], value, *told[3:])


def _exchange(unit: Unit, extras: Sequence[Factor], missing: Sequence[Factor]) -> Told | None:
    """One factor in place of another that belongs there; each by the name that says most."""
    edges = unit.evidence.edges
    extra = next((f for f in extras if f.kind == "value"), None)
    absent = next((f for f in missing if f.position in edges and f.text), None)
    absent = absent or next((f for f in missing if f.kind == "value"), None)
    if extra is None or extra.node is None or absent is None:
        return None
    if absent.position is None:
        assert absent.node is not None
        quotient = (
            f"({extra.text}) / ({absent.text})" if " " in extra.text + absent.text else f"{extra.text}/{absent.text}"
        )
        text = f"the factor {quotient} is one too many{_where(unit)}: one stands in place of the other"
        return 1.9, "other value", text, (), (extra.node, absent.node)
    edge = unit.evidence.circuit.edges[absent.position]
    what = f"the factor {absent.text} of " if absent.kind == "part" else ""
    text = f"{extra.text} stands in place of {what}the local gradient {local_gradient(edge)}"
    return 1.9, "other factor", text, ((edge.source, edge.target),), (extra.node,)


def _both(own: Callable[[State], Any], pair: tuple[Factor, Factor], exponents: tuple[int, int], state: State) -> Any:
    result = own(state)
    for factor, exponent in zip(pair, exponents, strict=True):
        result = result * factor.value(state) if exponent > 0 else result / factor.value(state)
    return result
