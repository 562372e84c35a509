"""Gradients of a graph at a point: the reference, its slopes by differences, and a gradient that is judged by them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

from graphc.checking.conventions import Conventions
from graphc.checking.numeric.frozen import Exchange, Frozen, Tie
from graphc.checking.numeric.report import Sample
from graphc.checking.numeric.slopes import Slope, measure
from graphc.checking.numeric.terms import Term
from graphc.checking.opened import opened
from graphc.errors import CheckError
from graphc.gradients import Backward
from graphc.graph.node import Node
from graphc.graph.reference import bind_sizes, evaluate_all

__all__ = ["GraphPoint", "Tolerance"]

Array = numpy.ndarray

#: Ties whose other winner is tried one by one, and the largest number of tie rules that are combined.
MOST_TIES, MOST_RULES = 300, 64


@dataclass(frozen=True)
class Tolerance:
    """What rounding explains.

    Attributes
    ----------
    relative : float
        Relative to the larger of the two values.
    scale : float
        Relative to the largest gradient of the same parameter: sums in another order round differently.
    """

    relative: float
    scale: float

    def allowed(self, a: Array | float, b: Array | float, largest: float) -> Array | float:
        """Largest error allowed between two values."""
        return self.relative * numpy.maximum(abs(a), abs(b)) + self.scale * largest


class GraphPoint:
    """A graph at a point.

    Parameters
    ----------
    root : Node
        Scalar that is differentiated.
    wrt : sequence of Node
        Leaves whose gradients are checked.
    values : mapping
        Arrays of all leaves.
    terms : sequence of Term
        Terms of the root, each to be checked alone; empty where it is no sum.
    nearness : float
        See `Frozen`.
    conventions : Conventions, optional
        What is accepted at a tie.
    """

    def __init__(
        self,
        root: Node,
        wrt: Sequence[Node],
        values: Mapping[Node, Array],
        terms: Sequence[Term],
        nearness: float,
        conventions: Conventions | None = None,
    ) -> None:
        self.conventions = conventions or Conventions()
        self.root, self.wrt, self.terms = root, list(wrt), list(terms)
        self.given = dict(values)
        roots = [root, *(term.node for term in terms)]
        standing = opened(roots, bind_sizes(values))  # repeats are written out, so that each step has its own winners
        self.frozen = Frozen([standing[node] for node in roots], values, nearness=nearness)
        self.centre = [float(self.frozen.values[node]) for node in self.frozen.roots]
        _refuse_nan(self.frozen)
        largest = max(map(abs, self.centre), default=0.0)
        self.noise = numpy.full(len(self.centre), 4 * numpy.finfo("float64").eps * max(largest, 1e-300))
        #: gradients of the root, then of every term, by leaf
        self.gradients = [self._gradients(node) for node in (root, *(t.node for t in terms))]

        moved = [float(abs(g).max(initial=0.0)) * self.scale(leaf, None) for leaf, g in self.gradients[0].items()]
        self._reach = max(*map(abs, self.centre), *moved)

    @property
    def loss(self) -> float:
        """Value of the root."""
        return self.centre[0]

    def _gradients(self, root: Node) -> dict[Node, Array]:
        back = Backward(root, None, None) if root is not self.root else Backward(root, self.wrt, None)
        reached = [leaf for leaf in self.wrt if leaf in back.wrt and back.has_grad(leaf)]
        values = {**self.given, back.seed: numpy.asarray(1.0)}
        found = evaluate_all([back.grad(leaf) for leaf in reached], values) if reached else {}
        zeros = {leaf: numpy.zeros(self.given[leaf].shape) for leaf in self.wrt}
        return zeros | {
            leaf: numpy.broadcast_to(found[back.grad(leaf)], self.given[leaf].shape).copy() for leaf in reached
        }

    def reference(self, leaf: Node) -> Array:
        """Gradient of the root by the reference evaluator."""
        return self.gradients[0][leaf]

    # ---- slopes ----------------------------------------------------------------------------------

    def scale(self, leaf: Node, place: tuple[int, ...] | None) -> float:
        """A natural displacement: the size of the element, or of its neighbours where it is near 0."""
        array = self.given[leaf]
        typical = float(numpy.sqrt(numpy.mean(array**2))) if array.size else 1.0
        size = max(typical, 0.0 if place is None else abs(float(array[place])))
        return max(size, 1e-2) if size > 0 else 1.0

    def _floor(self, leaf: Node, place: tuple[int, ...] | None) -> float:
        """A slope that moves the loss by no more than 1e-9 of its terms over a natural displacement: 0 to rounding."""
        return 1e-9 * self.natural(leaf, place)

    def natural(self, leaf: Node, place: tuple[int, ...] | None = None) -> float:
        """A slope that moves the loss by its own size, or as far as another leaf can, over a natural displacement."""
        return max(self._reach, 1e-300) / self.scale(leaf, place)

    def moved(self, leaf: Node, direction: tuple[int, ...] | Array, t: float) -> Array:
        """A leaf moved by ``t`` in one element or along a direction."""
        array = numpy.array(self.given[leaf], dtype="float64")
        if isinstance(direction, tuple):
            array[direction] += t
            return array
        return array + t * direction

    def slope(self, leaf: Node, direction: tuple[int, ...] | Array, goal: float) -> Slope:
        """Slopes of the root and of every term."""
        place = direction if isinstance(direction, tuple) else None
        return measure(
            lambda t: self.frozen.at(leaf, self.moved(leaf, direction, t)),
            self.centre,
            self.scale(leaf, place),
            noise=self.noise,
            goal=goal,
        )

    def crossed(self, leaf: Node, direction: tuple[int, ...] | Array, step: float) -> tuple[str, ...]:
        """Gates whose winners change between ``x - step`` and ``x + step``."""
        total: dict[Node, int] = {}
        for t in (-step, step):
            _, changed = self.frozen.declared_at(leaf, self.moved(leaf, direction, t))
            for node, count in changed.items():
                total[node] = total.get(node, 0) + count
        return tuple(f"{node.label} ({count})" for node, count in total.items())

    # ---- ties ------------------------------------------------------------------------------------

    def interval(self, leaf: Node, place: tuple[int, ...]) -> tuple[float, float, bool]:
        """Slopes that ties at the point allow for an element: lowest, highest, and whether all ties were tried.

        Every tie is decided the other way by itself, then the rules of the gates are combined (the first wins, the
        last wins), and the slopes of the graph itself on either side count too.
        """
        rules = self.conventions
        base = self.frozen.convention({"relu": 1}) if rules.relu_at_zero == 1 else {}
        step = 1e-4 * self.scale(leaf, place)
        ahead, behind = self.moved(leaf, place, step), self.moved(leaf, place, -step)

        def slope(exchange: Exchange) -> float:
            exchange = {**base, **exchange}
            return (self.frozen.at(leaf, ahead, exchange)[0] - self.frozen.at(leaf, behind, exchange)[0]) / (2 * step)

        centre = slope({})
        low = high = centre
        reached = {id(application) for application in self.frozen.downstream(leaf)}
        ties = [tie for tie in self.frozen.ties if id(tie.node.application) in reached and self._open(tie)]
        points = [(tie, int(where)) for tie in ties for where in tie.places]
        for tie, where in points[:MOST_TIES]:
            changes = [slope(exchange) - centre for exchange in self.frozen.alternatives(tie, where)]
            low += min(0.0, *changes) if changes else 0.0
            high += max(0.0, *changes) if changes else 0.0
        gates = list(dict.fromkeys(tie.node.gate for tie in ties))
        options = [range(3 if any(t.kind == "sign" for t in ties if t.node.gate == gate) else 2) for gate in gates]
        for chosen in itertools.islice(itertools.product(*options), MOST_RULES):
            found = slope(self.frozen.convention(dict(zip(gates, chosen, strict=True))))
            low, high = min(low, found), max(high, found)
        tiny = 1e-6 * self.scale(leaf, place)
        for t in (-tiny, tiny) if rules == Conventions() else ():
            found = (self.frozen.declared_at(leaf, self.moved(leaf, place, t))[0][0] - self.centre[0]) / t
            low, high = min(low, found), max(high, found)
        return low, high, len(points) <= MOST_TIES

    @property
    def demanding(self) -> bool:
        """Whether the conventions ask for another slope than graphc's own at some tie of the point."""
        return self.conventions.relu_at_zero == 1 and any(tie.node.gate == "relu" for tie in self.frozen.ties)

    def _open(self, tie: Tie) -> bool:
        """Whether the conventions leave open how a tie is decided."""
        return (self.conventions.relu_at_zero if tie.node.gate == "relu" else self.conventions.ties) == "interval"

    def tie_note(self) -> str:
        """How many ties there are at the point, by gate; empty where there are none."""
        if not self.frozen.ties:
            return ""
        counts = [
            f"{tie.node.label} at {len(tie.places)} {'place' if len(tie.places) == 1 else 'places'}"
            for tie in self.frozen.ties
        ]
        return "exact ties at the point: " + ", ".join(counts)

    # ---- comparing -------------------------------------------------------------------------------

    def mismatches(self, leaf: Node, candidate: Array, tolerance: Tolerance, slack: float) -> Array:
        """Flat positions where a gradient is not the reference, the worst first."""
        reference = self.reference(leaf)
        error = abs(candidate - reference)
        largest = float(abs(reference).max(initial=0.0))
        excess = error - tolerance.allowed(candidate, reference, largest) - slack
        bad = numpy.flatnonzero(~(excess <= 0))
        return bad[numpy.argsort(-numpy.nan_to_num(error.reshape(-1)[bad], nan=numpy.inf), kind="stable")]

    def sample(
        self,
        leaf: Node,
        direction: tuple[int, ...] | Array,
        candidate: Array,
        tolerance: Tolerance,
        *,
        own: bool,
        slack: float = 0.0,
    ) -> tuple[Sample, dict[Term, float]]:
        """Compare one element, or one direction, with its slope.

        Parameters
        ----------
        own : bool
            Whether the candidate is the reference gradient itself: then every term is compared too, and no tie
            excuses an error.
        slack : float
            Error of one element that is allowed besides.

        Returns
        -------
        Sample, dict of relative errors by term
        """
        place = direction if isinstance(direction, tuple) else None
        slope = self.slope(leaf, direction, 1e-9)
        analytic = _dot(candidate, direction)
        reference = self.reference(leaf)
        if place is None:
            assert isinstance(direction, numpy.ndarray)
            # the parts of a scalar product may cancel: what counts is their size
            largest = float(numpy.sqrt((reference**2 * direction**2).sum()))
        else:
            largest = float(abs(reference).max(initial=0.0))
        numeric = float(slope.value[0])
        error = abs(numeric - analytic)
        uncertain = 4 * float(slope.error[0])
        if place is None:
            slack = slack * float(numpy.linalg.norm(direction)) + tolerance.relative * largest
        slack += float(tolerance.allowed(numeric, analytic, largest))
        allowed = slack + uncertain
        verdict, reason, interval = "right", "", None
        fits = error <= allowed
        if not fits:
            verdict = "wrong"
        elif uncertain > max(1e-2 * max(abs(numeric), abs(analytic)), self._floor(leaf, place)):
            verdict, reason = "unclear", "the differences do not settle to a slope at any step"
        if not own and place is not None and self.frozen.ties and (not fits or self.demanding):
            low, high, complete = self.interval(leaf, place)
            if max(high, numeric) - min(low, numeric) > allowed:
                interval = (low, high)
                if low - allowed <= analytic <= high + allowed:
                    verdict, reason = "tie", f"ties at the point allow slopes from {low:.6g} to {high:.6g}"
                elif complete:
                    verdict = "wrong"
                else:
                    verdict, reason = "unclear", "there are more ties at the point than were tried"
        errors: dict[Term, float] = {}
        if own:
            for k, term in enumerate(self.terms, 1):
                part = _dot(self.gradients[k][leaf], direction)
                room = float(tolerance.allowed(slope.value[k], part, _size(self.gradients[k][leaf], direction)))
                room += 4 * float(slope.error[k])
                if place is None:
                    room += tolerance.relative * _size(self.gradients[k][leaf], direction)
                size = max(abs(part), abs(float(slope.value[k])))
                errors[term] = abs(part - float(slope.value[k])) / size if size > room else 0.0
                if not abs(part - slope.value[k]) <= room:
                    verdict = "wrong"
                    reason = f"the term {term.name} alone has the slope {slope.value[k]:.6g}, found {part:.6g}"
        sample = Sample(
            place=place,
            numeric=numeric,
            analytic=analytic,
            error=error,
            allowed=allowed,
            step=float(slope.step[0]),
            order=slope.order(numpy.array([analytic, *(_dot(g[leaf], direction) for g in self.gradients[1:])]), slack)[
                0
            ],
            verdict=verdict,
            interval=interval,
            kinks=self.crossed(leaf, direction, slope.steps[0]) if verdict != "right" else (),
            reason=reason,
        )
        return sample, errors


