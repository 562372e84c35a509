"""Recurrences rolled, folded and unrolled: what is drawn, the numbers it says, and that nothing overlaps."""

from __future__ import annotations

import time
from pathlib import Path as FilePath
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing.fonts import number_text
from graphc.drawing.scene import Group, Path, texts
from graphc.drawing.theme import THEMES
from graphc.errors import DrawingError
from tests.drawing.geometry import label_boxes, outline_box, overlaps

NODES = {"state", "input", "output", "weight", "sum", "gate", "cell"}


def layer(kind, steps=7, seed=0, bias=None, **options):
    rng = numpy.random.default_rng(seed)
    xs = graphc.input("x", (steps, "N", 2))
    hs = getattr(graphc.layers, kind)(xs, 3, name="m", **options)
    back = graphc.backward(graphc.sum(hs * hs))
    weights = {n.name: rng.normal(size=n.shape) * 0.6 for n in back.nodes if n.kind == "parameter"}
    if bias is not None:
        weights["m.bias"] = numpy.repeat(numpy.asarray(bias, dtype=float), 3)
    return back.at(x=rng.normal(size=(steps, 2, 2)), parameters=weights)


def scalar(steps=5):
    """Weights that are numbers: the terms themselves are drawn."""
    rng = numpy.random.default_rng(2)
    x, h0 = graphc.input("x", (steps,)), graphc.input("h0")
    w, u = graphc.parameter("w", ()), graphc.parameter("u", ())

    def cell(x, h):
        h = graphc.tanh(w * h + u * x).named("h")
        return h, h

    hs, _ = graphc.unroll(cell, x, h0, name="scalar")
    return graphc.backward(graphc.sum(hs)).at(x=rng.normal(size=steps), h0=0.3, w=0.8, u=0.5)


def by_hand(steps=6, total=False):
    """A loop that a user wrote; with ``total`` its first step is not like the others."""
    rng = numpy.random.default_rng(1)
    x, h = graphc.input("x", (steps, 3)), graphc.input("h0", (4,))
    w, u = graphc.parameter("W_hh", (4, 4)), graphc.parameter("W_xh", (4, 3))
    values = {n: rng.normal(size=n.shape) * 0.7 for n in (x, h, w, u)}
    loss = None
    for t in range(steps):
        h = graphc.tanh(w @ h + u @ x[t]).named(f"h{t + 1}")
        loss = graphc.sum(h * h) if not total or loss is None else loss + graphc.sum(h * h)
    return graphc.backward(loss).at(values)


def many_weights(steps=30, states=1):
    rng = numpy.random.default_rng(4)
    x = graphc.input("x", (steps, "N", 2))
    starts = tuple(graphc.input(f"s{k}", ("N", 2)) for k in range(states))
    weights = [graphc.parameter(f"w{k}", (2, 2)) for k in range(9)]

    def cell(x, state):
        state = state if isinstance(state, tuple) else (state,)
        total = x
        for w in weights:
            total = graphc.tanh(total @ w)
        new = tuple(graphc.tanh(total + s) for s in state)
        return new[0], new

    _, last = graphc.unroll(cell, x, starts, name="many")
    values = {n: rng.normal(size=n.shape) for n in weights} | {x: rng.normal(size=(steps, 2, 2))}
    return graphc.backward(graphc.sum(last[0])).at(values | {s: rng.normal(size=(2, 2)) for s in starts})


def groups(picture, classes):
    found = []

    def walk(items):
        for item in items:
            if isinstance(item, Group):
                if classes & set(item.classes.split()):
                    found.append(item)
                walk(item.items)

    walk(picture.scene.items)
    return found


def titled(picture, start):
    return [g.title for g in groups(picture, NODES) if g.title.startswith(start)]


def said(picture, ident):
    return next(text.text for text in texts(picture.scene.items) if text.id == ident)


# ---- what is drawn -------------------------------------------------------------------------------


def test_every_step_has_a_cell_its_states_its_input_and_its_own_weights():
    picture = layer("lstm", 5).draw(style="recurrence")
    assert picture.view == "unrolled"
    ids = {g.id for g in groups(picture, NODES)}
    for t in range(5):
        assert {f"cell-{t}", f"state-0-{t}", f"state-1-{t}", f"input-0-{t}"} <= ids
        assert {f"weight-{k}-{t}" for k in range(3)} <= ids
    assert {"state-0-start", "state-1-start", "sum-0", "sum-1", "sum-2"} <= ids
    assert len(groups(picture, {"weight"})) == 15  # cloned: none is shared
    assert [w.name for w in picture.weights] == ["weight_x", "weight_h", "bias"]


