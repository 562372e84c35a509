"""Expressions: text that is read back exactly, LaTeX as a lecturer writes it, neutral elements."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.errors import FormulaError
from graphc.formula.expression import (
    FUNCTIONS,
    Call,
    Expression,
    Number,
    Symbol,
    call,
    evaluate,
    fold,
    number,
    operation_count,
    substitute,
    symbols,
    to_latex,
    to_text,
)
from graphc.formula.parser import parse_expression

X, Y = Symbol("x"), Symbol("y")

TRUTHS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "and", "or", "not"}

numbers = st.one_of(
    st.integers(-1000, 1000),
    st.fractions(min_value=-10, max_value=10, max_denominator=50),
    st.floats(allow_nan=False, width=64),
).map(number)
names = st.sampled_from(["x", "y", "w0", "b_1", "alpha", "size", "x.1", "e", "lambda_"]).map(Symbol)


def applied(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Apply any function of the table; a quotient of two whole numbers is written as a fraction."""

    def build(function: str, operands: tuple[Expression, ...]) -> Expression:
        if function == "div" and all(isinstance(o, Number) and isinstance(o.value, int) for o in operands):
            a, b = (o.value for o in operands if isinstance(o, Number))
            return number(Fraction(a, b)) if b else operands[0]
        return call(function, *operands)

    return st.sampled_from(sorted(FUNCTIONS)).flatmap(
        lambda function: st.tuples(*[children] * FUNCTIONS[function].arity).map(
            lambda operands: build(function, operands)
        )
    )


expressions = st.recursive(st.one_of(numbers, names), applied, max_leaves=12)


@settings(max_examples=400, deadline=None)
@given(expressions)
def test_text_is_read_back_exactly(expression: Expression) -> None:
    assert parse_expression(to_text(expression)) == expression


@settings(max_examples=200, deadline=None)
@given(expressions)
def test_latex_has_balanced_braces_and_no_python(expression: Expression) -> None:
    text = to_latex(expression)
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\left") == text.count(r"\right") + text.count(r"\leftarrow")
    assert "**" not in text


@settings(max_examples=200, deadline=None)
@given(expressions)
def test_folding_twice_changes_nothing_more(expression: Expression) -> None:
    once = fold(expression)
    assert fold(once) == once
    assert operation_count(once) <= operation_count(expression)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("1 / (1 + exp(-x))", r"\frac{1}{1 + e^{-x}}"),
        ("f*(1 - f)", r"f \, \left(1 - f\right)"),
        ("w0*x0 + w1*x1 + w2", r"w_{0} \, x_{0} + w_{1} \, x_{1} + w_{2}"),
        ("x**2", r"{x}^{2}"),
        ("(x + y)**2", r"{\left(x + y\right)}^{2}"),
        ("(x + y)*z", r"\left(x + y\right) \, z"),
        ("x*y/z", r"\frac{x \, y}{z}"),
        ("-(x + y)", r"-\left(x + y\right)"),
        ("x - (y - z)", r"x - \left(y - z\right)"),
        ("x - y - z", "x - y - z"),
        ("2/3*x", r"\frac{2}{3} \, x"),
        ("sqrt(x**2 + 4)", r"\sqrt{{x}^{2} + 4}"),
        ("sigmoid(x)", r"\sigma\left(x\right)"),
        ("alpha*x", r"\alpha \, x"),
        ("theta1", r"\theta_{1}"),
        ("learning_rate", r"\mathrm{learning\_rate}"),
        ("max(x, 0)", r"\max\left(x, 0\right)"),
        ("abs(x)", r"\left|x\right|"),
        ("select(x > 0, 1, 0)", r"\left[x > 0\right]"),
        ("select(x > 0, x, 2)", r"x \, \left[x > 0\right] + 2 \, \left[\neg\left(x > 0\right)\right]"),
        ("inf", r"\infty"),
    ],
)
def test_latex_is_what_a_lecturer_writes(text: str, latex: str) -> None:
    assert to_latex(parse_expression(text)) == latex


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("x+y*z", "x + y * z"),
        ("(x+y)*z", "(x + y) * z"),
        ("x-(y-z)", "x - (y - z)"),
        ("x-(y+z)", "x - (y + z)"),
        ("(x**y)**z", "(x**y)**z"),
        ("x**(y**z)", "x**(y**z)"),
        ("-x*y", "(-x) * y"),
        ("-(x*y)", "-(x * y)"),
        ("x/(y*z)", "x / (y * z)"),
        ("(x < y) == (y < z)", "(x < y) == (y < z)"),
        ("not (x and y)", "not (x and y)"),
        ("1/3 + x", "1/3 + x"),
        ("x**-1", "x**(-1)"),
        ("size(x, 1)//2", "size(x, 1) // 2"),
    ],
)
def test_text_keeps_the_brackets_that_carry_meaning(text: str, written: str) -> None:
    assert to_text(parse_expression(text)) == written


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        ("mul", (Number(0), X), Number(0)),
        ("mul", (X, Number(1)), X),
        ("add", (Number(0), X), X),
        ("sub", (X, Number(0)), X),
        ("sub", (Number(0), X), Call("neg", (X,))),
        ("div", (X, Number(1)), X),
        ("pow", (X, Number(1)), X),
        ("neg", (Call("neg", (X,)),), X),
        ("neg", (Number(3),), Number(-3)),
        ("div", (Number(0), X), Call("div", (Number(0), X))),
        ("pow", (X, Number(0)), Call("pow", (X, Number(0)))),
    ],
)
def test_applying_a_function_drops_neutral_elements_only(
    function: str, operands: tuple[Expression, ...], expected: Expression
) -> None:
    assert call(function, *operands) == expected


