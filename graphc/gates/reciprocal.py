"""reciprocal: ``y = 1 / x``, elementwise.

The last gate of the hand-drawn sigmoid circuit; ``1 / x`` in code.

Shapes: ``x`` any, result the same.
Derivative: -1/x**2 = -y**2.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "reciprocal",
    "y = 1 / x",
    ("x",),
    symbol="1/x",
    samples=(
        Sample(((3, 5),), interval=(0.5, 2.0), values=((4.0,), 0.25)),
        Sample(((),), interval=(0.5, 2.0)),
    ),
    source="Definition; derivative -1/x^2 = -y^2",
)


def reciprocal(x: Node) -> Node:
    """Reciprocal ``1/x``, elementwise.

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
    A pole at 0 gives an infinity, never an exception. Cost: 1 read, 1 write, 1 division per
    element.

    Source
    ------
    Definition; derivative -1/x^2 = -y^2

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.reciprocal(x)).at(x=4.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.2500 -0.0625
    """
    return GATE(x)
