"""conv2d: a filter slid over an image, as a sum over channels and filter positions.

``y[n,k,i,j] = sum(x[n,c,stride*i+dilation*r-padding, stride*j+dilation*s-padding] * w[k,c,r,s], c, r, s)``

The same few weights see every place of the image (cross-correlation, as all networks mean by convolution).

Shapes: ``x (N, C, H, W)``, ``w (K, C/groups, R, S)`` give ``(N, K, H', W')`` with
``H' = (H + padding - dilation*(R-1) - 1)//stride + 1``.
Derivatives: with respect to ``x`` the upstream gradient slid with the flipped filter; with respect to ``w`` the
image slid with the upstream gradient.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.window import convolution, convolution_formula

GATE = Gate(
    "conv2d",
    convolution_formula,
    ("x", "w"),
    symbol="∗",
    attributes={"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    prepare=convolution("conv2d", 2),
    samples=(
        Sample(((2, 3, 5, 6), (4, 3, 3, 2))),
        Sample(((2, 3, 7, 6), (4, 3, 3, 3)), {"stride": 2, "padding": 1}),
        Sample(((1, 2, 9, 8), (3, 2, 3, 2)), {"stride": (2, 3), "padding": (2, 1), "dilation": 2}),
        Sample(((2, 4, 5, 5), (6, 2, 3, 3)), {"groups": 2, "padding": "same"}),
        Sample(((2, 3, 5, 5), (3, 1, 3, 3)), {"groups": 3, "stride": 2, "padding": "full"}),
        Sample(((1, 1, 4, 4), (1, 1, 1, 1)), {"stride": 5}),
        Sample(((1, 1, 3, 3), (1, 1, 2, 2)), {"stride": 3, "dilation": 2, "padding": 2}),
    ),
    source="LeCun et al., Proc. IEEE 86 (1998), section II.A; Dumoulin, Visin (2016), relationships 1 to 6",
)


def conv2d(x: Any, w: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Node:
    """Two-dimensional convolution (cross-correlation) of images with filters.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    w : Node, shape (K, C / groups, R, S)
        Filters.
    stride : int or (int, int), default 1
        Step of the window, in elements.
    padding : int, (int, int), "valid", "same" or "full", default 0
        Zeros around the image, in elements on each side.
    dilation : int or (int, int), default 1
        Distance between the elements that a filter sees.
    groups : int, default 1
        Number of groups of channels that do not see each other; C groups make it depthwise.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit, groups does not divide them, or the window is larger than the
        padded image.

    Notes
    -----
    Reads outside the image are zero. Cost: 2*N*K*H'*W'*(C/groups)*R*S FLOP.

    Source
    ------
    LeCun et al., Proc. IEEE 86 (1998), section II.A; Dumoulin, Visin (2016), relationships 1 to 6.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 3, 32, 32)), graphc.parameter("w", (6, 3, 5, 5))
    >>> graphc.conv2d(x, w).shape
    (N, 6, 28, 28)
    """
    return GATE(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
