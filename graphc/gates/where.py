"""where: ``y = a if condition else b``, elementwise with broadcasting.

Chooses between two values: masks, piecewise functions, one rule for training and one for use.

Shapes: ``condition``, ``a`` and ``b`` broadcast to the result, aligned at the right.
Derivatives: 1 for the operand that is chosen, 0 for the other and for the condition.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "where",
    "y = a if condition else b",
    ("condition", "a", "b"),
    symbol="where",
    ties="every condition but 0 chooses a",
    samples=(
        Sample(((3, 5), (3, 5), (3, 5)), integers={0: 2}, values=(([1, 0], [3.0, 4.0], [5.0, 6.0]), [3.0, 6.0])),
        Sample(((3, 1), (2, 3, 5), (5,)), integers={0: 2}),
        Sample(((4,), (), (4,))),
    ),
    source="Definition",
    dtype="operands",
)


def where(condition: Any, a: Any, b: Any) -> Node:
    """``a`` where the condition is not 0, else ``b``.

    Parameters
    ----------
    condition : Node, number or array, any shape
        0 chooses ``b``, everything else ``a``.
    a : Node, number or array, shape that broadcasts with the others
        Chosen where the condition holds.
    b : Node, number or array, shape that broadcasts with the others
        Chosen elsewhere.

    Returns
    -------
    Node, the broadcast shape

    Raises
    ------
    ShapeError
        If two extents differ and neither is 1.

    Notes
    -----
    The value that is not chosen has no influence, even NaN. Its gradient is 0; if it comes from ``log(0)``, 0 times an
    infinite slope is NaN further down: choose the operand of the logarithm instead. Whole numbers where all three
    operands are. Cost: 3 reads, 1 write, 1 comparison per element.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> y = graphc.where(graphc.greater(x, 0.0), x, 0.1)
    >>> run = graphc.backward(graphc.sum(y)).at(x=[2, -3, 0])
    >>> print(run.value(y), run.grad("x"))
    [2.  0.1 0.1] [1. 0. 0.]
    """
    return GATE(condition, a, b)
