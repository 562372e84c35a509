"""stack: ``y[0,i] = a[i]``, then ``y[1,i] = b[i]``: tensors of one shape along a new axis.

Makes one sequence of many steps, or one batch of many examples.

Shapes: all equal; the result has one more axis, as long as there are operands.
Derivatives: the slice of the upstream gradient that each operand became.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.axes import indexed, letters_of, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    for shape in shapes:
        if shape != shapes[0]:
            raise ShapeError(f"operands must have one shape, found {shape_text(shapes[0])} and {shape_text(shape)}")
    return {"axis": normal_axis(attributes["axis"], len(shapes[0]) + 1)}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axis, letters = attributes["axis"], letters_of(len(shapes[0]))
    lines = []
    for k in range(len(shapes)):
        write = indexed("y", [*letters[:axis], str(k), *letters[axis:]])
        lines.append(f"{write} {'+=' if k else '='} {indexed(f'x{k}', letters)}")
    return Definition("\n".join(lines), extents={f"y.{axis}": str(len(shapes))})


GATE = Gate(
    "stack",
    _definition,
    ("x",),
    symbol="stack",
    attributes={"axis": 0},
    prepare=_prepare,
    variadic=True,
    samples=(
        Sample(((2,), (2,)), values=(([1.0, 2.0], [3.0, 4.0]), [[1.0, 2.0], [3.0, 4.0]])),
        Sample(((3, 2), (3, 2), (3, 2)), {"axis": 1}),
        Sample(((), (), ()), {"axis": -1}),
        Sample(((2, 3),), {"axis": -1}),
    ),
    source="Definition",
    dtype="operands",
)


def stack(x: Iterable[Any], axis: int = 0) -> Node:
    """Tensors of one shape along a new axis.

    Parameters
    ----------
    x : iterable of Node, all of one shape
        Operands, in order.
    axis : int, default 0
        Place of the new axis in the result.

    Returns
    -------
    Node, the shape of the operands with the new axis

    Raises
    ------
    ShapeError
        If there is no operand, the axis does not exist, or the shapes differ.

    Notes
    -----
    Cost: 1 read and 1 write per element.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> steps = [graphc.input(f"step{k}", ("N", 3)) for k in range(5)]
    >>> graphc.stack(steps, axis=1).shape
    (N, 5, 3)
    """
    return GATE(*x, axis=axis)
