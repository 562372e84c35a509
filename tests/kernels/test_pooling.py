"""Kernels of windows side by side against the derived loops, which take three launches: the same numbers."""

from __future__ import annotations

import re

import numpy
import pytest

import graphc
from graphc.errors import KernelError
from graphc.formula.expression import Symbol
from graphc.formula.statement import Access, Axis, Statement, affine
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.pooling import emit_pooling
from graphc.kernels.cpu.program import Program
from graphc.planning import Kernel, plan

DTYPES = ("float32", "float64")
#: Extents of the data and of the window: rows of one vector and of several, full or not; some leave a rest.
SHAPES = [
    ((3, 2, 4, 6), (2, 2)),
    ((2, 3, 5, 7), (2, 2)),
    ((1, 3, 2, 2), (2, 2)),
    ((2, 2, 9, 14), (3, 2)),
    ((2, 2, 10, 11), (3, 3)),
    ((1, 2, 3, 70), (1, 2)),
    ((1, 1, 4, 131), (2, 2)),
    ((5, 3, 32), (2,)),
    ((2, 2, 31), (9,)),
    ((2, 3, 5, 6, 9), (2, 2, 2)),
    ((1, 2, 5, 2, 7), (2, 1, 3)),
]
BODIES = {
    "nothing": lambda x, b: x,
    "relu": lambda x, b: graphc.relu(x + b),
    "leaky relu": lambda x, b: graphc.leaky_relu(x - b),
    "falling": lambda x, b: b - graphc.sqrt(graphc.abs(x) + 1.0) / 3.0,
    "choice": lambda x, b: graphc.where(x <= b, graphc.min(x, b * 2.0), x / (b * b + 1.0)),
    "negative": lambda x, b: -0.5 * graphc.max(x, b) - 1.0,
    "product": lambda x, b: graphc.min(b * (x - 2.0), 3.0) * 0.5,
}


def largest(x: graphc.Node, window: tuple[int, ...]) -> graphc.Node:
    """The maximum of windows side by side along the last axes of (N, C, ...)."""
    places, inside = "hij"[-len(window) :], "qrs"[-len(window) :]
    seen = ",".join(f"{step}*{a}+{r}" for step, a, r in zip(window, places, inside, strict=True))
    extents = {r: str(step) for step, r in zip(window, inside, strict=True)}
    extents |= {a: f"size(x,{d})//{step}" for d, (step, a) in enumerate(zip(window, places, strict=True), 2)}
    text = f"y[n,c,{','.join(places)}] = max(x[n,c,{seen}], {', '.join(inside)})"
    return graphc.gate(text, name="largest", extents=extents)(x)


def values_and_gradients(shape, window, body):
    """The maxima, and gradients of what is before the body and of its bias, as nodes."""
    x = graphc.input("x", ("N", *shape[1:]))
    b = graphc.parameter("b", (shape[1], *(1 for _ in shape[2:])))
    y = largest(BODIES[body](x, b), window)
    g = graphc.input("g", ("N", *y.shape[1:]))
    back = graphc.backward(graphc.sum(y * g), [x] if body == "nothing" else [x, b])
    return [y, *(back.grad(node) for node in back.wrt)]


