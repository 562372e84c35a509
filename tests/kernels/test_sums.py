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
from graphc.kernels.cpu.moments import emit_moments
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


# ---- moments -----------------------------------------------------------------------------------------


def moments(x, parts, dtype, *, frame=False, divisor=None):
    """Mean and mean square of deviations of maps, by parts of the examples, the last first."""
    n, c, i, j = x.shape
    memory = numpy.ascontiguousarray(x, dtype)
    offset = 0
    if frame:
        memory = numpy.full((n, c, i + 1, j + 3), numpy.nan, dtype)
        memory[:, :, :i, 1 : j + 1] = x
        offset = 1
    strides = [step // memory.itemsize for step in memory.strides[:3]]
    near, first, second = (numpy.full((n, c), numpy.nan, dtype) for _ in range(3))
    weights, mean, variance = (numpy.full(length, numpy.nan, dtype) for length in (n, c, c))
    kernels = [
        Kernel(kind, None, tuple((f"t{k}", dtype) for k in range(count)), literals)
        for kind, count, literals in (("moments", 5, (4, 4)), ("moments_of_all", 6, (2, 2)))
    ]
    functions = [
        cache.function(a) for a in cache.addresses([cache.Source(emit_moments(k), "moments") for k in kernels])
    ]
    read = [array.ctypes.data for array in (near, first, second, weights)]
    block = numpy.array([*read, memory.ctypes.data, *x.shape, offset, *strides], numpy.int64)
    for part in reversed(range(parts)):
        functions[0](block.ctypes.data, part, parts)
    assert numpy.count_nonzero(weights) == min(parts, n)
    assert not any(array[weights == 0].any() for array in (near, first, second))  # rows that nobody reads are numbers
    last = [mean.ctypes.data, variance.ctypes.data, *read, n, c, i * j, divisor or n * i * j]
    block = numpy.array(last, numpy.int64)
    for part in (1, 0):
        functions[1](block.ctypes.data, part, 2)
    return mean, variance


@pytest.mark.parametrize("frame", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1), (1, 3, 1, 35), (2, 5, 7, 5), (7, 17, 1, 64), (64, 70, 1, 16), (5, 2, 3, 1500), (3, 3, 40, 70)],
)
def test_moments_of_parts_are_those_of_all(shape, dtype, frame):
    x = numpy.random.default_rng(len(shape)).normal(size=shape).astype(dtype).astype("float64") * 3 + 1
    x = x.astype(dtype)
    exact = x.astype("float64")
    for parts in (1, 2, 5):
        mean, variance = moments(x, parts, dtype, frame=frame, divisor=7)
        expected = ((exact - exact.mean(axis=(0, 2, 3), keepdims=True)) ** 2).sum(axis=(0, 2, 3)) / 7
        numpy.testing.assert_allclose(mean, exact.mean(axis=(0, 2, 3)), rtol=0, atol=3 * TOLERANCE[dtype])
        numpy.testing.assert_allclose(variance, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("parts", [1, 4, 64])
@pytest.mark.parametrize("case", ["shifted", "shifted examples", "an example apart", "the first apart", "all equal"])
def test_moments_are_as_exact_as_two_passes(case, parts):
    """float32 against float64, where sums of squares about 0 would leave no digit."""
    rng = numpy.random.default_rng(parts)
    x = rng.normal(size=(64, 3, 1, 1024))
    if case == "shifted":
        x += 1e4
    elif case == "shifted examples":
        x += 1e4 + 100 * rng.normal(size=(64, 3, 1, 1))
    elif case == "an example apart":
        x[17] += 1e5
    elif case == "the first apart":
        x[0] += 1e5
    else:
        x[...] = 0.1
    x = x.astype("float32")
    exact = x.astype("float64")
    mean, variance = moments(x, parts, "float32")
    expected = exact.mean(axis=(0, 2, 3))
    spread = exact.var(axis=(0, 2, 3))
    # deviations from the mean of a part's first example are rounded as they are; at worst it lies apart from all others
    apart = {"the first apart": 64 / parts, "shifted examples": 3}.get(case, 1)
    numpy.testing.assert_allclose(variance, spread, rtol=(1 + 2 * apart) * 1.2e-7, atol=1e-15)
    atol = 1e-6 * numpy.sqrt(spread.max()) if apart > 3 else 0
    numpy.testing.assert_allclose(mean, expected, rtol=1.2e-7, atol=atol)


@pytest.mark.parametrize("bits", [128, 256])
def test_moments_with_vectors_of_any_width(bits, monkeypatch):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", str(bits))
    x = numpy.random.default_rng(0).normal(size=(5, 7, 3, 37))
    mean, variance = moments(x, 2, "float64")
    numpy.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3)), atol=1e-14)
    numpy.testing.assert_allclose(variance, x.var(axis=(0, 2, 3)), rtol=1e-13)


def test_moments_of_what_is_no_number():
    x = numpy.random.default_rng(0).normal(size=(4, 5, 2, 40))
    x[0, 1, 0, 3], x[2, 2, 1, 39], x[3, 3, 1, 5] = numpy.inf, numpy.inf, numpy.nan
    for parts in (1, 3):
        mean, variance = moments(x, parts, "float32")
        assert numpy.isfinite([mean[0], variance[0], mean[4], variance[4]]).all()
        assert mean[1] == mean[2] == numpy.inf
        assert numpy.isnan([mean[3], *variance[1:4]]).all()


@pytest.mark.parametrize("kind", ["moments", "moments_of_all"])
def test_moments_in_float32_hold_no_double_and_do_not_allocate(kind):
    compiled = cache.llvm_text(emit_moments(Kernel(kind, None, (("t0", "float32"),))))
    assert not re.search(r"\bdouble\b|\.(v\d+)?f64\b", compiled)
    assert "NRT" not in compiled
    with pytest.raises(KernelError, match="is of kind 'sums'"):
        emit_moments(Kernel("sums", None, (("t0", "float32"),)))


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


@pytest.mark.parametrize("threads", [1, 2])
def test_checked_runs_find_numbers_everywhere(threads):
    step = graphc.compile(block((3, 16, 16)), gradients=True, check_numerics=True, threads=threads)
    rng = numpy.random.default_rng(0)
    given = {name: rng.normal(size=(40, 3, 16, 16)).astype("float32") for name in ("x", "weight")}
    for _ in range(2):
        step(**given)
    given["x"][3, 1, 2, 5] = numpy.inf
    with pytest.raises(graphc.errors.DataError, match="infinite"):
        step(**given)
