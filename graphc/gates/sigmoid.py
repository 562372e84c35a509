"""sigmoid: ``y = 1 / (1 + exp(-x))``, elementwise.

Squashes to (0, 1); the classic neuron and the gates of recurrent cells.

Shapes: ``x`` any, result the same.
Derivative: y*(1 - y).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "sigmoid",
    "y = 1 / (1 + exp(-x))",
    ("x",),
    symbol="σ",
    samples=(
        Sample(((3, 5),), interval=(-2.0, 2.0), values=((0.0,), 0.5)),
        Sample(((),), interval=(-2.0, 2.0)),
    ),
    source="Rumelhart, Hinton, Williams, Nature 323 (1986), eq. 2",
)


def sigmoid(x: Node) -> Node:
    """Logistic sigmoid ``1 / (1 + exp(-x))``, elementwise.

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
    The formula overflows for large negative x; it is evaluated in the stable form sigmoid(x),
    and its derivative as sigmoid(x) sigmoid(-x), which stays relatively accurate in both tails.
    Cost: 1 read, 1 write, 1 transcendental call per element.

    Source
    ------
    Rumelhart, Hinton, Williams, Nature 323 (1986), eq. 2

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.sigmoid(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.7311 0.1966
    """
    return GATE(x)
