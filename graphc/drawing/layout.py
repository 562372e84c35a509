"""Places blocks and routes the wires between them; what a block looks like is not known here.

The layered layout below needs nothing and is the default: its wires are straight where they can be, and
the picture is the same on every machine. Graphviz can be asked for by name, as the package `pygraphviz`
(inside the process, or in a child process for large graphs) or as the program ``dot``. Measured on
random graphs of 600 blocks, it needs more than 20 s, the layered layout 2 s.
All engines keep blocks apart and lead wires around them.

Source: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures"
(1981), for the layers and the barycentre order; vertical positions are isotonic regressions
(pool adjacent violators) in the absolute distance.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from graphc.drawing.scene import Command, numbers_of
from graphc.errors import DrawingError

__all__ = ["ENGINES", "GAP", "Block", "Link", "Placement", "engine_available", "place"]

#: The layout engines; the first is the default.
ENGINES = ("layered", "pygraphviz", "dot")

_CHILD_ABOVE = 300  # blocks; a crash of the C library must not take the user's Python along
_TIME_LIMIT = 20.0  # seconds
GAP = 8.0  # points between blocks of one layer


@dataclass(frozen=True, slots=True)
class Block:
    """A box to place: its size, the heights of its entries (left) and of its exit (right)."""

    width: float
    height: float
    entries: tuple[float, ...] = ()
    exit: float = 0.0
    first: bool = False  # stands in the first layer, not just before its first reader


@dataclass(frozen=True, slots=True)
class Link:
    """A wire from the exit of one block to an entry of another."""

    tail: int
    head: int
    entry: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Top left corner of each block, outline of each wire, and which engine did it."""

    corners: tuple[tuple[float, float], ...]
    wires: tuple[tuple[Command, ...], ...]
    width: float
    height: float
    engine: str


def engine_available(engine: str) -> bool:
    """Say whether a layout engine can be used on this machine."""
    if engine == "pygraphviz":
        return _import_pygraphviz() is not None
    return engine == "layered" or (engine == "dot" and shutil.which("dot") is not None)


def place(
    blocks: Sequence[Block],
    links: Sequence[Link],
    engine: str | None = None,
    channel: float = 18.0,
) -> Placement:
    """Place blocks from left to right along the links.

    Parameters
    ----------
    engine : str, optional
        One of `ENGINES`.
    channel : float
        Least distance between two layers, in points.

    Raises
    ------
    DrawingError
        If the engine is unknown or cannot serve on this machine or in time.
    """
    name = ENGINES[0] if engine is None else engine
    if name not in ENGINES:
        raise DrawingError(f"no layout engine is called {name!r}; known: {', '.join(ENGINES)}")
    if not blocks:
        return Placement((), (), 0.0, 0.0, name)
    corners, wires = _PLACERS[name](blocks, links, channel)
    return _framed(blocks, corners, wires, name)


def _framed(
    blocks: Sequence[Block],
    corners: Sequence[tuple[float, float]],
    wires: Sequence[tuple[Command, ...]],
    engine: str,
) -> Placement:
    """Move everything so that the picture starts at the origin."""
    xs = [x for x, _ in corners] + [v for w in wires for c in w for v in numbers_of(c)[::2]]
    ys = [y for _, y in corners] + [v for w in wires for c in w for v in numbers_of(c)[1::2]]
    left, top = min(xs, default=0.0), min(ys, default=0.0)
    right = max([x + b.width for (x, _), b in zip(corners, blocks, strict=True)] + xs, default=0.0)
    bottom = max([y + b.height for (_, y), b in zip(corners, blocks, strict=True)] + ys, default=0.0)
    shift = (left, top, left, top, left, top)
    moved = tuple(
        tuple((c[0], *(round(v - s, 3) for v, s in zip(numbers_of(c), shift, strict=False))) for c in wire)
        for wire in wires
    )
    placed = tuple((round(x - left, 3), round(y - top, 3)) for x, y in corners)
    return Placement(placed, moved, right - left, bottom - top, engine)


