"""The vector code of the contraction kernel: every way of computing a product, its edges, parts, accuracy and reach."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys

import numpy
import pytest

from graphc.kernels.cpu import cache
from graphc.kernels.cpu.contraction import COPY_A, DEPTH, DOTS, TALL, emit_contraction

DTYPES = ("float32", "float64")
NO_LEVELS = [1, 0, 0, 0] * 4


def compiled(dtype):
    return cache.function(cache.addresses([cache.Source(emit_contraction(dtype), "a contraction")])[0])


def operands(dtype, m, n, k, turned_a, turned_b, seed=0):
    """Views of shape (m, k) and (k, n) on memory in one order or the other."""
    generator = numpy.random.default_rng(seed)
    a = generator.standard_normal((k, m) if turned_a else (m, k)).astype(dtype)
    b = generator.standard_normal((n, k) if turned_b else (k, n)).astype(dtype)
    return a.T if turned_a else a, b.T if turned_b else b


def strides(array):
    return [s // array.itemsize for s in array.strides]


def run(dtype, a, b, y, *, accumulate=0, split=0, thread=0, threads=1, levels=NO_LEVELS):
    """Y = A B on two-dimensional arrays; levels tell what the batch strides are."""
    m, k, n = *a.shape[-2:], b.shape[-1]
    values = [a.ctypes.data, b.ctypes.data, y.ctypes.data, m, n, k, *strides(a)[-2:], *strides(b)[-2:]]
    block = numpy.array([*values, strides(y)[-2], accumulate, 0, 0, 0, *levels, split], numpy.int64)
    compiled(dtype)(block.ctypes.data, thread, threads)


def bound(a, b):
    """What rounding may do: a tile sums DEPTH products at most one after the other, parts are added to each other."""
    k = a.shape[1]
    parts = max(1, -(-k // DEPTH))
    unit = numpy.finfo(a.dtype).eps / 2
    return (-(-k // parts) + parts + 1) * unit * (numpy.abs(a).astype("float64") @ numpy.abs(b).astype("float64"))


#: Full and partial tiles, several parts of k, copied rows, an exchanged product with more rows than are written at a
#: time, dot products, a row of vectors.
SHAPES = [
    (12, 32, 16), (13, 33, 17), (25, 70, 3), (11, 31, 40), (64, 10, 84), (33, 2 * TALL + 5, 70), (30, COPY_A + 7, 37),
    (26, COPY_A, 2 * DEPTH + 3), (5, 9, DEPTH + 1), (DOTS, 17, 50), (DOTS + 1, 17, 50), (1, 300, 40),
    (1, 13, DEPTH + 9), (40, 1, 21), (100, 100, 1), (3, 1, 1), (17, 15, 4 * DEPTH),
]  # fmt: skip


@pytest.mark.parametrize("bits", ["128", "256", "512"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_way_of_computing(dtype, bits, monkeypatch):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", bits)
    for (m, n, k), turned_a, turned_b in itertools.product(SHAPES, (False, True), (False, True)):
        a, b = operands(dtype, m, n, k, turned_a, turned_b)
        exact = a.astype("float64") @ b.astype("float64")
        wide = numpy.full((m, n + 3), numpy.nan, dtype)
        for accumulate in (0, 1):
            y = wide[:, 1 : n + 1]
            run(dtype, a, b, y, accumulate=accumulate)
            error = numpy.abs(y - (1 + accumulate) * exact)
            assert (error <= (1 + accumulate) * bound(a, b) + numpy.finfo(dtype).eps * numpy.abs(exact)).all(), (
                m,
                n,
                k,
            )
        assert numpy.isnan(wide[:, 0]).all()
        assert numpy.isnan(wide[:, n + 1 :]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_shapes(dtype):
    generator = numpy.random.default_rng(3)
    for seed in range(150):
        m, n, k = generator.integers(1, 41, 3).tolist()
        a, b = operands(dtype, m, n, k, *generator.integers(0, 2, 2).tolist(), seed=seed)
        y = numpy.full((m, n), numpy.nan, dtype)
        run(dtype, a, b, y)
        assert (numpy.abs(y - a.astype("float64") @ b.astype("float64")) <= bound(a, b)).all(), (m, n, k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_of_neither_operand_are_one(dtype):
    generator = numpy.random.default_rng(4)
    for m, n, k in ((20, 50, 30), (3, 40, 40), (1, 20, 9), (2, 3, 300), (30, 2, 5)):
        a = generator.standard_normal((2 * m, 3 * k)).astype(dtype)[::2, ::3]
        b = generator.standard_normal((2 * k, 3 * n)).astype(dtype)[::2, ::3]
        y = numpy.full((m, n), numpy.nan, dtype)
        run(dtype, a, b, y)
        assert (numpy.abs(y - a.astype("float64") @ b.astype("float64")) <= bound(a, b)).all(), (m, n, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("split", [1, 2])
def test_a_part_is_written_by_its_thread_only(split, dtype):
    for (m, n, k), turned_a, turned_b in itertools.product(
        [(30, 41, 20), (1, 70, 9), (50, 1, 9), (64, 10, 30), (33, 130, 40), (3, 2, 5)], (False, True), (False, True)
    ):
        a, b = operands(dtype, m, n, k, turned_a, turned_b)
        exact = numpy.empty((m, n), dtype)
        run(dtype, a, b, exact)
        for threads in (1, 2, 3, 7):
            for thread in range(threads):
                y = numpy.full((m, n), numpy.nan, dtype)
                run(dtype, a, b, y, split=split, thread=thread, threads=threads)
                count = (m, n)[split - 1]
                part = slice(count * thread // threads, count * (thread + 1) // threads)
                place = (part, slice(None)) if split == 1 else (slice(None), part)
                numpy.testing.assert_array_equal(y[place], exact[place])  # the same bits
                y[place] = numpy.nan
                assert numpy.isnan(y).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("adds_up", [False, True])
def test_a_part_of_the_outermost_level(adds_up, dtype):
    generator = numpy.random.default_rng(5)
    examples, m, n, k = 5, 14, 20, 6
    for turned_b, threads in itertools.product((False, True), (1, 2, 3, 8)):
        a = generator.standard_normal((examples, m, k)).astype(dtype)
        b = generator.standard_normal((examples, n, k) if turned_b else (examples, k, n)).astype(dtype)
        b = b.transpose(0, 2, 1) if turned_b else b
        exact = a.astype("float64") @ b.astype("float64")
        levels = [examples, m * k, k * n, 0 if adds_up else m * n, *[1, 0, 0, 0] * 3]
        for thread in range(threads):
            y = numpy.full((m, n) if adds_up else (examples, m, n), numpy.nan, dtype)
            run(dtype, a, b, y, split=3, thread=thread, threads=threads, levels=levels)
            first, last = examples * thread // threads, examples * (thread + 1) // threads
            if first == last:
                assert numpy.isnan(y).all()
            elif adds_up:
                numpy.testing.assert_allclose(y, exact[first:last].sum(0), atol=1e-4 if dtype == "float32" else 1e-12)
            else:
                expected = numpy.where(
                    (numpy.arange(examples) >= first) & (numpy.arange(examples) < last), exact.T, numpy.nan
                ).T
                numpy.testing.assert_allclose(y, expected, atol=1e-4 if dtype == "float32" else 1e-12)


def test_long_sums_stay_accurate():
    """Numbers of one sign: the error would grow with k if one accumulator ran through all of it."""
    generator = numpy.random.default_rng(6)
    k = 16384
    for m, n, turned_b in ((13, 20, False), (13, 20, True), (2, 20, True), (1, 40, False)):
        a = generator.uniform(0.5, 1, (m, k)).astype("float32")
        b = generator.uniform(0.5, 1, (n, k) if turned_b else (k, n)).astype("float32")
        b = b.T if turned_b else b
        y = numpy.empty((m, n), "float32")
        run("float32", a, b, y)
        exact = a.astype("float64") @ b.astype("float64")
        assert (numpy.abs(y - exact) / exact).max() < 4e-6


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page of memory with mprotect")
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_beyond_the_arrays_is_read_or_written(dtype):
    """Every array ends where memory ends: one element further would end the process."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size, nothing = 64 * mmap.PAGESIZE, 0  # PROT_NONE has no name in Python

    def at_the_end(array):
        memory = mmap.mmap(-1, size + mmap.PAGESIZE)
        whole = numpy.frombuffer(memory, numpy.uint8)
        assert protect(whole.ctypes.data + size, mmap.PAGESIZE, nothing) == 0
        last = whole[size - array.nbytes : size].view(array.dtype).reshape(array.shape)
        last[...] = array
        return last

    for m, n, k in (
        (13, 33, 17),
        (12, 20, 40),
        (5, 9, 19),
        (1, 37, 21),
        (1, 5, 3),
        (19, 1, 21),
        (64, 10, 20),
        (33, 90, 70),
    ):
        for turned_a, turned_b in itertools.product((False, True), (False, True)):
            a, b = operands(dtype, m, n, k, turned_a, turned_b)
            a = at_the_end(a.T).T if turned_a else at_the_end(a)
            b = at_the_end(b.T).T if turned_b else at_the_end(b)
            y = at_the_end(numpy.zeros((m, n), dtype))
            for accumulate in (0, 1):
                run(dtype, a, b, y, accumulate=accumulate)
            numpy.testing.assert_allclose(y, 2 * (a.astype("float64") @ b.astype("float64")), atol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_padding_holds_does_not_matter(dtype):
    """Scratch memory of an earlier product with NaN and infinity must not reach the next one."""
    for (m, n, k), turned_b in itertools.product(((13, 33, 17), (64, 10, 20), (33, 130, 40), (5, 3, 9)), (False, True)):
        a, b = operands(dtype, m, n, k, False, turned_b)
        clean = numpy.empty((m, n), dtype)
        run(dtype, a, b, clean)
        broken = numpy.full_like(a, numpy.nan), numpy.full_like(b, numpy.inf)
        y = numpy.empty((m, n), dtype)
        run(dtype, *broken, y)
        assert numpy.isnan(y).all()
        run(dtype, a, b, y)
        numpy.testing.assert_array_equal(y, clean)
