"""Convolutions as sliding window, sparse matrix and patches: the numbers drawn are those of the evaluated graph."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing import draw
from graphc.drawing.products import products_of
from graphc.drawing.scene import Group, Item, Path, Scene, Text, texts, visible
from graphc.drawing.theme import theme_named
from graphc.errors import DrawingError
from tests.drawing.colours import contrast
from tests.drawing.geometry import overlaps

VIEWS = ("window", "toeplitz", "patches")
IMAGE = numpy.array([[float(c) for c in row] for row in ("33210", "00131", "31223", "20022", "20001")])
FILTER = numpy.array([[float(c) for c in row] for row in ("012", "220", "012")])


def lecture(**attributes: Any) -> Any:
    """Section 3 of the lecture cases."""
    y = graphc.conv2d(graphc.input("x", ("N", 1, 5, 5)), graphc.parameter("w", (1, 1, 3, 3)), **attributes)
    return graphc.backward(graphc.sum(y.named("y"))).at(x=IMAGE[None, None], w=FILTER[None, None])


def whole_numbers(shape: tuple[int, ...], weight: tuple[int, ...], gate: Any, seed: int = 0, **attributes: Any) -> Any:
    """A run of one convolution over small whole numbers, which print exactly."""
    generator = numpy.random.default_rng(seed)
    x, w = graphc.input("x", ("N", *shape[1:])), graphc.parameter("w", weight)
    y = gate(x, w, **attributes).named("y")
    values = {"x": generator.integers(-3, 4, shape), "w": generator.integers(-3, 4, weight)}
    return graphc.backward(graphc.sum(y)).at({k: v.astype(float) for k, v in values.items()})


SETTINGS: dict[str, Any] = {
    "plain": lecture,
    "stride": lambda: lecture(stride=2),
    "padding": lambda: lecture(padding=1),
    "dilation": lambda: lecture(dilation=2),
    "all": lambda: lecture(stride=2, padding=2, dilation=2),
    "full": lambda: lecture(padding="full"),
    "maps": lambda: whole_numbers((2, 2, 4, 4), (3, 2, 3, 3), graphc.conv2d, stride=2, padding=1),
    "uneven": lambda: whole_numbers((1, 1, 4, 6), (1, 1, 2, 3), graphc.conv2d, stride=(1, 2), padding=(1, 0)),
    "groups": lambda: whole_numbers((1, 2, 4, 4), (2, 1, 3, 3), graphc.conv2d, groups=2),
    "signal": lambda: whole_numbers((1, 2, 7), (2, 2, 3), graphc.conv1d, padding=1),
    "local": lambda: whole_numbers((1, 1, 4, 4), (2, 2, 1, 1, 3, 3), graphc.locally_connected2d),
}
UNSHARED = ("groups", "local")  # no single matrix of filters for all places and maps


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def cells(scene: Scene, name: str) -> numpy.ndarray:
    """Numbers of a grid, read back from the picture; an empty cell is zero."""
    found = {}
    for text in texts(visible(scene.items, None)):
        match = re.fullmatch(rf"{name}-(\d+)-(\d+)", text.id)
        if match:
            found[int(match[1]), int(match[2])] = sum(number(part) for part in text.text.split("+"))
    shape = [max(place[axis] for place in found) + 1 for axis in (0, 1)]
    table = numpy.zeros(shape)
    for place, value in found.items():
        table[place] = value
    return table


def frame_of(scene: Scene, frame: int | None) -> Scene:
    return Scene(scene.width, scene.height, visible(scene.items, frame), scene.title, scene.description)


def outlines(items: tuple[Item, ...]) -> list[Path]:
    found: list[Path] = []
    for item in items:
        found += outlines(item.items) if isinstance(item, Group) else [item] if isinstance(item, Path) else []
    return found


def test_the_lecture_example_is_drawn_with_its_figures() -> None:
    run = lecture()
    scene = draw(run, style="convolution").scene
    assert cells(scene, "output").tolist() == [[12, 12, 17], [10, 17, 19], [9, 6, 14]]
    assert (cells(scene, "input") == IMAGE).all()
    assert (cells(scene, "filter") == FILTER).all()
    assert cells(draw(run, style="convolution", view="toeplitz").scene, "y").ravel().tolist() == [
        12, 12, 17, 10, 17, 19, 9, 6, 14
    ]  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_each_frame_works_out_its_output_element(name: str) -> None:
    run = SETTINGS[name]()
    expected = run.value("y")[0].reshape(len(run.value("y")[0]), -1)
    for which in range(len(expected)):
        scene = draw(run, style="convolution", map=which).scene
        assert scene.frames == expected.shape[1]
        for frame, value in enumerate(expected[which]):
            said = " ".join(t.text for t in texts(visible(scene.items, frame)) if not t.id and not t.classes)
            shown = said.replace(" ", "").split(")=", 1)[1]
            left, _, right = shown.rpartition("=")
            terms = [re.fullmatch(r"(−?\d+)·\(?(−?\d+)\)?", term) for term in left.split("+")]
            assert all(terms), left
            assert sum(number(t[1]) * number(t[2]) for t in terms if t) == number(right) == value


@pytest.mark.parametrize("name", SETTINGS)
def test_the_sparse_matrix_times_the_input_is_the_output(name: str) -> None:
    run = SETTINGS[name]()
    scene = draw(run, style="convolution", view="toeplitz").scene
    x, y = cells(scene, "x").ravel(), cells(scene, "y").ravel()
    matrix = numpy.zeros((len(y), len(x)))
    drawn = cells(scene, "matrix")
    matrix[: drawn.shape[0], : drawn.shape[1]] = drawn
    assert (matrix @ x == y).all()
    assert (y == run.value("y")[0].ravel()).all()
    # the view of the planner is made on another way
    assert (matrix == graphc.toeplitz(run.back.find("y")).matrix(run.value("w"))).all()


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in UNSHARED])
def test_patches_times_filters_are_the_output(name: str) -> None:
    run = SETTINGS[name]()
    scene = draw(run, style="convolution", view="patches").scene
    drawn, filters, product = (cells(scene, part) for part in ("patches", "filters", "y"))
    assert (drawn @ filters == product).all()
    maps = len(run.value("y")[0])
    assert (product.T.ravel() == run.value("y")[0].ravel()).all()
    assert (drawn == graphc.patches(run.back.find("y")).patch_matrix(run.value("x"))[: len(drawn)]).all()
    results = [cells(scene, f"map-{k}" if maps > 1 else "map") for k in range(maps)]
    assert (numpy.array(results).ravel() == run.value("y")[0].ravel()).all()


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_overlaps_or_moves_in_any_frame(view: str) -> None:
    for name in ("plain", "all", "maps", "signal"):
        scene = draw(SETTINGS[name](), style="convolution", view=view).scene
        assert scene.frames > 1
        base = {t.id: (t.x, t.y, t.text) for t in texts(visible(scene.items, None)) if t.id}
        for frame in range(scene.frames):
            assert overlaps(frame_of(scene, frame)) == [], (name, frame)
            shown = {t.id: (t.x, t.y, t.text) for t in texts(visible(scene.items, frame)) if t.id}
            assert shown.items() <= base.items()
        assert visible(scene.items, scene.frames - 1) == visible(scene.items, None)


def test_each_frame_marks_one_window_and_one_output() -> None:
    scene = draw(lecture(stride=2), style="convolution").scene
    light = theme_named("default").mixed(theme_named("default").accent, 0.45)
    for frame in range(scene.frames):
        marked = [p for p in outlines(visible(scene.items, frame)) if p.fill == light]
        assert sorted(len(p.commands) // 5 for p in marked) == [1, 9]
        outputs = [t for t in texts(visible(scene.items, frame)) if t.id.startswith("output-")]
        assert len(outputs) == frame + 1


def test_colours_tell_the_weights_of_the_sparse_matrix_apart() -> None:
    scene = draw(lecture(), style="convolution", view="toeplitz").scene
    fills = [p.fill for p in outlines(scene.items) if p.fill]
    assert len(set(fills)) == 9  # each weight has one colour, in the matrix and in the filter beside it
    assert all(fills.count(fill) == 2 for fill in set(fills))


def test_one_element_is_chosen_by_its_place() -> None:
    scene = draw(lecture(), style="convolution", at=(1, 2)).scene
    assert scene.frames == 1
    said = "".join(t.text for t in texts(scene.items))
    assert "output(2, 3) = " in said
    assert said.endswith("19")


@pytest.mark.parametrize("view", VIEWS)
def test_without_a_run_letters_stand_for_the_numbers(view: str) -> None:
    y = graphc.conv2d(graphc.input("x", ("N", 1, 4, 4)), graphc.parameter("w", (1, 1, 2, 2)), stride=2).named("y")
    scene = draw(y, style="convolution", view=view).scene
    named = {t.id: t.text for t in texts(visible(scene.items, None)) if t.id}
    if view == "window":
        assert (named["input-2-3"], named["filter-1-0"], named["output-1-1"]) == ("x34", "w21", "y22")
        said = "".join(t.text for t in texts(visible(scene.items, 1)) if not t.id and not t.classes)
        assert said.replace(" ", "").endswith("=x13·w11+x14·w12+x23·w21+x24·w22=y12")
    if view == "toeplitz":
        pattern = str(graphc.toeplitz(y)).splitlines()
        for row, line in enumerate(pattern):
            for column, cell in enumerate(line.split()):
                flat = {"w0": "w11", "w1": "w12", "w2": "w21", "w3": "w22", ".": None}[cell]
                assert named.get(f"matrix-{row}-{column}") == flat
    if view == "patches":
        assert [named[f"patches-3-{k}"] for k in range(4)] == ["x33", "x34", "x43", "x44"]
    assert overlaps(frame_of(scene, None)) == []
    with pytest.raises(DrawingError, match="has no number of elements yet; draw a run"):
        draw(
            graphc.conv2d(graphc.input("x", ("N", 1, "H", 4)), graphc.parameter("w", (1, 1, 2, 2))), style="convolution"
        )


def test_frames_and_formats(tmp_path: Any) -> None:
    run = lecture()
    assert len(run.frames(tmp_path / "slide.svg", style="convolution")) == 9
    drawing = draw(run, style="convolution", view="patches")
    ElementTree.fromstring(drawing.svg())
    assert b"/Image" not in drawing.pdf()
    assert "12 12 17" in drawing.text()
    assert drawing.svg() == draw(lecture(), style="convolution", view="patches").svg()


def test_a_layer_is_found_by_its_name_behind_bias_and_activation() -> None:
    image = graphc.input("image", ("N", 1, 6, 6))
    h = graphc.relu(graphc.layers.conv2d(image, 2, 3, name="conv1")).named("active")
    out = graphc.sum(graphc.layers.conv2d(h, 1, 2, name="conv2"))
    generator = numpy.random.default_rng(1)
    run = graphc.backward(out).at(
        {"conv1.weight": generator.normal(size=(2, 1, 3, 3)), "conv2.weight": generator.normal(size=(1, 2, 2, 2))},
        parameters={"conv1.bias": [0.5, -0.5], "conv2.bias": [0.0]},
        image=generator.normal(size=(2, 1, 6, 6)),
    )
    for asked in ("conv1", "active"):
        assert cells(draw(run, style="convolution", node=asked, example=1).scene, "output").shape == (4, 4)
    drawn = cells(draw(run, style="convolution", node="conv2", example=1).scene, "output")
    assert drawn == pytest.approx(run.value("conv2")[1, 0], rel=1e-3)  # its bias is zero


def test_bad_input_is_refused_with_advice() -> None:
    run = lecture()
    with pytest.raises(DrawingError, match=r"unknown view 'windw'.*did you mean 'window'"):
        draw(run, style="convolution", view="windw")
    with pytest.raises(DrawingError, match="examples 0 to 0, found example=3"):
        draw(run, style="convolution", example=3)
    with pytest.raises(DrawingError, match="maps 0 to 0, found map=2"):
        draw(run, style="convolution", map=2)
    with pytest.raises(DrawingError, match=r"no element of a map.*3 × 3"):
        draw(run, style="convolution", at=(3, 0))
    with pytest.raises(DrawingError, match="no such node"):
        draw(run, style="convolution", node="z")
    with pytest.raises(DrawingError, match="slides no window|one sum of products"):
        draw(run, style="convolution", node="x")
    with pytest.raises(DrawingError, match="weights differ from place to place"):
        draw(SETTINGS["local"](), style="convolution", view="patches")
    with pytest.raises(DrawingError, match="filters see other channels"):
        draw(SETTINGS["groups"](), style="convolution", view="patches")
    x, y = graphc.inputs("x y")
    with pytest.raises(DrawingError, match="none that slides one"):
        draw(graphc.backward(x * y).at(x=1, y=2), style="convolution")


def test_what_is_too_large_to_read_is_refused_with_the_limit() -> None:
    large = whole_numbers((1, 1, 24, 24), (1, 1, 3, 3), graphc.conv2d)
    with pytest.raises(DrawingError, match=r"24 × 24 elements with its padding, at most 16 × 16.*\n.*\n.*small image"):
        draw(large, style="convolution")
    with pytest.raises(DrawingError, match=r"matrix of 484 × 576, at most 64 × 64"):
        draw(large, style="convolution", view="toeplitz")
    with pytest.raises(DrawingError, match="at most 64 × 64"):
        draw(large, style="convolution", view="patches")
    huge = graphc.conv2d(graphc.input("x", ("N", 64, 64, 64)), graphc.parameter("w", (64, 64, 3, 3))).named("y")
    run = graphc.backward(graphc.sum(huge))
    with pytest.raises(DrawingError, match="products for one example"):
        products_of(run.find("y"))


def test_texts_are_at_least_seven_points() -> None:
    for view in VIEWS:
        scene = draw(lecture(), style="convolution", view=view).scene
        assert min(t.size for t in texts(scene.items)) >= 7


@pytest.mark.parametrize("theme", ["default", "classic", "print", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_texts_stand_out_from_their_cells(theme: str, view: str) -> None:
    scene = draw(lecture(), style="convolution", view=view, theme=theme).scene
    assert scene.paper == theme_named(theme).paper
    boxes = [p for p in outlines(visible(scene.items, None)) if p.fill and not p.stroke]
    ink = {t.colour for t in texts(scene.items) if isinstance(t, Text) and t.classes == "cell"}
    for path in boxes:
        if len(path.commands) % 5 == 0:  # rectangles
            assert max(contrast(colour, path.fill) for colour in ink) >= 4.5


def test_the_heading_says_whether_places_share_their_filter() -> None:
    for build, shared in ((lecture, True), (SETTINGS["groups"], True), (SETTINGS["local"], False)):
        for at in (None, (0, 0)):
            said = {text.text for text in texts(draw(build(), style="convolution", at=at).scene.items)}
            headings = [text for text in said if text.endswith(("slides over the input", "each place of the input"))]
            assert len(headings) == 1
            assert headings[0].endswith("a filter slides over the input") == shared
