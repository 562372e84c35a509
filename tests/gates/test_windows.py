"""Convolutions and pools are one another's special cases, adjoints and restrictions."""

from __future__ import annotations

import re
from typing import Any

import numpy
import pytest

import graphc
from graphc.graph import Node
from graphc.graph.reference import evaluate
from graphc.planning import plan

Array = numpy.ndarray


def random(*shape: int) -> Array:
    return numpy.random.default_rng(sum(shape)).normal(size=shape)


def value(node: Node) -> Array:
    return evaluate([node], {})[0]


def constant(array: Array) -> Node:
    return graphc.constant(numpy.asarray(array, "float64"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (2, 3), "padding": (1, 2), "output_padding": (1, 0)},
        {"stride": 3, "padding": (1, 0), "output_padding": 2},
        {"stride": 3, "padding": (0, 1), "output_padding": (1, 2)},
        {"stride": 2, "output_padding": 1},
        {"dilation": (2, 1), "stride": (1, 2), "padding": 2},
    ],
)
def test_the_transposed_convolution_is_the_adjoint_of_the_convolution(options: dict[str, Any]) -> None:
    x, w = random(2, 3, 3, 4), random(3, 2, 4, 5)
    node = graphc.input("x", x.shape, dtype="float64")
    y = graphc.transposed_conv2d(node, constant(w), **options)
    image = graphc.input("image", y.shape, dtype="float64")
    own = {name: option for name, option in options.items() if name != "output_padding"}
    forward = graphc.conv2d(image, constant(w), **own)
    assert forward.shape == x.shape  # what output_padding chooses
    adjoint = graphc.backward(forward, wrt="image", upstream=x).grad("image")
    expected = evaluate([adjoint], {image: numpy.zeros(tuple(map(int, y.shape)))})[0]  # linear: the same everywhere
    numpy.testing.assert_allclose(evaluate([y], {node: x})[0], expected, rtol=1e-12, atol=1e-12)
    (found,) = graphc.compile([y], dtype="float64")(x=x)
    numpy.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_depthwise_convolution_is_one_group_a_channel() -> None:
    x, w, options = random(2, 3, 6, 5), random(3, 2, 3, 2), {"stride": (2, 1), "padding": 1, "dilation": (1, 2)}
    y = graphc.depthwise_conv2d(constant(x), constant(w), **options)
    grouped = graphc.conv2d(constant(x), constant(w.reshape(6, 1, 3, 2)), groups=3, **options)
    numpy.testing.assert_allclose(value(y), value(grouped), rtol=1e-12, atol=1e-12)


def test_local_filters_that_are_all_the_same_are_a_convolution() -> None:
    x, w, options = random(2, 3, 6, 5), random(4, 3, 3, 2), {"stride": 2, "padding": (1, 0)}
    y = graphc.conv2d(constant(x), constant(w), **options)
    places = numpy.broadcast_to(w, (*map(int, y.shape[2:]), *w.shape))
    local = graphc.locally_connected2d(constant(x), constant(places), **options)
    numpy.testing.assert_allclose(value(local), value(y), rtol=1e-12, atol=1e-12)


def test_signals_and_volumes_are_images_with_other_axes() -> None:
    x, w = random(2, 4, 7), random(6, 2, 3)
    options = {"groups": 2, "stride": 2, "dilation": 2}
    flat = graphc.conv2d(constant(x[:, :, None]), constant(w[:, :, None]), padding=(0, 1), **options)
    numpy.testing.assert_allclose(
        value(graphc.conv1d(constant(x), constant(w), padding=1, **options)), value(flat)[:, :, 0], rtol=1e-12
    )
    x, w = random(2, 3, 4, 5, 3), random(4, 3, 2, 3, 3)
    planes = sum(
        value(graphc.conv2d(constant(x[:, :, q : q + 3].swapaxes(1, 2).reshape(6, 3, 5, 3)), constant(w[:, :, q])))
        for q in range(2)
    )
    volume = value(graphc.conv3d(constant(x), constant(w)))
    numpy.testing.assert_allclose(volume.swapaxes(1, 2).reshape(planes.shape), planes, rtol=1e-12, atol=1e-12)
    signal = value(graphc.max_pool1d(constant(random(2, 3, 7)), 3, 2, 1))
    image = value(graphc.max_pool2d(constant(random(2, 3, 7)[:, :, None]), (1, 3), (1, 2), (0, 1)))
    numpy.testing.assert_array_equal(signal, image[:, :, 0])


