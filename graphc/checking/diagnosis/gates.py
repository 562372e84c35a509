"""Mistakes at gates that mix elements: transposed operands, wrong axes, another step's value, a missing label."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.candidates import Candidate, on_path_text
from graphc.checking.diagnosis.evidence import Evidence
from graphc.checking.diagnosis.explanation import called, joined, local_gradient, step_of
from graphc.checking.diagnosis.probabilities import label_mistakes, softmax_mistakes
from graphc.checking.diagnosis.units import Change, Tried, Unit
from graphc.formula.statement import Affine
from graphc.graph.node import Node

__all__ = ["gate_mistakes"]

#: Nodes of one shape that are tried in place of an operand.
_STAND_INS = 40


def gate_mistakes(unit: Unit) -> Iterator[Candidate]:
    """Mistakes in what an edge pulls back, other than in an elementwise factor."""
    edge = unit.edge
    if edge is None or unit.position is None:
        return
    evidence = unit.evidence
    elementwise = (
        evidence.factor(unit.position, evidence.points[0].state) is not None and evidence.map(unit.position) is not None
    )
    tried = _axes(unit, edge) if elementwise else _mixing(unit, edge)
    path = on_path_text(unit)
    later = 1.5 if unit.single else 0.0
    for rank, kind, text, change, nodes in tried:
        try:
            explained = unit.explains(change)
        except ValueError:  # shapes of another layout do not meet
            continue
        if explained:
            yield Candidate(
                rank + later, kind, text + evidence.steps.at(edge.target) + path, unit.prediction(change),
                ((edge.source, edge.target),), nodes,
            )  # fmt: skip


def _axes(unit: Unit, edge: Edge) -> Iterator[Tried]:
    """A broadcast operand's gradient summed over the wrong axes."""
    evidence = unit.evidence
    state = evidence.points[0].state
    wanted = numpy.shape(state.values[edge.source.id])
    full = numpy.shape(state.values[edge.target.id])
    if len(wanted) >= len(full) or not wanted:
        return
    right = tuple(range(len(full) - len(wanted)))
    for axes in itertools.combinations(range(len(full)), len(full) - len(wanted)):
        if axes == right or tuple(e for k, e in enumerate(full) if k not in axes) != wanted:
            continue

        def change(state: State, upstream: Any, axes: tuple[int, ...] = axes) -> Any:
            return numpy.asarray(upstream * evidence.factor(unit.position or 0, state)).sum(axis=axes)

        text = (
            f"the gradient of {called(edge.source)}, which is broadcast in the gate {edge.target.gate}, is summed over "
            f"axis {joined(map(str, axes))} and wants the sum over axis {joined(map(str, right))}"
        )
        yield 1.1, "wrong axis", text, change, (edge.source,)


def _mixing(unit: Unit, edge: Edge) -> Iterator[Tried]:
    evidence = unit.evidence
    circuit, position = evidence.circuit, unit.position or 0
    state = evidence.points[0].state
    source, target = edge.source, edge.target
    shape = numpy.shape(state.values[source.id])
    upstream_shape = numpy.shape(state.values[target.id])

    def pull(state: State, upstream: Any) -> Any:
        return circuit.pull(position, state, upstream)

    others = [o for k, o in enumerate(target.operands) if k != edge.k and o.is_float and o.kind != "constant"]
    for other in others:
        value = state.values[other.id]
        if numpy.ndim(value) == 2 and numpy.shape(value)[0] == numpy.shape(value)[1]:
            text = (
                f"{called(other)} is transposed the wrong way in the gradient of {called(source)}, gate {target.gate}"
            )
            yield 1.0, "transposed", text, _with_value(pull, other, lambda v, _: numpy.asarray(v).T), (other,)
        if "conv" in target.gate and numpy.ndim(value) >= 3:
            text = f"{called(other)} is flipped in the gradient of {called(source)} at the gate {target.gate}"
            turned = tuple([slice(None)] * 2 + [slice(None, None, -1)] * (numpy.ndim(value) - 2))
            yield (
                1.1,
                "flipped filter",
                text,
                _with_value(pull, other, lambda v, _, t=turned: numpy.asarray(v)[t]),
                (other,),
            )
        for stand_in in _same_shape(evidence, other):
            yield _replaced(unit, edge, pull, other, stand_in)
    if len(upstream_shape) == 2 and upstream_shape[0] == upstream_shape[1]:
        text = f"the gradient that arrives at {called(target)} is transposed in {local_gradient(edge)}"
        yield 1.4, "transposed", text, lambda s, u: pull(s, numpy.asarray(u).T), (target,)
    if len(shape) == 2 and shape[0] == shape[1]:
        text = f"what the gate {target.gate} passes back to {called(source)} is transposed"
        yield 1.3, "transposed", text, lambda s, u: numpy.asarray(pull(s, u)).T, (source,)
    if shape == upstream_shape:
        text = f"the local gradient {local_gradient(edge)} is missing: the gradient goes through unchanged"
        yield 1.0, "missing factor", text, lambda _, u: u, ()
        if shape:
            yield from softmax_mistakes(edge)
    if len(target.operands) == 2 and not target.operands[1].is_float and "cross_entropy" in target.gate:
        yield from label_mistakes(edge, pull)
    if target.formula is not None and target.formula.statements[-1].operator in ("max", "min"):
        spread = _spread_change(unit, edge)
        if spread is not None:
            text = (
                f"the mask of the gate {target.gate} is missing: only the winner of {called(source)} gets the gradient"
            )
            yield 1.0, "missing mask", text, spread, ()
    if target is not circuit.root:
        text = (
            f"the upstream gradient at {called(target)} is missing: the gate {target.gate} multiplies it by its local "
            f"gradient on the way to {called(source)}"
        )
        yield 1.3, "missing upstream", text, lambda s, u: pull(s, 0 * u + 1), (target,)
    reached = _reached(evidence, target)
    for stand_in in _same_shape(evidence, target):
        key = stand_in.id
        if key in reached and key in evidence.above:
            text = (
                f"the local gradients between {called(target)} and {called(stand_in)} are missing: the gradient of "
                f"{called(stand_in)} is used at the gate {target.gate} in place of that of {called(target)}"
            )
            yield 1.1, "missing factor", text, lambda s, _, key=key: pull(s, s.gradients[key]), (stand_in, target)
            continue
        text = (
            f"at the gate {target.gate} the gradient of {called(stand_in)} is used in place of that of {called(target)}"
        )
        own, other_step = step_of(target), step_of(stand_in)
        near = own is not None and other_step is not None and own[0] == other_step[0]
        yield (
            (1.2 if near else 1.5),
            "other step" if near else "other gradient",
            text,
            (lambda s, _, key=key: pull(s, s.gradients[key])),
            (stand_in,),
        )


