"""Group normalisation: gain and bias for each channel of examples whose groups of channels were normalised."""

from __future__ import annotations

from graphc.graph import Node, parameter, registry
from graphc.layers.parts import numbers, parameter_or

__all__ = ["group_norm"]


def group_norm(x: Node, groups: int, *, name: str, epsilon: float = 1e-5, weight: Node | None = None) -> Node:
    """Normalise each group of channels of each example, then scale and shift each channel.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand; C is a number.
    groups : int
        Number of groups; it divides C. 1 normalises all channels together, C each alone (instance normalisation).
    name : str
        Parameters are named ``name.gain`` and ``name.bias``, both (C,).
    epsilon : float, default 1e-5
        Added to the variance.
    weight : Node, optional
        A gain to share instead of declaring one.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the channels are not a number, or the groups do not divide them.

    Notes
    -----
    Parameters: ``2 * C``. The same in training and in use.

    Source
    ------
    Wu, He, ECCV (2018), section 3.1.

    Examples
    --------
    >>> import graphc
    >>> maps = graphc.input("maps", ("N", 32, 8, 8))
    >>> graphc.layers.group_norm(maps, 8, name="norm").shape
    (N, 32, 8, 8)
    """
    numbers("group_norm", name, x, tuple(range(2, 64)), "operands (N, C, ...)")
    shape = (x.shape[1],)
    gain = parameter_or(weight, f"{name}.gain", shape, 1.0)
    bias = parameter(f"{name}.bias", shape)
    return registry.function("group_norm")(x, gain, bias, groups=groups, epsilon=epsilon).named(name)
