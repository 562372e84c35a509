"""Direct convolution on vectors of maps: forward (and gradient of the input), gradient of the filter.

Beside the kernels on vectors of positions (`graphc.kernels.cpu.convolution`), these need maps that fill vectors, and
then compute nothing between rows: an element of the image is a broadcast, its maps are vectors.

*convolution_of_maps* keeps a few neighbouring positions times vectors of maps in registers over all channels and filter
elements, and transposes what it has computed. *convolution_of_phases*, the gradient of an image that was seen with
steps above 1, does so for positions that meet the same elements of the filter. *correlation_of_maps* copies a block of
the result's gradient with its maps as neighbours; then every element of the filter meets all positions of the block.
The inner loops are in `graphc.kernels.cpu.window`, `graphc.planning.convolution` documents the arguments.
"""

from __future__ import annotations

from graphc.kernels.cpu.convolution import _BYTES, SIZES, registers

__all__ = ["emit_convolution_of_maps", "emit_convolution_of_phases", "emit_correlation_of_maps", "forward_tile"]

#: Bytes of the copied maps that all elements of a filter meet before the next are copied: they stay in the first cache.
NEAR = 32 * 1024
#: Maps that are copied together: their sums stay in the second cache.
TOGETHER = 64

#: Bytes of the positions that are computed before they are transposed.
COMPUTED = 24 * 1024

#: Of both forward kernels: groups of images and blocks of maps, pieces of rows, and their transposing.
_BLOCKS = """\
    some = min(columns, {most})
    tall = max(1, {most} // some)
    blocks = (maps + {wide} - 1) // {wide}
    parts = groups * blocks
{parts}
        n, first = item // blocks, item % blocks * {wide}  # a group of an image
"""
_TURNS = """\
        count = min({wide}, maps - first)
        for i in range(0, rows, tall):
            block_rows = min(tall, rows - i)
            start = 0
            while start < columns:
                begin = min(start, columns - some)  # the last piece of a long row overlaps the one before
                for row in range(block_rows):
"""
_END = """\
                result = y + {bytes} * ((n * maps + first) * area + i * columns + begin)
                if some == columns:
                    unpack(computed, {wide}, block_rows * columns, count, result, area, 0)
                else:
                    unpack(computed, {wide}, some, count, result, area, 0)
                start += some
"""

_FORWARD = '''"""y[n,k,i,j] = sum(x[n,c,i+r,j+s] * w[c,r,s,k]), vectors of maps; {dtype}"""

from graphc.kernels.cpu.memory import pointer_int64, store
from graphc.kernels.cpu.vector import packing, stack
from graphc.kernels.cpu.window import window_product

unpack = packing("{dtype}", {lanes}).unpack
product = window_product("{dtype}", {lanes}, {positions}, {vectors})
scratch = stack({scratch})


def kernel(arguments, thread, threads):
    x, w, y = arguments[0], arguments[1], arguments[2]
{sizes}\
    phase = height * pitch
    channel = stride_h * stride_w * phase
    area = rows * columns
    taps = filter_rows * filter_columns
    computed = scratch()
    offsets = computed + {room}
    for r in range(filter_rows):
        for s in range(filter_columns):
            row, column = r * spread_h, s * spread_w
            place = row % stride_h * stride_w * phase + row // stride_h * pitch
            place += column % stride_w * phase + column // stride_w
            store(pointer_int64(offsets), r * filter_columns + s, place)
{blocks}\
        own = w + {bytes} * (n % groups * (channels + 1) * taps * maps + first)
{turns}\
                    seen = x + {bytes} * (n * channels * channel + (i + row) * pitch + begin)
                    j = 0
                    while j < some:
                        at = min(j, some - {positions})
                        product(seen + {bytes} * at, channels, channel, taps, offsets, own, maps,
                                computed + {bytes} * {wide} * (row * some + at))
                        j += {positions}
{end}'''

