"""The reverse sweep: fan-out, wrt, upstream, second order, local gradients and what is refused."""

from __future__ import annotations

import math

import numpy
import pytest

import graphc
from graphc.errors import DerivativeError
from graphc.gradients.run import JACOBIAN_ENTRIES


def test_gradients_of_a_value_used_twice_add() -> None:
    x = graphc.input("x")
    y = (x * x).named("y")
    f = y * y + y
    run = graphc.backward(f).at(x=3.0)
    assert run.grad("y") == 2 * 9 + 1
    assert run.grad("x") == (2 * 9 + 1) * 2 * 3


@pytest.mark.parametrize("branches", [1, 2, 3, 7])
def test_gradients_of_a_shared_weight_are_summed_over_its_uses(branches: int) -> None:
    w, x = graphc.inputs("w x")
    node = x
    for _ in range(branches):
        node = node * w
    run = graphc.backward(node).at(w=2.0, x=1.0)
    assert run.grad("w") == branches * 2.0 ** (branches - 1)


def test_the_default_is_every_float_input_and_parameter() -> None:
    x, label = graphc.input("x", ("N", 3)), graphc.input("label", ("N",), dtype="int32")
    w, state = graphc.parameter("w", (3, 2)), graphc.state("s", (2,))
    loss = graphc.softmax_cross_entropy(x @ w + state, label)
    back = graphc.backward(loss)
    assert [node.name for node in back.wrt] == ["x", "w"]
    with pytest.raises(DerivativeError, match="'label' has dtype int32; only floats have gradients"):
        back.grad("label")


def test_wrt_limits_what_is_differentiated() -> None:
    x, y = graphc.inputs("x y")
    shared = graphc.exp(y).named("shared")
    f = (x * shared).named("f")
    back = graphc.backward(f, wrt="x")
    assert back.wrt == (x,)
    assert back.at(x=2.0, y=0.0).grad("x") == 1.0
    for name in ("y", "shared"):
        with pytest.raises(DerivativeError, match=f"'{name}' lies on no path from wrt=\\['x'\\] to 'f'"):
            back.grad(name)
    assert not any(operand is y for _, operand in ((k[0], k[0].operands[k[1]]) for k in back.edges))


def test_wrt_may_be_an_inner_node() -> None:
    x, y = graphc.inputs("x y")
    inner = x + y
    back = graphc.backward(inner * inner, wrt=[inner])
    assert back.at(x=1.0, y=2.0).grad(inner) == 6.0
    with pytest.raises(DerivativeError, match="'x' lies on no path"):
        back.grad("x")


def test_a_node_that_the_root_does_not_reach_is_refused_by_name_and_by_node() -> None:
    x, other = graphc.inputs("x other")
    back = graphc.backward(x * 2.0)
    with pytest.raises(DerivativeError, match="no node is named 'other' below"):
        back.grad("other")
    with pytest.raises(DerivativeError, match="'other' .* is not below"):
        back.grad(other)


def test_an_upstream_gradient_weights_the_outputs() -> None:
    x = graphc.input("x", (3,))
    y = graphc.exp(x)
    data, weights = numpy.array([0.0, 1.0, 2.0]), numpy.array([1.0, -2.0, 0.5])
    fixed = graphc.backward(y, upstream=weights).at(x=data)
    assert fixed.grad("x") == pytest.approx(weights * numpy.exp(data))
    node = graphc.input("u", (3,))
    symbolic = graphc.backward(y, upstream=node)
    found = graphc.graph.reference.evaluate([symbolic.grad("x")], {x: data, node: weights})[0]
    assert found == pytest.approx(weights * numpy.exp(data))


def test_the_gradient_of_the_root_is_the_seed() -> None:
    x = graphc.input("x")
    f = x * 2.0
    back = graphc.backward(f)
    assert back.at(x=1.0).grad(f) == 1.0
    assert graphc.backward(x).at(x=5.0).grad("x") == 1.0


def test_gradients_are_nodes_again() -> None:
    x, y = graphc.inputs("x y")
    f = graphc.sigmoid(x * y)
    first = graphc.backward(f).grad("x")
    second = graphc.backward(first).grad("x")
    mixed = graphc.backward(first).grad("y")
    third = graphc.backward(second).grad("x")
    at = {x: 0.7, y: -1.3}
    values = [float(v) for v in graphc.graph.reference.evaluate([first, second, mixed, third], at)]
    s = 1 / (1 + math.exp(0.7 * 1.3))
    d1, d2 = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    d3 = d1 * (1 - 6 * s + 6 * s * s)
    expected = [-1.3 * d1, 1.69 * d2, d1 + 0.7 * -1.3 * d2, (-1.3) ** 3 * d3]
    assert values == pytest.approx(expected, rel=1e-12)


