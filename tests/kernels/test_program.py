"""Programs: memory, binding, sizes, updates, numeric checks, reports; the cost of a launch."""

from __future__ import annotations

import time

import numpy
import pytest

from graphc.errors import DataError, KernelError, PlanError, Site
from graphc.formula.expression import call, number
from graphc.formula.size import named
from graphc.kernels.cpu.program import Program
from graphc.planning.plan import Buffer, Kernel, Launch, Plan
from tests.kernels.statements import at, elementwise, embedding, kernel, product, reduction, statement, x, y

N = named("N")
SITE = Site("net.py", 12)


def two_dimensional(body):
    return statement(
        at("t0", "i", "j"), "set", {"i": "t0.0", "j": "t0.1"}, {"x": at("t1", "i", "j"), "y": at("t2", "j")}, body
    )


def plan(dtype="float32", updates=True):
    """The plan: x (N, 3) @ w (3, 4) -> t; log(t) + b -> u; column sums s; the new b is s."""
    buffers = (
        Buffer("x", (N, 3), dtype, "input"),
        Buffer("w", (3, 4), dtype, "parameter"),
        Buffer("b", (4,), dtype, "state"),
        Buffer("t", (N, 4), dtype, "arena", 0, 1),
        Buffer("u", (N, 4), dtype, "arena", 1, 9),
        Buffer("s", (4,), dtype, "arena", 2, 9),
        Buffer("flat", (N * 4,), dtype, "arena", 1, 9, view_of=4),
        Buffer("row", (2, 2), dtype, "state", view_of=2),
    )
    log = kernel(two_dimensional(call("add", call("log", x), y)), dtype)
    columns = kernel(reduction("sum", 0), dtype)
    contraction = Kernel("contraction", None, (("A", dtype), ("B", dtype), ("Y", dtype)))
    levels = (1, 0, 0, 0) * 4
    launches = (
        Launch(0, (0, 1, 3), (N, 4, 3, 3, 1, 4, 1, 4, 0, 0, 0, 0, *levels), "matmul t", SITE, N * 24),
        Launch(1, (4, 3, 2), (N, 4, N, 4, 4), "log u", SITE, N * 8),
        Launch(2, (5, 4), (4, N, 4), "sum s", SITE, N * 4),
    )
    return Plan(buffers, (contraction, log, columns), launches, ("N",), (4, 5), {}, ((2, 5),) if updates else ())


def filled(dtype="float32", **options):
    program = Program(plan(dtype), **options)
    program.array(1)[...] = numpy.arange(1, 13).reshape(3, 4)
    program.array(2)[...] = 0.5
    return program


