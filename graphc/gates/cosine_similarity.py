"""cosine_similarity: ``y = sum(a*b, j) / (|a| * |b|)`` along one axis.

How far two vectors point the same way, whatever their lengths: retrieval, contrastive losses.

Shapes: ``a`` and ``b`` broadcast; the axis disappears.
Derivatives: ``(b/|b| - y*a/|a|) / |a|`` and the same with ``a`` and ``b`` exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import broadcast_letters, indexed, letters_of, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    rank = max(map(len, shapes))
    axis = normal_axis(attributes["axis"], rank)
    for shape in shapes:
        if rank - axis > len(shape) or shape[axis - rank] != shapes[0][axis - rank]:
            raise ShapeError(f"a and b need the same extent on axis {attributes['axis']}")
    if not attributes["epsilon"] > 0:
        raise ShapeError(f"epsilon={attributes['epsilon']!r} must be positive")
    return {"axis": axis - rank, "epsilon": attributes["epsilon"]}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = letters_of(max(map(len, shapes)))
    reduced = letters[attributes["axis"]]
    (a, b), _ = broadcast_letters(shapes, letters)
    kept = [[i for i in index if i != reduced] for index in (letters, a, b)]
    own = [[i for i in index if i != "0"] for index in kept[1:]]
    left, right = indexed("a", a), indexed("b", b)
    squares = [f"max({indexed(name, index)}, epsilon**2)" for name, index in zip("pq", own, strict=True)]
    return Definition(
        f"{indexed('p', own[0])} = sum({left} * {left}, {reduced})\n"
        f"{indexed('q', own[1])} = sum({right} * {right}, {reduced})\n"
        f"{indexed('d', kept[0])} = sum({left} * {right}, {reduced})\n"
        f"{indexed('y', kept[0])} = {indexed('d', kept[0])} / (sqrt({squares[0]}) * sqrt({squares[1]}))"
    )


GATE = Gate(
    "cosine_similarity",
    _definition,
    ("a", "b"),
    symbol="cos",
    ties="below a length of epsilon the length counts as epsilon, a constant",
    attributes={"axis": -1, "epsilon": 1e-8},
    prepare=_prepare,
    samples=(
        Sample(((3, 5), (3, 5))),
        Sample(((2,), (2,)), values=(([3.0, 4.0], [4.0, 3.0]), 0.96)),
        Sample(((2, 3, 4), (2, 3, 4)), {"axis": 1}),
        Sample(((3, 1, 2), (4, 2))),
        Sample(((2, 2), (2, 2)), {"epsilon": 10.0}),
    ),
    source="Salton, McGill, Introduction to Modern Information Retrieval (1983), section 4.1",
)


def cosine_similarity(a: Any, b: Any, axis: int = -1, epsilon: float = 1e-8) -> Node:
    """Cosine of the angle between vectors.

    Parameters
    ----------
    a : Node, any shape of rank 1 or more
        Vectors along the axis.
    b : Node, shape that broadcasts with ``a``
        Vectors along the axis.
    axis : int, default -1
        Axis that the vectors run along.
    epsilon : float, default 1e-8
        Smallest length that is divided by.

    Returns
    -------
    Node, the broadcast shape without the axis

    Raises
    ------
    ShapeError
        If the axis does not exist or its extents differ, other extents do not broadcast, or epsilon is not positive.

    Notes
    -----
    Each length is at least epsilon, so that the similarity with a vector of zeros is 0.
    Cost: 6 FLOP per element and 2 square roots per vector.

    Source
    ------
    Salton, McGill, Introduction to Modern Information Retrieval (1983), section 4.1.

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.input("a", (2,)), graphc.input("b", (2,))
    >>> run = graphc.backward(graphc.cosine_similarity(a, b)).at(a=[3, 4], b=[4, 3])
    >>> print(f"{run.value(run.back.root):.4f}", run.grad("a").round(4))
    0.9600 [ 0.0448 -0.0336]
    """
    return GATE(a, b, axis=axis, epsilon=epsilon)
