"""Large graphs: time limits, zero overlaps, folded pictures; and pictures where nothing else is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import graphc
from graphc.drawing.folding import LIMIT
from graphc.graph.node import topological
from tests.drawing import corpus, graphs
from tests.drawing.geometry import overlaps

_FIVE_SECONDS = 5.0
_TEN_SECONDS = 10.0


def drawn(run: Any, **options: Any) -> tuple[Any, float]:
    """A drawing whose SVG has been written, and the processor's seconds for it: least of three."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        drawing = graphc.draw(run, style="circuit", **options)
        drawing.svg()
        taken.append(time.process_time() - start)
    return drawing, min(taken)


@pytest.mark.slow
@pytest.mark.parametrize("fold", ["auto", False])
@pytest.mark.parametrize("make", [graphs.scalar_lstm, corpus.cloned_lstm], ids=["shared weights", "a weight a step"])
def test_a_thousand_nodes_of_an_unrolled_lstm_are_drawn_in_five_seconds(make: Any, fold: Any) -> None:
    run = make(47 if make is graphs.scalar_lstm else 36)
    assert sum(1 for n in topological([run.back.root])) >= 1000
    drawing, seconds = drawn(run, fold=fold)
    print(f"{make.__name__}, fold={fold!r}: {seconds:.2f} s, {len(drawing.content.elements)} blocks")
    assert seconds <= _FIVE_SECONDS
    assert overlaps(drawing.scene) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [lambda: graphs.scalar_lstm(480), lambda: graphs.random_circuit(3, 7500), lambda: corpus.chain(10_000)],
    ids=["LSTM of 480 steps", "random", "chain"],
)
def test_ten_thousand_nodes_come_back_folded_in_ten_seconds(make: Any) -> None:
    run = make()
    assert sum(1 for n in topological([run.back.root])) >= 10_000
    start = time.process_time()
    drawing = graphc.draw(run, style="circuit")
    drawing.svg()
    seconds = time.process_time() - start
    print(f"{seconds:.2f} s, {len(drawing.content.elements)} blocks; {drawing.note}")
    assert seconds <= _TEN_SECONDS
    assert len(drawing.content.elements) <= LIMIT
    assert "folded into" in drawing.note
    assert overlaps(drawing.scene) == []


@pytest.mark.slow
def test_graphviz_that_is_too_slow_gives_way_to_the_layered_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.drawing import engines, layout

    if not layout.engine_available("pygraphviz"):
        pytest.skip("needs pygraphviz")
    monkeypatch.setattr(engines, "TIME_LIMIT", 2.0)
    start = time.perf_counter()
    drawing = graphc.draw(graphs.scalar_lstm(47), style="circuit", fold=False, engine="pygraphviz")
    assert drawing.engine == "layered"
    assert time.perf_counter() - start < 60
    assert "no layout within 2 s; placed by the layered layout" in drawing.note
    assert overlaps(drawing.scene) == []


def test_above_the_limit_a_picture_is_folded_and_says_so() -> None:
    run = graphs.scalar_lstm(25)
    drawing = graphc.draw(run, style="circuit")
    assert len(drawing.content.elements) <= 60
    assert "t = 2 … 24" in drawing.svg()
    assert drawing.note in drawing.svg()
    assert overlaps(drawing.scene) == []


def test_a_folded_picture_of_a_random_graph_keeps_apart() -> None:
    drawing = graphc.draw(graphs.random_circuit(2, 400), style="circuit")
    assert "folded into" in drawing.note
    assert overlaps(drawing.scene) == []


_ALONE = """
import sys
for name in ("pygraphviz", "pydot"):
    sys.modules[name] = None  # as where it is not installed
import graphc
x, y = graphc.inputs("x y")
run = graphc.backward((graphc.sigmoid(x * y) + x).named("f")).at(x=1.0, y=-2.0)
for suffix in (".svg", ".pdf", ".tikz", ".tex", ".png", ".dot", ".txt", ".html"):
    assert run.draw(sys.argv[1] + "/f" + suffix).engine == "layered"
run.frames(sys.argv[1] + "/steps.gif")
run.frames(sys.argv[1] + "/steps.pdf")
"""


def test_every_format_is_written_without_any_system_package(tmp_path: Path) -> None:
    """No program on PATH, no font folder, no home, no pygraphviz."""
    environment = {
        "PATH": "", "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path), "FONTCONFIG_PATH": str(tmp_path),
        "XDG_DATA_DIRS": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = {file.name: file.stat().st_size for file in tmp_path.iterdir() if file.is_file()}
    formats = ("svg", "pdf", "tikz", "tex", "png", "dot", "txt", "html")
    assert all(written[f"f.{suffix}"] > 200 for suffix in formats)
    assert written["steps.gif"] > 1000
    assert written["steps.pdf"] > 1000
