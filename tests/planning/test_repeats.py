"""Plans of repeats: one step lowered on views that move on, judged by the interpreter and compiled."""

from __future__ import annotations

import functools

import numpy
import pytest

import graphc
from graphc.graph.reference import evaluate
from graphc.planning import plan
from tests.planning import recurrences
from tests.planning.interpreter import Interpreter
from tests.planning.recurrences import RECURRENCES, loss_of, values_of

#: Largest |a - b| over the largest |b|.
TOLERANCES = {"float64": 1e-9, "float32": 2e-4}


def name_of(build):
    return build.__name__


@functools.cache
def prepared(build, steps, backward=False, count=None):
    """A loss, its gradients by name, and expected values for 1, 3 and 7 examples."""
    loss = loss_of(build(steps, backward=backward))
    back = graphc.backward(loss)
    gradients = {node.label: back.grad(node) for node in back.wrt}
    expected = {}
    for batch in (1, 3, 7):
        values = values_of([loss], {"N": batch, "T": count}, seed=batch)
        expected[batch] = values, evaluate([loss, *gradients.values()], values)
    return loss, gradients, expected


@functools.cache
def planned(build, steps, backward=False, count=None, **options):
    loss, gradients, _ = prepared(build, steps, backward, count)
    return plan([loss], gradients, dtype="float64", **options)


def judge(build, steps, batch, threads, backward=False, count=None, **options):
    """Run the plan of a loss and all its gradients in NumPy, and compare with the reference."""
    _, gradients, found = prepared(build, steps, backward, count)
    made, leaves = planned(build, steps, backward, count, **options)
    values, expected = found[batch]
    sizes = {"N": batch} | ({} if count is None else {"T": count})
    machine = Interpreter(made, leaves, {n.label: v for n, v in values.items()}, sizes, threads)
    machine.run()
    numbers = [*made.outputs, *made.gradients.values()]
    for name, number, value in zip(["loss", *gradients], numbers, expected, strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_plan_of_a_recurrence_computes_what_the_reference_computes(build, steps, backward):
    for batch, threads in ((1, 1), (3, 2), (7, 3)):
        judge(build, steps, batch, threads, backward)


@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_number_of_examples_and_threads_do_not_matter(build):
    for batch in (1, 3, 7):
        for threads in (1, 2, 3):
            judge(build, 2, batch, min(threads, batch))


@pytest.mark.parametrize("options", [{"fuse": False}, {"shard": False}, {"fuse": False, "shard": False}], ids=str)
@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_plans_without_fusion_or_shards(build, options):
    judge(build, 3, 3, 2, **options)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("build", [b for b in RECURRENCES if b is not recurrences.no_inputs], ids=name_of)
def test_number_of_steps_known_at_run_time(build, backward):
    for count in (1, 4):
        judge(build, "T", 3, 2, backward, count)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_checkpoints(build, every):
    """Steps that are computed again on the way back: several repeats in one plan, and nothing ahead of them."""
    checkpointed = functools.partial(build, checkpoint=every)
    for backward in (False, True):
        loss = loss_of(checkpointed(5, backward=backward))
        back = graphc.backward(loss)
        gradients = {node.label: back.grad(node) for node in back.wrt}
        values = values_of([loss], {"N": 3})
        made, leaves = plan([loss], gradients, dtype="float64")
        machine = Interpreter(made, leaves, {n.label: v for n, v in values.items()}, {"N": 3}, 2)
        machine.run()
        expected = evaluate([loss, *gradients.values()], values)
        for name, number, value in zip(
            ["loss", *gradients], [*made.outputs, *made.gradients.values()], expected, strict=True
        ):
            numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-9, atol=1e-11, err_msg=name)


def test_one_plan_serves_every_number_of_steps_and_examples():
    made, leaves = planned(recurrences.lstm, "T", False, 4)
    loss, gradients, _ = prepared(recurrences.lstm, "T", False, 4)
    assert set(made.sizes) == {"N", "T"}
    for batch, count in ((2, 1), (5, 3), (1, 6)):
        sizes = {"N": batch, "T": count}
        values = values_of([loss], sizes, seed=count)
        machine = Interpreter(made, leaves, {n.label: v for n, v in values.items()}, sizes, 2)
        machine.run()
        for number, value in zip(
            [*made.outputs, *made.gradients.values()], evaluate([loss, *gradients.values()], values), strict=True
        ):
            numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-9, atol=1e-11)


# ---- what a plan looks like ----------------------------------------------------------------------------


@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_kernels_do_not_know_the_number_of_steps(build):
    few, many = (planned_without_values(build, steps) for steps in (4, 1000))
    assert {k.key() for k in few.kernels} == {k.key() for k in many.kernels}


@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_a_plan_does_not_grow_with_the_number_of_steps(build):
    few, many = (planned_without_values(build, steps) for steps in (4, 1000))
    assert len(few.kernels) == len(many.kernels)
    assert len(few.launches) == len(many.launches)
    assert len(few.buffers) == len(many.buffers)
    assert [launch.repeat for launch in few.launches] == [launch.repeat for launch in many.launches]
    assert [len(stage.segments) for stage in few.stages] == [len(stage.segments) for stage in many.stages]
    assert set(few.repeats) <= {4}
    assert set(many.repeats) <= {1000}


