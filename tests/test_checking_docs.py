"""docs/checking.md is executed: its blocks run as they stand and print what follows them."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from graphc.cli.main import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "checking.md"

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

#: Differences in the last digits follow from the processor: what is of the size of rounding is not compared.
_ROUNDING = re.compile(r"-?\d\.\d+e-\d\d|\d\.\d{2}(?=\s+right)|\d+ points")


def blocks() -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return [(language, content) for language, content in _FENCED.findall(PAGE.read_text(encoding="utf-8"))]


def rewritten(folder: Path) -> str:
    """The page with what its blocks print now; ``python -m tests.test_checking_docs`` writes it."""
    results = iter(executed(folder))
    return _FENCED.sub(lambda found: f"```{found[1]}\n{next(results)}```", PAGE.read_text(encoding="utf-8"))


def executed(folder: Path) -> list[str]:
    """Every block with what it prints, in place of what the page says."""
    found = blocks()
    scope: dict[str, object] = {}
    results = []
    for k, (language, content) in enumerate(found):
        out = io.StringIO()
        if language == "python":
            with contextlib.redirect_stdout(out):
                exec(compile(content, f"block {k}", "exec"), scope)
            results.append(content)
            if k + 1 < len(found) and found[k + 1][0] == "":
                results.append("\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines()) + "\n")
        elif language == "console":
            command, _ = content.split("\n", 1)
            with contextlib.redirect_stdout(out):
                main(shlex.split(command.removeprefix("$ graphc ")))
            results.append(f"{command}\n{re.sub(r'in [0-9.]+ s', 'in 1.0 s', out.getvalue())}")
        elif language == "toml":
            results.append(content)
            table = tomllib.loads(content)
            (folder / "answers").mkdir(exist_ok=True)
            path = folder / "answers" / "ada.toml" if "student" in table else folder / "week3.toml"
            path.write_text(content, encoding="utf-8")
        elif not (k and found[k - 1][0] == "python"):
            results.append(content)
    return results


def test_page_prints_what_it_says(tmp_path, monkeypatch):
    pytest.importorskip("mpmath")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    for (language, content), result in zip(blocks(), executed(tmp_path), strict=True):
        assert _ROUNDING.sub("~", result).split() == _ROUNDING.sub("~", content).split(), language
    assert (tmp_path / "grades.csv").exists()


def test_page_shows_the_ten_messages():
    text = PAGE.read_text(encoding="utf-8")
    section = text.split("## Diagnosis")[1].split("## ")[0]
    assert len(re.findall(r"^d\w+/d\w+ = .*\n    [\w']", section, re.MULTILINE)) == 10
    assert "    None" not in section


def test_links_of_the_page_lead_to_files():
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert targets
    assert not [target for target in targets if "://" not in target and not (PAGE.parent / target).exists()]


if __name__ == "__main__":
    import os
    import tempfile

    os.environ["NO_COLOR"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        PAGE.write_text(rewritten(Path(temporary)), encoding="utf-8")
        os.chdir(ROOT)
