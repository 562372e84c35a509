"""Writes scenes as PDF 1.4, one page each: vector outlines and text in the core fonts, no raster.

Source: Adobe, "PDF Reference", third edition (version 1.4), chapters 3 (file structure), 4 (paths)
and 5 (text); WinAnsi and Symbol encodings in appendix D.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from graphc.drawing.fonts import SYMBOL_CODES, text_width
from graphc.drawing.scene import Group, Item, Path, Scene, Text, numbers_of, visible

__all__ = ["pdf_bytes"]

_FONTS = {
    "F1": "Helvetica", "F2": "Helvetica-Oblique", "F3": "Helvetica-Bold", "F4":
    "Helvetica-BoldOblique", "F5": "Symbol",
}  # fmt: skip


def pdf_bytes(scene: Scene, frames: Sequence[int | None] = (None,)) -> bytes:
    """Write a scene, one page a frame (``None`` is the still). Equal scenes give equal bytes."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    catalog, pages, info = add(b""), add(b""), add(b"")
    fonts: list[str] = []
    for key, name in _FONTS.items():
        encoding = "" if name == "Symbol" else " /Encoding /WinAnsiEncoding"
        number = add(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name}{encoding} >>".encode())
        fonts.append(f"/{key} {number} 0 R")
    resources = f"<< /Font << {' '.join(fonts)} >> >>"
    kids: list[int] = []
    for frame in frames:
        content = zlib.compress(_content(scene, frame).encode("latin-1"), 9)
        stream = add(f"<< /Length {len(content)} /Filter /FlateDecode >>\nstream\n".encode() + content + b"\nendstream")
        kids.append(
            add(
                f"<< /Type /Page /Parent {pages} 0 R "
                f"/MediaBox [0 0 {_n(scene.width)} {_n(scene.height)}] "
                f"/Resources {resources} /Contents {stream} 0 R >>".encode()
            )
        )
    objects[catalog - 1] = f"<< /Type /Catalog /Pages {pages} 0 R /Lang (en) >>".encode()
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[pages - 1] = f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>".encode()
    objects[info - 1] = (
        f"<< /Title {_unicode(scene.title)} /Subject {_unicode(scene.description)} /Producer (graphc) >>"
    ).encode()

    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets: list[int] = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for offset in offsets:
        out += f"{offset:010d} 00000 n \n".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root {catalog} 0 R /Info {info} 0 R >>\n".encode()
    out += f"startxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def _n(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _unicode(text: str) -> str:
    return "<FEFF" + text.encode("utf-16-be", "replace").hex().upper() + ">"


def _colour(code: str) -> str:
    return " ".join(_n(int(code[k : k + 2], 16) / 255) for k in (0, 2, 4))


def _content(scene: Scene, frame: int | None) -> str:
    # the y axis of a scene points down, that of a page up
    out = [f"{_colour(scene.paper)} rg 0 0 {_n(scene.width)} {_n(scene.height)} re f", "1 J 1 j"]
    for item in visible(scene.items, frame):
        _write(item, out, scene.height)
    return "\n".join(out)


def _write(item: Item, out: list[str], height: float) -> None:
    if isinstance(item, Group):
        for child in item.items:
            _write(child, out, height)
    elif isinstance(item, Text):
        _write_text(item, out, height)
    else:
        _write_path(item, out, height)


def _write_path(path: Path, out: list[str], height: float) -> None:
    letters = {"M": "m", "L": "l", "C": "c"}
    parts: list[str] = []
    if path.fill:
        parts.append(f"{_colour(path.fill)} rg")
    if path.stroke:
        dash = " ".join(_n(d) for d in path.dash)
        parts.append(f"{_colour(path.stroke)} RG {_n(path.width)} w [{dash}] 0 d")
    for command in path.commands:
        if command[0] == "Z":
            parts.append("h")
            continue
        numbers = [_n(v if k % 2 == 0 else height - v) for k, v in enumerate(numbers_of(command))]
        parts.append(f"{' '.join(numbers)} {letters[command[0]]}")
    parts.append(
        {(True, True): "B", (True, False): "f", (False, True): "S"}.get((bool(path.fill), bool(path.stroke)), "n")
    )
    out.append("\n".join(parts))


def _runs(text: str) -> list[tuple[str, bytes]]:
    """Cut a text into pieces of one encoding: WinAnsi, Symbol, or none (drawn as an empty box)."""
    runs: list[tuple[str, bytes]] = []
    for character in text:
        if character in SYMBOL_CODES:
            kind, code = "symbol", bytes([SYMBOL_CODES[character]])
        else:
            try:
                kind, code = "text", character.encode("cp1252")
            except UnicodeEncodeError:
                kind, code = "none", character.encode("utf-8", "replace")
        if kind != "none" and runs and runs[-1][0] == kind:
            runs[-1] = (kind, runs[-1][1] + code)
        else:
            runs.append((kind, code))
    return runs


def _escaped(code: bytes) -> str:
    text = code.decode("latin-1")
    shown = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return "".join(c if 32 <= ord(c) < 127 else f"\\{ord(c):03o}" for c in shown)


def _write_text(text: Text, out: list[str], height: float) -> None:
    font = {(False, False): "F1", (False, True): "F2", (True, False): "F3", (True, True): "F4"}[text.bold, text.italic]
    runs = _runs(text.text)
    at, base = text.x, height - text.y
    pieces: list[str] = []
    boxes: list[str] = []
    for kind, code in runs:
        if kind == "none":
            width = text_width(code.decode("utf-8", "replace"), text.size, text.bold)
            if width:
                boxes.append(
                    f"{_colour(text.colour)} RG 0.6 w [] 0 d {_n(at + 1)} {_n(base)} "
                    f"{_n(width - 2)} {_n(0.7 * text.size)} re S"
                )
        elif kind == "symbol":
            width = text_width("".join(_SYMBOLS[c] for c in code), text.size, text.bold)
            pieces.append(f"/F5 {_n(text.size)} Tf 1 0 0 1 {_n(at)} {_n(base)} Tm ({_escaped(code)}) Tj")
        else:
            width = text_width(code.decode("cp1252"), text.size, text.bold)
            pieces.append(f"/{font} {_n(text.size)} Tf 1 0 0 1 {_n(at)} {_n(base)} Tm ({_escaped(code)}) Tj")
        at += width
    spoken = f"/Span << /ActualText {_unicode(text.text)} >> BDC"
    shown = f"BT {_colour(text.colour)} rg {' '.join(pieces)} ET" if pieces else ""
    out.append("\n".join(filter(None, [spoken, shown, *boxes, "EMC"])))


_SYMBOLS = {code: character for character, code in SYMBOL_CODES.items()}
