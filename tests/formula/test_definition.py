"""From text to statements: names, attributes, extents, reductions and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
import pytest

from graphc.errors import FormulaError
from graphc.formula.definition import Definition, bind, vanishes
from graphc.formula.expression import Number, to_text
from graphc.formula.parser import parse_expression
from graphc.formula.statement import Formula, Gather, Interval
from graphc.graph.reference import run_formula

CONV = "y[n,k,i,j] = sum(x[n,c,stride*i+r-padding,stride*j+s-padding] * w[k,c,r,s], c, r, s)"
CONV_EXTENTS = {
    "i": "(size(x,2) + 2*padding - size(w,2))//stride + 1",
    "j": "(size(x,3) + 2*padding - size(w,3))//stride + 1",
}


def bound(text: str, ranks: Mapping[str, int], *, outside: Any = None, extents: Any = None, **at: Any) -> Formula:
    return bind("gate", Definition(text, outside or {}, extents or {}), ranks, at)


def run(formula: Formula, **arrays: Any) -> numpy.ndarray:
    """Evaluate a formula whose extents are sizes of its inputs or numbers."""
    tensors = {name: numpy.asarray(a) for name, a in arrays.items()}
    sizes = {f"{n}.{d}": e for n, a in tensors.items() for d, e in enumerate(a.shape)}
    sizes |= {f"{n}.size": a.size for n, a in tensors.items()}
    table = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
        "floordiv": lambda a, b: a // b,
    }  # fmt: skip
    from graphc.formula.expression import evaluate

    for name, expression in formula.extents.items():
        sizes[name] = int(evaluate(expression, sizes, table, int))
    return run_formula(formula, tensors, sizes)[formula.outputs[-1]]


def test_inputs_come_in_the_order_of_their_first_appearance() -> None:
    assert Definition(CONV).inputs({"stride": 1, "padding": 0}) == ("x", "w")
    assert Definition("z[n] = logsumexp(s[n,c], c)\nloss = mean(z[n] - s[n,t[n]], n)").inputs({}) == ("s", "t")
    assert Definition("y = b*x / (1 + exp(-x))").inputs({}) == ("b", "x")
    assert Definition("y = beta*x").inputs({"beta": 2.0}) == ("x",)
    assert Definition("y[i] = x[i] * scale").inputs({}) == ("x", "scale")


def test_outputs_are_what_no_later_line_reads() -> None:
    assert Definition("z = exp(x)\ny = z*z").outputs() == ("y",)
    assert Definition("a = exp(x)\nb = x*x").outputs() == ("a", "b")


def test_attributes_are_bound_and_indices_become_linear_forms() -> None:
    formula = bound(CONV, {"x": 4, "w": 4}, outside={"x": 0}, extents=CONV_EXTENTS, stride=2, padding=1)
    (statement,) = formula.statements
    assert str(statement) == (
        "y[n, k, i, j] = sum(x[n, c, 2*i + r - 1, 2*j + s - 1] * w[k, c, r, s], c, r, s)"
        "  where 0 <= 2*i + r - 1 < x.2, 0 <= 2*j + s - 1 < x.3"
    )
    assert statement.reduced() == ("c", "r", "s")
    assert to_text(formula.extents["y.2"]) == "(size(x, 2) + 2 - size(w, 2)) // 2 + 1"


def test_a_zero_outside_is_a_guard_where_the_read_is_a_factor_and_a_masked_read_elsewhere() -> None:
    product = bound("y[i] = sum(x[i+r] * w[r], r)", {"x": 1, "w": 1}, outside={"x": 0}, extents={"i": "size(x,0)"})
    shifted = bound("y[i] = sum(exp(x[i+r]) * w[r], r)", {"x": 1, "w": 1}, outside={"x": 0}, extents={"i": "size(x,0)"})
    assert [type(g) for g in product.statements[0].guards] == [Interval]
    assert not shifted.statements[0].guards
    assert {a.tensor: a.outside for _, a in shifted.statements[0].reads} == {"x": "zero", "w": "forbidden"}
    x, w = numpy.array([1.0, 2.0, 3.0]), numpy.array([1.0, 10.0])
    assert run(product, x=x, w=w).tolist() == [21.0, 32.0, 3.0]
    assert run(shifted, x=x, w=w)[2] == pytest.approx(numpy.exp(3.0) + 10.0)


def test_a_skipped_element_takes_no_part_in_a_maximum() -> None:
    pool = bound("y[i] = max(x[i+r-1], r)", {"x": 1}, outside={"x": "skip"}, extents={"i": "size(x,0)", "r": "3"})
    assert run(pool, x=[-5.0, -7.0, -6.0]).tolist() == [-5.0, -5.0, -6.0]


def test_the_extent_of_a_valid_window_follows_from_the_formula() -> None:
    formula = bound("y[i] = sum(x[2*i + 3*r] * w[r], r)", {"x": 1, "w": 1})
    for length in range(8, 15):
        x = numpy.arange(length, dtype="float64")
        expected = [x[2 * i] + x[2 * i + 3] + x[2 * i + 6] for i in range((length - 7) // 2 + 1)]
        assert run(formula, x=x, w=numpy.ones(3)).tolist() == expected


def test_a_mean_divides_by_the_number_of_elements() -> None:
    assert run(bound("y = mean(x[i,j], i, j)", {"x": 2}), x=[[1.0, 2.0], [3.0, 6.0]]) == 3.0
    assert run(bound("y[i] = mean(x[i,j], j)", {"x": 2}), x=[[1.0, 2.0], [3.0, 6.0]]).tolist() == [1.5, 4.5]


def test_a_reduction_inside_an_expression_becomes_a_temporary() -> None:
    formula = bound("y[n,c] = exp(x[n,c]) / sum(exp(x[n,d]), d)", {"x": 2})
    assert len(formula.statements) == 2
    assert formula.temporaries() == (formula.statements[0].write.tensor,)
    x = numpy.array([[0.0, 1.0, 2.0]])
    assert numpy.allclose(run(formula, x=x), numpy.exp(x) / numpy.exp(x).sum())


@pytest.mark.parametrize("axis", ["t", "x1", "g", "p", "t1"])
def test_names_that_graphc_makes_up_never_hide_an_axis(axis: str) -> None:
    text = f"y[n,{axis}] = 1/sum(x[n,s], s) * x[n,{axis}] * x[{axis},n]"
    x = numpy.array([[1.0, 2.0], [3.0, 4.0]])
    expected = x / x.sum(1, keepdims=True) * x.T
    assert numpy.allclose(run(bound(text, {"x": 2}), x=x), expected)


def test_a_data_dependent_index_is_a_gather() -> None:
    formula = bound("y[n] = x[n,t[n]]", {"x": 2, "t": 1})
    (read,) = [a for _, a in formula.statements[0].reads if a.tensor == "x"]
    assert isinstance(read.index[1], Gather)
    assert formula.integers == {"t"}
    assert run(formula, x=[[1.0, 2.0], [3.0, 4.0]], t=[1, 0]).tolist() == [2.0, 3.0]


def test_broadcast_dimensions_of_a_formula_without_indices_are_index_0() -> None:
    formula = bind(
        "add", Definition("y = a + b"), {"a": 2, "b": 2}, {}, broadcast={"a": (False, False), "b": (True, False)}
    )
    assert str(formula) == "y[i, j] = a[i, j] + b[0, j]"
    assert str(bind("add", Definition("y = a + b"), {"a": 2, "b": 1}, {})) == "y[i, j] = a[i, j] + b[j]"


def test_several_lines_are_several_statements_in_order() -> None:
    formula = bound("z[n] = logsumexp(s[n,c], c)\nloss = mean(z[n] - s[n,t[n]], n)", {"s": 2, "t": 1})
    assert [s.operator for s in formula.statements] == ["logsumexp", "sum"]
    assert formula.outputs == ("loss",)
    assert formula.temporaries() == ("z",)
    scores = numpy.array([[3.2, 5.1, -1.7]])
    assert run(formula, s=scores, t=[0]) == pytest.approx(2.0404, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "ranks", "message"),
    [
        ("y[i] = x[i*i]", {"x": 1}, "the index 'i \\* i' is not affine"),
        ("y[i,j] = x[i*j]", {"x": 1}, "the index 'i \\* j' is not affine"),
        ("y[i] = x[i//2]", {"x": 1}, "the index 'i // 2' is not affine"),
        ("y[i] = x[i/2]", {"x": 1}, "the index 'i / 2' is not affine"),
        ("y[i] = x[exp(i)]", {"x": 1}, "the index 'exp\\(i\\)' is not affine"),
        ("y[i] = x[1.5*i]", {"x": 1}, "the index '1.5 \\* i' is not affine"),
        ("y[i] = x[2**i]", {"x": 1}, "the index '2 \\*\\* i' is not affine"),
        ("y[i] = x[i:]", {"x": 1}, "the index 'i:' is not affine"),
        ("y[i] = x[i] * w[j]", {"x": 1, "w": 1}, "the index 'j' is neither on the left nor reduced"),
        ("y[i] = x[i] * j", {"x": 1}, "no operand for j"),
        ("y = x * i", {"x": 1}, "no operand for i"),
        ("y += x", {"x": 1}, "a line without indices has nothing to add to"),
        ("y[i] = x[i]\ny[i] = x[i]", {"x": 1}, "'y' is written twice: add to it with"),
        ("y[i] -= x[i]", {"x": 1}, "a formula line is"),
        ("y[i] = x[i,i]", {"x": 1}, "x has rank 1, but 'x\\[i, i\\]' gives 2 indices"),
        ("y[i] = x[i] + x[i,i]", {"x": 1}, "x has rank 1"),
        ("y[i] = x", {"x": 1}, "'x' has rank 1 and needs 1 indices"),
        ("x[i] = x[i]", {}, "'x' is read before it is written"),
        ("y[i] = z[i]\nz[i] = x[i]", {"x": 1}, "'z' is read before it is written"),
        ("y[i] = x[i]\ny[i] = x[i]", {"x": 1}, "'y' is written twice"),
        ("y[i] = sum(x[i,j], k)", {"x": 2}, "extent of the axis 'k' does not follow|neither on the left"),
        ("y[2*i] = x[i]", {"x": 1}, "extent 0 of 'y' does not follow from its index 2\\*i"),
        ("y[i] = max(x[i] + 1)", {"x": 1}, "max takes 2 operand"),
        ("y = sum(x)", {"x": 1}, "a reduction names its axes last"),
        ("y[i] = x[w] + w[i]", {"x": 1, "w": 1}, "the tensor 'w' is used as an index"),
        ("y[i] = size(x, 3)", {"x": 1}, "no such dimension|extent of the axis"),
        ("y[i] = foo(x[i])", {"x": 1}, "'foo' is not a function of the formula language"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_text(
    text: str, ranks: Mapping[str, int], message: str
) -> None:
    with pytest.raises(FormulaError, match=message):
        bound(text, ranks)


def test_an_unknown_extent_is_refused_with_advice() -> None:
    with pytest.raises(FormulaError, match=r"declare it: extents=\{'r': '...'\}"):
        bound("y[i] = sum(x[i+r], r)", {"x": 1})
    with pytest.raises(FormulaError, match="'pading' in the extent"):
        bound("y[i] = x[i+1]", {"x": 1}, extents={"i": "size(x,0) - pading"})


def test_an_attribute_in_an_index_must_be_a_whole_number() -> None:
    with pytest.raises(FormulaError, match="stride=1.5 is used in an index and must be an integer"):
        bound("y[i] = x[stride*i]", {"x": 1}, stride=1.5)


def test_an_unknown_policy_for_reads_outside_is_refused() -> None:
    with pytest.raises(FormulaError, match="a policy is 0 or 'skip'"):
        bound("y[i] = x[i+1]", {"x": 1}, outside={"x": "mirror"}, extents={"i": "size(x,0)"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x*w", True),
        ("w*x", True),
        ("x + w", False),
        ("x/w", True),
        ("w/x", False),
        ("-x*w + x", True),
        ("exp(x)", False),
    ],
)
def test_a_factor_is_recognised(text: str, expected: bool) -> None:
    assert vanishes(parse_expression(text), "x") is expected


def test_the_same_formula_is_equal_and_hashes_equal() -> None:
    first, second = (bound("y[i] = sum(x[i+r] * w[r], r)", {"x": 1, "w": 1}) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first.extents["y.0"] != Number(0)
