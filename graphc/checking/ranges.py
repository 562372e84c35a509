"""Subgradients: the range of a gradient that the ties at a point leave open.

Of scalars every combination of the slopes on either side is tried; ranges of arrays go through adjoints entry by entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy

from graphc.checking.state import State
from graphc.checking.statements import kinks
from graphc.formula.expression import evaluate
from graphc.graph.node import Node

if TYPE_CHECKING:
    from graphc.checking.circuit import Circuit

__all__ = ["intervals"]


def intervals(circuit: Circuit, state: State, digits: int) -> Mapping[int, tuple[Any, Any]]:
    """Range of every gradient that a tie at this point leaves open."""
    import mpmath

    with mpmath.workdps(digits):
        tied = _tied(circuit, state)
        if not tied:
            return {}
        return _combined(circuit, state, tied) if circuit.scalar else _ranges(circuit, state)


def _tied(circuit: Circuit, state: State) -> list[Node]:
    return [n for n in circuit.kinked if circuit.loose(n) and _tie(circuit, n, state)]


def _tie(circuit: Circuit, node: Node, state: State) -> bool:
    assert node.application is not None
    if not circuit.direct[node.id]:
        tensors = state.inner[id(node.application)]
        program = circuit.program(node.application)
        return any(step.tied(tensors, state.numbers) for group in program.groups for step in group)
    inner = circuit.environment(node, state.values)
    functions, literal = state.numbers.functions, state.numbers.literal
    for a, b in kinks(node.application.formula.statements[0].body):
        if a != b:
            sides = (evaluate(side, inner, functions, literal) for side in (a, b))
            if bool(numpy.any(state.numbers.near(*sides))):
                return True
    return False


def _combined(circuit: Circuit, state: State, tied: list[Node]) -> dict[int, tuple[Any, Any]]:
    """Ranges of scalars: every combination of the slopes that the tied gates have on either side."""
    intervals: dict[int, tuple[Any, Any]] = {}
    options = list(itertools.islice(itertools.product((-1, 1), repeat=len(tied)), 16))
    for choice in [*options, (-1,) * len(tied), (1,) * len(tied)]:
        sides = circuit.fixed_sides() | dict(zip((n.id for n in tied), choice, strict=True))
        sided = circuit.sweep(state, circuit.slopes_at(state.values, sides, state.numbers))
        for key, value in sided.items():
            low, high = intervals.get(key, (state.gradients[key], state.gradients[key]))
            intervals[key] = (min(low, value), max(high, value))
    return {k: pair for k, pair in intervals.items() if pair[0] != pair[1]}


def _ranges(circuit: Circuit, state: State) -> dict[int, tuple[Any, Any]]:
    """Ranges of arrays, element by element; correlations are not seen, so a range may be too wide."""
    numbers = state.numbers
    seed = circuit.seed(state.values, numbers)
    ranges: dict[int, tuple[Any, Any]] = {circuit.root.id: (seed, seed)}
    with numpy.errstate(all="ignore"):
        for node in reversed(circuit.nodes):
            if node.id not in ranges:
                continue
            for position in circuit.edges_into.get(node.id, ()):
                source = circuit.edges[position].source
                low, high = _pull_range(circuit, position, state, ranges[node.id])
                if source.id in ranges:
                    low, high = ranges[source.id][0] + low, ranges[source.id][1] + high
                ranges[source.id] = (low, high)
    found = {}
    for key, (low, high) in ranges.items():
        gradient = state.gradients[key]
        low, high = _least(low, gradient), _most(high, gradient)
        if bool(numpy.any(low != high)):
            found[key] = (low, high)
    return found


def _pull_range(circuit: Circuit, position: int, state: State, upstream: tuple[Any, Any]) -> tuple[Any, Any]:
    """Range of what flows back along an edge."""
    edge, numbers = circuit.edges[position], state.numbers
    loose = circuit.loose(edge.target)
    factor = circuit.local_factor(position, state)
    if factor is None:
        made = circuit.adjoint_of(position)
        if made is None:
            zero = circuit.zero(edge.source, numbers)
            return zero, zero
        program, operands, result = made
        inputs = circuit.adjoint_inputs(edge, program, operands, state)
        tensor = next(
            name for name, role in zip(program.formula.inputs, operands, strict=True) if role.role == "upstream"
        )
        found = program.run_ranges(inputs, {tensor: upstream}, numbers, sided=loose)[result]
        low, high = ((bound if bound.shape else bound[()]) for bound in found)
        return low, high
    factors = [factor]
    if loose and edge.target in circuit.kinked:
        factors += [circuit.slope_of(edge, state.values, numbers.sided[side], numbers) for side in (-1, 1)]
    bounds = upstream[:1] if upstream[0] is upstream[1] else upstream
    products = [bound * slope for bound in bounds for slope in factors]
    low, high = products[0], products[0]
    for other in products[1:]:
        low, high = _least(low, other), _most(high, other)
    return circuit.fitted(low, edge, numbers), circuit.fitted(high, edge, numbers)


def _least(a: Any, b: Any) -> Any:
    if isinstance(a, numpy.ndarray) or isinstance(b, numpy.ndarray):
        return numpy.minimum(a, b)
    return min(a, b)


def _most(a: Any, b: Any) -> Any:
    if isinstance(a, numpy.ndarray) or isinstance(b, numpy.ndarray):
        return numpy.maximum(a, b)
    return max(a, b)
