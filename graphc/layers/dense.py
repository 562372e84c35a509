"""Dense layer: ``y[n,u] = sum(x[n,f] * weight[u,f], f) + bias[u]``."""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node
from graphc.layers.initialisers import Initialiser, he
from graphc.layers.parts import add_bias, numbers, parameter_or

__all__ = ["dense"]

# the weight is (units, features), so the product is with its transpose: a formula says that without a copy
_PRODUCT, _SEQUENCES = (
    Gate("dense", f"y[{n},u] = sum(x[{n},f] * weight[u,f], f)", ("x", "weight"), symbol="dense", source="Definition")
    for n in ("n", "n,t")
)


def dense(
    x: Node,
    units: int,
    *,
    name: str,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Fully connected layer ``x @ weight.T + bias``.

    Parameters
    ----------
    x : Node, shape (N, features) or (N, T, features)
        Rows, or sequences of rows; flatten images first.
    units : int
        Number of outputs.
    name : str
        Parameters are named ``name.weight`` (units, features) and ``name.bias`` (units,).
    bias : bool, default True
        Whether a bias is added.
    initial : initialiser or array, optional
        Of the weight; `he` by default.
    weight : Node, optional
        A parameter to share instead of declaring one.

    Returns
    -------
    Node, shape (N, units) or (N, T, units)

    Raises
    ------
    ShapeError
        If ``x`` has neither rank 2 nor 3, or its features are not a number.

    Notes
    -----
    Parameters: ``units * (features + 1)``. Cost: ``2*N*units*features`` FLOP.

    Source
    ------
    Rumelhart, Hinton, Williams, Nature 323 (1986), equation 1.

    Examples
    --------
    >>> import graphc
    >>> rows = graphc.input("rows", ("N", 784))
    >>> graphc.count(graphc.layers.dense(rows, 10, name="scores")).parameters
    7850
    """
    sequences = len(x.shape) == 3
    wanted = "rows of features, shape (N, features) or (N, T, features)"
    numbers("dense", name, x, (2, 3), wanted, (-1,), "graphc.flatten(...) first" if len(x.shape) > 3 else "")
    shape = (units, *x.shape[-1:])
    weight = parameter_or(weight, f"{name}.weight", shape, he() if initial is None else initial)
    y = (_SEQUENCES if sequences else _PRODUCT)(x, weight)
    return add_bias(y, name, bias, 2 if sequences else 1)
