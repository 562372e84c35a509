"""Transposed convolution layer: the way back from a small image to a large one."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, registry
from graphc.layers.initialisers import Initialiser, he
from graphc.layers.parts import add_bias, arranged, numbers, parameter_or, window

__all__ = ["transposed_conv2d"]


def transposed_conv2d(
    x: Node,
    maps: int,
    size: int | tuple[int, int],
    *,
    name: str,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Transposed convolution layer: each element spreads ``maps`` filters of ``size``; a bias for each map.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    maps : int
        Number of output channels K.
    size : int or (int, int)
        Filter height and width, in elements.
    name : str
        Parameters are named ``name.weight`` (C, K, R, S) and ``name.bias`` (K,).
    stride, padding, output_padding, dilation
        As in ``graphc.transposed_conv2d``.
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser or array, optional
        Of the filters, which it sees as (K, C, R, S); `he` by default. An array has the shape (C, K, R, S).
    weight : Node, optional
        A parameter to share instead of declaring one: that of a convolution makes this its transpose.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If ``x`` has not rank 4 or its channels are not a number.

    Notes
    -----
    Parameters: ``K * (R * S * C + 1)``.

    Source
    ------
    Zeiler et al., CVPR (2010); Dumoulin, Visin (2016), chapter 4.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.layers.transposed_conv2d(image, 8, 2, stride=2, name="up").shape
    (N, 8, 64, 64)
    """
    numbers("transposed_conv2d", name, x, (4,), "images (N, C, H, W)")
    channels, reach = int(str(x.shape[1])), window("transposed_conv2d", name, size, 2)
    drawn = arranged(he() if initial is None else initial, (maps, channels, *reach), (1, 0, 2, 3))
    weight = parameter_or(weight, f"{name}.weight", (channels, maps, *reach), drawn)
    y = registry.function("transposed_conv2d")(
        x, weight, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    return add_bias(y, name, bias)
