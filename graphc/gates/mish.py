"""mish: ``y = x * tanh(log(1 + exp(x)))``, elementwise.

A smooth, non-monotonic ReLU.

Shapes: ``x`` any, result the same.
Derivative: tanh(s) + x*sech2(s)*sigmoid(x) with s = softplus(x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "mish",
    "y = x * tanh(log(1 + exp(x)))",
    ("x",),
    symbol="mish",
    samples=(
        Sample(((3, 5),), values=((1.0,), 0.8651)),
        Sample(((),)),
    ),
    source="Misra, BMVC (2020), eq. 1",
)


def mish(x: Node) -> Node:
    """Mish ``x * tanh(softplus(x))``, elementwise.

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
    Accurate in both tails. Cost: 1 read, 1 write, 2 exp and 1 log per element.

    Source
    ------
    Misra, BMVC (2020), eq. 1.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.mish(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.8651 1.0490
    """
    return GATE(x)
