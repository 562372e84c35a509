"""Initialisers: called as ``initial(shape, generator)`` when a program is compiled."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from graphc.errors import GraphcError

__all__ = ["Initialiser", "he", "normal", "xavier", "zeros"]

Initialiser = Callable[[tuple[int, ...], numpy.random.Generator], numpy.ndarray]


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs that one weight connects: dense ``(units, features)``, filters ``(K, C, R, S)``."""
    if len(shape) < 2:
        count = shape[0] if shape else 1
        return count, count
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def zeros() -> Initialiser:
    """All zeros: right for biases. Weights would stay equal for ever, because their gradients are equal."""
    return lambda shape, _: numpy.zeros(shape)


def normal(deviation: float = 0.01, mean: float = 0.0) -> Initialiser:
    """Normal numbers of a standard deviation: small ones break the symmetry, but die out in deep networks."""
    if not deviation >= 0:
        raise GraphcError(f"a standard deviation cannot be negative, found {deviation}")
    return lambda shape, generator: generator.normal(mean, deviation, shape)


def xavier() -> Initialiser:
    """Uniform with variance ``2 / (inputs + outputs)``: keeps the variance through tanh layers, both ways.

    Source: Glorot, Bengio, AISTATS (2010), eq. 16.
    """

    def initial(shape: tuple[int, ...], generator: numpy.random.Generator) -> numpy.ndarray:
        limit = math.sqrt(6.0 / max(sum(_fans(shape)), 1))
        return generator.uniform(-limit, limit, shape)

    return initial


def he() -> Initialiser:
    """Normal with variance ``2 / inputs``: ReLU halves the variance, the factor 2 restores it.

    Source: He et al., ICCV (2015), eq. 10.
    """

    def initial(shape: tuple[int, ...], generator: numpy.random.Generator) -> numpy.ndarray:
        return generator.normal(0.0, math.sqrt(2.0 / max(_fans(shape)[0], 1)), shape)

    return initial
