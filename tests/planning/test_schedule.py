"""Stages and shards: judged by an interpreter that runs threads one after the other, the last first."""

import importlib

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.reference import evaluate
from graphc.planning import plan
from tests.planning.interpreter import Interpreter

plans = importlib.import_module("graphc.planning.plan")


def network():
    """Convolutions, batch norm, pooling, a gathered loss and a branch: examples meet in the norm and in the loss."""
    image = graphc.input("image", ("N", 2, 8, 8))
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 4, 3, padding="same", name="conv1")
    h = graphc.relu(graphc.layers.batch_norm(h, name="norm"))
    h = graphc.relu(graphc.layers.residual(h, lambda x: graphc.layers.conv2d(x, 4, 3, padding="same", name="conv2")))
    h = graphc.max_pool2d(h, 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 5, name="dense1"))
    return graphc.softmax_cross_entropy(graphc.layers.dense(h, 3, name="scores"), label)


def judged(loss, batch, threads, seed=0):
    back = graphc.backward(loss, None)
    gradients = {node.label: back.grad(node) for node in back.wrt}
    planned, leaves = plan([loss], gradients, dtype="float64")
    draw = numpy.random.default_rng(seed)
    values = {}
    for node in topological([loss]):
        if node.kind in ("input", "parameter", "state"):
            shape = tuple(batch if not isinstance(e, int) else e for e in node.shape)
            values[node] = draw.normal(size=shape) if node.is_float else draw.integers(0, 3, shape)
        if node.kind == "state":  # a variance
            values[node] = abs(values[node])
    expected = evaluate([loss, *gradients.values()], {**values, graphc.is_training(): numpy.array(1.0)})
    machine = Interpreter(planned, leaves, {n.label: v for n, v in values.items()}, {"N": batch}, threads)
    machine.run()
    for number, value in zip([planned.outputs[0], *planned.gradients.values()], expected, strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-9, atol=1e-11)
    return planned, machine


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_threads_and_slices_compute_what_the_reference_computes(batch, threads, monkeypatch):
    monkeypatch.setattr(plans, "_SLICE", 5000)  # a few examples
    planned, machine = judged(network(), batch, threads)
    assert sum(stage.shard for stage in planned.stages) >= 3  # batch norm couples examples
    if batch == 7:
        assert max(machine.layout.slices) > 1


def test_a_network_without_coupling_is_one_shard():
    image, label = graphc.input("image", ("N", 1, 8, 8)), graphc.input("label", ("N",), dtype="int32")
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(image, 4, 3, padding="same", name="conv")), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 5, name="dense"))
    planned, _ = judged(graphc.softmax_cross_entropy(graphc.layers.dense(h, 3, name="scores"), label), 4, 2)
    assert [stage.shard for stage in planned.stages] == [False, True, False]
    (shard,) = (stage for stage in planned.stages if stage.shard)
    # convolutions go through slices, dense layers through all examples of a thread
    assert [segment.sliced for segment in shard.segments][-1]
    assert not all(segment.sliced for segment in shard.segments)


def test_buffers_of_one_segment_are_as_long_as_a_slice():
    planned, machine = judged(network(), 6, 2)
    local = [b for b in planned.buffers if b.segment >= 0]
    assert len(local) > 5
    assert machine.layout.scratch > 0
    kept = {*planned.outputs, *planned.gradients.values()}
    assert not any(planned.buffers[k].segment >= 0 for k in kept)


def test_random_numbers_depend_on_the_place_in_the_whole_batch():
    x, key = graphc.input("x", ("N", 5)), graphc.input("key", (2,), dtype="int32")
    y = graphc.dropout(x, key)
    planned, leaves = plan([y], dtype="float64")
    assert any(stage.shard for stage in planned.stages)
    values = {"x": numpy.arange(1.0, 36.0).reshape(7, 5), "key": numpy.array([5, 7])}
    machine = Interpreter(planned, leaves, values, {"N": 7}, 3)
    machine.run()
    (expected,) = evaluate([y], {x: values["x"], key: values["key"]})
    numpy.testing.assert_array_equal(machine.array(planned.outputs[0]), expected)


@pytest.mark.parametrize(
    ("formula", "shapes"),
    [
        ("y[i,j] = x[i,j] * x[j,i]", [("N", "N")]),  # examples along both dimensions
        ("y[i] = max(x[j], j) - x[i]", [("N",)]),  # needs every example
        ("y[i,k] = x[k,i]", [("N", 3)]),  # examples along another dimension
    ],
)
def test_what_couples_examples_is_not_sharded(formula, shapes):
    gate = graphc.gate(formula, name="coupled")
    x = graphc.input("x", shapes[0])
    values = numpy.random.default_rng(0).normal(size=tuple(4 if e == "N" else e for e in shapes[0]))
    y = gate(x)
    planned, leaves = plan([y], dtype="float64")
    machine = Interpreter(planned, leaves, {"x": values}, {"N": 4}, 2)
    machine.run()
    (expected,) = evaluate([y], {x: values})
    numpy.testing.assert_allclose(machine.array(planned.outputs[0]), expected, rtol=1e-12)
    assert not all(stage.shard for stage in planned.stages)


def test_sums_over_examples_are_each_thread_s_own():
    x, t = graphc.input("x", ("N", 4)), graphc.input("t", ("N",), dtype="int32")
    table = graphc.parameter("table", (6, 4))
    planned, _ = judged(graphc.mean(graphc.tanh(graphc.embedding(table, t) * x)), 5, 2)
    private = [b for b in planned.buffers if b.private]
    assert private
    assert any(b.shape[1:] == (6, 4) for b in private)  # the scattered gradient
