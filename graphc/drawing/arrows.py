"""Wires that end in an arrow."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.drawing.scene import Command, Group, Path, numbers_of
from graphc.drawing.theme import Theme

__all__ = ["arrowed"]


def arrowed(commands: Sequence[Command], theme: Theme, id: str, width: float = 1.2, head: float = 6.5) -> Group:
    """Return a wire with an arrow of length ``head`` at its end; without one where that is 0."""
    wire = Path(tuple(commands), stroke=theme.wire, width=width)
    if not head:
        return Group((wire,), id=id, classes="link")
    (x0, y0), (x, y) = _last_two(commands)
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    ux, uy, half = (x - x0) / length, (y - y0) / length, head * 0.49
    tip = Path(
        (
            ("M", x, y),
            ("L", x - head * ux - half * uy, y - head * uy + half * ux),
            ("L", x - head * ux + half * uy, y - head * uy - half * ux),
            ("Z",),
        ),
        fill=theme.wire,
    )
    return Group((wire, tip), id=id, classes="link")


def _last_two(commands: Sequence[Command]) -> tuple[tuple[float, float], tuple[float, float]]:
    points = [p for c in commands for p in zip(numbers_of(c)[::2], numbers_of(c)[1::2], strict=True)]
    end = points[-1]
    before = next((p for p in reversed(points[:-1]) if p != end), end)
    return before, end
