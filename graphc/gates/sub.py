"""sub: ``y = a - b``, elementwise with broadcasting.

A distributor that changes the sign on its second branch.

Shapes: ``a`` and ``b`` broadcast to the result, aligned at the right.
Derivatives: 1 and -1.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "sub",
    "y = a - b",
    ("a", "b"),
    symbol="−",
    samples=(
        Sample(((3, 5), (3, 5)), interval=(-2.0, 2.0), values=((1.0, 2.0), -1.0)),
        Sample(((2, 3, 5), (3, 1)), interval=(-2.0, 2.0)),
        Sample(((), (4,)), interval=(-2.0, 2.0)),
    ),
    source="Definition",
    dtype="operands",
)


def sub(a: Any, b: Any) -> Node:
    """Difference ``a - b``.

    Parameters
    ----------
    a : Node, number or array, any shape
        First operand.
    b : Node, number or array, shape that broadcasts with ``a``
        Second operand.

    Returns
    -------
    Node, the broadcast shape

    Raises
    ------
    ShapeError
        If two extents differ and neither is 1.

    Notes
    -----
    Exact to rounding. NumPy's broadcasting: extents of 1 are repeated, and the gradient is
    summed over the repetitions. Cost: 2 reads, 1 write, 1 FLOP per element.

    Source
    ------
    Definition

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.inputs("a b")
    >>> run = graphc.backward(graphc.sub(a, b)).at(a=3.0, b=-4.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('a'):.4f} {run.grad('b'):.4f}")
    7.0000 1.0000 -1.0000
    """
    return GATE(a, b)
