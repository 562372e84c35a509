"""Mistakes with softmax: its Jacobian taken for a diagonal one, and p - y of which something is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy

from graphc.checking.circuit import Edge, State
from graphc.checking.diagnosis.explanation import called
from graphc.checking.diagnosis.factors import evaluated
from graphc.checking.diagnosis.units import Change, Tried
from graphc.formula.expression import Call, Symbol

__all__ = ["label_mistakes", "softmax_mistakes"]


def softmax_mistakes(edge: Edge) -> Iterator[Tried]:
    """The Jacobian of a gate softmax, element by element or without its sum."""
    target = edge.target
    if target.gate != "softmax":
        return
    name, key = called(target), target.id
    right = f"{name} * (g - sum(g * {name})) for the gradient g that arrives"
    text = f"the gate softmax is treated element by element, with {name} * (1 - {name}); it passes back {right}"
    yield 1.1, "diagonal Jacobian", text, lambda s, u: u * s.values[key] * (1 - s.values[key]), ()
    text = f"the sum in the gradient of the gate softmax is missing: it passes back {right}"
    yield 1.1, "missing sum", text, lambda s, u: u * s.values[key], ()


def label_mistakes(edge: Edge, pull: Change) -> Iterator[Tried]:
    """Softmax and cross-entropy in one gate: p - y, of which something is missing."""
    target = edge.target
    labels = target.operands[1].id

    def parts(state: State, upstream: Any) -> tuple[Any, Any, Any]:
        """Probabilities, one-hot labels, and the weight of the rows in their mean."""
        scores = numpy.asarray(state.values[edge.source.id])
        right = numpy.asarray(pull(state, upstream))
        names = {"x": scores - numpy.max(scores, axis=-1, keepdims=True)}
        powers = evaluated(Call("exp", (Symbol("x"),)), names, state)
        p = powers / powers.sum(axis=-1, keepdims=True)
        index = numpy.asarray(state.values[labels]).astype("int64")
        y = (index[..., None] == numpy.arange(scores.shape[-1])).astype(int)
        y = y.astype("float64") if state.precision == "double" else y.astype(object)
        weight = (right * (p - y)).sum() / ((p - y) ** 2).sum()
        return p, y, weight

    def take(combine: Callable[[Any, Any], Any]) -> Change:
        def change(state: State, upstream: Any) -> Any:
            p, y, weight = parts(state, upstream)
            return weight * combine(p, y)

        return change

    where = f"in the gradient of {called(edge.source)} at the gate {target.gate}"
    text = f"the label is missing {where}: it is p - y with the one-hot label y, not p"
    yield 1.0, "missing label", text, take(lambda p, _: p), ()
    text = f"the softmax is missing {where}: it is p - y, not the gradient -y/p of the logarithm"
    yield 1.1, "missing softmax", text, take(lambda p, y: -y / p), ()
    text = f"{where}, the factor p * (1 - p) is one too many: the gate passes back p - y as it is"
    yield 1.1, "extra factor", text, take(lambda p, y: (p - y) * p * (1 - p)), ()
    text = f"{where}, 1 is taken off every probability: p - y takes it off that of the true class only"
    yield 1.2, "missing label", text, take(lambda p, _: p - 1), ()
