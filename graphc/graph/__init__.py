"""Nodes exactly as the user wrote them, the registry of gates, shapes, and the float64 reference."""

from graphc.errors import ShapeError
from graphc.formula.definition import Definition
from graphc.graph import registry
from graphc.graph.declare import constant, input, inputs, is_training, parameter, state, update
from graphc.graph.gate import Gate, Sample, gate
from graphc.graph.node import Node, topological
from graphc.graph.shapes import Shape, shape_text

__all__ = [
    "Definition",
    "Gate",
    "Node",
    "Sample",
    "Shape",
    "ShapeError",
    "constant",
    "gate",
    "input",
    "inputs",
    "is_training",
    "parameter",
    "registry",
    "shape_text",
    "state",
    "topological",
    "update",
]
