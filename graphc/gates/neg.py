"""neg: ``y = -x``, elementwise.

Written ``-x`` in code; drawn as a multiplication by −1, as lecturers do.

Shapes: ``x`` any, result the same.
Derivative: -1.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "neg",
    "y = -x",
    ("x",),
    symbol="×(−1)",
    samples=(
        Sample(((3, 5),), interval=(-2.0, 2.0), values=((2.0,), -2.0)),
        Sample(((),), interval=(-2.0, 2.0)),
    ),
    source="Definition of the additive inverse",
    dtype="operands",
)


def neg(x: Node) -> Node:
    """Negative ``-x``, elementwise.

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
    Exact. Cost: 1 read, 1 write, 1 FLOP per element.

    Source
    ------
    Definition of the additive inverse

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.neg(x)).at(x=2.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    -2.0000 -1.0000
    """
    return GATE(x)
