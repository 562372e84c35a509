"""Plots of gates: which gates have one, where kinks and killed gradients are marked, and where lines may run."""

from __future__ import annotations

import math

import numpy
import pytest

import graphc
from graphc.drawing.curve import curve, curve_scene
from graphc.drawing.curves import node_curve
from graphc.drawing.function import at, killed, kinks, scalar_curve
from graphc.drawing.scene import Group, Path, numbers_of, texts
from graphc.drawing.theme import THEMES
from graphc.errors import DrawingError, GraphcError
from graphc.graph import registry
from tests.drawing.geometry import label_boxes, overlaps

PLOTTED = [name for name in registry.names() if scalar_curve(name)]


def test_gates_of_single_numbers_have_a_plot_and_others_none() -> None:
    assert {"sigmoid", "tanh", "relu", "exp", "log", "max", "pow"} <= set(PLOTTED)
    for name in ("sum", "reshape", "flatten", "matmul", "conv2d", "max_pool2d", "softmax_cross_entropy", "argmax"):
        assert not scalar_curve(name)
        assert curve_scene(name) is None
        assert curve(name) == ""


@pytest.mark.parametrize("name", PLOTTED)
def test_the_derivative_is_the_slope_of_the_function(name: str) -> None:
    compared = 0
    for item in scalar_curve(name):
        places = kinks(item, -4.0, 4.0)
        for k in range(-13, 14):
            x = 0.3 * k + 0.07
            if any(abs(x - place) < 1e-2 for place in places) or not math.isfinite(at(item.slope, x)):
                continue
            numeric = (at(item.value, x + 1e-5) - at(item.value, x - 1e-5)) / 2e-5
            assert at(item.slope, x) == pytest.approx(numeric, rel=1e-6, abs=1e-6)
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize(
    ("name", "expected"),
    [("relu", (0.0,)), ("abs", (0.0,)), ("sigmoid", ()), ("tanh", ()), ("exp", ()), ("reciprocal", ()), ("log", ())],
)
def test_kinks_are_found_where_they_are(name: str, expected: tuple[float, ...]) -> None:
    (item,) = scalar_curve(name)
    assert kinks(item, -8.0, 8.0) == expected


def test_the_gradient_of_saturated_gates_is_killed_where_it_is_below_one_percent_of_its_largest() -> None:
    (sigmoid,), (tanh,), (relu,) = (scalar_curve(name) for name in ("sigmoid", "tanh", "relu"))
    # s*(1 - s) = 0.0025 at s = (1 - sqrt(0.99)) / 2; sech(x)**2 = 0.01 at cosh(x) = 10
    s = (1 - math.sqrt(0.99)) / 2
    border = math.log((1 - s) / s)
    assert killed(sigmoid, -8.0, 8.0) == [(-8.0, pytest.approx(-border)), (pytest.approx(border), 8.0)]
    border = math.acosh(10)
    assert killed(tanh, -8.0, 8.0) == [(-8.0, pytest.approx(-border)), (pytest.approx(border), 8.0)]
    assert killed(relu, -8.0, 8.0) == [(-8.0, pytest.approx(0.0, abs=1e-6))]


@pytest.mark.parametrize("name", ["exp", "log", "reciprocal", "abs", "neg"])
def test_a_gradient_that_grows_or_never_vanishes_is_not_called_killed(name: str) -> None:
    (item,) = scalar_curve(name)
    assert killed(item, -4.0, 4.0) == []


@pytest.mark.parametrize("name", PLOTTED)
def test_lines_stay_within_their_panel_and_texts_within_the_picture(name: str) -> None:
    scene = curve_scene(name)
    assert scene is not None
    panels = {"value": (34.0, 172.0), "slope": (200.0, 338.0)}
    drawn = 0
    for item in scene.items:
        if isinstance(item, Group) and item.classes in panels:
            top, bottom = panels[item.classes]
            for path in item.items:
                assert isinstance(path, Path)
                for command in path.commands:
                    x, y = numbers_of(command)
                    assert 46.0 - 0.01 <= x <= 384.0 + 0.01
                    assert top - 0.01 <= y <= bottom + 0.01
                    drawn += 1
        elif not isinstance(item, Group) and not isinstance(item, Path):
            assert item.x >= 0
            assert item.x + item.length <= scene.width
    assert drawn >= 100


def test_a_line_is_broken_at_a_jump_and_a_pole() -> None:
    scene = curve_scene("relu")
    assert scene is not None
    slopes = [i for i in scene.items if isinstance(i, Group) and i.classes == "slope"]
    (path,) = slopes[0].items
    assert isinstance(path, Path)
    assert [c[0] for c in path.commands].count("M") == 2
    kinks_drawn = [i for i in scene.items if isinstance(i, Group) and i.classes == "kink"]
    assert len(kinks_drawn) == 2  # on the function and on its derivative
    assert sum(isinstance(i, Group) and i.classes == "killed" for i in scene.items) == 2


def test_the_description_says_in_words_what_is_marked() -> None:
    text = curve("relu")
    assert "From −8 to 0 the derivative is below 1 % of its largest." in text
    assert "relu has a kink or a jump at 0." in text
    assert "grey: gradient killed, circle: kink" in text


def test_themes_and_unknown_names() -> None:
    assert f"#{THEMES['default'].value}" in curve("tanh")
    assert f"#{THEMES['classic'].value}" in curve("tanh", theme="classic")
    with pytest.raises(DrawingError, match="no theme"):
        curve("tanh", theme="clasic")
    with pytest.raises(GraphcError, match="did you mean 'tanh'"):
        curve("tanhh")


