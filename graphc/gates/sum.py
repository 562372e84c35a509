"""sum: ``y[i] = sum(x[i,j], j)`` over any axes.

Adds along axes: losses over a batch, counts, and the adjoint of every repetition.

Shapes: the reduced axes disappear, or stay with extent 1 under ``keepdims``.
Derivative: dy, repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.reduction import prepare_axes, reduction_rule

GATE = Gate(
    "sum",
    reduction_rule("sum"),
    ("x",),
    symbol="Σ",
    attributes={"axes": None, "keepdims": False},
    prepare=prepare_axes,
    samples=(
        Sample(((3,),), values=((([1.0, 2.0, 3.0],)), 6.0)),
        Sample(((3, 5),)),
        Sample(((2, 3, 5),), {"axes": (1,)}),
        Sample(((2, 3, 5),), {"axes": (0, 2), "keepdims": True}),
        Sample(((1, 1),), {"axes": (-1,)}),
    ),
    source="Definition",
    dtype="operands",
)


def sum(x: Any, axes: int | Iterable[int] | None = None, keepdims: bool = False) -> Node:
    """Sum of the elements along axes.

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
    Cost: 1 read and 1 FLOP per element of ``x``. float32 sums are blocked, so that the error does not grow
    with the number of elements.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> run = graphc.backward(graphc.sum(x)).at(x=[1, 2, 3])
    >>> print(run.value(run.back.root), run.grad("x").round(4))
    6.0 [1. 1. 1.]
    """
    return GATE(x, axes=axes, keepdims=keepdims)
