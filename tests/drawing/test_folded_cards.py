"""Cards of deep networks: repeated layers on one card, whose numbers are those of the cards that it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.drawing.cards import Cards, cards_scene, read_cards
from graphc.drawing.folded_cards import folded_cards
from graphc.drawing.theme import Theme
from tests.drawing import corpus
from tests.drawing.geometry import overlaps


def multilayer(depth: int) -> Any:
    x = graphc.input("x", ("N", 8))
    for k in range(depth):
        x = graphc.tanh(graphc.layers.dense(x, 8, name=f"hidden{k}"))
    return graphc.sum(x * x).named("loss")


def linked(cards: Cards) -> bool:
    """Every card but the inputs reads one, from before it."""
    heads = {head for _, head in cards.links}
    return all(tail < head for tail, head in cards.links) and len(heads) >= len(cards.cards) - 2


@pytest.mark.parametrize("blocks", [8, 20])
def test_residual_blocks_are_folded_whole(blocks: int) -> None:
    cards = read_cards(corpus.residual_network(blocks))
    made = folded_cards(cards, limit=20)
    (fold,) = [card for card in made.cards if "layers:" in card.gates]
    assert fold.name == f"block2 … block{blocks - 1}"
    assert fold.gates.startswith(f"{blocks - 2} × 3 layers")
    assert len(made.cards) == 13
    assert linked(made)
    assert sum(card.count for card in made.cards) == sum(card.count for card in cards.cards)
    assert made.note.startswith(f"{3 * (blocks - 2)} of {len(cards.cards)} layers are folded into one card")
    assert overlaps(cards_scene(made, Theme())[0]) == []


def test_the_numbers_of_a_fold_are_those_of_its_layers() -> None:
    root = corpus.residual_network(8)
    back = graphc.backward(root)
    draw = np.random.default_rng(0)
    weights = {n.name: 0.1 * draw.normal(size=n.shape) for n in back.nodes if n.kind == "parameter"}
    run = back.at(image=draw.normal(size=(2, 3, 16, 16)), label=[1, 2], parameters=weights)
    cards = read_cards(root, run)
    made = folded_cards(cards, limit=20)
    hidden = cards.cards[5 : 5 + 18]
    (fold,) = [card for card in made.cards if "layers:" in card.gates]
    shown = fold.measures.magnitudes
    largest = [m.largest for card in hidden for m in card.measures.magnitudes if m.of == "output"]
    assert len(largest) == 18
    assert max(largest) in {m.largest for m in shown}


def test_a_card_that_is_expanded_stays() -> None:
    root = corpus.residual_network(8)
    cards = read_cards(root, expand=["block3.conv1"])
    made = folded_cards(cards, limit=20)
    assert any(card.inside for card in made.cards)


def test_a_very_deep_network_fits_and_a_small_one_stays() -> None:
    cards = read_cards(multilayer(400))
    made = folded_cards(cards)
    assert len(made.cards) <= 10
    assert any(card.name == "hidden1 … hidden398" for card in made.cards)
    assert folded_cards(cards, False) is cards
    small = read_cards(multilayer(4))
    assert folded_cards(small) is small


def test_layers_that_do_not_repeat_are_folded_with_their_neighbours() -> None:
    x = graphc.input("x", ("N", 4))
    for k in range(120):
        x = graphc.layers.dense(x, 4 + (k * k) % 11, name=f"layer{k}")
    made = folded_cards(read_cards(graphc.sum(x)))
    assert len(made.cards) <= 45
    assert linked(made)
