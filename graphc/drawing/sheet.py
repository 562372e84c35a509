"""A picture that is drawn when it is asked for, and how pictures of arrays find what they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from graphc.drawing.scene import Scene
from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean
from graphc.graph.node import Node, topological

__all__ = ["Sheet", "find_node", "needs_run", "one_example"]


@dataclass(frozen=True, eq=False)
class Sheet(Written):
    """A finished picture and what it says as text.

    Attributes
    ----------
    drawn : Scene
        Outlines and texts in points.
    said : str
        The picture as text.
    """

    drawn: Scene
    said: str

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self.drawn

    def text(self) -> str:
        """Return what the picture says as text."""
        return self.said


def find_node(root: Node, asked: Any, option: str = "node") -> Node:
    """Return a node of the graph, asked for by itself or by its label.

    Raises
    ------
    DrawingError
        If it is not in the graph.
    """
    nodes = topological([root])
    if isinstance(asked, Node):
        if any(node is asked for node in nodes):
            return asked
        raise DrawingError(
            f"{option}={asked.label!r} is not in the graph of {root.label!r}\n  declared at {asked.site}",
            node=asked,
            site=asked.site,
        )
    labels = {node.label: node for node in nodes}
    if asked not in labels:
        shown = [node.label for node in nodes if node.name is not None]
        listed = ", ".join(map(repr, shown[:12])) + (", …" if len(shown) > 12 else "")
        raise DrawingError(
            f"{option}={asked!r}: the graph of {root.label!r} has no such node{did_you_mean(str(asked), labels)}; "
            f"named ones: {listed or 'none'}"
        )
    return labels[asked]


def needs_run(run: Any, style: str) -> Any:
    """Return the run; raises `DrawingError` where there is none."""
    if run is None:
        raise DrawingError(
            f"style={style!r} draws numbers and needs a run: graphc.backward(node).at(...), then run.draw(...)"
        )
    return run


def one_example(array: numpy.ndarray, example: Any, node: Node) -> numpy.ndarray:
    """Return one example of a batch; raises `DrawingError` where there is no such one."""
    if not len(array):
        raise DrawingError(f"the run of {node.label!r} has no example to draw", node=node, site=node.site)
    whole = hasattr(example, "__index__") and not isinstance(example, bool)
    if not whole or not 0 <= int(example) < len(array):
        raise DrawingError(
            f"{node.label!r} has examples 0 to {len(array) - 1}, found example={example!r}", node=node, site=node.site
        )
    return array[int(example)]