def reach(y: Node, x: Node, place: tuple[int, ...]) -> Array:
    """Which elements of the first map of ``x`` an element of ``y`` depends on."""
    upstream = numpy.zeros(tuple(map(int, y.shape)))
    upstream[place] = 1.0
    gradient = graphc.backward(y, wrt=x.label, upstream=upstream).grad(x.label)
    return evaluate([gradient], {x: random(*map(int, x.shape))})[0][0, 0] != 0


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("window", [(3, 3), (5, 3), (1, 5)])
def test_masked_filters_see_what_comes_before(kind: str, window: tuple[int, int]) -> None:
    x, w = graphc.input("x", (1, 1, 6, 5), dtype="float64"), constant(random(1, 1, *window) + 9.0)
    y = graphc.masked_conv2d(x, w, kind=kind)
    assert y.shape == x.shape
    for i, j in numpy.ndindex(6, 5):
        expected = numpy.zeros((6, 5), bool)
        for h, k in numpy.ndindex(6, 5):
            near = abs(h - i) <= window[0] // 2 and abs(k - j) <= window[1] // 2
            expected[h, k] = near and ((h, k) < (i, j) or (kind == "B" and (h, k) == (i, j)))
        numpy.testing.assert_array_equal(reach(y, x, (0, 0, i, j)), expected)


def test_causal_filters_see_the_past_and_its_dilations() -> None:
    x = graphc.input("x", (1, 1, 9), dtype="float64")
    y = graphc.causal_conv1d(x, constant(random(1, 1, 3) + 9.0), dilation=2)
    assert numpy.flatnonzero(reach(y, x, (0, 0, 8))).tolist() == [4, 6, 8]
    assert numpy.flatnonzero(reach(y, x, (0, 0, 3))).tolist() == [1, 3]
    stacked = x
    for dilation in (1, 2, 4):
        stacked = graphc.causal_conv1d(stacked, constant(random(1, 1, 2) + 9.0), dilation=dilation)
    assert numpy.flatnonzero(reach(stacked, x, (0, 0, 8))).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("padding", [0, 1, (1, 2), "same"])
def test_averages_count_the_elements_in_the_image_or_in_the_window(padding: Any, count_padding: bool) -> None:
    options = {"size": (2, 3), "stride": 2, "padding": padding}
    x = random(2, 3, 5, 7)
    y = graphc.average_pool2d(constant(x), **options, count_padding=count_padding)
    window, every = constant(numpy.ones((3, 1, 2, 3))), {"stride": 2, "padding": padding, "groups": 3}
    total = value(graphc.conv2d(constant(x), window, **every))
    count = 6.0 if count_padding else value(graphc.conv2d(constant(numpy.ones(x.shape)), window, **every))
    numpy.testing.assert_allclose(value(y), total / count, rtol=1e-12)


def kinds(y: Node) -> list[str]:
    loss = graphc.sum(y * y)
    back = graphc.backward(loss)
    planned, _ = plan([loss], {name: back.grad(name) for name in ("x", "w")})
    return [planned.kernels[launch.kernel].kind for launch in planned.launches]


def test_convolutions_and_both_their_gradients_are_direct_or_matrix_products() -> None:
    def x(*spatial: int) -> Node:
        return graphc.input("x", ("N", 4, *spatial))

    def w(*shape: int) -> Node:
        return graphc.parameter("w", shape)

    for y in (
        graphc.conv1d(x(9), w(8, 4, 3), padding=1, stride=2),
        graphc.conv2d(x(9, 8), w(8, 4, 3, 2), padding=1),
        graphc.conv3d(x(5, 6, 7), w(8, 4, 3, 2, 3), padding="same"),
        graphc.depthwise_conv2d(x(9, 8), w(4, 2, 3, 3), padding="same"),
        graphc.masked_conv2d(x(9, 8), w(8, 4, 3, 3)),
        graphc.causal_conv1d(x(9), w(8, 4, 3), dilation=2),
        graphc.transposed_conv2d(x(9, 8), w(4, 6, 3, 3), stride=2, padding=1),
    ):
        assert sum(kind != "loops" for kind in kinds(y)) == 3, y.gate


