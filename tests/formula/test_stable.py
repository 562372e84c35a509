"""Stable forms: each rule fires, means the same, and leaves the rest alone."""

from __future__ import annotations

import mpmath
import numpy
import pytest

from graphc.checking.precise import constant, precise_functions
from graphc.formula.expression import Call, evaluate
from graphc.formula.numeric import NUMPY
from graphc.formula.parser import parse_expression
from graphc.formula.stable import RULES, stable
from graphc.formula.symbolic import derivative

TABLE = [
    ("1/(1 + exp(-x))", "sigmoid(x)"),
    ("1/(exp(-x) + 1)", "sigmoid(x)"),
    ("1/(1 + exp(x))", "sigmoid(-x)"),
    ("1/(1 + exp(-2*x))", "sigmoid(2*x)"),
    ("(1 + exp(-x))**-1", "sigmoid(x)"),
    ("exp(x)/(1 + exp(x))", "sigmoid(x)"),
    ("exp(x)/(exp(x) + 1)", "sigmoid(x)"),
    ("1 - 1/(1 + exp(-x))", "sigmoid(-x)"),
    ("log(1 + exp(x))", "softplus(x)"),
    ("log(exp(x) + 1)", "softplus(x)"),
    ("log(exp(a) + exp(b))", "logaddexp(a, b)"),
    ("log(1 + x**2)", "log1p(x**2)"),
    ("log(1 - x)", "log1p(-x)"),
    ("exp(x) - 1", "expm1(x)"),
    ("exp(x) + -1", "expm1(x)"),
    ("log(1/(1 + exp(-x)))", "-softplus(-x)"),
    ("-log(sigmoid(x))", "softplus(-x)"),
    ("(exp(x) - exp(-x))/(exp(x) + exp(-x))", "tanh(x)"),
    ("(exp(x) - exp(-x))/(exp(-x) + exp(x))", "tanh(x)"),
    ("(exp(2*x) - 1)/(exp(2*x) + 1)", "tanh(x)"),
    ("(1 - exp(-2*x))/(1 + exp(-2*x))", "tanh(x)"),
    ("2*sigmoid(2*x) - 1", "tanh(x)"),
    ("1 - tanh(x)**2", "sech2(x)"),
    ("1 - tanh(x)*tanh(x)", "sech2(x)"),
    ("1 - erf(x)", "erfc(x)"),
    ("(1 + erf(x/sqrt(2)))/2", "erfc(-(x/sqrt(2)))/2"),
    ("erf(2*x) + 1", "erfc(-2*x)"),
    ("1 + tanh(x)", "2*sigmoid(2*x)"),
    ("1 - tanh(x)", "2*sigmoid(-2*x)"),
    ("x/(1 + abs(x))", "softsign(x)"),
    ("3*x/(abs(3*x) + 1)", "softsign(3*x)"),
    ("x/(1 + abs(y))", "x/(1 + abs(y))"),
    ("x/(1 + exp(-x))", "x/(1 + exp(-x))"),
    ("log(x)/(1 + x)", "log(x)/(1 + x)"),
    ("2 - tanh(x)**2", "2 - tanh(x)**2"),
    ("(exp(x) - exp(-y))/(exp(x) + exp(-y))", "(exp(x) - exp(-y))/(exp(x) + exp(-y))"),
    ("log(2 + exp(x))", "log(2 + exp(x))"),
]


@pytest.mark.parametrize(("text", "expected"), TABLE)
def test_text_becomes_its_stable_form(text: str, expected: str) -> None:
    found = stable(parse_expression(text))
    reference = parse_expression(expected)
    assert _same(found, reference), f"{found} is not {reference}"
    environment = {"x": mpmath.mpf("0.375"), "y": mpmath.mpf("-0.75"), "a": mpmath.mpf(1), "b": mpmath.mpf(-2)}
    with mpmath.workdps(50):
        values = [evaluate(e, environment, precise_functions(), constant) for e in (parse_expression(text), found)]
        assert abs(values[0] - values[1]) < mpmath.mpf("1e-45")


def _same(found: object, reference: object) -> bool:
    # -1*x and -x are one thing here
    normal = str(found).replace("(-1) * x", "-x")
    return normal == str(reference) or normal == str(reference).replace("(-1) * x", "-x")


def test_every_rule_is_reached_by_the_table_and_says_why() -> None:
    fired = set()
    for text, _ in TABLE:
        work = [parse_expression(text)]
        while work:
            item = work.pop()
            if isinstance(item, Call):
                work += item.operands
                inner = Call(item.function, tuple(stable(o) for o in item.operands))
                fired |= {name for name, rule in RULES if rule(inner) is not None}
    assert fired == {name for name, _ in RULES}
    assert all(rule.__doc__ for _, rule in RULES)


def test_stable_form_is_a_fixed_point() -> None:
    for text, _ in TABLE:
        once = stable(parse_expression(text))
        assert stable(once) == once


@pytest.mark.parametrize("text", [t for t, e in TABLE if t != e and "(a)" not in t and "expm1" not in e])
def test_values_and_slopes_are_finite_in_both_tails(text: str) -> None:
    body = stable(parse_expression(text))
    points = numpy.array([-1000.0, -30.0, -1e-8, 1e-8, 0.5, 30.0, 1000.0])
    if "log(1 - x)" in text:
        points = points[points < 1]
    for expression in (body, derivative(body, "x")):
        values = evaluate(expression, {"x": points}, NUMPY)
        assert numpy.isfinite(values).all(), (str(expression), values)
