"""Convolution layer: filters and a bias for each map."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, registry
from graphc.layers.initialisers import Initialiser, he
from graphc.layers.parts import add_bias, numbers, parameter_or, window

__all__ = ["conv2d"]


def conv2d(
    x: Node,
    maps: int,
    size: int | tuple[int, int],
    *,
    name: str,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Convolution layer: ``maps`` filters of ``size``, and a bias for each map.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    maps : int
        Number of filters, that is of output channels K.
    size : int or (int, int)
        Filter height and width, in elements.
    name : str
        Parameters are named ``name.weight`` (K, C/groups, R, S) and ``name.bias`` (K,).
    stride, padding, dilation, groups
        As in ``graphc.conv2d``.
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser or array, optional
        Of the filters; `he` by default.
    weight : Node, optional
        A parameter to share instead of declaring one.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If ``x`` has not rank 4 or its channels are not a number.

    Notes
    -----
    Parameters: ``K * (C/groups * R * S + 1)``.

    Source
    ------
    LeCun et al., Proc. IEEE 86 (1998), section II.A.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.layers.conv2d(image, 6, 5, name="conv").shape
    (N, 6, 28, 28)
    """
    numbers("conv2d", name, x, (4,), "images (N, C, H, W)")
    shape = (maps, int(str(x.shape[1])) // max(groups, 1), *window("conv2d", name, size, 2))
    weight = parameter_or(weight, f"{name}.weight", shape, he() if initial is None else initial)
    y = registry.function("conv2d")(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return add_bias(y, name, bias)
