"""embedding: ``y[n,d] = weight[token[n],d]``: rows of a table.

The first layer of every language model: a product with one-hot rows, without forming them.

Shapes: ``weight (V, ...)`` and integer ``token`` of any shape give the shape of ``token`` followed by ``(...)``.
Derivative: row ``v`` is the sum of the upstream gradients at the places where ``token`` is ``v``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import indexed, letters_of


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    weight, token = shapes
    if not weight:
        raise ShapeError("embedding needs a table of rows, but weight is a scalar")
    letters = letters_of(len(token) + len(weight) - 1)
    places, rest = letters[: len(token)], letters[len(token) :]
    row = indexed("token", places)
    text = f"{indexed('y', letters)} = {indexed('weight', [row, *rest])}"
    return Definition(text, integers=frozenset({"token"}))


GATE = Gate(
    "embedding",
    _definition,
    ("weight", "token"),
    symbol="embed",
    samples=(
        Sample(((5, 3), (4,)), integers={1: 5}, values=(([[1.0, 2.0], [3.0, 4.0]], [1, 0]), [[3.0, 4.0], [1.0, 2.0]])),
        Sample(((3, 2), (2, 5)), integers={1: 3}),
        Sample(((4,), (3,)), integers={1: 4}),
        Sample(((3, 2, 2), ()), integers={1: 3}),
        Sample(((1, 1), (1, 1)), integers={1: 1}),
    ),
    source="Bengio et al., JMLR 3 (2003), section 2: the matrix C of word features",
    dtype="operands",
    scatter_only="the gradient of a row is written at the index token[n], which depends on data",
)


def embedding(weight: Any, token: Any) -> Node:
    """Rows of a table at given numbers; also ``weight[token]``.

    Parameters
    ----------
    weight : Node, shape (V, ...)
        Table, one row for each token.
    token : Node, any shape, integer
        Numbers of rows, 0 to V - 1.

    Returns
    -------
    Node, the shape of ``token`` followed by that of a row

    Raises
    ------
    ShapeError
        If ``weight`` is a scalar or ``token`` holds floats.

    Notes
    -----
    A token outside 0 to V - 1 is refused by the reference. Repeated tokens add up their gradients.
    Cost: 1 read and 1 write per element of the result.

    Source
    ------
    Bengio et al., JMLR 3 (2003), section 2.

    Examples
    --------
    >>> import graphc
    >>> weight, token = graphc.parameter("weight", (100, 8)), graphc.input("token", ("N", 5), dtype="int32")
    >>> graphc.embedding(weight, token).shape
    (N, 5, 8)
    """
    return GATE(weight, token)
