"""leaky_relu: ``y = x if x > 0 else slope*x``, elementwise.

Units that are off keep a small gradient.

Shapes: ``x`` any, result the same.
Derivative: 1 where x > 0, else slope.
"""

from __future__ import annotations

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "leaky_relu",
    "y = x if x > 0 else slope*x",
    ("x",),
    symbol="leaky ReLU",
    ties="at 0 the derivative is slope",
    attributes={"slope": 0.01},
    samples=(
        Sample(((3, 5),), values=(([2.0, -2.0],), [2.0, -0.02])),
        Sample(((),), {"slope": 0.2}),
        Sample(((7,),), {"slope": 1.5}),
    ),
    source="Maas, Hannun, Ng, ICML workshop (2013), section 2.2",
)


def leaky_relu(x: Node, slope: float = 0.01) -> Node:
    """Leaky rectified linear unit: ``x`` where x > 0, else ``slope*x``.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    slope : float, default 0.01
        Slope for negative operands.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``x`` is not a node, a number or an array of numbers.

    Notes
    -----
    NaN stays NaN. Cost: 1 read, 1 write, 2 FLOP per element. At 0 the derivative is slope.

    Source
    ------
    Maas, Hannun, Ng, ICML workshop (2013), section 2.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.leaky_relu(x)).at(x=-2.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    -0.0200 0.0100
    """
    return GATE(x, slope=slope)
