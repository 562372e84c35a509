"""transpose: ``y[j,i] = x[i,j]``: the axes in another order.

Turns rows into columns, and moves channels, heads and steps to where the next gate wants them.

Shapes: the extents of ``x`` in the new order; reversed by default.
Derivative: the upstream gradient with the axes moved back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import indexed, letters_of, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    rank, axes = len(shapes[0]), attributes["axes"]
    if axes is None:
        return {"axes": tuple(reversed(range(rank)))}
    items = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    chosen = tuple(normal_axis(axis, rank) for axis in items)
    if sorted(chosen) != list(range(rank)):
        raise ShapeError(f"axes={items} must name each of the {rank} axes once")
    return {"axes": chosen}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = letters_of(len(shapes[0]))
    moved = [letters[axis] for axis in attributes["axes"]]
    return Definition(f"{indexed('y', moved)} = {indexed('x', letters)}")


GATE = Gate(
    "transpose",
    _definition,
    ("x",),
    symbol="ᵀ",
    attributes={"axes": None},
    prepare=_prepare,
    samples=(
        Sample(((3, 5),), values=(([[1.0, 2.0], [3.0, 4.0]],), [[1.0, 3.0], [2.0, 4.0]])),
        Sample(((2, 3, 5),), {"axes": (1, 2, 0)}),
        Sample(((2, 1, 3, 2),), {"axes": (0, -2, 1, -1)}),
        Sample(((7,),)),
        Sample(((),)),
    ),
    source="Definition",
    dtype="operands",
)


def transpose(x: Any, axes: Iterable[int] | None = None) -> Node:
    """Axes in another order.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    axes : iterable of int, optional
        ``axes[d]`` is the axis of ``x`` that becomes axis ``d``; all reversed by default (``x.T``).

    Returns
    -------
    Node, the extents of ``x`` in the new order

    Raises
    ------
    ShapeError
        If an axis does not exist, is missing or named twice.

    Notes
    -----
    Cost: 1 read and 1 write per element.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 3, 32, 48))
    >>> graphc.transpose(x, (0, 2, 3, 1)).shape
    (N, 32, 48, 3)
    """
    return GATE(x, axes=axes)
