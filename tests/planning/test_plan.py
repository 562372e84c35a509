from __future__ import annotations

import json

import numpy
import pytest

import graphc
from graphc.formula.size import extent_value
from graphc.graph import topological
from graphc.graph.reference import evaluate
from graphc.planning import Target, plan
from graphc.planning.plan import THREADS, item_bytes
from tests.planning.interpreter import Interpreter


def judge(loss, batch, seed=0, wrt=None, sizes=("N",), **options):
    """Run the plan of a loss and its gradients in NumPy and compare with the reference."""
    back = graphc.backward(loss, wrt)
    gradients = {node.label: back.grad(node) for node in back.wrt}
    planned, leaves = plan([loss], gradients, dtype="float64", **options)
    generator = numpy.random.default_rng(seed)
    values = {}
    for node in topological([loss]):
        if node.kind in ("input", "parameter", "state"):
            shape = tuple(batch if not isinstance(e, int) else e for e in node.shape)
            values[node] = generator.normal(size=shape) if node.is_float else generator.integers(0, 3, shape)
    expected = evaluate([loss, *gradients.values()], values)
    machine = Interpreter(planned, leaves, {n.label: v for n, v in values.items()}, dict.fromkeys(sizes, batch))
    machine.run()
    numbers = [planned.outputs[0], *planned.gradients.values()]
    for name, number, value in zip(["loss", *gradients], numbers, expected, strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-10, atol=1e-12, err_msg=name)
    return planned


def small_cnn():
    image = graphc.input("image", ("N", 2, 8, 8))
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 4, 3, padding="same", name="conv1")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(h, 6, 3, name="conv2")), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 5, name="dense1"))
    return graphc.softmax_cross_entropy(graphc.layers.dense(h, 3, name="scores"), label)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_plan_of_a_cnn_computes_what_the_reference_computes(batch):
    planned = judge(small_cnn(), batch, wrt=None)
    kinds = [planned.kernels[k.kernel].kind for k in planned.launches]
    # dense layers: product, gradients of both operands; convolutions: the same, direct
    assert sum(kind not in ("loops", "pooling", "sums") for kind in kinds) == 12
    assert kinds.count("pooling") == 4  # two maxima and their gradients
    assert kinds.count("contraction") >= 6


@pytest.mark.parametrize("schedules", [(), ("convolution",), ("convolution", "tiles"), ("pooling",)])
def test_only_schedules_of_the_target_are_planned(schedules):
    """What a target has no kernel for becomes loops and matrix products, with the same result."""
    image = graphc.input("image", ("N", 8, 8, 8))
    h = graphc.layers.conv2d(image, 8, 3, padding="same", name="conv")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    loss = graphc.sum(h * h)
    planned = judge(loss, 4, target=Target(schedules=frozenset(schedules)))
    kinds = {planned.kernels[k.kernel].kind for k in planned.launches}
    assert any(kind.startswith("convolution") for kind in kinds) == ("convolution" in schedules)
    assert any(kind.endswith("by_tiles") for kind in kinds) == ("tiles" in schedules)
    assert ("pooling" in kinds) == ("pooling" in schedules)


