"""A graph whose winners are held: the smooth function that a gradient is the slope of.

``max``, ``abs``, a comparison or a pooling window choose between smooth branches. Where a difference quotient
steps over a change of winner it measures neither slope, and at a tie there are several. Here the choices made at
one point are recorded and kept while the arguments move, so that the function has no kinks: its slope is the
gradient that the tie rules of the gates promise, at every point, ties included. Where no winner changes between
``x - h`` and ``x + h`` it is the graph itself, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.checking.numeric.held import NEAR, Line, lines, read
from graphc.errors import DataError
from graphc.formula.expression import ONE, Expression
from graphc.formula.size import extent_value
from graphc.formula.statement import Access, Affine, Formula, Statement, Wins, neutral, size_name
from graphc.graph.node import Application, Node, topological
from graphc.graph.reference import bind_sizes, run_formula, run_statement
from graphc.graph.shapes import shape_text

__all__ = ["Exchange", "Frozen", "Tie"]

Array = numpy.ndarray

#: Recorded choices of one application: by name of the choice.
Choices = dict[str, Array]

#: Choices to use instead of the recorded ones: by ``id`` of the application, then by name.
Exchange = dict[int, Choices]


@dataclass(frozen=True)
class Tie:
    """Points of one choice at which two branches are equal."""

    node: Node
    name: str
    kind: str
    places: Array  # flat positions in the recorded array
    axes: tuple[int, ...] = ()  # of a winner: the axes it was chosen among


class Frozen:
    """A graph at a point, with every choice recorded.

    Parameters
    ----------
    roots : sequence of Node
        What is evaluated. Winners inside of a repeat (``graphc.unroll``) are not held: write it out before.
    values : mapping
        Array of every leaf.
    nearness : float, default 0
        Two values count as tied if they differ by no more than this, relative to the largest operand of the gate.

    Attributes
    ----------
    values : dict
        Value of every node at the point.
    ties : list of Tie
        Choices that could have gone the other way.
    """

    def __init__(self, roots: Iterable[Node], values: Mapping[Node, Any], *, nearness: float = 0.0) -> None:
        self.roots = list(roots)
        self.nodes = topological(self.roots)
        leaves = {n: _as_number(n, values[n]) for n in self.nodes if n in values}
        self.sizes = bind_sizes(leaves)
        self.nearness = nearness
        self.applications: list[Application] = []
        self.values: dict[Node, Array] = {}
        self._known: dict[int, dict[str, Any]] = {}
        self._choices: dict[int, Choices] = {}
        self.ties: list[Tie] = []
        for node in self.nodes:
            if node in leaves:
                self.values[node] = leaves[node]
            elif node.kind in ("constant", "mode"):
                self.values[node] = numpy.asarray(node.value, dtype="float64" if node.is_float else "int64")
            elif node.application is None:
                raise DataError(
                    f"no value for the {node.kind} {node.label!r} of shape {shape_text(node.shape)}\n"
                    f"  declared at {node.site}",
                    node=node,
                    site=node.site,
                )
            elif node not in self.values:
                self._first(node.application)
        self._below: dict[Node, list[Application]] = {}

    def _first(self, application: Application) -> None:
        self.applications.append(application)
        known: dict[str, Any] = {n: extent_value(e, self.sizes) for n, e in application.sizes.items()}
        self._known[id(application)] = known
        inputs = self._inputs(application, {})
        finite = [abs(a[numpy.isfinite(a)]).max(initial=0.0) for a in inputs.values() if a.dtype.kind == "f"]
        known[NEAR] = self.nearness * max(finite, default=0.0)
        choices, ties = {}, {}
        results = self._recorded(application, inputs, choices, ties)
        self._choices[id(application)] = choices
        for output, tensor in zip(application.outputs, application.formula.outputs, strict=True):
            self.values[output] = results[tensor]
        for line in lines(application.formula) if not application.formula.repeats else ():
            for kink in line.kinks:
                found = ties.get(kink.name)
                if found is not None and found.any():
                    reduced = line.declared.reduced() if kink.kind == "winner" else ()
                    names = [axis.name for axis in line.declared.axes]
                    axes = tuple(names.index(name) for name in reduced)
                    where = numpy.flatnonzero(found)
                    self.ties.append(Tie(application.outputs[0], kink.name, kink.kind, where, axes))

    def _inputs(self, application: Application, moved: Mapping[Node, Array]) -> dict[str, Array]:
        return {
            tensor: moved[operand] if operand in moved else self.values[operand]
            for tensor, operand in zip(application.formula.inputs, application.operands, strict=True)
        }

    def _recorded(
        self, application: Application, inputs: dict[str, Array], choices: Choices, ties: dict[str, Array]
    ) -> dict[str, Array]:
        """Run a gate as declared, and fill in its choices."""
        formula, known = application.formula, self._known[id(application)]
        if formula.repeats:
            return run_formula(formula, inputs, known)
        tensors = dict(inputs)
        with numpy.errstate(all="ignore"):
            for line in lines(formula):
                statement = line.declared
                for kink in line.kinks:
                    if kink.kind != "winner":
                        choices[kink.name] = _over_domain(statement, kink.record, tensors, known)
                        if kink.tie is not None:
                            ties[kink.name] = _over_domain(statement, kink.tie, tensors, known)
                _run(formula, statement, tensors, known)
                if line.winner:
                    _record_winner(line, tensors, known, choices, ties)
                elif statement.operator in ("argmax", "argmin"):
                    choices[f"{statement.write.tensor}!"] = tensors[statement.write.tensor]
        return tensors

    def _held(
        self, application: Application, inputs: dict[str, Array], other: Mapping[str, Array] | None
    ) -> dict[str, Array]:
        """Run a gate with its choices held, or with some of them exchanged."""
        formula, known = application.formula, self._known[id(application)]
        if formula.repeats:
            return run_formula(formula, inputs, known)
        tensors = {**inputs, **self._choices[id(application)], **(other or {})}
        with numpy.errstate(all="ignore"):
            for line in lines(formula):
                statement = line.held
                if statement.operator in ("argmax", "argmin"):
                    tensors[statement.write.tensor] = tensors[f"{statement.write.tensor}!"]
                else:
                    _run(formula, statement, tensors, known)
        return tensors

    def downstream(self, leaf: Node) -> list[Application]:
        """Applications that a leaf reaches, operands first."""
        if leaf not in self._below:
            reached, found = {leaf}, []
            for application in self.applications:
                if any(operand in reached for operand in application.operands):
                    reached |= set(application.outputs)
                    found.append(application)
            self._below[leaf] = found
        return self._below[leaf]

    def at(self, leaf: Node, array: Array, exchanged: Exchange | None = None) -> list[float]:
        """Values of the roots with one leaf moved and every choice held.

        Parameters
        ----------
        exchanged : dict, optional
            Choices to use instead of the recorded ones.
        """
        moved: dict[Node, Array] = {leaf: array}
        for application in self.downstream(leaf):
            other = (exchanged or {}).get(id(application))
            results = self._held(application, self._inputs(application, moved), other)
            for output, tensor in zip(application.outputs, application.formula.outputs, strict=True):
                moved[output] = results[tensor]
        return [float(moved[root] if root in moved else self.values[root]) for root in self.roots]

    def declared_at(self, leaf: Node, array: Array) -> tuple[list[float], dict[Node, int]]:
        """Values of the roots with one leaf moved and nothing held, and how many choices of each gate changed."""
        moved: dict[Node, Array] = {leaf: array}
        changed: dict[Node, int] = {}
        for application in self.downstream(leaf):
            choices: Choices = {}
            results = self._recorded(application, self._inputs(application, moved), choices, {})
            before = self._choices[id(application)]
            count = sum(int((choices[name] != before[name]).sum()) for name in choices)
            if count:
                changed[application.outputs[0]] = count
            for output, tensor in zip(application.outputs, application.formula.outputs, strict=True):
                moved[output] = results[tensor]
        return [float(moved[root] if root in moved else self.values[root]) for root in self.roots], changed

    def alternatives(self, tie: Tie, place: int) -> list[Exchange]:
        """What the gate of a tie could have chosen instead at one of its places."""
        recorded = self.choices_of(tie)
        values = (0.0,) if tie.kind == "winner" else (1.0, -1.0) if tie.kind == "sign" else (1.0, 0.0)
        found = []
        for value in values:
            option = recorded.copy()
            if tie.kind == "winner":
                _give(option, place, tie.axes)
            else:
                option.flat[place] = value
            if option.flat[place] != recorded.flat[place]:
                found.append({id(tie.node.application): {tie.name: option}})
        return found

    def choices_of(self, tie: Tie) -> Array:
        """The recorded choices that a tie belongs to."""
        return self._choices[id(tie.node.application)][tie.name]

    def convention(self, taken: Mapping[str, int]) -> Exchange:
        """Every tie decided by the rule of its gate: 0 as recorded, 1 the other way (the last winner), 2 as -1.

        Parameters
        ----------
        taken : mapping
            Rule by name of the gate.
        """
        exchange: Exchange = {}
        for tie in self.ties:
            rule = taken.get(tie.node.gate, 0)
            if rule == 0:
                continue
            option = self.choices_of(tie).copy()
            if tie.kind == "winner":
                for place in tie.places:  # the last of each window stays
                    _give(option, int(place), tie.axes)
            elif tie.kind == "sign":
                option.flat[tie.places] = 1.0 if rule == 1 else -1.0
            else:
                option.flat[tie.places] = 1.0 - option.flat[tie.places]
            exchange.setdefault(id(tie.node.application), {})[tie.name] = option
        return exchange


def _give(weights: Array, place: int, axes: tuple[int, ...]) -> None:
    """Make one place the winner of its window."""
    index = numpy.unravel_index(place, weights.shape)
    weights[tuple(slice(None) if d in axes else i for d, i in enumerate(index))] = 0
    weights.flat[place] = 1


def _as_number(node: Node, value: Any) -> Array:
    return numpy.asarray(value).astype("float64" if node.is_float else "int64")


def _run(formula: Formula, statement: Statement, tensors: dict[str, Array], known: Mapping[str, Any]) -> None:
    """One statement as `graphc.graph.reference` runs it; what it accumulates into is not shared between calls."""
    target = statement.write.tensor
    if target not in tensors or not (statement.accumulate or statement.partial):
        shape = tuple(known[size_name(target, d)] for d in range(formula.ranks[target]))
        kind = "int64" if target in formula.integers else "float64"
        tensors[target] = numpy.full(shape, neutral(statement.operator, whole=kind == "int64"), dtype=kind)
    run_statement(statement, tensors, known)


def _over_domain(
    statement: Statement, body: Expression, tensors: dict[str, Array], known: Mapping[str, Any], *guards: Wins
) -> Array:
    """Value of an expression at every point of a statement's domain; 0 where a guard does not hold."""
    places = tuple(Affine(((axis.name, 1),)) for axis in statement.axes)
    shape = tuple(axis.extent.value(known) for axis in statement.axes)
    reads = read(statement.reads, body)
    line = Statement(
        Access("choice!", places),
        "set",
        statement.axes,
        reads,
        body,
        (*statement.guards, *guards),
        statement.lets,
    )
    local = {**tensors, "choice!": numpy.zeros(shape)}
    run_statement(line, local, known)
    return local["choice!"]


