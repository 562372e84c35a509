"""Sums in one pass against NumPy in float64: shapes, strides, frames, shards, long sums, numbers that are none."""

from __future__ import annotations

import re

import numpy
import pytest

import graphc
from graphc.errors import KernelError
from graphc.formula.expression import evaluate
from graphc.formula.numeric import NUMPY
from graphc.formula.parser import parse_expression
from graphc.graph import topological
from graphc.graph.reference import evaluate as reference
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.sums import emit_sums
from graphc.planning.plan import Kernel, Line

DTYPES = ["float32", "float64"]
#: Along n, c, i and j.
SHAPES = [
    *[(1, 1, 1, 1), (1, 3, 1, 35), (5, 1, 1, 64), (2, 5, 7, 5), (3, 130, 1, 33), (64, 3, 1, 16), (9, 2, 1, 64)],
    *[(2, 2, 3, 1500), (1, 2, 1, 5000), (3, 3, 40, 70), (0, 3, 1, 40), (4, 0, 1, 40)],
]
#: Of one, two and four sums over a map, another one, two vectors of channels, a number for each example and an extent.
BODIES = [
    ("x / e0",),
    ("(x - u)**2 / e0",),
    ("y", "y * (x - u)"),
    (
        "y * select(0 >= (x - u) / sqrt(v + 0.5) * u + v, 0, 1)",
        "y * z * (1 / e0)",
        "max(0, x) - min(y, u)",
        "abs(x - y) * x",
    ),
]
ACCESSES = {"x": 15, "y": 15, "u": 2, "v": 2, "z": 3}
TOLERANCE = {"float32": 3e-6, "float64": 1e-14}


def stored(rng, shape, moving, dtype, frame):
    """Memory of a tensor that moves along some axes, its offset and strides, and its values along all axes."""
    extents = [extent if moving & bit else 1 for extent, bit in zip(shape, (1, 2, 4, 8), strict=True)]
    if moving == 15 and frame:  # inside a frame: rows and columns of it are around each map
        n, c, i, j = extents
        memory = rng.normal(size=(n, c, i + 2, j + 3)).astype(dtype)
        values = memory[:, :, 1 : i + 1, 2 : j + 2]
    else:
        memory = rng.normal(size=extents).astype(dtype)
        values = memory
    if moving == 2:
        numpy.absolute(memory, out=memory)
    offset = (values.__array_interface__["data"][0] - memory.__array_interface__["data"][0]) // memory.itemsize
    strides = [
        step // memory.itemsize if moving & bit else 0 for step, bit in zip(values.strides, (1, 2, 4), strict=False)
    ]
    return memory, (offset, *strides), numpy.broadcast_to(values, shape).astype("float64")


def problem(bodies, shape, dtype, *, frame=False, adds=False, shard=False, seed=0):
    """A kernel, its memory, arguments behind the addresses, and what it should add up."""
    rng = numpy.random.default_rng(seed)
    count = len(bodies)
    used = [name for name in ACCESSES if any(re.search(rf"\b{name}\b", body) for body in bodies)]
    memory = [rng.normal(size=shape[1]).astype(dtype) for _ in bodies]
    values, arguments, moving, names = {"e0": 7}, [*shape], [], {}
    for k, name in enumerate(used, count):
        axes = ACCESSES[name] if shape[2] > 1 or ACCESSES[name] != 15 else 11
        array, places, values[f"a{k}"] = stored(rng, shape, axes, dtype, frame and axes == 15)
        memory.append(array)
        arguments += places
        moving.append(axes)
        names[name] = f"a{k}"
    lines = []
    for k, body in enumerate(bodies):
        text = re.sub(r"\b[xyzuv]\b", lambda found: names[found[0]], body)
        lines.append(Line(parse_expression(text), k, adds))
    dtypes = tuple((f"t{k}", dtype) for k in range(len(memory)))
    kernel = Kernel("sums", None, dtypes, (4, count, *moving), shard="n" if shard else "", lines=tuple(lines))
    terms = [numpy.broadcast_to(evaluate(line.body, values, NUMPY), shape) for line in lines]
    expected = [(term.sum(axis=(0, 2, 3)), numpy.abs(term).sum(axis=(0, 2, 3))) for term in terms]
    return kernel, memory, [*arguments, 7], expected


