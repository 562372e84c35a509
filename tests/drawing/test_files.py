"""Files: formats, determinism, hostile names, paths that cannot be written, missing extras."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import graphc
from graphc.drawing import draw, frames
from graphc.drawing.fonts import number_text
from graphc.errors import DrawingError
from tests.drawing.geometry import overlaps
from tests.drawing.graphs import LECTURE, neuron, simple

HOSTILE = [
    'say "hi"',
    "a'b",
    "<&>",
    "</text><script>",
    "🙂",
    "漢字",
    "é ü",
    "ζ",
    "x]]>y",
    "a\\nb",
    "{|}",
    "$x$",
    "%(s)s",
    "x" * 200,
    "<&_%$\\",
    "\\frac{1}{2}",
    "שלום",
    "مرحبا",
]


def hostile_run() -> Any:
    nodes = [graphc.input(name) for name in HOSTILE]
    total = nodes[0]
    for k, node in enumerate(nodes[1:]):
        total = (total * node).named(f"<b>{k}&\"'")
    return graphc.backward(total).at(dict.fromkeys(nodes, 1.5))


def test_hostile_names_give_well_formed_svg_and_stay_apart() -> None:
    drawing = draw(hostile_run())
    root = ElementTree.fromstring(drawing.svg())
    said = "".join(root.itertext())
    for name in [*HOSTILE[:5], *HOSTILE[-4:]]:
        assert name in said
    assert not any(e.tag.endswith("script") for e in root.iter())
    assert overlaps(drawing.scene) == []


def test_hostile_names_survive_every_other_format(tmp_path: Path) -> None:
    drawing = draw(hostile_run())
    for suffix in drawing.writers():
        if suffix == ".png":
            pytest.importorskip("matplotlib")
        assert drawing.save(tmp_path / f"hostile{suffix}").stat().st_size > 500
    pygraphviz = pytest.importorskip("pygraphviz")
    graph = pygraphviz.AGraph(string=drawing.dot())
    assert len(graph.nodes()) >= 2 * len(HOSTILE)
    assert graph.draw(format="svg", prog="dot").startswith(b"<?xml")


def test_the_same_graph_gives_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from tests.drawing.graphs import neuron, scalar_lstm, simple\n"
        "from graphc.drawing import draw, frames\n"
        "for build, options in ((neuron, {}), (scalar_lstm, {'direction': 'TB', 'work': True}), "
        "(simple, {'exam': ['gradients'], 'patterns': True, 'theme': 'dark', 'form': 'both', 'page': 'slide'})):\n"
        "    drawing = draw(build(), **options)\n"
        "    for suffix in drawing.writers():\n"
        "        if suffix != '.png' or build is simple:\n"
        "            drawing.save(f'{sys.argv[1]}/{build.__name__}{suffix}')\n"
        "frames(simple(), f'{sys.argv[1]}/steps.pdf')\n"
        "frames(simple(), f'{sys.argv[1]}/steps.tikz')\n"
    )
    here = str(Path(__file__).parents[2])
    running = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": here}
        running.append(
            subprocess.Popen([sys.executable, "-c", script, str(tmp_path / seed)], cwd=here, env=environment)
        )
    assert [process.wait(120) for process in running] == [0, 0]
    first, second = (sorted((tmp_path / seed).iterdir()) for seed in ("1", "2"))
    assert len(first) == 3 * 8 - 2 + 2
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]


def pdf_offsets_are_right(data: bytes) -> bool:
    start = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    table = data[start:].split(b"trailer")[0].splitlines()[2:]
    for number, row in enumerate(table):
        offset, _, kind = row.split()
        if kind == b"n" and not data[int(offset) :].startswith(f"{number} 0 obj".encode()):
            return False
    return len(table) > 5


@pytest.mark.parametrize("name", LECTURE)
def test_the_pdf_is_valid_vector_and_its_text_can_be_read(name: str) -> None:
    drawing = draw(LECTURE[name]())
    data = drawing.pdf()
    assert pdf_offsets_are_right(data)
    assert b"/XObject" not in data
    assert b"/Subtype /Image" not in data
    pypdf = pytest.importorskip("pypdf")
    from io import BytesIO

    reader = pypdf.PdfReader(BytesIO(data), strict=True)
    (page,) = reader.pages
    assert float(page.mediabox.width) == pytest.approx(drawing.scene.width, abs=0.01)
    assert not page.images
    assert "value above the wire" in page.extract_text()


def pdf_outlines(drawing: Any) -> list[list[float]]:
    """Coordinates of every outline of the page, y pointing down."""
    stream = re.findall(rb"stream\n(.*?)\nendstream", drawing.pdf(), re.DOTALL)[0]
    content, height = zlib.decompress(stream).decode("latin-1"), drawing.scene.height
    found: list[list[float]] = []
    for row in content.splitlines():
        match = re.fullmatch(r"((?:-?[\d.]+ )+)([mlc])", row)
        if match:
            numbers = [float(v) for v in match[1].split()]
            point = [v if k % 2 == 0 else height - v for k, v in enumerate(numbers)]
            found += [point] if match[2] == "m" else []
            if match[2] != "m":
                found[-1] += point
    return found


@pytest.mark.parametrize("options", [{}, {"direction": "TB", "work": True}, {"exam": ["values"], "page": "a4"}])
def test_svg_and_pdf_share_coordinates(options: dict[str, Any]) -> None:
    drawing = draw(neuron(), **options)
    streams = re.findall(rb"stream\n(.*?)\nendstream", drawing.pdf(), re.DOTALL)
    content = zlib.decompress(streams[0]).decode("latin-1")
    placed = {(float(x), float(y)) for x, y in re.findall(r"1 0 0 1 ([\d.]+) ([\d.]+) Tm", content)}
    height, svg = drawing.scene.height, drawing.svg()
    for x, y in re.findall(r'<text[^>]* x="([\d.]+)" y="([\d.]+)"', svg):
        assert any(abs(float(x) - a) < 0.02 and abs(height - float(y) - b) < 0.02 for a, b in placed)
    pieces = [piece for d in re.findall(r' d="([^"]*)"', svg) for piece in re.split("(?=M)", d) if piece]
    drawn = [[float(v) for v in re.findall(r"-?[\d.]+", piece)] for piece in pieces]
    outlines = pdf_outlines(drawing)
    assert [len(o) for o in outlines] == [len(d) for d in drawn]
    for outline, points in zip(outlines, drawn, strict=True):
        assert outline == pytest.approx(points, abs=0.02)


def test_the_png_is_a_picture_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawing = draw(simple(), tmp_path / "f.png")
    data = (tmp_path / "f.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width = int.from_bytes(data[16:20], "big")
    assert width == pytest.approx(drawing.scene.width / 72 * 200, abs=1.5)


def test_without_the_extra_everything_but_png_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package in ("pygraphviz", "ziamath", "matplotlib"):
        for loaded in [m for m in sys.modules if m == package or m.startswith(package + ".")]:
            monkeypatch.setitem(sys.modules, loaded, None)
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("PATH", "")
    drawing = draw(neuron())
    assert drawing.engine == "layered"
    for suffix in (".svg", ".pdf", ".dot", ".txt"):
        assert drawing.save(tmp_path / f"neuron{suffix}").stat().st_size > 500
    assert overlaps(drawing.scene) == []
    with pytest.raises(DrawingError, match=r"pip install 'graphc\[draw\]'"):
        drawing.save(tmp_path / "neuron.png")
    assert not (tmp_path / "neuron.png").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f.svgz", r"suffix '.svgz'.*\.svg.*\.pdf.*\.png.*\.dot.*\.txt.*did you mean '.svg'"),
        ("f", "has no suffix"), ("f.", "has no suffix"), ("f.jpg", "suffix '.jpg'"),
        ("f.gif", r"run\.frames\('f\.gif'\)"),
    ],
)  # fmt: skip
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DrawingError, match=message):
        draw(simple(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_in_capitals_is_known(tmp_path: Path) -> None:
    draw(simple(), tmp_path / "F.SVG")
    assert (tmp_path / "F.SVG").read_text("utf-8").startswith("<svg")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DrawingError, match="the folder .*nowhere' does not exist"):
        draw(simple(), tmp_path / "nowhere" / "f.svg")


def test_a_path_that_cannot_be_written_leaves_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "f.svg").mkdir()
    with pytest.raises(DrawingError, match="cannot write"):
        draw(simple(), tmp_path / "f.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["f.svg"]
    with pytest.raises(DrawingError, match="cannot write"):
        draw(simple(), "/proc/f.svg")


def test_a_failed_rename_keeps_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f.svg"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DrawingError, match="No space left"):
        draw(simple(), target)
    assert [p.name for p in tmp_path.iterdir()] == ["f.svg"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("subject", "options", "message"),
    [
        ("f", {}, "draw needs a node"),
        (None, {"style": "circus"}, "unknown style 'circus'.*did you mean 'circuit'"),
        (None, {"theme": "clasic"}, "no theme is called 'clasic'.*did you mean 'classic'"),
        (None, {"direction": "BT"}, "unknown direction"),
        (None, {"digits": 0}, "digits is the number of significant digits"),
        (None, {"engine": "neato"}, "no layout engine is called 'neato'"),
    ],
)
def test_options_that_do_not_exist_are_refused(subject: Any, options: Any, message: str) -> None:
    with pytest.raises(DrawingError, match=message):
        draw(subject or simple(), **options).svg()


def test_a_path_must_be_a_path() -> None:
    with pytest.raises(DrawingError, match="found int"):
        draw(simple(), 3)


def test_frames_share_the_page_and_end_in_the_still(tmp_path: Path) -> None:
    run = neuron()
    files = frames(run, tmp_path / "steps.svg")
    assert [f.name for f in files[:2]] == ["steps-01.svg", "steps-02.svg"]
    pages = [f.read_text("utf-8") for f in files]
    assert len({re.search(r'viewBox="([^"]*)"', p).group(1) for p in pages}) == 1  # type: ignore[union-attr]
    assert pages[-1] == draw(run).svg()
    texts = [set(re.findall(r"<text[^>]*>[^<]*</text>", p)) for p in pages]
    assert all(a <= b for a, b in itertools.pairwise(texts)), "a text moved or vanished"
    assert "0.7311" not in pages[1]
    assert len(pages) == 1 + 8 + 1 + 8 + 1


def test_the_neuron_goes_back_gate_by_gate_as_in_the_lecture(tmp_path: Path) -> None:
    seen: set[str] = set()
    order: list[list[str]] = []
    for file in frames(neuron(), tmp_path / "steps.svg"):
        shown = re.findall(r'class="gradient"[^>]*>([^<]*)</text>', file.read_text("utf-8"))
        ids = re.findall(r'id="(wire-\d+-gradient)"', file.read_text("utf-8"))
        order.append([text for text, id in zip(shown, ids, strict=True) if id not in seen])
        seen |= set(ids)
    assert not any(order[:9])
    assert order[9:14] == [["1"], ["−0.5344"], ["−0.5344"], ["−0.1966"], ["0.1966"]]
    assert [sorted(new) for new in order[14:18]] == [
        ["0.1966", "0.1966"], ["0.1966", "0.1966"], ["−0.3932", "−0.5898"], ["0.3932", "−0.1966"],
    ]  # fmt: skip
    assert order[18:] == [[]]


def test_frames_as_pdf_are_pages_of_one_size(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    run = simple()
    (file,) = frames(run, tmp_path / "steps.pdf")
    reader = pypdf.PdfReader(file, strict=True)
    assert len(reader.pages) == 1 + 2 + 1 + 2 + 1
    assert len({tuple(map(float, page.mediabox)) for page in reader.pages}) == 1
    with pytest.raises(DrawingError, match=r"\.pdf"):
        frames(run, tmp_path / "steps.txt")


def test_two_pictures_on_one_page_share_no_id() -> None:
    first, second = draw(simple())._repr_svg_(), draw(neuron())._repr_svg_()
    ids = [set(re.findall(r' id="([^"]*)"', text)) for text in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, own in zip((first, second), ids, strict=True):
        assert set(re.search(r'aria-labelledby="([^"]*)"', text).group(1).split()) <= own  # type: ignore[union-attr]


def test_a_notebook_gets_a_picture_of_explicit_size_and_its_text() -> None:
    drawing = draw(simple())
    bundle = drawing._repr_mimebundle_()
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert re.search(
        r'<svg [^>]*width="[\d.]+pt" height="[\d.]+pt" viewBox="0 0 [\d.]+ [\d.]+"', bundle["image/svg+xml"]
    )
    assert bundle["text/plain"] == drawing.text()
    assert repr(drawing) == "<Drawing: Computation graph of f>"
    assert repr(draw(simple(), style="cards")) == "<Drawing: Layers of f>"


def test_the_text_form_is_a_table_of_the_tree() -> None:
    assert draw(simple()).text() == (
        "Computation graph of f\n\n"
        "wire             value  gradient  local gradient\n"
        "f = [×] q, z     −12    1\n"
        "├─ q = [+] x, y  3      −4        z = −4\n"
        "│  ├─ x          −2     −4        1\n"
        "│  └─ y          5      −4        1\n"
        "└─ z             −4     3         q = 3\n"
    )


def test_cards_as_text_have_what_a_run_measured_below_each_layer() -> None:
    x = graphc.input("x", (2, 3))
    hidden = graphc.relu(graphc.layers.dense(x, 4, name="hidden")).named("h")
    run = graphc.backward(graphc.sum(hidden * hidden).named("loss")).at(
        {"x": np.ones((2, 3)), "hidden.weight": np.arange(12).reshape(4, 3) - 5.0, "hidden.bias": np.ones(4)}
    )
    rows = draw(run, style="cards").text().splitlines()
    (k,) = [k for k, row in enumerate(rows) if row.startswith("hidden ")]
    largest = float(np.max(np.abs(run.grad("h"))))
    assert "gradient" in rows[k + 1]
    assert number_text(largest, 2) in rows[k + 1]
    assert rows[k + 1].startswith("    ")
    assert "16" in rows[k]


@pytest.mark.parametrize(("name", "fitted"), [("重み", True), ("משקל", False), ("وزن", False)])
def test_letters_of_a_script_without_widths_are_not_stretched(name, fitted):
    x = graphc.input(name)
    picture = draw(graphc.backward(x * x).at({name: 3}))
    texts = [element for element in ElementTree.fromstring(picture.svg()).iter() if element.text == name]
    assert any(element.tag.endswith("text") for element in texts)
    for element in texts:
        if element.tag.endswith("text"):
            assert ("textLength" in element.attrib) == fitted
