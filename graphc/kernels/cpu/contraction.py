"""The contraction kernel: matrix products over batches of strided arrays, by BLAS.

``graphc.planning.contraction`` documents the arguments. The program appends one more: the address of
``sgemm`` or ``dgemm``, as data, so that the machine code can be kept on disk.

BLAS is column-major: it computes ``Y^T = B^T A^T``. Very small products and products with one row or column
run in loops of their own, where a BLAS call costs more than it computes; so do arrays whose strides BLAS does not
take. The loops are also the fallback that needs no unit stride at all.
"""

from __future__ import annotations

__all__ = ["ARGUMENTS", "emit_contraction"]

#: Arguments of a launch before the address of gemm: 3 addresses, 12 integers, 4 batch levels of 4.
ARGUMENTS = 31

#: Multiply-adds below which loops beat a call of BLAS (measured, see tests/kernels/test_contraction.py).
SMALL = 300

_TEXT = '''"""Y[m, n] (+)= sum(A[m, k] * B[k, n], k) over four batch levels; {dtype}"""

import numpy as np

from graphc.kernels.cpu.memory import fetch, gemm, load, pointer_{dtype} as pointer, store
from graphc.kernels.cpu.scalar import sum_step

zero = np.{dtype}(0.0)
one = np.{dtype}(1.0)


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
    address = arguments[31]
    if n == 1 and row_y == 1 and m > 1:
        # one column: the transposed product has one row, and its inner loop is long
        a, b = b, a
        a0, b0, a1, b1, a2, b2, a3, b3 = b0, a0, b1, a1, b2, a2, b3, a3
        row_a, column_a, row_b, column_b = column_b, row_b, column_a, row_a
        m, n, row_y = n, m, m
    # what sums nothing is zero: then every level that adds up runs once, with an empty product
    if (y0 == 0 and e0 == 0) or (y1 == 0 and e1 == 0) or (y2 == 0 and e2 == 0) or (y3 == 0 and e3 == 0):
        k = 0
        e0 = max(e0, 1) if y0 == 0 else e0
        e1 = max(e1, 1) if y1 == 0 else e1
        e2 = max(e2, 1) if y2 == 0 else e2
        e3 = max(e3, 1) if y3 == 0 else e3
    plain_a = (column_a == 1 or k == 1) and (row_a >= k or m == 1)
    plain_b = (column_b == 1 or n == 1) and (row_b >= n or k == 1)
    turned_a = (row_a == 1 or m == 1) and (column_a >= m or k == 1)
    turned_b = (row_b == 1 or k == 1) and (column_b >= k or n == 1)
    fits = (plain_a or turned_a) and (plain_b or turned_b) and (row_y >= n or m == 1)
    library = fits and k > 0 and m > 1 and n > 1 and m * n * k > {small}
    leading_a = max(row_a, k) if plain_a else max(column_a, m)
    leading_b = max(row_b, n) if plain_b else max(column_b, k)
    rows = column_a == 1 and row_b == 1 and (column_b != 1 or n < 4)  # both run along k
    # threads share the outermost level that writes elements of its own, else rows, else columns
    first_block, last_block = 0, e0 * e1 * e2 * e3
    if threads > 1:
        if y0 != 0 and e0 >= threads:
            inner = e1 * e2 * e3
            first_block, last_block = inner * (e0 * thread // threads), inner * (e0 * (thread + 1) // threads)
        elif m >= n and m >= 2 * threads:
            first, last = m * thread // threads, m * (thread + 1) // threads
            a += {bytes} * first * row_a
            y += {bytes} * first * row_y
            m = last - first
        elif n >= 2 * threads:
            first, last = n * thread // threads, n * (thread + 1) // threads
            b += {bytes} * first * column_b
            y += {bytes} * first
            n = last - first
        elif thread > 0:
            return
    library = library and m > 1 and n > 1
    for block in range(first_block, last_block):
        i3 = block % e3
        rest = block // e3
        i2 = rest % e2
        rest = rest // e2
        i1 = rest % e1
        i0 = rest // e1
        added = i0 * (y0 == 0) + i1 * (y1 == 0) + i2 * (y2 == 0) + i3 * (y3 == 0)
        first = accumulate == 0 and added == 0
        pa = pointer(a + {bytes} * (i0 * a0 + i1 * a1 + i2 * a2 + i3 * a3))
        pb = pointer(b + {bytes} * (i0 * b0 + i1 * b1 + i2 * b2 + i3 * b3))
        py = pointer(y + {bytes} * (i0 * y0 + i1 * y1 + i2 * y2 + i3 * y3))
        if library:
            gemm(address, not plain_b, not plain_a, n, m, k, one, pb, leading_b, pa, leading_a,
                 zero if first else one, py, max(row_y, n))
            continue
        for r in range(m):
            if rows:
                for c in range(n):
                    total = zero
                    for p in range(k):
                        total = sum_step(total, load(pa, r * row_a + p) * load(pb, c * column_b + p))
                    store(py, r * row_y + c, total if first else fetch(py, r * row_y + c) + total)
                continue
            if first:
                for c in range(n):
                    store(py, r * row_y + c, zero)
            for p in range(k):
                left = load(pa, r * row_a + p * column_a)
                for c in range(n):
                    held = fetch(py, r * row_y + c)
                    store(py, r * row_y + c, held + left * load(pb, p * row_b + c * column_b))
'''


def emit_contraction(dtype: str) -> str:
    """Return the source text of the contraction kernel for ``"float32"`` or ``"float64"``."""
    size = {"float32": 4, "float64": 8}[dtype]
    return _TEXT.format(dtype=dtype, bytes=size, small=SMALL)
