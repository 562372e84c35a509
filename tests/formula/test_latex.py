"""LaTeX of formulas: index subscripts, sums over letters, guards as conditions."""

from __future__ import annotations

import doctest

import pytest

from graphc.formula import latex
from graphc.formula.adjoint import adjoint
from graphc.formula.definition import Definition, bind
from graphc.formula.expression import to_latex
from graphc.formula.gather import gather
from graphc.formula.latex import definition_latex, formula_latex, statement_latex
from graphc.formula.parser import parse_expression
from graphc.formula.statement import Formula


def bound(text: str, ranks: dict[str, int], **options: dict[str, str]) -> Formula:
    return bind("gate", Definition(text, **options), ranks, {})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "ranks", "expected"),
    [
        ("y[m,n] = sum(a[m,k] * b[k,n], k)", {"a": 2, "b": 2}, r"y_{m, n} = \sum_{k} a_{m, k} \, b_{k, n}"),
        ("y[n] = max(x[n,c], c)", {"x": 2}, r"y_{n} = \max_{c} x_{n, c}"),
        ("y[n] = argmax(x[n,c], c)", {"x": 2}, r"y_{n} = \operatorname{argmax}_{c} x_{n, c}"),
        ("y[n] = prod(x[n,c], c)", {"x": 2}, r"y_{n} = \prod_{c} x_{n, c}"),
        ("z[n] = logsumexp(s[n,c], c)", {"s": 2}, r"z_{n} = \log \sum_{c} \exp \left(s_{n, c}\right)"),
        ("y = sum(x[i] - w[i], i)", {"x": 1, "w": 1}, r"y = \sum_{i} \left[x_{i} - w_{i}\right]"),
        ("y = mean(x[i], i)", {"x": 1}, r"y = \sum_{i} \frac{x_{i}}{\mathrm{size}_{0}\left(x\right)}"),
        ("y[n] = s[n,t[n]]", {"s": 2, "t": 1}, r"y_{n} = s_{n, t_{n}}"),
        ("y[i] = sum(x[2*i + 3*r] * w[r], r)", {"x": 1, "w": 1}, r"y_{i} = \sum_{r} x_{2 \, i + 3 \, r} \, w_{r}"),
        ("y[i] = x1[i] * w_h[i]", {"x1": 1, "w_h": 1}, r"y_{i} = x_{1, i} \, \mathrm{w\_h}_{i}"),
    ],
)
def test_a_formula_is_written_with_subscripts_and_operators(text: str, ranks: dict[str, int], expected: str) -> None:
    assert formula_latex(bound(text, ranks)) == expected


def test_several_statements_are_rows() -> None:
    text = "z[n] = logsumexp(s[n,c], c)\nloss = mean(z[n] - s[n,t[n]], n)"
    rows = formula_latex(bound(text, {"s": 2, "t": 1}))
    assert rows.startswith(r"\begin{array}{l} z_{n} = ")
    assert rows.count(r"\\") == 1
    assert rows.endswith(r"\end{array}")


def test_guards_and_divisibility_are_conditions() -> None:
    formula = bound("y[i] = x[2*i]", {"x": 1})
    template = adjoint(formula, "x")
    assert template is not None
    form = gather(template.formula.statements[0])
    assert form is not None
    assert statement_latex(form) == (
        r"\mathrm{dx}_{p} = \mathrm{dy}_{i} \quad \text{where } i = \frac{p}{2}, 2 \mid p, "
        r"0 \leq p < 2 \, \mathrm{size}_{0}\left(y\right)"
    )


def test_an_accumulating_statement_says_so() -> None:
    template = adjoint(bound("y[i] = x[i] * x[i+1]", {"x": 1}), "x")
    assert template is not None
    assert statement_latex(template.formula.statements[1]) == (
        r"\mathrm{dx}_{i + 1} \mathrel{+}= \mathrm{dy}_{i} \, x_{i}"
    )


def test_a_formula_without_indices_is_shown_as_it_was_written_and_not_in_its_stable_form() -> None:
    definition = Definition("y = 1 / (1 + exp(-x))")
    formula = bind("sigmoid", definition, {"x": 1}, {})
    assert definition_latex(definition, formula) == r"y = \frac{1}{1 + e^{-x}}"
    assert formula_latex(formula) == r"y_{i} = \sigma\left(x_{i}\right)"


def test_the_example_of_the_module_prints_what_it_says() -> None:
    assert doctest.testmod(latex).attempted > 0
    assert doctest.testmod(latex).failed == 0


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("d*(1 if c > 0 else s)", r"d \, \left(\left[c > 0\right] + s \, \left[\neg\left(c > 0\right)\right]\right)"),
        (
            "d - (a if c > 0 else b)",
            r"d - \left(a \, \left[c > 0\right] + b \, \left[\neg\left(c > 0\right)\right]\right)",
        ),
        ("a + b if c > 0 else 0", r"\left(a + b\right) \, \left[c > 0\right]"),
        ("-(1 if c > 0 else 0)", r"-\left[c > 0\right]"),
    ],
)
def test_a_choice_among_other_terms_keeps_its_brackets(text: str, latex: str) -> None:
    assert to_latex(parse_expression(text)) == latex
