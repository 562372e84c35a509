"""split: ``y0[i] = x[i]``, ``y1[i] = x[size(y0) + i]``, ...: a tensor cut into parts along an axis.

One product computes all gates of an LSTM, or query, key and value; this takes them apart.

Shapes: each part has the shape of ``x`` but for the axis.
Derivative: the upstream gradients one after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import indexed, letters_of, normal_axis, whole_numbers


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    axis, given = normal_axis(attributes["axis"], len(shapes[0])), attributes["sections"]
    extent = shapes[0][axis]
    if not isinstance(extent, int):
        raise ShapeError(f"axis {axis} has the size {extent}, known at run time only, and cannot be split")
    sections = whole_numbers(given, "sections", 1)
    if not isinstance(given, tuple | list):
        if extent % sections[0]:
            raise ShapeError(f"axis {axis} has {extent} elements, which {given} sections do not divide")
        sections = (extent // sections[0],) * sections[0]
    if sum(sections) != extent:
        raise ShapeError(f"sections={given!r} add up to {sum(sections)}, but axis {axis} has {extent} elements")
    return {"sections": sections, "axis": axis}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axis, sections = attributes["axis"], attributes["sections"]
    letters = letters_of(len(shapes[0]))
    lines, extents, start = [], {}, 0
    for k, extent in enumerate(sections):
        own = f"{letters[axis]}{k}"  # the parts may differ in extent
        place = f"{own} + {start}" if start else own
        read = indexed("x", [*letters[:axis], place, *letters[axis + 1 :]])
        if len(sections) > 1:
            extents[own] = str(extent)
        lines.append(f"{indexed(f'y{k}', [*letters[:axis], own, *letters[axis + 1 :]])} = {read}")
        start += extent
    return Definition("\n".join(lines), extents=extents)


GATE = Gate(
    "split",
    _definition,
    ("x",),
    symbol="split",
    attributes={"sections": 2, "axis": 0},
    prepare=_prepare,
    samples=(
        Sample(((4,),), values=(([1.0, 2.0, 3.0, 4.0],), [1.0, 2.0])),
        Sample(((2, 6),), {"sections": 3, "axis": 1}),
        Sample(((2, 5, 3),), {"sections": (1, 3, 1), "axis": -2}),
        Sample(((3, 2),), {"sections": 1}),
    ),
    source="Definition; the values are those of the first part",
    dtype="operands",
)


def split(x: Any, sections: Any = 2, axis: int = 0) -> tuple[Node, ...]:
    """Parts of a tensor along an axis.

    Parameters
    ----------
    x : Node, any shape of rank 1 or more
        Operand.
    sections : int or tuple of int, default 2
        Number of equal parts, or the extent of each part.
    axis : int, default 0
        Axis that is cut; its extent is a number.

    Returns
    -------
    tuple of Node, the parts in order

    Raises
    ------
    ShapeError
        If the axis does not exist or has a named size, or the parts do not add up to it.

    Notes
    -----
    Cost: 1 read and 1 write per element of the parts that are used.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 12))
    >>> [part.shape for part in graphc.split(x, (3, 4, 5), axis=1)]
    [(N, 3), (N, 4), (N, 5)]
    """
    return GATE.apply((x,), {"sections": sections, "axis": axis})