def _reached(evidence: Evidence, node: Node) -> set[int]:
    """Nodes that a node leads to."""
    found = {node.id}
    for later in evidence.between:
        if any(o.id in found for o in later.operands):
            found.add(later.id)
    return found - {node.id}


def _with_value(pull: Change, node: Node, value: Callable[[Any, State], Any]) -> Change:
    """The pull where a node had another value, made from its own and the state."""

    def change(state: State, upstream: Any) -> Any:
        changed = {**state.values, node.id: value(state.values[node.id], state)}
        return pull(replace(state, values=changed), upstream)

    return change


def _replaced(unit: Unit, edge: Edge, pull: Change, right: Node, other: Node) -> Tried:
    """Another node's value in place of an operand's."""
    change = _with_value(pull, right, lambda _, state: state.values[other.id])
    nodes = (right, other)
    own, step = step_of(right), step_of(other)
    gate = f" ({edge.target.gate})" if edge.target.name is not None else ""
    where = f"in the gradient of {called(edge.source)} at {called(edge.target)}{gate}"
    text = f"{where}, {called(other)} stands in place of {called(right)}"
    if own is not None and step is not None and own[0] == step[0]:
        kind, end = unit.evidence.steps.another()
        return 1.05, kind, text + end, change, nodes
    if any(o is other for o in right.operands):
        text += f", before the activation: the input of the gate {right.gate} in place of its output"
        return 1.15, "pre-activation", text, change, nodes
    if any(o is right for o in other.operands):
        text += f", after the activation: the output of the gate {other.gate} in place of its input"
        return 1.15, "post-activation", text, change, nodes
    return 1.4, "other value", text, change, nodes


def _same_shape(evidence: Evidence, node: Node) -> list[Node]:
    """Nodes that may have been taken for a node: other steps first, then what is named."""
    state = evidence.points[0].state
    shape = numpy.shape(state.values[node.id])
    own = step_of(node)

    def key(other: Node) -> tuple[bool, bool, bool]:
        step = step_of(other)
        near = own is not None and step is not None and step[0] == own[0]
        return (
            not near,
            not any(a is b for a in (node, *node.operands) for b in (other, *other.operands)),
            other.name is None,
        )

    found = [
        other for other in evidence.circuit.nodes
        if other is not node and other.is_float and other.kind != "constant"
        and numpy.shape(state.values[other.id]) == shape and shape != ()
    ]  # fmt: skip
    return sorted(found, key=key)[:_STAND_INS]


def _spread_change(unit: Unit, edge: Edge) -> Change | None:
    """What would be passed back if every element of a window or an axis won."""
    evidence = unit.evidence
    assert edge.target.formula is not None
    statement = edge.target.formula.statements[-1]
    reads = [a for _, a in statement.reads if a.tensor == edge.target.formula.inputs[edge.k]]
    if len(reads) != 1 or statement.guards or statement.lets or len(edge.target.formula.statements) > 1:
        return None
    sizes = evidence.extents(unit.position or 0)
    extents = [axis.extent.value(sizes) for axis in statement.axes]
    environment: dict[str, Any] = {
        **sizes, **{axis.name: numpy.indices(extents)[d] for d, axis in enumerate(statement.axes)}
    }  # fmt: skip
    shapes: Mapping[str, tuple[int, ...]] = {
        "source": numpy.shape(evidence.points[0].state.values[edge.source.id]),
        "target": numpy.shape(evidence.points[0].state.values[edge.target.id]),
    }
    places = []
    for access, name in ((reads[0], "source"), (statement.write, "target")):
        if access.flat or not all(isinstance(i, Affine) for i in access.index):
            return None
        index = [numpy.broadcast_to(i.value(environment), extents) for i in access.index if isinstance(i, Affine)]
        if any((i < 0).any() or (i >= e).any() for i, e in zip(index, shapes[name], strict=True)):
            return None
        flat_index = numpy.ravel_multi_index(tuple(index), shapes[name]) if index else numpy.zeros(extents, dtype=int)
        places.append(numpy.asarray(flat_index).reshape(-1))
    return functools.partial(_scatter, places[0], places[1], shapes["source"])


def _scatter(rows: Any, columns: Any, shape: tuple[int, ...], state: State, upstream: Any) -> Any:
    result = numpy.zeros(int(numpy.prod(shape)), dtype="float64" if state.precision == "double" else object)
    numpy.add.at(result, rows, numpy.asarray(upstream).reshape(-1)[columns])
    return result.reshape(shape)