def draw(shape, window, *, ties):
    generator = numpy.random.default_rng(len(shape) + shape[-1])
    small = (*shape[:2], *(extent // step for extent, step in zip(shape[2:], window, strict=True)))
    bias = (shape[1], *(1 for _ in shape[2:]))
    if ties:
        return {n: generator.integers(-2, 3, s).astype(float) for n, s in (("x", shape), ("g", small), ("b", bias))}
    return {n: generator.standard_normal(s) for n, s in (("x", shape), ("g", small), ("b", bias))}


def computed(nodes, values, dtype, *, fuse, threads=1, shard=False):
    planned, leaves = plan(nodes, dtype=dtype, fuse=fuse, shard=shard)
    program = Program(planned, threads=threads)
    program.resize({"N": len(values["x"])})
    for number, node in leaves.items():
        program.bind(number, values[node.label].astype(dtype))
    for number, buffer in enumerate(planned.buffers):  # what is not written shows
        if buffer.role == "arena" and buffer.dtype == dtype and buffer.view_of is None and buffer.segment < 0:
            program.view(number)[...] = numpy.nan
    program.run()
    return [program.view(number).copy() for number in planned.outputs], planned


def kinds(planned):
    return [planned.kernels[launch.kernel].kind for launch in planned.launches]


@pytest.mark.parametrize("ties", [False, True], ids=["normal", "ties"])
@pytest.mark.parametrize(
    ("shape", "window", "dtype"),
    [(*pair, dtype) for k, pair in enumerate(SHAPES) for dtype in (DTYPES if k < 2 else DTYPES[k % 2 :][:1])],
)
def test_the_same_numbers_as_the_derived_loops(shape, window, dtype, ties):
    values = draw(shape, window, ties=ties)
    nodes = values_and_gradients(shape, window, "relu")
    expected, alone = computed(nodes, values, dtype, fuse=False)
    found, planned = computed(nodes, values, dtype, fuse=True)
    assert "pooling" not in kinds(alone)
    assert kinds(planned).count("pooling") == 2
    assert sum("largest" in launch.label or "relu" in launch.label for launch in planned.launches) == 2
    for one, other in zip(found[:2], expected[:2], strict=True):
        numpy.testing.assert_array_equal(one, other)
    numpy.testing.assert_allclose(found[2], expected[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("shape", "window", "dtype"), [(*SHAPES[1], "float64"), (*SHAPES[6], "float32")])
def test_any_body_of_a_few_operations(shape, window, body, dtype):
    for ties in (False, True):
        values = draw(shape, window, ties=ties)
        nodes = values_and_gradients(shape, window, body)
        expected, _ = computed(nodes, values, dtype, fuse=False)
        found, planned = computed(nodes, values, dtype, fuse=True)
        assert "pooling" in kinds(planned)
        for one, other in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(one, other, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5)
        # alone, the maximum takes any body: nobody else computes it, too
        found, planned = computed(nodes[:1], values, dtype, fuse=True)
        assert kinds(planned) == ["pooling"]
        numpy.testing.assert_allclose(found[0], expected[0], rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5)


@pytest.mark.parametrize("bias", [(), (1, 1, 1), (5, 1), (1, 5, 7)])
def test_operands_of_other_shapes(bias):
    x, b = graphc.input("x", ("N", 3, 5, 7)), graphc.parameter("b", bias)
    y = graphc.max_pool2d(graphc.relu(x + b))
    g = graphc.input("g", y.shape)
    nodes = [y, graphc.backward(y, [x], upstream=g).grad(x)]
    values = {**draw((2, 3, 5, 7), (2, 2), ties=True), "b": numpy.random.default_rng(2).integers(-2, 3, bias)}
    values["b"] = numpy.asarray(values["b"], float)
    expected, _ = computed(nodes, values, "float32", fuse=False)
    found, planned = computed(nodes, values, "float32", fuse=True)
    assert kinds(planned) == ["pooling", "pooling"]
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_a_body_may_know_its_place_in_the_window():
    text = "y[n,i,j] = max(x[n,2*i+r,2*j+s]*(1.5 - r + 2*s), r, s)"
    extents = {"r": "2", "s": "2", "i": "size(x,1)//2", "j": "size(x,2)//2"}
    x = graphc.input("x", ("N", 5, 38))
    y = graphc.gate(text, name="placed", extents=extents)(x)
    nodes = [y, graphc.backward(y, [x], upstream=graphc.input("g", y.shape)).grad(x)]
    generator = numpy.random.default_rng(3)
    values = {"x": generator.standard_normal((2, 5, 38)), "g": generator.standard_normal((2, 2, 19))}
    expected, _ = computed(nodes, values, "float64", fuse=False)
    found, planned = computed(nodes, values, "float64", fuse=True)
    assert kinds(planned) == ["pooling", "pooling"]
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_width_of_vectors(bits, dtype, monkeypatch):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    for shape, window in (SHAPES[4], SHAPES[6]):
        values = draw(shape, window, ties=True)
        nodes = values_and_gradients(shape, window, "relu")
        expected, _ = computed(nodes, values, dtype, fuse=False)
        found, _ = computed(nodes, values, dtype, fuse=True)
        for one, other in zip(found[:2], expected[:2], strict=True):
            numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("batch", [0, 1, 2, 7])
def test_threads_share_examples(batch, shard):
    shape, window = (batch, 3, 7, 9), (2, 2)
    values = draw((batch, 3, 7, 9), window, ties=True)
    nodes = values_and_gradients(shape, window, "relu")
    expected, _ = computed(nodes, values, "float64", fuse=False)
    for threads in (1, 2, 3):
        found, _ = computed(nodes, values, "float64", fuse=True, threads=threads, shard=shard)
        for one, other in zip(found, expected, strict=True):
            numpy.testing.assert_allclose(one, other, rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("body", ["nothing", "relu", "leaky relu", "choice"])
def test_not_a_number_wins_as_before(body, dtype):
    shape, window = (4, 2, 6, 35), (2, 2)
    values = draw(shape, window, ties=True)
    generator = numpy.random.default_rng(5)
    for special in (numpy.nan, numpy.inf, -numpy.inf):
        values["x"][generator.random(shape) < 0.15] = special
    nodes = values_and_gradients(shape, window, body)[:2]
    expected, _ = computed(nodes, values, dtype, fuse=False)
    found, _ = computed(nodes, values, dtype, fuse=True)
    assert numpy.isnan(expected[0]).any()
    for one, other in zip(found, expected, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_the_first_element_wins_at_a_tie():
    x = numpy.zeros((1, 1, 2, 34))
    x[0, 0, :, ::2] = [[3.0], [5.0]]
    x[0, 0, :, 1::2] = [[-1.0], [5.0]]
    x[0, 0, :, :2] = [[-2.0, -3.0], [-1.0, -4.0]]  # all equal after the ReLU: the first, whose derivative is 0
    x[0, 0, :, 2:4] = [[4.0, 4.0], [4.0, 4.0]]
    values = {"x": x, "g": numpy.arange(1.0, 18.0).reshape(1, 1, 1, 17), "b": numpy.zeros((1, 1, 1))}
    found, _ = computed(values_and_gradients(x.shape, (2, 2), "relu"), values, "float64", fuse=True)
    expected = numpy.zeros((2, 34))
    expected[1, 4::2] = numpy.arange(3.0, 18.0)
    expected[0, 2] = 2.0
    numpy.testing.assert_array_equal(found[1][0, 0], expected)


@pytest.mark.parametrize("body", BODIES)
def test_float32_kernels_hold_no_double_and_do_not_allocate(body):
    planned, _ = plan(values_and_gradients((2, 2, 5, 7), (2, 2), body), dtype="float32")
    texts = [emit_pooling(kernel) for kernel in planned.kernels if kernel.kind == "pooling"]
    assert texts
    for text in texts:
        compiled = cache.llvm_text(text)
        assert not re.search(r"\bdouble\b", compiled)
        assert "NRT" not in compiled


def test_a_statement_without_windows_is_refused():
    axes = tuple(Axis(f"a{d}", affine(f"t0.{d}")) for d in range(2))
    index = tuple(affine(axis.name) for axis in axes)
    statement = Statement(Access("t0", index), "set", axes, (("v0", Access("t1", index)),), Symbol("v0"))
    kernel = Kernel("pooling", statement, (("t1", "float32"), ("t0", "float32")), (16, 1))
    with pytest.raises(KernelError, match="needs windows side by side"):
        emit_pooling(kernel)
