"""Batch normalisation: statistics of the batch in training, running ones in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import GraphcError
from graphc.graph import Definition, Gate, Node, Shape, is_training, parameter, registry, state, update
from graphc.layers.parts import numbers, parameter_or

__all__ = ["batch_norm"]

_REST = "ijhuvabd"  # axes after the channels


def _axes(shapes: tuple[Shape, ...]) -> tuple[str, str, str]:
    """Index of ``x``, axes that statistics run over, and the elements of one channel."""
    rest = _REST[: len(shapes[0]) - 2]
    count = "*".join(f"size(x,{d})" for d in (0, *range(2, len(shapes[0]))))
    return ",".join(("n", "c", *rest)), ", ".join(("n", *rest)), count


def _mean(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    element, axes = _axes(shapes)[:2]
    return Definition(f"new[c] = mean(x[{element}], {axes})\ny[c] = old[c]*momentum + new[c]*(1 - momentum)")


def _variance(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    # the variance of the whole that the batch was drawn from: divided by one less than the elements. Mean and spread
    # are as `batch_norm` writes them, so that they are computed once
    element, axes, count = _axes(shapes)
    lines = (
        f"average[c] = mean(x[{element}], {axes})",
        f"spread[c] = mean((x[{element}] - average[c])**2, {axes})",
        f"new[c] = spread[c]*({count}/max({count} - 1, 1))",
        "y[c] = old[c]*momentum + new[c]*(1 - momentum)",
    )
    return Definition("\n".join(lines))


def _normalised(shapes: tuple[Shape, ...], _: Mapping[str, Any]) -> Definition:
    element = _axes(shapes)[0]
    return Definition(f"y[{element}] = (x[{element}] - mean[c])/sqrt(variance[c] + epsilon)*gain[c] + bias[c]")


_MOMENTUM = {"momentum": 0.9}
_RUNNING_MEAN = Gate("running mean", _mean, ("x", "old"), attributes=_MOMENTUM, source="Ioffe, Szegedy (2015)")
_RUNNING_VARIANCE = Gate(
    "running variance", _variance, ("x", "old"), attributes=_MOMENTUM, source="Ioffe, Szegedy (2015)"
)
_NORMALISED = Gate(
    "batch_norm in use",
    _normalised,
    ("x", "mean", "variance", "gain", "bias"),
    symbol="batch norm",
    attributes={"epsilon": 1e-5},
    source="Ioffe, Szegedy, ICML (2015), algorithm 2",
)


def batch_norm(x: Node, *, name: str, epsilon: float = 1e-5, momentum: float = 0.9, weight: Node | None = None) -> Node:
    """Normalise each channel, then scale and shift it.

    In training by the mean and variance of the batch; in steps compiled with ``training=False`` by running ones,
    which every training step moves: ``running = momentum*running + (1 - momentum)*new``.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand; C is a number.
    name : str
        Parameters are named ``name.gain`` (1 at first) and ``name.bias`` (0), the states ``name.mean`` (0) and
        ``name.variance`` (1), all (C,).
    epsilon : float, default 1e-5
        Added to the variance.
    momentum : float, default 0.9
        Share of the running statistics that is kept, from 0 to 1.
    weight : Node, optional
        A gain to share instead of declaring one.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the channels are not a number.
    GraphcError
        If the momentum is not from 0 to 1.

    Notes
    -----
    Parameters: ``2 * C``. The running variance is the unbiased one (over count - 1), that of the batch the biased
    one, as in PyTorch, whose momentum is one minus this.

    Source
    ------
    Ioffe, Szegedy, ICML (2015), algorithms 1 and 2.

    Examples
    --------
    >>> import graphc
    >>> image = graphc.input("image", ("N", 3, 32, 32))
    >>> graphc.count(graphc.layers.batch_norm(image, name="norm"))["norm"].formula
    '2·3'
    """
    numbers("batch_norm", name, x, tuple(range(2, len(_REST) + 3)), "operands (N, C, ...)")
    if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum <= 1:
        raise GraphcError(f"batch_norm {name!r}: momentum={momentum!r} must be a number from 0 to 1")
    shape = (x.shape[1],)
    gain = parameter_or(weight, f"{name}.gain", shape, 1.0)
    bias = parameter(f"{name}.bias", shape)
    mean, variance = state(f"{name}.mean", shape), state(f"{name}.variance", shape, initial=1.0)
    update(mean, _RUNNING_MEAN(x, mean, momentum=momentum))
    update(variance, _RUNNING_VARIANCE(x, variance, momentum=momentum))
    training = registry.function("batch_norm")(x, gain, bias, epsilon=epsilon)
    in_use = _NORMALISED(x, mean, variance, gain, bias, epsilon=epsilon)
    return registry.call("where", is_training(), training, in_use).named(name)
