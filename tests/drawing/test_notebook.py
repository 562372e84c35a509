"""What a notebook shows: explicit sizes, ids of their own, nothing that takes long."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import graphc
from graphc.drawing import draw, notebook
from graphc.drawing.notebook import notebook_bundle, picture_bundle
from tests.drawing.graphs import convolutional_network, neuron, scalar_lstm, simple


def ids(text: str) -> set[str]:
    return set(re.findall(r' id="([^"]*)"', text))


def svg_of(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.search(r"<svg.*?</svg>", text, re.DOTALL).group())


def long_sum(gates: int):
    x = graphc.input("x")
    f = x
    for _ in range(gates):
        f = f + x
    return f


def test_equal_pictures_shown_twice_share_no_id():
    first, second = draw(simple()), draw(simple())
    assert first.svg() == second.svg()
    shown = [picture_bundle(first)["image/svg+xml"], picture_bundle(second)["image/svg+xml"], first._repr_svg_()]
    shown += [notebook_bundle(simple())["text/html"] for _ in range(2)]
    every = [ids(text) for text in shown]
    assert all(every)
    assert len(set().union(*every)) == sum(map(len, every))
    for text in shown:
        named = set(svg_of(text).get("aria-labelledby", "").split())
        assert named
        assert named <= ids(text)


@pytest.mark.parametrize("subject", ["node", "backward", "run"])
def test_graphs_and_their_tables_have_a_size_and_a_text(subject):
    run = neuron()
    shown = {"node": run.back.root, "backward": run.back, "run": run}[subject]
    bundle = notebook_bundle(shown)
    assert set(bundle) == {"text/html", "text/plain"}
    root = svg_of(bundle["text/html"])
    width, height = (float(root.get(side, "").removesuffix("pt")) for side in ("width", "height"))
    assert root.get("viewBox") == f"0 0 {root.get('width', '')[:-2]} {root.get('height', '')[:-2]}"
    assert width > 100
    assert height > 50
    if subject != "node":
        assert bundle["text/plain"] == str(shown)
        assert "downstream" in bundle["text/html"]


def test_a_large_graph_is_a_line_of_text_and_never_laid_out(monkeypatch):
    f = long_sum(20_000).named("total")
    monkeypatch.setattr("graphc.drawing.drawing.draw", lambda *_, **__: pytest.fail("it was drawn"))
    bundle = notebook_bundle(f)
    assert "<svg" not in bundle["text/html"]
    assert bundle["text/plain"] == "total: a graph of 20,001 nodes is not drawn by itself; graphc.draw(...) folds it"


def test_graphs_up_to_the_limit_are_drawn(monkeypatch):
    run = scalar_lstm(2)
    assert "<svg" in notebook_bundle(run)["text/html"]
    monkeypatch.setattr(notebook, "LARGEST_GRAPH", 10)
    assert "<svg" not in notebook_bundle(run)["text/html"]


def test_a_picture_that_is_too_heavy_is_named_and_not_embedded(monkeypatch):
    monkeypatch.setattr(notebook, "LARGEST_PICTURE", 1000)
    picture = draw(simple())
    assert set(picture_bundle(picture)) == {"text/plain"}
    assert "MB" in picture_bundle(picture)["text/plain"]
    assert "<svg" not in notebook_bundle(simple())["text/html"]


def test_a_report_stands_below_its_picture_and_a_long_one_is_cut():
    text = "\n".join(f"line {k} <b>" for k in range(1000))
    bundle = notebook_bundle(simple().back.root, text=text, marks={"x": "agrees"})
    assert "<svg" in bundle["text/html"]
    assert "line 199 &lt;b&gt;" in bundle["text/html"]
    assert "line 200 " not in bundle["text/html"]
    assert bundle["text/plain"].endswith("… 800 more lines")
    alone = notebook_bundle(text="epoch | loss")
    assert alone == {"text/html": "<pre>epoch | loss</pre>", "text/plain": "epoch | loss"}


def test_what_cannot_be_drawn_says_why_and_does_not_stop_the_notebook():
    bundle = notebook_bundle(simple(), style="convolution")
    assert "<svg" not in bundle["text/html"]
    assert "no picture: " in bundle["text/html"]


def test_a_network_is_shown_as_cards():
    assert "conv1" in notebook_bundle(convolutional_network())["text/html"]


def test_names_are_inert():
    f = graphc.exp(graphc.input("x")).named("<script>alert(1)</script>&")
    html = notebook_bundle(graphc.backward(f).at(x=1))["text/html"]

    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append(tag)

    Tags().feed(html)
    assert "script" not in found
    assert "svg" in found
