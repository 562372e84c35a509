"""The verdict of points: claims and gradients compared to 60 digits.

Shapes come first. Nice half-integers follow, so that a counterexample can be checked by hand; then random points and
their mirror images, since ``x`` and ``sqrt(x**2)`` agree wherever all is positive. Where the graph or a claim has
kinks, points of larger scale, points exactly on the kinks and points close to them are added. A graph with named sizes
is looked at once more with other numbers for them.

What is too large for 60 digits, and claims that are functions of float64 arrays, are compared at double precision,
with a tolerance that follows from how far rounding of the operands moves the result.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, Later, State
from graphc.checking.claims import Claim
from graphc.checking.compare import AGREEING, DIGITS, MOST_EXACT, Counterexample, apart, depth, noise, plain
from graphc.checking.fitting import misfit, shape_of_claim
from graphc.checking.precise import OutsideDomain
from graphc.checking.proving import transferred
from graphc.checking.sampling import Point, Sampler
from graphc.checking.ties import Kinks
from graphc.errors import CheckError

__all__ = ["DIGITS", "FEWEST", "Counterexample", "Verdict", "judge"]

#: Precision with which a difference of scalars is confirmed: rounding explains nothing there.
MOST_DIGITS = 3840

#: The same for arrays.
_MOST_DIGITS_OF_ARRAYS = 240

#: Beyond it a confirmation takes too long; the point is then left out.
_TOO_MANY_DIGITS = 6000

#: Digits of a comparison at double precision.
_DOUBLE_DIGITS = 8

#: How much more than a change of the last bits of all operands moves a result counts as rounding.
_ROUNDING = 1000

#: A difference of double precision that no rounding explains.
_CLEAR = 1e-6

#: Operations beyond which nothing is said: a single point would take seconds.
_MOST_OPERATIONS = 20_000_000

_EQUAL_ENTRIES = "a single number stands for an array of equal entries"

#: No point is begun after this time on the clock, in seconds.
_LONGEST = 1.4

#: Fewest generic points that a verdict rests on.
FEWEST = 3


@dataclass
class Verdict:
    """What the points say about one claim.

    Attributes
    ----------
    counterexample : Counterexample or None
        Where claim and gradient differ.
    misfit : str
        What is wrong with the shape of the claim, or an empty string.
    points : int
        Points compared.
    digits : int
        To which they agreed, or were compared.
    ties : int
        Points on a kink among them.
    hurried : bool
        Whether time was up before as many points were compared as a verdict rests on.
    unclear : bool
        Whether a point could not be decided: then nothing may be said but that.
    samples : list of (State, value)
        Generic points with the value of the claim.
    note : str
        What else there is to say.
    """

    counterexample: Counterexample | None = None
    misfit: str = ""
    points: int = 0
    digits: int = AGREEING
    ties: int = 0
    hurried: bool = False
    unclear: bool = False
    samples: list[tuple[State, Any]] = field(default_factory=list)
    note: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the claim was found wrong."""
        return self.counterexample is not None or bool(self.misfit)


