"""Sums, extremes and positions along axes, and PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from tests.gates.pytorch.case import Case, Row, at, cases

REDUCED = [
    *cases((3, 5)),
    *cases(()),
    *cases((2, 3, 5), axes=[None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)], keepdims=[False, True]),
    *cases((1, 4, 1), axes=[0, (0, 2)], keepdims=[False, True]),
]


def reduction(theirs: Callable[..., Any], *more: Case) -> Row:
    def call(x: Any, axes: Any = None, keepdims: bool = False) -> Any:
        chosen = tuple(range(x.dim())) if axes is None else (axes,) if isinstance(axes, int) else axes
        return theirs(x, chosen, keepdims) if chosen else theirs(x.reshape(1), (0,), False)

    return Row(call, [*REDUCED, *more])


def product(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    for axis in sorted((a % x.dim() for a in axes), reverse=True):
        x = x.prod(axis, keepdim=keepdims)
    return x


def extreme(name: str) -> Callable[..., Any]:
    """Either extreme; along one axis as ``torch.max(dim)``, which lets the first of equal elements win."""

    def call(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if len(axes) == 1:
            return getattr(torch, name)(x, axes[0], keepdim=keepdims).values
        return getattr(torch, f"a{name}")(x, axes, keepdim=keepdims)

    return call


TIED = [[1.0, 3.0, 3.0, 2.0], [4.0, 4.0, 4.0, 4.0], [0.0, -1.0, 0.0, -1.0]]
POSITIONS = [*cases((3, 5)), *cases((2, 3, 5), axis=[0, 1, 2, -1, -3]), at(TIED, axis=1), at(TIED, axis=0)]

REDUCTIONS = {
    "amax": reduction(extreme("max"), at(TIED, axes=1), at(TIED, axes=0, keepdims=True)),
    "amin": reduction(extreme("min"), at(TIED, axes=1), at(TIED, axes=0, keepdims=True)),
    "argmax": Row(lambda x, axis=-1: torch.argmax(x, axis), POSITIONS),
    "argmin": Row(lambda x, axis=-1: torch.argmin(x, axis), POSITIONS),
    "logsumexp": reduction(torch.logsumexp, at([[700.0, 710.0], [-800.0, -801.0], [-math.inf, 1.0]], axes=1)),
    "maxout": Row(
        lambda x, pieces=2, axis=1: x.unflatten(axis, (-1, pieces)).max(axis + 1 if axis >= 0 else axis).values,
        [
            *cases((3, 6)),
            *cases((2, 6, 3), pieces=[1, 2, 3, 6], axis=[1, -2]),
            *cases((2, 4, 3, 5), pieces=[2], axis=[1]),
            at([[1.0, 1.0, 2.0, 3.0], [5.0, 4.0, 0.0, 0.0]]),
        ],
    ),
    "mean": reduction(lambda x, axes, keepdims: torch.mean(x, axes, keepdim=keepdims)),
    "prod": reduction(
        product, at([[0.0, 2.0, 3.0], [1.0, 4.0, 0.5]], axes=1), at([[0.0, 2.0, 0.0], [-1.0, 4.0, 0.5]], axes=(0, 1))
    ),
    "sum": reduction(lambda x, axes, keepdims: torch.sum(x, axes, keepdim=keepdims)),
}
