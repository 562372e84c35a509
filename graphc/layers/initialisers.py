"""Initialisers: called as ``initial(shape, generator)`` when a program is compiled.

Weights that start equal stay equal, and weights of a wrong size let signals die out or explode with depth:
each initialiser says below which of the two it prevents, and for which units.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from graphc.errors import GraphcError

__all__ = ["Initialiser", "he", "normal", "orthogonal", "xavier", "zeros"]

Initialiser = Callable[[tuple[int, ...], numpy.random.Generator], numpy.ndarray]


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs that one weight connects: dense ``(units, features)``, filters ``(K, C, R, S)``."""
    if len(shape) < 2:
        count = shape[0] if shape else 1
        return count, count
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def zeros() -> Initialiser:
    """All zeros: right for biases. Weights would stay equal for ever, because all units have equal gradients."""
    return lambda shape, _: numpy.zeros(shape)


def normal(deviation: float = 0.01, mean: float = 0.0) -> Initialiser:
    """Normal numbers of a standard deviation: small ones break the symmetry, but activations die out with depth."""
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


def orthogonal(gain: float = 1.0) -> Initialiser:
    """Rows (or columns, where there are fewer) of length ``gain`` at right angles: norms are kept at any depth.

    Weights of more than two dimensions are read as a matrix, the first dimension down and the others across.
    Drawn from the QR decomposition of a normal matrix, signs mended so that every rotation is equally likely.

    Source: Saxe, McClelland, Ganguli, ICLR (2014), section 3; Mezzadri, Notices of the AMS 54 (2007), section 5.
    """

    def initial(shape: tuple[int, ...], generator: numpy.random.Generator) -> numpy.ndarray:
        if len(shape) < 2:
            raise GraphcError(f"orthogonal weights need at least two dimensions, found the shape {shape}")
        rows, columns = shape[0], math.prod(shape[1:])
        matrix = generator.normal(size=(max(rows, columns), min(rows, columns)))
        q, r = numpy.linalg.qr(matrix)
        q = q * numpy.where(numpy.diagonal(r) < 0, -1.0, 1.0)
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return initial