class _Judge:
    def __init__(self, circuit: Circuit, claims: Sequence[Claim], seed: int, seconds: float) -> None:
        self.circuit, self.claims = circuit, claims
        self.sampler = Sampler(circuit, seed)
        self.kinks = Kinks(circuit, claims, self.sampler)
        operations = 0 if circuit.scalar else circuit.operations()
        if operations > _MOST_OPERATIONS:
            raise CheckError(
                f"{circuit.root.label!r} takes about {operations:.1e} operations at one point, too many to be checked\n"
                "  Try: declare the same computation with smaller extents; a gradient does not depend on them",
                node=circuit.root,
                site=circuit.root.site,
            )
        self.precision = "exact" if operations <= MOST_EXACT else "double"
        self.verdicts = [Verdict() for _ in claims]
        self.undefined: list[list[tuple[Point, State]]] = [[] for _ in claims]
        self.visited: list[Point] = []
        self.generic = 0
        self.broken: set[int] = set()
        self.deep: tuple[Point, int, State] | None = None
        self.start, self.worked, self.seconds = time.perf_counter(), time.thread_time(), seconds
        self.check_shapes()

    def check_shapes(self) -> None:
        """Say of every formula whether its shape fits, before anything is computed."""
        for k, (claim, verdict) in enumerate(zip(self.claims, self.verdicts, strict=True)):
            shape, problem = shape_of_claim(claim, self.circuit)
            wanted = self.circuit.shapes[claim.target.id]
            if problem:
                verdict.misfit = problem
                self.broken.add(k)
            elif shape is not None and shape not in (wanted, ()):
                verdict.misfit = misfit(claim, self.circuit, shape)

    def late(self) -> bool:
        """Whether time is up: work counts, so that a busy machine looks at the same points, but only up to a limit."""
        return time.thread_time() - self.worked > self.seconds or time.perf_counter() - self.start > _LONGEST

    def overdue(self) -> bool:
        """Whether so much was worked that a verdict must do with the points that there are."""
        if time.thread_time() - self.worked <= _LONGEST:
            return False
        for verdict in self.verdicts:
            verdict.hurried = verdict.points < FEWEST
        return True

    # ---- evaluation ------------------------------------------------------------------------------

    def state(self, point: Point, digits: int) -> State:
        import mpmath

        if digits > DIGITS and self.deep is not None and self.deep[0] is point and self.deep[1] == digits:
            return self.deep[2]  # wrong claims are often confirmed at the same point
        with mpmath.workdps(digits):
            state = self.circuit.state(point, self.precision)
        if digits > DIGITS:
            self.deep = point, digits, state
        return state

    def claimed(self, claim: Claim, state: State, digits: int) -> Any:
        """Value of a claim, or None where it has none."""
        import mpmath

        with mpmath.workdps(digits):
            environment = {name: state.values[node.id] for name, node in claim.nodes.items()}
            environment |= {name: state.gradients[node.id] for name, node in claim.upstream.items()}
            try:
                value = claim.value(environment, state.precision)
            except (OutsideDomain, OverflowError, ZeroDivisionError):
                return None
        if isinstance(value, numpy.ndarray):
            if value.dtype == object:
                return value if all(mpmath.isfinite(v) for v in value.reshape(-1).tolist()) else None
            return value if bool(numpy.isfinite(value).all()) else None
        return value if mpmath.isfinite(value) else None

    def differs(self, claim: Claim, state: State, value: Any, point: Point) -> tuple[int, ...] | None:
        """Which entry is wrong, if any; what cancellation may have taken is got back by working with more digits."""
        import mpmath

        if claim.function is not None or self.precision == "double":
            return self.differs_roughly(claim, state, value, point)
        ten = mpmath.mpf(10)
        with mpmath.workdps(DIGITS):
            if apart(value, state, claim.target, ten**-AGREEING) is None:
                return None
        most = MOST_DIGITS if len(self.circuit.nodes) <= 100 else MOST_DIGITS // 4
        digits = max(most if self.circuit.scalar else _MOST_DIGITS_OF_ARRAYS, depth(state))
        if digits > (_TOO_MANY_DIGITS if self.circuit.scalar else 5 * _MOST_DIGITS_OF_ARRAYS):
            return None  # 1 - sigmoid(10**6) tells nothing about who wrote it
        again = self.state(point, digits)
        second = self.claimed(claim, again, digits)
        if second is None:
            return (0,) * len(numpy.shape(again.gradients[claim.target.id]))
        with mpmath.workdps(digits):
            return apart(second, again, claim.target, ten**-AGREEING, noise(again, digits))

    def differs_roughly(self, claim: Claim, state: State, value: Any, point: Point) -> tuple[int, ...] | None:
        """The same at double precision: what a change of the operands' last bits explains is no difference."""
        rough = _rounded(state)
        value = _floats(value)
        target = claim.target
        scale = float(numpy.max(numpy.abs(rough.gradients[target.id]), initial=0.0))
        margin, floor = 10.0**-_DOUBLE_DIGITS, max(1e-12 * scale, _floor(state))
        if apart(value, rough, target, margin, floor) is None:
            return None
        moved = self.moved(claim, point)
        if moved is None:
            return None
        gradient_moved, value_moved = moved
        slack = _ROUNDING * (gradient_moved + value_moved) + floor
        where = apart(value, rough, target, margin, slack)
        if where is not None and float(numpy.max(slack, initial=0.0)) > _CLEAR * max(scale, 1e-300):
            return None  # too badly conditioned to say anything
        return where

    def moved(self, claim: Claim, point: Point) -> tuple[Any, Any] | None:
        """How far gradient and claim move when the last bits of all operands change."""
        draw = numpy.random.default_rng(1)
        base, other = {}, {}
        for key, value in point.items():
            if key in self.sampler.whole:
                base[key] = other[key] = value
                continue
            floats = numpy.asarray(value, dtype=object).astype(float)
            base[key] = floats if floats.shape else float(floats)
            changed = floats * (1 + draw.choice([-1, 1], size=floats.shape) * 2.0**-52)
            other[key] = changed if floats.shape else float(changed)
        try:
            states = [self.circuit.state(p, "double") for p in (base, other)]
        except OutsideDomain:
            return None
        values = [self.claimed(claim, state, DIGITS) for state in states]
        if values[0] is None or values[1] is None:
            return None
        first, second = (state.gradients[claim.target.id] for state in states)
        return numpy.abs(first - second), numpy.abs(_floats(values[0]) - _floats(values[1]))

    # ---- visiting points ---------------------------------------------------------------------------

    def visit(self, point: Point, kind: str) -> bool:
        """Compare all claims at a point; False where the graph has no value there."""
        try:
            state = self.state(point, DIGITS)
        except OutsideDomain:
            return False
        self.visited.append(point)
        for k, (claim, verdict) in enumerate(zip(self.claims, self.verdicts, strict=True)):
            example = verdict.counterexample
            if k in self.broken or (verdict.wrong and kind not in ("generic", "far") and _readable(example)):
                continue
            value = self.claimed(claim, state, DIGITS)
            if value is None:
                self.undefined[k].append((point, state))
                if kind == "generic" and not verdict.wrong:
                    # a claim may have gaps, but not at a point that nobody chose; far out numbers get too large
                    verdict.counterexample = self.example(*self.undefined[k][0], claim, None, None)
                continue
            if kind in ("generic", "far"):
                verdict.samples.append((state, _whole(value, self.circuit.shapes[claim.target.id])))
            if not verdict.wrong:
                self.compare(claim, verdict, state, value, point, kind)
            elif kind == "nice" and not _readable(example):
                where = self.differs(claim, state, value, point)
                if where is not None:
                    verdict.counterexample = self.example(point, state, claim, value, where)
        return True

    def compare(self, claim: Claim, verdict: Verdict, state: State, value: Any, point: Point, kind: str) -> None:
        target = claim.target
        wanted = self.circuit.shapes[target.id]
        if numpy.shape(value) != wanted:
            if numpy.shape(value) != ():
                verdict.misfit = misfit(claim, self.circuit, numpy.shape(value))
                return
            verdict.note = _EQUAL_ENTRIES
        if claim.function is not None or self.precision == "double":
            largest = float(numpy.max(numpy.abs(_floats(state.gradients[target.id])), initial=0.0))
            nothing = 1e-30 if state.precision == "exact" else 0.0
            if nothing < largest < 1e6 * _floor(state):
                return  # so small beside the other numbers that float64 says nothing about it
        where = self.differs(claim, state, value, point)
        if where is not None:
            verdict.counterexample, verdict.note = self.example(point, state, claim, value, where), ""
            if kind == "near":
                verdict.samples.append((state, _whole(value, wanted)))
        elif kind == "generic" and self.circuit.kinked and not self.circuit.scalar:
            verdict.unclear |= self.differs_there(claim, replace(state, intervals={}), value)
        verdict.points += 1
        verdict.ties += kind == "tie"
        if claim.function is not None or self.precision == "double":
            verdict.digits = _DOUBLE_DIGITS

    def differs_there(self, claim: Claim, state: State, value: Any) -> bool:
        """Whether a value differs from graphc's own choice at a tie, where ranges are wider than they need be."""
        rough = _rounded(state)
        return apart(_floats(value), rough, claim.target, _CLEAR, 1e-12) is not None

    def example(
        self, point: Point, state: State, claim: Claim, value: Any, where: tuple[int, ...] | None
    ) -> Counterexample:
        correct = state.gradients[claim.target.id]
        interval = state.intervals.get(claim.target.id)
        at = {name: plain(v) for name, v in point.items()}
        if not isinstance(correct, numpy.ndarray):
            ends = None if interval is None else (float(interval[0]), float(interval[1]))
            return Counterexample(at, None if value is None else float(value), float(correct), ends)
        element = where or (0,) * correct.ndim
        ends = None
        if interval is not None and interval[0][element] != interval[1][element]:
            ends = (float(interval[0][element]), float(interval[1][element]))
        arrays, entry = None, None
        if value is not None:
            whole = numpy.broadcast_to(_floats(value), correct.shape)
            arrays, entry = (plain(whole), plain(correct)), float(whole[element])
        return Counterexample(at, entry, float(correct[element]), ends, element, arrays)

    # ---- the order of points -------------------------------------------------------------------------

    def run(self) -> list[Verdict]:
        scalar = self.circuit.scalar
        for point in self.sampler.nice(6 if scalar else 3):
            self.visit(point, "nice")
            if self.late():
                break
        if self.random_points(6 if scalar else 4):
            return self.verdicts
        if self.kinks.sources:
            self.tie_points()
        if not self.sampler.leaves:  # nothing to vary: one point says it all
            for verdict in self.verdicts:
                verdict.points = max(verdict.points, FEWEST)
        return self.verdicts

    def random_points(self, enough: int) -> bool:
        """Visit generic points; True where there is no time for more."""
        sampler = self.sampler
        for positive, scale in itertools.product((False, True), (1.0, 0.3, 3.0)):
            for _ in range(3 if self.circuit.scalar else 1):
                point = sampler.generic(scale, positive)
                self.generic += self.visit(point, "generic")
                if self.overdue():
                    return True
                if not positive:
                    self.generic += self.visit(sampler.mirrored(point), "generic")
                if self.generic >= FEWEST and self.late():
                    return True
            if self.generic >= enough:
                break
        # narrow domains: many attempts, as long as there is time
        for _ in range(300):
            if self.generic >= FEWEST or self.late():
                break
            scale = sampler.random.choice((0.1, 0.5, 1.0, 5.0, 20.0))
            self.generic += self.visit(sampler.generic(scale, sampler.random.random() < 0.3), "generic")
        return False

    def tie_points(self) -> None:
        """Visit points on kinks and close to them."""
        sampler, kinks = self.sampler, self.kinks
        base = next(sampler.nice(1))
        picks = kinks.picks(base)[:12] if self.precision == "exact" else []
        if not self.circuit.scalar:
            for point in sampler.special():
                if self.late():
                    return
                self.visit(point, "tie")
        for pick in picks:
            for point, exactly, key, index in kinks.solved(base, pick):
                if self.late():
                    return
                if exactly:
                    self.visit(point, "tie")
                if not self.circuit.scalar:
                    for other in kinks.beside(point, key, index):
                        self.visit(other, "near")
        if self.circuit.scalar:
            for pick in picks:
                if self.late():
                    return
                for point in kinks.near(pick, self.visited[:40]):
                    self.visit(point, "far")
        for scale in (1.0, 1.0, 3.0, 3.0, 10.0, 10.0) if self.circuit.scalar else (1.0, 3.0):
            if self.late():
                return
            point = sampler.generic(scale)
            self.visit(point, "far")
            self.visit(sampler.mirrored(point), "far")


