"""What may be said about a wrong answer at a single point: its sign, or whose gradient or value it is instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from graphc.checking.circuit import State
from graphc.checking.diagnosis import Diagnosis, Explanation
from graphc.graph.node import Node

__all__ = ["told_at"]

#: How close numbers of a few digits must be, relative to the larger one.
_CLOSE = 2e-3

#: Most nodes that one number may belong to: with more it tells nothing.
_MOST = 2


def told_at(target: Node, samples: Sequence[tuple[State, Any]], nodes: Sequence[Node]) -> Diagnosis:
    """Explain numbers that are wrong at one point.

    Parameters
    ----------
    target : Node
        Of the circuit.
    samples : sequence of (State, value)
        The point with what was claimed there.
    nodes : sequence of Node
        Those that have a name.

    Returns
    -------
    Diagnosis
        Nothing in it is certain: at one point, numbers may be equal by accident.
    """
    if not samples:
        return Diagnosis()
    state, value = samples[0]
    claimed = numpy.asarray(value, dtype=float)
    correct = numpy.asarray(state.gradients[target.id], dtype=float)
    found: list[Explanation] = []
    if _same(claimed, -correct):
        found.append(Explanation("sign", "the sign is flipped", (), (target,), False, 0.5))
    others = [n for n in dict.fromkeys(nodes) if n is not target and n.is_float and n.kind != "constant"]
    owners = [n for n in others if n.id in state.gradients and _same(claimed, state.gradients[n.id])]
    if 0 < len(owners) <= _MOST and not found:
        words = " and to ".join(n.label for n in owners)
        text = f"at this point it is the gradient with respect to {words}"
        found.append(Explanation("another gradient", text, (), tuple(owners), False, 1.0))
    values = [n for n in [target, *others] if n.id in state.values and _same(claimed, state.values[n.id])]
    if 0 < len(values) <= _MOST and not found:
        words = " and of ".join(n.label for n in values)
        text = f"at this point it is the value of {words}, not a gradient"
        found.append(Explanation("value", text, (), tuple(values), False, 1.5))
    return Diagnosis(tuple(found))


def _same(a: numpy.ndarray, other: Any) -> bool:
    """Whether arrays of one shape agree to a few digits, and are not zero."""
    b = numpy.asarray(other, dtype=float)
    if a.shape != b.shape or not numpy.any(b) or not numpy.all(numpy.isfinite(a)):
        return False
    return bool(numpy.all(numpy.abs(a - b) <= _CLOSE * numpy.maximum(numpy.abs(a), numpy.abs(b))))