def batch(n, dtype="float32"):
    return numpy.random.default_rng(n).random((n, 3), dtype=dtype) + numpy.asarray(1, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_program_runs_its_plan(dtype):
    program = filled(dtype)
    image = batch(5, dtype)
    program.resize({"N": 5})
    program.bind(0, image)
    program.run()
    expected = numpy.log(image @ program.array(1)) + numpy.asarray(0.5, dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    numpy.testing.assert_allclose(program.view(4), expected, rtol=tolerance)
    numpy.testing.assert_allclose(program.view(5), expected.sum(axis=0), rtol=tolerance)
    numpy.testing.assert_array_equal(program.view(6), program.view(4).reshape(-1))
    numpy.testing.assert_array_equal(program.array(2), program.view(5))  # the update
    numpy.testing.assert_array_equal(program.array(7), program.array(2).reshape(2, 2))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_share_a_step(threads):
    program = filled(threads=threads)
    program.resize({"N": 300})
    program.bind(0, batch(300))
    program.run()
    numpy.testing.assert_allclose(program.view(4), numpy.log(batch(300) @ program.array(1)) + 0.5, rtol=1e-5)


def test_other_sizes_run_in_place_and_larger_ones_grow():
    program = filled()
    seen = []
    for n in (7, 3, 7, 0, 1000, 7):
        program.array(2)[...] = 0
        program.resize({"N": n})
        program.bind(0, batch(n))
        program.run()
        expected = numpy.log(batch(n) @ program.array(1)).reshape(n, 4)
        numpy.testing.assert_allclose(program.view(4), expected, rtol=1e-5)
        numpy.testing.assert_allclose(program.view(5), expected.sum(axis=0), rtol=1e-5)
        seen.append(program._arena.ctypes.data)
    assert len(set(seen)) == 2
    assert program._arena.ctypes.data % 64 == 0


def test_an_input_is_used_where_it_is():
    program = filled()
    program.resize({"N": 4})
    image = batch(4)
    program.bind(0, image)
    assert program.view(0) is image or program.view(0).ctypes.data == image.ctypes.data
    program.run()
    first = program.view(4).copy()
    program.array(2)[...] = 0.5
    image *= 2
    program.run()
    numpy.testing.assert_allclose(program.view(4), first + numpy.log(2), rtol=1e-5)


def test_inputs_of_other_types_and_orders_are_converted():
    program = filled()
    program.resize({"N": 4})
    expected = None
    for array in (batch(4), batch(4).astype("float64"), numpy.asfortranarray(batch(4)), batch(4).tolist()):
        program.array(2)[...] = 0.5
        program.bind(0, array)
        program.run()
        expected = program.view(4).copy() if expected is None else expected
        numpy.testing.assert_allclose(program.view(4), expected, rtol=1e-6)


def test_parameters_can_be_shared():
    one, two = filled(), filled()
    two.bind(1, one.array(1))
    one.array(1)[...] = 2
    two.resize({"N": 2})
    two.bind(0, batch(2))
    two.run()
    numpy.testing.assert_allclose(two.view(4), numpy.log(batch(2) @ numpy.full((3, 4), 2.0)) + 0.5, rtol=1e-5)


def test_a_state_bound_to_other_storage_receives_its_updates():
    program = filled()
    own = numpy.full(4, 0.25, "float32")
    program.resize({"N": 2})
    program.bind(0, batch(2))
    program.run()
    program.bind(2, own)
    program.run()
    numpy.testing.assert_array_equal(own, program.view(5))


@pytest.mark.parametrize(
    ("number", "array", "message"),
    [
        (1, numpy.zeros((3, 5), "float32"), r"the parameter 'w' needs an array float32\[3, 4\] in C order"),
        (1, numpy.zeros((3, 4), "float64"), "found float64"),
        (1, numpy.zeros((4, 3), "float32").T, "in C order"),
        (0, numpy.zeros(3, "float32"), r"the input 'x' has 2 dimensions \(\(N, 3\)\); found shape \[3\]"),
        (0, numpy.array([["a", "b", "c"]]), "the input 'x' needs numbers"),
        (3, numpy.zeros((2, 4), "float32"), "'t' has no storage of its own"),
        (6, numpy.zeros(8, "float32"), "'flat' has no storage of its own"),
    ],
)
def test_what_does_not_fit_is_refused(number, array, message):
    with pytest.raises(DataError, match=message):
        filled().bind(number, array)


def test_read_only_parameters_are_refused():
    array = numpy.zeros((3, 4), "float32")
    array.flags.writeable = False
    with pytest.raises(DataError, match="can be written"):
        filled().bind(1, array)


def test_a_missing_or_misshapen_input_is_named():
    program = filled()
    with pytest.raises(DataError, match="the sizes N are not known yet"):
        program.run()
    program.resize({"N": 2})
    with pytest.raises(DataError, match="nothing is bound to the input 'x'"):
        program.run()
    program.bind(0, batch(3))
    with pytest.raises(DataError, match=r"the input 'x' needs shape \[2, 3\] \(\(N, 3\)\); found \[3, 3\]"):
        program.run()
    with pytest.raises(DataError, match="the named size 'N' is not given"):
        program.resize({"M": 2})
    with pytest.raises(DataError, match="the size 'N' is -1"):
        program.resize({"N": -1})


def test_numeric_checks_name_the_first_place():
    program = filled(check_numerics=True)
    program.resize({"N": 2})
    image = batch(2)
    program.bind(0, image)
    program.run()
    image[1, 2] = numpy.nan
    with pytest.raises(DataError, match="the input 'x' has 1 NaN among 6 elements"):
        program.run()
    image[1] = 0
    with pytest.raises(DataError, match=r"the result of log u has 4 infinite values among 8 elements") as caught:
        program.run()
    assert caught.value.site == SITE
    assert "net.py:12" in str(caught.value)
    image[1] = -1
    with pytest.raises(DataError, match="the result of log u has 4 NaN"):
        program.run()


def test_indices_from_outside_are_checked():
    buffers = (
        Buffer("table", (5, 2), "float32", "parameter"),
        Buffer("tokens", (N,), "int32", "input"),
        Buffer("rows", (N, 2), "float32", "arena"),
    )
    made = kernel(embedding(), "float32", {"t2": "int32"})
    program = Program(
        Plan(buffers, (made,), (Launch(0, (2, 0, 1), (N, 2, 5, 2, N), "lookup", SITE),), ("N",), (2,), {})
    )
    program.array(0)[...] = numpy.arange(10).reshape(5, 2)
    program.resize({"N": 3})
    program.bind(1, numpy.array([4, 0, 2]))  # int64, values fit
    program.run()
    numpy.testing.assert_array_equal(program.view(2), [[8, 9], [0, 1], [4, 5]])
    for wrong in ([4, 5, 0], [0, -1, 0]):
        program.bind(1, wrong)
        with pytest.raises(DataError, match=r"'tokens' is used as an index by lookup: .* from 0 to 4, found (5|-1)"):
            program.run()
    with pytest.raises(DataError, match="needs integers; found float64"):
        program.bind(1, [0.0, 1.0, 2.0])
    with pytest.raises(DataError, match="beyond int32"):
        program.bind(1, [0, 2**40, 1])
    program.resize({"N": 0})
    program.bind(1, numpy.zeros(0, "int32"))
    program.run()
    assert program.view(2).shape == (0, 2)


def test_source_and_report():
    program = filled()
    text = program.source()
    assert "# kernel 0 for matmul t" in text
    assert text.count("def kernel(arguments, thread, threads):") == 3
    assert "log(v0)" in text
    before = program.report()
    assert "GFLOP/s" not in before
    assert "contraction 0" in before
    program.resize({"N": 50})
    program.bind(0, batch(50))
    program.run()
    state = program.array(2).copy()
    report = program.report()
    assert "GFLOP/s" in report
    assert [line.split()[0] for line in report.splitlines()[2:5]] == ["matmul", "log", "sum"]
    numpy.testing.assert_array_equal(program.array(2), state)


def test_a_plan_that_does_not_fit_its_kernels_is_refused():
    good = plan()
    bad = Launch(1, (4, 3, 2), (N, 4), "log u", SITE)
    with pytest.raises(PlanError, match="'log u' has 3 buffers and 2 arguments; its kernel takes 3 and 5"):
        Program(Plan(good.buffers, good.kernels, (good.launches[0], bad), ("N",), (), {}))


def test_a_statement_without_a_kernel_names_gate_and_site():
    bad = statement(at("t0", "i"), "argmax", {"i": "t0.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, x, accumulate=True)
    buffers = (Buffer("a", (3, 4), "float32", "input"), Buffer("b", (3,), "int32", "arena"))
    made = kernel(bad, "float32", {"t0": "int32"})
    with pytest.raises(KernelError, match=r"no kernel for pick declared at net.py:12: argmax cannot accumulate"):
        Program(Plan(buffers, (made,), (Launch(0, (1, 0), (3, 3, 4), "pick", SITE),), (), (1,), {}))


def test_equal_kernels_are_compiled_once():
    body = two_dimensional(product)
    buffers = (
        Buffer("x", (2, 3), "float32", "input"),
        Buffer("y", (3,), "float32", "parameter"),
        Buffer("a", (2, 3), "float32", "arena", 0, 1),
        Buffer("b", (2, 3), "float32", "arena", 1, 1),
    )
    made = kernel(body, "float32")
    launches = (Launch(0, (2, 0, 1), (2, 3, 2, 3, 3), "a"), Launch(1, (3, 2, 1), (2, 3, 2, 3, 3), "b"))
    program = Program(Plan(buffers, (made, made), launches, (), (3,), {}))
    assert program._addresses[0] == program._addresses[1]
    program.bind(0, numpy.ones((2, 3), "float32"))
    program.array(1)[...] = [1, 2, 3]
    program.run()
    numpy.testing.assert_array_equal(program.view(3), [[1, 4, 9]] * 2)


def test_the_cost_of_a_launch():
    count = 2000
    made = kernel(elementwise(call("mul", product, number(0.5))), "float32")
    buffers = tuple(
        Buffer(f"b{k}", (1, 1, 1), "float32", "input" if k == 0 else "arena", max(k - 1, 0), k)
        for k in range(count + 1)
    )
    launches = tuple(Launch(0, (k + 1, k, k), (1,) * 9, f"l{k}") for k in range(count))
    program = Program(Plan(buffers, (made,), launches, (), (count,), {}))
    program.bind(0, numpy.ones((1, 1, 1), "float32"))
    program.run()
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        program._execute(program._frame.table.ctypes.data)
        best = min(best, time.perf_counter() - start)
    print(f"{best / count * 1e9:.0f} ns a launch, kernel included")
    assert best / count < 2e-6
