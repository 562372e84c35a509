"""The gate atlas in docs/gates is what the generator writes today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphc.cli import atlas
from graphc.errors import GraphcError
from graphc.graph import registry

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "gates"
REMEDY = "regenerate it: python -c \"from graphc.cli.atlas import write; write('docs/gates')\""


def test_the_atlas_has_one_page_for_each_gate_and_an_index() -> None:
    expected = sorted([f"{name}.md" for name in registry.names()] + ["README.md"])
    assert sorted(path.name for path in FOLDER.glob("*.md")) == expected, REMEDY


@pytest.mark.parametrize("name", sorted(atlas.pages()))
def test_a_page_is_up_to_date_with_its_gate(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == atlas.pages()[name], REMEDY


@pytest.mark.parametrize("name", registry.names())
def test_a_page_says_what_a_reader_looks_for(name: str) -> None:
    text, gate = atlas.entry(name), registry.gate(name)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    for heading in ("Formula", "Derivative", "Shapes", "Notes", "Example", "Source"):
        assert heading in headings
    assert ("Ties" in headings) == bool(gate.ties)
    assert ("Scatter only" in headings) == bool(gate.scatter_only)
    assert gate.text().strip() in text
    assert text.count("$$") % 2 == 0
    assert text.count("```") % 2 == 0
    assert not re.search(r"_\d{2,}\b", text), "a page must not depend on how many nodes were declared before"


def test_a_page_is_the_same_whenever_it_is_made() -> None:
    assert [atlas.entry(name) for name in registry.names()] == [atlas.entry(name) for name in registry.names()]


def test_local_gradients_are_shown_through_the_output_where_that_is_not_longer() -> None:
    assert "| `x` | `sigmoid(x) * sigmoid(-x)` | `y * (1 - y)` |" in atlas.entry("sigmoid")
    assert r"\frac{\partial y}{\partial x} = y \, \left(1 - y\right)" in atlas.entry("sigmoid")


def test_an_unknown_gate_is_refused_with_the_closest_name() -> None:
    with pytest.raises(GraphcError, match="there is no gate 'conv2'; did you mean 'conv2d'"):
        atlas.entry("conv2")


def test_writing_changes_only_what_differs_and_removes_only_what_it_made(tmp_path: Path) -> None:
    assert len(atlas.write(tmp_path / "gates")) == len(registry.names()) + 1
    assert atlas.write(tmp_path / "gates") == []
    gone = tmp_path / "gates" / "gone.md"
    gone.write_text((tmp_path / "gates" / "add.md").read_text(encoding="utf-8"), encoding="utf-8")
    own = tmp_path / "gates" / "notes.md"
    own.write_text("my own notes\n", encoding="utf-8")
    (tmp_path / "gates" / "add.md").write_text("stale", encoding="utf-8")
    assert [path.name for path in atlas.write(tmp_path / "gates")] == ["add.md"]
    assert not gone.exists()
    assert own.exists()