# ---- nodes side by side --------------------------------------------------------------------------


def activations():
    x = graphc.input("x")
    zero = graphc.constant(0.0)
    return {
        "sigmoid": graphc.sigmoid(x),
        "tanh": graphc.tanh(x),
        "ReLU": graphc.relu(x),
        "leaky ReLU": graphc.leaky_relu(x),
        "ELU": graphc.elu(x),
        "maxout": graphc.max(0.5 * x + 1, -1.0 * x),
        "softmax": graphc.softmax(graphc.stack([x, zero, zero]))[0],
        "own": graphc.gate("y = (x + sqrt(x**2 + 4)) / 2", name="squareplus")(x),
    }


def side_by_side(**options):
    first, *others = activations().items()
    return graphc.draw(first[1], style="curve", beside=dict(others), **options)


def test_saturation_and_kinks_of_nodes_are_found_and_not_listed_by_name() -> None:
    picture = side_by_side()
    found = {p.name: bands for p, bands in zip(picture.plots, picture.killed, strict=True)}
    marks = {p.name: kinks(p.curve, -8.0, 8.0) for p in picture.plots}
    assert [dead for _, _, dead in found["sigmoid"]] == [False, False]
    s = (1 - math.sqrt(0.99)) / 2
    assert found["sigmoid"][1][0] == pytest.approx(math.log((1 - s) / s), abs=1e-5)
    assert found["tanh"][0][1] == pytest.approx(-math.acosh(10), abs=1e-5)
    assert found["ReLU"] == [(-8.0, pytest.approx(0.0, abs=1e-6), True)]
    assert found["leaky ReLU"] == []
    assert found["ELU"] == [(-8.0, pytest.approx(math.log(0.01), abs=1e-5), False)]
    assert found["maxout"] == found["own"] == []
    # p = e^x / (e^x + 2): p (1 - p) is 1 % of 1/4 where the sigmoid of x - log 2 is
    assert found["softmax"][1][0] == pytest.approx(math.log((1 - s) / s) + math.log(2), abs=1e-4)
    assert marks["ReLU"] == marks["leaky ReLU"] == (0.0,)
    assert marks["maxout"] == (pytest.approx(-2 / 3, abs=1e-6),)
    assert marks["sigmoid"] == marks["ELU"] == marks["softmax"] == marks["own"] == ()


@pytest.mark.parametrize("name", activations())
def test_the_derivative_of_a_node_is_the_slope_of_its_value(name: str) -> None:
    curve, variable = node_curve(activations()[name])
    assert variable.label == "x"
    points = numpy.linspace(-3.9, 4.1, 17)
    numeric = (curve.value(points + 1e-5) - curve.value(points - 1e-5)) / 2e-5
    numpy.testing.assert_allclose(curve.slope(points), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("theme", ["default", "dark", "print"])
def test_columns_of_plots_do_not_overlap(theme: str) -> None:
    picture = side_by_side(theme=theme)
    assert overlaps(picture.scene) == []
    assert len(label_boxes(picture.scene)) > 60
    said = [text.text for text in texts(picture.scene.items)]
    assert said.count("dead") == 1
    assert said.count("saturated") >= 2
    assert picture.svg() == side_by_side(theme=theme).svg()


def test_a_run_marks_its_point_and_weights_come_from_it() -> None:
    x, w = graphc.input("x"), graphc.parameter("w", ())
    run = graphc.backward(graphc.tanh(w * x)).at(x=0.5, w=2.0)
    picture = run.draw(style="curve", interval=(-2, 2))
    said = {text.text for text in texts(picture.scene.items)}
    assert {"0.7616", "0.8399"} <= said  # tanh(1) and 2 (1 - tanh(1)^2)
    assert "at 0.5: value 0.7616, derivative 0.8399" in picture.text()


def test_what_is_no_function_of_one_number_is_refused() -> None:
    x, y = graphc.inputs("x y")
    with pytest.raises(DrawingError, match=r"depends on 2 scalar inputs: 'x', 'y'"):
        graphc.draw(x * y, style="curve")
    with pytest.raises(DrawingError, match=r"depends on 0 scalar inputs: none"):
        graphc.draw(graphc.sum(graphc.constant([1.0, 2.0])), style="curve")
    with pytest.raises(DrawingError, match=r"needs a value for 'w': draw a run"):
        graphc.draw(x * graphc.parameter("w", ()), style="curve")
    for interval in ((1, 0), (0, math.inf), 3, ("a", "b")):
        with pytest.raises(DrawingError, match="is two numbers, the smaller first"):
            graphc.draw(x * x, style="curve", interval=interval)
    with pytest.raises(DrawingError, match="beside= is for nodes, found str"):
        graphc.draw(x * x, style="curve", beside=["tanh"])


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (6, 3), (7, 4), (9, 3)])
def test_plots_stand_in_lines_of_about_equal_length(count, columns):
    x = graphc.input("x")
    first, *others = [graphc.tanh(x * (k + 1.0)).named(f"f{k}") for k in range(count)]
    scene = graphc.draw(first, style="curve", beside=others).scene
    titles = [text for text in texts(scene.items) if text.bold]
    assert len({round(text.y) for text in titles}) == -(-count // columns)
    assert len({round(text.x) for text in titles}) == columns
