"""The architecture of a deep network on one page: a block that repeats is drawn once, with the number of times.

Skip links and branches are drawn; all text is at least 7 points high on the page. What repeats is found by structure:
the same gates, shapes and links one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphc.drawing.fonts import printable, text_label, text_width
from graphc.drawing.network_layout import ROW, TEXT, NetworkLayout, Piece, drawn_units, numbered_wires
from graphc.drawing.network_steps import Chain, Repeat, Unit, read_chain
from graphc.drawing.paper import page_size
from graphc.drawing.scene import Item, Scene, moved, scaled
from graphc.drawing.sheet import Sheet
from graphc.drawing.theme import Theme
from graphc.errors import DrawingError
from graphc.graph.node import Node

__all__ = ["architecture_drawing"]

_SMALLEST = 7.0  # points; what is smaller cannot be read on paper
_LEAST = _SMALLEST / TEXT
_MARGIN, _HEAD, _FOOT = 22.0, 34.0, 24.0
_WIDTHS = (
    0.6,
    0.7,
    0.8,
    0.88,
    0.96,
    1.04,
    1.12,
    1.2,
    1.3,
    1.45,
    1.7,
    2.1,
    2.6,
)  # of rows, as shares of what fits the page
_WELL = 1.15  # scale above which larger letters count no more
_LARGEST = 1.5  # scale of a small network
_MANY = 150  # boxes of which there is no room to say much


def architecture_drawing(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given it
    run: Any,  # noqa: ARG001 - every style is given it
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,  # noqa: ARG001 - every style is given it
    engine: str | None = None,
    page: Any = "a4-landscape",
    title: str | None = None,
) -> Sheet:
    """Draw the architecture of a network on one landscape page, repeated blocks once.

    Parameters
    ----------
    page : str or (float, float), default ``"a4-landscape"``
        As in `graphc.draw`, ``"slide"`` for example. A network that would need text of less than 7 points gets a
        larger page of the same form.
    title : str, optional
        Heading of the page.

    Returns
    -------
    Sheet

    Raises
    ------
    DrawingError
        If there is no such page.

    Source
    ------
    He et al., CVPR (2016), figure 3 and table 1, for what such a figure says
    """
    if direction != "LR":
        raise DrawingError("an architecture runs from left to right in rows; direction='TB' is for style='cards'")
    size = page_size(page)
    units, chain, parameters = read_chain(root)
    drawn = drawn_units(step for part in chain.parts for step in part.steps)
    layers = sum(1 for unit in units if unit.parameters)
    said = f"{layers} layers with weights, {parameters:,} parameters; {len(drawn)} of {len(units)} boxes are drawn"
    if _repeats(chain):
        said += ": a block that comes several times in a row, with the same gates and shapes, is drawn once"
    heading = printable(title or f"Network of {layers} layers with weights", 80)
    best: tuple[float, Piece] | None = None
    for level in (0, 1, 2) if len(drawn) <= _MANY else (2,):
        found = _fitted(units, chain, theme, engine, level, size)
        if best is None or found[0] > best[0]:
            best = found
        if best[0] >= (1.0 if level == 0 else _LEAST):
            break
    assert best is not None
    scale, piece = best
    enlarged = max(1.0, _LEAST / scale)
    width, height = (round(v * enlarged, 2) for v in size)
    scale = min(max(scale, _LEAST), _LARGEST)
    left = (width - piece.width * scale) / 2
    top = _HEAD + (height - _HEAD - _FOOT - piece.height * scale) / 2
    room = width - 2 * _MARGIN
    heading = printable(heading, max(12, int(room / 8.5)))
    items: list[Item] = [*text_label(heading, 14.0, theme.ink, bold=True).at(_MARGIN, 26.0)]
    for number, line in enumerate(reversed(_wrapped(said, 8.5, room))):
        items += text_label(line, 8.5, theme.quiet).at(_MARGIN, round(height - 10.0 - 11.0 * number, 2))
    items += [moved(scaled(item, scale), left, top) for item in numbered_wires(piece.items)]
    scene = Scene(
        width, height, tuple(items), heading, " ".join([f"{said}.", *_words(chain, units)]), paper=theme.paper
    )  # fmt: skip
    text = "\n".join([scene.title, "", *_outline(chain, units, 0), "", f"{parameters:,} parameters"]) + "\n"
    return Sheet(scene, text)


# ---- what is drawn, as words ---------------------------------------------------------------------------


def _wrapped(text: str, size: float, width: float) -> list[str]:
    """Break a text into lines of at most a width."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _repeats(chain: Chain) -> list[Repeat]:
    found: list[Repeat] = []
    for part in chain.parts:
        found += [part] if part.times > 1 else []
        for step in part.steps:
            found += [repeat for inner in step.inner for repeat in _repeats(inner)]
    return found


def _outline(chain: Chain, units: Sequence[Unit], depth: int) -> list[str]:
    """Write the chain as indented lines."""
    lines: list[str] = []
    for part in chain.parts:
        inside = depth + (part.times > 1)
        if part.times > 1:
            lines.append("  " * depth + f"{part.times} times:")
        for step in part.steps:
            if step.inner:
                lines.append("  " * inside + "side by side:")
            for number, inner in enumerate(step.inner, 1):
                lines.append("  " * (inside + 1) + f"branch {number}")
                lines += _outline(inner, units, inside + 2)
            if (-1, step.end) in step.links and step.inner:
                lines.append("  " * (inside + 1) + "skip link")
            for k in (*step.leaves, step.end):
                unit = units[k]
                said = [unit.name, unit.title, unit.extras, unit.shape]
                said += [f"{unit.parameters:,} parameters"] if unit.parameters else []
                lines.append("  " * inside + " | ".join(filter(None, said)))
    return lines


def _words(chain: Chain, units: Sequence[Unit]) -> list[str]:
    return [f"{line.strip()}." for line in _outline(chain, units, 0)[:160]]


# ---- on the page ---------------------------------------------------------------------------------------


def _fitted(
    units: Sequence[Unit], chain: Chain, theme: Theme, engine: str | None, level: int, size: tuple[float, float]
) -> tuple[float, Piece]:
    """Return the piece, of several widths, that can be scaled up most, and its scale."""
    best: tuple[tuple[float, float], float, Piece] | None = None
    room = size[0] - 2 * _MARGIN, size[1] - _HEAD - _FOOT - 16.0
    seen: set[tuple[float, float]] = set()
    unbroken = NetworkLayout(units, theme, engine, level)
    row = unbroken.chain(chain, whole=True)
    ideal = math.sqrt(row.width * (row.height + ROW) * room[0] / room[1])
    for share in _WIDTHS:
        piece = NetworkLayout(units, theme, engine, level, ideal * share, unbroken).chain(chain, whole=True)
        if (piece.width, piece.height) in seen:
            continue
        seen.add((piece.width, piece.height))
        scale = min(room[0] / piece.width, room[1] / piece.height)
        # what can be read well is set in few rows
        rank = (round(min(scale, _WELL), 6), piece.width)
        if best is None or rank > best[0]:
            best = rank, scale, piece
    assert best is not None
    return best[1], best[2]
