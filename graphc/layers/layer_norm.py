"""Layer normalisation: gain and bias for each feature of an example that was normalised on its own."""

from __future__ import annotations

from graphc.graph import Node, parameter, registry
from graphc.layers.parts import numbers, parameter_or

__all__ = ["layer_norm"]


def layer_norm(x: Node, *, name: str, axes: int = 1, epsilon: float = 1e-5, weight: Node | None = None) -> Node:
    """Normalise each example over its last axes, then scale and shift each feature.

    Parameters
    ----------
    x : Node, shape (..., D)
        Operand; the extents of the last axes are numbers.
    name : str
        Parameters are named ``name.gain`` and ``name.bias``, both of the last extents.
    axes : int, default 1
        How many of the last axes are normalised together.
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
        If ``x`` has fewer axes, or an extent is not a number.

    Notes
    -----
    Parameters: ``2 * D``. The same in training and in use.

    Source
    ------
    Ba, Kiros, Hinton (2016), equation 4.

    Examples
    --------
    >>> import graphc
    >>> words = graphc.input("words", ("N", "T", 64))
    >>> graphc.layers.layer_norm(words, name="norm").shape
    (N, T, 64)
    """
    ranks = tuple(range(max(axes, 1), 64))
    numbers("layer_norm", name, x, ranks, "numbers for its last extents", tuple(range(-max(axes, 1), 0)))
    shape = x.shape[-max(axes, 1) :]
    gain = parameter_or(weight, f"{name}.gain", shape, 1.0)
    return registry.function("layer_norm")(x, gain, parameter(f"{name}.bias", shape), epsilon=epsilon).named(name)
