"""softplus: ``y = log(1 + exp(x))``, elementwise.

A smooth ``max(0, x)`` that is positive everywhere.

Shapes: ``x`` any, result the same.
Derivative: sigmoid(x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "softplus",
    "y = log(1 + exp(x))",
    ("x",),
    symbol="softplus",
    samples=(
        Sample(((3, 5),), values=((1.0,), 1.3133)),
        Sample(((),)),
    ),
    source="Dugas et al., NIPS 13 (2000), section 3",
)


def softplus(x: Node) -> Node:
    """Softplus ``log(1 + exp(x))``, elementwise.

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
    Accurate in both tails: exp is taken of -abs(x) only. Cost: 1 read, 1 write, 1 exp and 1 log per element.

    Source
    ------
    Dugas et al., NIPS 13 (2000), section 3.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.softplus(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    1.3133 0.7311
    """
    return GATE(x)
