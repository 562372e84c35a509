"""The contraction kernel: matrix products over batches of strided arrays, on vectors.

``graphc.planning.contraction`` documents the arguments. The program appends one more, ``split``: what threads share.

====== ==============================================================================================================
split  a thread computes
====== ==============================================================================================================
0      what the kernel chooses
1      the rows ``m * thread // threads`` to ``m * (thread + 1) // threads``
2      such a range of the columns
3      such a range of the outermost batch level, whatever its stride in Y: where that is 0, Y holds the sum over the
       range, and the caller adds up what several threads made
====== ==============================================================================================================

A *tile* of Y stays in registers while it runs over k: rows of A as broadcasts, two vectors of columns of B
(`graphc.kernels.cpu.vector.Product`). Around it, k is cut into parts, for the caches and for accuracy. A panel of B (as
wide as a tile) is read where it is if its columns are neighbours in memory; else, and where it is not full, it is
copied or transposed into scratch memory first. Rows of A are read where they are, unless so many panels follow that
copies in the order of reading pay.

What has few columns, or needs much of B transposed for few rows of A, is computed as ``Y^T = B^T A^T`` where a count of
steps says that this is cheaper; its tiles are transposed when they are written. Products of one row need no tile: a
line of vectors where B has its columns as neighbours, dot products where A and B run along k.

The order of the sums depends on the shape of the whole product only: any number of threads gives the same bits, unless
they share a level that adds up.
"""

from __future__ import annotations

from graphc.kernels.cpu.convolution import registers, vector_lanes

__all__ = ["ARGUMENTS", "emit_contraction"]

#: Arguments of a launch: 3 addresses, 12 integers, 4 batch levels of 4, ``split``.
ARGUMENTS = 32

#: Most steps of k that a tile takes at a time.
DEPTH = 256
#: Elements of A that are copied at a time.
BLOCK = 18432
#: Columns of B from which copying A pays.
COPY_A = 300
#: Rows of an exchanged product that are written at a time, a multiple of every tile's rows.
TALL = 48
#: Rows up to which dot products beat transposing B.
DOTS = 3

