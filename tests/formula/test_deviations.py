"""Sums of deviations from a mean are left out of adjoints: where they are zero, and only there."""

import numpy
import pytest

import graphc
from graphc.formula.adjoint import adjoint


def lines(gate, *shapes):
    node = gate(*(graphc.input(f"p{k}", shape) for k, shape in enumerate(shapes)))
    found = adjoint(node.formula, node.formula.inputs[0])
    assert found is not None
    return [str(s) for s in found.formula.statements]


def agrees(node, seed=0):
    """Whether gradients equal central differences."""
    generator = numpy.random.default_rng(seed)
    leaves = [n for n in graphc.graph.topological([node]) if n.kind == "input"]
    values = {n: generator.normal(size=n.shape) for n in leaves}
    weights = generator.normal(size=node.shape)
    loss = graphc.sum(node * graphc.constant(weights))
    back = graphc.backward(loss)
    run = back.at(values)
    for leaf in leaves:
        found = run.grad(leaf)
        for index in numpy.ndindex(leaf.shape):
            step = numpy.zeros(leaf.shape)
            step[index] = 1e-5
            above, below = (back.at({**values, leaf: values[leaf] + s}).value(loss) for s in (step, -step))
            assert found[index] == pytest.approx((above - below) / 2e-5, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("gate", "shapes"),
    [
        (graphc.batch_norm, ((5, 3), (3,), (3,))),
        (graphc.batch_norm, ((3, 2, 3, 2), (2,), (2,))),
        (graphc.layer_norm, ((4, 5), (5,), (5,))),
    ],
)
def test_norms_read_their_operand_once_less(gate, shapes):
    found = lines(gate, *shapes)
    averages = [line for line in found if line.startswith("daverage")]
    assert len(averages) == 1  # through the scaled deviations; not through the variance
    assert "dvariance" not in averages[0]
    agrees(gate(*(graphc.input(f"p{k}", shape) for k, shape in enumerate(shapes))))


@pytest.mark.parametrize(
    "text",
    [
        "m[c] = mean(x[n,c], n)\nv[c] = mean(w[n]*(x[n,c] - m[c])**2, n)",  # weights: deviations do not cancel
        "m[c] = sum(x[n,c], n)/3\nv[c] = sum((x[n,c] - m[c])**2, n)",  # not the mean of four
        "m[c] = mean(x[n,c], n)\nv[c] = mean((x[n,c] - m[c])**3, n)",
        "m[c] = mean(x[n,c], n)\nv[c] = mean((x[n,c] - 2*m[c])**2, n)",
        "m[c] = mean(x[n,c], n)\nv[c] = mean((w[n] - m[c])**2, n)",
        "m[c] = mean(x[n,c]**2, n)\nv[c] = mean((x[n,c] - m[c])**2, n)",
        "m[c] = mean(x[n,c], n)\nv[n] = sum((x[n,c] - m[c])**2, c)",  # over other axes
        "m = mean(x[n,c], n, c)\nv[c] = sum((x[n,c] - m)**2, n)",
        "m[c] = max(x[n,c], n)\nv[c] = mean((x[n,c] - m[c])**2, n)",
    ],
)
def test_other_sums_keep_their_derivative_by_the_mean(text):
    gate = graphc.gate(text, name="spread")
    operands = [graphc.input("x", (4, 3))] + ([graphc.input("w", (4,))] if "w[" in text else [])
    node = gate(*operands)
    found = adjoint(node.formula, "x")
    assert found is not None
    assert any(str(s).startswith("dm") for s in found.formula.statements)
    agrees(node)


def test_a_variance_alone_has_no_path_through_its_mean():
    node = graphc.gate("m[c] = mean(x[n,c], n)\nv[c] = mean((x[n,c] - m[c])**2, n)", name="variance")(
        graphc.input("x", (4, 3))
    )
    found = adjoint(node.formula, "x")
    assert found is not None
    assert not any(str(s).startswith("dm") for s in found.formula.statements)
    agrees(node)