def planned_without_values(build, steps):
    loss = loss_of(build(steps))
    back = graphc.backward(loss)
    return plan([loss], {node.label: back.grad(node) for node in back.wrt}, dtype="float64")[0]


def test_what_does_not_depend_on_the_state_is_computed_for_all_steps_at_once():
    made, _ = planned(recurrences.lstm, 5)
    forward, backward = ([k for k in made.launches if k.repeat == number] for number in range(2))
    # the product of the state, and everything else of the cell in one launch; on the way back the same
    for launches in (forward, backward):
        assert sorted(made.kernels[k.kernel].kind for k in launches) == ["chain", "contraction"]
    outside = [k for k in made.launches if k.repeat < 0 and made.kernels[k.kernel].kind == "contraction"]
    assert len(outside) == 4  # the projection of x, and the gradients of W, U and x


def test_a_step_moves_by_one_row_and_a_backward_repeat_the_other_way():
    for backward in (False, True):
        made, _ = planned(recurrences.rnn, 5, backward)
        rows = 3 * graphc.formula.size.named("N")
        for number, sign in enumerate((-1, 1) if backward else (1, -1)):
            views = {b for k in made.launches if k.repeat == number for b in k.buffers if made.buffers[b].step != 0}
            hidden = [made.buffers[b] for b in views if made.buffers[b].name == "h"]
            assert hidden
            assert all(buffer.step == rows * sign for buffer in hidden)


def test_launches_of_a_repeat_share_no_memory_with_what_lives_longer():
    """Values that only live inside of a step have one row; what another statement reads has a row for each step."""
    made, _ = planned(recurrences.lstm, 5)
    by_name = {}
    for buffer in made.buffers:
        if buffer.role == "arena" and buffer.view_of is None:
            by_name.setdefault(buffer.name, buffer)
    assert len(by_name["recurrent"].shape) == 2
    assert by_name["h"].shape[0] == 6
    assert by_name["projected"].shape[0] == 5


def test_steps_are_sharded_over_examples_where_every_launch_can_be():
    made, _ = planned(recurrences.lstm, 5)
    segments = [(stage.shard, s) for stage in made.stages for s in stage.segments if s.repeat >= 0]
    assert [shard for shard, _ in segments] == [True, True]
    assert not any(segment.sliced for _, segment in segments)
    made, _ = planned(recurrences.scalars, 5)
    assert not any(stage.shard for stage in made.stages for s in stage.segments if s.repeat >= 0)


# ---- compiled ------------------------------------------------------------------------------------------

COMPILED = (
    recurrences.rnn, recurrences.lstm, recurrences.gru, recurrences.gru_reset_after, recurrences.plain_gates,
    recurrences.two_ranks, recurrences.stacked, recurrences.exchanged, recurrences.constant_matrix,
    recurrences.scalars, recurrences.matrix_state, recurrences.tokens, recurrences.masked, recurrences.counted,
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("build", COMPILED, ids=name_of)
def test_compiled_recurrences(build, dtype):
    backward = build in (recurrences.lstm, recurrences.tokens)
    loss, gradients, found = prepared(build, 5, backward)
    for threads in (1, 2):
        program = graphc.compile([loss], gradients=list(gradients), dtype=dtype, threads=threads)
        for batch in (7, 1, 3):
            values, expected = found[batch]
            given = {n.label: v.astype(dtype) if n.is_float else v for n, v in values.items()}
            for _ in range(2):  # what a run leaves behind must not matter to the next
                (value,), derived = program(**given)
                for name, actual, right in zip(
                    ["loss", *gradients], [value, *(derived[name] for name in gradients)], expected, strict=True
                ):
                    error = abs(actual - right).max() / abs(right).max()
                    assert error < TOLERANCES[dtype], (name, threads, batch, error)


def test_compiled_steps_known_at_run_time():
    loss, gradients, _ = prepared(recurrences.gru, "T", False, 4)
    program = graphc.compile([loss], gradients=list(gradients), dtype="float64", threads=2)
    for batch, count in ((3, 2), (1, 1), (7, 9), (3, 2)):
        values = values_of([loss], {"N": batch, "T": count}, seed=count)
        _, derived = program(**{n.label: v for n, v in values.items()})
        for name, right in zip(gradients, evaluate(gradients.values(), values), strict=True):
            numpy.testing.assert_allclose(derived[name], right, rtol=1e-9, atol=1e-11, err_msg=name)


def test_long_sequences_stay_exact():
    """1000 steps of a recurrence without contraction, against the sum in NumPy."""
    x = graphc.input("x", (1000, "N"))
    sums, last = graphc.unroll(lambda x, s: (s + x, s + x), x, graphc.input("s", ("N",)))
    program = graphc.compile([sums, last], dtype="float64", threads=2)
    values = numpy.random.default_rng(0).normal(size=(1000, 4))
    found, end = program(x=values, s=numpy.ones(4))
    numpy.testing.assert_allclose(found, 1 + numpy.cumsum(values, axis=0), rtol=1e-11, atol=1e-11)
    numpy.testing.assert_array_equal(found[-1], end)
