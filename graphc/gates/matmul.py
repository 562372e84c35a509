"""matmul: ``y[m,n] = sum(a[m,k] * b[k,n], k)``.

Every dense layer, and the product that convolution and recurrence are lowered to.

Shapes: ``(..., m, k)`` and ``(..., k, n)`` give ``(..., m, n)``; a vector on the left is a row, on the right a
column, and its axis is dropped from the result.
Derivatives: ``dy @ b.T`` and ``a.T @ dy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.definition import Definition
from graphc.graph import Gate, Node, Sample
from graphc.graph.shapes import Shape

_BATCH = "uvpqrs"


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    ranks = tuple(len(shape) for shape in shapes)
    if 0 in ranks:
        raise ShapeError("matmul needs at least one axis in each operand; multiply by a scalar with *")
    batch_a, batch_b = max(ranks[0] - 2, 0), max(ranks[1] - 2, 0)
    if max(batch_a, batch_b) > len(_BATCH):
        raise ShapeError(f"matmul takes operands of rank up to {len(_BATCH) + 2}, found ranks {ranks}")
    letters = _BATCH[: max(batch_a, batch_b)]
    a = [*letters[len(letters) - batch_a :], *(["m"] if ranks[0] > 1 else []), "k"]
    b = [*letters[len(letters) - batch_b :], "k", *(["n"] if ranks[1] > 1 else [])]
    y = [*letters, *(["m"] if ranks[0] > 1 else []), *(["n"] if ranks[1] > 1 else [])]
    left = f"y[{','.join(y)}]" if y else "y"
    return Definition(f"{left} = sum(a[{','.join(a)}] * b[{','.join(b)}], k)")


GATE = Gate(
    "matmul",
    _definition,
    ("a", "b"),
    symbol="@",
    samples=(
        Sample(((3, 5), (5, 4)), values=(([[1.0, 2.0]], [[3.0], [4.0]]), [[11.0]])),
        Sample(((1, 7), (7, 1))),
        Sample(((5,), (5,))),
        Sample(((3, 5), (5,))),
        Sample(((2, 3, 5), (5, 4))),
        Sample(((2, 3, 5), (2, 5, 4))),
    ),
    source="Definition of the matrix product; Giles (2008), section 2.2.1 for its adjoint",
)


def matmul(a: Any, b: Any) -> Node:
    """Matrix product ``a @ b``.

    Parameters
    ----------
    a : Node, shape (..., m, k) or (k,)
        Left operand.
    b : Node, shape (..., k, n) or (k,)
        Right operand; leading axes of the shorter operand are repeated.

    Returns
    -------
    Node, shape (..., m, n)

    Raises
    ------
    ShapeError
        If the inner extents differ, or an operand is a scalar.

    Notes
    -----
    Cost: 2*m*k*n FLOP; m*k + k*n reads and m*n writes.

    Source
    ------
    Definition of the matrix product; Giles (2008), section 2.2.1 for its adjoint.

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.input("a", (1, 2)), graphc.input("b", (2, 1))
    >>> run = graphc.backward(graphc.sum(graphc.matmul(a, b))).at(a=[[1, 2]], b=[[3], [4]])
    >>> print(run.value(run.back.root), run.grad("a"))
    11.0 [[3. 4.]]
    """
    return GATE(a, b)
