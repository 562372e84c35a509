"""less_equal: ``y = 1 if a <= b else 0``, elementwise with broadcasting.

Masks and thresholds, the limit included.

Shapes: ``a`` and ``b`` broadcast to the result, a float of 0 and 1.
Derivative: none; the result is constant almost everywhere.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "less_equal",
    "y = 1 if a <= b else 0",
    ("a", "b"),
    symbol="≤",
    ties="less or equal where equal; false for NaN",
    samples=(
        Sample(((3, 5), (3, 5)), values=(([1.0, 2.0, 3.0], 2.0), [1.0, 1.0, 0.0])),
        Sample(((2, 3), (3,))),
        Sample(((), (4, 1))),
    ),
    source="Definition",
    differentiable=False,
)


def less_equal(a: Any, b: Any) -> Node:
    """1 where ``a <= b``, else 0.

    Parameters
    ----------
    a : Node, number or array, any shape
        First operand.
    b : Node, number or array, shape that broadcasts with ``a``
        Second operand.

    Returns
    -------
    Node, the broadcast shape, float32

    Raises
    ------
    ShapeError
        If two extents differ and neither is 1.

    Notes
    -----
    Cost: 2 reads, 1 write, 1 comparison per element. No gradient flows through it.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> a = graphc.input("a", (3,))
    >>> compare = graphc.compile([graphc.less_equal(a, 2.0)])
    >>> print(compare(a=[1, 2, 3])[0])
    [1. 1. 0.]
    """
    return GATE(a, b)
