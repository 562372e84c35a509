"""Strided rows: the kernels of `graphc.kernels.cpu.strided` against the interpreter of statements, and in programs."""

import numpy
import pytest

import graphc
from graphc.errors import KernelError
from graphc.formula.expression import Call, Number, Symbol, call
from graphc.formula.statement import Interval, affine
from graphc.graph.reference import evaluate, run_statement
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.strided import accepts_strided, emit_strided
from graphc.kernels.cpu.writer import extent_names
from graphc.planning.plan import Kernel
from tests.kernels.statements import at, statement

HINTS = {f"t{t}.{d}": 60 for t in range(5) for d in range(6)}
x, y, z = Symbol("x"), Symbol("y"), Symbol("z")
BODIES = {
    "copied": x,
    "scaled": call("mul", x, y),
    "normed": call("div", call("sub", x, y), call("sqrt", call("add", call("mul", z, z), Number(1)))),
    "squared": call("pow", call("add", x, Number(2)), Number(2)),
    "masked": call("mul", y, call("select", Call("greater_equal", (Number(0), x)), Number(0), Number(1))),
    "sized": call("div", x, call("mul", Symbol("t1.2"), Symbol("t1.3"))),
    "larger": call("max", Number(0), call("add", x, z)),
}


def kernel_of(s, arrays, shard=""):
    return Kernel("loops", s, tuple((t, str(a.dtype)) for t, a in arrays.items()), shard=shard)


def run(s, arrays, threads=1, shard=""):
    """Run a statement by its kernel on copies; threads one after the other, the last first."""
    made = kernel_of(s, arrays, shard)
    assert accepts_strided(made, HINTS)
    copies = [numpy.array(a, order="C") for a in arrays.values()]
    if not s.accumulate:
        copies[0][...] = numpy.nan
    extents = [e for names, a in zip(extent_names(made), copies, strict=True) for e in (a.shape if names else ())]
    function = cache.function(cache.addresses([cache.Source(emit_strided(made), "a test")])[0])
    arguments = numpy.array([*(a.ctypes.data for a in copies), *extents], numpy.int64)
    for thread in reversed(range(threads)):
        function(arguments.ctypes.data, thread, threads)
    return copies[0]


def reference(s, arrays):
    tensors = {t: numpy.array(a, "float64") for t, a in arrays.items()}
    if not s.accumulate:
        tensors["t0"][...] = 0
    run_statement(s, tensors, {f"{t}.{d}": extent for t, a in tensors.items() for d, extent in enumerate(a.shape)})
    return tensors["t0"]


def judge(s, arrays, **options):
    expected = reference(s, arrays)
    tolerance = 1e-5 if arrays["t0"].dtype == numpy.float32 else 1e-12
    for threads in (1, 3):
        numpy.testing.assert_allclose(run(s, arrays, threads, **options), expected, rtol=tolerance, atol=tolerance)


def filled(shape, dtype, seed=0):
    return numpy.random.default_rng(seed).normal(size=shape).astype(dtype)


