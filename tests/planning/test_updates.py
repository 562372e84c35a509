"""Updates in place: done where the old value is no longer needed, and only there."""

import numpy
import pytest

import graphc
from graphc.graph.reference import evaluate
from graphc.planning import plan
from tests.planning.interpreter import Interpreter


def run(outputs, updates, values):
    planned, leaves = plan(outputs, {}, updates, dtype="float64")
    machine = Interpreter(planned, leaves, values, {})
    machine.run()
    results = [numpy.array(machine.array(number)) for number in planned.outputs]
    after = {node.label: machine.owned[number] for number, node in leaves.items()}
    shared = [planned.buffers[value].view_of == leaf for leaf, value in planned.updates]
    return results, after, shared


def test_an_elementwise_update_writes_over_the_old_value():
    w, v = graphc.parameter("w", (5,)), graphc.state("v", (5,))
    values = {"w": numpy.arange(5.0), "v": numpy.ones(5)}
    speed = v * 0.9 + graphc.sin(w)
    _, after, shared = run([], [(v, speed), (w, w - speed * 0.1)], values)
    assert shared == [True, True]
    expected = 0.9 + numpy.sin(numpy.arange(5.0))
    numpy.testing.assert_allclose(after["v"], expected)
    numpy.testing.assert_allclose(after["w"], numpy.arange(5.0) - 0.1 * expected)


def test_what_needs_the_old_value_gets_it():
    w, x = graphc.parameter("w", (4,)), graphc.parameter("x", (4,))
    values = {"w": numpy.arange(4.0), "x": numpy.full(4, 2.0)}
    late = graphc.sum(graphc.exp(w * x))
    (total,), after, _ = run([late], [(w, w + 1.0), (x, x * w)], values)
    numpy.testing.assert_allclose(total, numpy.exp(2 * numpy.arange(4.0)).sum())
    numpy.testing.assert_allclose(after["w"], numpy.arange(4.0) + 1)
    numpy.testing.assert_allclose(after["x"], 2 * numpy.arange(4.0))


@pytest.mark.parametrize(
    "update",
    [
        lambda w: graphc.transpose(w, (1, 0)) * 2.0,  # reads other places than it writes
        lambda w: w / graphc.sum(w),
        lambda w: w - graphc.mean(w, axes=1, keepdims=True),
        lambda w: w * graphc.softmax(w),
    ],
)
def test_updates_that_mix_elements_are_right(update):
    w = graphc.parameter("w", (3, 3))
    start = numpy.arange(9.0).reshape(3, 3) + 1
    _, after, _ = run([], [(w, update(w))], {"w": start})
    (expected,) = evaluate([update(w)], {w: start})
    numpy.testing.assert_allclose(after["w"], expected)


def test_states_that_exchange_values_do():
    a, b = graphc.state("a", (3,)), graphc.state("b", (3,))
    _, after, shared = run([], [(a, b), (b, a)], {"a": numpy.zeros(3), "b": numpy.ones(3)})
    assert sum(shared) <= 1
    assert after["a"].tolist() == [1, 1, 1]
    assert after["b"].tolist() == [0, 0, 0]


def test_a_new_value_that_the_caller_reads_stays_beside_the_old_one():
    w = graphc.parameter("w", (3,))
    new = w * 2.0
    (result,), after, shared = run([new], [(w, new)], {"w": numpy.ones(3)})
    assert shared == [False]
    assert result.tolist() == after["w"].tolist() == [2, 2, 2]
