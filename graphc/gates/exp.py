"""exp: ``y = exp(x)``, elementwise.

Turns scores into positive numbers; its derivative is its own output.

Shapes: ``x`` any, result the same.
Derivative: y.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "exp",
    "y = exp(x)",
    ("x",),
    symbol="exp",
    samples=(
        Sample(((3, 5),), interval=(-2.0, 2.0), values=((0.0,), 1.0)),
        Sample(((),), interval=(-2.0, 2.0)),
    ),
    source="Definition; derivative y",
)


def exp(x: Node) -> Node:
    """Exponential ``exp(x)``, elementwise.

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
    Overflows to infinity beyond 88.7 (float32) or 709.8 (float64), as the exact value does.
    Cost: 1 read, 1 write, 1 transcendental call per element.

    Source
    ------
    Definition; derivative y

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.exp(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    2.7183 2.7183
    """
    return GATE(x)