def gathered(step, body, shape, dtype, guarded=(-1, -1)):
    """``t0[n,c,i,j] = f(t1[n,c,s*i+top,s*j+left], t2[c], t3[n,c])`` inside of ``t1``, else 0."""
    n, c, rows, columns = shape
    top, left = guarded
    down, right = affine({"i": step}, top), affine({"j": step}, left)
    reads = {"x": at("t1", "n", "c", down, right), "y": at("t2", "c"), "z": at("t3", "n", "c")}
    axes = {"n": "t0.0", "c": "t0.1", "i": "t0.2", "j": "t0.3"}
    guards = [Interval(down, affine("t1.2")), Interval(right, affine("t1.3"))]
    s = statement(at("t0", "n", "c", "i", "j"), "set", axes, reads, body, guards)
    # the last rows and columns are inside, at the edge, or outside
    high, wide = (max(1, step * (extent - 1) + first + 1) for extent, first in ((rows, top), (columns, left)))
    arrays = {"t0": filled(shape, dtype), "t1": filled((n, c, high, wide), dtype, 1)}
    return s, arrays | {"t2": filled((c,), dtype, 2), "t3": filled((n, c), dtype, 3)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("body", BODIES)
def test_bodies(body, dtype):
    s, arrays = gathered(2, BODIES[body], (3, 2, 5, 19), dtype)
    judge(s, arrays)
    judge(s, arrays, shard="n")


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 8), (2, 1, 9, 16), (1, 2, 3, 17), (3, 1, 2, 70)])
@pytest.mark.parametrize("step", [2, 3, 4])
def test_shapes_and_edges(shape, step):
    for guarded in ((0, 0), (-1, -1), (-step, 1), (1, -2 * step - 1), (-100, -100)):
        s, arrays = gathered(step, BODIES["larger"], shape, "float32", guarded)
        for rows, columns in ((0, 0), (1, 1), (step, step), (0, 3)):  # what is read is longer than what is needed
            n, c, high, wide = arrays["t1"].shape
            judge(s, arrays | {"t1": filled((n, c, high + rows, wide + columns), "float32", 1)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_phases_of_a_frame(dtype):
    """``t0[n,c,a,b,i,j] = t1[n,c,2*i+a-1,3*j+b-1]``: where lanes begin depends on another axis."""
    down, right = affine({"i": 2, "a": 1}, -1), affine({"j": 3, "b": 1}, -1)
    axes = {name: f"t0.{d}" for d, name in enumerate("ncabij")}
    guards = [Interval(down, affine("t1.2")), Interval(right, affine("t1.3"))]
    s = statement(at("t0", *"ncabij"), "set", axes, {"x": at("t1", "n", "c", down, right)}, x, guards)
    for rows, columns in ((9, 53), (4, 4), (1, 20), (10, 47)):
        arrays = {"t0": filled((2, 3, 2, 3, 5, 18), dtype), "t1": filled((2, 3, rows, columns), dtype, 1)}
        judge(s, arrays)
        judge(s, arrays, shard="n")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("accumulate", [False, True], ids=["set", "added"])
@pytest.mark.parametrize("step", [2, 3])
def test_additions_in_steps(step, accumulate, dtype):
    down, right = affine({"i": step, "a": 1}), affine({"j": step, "b": 1})
    axes = {"n": "t0.0", "c": "t0.1", "a": "t1.2", "b": "t1.3", "i": "t1.4", "j": "t1.5"}
    for places in (1, 2):
        for columns in (5, 16, 17, 40):
            reads = {"x": at("t1", "n", "c", "a", "b", "i", "j"), "y": at("t2", "c")}
            body = call("mul", x, y)
            s = statement(at("t0", "n", "c", down, right), "sum", axes, reads, body, accumulate=accumulate)
            arrays = {
                "t0": filled((3, 2, step * 4 + 1, step * (columns - 1) + places), dtype),
                "t1": filled((3, 2, places, places, 4, columns), dtype, 1),
                "t2": filled((2,), dtype, 2),
            }
            judge(s, arrays)
            judge(s, arrays, shard="n")


@pytest.mark.parametrize("bits", ["128", "256", "512"])
def test_vectors_of_any_width(bits, monkeypatch):
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", bits)
    for dtype in ("float32", "float64"):
        judge(*gathered(2, BODIES["normed"], (2, 2, 5, 21), dtype))


def test_other_statements_are_refused():
    axes = {"n": "t0.0", "i": "t0.1", "j": "t0.2"}
    for read, more in (
        (at("t1", "n", "i", "j"), {}),  # nothing is a step apart
        (at("t1", "n", affine({"j": 2}), "i"), {}),  # lanes along rows
        (at("t1", "n", "i", affine({"j": 9})), {}),  # too long a step
        (at("t1", "n", "i", affine({"j": -2}, 100)), {}),
        (at("t1", "n", "i", affine({"j": 2})), {"body": Call("exp", (x,))}),
        (at("t1", "n", "i", affine({"j": 2})), {"guards": [Interval(affine({"i": 1, "j": 1}), affine("t1.1"))]}),
    ):
        body, guards = more.get("body", x), more.get("guards", ())
        s = statement(at("t0", "n", "i", "j"), "set", axes, {"x": read}, body, guards)
        assert not accepts_strided(Kernel("loops", s, (("t0", "float32"), ("t1", "float32"))), HINTS)
    with pytest.raises(KernelError, match="a step apart"):
        emit_strided(Kernel("contraction", None, (("A", "float32"),)))


def test_a_network_with_steps_runs_on_strided_rows():
    image = graphc.input("image", ("N", 3, 9, 9))
    wide, narrow = graphc.parameter("wide", (4, 3, 3, 3)), graphc.parameter("narrow", (4, 3, 1, 1))
    h = graphc.conv2d(image, wide, stride=2, padding=1) + graphc.conv2d(image, narrow, stride=2)
    loss = graphc.mean(graphc.conv2d(graphc.relu(h), graphc.parameter("last", (4, 4, 1, 1)), stride=2) ** 2)
    named = {node.label: node for node in graphc.graph.topological([loss]) if node.kind == "parameter"}
    values = {node: filled(node.shape, "float64", k) for k, node in enumerate(named.values())}
    start = {node.label: value for node, value in values.items()}
    step = graphc.compile([loss], gradients=True, dtype="float64", threads=2, parameters=start)
    assert step.program.schedules.count("strided") > 2
    back = graphc.backward(loss)
    values[image] = filled((3, 3, 9, 9), "float64", 5)
    (found,), gradients = step(image=values[image])
    expected = evaluate([loss, *(back.grad(node) for node in named.values())], values)
    assert all(numpy.any(value) for value in expected)
    for value, other in zip([found, *(gradients[label] for label in named)], expected, strict=True):
        numpy.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-12)