def test_an_unknown_function_or_a_wrong_operand_count_is_refused() -> None:
    with pytest.raises(FormulaError, match="no scalar function 'system' with 1 operand"):
        call("system", X)
    with pytest.raises(FormulaError, match="no scalar function 'exp' with 2 operand"):
        call("exp", X, Y)


def test_symbols_are_listed_once_from_left_to_right() -> None:
    assert list(symbols(parse_expression("b*a + exp(b) - c"))) == ["b", "a", "c"]


def test_substitution_is_simultaneous() -> None:
    assert substitute(parse_expression("x - y"), {"x": Y, "y": X}) == parse_expression("y - x")


def test_folding_is_exact() -> None:
    assert fold(parse_expression("1/3 + 1/6")) == Number(Fraction(1, 2))
    assert fold(Call("mul", (Number(Fraction(2, 3)), Number(6)))) == Number(4)
    assert fold(Call("pow", (Number(2), Number(-2)))) == Number(Fraction(1, 4))
    assert fold(Call("div", (Number(1), Number(0)))) == Call("div", (Number(1), Number(0)))
    assert fold(parse_expression("x + (2 + 3)")) == Call("add", (X, Number(5)))


def test_an_expression_is_evaluated_over_any_number_system() -> None:
    expression = parse_expression("(x + 1/3) * x")
    table = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b}
    assert evaluate(expression, {"x": Fraction(2, 3)}, table, Fraction) == Fraction(2, 3)
    assert evaluate(expression, {"x": 2.0}, table, float) == pytest.approx(14 / 3)


def test_whole_floats_become_integers_up_to_the_range_where_floats_hold_them_all() -> None:
    assert number(2.0) == Number(2)
    assert isinstance(number(2.0).value, int)
    assert isinstance(number(2.0**60).value, float)
    assert isinstance(number(Fraction(4, 2)).value, int)
    assert math.isinf(number(float("inf")).value)


def test_expressions_are_values() -> None:
    assert parse_expression("x + y") == parse_expression("x+y")
    assert hash(parse_expression("x + y")) == hash(parse_expression("x+y"))
    assert parse_expression("x + y") != parse_expression("y + x")
    assert str(parse_expression("x+y")) == "x + y"
