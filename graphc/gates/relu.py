"""relu: ``y = max(0, x)``, elementwise.

Keeps the gradient of active units unchanged and stops it for the others.

Shapes: ``x`` any, result the same.
Derivative: 1 where x > 0, else 0.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "relu",
    "y = max(0, x)",
    ("x",),
    symbol="ReLU",
    ties="at 0 the constant 0 wins and the derivative is 0",
    samples=(
        Sample(((3, 5),), interval=(-2.0, 2.0), values=((-1.0,), 0.0)),
        Sample(((),), interval=(-2.0, 2.0)),
    ),
    source="Nair, Hinton, ICML (2010), section 2",
)


def relu(x: Node) -> Node:
    """Rectified linear unit ``max(0, x)``, elementwise.

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
    Exact; NaN stays NaN. Cost: 1 read, 1 write, 1 comparison per element. At 0 the constant 0
    wins and the derivative is 0.

    Source
    ------
    Nair, Hinton, ICML (2010), section 2

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.relu(x)).at(x=2.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    2.0000 1.0000
    """
    return GATE(x)
