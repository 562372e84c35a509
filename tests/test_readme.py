"""The README is executed: its code blocks run as they stand, and print what their comments promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(tmp_path, code):
    script = tmp_path / "block.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_first_block_prints_the_numbers_in_its_comments(tmp_path):
    printed = run(tmp_path, BLOCKS[0]).split()
    promised = []
    for line in BLOCKS[0].splitlines():
        if "print(" in line and "#" in line:
            promised += line.rsplit("#", 1)[1].split()
    assert printed == promised
    assert len(promised) >= 5
    assert (tmp_path / "neuron.svg").stat().st_size > 1000


def test_first_block_is_short():
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 12


def test_the_other_blocks_run_as_they_stand(tmp_path):
    printed = run(tmp_path, "import graphc\n" + "\n".join(BLOCKS[1:]))
    assert "conv1" in printed
    assert (tmp_path / "digits.graphc").exists()
    assert "of peak" in printed
    assert (tmp_path / "step.svg").stat().st_size > 1000


def test_readme_diagram_is_what_its_code_draws(tmp_path):
    pytest.importorskip("ziamath", reason="formula labels of the README's diagram need the extra draw")
    run(tmp_path, BLOCKS[0])
    drawn = (tmp_path / "neuron.svg").read_bytes()
    assert drawn == (ROOT / "docs" / "images" / "neuron.svg").read_bytes()


def test_links_of_the_readme_lead_to_files():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
