"""A loss as the sum it is declared as: data terms and regularisers, to be checked one by one."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.graph.node import Node, topological

__all__ = ["Term", "split"]


@dataclass(frozen=True)
class Term:
    """A term of a loss; ``sign`` is -1 where it is subtracted."""

    node: Node
    sign: float
    kind: str  # "data" or "regulariser": whether an input lies below it

    @property
    def name(self) -> str:
        """How a report calls it."""
        return f"{self.node.label} ({self.kind})"


def split(root: Node) -> list[Term]:
    """Terms of a scalar, in the order declared; a single one where the root is no sum.

    A part without inputs is one regulariser, however it is made.
    """
    found: list[Term] = []
    pending = [(root, 1.0)]
    while pending:
        node, sign = pending.pop()
        data = any(n.kind == "input" for n in topological([node]))
        if data and node.gate in ("add", "sub") and all(o.shape == () and o.is_float for o in node.operands):
            first, second = node.operands
            pending += [(second, -sign if node.gate == "sub" else sign), (first, sign)]
        elif node.kind != "constant":
            found.append(Term(node, sign, "data" if data else "regulariser"))
    return found
