"""The picture of gradient flow: what its boxes and bars say for given arrays, folded, and for cells of any kind."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing.flow import flow_drawing
from graphc.drawing.fonts import number_text
from graphc.drawing.scene import Group, Path, Text, texts
from graphc.drawing.strips import luminance, readable
from graphc.drawing.theme import THEMES
from graphc.errors import DrawingError
from graphc.gradients.flow import Flow
from tests.drawing.geometry import label_boxes, outline_box, overlaps, walk

ODD = "a<&_%$\\ Ünïcode σ \U0001f642 $x$"


def flow(steps, rate=0.5, name="h", title="cell"):
    """One state that fades from the first step on, one that is kept, a gate and a projection."""
    fading = 3.0 * rate ** numpy.arange(steps)
    openness = numpy.linspace(0.2, 0.9, steps)
    signed = numpy.linspace(-2.0, 3.0, steps)
    return Flow(
        title,
        {name: numpy.concatenate([[0.0], fading[::-1]]), "c": numpy.full(steps + 1, 0.5)},
        {"f": fading, "g": fading},
        {"f": openness, "g": signed},
        {name: fading, "c": numpy.full(steps, 0.7)},
    )


def groups(drawing, classes):
    return [item for item in drawing.scene.items if isinstance(item, Group) and classes in item.classes.split()]


def boxes(drawing, row=0):
    return [group for group in groups(drawing, "state") if group.id.startswith(f"state-{row}-")]


def bars(drawing, strip):
    return [group for group in groups(drawing, "bar") if group.id.startswith(f"bar-{strip}-")]


def outline(group):
    """The box of a state: the last path that has a stroke."""
    return [item for item in group.items if isinstance(item, Path) and item.stroke][-1]


def shape(group: Group) -> Path:
    """The bar itself."""
    (path,) = group.items
    assert isinstance(path, Path)
    return path


def height(group):
    box = outline_box(shape(group))
    return box.bottom - box.top


def run(kind, steps=7, theme="default"):
    rng = numpy.random.default_rng(0)
    x, h0 = graphc.input("x", (steps, "N", 2)), graphc.input("h", ("N", 3))
    w, u = graphc.parameter("w", (3, 2)), graphc.parameter("u", (3, 3))

    def own(x, h):
        keep = graphc.sigmoid(graphc.matmul(x, graphc.transpose(w)))
        h = keep * h + (1 - keep) * graphc.tanh(graphc.matmul(h, graphc.transpose(u)))
        return h, h

    def plain(x, h):
        h = graphc.rnn_cell(x, h, w, u, numpy.zeros(3))
        return h, h

    _, last = graphc.unroll(own if kind == "own" else plain, x, h0, name=kind)
    values = {"x": rng.normal(size=(steps, 2, 2)), "h": rng.normal(size=(2, 3)) * 0.1}
    values |= {"w": rng.normal(size=(3, 2)), "u": rng.normal(size=(3, 3)) * 0.4}
    return graphc.backward(graphc.sum(last * last)).at(values).flow()


# ---- boxes -------------------------------------------------------------------------------------


def test_boxes_fade_by_the_share_of_the_largest_and_say_their_number():
    measured = flow(7)
    drawing = flow_drawing(measured)
    found = boxes(drawing)
    assert len(found) == 7
    largest = measured.sensitivity["h"].max()
    for t, (group, norm) in enumerate(zip(found, measured.sensitivity["h"], strict=True), 1):
        assert outline(group).fill == THEMES["default"].mixed(THEMES["default"].value, norm / largest)
        assert group.title == f"h_{t}: |dh_t/dx_1| = {number_text(norm)}"
        assert number_text(norm, 3) in [text.text for text in texts(group.items)]
        assert [text.text for text in texts(group.items)][:2] == ["h", str(t)]
    assert outline(found[0]).fill == THEMES["default"].value
    assert len({outline(group).fill for group in boxes(drawing, 1)}) == 1  # the other state is kept
    assert len(groups(drawing, "link")) == 2 * 7  # x_1 to the first, and each to the next


def test_less_than_a_hundredth_is_outlined_by_dashes():
    drawn = [bool(outline(group).dash) for group in boxes(flow_drawing(flow(12)))]
    assert drawn == [0.5**k < 0.01 for k in range(12)]
    assert not any(outline(group).dash for group in boxes(flow_drawing(flow(12)), 1))


@pytest.mark.parametrize("theme", THEMES)
def test_names_can_be_read_on_every_shade(theme):
    for share in numpy.linspace(0, 1, 101):
        fill = THEMES[theme].mixed(THEMES[theme].value, share)
        ink = readable(fill, THEMES[theme])
        light, dark = sorted((luminance(fill), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3.8, (theme, share)  # 3.9 is what ink and paper allow between them


def test_without_a_sensitivity_boxes_show_the_gradient_of_the_loss():
    measured = flow(5)
    only = Flow("cell", measured.states, {}, {}, {})
    drawing = flow_drawing(only)
    assert boxes(drawing)[0].title == f"h_1: |dL/dh_t| = {number_text(only.states['h'][1])}"
    assert outline(boxes(drawing)[-1]).fill == THEMES["default"].gradient
    assert any("was not measured" in text.text for text in texts(drawing.scene.items))
    assert len(groups(drawing, "sensitivity")) == 0
    some = Flow("cell", measured.states, {}, {}, {"c": measured.sensitivity["c"]})
    assert any("not measured (h)" in text.text for text in texts(flow_drawing(some).scene.items))


# ---- folded ------------------------------------------------------------------------------------


def test_more_than_24_steps_are_folded_but_bars_are_not():
    assert len(boxes(flow_drawing(flow(24)))) == 24
    drawing = flow_drawing(flow(25, rate=0.9))
    found = boxes(drawing)
    assert [group.id for group in found] == [f"state-0-{t}" for t in (1, 2, 3, 4, 5, 22, 23, 24, 25)]
    said = [text.text for text in texts(found[4].items)]
    assert said == [f"t = 5 … 21: {number_text(3 * 0.9**4, 3)} … {number_text(3 * 0.9**20, 3)}"]
    shades = [item.fill for item in found[4].items if isinstance(item, Path) and item.fill]
    assert len(shades) == 12
    assert shades == sorted(shades)  # paler and paler
    assert len(bars(drawing, 0)) == 25


def test_many_steps_share_bars_and_none_is_lost():
    steps = 1003
    measured = flow(steps, rate=0.999)
    measured.sensitivity["h"][500] = 77.0
    measured.states["c"][901] = numpy.nan
    drawing = flow_drawing(measured)
    assert len(boxes(drawing)) <= 40
    found = bars(drawing, 1)
    assert len(found) == 120
    spans = [re.search(r"t = (\d+) … (\d+)", group.title) for group in found]
    ends = [(int(span[1]), int(span[2])) for span in spans if span]
    assert ends[0][0] == 1
    assert ends[-1][1] == steps
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ends))
    for group, (first, last) in zip(found, ends, strict=True):
        assert group.title.endswith(f": {number_text(measured.sensitivity['h'][first - 1 : last].max())}")
    assert [group.title for group in bars(drawing, 2) if group.title.endswith("nan")] == [
        f"|dL/dc_t|, t = {first} … {last}: nan" for first, last in ends if first <= 901 <= last
    ]
    openness = [float(group.title.rpartition(": ")[2]) for group in bars(drawing, 4)]
    expected = [measured.values["f"][first - 1 : last].mean() for first, last in ends]
    numpy.testing.assert_allclose(openness, expected, rtol=1e-3)


# ---- strips ------------------------------------------------------------------------------------


def test_bars_are_as_high_as_numbers_and_far_ones_logarithmic():
    near = flow_drawing(flow(5, rate=0.8))
    heights = [height(group) for group in bars(near, 1)]
    numpy.testing.assert_allclose(numpy.array(heights) / heights[0], 0.8 ** numpy.arange(5), atol=1e-3)
    assert not any("logarithmic" in text.text for text in texts(near.scene.items))
    far = flow_drawing(flow(12, rate=0.1))
    heights = [height(group) for group in bars(far, 1)]
    numpy.testing.assert_allclose(numpy.diff(heights), numpy.diff(heights)[0], atol=0.02)
    assert heights[-1] > 0.5
    assert sum("logarithmic" in text.text for text in texts(far.scene.items)) == 2  # of h, not of c


def test_bars_of_the_loss_begin_behind_the_first_step():
    measured = flow(5)
    found = [group.title for group in bars(flow_drawing(measured), 0)]
    assert found == [f"|dL/dh_t|, t = {t}: {number_text(measured.states['h'][t])}" for t in range(1, 6)]


def test_numbers_stand_at_the_first_the_last_and_the_largest_bar():
    measured = flow(9)
    measured.values["f"][4] = 0.95
    drawing = flow_drawing(measured)
    said = {text.id: text.text for text in texts(drawing.scene.items) if text.classes == "number"}
    assert {key: said[key] for key in said if key.startswith("number-4-")} == {
        "number-4-1": "0.2", "number-4-5": "0.95", "number-4-9": "0.9",
    }  # fmt: skip
    measured = flow(40)
    measured.values["f"][4] = 0.95
    said = {text.id: text.text for text in texts(flow_drawing(measured).scene.items)}
    assert said["number-4-5"] == "0.95 (t = 5)"
    measured.values["f"][:] = 0.1234 + 1e-7 * numpy.arange(40) * numpy.arange(40)[::-1]
    said = {text.id: text.text for text in texts(flow_drawing(measured).scene.items) if "number-4" in text.id}
    assert said == {"number-4-1": "0.123", "number-4-40": "0.123"}  # the largest is written as they are


def test_numbers_of_few_digits_fit_below_narrow_boxes():
    measured = flow(24)
    measured.sensitivity["h"][1:5] = 0.000732, 0.00512, 1.234e-17, 123456.0
    said = [[text.text for text in texts(group.items)][-1] for group in boxes(flow_drawing(measured))[1:5]]
    assert said == ["7.3e−4", "0.0051", "1e−17", "1.2e5"]


def test_strips_of_gates_are_chosen_by_what_the_numbers_are():
    assert flow_drawing(flow(7)).gates == ("f",)
    both = flow_drawing(flow(7), gates=["g", "f", "g"])
    assert both.gates == ("g", "f")
    first, *_, last = (outline_box(shape(group)) for group in bars(both, 4))
    assert first.top == pytest.approx(last.bottom)  # below and above the line of 0
    many = Flow("cell", {"h": numpy.ones(4)}, {}, {f"gate {k}": numpy.ones(3) for k in range(99)}, {})
    assert len(flow_drawing(many).gates) == 12


def test_what_is_no_number_is_marked_and_0_is_a_ring():
    measured = flow(6)
    measured.sensitivity["h"][2], measured.sensitivity["h"][4], measured.sensitivity["h"][5] = math.nan, math.inf, 0
    drawing = flow_drawing(measured)
    wrong = [outline(group).stroke == THEMES["default"].wrong for group in boxes(drawing)]
    assert wrong == [False, False, True, False, True, False]
    marks = [shape(group).stroke == THEMES["default"].wrong for group in bars(drawing, 1)]
    assert marks == wrong
    said = {text.text for text in texts(drawing.scene.items) if text.id.startswith("number-1-")}
    assert said == {"3", "nan", "∞", "0"}
    ring = outline_box(shape(bars(drawing, 1)[5]))
    assert ring.right - ring.left == pytest.approx(ring.bottom - ring.top)
    assert outline(boxes(drawing)[0]).fill == THEMES["default"].value  # the largest that is a number


# ---- the whole ---------------------------------------------------------------------------------


def extremes(steps=9):
    measured = flow(steps)
    measured.states["h"][:] = 10.0 ** numpy.linspace(-320, 300, steps + 1)
    measured.sensitivity["h"][:] = 0.0
    measured.sensitivity["c"][:] = numpy.nan
    measured.states["c"][:] = numpy.inf
    measured.values["f"][:] = -1e-300
    measured.values["g"][:] = 1e308
    return measured


def crowded(steps, peak):
    """The largest number is near one end, where the bars are narrower than numbers."""
    measured = flow(steps, rate=0.99)
    for norms in (measured.sensitivity["h"], measured.values["f"], measured.states["c"]):
        norms[peak] *= 1.5
    measured.sensitivity["c"][:3] = 0.7, numpy.nan, numpy.inf
    return measured


CASES = {
    **{f"crowded {steps}": crowded(steps, peak) for steps, peak in ((26, 1), (60, 1), (90, 88), (120, 2), (700, 8))},
    **{f"{steps} steps": flow(steps) for steps in (1, 2, 3, 7, 24, 25, 30, 120, 121, 1000)},
    "growing": flow(20, rate=2.0),
    "odd names": flow(24, name=ODD, title=ODD * 3),
    "long names": flow(24, name="a very long name of a state " * 5),
    "blank name": flow(3, name=" "),
    "extremes": extremes(),
    "many extremes": extremes(70),
    "noise": Flow("cell", {"h": numpy.random.default_rng(1).uniform(size=61)}, {}, {}, {}),
}


def number(text):
    """The number at the end of a text; infinity counts as none."""
    return float(text.rpartition(": ")[2].replace("−", "-").replace("∞", "nan"))


def largest_of(numbers):
    return max((abs(n) for n in numbers if math.isfinite(n)), default=0.0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chosen", [None, ("f", "g")])
def test_nothing_overlaps_or_leaves_the_page(case, chosen):
    measured = CASES[case]
    drawing = flow_drawing(measured, gates=None if not measured.values else chosen)
    assert overlaps(drawing.scene) == []
    shapes = [outline_box(shape(group)) for group in groups(drawing, "bar")]
    labels = label_boxes(drawing.scene)
    assert len(labels) > 5
    said = {text.id: text.text for text in texts(drawing.scene.items) if text.classes == "number"}
    for strip in {group.id.split("-")[1] for group in groups(drawing, "bar")}:
        found = bars(drawing, strip)
        assert {f"number-{strip}-1", f"number-{strip}-{len(found)}"} <= set(said)
        written = [number(said[key].partition(" ")[0]) for key in said if key.startswith(f"number-{strip}-")]
        largest = largest_of([number(group.title) for group in found])
        numpy.testing.assert_allclose(largest_of(written), largest, rtol=0.1)
    for said, box in labels:
        met = [shape for shape in shapes if box.overlaps(shape, slack=0.2)]
        assert not met, f"{said!r} meets the bar {met}"
    for _, item in walk(drawing.scene.items):
        assert not isinstance(item, Text) or item.text.strip()
        if isinstance(item, Path):
            box = outline_box(item)
            assert box.left >= 0
            assert box.right <= drawing.scene.width
            assert box.bottom <= drawing.scene.height
            assert numpy.isfinite([box.left, box.top, box.right, box.bottom]).all()


@pytest.mark.parametrize("case", ["7 steps", "30 steps", "odd names", "blank name", "extremes"])
def test_the_same_flow_gives_the_same_bytes_in_every_format(case, tmp_path):
    first, second = flow_drawing(CASES[case]), flow_drawing(CASES[case])
    root = ElementTree.fromstring(first.svg())
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for suffix in ("svg", "pdf", "txt"):
        one, two = first.save(tmp_path / f"one.{suffix}"), second.save(tmp_path / f"two.{suffix}")
        assert one.read_bytes() == two.read_bytes()
    assert b"/Subtype /Image" not in first.pdf()
    pytest.importorskip("matplotlib", reason="PNG needs the extra draw")
    assert first.save(tmp_path / "one.png").read_bytes() == second.save(tmp_path / "two.png").read_bytes()


def test_text_has_the_numbers_of_every_step():
    measured = flow(40, name="h")
    lines = flow_drawing(measured).text().splitlines()
    assert lines[0] == "Gradient flow through cell, 40 steps"
    assert lines[2].split("  ")[0] == "step"
    assert len(lines) == 3 + 40
    last = lines[-1].split()
    expected = [measured.states["h"][-1], measured.states["c"][-1], measured.sensitivity["h"][-1]]
    assert last == ["40", *map(number_text, [*expected, measured.sensitivity["c"][-1], measured.values["f"][-1]])]
    assert "|dh_t/dx_1| is 3 at the first" in flow_drawing(measured).scene.description


def test_names_are_drawn_as_they_are():
    svg = flow_drawing(CASES["odd names"]).svg()
    said = "".join(element.text or "" for element in ElementTree.fromstring(svg).iter())
    assert f"{ODD}_1: |d{ODD}_t/dx_1| = 3" in said


@pytest.mark.parametrize("kind", ["rnn", "own"])
def test_the_flow_of_any_cell_is_drawn(kind):
    measured = run(kind)
    drawing = flow_drawing(measured, theme="classic")
    (state,) = measured.states
    assert [group.title.rpartition(" = ")[2] for group in boxes(drawing)] == [
        number_text(norm) for norm in measured.sensitivity[state]
    ]
    assert {shape(group).fill for group in groups(drawing, "gradient")} == {THEMES["classic"].gradient}
    assert f"through {kind}, 7 steps" in drawing.text()


def test_bad_requests_are_refused():
    with pytest.raises(DrawingError, match="no theme is called 'clasic'"):
        flow_drawing(flow(3), theme="clasic")
    with pytest.raises(DrawingError, match=r"the cell 'cell' makes no tensor 'ff'; it makes 'f', 'g'"):
        flow_drawing(flow(3), gates=["ff"])
    with pytest.raises(DrawingError, match="no state and step to draw"):
        flow_drawing(Flow("cell", {}, {}, {}, {}))


def test_states_of_a_layer_are_named_without_the_layer():
    x = graphc.input("x", (4, "N", 2))
    last = graphc.layers.lstm(x, 3, name="memory", returns="last")
    weights = {
        n.name: numpy.full(n.shape, 0.3) for n in graphc.backward(graphc.sum(last)).nodes if n.kind == "parameter"
    }
    flow = graphc.backward(graphc.sum(last)).at(x=numpy.ones((4, 1, 2)), parameters=weights).flow()
    svg = flow_drawing(flow).svg()
    assert "<title>c_1: |dc_t/dx_1|" in svg
    assert "memory.c" not in svg
