"""tile: ``y[extent*r + i] = x[i]``: a tensor repeated along its axes.

Where broadcasting is not enough: the copies become elements of their own.

Shapes: each axis is multiplied by its number of copies.
Derivative: the upstream gradient summed over the copies.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import indexed, letters_of, whole_numbers


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    repeats, rank = whole_numbers(attributes["repeats"], "repeats", 1), len(shapes[0])
    if len(repeats) > rank:
        raise ShapeError(f"repeats={repeats} has more numbers than x has axes, {rank}; add axes first: x[None]")
    return {"repeats": (1,) * (rank - len(repeats)) + repeats}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    shape, letters = shapes[0], letters_of(len(shapes[0]))
    write, extents, unrolled = list(letters), {}, {}
    for d, count in enumerate(attributes["repeats"]):
        if count == 1:
            continue
        extents[f"y.{d}"] = f"{count}*size(x,{d})"
        if isinstance(shape[d], int):
            write[d] = f"{shape[d]}*{letters[d].upper()} + {letters[d]}"
            extents[letters[d].upper()] = str(count)
        else:  # an index has whole coefficients: a size that is known at run time is added, copy by copy
            unrolled[d] = range(count)
    lines = []
    for copies in itertools.product(*unrolled.values()):
        for d, copy in zip(unrolled, copies, strict=True):
            write[d] = f"{copy}*size(x,{d}) + {letters[d]}"
        lines.append(f"{indexed('y', write)} {'+=' if lines else '='} {indexed('x', letters)}")
    return Definition("\n".join(lines), extents=extents)


GATE = Gate(
    "tile",
    _definition,
    ("x",),
    symbol="tile",
    attributes={"repeats": 2},
    prepare=_prepare,
    samples=(
        Sample(((2,),), {"repeats": 3}, values=(([1.0, 2.0],), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0])),
        Sample(((3, 5),), {"repeats": (2, 1)}),
        Sample(((2, 1, 3),), {"repeats": (3, 2)}),
        Sample(((7,),), {"repeats": 1}),
    ),
    source="Definition: NumPy's tile",
    dtype="operands",
)


def tile(x: Any, repeats: Any = 2) -> Node:
    """A tensor repeated along its axes.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    repeats : int or tuple of int, default 2
        Number of copies along each axis; fewer numbers than axes count from the last axis.

    Returns
    -------
    Node, the extents of ``x`` times the copies

    Raises
    ------
    ShapeError
        If a number is below 1 or there are more numbers than axes.

    Notes
    -----
    Operators broadcast without copies; only use this where the copies must be elements.
    Cost: 1 read and 1 write per element of the result.

    Source
    ------
    Definition: NumPy's ``tile``.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 3))
    >>> graphc.tile(x, (2, 4)).shape
    (2*N, 12)
    """
    return GATE(x, repeats=repeats)
