"""Lookups behind products: the same values and gradients, with less to multiply."""

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.lookups import lifted
from graphc.graph.reference import evaluate

ROWS, FEATURES, UNITS = 5, 3, 4


def table_and_tokens(shape=(6, "N")):
    return graphc.parameter("table", (ROWS, FEATURES)), graphc.input("token", shape, "int32")


def recurrent():
    table, token = table_and_tokens()
    w, u = graphc.parameter("w", (4 * UNITS, FEATURES)), graphc.parameter("u", (4 * UNITS, UNITS))
    h, c = graphc.input("h", ("N", UNITS)), graphc.input("c", ("N", UNITS))

    def cell(x, state):
        new_h, new_c = graphc.lstm_cell(x, *state, w, u)
        return new_h, (new_h, new_c)

    hs, _ = graphc.unroll(cell, graphc.embedding(table, token), (h, c))
    return graphc.sum(hs * hs)


def dense():
    table, token = table_and_tokens(("N", 7))
    return graphc.sum(graphc.tanh(graphc.layers.dense(graphc.embedding(table, token), UNITS, name="d")))


def product():
    table, token = table_and_tokens(("N",))
    return graphc.sum(graphc.embedding(table, token) @ graphc.parameter("w", (FEATURES, 2)) ** 2)


def values_of(loss, count=30):
    rng = numpy.random.default_rng(0)
    found = {}
    for node in topological([loss]):
        if node.kind in ("input", "parameter"):
            shape = [count if str(e) == "N" else e for e in node.shape]
            found[node] = rng.normal(size=shape) if node.is_float else rng.integers(0, ROWS, shape)
    return found


@pytest.mark.parametrize("build", [recurrent, dense, product])
def test_the_same_values_and_gradients(build):
    loss = build()
    other = lifted([loss])[loss]
    assert other is not loss
    assert any("looked_up" in n.formula.ranks for n in topological([other]) if n.formula is not None)
    values = values_of(loss)
    floats = [n for n in values if n.is_float]
    one, two = graphc.backward(loss), graphc.backward(other)
    expected = evaluate([loss, *(one.grad(n) for n in floats)], values)
    found = evaluate([other, *(two.grad(n) for n in floats)], values)
    for a, b in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    step = graphc.compile([loss], gradients=[n.name for n in floats], dtype="float64", threads=2)
    for node, value in values.items():
        if node.kind == "parameter":
            step.parameters[node.name][...] = value
    _, gradients = step(**{n.name: v for n, v in values.items() if n.kind == "input"})
    for node, expected_gradient in zip(floats, expected[1:], strict=True):
        numpy.testing.assert_allclose(gradients[node.name], expected_gradient, rtol=1e-9, atol=1e-11)


def test_what_is_used_in_another_way_as_well_stays():
    table, token = table_and_tokens(("N",))
    rows = graphc.embedding(table, token)
    loss = graphc.sum(graphc.relu(rows)) + graphc.sum(rows[:, 0])
    assert lifted([loss])[loss] is loss


def test_a_table_with_more_rows_than_tokens_stays():
    table, token = table_and_tokens((6,))
    loss = graphc.sum(graphc.embedding(table, token) @ graphc.parameter("w", (FEATURES, 2)))
    assert lifted([loss])[loss] is loss
