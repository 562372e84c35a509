"""Chains against NumPy: ranks, strides, offsets, sums onto what is there, values that later lines need."""

from __future__ import annotations

import numpy
import pytest

from graphc.errors import KernelError
from graphc.formula.parser import parse_expression
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.chain import emit_chain, emit_product_chain
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.planning.plan import Kernel, Line

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def run(kernel, memory, extents, places):
    """Call a chain as 2, 3 and 1 threads, the last first, each time on the same memory; return what it leaves."""
    function = cache.function(cache.addresses([cache.Source(emit_chain(kernel), "a chain")])[0])
    numbers = [number for offset, strides in places for number in (offset, *strides)]
    before, results = [m.copy() for m in memory], []
    for threads in (2, 3, 1):
        for array, start in zip(memory, before, strict=True):
            array[...] = start
        block = numpy.array([*(m.ctypes.data for m in memory), *extents, *numbers], numpy.int64)
        for thread in reversed(range(threads)):
            function(block.ctypes.data, thread, threads)
        results.append([m.copy() for m in memory])
    for shared in results[:-1]:
        for a, b in zip(shared, results[-1], strict=True):
            numpy.testing.assert_array_equal(a, b)  # the same bits
    return results[-1]


def lines(*texts):
    found = []
    for text in texts:
        target, _, body = text.partition("=")
        store = int(target.strip(" +").removeprefix("a")) if "a" in target else -1
        found.append(Line(parse_expression(body), store, adds="+" in target))
    return tuple(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 7), (5, 16), (2, 33), (7, 130)])
