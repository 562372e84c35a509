"""Locally connected layer: a window like that of a convolution, with filters of its own at every place."""

from __future__ import annotations

from typing import Any

from graphc.errors import ShapeError
from graphc.graph import Gate, Node, parameter, registry
from graphc.graph.shapes import shape_text
from graphc.graph.window import window_attributes
from graphc.layers.initialisers import Initialiser, he, zeros
from graphc.layers.parts import arranged, numbers, parameter_or, refusal, window

__all__ = ["locally_connected2d"]

_ADD_BIAS = Gate("bias", "y[n,k,i,j] = x[n,k,i,j] + bias[i,j,k]", ("x", "bias"), symbol="+ b", source="Definition")


def locally_connected2d(
    x: Node,
    maps: int,
    size: int | tuple[int, int],
    *,
    name: str,
    stride: Any = 1,
    padding: Any = 0,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Locally connected layer: ``maps`` filters of ``size`` and as many biases at every place.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images; C, H and W are numbers.
    maps : int
        Number of filters at each place, that is of output channels K.
    size : int or (int, int)
        Filter height and width, in elements.
    name : str
        Parameters are named ``name.weight`` (H', W', K, C, R, S) and ``name.bias`` (H', W', K).
    stride, padding
        As in ``graphc.locally_connected2d``.
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser or array, optional
        Of the filters of each place, which it sees as (K, C, R, S); `he` by default. An array has the whole shape.
    weight : Node, optional
        A parameter to share instead of declaring one.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If ``x`` has not rank 4, one of C, H and W is not a number, or the window is larger than the padded image.

    Notes
    -----
    Parameters: ``H' * W' * K * (R * S * C + 1)``.

    Source
    ------
    Taigman et al., CVPR (2014), section 3.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 1, 200, 200))
    >>> y = graphc.layers.locally_connected2d(image, 1, 10, padding="same", bias=False, name="local")
    >>> graphc.count(y)["local"].formula
    '40,000·(10·10·1)'
    """
    numbers("locally_connected2d", name, x, (4,), "images (N, C, H, W) with numbers for C, H and W", (1, 2, 3))
    reach = window("locally_connected2d", name, size, 2)
    try:
        found = window_attributes({"stride": stride, "padding": padding}, x.shape[2:], reach)
    except ShapeError as error:
        raise refusal("locally_connected2d", name, str(error)) from None
    places = tuple(
        (int(str(extent)) + found[f"pad_{axis}"] - span) // found[f"stride_{axis}"] + 1
        for extent, span, axis in zip(x.shape[2:], reach, "hw", strict=True)
    )
    if min(places) < 1:
        raise refusal(
            "locally_connected2d", name, f"the window {reach} is larger than the images {shape_text(x.shape)}"
        )
    filters = (maps, int(str(x.shape[1])), *reach)
    drawn = arranged(he() if initial is None else initial, filters, (0, 1, 2, 3), each=2)
    weight = parameter_or(weight, f"{name}.weight", (*places, *filters), drawn)
    y = registry.function("locally_connected2d")(x, weight, stride=stride, padding=padding)
    if not bias:
        return y.named(name)
    return _ADD_BIAS(y, parameter(f"{name}.bias", (*places, maps), initial=zeros())).named(name)