def called(kernel, memory, arguments, threads):
    """What the kernel leaves in the written arrays, run by threads one after the other, the last first."""
    function = cache.function(cache.addresses([cache.Source(emit_sums(kernel), "sums")])[0])
    count = kernel.literals[1]
    written = [array.copy() for array in memory[:count]]
    addresses = [array.ctypes.data for array in (*written, *memory[count:])]
    block = numpy.array([*addresses, *arguments], numpy.int64)
    for thread in reversed(range(threads)):
        function(block.ctypes.data, thread, threads)
    return written


def judge(kernel, memory, arguments, expected, dtype, threads=1):
    found = called(kernel, memory, arguments, threads)
    for k, (array, (total, size)) in enumerate(zip(found, expected, strict=True)):
        before = memory[k].astype("float64") if kernel.lines[k].adds else 0
        error = numpy.abs(array - (total + before))
        assert (error <= TOLERANCE[dtype] * (size + abs(before) + 1e-30)).all(), (k, error, size)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bodies", BODIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_those_of_the_formula(shape, bodies, dtype):
    for frame in (False, True):
        alone = judge(*problem(bodies, shape, dtype, frame=frame), dtype)
        for threads in (2, 3):  # channels are shared: the same bits
            for one, other in zip(
                judge(*problem(bodies, shape, dtype, frame=frame), dtype, threads), alone, strict=True
            ):
                numpy.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3, 1, 35), (7, 5, 7, 5), (5, 2, 3, 1500), (33, 70, 1, 16)])
def test_parts_of_the_examples_are_added(shape, dtype):
    for threads in (1, 2, 5):
        judge(*problem(BODIES[3], shape, dtype, adds=True, shard=True), dtype, threads)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_width_of_vectors(bits, dtype, monkeypatch):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    for bodies in (BODIES[2], BODIES[3]):
        kernel, *rest = problem(bodies, (3, 5, 7, 37), dtype, frame=True)
        assert f", {vector_lanes(dtype)})" in emit_sums(kernel)
        judge(kernel, *rest, dtype)


