"""reshape: ``flat(y)[e] = flat(x)[e]``: the same elements in row-major order under another shape.

A view: planning gives it no kernel and no memory.

Shapes: any to any with as many elements; one extent may be -1.
Derivative: the upstream gradient in the shape of ``x``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Gate, Node, Sample, Shape
from graphc.graph.flat import flat_copy, resolve_shape


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    return {"shape": resolve_shape(shapes[0], attributes["shape"])}


GATE = Gate(
    "reshape",
    flat_copy,
    ("x",),
    symbol="reshape",
    attributes={"shape": (-1,)},
    prepare=_prepare,
    samples=(
        Sample(((2, 6),), {"shape": (3, 4)}),
        Sample(((2, 3, 5),), {"shape": (2, -1)}),
        Sample(((),), {"shape": (1, 1)}),
    ),
    source="Definition: row-major order of the elements is kept",
    dtype="operands",
)


def reshape(x: Any, shape: Any) -> Node:
    """The same elements, in row-major order, under another shape.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    shape : int, name or tuple of these
        New shape; one extent may be -1.

    Returns
    -------
    Node, shape ``shape``

    Raises
    ------
    ShapeError
        If the number of elements differs, or a name is not an extent of ``x``.

    Notes
    -----
    Cost: none; it is a view.

    Source
    ------
    Definition: row-major order of the elements is kept.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 2, 3))
    >>> graphc.reshape(x, ("N", 6)).shape
    (N, 6)
    """
    return GATE(x, shape=shape)
