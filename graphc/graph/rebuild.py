"""Rebuilding a graph on top of nodes that replace others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from graphc.graph.node import Application, Node, topological
from graphc.graph.unroll import copied

__all__ = ["rebuilt"]


def rebuilt(
    roots: Iterable[Node],
    made: Mapping[Node, Node],
    *,
    same: Mapping[Node, Node] | None = None,
    left: Collection[Node] = (),
) -> dict[Node, Node]:
    """Return the roots with some nodes replaced; what lies on top of these is applied again.

    Parameters
    ----------
    made : mapping
        What replaces a node. Operands of it are as they are.
    same : mapping, optional
        For each node the one that stands for it, where equal ones were merged.
    left : collection of Node
        Nodes that are not looked at.
    """
    wanted = list(roots)
    stands = same or {}
    found: dict[Node, Node] = {**{node: node for node in left}, **made}
    applications: dict[int, Application] = {}
    for node in topological(wanted):
        if stands.get(node, node) is not node or node in found:
            continue
        if node.application is None:
            found[node] = node
            continue
        operands = [found[stands.get(o, o)] for o in node.operands]
        if all(a is b for a, b in zip(operands, node.operands, strict=True)):
            found[node] = node
            continue
        key = id(node.application)
        if key not in applications:
            first = copied(node, operands)
            assert first.application is not None
            applications[key] = first.application
        found[node] = applications[key].outputs[node.output]
    return {root: found[stands.get(root, root)] for root in wanted}