def _floor(state: State) -> float:
    """What 1 - 1 may leave in float64 where numbers are as large as those of a state."""
    return 1e-14 * max(1.0, *(float(numpy.max(numpy.abs(_floats(v)), initial=0.0)) for v in state.values.values()))


def _whole(value: Any, shape: tuple[int, ...]) -> Any:
    """A number that stands for an array, as that array."""
    if isinstance(value, numpy.ndarray) or not shape:
        return value
    filled = numpy.empty(shape, dtype=float if isinstance(value, float) else object)
    filled.fill(value)
    return filled


def _readable(example: Counterexample | None) -> bool:
    """Whether the numbers of a counterexample are neither tiny nor huge."""
    if example is None or example.element is None:
        return True
    pair = [abs(v) for v in (example.claimed, example.correct) if v is not None]
    return all(v == 0 or 1e-3 <= v < 1e4 for v in pair)


def _floats(value: Any) -> Any:
    return value.astype(float) if isinstance(value, numpy.ndarray) else float(value)


def _rounded(state: State) -> State:
    """The gradients of a state as floats."""
    gradients = {key: _floats(value) for key, value in state.gradients.items()}
    if state.precision == "double":
        return replace(state, gradients=gradients)
    exactly = state.intervals
    rounded = Later(lambda: {key: (_floats(low), _floats(high)) for key, (low, high) in exactly.items()})
    return replace(state, gradients=gradients, intervals=rounded)


