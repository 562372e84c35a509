"""Direct convolution on vectors of positions: forward (and gradient of the input), gradient of the weights.

`graphc.planning.convolution` documents the tensors and the arguments. Positions ``p`` count along padded rows of
``pitch`` elements, so that one vector may span several rows; the columns between two rows are computed and dropped.

*convolution* keeps ``vectors`` x ``maps`` accumulators in registers over all channels and filter elements: for each of
these a few loads, one broadcast of a weight for each map, and ``vectors * maps`` multiply-adds. *correlation* keeps
``maps`` x ``columns`` accumulators along the positions, each the products of one map and one filter element.
"""

from __future__ import annotations

import functools
import os

from graphc.kernels.cpu.cache import _host

__all__ = ["emit_convolution", "emit_correlation", "registers", "tile", "vector_lanes"]


_BYTES = {"float32": 4, "float64": 8}


@functools.cache
def _host_bits() -> int:
    """Bits of the widest vector register that the processor has."""
    features = _host()[1].split(",")
    for feature, bits in (("+avx512f", 512), ("+avx2", 256), ("+avx", 256)):
        if feature in features:
            return bits
    return 128


def _bits() -> int:
    chosen = os.environ.get("GRAPHC_VECTOR_BITS")
    return int(chosen) if chosen else _host_bits()


def vector_lanes(dtype: str) -> int:
    """Elements of one vector; the environment variable ``GRAPHC_VECTOR_BITS`` overrides the processor."""
    return _bits() // 8 // _BYTES[dtype]


def registers() -> int:
    """Vector registers that code may count on."""
    neon = "+neon" in _host()[1].split(",")
    return 32 if _bits() == 512 or neon else 16


