"""TikZ: the coordinates and texts of the SVG, everything escaped, overlays that are the frames."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from graphc.drawing import Drawing, draw, frames
from graphc.drawing.fonts import SYMBOL_CODES, text_width
from graphc.drawing.scene import Box, Group, Item, Scene, Text, line, rounded, texts, visible
from graphc.drawing.tikz import tikz_document, tikz_frames, tikz_text
from graphc.errors import DrawingError
from tests.drawing.graphs import LECTURE, convolutional_network, neuron, simple
from tests.drawing.test_files import hostile_run

SVG = "{http://www.w3.org/2000/svg}"
NODE = re.compile(
    r"\\node\[text=graphc(?P<colour>[0-9A-F]{6})\] at \((?P<x>[-\d.]+),(?P<y>[-\d.]+)\) "
    r"\{\\resizebox\{(?P<length>[\d.]+)bp\}\{\\height\}\{\\fontsize\{(?P<size>[\d.]+)bp\}\{[\d.]+bp\}\\boldmath"
    r"(?P<bold>\\bfseries)?(?P<italic>\\itshape)?\\selectfont (?P<text>.*)\}\};"
)
PICTURES = {**LECTURE, "convolutional_network": convolutional_network, "hostile": hostile_run}


def code(text: str) -> list[str]:
    """Lines that TeX reads."""
    return [line for line in text.splitlines() if not line.startswith("%")]


def points(text: str) -> list[tuple[float, float]]:
    """Every coordinate of a figure, in drawing order; the page box comes first."""
    found: list[tuple[float, float]] = []
    for row in code(text):
        pairs = re.findall(r"\((-?[\d.]+),(-?[\d.]+)\)", row)
        found += [(float(x), float(y)) for x, y in (pairs[:1] if row.startswith(r"\node") else pairs)]
    return found


def svg_points(text: str) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for element in ElementTree.fromstring(text).iter():
        if element.tag == f"{SVG}text":
            found.append((float(element.attrib["x"]), float(element.attrib["y"])))
        elif element.tag == f"{SVG}path":
            numbers = [float(v) for v in re.findall(r"-?[\d.]+", element.attrib["d"])]
            found += zip(numbers[::2], numbers[1::2], strict=True)
    return found


def one_text(text: str, **options: Any) -> str:
    """What a text is in the figure."""
    item = Text(1.0, 2.0, text, text_width(text, 10), 10.0, "1A1A1A", **options)
    found = NODE.search(tikz_text(Scene(50, 20, (item,), "t", "d")))
    return found["text"] if found else ""


def check_syntax(text: str) -> None:
    body = "\n".join(code(text))
    assert body.isascii()
    assert "#" not in body.replace(r"\#", "")
    depth = 0
    for character in body:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert body.count(r"\begin{") == body.count(r"\end{")
    assert not re.search(r"\d[eE][-+]?\d+[,)]", re.sub(r"\\selectfont .*|graphc\w+", "", body)), (
        "TeX reads no exponents"
    )
    for row in code(text):
        if row.startswith((r"\node", r"\path")):
            assert "%" not in row.replace(r"\%", "")


@pytest.mark.parametrize("name", PICTURES)
def test_the_coordinates_are_those_of_the_svg(name: str) -> None:
    drawing = draw(PICTURES[name]())
    found = points(drawing.tikz())
    assert "[x=1bp, y=-1bp," in drawing.tikz()  # the y axis of a scene points down, that of TikZ up
    scene = drawing.scene
    assert found[:2] == [(0, 0), (pytest.approx(scene.width, abs=0.01), pytest.approx(scene.height, abs=0.01))]
    expected = svg_points(drawing.svg())
    assert len(found) - 2 == len(expected) > 10
    for (x, y), (a, b) in zip(found[2:], expected, strict=True):
        assert abs(x - a) < 0.01
        assert abs(y - b) < 0.01


@pytest.mark.parametrize("name", PICTURES)
def test_every_text_is_there_in_its_measured_width(name: str) -> None:
    drawing = draw(PICTURES[name]())
    text = drawing.tikz()
    check_syntax(text)
    check_syntax(drawing.tex())
    shown = list(texts(visible(drawing.scene.items, None)))
    nodes = list(NODE.finditer(text))
    assert len(nodes) == len(shown) == text.count(r"\node")
    for node, item in zip(nodes, shown, strict=True):
        assert float(node["length"]) == pytest.approx(item.length, abs=0.01)
        assert float(node["size"]) == pytest.approx(item.size, abs=0.01)
        assert (node["colour"], bool(node["bold"]), bool(node["italic"])) == (item.colour, item.bold, item.italic)
        if item.text.isascii() and item.text.isalnum():
            assert node["text"] == item.text


@pytest.mark.parametrize("name", PICTURES)
def test_colours_are_defined_once_and_before_their_use(name: str) -> None:
    text = draw(PICTURES[name](), theme="classic").tikz()
    defined = re.findall(r"\\definecolor\{(graphc[0-9A-F]{6})\}\{HTML\}\{([0-9A-F]{6})\}", text)
    assert all(label == f"graphc{value}" for label, value in defined)
    assert len(set(defined)) == len(defined)
    rest = text.rpartition(r"\definecolor")[2].partition("\n")[2]
    assert set(re.findall(r"=(graphc\w+)", rest)) == {label for label, _ in defined}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b%c&d", r"a\_b\%c\&d"), ("$x$ #1", r"\$x\$ \#1"), ("a\\b", r"a\textbackslash{}b"),
        ("{|}", r"\textbraceleft{}\textbar{}\textbraceright{}"),
        ("<b>^~", r"\textless{}b\textgreater{}\textasciicircum{}\textasciitilde{}"),
        ('say "hi"', r"say {\char34}hi{\char34}"), ("a--b", "a-{}-b"), ("''``,,", "'{}'`{}`,{},"),
        ("?`", "?{}`"), ("é ü", r"\'{e} \"{u}"), ("\u015f", r"\c{s}"), ("x\u0302", r"\^{x}"),
        ("ζ", r"\ensuremath{\zeta}"), ("ά", r"\ensuremath{\acute{\alpha}}"),
        ("−3", r"\ensuremath{\mkern-1mu-\mkern-1mu}3"), ("x²", r"x\ensuremath{^{2}}"),
        ("  a  b ", r"\ \ a \ b\ "), (" ", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_text_is_escaped(text: str, expected: str) -> None:
    assert one_text(text) == expected


def test_what_the_pdf_can_draw_is_drawn_and_the_rest_is_a_box() -> None:
    letters = "".join(c for c in bytes(range(192, 256)).decode("cp1252") if c not in "ÐðÞþ×÷")
    for character in [*SYMBOL_CODES, *letters, *"×÷±·²³¹°–—•…‖"]:
        assert r"\fbox" not in one_text(f"{character}"), character
    assert one_text("漢字🙂").count(r"\fbox{") == 3
    assert one_text("a\u0336\u200bb") == r"a{\fboxsep=0pt\,\fbox{\phantom{M}}\,}b"


def at_frame(text: str, overlay: int) -> list[tuple[float, float, str]]:
    """Texts that an overlay shows, by the numbers of the figure alone."""
    shown, on = [], True
    for row in code(text):
        opened = re.fullmatch(r"\\onslide<(\d+)-(\d*)>\{%", row)
        if opened:
            on = int(opened[1]) <= overlay <= int(opened[2] or 10**6)
        elif row == "}":
            on = True
        elif on and (node := NODE.fullmatch(row)):
            shown.append((float(node["x"]), float(node["y"]), node["text"]))
    return shown


@pytest.mark.parametrize("build", [simple, neuron])
def test_overlays_show_what_the_frames_show(build: Any, tmp_path: Path) -> None:
    run = build()
    (file,) = frames(run, tmp_path / "steps.tex")
    text = file.read_text("utf-8")
    check_syntax(text)
    assert r"\documentclass" not in "\n".join(code(text))
    scene = draw(run).scene
    for frame in range(scene.frames):
        shown = [(round(t.x, 2), round(t.y, 2), one_text(t.text)) for t in texts(visible(scene.items, frame)) if t.text]
        assert at_frame(text, frame + 1) == shown
    assert rf"\onslide<{scene.frames}->{{}}" in text
    assert file.read_text("utf-8") == frames(run, tmp_path / "steps.tikz")[0].read_text("utf-8")


def scene_of(*items: Item, count: int = 1) -> Scene:
    return Scene(100, 60, items, "title", "in words", count)


def test_groups_in_groups_appear_when_both_do() -> None:
    strokes = [line(0, k, 9, k, "1A1A1A") for k in range(5)]
    inner = Group((strokes[1],), appears=3, vanishes=9)
    gone = Group((strokes[2],), appears=5)
    early = Group((strokes[3],), appears=1)
    text = tikz_frames(scene_of(Group((strokes[0], inner, early, gone), appears=2, vanishes=5), strokes[4], count=6))
    assert re.findall(r"onslide<([^>]*)>", text) == ["3-5", "4-5", "3-5", "6-"]
    assert "(0,2)" not in text
    # the still shows what stays
    still = tikz_text(scene_of(Group((strokes[3],), vanishes=4), Group((strokes[4],), appears=2)))
    assert "(0,3)" not in still
    assert "(0,4)" in still
    assert r"\onslide" not in still


def test_outlines_keep_fills_strokes_curves_and_dashes() -> None:
    box = rounded(Box(10, 10, 50, 30), 5, "abcdef", "102030", 1.25, (3, 2))
    text = tikz_text(scene_of(box))
    assert "fill=graphcABCDEF, draw=graphc102030, line width=1.25bp, dash pattern=on 3bp off 2bp]" in text
    assert text.count(".. controls") == 4
    assert text.count("-- cycle;") == 1
    odd = tikz_text(scene_of(rounded(Box(0, 0, 5, 5), 0, "", "102030", 1, (3, 2, 1))))
    assert "dash pattern=on 3bp off 2bp on 1bp off 3bp on 2bp off 1bp]" in odd
    assert tikz_text(scene_of(rounded(Box(0, 0, 5, 5), 0))).count(r"\path") == 1  # the page alone


def test_lines_stay_short_where_they_can_be_broken() -> None:
    assert max(len(row) for row in code(draw(neuron()).tikz()) if not row.startswith(r"\node")) <= 140


def test_a_picture_that_tex_cannot_count_is_refused() -> None:
    for write in (tikz_text, tikz_document, tikz_frames):
        with pytest.raises(DrawingError, match=r"20000 by 60 points is larger than TeX can count.*\.svg or \.pdf"):
            write(Scene(20000, 60, (), "t", "d"))


def test_the_suffix_decides_between_document_and_figure(tmp_path: Path) -> None:
    draw(simple(), tmp_path / "f.tex")
    draw(simple(), tmp_path / "f.tikz")
    whole, figure = ((tmp_path / f"f.{suffix}").read_text("utf-8") for suffix in ("tex", "tikz"))
    assert r"\documentclass[tikz]{standalone}" in whole
    assert code(figure)[0].startswith(r"\begin{tikzpicture}")
    assert code(figure)[-1] == r"\end{tikzpicture}%"
    assert "\n".join(code(figure)) in "\n".join(code(whole))


def test_the_same_graph_gives_the_same_bytes_whatever_the_hash_seed() -> None:
    script = (
        "import hashlib\nfrom tests.drawing.graphs import neuron\nfrom graphc.drawing import draw\n"
        "from graphc.drawing.tikz import tikz_frames\nd = draw(neuron())\n"
        "print(hashlib.sha256((d.tex() + d.tikz() + tikz_frames(d.scene)).encode()).hexdigest())\n"
    )
    here = str(Path(__file__).parents[2])
    found = {
        subprocess.run(
            [sys.executable, "-c", script], check=True, cwd=here, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": here},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


# ---------------------------------------------------------------- where there is a TeX


def compiled(folder: Path, text: str) -> Any:
    """Compile a document and return its pages."""
    pypdf = pytest.importorskip("pypdf")
    (folder / "main.tex").write_text(text, "utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
        cwd=folder, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    missing = re.search(r"File `([^']*)' not found", done.stdout.decode("utf-8", "replace"))
    if missing:
        pytest.skip(f"this TeX has no {missing[1]}")
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-2000:]
    return pypdf.PdfReader(folder / "main.pdf").pages


needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")


@needs_tex
@pytest.mark.parametrize("build", [neuron, convolutional_network, hostile_run])
def test_pdflatex_compiles_the_document(build: Any, tmp_path: Path) -> None:
    drawing: Drawing = draw(build())
    (page,) = compiled(tmp_path, drawing.tex())
    assert float(page.mediabox.width) == pytest.approx(drawing.scene.width, abs=0.1)
    assert float(page.mediabox.height) == pytest.approx(drawing.scene.height, abs=0.1)
    assert not page.images


@needs_tex
def test_pdflatex_draws_every_character(tmp_path: Path) -> None:
    from graphc.drawing import tikz

    every = [*map(chr, range(32, 127)), *tikz._SPECIAL, *tikz._MATHEMATICS, *"é漢🙂", *(f"a{m}" for m in tikz._ACCENTS)]
    rows = [f"-{text}-" for text in every] + ["''", "``", "--", "  a  ", "]", "[a]", "\\begin{x}"]
    items = tuple(
        Text(10, 12.0 * k, t, 20, 10, "1A1A1A", bold=k % 2 == 0, italic=k % 3 == 0) for k, t in enumerate(rows)
    )
    assert len(compiled(tmp_path, tikz_document(Scene(60, 12 * len(rows), items, "t % u", "d\ne")))) == 1


@needs_tex
def test_beamer_counts_as_many_slides_as_frames(tmp_path: Path) -> None:
    run = simple()
    frames(run, tmp_path / "steps.tex")
    pages = compiled(
        tmp_path,
        "\\documentclass{beamer}\n\\usepackage{tikz}\n\\begin{document}\n"
        "\\begin{frame}\\centering\\resizebox{\\textwidth}{!}{\\input{steps.tex}}\\end{frame}\n\\end{document}\n",
    )
    assert len(pages) == draw(run).scene.frames
