"""The float64 reference and the shape rules against straightforward NumPy loops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import DataError
from graphc.graph import reference
from graphc.graph.reference import evaluate


def value(node: graphc.Node, **arrays: Any) -> numpy.ndarray:
    leaves = {n.name: n for n in graphc.graph.topological([node]) if n.application is None}
    return evaluate([node], {leaves[name]: numpy.asarray(array) for name, array in arrays.items()})[0]


def pads(padding: int | tuple[int, int] | str, extent: int, size: int, stride: int, dilation: int, axis: int) -> Any:
    """Elements before and after one axis, as the words say."""
    reach = dilation * (size - 1) + 1
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return reach - 1, reach - 1
    if padding == "same":
        total = max((-(-extent // stride) - 1) * stride + reach - extent, 0)
        return total // 2, total - total // 2
    number = padding if isinstance(padding, int) else padding[axis]
    return number, number


def plain_conv(x: numpy.ndarray, w: numpy.ndarray, stride: int, padding: Any, dilation: int, groups: int) -> Any:
    """Convolution as nested loops over a padded image."""
    n, c, h, width = x.shape
    k, per_group, r, s = w.shape
    (top, bottom), (left, right) = (
        pads(padding, h, r, stride, dilation, 0),
        pads(padding, width, s, stride, dilation, 1),
    )
    padded = numpy.zeros((n, c, h + top + bottom, width + left + right))
    padded[:, :, top : top + h, left : left + width] = x
    rows = (padded.shape[2] - dilation * (r - 1) - 1) // stride + 1
    columns = (padded.shape[3] - dilation * (s - 1) - 1) // stride + 1
    y = numpy.zeros((n, k, rows, columns))
    for b, f, i, j in itertools.product(range(n), range(k), range(rows), range(columns)):
        first = f // (k // groups) * per_group
        window = padded[b, first : first + per_group, stride * i :, stride * j :]
        y[b, f, i, j] = (window[:, : dilation * r : dilation, : dilation * s : dilation][:, :r, :s] * w[f]).sum()
    return y


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, (2, 1), "valid", "same", "full"])
@pytest.mark.parametrize(("dilation", "groups"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_convolution_is_the_nested_loops(stride: int, padding: Any, dilation: int, groups: int) -> None:
    generator = numpy.random.default_rng(0)
    x, w = generator.normal(size=(2, 4, 7, 6)), generator.normal(size=(6, 4 // groups, 3, 2))
    node = graphc.conv2d(
        graphc.input("x", x.shape), graphc.input("w", w.shape),
        stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip
    expected = plain_conv(x, w, stride, padding, dilation, groups)
    assert node.shape == expected.shape
    assert numpy.allclose(value(node, x=x, w=w), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("stride", [None, 1, 2, 4])
@pytest.mark.parametrize("padding", [0, 1, "same"])
def test_pooling_is_the_nested_loops_ties_included(size: int, stride: int | None, padding: Any) -> None:
    if padding == 1 and size == 1:
        return  # refused: a window would see nothing
    generator = numpy.random.default_rng(1)
    x = generator.integers(0, 3, (2, 2, 5, 6)).astype(float)  # many ties
    step = size if stride is None else stride
    (top, bottom), (left, right) = (pads(padding, e, size, step, 1, 0) for e in (5, 6))
    padded = numpy.full((2, 2, 5 + top + bottom, 6 + left + right), -numpy.inf)
    padded[:, :, top : top + 5, left : left + 6] = x
    rows, columns = ((padded.shape[d] - size) // step + 1 for d in (2, 3))
    expected = numpy.zeros((2, 2, rows, columns))
    gradient = numpy.zeros(padded.shape)
    for n, c, i, j in itertools.product(range(2), range(2), range(rows), range(columns)):
        window = padded[n, c, step * i : step * i + size, step * j : step * j + size]
        expected[n, c, i, j] = window.max()
        r, s = numpy.unravel_index(window.argmax(), window.shape)  # the first at a tie, row by row
        gradient[n, c, step * i + r, step * j + s] += 1.0
    node = graphc.max_pool2d(graphc.input("x", x.shape), size, stride=stride, padding=padding)
    run = graphc.backward(graphc.sum(node)).at(x=x)
    assert numpy.array_equal(run.value(node), expected)
    assert numpy.array_equal(run.grad("x"), gradient[:, :, top : top + 5, left : left + 6])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 5), (5, 4)), ((5,), (5, 4)), ((3, 5), (5,)), ((5,), (5,)), ((2, 3, 5), (5, 4)), ((3, 5), (2, 5, 4)),
        ((2, 3, 5), (2, 5, 4)), ((7, 2, 3, 5), (2, 5, 4)), ((1, 1), (1, 1)),
    ],
)  # fmt: skip
def test_the_matrix_product_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    generator = numpy.random.default_rng(2)
    x, w = generator.normal(size=a), generator.normal(size=b)
    node = graphc.matmul(graphc.input("a", a), graphc.input("b", b))
    expected = x @ w
    assert node.shape == expected.shape
    assert numpy.allclose(value(node, a=x, b=w), expected)


@pytest.mark.parametrize("axes", [None, 0, 1, 2, -1, (0, 2), (1, -1), (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_and_means_are_numpys(axes: Any, keepdims: bool) -> None:
    x = numpy.random.default_rng(3).normal(size=(2, 3, 4))
    for gate, function in ((graphc.sum, numpy.sum), (graphc.mean, numpy.mean)):
        node = gate(graphc.input("x", x.shape), axes=axes, keepdims=keepdims)
        expected = function(x, axis=axes, keepdims=keepdims)
        assert node.shape == expected.shape
        assert numpy.allclose(value(node, x=x), expected)


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2,)), ((2, 1, 4), (3, 1)), ((1,), (1, 1))]
)
def test_broadcasting_is_numpys_and_gradients_are_summed_over_repetitions(
    a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    generator = numpy.random.default_rng(4)
    x, y = generator.normal(size=a), generator.normal(size=b)
    node = graphc.input("x", a) * graphc.input("y", b)
    expected = x * y
    assert node.shape == expected.shape
    root = graphc.sum(node) if node.shape else node
    run = graphc.backward(root).at(x=x, y=y)
    assert numpy.allclose(run.value(node), expected)
    ones = numpy.ones(expected.shape)
    for name, other, shape in (("x", y, a), ("y", x, b)):
        full = other * ones
        lead = tuple(range(full.ndim - len(shape)))
        reduced = full.sum(axis=lead)
        kept = tuple(d for d, extent in enumerate(shape) if extent == 1)
        assert numpy.allclose(run.grad(name), reduced.sum(axis=kept, keepdims=True).reshape(shape))


def test_argmax_takes_the_first_at_a_tie() -> None:
    node = graphc.argmax(graphc.input("x", (2, 3)))
    assert value(node, x=[[1.0, 3.0, 3.0], [5.0, 0.0, 5.0]]).tolist() == [1, 0]
    assert value(graphc.argmax(graphc.input("x", (2, 2)), axis=0), x=[[1, 2], [1, 3]]).tolist() == [0, 1]


@pytest.mark.parametrize(("gate", "expected"), [("max", (1.0, 0.0)), ("min", (1.0, 0.0))])
def test_the_first_operand_wins_a_tie(gate: str, expected: tuple[float, float]) -> None:
    a, b = graphc.inputs("a b")
    run = graphc.backward(getattr(graphc, gate)(a, b)).at(a=2.0, b=2.0)
    assert (float(run.grad("a")), float(run.grad("b"))) == expected


def test_a_rectifier_is_flat_at_0() -> None:
    x = graphc.input("x", (3,))
    assert graphc.backward(graphc.sum(graphc.relu(x))).at(x=[-1.0, 0.0, 1.0]).grad("x").tolist() == [0, 0, 1]


def test_reshape_keeps_row_major_order() -> None:
    x = numpy.arange(24.0).reshape(2, 3, 4)
    node = graphc.reshape(graphc.input("x", x.shape), (4, -1))
    assert numpy.array_equal(value(node, x=x), x.reshape(4, -1))
    assert numpy.array_equal(value(graphc.flatten(graphc.input("x", x.shape)), x=x), x.reshape(2, -1))


def test_blocks_of_bounded_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = numpy.random.default_rng(5)
    x, w = generator.normal(size=(2, 3, 9, 9)), generator.normal(size=(4, 3, 3, 3))
    node = graphc.max_pool2d(graphc.conv2d(graphc.input("x", x.shape), graphc.input("w", w.shape)), 2)
    back = graphc.backward(graphc.sum(node * node))
    whole = back.at(x=x, w=w)
    monkeypatch.setattr(reference, "BLOCK_POINTS", 50)
    parts = back.at(x=x, w=w)
    for name in ("x", "w"):
        assert numpy.allclose(whole.grad(name), parts.grad(name), rtol=1e-12)
    assert numpy.allclose(whole.value(node), parts.value(node), rtol=1e-12)


def test_a_named_size_is_read_off_the_data_and_must_agree() -> None:
    a, b = graphc.input("a", ("N", 2)), graphc.input("b", ("N",))
    node = graphc.sum(a) + graphc.sum(b)
    for count in (0, 1, 5):
        assert value(node, a=numpy.ones((count, 2)), b=numpy.ones(count)) == 3 * count
    with pytest.raises(DataError, match="the size N is 2 in 'a' but 3 in 'b'"):
        value(node, a=numpy.ones((2, 2)), b=numpy.ones(3))
    with pytest.raises(DataError, match="'a' needs rank 2"):
        value(node, a=numpy.ones(2), b=numpy.ones(2))
    with pytest.raises(DataError, match=r"'a' needs shape \(N, 2\), found \(2, 3\)"):
        value(node, a=numpy.ones((2, 3)), b=numpy.ones(2))


def test_inner_nodes_that_are_given_are_taken_as_they_are() -> None:
    x = graphc.input("x")
    inner = graphc.exp(x)
    assert evaluate([inner * 2.0], {inner: numpy.float64(3.0)})[0] == 6.0


def test_everything_is_float64_whatever_the_declared_dtype() -> None:
    x = graphc.input("x", (2,), dtype="float32")
    assert value(x + 1e-12, x=[1.0, 2.0]).dtype == "float64"
    assert value(x + 1e-12, x=[1.0, 2.0])[0] != 1.0


def test_a_lenet_batch_of_4_forward_and_backward_takes_at_most_2_seconds() -> None:
    import time

    image, label = graphc.input("image", ("N", 1, 28, 28)), graphc.input("label", ("N",), dtype="int32")
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(image, 6, 5, padding="same", name="conv1")), 2)
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(h, 16, 5, name="conv2")), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 120, name="dense1"))
    h = graphc.relu(graphc.layers.dense(h, 84, name="dense2"))
    loss = graphc.softmax_cross_entropy(graphc.layers.dense(h, 10, name="scores"), label)
    back = graphc.backward(loss)
    generator = numpy.random.default_rng(6)
    parameters = {
        n.name: generator.normal(0, 0.1, tuple(int(str(e)) for e in n.shape))
        for n in back.nodes if n.kind == "parameter"
    }  # fmt: skip
    data = {"image": generator.normal(size=(4, 1, 28, 28)), "label": [1, 2, 3, 4]}
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run = back.at(parameters=parameters, **data)
        times.append(time.perf_counter() - start)
    print(f"LeNet, batch 4, reference: {min(times):.2f} s")
    assert min(times) <= 2.0
    name, direction = "conv1.weight", generator.normal(size=(6, 1, 5, 5))
    moved = [
        float(back.at(parameters=parameters | {name: parameters[name] + t * direction}, **data).value(loss))
        for t in (1e-7, -1e-7)  # so near that no rectifier and no winner of a pool changes
    ]
    slope = float((run.grad(name) * direction).sum())
    assert (moved[0] - moved[1]) / 2e-7 == pytest.approx(slope, rel=1e-6)
