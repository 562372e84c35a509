"""flatten: ``flat(y)[e] = flat(x)[e]`` with every axis but the first joined into one.

Stands between the last pooling and the first dense layer. A view, like ``reshape``.

Shapes: ``(N, a, b, ...)`` gives ``(N, a*b*...)``.
Derivative: the upstream gradient in the shape of ``x``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Gate, Node, Sample, Shape, ShapeError
from graphc.graph.flat import element_count, flat_copy


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    if not shapes[0]:
        raise ShapeError("flatten keeps the first axis, but the operand is a scalar")
    return {"shape": (shapes[0][0], element_count(shapes[0][1:]))}


GATE = Gate(
    "flatten",
    flat_copy,
    ("x",),
    symbol="flatten",
    prepare=_prepare,
    samples=(Sample(((2, 3, 5),)), Sample(((1, 7),)), Sample(((4,),))),
    source="Definition: row-major order of the elements is kept",
    dtype="operands",
)


def flatten(x: Any) -> Node:
    """Join every axis but the first.

    Parameters
    ----------
    x : Node, shape (N, ...)
        Operand.

    Returns
    -------
    Node, shape (N, product of the others)

    Raises
    ------
    ShapeError
        If ``x`` is a scalar.

    Notes
    -----
    Cost: none; it is a view.

    Source
    ------
    Definition: row-major order of the elements is kept.

    Examples
    --------
    >>> import graphc
    >>> graphc.flatten(graphc.input("x", ("N", 16, 5, 5))).shape
    (N, 400)
    """
    return GATE(x)
