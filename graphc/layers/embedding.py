"""Embedding layer: a row of numbers for each word."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, registry
from graphc.layers.initialisers import Initialiser, normal
from graphc.layers.parts import parameter_or

__all__ = ["embedding"]


def embedding(
    token: Node,
    vocabulary: int,
    features: int,
    *,
    name: str,
    initial: Initialiser | Any = None,
    weight: Node | None = None,
) -> Node:
    """Look up a row of ``features`` numbers for each token.

    Parameters
    ----------
    token : Node, whole numbers, any shape
        Numbers of words, from 0 to ``vocabulary - 1``.
    vocabulary : int
        Number of words V.
    features : int
        Numbers for each word D.
    name : str
        The parameter is named ``name.weight`` (V, D).
    initial : initialiser or array, optional
        Of the rows; normal numbers of deviation 1 by default.
    weight : Node, optional
        A parameter to share instead of declaring one, for example with the layer of scores.

    Returns
    -------
    Node, shape (..., D)

    Raises
    ------
    ShapeError
        If ``token`` holds floats.

    Notes
    -----
    Parameters: ``V * D``. The same as the product of one-hot rows with the weight, without the zeros.

    Source
    ------
    Bengio et al., JMLR 3 (2003), section 2.

    Examples
    --------
    >>> import graphc
    >>> words = graphc.input("words", ("N", 7), dtype="int32")
    >>> graphc.layers.embedding(words, 8000, 300, name="words.table").shape
    (N, 7, 300)
    """
    weight = parameter_or(weight, f"{name}.weight", (vocabulary, features), normal(1.0) if initial is None else initial)
    return registry.function("embedding")(weight, token).named(name)
