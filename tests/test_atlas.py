"""The gate atlas in docs/gates is what the generator writes today."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from graphc.cli import atlas
from graphc.errors import GraphcError
from graphc.graph import registry

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "gates"
PAGES, IMAGES = atlas.pages(), atlas.images()
REMEDY = "regenerate it: python -c \"from graphc.cli.atlas import write; write('docs/gates')\""


def test_the_atlas_has_one_page_for_each_gate_and_an_index() -> None:
    expected = sorted([f"{name}.md" for name in registry.names()] + ["README.md"])
    assert sorted(path.name for path in FOLDER.glob("*.md")) == expected, REMEDY


def test_the_atlas_has_the_pictures_of_its_gates() -> None:
    assert sorted(path.name for path in (FOLDER / "images").glob("*")) == sorted(IMAGES), REMEDY


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_up_to_date_with_its_gate(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], REMEDY


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_a_picture_is_up_to_date_with_its_gate(name: str) -> None:
    assert (FOLDER / "images" / name).read_text(encoding="utf-8") == IMAGES[name], REMEDY


@pytest.mark.parametrize("name", registry.names())
def test_a_page_says_what_a_reader_looks_for(name: str) -> None:
    text, gate = atlas.entry(name), registry.gate(name)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    for heading in ("Formula", "Derivative", "Shapes", "Kernel", "Notes", "Example", "Source"):
        assert heading in headings
    assert ("Ties" in headings) == bool(gate.ties)
    assert ("Scatter only" in headings) == bool(gate.scatter_only)
    assert gate.text().strip() in text
    shown = re.findall(r"\]\(images/(.*?)\)", text)
    assert f"{name}.svg" in shown
    assert set(shown) <= set(IMAGES)
    assert text.count("$$") % 2 == 0
    assert text.count("```") % 2 == 0
    assert not re.search(r"_\d{2,}\b", text), "a page must not depend on how many nodes were declared before"


def test_a_page_and_its_pictures_are_the_same_whenever_they_are_made() -> None:
    assert atlas.pages() == PAGES
    assert atlas.images() == IMAGES


def test_pictures_need_no_package_that_draws_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc.drawing import fonts

    monkeypatch.setattr(fonts, "_ziamath", lambda: None)
    assert atlas.images() == IMAGES


def test_every_picture_is_xml_with_a_title_and_a_description() -> None:
    for name, text in IMAGES.items():
        tags = [element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text)]
        assert tags[:2] == ["title", "desc"], name


def test_a_kernel_is_the_one_that_is_compiled() -> None:
    text = atlas.entry("global_max_pool2d")
    assert "for i0 in range(first_i0, last_i0):" in text
    assert "total = largest(total, v0)" in text
    assert "x0_0, x0_1 = read_2(t1, p2, inside_2)" in atlas.entry("max_pool2d")
    assert "register tiles" in atlas.entry("matmul")
    assert "None: the result is a view" in atlas.entry("reshape")


def test_a_long_kernel_is_cut_and_says_so() -> None:
    for name in registry.names():
        section = atlas.entry(name).partition("## Kernel")[2].partition("\n## ")[0]
        block = section.partition("```python\n")[2].partition("\n```")[0].splitlines()
        assert len(block) <= 61
        assert len(block) < 61 or re.fullmatch(r"# \.\.\. and \d+ more lines", block[-1])


def test_a_page_for_a_terminal_has_no_pictures() -> None:
    assert "images/" in atlas.entry("relu")
    assert "images/" not in atlas.entry("relu", with_pictures=False)


def test_local_gradients_are_shown_through_the_output_where_that_is_not_longer() -> None:
    assert "| `x` | `sigmoid(x) * sigmoid(-x)` | `y * (1 - y)` |" in atlas.entry("sigmoid")
    assert r"\frac{\partial y}{\partial x} = y \, \left(1 - y\right)" in atlas.entry("sigmoid")


def test_an_unknown_gate_is_refused_with_the_closest_name() -> None:
    with pytest.raises(GraphcError, match="there is no gate 'conv2'; did you mean 'conv2d'"):
        atlas.entry("conv2")


def test_writing_changes_only_what_differs_and_removes_only_what_it_made(tmp_path: Path) -> None:
    assert len(atlas.write(tmp_path / "gates")) == len(PAGES) + len(IMAGES)
    assert atlas.write(tmp_path / "gates") == []
    gone = tmp_path / "gates" / "gone.md"
    gone.write_text((tmp_path / "gates" / "add.md").read_text(encoding="utf-8"), encoding="utf-8")
    gone_picture = tmp_path / "gates" / "images" / "gone-plot.svg"
    gone_picture.write_text(IMAGES["relu-plot.svg"], encoding="utf-8")
    own_picture = tmp_path / "gates" / "images" / "mine.svg"
    own_picture.write_text("<svg/>", encoding="utf-8")
    own = tmp_path / "gates" / "notes.md"
    own.write_text("my own notes\n", encoding="utf-8")
    (tmp_path / "gates" / "add.md").write_text("stale", encoding="utf-8")
    assert [path.name for path in atlas.write(tmp_path / "gates")] == ["add.md"]
    assert not gone.exists()
    assert not gone_picture.exists()
    assert own.exists()
    assert own_picture.exists()
