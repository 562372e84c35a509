"""Short rows: the kernels of `graphc.kernels.cpu.rows` against the interpreter of statements, and in programs."""

import numpy
import pytest

import graphc
from graphc.formula.expression import Call, Number, Symbol, call
from graphc.formula.statement import NEUTRAL
from graphc.graph.reference import evaluate, run_statement
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.rows import accepts, emit_rows
from graphc.kernels.cpu.writer import extent_names
from graphc.planning.plan import Kernel
from tests.kernels.statements import at, statement

HINTS = {f"t{t}.{d}": 60 for t in range(5) for d in range(4)}
x, y, z = Symbol("x"), Symbol("y"), Symbol("z")


def run(s, arrays, threads=1, shard=""):
    """Run a statement by its kernel of rows on copies; threads one after the other, the last first."""
    dtypes = tuple((t, str(a.dtype)) for t, a in arrays.items())
    made = Kernel("loops", s, dtypes, shard=shard)
    assert accepts(made, HINTS)
    copies = [numpy.array(a, order="C") for a in arrays.values()]
    if not s.accumulate:
        copies[0][...] = numpy.nan
    extents = [e for names, a in zip(extent_names(made), copies, strict=True) for e in (a.shape if names else ())]
    function = cache.function(cache.addresses([cache.Source(emit_rows(made, HINTS), "a test")])[0])
    arguments = numpy.array([*(a.ctypes.data for a in copies), *extents], numpy.int64)
    for thread in reversed(range(threads)):
        function(arguments.ctypes.data, thread, threads)
    return copies[0]


def reference(s, arrays):
    """The interpreter of statements, in float64."""
    tensors = {t: numpy.array(a, "float64" if a.dtype.kind == "f" else a.dtype) for t, a in arrays.items()}
    sizes = {f"{t}.{d}": extent for t, a in tensors.items() for d, extent in enumerate(a.shape)}
    if not s.accumulate:
        tensors["t0"][...] = NEUTRAL[s.operator]
    run_statement(s, tensors, sizes)
    return tensors["t0"]


def reduction(operator, body, **more):
    reads = {"x": at("t1", "n", "c"), "y": at("t2", "n"), "z": at("t3", "c")} | more
    return statement(at("t0", "n"), operator, {"n": "t0.0", "c": "t1.1"}, reads, body)


def filled(shape, dtype, seed=0):
    return numpy.random.default_rng(seed).normal(size=shape).astype(dtype) * 2


