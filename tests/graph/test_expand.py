"""Gates of several lines written out: the same values and gradients, with the names of their lines."""

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.reference import evaluate


def cell():
    x, h, c = graphc.input("x", (2, 2)), graphc.input("h", (2, 3)), graphc.input("c", (2, 3))
    w, u, b = graphc.parameter("w", (12, 2)), graphc.parameter("u", (12, 3)), graphc.parameter("b", (12,))
    new_h, new_c = graphc.lstm_cell(x, h, c, w, u, b)
    return graphc.sum(new_h.named("h1") * new_c.named("c1"))


def softmax():
    scores, label = graphc.input("scores", (4, 3)), graphc.input("label", (4,), "int32")
    return graphc.softmax_cross_entropy(scores, label)


@pytest.mark.parametrize("build", [cell, softmax])
def test_the_same_values_and_gradients(build):
    loss = build()
    lines = graphc.expanded(loss)
    rng = numpy.random.default_rng(0)
    leaves = [n for n in topological([loss]) if n.kind in ("input", "parameter")]
    values = {n: rng.normal(size=n.shape) if n.is_float else rng.integers(0, 3, n.shape) for n in leaves}
    floats = [n for n in leaves if n.is_float]
    one, other = graphc.backward(loss), graphc.backward(lines)
    expected = evaluate([loss, *(one.grad(n) for n in floats)], values)
    found = evaluate([lines, *(other.grad(n) for n in floats)], values)
    for a, b in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_lines_have_their_names_and_gates():
    nodes = {n.name: n for n in topological([graphc.expanded(cell())]) if n.name is not None}
    assert {"i", "f", "g", "o", "state", "shown", "h1", "c1"} <= set(nodes)
    assert nodes["i"].gate == "sigmoid"
    assert nodes["g"].gate == "tanh"
    assert nodes["projected"].gate == "sum"
    assert nodes["h1"].operands == (nodes["o"], nodes["shown"])


def test_what_has_one_line_stays():
    x, y = graphc.inputs("x y")
    f = x * y + x
    assert graphc.expanded(f) is f
