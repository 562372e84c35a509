"""Convolution by Winograd's minimal filtering, F(2x2, 3x3) and F(4x4, 3x3), and the gradient of its filter.

`graphc.planning.winograd` documents tensors and arguments, `graphc.kernels.cpu.tiles` the operations.
"""

from __future__ import annotations

from graphc.kernels.cpu.convolution import _BYTES, SIZES, registers
from graphc.planning.winograd import ROUND

__all__ = [
    "emit_convolution_by_tiles", "emit_correlation_by_tiles", "emit_filters_by_tiles", "emit_gradient_by_tiles",
    "pieces_of",
]  # fmt: skip

#: Channels whose transforms a block of tiles of 2x2 keeps, half as many of 4x4; maps whose sums it keeps: few, which
#: stay in the first cache, but where channels must be transformed again for each of these blocks of maps.
CHANNELS, FEW_MAPS, MAPS = 128, 8, 64
#: Numbers between the elements of transformed filters, so that these do not meet in one set of the first cache.
APART = 16
#: Of the gradient of filters: channels and maps, and vectors of tiles of 2x2, half as many of 4x4.
SUM_CHANNELS, SUM_MAPS, SUM_VECTORS = 64, 32, 4

_KERNEL = '''"""y[n,k,i,j] = sum(x[n,c,i+r,j+s] * w[k,c,r,s]), 3 x 3, tiles of {size} x {size}; {dtype}"""

from graphc.kernels.cpu.memory import pointer_int64, store
from graphc.kernels.cpu.tiles import tiles
from graphc.kernels.cpu.vector import stack

operations = tiles("{dtype}", {lanes}, {pieces}, {size}, {vectors}, {block})
see, multiply = operations.see, operations.multiply
scratch = stack({scratch})


def kernel(arguments, thread, threads):
    x, u, y = arguments[0], arguments[1], arguments[2]
{sizes}\
    channel = height * pitch
    area = rows * columns
    tall = (rows + {size} - 1) // {size}  # rows of tiles
    whole = (columns + {size} - 1) // {size} * {size}
    across = (columns + {span} - 1) // {span}  # pieces of a row of tiles
    partly = rows % {size} + columns % {size}
{parts}
    seen = scratch()
    sums = seen + {seen}
    places = sums + {summed}
    tables = places + 8 * {together}
    # what results are left to write: while other products are computed, their sums come from the second cache
    before = tables + 48 * {together}
    for e in range(8):
        store(pointer_int64(before), e, 0)
    store(pointer_int64(before), 3, area)
    store(pointer_int64(before), 4, columns)
    store(pointer_int64(before), 7, partly)
    # two of each: results of the block before are still to be written, but where sums of channels fill the room
    summed, targets = sums, tables
    aside = {bytes} * {few} * {wide} if channels <= {channels} else 0
    # elements lie apart by an odd number of vectors: they do not meet in one set of the first cache; where these
    # distances are known beforehand, addresses take no additions
    step_u = channels * {block} + {apart}
    step_v = {channels} * {wide} + {lanes}
    most = {few} if channels <= {channels} else {maps}
    step_m = {maps} * {wide} + {lanes}
    n, i, p = begin // tall, begin % tall * {size}, 0  # image, row, piece of it
    for first in range(begin * across, end * across, {together}):
        targets = 2 * tables + 24 * {together} - targets
        limits = targets + 8 * {together}
        for e in range({together}):
            j = min(p * {span}, whole - {span})  # the last piece overlaps the one before
            store(pointer_int64(places), e, n * channels * channel + i * pitch + j)
            store(pointer_int64(targets), e, n * maps * area + i * columns + j)
            store(pointer_int64(limits), 2 * e, columns - j)
            store(pointer_int64(limits), 2 * e + 1, rows - i)
            if first + e + 1 < end * across:
                p += 1
                if p == across:
                    p, i = 0, i + {size}
                    if i >= rows:
                        i, n = 0, n + 1
        for k in range(0, maps, most):
            count = min(most, maps - k)
            for c in range(0, channels, {channels}):
                some = min({channels}, channels - c)
                if k == 0 or channels > {channels}:
                    for t in range({vectors}):
                        see(x + {bytes} * c * channel, some, channel, pitch, places + 8 * {pieces} * t,
                            seen + {bytes} * {lanes} * t, {wide}, step_v)
                multiply(u + {bytes} * (k // {block} * {elements} * step_u + c * {block}), step_u,
                         {elements} * step_u, some, seen, step_v, count, summed, step_m, c, before)
                store(pointer_int64(before), 0, 0)
            store(pointer_int64(before), 0, count * {vectors})
            store(pointer_int64(before), 1, summed)
            store(pointer_int64(before), 2, y + {bytes} * k * area)
            store(pointer_int64(before), 5, targets)
            store(pointer_int64(before), 6, limits)
            summed = 2 * sums + aside - summed
            if channels > {channels}:
                multiply(u, step_u, 0, 0, seen, step_v, 0, summed, step_m, 0, before)
                store(pointer_int64(before), 0, 0)
    multiply(u, step_u, 0, 0, seen, step_v, 0, summed, step_m, 0, before)
'''

