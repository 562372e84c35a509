"""hard_sigmoid: ``y = max(0, min(1, x/6 + 1/2))``, elementwise.

A sigmoid of three straight pieces, without an exponential.

Shapes: ``x`` any, result the same.
Derivative: 1/6 between -3 and 3, else 0.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "hard_sigmoid",
    "y = max(0, min(1, x/6 + 1/2))",
    ("x",),
    symbol="hard σ",
    ties="at -3 and 3 the constants win and the derivative is 0",
    samples=(
        Sample(((3, 5),), interval=(-5.0, 5.0), values=(([-4.0, 1.5, 4.0],), [0.0, 0.75, 1.0])),
        Sample(((),)),
    ),
    source="Courbariaux et al., NIPS 28 (2015), eq. 3; Howard et al., ICCV (2019), section 5.2",
)


def hard_sigmoid(x: Node) -> Node:
    """Piecewise linear sigmoid ``max(0, min(1, x/6 + 1/2))``, elementwise.

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
    NaN stays NaN. Cost: 1 read, 1 write, 4 FLOP per element. At -3 and 3 the constants win and the derivative
    is 0.

    Source
    ------
    Courbariaux et al., NIPS 28 (2015), eq. 3; Howard et al., ICCV (2019), section 5.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.hard_sigmoid(x)).at(x=1.5)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.7500 0.1667
    """
    return GATE(x)
