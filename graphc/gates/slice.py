"""slice: ``y[i] = x[start + step*i]``: the part of a tensor that an index in square brackets names.

Crops images, takes the last step of a sequence, shifts a text against itself.

Shapes: a whole number drops its axis, a slice keeps ``ceil((stop - start)/step)`` elements, None adds an axis of 1.
Derivative: the upstream gradient at the elements that were taken, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, registry
from graphc.graph.index import index_definition, plain_index, with_new_axes


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    return index_definition(shapes[0], attributes["index"])


GATE = Gate(
    "slice",
    _definition,
    ("x",),
    symbol="[ ]",
    attributes={"index": ()},
    samples=(
        Sample(((5,),), {"index": ((1, None, 2),)}, values=(([1.0, 2.0, 3.0, 4.0, 5.0],), [2.0, 4.0])),
        Sample(((3, 5),), {"index": (1, (None, None, -1))}),
        Sample(((4, 5, 2),), {"index": ((None, 3, None), "...", -1)}),
        Sample(((3, 4),), {"index": ("...", None, (-3, -1, None))}),
        Sample(((7,),), {"index": ((5, None, -3),)}),
        Sample(((2, 3),), {"index": (0, 2)}),
        Sample(((2, 3),), {"index": ()}),
    ),
    source="Definition: NumPy's basic indexing",
    dtype="operands",
)


def slice(x: Any, index: Any) -> Node:
    """Part of a tensor; the same as ``x[index]``.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    index : int, slice, ..., None or a tuple of these
        Index as in NumPy, negative numbers counted from the end.

    Returns
    -------
    Node, the part

    Raises
    ------
    ShapeError
        If there are too many indices, one is out of range, a slice leaves nothing, or its extent depends on a size
        that is known at run time other than by adding a number.

    Notes
    -----
    On an axis with a named size slices are not shortened: ``x[1:]`` has the extent ``N - 1``, and a whole number
    that turns out to be out of range reads 0. Masks are not indices; rows by number are ``embedding``.
    Cost: 1 read and 1 write per element of the result; none where the index only adds axes.

    Source
    ------
    Definition: NumPy's basic indexing.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 28, 28))
    >>> x[:, 2:-2, ::3].shape
    (N, 24, 10)
    >>> x[..., 0].shape
    (N, 28)
    """
    plain = plain_index(index)
    view = with_new_axes(x.shape, plain) if isinstance(x, Node) else None
    if view is not None:
        return registry.function("reshape")(x, view)
    return GATE(x, index=plain)
