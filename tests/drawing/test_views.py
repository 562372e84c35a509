"""Fold states of a page: laid out beforehand, each the picture that graphc draws with these parts folded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import graphc
from graphc.drawing import draw, views
from graphc.drawing.scene import texts
from graphc.drawing.theme import theme_named
from graphc.drawing.views import fold_views
from tests.drawing.geometry import overlaps
from tests.drawing.graphs import convolutional_network, neuron, scalar_lstm, simple
from tests.drawing.test_page import EDIT, browsed


def prefixed() -> Any:
    """Two parts with names, each of several gates."""
    x = graphc.input("x")
    w, v = graphc.input("encoder.w"), graphc.input("decoder.v")
    code = graphc.tanh(w * x + 1).named("encoder.code")
    out = graphc.sigmoid(v * code - 2).named("decoder.out")
    return graphc.backward((out * out).named("f")).at({"x": 0.5, "encoder.w": 2.0, "decoder.v": -1.5})


def words(picture: Any) -> list[str]:
    return [text.text for text in texts(picture.scene.items)]


def test_parts_that_a_picture_folds_unfold_in_every_combination():
    made = fold_views(draw(scalar_lstm(3), fold=["c2", "c3"]))
    assert made.clusters == ("c2 (15 gates)", "c3 (15 gates)")
    assert [sorted(state.unfolded) for state in made.states] == [[], [0], [1], [0, 1]]
    assert made.states[0].blocks.keys() != made.states[1].blocks.keys()
    for state in made.states:
        assert set(state.blocks.values()) == {0, 1} - state.unfolded
        assert not overlaps(state.picture.scene)
    unfolded = made.states[-1].picture
    assert unfolded.svg() == draw(scalar_lstm(3), fold=False).svg()  # nothing of the page's own


def test_parts_of_a_picture_without_folds_are_prefixes_and_repeats():
    made = fold_views(prefixed().draw())
    assert [label.partition(" ")[0] for label in made.clusters] == ["encoder", "decoder"]
    assert sorted(made.states[0].unfolded) == [0, 1]  # as it was asked for
    assert [len(state.blocks) for state in made.states] == [0, 2, 1, 1]
    steps = fold_views(scalar_lstm(8).draw())
    assert [label.partition(" (")[0] for label in steps.clusters] == ["t = 1", "t = 2 … 7", "t = 8"]


def test_other_options_stay_as_they_were():
    asked = draw(scalar_lstm(3), fold=["c2"], theme="dark", digits=2, direction="TB", work=True)
    _, unfolded = fold_views(asked).states
    assert unfolded.picture.theme == theme_named("dark")
    expected = draw(scalar_lstm(3), fold=False, theme="dark", digits=2, direction="TB", work=True)
    assert words(unfolded.picture) == words(expected)


def test_gates_of_cards_unfold_inside_of_them():
    made = fold_views(draw(convolutional_network()))
    assert made.clusters == ("conv1", "conv2", "hidden", "scores")
    assert [sorted(state.unfolded) for state in made.states] == [[], [0], [1], [2], [3], [0, 1, 2, 3]]
    assert "conv1.weight" not in " ".join(words(made.states[0].picture))
    for state in made.states[1:]:
        assert not overlaps(state.picture.scene)
        assert len(words(state.picture)) > len(words(made.states[0].picture))


def test_what_would_take_too_long_stays_folded(monkeypatch: pytest.MonkeyPatch):
    large = draw(scalar_lstm(75))
    assert large.note
    assert len(fold_views(large).states) == 1
    drawing = draw(scalar_lstm(3), fold=["c2", "c3"])
    monkeypatch.setattr(views, "BUDGET", 0.0)
    assert [state.picture for state in fold_views(drawing).states] == [drawing]
    monkeypatch.undo()
    monkeypatch.setattr(views, "_MOST_TEXT", len(drawing.svg()) + 1)
    assert [state.picture for state in fold_views(drawing).states] == [drawing]


def test_examinations_have_no_other_view():
    exam = draw(scalar_lstm(3), fold=["c2"], exam=["gradients"])
    assert exam.again is None
    page = exam.html()
    assert page.count("<svg") == 1
    assert "data-cluster" not in page


def test_ids_of_all_views_differ_and_only_one_is_shown():
    page = draw(scalar_lstm(3), fold=["c2", "c3"]).html()
    ids = re.findall(r' id="([^"]*)"', page)
    assert page.count("<svg") == 4
    assert len(ids) == len(set(ids))
    assert re.findall(r'<div class="view" data-view="(\d)"( hidden)?>', page) == [
        ("0", ""), ("1", " hidden"), ("2", " hidden"), ("3", " hidden"),
    ]  # fmt: skip


STATE = """
const state = () => ({
  shown: [...document.querySelectorAll("figure .view")].map((v) => getComputedStyle(v).display !== "none"),
  expanded: [...document.querySelectorAll("#folds button")].map((b) => b.getAttribute("aria-expanded")),
  disabled: [...document.querySelectorAll("#folds button")].map((b) => b.getAttribute("aria-disabled")),
  tables: [...document.querySelectorAll("details.view")].map((v) => getComputedStyle(v).display !== "none"),
  fields: document.getElementById("inputs") && getComputedStyle(document.getElementById("inputs")).display !== "none",
  note: document.getElementById("note").textContent,
  step: document.getElementById("step") && document.getElementById("step").textContent,
});
const button = (k) => document.querySelectorAll("#folds button")[k];
"""


def test_a_browser_folds_and_unfolds(tmp_path: Path) -> None:
    driver = f"""{STATE}{EDIT}
    const found = [state()];
    button(0).click(); found.push(state());
    button(1).click(); found.push(state());
    enter(0, "3"); found.push(state());
    button(0).click(); found.push(state());
    document.getElementById("reset").click(); button(0).click(); found.push(state());
    report(found);
    """
    page = draw(scalar_lstm(3), fold=["c2", "c3"]).html()
    start, first, both, edited, refused, closed = browsed(page, driver, tmp_path)
    views_shown = [found["shown"].index(True) for found in (start, first, both, edited, refused, closed)]
    assert views_shown == [0, 1, 3, 3, 3, 2]
    for found in (start, first, both, closed):
        assert sum(found["shown"]) == sum(found["tables"]) == 1
        assert found["shown"] == found["tables"]
        assert found["disabled"] == ["false", "false"]
    assert [found["expanded"] for found in (start, first, both)] == [
        ["false", "false"], ["true", "false"], ["true", "true"],
    ]  # fmt: skip
    assert [found["fields"] for found in (start, first, both, closed)] == [False, False, True, False]
    assert "folded" in start["note"]
    assert both["note"] == ""
    # numbers of the other views would be stale
    assert edited["disabled"] == ["true", "true"]
    assert "reset the inputs first" in edited["note"]
    assert start["step"].startswith("Step ")
    assert start["step"] != both["step"]


def test_a_block_unfolds_by_keyboard_and_the_view_is_saved(tmp_path: Path) -> None:
    driver = f"""{STATE}
    let saved = "";
    window.Blob = class {{ constructor(parts) {{ saved = parts.join(""); }} }};
    URL.createObjectURL = () => "blob:picture";
    HTMLAnchorElement.prototype.click = () => {{}};
    const block = document.querySelector("figure .view:not([hidden]) .folds");
    const reached = block.getAttribute("tabindex");
    block.dispatchEvent(new KeyboardEvent("keydown", {{ key: "Enter", bubbles: true }}));
    const after = state();
    const focus = document.activeElement.dataset.cluster;
    document.getElementById("save").click();
    report([reached, after, focus, saved]);
    """
    drawing = draw(scalar_lstm(3), fold=["c2"])
    reached, after, focus, saved = browsed(drawing.html(), driver, tmp_path)
    assert reached == "0"
    assert after["shown"] == [False, True]
    assert focus == "0"
    root = ElementTree.fromstring(saved)
    assert root.find(".//*[@tabindex]") is None
    found = {element.get("id") for element in root.iter()}
    assert "c1-wire-0-value" in found
    assert not any(name and name.startswith("c-") for name in found)


def test_cards_open_in_the_browser(tmp_path: Path) -> None:
    driver = f"{STATE} button(1).click(); const one = state(); button(2).click(); report([one, state()]);"
    one, other = browsed(draw(convolutional_network()).html(), driver, tmp_path)
    assert one["expanded"] == ["false", "true", "false", "false"]
    assert other["expanded"] == ["false", "false", "true", "false"]  # one takes the place of the other
    assert sum(other["shown"]) == 1


def test_the_same_graph_gives_the_same_page_with_all_its_views() -> None:
    assert draw(prefixed()).html() == draw(prefixed()).html()
    data = json.loads(re.search(r'id="data">(.*?)</script>', draw(prefixed()).html()).group(1))
    assert data["computing"] == 0
    assert len(data["views"]) == 4
    assert fold_views(draw(simple())).clusters == fold_views(neuron().draw()).clusters == ()