def test_the_terms_that_are_drawn_add_up_to_the_gradient_that_is_drawn():
    run = scalar()
    picture = run.draw(style="recurrence")
    for number, name in enumerate("wu"):
        terms = [float(said(picture, f"weight-{number}-{t}-grad").replace("−", "-")) for t in range(5)]
        total = float(said(picture, f"sum-{number}-grad").replace("−", "-"))
        assert sum(terms) == pytest.approx(float(run.grad(name)), abs=5e-3)
        assert total == pytest.approx(float(run.grad(name)), abs=5e-3)
        assert min(map(abs, terms)) > 0
    # by hand: h_t = tanh(w h + u x), L the sum of all h_t
    x, h = run.value("x"), [0.3]
    for t in range(5):
        h.append(numpy.tanh(0.8 * h[-1] + 0.5 * x[t]))
    arriving, terms = 0.0, []
    for t in range(5, 0, -1):
        delta = (1 + arriving) * (1 - h[t] ** 2)
        terms.insert(0, delta * h[t - 1])
        arriving = 0.8 * delta
    numpy.testing.assert_allclose(picture.weights[0].terms, terms, rtol=1e-12)


def test_norms_of_terms_are_drawn_for_arrays_and_of_the_sum_at_the_end():
    run = layer("rnn", 4)
    picture = run.draw(style="recurrence")
    for number, weight in enumerate(picture.weights):
        for t, norm in enumerate(weight.terms):
            (title,) = titled(picture, f"{weight.name}, t = {t + 1}:")
            assert title.endswith(f"= {number_text(norm)}")
            assert said(picture, f"weight-{number}-{t}-grad").startswith("|·|")
        (title,) = titled(picture, f"the sum over all steps: dL/d{weight.name}")
        assert title.endswith(f"= {number_text(numpy.linalg.norm(run.grad(f'm.{weight.name}')))}")
        assert weight.outside == 0.0


@pytest.mark.parametrize("backward", [False, True])
def test_states_say_their_numbers_and_fade_by_what_is_left_of_the_first_input(backward):
    run = layer("lstm", backward=backward)
    picture = run.draw(style="recurrence")
    flow = run.flow()
    for k, key in enumerate(("m.h", "m.c")):
        sensitivity = flow.sensitivity[key]
        for t in range(7):
            (group,) = [g for g in groups(picture, {"state"}) if g.id == f"state-{k}-{t}"]
            low = 7 - t if backward else t + 1
            expected = [number_text(n) for n in (sensitivity[t], flow.states[key][t + 1])]
            name = "hc"[k]
            assert group.title == f"{name}_{low}: |d{name}/dx_1| = {expected[0]}; |dL/d{name}| = {expected[1]}"
            box = next(p for p in group.items if isinstance(p, Path))
            theme = THEMES["default"]
            assert box.fill == theme.mixed(theme.value, sensitivity[t] / sensitivity.max())


def test_terms_are_in_the_order_in_which_steps_are_taken():
    run = layer("rnn", 5, backward=True, returns="last")
    picture = run.draw(style="recurrence")
    (bias,) = [w for w in picture.weights if w.name == "bias"]
    # behind the last step that is taken, the first of the sequence, the gradient is the loss's own: 2 h, times tanh'
    last = run.value("m")
    delta = (2 * last * (1 - last**2)).sum(axis=0)
    assert bias.terms[-1] == pytest.approx(numpy.linalg.norm(delta))
    assert [g.title.partition(":")[0] for g in groups(picture, {"weight"}) if g.title.startswith("bias")] == [
        f"bias, t = {t}" for t in (5, 4, 3, 2, 1)
    ]


def test_a_plain_recurrence_fades_and_an_open_memory_does_not():
    def inks(picture):
        theme, state = THEMES["default"], len(picture.states) - 1
        found = [g for g in groups(picture, {"state"}) if g.id.startswith(f"state-{state}-") and "start" not in g.id]
        return [int(next(p for p in g.items if isinstance(p, Path)).fill[:2], 16) for g in found], theme

    fading, theme = inks(layer("rnn").draw(style="recurrence"))
    assert fading[0] == int(theme.value[:2], 16)
    assert fading[-1] > 200  # nearly white
    kept, _ = inks(layer("lstm", bias=[0, 60, 0, 0]).draw(style="recurrence"))
    assert kept[-1] < 128


