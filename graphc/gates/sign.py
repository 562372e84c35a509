"""sign: ``y = sign(x)``, elementwise.

The direction of a number without its size.

Shapes: ``x`` any, result the same.
Derivative: none; the result is constant almost everywhere.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "sign",
    "y = sign(x)",
    ("x",),
    symbol="sgn",
    ties="at 0 the result is 0",
    samples=(
        Sample(((3, 5),), values=(([-3.0, 0.0, 0.5],), [-1.0, 0.0, 1.0])),
        Sample(((),)),
    ),
    source="Definition",
    differentiable=False,
)


def sign(x: Node) -> Node:
    """-1, 0 or 1 as x is negative, zero or positive, elementwise.

    Parameters
    ----------
    x : Node, any shape
        Operand.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``x`` is not a node, a number or an array of numbers.

    Notes
    -----
    NaN stays NaN. No gradient flows through it. Cost: 1 read, 1 write, 2 comparisons per element. At 0 the
    result is 0.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.compile([graphc.sign(x)])
    >>> print(run(x=-3)[0])
    -1.0
    """
    return GATE(x)
