"""The rate of multiply-adds that one core reaches: what the speed of kernels is compared with."""

from __future__ import annotations

import time

import numpy

from graphc.kernels.cpu import cache
from graphc.kernels.cpu.convolution import registers, vector_lanes

__all__ = ["fma_peak", "independent_sums"]

#: Multiply-adds of a run, for each sum: about a tenth of a millisecond.
_STEPS = 1 << 16

_TEXT = '''"""Multiply-adds on {sums} independent sums in registers; {dtype}"""

from graphc.kernels.cpu.memory import pointer_{dtype} as pointer
from graphc.kernels.cpu.vector import between, tile

sums = tile("{dtype}", {lanes}, {rows}, {columns})
zero, step = sums.zero, sums.broadcast
{stores}
inside = between({lanes})


def kernel(arguments, thread, threads):
    x, w, y = pointer(arguments[0]), pointer(arguments[1]), pointer(arguments[2])
    total = zero()
    for _ in range(arguments[3]):
        total = step(total, x, 0, w, 0)
{written}
'''


def independent_sums() -> tuple[int, int]:
    """Rows and columns of a register tile: more sums than a core has multiply-adds under way, all in registers."""
    return (4, 5) if registers() >= 32 else (2, 5)


def fma_peak(seconds: float = 0.5, dtype: str = "float32") -> float:
    """Measure the rate of multiply-adds on one core.

    Parameters
    ----------
    seconds : float, default 0.5
        How long to try; the best run counts.
    dtype : str, default "float32"
        Type of the numbers.

    Returns
    -------
    float
        FLOP/s of one core, a multiply-add counts 2. What it takes to start the kernel is part of the time.
    """
    lanes, (rows, columns) = vector_lanes(dtype), independent_sums()
    # every sum must reach memory, or it would not be computed
    text = _TEXT.format(
        dtype=dtype,
        lanes=lanes,
        rows=rows,
        columns=columns,
        sums=rows * columns,
        stores="\n".join(f"store_{row} = sums.store[{row}]" for row in range(rows)),
        written="\n".join(
            f"    store_{row}(total, y, {row * columns * lanes}, {lanes}, {columns}, inside(0, {lanes}))"
            for row in range(rows)
        ),
    )
    (address,) = cache.addresses([cache.Source(text, "the FMA peak")])
    run = cache.function(address)
    x, w, y = (numpy.ones(lanes * rows * columns, dtype) for _ in range(3))
    arguments = numpy.array([x.ctypes.data, w.ctypes.data, y.ctypes.data, _STEPS], numpy.int64)
    best = float("inf")
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end or best == float("inf"):
        run(arguments.ctypes.data)
        best = min(best, time.perf_counter() - start)
    return 2 * lanes * rows * columns * _STEPS / best
