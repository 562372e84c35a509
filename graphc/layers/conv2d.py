"""Convolution layer: filters and a bias for each map."""

from __future__ import annotations

from typing import Any

from graphc.errors import ShapeError
from graphc.graph import Gate, Node, parameter, registry
from graphc.graph.node import call_site
from graphc.graph.shapes import shape_text
from graphc.graph.window import pair
from graphc.layers.initialisers import Initialiser, he, zeros

__all__ = ["conv2d"]

_ADD_BIAS = Gate("bias", "y[n,k,i,j] = x[n,k,i,j] + bias[k]", ("x", "bias"), symbol="+ b", source="Definition")


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
    """
    site = call_site()
    if len(x.shape) != 4 or not isinstance(x.shape[1], int):
        raise ShapeError(
            f"conv2d {name!r} needs images (N, C, H, W), found {shape_text(x.shape)}: {x.label!r} declared at "
            f"{x.site}\n  called at {site}",
            node=x,
            gate="conv2d",
            shapes=(x.shape,),
            site=site,
        )
    window = pair(size, "size", 1)
    if weight is None:
        shape = (maps, x.shape[1] // max(groups, 1), *window)
        weight = parameter(f"{name}.weight", shape, initial=he() if initial is None else initial)
    y = registry.function("conv2d")(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if not bias:
        return y.named(name)
    return _ADD_BIAS(y, parameter(f"{name}.bias", (maps,), initial=zeros())).named(name)
