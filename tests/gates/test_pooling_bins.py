"""Pools over bins against loops that say what a bin is: values, and who gets the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy
import pytest

import graphc
from graphc.graph import Node
from graphc.graph.reference import evaluate

Array = numpy.ndarray
SIZES = [(1, 1), (2, 2), (3, 2), (4, 7), (9, 8)]  # fewer bins than elements, as many, and more


def bins(extent: int, count: int) -> list[range]:
    """Elements of each bin."""
    return [range(i * extent // count, math.ceil((i + 1) * extent / count)) for i in range(count)]


def winner(image: Array, rows: range, columns: range) -> tuple[int, int] | None:
    """Place of the largest element of a bin, the first at a tie; None where no element is in the image."""
    best = None
    for h in rows:
        for w in columns:
            if not (0 <= h < image.shape[0] and 0 <= w < image.shape[1]):
                continue
            if best is None or image[h, w] > image[best]:
                best = h, w
    return best


def pooled(images: Array, grid: list[list[tuple[range, range]]], upstream: Array) -> tuple[Array, Array]:
    """Maxima of a grid of bins, ``(N, C, P, Q)``, and the gradient of the images."""
    y, gradient = numpy.zeros(upstream.shape), numpy.zeros(images.shape)
    for n, c in numpy.ndindex(images.shape[:2]):
        for i, line in enumerate(grid):
            for j, (rows, columns) in enumerate(line):
                place = winner(images[n, c], rows, columns)
                if place is not None:
                    y[n, c, i, j] = images[(n, c, *place)]
                    gradient[(n, c, *place)] += upstream[n, c, i, j]
    return y, gradient


def with_ties(*shape: int) -> Array:
    """Whole numbers of few kinds: most bins hold their largest element more than once."""
    return numpy.random.default_rng(4).integers(-3, 2, shape).astype("float64")


def computed(apply: Callable[[Node], Node], x: Array, upstream: Array) -> tuple[Array, Array]:
    """Value and gradient of the reference, after the kernels have agreed."""
    node = graphc.input("x", x.shape, dtype="float64")
    y = apply(node)
    gradient = graphc.backward(y, upstream=upstream).grad("x")
    expected = evaluate([y, gradient], {node: x})
    found = graphc.compile([y, gradient], dtype="float64")(x=x)
    for a, b in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    return expected[0], expected[1]


def random(*shape: int) -> Array:
    return numpy.random.default_rng(5).normal(size=shape)


@pytest.mark.parametrize("size", SIZES)
def test_adaptive_maxima_are_those_of_the_bins_and_the_first_wins_a_tie(size: tuple[int, int]) -> None:
    x, upstream = with_ties(2, 3, 6, 7), random(2, 3, *size)
    grid = [[(rows, columns) for columns in bins(7, size[1])] for rows in bins(6, size[0])]
    y, gradient = computed(lambda node: graphc.adaptive_max_pool2d(node, size), x, upstream)
    expected = pooled(x, grid, upstream)
    numpy.testing.assert_array_equal(y, expected[0])
    numpy.testing.assert_allclose(gradient, expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_adaptive_averages_are_those_of_the_bins(size: tuple[int, int]) -> None:
    x, upstream = random(2, 3, 6, 7), random(2, 3, *size)
    expected, slopes = numpy.zeros(upstream.shape), numpy.zeros(x.shape)
    for i, rows in enumerate(bins(6, size[0])):
        for j, columns in enumerate(bins(7, size[1])):
            window = (..., slice(rows.start, rows.stop), slice(columns.start, columns.stop))
            expected[..., i, j] = x[window].mean((2, 3))
            slopes[window] += upstream[..., i, j, None, None] / (len(rows) * len(columns))
    y, gradient = computed(lambda node: graphc.adaptive_average_pool2d(node, size), x, upstream)
    numpy.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    numpy.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=1e-12)


def test_an_infinite_element_stays_in_its_bin() -> None:
    x = graphc.input("x", (1, 1, 1, 4), dtype="float64")
    (y,) = evaluate([graphc.adaptive_max_pool2d(x, (1, 2))], {x: numpy.array([[[[numpy.inf, 0.0, 1.0, 2.0]]]])})
    assert y.ravel().tolist() == [numpy.inf, 2.0]


@pytest.mark.parametrize("levels", [(1,), (1, 2, 4), (3, 1), (2, 2)])
def test_a_pyramid_is_its_levels_side_by_side(levels: tuple[int, ...]) -> None:
    x = with_ties(2, 3, 5, 6)
    upstream = random(2, 3 * sum(level * level for level in levels))
    rows, slopes, first = [], numpy.zeros(x.shape), 0
    for level in levels:
        count = 3 * level * level
        part = upstream[:, first : first + count].reshape(2, 3, level, level)
        grid = [[(high, wide) for wide in bins(6, level)] for high in bins(5, level)]
        y, gradient = pooled(x, grid, part)
        rows.append(y.reshape(2, count))
        slopes += gradient
        first += count
    y, gradient = computed(lambda node: graphc.spatial_pyramid_pool(node, levels), x, upstream)
    numpy.testing.assert_array_equal(y, numpy.concatenate(rows, 1))
    numpy.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4)])
def test_regions_are_pooled_from_their_own_image(size: tuple[int, int]) -> None:
    x = with_ties(2, 2, 5, 6)
    region = [
        [0, 0, 4, 5],  # the whole image
        [1, 2, 3, 3],
        [2, 2, 2, 2],  # one element
        [3, 4, 7, 9],  # partly outside
        [-2, -1, 1, 2],  # partly outside, before the first element
        [3, 3, 1, 0],  # the wrong way round: counts as one element
        [6, 6, 8, 8],  # outside
    ]
    image = [1, 0, 1, 0, 1, 0, 1]
    upstream = random(len(image), 2, *size)
    expected, slopes = numpy.zeros(upstream.shape), numpy.zeros(x.shape)
    for r, ((top, left, bottom, right), n) in enumerate(zip(region, image, strict=True)):
        high, wide = max(bottom - top + 1, 1), max(right - left + 1, 1)
        rows = [range(top + part.start, top + part.stop) for part in bins(high, size[0])]
        columns = [range(left + part.start, left + part.stop) for part in bins(wide, size[1])]
        grid = [[(a, b) for b in columns] for a in rows]
        y, gradient = pooled(x[n : n + 1], grid, upstream[r : r + 1])
        expected[r] = y[0]
        slopes[n] += gradient[0]
    regions = graphc.constant(region, dtype="int32")
    images = graphc.constant(image, dtype="int32")
    y, gradient = computed(lambda node: graphc.roi_pool(node, regions, images, size), x, upstream)
    numpy.testing.assert_array_equal(y, expected)
    numpy.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=1e-12)
    assert not y[-1].any()


def test_bins_that_are_none_are_refused() -> None:
    x = graphc.input("x", (1, 2, 4, 4))
    region, image = (graphc.input(n, s, dtype="int32") for n, s in (("region", (3, 4)), ("image", (3,))))
    for gate in (graphc.adaptive_max_pool2d, graphc.adaptive_average_pool2d):
        with pytest.raises(graphc.ShapeError, match="size=0 must be a whole number of at least 1, or a pair of them"):
            gate(x, 0)
        with pytest.raises(graphc.ShapeError, match=rf"{gate.__name__} needs images \(N, C, H, W\), found \(2, 4\)"):
            gate(graphc.input("y", (2, 4)), 2)
    for levels in (3, (), "12"):
        with pytest.raises(graphc.ShapeError, match="must be one or more whole numbers"):
            graphc.spatial_pyramid_pool(x, levels)
    with pytest.raises(graphc.ShapeError, match="a level=0 must be a whole number of at least 1"):
        graphc.spatial_pyramid_pool(x, (1, 0))
    with pytest.raises(graphc.ShapeError, match="regions \\(R, 4\\) of top, left, bottom, right"):
        graphc.roi_pool(x, image, region, 2)
    with pytest.raises(graphc.ShapeError, match="needs integers for 'region'"):
        graphc.roi_pool(x, graphc.input("f", (3, 4)), image, 2)
    with pytest.raises(graphc.ShapeError, match="the letter r has two extents"):
        graphc.roi_pool(x, region, graphc.input("other", (2,), dtype="int32"), 2)
