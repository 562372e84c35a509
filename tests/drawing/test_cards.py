"""Networks as cards, one box a layer, with shapes and parameter counts."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

import graphc
from graphc.drawing import draw
from graphc.drawing.cards import Cards
from graphc.drawing.layout import ENGINES, engine_available
from tests.drawing.geometry import overlaps
from tests.drawing.graphs import convolutional_network

AVAILABLE = [name for name in ENGINES if engine_available(name)]


def cards_of(subject: Any) -> Cards:
    content = draw(subject, style="cards").content
    assert isinstance(content, Cards)
    return content


def test_a_convolutional_network_is_one_card_a_layer() -> None:
    cards = cards_of(convolutional_network())
    named = {card.name: card for card in cards.cards}
    assert {"image", "label", "conv1", "conv2", "hidden", "scores", "loss"} < set(named)
    assert (named["conv1"].count, named["conv1"].shape) == (156, "N × 6 × 28 × 28")
    assert (named["conv2"].count, named["conv2"].shape) == (2416, "N × 16 × 10 × 10")
    assert (named["hidden"].count, named["hidden"].shape) == (48_120, "N × 120")
    assert (named["scores"].count, named["scores"].shape) == (1_210, "N × 10")
    assert cards.parameters == 156 + 2416 + 48_120 + 1_210
    assert "relu" in named["conv1"].gates
    assert sum(1 for card in cards.cards if "pool" in card.name) == 2
    assert sum(1 for card in cards.cards if "flatten" in card.name + card.gates) == 1


@pytest.mark.parametrize("engine", AVAILABLE)
@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_cards_keep_apart(engine: str, direction: str) -> None:
    scene = draw(convolutional_network(), engine=engine, direction=direction).scene
    assert overlaps(scene) == []


def test_parameters_make_cards_the_natural_style_and_scalars_the_circuit() -> None:
    x, y = graphc.inputs("x y")
    assert isinstance(draw(convolutional_network()).content, Cards)
    assert not isinstance(draw(x * y).content, Cards)
    assert not isinstance(draw(convolutional_network(), style="circuit").content, Cards)


def test_a_long_chain_turns_into_rows() -> None:
    scene = draw(convolutional_network()).scene
    assert scene.width / scene.height < 6


def test_parameters_without_a_dot_form_one_layer() -> None:
    x = graphc.input("x", ("N", 4))
    w, b = graphc.parameter("W", (4, 3)), graphc.parameter("b", (3,))
    cards = cards_of(graphc.tanh(x @ w + b).named("h"))
    assert [card.count for card in cards.cards] == [0, 15]
    assert "tanh" in cards.cards[1].gates


def test_a_skip_connection_keeps_its_own_card_and_two_links() -> None:
    x = graphc.input("x", ("N", 8))
    dense = graphc.layers.dense
    h = graphc.relu(dense(x, 8, name="first"))
    out = dense(h, 8, name="second") + h
    cards = cards_of(out)
    (last,) = [c.index for c in cards.cards if c.index == len(cards.cards) - 1]
    assert len([1 for _, head in cards.links if head == last]) == 2
    assert overlaps(draw(out).scene) == []


def test_cards_in_every_format(tmp_path: Any) -> None:
    drawing = draw(convolutional_network())
    ElementTree.fromstring(drawing.svg())
    assert "48,120" in drawing.text()
    assert "conv1" in drawing.dot()
    assert drawing.pdf().startswith(b"%PDF")


def test_a_layer_that_differs_in_use_is_the_card_of_what_is_trained() -> None:
    x = graphc.input("x", ("N", 4, 8, 8))
    h = graphc.relu(graphc.layers.batch_norm(x, name="norm"))
    cards = cards_of(graphc.layers.dropout(h, name="drop"))
    assert [card.name for card in cards.cards] == ["x", "norm", "drop"]
    assert [card.gates for card in cards.cards] == ["input", "batch_norm · relu", "dropout"]
    assert cards.links == ((0, 1), (1, 2))
