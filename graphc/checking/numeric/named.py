"""Naming the mistake of a backward pass by hand: the diagnosis of claims, given arrays instead of formulas."""

from __future__ import annotations

import numpy

from graphc.checking.circuit import Circuit
from graphc.checking.diagnosis import diagnose
from graphc.checking.numeric.graphs import GraphPoint
from graphc.checking.numeric.subjects import Subject
from graphc.errors import GraphcError
from graphc.graph.node import Node

__all__ = ["named_mistake"]

#: Points at which the gradient that is judged is evaluated again.
_POINTS = 4


def named_mistake(point: GraphPoint, subject: Subject, leaf: Node, seed: int) -> str:
    """Say which step of the way back explains a wrong gradient; an empty string where none does.

    The graph may be one that the diagnosis does not take (too large, or without a derivative at a point): then
    nothing is said.
    """
    if any(node.kind == "mode" and point.given[node] == 0 for node in point.given):
        return ""  # the diagnosis looks at graphs in training
    generator = numpy.random.default_rng(seed)
    samples = []
    try:
        circuit = Circuit(point.root, sizes=point.frozen.sizes)
        for _ in range(_POINTS):
            values = {}
            for node, array in point.given.items():
                size = float(numpy.sqrt(numpy.mean(array**2))) if array.size else 0.0
                moving = node.is_float and node.kind in ("input", "parameter")
                values[node] = array + 0.3 * (size or 1.0) * generator.standard_normal(array.shape) if moving else array
            gradients = subject({n.label: a for n, a in values.items() if n.kind in ("input", "parameter")})[1]
            state = circuit.state({circuit.keys[n.id]: values[n] for n in circuit.leaves}, "double")
            samples.append((state, gradients[leaf.label].astype("float64")))
        return str(diagnose(circuit, circuit.standing[leaf], samples, []) or "")
    except GraphcError:
        return ""
