"""concat: ``y[i] = a[i]``, then ``y[size(a) + i] = b[i]``: tensors one after another along an axis.

Joins features of different origin: skip connections, dense blocks, a state with its input.

Shapes: equal but for the axis, whose extents add up.
Derivatives: the part of the upstream gradient that each operand became.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.axes import indexed, letters_of, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    first = shapes[0]
    axis = normal_axis(attributes["axis"], len(first))
    for shape in shapes:
        if len(shape) != len(first) or (*shape[:axis], 0, *shape[axis + 1 :]) != (*first[:axis], 0, *first[axis + 1 :]):
            raise ShapeError(
                f"operands must agree in every axis but {axis}, found {shape_text(first)} and {shape_text(shape)}"
            )
    return {"axis": axis}


def _offset(k: int, shapes: tuple[Shape, ...], axis: int) -> str:
    """Where operand ``k`` begins: over its own extent and that of the result, the only ones that its line sees."""
    before = sum((shape[axis] for shape in shapes[:k]), 0)
    if isinstance(before, int):
        return str(before)
    own, total = shapes[k][axis], sum((shape[axis] for shape in shapes), 0)
    for of_total in (0, 1):
        for of_own in range(-len(shapes), len(shapes)):
            rest = before - of_total * total - of_own * own
            if isinstance(rest, int):
                total_text = f"size(y,{axis}) + " * of_total
                return f"{total_text}{of_own}*size(x{k},{axis}) + {rest}"
    raise ShapeError(
        f"operand {k} would begin at {before}, which does not follow from its own size {own} and the size {total} of "
        "the result, known at run time only: join fewer operands at a time"
    )


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axis, letters = attributes["axis"], letters_of(len(shapes[0]))
    extents = [f"size(x{k},{axis})" for k in range(len(shapes))]
    lines = []
    for k in range(len(shapes)):
        place = f"{_offset(k, shapes, axis)} + {letters[axis]}" if k else letters[axis]
        write = indexed("y", [*letters[:axis], place, *letters[axis + 1 :]])
        lines.append(f"{write} {'+=' if k else '='} {indexed(f'x{k}', letters)}")
    return Definition("\n".join(lines), extents={f"y.{axis}": " + ".join(extents)})


GATE = Gate(
    "concat",
    _definition,
    ("x",),
    symbol="concat",
    attributes={"axis": 0},
    prepare=_prepare,
    variadic=True,
    samples=(
        Sample(((2,), (3,)), values=(([1.0, 2.0], [3.0, 4.0, 5.0]), [1.0, 2.0, 3.0, 4.0, 5.0])),
        Sample(((2, 3), (2, 1)), {"axis": 1}),
        Sample(((2, 1, 3), (2, 4, 3), (2, 2, 3)), {"axis": -2}),
        Sample(((3, 2),), {"axis": 1}),
    ),
    source="Definition",
    dtype="operands",
)


def concat(x: Iterable[Any], axis: int = 0) -> Node:
    """Tensors one after another along an axis.

    Parameters
    ----------
    x : iterable of Node, shapes equal but for the axis
        Operands, in order.
    axis : int, default 0
        Axis along which they are joined.

    Returns
    -------
    Node, the shape of the operands with the extents of the axis added

    Raises
    ------
    ShapeError
        If there is no operand, the axis does not exist, or the shapes differ elsewhere.

    Notes
    -----
    Cost: 1 read and 1 write per element.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.input("a", ("N", 3)), graphc.input("b", ("N", 5))
    >>> graphc.concat((a, b), axis=1).shape
    (N, 8)
    """
    return GATE(*x, axis=axis)