def test_the_width_of_vectors_decides_what_fills_them():
    """Eight maps fill vectors of eight lanes, not of sixteen."""
    image = graphc.input("image", ("N", 3, 12, 12))
    loss = graphc.sum(graphc.layers.conv2d(image, 8, 5, name="conv"))
    kinds = []
    for lanes in (16, 8):
        planned = judge(loss, 2, target=Target(lanes=lanes))
        kinds.append({planned.kernels[k.kernel].kind for k in planned.launches})
    assert "correlation_of_maps" in kinds[1] - kinds[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (2, 3), "padding": (2, 1), "dilation": 2},
        {"groups": 2, "padding": "same"},
        {"groups": 4, "stride": 2, "padding": "full"},
        {"stride": 5},
    ],
)
def test_convolutions_are_planned_right(options):
    x = graphc.input("x", ("N", 4, 9, 8))
    w = graphc.parameter("w", (8, 4 // options.get("groups", 1), 3, 2))
    y = graphc.conv2d(x, w, **options)
    judge(graphc.sum(y * y), 2)


@pytest.mark.parametrize(
    "shapes",
    [((5, 7), (7, 3)), ((7,), (7, 4)), ((4, 7), (7,)), ((2, 5, 7), (2, 7, 3)), ((2, 5, 7), (7, 3))],
)
def test_matrix_products_of_every_orientation_are_contractions(shapes):
    a, b = graphc.parameter("a", shapes[0]), graphc.parameter("b", shapes[1])
    planned = judge(graphc.sum(graphc.tanh(a @ b)), 1, sizes=())
    assert any(kernel.kind == "contraction" for kernel in planned.kernels)


def test_products_without_reuse_are_loops():
    for shapes in [((1, 7), (7, 1)), ((6, 1), (1, 4)), ((7,), (7,))]:
        a, b = graphc.parameter("a", shapes[0]), graphc.parameter("b", shapes[1])
        planned = judge(graphc.sum(graphc.tanh(a @ b)), 1, sizes=())
        forward = [k for k in planned.launches if k.label.startswith("matmul") and "." not in k.label]
        assert [planned.kernels[k.kernel].kind for k in forward] == ["loops"], shapes
    x, y = graphc.input("x", ("N", 8)), graphc.input("y", ("N", 8))
    planned = judge(graphc.sum(graphc.tanh(x * y)), 3)
    assert all(kernel.kind == "loops" for kernel in planned.kernels)


def test_equal_expressions_are_computed_once():
    x, y = graphc.inputs("x y")
    first, second = graphc.exp(x * y), graphc.exp(x * y)
    assert first is not second
    planned = judge(first + second, 1, sizes=(), fuse=False)
    assert sum(launch.label.startswith("exp") and "." not in launch.label for launch in planned.launches) == 1


def test_reshapes_and_pass_through_gradients_have_no_kernel():
    x = graphc.input("x", ("N", 2, 3))
    planned, _ = plan([graphc.flatten(x)], {})
    assert not planned.launches
    a, b = graphc.input("a", (4,)), graphc.input("b", (4,))
    back = graphc.backward(a + b, upstream=graphc.input("g", (4,)))
    planned, _ = plan([], {"a": back.grad("a"), "b": back.grad("b")})
    assert not planned.launches


def test_a_gradient_that_is_added_to_is_not_a_view_of_its_upstream():
    twice = graphc.gate("y[i] = x[i] + x[0]", name="twice")
    x = graphc.parameter("x", (4,))
    judge(graphc.sum(graphc.tanh(twice(x)) * graphc.constant([1.0, 2.0, 3.0, 4.0])), 1, sizes=())


@pytest.mark.parametrize("shard", [False, True])
def test_buffers_that_live_together_never_share_memory(shard):
    planned, _ = plan([small_cnn()], {}, dtype="float64", fuse=False, shard=shard)
    sizes = {"N": 4, THREADS: 2}
    layout = planned.layout(sizes)
    arena = [
        (b, o)
        for b, o in zip(planned.buffers, layout.offsets, strict=True)
        if b.role == "arena" and b.view_of is None and b.shape != (0,)
    ]
    assert shard == any(b.segment >= 0 for b, _ in arena)

    def end(buffer, offset):
        own = sizes if buffer.segment < 0 else {**sizes, "N": 2 // layout.slices[buffer.segment]}
        return offset + extent_value(buffer.elements(), own) * item_bytes(buffer.dtype)

    for k, (one, start) in enumerate(arena):
        for other, begin in arena[:k]:
            if one.segment != other.segment or one.last < other.first or other.last < one.first:
                continue
            assert end(one, start) <= begin or end(other, begin) <= start
    # liveness saves memory, outside of segments and inside
    inside = sum(end(b, 0) for b, _ in arena if b.segment >= 0)
    assert layout.scratch <= 0.7 * inside
    assert shard or layout.total < 0.7 * sum(end(b, 0) for b, _ in arena)


def test_updates_that_exchange_two_states_are_copied_first():
    a, b = graphc.state("a", (2,), initial=1.0), graphc.state("b", (2,), initial=2.0)
    planned, leaves = plan([a + b], {}, [(a, b), (b, a)], dtype="float64")
    machine = Interpreter(planned, leaves, {"a": [1.0, 1.0], "b": [2.0, 2.0]}, {})
    machine.run()
    found = {leaves[n].label: v.tolist() for n, v in machine.owned.items()}
    assert found == {"a": [2.0, 2.0], "b": [1.0, 1.0]}


def test_a_plan_is_plain_data_and_the_same_every_time():
    first, second = judge(small_cnn(), 2), judge(small_cnn(), 2)
    assert json.loads(first.to_json())["kernels"] == json.loads(second.to_json())["kernels"]
    assert [k.key() for k in first.kernels] == [k.key() for k in second.kernels]
    assert "conv1.weight" in str(first)


def test_kernels_are_shared_between_layers():
    planned = judge(small_cnn(), 2, fuse=False)
    assert len(planned.kernels) < 0.6 * len(planned.launches)


def test_flat_copies_are_views_and_other_flat_statements_are_refused_with_their_site():
    x = graphc.input("x", (2, 3))
    extents = {"y.0": "size(x,0)*size(x,1)"}
    planned, _ = plan([graphc.gate("flat(y)[e] = flat(x)[e]", name="copy", extents=extents)(x)], {})
    assert not planned.launches
    double = graphc.gate("flat(y)[e] = 2*flat(x)[e]", name="double", extents=extents)
    with pytest.raises(graphc.PlanError, match=r"double: only a plain reshape.*\n.*test_plan\.py:\d+"):
        plan([double(x)], {})


def test_kernels_that_differ_only_in_what_a_read_outside_means_are_two() -> None:
    x = graphc.input("x", (6,))
    inside = graphc.gate("y[i] = exp(x[i+1])", name="inside")
    beyond = graphc.gate("y[i] = exp(x[i+1])", name="beyond", outside={"x": 0}, extents={"i": "size(x,0)"})
    made, _ = plan([inside(x), beyond(x)])
    assert len(made.kernels) == 2
    found = graphc.compile([inside(x), beyond(x)], dtype="float64")(x=numpy.arange(6.0))
    numpy.testing.assert_allclose(found[0], numpy.exp([1, 2, 3, 4, 5]))
    numpy.testing.assert_allclose(found[1], numpy.exp([1, 2, 3, 4, 5, 0]))


def test_a_size_of_a_tensor_that_a_line_does_not_read_reaches_its_kernel():
    x = graphc.input("x", ("N", 3))
    average = graphc.gate("m[c] = sum(x[n,c], n)\ny[c] = m[c]/size(x,0)", name="average")
    judge(graphc.sum(graphc.tanh(average(x))), 4, wrt=[x])


def test_batch_statistics_are_computed_once_for_the_step_and_the_running_ones():
    x = graphc.input("x", ("N", 3, 4, 4))
    y = graphc.layers.batch_norm(x, name="norm")
    states = [node for node in topological([y]) if node.kind == "state"]
    planned, _ = plan([y], {}, [(state, state.update) for state in states], shard=False)
    statements = [str(planned.kernels[launch.kernel].statement) for launch in planned.launches]
    assert sum("sum(" in s for s in statements) == 2  # mean and variance
