"""Dense layer: ``y[n,u] = sum(x[n,f] * weight[u,f], f) + bias[u]``."""

from __future__ import annotations

from typing import Any

from graphc.errors import ShapeError
from graphc.graph import Gate, Node, parameter
from graphc.graph.node import call_site
from graphc.graph.shapes import shape_text
from graphc.layers.initialisers import Initialiser, he, zeros

__all__ = ["dense"]

# the weight is (units, features), so the product is with its transpose: a formula says that without a copy
_PRODUCT = Gate(
    "dense",
    "y[n,u] = sum(x[n,f] * weight[u,f], f)",
    ("x", "weight"),
    symbol="dense",
    source="Definition",
)
_ADD_BIAS = Gate("bias", "y[n,u] = x[n,u] + bias[u]", ("x", "bias"), symbol="+ b", source="Definition")


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
    x : Node, shape (N, features)
        Input; flatten images first.
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
    Node, shape (N, units)

    Raises
    ------
    ShapeError
        If ``x`` has not rank 2 or its features are not a number.

    Notes
    -----
    Parameters: ``units * (features + 1)``. Cost: ``2*N*units*features`` FLOP.
    """
    site = call_site()
    if len(x.shape) != 2 or not isinstance(x.shape[1], int):
        raise ShapeError(
            f"dense {name!r} needs rows of features, shape (N, features), found {shape_text(x.shape)}: "
            f"{x.label!r} declared at {x.site}\n  called at {site}\n  Try: graphc.flatten(...) first",
            node=x,
            gate="dense",
            shapes=(x.shape,),
            site=site,
        )
    if weight is None:
        weight = parameter(f"{name}.weight", (units, x.shape[1]), initial=he() if initial is None else initial)
    y = _PRODUCT(x, weight)
    if not bias:
        return y.named(name)
    return _ADD_BIAS(y, parameter(f"{name}.bias", (units,), initial=zeros())).named(name)
