"""Judging the gradients of a graph, parameter by parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy

from graphc.checking.numeric.graphs import GraphPoint, Tolerance
from graphc.checking.numeric.messages import not_finite_text, pattern, shape_text, wrong_text
from graphc.checking.numeric.named import named_mistake
from graphc.checking.numeric.report import GradientFinding, GradientReport, Sample, convention_lines
from graphc.checking.numeric.subjects import Subject
from graphc.checking.numeric.suspects import suspects
from graphc.errors import CheckError
from graphc.graph.node import Node

__all__ = ["Judge"]

Array = numpy.ndarray

#: Points beside the given one at which a gradient is judged again: all lie on one side of a tie in 1 of 8 cases.
SIDES = 4

#: Rounding of a sum that cancels, in units of the last place of what it is made of.
ROUNDING = {"float64": 64.0, "float32": 4.0}

#: Differences in float64 are not asked for more than this, whatever is judged.
NUMERIC = Tolerance(1e-6, 1e-9)


@dataclass(frozen=True)
class _Beside:
    """A point near the given one, and the gradients that are judged there."""

    point: GraphPoint
    gradients: Mapping[str, Array]


class Judge:
    """Compares gradients with slopes.

    Parameters
    ----------
    point : GraphPoint
    subject : Subject or None
        What brings the gradients; None for the reference itself.
    source : str
        How messages call it.
    tolerance : Tolerance
    samples, seed : int
    dtype : str
        In which the subject computes.
    by_hand : bool
        Whether a person wrote the gradients, so that a known mistake is looked for.
    """

    def __init__(
        self,
        point: GraphPoint,
        subject: Subject | None,
        *,
        source: str,
        tolerance: Tolerance,
        samples: int,
        seed: int,
        dtype: str = "float64",
        by_hand: bool = False,
    ) -> None:
        self.point, self.subject, self.source = point, subject, source
        self.tolerance = tolerance
        self.measured = Tolerance(max(tolerance.relative, NUMERIC.relative), max(tolerance.scale, NUMERIC.scale))
        self.samples, self.seed, self.dtype = samples, seed, dtype
        self.generator = numpy.random.default_rng(seed)
        self.by_hand = by_hand
        self.explained: set[Node] = set()  # wrong gradients that some known mistake gives, or their shape
        self._beside: list[_Beside | None] = []
        self._sensitivity: dict[Node, float] = {}

    def report(self, name: str, dtype: str, *, explicit: bool) -> GradientReport:
        """Judge every parameter.

        Parameters
        ----------
        explicit : bool
            Whether each parameter was asked for, so that a gradient that is not there is an error.
        """
        point, problems, notes = self.point, [], []
        candidates: dict[Node, Array] = {}
        if self.subject is None:
            candidates = dict(point.gradients[0])
        else:
            loss, gradients = self.subject(_by_name(point))
            missing = [leaf.label for leaf in point.wrt if leaf.label not in gradients]
            if explicit and missing:
                raise CheckError(
                    f"check_gradients: {self.source} brings no gradient for {missing[0]!r}; it brings "
                    f"{', '.join(gradients)}"
                )
            checked = {leaf.label for leaf in point.wrt}
            if not checked & set(gradients):
                raise CheckError(
                    f"check_gradients: {self.source} brings gradients for {', '.join(gradients)}, but "
                    f"{', '.join(checked)} can be checked"
                )
            if missing:
                notes.append(f"not checked, as {self.source} brings no gradient for them: {', '.join(missing)}")
            candidates = {leaf: gradients[leaf.label] for leaf in point.wrt if leaf.label in gradients}
            problems += self._loss_problem(loss)
        findings = [self._finding(leaf, numpy.asarray(array)) for leaf, array in candidates.items()]
        if self.subject is not None:
            wrong = [leaf for leaf, f in zip(candidates, findings, strict=True) if f.verdict == "wrong"]
            right = [leaf for leaf, f in zip(candidates, findings, strict=True) if f.verdict == "right"]
            if not set(wrong) <= self.explained:
                problems += suspects(point.root, wrong, right)
        notes += self._notes(list(candidates))
        return GradientReport(
            name,
            point.loss,
            findings,
            notes=notes,
            problems=problems,
            dtype=dtype,
            conventions=convention_lines(point.conventions),
        )

    def _loss_problem(self, loss: float | None) -> list[str]:
        if loss is None:
            return []
        terms = max((abs(value) for value in self.point.centre), default=0.0)
        allowed = float(self.tolerance.allowed(loss, self.point.loss, terms))
        if abs(loss - self.point.loss) <= allowed:
            return []
        problem = (
            f"the loss itself differs: {loss:.9g} from {self.source}, {self.point.loss:.9g} by the float64 reference "
            f"(rounding explains {allowed:.1e}): gradients of another function are compared\n"
            "  Next: mend the forward pass first"
        )
        return [problem]

    def _notes(self, leaves: list[Node]) -> list[str]:
        point, notes = self.point, []
        ties = point.tie_note()
        if ties:
            notes.append(ties)
        if self.dtype == "float32":
            notes.append(
                "gradients computed in float32; reference and differences in float64, at the same rounded arguments"
            )
        norms = [
            (term, max(float(numpy.linalg.norm(g[leaf])) for leaf in leaves))
            for term, g in zip(point.terms, point.gradients[1:], strict=True)
        ]
        data = max((norm for term, norm in norms if term.kind == "data"), default=0.0)
        for term, norm in norms:
            if term.kind == "regulariser" and norm > 100 * data > 0:
                notes.append(
                    f"the gradient of the {term.name} is {norm / data:.0f} times that of the data terms and hides "
                    "their errors in the sum" + ("" if self.subject is None else "; check without it as well")
                )
        return notes

    # ---- one parameter -----------------------------------------------------------------------------

    def _finding(self, leaf: Node, candidate: Array) -> GradientFinding:
        point = self.point
        shape = point.given[leaf].shape
        own = self.subject is None

        def finding(
            verdict: str, samples: list[Sample], message: str, terms: Mapping[str, float] | None = None
        ) -> GradientFinding:
            compared = 0 if own else candidate.size
            return GradientFinding(
                leaf.label, shape, leaf.kind, verdict, tuple(samples), compared, terms or {}, message
            )

        if candidate.shape != shape:
            self.explained.add(leaf)
            return finding("wrong", [], shape_text(leaf.label, candidate.shape, shape, self.source))
        candidate = candidate.astype("float64")
        if not numpy.isfinite(candidate).all():
            return finding("wrong", [], not_finite_text(leaf.label, candidate, self.source))
        if candidate.size == 0:
            return finding("right", [], "")
        bad, slack = (numpy.array([], dtype="int64"), 0.0) if own else self._bad(point, leaf, candidate)
        samples, errors = [], {}
        for place in self._places(candidate, bad):
            sample, found = point.sample(leaf, place, candidate, self.measured, own=own, slack=slack)
            samples.append(self._against_reference(leaf, place, sample) if self._is_bad(bad, place, shape) else sample)
            errors = {term: max(error, errors.get(term, 0.0)) for term, error in found.items()}
        if candidate.size > 1 and not bad.size:  # what a tie allows at some elements does not add up along a direction
            direction = self._direction(leaf)
            sample, found = point.sample(leaf, direction, candidate, self.measured, own=own, slack=slack)
            samples.append(sample)
            errors = {term: max(error, errors.get(term, 0.0)) for term, error in found.items()}
        verdict = _worst(samples)
        near = None
        if verdict == "tie":
            near, samples, verdict = self._judged_beside(leaf, samples)
        terms = {term.name: error for term, error in errors.items()}
        message = ""
        if verdict in ("wrong", "unclear"):
            worst = finding(verdict, samples, "").worst
            assert worst is not None
            at, judged = (point, candidate) if near is None else (near.point, near.gradients[leaf.label])
            hint = mistake = ""
            if verdict == "wrong" and not own:
                parts = self._parts(leaf) if near is None else {}
                hint = pattern(judged, at.reference(leaf), parts, point.frozen.sizes)
                if self.subject is not None and self.by_hand and not hint and near is None:
                    mistake = named_mistake(point, self.subject, leaf, self.seed)
                if hint or mistake:
                    self.explained.add(leaf)
            step = self._next(leaf, verdict)
            message = wrong_text(leaf.label, worst, self.source, hint, mistake, step, beside=near is not None)
        return finding(verdict, samples, message, terms)

    def _next(self, leaf: Node, verdict: str) -> str:
        root = self.point.root.label
        if verdict == "unclear":
            return "choose a point at which the loss is smooth on the scale of its arguments"
        if self.subject is None:
            return f"please report it with the graph; print(graphc.backward({root})) shows every factor"
        if self.dtype == "float32" or "compiled" in self.source:
            return (
                "compile with dtype='float64': an error that stays is in a kernel (please report it), one that goes "
                "is rounding"
            )
        return (
            f"print(graphc.backward({root})) shows every factor on the way back to {leaf.label}; "
            "graphc.check says which factor of a formula is wrong"
        )

    def _parts(self, leaf: Node) -> dict[str, Array]:
        point = self.point
        return {
            term.name: term.sign * gradients[leaf]
            for term, gradients in zip(point.terms, point.gradients[1:], strict=True)
        }

    def _bad(self, point: GraphPoint, leaf: Node, candidate: Array) -> tuple[Array, float]:
        """Elements that are not the reference beyond what rounding explains, and the error of an element it does."""
        # a sum that cancels is as inexact as what it is made of: 0 to rounding of the loss is 0
        eps = float(numpy.finfo(self.dtype).eps)
        slack = ROUNDING[self.dtype] * eps * point.natural(leaf)
        bad = point.mismatches(leaf, candidate, self.tolerance, slack)
        if bad.size:
            slack += 64 * eps * self._sensitivity_of(leaf)
            bad = point.mismatches(leaf, candidate, self.tolerance, slack)
        if point.demanding:  # what the reference has is not what is asked for
            bad = numpy.concatenate([bad, numpy.setdiff1d(numpy.arange(candidate.size), bad)])
        return bad, slack

    def _sensitivity_of(self, leaf: Node) -> float:
        """How much the gradient moves, relative to a relative change of all arguments, away from ties."""
        if not self._sensitivity:
            self._sensitivity = dict.fromkeys(self.point.wrt, 0.0)
            near = self.beside(0)
            if near is not None:
                # of two changes the smaller effect: one of them may step over a kink
                first, second = (self._changes(near.point, k) for k in (0, 1))
                self._sensitivity = {n: min(first[n], second[n]) for n in self.point.wrt}
        return self._sensitivity[leaf]

    def _changes(self, point: GraphPoint, number: int) -> dict[Node, float]:
        generator = numpy.random.default_rng([self.seed, number, 1])
        relative = 1e-7
        values = {
            n: a * (1 + relative * generator.choice([-1.0, 1.0], a.shape)) if n.is_float else a
            for n, a in point.given.items()
        }
        moved = GraphPoint(point.root, point.wrt, values, [], 0.0)
        return {n: float(abs(moved.reference(n) - point.reference(n)).max(initial=0.0)) / relative for n in point.wrt}

    def _against_reference(self, leaf: Node, place: tuple[int, ...], sample: Sample) -> Sample:
        """An element that differs from the reference, yet agrees with its slope to what differences can tell."""
        if sample.verdict != "right" or self.point.demanding:
            return sample
        reference = float(self.point.reference(leaf)[place])
        reason = (
            f"it differs from the float64 reference gradient {reference:.9g} by more than rounding in {self.dtype} "
            "explains, though by less than differences can tell"
        )
        # what neither differences nor rounding explain is wrong where the reference can tell, else left open
        certain = sample.error > 1e-9 * self.point.natural(leaf)
        return replace(sample, verdict="wrong" if certain else "unclear", reason=reason)

    def _places(self, candidate: Array, bad: Array) -> list[tuple[int, ...]]:
        """Elements to look at: what deviates most, some of the rest that deviates, the largest, random ones."""
        chosen = [int(i) for i in bad[: self.samples]]
        if bad.size > self.samples:
            chosen += [
                int(i) for i in self.generator.choice(bad[self.samples :], min(4, bad.size - self.samples), False)
            ]
        chosen.append(int(abs(candidate).argmax()))
        count = max(self.samples, len(set(chosen)))
        chosen += [int(i) for i in self.generator.permutation(candidate.size)[: self.samples]]
        places = list(dict.fromkeys(chosen))[:count]
        return [tuple(int(i) for i in numpy.unravel_index(place, candidate.shape)) for place in places]

    @staticmethod
    def _is_bad(bad: Array, place: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        return bool(bad.size) and int(numpy.ravel_multi_index(place, shape) if shape else 0) in bad

    def _direction(self, leaf: Node) -> Array:
        shape = self.point.given[leaf].shape
        direction = self.generator.standard_normal(shape)
        return direction / max(float(numpy.linalg.norm(direction)), 1e-300)

    # ---- beside the point ---------------------------------------------------------------------------

    def beside(self, number: int) -> _Beside | None:
        """A point near by, away from ties; None where the loss has no value there."""
        while len(self._beside) <= number:
            generator = numpy.random.default_rng([self.seed, len(self._beside)])
            values = {}
            for node, array in self.point.given.items():
                values[node] = array
                if node.is_float and node.kind in ("input", "parameter"):
                    size = float(numpy.sqrt(numpy.mean(array**2))) if array.size else 0.0
                    moved = array + 2.0**-7 * (size or 1.0) * generator.standard_normal(array.shape)
                    values[node] = moved.astype(self.dtype).astype("float64")  # as the subject will see it
            try:
                near = self.point.frozen.nearness
                point = GraphPoint(self.point.root, self.point.wrt, values, [], near, self.point.conventions)
            except CheckError:
                self._beside.append(None)
                continue
            gradients = {} if self.subject is None else self.subject(_by_name(point))[1]
            self._beside.append(_Beside(point, gradients))
        return self._beside[number]

    def _judged_beside(self, leaf: Node, samples: list[Sample]) -> tuple[_Beside | None, list[Sample], str]:
        """A tie leaves the gradient open, so that it is judged again on its sides, where there is none."""
        for number in range(SIDES):
            near = self.beside(number)
            if near is None:
                continue
            candidate = near.gradients[leaf.label].astype("float64")
            bad, slack = self._bad(near.point, leaf, candidate)
            found = []
            for flat in bad[: self.samples]:
                place = tuple(int(i) for i in numpy.unravel_index(int(flat), candidate.shape))
                found.append(near.point.sample(leaf, place, candidate, self.measured, own=False, slack=slack)[0])
            if _worst(found) in ("wrong", "unclear"):
                return near, found, _worst(found)
        return None, samples, "tie"


def _by_name(point: GraphPoint) -> dict[str, Array]:
    return {node.label: array for node, array in point.given.items() if node.kind in ("input", "parameter")}


def _worst(samples: list[Sample]) -> str:
    verdicts = {sample.verdict for sample in samples}
    return next((v for v in ("wrong", "unclear", "tie") if v in verdicts), "right")
