"""The graph as a networkx graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphc.graph.node import Node, topological

if TYPE_CHECKING:
    import networkx

__all__ = ["to_networkx"]


def to_networkx(roots: Node | Iterable[Node]) -> networkx.MultiDiGraph:
    """Return the graph below some nodes; edges run from operand to gate and carry the operand's position.

    Parameters
    ----------
    roots : Node or nodes

    Returns
    -------
    networkx.MultiDiGraph
        Nodes are ids with attributes ``label``, ``kind``, ``gate``, ``shape`` and ``dtype``. A multigraph,
        because an operand may enter a gate twice.
    """
    import networkx

    graph = networkx.MultiDiGraph()
    for node in topological([roots] if isinstance(roots, Node) else roots):
        graph.add_node(
            node.id,
            label=node.label,
            kind=node.kind,
            gate=node.gate,
            shape=node.shape,
            dtype=node.dtype,
        )
        for position, operand in enumerate(node.operands):
            graph.add_edge(operand.id, node.id, operand=position)
    return graph
