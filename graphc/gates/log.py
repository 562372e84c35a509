"""log: ``y = log(x)``, elementwise.

Turns products of probabilities into sums.

Shapes: ``x`` any, result the same.
Derivative: 1/x.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "log",
    "y = log(x)",
    ("x",),
    symbol="log",
    samples=(
        Sample(((3, 5),), interval=(0.3, 3.0), values=((1.0,), 0.0)),
        Sample(((),), interval=(0.3, 3.0)),
    ),
    source="Definition; derivative 1/x",
)


def log(x: Node) -> Node:
    """Natural logarithm ``log(x)``, elementwise.

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
    -infinity at 0 and NaN below, as IEEE 754 says; never an exception. Cost: 1 read, 1 write, 1
    transcendental call per element.

    Source
    ------
    Definition; derivative 1/x

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.log(x)).at(x=2.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.6931 0.5000
    """
    return GATE(x)
