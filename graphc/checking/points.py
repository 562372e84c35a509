"""The verdict of points: claims and gradients compared to 60 digits.

Nice half-integers come first, so that a counterexample can be checked by hand; then random points and their
mirror images, since ``x`` and ``sqrt(x**2)`` agree wherever all is positive. Where the graph or a claim has
kinks, points of larger scale and points exactly on the kinks are added.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from graphc.checking.circuit import Circuit, State, kinks
from graphc.checking.claims import Claim
from graphc.checking.precise import OutsideDomain, constant, precise_functions
from graphc.formula.expression import Expression, evaluate, symbols
from graphc.graph.node import Node

__all__ = ["DIGITS", "Counterexample", "Verdict", "judge"]

#: Working precision in decimal digits.
DIGITS = 60

#: Precision with which a difference is confirmed: rounding explains nothing there.
MOST_DIGITS = 3840

#: Beyond it a confirmation takes too long; the point is then left out.
_TOO_MANY_DIGITS = 6000

#: Digits that must agree; what rounding takes from the rest is checked by working with more digits.
AGREEING = 40

#: Fewest generic points that a verdict rests on.
FEWEST = 3


@dataclass(frozen=True)
class Counterexample:
    """A point where claim and gradient differ.

    ``claimed`` is None where the claim has no real value. ``interval`` is the range of accepted values where
    the point lies on a kink, else None.
    """

    at: Mapping[str, float]
    claimed: float | None
    correct: float
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        where = ", ".join(f"{name}={value:.6g}" for name, value in self.at.items()) or "every point"
        claimed = "has no real value" if self.claimed is None else f"gives {self.claimed:.12g}"
        correct = f"{self.correct:.12g}"
        if self.interval is not None:
            correct = f"anything from {self.interval[0]:.12g} to {self.interval[1]:.12g} (a kink)"
        if f"{self.claimed}" != "None" and claimed == f"gives {correct}":
            claimed, correct = f"gives {self.claimed!r}", f"{self.correct!r}"
            if self.claimed == self.correct:
                claimed, correct = claimed + " to 16 digits", correct + ", and they differ further on"
        return f"at {where} the claim {claimed}; correct is {correct}"


@dataclass
class Verdict:
    """What the points say about one claim."""

    counterexample: Counterexample | None = None
    points: int = 0
    digits: int = AGREEING
    ties: int = 0
    samples: list[tuple[State, Any]] = field(default_factory=list)


class _Judge:
    def __init__(self, circuit: Circuit, claims: Sequence[Claim], names: Mapping[str, Node], seed: int) -> None:
        self.circuit = circuit
        self.claims = claims
        self.random = random.Random(f"graphc {seed}")  # noqa: S311 - points, not secrets
        self.functions = dict(precise_functions())
        used = {n for claim in claims for n in symbols(claim.expression)}
        self.names = {name: names[name].id for name in used if name in names}
        self.integers = {n.label for n in circuit.leaves if not n.is_float}
        self.leaves = [n.label for n in circuit.leaves]

    # ---- points ----------------------------------------------------------------------------------

    def nice(self) -> Iterator[dict[str, Fraction]]:
        """Half-integers, different from each other while there are few names."""
        halves = [Fraction(k, 2) for k in (4, -6, 3, -1, 5, -3, 1, -5, 6, -4, 2, -2, 7, -7, 8, -8)]
        for shift in range(6):
            values = itertools.cycle(halves[shift:] + halves[:shift])
            yield {
                name: abs(value) if shift % 3 == 1 else value for name, value in zip(self.leaves, values, strict=False)
            }

    def generic(self, scale: float, positive: bool = False) -> dict[str, Fraction]:
        """A random point with all digits in use."""
        result = {}
        for name in self.leaves:
            value = Fraction(self.random.randrange(10**39, 10**40), 4 * 10**39) * Fraction(scale)
            result[name] = value if positive or self.random.random() < 0.5 else -value
        return result

    def settled(self, point: Mapping[str, Fraction]) -> dict[str, Fraction]:
        """The point with whole numbers where the graph wants integers."""
        return {n: Fraction(round(v)) if n in self.integers else v for n, v in point.items()}

    # ---- evaluation ------------------------------------------------------------------------------

    def state(self, point: Mapping[str, Fraction], digits: int) -> State:
        import mpmath

        with mpmath.workdps(digits):
            return self.circuit.state({n: constant(v) for n, v in point.items()})

    def claimed(self, claim: Claim, state: State, digits: int) -> Any:
        """Value of a claim, or None where it has none."""
        import mpmath

        with mpmath.workdps(digits):
            environment = {name: state.values[key] for name, key in self.names.items()}
            environment.setdefault("pi", +mpmath.mp.pi)
            try:
                value = evaluate(claim.expression, environment, self.functions, constant)
            except OutsideDomain:
                return None
            return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None

    def differs(self, claim: Claim, state: State, value: Any, point: Mapping[str, Fraction]) -> bool:
        """Whether a value is wrong; what cancellation may have taken is got back by working with more digits."""
        if not _apart(value, state, claim.target, DIGITS):
            return False
        digits = max(MOST_DIGITS if len(self.circuit.nodes) <= 100 else MOST_DIGITS // 4, _depth(state))
        if digits > _TOO_MANY_DIGITS:
            return False  # 1 - sigmoid(10**6) tells nothing about who wrote it
        again = self.state(point, digits)
        second = self.claimed(claim, again, digits)
        return second is None or _apart(second, again, claim.target, digits, _noise(again, digits))


def _depth(state: State) -> int:
    """Digits in which a number as small or large as any of the state shows up beside 1."""
    import mpmath

    numbers = itertools.chain(state.values.values(), state.gradients.values(), state.slopes)
    return 2 * DIGITS + int(max(abs(mpmath.mag(v)) for v in numbers if v != 0) * 0.302)


def _noise(state: State, digits: int) -> Any:
    """What rounding may leave of an exact zero: x - x is zero, x - (x/3)*3 is not."""
    import mpmath

    with mpmath.workdps(DIGITS):
        numbers = itertools.chain(state.values.values(), state.gradients.values(), state.slopes)
        return max(mpmath.mpf(1), *map(abs, numbers)) * mpmath.mpf(10) ** (DIGITS // 3 - digits)


def _apart(value: Any, state: State, target: Node, digits: int, noise: Any = 0) -> bool:
    import mpmath

    with mpmath.workdps(digits):
        correct = state.gradients[target.id]
        low, high = state.intervals.get(target.id, (correct, correct))
        margin = max(abs(low), abs(high), abs(value)) * mpmath.mpf(10) ** -AGREEING + noise
        return not (low - margin <= value <= high + margin)


def _ties(circuit: Circuit, claims: Sequence[Claim]) -> list[Expression]:
    """Differences that vanish on a kink, over labels of nodes."""
    from graphc.formula.expression import Call
    from graphc.gradients.local import node_expression

    bodies = [node_expression(node) for node in circuit.kinked]
    bodies += [claim.expression for claim in claims]
    found: dict[Expression, None] = {}
    for body in bodies:
        for a, b in kinks(body):
            found[Call("sub", (a, b))] = None
    return list(found)


def _solve(judge: _Judge, difference: Expression) -> Iterator[dict[str, Fraction]]:
    """Points where a difference is exactly zero, if it is linear in some input."""
    labels = {node.label: node for node in judge.circuit.nodes}
    base = next(judge.nice())

    def value(point: Mapping[str, Fraction]) -> Any:
        state = judge.state(point, DIGITS)
        environment = {
            n: state.values[labels[n].id] if n in labels else state.values[judge.names[n]]
            for n in symbols(difference)
            if n != "pi"
        }
        import mpmath

        with mpmath.workdps(DIGITS):
            environment.setdefault("pi", +mpmath.mp.pi)
            return evaluate(difference, environment, judge.functions, constant)

    for name in judge.leaves[:12]:
        try:
            at_zero, at_one = value({**base, name: Fraction(0)}), value({**base, name: Fraction(1)})
            rise = at_one - at_zero
            if rise == 0:
                if at_zero == 0:
                    yield base
                continue
            # exact for the half-integers that the other inputs are, as long as the difference is linear
            root = (Fraction(str(-at_zero)) / Fraction(str(rise))).limit_denominator(10**6)
            point = {**base, name: root}
            if value(point) == 0:
                yield point
        except OutsideDomain:
            continue


def _near(
    judge: _Judge, difference: Expression, points: Sequence[Mapping[str, Fraction]]
) -> Iterator[dict[str, Fraction]]:
    """Points on both sides of a kink and close to it, between two points on different sides."""
    import mpmath

    labels = {node.label: node.id for node in judge.circuit.nodes}

    def side(point: Mapping[str, Fraction]) -> int:
        try:
            with mpmath.workdps(20):
                values = judge.circuit.values({n: constant(v) for n, v in point.items()})
                environment = {
                    n: values[labels.get(n, judge.names.get(n, 0))] for n in symbols(difference) if n != "pi"
                }
                environment.setdefault("pi", +mpmath.mp.pi)
                return int(mpmath.sign(evaluate(difference, environment, judge.functions, constant)))
        except (OutsideDomain, KeyError):
            return 0

    sides: dict[int, list[Mapping[str, Fraction]]] = {-1: [], 0: [], 1: []}
    for point in points:
        sides[side(point)].append(point)
    for _ in range(30):  # one side not seen yet: look further afield
        if sides[1] and sides[-1]:
            break
        point = judge.settled(judge.generic(judge.random.choice((0.1, 1.0, 4.0, 20.0, 100.0))))
        known = sides[side(point)]
        if not known:
            yield point
        known.append(point)
    if not (sides[1] and sides[-1]) or judge.integers:
        return
    for _ in range(3):  # a difference may vanish in several places
        below, above = judge.random.choice(sides[-1]), judge.random.choice(sides[1])
        low, high = Fraction(0), Fraction(1)
        for _ in range(12):
            middle = (low + high) / 2
            if side(_between(below, above, middle)) < 0:
                low = middle
            else:
                high = middle
        for t in (low - Fraction(1, 100), high + Fraction(1, 100)):
            yield _between(below, above, t + Fraction(judge.random.randrange(1, 10**9), 10**20))


def _between(below: Mapping[str, Fraction], above: Mapping[str, Fraction], t: Fraction) -> dict[str, Fraction]:
    return {n: below[n] * (1 - t) + above[n] * t for n in below}


def judge(
    circuit: Circuit,
    claims: Sequence[Claim],
    names: Mapping[str, Node],
    *,
    seed: int = 0,
    seconds: float = 1.0,
) -> list[Verdict]:
    """Compare claims with the gradients of a circuit at points.

    Parameters
    ----------
    names : mapping
        Node of each name that a claim uses.
    seed : int
        Of the random points.
    seconds : float
        No further point is begun after this time, once there are enough for a verdict.

    Returns
    -------
    list of Verdict
        One for each claim. A verdict with fewer than `FEWEST` points and no counterexample decides nothing.
    """
    self = _Judge(circuit, claims, names, seed)
    start = time.perf_counter()
    verdicts = [Verdict() for _ in claims]
    undefined: list[list[tuple[dict[str, Fraction], State]]] = [[] for _ in claims]
    generic = 0
    visited: list[Mapping[str, Fraction]] = []

    def visit(point: Mapping[str, Fraction], kind: str) -> bool:
        point = self.settled(point)
        try:
            state = self.state(point, DIGITS)
        except OutsideDomain:
            return False
        visited.append(point)
        for k, (claim, verdict) in enumerate(zip(claims, verdicts, strict=True)):
            if verdict.counterexample is not None and kind not in ("generic", "far"):
                continue
            value = self.claimed(claim, state, DIGITS)
            if value is None:
                undefined[k].append((point, state))
                if kind == "generic" and verdict.counterexample is None:
                    # a claim may have gaps, but not at a point that nobody chose; far out numbers get too large
                    verdict.counterexample = _counterexample(*undefined[k][0], claim, None)
                continue
            if kind in ("generic", "far"):
                verdict.samples.append((state, value))
            if verdict.counterexample is not None:
                continue
            if self.differs(claim, state, value, point):
                verdict.counterexample = _counterexample(point, state, claim, value)
            verdict.points += 1
            verdict.ties += claim.target.id in state.intervals
        return True

    def late() -> bool:
        return time.perf_counter() - start > seconds

    for point in self.nice():
        visit(point, "nice")
        if late():
            break
    differences = _ties(circuit, claims)
    for positive, scale in itertools.product((False, True), (1.0, 0.3, 3.0)):
        for _ in range(3):
            point = self.generic(scale, positive)
            generic += visit(point, "generic")
            if not positive:
                generic += visit({n: -v for n, v in point.items()}, "generic")
            if generic >= FEWEST and late():
                return verdicts
        if generic >= 2 * FEWEST:
            break
    # narrow domains: many attempts, as long as there is time
    for _ in range(300):
        if generic >= FEWEST or late():
            break
        generic += visit(
            self.generic(self.random.choice((0.1, 0.5, 1.0, 5.0, 20.0)), self.random.random() < 0.3), "generic"
        )
    if differences:
        for difference in differences[:12]:
            for point in _solve(self, difference):
                if late():
                    return verdicts
                visit(point, "tie")
        for difference in differences[:12]:
            if late():
                return verdicts
            for point in _near(self, difference, visited[:40]):
                visit(point, "far")
        for scale in (1.0, 1.0, 3.0, 3.0, 10.0, 10.0):
            if late():
                return verdicts
            point = self.generic(scale)
            visit(point, "far")
            visit({n: -v for n, v in point.items()}, "far")
    if not self.leaves:  # nothing to vary: one point says it all
        for verdict in verdicts:
            verdict.points = max(verdict.points, FEWEST)
    return verdicts


def _counterexample(point: Mapping[str, Fraction], state: State, claim: Claim, value: Any) -> Counterexample:
    interval = state.intervals.get(claim.target.id)
    return Counterexample(
        {name: float(v) for name, v in point.items()},
        None if value is None else float(value),
        float(state.gradients[claim.target.id]),
        None if interval is None else (float(interval[0]), float(interval[1])),
    )
