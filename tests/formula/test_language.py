"""What the formula language says beyond one statement: axes as numbers, lines that add, writes where the data say."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy
import pytest

import graphc
from graphc.errors import FormulaError, ShapeError
from graphc.formula.definition import Definition
from graphc.graph import Gate
from graphc.graph.reference import evaluate

Arrays = Mapping[str, numpy.ndarray]


def both(
    text: str, operands: Arrays, extents: Mapping[str, str] | None = None, integers: Collection[str] = ()
) -> numpy.ndarray:
    """Value in the reference, after kernels and central differences have agreed about value and gradients."""
    gate = Gate("tested", Definition(text, {}, extents or {}, frozenset(integers)), tuple(operands))
    nodes = [
        graphc.input(name, array.shape, dtype="int32" if array.dtype.kind == "i" else "float64")
        for name, array in operands.items()
    ]
    y = gate(*nodes)
    values = dict(zip(nodes, operands.values(), strict=True))
    floats = [node for node in nodes if node.is_float]
    loss = graphc.sum(y * y)
    (expected, square) = evaluate([y, loss], values)
    if not floats:
        (found,) = graphc.compile([y], dtype="float64")(**operands)
        numpy.testing.assert_array_equal(found, expected)
        return expected
    back = graphc.backward(loss, wrt=floats)
    gradients = evaluate([back.grad(node) for node in floats], values)
    step = graphc.compile([loss, y], gradients=[node.label for node in floats], dtype="float64")
    (found_loss, found), found_gradients = step(**operands)
    numpy.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    numpy.testing.assert_allclose(found_loss, square, rtol=1e-12)
    for node, gradient in zip(floats, gradients, strict=True):
        numpy.testing.assert_allclose(found_gradients[node.label], gradient, rtol=1e-10, atol=1e-12)
        for place in numpy.ndindex(gradient.shape):
            shifted = [values[node].copy(), values[node].copy()]
            shifted[0][place] += 1e-6
            shifted[1][place] -= 1e-6
            high, low = (evaluate([loss], {**values, node: array})[0] for array in shifted)
            assert abs((high - low) / 2e-6 - gradient[place]) < 1e-6
    return expected


def random(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(7).normal(size=shape)


def test_an_axis_is_a_number_in_a_body() -> None:
    x = random(3, 4)
    i, j = numpy.arange(3)[:, None], numpy.arange(4)
    numpy.testing.assert_allclose(both("y[i,j] = x[i,j]*(1 + i) - j", {"x": x}), x * (1 + i) - j)


def test_an_axis_chooses() -> None:
    label = numpy.array([0, 2, 1], dtype="int32")
    hot = both("y[n,c] = 1 if c == label[n] else 0", {"label": label}, {"c": "4"}, ["label"])
    numpy.testing.assert_array_equal(hot, numpy.eye(4)[label])


def test_an_axis_chooses_inside_a_reduction() -> None:
    x = random(4, 4)
    found = both("y[i] = logsumexp(x[i,j] if j <= i else -inf, j)", {"x": x})
    expected = [numpy.log(numpy.exp(x[i, : i + 1]).sum()) for i in range(4)]
    numpy.testing.assert_allclose(found, expected)


def test_an_axis_that_the_gather_form_solves_for_stays_right_as_a_number() -> None:
    x = random(2, 3)
    found = both("y[n,2*i+r] = x[n,i]*(1 + r + 10*i)", {"x": x}, {"r": "2", "y.1": "2*size(x,1)"})
    expected = numpy.zeros((2, 6))
    for i in range(3):
        for r in range(2):
            expected[:, 2 * i + r] = x[:, i] * (1 + r + 10 * i)
    numpy.testing.assert_allclose(found, expected)


def test_a_nested_reduction_keeps_the_axes_that_are_only_numbers() -> None:
    x = random(5)
    found = both("y[i] = x[i] / sum(1 if r <= i else 0, r)", {"x": x}, {"r": "3"})
    numpy.testing.assert_allclose(found, x / numpy.array([1, 2, 3, 3, 3]))


def test_whole_axes_divide_to_whole_numbers() -> None:
    x = random(7)
    numpy.testing.assert_allclose(both("y[i] = x[i]*(i // 2)", {"x": x}), x * (numpy.arange(7) // 2))


def test_lines_add_parts_of_a_tensor() -> None:
    a, b = random(3, 2), random(3, 4)
    text = "y[n,c] = a[n,c]\ny[n,size(a,1)+c] += b[n,c]"
    found = both(text, {"a": a, "b": b}, {"y.1": "size(a,1) + size(b,1)"})
    numpy.testing.assert_array_equal(found, numpy.concatenate([a, b], axis=1))


def test_lines_add_up_where_they_overlap() -> None:
    a, b = random(4), random(3)
    found = both("y[i] = a[i]\ny[i+1] += 2*b[i]", {"a": a, "b": b})
    expected = a.copy()
    expected[1:] += 2 * b
    numpy.testing.assert_allclose(found, expected)


def test_products_add_into_a_part() -> None:
    # the part that no product reaches is zero, although matrix products are not filled beforehand
    a, b = random(3, 5), random(5, 2)
    text = "y[i,j] = sum(a[i,k]*b[k,j], k)\ny[i,size(b,1)+j] += a[i,j]"
    found = both(text, {"a": a, "b": b}, {"y.1": "size(a,1) + size(b,1)"})
    numpy.testing.assert_allclose(found, numpy.concatenate([a @ b, a], axis=1))


def test_a_first_line_that_adds_starts_from_zero_and_repetitions_add_up() -> None:
    x, weight = random(4, 2), random(5)
    source, target = (numpy.array(v, dtype="int32") for v in ([0, 1, 2, 3, 3], [1, 1, 0, 2, 1]))
    operands = {"x": x, "source": source, "target": target, "weight": weight}
    found = both("y[target[e],f] += x[source[e],f]*weight[e]", operands, {"y.0": "size(x,0)"})
    expected = numpy.zeros((4, 2))
    for e in range(5):
        expected[target[e]] += weight[e] * x[source[e]]
    numpy.testing.assert_allclose(found, expected)


def test_positions_on_the_left_are_operands_of_a_gate_made_from_text() -> None:
    scatter = graphc.gate("y[p[e]] += x[e]", extents={"y.0": "3"}, name="scatter")
    assert set(scatter.operands) == {"x", "p"}


def test_what_adds_must_fit() -> None:
    a, b = graphc.input("a", (3,)), graphc.input("b", (4,))
    gate = graphc.gate("y[i] = a[i]\ny[i] += b[i]", name="part")
    with pytest.raises(ShapeError, match="reaches index 3, but y has extent 3"):
        gate(a, b)


def test_only_sums_are_added() -> None:
    x = random(3, 4)
    found = both("y[i] = x[i,0]\ny[i] += max(x[i,j], j)", {"x": x})
    numpy.testing.assert_allclose(found, x[:, 0] + x.max(axis=1))


def test_a_formula_without_indices_does_not_add() -> None:
    with pytest.raises(FormulaError, match="nothing to add to"):
        graphc.gate("y += a")


def test_uniform_has_equal_bits_in_the_reference_and_in_kernels_of_both_types() -> None:
    key = numpy.array([12345, 7], dtype="int32")
    gate = Gate(
        "tested",
        Definition("y[i,j] = uniform(key[0], key[1], i*4099 + j)", {}, {"i": "50", "j": "33"}, frozenset({"key"})),
        ("key",),
        differentiable=False,
    )
    node = graphc.input("key", (2,), dtype="int32")
    y = gate(node)
    (expected,) = evaluate([y], {node: key})
    for dtype in ("float32", "float64"):
        (found,) = graphc.compile([y], dtype=dtype)(key=key)
        numpy.testing.assert_array_equal(found, expected)
    assert 0 <= expected.min() < 0.01
    assert 0.99 < expected.max() < 1


@pytest.mark.parametrize(
    "text",
    [
        "y[i+j] = x[i]*w[j]",
        "y[i+j] = sum(x[i]*w[j]*w[k], k)",
        "y[2*i-2*j+4] = x[i]*w[j]",
        "y[2*i+2*j] = max(x[i]*w[j]*w[k], k)",
    ],
)
def test_a_write_map_that_cannot_be_inverted_is_refused(text: str) -> None:
    gate = graphc.gate(text, extents={"y.0": "9"}, name="overlap")
    x, w = graphc.input("x", (3,)), graphc.input("w", (3,))
    with pytest.raises(ShapeError, match=r"two points write one element of y\[.*cannot be inverted") as caught:
        gate(x, w)
    assert "Try: where values should add up, write y[" in str(caught.value)


def test_a_write_where_the_data_say_must_add() -> None:
    gate = graphc.gate("y[p[e]] = x[e]", extents={"y.0": "3"}, name="scatter")
    with pytest.raises(ShapeError, match=r"where the data say(.|\n)*Try: .*write y\[p\[e\]\] \+= \.\.\."):
        gate(*(graphc.input(name, (4,), dtype="int32" if name == "p" else "float32") for name in gate.operands))


@pytest.mark.parametrize("text", ["y[i+j] += x[i]*w[j]", "y[3*i+j] = x[i]*w[j]", "y[2-i,j] = x[i]*w[j]"])
def test_a_write_map_that_can_be_inverted_or_adds_is_right(text: str) -> None:
    extents = {"y.0": "3", "y.1": "3"} if "2-i" in text else {"y.0": "9"}
    x, w = random(3), random(5)[2:]
    found = both(text, {"x": x, "w": w}, extents)
    expected = numpy.zeros(found.shape)
    for i in range(3):
        for j in range(3):
            place = (2 - i, j) if "2-i" in text else (3 * i + j if "3*i" in text else i + j)
            expected[place] += x[i] * w[j]
    numpy.testing.assert_allclose(found, expected)
