"""maxout: ``y[n,c] = max(x[n,pieces*c+k], k)``: the largest of each group of neighbouring channels.

A convex activation that is learned: a maximum of linear pieces.

Shapes: the axis shrinks from ``C`` to ``C/pieces``.
Derivative: dy at the winner of each group, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.reduction import LETTERS, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    axis, pieces = normal_axis(attributes["axis"], len(shapes[0])), attributes["pieces"]
    if isinstance(pieces, bool) or not isinstance(pieces, int) or pieces < 1:
        raise ShapeError(f"pieces={pieces!r} must be a whole number of at least 1")
    extent = shapes[0][axis]
    if isinstance(extent, int) and extent % pieces:
        raise ShapeError(f"pieces={pieces} must divide the extent {extent} of axis {axis}")
    return {"pieces": pieces, "axis": axis}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axis = attributes["axis"]
    left = list(LETTERS[: len(shapes[0])])
    right = [f"pieces*{letter} + piece" if d == axis else letter for d, letter in enumerate(left)]
    text = f"y[{','.join(left)}] = max(x[{','.join(right)}], piece)"
    return Definition(text, extents={left[axis]: f"size(x,{axis})//pieces", "piece": "pieces"})


GATE = Gate(
    "maxout",
    _definition,
    ("x",),
    symbol="maxout",
    ties="at a tie the first channel of the group wins and takes the whole gradient",
    attributes={"pieces": 2, "axis": 1},
    prepare=_prepare,
    samples=(
        Sample(((3, 6),), values=(([[1.0, 4.0, -2.0, -3.0]],), [[4.0, -2.0]])),
        Sample(((2, 6, 2, 3),), {"pieces": 3}),
        Sample(((2, 5),), {"pieces": 1}),
        Sample(((3, 4),), {"pieces": 4, "axis": -1}),
        Sample(((4, 3),), {"axis": 0}),
    ),
    source="Goodfellow et al., ICML (2013), section 3",
    dtype="operands",
)


def maxout(x: Any, pieces: int = 2, axis: int = 1) -> Node:
    """Largest of each group of neighbouring channels.

    Parameters
    ----------
    x : Node, any shape of rank 1 or more
        Operand.
    pieces : int, default 2
        Channels in a group.
    axis : int, default 1
        Axis of the channels.

    Returns
    -------
    Node, shape of ``x`` with the extent of the axis divided by ``pieces``

    Raises
    ------
    ShapeError
        If the axis does not exist or ``pieces`` does not divide its extent.

    Notes
    -----
    At a tie the first channel of the group wins. Cost: 1 read and 1 comparison per element of ``x``.

    Source
    ------
    Goodfellow et al., ICML (2013), section 3.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 4))
    >>> run = graphc.backward(graphc.sum(graphc.maxout(x))).at(x=[[1, 4, 3, 2]])
    >>> print(run.value(run.back.root), run.grad("x"))
    7.0 [[0. 1. 1. 0.]]
    """
    return GATE(x, pieces=pieces, axis=axis)
