"""Factors leave sums where that makes them the same sum, and only there."""

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.reference import evaluate
from graphc.planning import plan
from tests.planning.interpreter import Interpreter


def judged(outputs, batch=5):
    planned, leaves = plan(outputs, {}, dtype="float64", fuse=False)
    draw = numpy.random.default_rng(0)
    values = {}
    for node in topological(outputs):
        if node.kind in ("input", "parameter"):
            values[node] = draw.normal(size=tuple(e if isinstance(e, int) else batch for e in node.shape)) + 2
    machine = Interpreter(planned, leaves, {n.label: v for n, v in values.items()}, {"N": batch})
    machine.run()
    for number, value in zip(planned.outputs, evaluate(outputs, values), strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-10)
    return [str(planned.kernels[launch.kernel].statement) for launch in planned.launches]


def scaled(formula, x, g):
    """Apply a formula whose operands are in the order of their first letters in it."""
    return graphc.gate(formula, name="scaled")(*((x, g) if formula.index("x[") < formula.index("g[") else (g, x)))


@pytest.mark.parametrize(
    "formula",
    [
        "y[c] = sum(g[c]*x[n,c], n)",
        "y[c] = sum(x[n,c]/g[c], n)",
        "y[c] = sum(-(x[n,c]*(g[c]/2)), n)",
        "y[c] = sum(-(g[c]*((x[n,c] - 1)/sqrt(g[c])/(2*g[c]))), n)",
        "y[c] = sum(g[c]*x[n,c]/size(x,0), n)",  # the size stays where it is known
        "y[c] = sum((x[n,c] + g[c])*g[c], n)",
    ],
)
def test_factors_leave_a_long_sum(formula):
    x, g = graphc.input("x", (300, 4)), graphc.input("g", (4,))
    statements = judged([scaled(formula, x, g)])
    (inner,) = (s for s in statements if "sum(" in s)
    outer = statements[statements.index(inner) + 1]
    assert "t1[" in outer
    assert ("t2[" in inner) == ("x[n,c] + g[c]" in formula)  # the factor is read by the other launch


@pytest.mark.parametrize(
    ("formula", "shape"),
    [
        ("y[c] = sum(g[c]*x[n,c], n)", (20, 4)),  # a short sum
        ("y[c] = sum(g[c] + x[n,c], n)", (300, 4)),
        ("y[c] = sum(x[n,c]/(g[c] + x[n,c]), n)", (300, 4)),
        ("y[c] = sum(2*x[n,c] + 0*g[c], n)", (300, 4)),
        ("y[c] = max(g[c]*x[n,c], n)", (300, 4)),
    ],
)
def test_other_sums_stay(formula, shape):
    x, g = graphc.input("x", shape), graphc.input("g", (4,))
    assert len(judged([scaled(formula, x, g)])) == 1


def test_sums_that_differ_in_factors_only_are_one():
    x, g = graphc.input("x", ("N", 4, 30)), graphc.input("g", (4,))
    first = scaled("y[c] = sum(g[c]*(x[n,c,i]*x[n,c,i]), n, i)", x, g)
    second = scaled("y[c] = sum(-(x[n,c,i]*x[n,c,i]/sqrt(g[c])), n, i)", x, g)
    assert sum("+= sum(" in s for s in judged([first, second])) == 1


def test_batch_norm_goes_backward_with_two_sums_over_the_batch():
    x, gain, bias = graphc.input("x", ("N", 3, 8, 8)), graphc.parameter("gain", (3,)), graphc.parameter("bias", (3,))
    back = graphc.backward(graphc.sum(graphc.tanh(graphc.batch_norm(x, gain, bias))), [x, gain, bias])
    statements = judged([back.grad(node) for node in (x, gain, bias)])
    # in the sums of the gradients: the upstream gradient alone, and times the difference from the mean
    assert sum("sum(t3[" in s for s in statements) == 1
