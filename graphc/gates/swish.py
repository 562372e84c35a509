"""swish: ``y = x * sigmoid(beta*x)``, elementwise.

A smooth ReLU that dips below 0; beta = 1 is SiLU, a large beta comes near ReLU.

Shapes: ``x`` any, result the same.
Derivative: s + beta*x*s*(1 - s) with s = sigmoid(beta*x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "swish",
    "y = x * sigmoid(beta*x)",
    ("x",),
    symbol="swish",
    attributes={"beta": 1.0},
    samples=(
        Sample(((3, 5),), values=(([1.0, -2.0],), [0.7311, -0.2384])),
        Sample(((),), {"beta": 0.5}),
        Sample(((7,),), {"beta": 3}),
    ),
    source="Ramachandran, Zoph, Le (2017), section 3.2; Elfwing, Uchibe, Doya, Neural Networks 107 (2018), eq. 5",
)


def swish(x: Node, beta: float = 1.0) -> Node:
    """Swish ``x * sigmoid(beta*x)``, elementwise.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    beta : float, default 1.0
        Steepness of the sigmoid.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``x`` is not a node, a number or an array of numbers.

    Notes
    -----
    Accurate in both tails. Cost: 1 read, 1 write, 1 exp per element.

    Source
    ------
    Ramachandran, Zoph, Le (2017), section 3.2; Elfwing, Uchibe, Doya, Neural Networks 107 (2018), eq. 5.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.swish(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.7311 0.9277
    """
    return GATE(x, beta=beta)