def judge(circuit: Circuit, claims: Sequence[Claim], *, seed: int = 0, seconds: float | None = None) -> list[Verdict]:
    """Compare claims with the gradients of a circuit at points.

    Parameters
    ----------
    seed : int
        Of the random points.
    seconds : float, optional
        No further point is begun after this time, once there are enough for a verdict. By default 1 second for
        scalars, a quarter for arrays.

    Returns
    -------
    list of Verdict
        One for each claim. A verdict with fewer than `FEWEST` points and no counterexample decides nothing.
    """
    if seconds is None:
        seconds = 1.0 if circuit.scalar else 0.25
    verdicts = _Judge(circuit, claims, seed, seconds).run()
    open_ones = [k for k, v in enumerate(verdicts) if not v.wrong and v.points >= FEWEST]
    other = circuit.resized() if open_ones else None
    if other is not None:
        again = [transferred(claims[k], circuit, other) for k in open_ones]
        for k, claim in zip(open_ones, again, strict=True):
            if claim is not None:
                _elsewhere(_Judge(other, [claim], seed + 1, 0.0), verdicts[k])
    return verdicts


def _elsewhere(judge_: _Judge, verdict: Verdict) -> None:
    """Compare once more where named sizes are other numbers."""
    for point in judge_.sampler.nice(1):
        judge_.visit(point, "nice")
    for scale in (1.0, 0.3, 1.0):
        if judge_.visit(judge_.sampler.generic(scale), "generic"):
            break
    (found,) = judge_.verdicts
    if found.wrong:
        verdict.counterexample, verdict.misfit = found.counterexample, found.misfit
        sizes = ", ".join(f"{name} is {k}" for name, k in sorted(judge_.circuit.sizes.items()))
        verdict.note = f"right for some sizes, but not where {sizes}"
    verdict.points += found.points
