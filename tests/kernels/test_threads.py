"""Threads that share the launches of a step."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy
import pytest

import graphc
from graphc.errors import KernelError
from graphc.kernels.cpu import threads


def network() -> tuple[graphc.Node, dict[str, numpy.ndarray]]:
    image, label = graphc.input("image", ("N", 2, 12, 12)), graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 8, 3, padding="same", bias=False, name="conv")
    h = graphc.max_pool2d(graphc.relu(graphc.layers.batch_norm(h, name="norm")), 2)
    h = graphc.layers.dropout(graphc.flatten(h), 0.25, name="drop")
    loss = graphc.softmax_cross_entropy(graphc.layers.dense(h, 5, name="scores"), label)
    generator = numpy.random.default_rng(3)
    data = {
        "image": generator.normal(size=(33, 2, 12, 12)).astype("float32"),
        "label": generator.integers(0, 5, 33).astype("int32"),
    }
    return loss, data


def trained(count: int, steps: int = 12) -> tuple[list[float], dict[str, numpy.ndarray]]:
    loss, data = network()
    step = graphc.compile([loss], optimizer=graphc.SGD(0.05, momentum=0.9), threads=count, seed=1)
    losses = [float(step(**data)[0]) for _ in range(steps)]
    return losses, {name: array.copy() for name, array in step.parameters.items()}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_training_with_threads_is_training_with_one(count: int) -> None:
    alone, parameters = trained(1)
    shared, others = trained(count)
    numpy.testing.assert_allclose(shared, alone, rtol=1e-4)
    for name, array in parameters.items():
        numpy.testing.assert_allclose(others[name], array, atol=1e-3 * numpy.abs(array).max(), err_msg=name)
    assert alone[-1] < 0.7 * alone[0]


def test_the_same_number_of_threads_gives_the_same_bits() -> None:
    first, parameters = trained(2)
    second, others = trained(2)
    assert first == second
    for name, array in parameters.items():
        numpy.testing.assert_array_equal(others[name], array)


def test_threads_share_what_is_worth_it_and_nothing_else() -> None:
    loss, data = network()
    step = graphc.compile([loss], gradients=True, threads=2)
    step(**data)
    program = step.program
    assert program._frame is not None
    sizes = program._frame.sizes
    assert program._frame.shard == 2
    assert {program._worth(launch, sizes) for launch in program.plan.launches} == {1, 2}
    step(**{name: array[:1] for name, array in data.items()})
    assert program._frame.shard == 1  # one example cannot be divided


def test_programs_in_several_python_threads_take_turns() -> None:
    loss, data = network()
    expected = graphc.compile([loss], gradients=True, threads=1, dtype="float64", training=False)(**data)
    found = []

    def work() -> None:
        step = graphc.compile([loss], gradients=True, threads=2, dtype="float64", training=False)
        found.extend(step(**data) for _ in range(20))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 60
    for (value,), gradients in found:
        numpy.testing.assert_allclose(value, expected[0][0], rtol=1e-9)
        for name, gradient in gradients.items():
            numpy.testing.assert_allclose(gradient, expected[1][name], rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    text = (
        "import os, numpy, graphc\n"
        "x = graphc.input('x', ('N', 400))\n"
        "step = graphc.compile([graphc.sum(graphc.exp(x))], threads=2)\n"
        "data = numpy.zeros((400, 400), 'float32')\n"
        "assert step(x=data)[0] == 160000\n"
        "pid = os.fork()\n"
        "assert step(x=data)[0] == 160000\n"
        "if pid == 0:\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", text], check=True, timeout=120)


def test_the_environment_says_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_THREADS", "3")
    assert threads.default_threads() == 3
    monkeypatch.delenv("GRAPHC_THREADS")
    assert 1 <= threads.default_threads() <= max(1, threads.available())
    monkeypatch.setenv("GRAPHC_THREADS", "two")
    with pytest.raises(KernelError, match="GRAPHC_THREADS='two' must be a whole number"):
        threads.default_threads()


def test_a_program_may_be_forgotten_as_soon_as_its_step_is_done() -> None:
    # a worker may still be looking at the meeting counter when the caller has gone on
    x = graphc.input("x", ("N", 64))
    data = numpy.ones((512, 64), "float32")
    for power in range(300):
        (total,) = graphc.compile([graphc.sum(x * float(power % 7), axes=1)], threads=2)(x=data)
        assert (total == 64 * (power % 7)).all()


def test_a_step_that_shares_nothing_wakes_no_worker() -> None:
    # without a meeting the caller would go on, and forget what a worker is about to read
    x = graphc.input("x", ("N", 64))
    data = numpy.ones((4, 64), "float32")
    large = graphc.compile([graphc.sum(graphc.exp(x))], threads=2)
    large(x=numpy.zeros((2000, 64), "float32"))
    before = int(threads._pools[2].numbers[0])
    for _ in range(50):
        graphc.compile([graphc.reshape(x, (-1,))], threads=2)(x=data)
        graphc.compile([x + 1.0], threads=2)(x=data)
    assert int(threads._pools[2].numbers[0]) == before
