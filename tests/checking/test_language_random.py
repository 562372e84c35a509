"""Random claims: as Python means them, as graphc and SymPy write them in LaTeX, and as they are printed."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest
import sympy

import graphc
from graphc.checking.claims import Names, read_claim
from graphc.checking.language import claim_text
from graphc.formula.expression import Call, Expression, Number, Symbol, call, evaluate, to_latex
from graphc.formula.numeric import NUMPY
from tests.checking.test_language import Graph

POINT = {"x": 0.7, "y": 1.3, "z": -0.4, "w_1": 2.1, "theta": 0.9}
NODES = graphc.inputs(" ".join(POINT))
ROOT = NODES[0] * NODES[1] * NODES[2] * NODES[3] * NODES[4]
NAMES = Names(Graph(ROOT))  # type: ignore[arg-type]


def value(text: str) -> float:
    return float(read_claim(NODES[0], text, NAMES).value(POINT, "double"))


def same(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-11)


# ---- Python ------------------------------------------------------------------------------------------


def python_text(generator: random.Random, depth: int) -> str:
    """A Python expression with brackets only where chance puts them: precedence is what is tested."""
    if depth == 0 or generator.random() < 0.2:
        return generator.choice(["x", "y", "z", "w_1", "theta", "2", "3", "0.5", "1e-1"])
    space = generator.choice(["", " "])

    def inner() -> str:
        text = python_text(generator, depth - 1)
        return f"({text})" if generator.random() < 0.4 else text

    kind = generator.choice(["binary"] * 6 + ["sign", "power", "call", "choice", "mask", "logic"])
    if kind == "binary":
        return f"{inner()}{space}{generator.choice('+-*/')}{space}{inner()}"
    if kind == "sign":
        return f"-{inner()}"
    if kind == "power":
        return f"{inner()}**{generator.choice(['2', '-1', '(-2)', '3', '-2**2', '2**1'])}"
    if kind == "call":
        return f"{generator.choice(['exp', 'tanh', 'abs', 'cos'])}({inner()})"
    if kind == "choice":
        return f"({inner()} if {inner()} {generator.choice(['<', '>', '<=', '>='])} {inner()} else {inner()})"
    relation = generator.choice(["<", ">", "<=", ">=", "!="])
    if kind == "mask":
        return f"({inner()} {relation} {inner()})*{inner()}"
    word = generator.choice(["and", "or"])
    return f"({inner()} > {inner()} {word} not {inner()} {relation} {inner()})*{inner()}"


def test_python_text_means_what_python_means() -> None:
    generator = random.Random(5)
    scope: dict[str, Any] = {**POINT, "exp": math.exp, "tanh": math.tanh, "cos": math.cos, "abs": abs}
    compared = 0
    for _ in range(1500):
        text = python_text(generator, generator.randint(1, 4))
        try:
            expected = eval(text, {"__builtins__": {}}, scope)  # the judge, of text that this test wrote
        except (ZeroDivisionError, OverflowError):
            continue
        if isinstance(expected, complex) or not math.isfinite(expected) or abs(expected) > 1e12:
            continue
        compared += 1
        assert same(value(text), float(expected)), text
    assert compared > 1000


# ---- graphc's own text and LaTeX ---------------------------------------------------------------------


def tree(generator: random.Random, depth: int) -> Expression:
    if depth == 0 or generator.random() < 0.15:
        return generator.choice([*map(Symbol, POINT), Number(2), Number(3), Number(0.5)])

    def inner() -> Expression:
        return tree(generator, depth - 1)

    function = generator.choice(
        ["add", "sub", "mul", "mul", "div", "neg", "pow", "exp", "tanh", "sigmoid", "sin", "abs", "max", "select",
         "sqrt", "softplus", "log"]
    )  # fmt: skip
    if function in ("add", "sub", "mul", "div", "max"):
        return call(function, inner(), inner())
    if function == "pow":
        return call(function, inner(), Number(generator.choice([2, 3, -1])))
    if function == "select":
        condition = Call(generator.choice(["less", "greater"]), (inner(), inner()))
        return Call(function, (condition, inner(), generator.choice([Number(0), inner()])))
    if function in ("exp", "softplus"):
        return call(function, call("tanh", inner()))
    return (
        call(function, call("exp", call("tanh", inner()))) if function in ("sqrt", "log") else call(function, inner())
    )


def test_what_graphc_writes_is_read_with_the_same_value_and_tree() -> None:
    generator = random.Random(3)
    compared = 0
    for _ in range(600):
        expression = tree(generator, generator.randint(1, 4))
        expected = float(evaluate(expression, POINT, NUMPY, float))
        if not math.isfinite(expected) or abs(expected) > 1e12:
            continue
        compared += 1
        assert same(value(to_latex(expression, {"w_1": "w_1"})), expected), to_latex(expression)
        read = read_claim(NODES[0], claim_text(expression), NAMES).expression
        assert read is not None
        again = read_claim(NODES[0], claim_text(read), NAMES).expression
        assert again == read
        assert same(float(evaluate(read, POINT, NUMPY, float)), expected)
    assert compared > 400


# ---- SymPy -------------------------------------------------------------------------------------------


def sympy_tree(generator: random.Random, depth: int) -> Any:
    names = [sympy.Symbol(name, real=True) for name in POINT]
    if depth == 0 or generator.random() < 0.15:
        return generator.choice([*names, sympy.Integer(2), sympy.Rational(1, 3), sympy.Rational(-3, 2)])

    def inner() -> Any:
        return sympy_tree(generator, depth - 1)

    return generator.choice(
        [
            lambda: inner() + inner(),
            lambda: inner() * inner(),
            lambda: inner() / (sympy.exp(inner()) + 1),
            lambda: inner() ** generator.choice([2, 3]),
            lambda: sympy.exp(sympy.sin(inner())),
            lambda: sympy.tanh(inner()) ** generator.choice([1, 2]),
            lambda: sympy.Abs(inner()),
            lambda: sympy.Max(inner(), 0),
            lambda: sympy.sqrt(sympy.tanh(inner()) + 1),
            lambda: sympy.log(inner() ** 2 + 1),
            lambda: sympy.Piecewise((inner(), names[0] > generator.choice([0, 1])), (inner(), True)),
        ]
    )()


STYLES: list[dict[str, Any]] = [
    {},
    {"fold_short_frac": True, "mul_symbol": "dot"},
    {"ln_notation": True, "mul_symbol": "times"},
]


def compare_with_sympy(seed: int, count: int) -> int:
    generator = random.Random(seed)
    point = {sympy.Symbol(name, real=True): sympy.Float(str(number), 30) for name, number in POINT.items()}
    compared = 0
    for _ in range(count):
        expression = sympy_tree(generator, generator.randint(1, 4))
        expected = complex(expression.subs(point).evalf(20))
        if expected.imag or not math.isfinite(expected.real) or abs(expected) > 1e12 or expression.has(sympy.atan2):
            continue
        compared += 1
        for text in (re.sub(r"\bE\b", "e", str(expression)), *(sympy.latex(expression, **style) for style in STYLES)):
            assert same(value(text), expected.real), text
    return compared


def test_what_sympy_writes_is_read_with_the_same_value() -> None:
    assert compare_with_sympy(seed=11, count=120) > 100


@pytest.mark.slow
def test_what_sympy_writes_is_read_with_the_same_value_many_times_over() -> None:
    assert compare_with_sympy(seed=12, count=3000) > 2500