_PHASES = '''"""y[n,k,i,j] = sum(x[n,c,u,v] * w[c,r,s,k]), u*step + r = i + top: vectors of maps; {dtype}"""

from graphc.kernels.cpu.memory import pointer_int64, store
from graphc.kernels.cpu.vector import packing, stack
from graphc.kernels.cpu.window import phase_product

unpack = packing("{dtype}", {lanes}).unpack
product = phase_product("{dtype}", {lanes}, {positions}, {vectors})
scratch = stack({scratch})


def kernel(arguments, thread, threads):
    x, w, y = arguments[0], arguments[1], arguments[2]
{sizes}\
    top, left = arguments[17], arguments[18]
    channel = height * pitch
    area = rows * columns
    weights = filter_rows * filter_columns * maps  # of a channel
    above, before = (filter_rows - 1) * spread_h // stride_h, (filter_columns - 1) * spread_w // stride_w
    computed = scratch()
    # for each remainder of row and column: how many elements of the filter it meets, and where
    elements = computed + {room}
    table = pointer_int64(elements)
    for a in range(stride_h):
        for b in range(stride_w):
            start = (a * stride_w + b) * {record}
            count = 0
            for r in range(filter_rows):
                for s in range(filter_columns):
                    down, right = a - r * spread_h, b - s * spread_w
                    if down % stride_h == 0 and right % stride_w == 0:
                        at = (above + down // stride_h) * pitch + before + right // stride_w
                        store(table, start + 1 + 2 * count, at)
                        store(table, start + 2 + 2 * count, (r * filter_columns + s) * maps)
                        count += 1
            store(table, start, count)
{blocks}\
        own = w + {bytes} * (n % groups * (channels + 1) * weights + first)
{turns}\
                    place = i + row + top
                    seen_row = x + {bytes} * (n * channels * channel + place // stride_h * pitch)
                    for b in range(stride_w):
                        column = begin + (b - left - begin) % stride_w
                        steps = (begin + some - column + stride_w - 1) // stride_w
                        seen = seen_row + {bytes} * ((column + left) // stride_w)
                        listed = elements + {record} * 8 * (place % stride_h * stride_w + b)
                        j = 0
                        while j < steps:
                            at = min(j, steps - {positions})
                            target = row * some + column - begin + at * stride_w
                            product(seen + {bytes} * at, channels, channel, listed, own, weights,
                                    computed + {bytes} * {wide} * target, stride_w * {wide})
                            j += {positions}
{end}'''

_FORWARD_SHARED = """\
    for item in range(images * parts * thread // threads, images * parts * (thread + 1) // threads):"""
_FORWARD_SHARDED = """\
    for item in range(images * thread // threads * parts, images * (thread + 1) // threads * parts):"""


