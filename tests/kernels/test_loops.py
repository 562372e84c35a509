"""Derived loop nests against the interpreter, on awkward shapes, in both float types."""

from __future__ import annotations

import math
import re

import numpy
import pytest

from graphc.errors import KernelError
from graphc.formula.expression import Number, Symbol, call, number
from graphc.formula.statement import Divides, Gather, Interval, Zero, affine
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.emit import emit
from tests.kernels.interpreter import interpret
from tests.kernels.statements import (
    at,
    conv,
    conv_input_gather,
    conv_input_scatter,
    conv_weights,
    elementwise,
    embedding,
    embedding_adjoint,
    form,
    kernel,
    matmul,
    pool,
    pool_adjoint_gather,
    pool_adjoint_scatter,
    reduction,
    run,
    statement,
    x,
)

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def random(*shape, seed=0):
    return numpy.random.default_rng([seed, *shape]).standard_normal(shape)


def agree(s, arrays, dtype, hints=None):
    arrays = {t: (a if a.dtype.kind == "i" else a.astype(dtype)) for t, a in arrays.items()}
    expected = interpret(s, arrays)
    found = run(s, arrays, dtype, hints)
    scale = numpy.abs(expected[numpy.isfinite(expected)]).max(initial=1.0)
    numpy.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (2, 33, 17), (0, 3, 2), (3, 0, 2), (3, 2, 0), (13, 1, 70)])
def test_matrix_product(shape, dtype):
    m, n, k = shape
    agree(matmul(), {"t0": random(m, n), "t1": random(m, k), "t2": random(k, n)}, dtype)


WINDOWS = [(1, 0, 1), (1, 1, 1), (2, 1, 1), (3, 2, 2), (2, 0, 3), (4, 1, 1), (1, 2, 3)]


