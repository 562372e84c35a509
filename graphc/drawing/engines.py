"""Graphviz as a layout engine: as the package `pygraphviz` or as the program ``dot``; it only places boxes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from graphc.drawing.blocks import GAP, Block, Link, Result
from graphc.drawing.routing import curve_between, ends_of
from graphc.drawing.scene import Command
from graphc.errors import DrawingError

__all__ = ["TIME_LIMIT", "LateError", "import_pygraphviz", "place_dot", "place_pygraphviz"]

_CHILD_ABOVE = 120  # blocks; a crash of the C library must not take the user's Python along
TIME_LIMIT = 20.0  # seconds


class LateError(DrawingError):
    """Graphviz did not answer: too late, crashed, or not started. The layered layout can still serve."""


def import_pygraphviz() -> Any:
    """Return the package, or None where it is not installed."""
    try:
        import pygraphviz
    except ImportError:
        return None
    return pygraphviz


def _dot_source(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> str:
    """Write the blocks as fixed tables whose left cells are the entries."""
    from graphviz import Digraph

    graph = Digraph(
        "layout",
        graph_attr={
            "rankdir": "LR",
            "nodesep": f"{GAP / 72:.4f}",
            "ranksep": f"{channel / 72:.4f}",
        },
        node_attr={"shape": "plain", "margin": "0"},
        edge_attr={"arrowhead": "none"},
    )
    sources: list[str] = []
    for k, block in enumerate(blocks):
        # cells from edge to edge: entry i is the middle of cell i
        rows = _cell_heights(block)
        width, height = max(round(block.width), 1), max(round(block.height), 1)
        cells = "".join(
            f'<TR><TD PORT="e{i}" WIDTH="{width}" HEIGHT="{h}" FIXEDSIZE="TRUE"></TD></TR>' for i, h in enumerate(rows)
        )
        table = (
            f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" '
            f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{height}">{cells}</TABLE>>'
        )
        graph.node(f"b{k}", table)
        if block.first:
            sources.append(f"b{k}")
    if sources:
        first = Digraph(graph_attr={"rank": "same"})
        for name in sources:
            first.node(name)
        graph.subgraph(first)
    for link in links:
        entry = f":e{link.entry}:w" if blocks[link.head].entries else ":w"
        graph.edge(f"b{link.tail}:e", f"b{link.head}{entry}")
    return graph.source


def _cell_heights(block: Block) -> list[int]:
    if len(block.entries) <= 1:
        return [round(block.height)]
    edges = [0.0] + [(a + b) / 2 for a, b in zip(block.entries, block.entries[1:], strict=False)]
    whole = [round(e) for e in [*edges, block.height]]
    return [b - a for a, b in itertools.pairwise(whole)]


_CHILD = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.read())
sys.stdout.buffer.write(graph.draw(format="json0", prog="dot"))
"""


def place_pygraphviz(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> Result:
    """Place blocks by the package, in a child process where there are many.

    Raises
    ------
    LateError
        If the library failed or was ended at the time limit.
    DrawingError
        If the package is not installed.
    """
    pygraphviz = import_pygraphviz()
    if pygraphviz is None:
        raise DrawingError(
            "the layout engine 'pygraphviz' is not installed; run  pip install 'graphc[draw]'  or use engine='layered'"
        )
    source = _dot_source(blocks, links, channel)
    if len(blocks) > _CHILD_ABOVE:
        return _read_json(_run([sys.executable, "-c", _CHILD], source), blocks, links)
    try:
        graph = pygraphviz.AGraph(string=source)
        text = graph.draw(format="json0", prog="dot")
        graph.close()
    except (OSError, ValueError, RuntimeError) as problem:
        raise LateError(f"Graphviz stopped: {problem}") from problem
    return _read_json(text, blocks, links)


def place_dot(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> Result:
    """Place blocks by the program; raises like `place_pygraphviz`."""
    program = shutil.which("dot")
    if program is None:
        raise DrawingError("there is no program 'dot' on PATH; use engine='layered'")
    return _read_json(_run([program, "-Tjson0"], _dot_source(blocks, links, channel)), blocks, links)


def _run(command: list[str], source: str) -> bytes:
    """Output of a child process; it is killed at the time limit."""
    try:
        done = subprocess.run(
            command, input=source.encode(), capture_output=True, timeout=TIME_LIMIT, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise LateError(f"Graphviz made no layout within {TIME_LIMIT:.0f} s") from late
    except OSError as problem:
        raise LateError(f"Graphviz did not start: {problem}") from problem
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise LateError(f"Graphviz ended with status {done.returncode}: {reason[0][:200]}")
    return done.stdout


def _read_json(text: bytes | str, blocks: Sequence[Block], links: Sequence[Link]) -> Result:
    answer = json.loads(text)
    found = {item["name"]: item for item in answer.get("objects", [])}
    names = {item["_gvid"]: item["name"] for item in answer.get("objects", [])}
    corners: list[tuple[float, float]] = []
    for k, block in enumerate(blocks):
        x, y = (float(v) for v in found[f"b{k}"]["pos"].split(","))
        corners.append((x - block.width / 2, -y - block.height / 2))
    # edges come back in any order; parallel ones are told apart by their port
    splines: dict[tuple[str, str, str], list[str]] = {}
    for edge in answer.get("edges", []):
        key = (names[edge["tail"]], names[edge["head"]], edge.get("headport", ""))
        splines.setdefault(key, []).append(edge["pos"])
    wires: list[tuple[Command, ...]] = []
    for link in links:
        port = f"e{link.entry}:w" if blocks[link.head].entries else "w"
        spline = splines[f"b{link.tail}", f"b{link.head}", port].pop(0)
        points = [tuple(float(v) for v in pair.split(",")) for pair in spline.split(" ") if pair[0] not in "es"]
        wires.append(_snapped([(x, -y) for x, y in points], blocks, corners, link))
    return corners, wires


def _snapped(
    points: list[tuple[float, float]],
    blocks: Sequence[Block],
    corners: Sequence[tuple[float, float]],
    link: Link,
) -> tuple[Command, ...]:
    """Tie the ends of a spline to the exact exit and entry; near-straight ones become straight."""
    start, end = ends_of(blocks, corners, link)
    if max(abs(y - start[1]) for _, y in [*points, end]) < 1.5:
        middle = (start[0] + end[0]) / 2
        return curve_between(start, end) if start[1] != end[1] else (("M", *start), ("L", middle, end[1]), ("L", *end))
    lift = (start[1] - points[0][1], end[1] - points[-1][1])
    points = [
        start, (points[1][0], points[1][1] + lift[0]), *points[2:-2],
        (points[-2][0], points[-2][1] + lift[1]), end,
    ]  # fmt: skip
    commands: list[Command] = [("M", *points[0])]
    commands += [("C", *points[k], *points[k + 1], *points[k + 2]) for k in range(1, len(points) - 2, 3)]
    return tuple(commands)
