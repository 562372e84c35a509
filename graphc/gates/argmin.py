"""argmin: ``y[i] = argmin(x[i,j], j)`` along one axis.

The nearest of several candidates is the position of the smallest distance.

Shapes: the axis disappears; the result is int32.
Derivative: none; the position is constant almost everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Gate, Node, Sample, Shape
from graphc.graph.reduction import normal_axis, reduction_rule


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    axis = normal_axis(attributes["axis"], len(shapes[0]))
    return {"axis": axis, "axes": (axis,), "keepdims": False}


GATE = Gate(
    "argmin",
    reduction_rule("argmin"),
    ("x",),
    symbol="argmin",
    ties="at a tie the first position wins",
    attributes={"axis": -1},
    prepare=_prepare,
    samples=(
        Sample(((3, 5),), values=(([[2.0, 1.0, 3.0]],), [1])),
        Sample(((2, 3, 5),), {"axis": 1}),
        Sample(((7,),)),
    ),
    source="Definition",
    dtype="int32",
    differentiable=False,
)


def argmin(x: Any, axis: int = -1) -> Node:
    """Position of the smallest element along an axis; the first at a tie.

    Parameters
    ----------
    x : Node, any shape of rank 1 or more
        Operand.
    axis : int, default -1
        Axis to search.

    Returns
    -------
    Node, shape of ``x`` without the axis, int32

    Raises
    ------
    ShapeError
        If the axis does not exist.

    Notes
    -----
    Cost: 1 read and 1 comparison per element of ``x``. No gradient flows through it.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> distance = graphc.input("distance", ("N", 3))
    >>> nearest = graphc.compile([graphc.argmin(distance)])
    >>> print(nearest(distance=[[2, 1, 3], [0, 5, 1]])[0])
    [1 0]
    """
    return GATE(x, axis=axis)
