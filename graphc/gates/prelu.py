"""prelu: ``y = x if x > 0 else slope*x`` with a slope that is learned, one for all or one for each channel.

A leaky ReLU that finds its own leak.

Shapes: ``x (N, C, ...)`` with ``slope (C,)``, or ``x`` any with a scalar slope; result as ``x``.
Derivatives: with respect to ``x`` 1 where x > 0, else slope; with respect to ``slope`` the sum of ``min(x, 0)*dy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text


def _definition(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    x, slope = shapes
    if not slope:
        return Definition("y = x if x > 0 else slope*x")
    if len(slope) != 1 or len(x) < 2:
        raise ShapeError(
            f"prelu needs one slope, or one for each channel of (N, C, ...), "
            f"found {shape_text(slope)} for {shape_text(x)}"
        )
    axes = ",".join(("n", "c", *(f"i{d}" for d in range(2, len(x)))))
    return Definition(f"y[{axes}] = x[{axes}] if x[{axes}] > 0 else slope[c]*x[{axes}]")


GATE = Gate(
    "prelu",
    _definition,
    ("x", "slope"),
    symbol="PReLU",
    ties="at 0 the derivative is slope",
    samples=(
        Sample(((3, 5), (5,)), values=(([[-2.0, -2.0, 3.0]], [0.5, 0.25, 0.1]), [[-1.0, -0.5, 3.0]])),
        Sample(((2, 3, 2, 3), (3,))),
        Sample(((7,), ())),
        Sample(((1, 1), (1,))),
    ),
    source="He, Zhang, Ren, Sun, ICCV (2015), eq. 1",
)


def prelu(x: Any, slope: Any) -> Node:
    """Parametric rectified linear unit: ``x`` where x > 0, else ``slope*x``.

    Parameters
    ----------
    x : Node, any shape, (N, C, ...) with a slope for each channel
        Operand.
    slope : Node, scalar or shape (C,)
        Slope for negative operands.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``slope`` has several axes, or its extent is not that of axis 1 of ``x``.

    Notes
    -----
    At 0 the derivative is slope. Cost: 1 read, 1 write, 2 FLOP per element; the gradient of the slope reads ``x``
    once more.

    Source
    ------
    He, Zhang, Ren, Sun, ICCV (2015), eq. 1.

    Examples
    --------
    >>> import graphc
    >>> x, slope = graphc.inputs("x slope")
    >>> run = graphc.backward(graphc.prelu(x, slope)).at(x=-3.0, slope=0.25)
    >>> print(f"{run.value(run.back.root):.4f} {run.grad('x'):.4f} {run.grad('slope'):.4f}")
    -0.7500 0.2500 -3.0000
    """
    return GATE(x, slope)
