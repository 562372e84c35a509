"""Depthwise separable convolution layer: each channel filtered alone, then the channels mixed at each place."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node
from graphc.layers.conv2d import conv2d
from graphc.layers.depthwise_conv2d import depthwise_conv2d
from graphc.layers.initialisers import Initialiser

__all__ = ["separable_conv2d"]


def separable_conv2d(
    x: Node,
    maps: int,
    size: int | tuple[int, int],
    *,
    name: str,
    multiplier: int = 1,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: tuple[Node, Node] | None = None,
) -> Node:
    """Depthwise convolution without bias, then ``maps`` filters of 1 x 1.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    maps : int
        Number of output channels K.
    size : int or (int, int)
        Filter height and width of the depthwise part, in elements.
    name : str
        Parameters are named ``name.depthwise.weight`` (C, M, R, S), ``name.pointwise.weight`` (K, C*M, 1, 1) and
        ``name.pointwise.bias`` (K,).
    multiplier : int, default 1
        Filters for each channel, M.
    stride, padding, dilation
        Of the depthwise part.
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser, optional
        Of both parts; `he` by default.
    weight : (Node, Node), optional
        Depthwise and pointwise parameters to share instead of declaring them.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If ``x`` has not rank 4 or its channels are not a number.

    Notes
    -----
    Parameters: ``C*M*R*S + K*(C*M + 1)``, where a convolution has ``K*(C*R*S + 1)``.

    Source
    ------
    Chollet, CVPR (2017), section 1.1.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.layers.separable_conv2d(image, 16, 3, name="thin").shape
    (N, 16, 30, 30)
    """
    first, second = weight if weight is not None else (None, None)
    h = depthwise_conv2d(
        x, size, name=f"{name}.depthwise", multiplier=multiplier, stride=stride, padding=padding, dilation=dilation,
        bias=False, initial=initial, weight=first,
    )  # fmt: skip
    return conv2d(h, maps, 1, name=f"{name}.pointwise", bias=bias, initial=initial, weight=second).named(name)