def test_lists_are_tuples() -> None:
    x, w = graphc.input("x", ("N", 1, 6, 6)), graphc.parameter("w", (1, 1, 3, 3))
    assert graphc.conv2d(x, w, stride=[2, 1]).shape == graphc.conv2d(x, w, stride=(2, 1)).shape
    assert graphc.max_pool2d(x, [2, 3]).shape == graphc.max_pool2d(x, (2, 3)).shape


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        ("conv1d", ((2, 3), (4, 3, 3)), {}, r"conv1d needs signals \(N, C, W\) and filters \(K, C, S\), found"),
        ("conv1d", ((1, 2, 5), (1, 2, 3)), {"stride": (1, 1)}, r"stride=\(1, 1\) must be a whole .* at least 1$"),
        ("conv1d", ((1, 2, 5), (1, 2, 3)), {"padding": "up"}, "must be a number, 'valid', 'same' or 'full'"),
        ("conv3d", ((1, 2, 5, 5), (1, 2, 3, 3)), {}, r"conv3d needs volumes .* and filters \(K, C, Q, R, S\)"),
        ("conv3d", ((1, 1, 2, 2, 2), (1, 1, 1, 1, 1)), {"dilation": (1, 2)}, "at least 1, or three of them"),
        ("conv3d", ((1, 1, 2, 2, 2), (1, 1, 1, 1, 3)), {}, "the window is larger than the input"),
        ("conv2d", (("N", 3, "H", 5), (1, 3, 3, 3)), {"padding": "same"}, "needs image and window extents that are"),
        ("depthwise_conv2d", ((1, 3, 5, 5), (2, 1, 3, 3)), {}, "w has filters for 2 channels, the images have 3"),
        ("locally_connected2d", ((1, 1, 5, 5), (2, 3, 1, 1, 3, 3)), {}, "for 2 x 3 places, the result has 3 x 3"),
        ("locally_connected2d", ((1, 1, 5, 5), (3, 4, 1, 1, 3, 3)), {}, "for 3 x 4 places, the result has 3 x 3"),
        ("locally_connected2d", ((1, 1, 5, 5), (1, 1, 3, 3)), {}, r"filters \(H', W', K, C, R, S\)"),
        ("masked_conv2d", ((1, 1, 5, 5), (1, 1, 2, 3)), {}, r"odd extents.*found \(1, 1, 2, 3\)"),
        ("masked_conv2d", ((1, 1, 5, 5), (1, 1, 3, 3)), {"kind": "C"}, "kind='C' must be 'A' .* or 'B'"),
        ("transposed_conv2d", ((1, 1, 5, 5), (1, 1, 3, 3)), {"output_padding": 1}, "must be smaller than the stride"),
        ("transposed_conv2d", ((1, 1, 2, 2), (1, 1, 1, 1)), {"padding": 1}, "would be 0|would be -"),
        ("transposed_conv2d", ((1, 1, 2, 2), (1, 1, 1, 1)), {"padding": "same"}, "padding='same' must be a whole"),
        ("causal_conv1d", ((1, 1, 2), (1, 1, 1)), {"dilation": 0}, "dilation=0 must be a whole number"),
        ("max_pool1d", ((1, 1, 5),), {"padding": 2}, r"padding=2 must be smaller than the window \(2,\)"),
        ("l2_pool2d", ((1, 1, 5, 5),), {"epsilon": 0.0}, "epsilon=0.0 must be a number greater than 0"),
        ("average_pool2d", ((1, 5, 5),), {}, r"average_pool2d needs images \(N, C, H, W\), found \(1, 5, 5\)"),
    ],
)  # fmt: skip
def test_windows_that_do_not_fit_are_refused(
    name: str, shapes: tuple[Any, ...], attributes: dict[str, Any], message: str
) -> None:
    operands = [graphc.input(f"operand{k}", shape) for k, shape in enumerate(shapes)]
    with pytest.raises(graphc.ShapeError) as caught:
        graphc.graph.registry.gate(name)(*operands, **attributes)
    first = str(caught.value).splitlines()[0]
    assert re.search(message, first), first
