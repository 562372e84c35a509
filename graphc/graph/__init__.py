"""Nodes exactly as the user wrote them, the registry of gates, shapes, and the float64 reference."""

from graphc.graph.declare import constant, input, inputs, parameter, state, update
from graphc.graph.gate import Gate, Sample, gate
from graphc.graph.node import Node, topological

__all__ = [
    "Gate",
    "Node",
    "Sample",
    "constant",
    "gate",
    "input",
    "inputs",
    "parameter",
    "state",
    "topological",
    "update",
]