_Result = tuple[Sequence[tuple[float, float]], Sequence[tuple[Command, ...]]]


# ---------------------------------------------------------------- Graphviz


def _import_pygraphviz() -> Any:
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


def _place_pygraphviz(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> _Result:
    pygraphviz = _import_pygraphviz()
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
        raise DrawingError(f"Graphviz stopped: {problem}; use engine='layered'") from problem
    return _read_json(text, blocks, links)


def _place_dot(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> _Result:
    program = shutil.which("dot")
    if program is None:
        raise DrawingError("there is no program 'dot' on PATH; use engine='layered'")
    return _read_json(_run([program, "-Tjson0"], _dot_source(blocks, links, channel)), blocks, links)


def _run(command: list[str], source: str) -> bytes:
    try:
        done = subprocess.run(
            command, input=source.encode(), capture_output=True, timeout=_TIME_LIMIT, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise DrawingError(f"Graphviz made no layout within {_TIME_LIMIT:.0f} s; use engine='layered'") from late
    except OSError as problem:
        raise DrawingError(f"Graphviz did not start: {problem}") from problem
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise DrawingError(f"Graphviz ended with status {done.returncode}: {reason[0][:200]}; use engine='layered'")
    return done.stdout


def _read_json(text: bytes | str, blocks: Sequence[Block], links: Sequence[Link]) -> _Result:
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
    start, end = _ends(blocks, corners, link)
    if max(abs(y - start[1]) for _, y in [*points, end]) < 1.5:
        middle = (start[0] + end[0]) / 2
        return _joined(start, end) if start[1] != end[1] else (("M", *start), ("L", middle, end[1]), ("L", *end))
    lift = (start[1] - points[0][1], end[1] - points[-1][1])
    points = [
        start, (points[1][0], points[1][1] + lift[0]), *points[2:-2],
        (points[-2][0], points[-2][1] + lift[1]), end,
    ]  # fmt: skip
    commands: list[Command] = [("M", *points[0])]
    commands += [("C", *points[k], *points[k + 1], *points[k + 2]) for k in range(1, len(points) - 2, 3)]
    return tuple(commands)


def _ends(
    blocks: Sequence[Block], corners: Sequence[tuple[float, float]], link: Link
) -> tuple[tuple[float, float], tuple[float, float]]:
    tail, head = blocks[link.tail], blocks[link.head]
    (x1, y1), (x2, y2) = corners[link.tail], corners[link.head]
    entry = head.entries[link.entry] if head.entries else head.height / 2
    return (x1 + tail.width, y1 + tail.exit), (x2, y2 + entry)


def _joined(start: tuple[float, float], end: tuple[float, float]) -> tuple[Command, ...]:
    """Join two points by an S-curve that leaves and arrives level."""
    if abs(start[1] - end[1]) < 0.05:
        return (("M", *start), ("L", *end))
    middle = (start[0] + end[0]) / 2
    return (("M", *start), ("C", middle, start[1], middle, end[1], *end))


# ---------------------------------------------------------------- the layered layout


@dataclass(slots=True)
class _Cell:
    """A block or a place where a long wire passes through a layer."""

    block: int  # -1 for a passing wire
    layer: int
    height: float
    top: float = 0.0
    before: list[tuple[int, float, float]] | None = None  # (cell, its exit, own entry)
    after: list[tuple[int, float, float]] | None = None  # (cell, its entry, own exit)


def _layers(blocks: Sequence[Block], links: Sequence[Link]) -> list[int]:
    """Longest path from the inputs; an input not bound to the first layer stands by its reader."""
    heads: list[list[int]] = [[] for _ in blocks]
    waiting = [0] * len(blocks)
    for link in links:
        heads[link.tail].append(link.head)
        waiting[link.head] += 1
    layer = [0] * len(blocks)
    ready = [k for k, count in enumerate(waiting) if count == 0]
    while ready:
        k = ready.pop()
        for head in heads[k]:
            layer[head] = max(layer[head], layer[k] + 1)
            waiting[head] -= 1
            if waiting[head] == 0:
                ready.append(head)
    _late(blocks, links, heads, layer)
    return layer


def _late(blocks: Sequence[Block], links: Sequence[Link], heads: list[list[int]], layer: list[int]) -> None:
    """Move blocks towards their readers where that shortens the wires."""
    tails: list[set[int]] = [set() for _ in blocks]
    for link in links:
        tails[link.head].add(link.tail)
    free = [not tails[k] and not block.first for k, block in enumerate(blocks)]
    for _ in range(2):
        for k in sorted(range(len(blocks)), key=lambda k: (-layer[k], k)):
            if not heads[k] or (blocks[k].first and not tails[k]):
                continue
            latest = min(layer[head] for head in heads[k]) - 1
            gain = latest - layer[k]
            for tail in tails[k]:
                if not free[tail]:  # a free input comes along
                    others = [layer[head] for head in heads[tail] if head != k]
                    gain -= max(0, latest - max([layer[k], *others]))
            if gain > 0 or free[k]:
                layer[k] = latest


def _place_layered(blocks: Sequence[Block], links: Sequence[Link], channel: float) -> _Result:
    if not blocks:
        return [], []
    layer = _layers(blocks, links)
    cells = [_Cell(k, layer[k], block.height, before=[], after=[]) for k, block in enumerate(blocks)]
    # one chain of passing places per tail: the wires of a fan-out share their way
    routes: list[list[int]] = []
    chains: dict[int, list[int]] = {}
    joined: set[tuple[int, int, float]] = set()
    for link in links:
        chain = chains.setdefault(link.tail, [])
        needed = layer[link.head] - layer[link.tail] - 1
        while len(chain) < needed:
            cells.append(_Cell(-1, layer[link.tail] + len(chain) + 1, 10.0, before=[], after=[]))
            chain.append(len(cells) - 1)
        route = [link.tail, *chain[:needed], link.head]
        routes.append(route)
        for a, b in itertools.pairwise(route):
            exit_ = blocks[a].exit if cells[a].block >= 0 else 5.0
            entry = 5.0
            if cells[b].block >= 0:
                head = blocks[b]
                entry = head.entries[link.entry] if head.entries else head.height / 2
            if (a, b, entry) not in joined:
                joined.add((a, b, entry))
                _list(cells[b].before).append((a, exit_, entry))
                _list(cells[a].after).append((b, entry, exit_))
    rows: list[list[int]] = [[] for _ in range(max(c.layer for c in cells) + 1)]
    for k, cell in enumerate(cells):
        rows[cell.layer].append(k)
    _order(cells, rows)
    _level(cells, rows)
    return _drawn(blocks, links, cells, rows, routes, channel)


def _list(items: list[Any] | None) -> list[Any]:
    return items if items is not None else []


def _order(cells: list[_Cell], rows: list[list[int]]) -> None:
    """Order each layer by barycentres of its neighbours; keep the order with fewest crossings."""
    position = [0.0] * len(cells)

    def spread() -> None:
        for row in rows:
            for rank, k in enumerate(row):
                position[k] = rank

    spread()
    best, fewest = [list(row) for row in rows], _crossings(cells, rows, position)
    for sweep in range(12):
        if not fewest:
            break
        down = sweep % 2 == 0
        for row in rows[1:] if down else rows[-2::-1]:
            keys: dict[int, float] = {}
            for k in row:
                near = _list(cells[k].before if down else cells[k].after)
                # the height at which the neighbour is met breaks ties between its entries
                weights = [position[n] + height / 1e4 for n, height, _ in near]
                keys[k] = sum(weights) / len(weights) if weights else position[k]
            row.sort(key=lambda k: keys[k])
            for rank, k in enumerate(row):
                position[k] = rank
        count = _crossings(cells, rows, position)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best
    _exchange(cells, rows)


def _exchange(cells: list[_Cell], rows: list[list[int]]) -> None:
    """Swap neighbours of a layer as long as that removes crossings."""
    position = {k: float(rank) for row in rows for rank, k in enumerate(row)}
    ends: list[tuple[list[float], list[float]]] = [([], []) for _ in cells]

    def meet(row: list[int]) -> None:
        for k in row:
            ends[k] = (
                [position[n] + height / 1e4 for n, height, _ in _list(cells[k].before)],
                [position[n] + height / 1e4 for n, height, _ in _list(cells[k].after)],
            )

    for _ in range(6):
        swapped = False
        for row in rows:
            meet(row)
            for rank in range(len(row) - 1):
                a, b = row[rank], row[rank + 1]
                now = turned = 0
                for side in (0, 1):
                    for x in ends[a][side]:
                        now += sum(1 for y in ends[b][side] if y < x)
                        turned += sum(1 for y in ends[b][side] if y > x)
                if turned < now:
                    row[rank], row[rank + 1] = b, a
                    position[a], position[b] = position[b], position[a]
                    swapped = True
        if not swapped:
            break


def _crossings(cells: list[_Cell], rows: list[list[int]], position: list[float]) -> int:
    """Count the pairs of wires that cross between neighbouring layers."""
    total = 0
    for row in rows:
        pairs = sorted((position[k], position[n] + entry / 1e4) for k in row for n, entry, _ in _list(cells[k].after))
        seen: list[float] = []
        for _, end in pairs:
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


def _level(cells: list[_Cell], rows: list[list[int]]) -> None:
    """Choose heights so that wires run straight where they can."""
    for row in rows:
        top = 0.0
        for k in row:
            cells[k].top = top
            top += cells[k].height + GAP
    last = 24
    for sweep in range(last):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            wanted: list[float] = []
            weights: list[float] = []
            for k in row:
                cell = cells[k]
                if sweep >= last - 6:
                    near = _list(cell.before) + _list(cell.after)
                else:
                    near = _list(cell.before if down else cell.after) or (
                        _list(cell.after if down else cell.before) if sweep > 1 else []
                    )
                wishes = sorted((cells[n].top + height - own, _pull(cell, cells[n])) for n, height, own in near)
                weight = sum(w for _, w in wishes)
                wanted.append(_median(wishes) if wishes else cell.top)
                weights.append(weight or 0.01)
            for k, top in zip(row, _spaced(wanted, weights, [cells[k].height for k in row]), strict=True):
                cells[k].top = top
    _straighten(cells, rows)


def _pull(cell: _Cell, other: _Cell) -> float:
    """How much two neighbours want to be level: the main line most, inputs and by-passes less."""
    if cell.block < 0 and other.block < 0:
        return 4.0
    if cell.block < 0 or other.block < 0:
        return 0.6
    return 1.0 if cell.before and other.before else 0.4


def _spaced(wanted: list[float], weights: list[float], heights: list[float]) -> list[float]:
    """Tops nearest to the wanted ones (least absolute distance) that keep the order and the gaps.

    Least distance rather than least squares: one far wish does not bend the wires of a whole stack.
    """
    offsets = [0.0]
    for height in heights[:-1]:
        offsets.append(offsets[-1] + height + GAP)
    pools: list[tuple[float, list[tuple[float, float]]]] = []  # median, its (wish, weight) pairs
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        pools.append((want - offset, [(want - offset, weight)]))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            wishes = sorted(pools.pop()[1] + pools.pop()[1])
            pools.append((_median(wishes), wishes))
    medians = [median for median, wishes in pools for _ in wishes]
    return [median + offset for median, offset in zip(medians, offsets, strict=True)]


def _median(wishes: list[tuple[float, float]]) -> float:
    """Middle of the weighted median interval of sorted wishes."""
    half = sum(weight for _, weight in wishes) / 2
    total = 0.0
    for k, (wish, weight) in enumerate(wishes):
        total += weight
        if total > half + 1e-9:
            return wish
        if total > half - 1e-9 and k + 1 < len(wishes):
            return (wish + wishes[k + 1][0]) / 2
    return wishes[-1][0]


def _straighten(cells: list[_Cell], rows: list[list[int]]) -> None:
    """Move cells and whole passing wires, within their room, to where fewer wires bend."""
    rank = {k: (row, number) for row in rows for number, k in enumerate(row)}

    def bends(group: list[int], top: float | None) -> float:
        """Cost of the wires at a group of cells; the wires inside the group are level by themselves."""
        total = 0.0
        for k in group:
            cell = cells[k]
            own_top = cell.top if top is None else top
            for n, height, own in _list(cell.before) + _list(cell.after):
                if top is None or n not in group:
                    drop = abs(cells[n].top + height - own - own_top)
                    total += _pull(cell, cells[n]) * (drop + 12.0 * (drop > 0.05))
        return total

    def fits(k: int, top: float) -> bool:
        row, number = rank[k]
        if number and cells[row[number - 1]].top + cells[row[number - 1]].height + GAP > top + 1e-6:
            return False
        last = number + 1 == len(row)
        return last or top + cells[k].height + GAP <= cells[row[number + 1]].top + 1e-6

    groups = [[k] for row in rows for k in row] + _passing(cells)
    for _ in range(3):
        for group in groups:
            best = bends(group, None)
            # an equal cost moves a bend onwards, to a place where it may vanish
            wishes = [cells[n].top + height - own for n, height, own in _list(cells[group[0]].before)]
            if len(group) > 1:
                wishes += [cells[n].top + h - own for n, h, own in _list(cells[group[-1]].after)]
            for top in wishes:
                if all(fits(k, top) for k in group) and bends(group, top) <= best + 1e-6:
                    best = bends(group, top)
                    for k in group:
                        cells[k].top = top


def _passing(cells: list[_Cell]) -> list[list[int]]:
    """Chains of two and more places where one wire passes through layers."""
    chains: list[list[int]] = []
    for k, cell in enumerate(cells):
        if cell.block >= 0 or any(cells[n].block < 0 for n, _, _ in _list(cell.before)):
            continue
        chain = [k]
        while True:
            following = [n for n, _, _ in _list(cells[chain[-1]].after) if cells[n].block < 0]
            if not following:
                break
            chain.append(following[0])
        if len(chain) > 1:
            chains.append(chain)
    return chains


def _drawn(
    blocks: Sequence[Block],
    links: Sequence[Link],
    cells: list[_Cell],
    rows: list[list[int]],
    routes: list[list[int]],
    channel: float,
) -> _Result:
    widths = [max((blocks[k].width for k in row if cells[k].block >= 0), default=10.0) for row in rows]
    lefts = [0.0]
    for number, row in enumerate(rows[:-1]):
        drops = [abs(cells[k].top + own - cells[n].top - entry) for k in row for n, entry, own in _list(cells[k].after)]
        steep = 0.22 * max(drops, default=0.0)
        lefts.append(lefts[-1] + widths[number] + min(max(channel, steep), 90.0))
    corners = [(lefts[cells[k].layer], cells[k].top) for k in range(len(blocks))]
    wires: list[tuple[Command, ...]] = []
    for link, route in zip(links, routes, strict=True):
        start, end = _ends(blocks, corners, link)
        here = start
        commands: list[Command] = [("M", *start)]
        for a, b in itertools.pairwise(route):
            edge = lefts[cells[a].layer] + widths[cells[a].layer]
            there = end if b == route[-1] else (lefts[cells[b].layer], cells[b].top + 5.0)
            if edge > here[0] + 0.05:
                here = (edge, here[1])
                commands.append(("L", *here))
            commands += _joined(here, there)[1:]
            here = there
        wires.append(tuple(commands))
    return corners, wires


_Placer = Callable[[Sequence[Block], Sequence[Link], float], _Result]
_PLACERS: Mapping[str, _Placer] = MappingProxyType(
    {"pygraphviz": _place_pygraphviz, "dot": _place_dot, "layered": _place_layered}
)
