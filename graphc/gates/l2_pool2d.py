"""l2_pool2d: the Euclidean length of each window.

``y[n,c,i,j] = sqrt(sum(x[n,c,stride*i+r-padding, stride*j+s-padding]**2, r, s) + epsilon)``

Between the mean and the maximum: every element counts, large ones more.

Shapes: ``(N, C, H, W)`` gives ``(N, C, H', W')`` with ``H' = (H + 2*padding - size)//stride + 1``.
Derivative: ``x/y`` times the upstream gradient, added up where windows overlap; 0 in a window of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Gate, Node, Sample, Shape
from graphc.graph.attributes import check_positive
from graphc.graph.window import pool_rule, pooling


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_positive(attributes, "epsilon")
    return pooling("l2_pool2d", 2)(shapes, attributes)


GATE = Gate(
    "l2_pool2d",
    pool_rule("sqrt(sum({x}**2, {window}) + epsilon)"),
    ("x",),
    symbol="L2 pool",
    attributes={"size": 2, "stride": None, "padding": 0, "epsilon": 1e-12},
    prepare=_prepare,
    samples=(
        Sample(((2, 3, 4, 6),), values=(([[[[3.0, -4.0], [0.0, 12.0]]]],), [[[[13.0]]]]), source="By hand"),
        Sample(((1, 2, 5, 5),), {"size": 3, "stride": 1}),
        Sample(((2, 1, 7, 5),), {"size": (3, 2), "stride": 2, "padding": 1, "epsilon": 0.5}),
        Sample(((1, 1, 1, 1),), {"size": 1}),
    ),
    source="Hyvärinen, Hoyer, Neural Computation 12 (2000); Sermanet, Chintala, LeCun, ICPR (2012), section 2.2",
)


def l2_pool2d(x: Any, size: Any = 2, stride: Any = None, padding: Any = 0, epsilon: float = 1e-12) -> Node:
    """Euclidean length of each window.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    size : int or (int, int), default 2
        Window, in elements.
    stride : int or (int, int), optional
        Step of the window; the window by default, so that windows do not overlap.
    padding : int, (int, int), "valid" or "same", default 0
        Elements around the image that take no part in the sum.
    epsilon : float, default 1e-12
        Added under the root, so that a window of zeros has a derivative.

    Returns
    -------
    Node, shape (N, C, H', W')

    Raises
    ------
    ShapeError
        If the rank does not fit, the window is larger than the image, the padding reaches a whole window, or
        epsilon is not positive.

    Notes
    -----
    Cost: 2 FLOP for each element of each window and one root for each window.

    Source
    ------
    Hyvärinen, Hoyer, Neural Computation 12 (2000); Sermanet, Chintala, LeCun, ICPR (2012), section 2.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 1, 2))
    >>> run = graphc.backward(graphc.sum(graphc.l2_pool2d(x, (1, 2)))).at(x=[[[[3, 4]]]])
    >>> print(f"{run.value(run.back.root):.4f}", run.grad("x").round(4).ravel().tolist())
    5.0000 [0.6, 0.8]
    """
    return GATE(x, size=size, stride=stride, padding=padding, epsilon=epsilon)
