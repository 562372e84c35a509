"""pad: ``y[i] = x[i - before]``, 0 outside: zeros around a tensor.

Makes room for windows at the border, and brings sequences to one length.

Shapes: each axis grows by the zeros before and after it.
Derivative: the upstream gradient without the border.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import indexed, letters_of, whole_numbers


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    widths, rank = attributes["widths"], len(shapes[0])
    if not isinstance(widths, tuple | list):
        widths = (widths, widths)
    if not any(isinstance(item, tuple | list) for item in widths):
        widths = (widths,) * rank
    pairs = tuple(whole_numbers(item, "widths", 0) for item in widths)
    pairs = tuple(pair * 2 if len(pair) == 1 else pair for pair in pairs)
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(
            f"widths={attributes['widths']!r} must be a number, (before, after), or one such pair for each of the "
            f"{rank} axes"
        )
    return {"widths": pairs}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = letters_of(len(shapes[0]))
    read, extents = list(letters), {}
    for d, (before, after) in enumerate(attributes["widths"]):
        if before or after:
            read[d] = f"{letters[d]} - {before}" if before else letters[d]
            extents[letters[d]] = f"size(x,{d}) + {before + after}"
    return Definition(f"{indexed('y', letters)} = {indexed('x', read)}", {"x": 0}, extents)


GATE = Gate(
    "pad",
    _definition,
    ("x",),
    symbol="pad",
    attributes={"widths": 1},
    prepare=_prepare,
    samples=(
        Sample(((2,),), {"widths": ((1, 2),)}, values=(([3.0, 4.0],), [0.0, 3.0, 4.0, 0.0, 0.0])),
        Sample(((2, 3),), {"widths": 1}),
        Sample(((1, 3, 2),), {"widths": ((0, 0), (0, 2), (3, 0))}),
        Sample(((2, 2),), {"widths": (2, 1)}),
        Sample(((3,),), {"widths": 0}),
    ),
    source="Dumoulin, Visin (2016), section 2.2",
    dtype="operands",
)


def pad(x: Any, widths: Any = 1) -> Node:
    """Zeros around a tensor.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    widths : int, (int, int) or a pair for each axis, default 1
        Zeros before and after: a number for all ends, (before, after) for all axes, or for each axis its own pair.

    Returns
    -------
    Node, the extents of ``x`` plus the zeros

    Raises
    ------
    ShapeError
        If a width is negative or the number of pairs is not the rank.

    Notes
    -----
    Cost: 1 read per element of ``x`` and 1 write per element of the result.

    Source
    ------
    Dumoulin, Visin (2016), section 2.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 3, 32, 32))
    >>> graphc.pad(x, ((0, 0), (0, 0), (1, 1), (2, 0))).shape
    (N, 3, 34, 34)
    """
    return GATE(x, widths=widths)