def test_the_hessian_of_a_quadratic_form_is_its_matrix() -> None:
    matrix = numpy.array([[2.0, 1.0], [1.0, 3.0]])
    x = graphc.input("x", (2,))
    f = graphc.sum(x * (graphc.constant(matrix) @ x)) * 0.5
    gradient = graphc.backward(f).grad("x")
    for k in range(2):
        row = graphc.backward(gradient, upstream=numpy.eye(2)[k]).at(x=[0.3, -0.7]).grad("x")
        assert row == pytest.approx(matrix[k], rel=1e-14)


def test_a_second_order_product_through_a_convolution_is_right() -> None:
    generator = numpy.random.default_rng(0)
    x, w = graphc.input("x", (1, 2, 5, 5)), graphc.input("w", (3, 2, 3, 3))
    loss = graphc.sum(graphc.tanh(graphc.conv2d(x, w, stride=2, padding=1)))
    data = {"x": generator.normal(size=(1, 2, 5, 5)), "w": generator.normal(size=(3, 2, 3, 3))}
    direction = generator.normal(size=(3, 2, 3, 3))
    first = graphc.backward(loss)
    projected = graphc.sum(first.grad("w") * direction)
    second = graphc.backward(projected).at(data).grad("w")

    def gradient(step: float) -> numpy.ndarray:
        return first.at(data | {"w": data["w"] + step * direction}).grad("w")

    numeric = (gradient(1e-5) - gradient(-1e-5)) / 2e-5
    assert second == pytest.approx(numeric, rel=1e-6, abs=1e-8)


# ---- local gradients --------------------------------------------------------------------------------


def test_local_gradients_are_expressions_in_the_names_of_the_nodes() -> None:
    x, y = graphc.inputs("x y")
    product = (x * y).named("p")
    f = graphc.tanh(product).named("f")
    back = graphc.backward(f)
    assert str(back.local("x", "p")) == "y"
    assert str(back.local_expression("f", 0)) == "1 - f**2"
    run = back.at(x=0.5, y=0.4)
    assert run.local("p", "f") == pytest.approx(1 - math.tanh(0.2) ** 2, rel=1e-12)


def test_a_constant_is_a_number_in_a_local_gradient() -> None:
    x = graphc.input("x")
    square = (x**2.0).named("s")
    assert str(graphc.backward(square).local("x", "s")) == "2*x"


def test_local_refuses_nodes_that_are_not_adjacent_and_points_to_grad() -> None:
    x, y = graphc.inputs("x y")
    inner = (x * y).named("inner")
    f = graphc.exp(inner).named("f")
    back = graphc.backward(f)
    with pytest.raises(DerivativeError, match=r"'x' is not an operand of 'f'.*graphc.backward\(f\).grad\('x'\)"):
        back.local("x", "f")
    with pytest.raises(DerivativeError, match="is not an operand of"):
        back.at(x=1.0, y=1.0).local("f", "inner")
    with pytest.raises(DerivativeError, match="no node is named 'g'"):
        back.local("g", "f")


def test_local_asks_which_operand_where_a_node_enters_twice() -> None:
    x = graphc.input("x")
    f = (x**x).named("f")
    back = graphc.backward(f)
    run = back.at(x=2.0)
    with pytest.raises(DerivativeError, match=r"'x' enters 'f' 2 times; say which with operand=k, k in \[0, 1\]"):
        back.local("x", "f")
    assert run.local("x", "f", operand=0) == pytest.approx(4.0)
    assert run.local("x", "f", operand=1) == pytest.approx(4 * math.log(2))
    with pytest.raises(DerivativeError, match="operand 2 of 'f' is not 'x'"):
        back.local("x", "f", operand=2)


def test_the_local_gradient_of_an_elementwise_gate_has_the_shape_of_its_result() -> None:
    a, b = graphc.input("a", (2, 3)), graphc.input("b", (3,))
    product = (a * b).named("p")
    run = graphc.backward(graphc.sum(product)).at(a=numpy.ones((2, 3)), b=[1.0, 2.0, 3.0])
    assert run.local("a", "p").tolist() == [[1, 2, 3], [1, 2, 3]]
    assert run.local("b", "p").shape == (2, 3)


def test_the_jacobian_of_a_matrix_product_is_written_out_on_request() -> None:
    generator = numpy.random.default_rng(1)
    a, b = graphc.input("a", (2, 3)), graphc.input("b", (3, 4))
    y = (a @ b).named("y")
    data = {"a": generator.normal(size=(2, 3)), "b": generator.normal(size=(3, 4))}
    run = graphc.backward(graphc.sum(y)).at(data)
    with pytest.raises(DerivativeError, match="not elementwise; ask for .*jacobian=True"):
        run.local("a", "y")
    found = run.local("a", "y", jacobian=True)
    expected = numpy.einsum("ip,kj->ijpk", numpy.eye(2), data["b"])
    assert found.shape == (2, 4, 2, 3)
    assert numpy.allclose(found, expected)
    assert numpy.allclose(run.local("b", "y", jacobian=True), numpy.einsum("jq,ik->ijkq", numpy.eye(4), data["a"]))


