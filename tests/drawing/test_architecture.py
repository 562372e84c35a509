"""Deep networks on one page: what repeats is drawn once, every link is drawn, and all can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

import graphc
from graphc.drawing import draw
from graphc.drawing.network_steps import Chain, read_chain
from graphc.drawing.scene import Box, Group, Item, Path, Scene, texts
from graphc.errors import DrawingError
from tests.drawing.geometry import link_points, outline_box, overlaps
from tests.drawing.graphs import convolutional_network
from tests.drawing.networks import (
    dense_net,
    inceptions,
    residual_blocks,
    resnet50,
    two_towers,
    u_net,
    vgg16,
)  # fmt: skip

NETWORKS: dict[str, Callable[[], Any]] = {
    "resnet50": resnet50, "vgg16": vgg16, "inceptions": inceptions, "two_towers": two_towers, "u_net": u_net,
    "dense_net": dense_net, "lenet": convolutional_network,
}  # fmt: skip
PAGES = {"a4-landscape": (841.89, 595.28), "letter-landscape": (792.0, 612.0), "slide": (960.0, 540.0)}


def repeats(chain: Chain) -> list[int]:
    """How often each folded block comes, in drawing order."""
    found: list[int] = []
    for part in chain.parts:
        found += [part.times] if part.times > 1 else []
        for step in part.steps:
            for inner in step.inner:
                found += repeats(inner)
    return found


def counted(chain: Chain) -> int:
    """Units of the network, each as often as it comes."""
    return sum(
        part.times * (1 + len(step.leaves) + sum(counted(inner) for inner in step.inner))
        for part in chain.parts
        for step in part.steps
    )


def boxes(scene: Scene) -> dict[int, Box]:
    """Place of each drawn unit by number."""
    found: dict[int, Box] = {}

    def visit(items: tuple[Item, ...]) -> None:
        for item in items:
            if isinstance(item, Group):
                if item.id.startswith("box-"):
                    parts = [outline_box(p) for p in item.items if isinstance(p, Path)]
                    found[int(item.id[4:])] = Box(
                        min(p.left for p in parts), min(p.top for p in parts),
                        max(p.right for p in parts), max(p.bottom for p in parts),
                    )  # fmt: skip
                visit(item.items)

    visit(scene.items)
    return found


def drawn_links(scene: Scene) -> set[tuple[int, int]]:
    """Pairs of boxes that wires lead from and to, wires that touch end to end taken together."""
    places = boxes(scene)
    wires = [(points[0], points[-1]) for _, points in link_points(scene)]

    def box_at(point: tuple[float, float]) -> int | None:
        x, y = point
        near = (
            k for k, b in places.items()
            if b.left - 0.5 <= x <= b.right + 0.5 and b.top - 0.5 <= y <= b.bottom + 0.5
        )  # fmt: skip
        return next(near, None)

    def ends(start: tuple[float, float], seen: frozenset[int]) -> set[int]:
        box = box_at(start)
        if box is not None:
            return {box}
        going = [
            n for n, (a, _) in enumerate(wires) if n not in seen and abs(a[0] - start[0]) + abs(a[1] - start[1]) < 0.6
        ]
        return {k for n in going for k in ends(wires[n][1], seen | {n})}

    found: set[tuple[int, int]] = set()
    for number, (start, end) in enumerate(wires):
        tail = box_at(start)
        if tail is not None:
            found |= {(tail, head) for head in ends(end, frozenset({number}))}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_resnet_of_50_layers_fits_one_landscape_page_with_text_of_7_points(page: str) -> None:
    drawing = draw(resnet50(), style="architecture", page=page)
    scene = drawing.scene
    assert (scene.width, scene.height) == PAGES[page]
    assert min(t.size for t in texts(scene.items)) >= 7.0
    assert overlaps(scene) == []
    said = [t.text for t in texts(scene.items)]
    assert [text for text in said if text.startswith("× ")] == ["× 2", "× 3", "× 5", "× 2"]
    assert any("25,557,032 parameters" in text for text in said)
    assert "70,400 parameters each" in said


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_fits_one_page_and_nothing_overlaps(name: str) -> None:
    scene = draw(NETWORKS[name](), style="architecture").scene
    assert (scene.width, scene.height) == PAGES["a4-landscape"]
    assert min(t.size for t in texts(scene.items)) >= 7.0
    assert overlaps(scene) == []


def test_blocks_that_repeat_are_found_by_their_structure() -> None:
    expected = {
        "resnet50": [2, 3, 5, 2], "vgg16": [2, 2, 3], "inceptions": [3], "two_towers": [3], "u_net": [],
        "dense_net": [], "lenet": [],
    }  # fmt: skip
    for name, times in expected.items():
        units, chain, _ = read_chain(NETWORKS[name]())
        assert repeats(chain) == times, name
        assert counted(chain) == len(units), name


@pytest.mark.parametrize(
    ("maps", "times"),
    [([4] * 6, [6]), ([4, 4, 5, 4, 4, 4], [2, 3]), ([4, 5, 4, 5, 4, 5], [3]), ([4, 5, 6], []), ([4, 4], [2])],
)  # fmt: skip
def test_only_equal_blocks_are_folded(maps: list[int], times: list[int]) -> None:
    units, chain, total = read_chain(residual_blocks(maps))
    assert repeats(chain) == times
    assert counted(chain) == len(units)
    assert total == sum(2 * 8 * 9 * k + 2 * (8 + k) for k in maps)


@pytest.mark.parametrize("name", ["u_net", "dense_net", "lenet"])
def test_every_link_is_drawn_and_no_other(name: str) -> None:
    root = NETWORKS[name]()
    units, chain, _ = read_chain(root)
    scene = draw(root, style="architecture").scene
    assert len(boxes(scene)) == len(units)
    assert drawn_links(scene) == links_of(chain)


def links_of(chain: Chain, before: int = -1) -> set[tuple[int, int]]:
    """Links between units, where nothing is folded."""
    found: set[tuple[int, int]] = set()
    for part in chain.parts:
        assert part.times == 1
        for step in part.steps:
            found |= {(before if tail == -1 else tail, head) for tail, head in step.links}
            found |= {(leaf, step.end) for leaf in step.leaves}
            for inner in step.inner:
                found |= links_of(inner, before)
            before = step.end
    return {(tail, head) for tail, head in found if tail >= 0}


def test_skip_links_and_projections_of_resnet_are_drawn() -> None:
    units, chain, _ = read_chain(resnet50())
    links = drawn_links(draw(resnet50(), style="architecture").scene)
    sums = [k for k, unit in enumerate(units) if unit.title == "+" and k in {head for _, head in links}]
    assert len(sums) == 8  # of 16: one before and one in each frame
    for k in sums:
        into = {tail for tail, head in links if head == k}
        assert len(into) == 2
        skips = [tail for tail in into if units[tail].title == "+"]
        projections = [tail for tail in into if "project" in units[tail].name]
        assert len(skips) + len(projections) == 1
    assert chain.parts[-1].steps[0].leaves  # the label stands by the loss


def test_two_towers_stand_side_by_side() -> None:
    units, chain, _ = read_chain(two_towers())
    first = chain.parts[0].steps[0]
    assert [units[inner.first].title for inner in first.inner] == ["photo", "words"]
    assert units[first.end].title == "concat"
    places = boxes(draw(two_towers(), style="architecture").scene)
    photo, words = (next(k for k, u in enumerate(units) if u.title == name) for name in ("photo", "words"))
    assert places[photo].bottom < places[words].top


def test_a_small_network_says_names_shapes_and_parameters() -> None:
    said = [t.text for t in texts(draw(convolutional_network(), style="architecture").scene.items)]
    assert {"conv1", "conv 5×5, 6", "6 × 28 × 28", "156", "max pool 2×2", "hidden", "dense 120", "48,120"} <= set(said)


def test_formats_are_vector_and_deterministic(tmp_path: Any) -> None:
    first, second = (draw(inceptions(), style="architecture", theme="dark") for _ in range(2))
    assert first.svg() == second.svg()
    assert first.pdf() == second.pdf()
    ElementTree.fromstring(first.svg())
    text = first.text()
    assert "3 times:" in text
    assert text.count("branch 4") == 2
    first.save(tmp_path / "net.tex")
    ids = [t.id for t in texts(first.scene.items) if t.id]
    assert len(ids) == len(set(ids))


def test_a_network_too_large_for_the_page_gets_a_larger_one() -> None:
    h = graphc.input("x", ("N", 3))
    for number in range(260):
        h = graphc.relu(graphc.layers.dense(h, 4 + number % 7 + number // 7, name=f"layer{number}"))
    scene = draw(graphc.mean(h), style="architecture").scene
    assert scene.width > PAGES["a4-landscape"][0]
    assert scene.width / scene.height == pytest.approx(PAGES["a4-landscape"][0] / PAGES["a4-landscape"][1], rel=1e-3)
    assert min(t.size for t in texts(scene.items)) >= 7.0 - 1e-9


@pytest.mark.parametrize("page", ["a4", (400, 300), (2000, 500)])
def test_other_pages_hold_what_they_are_given(page: Any) -> None:
    for root in (inceptions(), two_towers()):
        scene = draw(root, style="architecture", page=page, title="A rather long title for so small a page").scene
        assert overlaps(scene) == []
        assert min(t.size for t in texts(scene.items)) >= 7.0


def test_a_single_gate_and_a_lone_input_are_networks_too() -> None:
    x, y = graphc.inputs("x y")
    for root in (x * y, x, graphc.relu(x)):
        assert overlaps(draw(root, style="architecture").scene) == []


def test_bad_input_is_refused_with_advice() -> None:
    with pytest.raises(DrawingError, match=r"no page is called 'A4 portrait'; known: a4, a4-landscape"):
        draw(inceptions(), style="architecture", page="A4 portrait")
    with pytest.raises(DrawingError, match="direction='TB'"):
        draw(inceptions(), style="architecture", direction="TB")
    with pytest.raises(DrawingError, match="no layout engine is called"):
        draw(inceptions(), style="architecture", engine="neato")
