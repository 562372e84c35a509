"""selu: ``y = lambda * (x if x > 0 else alpha*(exp(x) - 1))``, elementwise.

Its two constants pull the mean of a layer to 0 and the variance to 1.

Shapes: ``x`` any, result the same.
Derivative: lambda where x > 0, else lambda*alpha*exp(x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "selu",
    "y = 1.0507009873554805 * (x if x > 0 else 1.6732632423543772*(exp(x) - 1))",
    ("x",),
    symbol="SELU",
    ties="at 0 the exponential branch gives the derivative lambda*alpha",
    samples=(
        Sample(((3, 5),), values=(([1.0, -1.0],), [1.0507, -1.1113])),
        Sample(((),)),
    ),
    source="Klambauer et al., NIPS 30 (2017), eq. 2 and 14",
)


def selu(x: Node) -> Node:
    """Scaled exponential linear unit, elementwise.

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
    lambda = 1.0507..., alpha = 1.6732...: the fixed point for mean 0 and variance 1. Cost: 1 read, 1 write, 1
    exp per element. At 0 the exponential branch gives the derivative lambda*alpha.

    Source
    ------
    Klambauer et al., NIPS 30 (2017), eq. 2 and 14.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.selu(x)).at(x=-1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    -1.1113 0.6468
    """
    return GATE(x)