def test_bars_below_are_the_gradients_of_the_loss_by_every_state():
    run = layer("rnn", 6, returns="last")
    picture = run.draw(style="recurrence")
    bars = [g.title.rpartition(": ")[2] for g in groups(picture, {"bar"}) if "gradient" in g.classes]
    expected = [number_text(n) for n in run.flow().states["m.h"][1:]]
    assert bars == expected
    # each stands below its state
    states = [g for g in groups(picture, {"state"}) if "start" not in g.id]
    for state, bar in zip(states, [g for g in groups(picture, {"bar"}) if "gradient" in g.classes], strict=True):
        box, shape = (outline_box(next(p for p in g.items if isinstance(p, Path))) for g in (state, bar))
        assert (box.left + box.right) / 2 == pytest.approx((shape.left + shape.right) / 2, abs=0.1)


@pytest.mark.parametrize("steps", [4, 12])
@pytest.mark.parametrize("make", [lambda n: layer("lstm", n), many_weights, lambda n: many_weights(n, 8)])
def test_a_folded_picture_has_at_most_40_nodes_whatever_the_steps(make, steps):
    run = make(steps)
    picture = run.draw(style="recurrence", view="folded")
    assert len(groups(picture, NODES)) <= 40
    words = {text.text for text in texts(picture.scene.items)}
    assert {"t = 1", "t = 2 … T−1", "t = T"} <= words
    unknown = graphc.draw(run.back.root, style="recurrence", view="folded")
    assert len(groups(unknown, NODES)) <= 40


def test_a_folded_picture_adds_up_as_well():
    picture = layer("rnn", 20).draw(style="recurrence", view="folded")
    whole = layer("rnn", 20).draw(style="recurrence", view="unrolled")
    for folded, weight in zip(picture.weights, whole.weights, strict=True):
        assert folded.total == weight.total
        (middle,) = titled(picture, f"{weight.name}, t = 2 … T−1:")
        assert middle.endswith(f"= {number_text(weight.between)}")
        assert 0 < weight.between < weight.terms[1:-1].sum()  # the norm of a sum, not a sum of norms


def test_steps_that_are_known_at_run_time_only_are_folded_and_a_run_unrolls_them():
    xs = graphc.input("x", ("T", "N", 2))
    hs = graphc.layers.gru(xs, 3, name="m")
    picture = graphc.draw(hs, style="recurrence")
    assert picture.view == "folded"
    assert overlaps(picture.scene) == []
    with pytest.raises(
        DrawingError, match=r"the T steps of 'm' are known at run time only: draw a run, or use view='folded'"
    ):
        graphc.draw(hs, style="recurrence", view="unrolled")
    back = graphc.backward(graphc.sum(hs))
    weights = {n.name: numpy.full(n.shape, 0.1) for n in back.nodes if n.kind == "parameter"}
    assert back.at(x=numpy.ones((4, 1, 2)), parameters=weights).draw(style="recurrence").steps == 4


def test_rolled_is_one_cell_with_a_loop_and_a_delay_for_every_state():
    picture = layer("lstm", 9).draw(style="recurrence", view="rolled")
    assert len(groups(picture, {"cell"})) == 1
    assert len(groups(picture, {"delay"})) == 2
    assert len(groups(picture, {"weight"})) == 3
    for number, weight in enumerate(picture.weights):
        assert said(picture, f"weight-{number}-0-grad") == f"|·| {number_text(weight.total)}"


def test_rolled_says_the_equations_of_a_step():
    lines = layer("lstm").draw(style="recurrence", view="rolled").lines
    assert "f = σ(projected_{f} + recurrent_{f} + bias_{f})" in lines  # its part of the products
    assert "state = f·c_{t−1} + i·g" in lines
    assert {"h_{t} = o·shown", "c_{t} = state"} <= set(lines)
    assert (
        layer("rnn").draw(style="recurrence", view="rolled").lines[-1] == "h_{t} = tanh(projected + recurrent + bias)"
    )
    assert by_hand().draw(style="recurrence", view="rolled").lines == ("h_{t} = tanh(W_hh h_{t−1} + W_xh x_{t})",)
    assert scalar().draw(style="recurrence", view="rolled").lines == ("h_{t} = tanh(w·h_{t−1} + u·x_{t})",)
    assert layer("rnn").draw(style="recurrence").lines == ()


def test_a_loop_by_hand_is_drawn_and_says_what_stands_outside():
    picture = by_hand().draw(style="recurrence")
    assert (picture.steps, picture.begin, picture.states, picture.inputs) == (6, 0, ("h",), ("x",))
    assert all(w.outside == 0 for w in picture.weights)
    other = by_hand(total=True)
    picture = other.draw(style="recurrence")
    assert (picture.steps, picture.begin) == (5, 1)
    assert "T = 6 steps" in picture.title
    assert {f"t = {t}" for t in range(2, 7)} <= {text.text for text in texts(picture.scene.items)}
    by_name = {w.name: w for w in picture.weights}
    for name, weight in by_name.items():
        assert weight.outside > 0, name
        assert abs(numpy.linalg.norm(other.grad(name)) - weight.total) <= weight.outside + 1e-12