_SHARED = """\
    begin, end = images * tall * thread // threads, images * tall * (thread + 1) // threads"""
_SHARDED = """\
    begin, end = images * thread // threads * tall, images * (thread + 1) // threads * tall"""


def pieces_of(columns: int, lanes: int, size: int) -> int:
    """How many runs of neighbouring tiles a vector consists of: of 2 or more, what computes least twice."""
    whole = -(-columns // size) * size
    best = (float("inf"), 0)
    pieces = size
    while pieces <= lanes:
        span = size * lanes // pieces
        if span <= whole:
            # each halving of the pieces takes more instructions to read and to write (measured)
            halvings = (pieces // size).bit_length() - 1
            cost = -(-whole // span) * span * (1 + 0.05 * halvings**2)
            best = min(best, (cost, pieces))
        pieces *= 2
    return best[1]


def block_of(maps: int) -> tuple[int, int]:
    """Register tile of the products: vectors of tiles, and maps, of which as few as possible are computed in vain."""
    most = 8 if registers() >= 32 else 6
    return 2, min(range(most // 2 + 1, most + 1), key=lambda size: (-(-maps // size) * size, -size))


def emit_convolution_by_tiles(dtype: str, lanes: int, columns: int, maps: int, tile: int, *, shard: bool) -> str:
    """Return the source text of the convolution kernel on tiles.

    Parameters
    ----------
    columns, maps : int
        Of the result.
    shard : bool
        Whether parts of the kernel are images.
    """
    lanes = max(lanes, tile)  # shuffles work on as many lanes
    size, pieces = _BYTES[dtype], pieces_of(columns, lanes, tile)
    vectors, block = block_of(maps)
    wide = vectors * lanes
    together = vectors * pieces
    channels, maps = 2 * CHANNELS // tile, 2 * MAPS // tile
    few, most = FEW_MAPS // block * block, maps // block * block
    elements = (tile + 2) ** 2
    seen = elements * size * (channels * wide + lanes)
    summed = elements * size * (most * wide + lanes)
    return _KERNEL.format(
        dtype=dtype, lanes=lanes, pieces=pieces, vectors=vectors, block=block, sizes=SIZES, elements=elements,
        apart=APART, size=tile, span=tile * lanes // pieces, parts=_SHARDED if shard else _SHARED, seen=seen,
        summed=summed, together=together, channels=channels, few=few, maps=most, wide=wide, bytes=size,
        scratch=seen + summed + 56 * together + 64,
    )  # fmt: skip


_FILTERS = '''"""u[k,r,s,c] = sum(G[r,a] * w[c,a,b,k] * G[s,b]), the filters of tiles of {size} x {size}"""

from graphc.kernels.cpu.tiles import tiles

filters = tiles("{dtype}", {lanes}, {lanes}, {size}, 1, {block}).filters


def kernel(arguments, thread, threads):
    w, u = arguments[0], arguments[1]
    channels, maps = arguments[2], arguments[3]
    step_u = channels * {block} + {apart}
    parts = (maps + {block} - 1) // {block} * channels
    for item in range(parts * thread // threads, parts * (thread + 1) // threads):
        k, c = item // channels, item % channels
        filters(w + {bytes} * (9 * c * maps + k * {block}), maps, maps - k * {block},
                u + {bytes} * (k * {elements} * step_u + c * {block}), step_u)
'''


def emit_filters_by_tiles(dtype: str, maps: int, tile: int) -> str:
    """Return the source text of the kernel that transforms filters and lays them out in blocks of maps."""
    block, elements = block_of(maps)[1], (tile + 2) ** 2
    return _FILTERS.format(
        dtype=dtype, lanes=8, block=block, size=tile, elements=elements, apart=APART,
        bytes=_BYTES[dtype],
    )  # fmt: skip


_CORRELATION = '''"""d[e,c,k] = sum(x[n,c,i+r,j+s] * t[n,k,i,j]), 3 x 3, tiles of {size} x {size}; {dtype}"""

import numpy as np

from graphc.kernels.cpu.memory import load, pointer_int64, pointer_{dtype} as pointer, store
from graphc.kernels.cpu.tiles import tiles
from graphc.kernels.cpu.vector import stack

operations = tiles("{dtype}", {lanes}, {pieces}, {size}, {vectors}, 1, ({rows}, {columns}))
see, spread, sums = operations.see, operations.spread, operations.sums
scratch = stack({scratch})
zero = np.{dtype}(0.0)


def kernel(arguments, thread, threads):
    x, t, d = arguments[0], arguments[1], arguments[2]
{sizes}\
    area, margin, pitch_t = arguments[17], arguments[18], arguments[19]
    channel = height * pitch
    row_d = (maps + {round} - 1) // {round} * {round}
    tall = rows // {size}  # rows of tiles
    across = columns // {span}  # pieces of a row of tiles
{parts}
    seen = scratch()
    spreads = seen + {seen}
    places = spreads + {spreads}
    sources = places + 8 * {together}
    step_v = {channels} * {run} + {lanes}
    step_w = {run} * {maps} + {lanes}
    some = max(1, {together} // across)
    most = min({together}, across)
    for first in range(begin, end, some):
        count = min(some, end - first)
        for start in range(0, across, most):
            length = min(most, across - start)  # pieces of each row
            pieces = count * length
            vectors = (pieces + {pieces} - 1) // {pieces}
            n, i, p = first // tall, first % tall * {size}, start  # image, row, piece of it
            for e in range(vectors * {pieces}):
                store(pointer_int64(places), e, n * channels * channel + i * pitch + p * {span})
                store(pointer_int64(sources), e, n * maps * area + margin + i * pitch_t + p * {span})
                if e + 1 < pieces:
                    p += 1
                    if p == start + length:
                        p, i = start, i + {size}
                        if i == rows:
                            i, n = 0, n + 1
            row = min(first + some, end - 1)
            n, i = row // tall, row % tall * {size}
            further = n * maps * area + margin + i * pitch_t + start * {span} - load(pointer_int64(sources), 0)
            for k in range(0, maps, {maps}):
                own = min({maps}, maps - k)
                wide = (own + {lanes} - 1) // {lanes} * {lanes}
                for e in range(vectors * {pieces}):
                    spread(t + {bytes} * (load(pointer_int64(sources), e) + k * area), area, pitch_t, own,
                           e % {pieces}, e < pieces, spreads + {bytes} * (e // {pieces} * {lanes} * wide), wide, step_w)
                for c in range(begin_channel, end_channel, {channels}):
                    own = min({channels}, end_channel - c)
                    if k == 0 or end_channel - begin_channel > {channels}:
                        for v in range(vectors):
                            see(x + {bytes} * c * channel, own, channel, pitch, places + 8 * {pieces} * v,
                                seen + {bytes} * {lanes} * v, {run}, step_v)
                    sums(seen, step_v, spreads, wide, step_w, vectors * {lanes}, own,
                         d + {bytes} * (c * row_d + k), row_d, channels * row_d,
                         t + {bytes} * (further + k * area), area, pitch_t, sources,
                         {together} * min({maps}, maps - k) if c == begin_channel else 0)
'''

_CORRELATION_SHARED = """\
    begin, end = 0, images * tall
    begin_channel, end_channel = channels * thread // threads, channels * (thread + 1) // threads
    for e in range({elements}):
        for number in range((e * channels + begin_channel) * row_d, (e * channels + end_channel) * row_d):
            store(pointer(d), number, zero)"""
_CORRELATION_SHARDED = """\
    begin, end = images * thread // threads * tall, images * (thread + 1) // threads * tall
    begin_channel, end_channel = 0, channels  # each thread adds to sums of its own"""


def sums_of(channels: int, maps: int, lanes: int) -> tuple[int, int]:
    """Register tile of a gradient's sums: channels and vectors of maps, whose number it divides."""
    vectors = -(-maps // lanes)
    columns = max(count for count in (1, 2, 3) if vectors % count == 0)
    most = min((registers() - 2 - columns) // columns, 16 // columns if columns < 3 else 8)
    return min(range(most // 2 + 1, most + 1), key=lambda size: (-(-channels // size) * size, -size)), columns


def emit_correlation_by_tiles(
    dtype: str, lanes: int, columns: int, maps: int, channels: int, tile: int, *, shard: bool
) -> str:
    """Return the source text of the kernel that sums the products of tiles of images and of gradients.

    Parameters
    ----------
    columns, maps : int
        Of the result.
    channels : int
        Of the image.
    shard : bool
        Whether parts of the kernel are images, whose sums are added to the result.
    """
    size = _BYTES[dtype]
    lanes = max(lanes, tile)
    # pieces that fill rows of tiles: none is computed twice
    pieces = tile
    while columns % (tile * lanes // pieces):
        pieces *= 2
    rows, across = sums_of(channels, maps, lanes)
    vectors, some = 2 * SUM_VECTORS // tile, SUM_CHANNELS
    run, elements = vectors * lanes, (tile + 2) ** 2
    most = max(SUM_MAPS // (across * lanes), 1) * across * lanes
    seen = elements * size * (some * run + lanes) + size * rows * run
    spreads = elements * size * (run * most + lanes)
    together = vectors * pieces
    parts = _CORRELATION_SHARDED if shard else _CORRELATION_SHARED.format(elements=elements)
    return _CORRELATION.format(
        dtype=dtype, lanes=lanes, pieces=pieces, vectors=vectors, rows=rows, columns=across, sizes=SIZES, round=ROUND,
        size=tile, span=tile * lanes // pieces, parts=parts, seen=seen, spreads=spreads, together=together,
        channels=some, maps=most, run=run, bytes=size, scratch=seen + spreads + 16 * together,
    )  # fmt: skip


_GRADIENT = '''"""y[c,a,b,k] = sum(A[a,r] * d[r,s,c,k] * A[b,s]), the gradient of filters from tiles; {dtype}"""

from graphc.kernels.cpu.tiles import tiles

gradient = tiles("{dtype}", {lanes}, {size}, {size}).gradient


def kernel(arguments, thread, threads):
    d, y = arguments[0], arguments[1]
    channels, maps = arguments[2], arguments[3]
    row_d = (maps + {round} - 1) // {round} * {round}
    for c in range(channels * thread // threads, channels * (thread + 1) // threads):
        gradient(d + {bytes} * c * row_d, channels * row_d, maps, y + {bytes} * 9 * c * maps)
'''


def emit_gradient_by_tiles(dtype: str, lanes: int, tile: int) -> str:
    """Return the source text of the kernel that makes gradients of filters from sums over tiles."""
    return _GRADIENT.format(dtype=dtype, lanes=max(lanes, tile), size=tile, round=ROUND, bytes=_BYTES[dtype])
