"""Depthwise convolution layer: filters that see one channel each."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, registry
from graphc.layers.initialisers import Initialiser, he
from graphc.layers.parts import add_bias, arranged, numbers, parameter_or, window

__all__ = ["depthwise_conv2d"]


def depthwise_conv2d(
    x: Node,
    size: int | tuple[int, int],
    *,
    name: str,
    multiplier: int = 1,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Depthwise convolution layer: ``multiplier`` filters for each channel, and a bias for each map.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    size : int or (int, int)
        Filter height and width, in elements.
    name : str
        Parameters are named ``name.weight`` (C, M, R, S) and ``name.bias`` (C*M,).
    multiplier : int, default 1
        Filters for each channel, M.
    stride, padding, dilation
        As in ``graphc.depthwise_conv2d``.
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser or array, optional
        Of the filters, which it sees as (C*M, 1, R, S); `he` by default. An array has the shape (C, M, R, S).
    weight : Node, optional
        A parameter to share instead of declaring one.

    Returns
    -------
    Node, shape (N, C*M, H', W')

    Raises
    ------
    ShapeError
        If ``x`` has not rank 4 or its channels are not a number.

    Notes
    -----
    Parameters: ``C * M * (R * S + 1)``.

    Source
    ------
    Chollet, CVPR (2017), section 1.1.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.count(graphc.layers.depthwise_conv2d(image, 3, name="deep"))["deep"].formula
    '3·(3·3 + 1)'
    """
    numbers("depthwise_conv2d", name, x, (4,), "images (N, C, H, W)")
    channels, reach = int(str(x.shape[1])), window("depthwise_conv2d", name, size, 2)
    (multiplier,) = window("depthwise_conv2d", name, multiplier, 1, "multiplier")
    drawn = arranged(he() if initial is None else initial, (channels * multiplier, 1, *reach), (0, 1, 2, 3))
    weight = parameter_or(weight, f"{name}.weight", (channels, multiplier, *reach), drawn)
    y = registry.function("depthwise_conv2d")(x, weight, stride=stride, padding=padding, dilation=dilation)
    return add_bias(y, name, bias)
