"""Closed forms: one expression while it is short, "let" lines beyond, index formulas for arrays."""

from __future__ import annotations

import math
import time

import numpy
import pytest

import graphc
from graphc.formula.expression import Symbol, evaluate
from graphc.formula.numeric import NUMPY
from graphc.gradients import IndexFormula, LetForm


def lstm(steps: int) -> graphc.Node:
    """A scalar LSTM written by hand: gates i, f, o and candidate g with one weight each, shared over time."""
    shared = {(gate, part): graphc.parameter(f"{part}_{gate}", ()) for gate in "ifog" for part in ("w", "u", "b")}
    h, c = graphc.input("h0"), graphc.input("c0")
    for t in range(1, steps + 1):
        x = graphc.input(f"x{t}")

        def gate(name: str, x: graphc.Node = x, h: graphc.Node = h) -> graphc.Node:
            return shared[name, "w"] * x + shared[name, "u"] * h + shared[name, "b"]

        i, f, o = (graphc.sigmoid(gate(name)) for name in "ifo")
        c = f * c + i * graphc.tanh(gate("g"))
        h = o * graphc.tanh(c)
    return h.named("h")


def value_of(form: LetForm, leaves: dict[str, float]) -> float:
    """Evaluate the lines of a let form one after the other."""
    environment = dict(leaves)
    for name, expression in form.lines:
        assert name not in environment, f"{name} is defined twice"
        environment[name] = evaluate(expression, environment, NUMPY)
    return float(evaluate(form.result, environment, NUMPY))


def test_a_6_step_lstm_written_by_hand_answers_in_less_than_a_second() -> None:
    start = time.perf_counter()
    h = lstm(6)
    back = graphc.backward(h)
    form = back.formula("w_f")
    seconds = time.perf_counter() - start
    print(f"6-step LSTM: declared, differentiated and written in {seconds:.3f} s, {form.operations()} operations")
    assert isinstance(form, LetForm)
    assert len(form.lines) > 20
    assert seconds < 1.0
    generator = numpy.random.default_rng(0)
    leaves = {n.name: float(generator.normal()) for n in back.nodes if n.application is None and n.name}
    assert value_of(form, leaves) == pytest.approx(float(back.at(leaves).grad("w_f")), rel=1e-10)


def test_the_lines_of_a_let_form_are_ordered_used_and_readable() -> None:
    back = graphc.backward(lstm(3))
    form = back.formula("u_o")
    assert isinstance(form, LetForm)
    known = {n.name for n in back.nodes if n.name}
    names = [name for name, _ in form.lines]
    text = str(form)
    for name, expression in form.lines:
        used = _symbols(expression)
        assert used <= known, f"{used - known} is used before its line"
        known.add(name)
    for name in names:
        assert sum(name in _symbols(e) for _, e in (*form.lines, ("", form.result))) >= 1
    assert text.splitlines()[0].startswith("let ")
    assert len(text.splitlines()) == len(form.lines) + 1
    assert form.latex().count(r"\\") >= len(form.lines)


def _symbols(expression: object) -> set[str]:
    if isinstance(expression, Symbol):
        return {expression.name}
    return set().union(*map(_symbols, getattr(expression, "operands", ()))) if expression else set()


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (lambda x, y: x * y, "x", "y"),
        (lambda x, y: (x + y) * y, "x", "y"),
        (lambda x, y: x * x * y, "y", "x**2"),
        (lambda x, y: graphc.exp(x * y), "x", "y*exp(x*y)"),
        (lambda x, y: graphc.log(x) / y, "x", "1/(x*y)"),
        (lambda x, y: x / y, "y", "-x/y**2"),
        (lambda x, y: x**3.0 + y, "x", "3*x**2"),
        (lambda x, y: graphc.sigmoid(x) + y, "x", "exp(-x)/(1 + exp(-x))**2"),
        (lambda x, y: graphc.tanh(x * 2.0) + y, "x", "2 - 2*tanh(2*x)**2"),
        (lambda x, y: abs(x) * y, "y", "Abs(x)"),
    ],
)  # fmt: skip
def test_scalar_gradients_are_the_closed_forms_of_the_textbook(make, name: str, expected: str) -> None:
    import sympy

    x, y = graphc.inputs("x y")
    found = graphc.backward(make(x, y)).formula(name)
    real = {n: sympy.Symbol(n, real=True) for n in "xy"}
    difference = found - sympy.sympify(expected, locals=real)
    for point in ({"x": 0.3, "y": 1.7}, {"x": 1.1, "y": -0.4}):
        at = {symbol: point[symbol.name] for symbol in difference.free_symbols}
        functions = [{"sigmoid": lambda v: 1 / (1 + math.exp(-v)), "sech2": lambda v: 1 / math.cosh(v) ** 2}, "math"]
        value = sympy.lambdify(list(at), difference, functions)(*at.values())
        assert abs(value) < 1e-12


def test_an_operation_cap_decides_between_one_expression_and_let_lines() -> None:
    x = graphc.input("x")
    node = x
    for _ in range(5):
        node = graphc.sigmoid(node * x)
    back = graphc.backward(node)
    assert isinstance(back.formula("x", operations=3), LetForm)
    assert not isinstance(back.formula("x", operations=10_000), LetForm)


def test_a_doubling_graph_does_not_explode() -> None:
    x = graphc.input("x")
    node = x
    for _ in range(60):  # written out, 2**60 terms
        node = node * node + x
    start = time.perf_counter()
    form = graphc.backward(node).formula("x")
    assert isinstance(form, LetForm)
    assert time.perf_counter() - start < 2.0
    assert len(str(form)) < 100_000


def test_array_graphs_give_index_formulas_with_their_bindings() -> None:
    x, w = graphc.input("x", ("N", 3)), graphc.parameter("w", (2, 3))
    loss = graphc.sum(graphc.layers.dense(x, 2, name="scores", weight=w, bias=False))
    form = graphc.backward(loss).formula("w")
    assert isinstance(form, IndexFormula)
    assert "sum(" in str(form)
    assert "dweight[u, f]" in str(form)
    assert all(isinstance(line, str) for line in form.lines)
