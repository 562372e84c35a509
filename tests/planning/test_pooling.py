"""Windows side by side: which launches become one, and which stay."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

import graphc
from graphc.formula.expression import Call, Expression, Symbol
from graphc.formula.size import named
from graphc.formula.statement import Access, Axis, Interval, Statement, affine
from graphc.graph.reference import evaluate
from graphc.planning import Launch, plan
from graphc.planning.pooling import _Pooling
from graphc.planning.tiling import WINDOW, tiling
from tests.planning.interpreter import Interpreter

VALUE = Symbol("v0")


def image(*shape):
    return graphc.input("x", ("N", *(shape or (2, 4, 6))))


def gradients(y, *wrt):
    back = graphc.backward(y, wrt, upstream=graphc.input("g", y.shape))
    return [back.grad(node) for node in wrt]


def launches(nodes, **options):
    """Kind and label of each launch."""
    planned, _ = plan(nodes if isinstance(nodes, list) else [nodes], shard=False, **options)
    return [(planned.kernels[launch.kernel].kind, launch.label) for launch in planned.launches]


def pooled(nodes):
    return [label for kind, label in launches(nodes) if kind == "pooling"]


def judged(nodes, batch=3, seed=0):
    """Plans without and with fusion, held against the reference; small whole numbers, so that there are ties."""
    generator = numpy.random.default_rng(seed)
    for fuse in (False, True):
        planned, leaves = plan(nodes, dtype="float64", fuse=fuse)
        values = {
            node: generator.integers(-2, 3, [batch if not isinstance(e, int) else e for e in node.shape]).astype(float)
            for node in leaves.values()
            if node.kind != "constant"
        }
        machine = Interpreter(planned, leaves, {node.label: value for node, value in values.items()}, {"N": batch})
        machine.run()
        for number, expected in zip(planned.outputs, evaluate(nodes, values), strict=True):
            numpy.testing.assert_allclose(machine.array(number), expected, rtol=1e-12, err_msg=f"fuse={fuse}")
    return planned


# ---- what becomes one launch -------------------------------------------------------------------------


def test_a_maximum_takes_what_is_elementwise_before_it():
    x, b = image(), graphc.parameter("b", (2, 1, 1))
    y = graphc.max_pool2d(graphc.relu(x + b))
    planned = judged([y])
    assert launches(y) == [("pooling", "add b · relu · max_pool2d")]
    assert [planned.buffers[number].name for number in planned.launches[0].buffers[:-1]] == ["x", "b"]
    assert planned.launches[0].buffers[-1] == planned.outputs[0]


def test_the_gradient_of_a_maximum_takes_what_is_elementwise_around_it():
    x, b = image(), graphc.parameter("b", (2, 1, 1))
    y = graphc.max_pool2d(graphc.relu(x + b))
    nodes = [y, *gradients(y, x)]
    judged(nodes)
    assert launches(nodes) == [
        ("pooling", "add b · relu · max_pool2d"),
        ("pooling", "add b · relu · max_pool2d.dx · relu.dx"),
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("shape", "size"), [((2, 4, 6), 2), ((1, 5, 7), 2), ((2, 7, 9), 3), ((1, 4, 9), (2, 3))])
def test_networks_compute_the_same(shape, size, seed):
    x, b = image(*shape), graphc.parameter("b", (shape[0], 1, 1))
    body = [graphc.relu, graphc.leaky_relu, graphc.tanh, lambda h: h, graphc.abs, lambda h: 2.0 - h][seed]
    y = graphc.max_pool2d(body(x + b), size)
    planned = judged([y, *gradients(graphc.relu(y), x, b)], seed=seed)
    assert sum(planned.kernels[launch.kernel].kind == "pooling" for launch in planned.launches) == 2


@pytest.mark.parametrize(
    ("name", "build", "shape"),
    [
        ("max_pool1d", lambda x: graphc.max_pool1d(x, 3), (2, 10)),
        ("maxout", lambda x: graphc.maxout(x, 3, axis=-1), (2, 9)),
        ("max_pool2d", lambda x: graphc.max_pool2d(x, (1, 2)), (2, 3, 4)),
    ],
)
def test_windows_of_any_rank(name, build, shape):
    x = image(*shape)
    y = build(graphc.relu(x))
    assert pooled([y, *gradients(y, x)]) == [f"relu · {name}", f"relu · {name}.dx · relu.dx"]
    judged([y, *gradients(y, x)])


def test_equal_kernels_are_one():
    h = image(1, 32, 32)
    for _ in range(4):
        h = graphc.max_pool2d(graphc.relu(h))
    planned, _ = plan([h])
    assert len(planned.launches) == 4
    assert {k.literals for k in planned.kernels} == {(16, 1), (8, 1), (4, 1)}  # 2 outputs fill a vector of 4, too
    assert len(planned.kernels) == 3


# ---- what does not -----------------------------------------------------------------------------------


def test_nothing_is_joined_without_fusion():
    x = image()
    y = graphc.max_pool2d(graphc.relu(x))
    assert {kind for kind, _ in launches([y, *gradients(y, x)], fuse=False)} == {"loops"}


@pytest.mark.parametrize(
    "build",
    [
        lambda x: graphc.max_pool2d(x, 3, stride=2),
        lambda x: graphc.max_pool2d(x, 2, stride=3),
        lambda x: graphc.max_pool2d(x, 2, padding=1),
        lambda x: graphc.max_pool2d(x, (2, 1)),
        lambda x: graphc.max_pool2d(x, 4),
        lambda x: graphc.average_pool2d(x, 2),
        lambda x: graphc.maxout(x, 2, axis=1),
        graphc.global_max_pool2d,
    ],
    ids=["overlapping", "gaps", "padded", "columns", "large", "average", "channels", "global"],
)
def test_other_windows_stay_loops(build):
    x = image(2, 8, 8)
    y = build(graphc.relu(x))
    assert pooled([y, *gradients(y, x)]) == []
    judged([y, *gradients(y, x)])


def test_what_somebody_else_reads_is_written():
    x = image()
    h = graphc.relu(x)
    y = graphc.max_pool2d(h)
    assert launches([y, h]) == [("loops", "relu"), ("pooling", "max_pool2d")]
    nodes = gradients(y, h, x)
    assert launches(nodes) == [("pooling", "relu · max_pool2d.dx"), ("loops", "relu.dx")]
    judged([y, h, *nodes])


def test_what_is_dear_is_computed_once():
    x = image()
    y = graphc.max_pool2d(graphc.exp(x))
    # no kernel of windows has an exponential
    assert launches(y) == [("loops", "exp"), ("pooling", "max_pool2d")]
    assert pooled([y, *gradients(y, x)])[0] == "max_pool2d"


def test_a_rest_that_would_not_be_zero_stays_apart():
    for extent, joined in ((4, True), (5, False)):
        x = image(1, extent, extent)
        h = graphc.relu(x)
        y = graphc.max_pool2d(h)
        root = graphc.sum(y * graphc.input("g", y.shape)) + graphc.sum(h * 3.0)
        dx = graphc.backward(root, [x]).grad(x)  # 3 where no window is
        judged([dx])
        (label,) = pooled([dx])
        assert ("relu.dx" in label) == joined


def test_a_stored_winner_is_stored():
    """Windows whose positions somebody reads keep the launch that finds them."""
    text = "p[n,i] = argmax(x[n,2*i+r], r)\ny[n,i] = max(x[n,2*i+r], r)"
    x = graphc.input("x", ("N", 6))
    both = graphc.gate(text, name="both", extents={"r": "2", "i": "size(x,1)//2"})(x)
    assert launches(list(both))[0][0] == "loops"


@pytest.mark.parametrize(("extent", "taken"), [(3, True), (4, False)])
def test_a_part_of_a_tensor_stays_loops(extent, taken):
    axes = (Axis("a0", affine("t1.0")), Axis("a1", affine({}, 3)), Axis("r", affine({}, 2)))
    seen = Access("t1", (affine("a0"), affine({"a1": 2, "r": 1})))
    statement = Statement(Access("t0", (affine("a0"), affine("a1"))), "max", axes, (("v0", seen),), VALUE)
    shapes = ((named("N"), extent), (named("N"), 6))
    buffers = [SimpleNamespace(shape=shape, dtype="float32", view_of=None) for shape in shapes]
    builder: Any = SimpleNamespace(buffers=buffers, launches=[], kernel_number=lambda kernel: 0)
    launch = Launch(0, (0, 1), (), "part")
    assert (_Pooling(builder, ()).windows(statement, launch.buffers, [launch]) is not None) == taken


# ---- statements --------------------------------------------------------------------------------------


def maximum(*, seen, operator="max", extents=(2, 2), guards=(), body: Expression = VALUE):
    """A statement over axes a0, a1, a2 and, within windows, r, s."""
    counted = [Axis(f"a{d}", affine(f"t0.{d}")) for d in range(3)]
    window = [Axis(name, affine({}, extent)) for name, extent in zip("rs", extents, strict=True)]
    write = Access("t0", tuple(affine(axis.name) for axis in counted))
    return Statement(write, operator, (*counted, *window), (("v0", Access("t1", seen)),), body, guards)


WINDOWS = (affine("a0"), affine({"a1": 2, "r": 1}), affine({"a2": 2, "s": 1}))


def test_a_tiling_is_told_from_the_statement():
    found = tiling(maximum(seen=WINDOWS))
    assert found is not None
    assert (found.axes, found.steps, found.window) == (("a0", "a1", "a2"), (1, 2, 2), {"r": 2, "s": 2})
    assert list(found.points()) == [{"r": 0, "s": 0}, {"r": 0, "s": 1}, {"r": 1, "s": 0}, {"r": 1, "s": 1}]


@pytest.mark.parametrize(
    "statement",
    [
        maximum(seen=WINDOWS, operator="min"),
        maximum(seen=WINDOWS, extents=(2, 3)),
        maximum(seen=WINDOWS, guards=(Interval(affine("a1"), affine("t1.1")),)),
        maximum(seen=WINDOWS, body=Call("exp", (VALUE,))),
        maximum(seen=WINDOWS, body=Symbol("t1.0")),
        maximum(seen=(WINDOWS[0], WINDOWS[1], WINDOWS[2] + 1)),
        maximum(seen=(WINDOWS[0], WINDOWS[1], WINDOWS[2] + affine("t1.0"))),
        maximum(seen=(affine({"a0": 2, "r": 1}), affine("a1"), WINDOWS[2])),
        maximum(seen=(affine("a0"), WINDOWS[2], WINDOWS[1])),
        maximum(seen=(affine("a0"), affine({"a1": 2, "s": 1}), affine({"a2": 2, "r": 1, "s": 1}))),
    ],
    ids=["minimum", "extent", "guard", "function", "size", "shifted", "offset", "examples", "turned", "both"],
)
def test_what_is_no_tiling(statement):
    assert tiling(statement) is None


def test_what_is_written_in_steps_is_no_tiling():
    statement = maximum(seen=WINDOWS)
    index = statement.write.index
    for other in (affine({"a2": 2}), affine("a2") + 1, affine({"a2": 2, "a1": 1})):
        assert tiling(replace(statement, write=Access("t0", (*index[:2], other)))) is None
    everywhere = replace(statement, operator="set", write=Access("t0", WINDOWS), reads=(("v0", Access("t1", index)),))
    assert tiling(everywhere) is not None
    assert tiling(replace(everywhere, write=Access("t0", (*WINDOWS[:2], affine({"a2": 2}))))) is None


def test_windows_of_many_elements_are_refused():
    seen = (affine("a0"), affine({"a1": 2, "r": 1}), affine({"a2": 5, "s": 1}))
    assert WINDOW < 10
    assert tiling(maximum(seen=seen, extents=(2, 5))) is None
