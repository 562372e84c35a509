"""Samples of a wrong claim, and the sensitivities that turn a hypothesis about one gate into a prediction.

At a point in float64, let ``r`` be a random direction of the target. The *tangent* ``t`` of a node is its derivative
along ``r``, its *upstream* ``g`` the gradient of the root. If the pull of one edge were another, the gradient of the
target along ``r`` would change by ``<t_source, changed pull - pull>``: a hypothesis costs one product, no sweep.
What passes is confirmed with all digits by carrying the change down to the target.

Source
------
Griewank, Walther, Evaluating Derivatives (2nd edition), section 3.2: adjoints and tangents are dual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, State
from graphc.checking.diagnosis.recurrence import Steps
from graphc.checking.precise import OutsideDomain
from graphc.formula.size import extent_value
from graphc.graph.node import Node
from graphc.graph.reference import run_formula

__all__ = ["Evidence", "Point", "flat", "same", "summed"]

Array = numpy.ndarray

#: Points in float64 and points with all digits that a hypothesis must explain.
_POINTS, _CONFIRMING = 4, 3

#: Edges, and operations of one evaluation, beyond which two points must do.
_MANY_EDGES, _MANY_OPERATIONS = 300, 100_000

#: Relative difference allowed in float64: finite differences of gates cost some digits.
_CLOSE = 1e-6

#: Decimal digits that must agree between a claim with 60 digits and a hypothesis, since p - y may have lost some; of a
#: claim in float64.
_DIGITS, _DIGITS_OF_FLOATS = 25, 9

#: Step of finite differences, and what rounding leaves of sums relative to their terms.
_STEP, _ROUNDING = 1e-5, 1e-11


def flat(value: Any, kind: str = "float64") -> Array:
    """A number or array as a vector."""
    return numpy.asarray(value).astype(kind).reshape(-1)


def same(a: Any, b: Any, digits: int = _DIGITS) -> bool:
    """Whether two numbers or arrays of one shape agree to some digits of the largest element."""
    import mpmath

    if numpy.shape(a) != numpy.shape(b):
        return False
    first, second = numpy.asarray(a, dtype=object).reshape(-1), numpy.asarray(b, dtype=object).reshape(-1)
    close = mpmath.mpf(10) ** -digits
    largest = max((abs(v) for v in (*first, *second)), default=0)
    # elements are compared by their own size, and by the largest one where sums cancel; float64 has no digits for that
    rest = close * largest * (close if digits > _DIGITS_OF_FLOATS else 1)
    return all(abs(x - y) <= max(close * max(abs(x), abs(y)), rest) for x, y in zip(first, second, strict=True))


def summed(value: Any, shape: tuple[int, ...]) -> Any:
    """Sum an array over the axes along which an operand of ``shape`` was broadcast."""
    if not shape:
        return numpy.sum(value) if numpy.ndim(value) else value
    array = numpy.asarray(value)
    array = array.sum(axis=tuple(range(array.ndim - len(shape)))) if array.ndim > len(shape) else array
    long = tuple(d for d, extent in enumerate(shape) if extent == 1 and array.shape[d] != 1)
    return array.sum(axis=long, keepdims=True) if long else array


@dataclass
class Point:
    """One sample in float64."""

    state: State
    claim: Array
    direction: Array
    wanted: float
    slack: float
    tangents: dict[int, Array] = field(default_factory=dict)

    def agrees(self, moved: float) -> bool:
        """Whether a change along the direction is the one that was found."""
        return bool(abs(moved - self.wanted) <= _CLOSE * max(abs(self.wanted), abs(moved)) + self.slack)


class Evidence:
    """What diagnosis knows about a wrong claim.

    Parameters
    ----------
    samples : sequence of (State, claimed value)
        Generic points; the claim has the shape of the gradient.
    """

    def __init__(self, circuit: Circuit, target: Node, samples: Sequence[tuple[State, Any]]) -> None:
        self.circuit, self.target = circuit, target
        self.steps = Steps(circuit)
        self.into: Mapping[int, Sequence[int]] = circuit.edges_into
        self.above = self._above()
        # whatever lies between the target and the root, operands first
        self.between = [node for node in circuit.nodes if node.id in self.above]
        self.edges = [p for node in self.between for p in self.into.get(node.id, ()) if self._on_path(p)]
        self.samples = list(samples)
        first = numpy.asarray(samples[0][1])
        self.digits = _DIGITS if first.dtype == object else _DIGITS_OF_FLOATS
        generator = numpy.random.default_rng(0)
        self.shape = numpy.shape(samples[0][0].gradients[target.id])
        self.chosen = self._chosen()
        self.points = [self._point(state, claim, generator) for state, claim in self.chosen]
        self._maps: dict[int, Array | None] = {}
        self._factors: dict[tuple[int, int], Any] = {}
        self._alike: dict[tuple[int, ...], list[Node]] = {}
        self._stacked: dict[tuple[tuple[int, ...], int], Array] = {}
        self._along: dict[Any, Any] = {}
        for point in self.points:
            self._push(point)

    def _above(self) -> set[int]:
        """Nodes through which the target reaches the root, both included."""
        reached = {self.target.id}
        for node in self.circuit.nodes:
            if any(self.circuit.edges[p].source.id in reached for p in self.into.get(node.id, ())):
                reached.add(node.id)
        wanted = {self.circuit.root.id}
        for node in reversed(self.circuit.nodes):
            if node.id in wanted:
                wanted |= {self.circuit.edges[p].source.id for p in self.into.get(node.id, ())}
        return reached & wanted

    def _on_path(self, position: int) -> bool:
        edge = self.circuit.edges[position]
        return edge.source.id in self.above and edge.target.id in self.above

    def _chosen(self) -> list[tuple[State, Any]]:
        """Samples of moderate size: far out, float64 sees nothing but the largest term."""

        def size(sample: tuple[State, Any]) -> float:
            numbers = [flat(v) for v in sample[0].values.values()]
            largest = max((float(numpy.max(numpy.abs(n))) for n in numbers if n.size), default=0.0)
            return largest if numpy.isfinite(largest) else 1e300

        def telling(sample: tuple[State, Any]) -> tuple[bool, bool]:
            gradient, claim = numpy.asarray(sample[0].gradients[self.target.id]), numpy.asarray(sample[1])
            return not numpy.any(gradient != 0), not numpy.any(claim != 0)

        def small(sample: tuple[State, Any]) -> float:
            numbers = numpy.abs(flat(sample[0].gradients[self.target.id]))
            numbers = numbers[numbers > 0]
            return float(numbers.max()) if numbers.size else 1.0

        kept = self.samples  # generic points: none is on a kink
        usual = [s for s in kept if size(s) < 1e4 and small(s) > 1e-6] or sorted(kept, key=size)
        # first what is nowhere zero; but a mask shows only where it is
        plain, masked = [s for s in usual if not any(telling(s))], [s for s in usual if any(telling(s))]
        masked.sort(key=telling)
        count = 2 if len(self.edges) > _MANY_EDGES or self.circuit.operations() > _MANY_OPERATIONS else _POINTS
        chosen = [*plain[: count - min(1, len(masked))], *masked][:count]
        # a mistake with a mask shows at some points only
        wrong = [s for s in kept if not same(s[1], s[0].gradients[self.target.id], self.digits)]
        if not any(s is w for s in chosen[: _CONFIRMING - 1] for w in wrong):
            chosen = [*wrong[:2], *chosen][:count]
        return chosen

    def _point(self, state: State, claim: Any, generator: numpy.random.Generator) -> Point:
        numbers = state if state.precision == "double" else self.circuit.state(state.point, "double")
        direction = generator.uniform(0.5, 1.5, self.shape) * generator.choice((-1.0, 1.0), self.shape)
        if not self.shape:
            direction = numpy.ones(())
        difference = flat(numpy.asarray(claim, dtype=object) - numpy.asarray(state.gradients[self.target.id], object))
        wanted = float(difference @ direction.reshape(-1))
        # a difference that is small beside its parts is known to few digits
        slack = _ROUNDING * float(numpy.abs(flat(claim)) @ numpy.abs(direction.reshape(-1)))
        return Point(numbers, flat(claim), direction.reshape(-1), wanted, slack)

    # ---- tangents --------------------------------------------------------------------------------

    def _push(self, point: Point) -> None:
        """Tangents of all nodes between the target and the root."""
        point.tangents[self.target.id] = point.direction
        for node in self.between:
            if node is self.target:
                continue
            total = numpy.zeros(numpy.size(point.state.values[node.id]))
            for position in self.into.get(node.id, ()):
                if self._on_path(position):
                    source = self.circuit.edges[position].source
                    total = total + self.pushed(position, point, point.tangents[source.id])
            point.tangents[node.id] = total

    def pushed(self, position: int, point: Point, tangent: Array) -> Array:
        """Tangent of a gate's output, from the tangent of one operand."""
        slope, places = self.factor(position, point.state), self.map(position)
        if slope is not None and places is not None:
            return flat(slope) * tangent[places.reshape(-1)]
        edge = self.circuit.edges[position]
        application = edge.target.application
        assert application is not None
        formula = application.formula
        operand = numpy.asarray(point.state.values[edge.source.id])
        tensors = {
            name: numpy.asarray(point.state.values[o.id])
            for name, o in zip(formula.inputs, application.operands, strict=True)
        }
        sizes = self.extents(position)
        output = formula.outputs[edge.target.output]
        moved = tangent.reshape(operand.shape) * _STEP
        high = run_formula(formula, {**tensors, formula.inputs[edge.k]: operand + moved}, sizes)[output]
        low = run_formula(formula, {**tensors, formula.inputs[edge.k]: operand - moved}, sizes)[output]
        return flat(high - low) / (2 * _STEP)

    def tangent_along(self, path: tuple[int, ...], number: int) -> Array:
        """Tangent behind some edges from the target on, of that path alone."""
        if not path:
            return self.points[number].direction
        key = (path, number)
        if key not in self._along:
            before = self.tangent_along(path[:-1], number)
            self._along[key] = self.pushed(path[-1], self.points[number], before)
        return self._along[key]

    def upstream_along(self, path: tuple[int, ...], state: State) -> Any:
        """Gradient that arrives over some edges from the root, of that path alone."""
        if not path:
            return state.gradients[self.circuit.root.id]
        key = (path, id(state))
        if key not in self._along:
            self._along[key] = self.circuit.pull(path[0], state, self.upstream_along(path[1:], state))
        return self._along[key]

    def extents(self, position: int) -> dict[str, int]:
        """Sizes of the tensors of an edge's gate."""
        application = self.circuit.edges[position].target.application
        assert application is not None
        return {name: extent_value(extent, self.circuit.sizes) for name, extent in application.sizes.items()}

    def map(self, position: int) -> Array | None:
        """For each element of a gate's output the element of the operand that it reads; None if the gate mixes."""
        edge = self.circuit.edges[position]
        if edge.slope is None:
            return None
        if position not in self._maps:
            shape, full = self.circuit.shapes[edge.source.id], self.circuit.shapes[edge.target.id]
            places = numpy.arange(int(numpy.prod(shape, dtype=int))).reshape(shape)
            self._maps[position] = numpy.broadcast_to(places, full)
        return self._maps[position]

    def factor(self, position: int, state: State) -> Any:
        """Local factor of an elementwise edge at a state, remembered."""
        key = (position, id(state))
        if key not in self._factors:
            self._factors[key] = self.circuit.local_factor(position, state)
        return self._factors[key]

    def alike(self, node: Node) -> list[Node]:
        """Nodes with the shape of a node, with itself."""
        shape = self.circuit.shapes[node.id]
        if shape not in self._alike:
            self._alike[shape] = [
                n for n in self.circuit.nodes
                if n.is_float and n.kind != "constant" and self.circuit.shapes[n.id] == shape
            ]  # fmt: skip
        return self._alike[shape]

    def values_alike(self, node: Node, number: int) -> Array:
        """Values of `alike` nodes at a point, as one array with an axis more."""
        key = (self.circuit.shapes[node.id], number)
        if key not in self._stacked:
            values = self.points[number].state.values
            self._stacked[key] = numpy.array([values[n.id] for n in self.alike(node)], dtype="float64")
        return self._stacked[key]

    # ---- confirmation ----------------------------------------------------------------------------

    def carry(self, node: Node, change: Any, state: State) -> Any:
        """What a change of the gradient of a node changes in the gradient of the target."""
        return self.sweep({node.id: change}, state).get(self.target.id, 0)

    def sweep(
        self,
        seeds: Mapping[int, Any],
        state: State,
        changed: Mapping[int, Callable[[State, Any], Any]] | None = None,
        zeroed: frozenset[int] = frozenset(),
    ) -> dict[int, Any]:
        """Reverse sweep between root and target from given gradients.

        Parameters
        ----------
        seeds : mapping
            Gradient by number of the node.
        changed : mapping, optional
            What takes the place of the pull of an edge, from state and upstream gradient.
        zeroed : frozenset of int
            Nodes through which nothing flows back.
        """
        gradients = dict(seeds)
        changed = changed or {}
        for node in reversed(self.between):
            upstream = gradients.get(node.id)
            if upstream is None or node is self.target or node.id in zeroed:
                continue
            for position in self.into.get(node.id, ()):
                if not self._on_path(position):
                    continue
                pull = changed.get(position)
                part = self.circuit.pull(position, state, upstream) if pull is None else pull(state, upstream)
                source = self.circuit.edges[position].source.id
                gradients[source] = gradients[source] + part if source in gradients else part
        return gradients

    def confirmed(self, prediction: Callable[[State], Any]) -> bool:
        """Whether a prediction gives the claim, with all digits, at some samples."""
        import mpmath

        def whole(value: Any) -> Any:
            return numpy.broadcast_to(numpy.asarray(value, dtype=object), self.shape)

        # the last one may be where a mask is zero
        chosen = [*self.chosen[: _CONFIRMING - 1], *self.chosen[_CONFIRMING - 1 :][-1:]]
        with mpmath.workdps(60), numpy.errstate(all="ignore"):
            for state, claim in chosen:
                try:
                    found = prediction(state)
                except (ZeroDivisionError, OutsideDomain, OverflowError):
                    return False  # a hypothesis that divides by zero is none
                if not same(whole(found), whole(claim), self.digits):
                    return False
        return True

    def agrees(self, predicted: Sequence[float]) -> bool:
        """Whether changes predicted for the points are those that were found."""
        return all(point.agrees(p) for p, point in zip(predicted, self.points, strict=True))

    def explains(self, prediction: Callable[[State], Any]) -> bool:
        """Whether a prediction gives the claim at the points in float64."""
        with numpy.errstate(all="ignore"):
            for point in self.points:
                moved = flat(prediction(point.state)) - flat(point.state.gradients[self.target.id])
                change = float(moved @ point.direction) if moved.size else 0.0
                if not point.agrees(change):
                    return False
        return True

    def uses(self) -> list[int]:
        """Edges that leave the target towards the root."""
        return [p for p in self.edges if self.circuit.edges[p].source is self.target]

    def paths(self, most: int) -> list[tuple[int, ...]]:
        """Paths from the target to the root, each as its edges; none if there are more than ``most``."""
        leaving: dict[int, list[int]] = {}
        for position in self.edges:
            leaving.setdefault(self.circuit.edges[position].source.id, []).append(position)
        counts: dict[int, int] = {self.circuit.root.id: 1}
        for node in reversed(self.between):
            if node is not self.circuit.root:
                counts[node.id] = sum(counts[self.circuit.edges[p].target.id] for p in leaving.get(node.id, ()))
        if counts.get(self.target.id, 0) > most:
            return []

        def walk(node: Node) -> Iterator[tuple[int, ...]]:
            if node is self.circuit.root:
                yield ()
            for position in leaving.get(node.id, ()):
                for rest in walk(self.circuit.edges[position].target):
                    yield (position, *rest)

        return list(walk(self.target))
