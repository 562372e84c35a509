"""A convolution drawn as a sliding window, as a sparse matrix with shared weights, or as patches times filters.

All three are read off the formula of the gate, so stride, padding and dilation, signals, groups and weights that are
not shared need no case of their own. Every picture has a frame for each output element.

Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 9.1 (window, Toeplitz matrix); Chellapilla, Puri,
Simard, IWFHR (2006), section 2 (patches).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy

from graphc.drawing.grids import numbered
from graphc.drawing.matrices import patches_scene, toeplitz_scene
from graphc.drawing.products import products_of, slides
from graphc.drawing.scene import Scene
from graphc.drawing.sheet import Sheet, find_node, one_example
from graphc.drawing.theme import Theme
from graphc.drawing.window import Sliding, window_scene
from graphc.errors import DrawingError, did_you_mean
from graphc.graph.node import Node, topological

__all__ = ["VIEWS", "convolution_drawing"]

#: The views by name.
VIEWS: Mapping[str, Callable[..., Scene]] = MappingProxyType(
    {"window": window_scene, "toeplitz": toeplitz_scene, "patches": patches_scene}
)


def convolution_drawing(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given it
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,  # noqa: ARG001 - every style is given it
    node: Any = None,
    view: str = "window",
    example: int = 0,
    map: int = 0,
    at: Any = None,
) -> Sheet:
    """Draw a convolution at work on one example; without a run, with letters in the place of numbers.

    Parameters
    ----------
    node : Node or str, optional
        The convolution, or the layer it belongs to. By default the only one of the graph.
    view : str, default ``"window"``
        ``"window"`` (the window on the input, the filter, and the worked sum), ``"toeplitz"`` (the sparse matrix
        in which each colour is one weight) or ``"patches"`` (what the window sees as rows, times filters as columns).
    example : int, default 0
        Which example of the batch.
    map : int, default 0
        Which output map the window view draws.
    at : int or (int, int), optional
        The one output element that is worked out. By default each has a frame and the still shows the last.

    Returns
    -------
    Sheet

    Raises
    ------
    DrawingError
        If there is no such convolution, example, map or view, or it is too large to be read.

    Source
    ------
    Goodfellow, Bengio, Courville, Deep Learning (2016), section 9.1
    """
    if view not in VIEWS:
        raise DrawingError(f"unknown view {view!r}; known: {', '.join(VIEWS)}{did_you_mean(str(view), VIEWS)}")
    if direction != "LR":
        raise DrawingError("a convolution is drawn from left to right; direction='TB' is for style='cards'")
    chosen = _convolution(root, node)
    if run is None:
        products = products_of(chosen)
        letters = zip("xwy", (products.input_shape, products.weight_shape, products.output_shape), strict=True)
        image, weight, result = (_named(letter, shape) for letter, shape in letters)
    else:
        products = products_of(chosen, run.sizes)
        image, weight, result = (run.value(node) for node in (products.image, products.weight, chosen))
        if products.batched:
            image, result = (one_example(array, example, chosen) for array in (image, result))
    sliding = Sliding.of(products, image, weight, result)
    if not 0 <= map < sliding.maps:
        raise DrawingError(f"{chosen.label!r} has maps 0 to {sliding.maps - 1}, found map={map!r}")
    position = None if at is None else _position(at, sliding, chosen)
    scene = VIEWS[view](sliding, theme=theme, digits=digits, map=map, at=position)
    return Sheet(scene, _said(scene, sliding, digits))


def _convolution(root: Node, asked: Any) -> Node:
    """Return the node asked for, or the convolution that a layer with a bias starts with."""
    nodes = topological([root])
    if asked is None:
        found = [node for node in nodes if slides(node)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(repr(_layer_name(node, nodes)) for node in found[:12])
        raise DrawingError(
            f"style='convolution' draws one node; the graph of {root.label!r} has "
            + (f"{len(found)} that slide a window: say node= with one of {names}" if found else "none that slides one"),
            node=root,
            site=root.site,
        )
    node = find_node(root, asked)
    start = node
    while not slides(node):
        # a layer is named after its last gate: the convolution stands before its bias and its activation
        before = [o for o in node.operands if len(o.shape) == len(node.shape) and o.kind == "gate"]
        if len(before) != 1 or before[0].shape != node.shape:
            products_of(start)  # refuses with the formula, if it is no sum of products at all
            raise DrawingError(
                f"{start.label!r} ({start.gate or start.kind}) slides no window\n  declared at {start.site}\n"
                "  Try: node= with a convolution, such as graphc.conv2d(x, w)",
                node=start,
                site=start.site,
            )
        node = before[0]
    return node


def _named(letter: str, shape: tuple[int, ...]) -> numpy.ndarray:
    """Return names such as x12: the letter and the place, counted from 1, without axes of one element."""
    names = numpy.empty(shape, dtype=object)
    shown = [axis for axis, extent in enumerate(shape) if extent > 1]
    between = "," if any(extent > 9 for extent in shape) else ""
    for place in numpy.ndindex(*shape):
        names[place] = letter + between.join(str(place[axis] + 1) for axis in shown)
    return names


def _layer_name(node: Node, nodes: list[Node]) -> str:
    """Return the name by which a user finds a convolution: its own, or that of the bias after it."""
    if node.name is not None:
        return node.name
    return next((n.name for n in nodes if node in n.operands and n.name is not None), node.gate or node.label)


def _position(at: Any, sliding: Sliding, node: Node) -> int:
    """Return the place counted row by row."""
    places = (at,) if hasattr(at, "__index__") else tuple(at) if isinstance(at, tuple | list) else ()
    shape = sliding.places if len(places) == len(sliding.places) else sliding.places[-1:]
    whole = all(hasattr(p, "__index__") and not isinstance(p, bool) for p in places)
    if len(places) != len(shape) or not whole or not all(0 <= p < e for p, e in zip(places, shape, strict=True)):
        raise DrawingError(
            f"at={at!r} is no element of a map of {node.label!r}, which has "
            f"{' × '.join(str(e) for e in sliding.places)} elements counted from 0"
        )
    return int(numpy.ravel_multi_index(places, shape))


def _said(scene: Scene, sliding: Sliding, digits: int) -> str:
    """Write input, filter and output of the picture as tables."""
    lines = [scene.title, ""]
    tables = [("input", sliding.input), ("filter", sliding.filters), ("output", sliding.output)]
    for name, planes in tables:
        for number, plane in enumerate(planes.reshape(-1, *planes.shape[-2:])):
            table = numbered(plane, digits)
            width = max((len(cell) for row in table for cell in row), default=1)
            lines.append(name if number == 0 else f"{name}, plane {number + 1}")
            lines += ["  " + " ".join(cell.rjust(width) for cell in row) for row in table]
    return "\n".join([*lines, "", scene.description]) + "\n"
