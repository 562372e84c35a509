"""elu: ``y = x if x > 0 else alpha*(exp(x) - 1)``, elementwise.

Negative outputs bring the mean of a layer near 0; they saturate at -alpha.

Shapes: ``x`` any, result the same.
Derivative: 1 where x > 0, else alpha*exp(x).
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "elu",
    "y = x if x > 0 else alpha*(exp(x) - 1)",
    ("x",),
    symbol="ELU",
    ties="at 0 the derivative is alpha",
    attributes={"alpha": 1.0},
    samples=(
        Sample(((3, 5),), values=(([2.0, -1.0],), [2.0, -0.6321])),
        Sample(((),), {"alpha": 0.3}),
        Sample(((7,),), {"alpha": 2}),
    ),
    source="Clevert, Unterthiner, Hochreiter, ICLR (2016), eq. 15",
)


def elu(x: Node, alpha: float = 1.0) -> Node:
    """Exponential linear unit: ``x`` where x > 0, else ``alpha*(exp(x) - 1)``.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    alpha : float, default 1.0
        Minus the value that very negative operands tend to.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``x`` is not a node, a number or an array of numbers.

    Notes
    -----
    Accurate near 0 (expm1). Cost: 1 read, 1 write, 1 exp per element. At 0 the derivative is alpha.

    Source
    ------
    Clevert, Unterthiner, Hochreiter, ICLR (2016), eq. 15.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.elu(x)).at(x=-1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    -0.6321 0.3679
    """
    return GATE(x, alpha=alpha)
