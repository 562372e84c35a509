"""Points on kinks and close to them: where a maximum has two winners, and a claim may have taken the wrong side."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, kinks
from graphc.checking.claims import Claim
from graphc.checking.compare import DIGITS
from graphc.checking.numbers import Numbers, double, exact
from graphc.checking.precise import OutsideDomain
from graphc.checking.sampling import Point, Sampler, with_entry
from graphc.checking.statements import Step
from graphc.formula.expression import Expression, evaluate
from graphc.graph.node import Node

__all__ = ["Kinks"]

#: Entries of leaves that are tried to meet a kink.
_ENTRIES = 24


#: From values of nodes and tensors inside of gates to what vanishes on a kink, and the entries to look at.
_Source = Callable[[Mapping[int, Any], Mapping[int, Mapping[str, Any]], Numbers], "tuple[Any, list[int]]"]


class Kinks:
    """What vanishes on the kinks of a graph and of claims about it."""

    def __init__(self, circuit: Circuit, claims: Sequence[Claim], sampler: Sampler) -> None:
        self.circuit, self.sampler = circuit, sampler
        self.sources = [*self._of_gates(), *self._of_claims(claims)]

    def _of_gates(self) -> Iterator[_Source]:
        circuit = self.circuit
        for node in circuit.kinked:
            assert node.application is not None
            if circuit.direct[node.id]:
                for pair in kinks(node.application.formula.statements[0].body):
                    yield functools.partial(_of_body, circuit, node, pair)
                continue
            for group in circuit.program(node.application).groups:
                for step in group:
                    for k in range(step.count_of_differences()):
                        yield functools.partial(_of_step, id(node.application), step, k)

    @staticmethod
    def _of_claims(claims: Sequence[Claim]) -> Iterator[_Source]:
        for claim in claims:
            if claim.expression is not None and not claim.upstream:
                for pair in kinks(claim.expression):
                    yield functools.partial(_of_claim, claim, pair)

    def picks(self, base: Point) -> list[tuple[int, int]]:
        """Which differences are looked at, and which of their entries: a first one of each, then a last one."""
        try:
            values, inner = self.circuit.evaluated(base, double())
        except OutsideDomain:
            return []
        looks = []
        for source in self.sources:
            try:
                with numpy.errstate(all="ignore"):
                    looks.append(source(values, inner, double())[1])
            except (OutsideDomain, KeyError):  # a name of an earlier line is not known here
                looks.append([])
        chosen = [(k, entries[0]) for k, entries in enumerate(looks) if entries]
        return chosen + [(k, entries[-1]) for k, entries in enumerate(looks) if len(entries) > 1]

    def value(self, point: Point, pick: tuple[int, int], numbers: Numbers) -> Any:
        """One difference at a point.

        Raises
        ------
        OutsideDomain
            If it has no real value there.
        """
        values, inner = self.circuit.evaluated(point, numbers)
        with numpy.errstate(all="ignore"):
            found, _ = self.sources[pick[0]](values, inner, numbers)
        return found[pick[1]] if numpy.ndim(found) else found

    def solved(self, base: Point, pick: tuple[int, int]) -> Iterator[tuple[Point, bool, str, tuple[int, ...]]]:
        """Points where a difference is zero, if it is linear in some entry of a leaf; whether exactly; and which entry.

        The difference is zero but for rounding where the entry has no end in binary.
        """
        tried = 0
        for key in self.sampler.leaves:
            if key in self.sampler.whole and self.circuit.scalar is False:
                continue
            for index in numpy.ndindex(*self.sampler.shapes[key]):
                tried += 1
                if tried > _ENTRIES:
                    return
                try:
                    if not self.circuit.scalar and not self._moves(base, key, index, pick):
                        continue
                    point = self._root(base, key, index, pick)
                except OutsideDomain:
                    continue
                if point is not None:
                    yield (*point, key, index)
                    if not self.circuit.scalar:
                        return

    def _moves(self, base: Point, key: str, index: tuple[int, ...], pick: tuple[int, int]) -> bool:
        """Whether a difference depends on an entry, seen in float64."""
        further = with_entry(base, key, index, (base[key][index] if index else base[key]) + 1)
        return bool(self.value(base, pick, double()) != self.value(further, pick, double()))

    def _linear(self, base: Point, key: str, index: tuple[int, ...], pick: tuple[int, int]) -> bool:
        """Whether a difference may be linear in an entry, seen in float64: to look at 60 digits takes long."""
        values = [float(self.value(with_entry(base, key, index, Fraction(k)), pick, double())) for k in range(3)]
        bend = abs(values[0] - 2 * values[1] + values[2])
        return not bend > 1e-6 * max(map(abs, values))

    def _root(self, base: Point, key: str, index: tuple[int, ...], pick: tuple[int, int]) -> tuple[Point, bool] | None:
        import mpmath

        if not self.circuit.scalar and not self._linear(base, key, index, pick):
            return None
        with mpmath.workdps(DIGITS):
            at_zero, at_one = (self.value(with_entry(base, key, index, Fraction(k)), pick, exact()) for k in range(2))
            rise = at_one - at_zero
            if rise == 0:
                return (base, True) if at_zero == 0 else None
            # exact for the half-integers that the other entries are, as long as the difference is linear
            root = (Fraction(str(-at_zero)) / Fraction(str(rise))).limit_denominator(10**6)
            point = with_entry(base, key, index, root)
            left = self.value(point, pick, exact())
            if left == 0:
                return point, True
            return (point, False) if abs(left) < mpmath.mpf(10) ** (10 - DIGITS) else None

    # ---- beside a kink --------------------------------------------------------------------------------

    def side(self, point: Point, pick: tuple[int, int]) -> int:
        """Sign of a difference."""
        import mpmath

        try:
            with mpmath.workdps(20):
                return int(mpmath.sign(self.value(point, pick, exact())))
        except (OutsideDomain, KeyError, IndexError):
            return 0

    def near(self, pick: tuple[int, int], points: Sequence[Point]) -> Iterator[Point]:
        """Points on both sides of a kink and close to it, between two points on different sides."""
        draw, sampler = self.sampler.random, self.sampler
        sides: dict[int, list[Point]] = {-1: [], 0: [], 1: []}
        for point in points:
            sides[self.side(point, pick)].append(point)
        for _ in range(30):  # one side not seen yet: look further afield
            if sides[1] and sides[-1]:
                break
            point = sampler.generic(draw.choice((0.1, 1.0, 4.0, 20.0, 100.0)))
            known = sides[self.side(point, pick)]
            if not known:
                yield point
            known.append(point)
        if not (sides[1] and sides[-1]) or sampler.whole:
            return
        for _ in range(3):  # a difference may vanish in several places
            below, above = draw.choice(sides[-1]), draw.choice(sides[1])
            low, high = Fraction(0), Fraction(1)
            for _ in range(12):
                middle = (low + high) / 2
                if self.side(_between(below, above, middle), pick) < 0:
                    low = middle
                else:
                    high = middle
            for t in (low - Fraction(1, 100), high + Fraction(1, 100)):
                yield _between(below, above, t + Fraction(draw.randrange(1, 10**9), 10**20))

    def beside(self, tie: Point, key: str, index: tuple[int, ...]) -> Iterator[Point]:
        """Points close to one on a kink, on both sides."""
        value = tie[key][index] if index else tie[key]
        for k in (-1, 1):
            step = Fraction(k, 1000) + Fraction(self.sampler.random.randrange(1, 10**9), 10**15)
            yield with_entry(tie, key, index, value + step)


def _between(below: Point, above: Point, t: Fraction) -> dict[str, Any]:
    return {n: below[n] * (1 - t) + above[n] * t for n in below}


def _of_body(
    circuit: Circuit,
    node: Node,
    pair: tuple[Expression, Expression],
    values: Mapping[int, Any],
    _: Mapping[int, Mapping[str, Any]],
    numbers: Numbers,
) -> tuple[Any, list[int]]:
    environment = circuit.environment(node, values)
    a, b = (evaluate(side, environment, numbers.functions, numbers.literal) for side in pair)
    return _ends(a - b)


def _of_step(
    key: int,
    step: Step,
    k: int,
    _: Mapping[int, Any],
    inner: Mapping[int, Mapping[str, Any]],
    numbers: Numbers,
) -> tuple[Any, list[int]]:
    return step.differences(inner[key], numbers)[k]


def _of_claim(
    claim: Claim,
    pair: tuple[Expression, Expression],
    values: Mapping[int, Any],
    _: Mapping[int, Mapping[str, Any]],
    numbers: Numbers,
) -> tuple[Any, list[int]]:
    from graphc.checking.arrays import claim_functions

    environment = {name: values[node.id] for name, node in claim.nodes.items()}
    environment.setdefault("pi", numbers.literal(numpy.pi))  # which is pi to all digits
    functions = claim_functions("exact" if numbers.exact else "double")
    a, b = (evaluate(side, environment, functions, numbers.constant) for side in pair)
    return _ends(a - b)


def _ends(value: Any) -> tuple[Any, list[int]]:
    """A number, or a flat array with its first and last entry to look at."""
    if not isinstance(value, numpy.ndarray):
        return value, [0]
    return value.reshape(-1), sorted({0, value.size - 1})