def _record_winner(
    line: Line, tensors: dict[str, Array], known: Mapping[str, Any], choices: Choices, ties: dict[str, Array]
) -> None:
    """Choices of a maximum over axes: 1 at the first winner of each window, and who else reached the maximum."""
    s = line.declared
    kink = next(kink for kink in line.kinks if kink.kind == "winner")
    operator = {"max": "argmax", "min": "argmin"}[s.operator]
    positions = numpy.zeros(tensors[s.write.tensor].shape, dtype="int64")
    local = {**tensors, line.winner: positions}
    write = Access(line.winner, s.write.index, s.write.outside, s.write.flat)
    run_statement(Statement(write, operator, s.axes, s.reads, s.body, s.guards, s.lets), local, known)
    axes = tuple((Affine(((a, 1),)), s.extent(a)) for a in s.reduced())
    choices[kink.name] = _over_domain(s, ONE, local, known, Wins(Access(line.winner, s.write.index), axes))
    assert kink.tie is not None
    reads = (*s.reads, (line.result, s.write))
    tied = _over_domain(
        Statement(s.write, s.operator, s.axes, reads, s.body, s.guards, s.lets), kink.tie, tensors, known
    )
    others = tuple(d for d, axis in enumerate(s.axes) if axis.name in s.reduced())
    several = tied.sum(axis=others, keepdims=True) > 1
    ties[kink.name] = (tied * several) * (1 - choices[kink.name])
