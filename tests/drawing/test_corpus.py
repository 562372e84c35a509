"""No label, wire or block meets another where it must not: the whole corpus, with every engine on this machine."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

import graphc
from graphc.drawing.folding import grouped
from graphc.drawing.layout import ENGINES, engine_available
from graphc.drawing.scene import Group, Item, Path, Scene, Text, moved
from tests.drawing import corpus, graphs
from tests.drawing.geometry import element_boxes, overlaps

each_engine = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(e, marks=() if engine_available(e) else pytest.mark.skip(reason=f"{e} is not on this machine"))
        for e in ENGINES
    ],
)


@lru_cache(maxsize=4)
def _subject(name: str) -> Any:
    return corpus.subject(name)


def _style(name: str) -> str:
    return "cards" if name in corpus.CARDS else "circuit"


def test_the_corpus_is_large_and_holds_every_gate() -> None:
    from graphc.graph import registry

    assert len(corpus.ALL) >= 60
    assert all(f"gate_{name}" in corpus.CIRCUITS for name in registry.names())
    assert set(corpus.FAST) <= set(corpus.ALL)


@pytest.mark.parametrize("name", corpus.FAST)
def test_nothing_meets_where_it_must_not(name: str) -> None:
    assert overlaps(graphc.draw(_subject(name), style=_style(name)).scene) == []


@pytest.mark.slow
@each_engine
@pytest.mark.parametrize("name", corpus.ALL)
def test_nothing_meets_in_the_whole_corpus(name: str, engine: str) -> None:
    drawing = graphc.draw(_subject(name), style=_style(name), engine=engine)
    assert overlaps(drawing.scene) == []
    assert drawing.engine == engine


@pytest.mark.slow
@pytest.mark.parametrize("name", list(corpus.CIRCUITS))
def test_nothing_meets_from_top_to_bottom(name: str) -> None:
    assert overlaps(graphc.draw(_subject(name), style="circuit", direction="TB").scene) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm12", "gru4", "wide", "two_layers", "random19", "chain", "encoder_decoder"])
def test_nothing_meets_where_a_part_is_folded(name: str) -> None:
    run = _subject(name)
    for limit in (8, 16, 40):
        folds = [fold.nodes for fold in grouped(run.back.root, limit=limit).folds]
        drawing = graphc.draw(run, style="circuit", fold=[[n for n in nodes if n.operands] for nodes in folds])
        assert overlaps(drawing.scene) == []


# ---------------------------------------------------------------- the judge is judged


@pytest.fixture(scope="module")
def neuron() -> Scene:
    return graphc.draw(graphs.neuron(), style="circuit").scene


def _changed(scene: Scene, id: str, dx: float, dy: float) -> Scene:
    items: list[Item] = [moved(i, dx, dy) if isinstance(i, Group) and i.id == id else i for i in scene.items]
    return replace(scene, items=tuple(items))


def test_the_judge_sees_an_element_that_was_pushed_onto_another(neuron: Scene) -> None:
    boxes = element_boxes(neuron)
    first, second = boxes["2"], boxes["5"]
    pushed = _changed(neuron, "wire-2", second.right - first.right, second.top - first.top)
    found = overlaps(pushed)
    assert any("meets" in fault and "element" in fault for fault in found)
    assert any("meets" in fault and "element" not in fault for fault in found)


def test_the_judge_sees_a_wire_through_a_foreign_gate(neuron: Scene) -> None:
    box = element_boxes(neuron)["6"]
    middle = (box.top + box.bottom) / 2
    straight = Path((("M", 0.0, middle), ("L", neuron.width, middle)), stroke="000000")
    bend = ("C", box.right, box.top, box.left, box.bottom, box.right + 9, box.bottom + 40)
    curved = Path((("M", box.left - 9, box.top - 40), bend), stroke="000000")
    for wire in (straight, curved):
        found = overlaps(replace(neuron, items=(*neuron.items, Group((wire,), id="link-99"))))
        assert any(fault.startswith("link-99 runs through element ('6'") for fault in found)


def test_the_judge_sees_a_label_beyond_the_page(neuron: Scene) -> None:
    outside = Text(neuron.width - 3, 20.0, "outside", 30.0, 10.0, "000000")
    assert any("leaves the page" in fault for fault in overlaps(replace(neuron, items=(*neuron.items, outside))))
