"""Examples on sequences, in the ways that they can be run: options, without matplotlib, and on real data."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import graphc

FOLDER = Path(graphc.__file__).parents[1] / "examples"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not part of an installed graphc")
needs_data = pytest.mark.skipif("GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA names no folder with the data")
WITHOUT = "import runpy, sys; sys.modules['matplotlib'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"


def printed(folder: Path, name: str, *arguments: str, real: bool = False, matplotlib: bool = True) -> str:
    """What an example prints; its drawings go below the folder."""
    environment = {key: value for key, value in os.environ.items() if real or key != "GRAPHC_DATA"}
    environment |= {"PYTHONPATH": str(FOLDER.parent), "PYTHONIOENCODING": "utf-8", "TMPDIR": str(folder)}
    start = [] if matplotlib else ["-c", WITHOUT]
    command = [sys.executable, "-W", "error", *start, str(FOLDER / name), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(text: str, pattern: str) -> list[float]:
    """Numbers in the one line that fits a pattern."""
    found = re.findall(pattern, text)
    assert len(found) == 1, text
    return [float(number) for number in (found[0] if isinstance(found[0], tuple) else found)]


def test_dates_with_the_score_of_luong_and_the_map_as_text(tmp_path):
    text = printed(tmp_path, "15_dates.py", "dot", matplotlib=False)
    (share,) = figures(text, r"([\d.]+)% of 1000 dates")
    assert share >= 95
    # ten rows, one for each character of the date, and each has seen something
    rows = text.splitlines()[-10:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", "".join(row[0] for row in rows))
    assert all(row[2:].strip() for row in rows)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
@pytest.mark.parametrize("name", ["15_dates.py", "16_forecast.py"])
def test_what_is_drawn_where_matplotlib_is(name, tmp_path):
    (path,) = re.findall(r"wrote (\S+\.svg)", printed(tmp_path, name))
    assert "</svg>" in Path(path).read_text(encoding="utf-8")


def test_a_forecast_without_matplotlib_says_so(tmp_path):
    text = printed(tmp_path, "16_forecast.py", matplotlib=False)
    assert "pip install 'graphc[draw]'" in text
    assert "made up" in text


@needs_data
def test_the_forecast_of_real_temperatures_beats_both_naive_ones(tmp_path):
    text = printed(tmp_path, "16_forecast.py", real=True)
    assert "3650 days in Melbourne" in text
    network, season, today = (figures(text, rf"{name}: ([\d.]+)  ([\d.]+)") for name in ("LSTM", "ago", "today"))
    assert network[0] < min(season[0], today[0]) - 0.2
    assert network[1] < min(season[1], today[1]) - 0.5


@needs_data
@pytest.mark.slow
def test_spanish_sentences_become_english_ones(tmp_path):
    text = printed(tmp_path, "15_dates.py", "spanish", real=True)
    (share,) = figures(text, r"([\d.]+)% of 1000 sentences")
    assert share >= 18  # word for word the one translation that is kept
