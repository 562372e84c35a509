"""Every script of the gallery runs, keeps its promises, and stands on the page made from them."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import graphc

ROOT = Path(graphc.__file__).parents[1]
FOLDER = ROOT / "examples" / "gallery"
SCRIPTS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
SLOW = {"16_lenet", "26_steps"}  # training, animations

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not part of an installed graphc")


def _parameters():
    return [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in SCRIPTS]


@pytest.mark.parametrize("script", _parameters())
def test_a_script_draws_what_it_asserts(script, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
    monkeypatch.delitem(sys.modules, "shared", raising=False)
    runpy.run_path(str(script), run_name="__main__")
    monkeypatch.delitem(sys.modules, "shared", raising=False)
    said = [Path(line) for line in capsys.readouterr().out.splitlines()]
    written = [path for path in said if path.parent == tmp_path]
    assert written
    assert set(written) == set(tmp_path.iterdir()), "a script prints every file that it writes"
    for path in written:
        assert path.stat().st_size > 1000, path
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_page_names_every_script_and_its_pictures_are_there():
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        assert f"(../examples/gallery/{script.name})" in page, script.name
        title = script.read_text(encoding="utf-8").removeprefix('"""').split("\n")[0].rstrip(".")
        assert f"### {title}\n" in page, f"{script.name}: run python examples/gallery/build.py"
    pictures = re.findall(r"!\[[^\]]+\]\((images/gallery/[^)]+)\)", page)
    assert len(pictures) == len(set(pictures)) >= len(SCRIPTS)
    for name in pictures:
        assert (ROOT / "docs" / name).is_file(), name
    kept = {f"images/gallery/{path.name}" for path in (ROOT / "docs" / "images" / "gallery").iterdir()}
    assert kept == set(pictures), "pictures that no script writes any more"


def test_a_script_that_draws_a_wrong_number_fails(tmp_path, monkeypatch):
    """Judge of the judge: the product with another input does not pass."""
    text = (FOLDER / "01_product.py").read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(text.replace("x=4, y=-3", "x=4, y=-2"), encoding="utf-8")
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", [str(wrong), str(tmp_path)])
    with pytest.raises(AssertionError):
        runpy.run_path(str(wrong), run_name="__main__")
    monkeypatch.delitem(sys.modules, "shared", raising=False)
