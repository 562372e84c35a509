"""softsign: ``y = x / (1 + abs(x))``, elementwise.

Squashes like tanh, but its tails fall off as 1/x**2 and not exponentially.

Shapes: ``x`` any, result the same.
Derivative: 1/(1 + abs(x))**2.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "softsign",
    "y = x / (1 + abs(x))",
    ("x",),
    symbol="softsign",
    samples=(
        Sample(((3, 5),), values=((-3.0,), -0.75)),
        Sample(((),)),
    ),
    source="Glorot, Bengio, AISTATS (2010), section 3.2",
)


def softsign(x: Node) -> Node:
    """Softsign ``x / (1 + abs(x))``, elementwise.

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
    Exact; NaN stays NaN. Cost: 1 read, 1 write, 3 FLOP per element.

    Source
    ------
    Glorot, Bengio, AISTATS (2010), section 3.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.softsign(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.5000 0.2500
    """
    return GATE(x)
