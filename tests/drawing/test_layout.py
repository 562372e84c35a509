"""Blocks keep apart and wires go around them, with every engine on this machine."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.drawing import engines, layout
from graphc.drawing.layout import ENGINES, Block, Link, engine_available, place
from graphc.drawing.rows import place_in_rows
from graphc.drawing.scene import Box, numbers_of
from graphc.drawing.scene import Path as Outline
from graphc.errors import DrawingError
from tests.drawing.geometry import flattened, touched

AVAILABLE = [name for name in ENGINES if engine_available(name)]


def random_graph(seed: int, count: int) -> tuple[list[Block], list[Link]]:
    chance = random.Random(seed)
    blocks, links = [], []
    for k in range(count):
        arity = 0 if k < 3 else chance.choice((1, 1, 2, 2, 3))
        height = max(34.0, 42.0 * arity - 8)
        entries = tuple(height / 2 + (i - (arity - 1) / 2) * 42.0 for i in range(arity))
        blocks.append(Block(chance.uniform(50, 160), height, entries, height / 2, first=arity == 0))
        for i in range(arity):
            near = chance.random() < 0.8
            links.append(Link(chance.randrange(max(0, k - 8) if near else 0, k), k, i))
    return blocks, links


def faults(blocks: list[Block], links: list[Link], placement: layout.Placement) -> list[str]:
    boxes = [Box(x, y, x + b.width, y + b.height) for (x, y), b in zip(placement.corners, blocks, strict=True)]
    corners = np.array([(b.left, b.top, b.right, b.bottom) for b in boxes])
    found = []
    for k, box in enumerate(boxes):
        found += [f"{k} meets {n}" for n in range(k + 1, len(boxes)) if box.overlaps(boxes[n], 0.5)]
    for link, wire in zip(links, placement.wires, strict=True):
        points = flattened(Outline(wire))
        start, end = points[0], points[-1]
        tail, head = boxes[link.tail], boxes[link.head]
        assert start == pytest.approx((tail.right, tail.top + blocks[link.tail].exit), abs=0.01)
        assert end == pytest.approx((head.left, head.top + blocks[link.head].entries[link.entry]), abs=0.01)
        for n in np.flatnonzero(touched(np.array(points), corners, 0.5)):
            found.append(f"wire {link} runs through block {n}")
    return found


@pytest.mark.parametrize("engine", AVAILABLE)
@pytest.mark.parametrize("seed", range(12))
def test_blocks_keep_apart_and_wires_go_around_them(engine: str, seed: int) -> None:
    blocks, links = random_graph(seed, 5 + 6 * seed)
    assert faults(blocks, links, place(blocks, links, engine)) == []


@pytest.mark.parametrize("engine", AVAILABLE)
def test_three_hundred_blocks_are_placed_without_overlap(engine: str) -> None:
    blocks, links = random_graph(99, 300)
    start = time.perf_counter()
    placement = place(blocks, links, engine)
    print(f"{engine}: {time.perf_counter() - start:.2f} s for 300 blocks")
    assert faults(blocks, links, placement) == []


def test_a_large_graph_is_laid_out_in_a_child_process(monkeypatch: pytest.MonkeyPatch) -> None:
    if "pygraphviz" not in AVAILABLE:
        pytest.skip("needs pygraphviz")
    started: list[list[str]] = []
    run = engines._run
    monkeypatch.setattr(engines, "_run", lambda c, s: started.append(c) or run(c, s))
    blocks, links = random_graph(5, 130)
    placement = place(blocks, links, "pygraphviz")
    assert (placement.engine, placement.note) == ("pygraphviz", "")
    assert len(started) == 1


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (subprocess.TimeoutExpired("dot", 20), "no layout within 20 s"),
        (OSError("no memory"), "did not start: no memory"),
        (subprocess.CompletedProcess("dot", -11, b"", b"boom"), "status -11: boom"),
    ],
)
def test_where_a_child_is_late_or_crashes_the_layered_layout_serves_and_a_note_says_so(
    monkeypatch: pytest.MonkeyPatch, failure: Any, message: str
) -> None:
    def run(*_: object, **__: object) -> Any:
        if isinstance(failure, Exception):
            raise failure
        return failure

    monkeypatch.setattr(engines, "import_pygraphviz", object)
    monkeypatch.setattr(subprocess, "run", run)
    blocks, links = random_graph(5, 130)
    placement = place(blocks, links, "pygraphviz")
    assert placement.engine == "layered"
    assert message in placement.note
    assert placement.note.endswith("placed by the layered layout")
    assert placement.corners == place(blocks, links, "layered").corners


def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engines, "import_pygraphviz", object)
    monkeypatch.setattr(engines, "TIME_LIMIT", 0.5)
    pid = tmp_path / "pid"
    hang = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(engines, "_CHILD", hang)
    blocks, links = random_graph(5, 130)
    start = time.perf_counter()
    placement = place(blocks, links, "pygraphviz")
    assert time.perf_counter() - start < 30  # far below the minute that the child sleeps
    assert "made no layout within" in placement.note
    if pid.exists():  # it had come as far as its first line
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


def test_an_engine_asked_for_by_name_must_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DrawingError, match=r"'pygraphviz' is not installed.*graphc\[draw\]"):
        place([Block(10, 10)], [], "pygraphviz")
    with pytest.raises(DrawingError, match="no program 'dot' on PATH"):
        place([Block(10, 10)], [], "dot")
    with pytest.raises(DrawingError, match="known: layered, pygraphviz, dot"):
        place([Block(10, 10)], [], "neato")


def test_a_chain_runs_straight() -> None:
    blocks = [Block(60, 34, (17.0,) if k else (), 17.0, first=not k) for k in range(6)]
    placement = place(blocks, [Link(k, k + 1, 0) for k in range(5)], "layered")
    assert len({y for _, y in placement.corners}) == 1
    assert all(c[0] in "ML" for wire in placement.wires for c in wire)


def test_wires_into_one_box_end_apart_and_the_level_one_keeps_the_middle() -> None:
    sizes = [(60.0, 60.0)] * 5
    placement = place_in_rows(sizes, [(0, 1), (1, 2), (0, 2), (2, 3), (4, 3)])
    ends = [numbers_of(wire[-1])[-2:] for wire in placement.wires]
    middle = placement.corners[2][1] + 30.0
    into_two, into_three = (ends[1], ends[2]), (ends[3], ends[4])
    for first, second in (into_two, into_three):
        assert first[0] == second[0]
        assert abs(first[1] - second[1]) >= 10
    assert into_two[0][1] == pytest.approx(middle)


def test_a_level_wire_over_many_layers_is_one_line() -> None:
    blocks = [Block(60, 34, (), 17.0)]
    links = []
    for k in range(1, 9):
        blocks.append(Block(60, 76, (17.0, 59.0), 17.0))
        links += [Link(k - 1, k, 0), Link(0, k, 1)] if k > 1 else [Link(0, 1, 0), Link(0, 1, 1)]
    wires = place(blocks, links, "layered").wires
    longest = max(wires, key=lambda wire: numbers_of(wire[-1])[-2])
    for a, b in itertools.pairwise(longest):
        assert not (a[0] == b[0] == "L" and numbers_of(a)[-1] == numbers_of(b)[-1])
    assert len(wires[-1]) <= 8  # not a piece for every layer that it passes
