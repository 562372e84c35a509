"""sin: ``y = sin(x)``, elementwise.

Periodic features and position encodings.

Shapes: ``x`` any, result the same.
Derivative: cos(x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "sin",
    "y = sin(x)",
    ("x",),
    symbol="sin",
    samples=(
        Sample(((3, 5),), values=((1.0,), 0.8415)),
        Sample(((),)),
    ),
    source="Definition",
)


def sin(x: Node) -> Node:
    """Sine of an angle in radians, elementwise.

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
    Of an infinity NaN. Cost: 1 read, 1 write, 1 function per element.

    Source
    ------
    Definition.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.sin(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.8415 0.5403
    """
    return GATE(x)
