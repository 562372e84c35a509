"""Folding: what repeats is found by structure, folds leave a graph without cycles, and no number is made up."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.drawing.folding import Fold, Grouped, grouped, steps_of
from graphc.drawing.fonts import number_text
from graphc.drawing.repeats import Repeat, repeats
from graphc.drawing.size import estimate
from graphc.errors import DrawingError
from graphc.graph.node import topological
from tests.drawing import corpus, graphs
from tests.drawing.geometry import overlaps

# ---------------------------------------------------------------- repeats in plain data


def planted(seed: int, broken: int | None = None) -> tuple[list[str], list[list[int]], Repeat]:
    """A random order in which copies of one random pattern stand between other elements; every element is read."""
    chance = random.Random(seed)
    period, copies, start = chance.randrange(1, 9), chance.randrange(6, 12), chance.randrange(3, 20)
    labels, operands = [f"before{k}" for k in range(start)], [[-1 - k] for k in range(start)]
    reads = [[chance.randrange(k)] if k and chance.random() < 0.6 else [] for k in range(period)]
    reads[-1] += sorted(set(range(period - 1)) - {n for read in reads for n in read})
    for c in range(copies):
        here = start + c * period
        for k in range(period):
            read = [-100, *(here + n for n in reads[k])]  # -100 is shared by all copies
            if not reads[k]:
                read.append(-200 if c == broken else here - 1 if c else start - 1)  # the last of the copy before
            labels.append(f"kind{k}")
            operands.append(read)
    labels.append("behind")
    operands.append([len(labels) - 2])
    return labels, operands, Repeat(start, period, copies, True)


@pytest.mark.parametrize("seed", range(40))
def test_copies_between_other_elements_are_found(seed: int) -> None:
    labels, operands, expected = planted(seed)
    assert repeats(labels, operands) == [expected]


@pytest.mark.parametrize("seed", range(40))
def test_a_copy_that_does_not_go_on_from_the_copy_before_begins_anew(seed: int) -> None:
    _, _, whole = planted(seed)
    broken = whole.copies // 2
    labels, operands, _ = planted(seed, broken)
    found = repeats(labels, operands)
    assert [(r.start, r.copies) for r in found] == [
        (whole.start, broken),
        (whole.start + broken * whole.period, whole.copies - broken),
    ]


def test_random_kinds_do_not_repeat() -> None:
    chance = random.Random(1)
    labels = [chance.choice("abcdefgh") + str(k % 7 * chance.randrange(5)) for k in range(400)]
    for found in repeats(labels, [[k - 1] for k in range(400)]):
        window = [labels[k] for k in found.copy(0)]
        assert all([labels[k] for k in found.copy(c)] == window for c in range(found.copies))


# ---------------------------------------------------------------- steps in graphs


@pytest.mark.parametrize(
    ("make", "period", "names"),
    [
        (lambda: graphs.scalar_lstm(6), 21, ("t = 1", "t = 6")),
        (lambda: corpus.scalar_gru(6), 17, ("t = 1", "t = 6")),
        (lambda: corpus.unrolled_rnn(6), 5, ("t = 0", "t = 5")),
    ],
)
def test_time_steps_of_any_cell_are_found(make: Any, period: int, names: tuple[str, str]) -> None:
    (steps,) = steps_of(make().back.root)
    assert steps.recurrent
    assert len(steps.copies) == 6
    assert {len(copy) for copy in steps.copies} == {period}
    assert (steps.names[0], steps.names[-1]) == names
    for column in zip(*steps.copies, strict=True):
        assert len({node.gate for node in column}) == 1


def test_steps_that_run_backward_in_time_count_down() -> None:
    w, u, h = graphc.inputs("w u h0")
    for t in reversed(range(1, 6)):
        h = graphc.tanh(w * graphc.input(f"x{t}") + u * h).named(f"h{t}")
    (steps,) = steps_of(h)
    assert steps.names == ("t = 5", "t = 4", "t = 3", "t = 2", "t = 1")


def test_layers_with_weights_of_their_own_are_no_steps() -> None:
    (steps,) = steps_of(corpus.residual_network(6))
    assert not steps.recurrent
    assert steps.names == tuple(f"block{k}" for k in range(1, 7))


def test_terms_side_by_side_are_no_steps_though_they_share_an_operand() -> None:
    q = graphc.input("q")
    products = [graphc.exp(q * graphc.input(f"k{n}")) for n in range(1, 7)]
    total = products[0] + products[1] + products[2] + products[3] + products[4] + products[5]
    found = [steps for steps in steps_of(total) if len(steps.copies[0]) == 2]
    assert [(len(steps.copies), steps.recurrent, steps.names[0]) for steps in found] == [(6, False, "k1")]


# ---------------------------------------------------------------- grouping


def check(root: Any, made: Grouped) -> None:
    """Every gate is somewhere, once, and what is read comes first."""
    drawn: list[Any] = [n for item in made.order for n in (item.nodes if isinstance(item, Fold) else (item,))]
    assert len({n.id for n in drawn}) == len(drawn)
    gates = {n.id for n in topological([root]) if n.operands}
    assert gates <= {n.id for n in drawn}
    assert root in made.kept
    done: set[int] = set()
    for item in made.order:
        inside = item.nodes if isinstance(item, Fold) else (item,)
        own = {n.id for n in inside}
        for node in inside:
            for operand in node.operands:
                hidden = operand.kind == "constant"
                assert hidden or operand.id in own or operand.id in done
        done |= own


@pytest.mark.parametrize("limit", [10, 25, 60])
@pytest.mark.parametrize("seed", range(12))
def test_folds_leave_an_order_in_which_operands_come_first(seed: int, limit: int) -> None:
    root = graphs.random_circuit(seed, 80 + 10 * seed).back.root
    made = grouped(root, limit=limit)
    check(root, made)
    assert made.folds
    assert made.estimate.blocks == len(made.order)


@pytest.mark.parametrize("make", [graphs.scalar_lstm, corpus.scalar_gru, corpus.cloned_lstm])
def test_the_folded_view_does_not_grow_with_the_steps(make: Any) -> None:
    sizes = []
    for steps in (30, 60):
        root = make(steps).back.root
        made = grouped(root, limit=100)
        check(root, made)
        sizes.append(len(made.order))
    assert sizes[0] == sizes[1] <= 70


def test_small_graphs_are_not_folded_and_none_never() -> None:
    root = graphs.scalar_lstm(12).back.root
    assert grouped(root).folds == grouped(root, None, limit=10).folds == grouped(root, False, limit=10).folds == ()
    assert grouped(root).note == ""


def test_what_is_to_be_kept_stays() -> None:
    root = graphs.scalar_lstm(20).back.root
    kept = [node for node in topological([root]) if node.name == "c10"]
    made = grouped(root, limit=50, keep=["c10"])
    assert kept[0] in made.kept
    check(root, made)


# ---------------------------------------------------------------- by name


def named_parts() -> Any:
    x, y = graphc.inputs("x y")
    a = graphc.tanh(x * 2 + y).named("encoder.a")
    b = graphc.exp(a * y).named("encoder.b")
    c = (b - graphc.sigmoid(b)).named("head.c")
    return graphc.backward((c * c).named("f")).at(x=0.5, y=-0.25)


def test_a_prefix_a_node_and_a_group_can_be_folded() -> None:
    run = named_parts()
    root = run.back.root
    (fold,) = grouped(root, ["encoder"]).folds
    assert (fold.label, {n.name for n in fold.nodes if n.name} & {"encoder.a", "encoder.b"}) == (
        "encoder", {"encoder.a", "encoder.b"},
    )  # fmt: skip
    (cone,) = grouped(root, ["head.c"]).folds
    assert "sigmoid" in {n.gate for n in cone.nodes}
    group = [n for n in topological([root]) if n.gate in ("mul", "add", "tanh") and n is not root][:3]
    (own,) = grouped(root, [group]).folds
    assert {n.id for n in group} <= {n.id for n in own.nodes}
    for how in (["encoder"], ["head.c"], [group]):
        check(root, grouped(root, how))
        assert overlaps(graphc.draw(run, style="circuit", fold=how).scene) == []


def test_a_part_ends_with_the_activation_behind_it() -> None:
    w, u, h = graphc.inputs("encoder.w encoder.u h0")
    for t in range(1, 4):
        h = graphc.tanh(w * graphc.input(f"x{t}") + u * h)
    loss = (graphc.sigmoid(graphc.input("head.v") * h) - 1) ** 2
    (fold,) = grouped(loss, ["encoder"]).folds
    assert fold.gates == 12
    assert fold.nodes[-1] is h


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ("encoder", r"known: 'auto', None \(never\), or a list of names.*fold=\['encoder'\]"),
        (["encodr"], "no node or prefix below 'f' is called 'encodr'; did you mean 'encoder'"),
        ([3], "found int in the list"),
        (7, "found int"),
    ],
)
def test_a_fold_that_cannot_be_says_what_can(fold: Any, message: str) -> None:
    with pytest.raises(DrawingError, match=message):
        grouped(named_parts().back.root, fold)


def test_a_group_that_something_leaves_and_enters_again_is_refused() -> None:
    run = named_parts()
    order = topological([run.back.root])
    first, last = next(n for n in order if n.name == "encoder.a"), next(n for n in order if n.name == "head.c")
    with pytest.raises(DrawingError, match="comes back in through gates outside"):
        grouped(run.back.root, [[first, last]])


# ---------------------------------------------------------------- what a fold says


def test_a_fold_says_its_gates_and_the_range_of_their_gradients() -> None:
    run = graphs.scalar_lstm(20)
    drawing = graphc.draw(run, style="circuit", fold=["c10"])
    made = grouped(run.back.root, ["c10"])
    (fold,) = made.folds
    (element,) = [e for e in drawing.content.elements if e.kind == "fold"]
    assert element.symbol == f"c10, {fold.gates:,} gates"
    sizes = [float(np.abs(run.grad(n))) for n in fold.nodes if n.operands]
    assert element.gradient == f"|∇| {number_text(min(sizes), 2)} … {number_text(max(sizes), 2)}"
    assert drawing.note == made.note != ""
    assert made.note in drawing.svg()
    assert made.note.split(";")[0] in drawing.text() or element.symbol in drawing.text()


def test_a_gradient_that_is_no_number_is_said() -> None:
    x, y = graphc.inputs("x y")
    a = graphc.log(x).named("a")
    run = graphc.backward((graphc.exp(a * y).named("b") * y).named("f")).at(x=-1.0, y=2.0)
    (element,) = [e for e in graphc.draw(run, style="circuit", fold=["b"]).content.elements if e.kind == "fold"]
    assert element.gradient == "|∇| NaN"


def test_numbers_of_what_is_drawn_do_not_change_when_the_rest_is_folded() -> None:
    run = graphs.scalar_lstm(5)
    whole = {e.name: e for e in graphc.draw(run, style="circuit").content.elements if e.label}
    part = {e.name: e for e in graphc.draw(run, style="circuit", fold=["c3"]).content.elements if e.label}
    shared = [name for name in part if name in whole and part[name].kind != "fold"]
    assert len(shared) >= 12
    for name in shared:
        assert (part[name].value, part[name].gradient) == (whole[name].value, whole[name].gradient)


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".tikz", ".dot", ".txt", ".html"])
def test_a_folded_picture_is_written_in_every_format(suffix: str, tmp_path: Any) -> None:
    drawing = graphc.draw(graphs.scalar_lstm(4), style="circuit", fold=["c2"])
    written = drawing.save(tmp_path / f"folded{suffix}").read_bytes()
    assert len(written) > 500
    if suffix in (".svg", ".dot", ".txt", ".html"):
        assert "c2, " in written.decode()


# ---------------------------------------------------------------- the estimate


def test_the_estimate_counts_the_places_of_the_layout() -> None:
    from graphc.drawing.blocks import Block, Link
    from graphc.drawing.grid import grid_of

    for seed in range(6):
        circuit = graphc.draw(graphs.random_circuit(seed, 30 + 10 * seed), style="circuit").content
        links = [(p.operand, e.index) for e in circuit.elements for p in e.ports]
        blocks = [Block(50, 34, tuple(float(k) for k in range(len(e.ports))), 17) for e in circuit.elements]
        ports = [Link(p.operand, e.index, n) for e in circuit.elements for n, p in enumerate(e.ports)]
        counted = len(grid_of(blocks, ports).layer)
        assert 0.5 * counted <= estimate(len(blocks), links).places <= 2 * counted


def test_a_picture_that_would_take_minutes_is_refused_with_the_estimate() -> None:
    x, y = graphc.inputs("x y")
    sums, nodes = x, []
    for _ in range(1500):  # every gate is read by the last ones: wires over all layers
        sums = sums * y + x
        nodes.append(sums)
    for node in nodes[::-1]:
        sums = sums + node
    with pytest.raises(DrawingError, match=r"[\d,]+ blocks and [\d,]+ wires, about [\d,]+ s.*fold='auto'"):
        graphc.draw(sums, style="circuit", fold=False)
    assert graphc.draw(sums, style="circuit").note
