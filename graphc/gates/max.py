"""max: ``y = max(a, b)``, elementwise with broadcasting.

The router: the upstream gradient goes to the winner alone.

Shapes: ``a`` and ``b`` broadcast to the result, aligned at the right.
Derivatives: 1 where a >= b, else 0 and 0 where a >= b, else 1.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "max",
    "y = max(a, b)",
    ("a", "b"),
    symbol="max",
    ties="at a tie the first operand wins and takes the whole gradient",
    samples=(
        Sample(((3, 5), (3, 5)), interval=(-2.0, 2.0), values=((1.0, 2.0), 2.0)),
        Sample(((2, 3, 5), (3, 1)), interval=(-2.0, 2.0)),
        Sample(((), (4,)), interval=(-2.0, 2.0)),
    ),
    source="Definition; subgradient interval [0, 1] at a tie",
    dtype="operands",
)


def max(a: Any, b: Any) -> Node:
    """Larger of two values.

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
    Exact; NaN stays NaN. NumPy's broadcasting: extents of 1 are repeated, and the gradient is
    summed over the repetitions. Cost: 2 reads, 1 write, 1 FLOP per element. At a tie the first
    operand wins and takes the whole gradient.

    Source
    ------
    Definition; subgradient interval [0, 1] at a tie

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.inputs("a b")
    >>> run = graphc.backward(graphc.max(a, b)).at(a=3.0, b=-4.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('a'):.4f} {run.grad('b'):.4f}")
    3.0000 1.0000 0.0000
    """
    return GATE(a, b)
