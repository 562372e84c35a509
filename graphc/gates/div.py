"""div: ``y = a / b``, elementwise with broadcasting.

Normalisation, means and ratios.

Shapes: ``a`` and ``b`` broadcast to the result, aligned at the right.
Derivatives: 1/b and -a/b**2.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "div",
    "y = a / b",
    ("a", "b"),
    symbol="÷",
    samples=(
        Sample(((3, 5), (3, 5)), interval=(0.5, 2.0), values=((1.0, 4.0), 0.25)),
        Sample(((2, 3, 5), (3, 1)), interval=(0.5, 2.0)),
        Sample(((), (4,)), interval=(0.5, 2.0)),
    ),
    source="Quotient rule",
)


def div(a: Any, b: Any) -> Node:
    """Quotient ``a / b``.

    Parameters
    ----------
    a : Node, number or array, any shape
        First operand.
    b : Node, number or array, shape that broadcasts with ``a``
        Second operand.

    Returns
    -------
    Node, the broadcast shape

    Raises
    ------
    ShapeError
        If two extents differ and neither is 1.

    Notes
    -----
    A zero divisor gives an infinity or NaN, never an exception. NumPy's broadcasting: extents
    of 1 are repeated, and the gradient is summed over the repetitions. Cost: 2 reads, 1 write,
    1 FLOP per element.

    Source
    ------
    Quotient rule

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.inputs("a b")
    >>> run = graphc.backward(graphc.div(a, b)).at(a=3.0, b=-4.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('a'):.4f} {run.grad('b'):.4f}")
    -0.7500 -0.2500 -0.1875
    """
    return GATE(a, b)
