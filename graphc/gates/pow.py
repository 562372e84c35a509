"""pow: ``y = a ** b``, elementwise with broadcasting.

Squares, roots and inverse powers in one gate; a constant exponent is drawn inside it.

Shapes: ``a`` and ``b`` broadcast to the result, aligned at the right.
Derivatives: b*a**(b - 1) and a**b*log(a).
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "pow",
    "y = a ** b",
    ("a", "b"),
    symbol="^",
    samples=(
        Sample(((3, 5), (3, 5)), interval=(0.5, 2.0), values=((2.0, 3.0), 8.0)),
        Sample(((2, 3, 5), (3, 1)), interval=(0.5, 2.0)),
        Sample(((), (4,)), interval=(0.5, 2.0)),
    ),
    source="Power rule",
)


def pow(a: Any, b: Any) -> Node:
    """Power ``a ** b``.

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
    The gradient of the exponent needs a > 0 (it contains log(a)); with a constant exponent it
    is never formed. NumPy's broadcasting: extents of 1 are repeated, and the gradient is summed
    over the repetitions. Cost: 2 reads, 1 write, 1 FLOP per element.

    Source
    ------
    Power rule

    Examples
    --------
    >>> import graphc
    >>> a, b = graphc.inputs("a b")
    >>> run = graphc.backward(graphc.pow(a, b)).at(a=2.0, b=3.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('a'):.4f} {run.grad('b'):.4f}")
    8.0000 12.0000 5.5452
    """
    return GATE(a, b)
