"""matmul: ``y[m,n] = sum(a[m,k] * b[k,n], k)``.

Every dense layer, and the product that convolution and recurrence are lowered to.

Shapes: ``(..., m, k)`` and ``(..., k, n)`` give ``(..., m, n)``; a vector on the left is a row, on the right a
column, and its axis is dropped from the result.
Derivatives: ``dy @ b.T`` and ``a.T @ dy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import broadcast_letters, indexed

_BATCH = "uvpqrs"


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    ranks = tuple(len(shape) for shape in shapes)
    if 0 in ranks:
        raise ShapeError("matmul needs at least one axis in each operand; multiply by a scalar with *")
    if max(ranks) > len(_BATCH) + 2:
        raise ShapeError(f"matmul takes operands of rank up to {len(_BATCH) + 2}, found ranks {ranks}")
    (batched_a, batched_b), batch = broadcast_letters([shape[:-2] for shape in shapes], _BATCH)
    a = [*batched_a, *(["m"] if ranks[0] > 1 else []), "k"]
    b = [*batched_b, "k", *(["n"] if ranks[1] > 1 else [])]
    y = [*batch, *(["m"] if ranks[0] > 1 else []), *(["n"] if ranks[1] > 1 else [])]
    return Definition(f"{indexed('y', y)} = sum({indexed('a', a)} * {indexed('b', b)}, k)")


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
        Sample(((3, 1, 2, 3), (2, 3, 1))),
        Sample(((1, 2, 3), (4, 3, 2))),
        Sample(((3,), (2, 1, 3, 2))),
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
        Right operand; leading axes broadcast as in NumPy.

    Returns
    -------
    Node, shape (..., m, n), the leading axes broadcast

    Raises
    ------
    ShapeError
        If the inner extents differ, leading axes do not broadcast, or an operand is a scalar.

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
