"""Direct convolution on copies whose positions are one run: forward, gradient of the filter.

For few channels. A few rows of an image are copied to the stack, with zeros around them: each channel once for every
column of the filter, as far to the left as that column is to the right, in rows as long as those of the result. What a
filter element meets is then one run of elements, as the result is: no vector ends at a row, none of its lanes is
computed in vain, and nothing is masked.

*convolution_of_runs* keeps vectors of positions x maps in registers over all channels and filter elements.
*correlation_of_runs* keeps filter elements x maps, and vectors of positions run along: each lane sums its own
positions, and at the end all lanes of a vector are added. Neither transposes anything.
The inner loops are in `graphc.kernels.cpu.window`, `graphc.planning.convolution` documents the arguments.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from graphc.kernels.cpu.convolution import _BYTES, SIZES, registers

__all__ = ["emit_convolution_of_runs", "emit_correlation_of_runs", "run_tile", "sum_tile"]

#: Of both kernels: what the rows of a filter meet of some rows of a channel is copied. With a step above 1 rows come in
#: phases, as do rows of the filter. Rows of zeros stay, where the next image has them too.
_COPY = """\
for a in range(phases):
    to = copied + {bytes} * (c * filter_columns * plane + a * tall * {row})
    above = min(max((top - a + stride_h - 1) // stride_h - {first}, 0), tall)
    inside = min(max((top - a + height + stride_h - 1) // stride_h - {first}, above), tall)
    source = x + {bytes} * ((n * channels + c) * height + ({first} + above) * stride_h + a - top) * pitch
    j = 0
    while j < columns:
        if fresh:
            copy(x, 0, 0, 0, 0, above, to + {bytes} * j, {row}, plane, columns - j)
            copy(x, 0, 0, 0, 0, tall - inside, to + {bytes} * (inside * {row} + j), {row}, plane, columns - j)
        copy(source, j * stride_w - left, pitch, stride_h * pitch, spread_w, inside - above,
             to + {bytes} * (above * {row} + j), {row}, plane, columns - j)
        j += {lanes}
"""

#: Of both kernels: where each element of the filter begins in the copies.
_OFFSETS = """\
    for c in range(channels):
        for r in range(filter_rows):
            for s in range(filter_columns):
                step = r * spread_h
                place = (c * filter_columns + s) * plane
                place += (step % stride_h * tall + step // stride_h) * {row}
                store(pointer_int64(offsets), (c * filter_rows + r) * filter_columns + s, place)
"""

_FORWARD = '''"""y[n,k,p] = sum(x[n,c,p+r+s] * w[c,r,s,k]), positions are one run; {dtype}"""

from graphc.kernels.cpu.memory import pointer_int64, store
from graphc.kernels.cpu.vector import stack
from graphc.kernels.cpu.window import run_copy, run_product

copy = run_copy("{dtype}", {lanes}, {copies}, {stride})
{products}
scratch = stack({scratch})


def kernel(arguments, thread, threads):
    x, w, y = arguments[0], arguments[1], arguments[2]
{sizes}\
    top, left, piece = arguments[17], arguments[18], arguments[19]
    taps = channels * filter_rows * filter_columns
    phases = min(stride_h, (filter_rows - 1) * spread_h + 1)
    tall = piece + (filter_rows - 1) * spread_h // stride_h
    plane = phases * tall * columns
    area, positions = rows * columns, piece * columns
    copied = scratch()
    offsets = copied + {room}
{places}\
{parts}
    fresh = True
    for n in range(begin // {blocks}, (end + {blocks} - 1) // {blocks}):  # a group of an image
        first_block, last_block = max(begin - n * {blocks}, 0), min(end - n * {blocks}, {blocks})
        own = w + {bytes} * (n % groups * (taps + filter_rows * filter_columns) * maps)
        i = 0
        while i < rows:
            first = min(i, rows - piece)  # the last piece overlaps the one before
            for c in range(channels):
{copy}\
            result = y + {bytes} * (n * maps * area + first * columns)
{choices}\
            i += piece
        fresh = piece < rows
'''

_SHARED = """\
    begin = images * groups * {blocks} * thread // threads
    end = images * groups * {blocks} * (thread + 1) // threads"""
_SHARDED = """\
    begin = images * thread // threads * groups * {blocks}
    end = images * (thread + 1) // threads * groups * {blocks}"""

_BACKWARD = '''"""y[k,c,r,s] = sum(x[n,c,p+r+s] * t[n,k,p]), positions are one run; {dtype}"""

import numpy as np

from graphc.kernels.cpu.memory import pointer_int64, pointer_{dtype} as pointer, store
from graphc.kernels.cpu.vector import stack
from graphc.kernels.cpu.window import run_copy, run_sum, run_total

copy, total = run_copy("{dtype}", {lanes}, {copies}, {stride}), run_total("{dtype}", {lanes})
{products}
scratch = stack({scratch})
zero = np.{dtype}(0.0)


def kernel(arguments, thread, threads):
    x, t, y = arguments[0], arguments[1], arguments[2]
{sizes}\
    area, start, row = arguments[17], arguments[18], arguments[19]
    top, left = arguments[20], arguments[21]
    elements = channels * filter_rows * filter_columns
    phases = min(stride_h, (filter_rows - 1) * spread_h + 1)
    reach = (filter_rows - 1) * spread_h // stride_h
    pieces = (rows - 1) // max({most} // (channels * filter_columns * phases * row) - reach, 1) + 1
    piece = (rows + pieces - 1) // pieces  # rows that are copied together
    tall = piece + reach
    plane = phases * tall * row
    held = scratch()
    offsets = held + {room}
    copied = offsets + {table}
{places}\
    if row > columns:  # between two rows of the result are zeros, in the copies too
        for number in range(channels * filter_columns * plane):
            store(pointer(copied), number, zero)
    sums = pointer(held)
{parts}
    fresh = True
    for g in range(begin // {blocks}, (end + {blocks} - 1) // {blocks}):
        first_block, last_block = max(begin - g * {blocks}, 0), min(end - g * {blocks}, {blocks})
        first_map = first_block * {size} + min(first_block, {longer})
        some = (last_block - first_block) * {size} + min(last_block, {longer}) - min(first_block, {longer})
        for number in range(some * elements * {lanes}):
            store(sums, number, zero)
        for image in range(before, after):
            n = image * groups + g
            for i in range(0, rows, piece):
                count = min(piece, rows - i)
                positions = (count - 1) * row + columns
                seen = t + {bytes} * (n * maps * area + start + i * row)
                for c in range(channels):
{copy}\
{choices}\
            fresh = piece < rows
        total(held, some * elements, y + {bytes} * (g * maps + first_map) * elements, {more})
'''

_SUMS_SHARED = """\
    before, after = 0, images
    begin, end = groups * {blocks} * thread // threads, groups * {blocks} * (thread + 1) // threads"""
_SUMS_SHARDED = """\
    before, after = images * thread // threads, images * (thread + 1) // threads
    begin, end = 0, groups * {blocks}  # each thread adds to sums of its own"""


def _parts(count: int, most: int) -> list[tuple[int, int]]:
    """Sizes of at most that which add up to the count and differ by one at most: the larger first, how many of each."""
    number = -(-count // most)
    size, longer = divmod(count, number)
    return [(size + 1, longer), (size, number - longer)]


def _tile(outer: int, inner: int, most: tuple[int, int], held: int, call: float) -> tuple[int, int]:
    """Sizes of the register tile that takes fewest cycles.

    Parameters
    ----------
    outer, inner : int
        What there is to be computed.
    most : (int, int)
        Largest sizes.
    held : int
        Which of both stays in registers for a step.
    call : float
        What starting and ending a tile takes, in cycles of a step, beside a twentieth for each sum.
    """
    spare = registers() - 2

    def cost(tile: tuple[int, int]) -> tuple[float, int]:
        sizes = [[part for part in _parts(*pair) if part[1]] for pair in ((outer, tile[0]), (inner, tile[1]))]
        cycles = 0.0
        for (a, times_a), (b, times_b) in itertools.product(*sizes):
            # two multiply-adds a cycle, whose latency eight hide, and two loads: a vector may meet two lines
            cycles += times_a * times_b * (max(a * b / 2, 4, (2 * a + b) / 2) + a * b / 20 + call)
        # few routines, which take time to be compiled
        return cycles * (1 + 0.02 * (len(sizes[0]) * len(sizes[1]) - 1)), tile[1]

    longest, widest = min(outer, most[0], spare), min(inner, most[1], spare)
    tiles = itertools.product(range(1, longest + 1), range(1, widest + 1))
    return min((tile for tile in tiles if tile[0] * tile[1] + tile[held] <= spare), key=cost)


def run_tile(maps: int, positions: int, lanes: int) -> tuple[int, int]:
    """Vectors of positions and maps of the register tile of the forward kernel."""
    return _tile(-(-positions // lanes), maps, (max(1, positions // lanes), maps), 0, 0.5)


def sum_tile(maps: int, taps: int) -> tuple[int, int]:
    """Filter elements and maps of the register tile of the gradient of the filter."""
    # maps are often a power of 2 apart, and then few of their lines fit into the first cache
    return _tile(taps, maps, (taps, 3), 1, 0.3)


def _indented(text: str, columns: int) -> str:
    return "".join(" " * columns + line if line.strip() else line for line in text.splitlines(keepends=True))


def _choices(columns: int, maps: int, most: int, inner: Callable[[int], str]) -> str:
    """Loops over the blocks of maps that are a thread's; ``inner`` computes one, of that many maps from ``k`` on."""
    (long, longer), (size, others) = _parts(maps, most)
    text = ""
    if longer:
        text += f"for block in range(first_block, min(last_block, {longer})):\n    k = block * {long}\n"
        text += _indented(inner(long), 4)
    if others:
        begin = f"max(first_block, {longer})" if longer else "first_block"
        text += f"for block in range({begin}, last_block):\n    k = block * {size} + {longer}\n"
        text += _indented(inner(size), 4)
    return _indented(text, columns)


def emit_convolution_of_runs(
    dtype: str, lanes: int, maps: int, copies: int, stride: int, sizes: tuple[int, int, int], *, shard: bool
) -> str:
    """Return the source text of the convolution kernel on copies whose positions are one run.

    Parameters
    ----------
    copies : int
        Columns of the filter.
    stride : int
        Step of columns.
    sizes : (int, int, int)
        Elements that are copied together, filter elements in all channels, positions of the result that are computed
        from what is copied together: at least a vector.
    shard : bool
        Whether parts of the kernel are images.
    """
    size, (elements, taps, positions) = _BYTES[dtype], sizes
    vectors, block = run_tile(maps, positions, lanes)
    names = []

    def inner(count: int) -> str:
        text = "p = 0\n"
        for v, times in _parts(-(-positions // lanes), vectors):
            if times:
                names.append((v, count))
                # the last vector overlaps the one before where the last is not whole
                text += f"for _ in range({times}):\n    at = min(p, positions - {v * lanes})\n"
                text += f"    product_{v}_{count}(copied + {size} * at, taps, offsets, own + {size} * k, maps,\n"
                text += f"    {' ' * len(f'product_{v}_{count}')} result + {size} * (k * area + at), area)\n"
                text += f"    p += {v * lanes}\n"
        return text

    choices = _choices(12, maps, block, inner)
    blocks = -(-maps // block)
    room = size * elements + -size * elements % 64
    return _FORWARD.format(
        dtype=dtype, lanes=lanes, copies=copies, stride=stride, bytes=size, sizes=SIZES, room=room,
        scratch=room + 8 * taps,
        products="\n".join(f'product_{v}_{k} = run_product("{dtype}", {lanes}, {v}, {k})' for v, k in names),
        blocks=blocks, parts=(_SHARDED if shard else _SHARED).format(blocks=blocks), choices=choices,
        places=_OFFSETS.format(row="columns"),
        copy=_indented(_COPY.format(first="first", row="columns", bytes=size, lanes=lanes), 16),
    )  # fmt: skip


def emit_correlation_of_runs(
    dtype: str, lanes: int, maps: int, copies: int, stride: int, sizes: tuple[int, int], *, shard: bool
) -> str:
    """Return the source text of the correlation kernel on copies whose positions are one run.

    Parameters
    ----------
    copies : int
        Columns of the filter.
    stride : int
        Step of columns.
    sizes : (int, int)
        Filter elements in all channels, elements of the image that are copied together at most.
    shard : bool
        Whether parts of the kernel are images, whose sums are added to the result.
    """
    size, (elements, most) = _BYTES[dtype], sizes
    together, block = sum_tile(maps, elements)
    names = []

    def inner(count: int) -> str:
        text = "e = 0\n"
        for e, times in _parts(elements, together):
            if times:
                names.append((e, count))
                text += f"for _ in range({times}):\n"
                text += f"    sum_{e}_{count}(copied, offsets + 8 * e, seen + {size} * k * area, area, positions,\n"
                text += f"    {' ' * len(f'sum_{e}_{count}')} held + {size * lanes} * ((k - first_map) * elements + e),"
                text += f" elements)\n    e += {e}\n"
        return text

    choices = _choices(16, maps, block, inner)
    blocks = -(-maps // block)
    (_, longer), (least, _) = _parts(maps, block)
    room = size * lanes * (-(-maps * elements // lanes) * lanes)  # lanes are added for as many vectors at a time
    table = 8 * elements + -8 * elements % 64
    parts = (_SUMS_SHARDED if shard else _SUMS_SHARED).format(blocks=blocks)
    return _BACKWARD.format(
        dtype=dtype, lanes=lanes, copies=copies, stride=stride, bytes=size, sizes=SIZES, most=most, room=room,
        table=table, scratch=room + table + size * most, blocks=blocks, size=least, longer=longer, more=int(shard),
        parts=parts,
        products="\n".join(f'sum_{e}_{k} = run_sum("{dtype}", {lanes}, {e}, {k})' for e, k in names),
        choices=choices, places=_OFFSETS.format(row="row"),
        copy=_indented(_COPY.format(first="i", row="row", bytes=size, lanes=lanes), 20),
    )  # fmt: skip
