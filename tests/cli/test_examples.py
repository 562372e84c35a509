"""Every example runs, and its claims hold: each asserts what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphc

FOLDER = Path(graphc.__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.py"))


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not part of an installed graphc")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_keeps_its_promise(path, tmp_path):
    assert path.read_text(encoding="utf-8").startswith('"""')
    assert path.read_text(encoding="utf-8").splitlines()[0].endswith("?"), "an example opens with a question"
    result = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(FOLDER.parent),
            "PYTHONIOENCODING": "utf-8",
            "TMPDIR": str(tmp_path),
        },
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_there_are_examples():
    assert not FOLDER.is_dir() or len(EXAMPLES) >= 5
