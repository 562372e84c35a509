"""Graphs that do one thing in training and another in use: what belongs to training."""

from __future__ import annotations

from graphc.graph.node import Node, topological

__all__ = ["chooses", "in_training", "operands_in_training"]


def chooses(node: Node) -> bool:
    """Whether a node chooses between training and use, which costs nothing once a step is compiled."""
    return any(operand.kind == "mode" for operand in node.operands[:1])


def operands_in_training(node: Node) -> tuple[Node, ...]:
    """Operands that matter in training: of a choice, the first branch."""
    return node.operands[1:2] if chooses(node) else node.operands


def in_training(root: Node) -> list[Node]:
    """Nodes below a root, operands first, without those that are only computed in use."""
    order, needed = topological([root]), {root.id}
    for node in reversed(order):
        if node.id in needed:
            needed |= {operand.id for operand in operands_in_training(node)}
    return [node for node in order if node.id in needed]
