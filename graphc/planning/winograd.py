"""Where 3x3 convolutions take tiles: Winograd's F(2x2, 3x3), 16 products for four elements of the result instead of 36.

For tiles ``d`` of 4x4 elements of the framed image, every other row and column, and filters ``g``::

    u[e,c,k] = (G g[c,k] G^T)[e]      v[e,c] = (B^T d[c] B)[e]      e = 16 elements
    y[k] = A^T (sum over c of u[e,c,k] * v[e,c]) A                   a tile of 2x2

        1   0   0              1  0 -1  0
    G = 1/2 1/2 1/2      B^T = 0  1  1  0      A^T = 1  1  1  0
        1/2 -1/2 1/2           0 -1  1  0            0  1 -1 -1
        0   0   1              0  1  0 -1

The gradient of a filter is F(3x3, 2x2): the same ``v`` for tiles of the image, and tiles ``t`` of 2x2 elements of the
result's gradient::

    d[e,c,k] = sum over images and tiles of v[e,c] * (H t[k] H^T)[e]      dg[c,k] = S d[c,k] S^T

         1   0             1  1  1  0
    H = 1/2 1/2        S = 0  1 -1  0
        1/2 -1/2           0  1  1 -1
         0   1

Steps and dilation are 1, there is one group. The kernels, arguments int64::

    convolution_filters_by_tiles
                  addresses of the packed filter (`graphc.planning.convolution`), u, then C, K
    convolution_by_tiles
                  addresses of image, u, result, then as for convolution
    correlation_by_tiles
                  addresses of image, result as it is, d (written), then as for convolution
    correlation_filters_by_tiles
                  addresses of d, the filter's gradient as (C, R, S, K) (written), then C, K

``u`` and ``d`` are ``(4, 4, C, K rounded up to whole blocks of 16)``; behind the last map ``u`` holds zeros, and ``d``
nothing that counts. Results of an odd number of rows or columns have tiles that reach one further; the frame does so
too. Gradients of filters need even numbers.

The transforms round where a direct sum does not, but each sum has a ninth of the terms: in float32 and for normally
distributed images, the largest error over 16 to 256 channels was 0.4 to 0.6 of that of the direct kernels, which add
one term after the other, and 0.5 to 0.9 of it for gradients of filters (`tests.kernels.test_winograd`). An infinite
element of the image makes NaN of the whole tile.

Source: Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural
Networks, 2015 (arXiv:1509.09308).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graphc.formula.size import Extent

if TYPE_CHECKING:
    from graphc.planning.convolution import _Problem

__all__ = [
    "ELEMENTS", "ROUND", "Prepared", "finished", "prepared", "rounded", "sums_take_tiles", "takes_tiles",
    "work_of_tiles",
]  # fmt: skip

#: Elements of a transformed tile.
ELEMENTS = 16
#: Maps of transformed filters come in multiples of this.
ROUND = 16
#: Fewest channels and maps: products must outweigh the transforms.
_LEAST_CHANNELS, _LEAST_MAPS = 8, 8
#: The least part of the tiles' elements that count, the fewest tiles of an image, and of all images where their number
#: is known: filters are transformed for all of them.
_LEAST_SHARE, _LEAST_TILES, _LEAST_ALL = 0.7, 4, 64

#: FLOP of transforming one filter: 3 + 4 times 4 additions and halvings.
_WORK = 28


@dataclass(frozen=True)
class Prepared:
    """A launch that transforms filters: kind, tensors, arguments and FLOP."""

    kind: str
    read: str
    written: str
    extents: tuple[Extent, ...]  # of the transformed filters
    arguments: tuple[Extent, ...]
    work: Extent


def takes_tiles(p: _Problem) -> bool:
    """Whether a convolution can take tiles, and does better with them."""
    if (p.r, p.s) != (3, 3) or p.stride != (1, 1) or p.dilation != (1, 1) or p.groups != 1 or p.signal:
        return False
    count = _tiles(p)
    share = p.rows * p.columns / (4 * count)
    if isinstance(p.n, int) and p.n * count < _LEAST_ALL:
        return False
    return p.c >= _LEAST_CHANNELS and p.k >= _LEAST_MAPS and share >= _LEAST_SHARE and count >= _LEAST_TILES


def sums_take_tiles(p: _Problem) -> bool:
    """Whether the gradient of the filter can take tiles, and does better with them."""
    return takes_tiles(p) and p.rows % 2 == p.columns % 2 == 0


def rounded(p: _Problem) -> _Problem:
    """The convolution with a result of whole tiles."""
    return replace(p, rows=p.rows + p.rows % 2, columns=p.columns + p.columns % 2)


def prepared(p: _Problem, packed: str, prefix: str) -> Prepared:
    """The transformed filters."""
    extents = 4, 4, p.c, -(-p.k // ROUND) * ROUND
    target = f"{prefix}.tiles.{p.filter}"
    return Prepared("convolution_filters_by_tiles", packed, target, extents, (p.c, p.k), _WORK * p.c * p.k)


def finished(p: _Problem, summed: str, prefix: str) -> Prepared:
    """The gradient of the filter as ``(C, R, S, K)``, from ``d``."""
    target, extents = f"{prefix}.tiles.{p.filter}", (4, 4, p.c, -(-p.k // ROUND) * ROUND)
    return Prepared("correlation_filters_by_tiles", target, summed, extents, (p.c, p.k), _WORK * p.c * p.k)


def work_of_tiles(p: _Problem) -> Extent:
    """FLOP of the products that are computed, a multiply-add counts 2; those of the transforms are left out."""
    return p.n * (2 * ELEMENTS * p.c * p.k * _tiles(p))


def _tiles(p: _Problem) -> int:
    return -(-p.rows // 2) * -(-p.columns // 2)
