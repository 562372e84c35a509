"""Rasterises a scene with matplotlib: the same outlines and text places as in SVG and PDF."""

from __future__ import annotations

import warnings
from functools import lru_cache
from io import BytesIO
from typing import Any

from graphc.drawing.scene import Group, Item, Path, Scene, Text, numbers_of, visible
from graphc.errors import DrawingError

__all__ = ["png_bytes"]

_FAMILIES = ("Helvetica", "Arial", "Liberation Sans", "Nimbus Sans", "DejaVu Sans")
_WIDEST = 16000  # pixels


def png_bytes(scene: Scene, frame: int | None = None, dots_per_inch: float = 200.0) -> bytes:
    """Rasterise a scene, or one frame of it.

    Raises
    ------
    DrawingError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise DrawingError(
            "a PNG needs matplotlib, which is not installed; run  pip install 'graphc[draw]'  "
            "or write .svg or .pdf, which need nothing"
        ) from missing
    longest = max(scene.width, scene.height) / 72
    dots = min(dots_per_inch, _WIDEST / longest)
    figure = Figure(figsize=(scene.width / 72, scene.height / 72), dpi=dots, facecolor=f"#{scene.paper}")
    FigureCanvasAgg(figure)
    order = 0
    for item in visible(scene.items, frame):
        order = _add(item, figure, scene.height, order)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=dots, metadata={"Software": None, "Title": scene.title[:70]})
    return out.getvalue()


def _add(item: Item, figure: Any, height: float, order: int) -> int:
    from matplotlib.patches import PathPatch
    from matplotlib.transforms import Affine2D

    if isinstance(item, Group):
        for child in item.items:
            order = _add(child, figure, height, order)
        return order
    # scene points (y down) to figure pixels (y up)
    to_pixels = Affine2D().scale(1, -1).translate(0, height).scale(1 / 72) + figure.dpi_scale_trans
    if isinstance(item, Text):
        if not item.text.strip():
            return order  # nothing to outline
        outline = _text_outline(item)
        patch = PathPatch(outline, facecolor=f"#{item.colour}", edgecolor="none", transform=to_pixels)
    else:
        patch = PathPatch(
            _outline(item),
            facecolor=f"#{item.fill}" if item.fill else "none",
            edgecolor=f"#{item.stroke}" if item.stroke else "none",
            linewidth=item.width if item.stroke else 0,
            linestyle=(0, tuple(d / item.width for d in item.dash)) if item.dash else "-",
            capstyle="round",
            joinstyle="round",
            transform=to_pixels,
        )
    patch.set_zorder(order)
    patch.set_snap(False)  # else a straight wire and the curve that goes on from it part by half a pixel
    figure.add_artist(patch)
    return order + 1


def _outline(path: Path) -> Any:
    from matplotlib.path import Path as Outline

    points: list[tuple[float, float]] = []
    codes: list[int] = []
    for command in path.commands:
        if command[0] == "Z":
            points.append((0.0, 0.0))
            codes.append(int(Outline.CLOSEPOLY))
            continue
        code = {"M": Outline.MOVETO, "L": Outline.LINETO, "C": Outline.CURVE4}[command[0]]
        numbers = numbers_of(command)
        points += list(zip(numbers[::2], numbers[1::2], strict=True))
        codes += [int(code)] * (len(numbers) // 2)
    return Outline(points, codes)


@lru_cache(maxsize=8)
def _characters(bold: bool, italic: bool) -> frozenset[int]:
    """Characters that the installed fonts have in a style."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    weight, style = "bold" if bold else "normal", "italic" if italic else "normal"
    files = {findfont(FontProperties(family=[family], weight=weight, style=style)) for family in _families()}
    return frozenset(code for file in files for code in get_font(file).get_charmap())


def _families() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {entry.name for entry in fontManager.ttflist}
    return [name for name in _FAMILIES if name in installed]


def _text_outline(text: Text) -> Any:
    """Outline of a text, scaled to the width that the layout measured."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    codes = {ord(character) for character in text.text}
    # some scripts have no italics: upright letters rather than empty boxes
    upright = _characters(text.bold, False) & codes > _characters(text.bold, True) & codes
    font = FontProperties(
        family=_families(),
        weight="bold" if text.bold else "normal",
        style="italic" if text.italic and not upright else "normal",
    )
    with warnings.catch_warnings():
        # a character that no installed font has is drawn as an empty box, as in the PDF
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        escaped = text.text.replace("$", r"\$")
        outline = TextPath((0, 0), escaped, size=text.size, prop=font, usetex=False)
    if len(outline.vertices) == 0:
        return outline
    box = outline.get_extents()
    # the ink leaves a little room at both ends of the advance width
    scale = min(1.0, text.length / box.x1) if box.x1 > 0 else 1.0
    return outline.transformed(Affine2D().scale(scale, -1).translate(text.x, text.y))
