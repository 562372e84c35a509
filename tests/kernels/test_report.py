"""The report of a step: figures from known times, sizes of what moves, and nothing changed by looking."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.kernels.cpu.peak import fma_peak
from graphc.kernels.cpu.report import Report, Row, measured


def network():
    """Every kind of state: batch norm's running means, momentum, and a convolution that divides the batch."""
    image, label = graphc.input("image", ("N", 3, 12, 12)), graphc.input("label", ("N",), dtype="int32")
    maps = graphc.layers.batch_norm(graphc.layers.conv2d(image, 8, 3, name="conv"), name="norm")
    scores = graphc.layers.dense(graphc.flatten(graphc.relu(maps)), 5, name="scores")
    return graphc.softmax_cross_entropy(scores, label)


def batch():
    generator = numpy.random.default_rng(0)
    image = generator.normal(size=(32, 3, 12, 12)).astype("float32")
    return {"image": image, "label": generator.integers(0, 5, 32).astype("int32")}


def compiled(threads):
    return graphc.compile([network()], optimizer=graphc.Adam(0.01), threads=threads)


def held(step):
    found = {**step.parameters, **step.states, **step.optimizer_state}
    return {name: array.copy() for name, array in found.items()}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_report_changes_nothing(threads):
    step, other = compiled(threads), compiled(threads)
    for _ in range(2):
        step(**batch())
        other(**batch())
    before, results = held(step), [step.program.view(number).copy() for number in step.plan.outputs]
    assert "GFLOP/s" in step.report()
    after = held(step)
    assert before.keys() == after.keys()
    for name, array in before.items():
        numpy.testing.assert_array_equal(after[name], array, err_msg=name)
    for number, array in zip(step.plan.outputs, results, strict=True):
        numpy.testing.assert_array_equal(step.program.view(number), array)
    # and the next step continues as one that was never looked at
    assert step(**batch())[0] == other(**batch())[0]
    for name, array in held(other).items():
        numpy.testing.assert_array_equal(held(step)[name], array, err_msg=name)


def test_before_the_first_run_there_are_no_times():
    step = compiled(1)
    report = measured(step.program)
    assert all(row.seconds is None for row in report.rows)
    assert len(report.rows) == len(step.plan.launches)
    text = str(report)
    assert "time" not in text
    assert "derived loops (no schedule accepted them): " in text


def test_rows_say_what_moves_and_what_is_computed():
    x, w = graphc.input("x", ("N", 48)), graphc.parameter("w", (48, 16))
    product = graphc.matmul(x, w)
    step = graphc.compile([product.named("product"), graphc.exp(x).named("grown")], threads=1)
    step(x=numpy.ones((64, 48), "float32"))
    rows = {row.label.split()[0]: row for row in measured(step.program).rows}
    assert rows["matmul"].kind != "loops"
    assert rows["matmul"].elements == 64 * 16
    assert rows["matmul"].work == 2 * 64 * 16 * 48
    assert rows["matmul"].bytes == 4 * (64 * 48 + 16 * 48 + 64 * 16)
    assert rows["exp"].kind == "loops"
    assert rows["exp"].bytes == 4 * 2 * 64 * 48
    assert all(row.seconds is not None and row.seconds > 0 for row in rows.values())


def test_a_launch_that_threads_divide_counts_the_part_of_one():
    step = compiled(2)
    step(**batch())
    alone = compiled(1)
    alone(**batch())
    assert step.program._frame is not None
    assert step.program._frame.shard == 2, "the network is meant to be large enough for two threads"
    (divided,) = (row for row in measured(step.program).rows if row.kind.startswith("convolution"))
    (whole,) = (row for row in measured(alone.program).rows if row.kind.startswith("convolution"))
    assert divided.bytes == whole.bytes
    assert divided.work == whole.work / 2
    assert whole.traffic / 2 < divided.traffic < whole.traffic  # half the maps, all the weights


ROWS = (
    Row("conv2d conv1", "convolution", 3, 1000, 8000, 1e-3, 2e8, 8000.0),
    Row("log y", "loops", 0, 500, 4000, 2e-3, 1e6, 4000.0),
    Row("sum y", "loops", 1, 1, 2004, 1e-3, 5e5, 2004.0),
)


def test_figures_follow_from_times_and_sizes():
    report = Report(ROWS, 4e11, "float32", 2)
    assert report.seconds == pytest.approx(4e-3)
    assert report.share == pytest.approx(2.015e8 / 4e-3 / 4e11)
    text = str(report)
    lines = text.splitlines()
    assert " ".join(lines[2].split()) == "conv2d conv1 convolution 3 1,000 8,000 1000.00 200.00 50.0% 0.0"
    assert " ".join(lines[3].split()) == "log y loops 0 500 4,000 2000.00 0.50 0.1% 0.0"
    assert " ".join(lines[6].split()) == "sum 14,004 4000.00 50.38 12.6%"
    assert "FMA peak 400 GFLOP/s (float32, one core)" in text
    assert "launches that 2 threads divide by examples: the part of one" in " ".join(lines)
    assert lines[-1] == ("derived loops (no schedule accepted them): 2 of 3 launches, 75% of the time: log y, sum y")


def test_a_program_without_derived_loops_says_so():
    assert str(Report(ROWS[:1], 4e11, "float32", 1)).endswith("(no schedule accepted them): 0 of 1 launches")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_is_a_rate_of_multiply_adds(dtype):
    assert 1e8 < fma_peak(0.01, dtype) < 1e13


def test_a_report_names_the_rules_that_made_formulas_stable():
    x = graphc.input("x", ("N", 3))
    step = graphc.compile([graphc.gate("y = 1/(1 + exp(-x))", name="logistic_written_out")(x), graphc.exp(x)])
    text = " ".join(step.report().split())
    assert "formulas in stable form, by rule: logistic_written_out (logistic)" in text
    assert "formulas" not in graphc.compile([graphc.exp(x)]).report()
