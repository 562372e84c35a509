"""Gradients of a function that is no graph: differences of the function itself, kinks found by their two slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy

from graphc.checking.numeric.messages import not_finite_text, sample_pattern, shape_text, wrong_text
from graphc.checking.numeric.report import GradientFinding, GradientReport, Sample
from graphc.checking.numeric.slopes import Slope, measure
from graphc.checking.numeric.subjects import CompiledStep, PythonFunction
from graphc.errors import CheckError, DataError, did_you_mean

__all__ = ["check_function"]

Array = numpy.ndarray

#: Points beside the given one at which a gradient is judged again.
SIDES = 3

#: Points near a kink whose gradients bound what counts as one.
NEAR_POINTS = 64


def check_function(
    subject: PythonFunction | CompiledStep,
    wrt: Sequence[str] | None,
    samples: int,
    tolerance: float | None,
    seed: int,
) -> GradientReport:
    """Judge the gradients that a function brings by differences of its loss.

    Raises
    ------
    CheckError
        If its loss is not finite, or two calls at one point give two losses.
    """
    judge = _Function(subject, samples, tolerance, seed)
    chosen = list(judge.gradients) if wrt is None else list(wrt)
    for name in chosen:
        if name not in judge.gradients:
            raise CheckError(
                f"check_gradients: {subject.name} brings no gradient for {name!r}"
                f"{did_you_mean(name, judge.gradients)}; it brings {', '.join(judge.gradients)}"
            )
    findings = [judge.finding(name) for name in chosen]
    return GradientReport(f"{subject.name}()", judge.value, findings, notes=judge.notes, dtype=judge.dtype)


class _Function:
    def __init__(
        self, subject: PythonFunction | CompiledStep, samples: int, tolerance: float | None, seed: int
    ) -> None:
        self.subject, self.samples = subject, samples
        self.generator = numpy.random.default_rng(seed)
        self.notes: list[str] = []
        self.point = _arrays(subject)
        for name, array in self.point.items():
            if not numpy.isfinite(array).all():
                place = tuple(int(i) for i in numpy.argwhere(~numpy.isfinite(array))[0])
                raise DataError(f"check_gradients: {name!r} holds {array[place]} at index {place}")
        self.value, self.gradients = self._called(self.point)
        again = self._loss(self.point)
        if not numpy.isfinite(self.value):
            raise CheckError(f"check_gradients: the loss of {subject.name} is {self.value}, so it has no slope")
        if again != self.value:
            raise CheckError(
                f"check_gradients: two calls of {subject.name} at one point give the losses {self.value!r} and "
                f"{again!r}, so that differences measure chance\n"
                "  Try: draw dropout masks and the like from numpy.random.default_rng(0), made inside the function, or "
                "hand the mask in as data"
            )
        self.dtype = "float64"
        eps = float(numpy.finfo("float64").eps)
        single = any(g.dtype == numpy.float32 for g in self.gradients.values())
        if single or isinstance(subject, CompiledStep):
            self.dtype = "float32" if single else "float64"
            eps = float(numpy.finfo(self.dtype).eps)
        if self.dtype == "float32":
            self.notes.append("the gradients are float32: differences are coarse, errors below about 1 % pass unseen")
        self.eps = eps
        self.noise = numpy.array([4 * eps * max(abs(self.value), 1e-300)])
        self.relative = tolerance if tolerance is not None else 1e-6 if self.dtype == "float64" else 1e-2
        if isinstance(subject, PythonFunction) and any(
            numpy.asarray(v).dtype == numpy.float32 for v in subject.data.values() if isinstance(v, numpy.ndarray)
        ):
            self.notes.append(
                "float32 data was handed to the function as float64, so that differences keep their digits"
            )

    def _called(self, point: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        loss, gradients = self.subject(point)
        assert loss is not None
        return loss, gradients

    def _loss(self, point: Mapping[str, Array]) -> float:
        return self.subject.loss(point) if isinstance(self.subject, PythonFunction) else self._called(point)[0]

    def finding(self, name: str) -> GradientFinding:
        """Judge one gradient."""
        array, gradient = self.point[name], self.gradients[name]
        source = f"{self.subject.name}()" if isinstance(self.subject, PythonFunction) else "the compiled step"

        def finding(verdict: str, samples: Sequence[Sample], message: str) -> GradientFinding:
            return GradientFinding(name, array.shape, "argument", verdict, tuple(samples), message=message)

        if gradient.shape != array.shape:
            return finding("wrong", [], shape_text(name, gradient.shape, array.shape, source))
        gradient = gradient.astype("float64")
        if not numpy.isfinite(gradient).all():
            return finding("wrong", [], not_finite_text(name, gradient, source))
        if array.size == 0:
            return finding("right", [], "")
        chosen = [int(abs(gradient).argmax()), *map(int, self.generator.permutation(array.size))]
        places = [numpy.unravel_index(i, array.shape) for i in list(dict.fromkeys(chosen))[: self.samples]]
        samples = [self._sample(self.point, name, tuple(int(i) for i in place), gradient) for place in places]
        directions = []
        if array.size > 1:
            direction = self.generator.standard_normal(array.shape)
            directions = [direction / max(float(numpy.linalg.norm(direction)), 1e-300)]
        samples += [self._sample(self.point, name, direction, gradient) for direction in directions]
        verdict = _worst(samples)
        beside = False
        if verdict in ("wrong", "tie"):
            places = [s.place for s in samples if s.place is not None]
            found: list[Sample] = []
            for _ in range(SIDES):
                found += self._beside(name, places, directions)
                if _worst(found) == "wrong":
                    break
            if _worst(found) == "wrong":
                if verdict == "tie":
                    beside, samples, verdict = True, found, "wrong"
            elif verdict == "wrong" and _worst(found) == "right":
                near = self._near(name)
                along = {s.place: s.place if s.place is not None else directions[0] for s in samples}
                samples = [_excused(s, near, along[s.place]) if s.verdict == "wrong" else s for s in samples]
                verdict = _worst(samples)
        message = ""
        if verdict in ("wrong", "unclear"):
            worst = finding(verdict, samples, "").worst
            assert worst is not None
            hint = sample_pattern(samples) if verdict == "wrong" else ""
            message = wrong_text(name, worst, source, hint, "", _next(verdict, name), beside=beside, graph=False)
        return finding(verdict, samples, message)

    def _near(self, name: str) -> list[Array]:
        """Gradients at points so near that only the sides of kinks differ."""
        found = []
        for _ in range(NEAR_POINTS):
            value, gradients = self._called(self._moved(1e-7))
            if numpy.isfinite(value) and gradients[name].shape == self.point[name].shape:
                found.append(gradients[name].astype("float64"))
        return found

    def _moved(self, relative: float) -> dict[str, Array]:
        moved = {}
        for key, array in self.point.items():
            size = float(numpy.sqrt(numpy.mean(array**2))) if array.size else 0.0
            moved[key] = array + relative * (size or 1.0) * self.generator.standard_normal(array.shape)
        return moved

    def _beside(self, name: str, places: Sequence[tuple[int, ...]], directions: Sequence[Array]) -> list[Sample]:
        """The same samples at a point near by."""
        moved = self._moved(2.0**-7)
        value, gradients = self._called(moved)
        if not numpy.isfinite(value) or gradients[name].shape != self.point[name].shape:
            return []
        gradient = gradients[name].astype("float64")
        return [self._sample(moved, name, place, gradient, value) for place in (*places, *directions)]

    def _sample(
        self,
        point: Mapping[str, Array],
        name: str,
        direction: tuple[int, ...] | Array,
        gradient: Array,
        value: float | None = None,
    ) -> Sample:
        place = direction if isinstance(direction, tuple) else None
        slope = self._slope(point, name, direction, self.value if value is None else value)
        if place is None:
            analytic = float((gradient * direction).sum())
            largest = float(numpy.sqrt((gradient**2 * numpy.asarray(direction) ** 2).sum()))
        else:
            analytic, largest = float(gradient[place]), float(abs(gradient).max(initial=0.0))
        numeric, uncertain = float(slope.value[0]), 4 * float(slope.error[0])
        error = abs(numeric - analytic)
        size = max(abs(numeric), abs(analytic))
        allowed = self.relative * (max(size, largest) if place is None else size) + 1e-9 * largest
        interval, verdict, reason = None, "right", ""
        if not error <= allowed + min(uncertain, 1e-2 * size):
            sided = slope.sided()
            slack = 8 * sided.error + allowed
            if sided.kink:
                low, high = sorted((sided.left, sided.right))
                interval = (low, high)
                if low - slack <= analytic <= high + slack:
                    verdict, reason = (
                        "tie",
                        f"a kink at the point: its slopes are {sided.left:.6g} and {sided.right:.6g}",
                    )
                else:
                    verdict = "wrong"
                    reason = (
                        f"a kink at the point has the slopes {low:.6g} and {high:.6g}, and this is not between them"
                    )
            elif error <= uncertain or not numpy.isfinite(numeric):
                verdict, reason = "unclear", "the differences do not settle to a slope at any step"
            else:
                verdict = "wrong"
        return Sample(
            place=place,
            numeric=numeric,
            analytic=analytic,
            error=error,
            allowed=allowed + uncertain,
            step=float(slope.step[0]),
            order=slope.order(numpy.array([analytic]), allowed)[0],
            verdict=verdict,
            interval=interval,
            reason=reason,
        )

    def _slope(self, point: Mapping[str, Array], name: str, direction: tuple[int, ...] | Array, value: float) -> Slope:
        array = point[name]
        typical = float(numpy.sqrt(numpy.mean(array**2)))
        size = max(typical, abs(float(array[direction])) if isinstance(direction, tuple) else 0.0)
        scale = max(size, 1e-2) if size > 0 else 1.0

        def along(t: float) -> list[float]:
            moved = numpy.array(array)
            if isinstance(direction, tuple):
                moved[direction] += t
            else:
                moved += t * direction
            return [self._loss({**point, name: moved})]

        first = 2.0**-6 if self.dtype == "float64" else 2.0**-3
        return measure(along, [value], scale, noise=self.noise, goal=1e-8, first=first)


def _excused(sample: Sample, near: Sequence[Array], direction: tuple[int, ...] | Array) -> Sample:
    """A sample that is wrong here and right at points near by: kinks meet here, each with a slope of its own.

    What lies between gradients of points near by is a generalised gradient (Clarke 1975).
    """
    if sample.interval is None:
        reason = "the gradient is right beside the point; here kinks meet whose choices do not show in the whole"
        return replace(sample, verdict="tie", reason=reason)
    slopes = [float(g[direction] if isinstance(direction, tuple) else (g * direction).sum()) for g in near]
    low, high = min(*sample.interval, *slopes), max(*sample.interval, *slopes)
    slack = sample.allowed + 1e-4 * max(abs(low), abs(high))
    if low - slack <= sample.analytic <= high + slack:
        reason = f"kinks meet at the point; the slopes near by go from {low:.6g} to {high:.6g}"
        return replace(sample, verdict="tie", interval=(low, high), reason=reason)
    reason = f"the gradient is right beside the point; {sample.reason}, as it may be where several kinks meet"
    return replace(sample, verdict="unclear", reason=reason)


def _arrays(subject: PythonFunction | CompiledStep) -> dict[str, Array]:
    if isinstance(subject, PythonFunction):
        return subject.arrays()
    found: dict[str, Any] = {name: array for name, array in subject.saved[0].items() if array.dtype.kind == "f"}
    found |= {name: numpy.asarray(value) for name, value in subject.inputs.items()}
    return {name: numpy.asarray(a, dtype="float64") for name, a in found.items() if numpy.asarray(a).dtype.kind == "f"}


def _worst(samples: Sequence[Sample]) -> str:
    verdicts = {sample.verdict for sample in samples}
    return next((v for v in ("wrong", "unclear", "tie") if v in verdicts), "right")


def _next(verdict: str, name: str) -> str:
    if verdict == "unclear":
        return "choose a point where the loss is smooth and not constant to rounding, or compute it in float64"
    return (
        f"look at the line that computes d{name}; declare the loss as a graph and hand the function in as analytic= to "
        "compare every element"
    )
