"""Where a mistake lies: on paths of what is wrong, but on none of what is right."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.graph.node import Node, topological

__all__ = ["suspects"]

#: More edges than this tell nobody where to look.
MOST = 6


def suspects(root: Node, wrong: Sequence[Node], right: Sequence[Node]) -> list[str]:
    """Say through which gates all wrong gradients pass and no right one does; nothing where that is no help.

    A gradient that is right vouches for every factor on its way, unless two mistakes cancel.
    """
    if not wrong or not right:
        return []
    nodes = topological([root])
    found = set.intersection(*(_edges(nodes, leaf) for leaf in wrong))
    for leaf in right:
        found -= _edges(nodes, leaf)
    if not 0 < len(found) <= MOST:
        return []
    ordered = sorted(found, key=lambda edge: (-edge[0].id, edge[1]))
    named = [f"{target.label} to {target.operands[k].label}" for target, k in ordered]
    names = ", ".join(leaf.label for leaf in right)
    return [f"Where: {names} {'is' if len(right) == 1 else 'are'} right, so look at the way back from {_joined(named)}"]


def _edges(nodes: Sequence[Node], leaf: Node) -> set[tuple[Node, int]]:
    """Edges (gate, operand) on the paths from a leaf to the root."""
    reached = {leaf}
    found = set()
    for node in nodes:
        for k, operand in enumerate(node.operands):
            if operand in reached and operand.is_float and node.is_float:
                reached.add(node)
                found.add((node, k))
    return found


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