def test_the_jacobian_of_an_elementwise_gate_is_diagonal() -> None:
    x = graphc.input("x", (3,))
    y = graphc.exp(x).named("y")
    run = graphc.backward(graphc.sum(y)).at(x=[0.0, 1.0, 2.0])
    assert numpy.allclose(run.local("x", "y", jacobian=True), numpy.diag(numpy.exp([0.0, 1.0, 2.0])))


def test_the_jacobian_of_a_broadcast_operand_sums_over_nothing() -> None:
    a, b = graphc.input("a", (2, 3)), graphc.input("b", (1, 3))
    y = (a * b).named("y")
    data = {"a": numpy.arange(6.0).reshape(2, 3), "b": numpy.ones((1, 3))}
    found = graphc.backward(graphc.sum(y)).at(data).local("b", "y", jacobian=True)
    assert found.shape == (2, 3, 1, 3)
    assert numpy.allclose(found[:, :, 0, :], data["a"][:, :, None] * numpy.eye(3))


def test_the_jacobian_of_the_loss_is_softmax_less_truth() -> None:
    scores, label = graphc.input("scores", (2, 3)), graphc.input("label", (2,), dtype="int32")
    loss = graphc.softmax_cross_entropy(scores, label).named("loss")
    data = numpy.array([[3.2, 5.1, -1.7], [0.0, 0.0, 0.0]])
    run = graphc.backward(loss).at(scores=data, label=[0, 2])
    softmax = numpy.exp(data) / numpy.exp(data).sum(1, keepdims=True)
    expected = (softmax - numpy.eye(3)[[0, 2]]) / 2
    assert numpy.allclose(run.local("scores", "loss", jacobian=True), expected)


def test_a_jacobian_with_too_many_entries_is_refused_with_its_size() -> None:
    x, w = graphc.input("x", (40, 40)), graphc.input("w", (40, 40))
    y = (x @ w).named("y")
    run = graphc.backward(graphc.sum(y)).at(x=numpy.ones((40, 40)), w=numpy.ones((40, 40)))
    assert JACOBIAN_ENTRIES < 1600 * 1600
    with pytest.raises(DerivativeError, match="1600 x 1600 = 2560000 entries; at most 1000000"):
        run.local("x", "y", jacobian=True)


# ---- what does not carry a gradient -----------------------------------------------------------------


def test_no_gradient_flows_through_a_comparison_or_a_position() -> None:
    x = graphc.input("x", (3,))
    f = graphc.sum(graphc.equal(x, 2.0) * x)
    assert graphc.backward(f).at(x=[1.0, 2.0, 3.0]).grad("x").tolist() == [0, 1, 0]


def test_a_node_whose_gradient_is_zero_gives_zeros_of_its_shape() -> None:
    x = graphc.input("x", (2, 2))
    f = graphc.sum(graphc.equal(x, 1.0))
    run = graphc.backward(f).at(x=numpy.ones((2, 2)))
    assert run.grad("x").tolist() == [[0, 0], [0, 0]]


def test_a_gradient_is_right_where_the_naive_formula_overflows() -> None:
    x = graphc.input("x", (3,))
    loss = graphc.sum(graphc.sigmoid(x))
    run = graphc.backward(loss).at(x=[-800.0, 0.0, 800.0])
    assert run.grad("x") == pytest.approx([0.0, 0.25, 0.0], abs=1e-300)
    assert numpy.isfinite(run.grad("x")).all()


# ---- values -----------------------------------------------------------------------------------------


def test_values_are_given_by_node_by_name_and_as_parameters() -> None:
    x, w = graphc.input("x"), graphc.parameter("layer.w")
    f = x * w
    back = graphc.backward(f)
    assert back.at({x: 2.0, "layer.w": 3.0}).value(f) == 6.0
    assert back.at(x=2.0, parameters={"layer.w": 3.0, "not used": 1.0}).value(f) == 6.0
    assert back.at({"layer.w": 5.0}, x=2.0, parameters={"layer.w": 3.0}).value(f) == 10.0
    assert back.at(x=2.0).value(f) == 0.0  # a parameter without an initial value is zero


def test_the_worked_tables_name_every_edge() -> None:
    x, y, z = graphc.inputs("x y z")
    q = (x + y).named("q")
    f = (q * z).named("f")
    back = graphc.backward(f)
    text, numbers = str(back), str(back.at(x=-2, y=5, z=-4))
    lines = text.splitlines()
    assert lines[0].split() == ["gate", "|", "operand", "|", "local", "×", "upstream", "=", "downstream"]
    assert set(lines[1]) == {"-"}
    assert [line.split("|")[0].strip() for line in lines[2:]] == ["f", "f", "q", "q"]
    assert [" ".join(line.split("|")[2].split()) for line in lines[2:]] == [
        "z × df/df = df/dq", "q × df/df = df/dz", "1 × df/dq = df/dx", "1 × df/dq = df/dy",
    ]  # fmt: skip
    assert [" ".join(line.split("|")[2].split()) for line in numbers.splitlines()[2:]] == [
        "z = -4 × 1 = -4", "q = 3 × 1 = 3", "1 × -4 = -4", "1 × -4 = -4",
    ]  # fmt: skip
