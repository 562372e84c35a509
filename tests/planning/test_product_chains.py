"""Products that stay near for the chain behind them: planned where a chain alone reads them, judged like repeats."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.graph.reference import evaluate
from graphc.planning import SCHEDULES, Target, plan
from tests.planning import recurrences
from tests.planning.interpreter import Interpreter
from tests.planning.recurrences import loss_of, values_of


@pytest.fixture(autouse=True)
def _units(monkeypatch):
    """Units that fill vectors."""
    monkeypatch.setattr(recurrences, "HIDDEN", 16)


def kinds(made):
    return [made.kernels[launch.kernel].kind for launch in made.launches if launch.repeat >= 0]


def prepared(build, steps=4, **options):
    loss = loss_of(build(steps, **options))
    back = graphc.backward(loss)
    return loss, {node.label: back.grad(node) for node in back.wrt}


#: Launches of forward and backward steps that are products for a chain. What the reverse sweep reads again,
#: as of a reset gate behind its product, is stored: there the product stays apart.
EXPECTED = [(recurrences.rnn, 1), (recurrences.lstm, 1), (recurrences.gru, 3), (recurrences.gru_reset_after, 0)]


@pytest.mark.parametrize(("build", "count"), EXPECTED, ids=lambda x: getattr(x, "__name__", str(x)))
@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 2), (7, 3)])
def test_plans_compute_what_the_reference_computes(build, count, batch, threads):
    loss, gradients = prepared(build)
    made, leaves = plan([loss], gradients, dtype="float64")
    assert kinds(made).count("product_chain") == count
    values = values_of([loss], {"N": batch, "T": None}, seed=batch)
    machine = Interpreter(made, leaves, {n.label: v for n, v in values.items()}, {"N": batch}, threads)
    machine.run()
    expected = evaluate([loss, *gradients.values()], values)
    for number, value in zip([*made.outputs, *made.gradients.values()], expected, strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-9, atol=1e-11)


def test_states_of_which_only_the_last_is_kept():
    """The step before the last must still be there while the product reads it."""
    _, (h, c) = recurrences.lstm(5)
    made, leaves = plan([h, c], dtype="float64")
    assert kinds(made) == ["product_chain"]
    values = values_of([h, c], {"N": 3, "T": None}, seed=1)
    machine = Interpreter(made, leaves, {n.label: v for n, v in values.items()}, {"N": 3}, 2)
    machine.run()  # refuses a kernel that writes what it reads
    for number, value in zip(made.outputs, evaluate([h, c], values), strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("target", [Target(schedules=SCHEDULES - {"product_chain"}), Target(lanes=64)])
def test_targets_without_the_kernel_or_with_wider_vectors_than_units(target):
    loss, gradients = prepared(recurrences.lstm)
    made, _ = plan([loss], gradients, dtype="float64", target=target)
    assert "product_chain" not in kinds(made)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("build", [recurrences.rnn, recurrences.lstm, recurrences.gru], ids=lambda b: b.__name__)
def test_compiled_steps(build, dtype, monkeypatch):
    monkeypatch.setattr(recurrences, "HIDDEN", 32)
    loss = loss_of(build(3))
    back = graphc.backward(loss)
    step = graphc.compile([loss], gradients=[n.label for n in back.wrt], dtype=dtype, threads=2)
    for batch in (1, 5, 33):
        values = values_of([loss], {"N": batch, "T": None}, seed=batch)
        (value,), gradients = step(**{n.label: v for n, v in values.items()})
        expected = evaluate([loss, *(back.grad(name) for name in gradients)], values)
        bound = 1e-10 if dtype == "float64" else 1e-4
        for found, wanted in zip([value, *gradients.values()], expected, strict=True):
            numpy.testing.assert_allclose(found, wanted, rtol=bound, atol=bound * numpy.abs(wanted).max())
