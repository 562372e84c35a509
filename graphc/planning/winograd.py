"""Where 3x3 convolutions take tiles: Winograd's minimal filtering, which multiplies less.

Tiles of 4x4 elements of the result take 36 products instead of 144, F(4x4, 3x3), tiles of 2x2 take 16 instead of 36,
F(2x2, 3x3). For a tile ``d`` of the framed image, two rows and columns larger, and filters ``g``::

    u[e,c,k] = (G g[c,k] G^T)[e]      v[e,c] = (B^T d[c] B)[e]      e = 36 or 16 elements
    y[k] = A^T (sum over c of u[e,c,k] * v[e,c]) A                  a tile

    of 2x2:  1   0   0              1  0 -1  0
        G = 1/2 1/2 1/2      B^T =  0  1  1  0      A^T = 1  1  1  0
            1/2 -1/2 1/2            0 -1  1  0            0  1 -1 -1
             0   0   1              0  1  0 -1

In tiles of 4x4, with ``f(x) = (x^2 - a^2) * (x^2 - b^2)``, ``a = 3/4`` and ``b = 3/2``, and ``p`` any of 0, a, -a, b
and -b: rows of ``B^T`` are the coefficients of ``x*f(x) / (x - p)`` and of ``x*f(x)``, those of ``G`` are ``(1, p,
p^2)`` over the value of the former at ``p``, and ``(0, 0, 1)``, columns of ``A^T`` are ``(1, p, p^2, p^3)`` and ``(0,
0, 0, 1)``.

The gradient of a filter is F(3x3, 4x4) or F(3x3, 2x2): the same ``v`` for tiles of the image, and tiles ``t`` of the
result's gradient::

    d[e,c,k] = sum over images and tiles of v[e,c] * (H t[k] H^T)[e]      dg[c,k] = S (f f^T * d[c,k]) S^T

    of 2x2:  1  0            1  1  1  0
        H =  1  1        S = 0  1 -1  0        f = 1  1/2  1/2  1
             1 -1            0  1  1 -1
             0  1

and of 4x4 with rows ``(1, p, p^2, p^3)`` of ``H``, columns ``(1, p, p^2)`` of ``S``, and ``f`` the factors of the rows
of ``G``.

Steps and dilation are 1, there is one group. The kernels, arguments int64::

    convolution_filters_by_tiles
                  addresses of the packed filter (`graphc.planning.convolution`), u, then C, K
    convolution_by_tiles
                  addresses of image, u, result, then as for convolution
    correlation_by_tiles
                  addresses of image, result, d (written), then as for correlation_of_maps
    correlation_filters_by_tiles
                  addresses of d, the filter's gradient as (C, R, S, K) (written), then C, K

``d`` is ``(6, 6, C, K)``, or ``(4, 4, C, K)``, with K rounded up to whole blocks of 16; nothing counts behind the last
map. ``u`` has room for 4 channels more, and is laid out as the kernel reads it. Where rows or columns are no whole
tiles, the last reach further, and the frame does so too; gradients of filters need whole tiles.

The transforms round where a direct sum does not, but each sum has a ninth of the terms: in float32 and for normally
distributed images of 16 to 256 channels, the largest error with tiles of 2x2 was 0.5 to 0.9 of that of the direct
kernels, which add one term after the other, with tiles of 4x4 1.5 to 2.6 times it (`tests.kernels.test_winograd`). At
the usual points 1 and 2 instead of ``a`` and ``b`` it would be 8 times. An infinite element of the image makes NaN of
whole tiles.

Source: Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural
Networks, 2015 (arXiv:1509.09308).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graphc.formula.size import Extent

if TYPE_CHECKING:
    from graphc.planning.convolution import _Problem

__all__ = ["MORE", "ROUND", "Prepared", "finished", "prepared", "rounded", "tile_of", "tile_of_sums", "work_of_tiles"]

#: Maps of transformed filters come in multiples of this.
ROUND = 16
#: Channels for which the transformed filters have room beside their own: blocks of maps lie a little apart.
MORE = 4
#: Fewest channels and maps: products must outweigh the transforms.
_LEAST_CHANNELS, _LEAST_MAPS = 8, 8
#: Sizes of tiles, with what the transforms add to the products.
_SIZES = {4: 1.15, 2: 1.0}
#: Most products for an element of the result, fewest tiles of an image, and fewest elements of all results where their
#: number is known: filters are transformed for all of them.
_MOST_PRODUCTS, _LEAST_TILES, _LEAST_ELEMENTS = 5.7, 4, 256
#: FLOP of transforming one filter, about.
_WORK = {2: 28, 4: 72}


@dataclass(frozen=True)
class Prepared:
    """A launch that transforms filters: kind, literals, tensors, arguments and FLOP."""

    kind: str
    literals: tuple[int, ...]
    read: str
    written: str
    extents: tuple[Extent, ...]  # of the transformed filters
    arguments: tuple[Extent, ...]
    work: Extent


def tile_of(p: _Problem) -> int:
    """The size of tiles that a convolution does best with, or 0 where it does better without."""
    if (p.r, p.s) != (3, 3) or p.stride != (1, 1) or p.dilation != (1, 1) or p.groups != 1 or p.signal:
        return 0
    if p.c < _LEAST_CHANNELS or p.k < _LEAST_MAPS or "tiles" not in p.target.schedules:
        return 0
    if isinstance(p.n, int) and p.n * p.rows * p.columns < _LEAST_ELEMENTS:
        return 0
    costs = {
        size: factor * _tiles(p, size) * (size + 2) ** 2 / (p.rows * p.columns)
        for size, factor in _SIZES.items()
        if _tiles(p, size) >= _LEAST_TILES
    }
    best = min(costs, key=costs.__getitem__, default=0)
    return best if best and costs[best] <= _MOST_PRODUCTS else 0


def tile_of_sums(p: _Problem) -> int:
    """The size of tiles for the gradient of the filter, or 0."""
    size = tile_of(p)
    return next((some for some in (4, 2) if some <= size and p.rows % some == p.columns % some == 0), 0)


def rounded(p: _Problem, size: int) -> _Problem:
    """The convolution with a result of whole tiles."""
    return replace(p, rows=-(-p.rows // size) * size, columns=-(-p.columns // size) * size)


def prepared(p: _Problem, packed: str, prefix: str, size: int) -> Prepared:
    """The transformed filters."""
    found = _transformed("convolution_filters_by_tiles", (p.k, size), p, packed, f"{prefix}.tiles.{p.filter}")
    return replace(found, extents=(*found.extents[:2], p.c + MORE, found.extents[3]))


def finished(p: _Problem, summed: str, prefix: str, size: int) -> Prepared:
    """The gradient of the filter as ``(C, R, S, K)``, from ``d``."""
    return _transformed("correlation_filters_by_tiles", (size,), p, f"{prefix}.tiles.{p.filter}", summed)


def _transformed(kind: str, literals: tuple[int, ...], p: _Problem, read: str, written: str) -> Prepared:
    size = literals[-1]
    extents = size + 2, size + 2, p.c, -(-p.k // ROUND) * ROUND
    return Prepared(kind, literals, read, written, extents, (p.c, p.k), _WORK[size] * p.c * p.k)


def work_of_tiles(p: _Problem, size: int) -> Extent:
    """FLOP of the products that are computed, a multiply-add counts 2; those of the transforms are left out."""
    return p.n * (2 * (size + 2) ** 2 * p.c * p.k * _tiles(p, size))


def _tiles(p: _Problem, size: int) -> int:
    return -(-p.rows // size) * -(-p.columns // size)
