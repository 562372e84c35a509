"""Maxout layer: the largest of several linear functions."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, registry
from graphc.layers.dense import dense
from graphc.layers.initialisers import Initialiser

__all__ = ["maxout"]


def maxout(
    x: Node,
    units: int,
    pieces: int = 2,
    *,
    name: str,
    bias: bool = True,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Each unit is the largest of ``pieces`` linear functions: ``max(w1·x + b1, w2·x + b2)`` for two.

    Parameters
    ----------
    x : Node, shape (N, features)
        Rows.
    units : int
        Number of outputs.
    pieces : int, default 2
        Linear functions for each unit.
    name : str
        Parameters are named ``name.linear.weight`` (units*pieces, features) and ``name.linear.bias``; the
        functions of a unit are neighbours.
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
    Parameters: ``units * pieces * (features + 1)``.

    Source
    ------
    Goodfellow et al., ICML (2013), section 3.

    Examples
    --------
    >>> import graphc
    >>> rows = graphc.input("rows", ("N", 7))
    >>> graphc.count(graphc.layers.maxout(rows, 5, 2, name="unit")).parameters
    80
    """
    linear = dense(x, units * pieces, name=f"{name}.linear", bias=bias, initial=initial, weight=weight)
    return registry.function("maxout")(linear, pieces=pieces, axis=-1).named(name)