def test_a_cell(dtype, rows, columns):
    """Memory c = f*c + i*g and output h = o*tanh(c), from slices of one matrix, with a bias that every row shares."""
    rng = numpy.random.default_rng(rows * columns)
    projected = rng.normal(size=(rows, 4 * columns)).astype(dtype)
    bias, old = rng.normal(size=4 * columns).astype(dtype), rng.normal(size=(rows, columns)).astype(dtype)
    c, h, kept = (numpy.full((rows, columns), numpy.nan, dtype) for _ in range(3))
    kernel = Kernel(
        "chain",
        None,
        tuple((f"a{k}", dtype) for k in range(12)),
        (2, 3, *[1] * 12),
        lines=lines(
            "a2 = sigmoid(a3 + a7)", "r = sigmoid(a4 + a8)", "r = tanh(a5 + a9)", "r = sigmoid(a6 + a10)",
            "a0 = r1*a11 + r0*r2", "a1 = r3*tanh(r4)",
        ),
    )  # fmt: skip
    gates = [(k * columns, (4 * columns,)) for k in range(4)]
    shared = [(k * columns, (0,)) for k in range(4)]
    own = [(0, (columns,))] * 3
    memory = [c, h, kept, *[projected] * 4, *[bias] * 4, old]
    found = run(kernel, memory, (rows, columns), [*own, *gates, *shared, (0, (columns,))])
    i, f, g, o = (projected + bias).astype("float64").reshape(rows, 4, columns).transpose(1, 0, 2)
    expected_c = sigmoid(f) * old + sigmoid(i) * numpy.tanh(g)
    for array, expected in zip(found, (expected_c, sigmoid(o) * numpy.tanh(expected_c), sigmoid(i)), strict=False):
        numpy.testing.assert_allclose(array, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_onto_what_is_there(dtype):
    """Two lines write parts of the same rows; one adds to what is there and the next reads the sum."""
    rng = numpy.random.default_rng(1)
    target, x = rng.normal(size=(3, 2, 20)).astype(dtype), rng.normal(size=(3, 20)).astype(dtype)
    memory = target.copy()
    kernel = Kernel(
        "chain",
        None,
        tuple((f"a{k}", dtype) for k in range(3)),
        (2, 2, 1, 1, 1),
        lines=lines("+a0 = a2*2", "a1 = r0 + a2"),
    )
    found = run(kernel, [memory, memory, x], (3, 20), [(0, (40,)), (20, (40,)), (0, (20,))])[0]
    total = target[:, 0].astype("float64") + 2 * x
    numpy.testing.assert_allclose(found[:, 0], total, rtol=1e-6)
    numpy.testing.assert_allclose(found[:, 1], total + x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("extents", [(), (9,), (2, 3, 5)])
def test_every_rank(extents):
    rng = numpy.random.default_rng(2)
    x, y = rng.normal(size=extents), numpy.full(extents, numpy.nan)
    strides = tuple(s // 8 for s in x.strides[:-1])
    kernel = Kernel(
        "chain", None, (("a0", "float64"), ("a1", "float64")), (len(extents), 1, 1, 1), lines=lines("a0 = exp(a1)")
    )
    found = run(kernel, [y, x], extents, [(0, strides), (0, strides)])[0]
    numpy.testing.assert_allclose(found, numpy.exp(x), rtol=1e-14)


def test_whole_numbers_choose():
    """A mask of whole numbers, the same for all elements of a row."""
    mask, x = numpy.array([1, 0, 1], "int32"), numpy.arange(12.0, dtype="float32").reshape(3, 4)
    y = numpy.zeros_like(x)
    types = (("a0", "float32"), ("a1", "int32"), ("a2", "float32"))
    kernel = Kernel("chain", None, types, (2, 1, 1, 0, 1), lines=lines("a0 = a2 if a1 > 0 else -a2"))
    found = run(kernel, [y, mask, x], (3, 4), [(0, (4,)), (0, (1,)), (0, (4,))])[0]
    numpy.testing.assert_array_equal(found, numpy.where(mask[:, None] > 0, x, -x))


def test_other_kernels_are_refused():
    with pytest.raises(KernelError, match="kind 'loops'"):
        emit_chain(Kernel("loops", None, ()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("several", "vectors"), [(1, 4), (1, 1), (2, 2), (3, 1), (4, 1)])
def test_a_chain_behind_a_product(several, vectors, dtype):
    """Result tanh(p0 + b) + p1 * x ..., with rows of A from the middle of wider ones, on more than one depth of k."""
    wide = vectors * vector_lanes(dtype)
    reads = " + ".join(f"p{c}*a2" for c in range(1, several)) or "a2"
    kernel = Kernel(
        "product_chain",
        None,
        (*((f"a{k}", dtype) for k in range(4)), ("A", dtype), ("P", dtype)),
        (2, 2, several, wide, 1, 1, 1, 1),
        lines=lines(f"a0 = tanh(p0 + a3) + {reads}", "a1 += r0*p0"),
    )
    function = cache.function(cache.addresses([cache.Source(emit_product_chain(kernel), "a chain")])[0])
    rng = numpy.random.default_rng(several)
    for rows, panels, k in ((1, 1, 1), (3, 2, 7), (4, 1, 16), (13, 2, 300), (6, 3, 513)):
        units, pitch = panels * wide, k + 5
        a, b = (
            rng.normal(size=(rows, pitch)).astype(dtype),
            rng.normal(size=(k, several * units)).astype(dtype) / k**0.5,
        )
        packed = numpy.ascontiguousarray(b.reshape(k, several, panels, wide).transpose(2, 0, 1, 3))
        x, bias = rng.normal(size=(rows, units)).astype(dtype), rng.normal(size=units).astype(dtype)
        product = (a[:, 2 : 2 + k].astype("float64") @ b).reshape(rows, several, units)
        y = numpy.tanh(product[:, 0] + bias) + (
            x if several == 1 else sum(product[:, c] * x for c in range(1, several))
        )
        before = rng.normal(size=(rows, units)).astype(dtype)
        for threads in (2, 3, 1):
            memory = [numpy.full((rows, units), numpy.nan, dtype), before.copy(), x, bias, a, packed]
            places = [(0, units), (0, units), (0, units), (0, 0)]
            numbers = [rows, units, *(n for place in places for n in place), pitch, 2, k]
            block = numpy.array([*(m.ctypes.data for m in memory), *numbers], numpy.int64)
            for thread in reversed(range(threads)):
                function(block.ctypes.data, thread, threads)
            bound = 10 * TOLERANCE[dtype]
            numpy.testing.assert_allclose(memory[0], y, rtol=bound, atol=bound)
            numpy.testing.assert_allclose(memory[1], before + y * product[:, 0], rtol=bound, atol=bound)
    with pytest.raises(KernelError, match="product_chain"):
        emit_chain(kernel)
