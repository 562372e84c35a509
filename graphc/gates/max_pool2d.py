"""max_pool2d: the largest element of each window.

``y[n,c,i,j] = max(x[n,c,stride*i+r-padding, stride*j+s-padding], r, s)``

Keeps the strongest response and halves the image; a router for the gradient.

Shapes: ``(N, C, H, W)`` gives ``(N, C, H', W')`` with ``H' = (H + 2*padding - size)//stride + 1``.
Derivative: the upstream gradient at the winner of each window, added up where windows overlap.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.window import pool_rule, pooling

GATE = Gate(
    "max_pool2d",
    pool_rule("max({x}, {window})"),
    ("x",),
    symbol="max pool",
    ties="at a tie the first element of the window, row by row, wins and takes the whole gradient",
    attributes={"size": 2, "stride": None, "padding": 0},
    prepare=pooling("max_pool2d", 2),
    samples=(
        Sample(((2, 3, 4, 6),), {"size": 2}),
        Sample(((1, 2, 5, 5),), {"size": 3, "stride": 1}),
        Sample(((2, 1, 7, 5),), {"size": (3, 2), "stride": 2, "padding": 1}),
        Sample(((1, 1, 5, 5),), {"size": 2, "stride": 3}),
        Sample(((1, 1, 1, 1),), {"size": 1}),
    ),
    source="Ranzato et al., CVPR (2007), section 3; Boureau, Ponce, LeCun, ICML (2010)",
)


def max_pool2d(x: Any, size: Any = 2, stride: Any = None, padding: Any = 0) -> Node:
    """Largest element of each window.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    size : int or (int, int), default 2
        Window, in elements.
    stride : int or (int, int), optional
        Step of the window; the window by default, so that windows do not overlap.
    padding : int, (int, int), "valid" or "same", default 0
        Elements around the image that take no part in the maximum.

    Returns
    -------
    Node, shape (N, C, H', W')

    Raises
    ------
    ShapeError
        If the rank does not fit, the window is larger than the image, or the padding reaches a whole window.

    Notes
    -----
    At a tie the first element of the window, row by row, takes the whole gradient. Elements outside the image
    never win. Cost: one comparison for each element of each window.

    Source
    ------
    Ranzato et al., CVPR (2007), section 3; Boureau, Ponce, LeCun, ICML (2010).

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 2, 2))
    >>> run = graphc.backward(graphc.sum(graphc.max_pool2d(x))).at(x=[[[[1, 4], [3, 2]]]])
    >>> print(run.value(run.back.root), run.grad("x")[0, 0].tolist())
    4.0 [[0.0, 1.0], [0.0, 0.0]]
    """
    return GATE(x, size=size, stride=stride, padding=padding)
