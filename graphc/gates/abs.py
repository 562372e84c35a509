"""abs: ``y = abs(x)``, elementwise.

The L1 penalty and the absolute error are made of it.

Shapes: ``x`` any, result the same.
Derivative: sign(x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "abs",
    "y = abs(x)",
    ("x",),
    symbol="|x|",
    ties="at 0 the derivative is 0",
    samples=(
        Sample(((3, 5),), interval=(-2.0, 2.0), values=((-3.0,), 3.0)),
        Sample(((),), interval=(-2.0, 2.0)),
    ),
    source="Definition; subgradient interval [-1, 1] at 0",
    dtype="operands",
)


def abs(x: Node) -> Node:
    """Absolute value ``|x|``, elementwise.

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
    Exact. Cost: 1 read, 1 write, 1 FLOP per element. At 0 the derivative is 0.

    Source
    ------
    Definition; subgradient interval [-1, 1] at 0

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.abs(x)).at(x=-3.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    3.0000 -1.0000
    """
    return GATE(x)
