"""gelu: ``y = x * (1 + erf(x/sqrt(2))) / 2``, elementwise.

Weights x by the probability that a standard normal number is below it: the activation of transformers.

Shapes: ``x`` any, result the same.
Derivative: ``Phi(x) + x*phi(x)`` with the distribution function and density of the normal distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape


def _definition(_: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    if attributes["approximate"]:
        # sqrt(2/pi) to the last digit
        return Definition("y = x * (1 + tanh(0.7978845608028654*(x + 0.044715*x**3))) / 2")
    return Definition("y = x * (1 + erf(x/sqrt(2))) / 2")


GATE = Gate(
    "gelu",
    _definition,
    ("x",),
    symbol="GELU",
    attributes={"approximate": False},
    samples=(
        Sample(((3, 5),), values=(([1.0, -2.0],), [0.8413, -0.0455])),
        Sample(((7,),), {"approximate": True}, values=(([1.0, -2.0],), [0.8412, -0.0454])),
        Sample(((),), interval=(-6.0, 6.0)),
    ),
    source="Hendrycks, Gimpel (2016), section 2",
)


def gelu(x: Node, approximate: bool = False) -> Node:
    """Gaussian error linear unit, elementwise.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    approximate : bool, default False
        Take ``x * (1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3))) / 2``, as GPT-2 does; it differs by less than 0.0005.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``x`` is not a node, a number or an array of numbers.

    Notes
    -----
    Accurate in both tails: ``1 + erf(u)`` is computed as ``erfc(-u)``. Cost: 1 read, 1 write, 1 erfc or 1 exp per
    element.

    Source
    ------
    Hendrycks, Gimpel (2016), section 2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> run = graphc.backward(graphc.gelu(x)).at(x=1.0)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f}")
    0.8413 1.0833
    """
    return GATE(x, approximate=approximate)
