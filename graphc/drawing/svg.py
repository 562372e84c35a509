"""Writes a scene as SVG 1.1: real text, stable ids and classes, title and description in words."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from graphc.drawing.fonts import measured
from graphc.drawing.scene import Command, Group, Item, Path, Scene, Text, numbers_of, visible

__all__ = ["svg_text"]

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _clean(text: str) -> str:
    """Replace what XML cannot carry at all."""
    return _NOT_XML.sub("�", text)


def _attribute(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _number(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _data(commands: tuple[Command, ...]) -> str:
    return "".join(c[0] + " ".join(_number(v) for v in numbers_of(c)) for c in commands)


def svg_text(scene: Scene, frame: int | None = None, prefix: str = "") -> str:
    """Write a scene, or one frame of it.

    Parameters
    ----------
    prefix : str
        Goes before every id, so that several pictures can share one page.
    """
    out: list[str] = []
    width, height = _number(scene.width), _number(scene.height)
    out.append(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" '
        f'viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{prefix}title {prefix}description" '
        f"font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\">"
    )
    out.append(f'<title id="{prefix}title">{escape(_clean(scene.title))}</title>')
    description = scene.description
    if frame is not None and frame < scene.frames - 1:
        # the description of the whole would give away what later frames show
        description = f"{scene.title}, step {frame + 1} of {scene.frames}."
    out.append(f'<desc id="{prefix}description">{escape(_clean(description))}</desc>')
    out.append(f'<rect width="{width}" height="{height}" fill="#{scene.paper}"/>')
    for item in visible(scene.items, frame):
        _write(item, out, prefix)
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _write(item: Item, out: list[str], prefix: str) -> None:
    if isinstance(item, Group):
        _write_group(item, out, prefix)
    elif isinstance(item, Text):
        _write_text(item, out, prefix)
    else:
        _write_path(item, out)


def _write_group(group: Group, out: list[str], prefix: str) -> None:
    opening = "<g"
    if group.id:
        opening += f' id="{prefix}{group.id}"'
    if group.classes:
        opening += f' class="{group.classes}"'
    if group.node:
        opening += f" data-node={_attribute(group.node)}"
    out.append(opening + ">")
    if group.title:
        out.append(f"<title>{escape(_clean(group.title))}</title>")
    for item in group.items:
        _write(item, out, prefix)
    out.append("</g>")


def _write_text(text: Text, out: list[str], prefix: str) -> None:
    named = f' id="{prefix}{text.id}"' if text.id else ""
    if text.classes:
        named += f' class="{text.classes}"'
    style = (' font-weight="bold"' if text.bold else "") + (' font-style="italic"' if text.italic else "")
    # textLength holds the measured width even where the reader's font is another one; room for letters of a script
    # without a table is no width: they would be stretched
    fits = len(text.text) > 1 and measured(text.text)
    fit = f' textLength="{_number(text.length)}" lengthAdjust="spacingAndGlyphs"' if fits else ""
    out.append(
        f'<text{named} x="{_number(text.x)}" y="{_number(text.y)}" font-size="{_number(text.size)}"'
        f'{style} fill="#{text.colour}"{fit} xml:space="preserve">'
        f"{escape(_clean(text.text))}</text>"
    )


def _write_path(path: Path, out: list[str]) -> None:
    fill = f' fill="#{path.fill}"' if path.fill else ' fill="none"'
    stroke = f' stroke="#{path.stroke}" stroke-width="{_number(path.width)}"' if path.stroke else ""
    if path.dash:
        stroke += f' stroke-dasharray="{" ".join(_number(d) for d in path.dash)}"'
    said = f' role="img" aria-label={_attribute(path.label)}' if path.label else ""
    out.append(f'<path d="{_data(path.commands)}"{fill}{stroke}{said}/>')
