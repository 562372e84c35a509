"""Places blocks and routes the wires between them; what a block looks like is not known here.

The layered layout needs nothing and is the default: its wires are straight where they can be, and
the picture is the same on every machine. Graphviz can be asked for by name, as the package `pygraphviz`
(inside the process, or in a child process for large graphs) or as the program ``dot``. Where it does not
answer in time, the layered layout serves and a note says so.
All engines keep blocks apart and lead wires around them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from graphc.drawing.blocks import GAP, Block, Link, Placement, Result
from graphc.drawing.engines import LateError, import_pygraphviz, place_dot, place_pygraphviz
from graphc.drawing.layered import place_layered
from graphc.drawing.scene import Command, numbers_of
from graphc.errors import DrawingError, did_you_mean

__all__ = ["ENGINES", "GAP", "Block", "Link", "Placement", "engine_available", "place"]

#: The layout engines; the first is the default.
ENGINES = ("layered", "pygraphviz", "dot")


def engine_available(engine: str) -> bool:
    """Say whether a layout engine can be used on this machine."""
    if engine == "pygraphviz":
        return import_pygraphviz() is not None
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

    Returns
    -------
    Placement
        Its ``note`` says where another engine served than the one asked for.

    Raises
    ------
    DrawingError
        If the engine is unknown or cannot serve on this machine.
    """
    name = ENGINES[0] if engine is None else engine
    if name not in ENGINES:
        hint = did_you_mean(str(name), ENGINES)
        raise DrawingError(f"no layout engine is called {name!r}; known: {', '.join(ENGINES)}{hint}")
    if not blocks:
        return Placement((), (), 0.0, 0.0, name)
    try:
        corners, wires = _PLACERS[name](blocks, links, channel)
    except LateError as late:
        corners, wires = place_layered(blocks, links, channel)
        return _framed(blocks, corners, wires, "layered", f"{late}; placed by the layered layout")
    return _framed(blocks, corners, wires, name)


def _framed(
    blocks: Sequence[Block],
    corners: Sequence[tuple[float, float]],
    wires: Sequence[tuple[Command, ...]],
    engine: str,
    note: str = "",
) -> Placement:
    """Move everything so that the picture starts at the origin."""
    xs = [v for wire in wires for command in wire for v in numbers_of(command)[::2]]
    ys = [v for wire in wires for command in wire for v in numbers_of(command)[1::2]]
    left = min([x for x, _ in corners] + xs)
    top = min([y for _, y in corners] + ys)
    right = max([x + b.width for (x, _), b in zip(corners, blocks, strict=True)] + xs)
    bottom = max([y + b.height for (_, y), b in zip(corners, blocks, strict=True)] + ys)
    moved = tuple(tuple(_shifted(command, left, top) for command in wire) for wire in wires)
    placed = tuple((round(x - left, 3), round(y - top, 3)) for x, y in corners)
    return Placement(placed, moved, right - left, bottom - top, engine, note)


def _shifted(command: Command, left: float, top: float) -> Command:
    numbers = numbers_of(command)
    return (command[0], *(round(v - (top if k % 2 else left), 3) for k, v in enumerate(numbers)))


_Placer = Callable[[Sequence[Block], Sequence[Link], float], Result]
_PLACERS: Mapping[str, _Placer] = MappingProxyType(
    {"pygraphviz": place_pygraphviz, "dot": place_dot, "layered": place_layered}
)
