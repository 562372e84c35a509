"""amax: ``y[i] = max(x[i,j], j)`` over any axes.

The largest element along axes: what a stable softmax subtracts, and pooling over everything.

Shapes: the reduced axes disappear, or stay with extent 1 under ``keepdims``.
Derivative: dy at the winner, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.reduction import prepare_axes, reduction_rule

GATE = Gate(
    "amax",
    reduction_rule("max"),
    ("x",),
    symbol="max",
    ties="at a tie the first element, in row-major order, wins and takes the whole gradient",
    attributes={"axes": None, "keepdims": False},
    prepare=prepare_axes,
    samples=(
        Sample(((3,),), values=(([1.0, 3.0, 2.0],), 3.0)),
        Sample(((3, 5),)),
        Sample(((2, 3, 5),), {"axes": (1,)}),
        Sample(((2, 3, 5),), {"axes": (0, 2), "keepdims": True}),
        Sample(((1, 1),), {"axes": (-1,)}),
    ),
    source="Definition; subgradient at a tie",
    dtype="operands",
)


def amax(x: Any, axes: int | Iterable[int] | None = None, keepdims: bool = False) -> Node:
    """Largest element along axes.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    axes : int or iterable of int, optional
        Axes to reduce, negative ones counted from the end; all by default.
    keepdims : bool, default False
        Keep the reduced axes with extent 1.

    Returns
    -------
    Node, shape of ``x`` without the reduced axes

    Raises
    ------
    ShapeError
        If an axis does not exist or is named twice.

    Notes
    -----
    Cost: 1 read and 1 comparison per element of ``x``. At a tie the first element, in row-major order, wins.

    Source
    ------
    Definition; subgradient at a tie.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> run = graphc.backward(graphc.amax(x)).at(x=[1, 3, 2])
    >>> print(run.value(run.back.root).round(4), run.grad("x").round(4))
    3.0 [0. 1. 0.]
    """
    return GATE(x, axes=axes, keepdims=keepdims)
