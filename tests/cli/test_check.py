"""``graphc check`` on sheets and submissions: what it prints and writes, its exit codes, and that it never raises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.cli.main import main

RIGHT = """
[[exercise]]
name = "lecture"
graph = "q = x + y\\nf = q*z"
claims = { x = "z", z = "q" }
"""
ASKED = RIGHT.replace('{ x = "z", z = "q" }', '["x", "z"]')


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "right.toml").write_text(RIGHT, encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(RIGHT.replace('"q" }', '"x - y" }'), encoding="utf-8")
    (tmp_path / "asked.toml").write_text(ASKED, encoding="utf-8")
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "ada.toml").write_text('x = "z"\nz = "x + y"', encoding="utf-8")
    (folder / "bob.txt").write_text("x = -z\nz = q", encoding="utf-8")
    return tmp_path


def test_sheet_with_right_answers_is_exit_0(capsys, here):
    code, out, _ = run(capsys, "right.toml", "--proof", "0")
    assert code == 0
    assert "lecture (2 of 2)" in out
    assert "\033" not in out


def test_sheet_with_a_wrong_answer_is_exit_1_and_says_why(capsys, here):
    code, out, _ = run(capsys, "wrong.toml")
    assert code == 1
    assert "z: x - y   WRONG" in out
    assert "correct: q" in out
    assert "right, proved" in out


def test_submissions_are_a_table_and_files(capsys, here):
    code, out, _ = run(
        capsys, "asked.toml", "--submissions", "answers", "--save", "g.csv", "--save", "g.json", "--save", "g.txt"
    )
    assert code == 1
    assert "2 submissions" in out
    assert "WRONG" not in out
    rows = (here / "g.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1].startswith("ada,ada.toml,2,2,1,1")
    assert rows[2].startswith("bob,bob.txt,1,2,0,1")
    assert json.loads((here / "g.json").read_text(encoding="utf-8"))["exit_code"] == 1
    assert "the sign is flipped" in (here / "g.txt").read_text(encoding="utf-8")
    assert not list(here.glob(".graphc-*"))


def test_details_print_what_students_should_read(capsys, here):
    _, out, _ = run(capsys, "asked.toml", "--submissions", "answers", "--details")
    assert "the sign is flipped" in out


def test_json_is_printed(capsys, here):
    code, out, _ = run(capsys, "asked.toml", "--submissions", "answers", "--json")
    assert code == 1
    assert len(json.loads(out)["students"]) == 2


def test_programs_need_the_option_and_it_warns(capsys, here):
    (here / "answers" / "zoe.py").write_text("def lecture(x, y, z): return {'x': z, 'z': x + y}\n", encoding="utf-8")
    code, out, err = run(capsys, "asked.toml", "--submissions", "answers")
    assert code == 1
    assert "only with --run-python" in out
    assert not err
    _, out, err = run(capsys, "asked.toml", "--submissions", "answers", "--run-python")
    assert "with your rights" in err
    assert "without a sandbox" in err
    assert "zoe      2 of 2" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.toml"], ["missing.toml", "cannot be read"]),
        (["asked.toml"], ["--submissions"]),
        (["asked.toml", "--submissions", "nowhere"], ["nowhere", "cannot be read"]),
        (["right.toml", "--claim", "x=z"], ["--claim goes with an expression"]),
        (["right.toml", "--save", "g.doc"], [".csv"]),
        (["right.toml", "--save", "no/g.csv"], ["no folder"]),
        (["right.toml", "--seconds", "0"], ["above 0"]),
        (["right.toml", "--proof", "-1"], ["--proof"]),
        (["right.toml", "--run-python"], ["--submissions"]),
        (["x*y"], ["no claim"]),
        (["x*y", "--claim", "x=y", "--submissions", "answers"], ["go with a sheet"]),
        (["x*y", "--claim", "x=y", "--save", "g.csv"], [".html"]),
    ],
)
def test_bad_input_is_exit_2_with_one_message(capsys, here, arguments, words):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("graphc check: ")
    for word in words:
        assert word in err


def test_expression_can_be_saved_as_page_picture_and_text(capsys, here):
    code, _, _ = run(
        capsys, "x*y", "--claim", "x=x", "--proof", "0", "--save", "r.html", "--save", "r.svg", "--save", "r.txt",
        "--save", "r.json",
    )  # fmt: skip
    assert code == 1
    assert (here / "r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "<svg" in (here / "r.svg").read_text(encoding="utf-8")
    assert "WRONG" in (here / "r.txt").read_text(encoding="utf-8")
    assert json.loads((here / "r.json").read_text(encoding="utf-8"))["format"] == 1


def test_undecided_is_exit_3(capsys, here):
    # far from where its square root is real, the graph has hardly a value
    code, out, _ = run(capsys, "sqrt(x - 10**9)", "--claim", "x=1/(2*f)", "--proof", "0")
    assert code == 3
    assert "undecided" in out


def test_check_runs_as_a_program_without_colours_in_a_pipe(here):
    done = subprocess.run(
        [sys.executable, "-m", "graphc.cli.main", "check", "wrong.toml", "--proof", "0"],
        cwd=here, capture_output=True, text=True, encoding="utf-8", check=False,
        env={**__import__("os").environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "\033" not in done.stdout
    assert "WRONG" in done.stdout
