"""conv3d: a filter slid through a volume, as a sum over channels and filter positions.

``y[n,k,h,i,j] = sum(x[n,c,stride*h+dilation*q-padding, ..., ...] * w[k,c,q,r,s], c, q, r, s)``

Films and scans have three spatial axes; everything else is as in ``conv2d``.

Shapes: ``x (N, C, D, H, W)``, ``w (K, C/groups, Q, R, S)`` give ``(N, K, D', H', W')`` with
``D' = (D + padding - dilation*(Q-1) - 1)//stride + 1``.
Derivatives: with respect to ``x`` the upstream gradient slid with the flipped filter; with respect to ``w`` the
volume slid with the upstream gradient.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.window import convolution, convolution_formula

GATE = Gate(
    "conv3d",
    convolution_formula,
    ("x", "w"),
    symbol="∗",
    attributes={"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    prepare=convolution("conv3d", 3),
    samples=(
        Sample(
            ((1, 2, 3, 3, 4), (2, 2, 2, 2, 3)),
            values=(([[[[[1.0, 2.0]], [[3.0, 5.0]]]]], [[[[[1.0]], [[-1.0]]]]]), [[[[[-2.0, -3.0]]]]]),
            source="By hand: each frame less the next",
        ),
        Sample(((2, 1, 3, 4, 3), (1, 1, 2, 3, 1)), {"stride": (2, 1, 2), "padding": (1, 1, 0)}),
        Sample(((1, 2, 3, 2, 4), (2, 1, 2, 1, 2)), {"groups": 2, "dilation": (2, 1, 3), "padding": "same"}),
        Sample(((1, 1, 1, 1, 1), (1, 1, 1, 1, 1)), {"stride": 2}),
    ),
    source="Ji et al., ICML (2010), eq. 2; Tran et al., ICCV (2015), section 3",
)


def conv3d(x: Any, w: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Node:
    """Three-dimensional convolution (cross-correlation) of volumes with filters.

    Parameters
    ----------
    x : Node, shape (N, C, D, H, W)
        Volumes: films (D is time) or scans.
    w : Node, shape (K, C / groups, Q, R, S)
        Filters.
    stride : int or (int, int, int), default 1
        Step of the window along depth, height and width.
    padding : int, (int, int, int), "valid", "same" or "full", default 0
        Zeros around the volume, in elements on each side.
    dilation : int or (int, int, int), default 1
        Distance between the elements that a filter sees.
    groups : int, default 1
        Number of groups of channels that do not see each other.

    Returns
    -------
    Node, shape (N, K, D', H', W')

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit, groups does not divide them, or the window is larger than the
        padded volume.

    Notes
    -----
    Reads outside the volume are zero. Cost: 2*N*K*D'*H'*W'*(C/groups)*Q*R*S FLOP.

    Source
    ------
    Ji et al., ICML (2010), eq. 2; Tran et al., ICCV (2015), section 3.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 3, 16, 112, 112)), graphc.parameter("w", (64, 3, 3, 3, 3))
    >>> graphc.conv3d(x, w, padding=1).shape
    (N, 64, 16, 112, 112)
    """
    return GATE(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
