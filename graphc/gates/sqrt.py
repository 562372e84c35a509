"""sqrt: ``y = sqrt(x)``, elementwise.

Lengths and standard deviations.

Shapes: ``x`` any, result the same.
Derivative: 1/(2*y).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "sqrt",
    "y = sqrt(x)",
    ("x",),
    symbol="√",
    samples=(
        Sample(((3, 5),), interval=(0.5, 2.0), values=((2.0,), 1.4142)),
        Sample(((),), interval=(0.5, 2.0)),
    ),
    source="Definition",
)


def sqrt(x: Node) -> Node:
    """Square root, elementwise.

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
    Of a negative number NaN. The derivative at 0 is infinite. Cost: 1 read, 1 write, 1 function per element.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.sqrt(x)).at(x=4.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    2.0000 0.2500
    """
    return GATE(x)