def _dot(gradient: Array, direction: tuple[int, ...] | Array) -> float:
    return float(gradient[direction]) if isinstance(direction, tuple) else float((gradient * direction).sum())


def _size(gradient: Array, direction: tuple[int, ...] | Array) -> float:
    if isinstance(direction, tuple):
        return float(abs(gradient).max(initial=0.0))
    return float(numpy.sqrt((gradient**2 * direction**2).sum()))


def _refuse_nan(frozen: Frozen) -> None:
    """Raise where the loss is no number, and name the gate that made it so."""
    if all(numpy.isfinite(frozen.values[root]) for root in frozen.roots):
        return
    for node in frozen.nodes:
        value = frozen.values.get(node)
        if value is None or not node.is_float or numpy.isfinite(value).all() or node.application is None:
            continue
        if all(numpy.isfinite(frozen.values[o]).all() for o in node.operands if o.is_float):
            bad = numpy.argwhere(~numpy.isfinite(value))[0]
            raise CheckError(
                f"check_gradients: the loss is {float(frozen.values[frozen.roots[0]])}, so it has no slope; the first "
                f"{value[tuple(bad)]} comes from {node.gate} {node.label!r} at index {tuple(int(i) for i in bad)}\n"
                f"  declared at {node.site}\n"
                "  Try: other data, at which the gate has a value",
                node=node,
                gate=node.gate,
                site=node.site,
            )
    raise CheckError(f"check_gradients: the loss is {float(frozen.values[frozen.roots[0]])}, so it has no slope")