BODIES = {
    "plain": x,
    "shifted": call("sub", x, y),
    "scaled": call("mul", x, z),
    "chosen": call("select", Call("equal", (Symbol("c"), Number(1))), y, x),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operator", ["sum", "max", "min", "logsumexp"])
@pytest.mark.parametrize("body", BODIES)
def test_a_reduction_of_rows_equals_the_reference_on_awkward_extents(operator, body, dtype):
    s = reduction(operator, BODIES[body])
    for rows, columns in ((1, 1), (3, 2), (64, 10), (65, 17), (129, 97), (200, 96), (31, 193)):
        shapes = {"t0": (rows,), "t1": (rows, columns), "t2": (rows,), "t3": (columns,)}
        arrays = {t: filled(shape, dtype, k) for k, (t, shape) in enumerate(shapes.items())}
        expected = reference(s, arrays)
        bound = 2e-6 if dtype == "float32" else 1e-14
        for threads in (1, 2, 5):
            found = run(s, arrays, threads)
            numpy.testing.assert_allclose(found, expected, rtol=bound, atol=bound * (1 + abs(expected).max()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_an_elementwise_statement_equals_the_reference(dtype, accumulate):
    body = call("mul", y, call("exp", call("sub", x, z)))
    s = statement(
        at("t0", "n", "c"), "set" if not accumulate else "sum", {"n": "t0.0", "c": "t0.1"},
        {"x": at("t1", "n", "c"), "y": at("t2", "n"), "z": at("t3", "n")}, body, accumulate=accumulate,
    )  # fmt: skip
    hints = {**HINTS, "t0.1": vector_lanes(dtype) + 1}
    for rows, columns in ((1, 1), (64, 10), (70, 15), (130, 7), (33, 100)):
        shapes = {"t0": (rows, columns), "t1": (rows, columns), "t2": (rows,), "t3": (rows,)}
        arrays = {t: filled(shape, dtype, k) for k, (t, shape) in enumerate(shapes.items())}
        made = Kernel("loops", s, tuple((t, str(a.dtype)) for t, a in arrays.items()))
        assert accepts(made, hints)
        copies = [numpy.array(a) for a in arrays.values()]
        extents = [e for a in copies for e in a.shape]
        function = cache.function(cache.addresses([cache.Source(emit_rows(made, hints), "a test")])[0])
        arguments = numpy.array([*(a.ctypes.data for a in copies), *extents], numpy.int64)
        for thread in (1, 0):
            function(arguments.ctypes.data, thread, 2)
        bound = 3e-6 if dtype == "float32" else 1e-13
        numpy.testing.assert_allclose(copies[0], reference(s, arrays), rtol=bound, atol=bound)


def test_more_axes_labels_and_a_matrix_that_is_read_across():
    """The recursion of a chain of tags: logsumexp over the tags before, for each example and tag."""
    s = statement(
        at("t0", "n", "j"), "logsumexp", {"n": "t0.0", "j": "t0.1", "i": "t1.1"},
        {"x": at("t1", "n", "i"), "y": at("t2", "i", "j"), "z": at("t3", "n")},
        call("add", call("select", Call("equal", (Symbol("i"), z)), Number(0), x), y),
    )  # fmt: skip
    for examples, tags in ((1, 1), (5, 3), (64, 9), (100, 20)):
        shapes = {"t0": (examples, tags), "t1": (examples, tags), "t2": (tags, tags)}
        arrays = {t: filled(shape, "float32", k) for k, (t, shape) in enumerate(shapes.items())}
        arrays["t3"] = numpy.random.default_rng(5).integers(0, tags, examples).astype("int32")
        expected = reference(s, arrays)
        for threads in (1, 3):
            numpy.testing.assert_allclose(run(s, arrays, threads), expected, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("shard", ["n", "m"])
def test_parts_of_the_batch_are_parts_of_the_rows(shard):
    s = statement(at("t0", "m", "n"), "max", {"m": "t0.0", "n": "t0.1", "c": "t1.2"}, {"x": at("t1", "m", "n", "c")}, x)
    arrays = {"t0": filled((6, 70), "float32"), "t1": filled((6, 70, 11), "float32", 1)}
    numpy.testing.assert_array_equal(run(s, arrays, 3, shard), arrays["t1"].max(2))
    whole = run(s, arrays, 1, shard)
    numpy.testing.assert_array_equal(whole, arrays["t1"].max(2))


@pytest.mark.parametrize("operator", ["max", "sum", "logsumexp"])
def test_infinities_and_nan_stay_in_their_row(operator):
    s = statement(at("t0", "n"), operator, {"n": "t0.0", "c": "t1.1"}, {"x": at("t1", "n", "c")}, x)
    values = filled((70, 10), "float32")
    values[3] = -numpy.inf
    values[20, 4], values[40, 9] = numpy.inf, numpy.nan
    arrays = {"t0": numpy.zeros(70, "float32"), "t1": values}
    found = run(s, arrays)
    assert found[3] == -numpy.inf
    assert found[20] == numpy.inf
    assert numpy.isnan(found[40])
    others = [n for n in range(70) if n not in (3, 20, 40)]
    arrays["t0"], arrays["t1"] = arrays["t0"][others], values[others]
    numpy.testing.assert_allclose(found[others], reference(s, arrays), rtol=1e-5)


def test_a_long_sum_keeps_its_digits():
    s = statement(at("t0", "n"), "sum", {"n": "t0.0", "c": "t1.1"}, {"x": at("t1", "n", "c")}, x)
    values = numpy.random.default_rng(0).uniform(0, 1, (64, 20_000)).astype("float32")
    found = run(s, {"t0": numpy.zeros(64, "float32"), "t1": values})
    numpy.testing.assert_allclose(found, values.astype("float64").sum(1), rtol=3e-7)


def test_what_has_guards_other_types_or_long_rows_is_left_to_loops():
    def taken(s, types=None, hints=HINTS):
        tensors = dict.fromkeys((s.write.tensor, *sorted(s.tensors())))
        return accepts(Kernel("loops", s, tuple((t, (types or {}).get(t, "float32")) for t in tensors)), hints)

    assert taken(reduction("sum", x))
    assert not taken(reduction("sum", x), hints={**HINTS, "t1.1": 65})
    assert taken(reduction("max", x), hints={**HINTS, "t1.1": 256})
    assert not taken(reduction("max", x), hints={**HINTS, "t1.1": 257})
    assert not taken(reduction("max", x), {"t1": "float64"})
    assert not taken(reduction("max", x, x=at("t1", "n", "c", outside="zero")))
    assert not taken(reduction("argmax", x))
    assert not taken(reduction("max", x), hints={**HINTS, "t0.0": 1})
    batch = Kernel("loops", reduction("max", x), (("t0", "float32"), ("t1", "float32")), shard="c")
    assert not accepts(batch, HINTS)  # parts of the batch are parts of rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier_uses_rows_and_reports_them(dtype):
    scores, label = (
        graphc.parameter("scores", (70, 10), initial=graphc.normal(3)),
        graphc.input("label", (70,), "int32"),
    )
    loss = graphc.softmax_cross_entropy(scores, label)
    step = graphc.compile([loss], gradients=True, dtype=dtype, threads=2)
    given = numpy.arange(70, dtype="int32") % 10
    (value,), gradients = step(label=given)
    back = graphc.backward(loss).at(parameters=step.parameters, label=given)
    bound = 2e-6 if dtype == "float32" else 1e-13
    numpy.testing.assert_allclose(value, back.value(loss), rtol=bound)
    numpy.testing.assert_allclose(gradients["scores"], back.grad("scores"), rtol=10 * bound, atol=bound)
    assert sum(" rows " in line for line in str(step.report()).splitlines()) >= 2


def test_rows_of_a_longer_tensor_are_refused():
    """What the statement does not reach becomes zeros, which derived loops write."""
    axes = {"n": "t0.0", "c": "t1.1"}
    s = statement(at("t0", "n", "c"), "set", axes, {"x": at("t1", "n", "c")}, Call("tanh", (x,)))
    made = Kernel("loops", s, (("t0", "float32"), ("t1", "float32")))
    assert not accepts(made, HINTS | {"t1.1": 5, "t0.1": 7})
    whole = statement(at("t0", "n", "c"), "set", axes | {"c": "t0.1"}, {"x": at("t1", "n", "c")}, Call("tanh", (x,)))
    assert accepts(Kernel("loops", whole, made.dtypes), HINTS | {"t1.1": 5, "t0.1": 5})


def test_zeros_beside_rows_stay_zeros_in_a_network():
    """The gradient of a filter reads rows with zeros between them, of which a gradient of tanh fills a part."""
    image = graphc.input("image", ("N", 2, 8, 9))
    weight = graphc.parameter("weight", (4, 2, 5, 5))
    loss = graphc.mean(graphc.tanh(graphc.conv2d(image, weight, stride=2, padding=2)))
    values = {image: filled((20, 2, 8, 9), "float64"), weight: filled((4, 2, 5, 5), "float64", 1)}
    step = graphc.compile([loss], gradients=True, dtype="float64", parameters={"weight": values[weight]})
    gradient = graphc.backward(loss).grad(weight)
    for byte in (0, 255):  # no numbers where nothing is written
        step(image=values[image])
        step.program._arena[...] = byte
        _, gradients = step(image=values[image])
        numpy.testing.assert_allclose(gradients["weight"], evaluate([gradient], values)[0], rtol=1e-9, atol=1e-14)
