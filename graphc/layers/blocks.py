"""Blocks: layers put together the ways that named networks do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc.errors import ShapeError
from graphc.graph import Gate, Node, registry
from graphc.graph.node import call_site
from graphc.graph.shapes import shape_text
from graphc.layers.batch_norm import batch_norm
from graphc.layers.conv2d import conv2d
from graphc.layers.dense import dense
from graphc.layers.parts import numbers

__all__ = ["branches", "dense_block", "fire", "inception", "residual", "squeeze_excitation"]

Branch = Callable[[Node], Node]

_SCALED = Gate("scale", "y[n,c,i,j] = x[n,c,i,j] * share[n,c]", ("x", "share"), symbol="×", source="Definition")


def residual(x: Node, branch: Branch, *, projection: Branch | None = None) -> Node:
    """Return ``x + branch(x)``: the branch learns what is to be changed, and gradients pass beside it.

    Parameters
    ----------
    x : Node
        Operand.
    branch : callable
        Called with ``x``; returns a node.
    projection : callable, optional
        Called with ``x`` where the branch changes the shape, for example a convolution of 1 x 1 with the same stride.

    Returns
    -------
    Node, shape of ``branch(x)``

    Raises
    ------
    ShapeError
        If both sides of the sum have different shapes.

    Source
    ------
    He et al., CVPR (2016), equations 1 and 2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 64))
    >>> graphc.layers.residual(x, lambda x: graphc.layers.dense(graphc.relu(x), 64, name="branch")).shape
    (N, 64)
    """
    changed = branch(x)
    beside = x if projection is None else projection(x)
    if changed.shape != beside.shape:
        site = call_site()
        raise ShapeError(
            f"residual needs equal shapes on both sides, found {shape_text(beside.shape)} beside the branch "
            f"{changed.label!r} {shape_text(changed.shape)}\n  called at {site}\n"
            "  Try: projection=lambda x: graphc.layers.conv2d(x, maps, 1, stride=..., name=...)",
            node=changed,
            shapes=(beside.shape, changed.shape),
            site=site,
        )
    return beside + changed


def branches(x: Node, parts: Iterable[Branch], axis: int = 1) -> Node:
    """Call every part with ``x`` and put the results side by side along the channels.

    Parameters
    ----------
    x : Node
        Operand.
    parts : iterable of callable
        Each is called with ``x`` and returns a node; all have the same extents but along ``axis``.
    axis : int, default 1
        Axis along which they are put side by side.

    Returns
    -------
    Node

    Raises
    ------
    ShapeError
        If the extents do not fit.

    Source
    ------
    Szegedy et al., CVPR (2015), section 4.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.layers.branches(image, [graphc.relu, graphc.tanh]).shape
    (N, 6, 32, 32)
    """
    return registry.function("concat")(tuple(part(x) for part in parts), axis=axis)


def inception(x: Node, one: int, three: tuple[int, int], five: tuple[int, int], pool: int, *, name: str) -> Node:
    """Filters of 1, 3 and 5 elements and a pool side by side, each thinned by 1 x 1 filters; ReLU after each.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    one : int
        Maps of the 1 x 1 filters.
    three, five : (int, int)
        Maps of the thinning 1 x 1 filters, and of the filters after them.
    pool : int
        Maps of the 1 x 1 filters after the max pool of 3 x 3.
    name : str
        Layers are named ``name.one``, ``name.three.thin``, ``name.three``, ``name.five.thin``, ``name.five`` and
        ``name.pool``.

    Returns
    -------
    Node, shape (N, one + three[1] + five[1] + pool, H, W)

    Raises
    ------
    ShapeError
        If ``x`` is not an image whose channels are a number.

    Source
    ------
    Szegedy et al., CVPR (2015), figure 2b and table 1.

    Examples
    --------
    >>> import graphc
    >>> maps = graphc.input("maps", ("N", 192, 28, 28))
    >>> graphc.layers.inception(maps, 64, (96, 128), (16, 32), 32, name="3a").shape
    (N, 256, 28, 28)
    """

    def conv(x: Node, maps: int, size: int, part: str) -> Node:
        padding = size // 2
        return registry.call("relu", conv2d(x, maps, size, padding=padding, name=f"{name}.{part}"))

    parts = (
        lambda x: conv(x, one, 1, "one"),
        lambda x: conv(conv(x, three[0], 1, "three.thin"), three[1], 3, "three"),
        lambda x: conv(conv(x, five[0], 1, "five.thin"), five[1], 5, "five"),
        lambda x: conv(registry.function("max_pool2d")(x, 3, stride=1, padding=1), pool, 1, "pool"),
    )
    return branches(x, parts).named(name)


def dense_block(x: Node, layers: int, growth: int, *, name: str, bottleneck: bool = False) -> Node:
    """Layers that each see the maps of all earlier ones: batch norm, ReLU, and ``growth`` filters of 3 x 3.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    layers : int
        Number of layers L.
    growth : int
        Maps that each layer adds, k.
    name : str
        Layer number l has the prefix ``name.l``, from 1.
    bottleneck : bool, default False
        Whether ``4*growth`` filters of 1 x 1 thin the maps before those of 3 x 3.

    Returns
    -------
    Node, shape (N, C + L*k, H, W)

    Raises
    ------
    ShapeError
        If ``x`` is not an image whose channels are a number.

    Source
    ------
    Huang et al., CVPR (2017), equation 2 and section 3.

    Examples
    --------
    >>> import graphc
    >>> maps = graphc.input("maps", ("N", 64, 56, 56))
    >>> graphc.layers.dense_block(maps, 6, 32, name="block").shape
    (N, 256, 56, 56)
    """
    for number in range(1, layers + 1):
        prefix = f"{name}.{number}"
        h = x
        if bottleneck:
            h = registry.call("relu", batch_norm(h, name=f"{prefix}.thin.norm"))
            h = conv2d(h, 4 * growth, 1, bias=False, name=f"{prefix}.thin")
        h = registry.call("relu", batch_norm(h, name=f"{prefix}.norm"))
        h = conv2d(h, growth, 3, padding=1, bias=False, name=f"{prefix}.conv")
        x = registry.function("concat")((x, h), axis=1)
    return x.named(name)


def squeeze_excitation(x: Node, reduction: int = 16, *, name: str) -> Node:
    """Scale each channel by a share from 0 to 1 that the means of all channels decide.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    reduction : int, default 16
        The layer between has ``C // reduction`` units, at least one.
    name : str
        Layers are named ``name.squeeze`` and ``name.excitation``.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If ``x`` is not an image whose channels are a number.

    Source
    ------
    Hu, Shen, Sun, CVPR (2018), equations 2 to 4.

    Examples
    --------
    >>> import graphc
    >>> maps = graphc.input("maps", ("N", 64, 56, 56))
    >>> graphc.layers.squeeze_excitation(maps, name="attend").shape
    (N, 64, 56, 56)
    """
    numbers("squeeze_excitation", name, x, (4,), "images (N, C, H, W)")
    channels = int(str(x.shape[1]))
    means = registry.call("global_average_pool2d", x)
    h = registry.call("relu", dense(means, max(channels // reduction, 1), name=f"{name}.squeeze"))
    share = registry.call("sigmoid", dense(h, channels, name=f"{name}.excitation"))
    return _SCALED(x, share).named(name)


def fire(x: Node, squeeze: int, one: int, three: int, *, name: str) -> Node:
    """Thin the maps with 1 x 1 filters, then put 1 x 1 and 3 x 3 filters side by side; ReLU after each.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    squeeze : int
        Maps of the thinning 1 x 1 filters.
    one, three : int
        Maps of the 1 x 1 and of the 3 x 3 filters.
    name : str
        Layers are named ``name.squeeze``, ``name.one`` and ``name.three``.

    Returns
    -------
    Node, shape (N, one + three, H, W)

    Raises
    ------
    ShapeError
        If ``x`` is not an image whose channels are a number.

    Source
    ------
    Iandola et al. (2016), section 3.2.

    Examples
    --------
    >>> import graphc
    >>> maps = graphc.input("maps", ("N", 96, 55, 55))
    >>> graphc.count(graphc.layers.fire(maps, 16, 64, 64, name="fire2")).parameters
    11920
    """
    h = registry.call("relu", conv2d(x, squeeze, 1, name=f"{name}.squeeze"))
    parts = (
        lambda h: registry.call("relu", conv2d(h, one, 1, name=f"{name}.one")),
        lambda h: registry.call("relu", conv2d(h, three, 3, padding=1, name=f"{name}.three")),
    )
    return branches(h, parts).named(name)