def window_arrays(stride, padding, dilation, size=(2, 3, 2), image=(7, 6), window=(3, 2)):
    n, c, k = size
    out = [max(0, (e + 2 * padding - dilation * (f - 1) - 1) // stride + 1) for e, f in zip(image, window, strict=True)]
    return random(n, k, *out), random(n, c, *image, seed=1), random(k, c, *window, seed=2)


@pytest.mark.parametrize(("window", "dtype"), [*((w, "float32") for w in WINDOWS), ((3, 2, 2), "float64")])
@pytest.mark.parametrize("image", [(7, 6), (5, 1), (3, 11)])
def test_convolution_and_its_adjoints(window, image, dtype):
    result, image_array, weights = window_arrays(*window, image=image)
    if 0 in result.shape:
        pytest.skip("no window fits")
    agree(conv(*window), {"t0": result, "t1": image_array, "t2": weights}, dtype)
    scattered = agree(conv_input_scatter(*window), {"t0": image_array, "t1": result, "t2": weights}, dtype)
    gathered = agree(conv_input_gather(*window), {"t0": image_array, "t1": result, "t2": weights}, dtype)
    numpy.testing.assert_allclose(scattered, gathered, rtol=1e-4, atol=1e-4)
    agree(conv_weights(*window), {"t0": weights, "t1": image_array, "t2": result}, dtype)


@pytest.mark.parametrize("hints", [{}, {"t0.3": 2}, {"t2.3": 500, "t0.3": 2}, {"t1.1": 1000, "t0.3": 1, "t2.3": 1}])
def test_every_loop_order_gives_the_same_result(hints):
    result, image, weights = window_arrays(2, 1, 1)
    agree(conv(2, 1, 1), {"t0": result, "t1": image, "t2": weights}, "float32", hints)
    agree(conv_weights(2, 1, 1), {"t0": weights, "t1": image, "t2": result}, "float32", hints)
    agree(conv_input_gather(2, 1, 1), {"t0": image, "t1": result, "t2": weights}, "float32", hints)
    agree(conv_input_scatter(2, 1, 1), {"t0": image, "t1": result, "t2": weights}, "float32", hints)


def test_a_gather_with_stride_has_no_division_left_in_its_loops():
    text = emit(kernel(conv_input_gather(2, 1, 1), "float32"))
    loops = text[text.index("\n    for ") :]
    assert "%" not in loops
    assert re.search(r"^\s+if ", loops, flags=re.MULTILINE) is None


def pool_sizes(stride, padding):
    return [(e + 2 * padding - f) // stride + 1 for e, f in ((7, 3), (6, 2))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", ["max", "min", "sum", "prod", "logsumexp", "argmax", "argmin"])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 1)])
def test_pooling(operator, stride, padding, dtype):
    if operator in ("argmax", "argmin"):
        result = numpy.zeros((2, *pool_sizes(stride, padding)), "int32")
    else:
        result = random(2, *pool_sizes(stride, padding))
    source = numpy.round(random(2, 7, 6) * 2) / 2  # with ties
    agree(pool(operator, stride, padding), {"t0": result, "t1": source}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 1)])
def test_gradients_reach_the_winner_only(stride, padding, dtype):
    source = numpy.round(random(2, 7, 6) * 2) / 2
    positions = numpy.zeros((2, *pool_sizes(stride, padding)), "int32")
    winners = run(pool("argmax", stride, padding), {"t0": positions, "t1": source}, dtype)
    upstream = random(*winners.shape, seed=3)
    arrays = {"t0": source, "t1": upstream, "t2": winners}
    gathered = agree(pool_adjoint_gather(stride, padding), arrays, dtype)
    scattered = agree(pool_adjoint_scatter(stride, padding), arrays, dtype)
    numpy.testing.assert_allclose(gathered, scattered, rtol=1e-5, atol=1e-5)
    assert gathered.sum() == pytest.approx(upstream.sum(), rel=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("operator", ["sum", "max", "min", "prod", "logsumexp"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (67, 3), (3, 67), (0, 4), (4, 0)])
def test_reductions(operator, axis, shape, dtype):
    kept = {0: (shape[1],), 1: (shape[0],), 2: ()}[axis]
    agree(reduction(operator, axis), {"t0": random(*kept), "t1": random(*shape, seed=1)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("operator", ["argmax", "argmin"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (67, 3), (0, 4), (4, 0)])
def test_positions_of_winners(operator, axis, shape, dtype):
    kept = {0: (shape[1],), 1: (shape[0],), 2: ()}[axis]
    source = numpy.round(random(*shape) * 2) / 2
    agree(reduction(operator, axis), {"t0": numpy.zeros(kept, "int32"), "t1": source}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [1, 511, 512, 513, 1500])
def test_long_sums_in_blocks(length, dtype):
    agree(reduction("sum", 2), {"t0": random(), "t1": random(1, length)}, dtype)
    agree(reduction("sum", 1, call("mul", x, x)), {"t0": random(3), "t1": random(3, length)}, dtype)


@pytest.mark.parametrize("constant", [0.1, None])
@pytest.mark.parametrize("shape", [(1, 4_000_000), (2000, 2000), (4_000_000, 1)])
def test_a_float32_sum_of_millions_is_accurate(shape, constant):
    values = numpy.random.default_rng(0).random(shape, dtype="float32")
    if constant is not None:
        values[...] = constant
    found = run(reduction("sum", 2), {"t0": numpy.zeros(()), "t1": values}, "float32")
    exact = values.astype("float64").sum()
    assert abs(float(found) - exact) < 1e-6 * exact


@pytest.mark.parametrize("dtype", DTYPES)
def test_gathered_indices(dtype):
    tokens = numpy.array([3, 0, 3, 1, 4, 3], "int32")
    table, rows = random(5, 4), random(6, 4)
    agree(embedding(), {"t0": rows, "t1": table, "t2": tokens}, dtype)
    agree(embedding_adjoint(), {"t0": table, "t1": rows, "t2": tokens}, dtype)
    agree(embedding(), {"t0": rows, "t1": table, "t2": tokens.astype("int64")}, dtype)
    picked = statement(at("t0"), "sum", {"n": "t1.0"}, {"x": at("t1", "n", Gather(at("t2", "n")))}, call("neg", x))
    agree(picked, {"t0": random(), "t1": random(6, 5), "t2": tokens}, dtype)
    empty = numpy.zeros(0, "int32")
    agree(embedding(), {"t0": random(0, 4), "t1": table, "t2": empty}, dtype)
    agree(embedding_adjoint(), {"t0": table, "t1": random(0, 4), "t2": empty}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gathered_index_of_a_gathered_index(dtype):
    inner = Gather(at("t2", Gather(at("t3", "n"))))
    s = statement(at("t0", "n"), "set", {"n": "t0.0"}, {"x": at("t1", inner)}, x)
    arrays = {
        "t0": random(4), "t1": random(6), "t2": numpy.array([5, 3, 1], "int32"),
        "t3": numpy.array([2, 0, 1, 1], "int32"),
    }  # fmt: skip
    agree(s, arrays, dtype)


def test_a_wrong_index_does_not_leave_the_tensor():
    table = numpy.arange(8.0).reshape(4, 2)
    tokens = numpy.array([-7, 99], "int32")
    found = run(embedding(), {"t0": numpy.zeros((2, 2)), "t1": table, "t2": tokens}, "float64")
    numpy.testing.assert_array_equal(found, table[[0, 3]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_broadcasting_and_rank_zero(dtype):
    i, j, k = "i", "j", "k"
    s = statement(
        at("t0", i, j, k), "set", {i: "t0.0", j: "t0.1", k: "t0.2"},
        {"x": at("t1", i, j, k), "y": at("t2", j), "w": at("t3"), "g": at("t4", 0, k)},
        call("add", call("mul", x, Symbol("y")), call("sub", Symbol("w"), Symbol("g"))),
    )  # fmt: skip
    for shape in ((2, 3, 4), (1, 1, 1), (5, 1, 2), (0, 2, 2)):
        arrays = {"t0": random(*shape), "t1": random(*shape, seed=1), "t2": random(shape[1]), "t3": random(),
                  "t4": random(1, shape[2])}  # fmt: skip
        agree(s, arrays, dtype)
    scalar = statement(at("t0"), "set", {}, {"x": at("t1"), "y": at("t2")}, call("mul", x, Symbol("y")))
    agree(scalar, {"t0": random(), "t1": random(), "t2": random(seed=4)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_flat_accesses(dtype):
    s = statement(
        at("t0", "e", flat=True), "set", {"e": affine("t1.size")}, {"x": at("t1", "e", flat=True)}, call("neg", x)
    )
    agree(s, {"t0": random(6), "t1": random(6)}, dtype)
    half = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", affine({"i": 2}, 1), flat=True)}, x)
    agree(half, {"t0": random(3), "t1": random(8)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_writes_that_do_not_reach_every_element(accumulate, dtype):
    placed = statement(
        at("t0", affine({"i": 2}, 1), "j"), "set", {"i": "t1.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, x,
        accumulate=accumulate,
    )  # fmt: skip
    agree(placed, {"t0": random(9, 5), "t1": random(4, 5)}, dtype)
    row = statement(
        at("t0", 2, "j"), "sum", {"j": "t1.1", "i": "t1.0"}, {"x": at("t1", "i", "j")}, x, accumulate=accumulate
    )
    agree(row, {"t0": random(4, 5), "t1": random(7, 5)}, dtype)
    guarded = statement(
        at("t0", "i", "j"), "set", {"i": "t0.0", "j": "t0.1"}, {"x": at("t1", "i", affine({"j": 1}, -2))}, x,
        [Interval(affine({"j": 1}, -2), form("t1.1"))], accumulate=accumulate,
    )  # fmt: skip
    agree(guarded, {"t0": random(3, 8), "t1": random(3, 4)}, dtype)
    rows = statement(
        at("t0", "i", "j"), "sum", {"i": "t0.0", "j": "t0.1", "k": "t1.1"},
        {"x": at("t1", affine({"i": 1}, -1), "k")}, x, [Interval(affine({"i": 1}, -1), form("t1.0"))],
        accumulate=accumulate,
    )  # fmt: skip
    agree(rows, {"t0": random(5, 3), "t1": random(3, 6)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_accumulation_over_reductions(dtype):
    for axis in (0, 1, 2):
        kept = {0: (7,), 1: (5,), 2: ()}[axis]
        s = reduction("sum", axis)
        s = statement(s.write, "sum", {"i": "t1.0", "j": "t1.1"}, dict(s.reads), s.body, accumulate=True)
        agree(s, {"t0": random(*kept), "t1": random(5, 7)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_that_are_zero_outside(dtype):
    shifted = affine({"i": 1, "r": 1}, -2)
    s = statement(
        at("t0", "i"), "sum", {"i": "t0.0", "r": 4}, {"x": at("t1", shifted, outside="zero")},
        call("add", x, Number(1)),
    )  # fmt: skip
    agree(s, {"t0": random(9), "t1": random(6)}, dtype)
    vanishing = statement(
        at("t0", "i"), "sum", {"i": "t0.0", "r": 4}, {"x": at("t1", shifted, outside="zero"), "y": at("t2", "r")},
        call("mul", x, Symbol("y")),
    )  # fmt: skip
    agree(vanishing, {"t0": random(9), "t1": random(6), "t2": random(4)}, dtype)
    copied = statement(at("t0", "i"), "set", {"i": "t0.0"},
                       {"x": at("t1", affine({"i": 2}, -3), outside="zero")}, x)  # fmt: skip
    agree(copied, {"t0": random(9), "t1": random(5)}, dtype)
    exponential = statement(at("t0", "i"), "set", {"i": "t0.0"},
                            {"x": at("t1", affine({"i": -1}, 4), outside="zero")}, call("exp", x))  # fmt: skip
    agree(exponential, {"t0": random(9), "t1": random(3)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_guards_of_equality_and_divisibility(dtype):
    diagonal = statement(
        at("t0", "i"), "sum", {"i": "t0.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, x,
        [Zero(affine({"i": 2, "j": -1}, -1))],
    )  # fmt: skip
    agree(diagonal, {"t0": random(6), "t1": random(6, 7)}, dtype)
    every_third = statement(
        at("t0", "i"), "sum", {"i": "t0.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, x,
        [Divides(affine({"i": 1, "j": 2}, 1), 3)],
    )  # fmt: skip
    agree(every_third, {"t0": random(6), "t1": random(6, 7)}, dtype)
    stepped = statement(
        at("t0", "i"), "sum", {"i": "t0.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, x,
        [Divides(affine({"i": 1, "j": -1}, 1), 3)],
    )  # fmt: skip
    agree(stepped, {"t0": random(6), "t1": random(6, 2000)}, dtype)
    only_free = statement(
        at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, x, [Divides(affine({"i": 1}, 1), 2)]
    )
    agree(only_free, {"t0": random(7), "t1": random(7)}, dtype)
    sizes_only = statement(
        at("t0", "i"), "sum", {"i": "t0.0", "j": "t1.1"}, {"x": at("t1", "i", "j")}, x,
        [Interval(affine({"t1.1": 1}, -5), form("t1.0"))],
    )  # fmt: skip
    agree(sizes_only, {"t0": random(3), "t1": random(3, 4)}, dtype)
    agree(sizes_only, {"t0": random(3), "t1": random(3, 6)}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bodies_with_sizes_choices_and_shared_parts(dtype):
    y = Symbol("y")
    shared = call("exp", call("sub", x, y))
    bodies = [
        call("div", x, Symbol("t1.1")),
        call("mul", x, call("mul", Symbol("t1.0"), Symbol("t1.2"))),
        call("select", call("less", x, y), x, Number(0)),
        call("select", call("and", call("less", x, Number(0)), call("not", call("less", y, number(0.25)))),
             Number(1), Number(2)),
        call("add", call("div", shared, call("add", shared, Number(1))), shared),
        call("equal", call("sign", x), call("sign", y)),
        call("pow", call("abs", x), number(1.5)),
        call("pow", x, Number(3)),
        call("pow", x, Number(-2)),
        call("pow", call("abs", x), number(0.5)),
        call("pow", call("abs", x), y),
        call("floordiv", x, number(0.3)),
        call("max", call("min", x, y), number(0.1)),
        call("add", x, Symbol("k")),
        call("or", call("greater", x, Number(1)), call("greater_equal", y, Number(0))),
        call("not_equal", call("less_equal", x, y), Number(0)),
    ]  # fmt: skip
    for number_of, body in enumerate(bodies):
        arrays = {"t0": random(3, 5, 4), "t1": random(3, 5, 4, seed=number_of), "t2": random(3, 5, 4, seed=99)}
        agree(elementwise(body), arrays, dtype)


def test_integers_stay_exact():
    big = 2**24 + 1
    s = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i"), "y": at("t2", "i")},
                  call("equal", x, Symbol("y")))  # fmt: skip
    arrays = {"t0": random(2), "t1": numpy.array([big, 7], "int32"), "t2": numpy.array([big - 1, 7], "int64")}
    numpy.testing.assert_array_equal(run(s, arrays, "float32"), [0, 1])
    copy = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, call("add", x, Number(1)))
    found = run(copy, {"t0": numpy.zeros(1, "int64"), "t1": numpy.array([2**40 + 1], "int64")}, "float32")
    assert found[0] == 2**40 + 2


@pytest.mark.parametrize("operator", ["max", "min"])
def test_nan_passes_through_reductions(operator):
    values = random(3, 40)
    values[1, 17] = math.nan
    for axis, where in ((1, 1), (0, 17)):
        kept = {0: (40,), 1: (3,)}[axis]
        found = run(reduction(operator, axis), {"t0": random(*kept), "t1": values}, "float32")
        assert math.isnan(found[where])
        assert numpy.isnan(found).sum() == 1
    found = run(reduction("arg" + operator, 1), {"t0": numpy.zeros(3, "int32"), "t1": values}, "float32")
    assert found[1] == 17


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_in_sums_and_logsumexp(dtype):
    values = random(4, 30)
    values[0, 3] = math.inf
    values[1, 4], values[1, 5] = math.inf, -math.inf
    values[2, :] = -math.inf
    with numpy.errstate(invalid="ignore"):
        sums = run(reduction("sum", 1), {"t0": random(4), "t1": values}, dtype)
    assert sums[0] == math.inf
    assert math.isnan(sums[1])
    assert sums[2] == -math.inf
    assert math.isfinite(sums[3])
    values[1, 5] = 0
    logs = run(reduction("logsumexp", 1), {"t0": random(4), "t1": values}, dtype)
    assert logs[0] == logs[1] == math.inf
    assert logs[2] == -math.inf
    assert math.isfinite(logs[3])


def test_logsumexp_near_zero_keeps_its_digits():
    values = numpy.array([[0.0, -20.0]])
    found = run(reduction("logsumexp", 1), {"t0": random(1), "t1": values}, "float32")
    assert float(found[0]) == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


ALL = {
    "matmul": matmul(), "conv": conv(2, 1), "scatter": conv_input_scatter(2, 1),
    "gather": conv_input_gather(2, 1), "weights": conv_weights(2, 1), "max": pool("max", 2, 1),
    "argmax": pool("argmax", 2, 1), "logsumexp": reduction("logsumexp", 1), "winner": pool_adjoint_gather(2, 1),
    "sum": reduction("sum", 2), "prod": reduction("prod", 0),
    "functions": elementwise(call("add", call("sigmoid", x), call("tanh", call("div", x, Symbol("t1.1"))))),
    "more": elementwise(call("mul", call("softplus", x), call("erf", call("log1p", call("log", x))))),
    "powers": elementwise(call("pow", call("sech2", x), call("expm1", call("pow", x, Number(-3))))),
    "mean": reduction("sum", 0, call("div", x, Symbol("t1.0"))),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_float32_kernel_contains_no_double(name):
    types = {"t0": "int32"} if name == "argmax" else {"t2": "int32"} if name == "winner" else {}
    text = cache.llvm_text(emit(kernel(ALL[name], "float32", types)))
    assert "float" in text
    assert re.search(r"\bdouble\b", text) is None


@pytest.mark.parametrize("name", ["matmul", "conv", "sum", "max", "functions", "logsumexp"])
def test_inner_loops_are_vectorised_without_overlap_checks(name):
    text = cache.llvm_text(emit(kernel(ALL[name], "float32")))
    assert re.search(r"<\d+ x float>", text)
    assert "vector.memcheck" not in text


def test_joined_loops_are_one_loop_at_run_time():
    text = emit(kernel(elementwise(call("add", x, Symbol("y"))), "float32"))
    assert text.count("= 1") >= 2


@pytest.mark.parametrize("operator", ["argmax", "logsumexp"])
def test_what_has_no_kernel_is_refused_with_a_reason(operator):
    s = pool(operator)
    scattered = statement(at("t0", affine({"i": 2, "j": 1})), operator, {"i": "t1.0", "j": "t1.1", "r": "t1.2"},
                          {"x": at("t1", "i", "j", "r")}, x)  # fmt: skip
    with pytest.raises(KernelError, match="plain axes"):
        emit(kernel(scattered, "float32"))
    with pytest.raises(KernelError, match="cannot accumulate"):
        emit(kernel(statement(s.write, operator, {"n": "t0.0", "i": "t0.1", "j": "t0.2", "r": 3, "s": 2},
                              dict(s.reads), x, s.guards, accumulate=True), "float32"))  # fmt: skip