def test_gates_of_every_step_are_drawn_where_asked():
    picture = layer("lstm", 4).draw(style="recurrence", detail="gates")
    assert len(groups(picture, {"gate"})) == 4 * 15
    assert len(groups(picture, {"linear"})) >= 4 * 3
    names = {g.id for g in groups(picture, {"gate"})}
    assert len(names) == 4 * 15


# ---- the whole -----------------------------------------------------------------------------------

CASES = {
    "rnn": lambda: layer("rnn"),
    "lstm": lambda: layer("lstm"),
    "last": lambda: layer("lstm", returns="last"),
    "gru": lambda: layer("gru", 13),
    "one": lambda: layer("rnn", 1),
    "two": lambda: layer("rnn", 2),
    "backward": lambda: layer("lstm", 9, backward=True),
    "skip": lambda: layer("gru", skip_time=4),
    "scalar": scalar,
    "by hand": by_hand,
    "total": lambda: by_hand(total=True),
    "many": lambda: many_weights(6),
    "states": lambda: many_weights(5, 8),
}


LARGE = {"gru", "skip", "many", "states", "last", "two", "total"}


@pytest.mark.parametrize("view", ["rolled", "folded", "unrolled"])
@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] if c in LARGE else []) for c in CASES])
def test_nothing_overlaps_or_leaves_the_page(case, view):
    run = CASES[case]()
    for detail in ("cell", "gates"):
        picture = run.draw(style="recurrence", view=view, detail=detail)
        assert overlaps(picture.scene) == [], detail
        assert len(label_boxes(picture.scene)) > 5
        ids = [e.get("id") for e in ElementTree.fromstring(picture.svg()).iter() if e.get("id")]
        assert len(ids) == len(set(ids))
    assert overlaps(graphc.draw(run.back.root, style="recurrence", view=view).scene) == []


def test_boxes_do_not_lie_on_each_other():
    for case in ("lstm", "backward"):
        picture = CASES[case]().draw(style="recurrence", view="unrolled", columns=3)
        found = [(g.id, outline_box(next(p for p in g.items if isinstance(p, Path)))) for g in groups(picture, NODES)]
        for k, (name, box) in enumerate(found):
            met = [other for other, second in found[k + 1 :] if box.overlaps(second, slack=0.2)]
            assert not met, (name, met)


def test_the_same_bytes_in_every_format(tmp_path: FilePath):
    run = layer("rnn", 3)
    for suffix in ("svg", "pdf", "tikz", "txt", "html"):
        written = [run.draw(style="recurrence").save(tmp_path / f"{n}.{suffix}") for n in "ab"]
        assert written[0].read_bytes() == written[1].read_bytes()
    assert b"/Subtype /Image" not in run.draw(style="recurrence").pdf()
    lines = run.draw(style="recurrence").text()
    assert "dL/dweight_h, the sum over all steps" in lines
    assert "norm of the term of step 3" in lines


def test_odd_names_and_numbers_that_are_none():
    odd = "a<&_%$\\ Ünï σ $x$"
    x, h0 = graphc.input(f"x {odd}", (3,)), graphc.input(odd)
    w = graphc.parameter(f"w {odd}", ())
    _, last = graphc.unroll(lambda x, h: ((n := graphc.log(w * h + x).named(f"h {odd}")), n), x, h0, name=odd)
    run = graphc.backward(last).at({x: numpy.array([1.0, -5.0, 2.0]), h0: 0.5, w: 1.0})
    with numpy.errstate(all="ignore"):
        picture = run.draw(style="recurrence")
    assert overlaps(picture.scene) == []
    assert "nan" in {text.text for text in texts(picture.scene.items)}
    outlines = {g.id: next(p for p in g.items if isinstance(p, Path)) for g in groups(picture, {"state"})}
    assert outlines["state-0-1"].stroke == THEMES["default"].wrong
    assert not outlines["state-0-1"].dash
    ElementTree.fromstring(picture.svg())