def forward_tile(maps: int, columns: int, lanes: int) -> tuple[int, int]:
    """Positions and vectors of the register tile for that many maps and columns."""
    spare = registers() - 2
    needed = -(-maps // lanes)
    best = (1.0, 0, 0, 0)
    for vectors in range(1, 5):
        for positions in range(1, min(columns, spare // vectors - 1) + 1):
            computed = -(-columns // positions) * positions * -(-needed // vectors) * vectors
            # loads of a step, which two a cycle limit, and multiply-adds, whose latency 8 of them hide
            steps = max((positions + vectors) / 2, positions * vectors / 2, 4) / (positions * vectors)
            cost = computed * steps
            if not best[1] or (cost, -positions * vectors) < best[:2] or best[2] == 0:
                best = (cost, -positions * vectors, positions, vectors)
    return best[2], best[3]


def _pieces(most: int, wide: int, size: int, *, shard: bool) -> dict[str, str]:
    """The shared pieces of forward kernels: positions computed at a time, elements of each, bytes of one."""
    parts = _FORWARD_SHARDED if shard else _FORWARD_SHARED
    texts = {"blocks": _BLOCKS, "turns": _TURNS, "end": _END}
    return {name: text.format(most=most, wide=wide, bytes=size, parts=parts) for name, text in texts.items()}


def emit_convolution_of_maps(dtype: str, lanes: int, tile: tuple[int, int], taps: int, *, shard: bool) -> str:
    """Return the source text of the convolution kernel on vectors of maps.

    Parameters
    ----------
    tile : (int, int)
        Positions, at most the columns of the result, and vectors of the register tile.
    taps : int
        Most elements of a filter in a channel.
    shard : bool
        Whether parts of the kernel are images.
    """
    (positions, vectors), size = tile, _BYTES[dtype]
    wide = vectors * lanes
    most = max(positions, COMPUTED // size // wide)
    room = size * wide * (most + lanes)  # transposing reads whole squares
    room += -room % 64
    return _FORWARD.format(
        dtype=dtype, lanes=lanes, positions=positions, vectors=vectors, wide=wide, room=room, bytes=size,
        scratch=room + 8 * taps, sizes=SIZES, **_pieces(most, wide, size, shard=shard),
    )  # fmt: skip


def emit_convolution_of_phases(
    dtype: str, lanes: int, tile: tuple[int, int], taps: int, stride: tuple[int, int], *, shard: bool
) -> str:
    """Return the source text of the gradient of an image that was seen with steps above 1, on vectors of maps.

    Parameters
    ----------
    tile : (int, int)
        Positions, at most the columns of the result that leave one remainder, and vectors of the register tile.
    taps : int
        Most elements of a filter in a channel.
    stride : (int, int)
        Steps of rows and of columns.
    shard : bool
        Whether parts of the kernel are images.
    """
    (positions, vectors), size = tile, _BYTES[dtype]
    wide, record = vectors * lanes, 1 + 2 * taps
    most = max(positions * stride[1], COMPUTED // size // wide)
    room = size * wide * (most + lanes)  # transposing reads whole squares
    room += -room % 64
    return _PHASES.format(
        dtype=dtype, lanes=lanes, positions=positions, vectors=vectors, wide=wide, room=room, bytes=size,
        record=record, scratch=room + 8 * record * stride[0] * stride[1], sizes=SIZES,
        **_pieces(most, wide, size, shard=shard),
    )  # fmt: skip


_MAPS = '''"""y[c,r,s,k] = sum(x[n,c,i+r,j+s] * t[n,k,i,j]), vectors of maps; {dtype}"""
{imports}
from graphc.kernels.cpu.memory import pointer_int64, pointer_{dtype} as pointer, store
from graphc.kernels.cpu.vector import packing, stack
from graphc.kernels.cpu.window import window_sum

pack = packing("{dtype}", {lanes}).pack
{sums}
scratch = stack({scratch})


def kernel(arguments, thread, threads):
    x, t, y = arguments[0], arguments[1], arguments[2]
{sizes}\
    phase = height * pitch
    channel = stride_h * stride_w * phase
    plane, origin, line = arguments[17], arguments[18], arguments[19]  # where the result's gradient lies
    # pointers of a tile: each to {taps} neighbours in a row of the filter
    filter_size = channels * filter_rows * filter_columns
    places = filter_size // {taps}
    tiles = (places + {pointers} - 1) // {pointers}
    copied = scratch()
    offsets = copied + {room}
{parts}
    for n in range(before * groups, after * groups):
        own = y + {bytes} * (n % groups * filter_size * maps)
        for first in range(0, maps, {together}):
            count = min({together}, maps - first)
            wide = (count + {lanes} - 1) // {lanes} * {lanes}
            most = {near} // wide
            some = min(columns, most)
            tall = max(1, most // max(some, 1))
            for i in range(0, rows, tall):
                block_rows = min(tall, rows - i)
                for j in range(0, columns, some):
                    block_columns = min(some, columns - j)
                    source = t + {bytes} * ((n * maps + first) * plane + origin + i * line + j)
                    joined = block_columns == line  # rows follow each other
                    for row in range(1 if joined else block_rows):
                        steps = block_rows * columns if joined else block_columns
                        pack(source + {bytes} * row * line, plane, 1, count, steps,
                             copied + {bytes} * row * block_columns * wide, wide)
                    seen = x + {bytes} * (n * channels * channel + i * pitch + j)
                    for number in range(begin, end):
                        for g in range({pointers}):
                            e = min(number * {pointers} + g, places - 1) * {taps}
                            s = e % filter_columns * spread_w
                            r = e // filter_columns % filter_rows * spread_h
                            c = e // (filter_columns * filter_rows)
                            row = r % stride_h * stride_w * phase + r // stride_h * pitch
                            place = c * channel + row + s % stride_w * phase + s // stride_w
                            store(pointer_int64(offsets), g, place)
                        e = number * {elements}
                        result = own + {bytes} * (e * maps + first)
                        elements = filter_size - e
                        k = 0
                        while k < count:
                            left = count - k
{choices}
'''

_MAPS_SHARED = """\
    before, after = 0, images
    begin, end = tiles * thread // threads, tiles * (thread + 1) // threads
    target, last = pointer(y), min(end * {elements}, filter_size)
    for g in range(groups):
        start = g * filter_size * maps
        for number in range(start + begin * {elements} * maps, start + last * maps):
            store(target, number, zero)"""
_MAPS_SHARDED = """\
    before, after = images * thread // threads, images * (thread + 1) // threads
    begin, end = 0, tiles  # each thread adds to sums of its own"""


def emit_correlation_of_maps(dtype: str, lanes: int, taps: int, maps: int, *, shard: bool) -> str:
    """Return the source text of the correlation kernel on vectors of maps.

    Parameters
    ----------
    taps : int
        Neighbouring filter elements that one address serves: the width of the filter where steps are 1, else 1.
    maps : int
        Of the result, for the register tile.
    shard : bool
        Whether parts of the kernel are images, whose sums are added to the result.
    """
    size, spare = _BYTES[dtype], registers() - 2
    needed = -(-min(maps, TOGETHER) // lanes)
    # vectors of a tile: as few tiles as possible; what they leave of the registers goes to pointers
    vectors = max(
        (v for v in range(1, 5) if taps * v + v <= spare), key=lambda v: (-(-(-needed // v) * v), v), default=1
    )
    pointers = max(1, min(12, (spare - vectors) // (taps * vectors)))
    own = f'window_sum("{dtype}", {lanes}, {pointers}, {taps}, {vectors})'
    choices = f"""\
                            sums(copied + {size} * k, wide, block_rows, block_columns, seen, pitch, 1, offsets,
                                 result + {size} * k, maps, elements, left)
                            k += {vectors * lanes}"""
    parts = _MAPS_SHARDED if shard else _MAPS_SHARED.format(elements=pointers * taps)
    near = NEAR // size
    # a tile reads whole vectors of maps, and copying goes beyond the last position
    room = size * (near + (lanes + vectors + 1) * (TOGETHER + lanes))
    room += -room % 64
    sums = f"sums = {own}"
    if not shard:
        sums += f"\nzero = np.{dtype}(0.0)"
    return _MAPS.format(
        sizes=SIZES, imports="" if shard else "\nimport numpy as np\n",
        dtype=dtype, lanes=lanes, sums=sums, scratch=room + 8 * pointers, room=room, taps=taps, pointers=pointers,
        together=TOGETHER, near=near, bytes=size, elements=pointers * taps, choices=choices, parts=parts,
    )  # fmt: skip
