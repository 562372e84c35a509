"""Array functions of claims: values like NumPy's in both number systems, shapes, and what does not fit."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import graphc
from graphc.checking.arrays import ARRAYS, claim_functions
from graphc.checking.language import claim_text, shape_of
from graphc.checking.language.shape_rules import RULES
from graphc.formula.expression import Call, Expression, Number, Symbol, evaluate
from graphc.formula.size import extent_value, named
from tests.checking.test_language import Graph, Names, read_claim

generator = np.random.default_rng(0)
M, W, SQUARE, V, U = (generator.normal(size=shape) for shape in ((2, 3), (3, 2), (3, 3), (3,), (6,)))
BATCH, PAIR, IMAGE, WINDOW = (generator.normal(size=shape) for shape in ((4, 2, 3), (4, 3, 2), (5, 4), (2, 3)))
LABELS = np.array([1, 0, 2])
ROWS = np.arange(3)
ALL, NEW, NONE = Call("slice", ()), Call("newaxis", ()), Call("none", ())


def scale(a: Any, axis: int) -> Any:
    e = np.exp(a - a.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


#: Function, operands and settings, and what NumPy makes of them.
CASES: list[tuple[str, tuple[Any, ...], Any]] = [
    ("matmul", (M, W), M @ W),
    ("matmul", (BATCH, W), BATCH @ W),
    ("matmul", (BATCH, PAIR), BATCH @ PAIR),
    ("matmul", (V, W), V @ W),
    ("matmul", (M, V), M @ V),
    ("matmul", (V, V), V @ V),
    ("dot", (M, W), M @ W),
    ("dot", (M, 2), M * 2),
    ("outer", (V, U), np.outer(V, U)),
    ("outer", (M, V), np.outer(M, V)),
    ("transpose", (BATCH,), BATCH.T),
    ("transpose", (BATCH, 0, 2, 1), BATCH.transpose(0, 2, 1)),
    ("swap_last", (BATCH,), BATCH.transpose(0, 2, 1)),
    ("sum", (BATCH,), BATCH.sum()),
    ("sum", (BATCH, 0), BATCH.sum(0)),
    ("sum", (BATCH, 0, -1), BATCH.sum((0, 2))),
    ("mean", (M,), M.mean()),
    ("mean", (M, 1), M.mean(1)),
    ("max_over", (M,), M.max()),
    ("max_over", (M, 0), M.max(0)),
    ("min_over", (M, -1), M.min(-1)),
    ("norm2", (M,), np.sqrt((M * M).sum())),
    ("norm2", (M, 0), np.sqrt((M * M).sum(0))),
    ("softmax", (M,), scale(M, -1)),
    ("softmax", (BATCH, 1), scale(BATCH, 1)),
    ("logsumexp", (M,), np.log(np.exp(M).sum(-1))),
    ("logsumexp", (M, 0), np.log(np.exp(M).sum(0))),
    ("diag", (V,), np.diag(V)),
    ("diag", (SQUARE,), np.diag(SQUARE)),
    ("trace", (SQUARE,), np.trace(SQUARE)),
    ("flip", (M,), M[::-1, ::-1]),
    ("flip", (M, 1), M[:, ::-1]),
    ("reshape", (M, 3, 2), M.reshape(3, 2)),
    ("reshape", (M, -1), M.ravel()),
    ("reshape_like", (M, W), M.reshape(3, 2)),
    ("broadcast_like", (V, M), np.broadcast_to(V, (2, 3))),
    ("flatten", (BATCH,), BATCH.ravel()),
    ("expand_dims", (M, 0), M[None]),
    ("expand_dims", (M, 0, -1), M[None, ..., None]),
    ("squeeze", (M[:1], 0), M[0]),
    ("squeeze", (M[:1],), M[0]),
    ("concatenate", (M, M, 0), np.concatenate([M, M])),
    ("concatenate", (M, SQUARE, 0), np.concatenate([M, SQUARE])),
    ("stack", (V, V, V, 1), np.stack([V, V, V], 1)),
    ("one_hot", (LABELS, SQUARE), np.eye(3)[LABELS]),
    ("one_hot", (LABELS, 4), np.eye(4)[LABELS]),
    ("ones_like", (M,), np.ones((2, 3))),
    ("zeros_like", (M,), np.zeros((2, 3))),
    ("ones", (2, 3), np.ones((2, 3))),
    ("zeros", (4,), np.zeros(4)),
    ("eye", (3,), np.eye(3)),
    ("arange", (3,), np.arange(3)),
    ("convolve", (U, V, 0), np.convolve(U, V, "valid")),
    ("convolve", (U, V, 1), np.convolve(U, V, "full")),
    ("convolve", (U, V, 2), np.convolve(U, V, "same")),
    ("convolve", (U, U[:4], 2), np.convolve(U, U[:4], "same")),
    ("correlate", (U, V, 0), np.correlate(U, V, "valid")),
    ("correlate", (U, V, 1), np.correlate(U, V, "full")),
    ("correlate", (U, U[:4], 2), np.correlate(U, U[:4], "same")),
    (
        "correlate",
        (IMAGE, WINDOW, 0),
        [[(IMAGE[i : i + 2, j : j + 3] * WINDOW).sum() for j in (0, 1)] for i in range(4)],
    ),
    ("size", (BATCH,), 24),
    ("size", (BATCH, -1), 3),
    ("item", (M, 0), M[0]),
    ("item", (M, ALL, -1), M[:, -1]),
    ("item", (M, NEW, 1), M[None, 1]),
    ("item", (M, ALL, Call("slice", (Number(1), NONE))), M[:, 1:]),
    ("item", (M, ALL, Call("slice", (NONE, NONE, Number(-1)))), M[:, ::-1]),
    ("item", (U, Call("slice", (Number(1), Number(5), Number(2)))), U[1:5:2]),
    ("item", (U, Call("slice", (Number(-2), NONE))), U[-2:]),
    ("item", (SQUARE, ROWS, LABELS), SQUARE[ROWS, LABELS]),
    ("item", (np.eye(3), LABELS), np.eye(3)[LABELS]),
    ("spread", (M, 3, 0, 2), M[:, None]),
    ("spread", (M, 3, 2, 0), M.T[:, None]),
    ("spread", (SQUARE, 2, 1, 1), np.diag(SQUARE)[None]),
    ("spread", (BATCH, 3, 2, 0, 1), BATCH.transpose(1, 2, 0)),
]


def expression_of(name: str, operands: tuple[Any, ...]) -> tuple[Expression, dict[str, Any]]:
    arrays = {f"v{k}": o for k, o in enumerate(operands) if isinstance(o, np.ndarray)}
    parts = tuple(
        Symbol(f"v{k}") if isinstance(o, np.ndarray) else o if isinstance(o, Call) else Number(o)
        for k, o in enumerate(operands)
    )
    return Call(name, parts), arrays


@pytest.mark.parametrize(
    ("name", "operands", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_value_and_shape_are_those_of_numpy(name: str, operands: tuple[Any, ...], expected: Any) -> None:
    expression, arrays = expression_of(name, operands)
    expected = np.asarray(expected, dtype=float)
    double = evaluate(expression, arrays, claim_functions("double"), float)
    assert np.shape(double) == expected.shape
    np.testing.assert_allclose(np.asarray(double, float), expected, rtol=1e-13, atol=1e-14)
    assert not isinstance(double, np.ndarray) or double.ndim > 0
    exact_arrays = {n: np.vectorize(mpmath.mpf, otypes=[object])(a) for n, a in arrays.items()}
    exact = evaluate(expression, exact_arrays, claim_functions("exact"), mpmath.mpf)
    assert np.shape(exact) == expected.shape
    np.testing.assert_allclose(np.asarray(exact).astype(float), expected, rtol=1e-13, atol=1e-14)
    assert all(isinstance(number, mpmath.mpf) for number in np.asarray(exact, dtype=object).flat)
    assert shape_of(expression, {n: a.shape for n, a in arrays.items()}) == expected.shape


def test_every_array_function_has_a_value_a_shape_and_a_case() -> None:
    tested = {name for name, _, _ in CASES} | {"slice", "none", "newaxis"}
    assert tested == set(ARRAYS) == set(RULES) - {"shape"}


def test_exact_values_have_sixty_digits() -> None:
    with mpmath.workdps(60):
        third = np.array([mpmath.mpf(1) / 3, mpmath.mpf(2) / 7])
        found = claim_functions("exact")["softmax"](third)
        expected = mpmath.exp(third[0]) / (mpmath.exp(third[0]) + mpmath.exp(third[1]))
        assert abs(found[0] - expected) < mpmath.mpf(10) ** -58
        assert abs(claim_functions("exact")["mean"](third) - mpmath.mpf(13) / 42) < mpmath.mpf(10) ** -58


def test_conditions_count_as_numbers_in_both_systems() -> None:
    expression = Call("matmul", (Call("greater", (Symbol("a"), Number(0))), Symbol("a")))
    a = np.array([[1.0, -2.0], [3.0, 4.0]])
    expected = (a > 0).astype(float) @ a
    np.testing.assert_array_equal(evaluate(expression, {"a": a}, claim_functions("double"), float), expected)
    exact = np.vectorize(mpmath.mpf, otypes=[object])(a)
    found = evaluate(expression, {"a": exact}, claim_functions("exact"), mpmath.mpf)
    np.testing.assert_array_equal(found.astype(float), expected)


# ---- named sizes -------------------------------------------------------------------------------------

N, T = named("N"), named("T")
NAMED = {"X": (N, 3), "P": (N, 4), "W": (3, 4), "b": (4,), "S": (T, N, 3), "K": (N, 3, 2), "s": ()}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("X.T @ (P - P)", (3, 4)),
        ("X @ W + b", (N, 4)),
        ("P.sum(0)", (4,)),
        ("P.sum(1, keepdims=True)", (N, 1)),
        ("s * X", (N, 3)),
        ("P / P.sum(1, keepdims=True)", (N, 4)),
        ("S.sum((0, 1))", (3,)),
        ("S @ W", (T, N, 4)),
        ("X.reshape(-1)", (3 * N,)),
        ("X.ravel()[:3]", (3,)),
        ("S.reshape(-1, 3)", (N * T, 3)),
        ("S.reshape(T * N, 3)", (N * T, 3)),
        ("K.reshape(N, 6)", (N, 6)),
        ("K.reshape(N, -1)", (N, 6)),
        ("X[1:]", (N - 1, 3)),
        ("X[:-1]", (N - 1, 3)),
        ("X[::-1]", (N, 3)),
        ("X[0]", (3,)),
        ("np.concatenate([X, X])", (2 * N, 3)),
        ("np.concatenate([X, P], axis=1)", (N, 7)),
        ("np.stack([X, X])", (2, N, 3)),
        ("np.ones((N, 2))", (N, 2)),
        ("np.eye(N)", (N, N)),
        ("np.outer(b, b)", (4, 4)),
        ("X[:, None, :] * X[None]", (N, N, 3)),
        ("K.mT", (N, 2, 3)),
        ("N * W", (3, 4)),
    ],
)
def test_named_sizes_stay_in_shapes(text: str, shape: Any) -> None:
    expression = read(text)
    assert shape_of(expression, NAMED) == shape
    sizes = {"N": 5, "T": 6}
    arrays = {n: generator.normal(size=[extent_value(e, sizes) for e in s]) for n, s in NAMED.items()}
    found = evaluate(expression, arrays, claim_functions("double"), float)
    assert np.shape(found) == tuple(extent_value(e, sizes) for e in shape)


def read(text: str) -> Expression:
    nodes = [graphc.input(name, shape) for name, shape in NAMED.items()]
    root = graphc.sum(nodes[0])
    for node in nodes[1:]:
        root = root + graphc.sum(node) if node.shape else root + node
    names = Names(Graph(root.named("L")))  # type: ignore[arg-type]
    expression = read_claim(nodes[0], text, names).expression
    assert expression is not None
    return expression


# ---- what does not fit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "X @ P",
            r"'X @ P' does not fit: \(N, 3\) @ \(N, 4\); the last extent on the left, 3, .*on the right, N; the left",
        ),
        ("(P - P) @ X.T", r"\(N, 4\) @ \(3, N\)"),
        ("W @ X", r"\(3, 4\) @ \(N, 3\)"),
        ("X.T @ (P - X)", r"'P - X' does not fit: \(N, 4\) - \(N, 3\); axes are matched from the right"),
        ("X + P.sum(1)", r"\(N, 3\) \+ \(N,\)"),
        ("s @ X", r"\(\) @ \(N, 3\); a matrix product needs arrays; a scalar factor is written \*"),
        ("np.dot(X, P)", r"'dot\(X, P\)' does not fit: dot of \(N, 3\) and \(N, 4\); the last extent"),
        ("np.dot(S, X)", "write @ for batches"),
        ("S @ K", "the batch axes in front do not match"),
        ("X.sum(2)", "asks for axis 2; the operand has axes 0 to 1"),
        ("b.sum(1)", "asks for axis 1; the operand has axis 0 only"),
        ("s.sum(0)", "asks for axis 0; the operand has no axes"),
        ("X.sum((0, 0))", "names an axis twice"),
        ("X.reshape(7)", "a reshape keeps the number of elements"),
        ("X.reshape(-1, 5)", "a reshape keeps the number of elements"),
        ("W[3]", "index 3 lies outside of 0 to 2"),
        ("W[0, 0, 0]", "3 indices for 2 axes"),
        ("b[0, 0]", "2 indices for 1 axis"),
        ("s[0]", "1 indices for 0 axes"),
        ("np.concatenate([X, P])", "all but axis 0 must have equal extents"),
        ("np.stack([X, P])", "must have equal extents"),
        ("np.trace(W)", "trace takes a square matrix"),
        ("np.diag(S)", "diag takes a vector, or a square matrix"),
        ("b.mT", "two axes or more"),
        ("np.transpose(S, (0, 1))", "must name each of the 3 axes once"),
        ("np.squeeze(X, axis=1)", "squeeze drops axes of extent 1 only"),
        ("correlate(W, b)", "the same number of axes"),
        ("correlate(b, np.ones(5))", "a valid window lies inside of its operand"),
        ("np.ones(b.sum())", "no extent; write a whole number or a size"),
        ("np.ones(s)", "no extent; write a whole number or a size"),
        ("np.broadcast_to(b, (2, 3))", "must be equal or 1"),
    ],
)
def test_shapes_that_do_not_fit_are_named_with_their_operation(text: str, message: str) -> None:
    with pytest.raises(graphc.CheckError, match=message) as caught:
        shape_of(read(text), NAMED)
    assert len(str(caught.value)) < 300


def test_the_error_of_a_shape_carries_the_shapes() -> None:
    with pytest.raises(graphc.CheckError) as caught:
        shape_of(read("X.T @ (P - X)"), NAMED)
    assert caught.value.shapes == ((N, 4), (N, 3))


def test_a_long_sum_has_a_shape() -> None:
    expression: Expression = Symbol("X")
    for _ in range(5000):
        expression = Call("add", (expression, Symbol("b")))
    assert shape_of(expression, {"X": (N, 4), "b": (4,)}) == (N, 4)


def test_text_of_a_claim_shows_what_binds_tighter() -> None:
    x, y = Symbol("x"), Symbol("y")
    for expression, text in [
        (Call("transpose", (Call("sub", (x, y)),)), "(x - y).T"),
        (Call("item", (Call("mul", (x, y)), Number(0))), "(x * y)[0]"),
        (Call("matmul", (Call("add", (x, y)), Call("transpose", (x,)))), "(x + y) @ x.T"),
        (Call("matmul", (x, Call("matmul", (y, x)))), "x @ (y @ x)"),
        (Call("div", (Symbol("∂f"), Symbol("∂h"))), "∂f / (∂h)"),
        (Call("pow", (Call("neg", (x,)), Number(2))), "(-x)**2"),
        (Call("neg", (Call("pow", (x, Number(2))),)), "-x**2"),
        (Call("sum", (Call("less", (x, y)), Number(0))), "sum(x < y, 0)"),
    ]:
        assert claim_text(expression) == text