def test_layers_and_directions_are_drawn_below_each_other():
    run = layer("rnn", 3, bidirectional=True)
    picture = run.draw(style="recurrence")
    assert [part.name for part in picture.parts] == ["m.forward", "m.backward"]
    assert overlaps(picture.scene) == []
    ids = [e.get("id") for e in ElementTree.fromstring(picture.svg()).iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    titles = [g.title.partition(":")[0] for g in groups(picture, {"state"}) if "start" not in g.id]
    assert titles == ["h_1", "h_2", "h_3", "h_3", "h_2", "h_1"]
    for part in picture.parts:
        for weight in part.weights:
            assert weight.total == pytest.approx(numpy.linalg.norm(run.grad(f"{part.name}.{weight.name}")))
    alone = layer("gru", 3, layers=2).draw(style="recurrence", name="m.1")
    assert alone.name == "m.1"


def test_parts_of_one_loop_are_not_taken_for_the_whole():
    with pytest.raises(DrawingError, match="2 repeats are named 'm', as checkpoint= makes them"):
        layer("rnn", 6, checkpoint=3).draw(style="recurrence", name="m")


def test_states_with_names_that_differ_in_numbers_are_told_apart():
    picture = many_weights(4, 3).draw(style="recurrence")
    assert picture.states == ("s0", "s1", "s2")
    assert picture.ends == (0,)
    assert layer("gru", 4, skip_time=3).draw(style="recurrence").states == ("h", "h_1", "h_2")


def test_bad_requests_are_refused():
    run = layer("rnn", 3)
    with pytest.raises(DrawingError, match=r"view='fold' is not known.*did you mean 'folded'"):
        run.draw(style="recurrence", view="fold")
    with pytest.raises(DrawingError, match="detail='gate' is not known"):
        run.draw(style="recurrence", detail="gate")
    with pytest.raises(DrawingError, match="columns=0 is a number of steps"):
        run.draw(style="recurrence", columns=0)
    with pytest.raises(DrawingError, match="needs no engine"):
        run.draw(style="recurrence", engine="dot")
    with pytest.raises(DrawingError, match="did you mean 'm'"):
        run.draw(style="recurrence", name="mm")
    x = graphc.input("x")
    with pytest.raises(DrawingError, match="it has no loop"):
        graphc.draw(x * x, style="recurrence")


def test_digits_are_as_many_as_asked_or_as_fit():
    run = scalar()
    two, many = (run.draw(style="recurrence", digits=digits) for digits in (2, 15))
    total = float(run.grad("w"))
    assert said(two, "sum-0-grad") == number_text(total, 2)
    assert said(many, "sum-0-grad") == number_text(total, 3)
    assert overlaps(many.scene) == []
    assert number_text(total, 15)[:12] in many.text()


@pytest.mark.slow
def test_a_thousand_nodes_take_less_than_five_seconds():
    run = layer("lstm", 48)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        picture = run.draw(style="recurrence", view="unrolled", detail="gates")
        svg = picture.svg()
        seconds.append(time.perf_counter() - begin)
    assert len(groups(picture, NODES)) >= 1000
    assert len(svg) > 10**5
    assert overlaps(picture.scene) == []
    assert min(seconds) < 5.0


def words_of(picture):
    return ["".join(text.text for text in texts((group,))) for group in groups(picture, NODES | {"link"})]


@pytest.mark.parametrize(("kind", "names"), [("rnn", ["h"]), ("gru", ["h"]), ("lstm", ["h", "c"])])
def test_a_state_that_is_given_from_outside_keeps_the_name_of_the_cell(kind, names):
    start = tuple(graphc.input(name, ("N", 3)) for name in ("image", "memory")[: len(names)])
    said = graphc.input("said", (4, "N", 2))
    hs = getattr(graphc.layers, kind)(said, 3, name="say", state=start if len(names) > 1 else start[0])
    picture = graphc.draw(hs, style="recurrence")
    assert picture.states == tuple(names)


def test_what_an_encoder_reads_goes_to_the_decoder_and_not_to_the_loss():
    words, said = graphc.input("words", (4, "N", 2)), graphc.input("said", (3, "N", 2))
    _, meaning = graphc.layers.rnn(words, 5, name="read", returns="both")
    loss = graphc.sum(graphc.layers.rnn(said, 5, name="say", state=meaning)).named("loss")
    first, second = graphc.draw(loss, style="recurrence").parts
    assert (first.loss, second.loss) == ("say", "loss")
    every = [text.text for text in texts(first.scene.items)]
    assert "to say" in every
    assert "to loss" not in every


def test_what_follows_an_underscore_stands_low():
    picture = graphc.draw(by_hand(), style="recurrence", view="rolled")
    every = [text.text for text in texts(picture.scene.items)]
    assert {"hh", "xh"} <= set(every)
    assert not [text for text in every if "_" in text]
