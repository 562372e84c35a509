"""gather: ``y[i,j] = x[i,index[i,j]]``: one element along an axis for each index.

Picks what depends on data in every row: the score of a chosen action, the k-th best candidate.

Shapes: ``index`` has the rank of ``x`` and its extents on every axis but the chosen one; the result has its shape.
Derivative: the upstream gradient, added up at the elements that were picked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.axes import indexed, letters_of, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    x, index = shapes
    axis = normal_axis(attributes["axis"], len(x))
    if len(index) != len(x):
        raise ShapeError(f"index needs the rank of x, {len(x)}, found {shape_text(index)}")
    return {"axis": axis}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = letters_of(len(shapes[0]))
    read = list(letters)
    read[attributes["axis"]] = indexed("index", letters)
    text = f"{indexed('y', letters)} = {indexed('x', read)}"
    return Definition(text, integers=frozenset({"index"}))


GATE = Gate(
    "gather",
    _definition,
    ("x", "index"),
    symbol="gather",
    attributes={"axis": -1},
    prepare=_prepare,
    samples=(
        Sample(((3, 5), (3, 2)), integers={1: 5}),
        Sample(((2, 3), (2, 3)), integers={1: 3}, values=(([[1.0, 2.0]], [[1, 1]]), [[2.0, 2.0]])),
        Sample(((4, 3), (7, 3)), {"axis": 0}, integers={1: 4}),
        Sample(((2, 3, 2), (2, 1, 2)), {"axis": 1}, integers={1: 3}),
        Sample(((5,), (3,)), integers={1: 5}),
    ),
    source="Definition: NumPy's take_along_axis",
    dtype="operands",
    scatter_only="the gradient is written at index[i,j], which depends on data",
)


def gather(x: Any, index: Any, axis: int = -1) -> Node:
    """Elements along an axis at given positions.

    Parameters
    ----------
    x : Node, any shape of rank 1 or more
        Operand.
    index : Node, shape of ``x`` but for the axis, integer
        Positions along the axis, 0 to its extent - 1.
    axis : int, default -1
        Axis along which elements are picked.

    Returns
    -------
    Node, shape of ``index``

    Raises
    ------
    ShapeError
        If the ranks or another extent differ, the axis does not exist, or ``index`` holds floats.

    Notes
    -----
    A position outside the axis is refused by the reference. Cost: 2 reads and 1 write per element of the result.

    Source
    ------
    Definition: NumPy's ``take_along_axis``.

    Examples
    --------
    >>> import graphc
    >>> x, index = graphc.input("x", (2, 3)), graphc.input("index", (2, 1), dtype="int32")
    >>> pick = graphc.compile([graphc.gather(x, index)])
    >>> print(pick(x=[[1, 2, 3], [4, 5, 6]], index=[[2], [0]])[0].tolist())
    [[3.0], [4.0]]
    """
    return GATE(x, index, axis=axis)
