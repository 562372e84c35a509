"""tanh: ``y = tanh(x)``, elementwise.

A sigmoid centred at 0: tanh(x) = 2 sigmoid(2x) - 1.

Shapes: ``x`` any, result the same.
Derivative: 1 - y**2.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "tanh",
    "y = tanh(x)",
    ("x",),
    symbol="tanh",
    samples=(
        Sample(((3, 5),), interval=(-2.0, 2.0), values=((0.0,), 0.0)),
        Sample(((),), interval=(-2.0, 2.0)),
    ),
    source="LeCun et al., Efficient BackProp (1998), section 4.4",
)


def tanh(x: Node) -> Node:
    """Hyperbolic tangent ``tanh(x)``, elementwise.

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
    The derivative is evaluated as sech(x)^2, because 1 - tanh(x)^2 rounds to 0 where tanh
    saturates. Cost: 1 read, 1 write, 1 transcendental call per element.

    Source
    ------
    LeCun et al., Efficient BackProp (1998), section 4.4

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.tanh(x)).at(x=0.5)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.4621 0.7864
    """
    return GATE(x)