_TEXT = '''"""Y[m, n] (+)= sum(A[m, k] * B[k, n], k) over four batch levels; {dtype}"""

from graphc.kernels.cpu.vector import packing, product, stack

{tiles}
line = product("{dtype}", {lanes}, 1, 8, masked=True)
layout = packing("{dtype}", {lanes})
pack, unpack, dots = layout.pack, layout.unpack, layout.dots
scratch = stack({scratch})


def kernel(arguments, thread, threads):
    a, b, y = arguments[0], arguments[1], arguments[2]
    m, n, k = arguments[3], arguments[4], arguments[5]
    row_a, column_a = arguments[6], arguments[7]
    row_b, column_b = arguments[8], arguments[9]
    row_y, accumulate = arguments[10], arguments[11]
    a += {bytes} * arguments[12]
    b += {bytes} * arguments[13]
    y += {bytes} * arguments[14]
    e0, a0, b0, y0 = arguments[15], arguments[16], arguments[17], arguments[18]
    e1, a1, b1, y1 = arguments[19], arguments[20], arguments[21], arguments[22]
    e2, a2, b2, y2 = arguments[23], arguments[24], arguments[25], arguments[26]
    e3, a3, b3, y3 = arguments[27], arguments[28], arguments[29], arguments[30]
    split = arguments[31]
    if n == 1 and row_y == 1 and m > 1:
        # one column: the transposed product has one row
        a, b = b, a
        a0, b0, a1, b1, a2, b2, a3, b3 = b0, a0, b1, a1, b2, a2, b3, a3
        row_a, column_a, row_b, column_b = column_b, row_b, column_a, row_a
        m, n, row_y = n, m, m
        split = 3 - split if split == 1 or split == 2 else split
    # what sums nothing is zero: then every level that adds up runs once, with an empty product
    if (y0 == 0 and e0 == 0) or (y1 == 0 and e1 == 0) or (y2 == 0 and e2 == 0) or (y3 == 0 and e3 == 0):
        k = 0
        e0 = max(e0, 1) if y0 == 0 else e0
        e1 = max(e1, 1) if y1 == 0 else e1
        e2 = max(e2, 1) if y2 == 0 else e2
        e3 = max(e3, 1) if y3 == 0 else e3
    # how: from the shape of the whole product
    along_n = column_b == 1 or n == 1
    along_k = row_b == 1 or k == 1
    dot = not along_n and along_k and (column_a == 1 or k == 1) and m <= {dots}
    single = m == 1 and along_n
    column_y = 1
    if m > 1 and not dot and (row_a == 1 or column_a == 1):
        # steps of a tile for each k, and what it takes to transpose
        vectors_m, vectors_n = (m + {lanes} - 1) // {lanes}, (n + {lanes} - 1) // {lanes}
        plain = (vectors_n + 1) // 2 * ((m + {small} - 1) // {small} * {small})
        plain += 0 if along_n else 3 * vectors_n
        exchanged = (vectors_m + 1) // 2 * ((n + {small} - 1) // {small} * {small})
        exchanged += (0 if row_a == 1 else 3 * vectors_m) + 3 * {lanes} * vectors_m * vectors_n // max(k, 1)
        if exchanged < plain:
            # Y^T = B^T A^T: vectors along m
            a, b = b, a
            a0, b0, a1, b1, a2, b2, a3, b3 = b0, a0, b1, a1, b2, a2, b3, a3
            row_a, column_a, row_b, column_b = column_b, row_b, column_a, row_a
            m, n, row_y, column_y = n, m, 1, row_y
            along_n = column_b == 1
            split = 3 - split if split == 1 or split == 2 else split
    most = 4096 if dot else {depth}
    parts = max(1, (k + most - 1) // most)
    copy_a = along_n and (column_a == 1 or row_a == 1) and n >= {copy_a} and column_y == 1
    # what threads share: the outermost level that writes elements of its own, else rows, else columns
    if split == 0 and threads > 1:
        split = 3 if y0 != 0 and e0 >= threads else 1 if m >= n else 2
        grain = {lanes} if split == 2 else {small} if split == 1 else 1
    else:
        grain = 1
    begin, end = 0, e0
    if split == 1:
        pieces = (m + grain - 1) // grain
        first = pieces * thread // threads * grain
        m = min(pieces * (thread + 1) // threads * grain, m) - first
        a += {bytes} * first * row_a
        y += {bytes} * first * row_y
    elif split == 2:
        pieces = (n + grain - 1) // grain
        first = pieces * thread // threads * grain
        n = min(pieces * (thread + 1) // threads * grain, n) - first
        b += {bytes} * first * column_b
        y += {bytes} * first * column_y
    elif split == 3:
        begin, end = e0 * thread // threads, e0 * (thread + 1) // threads
    if m <= 0 or n <= 0:
        return
    memory = scratch()
    panel = memory + {bytes} * {block_room}
    square = panel + {bytes} * {panel_room}
    inner = e1 * e2 * e3
    for block in range(begin * inner, end * inner):
        i0, i1, i2, i3 = block, 0, 0, 0
        if inner > 1:
            i0, i1, i2, i3 = block // inner, block // (e2 * e3) % e1, block // e3 % e2, block % e3
        at_a = a + {bytes} * (i0 * a0 + i1 * a1 + i2 * a2 + i3 * a3)
        at_b = b + {bytes} * (i0 * b0 + i1 * b1 + i2 * b2 + i3 * b3)
        at_y = y + {bytes} * (i0 * y0 + i1 * y1 + i2 * y2 + i3 * y3)
        added = (i0 - begin) * (y0 == 0) + i1 * (y1 == 0) + i2 * (y2 == 0) + i3 * (y3 == 0)
        add = 1 if accumulate != 0 or added > 0 else 0
        done = 0
        for part in range(parts):
            depth = k * (part + 1) // parts - done
            left, right = at_a + {bytes} * done * column_a, at_b + {bytes} * done * row_b
            done += depth
            if single:
                for c in range(0, n, 8 * {lanes}):
                    line(left, 0, column_a, right + {bytes} * c, row_b, depth, at_y + {bytes} * c, 0, 1, n - c, add)
            elif dot:
                for r in range(m):
                    dots(left + {bytes} * r * row_a, right, column_b, depth, at_y + {bytes} * r * row_y, n, add)
            else:
                tall = max({rows}, {block} // max(depth, 1) // {rows} * {rows}) if copy_a else m
                for top in range(0, m, tall):
                    height = min(tall, m - top)
                    whole = height // {rows} * {rows}
                    start = left + {bytes} * top * row_a
                    tile_a, apart, row, step = start, row_a, row_a, column_a
                    if copy_a:
                        tile_a, apart, row, step = memory, depth, 1, {rows}
                        for r in range(0, whole, {rows}):
                            pack(start + {bytes} * r * row_a, row_a, column_a, {rows}, depth,
                                 memory + {bytes} * r * depth, {rows})
                    for c in range(0, n, {width}):
                        columns = min({width}, n - c)
                        source, pitch = right + {bytes} * c * column_b, row_b
                        if not along_n or columns < {width}:
                            pack(source, column_b, row_b, columns, depth, panel, {width})
                            source, pitch = panel, {width}
                        out = at_y + {bytes} * (top * row_y + c * column_y)
                        target, pitch_y, wide, more = out, row_y, columns, add
                        if column_y != 1:
                            target, pitch_y, wide, more = square, {width}, {width}, 0
                        for r in range(0, whole, {rows}):
                            place = r if column_y == 1 else r % {tall}
                            tile_{rows}(tile_a + {bytes} * r * apart, row, step, source, pitch, depth,
                                        target + {bytes} * place * pitch_y, pitch_y, {rows}, wide, more)
                            if column_y != 1 and place == {tall} - {rows}:
                                unpack(square, {width}, {tall}, columns, out + {bytes} * (r - place), column_y, add)
                        for r in range(whole, height, {small}):
                            place = r if column_y == 1 else r % {tall}
                            tile_{small}(start + {bytes} * r * row_a, row_a, column_a, source, pitch, depth,
                                         target + {bytes} * place * pitch_y, pitch_y, height - r, wide, more)
                        rest = height % {tall}
                        if column_y != 1 and rest > 0:
                            unpack(square, {width}, rest, columns, out + {bytes} * (height - rest), column_y, add)
            add = 1
'''


def emit_contraction(dtype: str) -> str:
    """Return the source text of the contraction kernel for ``"float32"`` or ``"float64"`` on this processor."""
    lanes, size = vector_lanes(dtype), {"float32": 4, "float64": 8}[dtype]
    # accumulators, two vectors of B and a broadcast fill the registers
    rows, small = (12, 4) if registers() >= 32 else (6, 3)
    width = 2 * lanes
    tiles = f'tile_{rows} = product("{dtype}", {lanes}, {rows}, 2)\n'
    tiles += f'tile_{small} = product("{dtype}", {lanes}, {small}, 2, clamped=True)'
    block_room = BLOCK + (rows + 1) * max(lanes, 16)
    block_room += -block_room % 16
    panel_room = (DEPTH + lanes) * width
    return _TEXT.format(
        dtype=dtype, bytes=size, lanes=lanes, rows=rows, small=small, width=width, tiles=tiles, dots=DOTS, depth=DEPTH,
        scratch=size * (block_room + panel_room + TALL * width), block_room=block_room,
        panel_room=panel_room, tall=TALL, block=BLOCK, copy_a=COPY_A,
    )  # fmt: skip
