"""Dropout: in training a random part of the elements is 0, in use nothing happens."""

from __future__ import annotations

import numpy

from graphc.graph import Node, constant, is_training, registry, state, update

__all__ = ["dropout", "spatial_dropout"]

_KEYS = 1 << 24


def _dropped(gate: str, x: Node, rate: float, name: str) -> Node:
    def initial(shape: tuple[int, ...], generator: numpy.random.Generator) -> numpy.ndarray:
        return numpy.array([generator.integers(_KEYS), 0]).reshape(shape)

    key = state(f"{name}.key", (2,), initial=initial, dtype="int32")
    update(key, key + constant(numpy.array([0, 1]), dtype="int32"))
    return registry.call("where", is_training(), registry.function(gate)(x, key, rate=rate), x).named(name)


def dropout(x: Node, rate: float = 0.5, *, name: str) -> Node:
    """Set each element to 0 with probability ``rate`` in training, and scale the others by ``1/(1 - rate)``.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    rate : float, default 0.5
        Probability of 0, at least 0 and below 1.
    name : str
        The state is named ``name.key`` (2,): a number that the seed of the compiled step draws, and the number of
        the training step. It is saved in checkpoints, so that a run that goes on drops what it would have dropped.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the rate is not in its range.

    Notes
    -----
    No parameters. The mean of the result is ``x``, so that steps compiled with ``training=False`` return ``x``.

    Source
    ------
    Srivastava et al., JMLR 15 (2014), section 4.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> step = graphc.compile([graphc.layers.dropout(x, name="drop")], training=False)
    >>> step(x=[1, 2, 3])[0].tolist()
    [1.0, 2.0, 3.0]
    """
    return _dropped("dropout", x, rate, name)


def spatial_dropout(x: Node, rate: float = 0.5, *, name: str) -> Node:
    """Set whole channels of each example to 0 with probability ``rate`` in training.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand.
    rate : float, default 0.5
        Probability of 0, at least 0 and below 1.
    name : str
        The state is named ``name.key``, as that of `dropout`.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the rate is not in its range.

    Notes
    -----
    No parameters. Neighbouring elements of a map say nearly the same, so that dropping them one by one drops little.

    Source
    ------
    Tompson et al., CVPR (2015), section 3.2.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.layers.spatial_dropout(image, 0.2, name="drop").shape
    (N, 3, 32, 32)
    """
    return _dropped("spatial_dropout", x, rate, name)
