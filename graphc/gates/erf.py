"""erf: ``y = erf(x)``, elementwise.

The distribution function of the normal distribution is made of it.

Shapes: ``x`` any, result the same.
Derivative: 2/sqrt(pi)*exp(-x**2).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "erf",
    "y = erf(x)",
    ("x",),
    symbol="erf",
    samples=(
        Sample(((3, 5),), values=((1.0,), 0.8427)),
        Sample(((),)),
    ),
    source="Abramowitz, Stegun (1964), 7.1.1",
)


def erf(x: Node) -> Node:
    """Error function ``2/sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to x, elementwise.

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
    Cost: 1 read, 1 write, 1 function per element.

    Source
    ------
    Abramowitz, Stegun (1964), 7.1.1.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.erf(x)).at(x=0.5)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.5205 0.8788
    """
    return GATE(x)