def tile(kind: str, maps: int, few: int = 0) -> tuple[int, int]:
    """Register tile of a kernel: (vectors of positions or filter elements, maps).

    Parameters
    ----------
    maps : int
        Of a group.
    few : int, default 0
        How many of the first there are, where these are few; else 0.
    """
    count = registers()
    most = (12 if kind == "convolution" else 8) if count >= 32 else (6 if kind == "convolution" else 4)
    if maps > most:
        # as little waste as possible, then as few blocks: 8 of 16, 32 or 64, 10 of 20
        most = min(range(-(-most * 2 // 3), most + 1), key=lambda size: (-(-maps // size) * size, -size))
    block = min(maps, most)
    rows = max(1, min(8 if kind == "convolution" else max(8, few), (count - 1) // (block + 1)))
    if few and kind == "convolution":
        # what is left of whole tiles is computed one vector at a time, which takes as long as four together
        rows = min(range(1, rows + 1), key=lambda size: few // size * max(size, 4) + few % size * 4)
    elif few:
        rows = -(-few // -(-few // rows))  # tiles of one size
    return rows, block


#: Bytes that the first and the second cache keep beside what streams through them.
FIRST, SECOND = 40 * 1024, 256 * 1024

_HEAD = '''"""{title}; {dtype}"""

from graphc.kernels.cpu.memory import pointer_{dtype} as pointer
from graphc.kernels.cpu.vector import between as lanes_between, tile

between = lanes_between({lanes})
tile_{rows}_{columns} = tile("{dtype}", {lanes}, {rows}, {columns})
zero, total = tile_{rows}_{columns}.zero, tile_{rows}_{columns}.total
'''

#: What every direct kernel is told behind its three addresses, see `graphc.planning.convolution`.
SIZES = """\
    images, channels, maps = arguments[3], arguments[4], arguments[5]
    rows, columns = arguments[6], arguments[7]
    height, pitch = arguments[8], arguments[9]
    filter_rows, filter_columns = arguments[10], arguments[11]
    stride_h, stride_w = arguments[12], arguments[13]
    spread_h, spread_w = arguments[14], arguments[15]
    groups = arguments[16]
"""

_BEGIN = f"""

def kernel(arguments, thread, threads):
    x, w, y = pointer(arguments[0]), pointer(arguments[1]), pointer(arguments[2])
{SIZES}\
    phase = height * pitch
    channel = stride_h * stride_w * phase
    image = channels * channel  # the part of it that one group sees
    positions = (rows - 1) * pitch + columns
"""

_CONVOLUTION = """\
    filter_size = filter_rows * filter_columns
    blocks = (maps + {block} - 1) // {block}
    parts = groups * blocks
    # one image under all weights, or one block of weights under all images: whichever reads less
    outer = {block} * filter_size > channel and channels * filter_size * maps > {second}
{parts}
        if outer:
            n, part = item % images, item // images
        else:
            n, part = item // parts, item % parts
        g = part // blocks
        k = part % blocks * {block}
        n = (before + n) * groups + g
        left = maps - k
        result = (n * maps + k) * rows * columns
        own = g * (channels + 1) * filter_size * maps + k
        p, row_start = 0, 0  # the row that a vector begins in, where it begins
"""

#: What the parts of a kernel share: items of an image and a block of maps of a group; in a shard, images.
_SHARED = """\
    before = 0
    for item in range(images * parts * thread // threads, images * parts * (thread + 1) // threads):"""
_SHARDED = """\
    before = images * thread // threads
    images = images * (thread + 1) // threads - before
    for item in range(images * parts):"""

_SUM = """\
        while p {condition}:
            held = zero{name}()
            {inside}
            for c in range(channels):
                for r in range(filter_rows):
                    step = r * spread_h
                    row = n * image + c * channel + p + {row}
                    weights = (c * filter_rows + r) * filter_columns * maps + own
                    turn = 0
                    for s in range(filter_columns):
                        held = broadcast{name}(held, x, row{place}, {mask}w, weights)
                        weights += maps
                        {next}
"""

_STORE = """\
            q = p + {begin}
            while True:
                chosen = between(row_start - q, row_start - q + columns)
                store{name}_{number}(held, y, result - row_start + q, rows * columns, left, chosen)
                if row_start + pitch >= min(q + {lanes}, rows * pitch):
                    break
                row_start += pitch
                result += columns
"""


def emit_convolution(dtype: str, shape: tuple[int, int], lanes: int, *, unit: bool, shard: bool = False) -> str:
    """Return the source text of the convolution kernel.

    Parameters
    ----------
    shape : (int, int)
        Vectors of positions and maps of the register tile.
    lanes : int
        Elements of a vector.
    unit : bool
        Whether every step of the window is 1.
    shard : bool, default False
        Whether parts of the kernel are images.
    """
    vectors, maps = shape
    title = f"y[n,k,p] = sum(x[n,c,p+r+s] * w[c,r,s,k]), {'steps of 1' if unit else 'any step'}"
    text = _HEAD.format(title=title, dtype=dtype, lanes=lanes, rows=vectors, columns=maps)
    text = text[: text.index("zero, total")]
    # what is left of a row of tiles: one vector at a time, with a mask
    text += f'tile_rest = tile("{dtype}", {lanes}, 1, {maps})\n'
    parts = _SHARDED if shard else _SHARED
    body = _BEGIN + _CONVOLUTION.format(block=maps, second=SECOND // _BYTES[dtype], parts=parts)
    row, place, move = _steps(unit)
    for name, count in (("", vectors), ("_rest", 1)):
        own, method = (f"tile_{vectors}_{maps}", "broadcast") if not name else ("tile_rest", "broadcast_masked")
        stores = "".join(f", store{name}_{v}" for v in range(count))
        values = "".join(f", {own}.store[{v}]" for v in range(count))
        text += f"zero{name}, broadcast{name}{stores} = {own}.zero, {own}.{method}{values}\n"
        body += _SUM.format(
            name=name, row=row, place=place, next=f"\n{' ' * 24}".join(move), mask="inside, " if name else "",
            condition="< positions" if name else f"+ {count * lanes} <= positions",
            inside="inside = between(0, positions - p)" if name else "# every vector is full",
        )  # fmt: skip
        for v in range(count):
            body += _STORE.format(name=name, number=v, begin=v * lanes, lanes=lanes)
        body += f"            p += {count * lanes}\n"
    return text + body


def _steps(unit: bool) -> tuple[str, str, list[str]]:
    """Where a row of the filter begins in the frame, what an element adds, and the way to the next without division."""
    if unit:
        return "step * pitch", "", ["row += spread_w"]
    row = "((step % stride_h) * stride_w * height + step // stride_h) * pitch"
    return (
        row,
        " + turn * phase",
        [
            "turn += spread_w",
            "while turn >= stride_w:",
            "    turn -= stride_w",
            "    row += 1",
        ],
    )


_CORRELATION = """\
    area, first = arguments[17], arguments[18]
    elements = channels * filter_rows * filter_columns
    blocks = (elements + {taps} - 1) // {taps}
    tiles = (maps + {block} - 1) // {block} * blocks
    parts = groups * tiles
    # as many images as keep one block of maps in the first cache
    some = max(1, {near} // max(positions, 1))
{parts}
            g = item // tiles
            k = item % tiles // blocks * {block}
            e = item % blocks * {taps}
            s = e % filter_columns
            r = e // filter_columns % filter_rows
            c = e // (filter_columns * filter_rows)
"""

_SHARED_SUMS = """\
    for begin in range(0, max(images, 1), some):
        end = min(begin + some, images)
        more = begin > 0
        for item in range(parts * thread // threads, parts * (thread + 1) // threads):"""
_SHARDED_SUMS = """\
    more = True  # each thread adds to sums of its own
    images_end = images * (thread + 1) // threads
    for begin in range(images * thread // threads, images_end, some):
        end = min(begin + some, images_end)
        for item in range(parts):"""

_ELEMENT = """\
            step, move = r * spread_h, s * spread_w
            row{e} = c * channel + step % stride_h * stride_w * phase + step // stride_h * pitch
            row{e} += move % stride_w * phase + move // stride_w
"""

_NEXT = """\
            if e + {next} < elements:  # after the last element the last again
                s += 1
                if s == filter_columns:
                    s = 0
                    r += 1
                    if r == filter_rows:
                        r = 0
                        c += 1
"""

_PRODUCTS = """\
            held = zero()
            for n in range(begin, end):
                p = (n * groups + g) * image
                q = (n * groups + g) * maps * area
                stop = p + positions
                while p + {lanes} <= stop:
                    held = correlate(held, x, ({xs}), w, ({ts}))
                    p += {lanes}
                    q += {lanes}
                if p < stop:
                    held = correlate_masked(held, x, ({xs}), w, ({ts}), between(0, stop - p))
            total(held, y, (g * maps + k) * elements + e, elements, maps - k, elements - e, more)
"""


def emit_correlation(dtype: str, shape: tuple[int, int], lanes: int, *, shard: bool = False) -> str:
    """Return the source text of the correlation kernel.

    Parameters
    ----------
    shape : (int, int)
        Filter elements and maps of the register tile.
    shard : bool, default False
        Whether parts of the kernel are images, whose sums are added to the result.
    """
    taps, block = shape
    title = "y[k,c,r,s] = sum(x[n,c,p+r+s] * w[n,k,p])"
    text = _HEAD.format(title=title, dtype=dtype, lanes=lanes, rows=taps, columns=block)
    own = f"tile_{taps}_{block}"
    text += f"correlate, correlate_masked = {own}.correlate, {own}.correlate_masked\n"
    text += _BEGIN + _CORRELATION.format(
        taps=taps,
        block=block,
        near=FIRST // block // _BYTES[dtype],
        parts=_SHARDED_SUMS if shard else _SHARED_SUMS,
    )
    for e in range(taps):
        text += (_NEXT.format(next=e) if e else "") + _ELEMENT.format(e=e)
    for k in range(block):
        text += f"            map{k} = first + min(k + {k}, maps - 1) * area\n"
    xs = "".join(f"p + row{e}, " for e in range(taps))
    ts = "".join(f"q + map{k}, " for k in range(block))
    return text + _PRODUCTS.format(lanes=lanes, xs=xs, ts=ts)
