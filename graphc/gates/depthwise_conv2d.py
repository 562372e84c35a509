"""depthwise_conv2d: every channel is slid with filters of its own.

``y[n,M*c+m,i,j] = sum(x[n,c,stride*i+dilation*r-padding, stride*j+dilation*s-padding] * w[c,m,r,s], r, s)``

The spatial half of a separable convolution; one of size 1 mixes the channels afterwards.

Shapes: ``x (N, C, H, W)``, ``w (C, M, R, S)`` give ``(N, C*M, H', W')`` with
``H' = (H + padding - dilation*(R-1) - 1)//stride + 1``.
Derivatives: those of ``conv2d``, channel by channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.window import check_ranks, slide, window_attributes, window_definition


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("depthwise_conv2d", 2, shapes, "(C, M, R, S)")
    x, w = shapes
    if not isinstance(w[1], int):
        raise ShapeError(f"the filters of a channel must be counted by a number, found {w[1]}")
    if w[0] != x[1]:
        raise ShapeError(f"w has filters for {w[0]} channels, the images have {x[1]}")
    return window_attributes(attributes, x[2:], w[2:])


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    text = f"y[n,{shapes[1][1]}*c+m,i,j] = sum(x[n,c,{slide(2)}] * w[c,m,r,s], r, s)"
    sizes = {"y.1": "size(w,0)*size(w,1)"}
    return window_definition(text, attributes, ["size(w,2)", "size(w,3)"], **sizes)


GATE = Gate(
    "depthwise_conv2d",
    _definition,
    ("x", "w"),
    symbol="∗ depthwise",
    attributes={"stride": 1, "padding": 0, "dilation": 1},
    prepare=_prepare,
    samples=(
        Sample(
            ((2, 3, 5, 4), (3, 2, 3, 2)),
            values=(([[[[1.0, 2.0]], [[3.0, 5.0]]]], [[[[1.0]], [[2.0]]], [[[-1.0]], [[0.0]]]]),
                    [[[[1.0, 2.0]], [[2.0, 4.0]], [[-3.0, -5.0]], [[0.0, 0.0]]]]),
            source="By hand: the filters of a channel are neighbours in the result",
        ),
        Sample(((1, 2, 6, 5), (2, 1, 3, 3)), {"stride": 2, "padding": "same"}),
        Sample(((1, 3, 5, 6), (3, 1, 2, 2)), {"stride": (1, 2), "padding": (2, 1), "dilation": (2, 3)}),
        Sample(((1, 1, 1, 1), (1, 3, 1, 1))),
    ),
    source="Sifre, thesis, Ecole Polytechnique (2014); Howard et al., MobileNets (2017), eq. 3",
)  # fmt: skip


def depthwise_conv2d(x: Any, w: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Node:
    """Convolution (cross-correlation) of each channel with its own filters.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    w : Node, shape (C, M, R, S)
        M filters for each channel.
    stride : int or (int, int), default 1
        Step of the window, in elements.
    padding : int, (int, int), "valid", "same" or "full", default 0
        Zeros around the image, in elements on each side.
    dilation : int or (int, int), default 1
        Distance between the elements that a filter sees.

    Returns
    -------
    Node, shape (N, C * M, H', W')
        Channel ``c*M + m`` is channel c under its filter m.

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit, or the window is larger than the padded image.

    Notes
    -----
    Reads outside the image are zero. Cost: 2*N*C*M*H'*W'*R*S FLOP.

    Source
    ------
    Sifre, thesis, Ecole Polytechnique (2014); Howard et al., MobileNets (2017), eq. 3.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 32, 112, 112)), graphc.parameter("w", (32, 1, 3, 3))
    >>> graphc.depthwise_conv2d(x, w, padding="same").shape
    (N, 32, 112, 112)
    """
    return GATE(x, w, stride=stride, padding=padding, dilation=dilation)
