"""Curves over epochs as SVG text: panels one above the other, ticks at round numbers, no other package."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphc.errors import DataError
from graphc.files import replace_file

__all__ = ["curves", "round_ticks", "write"]

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 560.0, 240.0  # of one panel, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 66.0, 20.0, 34.0, 44.0  # around the axes
_STYLES = {"training": ("#1f4e8c", ""), "validation": ("#b8560f", "6 4")}  # blue whole, orange dashed


def round_ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Return about ``count`` round numbers (1, 2 or 5 times a power of ten) within ``[low, high]``."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _limits(curves: Mapping[str, Points]) -> tuple[float, float]:
    values = [y for points in curves.values() for _, y in points if math.isfinite(y)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if low >= 0 and low < 0.4 * high:
        low = 0.0  # a loss on its way to zero is read against zero
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return (low if low == 0 else low - margin), high + margin


def curves(panels: Mapping[str, Mapping[str, Points]]) -> str:
    """Write panels of curves as SVG.

    Parameters
    ----------
    panels : mapping
        Title of the vertical axis -> name of the curve -> points (epoch, value).

    Returns
    -------
    str
        An SVG document.
    """
    epochs = [x for panel in panels.values() for points in panel.values() for x, _ in points]
    height = _HEIGHT * max(len(panels), 1)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:g}" height="{height:g}" '
            f'viewBox="0 0 {_WIDTH:g} {height:g}" font-family="Helvetica, Arial, sans-serif" font-size="12">'
        ),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    first, last = (min(epochs), max(epochs)) if epochs else (0.0, 1.0)
    if first == last:
        first, last = first - 0.5, last + 0.5
    for row, (title, panel) in enumerate(panels.items()):
        parts += _panel(title, panel, first, last, row * _HEIGHT)
    parts.append("</svg>\n")
    return "\n".join(parts)


def _panel(title: str, panel: Mapping[str, Points], first: float, last: float, top: float) -> list[str]:
    low, high = _limits(panel)
    left, right = _LEFT, _WIDTH - _RIGHT
    above, below = top + _TOP, top + _HEIGHT - _BOTTOM

    def across(x: float) -> float:
        return left + (x - first) / (last - first) * (right - left)

    def down(y: float) -> float:
        return below - (y - low) / (high - low) * (below - above)

    parts = []
    ticks = round_ticks(low, high)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 2
    for tick in ticks:
        y = _number(down(tick))
        parts.append(f'<path d="M{left:g} {y}H{right:g}" stroke="#d9d9d9"/>')
        parts.append(
            f'<text x="{left - 8:g}" y="{_number(down(tick) + 4)}" text-anchor="end" fill="#404040">'
            f"{tick:.{digits}f}</text>"
        )
    across_ticks = round_ticks(first, last, 8, whole=True)
    if len(across_ticks) > 1 and across_ticks[0] - first >= 0.5 * (across_ticks[1] - across_ticks[0]):
        across_ticks.insert(0, first)  # the first epoch is where the curves begin
    for tick in across_ticks:
        x = _number(across(tick))
        parts.append(f'<path d="M{x} {below:g}v5" stroke="#404040"/>')
        parts.append(f'<text x="{x}" y="{below + 18:g}" text-anchor="middle" fill="#404040">{tick:g}</text>')
    parts.append(f'<path d="M{left:g} {above:g}V{below:g}H{right:g}" fill="none" stroke="#404040"/>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle:g}" y="{below + 36:g}" text-anchor="middle" fill="#202020">epoch</text>')
    label = html.escape(title)
    centre = (above + below) / 2
    parts.append(
        f'<text transform="translate(16 {centre:g}) rotate(-90)" text-anchor="middle" fill="#202020">{label}</text>'
    )
    for number, (name, points) in enumerate(panel.items()):
        colour, dashes = _STYLES.get(name, ("#404040", "2 3"))
        pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
        known = [(across(x), down(y)) for x, y in points if math.isfinite(y)]
        line = " ".join(f"{_number(x)},{_number(y)}" for x, y in known)
        if len(known) > 1:
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{pattern}/>')
        parts += [f'<circle cx="{_number(x)}" cy="{_number(y)}" r="2.5" fill="{colour}"/>' for x, y in known]
        # the legend stands above the axes, where no curve can run through it
        x = right - 100.0 * (len(panel) - number)
        y = above - 14
        parts.append(f'<path d="M{x:g} {y:g}h22" fill="none" stroke="{colour}" stroke-width="2"{pattern}/>')
        parts.append(f'<text x="{x + 28:g}" y="{y + 4:g}" fill="#202020">{html.escape(name)}</text>')
    return parts


def write(path: Any, text: str) -> Path:
    """Write SVG text whole or not at all.

    Raises
    ------
    DataError
        If the name does not end in ``.svg`` or the file cannot be written.
    """
    try:
        target = Path(os.fspath(path))
    except TypeError:
        raise DataError(f"a path is a text or a pathlib.Path, found {type(path).__name__}") from None
    if target.suffix.lower() != ".svg":
        raise DataError(f"a history is plotted as .svg, found {str(target)!r}; try {target.stem}.svg")
    try:
        replace_file(target, text.encode())
    except (OSError, ValueError) as problem:
        raise DataError(f"cannot write {str(target)!r}: {problem}") from problem
    return target
