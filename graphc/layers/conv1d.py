"""One-dimensional convolution layer: filters and a bias for each map."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, registry
from graphc.layers.initialisers import Initialiser, he
from graphc.layers.parts import add_bias, numbers, parameter_or, window

__all__ = ["conv1d"]


def conv1d(
    x: Node,
    maps: int,
    size: int,
    *,
    name: str,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """One-dimensional convolution layer: ``maps`` filters of ``size``, and a bias for each map.

    Parameters
    ----------
    x : Node, shape (N, C, W)
        Signals.
    maps : int
        Number of filters, that is of output channels K.
    size : int
        Filter width, in elements.
    name : str
        Parameters are named ``name.weight`` (K, C/groups, S) and ``name.bias`` (K,).
    stride, padding, dilation, groups
        As in ``graphc.conv1d``.
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser or array, optional
        Of the filters; `he` by default.
    weight : Node, optional
        A parameter to share instead of declaring one.

    Returns
    -------
    Node, shape (N, K, W')

    Raises
    ------
    ShapeError
        If ``x`` has not rank 3 or its channels are not a number.

    Notes
    -----
    Parameters: ``K * (C/groups * S + 1)``.

    Source
    ------
    LeCun, Bengio, The Handbook of Brain Theory (1995).

    Examples
    --------
    >>> import graphc
    >>> signal = graphc.input("signal", ("N", 2, 100))
    >>> graphc.layers.conv1d(signal, 8, 5, name="conv").shape
    (N, 8, 96)
    """
    numbers("conv1d", name, x, (3,), "signals (N, C, W)")
    shape = (maps, int(str(x.shape[1])) // max(groups, 1), *window("conv1d", name, size, 1))
    weight = parameter_or(weight, f"{name}.weight", shape, he() if initial is None else initial)
    y = registry.function("conv1d")(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return add_bias(y, name, bias)
