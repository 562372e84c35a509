"""The contraction kernel against numpy on random strides, transpositions, offsets and batches."""

from __future__ import annotations

import itertools

import numpy
import pytest

from graphc.kernels.cpu import cache
from graphc.kernels.cpu.contraction import ARGUMENTS, emit_contraction

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


def compiled(dtype):
    source = cache.Source(emit_contraction(dtype), "a contraction")
    return cache.function(cache.addresses([source])[0])


def contract(dtype, a, b, y, arguments):
    block = numpy.array([a.ctypes.data, b.ctypes.data, y.ctypes.data, *arguments, 0], numpy.int64)
    assert len(block) == ARGUMENTS
    kernel = compiled(dtype)
    start, results = y.copy(), []
    for threads in (2, 3, 5, 1):  # the last thread first: no thread may need what another one made
        y[...] = start
        for thread in reversed(range(threads)):
            kernel(block.ctypes.data, thread, threads)
        results.append(y.copy())
    for shared in results[:-1]:
        numpy.testing.assert_array_equal(shared, results[-1])  # the same bits


def strided(memory, offset, shape, strides):
    size = memory.itemsize
    return numpy.lib.stride_tricks.as_strided(memory[offset:], shape, [s * size for s in strides])


def check(dtype, m, n, k, levels, *, turned_a=False, turned_b=False, accumulate=False, gap=0, seed=0, row_y=None):
    """Run one product; ``levels`` are (extent, in a, in b, in y), flags say which operand has the level."""
    generator = numpy.random.default_rng(seed)
    row_a, column_a = (1, m + gap) if turned_a else (k + gap, 1)
    row_b, column_b = (1, k + gap) if turned_b else (n + gap, 1)
    row_y = n + gap if row_y is None else row_y
    spans = [max(m, 1) * max(k, 1) + gap * (m + k), max(k, 1) * max(n, 1) + gap * (k + n), (n + gap) * max(m, 1)]
    filled, strides = [], []
    for extent, *flags in levels:
        own = []
        for operand, flag in enumerate(flags):
            own.append(spans[operand] if flag else 0)
            spans[operand] *= max(extent, 1) if flag else 1
        strides.append(own)
        filled += [extent, *own]
    for _ in range(4 - len(levels)):
        filled += [1, 0, 0, 0]
        strides.append([0, 0, 0])
    extents = [level[0] for level in levels] + [1] * (4 - len(levels))
    offsets = (3, 5, 2)
    a, b, y = (generator.standard_normal(s + o + 8).astype(dtype) for s, o in zip(spans, offsets, strict=True))
    before = y.copy()
    contract(dtype, a, b, y, [m, n, k, row_a, column_a, row_b, column_b, row_y, int(accumulate), *offsets, *filled])
    exact = before.astype("float64")
    batch = list(zip(*strides, strict=True))
    view_a = strided(a.astype("float64"), offsets[0], (*extents, m, k), (*batch[0], row_a, column_a))
    view_b = strided(b.astype("float64"), offsets[1], (*extents, k, n), (*batch[1], row_b, column_b))
    if not accumulate:
        for place in itertools.product(*(range(e if s else 1) for e, s in zip(extents, batch[2], strict=True))):
            start = offsets[2] + sum(i * s for i, s in zip(place, batch[2], strict=True))
            strided(exact, start, (m, n), (row_y, 1))[...] = 0
    for place in itertools.product(*map(range, extents)):
        start = offsets[2] + sum(i * s for i, s in zip(place, batch[2], strict=True))
        strided(exact, start, (m, n), (row_y, 1))[...] += numpy.einsum("mk,kn->mn", view_a[place], view_b[place])
    tolerance = TOLERANCE[dtype] * max(1.0, numpy.abs(exact).max())
    numpy.testing.assert_allclose(y, exact, atol=tolerance, rtol=0)


SHAPES = [(3, 4, 5), (1, 1, 1), (1, 17, 9), (17, 1, 9), (31, 23, 1), (33, 65, 40), (2, 3, 0), (0, 3, 2), (3, 0, 2)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_single_products(shape, dtype):
    for turned_a, turned_b, accumulate, gap in itertools.product((False, True), (False, True), (False, True), (0, 3)):
        m, n, k = shape
        check(dtype, m, n, k, [], turned_a=turned_a, turned_b=turned_b, accumulate=accumulate, gap=gap)


BATCHES = [
    [(3, 1, 1, 1)],
    [(3, 1, 0, 1)],
    [(4, 1, 1, 0)],
    [(2, 1, 1, 1), (3, 1, 1, 0)],
    [(3, 1, 1, 0), (2, 1, 1, 1)],
    [(2, 1, 0, 1), (1, 0, 0, 0), (3, 0, 1, 1), (2, 1, 1, 0)],
    [(0, 1, 1, 1)],
    [(0, 1, 1, 0)],
    [(0, 1, 1, 0), (3, 1, 1, 1)],
    [(0, 1, 1, 1), (3, 1, 1, 0)],
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_batches(batch, dtype):
    for shape in ((3, 4, 5), (1, 9, 6), (9, 1, 6), (20, 21, 22), (4, 5, 0)):
        for accumulate, turned in itertools.product((False, True), (False, True)):
            check(dtype, *shape, batch, accumulate=accumulate, turned_a=turned, turned_b=not turned)


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_combinations(dtype):
    generator = numpy.random.default_rng(7)
    for seed in range(60):
        m, n, k = generator.integers(1, 30, 3).tolist()
        levels = []
        for _ in range(generator.integers(0, 5)):
            in_a, in_b, in_y = generator.integers(0, 2, 3).tolist()
            levels.append((int(generator.integers(1, 4)), in_a, in_b, in_y))
        flags = [bool(f) for f in generator.integers(0, 2, 3)]
        check(dtype, m, n, k, levels, turned_a=flags[0], turned_b=flags[1], accumulate=flags[2],
              gap=int(generator.integers(0, 4)), seed=seed)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_overlapping_rows_and_no_unit_stride(dtype):
    generator = numpy.random.default_rng(1)
    memory = generator.standard_normal(200).astype(dtype)
    m, n, k = 12, 13, 14
    y = numpy.zeros((m, n), dtype)
    # overlapping windows of one signal on the left, every second element on the right
    contract(dtype, memory, memory, y, [m, n, k, 1, 1, 2, 3, n, 0, 0, 0, 0, *([1, 0, 0, 0] * 4)])
    left = strided(memory, 0, (m, k), (1, 1)).astype("float64")
    right = strided(memory, 0, (k, n), (2, 3)).astype("float64")
    numpy.testing.assert_allclose(y, left @ right, atol=1e-4 if dtype == "float32" else 1e-12)


def test_no_double_in_the_float32_contraction():
    assert "double" not in cache.llvm_text(emit_contraction("float32"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_arrive(dtype):
    a, b = numpy.ones((20, 20), dtype), numpy.ones((20, 20), dtype)
    a[3, 4], a[5, 6] = numpy.nan, numpy.inf
    y = numpy.zeros((20, 20), dtype)
    contract(dtype, a, b, y, [20, 20, 20, 20, 1, 20, 1, 20, 0, 0, 0, 0, *([1, 0, 0, 0] * 4)])
    assert numpy.isnan(y[3]).all()
    assert numpy.isinf(y[5]).all()
    assert numpy.isfinite(numpy.delete(y, [3, 5], axis=0)).all()
