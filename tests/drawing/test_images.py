"""Feature maps and filters as images: the shades drawn are those of the evaluated graph."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing import draw
from graphc.drawing.scene import Box, Group, Item, Path, texts
from graphc.drawing.theme import theme_named
from graphc.drawing.tiles import LEVELS, coloured, downsampled, scale_of, shaded, thumbnail, tile
from graphc.errors import DrawingError
from tests.drawing.geometry import overlaps
from tests.drawing.graphs import convolutional_network


def network(batch: int = 3) -> Any:
    """A run of the LeNet-style network with random weights."""
    generator = numpy.random.default_rng(4)
    loss = convolutional_network()
    back = graphc.backward(loss)
    parameters = {
        n.label: 0.2 * generator.normal(size=tuple(int(str(e)) for e in n.shape))
        for n in back.nodes
        if n.kind == "parameter"
    }
    image = generator.uniform(size=(batch, 1, 28, 28))
    return back.at(parameters=parameters, image=image, label=numpy.arange(batch))


def colour_run(channels: int = 3, maps: int = 5) -> Any:
    generator = numpy.random.default_rng(7)
    y = graphc.layers.conv2d(graphc.input("image", ("N", channels, 8, 8)), maps, 3, name="first", bias=False)
    values = {"first.weight": generator.normal(size=(maps, channels, 3, 3))}
    return graphc.backward(graphc.sum(y)).at(values, image=generator.normal(size=(1, channels, 8, 8)))


def group(items: tuple[Item, ...], id: str) -> Group:
    for item in items:
        if isinstance(item, Group):
            if item.id == id:
                return item
            try:
                return group(item.items, id)
            except KeyError:
                continue
    raise KeyError(id)


def pixels(items: tuple[Item, ...], rows: int, columns: int) -> list[list[str]]:
    """Read the colours of an image back: what is painted last in the middle of each cell."""
    paths = [p for p in items if isinstance(p, Path) and p.fill]
    boxes = [(box, p.fill) for p in paths for box in parts(p)]
    whole = boxes[0][0]
    found = []
    for row in range(rows):
        y = whole.top + (row + 0.5) * (whole.bottom - whole.top) / rows
        line = []
        for column in range(columns):
            x = whole.left + (column + 0.5) * (whole.right - whole.left) / columns
            line.append([c for b, c in boxes if b.left <= x <= b.right and b.top <= y <= b.bottom][-1])
        found.append(line)
    return found


def parts(path: Item) -> list[Box]:
    """Rectangles of an outline."""
    assert isinstance(path, Path)
    corners = [command[1:] for command in path.commands if command[0] != "Z"]
    return [Box(*corners[k], *corners[k + 2]) for k in range(0, len(corners), 4)]


@pytest.mark.parametrize("theme", ["default", "dark", "print"])
def test_each_map_is_drawn_with_the_shades_of_its_values(theme: str) -> None:
    run = network()
    node = next(n for n in run.back.nodes if n.gate == "relu")
    scene = draw(run, style="feature_maps", node=node, example=1, theme=theme).scene
    value = run.value(node)[1]
    colours = theme_named(theme)
    for k, plane in enumerate(value):
        levels = numpy.rint(plane / value.max() * (LEVELS - 1))
        expected = [[colours.mixed(colours.ink, level / (LEVELS - 1)) for level in row] for row in levels]
        assert pixels(group(scene.items, f"map-{k}").items, 28, 28) == expected
    assert next(t.text for t in texts(scene.items) if t.classes == "scale") == "0"
    assert scene.paper == colours.paper


def test_filters_of_three_channels_are_drawn_in_colours() -> None:
    run = colour_run()
    weight = run.value("first.weight")
    scene = draw(run, style="filters").scene
    low, high = weight.min(), weight.max()
    for k, planes in enumerate(weight):
        steps = numpy.rint((planes - low) / (high - low) * 15).astype(int)
        expected = [["".join(f"{17 * steps[c, i, j]:02X}" for c in range(3)) for j in range(3)] for i in range(3)]
        assert pixels(group(scene.items, f"filter-{k}").items, 3, 3) == expected


def test_grey_filters_run_from_the_smallest_to_the_largest_weight() -> None:
    run = colour_run(channels=1, maps=4)
    weight = run.value("first.weight")
    theme = theme_named("default")
    scene = draw(run, style="filters").scene
    low, high = weight.min(), weight.max()
    for k, (plane,) in enumerate(weight):
        levels = numpy.rint((plane - low) / (high - low) * (LEVELS - 1))
        expected = [[theme.mixed(theme.ink, level / (LEVELS - 1)) for level in row] for row in levels]
        assert pixels(group(scene.items, f"filter-{k}").items, 3, 3) == expected
    ends = [float(t.text.replace("−", "-")) for t in texts(scene.items) if t.classes == "scale"]
    assert (ends[0], ends[1]) == (pytest.approx(low, rel=0.01), pytest.approx(high, rel=0.01))


def test_filters_of_other_channels_are_a_row_each() -> None:
    run = colour_run(channels=4, maps=3)
    scene = draw(run, style="filters", parameter="first").scene
    boxes = {(k, c): parts(group(scene.items, f"filter-{k}-{c}").items[0])[0] for k in range(3) for c in range(4)}
    assert len({boxes[k, 0].left for k in range(3)}) == 1
    assert len({boxes[0, c].top for c in range(4)}) == 1


def test_rows_of_a_dense_layer_are_images_if_their_shape_is_said() -> None:
    run = network()
    with pytest.raises(DrawingError, match=r"say what the features of a unit are"):
        draw(run, style="filters", parameter="hidden")
    scene = draw(run, style="filters", parameter="scores", shape=(10, 12)).scene
    assert len([i for i in scene.items if isinstance(i, Group) and i.classes == "image"]) == 10
    with pytest.raises(DrawingError, match=r"shape=\(10, 10\) must be"):
        draw(run, style="filters", parameter="scores", shape=(10, 10))


@pytest.mark.parametrize("style", ["feature_maps", "filters"])
def test_pictures_of_arrays_are_small_vector_and_deterministic(style: str) -> None:
    first, second = draw(network(), style=style), draw(network(), style=style)
    assert first.svg() == second.svg()
    assert first.pdf() == second.pdf()
    assert b"/Image" not in first.pdf()
    assert "<image" not in first.svg()
    assert "includegraphics" not in first.tex()
    ElementTree.fromstring(first.svg())
    assert overlaps(first.scene) == []
    assert min(t.size for t in texts(first.scene.items)) >= 7


def test_many_large_maps_are_drawn_as_means_and_say_so() -> None:
    x = graphc.input("x", (1, 80, 64, 64))
    run = graphc.backward(graphc.sum(graphc.relu(x))).at(x=numpy.random.default_rng(0).normal(size=(1, 80, 64, 64)))
    drawing = draw(run, style="feature_maps", node="x")
    said = [t.text for t in texts(drawing.scene.items)]
    assert "the first 64 of 80 maps are drawn" in said
    assert "drawn as means, 17 × 17" in said
    assert len(drawing.svg()) < 1_500_000
    assert overlaps(drawing.scene) == []


def test_values_that_are_not_finite_are_marked_and_counted() -> None:
    x = graphc.input("x", ("N", 1, 4, 4))
    value = numpy.arange(16.0).reshape(1, 1, 4, 4)
    value[0, 0, 1, 2], value[0, 0, 3, 3] = numpy.nan, numpy.inf
    scene = draw(graphc.backward(graphc.sum(x)).at(x=value), style="feature_maps", node="x").scene
    drawn = pixels(group(scene.items, "map-0").items, 4, 4)
    assert drawn[1][2] == theme_named("default").wrong
    assert "2 values are not finite" in [t.text for t in texts(scene.items)]


def test_bad_input_is_refused_with_advice() -> None:
    run = network()
    with pytest.raises(DrawingError, match="needs a run"):
        draw(run.back.root, style="feature_maps")
    with pytest.raises(DrawingError, match="has no value yet"):
        draw(run.back.root, style="filters")
    with pytest.raises(DrawingError, match=r"shape \(N, 120\), a vector for each example.*\n.*\n.*node="):
        draw(run, style="feature_maps", node="hidden")
    with pytest.raises(DrawingError, match="examples 0 to 2, found example=3"):
        draw(run, style="feature_maps", example=3)
    with pytest.raises(DrawingError, match=r"no such node; did you mean 'conv"):
        draw(run, style="feature_maps", node="conv9")
    with pytest.raises(DrawingError, match="has no example to draw"):
        draw(network(batch=0), style="feature_maps")
    with pytest.raises(DrawingError, match="is no parameter but the input"):
        draw(run, style="filters", parameter="image")
    with pytest.raises(DrawingError, match="direction='TB'"):
        draw(run, style="filters", direction="TB")
    x, y = graphc.inputs("x y")
    with pytest.raises(DrawingError, match="no convolution; say node="):
        draw(graphc.backward(x * y).at(x=1, y=2), style="feature_maps")
    with pytest.raises(DrawingError, match="no parameter with four axes"):
        draw(x * y, style="filters")


def test_blocks_are_replaced_by_their_means() -> None:
    plane = numpy.arange(36.0).reshape(6, 6)
    assert downsampled(plane, 3).tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5], [27.5, 29.5, 31.5]]
    assert downsampled(plane, 6) is plane
    assert downsampled(numpy.ones((3, 50, 7)), 16).shape == (3, 16, 7)


def test_runs_of_a_colour_are_one_rectangle() -> None:
    box = Box(0.0, 0.0, 8.0, 2.0)
    items = tile([["A"] * 4 + ["B"] * 4, ["A"] * 8], box)
    assert [len(parts(p)) for p in items if isinstance(p, Path)] == [1, 1]
    assert pixels(items, 2, 8) == [["A"] * 4 + ["B"] * 4, ["A"] * 8]


@pytest.mark.parametrize("shape", [(5,), (500,), (28, 28), (3, 32, 32), (64, 200, 40), (1, 1), (1,)])
def test_thumbnails_are_bounded(shape: tuple[int, ...]) -> None:
    items, width = thumbnail(numpy.random.default_rng(0).normal(size=shape), theme_named("default"), 24.0)
    rectangles = sum(len(parts(p)) for p in items if isinstance(p, Path) and p.fill)
    assert rectangles <= 4 * 12 * 12 + 4
    assert 0 < width <= 4 * 24 * 3 + 8


def test_scales_start_at_zero_where_nothing_is_negative() -> None:
    theme = theme_named("default")
    assert scale_of(numpy.array([2.0, 4.0])) == (0.0, 4.0)
    assert scale_of(numpy.array([-1.0, numpy.nan])) == (-1.0, -1.0)
    assert shaded(numpy.zeros((1, 2)), (0.0, 0.0), theme) == [[theme.paper] * 2]
    assert coloured(numpy.ones((3, 1, 1)), (0.0, 1.0), theme) == [["FFFFFF"]]


def test_a_single_image_is_no_row_of_maps() -> None:
    said = {text.text for text in texts(draw(network(), style="feature_maps", node="image").scene.items)}
    assert {"Input image", "scale"} <= said
    assert "scale of all maps" in {text.text for text in texts(draw(network(), style="feature_maps").scene.items)}
