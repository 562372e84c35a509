"""Networks as cards, one box a layer, with shapes and parameter counts."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from graphc.drawing import draw
from graphc.drawing.cards import Cards
from graphc.drawing.fonts import number_text
from graphc.drawing.layout import ENGINES, engine_available
from graphc.drawing.measures import Dead, combined
from graphc.drawing.network import grouped
from graphc.drawing.scene import Group, Item, Path, Scene, texts
from graphc.drawing.theme import theme_named
from graphc.errors import DrawingError
from graphc.graph.mode import in_training
from tests.drawing.geometry import element_boxes, label_boxes, overlaps
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


# ---- cards of a run ----------------------------------------------------------------------------------


def numbers(node: Any) -> tuple[int, ...]:
    return tuple(int(str(extent)) for extent in node.shape)


def run_of(batch: int = 5, shift: float = 0.0) -> Any:
    """A run of the LeNet-style network; ``shift`` moves the biases of the first layer."""
    generator = numpy.random.default_rng(11)
    loss = convolutional_network()
    back = graphc.backward(loss)
    parameters = {n.label: 0.2 * generator.normal(size=numbers(n)) for n in back.nodes if n.kind == "parameter"}
    parameters["conv1.bias"] = parameters["conv1.bias"] + shift
    image = generator.uniform(size=(batch, 1, 28, 28))
    return back.at(parameters=parameters, image=image, label=numpy.arange(batch) % 10)


def said(scene: Scene, *, but: str = "") -> dict[str, str]:
    """Every text of the cards by id; those of one card may be left out."""
    return {t.id: t.text for t in texts(scene.items) if t.id and not (but and t.id.startswith(but))}


def test_gradients_on_the_cards_are_those_of_the_run() -> None:
    run = run_of()
    cards = cards_of(run)
    layers, _ = grouped(in_training(run.back.root))
    shown = said(draw(run, style="cards").scene)
    checked = 0
    for card, layer in zip(cards.cards, layers, strict=True):
        weights = [p for p in layer.parameters if p.kind == "parameter"]
        expected = {}
        if weights:
            sizes = numpy.concatenate([abs(run.grad(p)).ravel() for p in weights])
            expected["parameters"] = (sizes.sum() / card.count, sizes.max())
        if layer.nodes[-1] is not run.back.root and layer.nodes[-1].is_float:
            sizes = abs(run.grad(layer.nodes[-1]))
            expected["input" if layer.name == "image" else "output"] = (sizes.mean(), sizes.max())
        for of, numbers in expected.items():
            for kind, number in zip(("mean", "max"), numbers, strict=True):
                assert shown.pop(f"card-{card.index}-{of}-{kind}") == number_text(number, 2)
                checked += 1
    assert checked == 24
    assert not [id for id in shown if id.endswith(("-mean", "-max"))]


@pytest.mark.parametrize("shift", [0.0, -1.5, -9.0])
def test_dead_units_are_those_that_are_zero_for_every_example(shift: float) -> None:
    run = run_of(shift=shift)
    node = next(n for n in run.back.nodes if n.gate == "relu")
    dead = (run.value(node) == 0).all(axis=0)
    card = next(c for c in cards_of(run).cards if c.name == "conv1")
    assert str(card.measures.dead) == f"dead ReLU: {number_text(100 * dead.mean(), 2)} % of 4,704"
    assert {0.0: dead.mean() < 0.5, -1.5: 0.5 < dead.mean() < 1, -9.0: dead.all()}[shift]
    assert [c.measures.dead for c in cards_of(run).cards if c.name == "scores"] == [None]


@pytest.mark.parametrize("names", [["conv1"], ["hidden"], ["conv1", "scores"], "max_pool2d"])
def test_an_expanded_card_shows_its_gates_and_changes_no_other_number(names: Any) -> None:
    run = run_of()
    plain = draw(run, style="cards").scene
    drawing = draw(run, style="cards", expand=names)
    scene, content = drawing.scene, drawing.content
    assert overlaps(scene) == []
    opened = [card for card in content.cards if card.inside]
    assert {card.name for card in opened} == ({names} if isinstance(names, str) else set(names))
    for card in opened:
        inner = inside_of(scene, card.index)
        wires = [name for name in ids(inner) if name.startswith("link-")]
        assert len(wires) == sum(len(part.operands) for part in card.inside) + 2
        assert overlaps(inner) == []
    gates = [id for id in ids(scene) if re.fullmatch(r"card-\d+-gate-\d+", id)]
    assert len(gates) == sum(len(card.inside) for card in opened)
    before, after = said(plain), said(scene)
    assert before.items() <= after.items()
    extra = {id for id in after if id not in before}
    assert all(any(id.startswith(f"card-{card.index}-gate-") for card in opened) for id in extra)


def test_gates_of_an_expanded_card_carry_their_own_gradients() -> None:
    run = run_of()
    card = next(c for c in draw(run, style="cards", expand="conv1").content.cards if c.name == "conv1")
    named = {part.node: part for part in card.inside if part.node}
    assert set(named) == {"conv1.weight", "conv1.bias", "conv1"}
    for name, part in named.items():
        assert part.gradient == number_text(abs(run.grad(name)).mean(), 2)
    assert [part.gate for part in card.inside] == ["weight", "bias", "conv2d", "bias", "relu"]
    assert [part.operands for part in card.inside] == [(), (), (-1, 0), (2, 1), (3,)]


def inside_of(scene: Scene, index: int) -> Scene:
    """The gates of an expanded card as a picture of their own."""
    card = next(g for g in scene.items if isinstance(g, Group) and g.id == f"card-{index}")

    def renamed(item: Item) -> Item:
        if not isinstance(item, Group):
            return item
        return replace(item, id=re.sub(r"^card-\d+-(link|gate)-", r"\1-", item.id))

    shown = tuple(renamed(item) for item in card.items[2:])  # without fill and outline of the card
    return replace(scene, items=shown)


def ids(scene: Scene) -> list[str]:
    found: list[str] = []

    def visit(items: tuple[Item, ...]) -> None:
        for item in items:
            if isinstance(item, Group):
                found.append(item.id)
                visit(item.items)

    visit(scene.items)
    return [id for id in found if id]


def outlines(items: tuple[Item, ...]) -> list[Path]:
    found: list[Path] = []
    for item in items:
        found += outlines(item.items) if isinstance(item, Group) else [item] if isinstance(item, Path) else []
    return found


@pytest.mark.parametrize("theme", ["default", "dark"])
@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_cards_of_a_run_keep_apart_and_are_vector(theme: str, direction: str) -> None:
    drawing = draw(run_of(), style="cards", theme=theme, direction=direction, expand="conv2")
    assert overlaps(drawing.scene) == []
    assert b"/Image" not in drawing.pdf()
    assert "<image" not in drawing.svg()
    assert drawing.svg() == draw(run_of(), style="cards", theme=theme, direction=direction, expand="conv2").svg()
    assert len(drawing.svg()) < 150_000
    assert len(ids(drawing.scene)) == len(set(ids(drawing.scene)))
    assert min(t.size for t in texts(drawing.scene.items)) >= 7


def test_each_example_has_its_own_images_and_the_same_numbers() -> None:
    run = run_of()
    first, third = (draw(run, style="cards", example=k) for k in (0, 2))
    assert first.svg() != third.svg()
    assert said(first.scene) == said(third.scene)
    without = draw(run, style="cards", images=False).scene
    assert not [
        g
        for g in without.items
        if isinstance(g, Group) and any(c.classes == "image" for c in g.items if isinstance(c, Group))
    ]
    assert said(without) == said(first.scene)


def test_gradients_that_are_no_numbers_are_marked() -> None:
    x = graphc.input("x", ("N", 3))
    w = graphc.parameter("layer.weight", (2, 3))
    y = graphc.log(graphc.relu(graphc.matmul(x, w.T)))
    run = graphc.backward(graphc.sum(y)).at({"x": numpy.ones((2, 3)), "layer.weight": -numpy.ones((2, 3))})
    marked = [t for t in texts(draw(run, style="cards").scene.items) if t.colour == theme_named("default").wrong]
    assert marked
    assert all(t.text in ("nan", "∞") for t in marked)


def test_what_cannot_be_expanded_is_refused_with_advice() -> None:
    run = run_of()
    with pytest.raises(DrawingError, match=r"expand='conv3': no card.*did you mean 'conv2'.*'hidden'"):
        draw(run, style="cards", expand=["conv3"])
    with pytest.raises(DrawingError, match="no card with gates has this name"):
        draw(run, style="cards", expand="image")
    with pytest.raises(DrawingError, match="examples 0 to 4, found example=5"):
        draw(run, style="cards", example=5)
    with pytest.raises(DrawingError, match="needs a run"):
        draw(run.back.root, style="cards", example=1)


def test_a_network_without_a_run_can_be_expanded() -> None:
    scene = draw(convolutional_network(), style="cards", expand=["conv1", "loss"]).scene
    assert overlaps(scene) == []
    assert not [t for t in texts(scene.items) if "∇" in t.text]


def test_measures_of_several_layers_are_taken_together_exactly() -> None:
    run = run_of()
    measures = [card.measures for card in cards_of(run).cards]
    together = {m.of: m for m in combined(measures).magnitudes}
    weights = numpy.concatenate([abs(run.grad(n)).ravel() for n in run.back.nodes if n.kind == "parameter"])
    assert together["parameters"].mean == pytest.approx(weights.mean())
    assert together["parameters"].largest == weights.max()
    assert together["parameters"].count == weights.size
    dead = [item.dead for item in measures if item.dead is not None]
    assert combined(measures).dead == Dead("ReLU", sum(d.dead for d in dead), 4704 + 1600 + 120)


def test_an_expanded_card_has_no_empty_half() -> None:
    """Its wire is half way down, and what is said stands above and below."""
    scene = draw(convolutional_network(), style="cards", expand=["conv2"]).scene
    boxes = dict(label_boxes(scene))
    card = element_boxes(scene)["3"]
    assert boxes["conv2"].top - card.top < 16
    assert card.bottom - boxes["2,416 parameters"].bottom < 16
    assert boxes["weight"].top - boxes["conv2"].bottom < 60
