"""What is written in a gate, and the pattern by which it passes a gradient back."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.drawing.fonts import number_text, printable

__all__ = ["gate_pattern", "gate_symbol", "inside_gate", "is_scalar"]


def is_scalar(node: Any) -> bool:
    """Say whether a node holds one number."""
    return all(isinstance(extent, int) and extent == 1 for extent in node.shape)


def inside_gate(node: Any) -> bool:
    """Say whether a node is a constant that is written inside of its gate."""
    return node.kind == "constant" and is_scalar(node)


_UNARY = {
    "neg": "×−1", "reciprocal": "1/x", "exp": "exp", "log": "log", "sqrt": "√", "abs": "|x|",
    "sigmoid": "σ", "tanh": "tanh", "relu": "ReLU", "sum": "∑", "mean": "mean",
}  # fmt: skip
_BINARY = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "matmul": "@",
    "pow": "x^y",
    "max": "max",
    "min": "min",
}
_WITH_CONSTANT = {  # gate: (constant second, constant first)
    "add": ("+{}", "+{}"),
    "sub": ("−{}", "{}−x"),
    "mul": ("×{}", "×{}"),
    "div": ("÷{}", "{}/x"),
    "pow": ("x^{}", "{}^x"),
    "max": ("max(x, {})", "max({}, x)"),
    "min": ("min(x, {})", "min({}, x)"),
}


def _constant_text(node: Any, digits: int) -> str:
    return number_text(float(np.asarray(node.value).reshape(())), digits)


def gate_symbol(node: Any, digits: int = 4) -> str:
    """Return what is written in the gate, constant operands included: ``+1``, ``×−1``, ``1/x``."""
    inside = [k for k, operand in enumerate(node.operands) if inside_gate(operand)]
    if len(node.operands) == 2 and len(inside) == 1 and node.gate in _WITH_CONSTANT:
        (k,) = inside
        constant = _constant_text(node.operands[k], digits)
        if node.gate in ("add", "sub") and constant.startswith("−") and k == 1:
            return ("−" if node.gate == "add" else "+") + constant[1:]
        if node.gate == "pow" and k == 1 and constant in ("2", "3"):
            return "x" + {"2": "²", "3": "³"}[constant]
        return _WITH_CONSTANT[node.gate][1 - k].format(constant)
    if inside and node.gate:
        shown = [_constant_text(o, digits) if inside_gate(o) else "·" for o in node.operands]
        return printable(f"{node.gate}({', '.join(shown)})", 24)
    if len(node.operands) == 1 and node.gate in _UNARY:
        return _UNARY[node.gate]
    return _BINARY.get(node.gate) or printable(node.gate or node.label, 24)


#: How a gate of two wires treats the gradient that comes back, as lectures name it.
_PATTERNS = {"add": "distributor", "max": "router", "min": "router", "mul": "switcher"}


def gate_pattern(node: Any) -> str:
    """Return the name of a gate's pattern, or no text.

    An add gate hands its gradient to both operands (distributor), a max gate to the larger one (router), a product
    scales it with the value of the other operand (switcher).

    Source: F. Li, J. Johnson, S. Yeung, "CS231n: Convolutional Neural Networks for Visual Recognition", lecture on
    backpropagation, patterns in backward flow.
    """
    wires = [operand for operand in node.operands if not inside_gate(operand)]
    return _PATTERNS.get(node.gate or "", "") if len(wires) == 2 else ""
