"""conv1d: a filter slid along a signal, as a sum over channels and filter positions.

``y[n,k,j] = sum(x[n,c,stride*j+dilation*s-padding] * w[k,c,s], c, s)``

Texts and time series have one spatial axis; everything else is as in ``conv2d``.

Shapes: ``x (N, C, W)``, ``w (K, C/groups, S)`` give ``(N, K, W')`` with
``W' = (W + padding - dilation*(S-1) - 1)//stride + 1``.
Derivatives: with respect to ``x`` the upstream gradient slid with the flipped filter; with respect to ``w`` the
signal slid with the upstream gradient.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.window import convolution, convolution_formula

GATE = Gate(
    "conv1d",
    convolution_formula,
    ("x", "w"),
    symbol="∗",
    attributes={"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    prepare=convolution("conv1d", 1),
    samples=(
        Sample(
            ((2, 3, 7), (4, 3, 3)),
            values=(([[[1.0, 2.0, 4.0, 7.0]]], [[[-1.0, 1.0]]]), [[[1.0, 2.0, 3.0]]]),
            source="By hand: forward differences",
        ),
        Sample(((1, 2, 8), (3, 2, 3)), {"stride": 2, "padding": 1, "dilation": 2}),
        Sample(((2, 4, 5), (6, 2, 2)), {"groups": 2, "padding": "same"}),
        Sample(((1, 1, 4), (1, 1, 3)), {"stride": 3, "padding": "full"}),
        Sample(((1, 1, 1), (1, 1, 1))),
    ),
    source="Waibel et al., IEEE Trans. ASSP 37 (1989); Kim, EMNLP (2014), eq. 2",
)


def conv1d(x: Any, w: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Node:
    """One-dimensional convolution (cross-correlation) of signals with filters.

    Parameters
    ----------
    x : Node, shape (N, C, W)
        Signals.
    w : Node, shape (K, C / groups, S)
        Filters.
    stride : int, default 1
        Step of the window, in elements.
    padding : int, "valid", "same" or "full", default 0
        Zeros at both ends of the signal.
    dilation : int, default 1
        Distance between the elements that a filter sees.
    groups : int, default 1
        Number of groups of channels that do not see each other.

    Returns
    -------
    Node, shape (N, K, W')

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit, groups does not divide them, or the window is larger than the
        padded signal.

    Notes
    -----
    Reads outside the signal are zero. Cost: 2*N*K*W'*(C/groups)*S FLOP.

    Source
    ------
    Waibel et al., IEEE Trans. ASSP 37 (1989); Kim, EMNLP (2014), eq. 2.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 8, 100)), graphc.parameter("w", (16, 8, 5))
    >>> graphc.conv1d(x, w, stride=2).shape
    (N, 16, 48)
    """
    return GATE(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