def test_long_sums_keep_their_digits():
    """Two million terms far from 0, and squares of deviations of data with a mean of 10,000."""
    rng = numpy.random.default_rng(1)
    x = (1e4 + rng.normal(size=(64, 2, 1, 16384))).astype("float32")
    mean = x.astype("float64").mean(axis=(0, 2, 3)).astype("float32")
    count = 64 * 16384
    dtypes = tuple((f"t{k}", "float32") for k in range(3))
    arguments = [*x.shape, 0, *(step // 4 for step in x.strides[:2]), 0]
    kernel = Kernel("sums", None, dtypes[:2], (4, 1, 11), lines=(Line(parse_expression("a1 / e0"), 0),))
    (found,) = called(kernel, [numpy.zeros(2, "float32"), x], [*arguments, count], 1)
    numpy.testing.assert_allclose(found, x.astype("float64").mean(axis=(0, 2, 3)), rtol=1.2e-7)
    kernel = Kernel("sums", None, dtypes, (4, 1, 11, 2), lines=(Line(parse_expression("(a1 - a2)**2 / e0"), 0),))
    (found,) = called(kernel, [numpy.zeros(2, "float32"), x, mean], [*arguments, 0, 0, 1, 0, count], 1)
    expected = ((x.astype("float64") - mean.astype("float64")[:, None, None]) ** 2).mean(axis=(0, 2, 3))
    numpy.testing.assert_allclose(found, expected, rtol=3e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_shows(dtype):
    kernel, memory, arguments, _ = problem(("x", "x * y"), (3, 4, 1, 70), dtype)
    x, y = memory[2:]
    y[...] = 1
    x[0, 1, 0, 69] = numpy.inf
    x[2, 2, 0, 3], x[0, 2, 0, 66] = numpy.inf, -numpy.inf
    x[1, 3, 0, 0] = numpy.nan
    for found in called(kernel, memory, arguments, 1):
        assert numpy.isfinite(found[0])
        assert found[1] == numpy.inf
        assert numpy.isnan(found[2:]).all()


def test_other_kernels_and_powers_are_refused():
    kernel, *_ = problem(("x",), (3, 4, 1, 70), "float32")
    with pytest.raises(KernelError, match="is of kind 'loops'"):
        emit_sums(Kernel("loops", None, kernel.dtypes))
    lines = (Line(parse_expression("a1**5"), 0),)
    with pytest.raises(KernelError, match="powers of 2 and 3 only; found 5"):
        emit_sums(Kernel("sums", None, kernel.dtypes, kernel.literals, lines=lines))


@pytest.mark.parametrize("bodies", BODIES)
def test_float32_kernels_hold_no_double_and_do_not_allocate(bodies):
    kernel, *_ = problem(bodies, (3, 4, 2, 70), "float32")
    compiled = cache.llvm_text(emit_sums(kernel))
    assert not re.search(r"\bdouble\b|\.(v\d+)?f64\b", compiled)
    assert "NRT" not in compiled


# ---- whole steps -------------------------------------------------------------------------------------


def block(shape):
    """A block of a residual network: two norms in a row, and one beside them."""
    x = graphc.input("x", ("N", *shape))
    h = graphc.relu(graphc.layers.batch_norm(x, name="first"))
    h = graphc.layers.batch_norm(h * h, name="second")
    y = graphc.relu(h + graphc.layers.batch_norm(x, name="beside"))
    return graphc.mean(y * graphc.input("weight", ("N", *shape)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("batch", "shape"), [(1, (3, 7, 5)), (2, (17, 1, 40)), (9, (5, 8, 8)), (40, (3, 32, 32))])
def test_normalised_blocks_have_the_gradients_of_the_reference(batch, shape, threads):
    loss = block(shape)
    rng = numpy.random.default_rng(batch)
    back = graphc.backward(loss, None)
    gradients = {node.label: back.grad(node) for node in back.wrt}
    values = {}
    for node in topological([loss]):
        if node.kind in ("input", "parameter", "state"):
            extents = tuple(batch if not isinstance(extent, int) else extent for extent in node.shape)
            values[node] = rng.normal(size=extents) + (node.label.endswith("gain"))
    expected = reference([loss, *gradients.values()], {**values, graphc.is_training(): numpy.array(1.0)})
    for dtype, tolerance in (("float64", 1e-10), ("float32", 2e-5)):
        step = graphc.compile(loss, gradients=True, dtype=dtype, threads=threads)
        assert "sums" in step.program.schedules
        for node, value in values.items():
            if node.kind == "parameter":
                step.parameters[node.label][...] = value
        given = {node.label: value.astype(dtype) for node, value in values.items() if node.kind == "input"}
        (found,), slopes = step(**given)
        numpy.testing.assert_allclose(found, expected[0], rtol=10 * tolerance, atol=tolerance)
        assert len(slopes) == 6  # of gains and biases
        for name, value in zip(gradients, expected[1:], strict=True):
            if name not in slopes:  # an input
                continue
            scale = numpy.abs(value).max() + 1e-3
            numpy.testing.assert_allclose(slopes[name] / scale, value / scale, atol=tolerance, err_msg=name)
        (again,), others = step(**given)  # the same bits
        assert again == found
        for name, value in slopes.items():
            numpy.testing.assert_array_equal(others[name], value)
