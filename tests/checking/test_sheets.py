"""Sheets: graphs from lines, exercises, answers of students; the sheets of examples/exercises with their verdicts."""

from __future__ import annotations

import functools
import json

import pytest

import graphc
from graphc.checking.grading import answers_of_sheet, grade
from graphc.checking.sheet_graphs import graph_of_lines
from graphc.checking.sheets import read_answers, read_sheet
from graphc.errors import CheckError
from tests.checking.exercises import FOLDER, SHEETS, stated


def sheet_of(tmp_path, text):
    path = tmp_path / "sheet.toml"
    path.write_text(text, encoding="utf-8")
    return read_sheet(path)


def answers_of(tmp_path, sheet, text, name="ada.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_answers(path, sheet)


SHEET = """
title = "Circuits"
[[exercise]]
name = "lecture"
graph = "f = (x + y)*z"
claims = ["x", "z"]
weights = { z = 3 }
"""


# ---- graphs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "leaves", "at", "value"),
    [
        ("(x + y)*z", {}, {"x": -2, "y": 5, "z": -4}, -12),
        ("q = x + y\nf = q*z  # the product", {}, {"x": -2, "y": 5, "z": -4}, -12),
        ("f = 1/(1 + exp(-x))", {}, {"x": 0}, 0.5),
        ("f = max(x, 0) - min(x, 2)**2", {}, {"x": 3}, -1),
        ("f = sin(x)", {}, {"x": 0}, 0),
        ("f = where(x > 1, x, 2*x)", {}, {"x": 3}, 3),
        ("S = X @ W.T\nL = sum(S[0]) + mean(S, axes=(0,))[1]", {"X": (2, 2), "W": (2, 2)},
         {"X": [[1, 2], [3, 4]], "W": [[1, 0], [0, 1]]}, 6),
        ("L = sum(concat([a, b], axis=0)[1:3])", {"a": (2,), "b": (2,)}, {"a": [1, 2], "b": [3, 4]}, 5),
        ("L = softmax_cross_entropy(S, label)", {"S": (1, 2), "label": "int32"}, {"S": [[0, 0]], "label": [1]},
         0.6931471805599453),
    ],
)  # fmt: skip
def test_lines_become_graphs_with_the_right_values(text, leaves, at, value):
    declared = {
        name: graphc.input(name, (1,), dtype="int32") if shape == "int32" else graphc.input(name, shape)
        for name, shape in leaves.items()
    }
    root = graph_of_lines(text, declared)
    assert float(graphc.backward(root).at(at).value(root)) == pytest.approx(value)
    assert root.name == text.splitlines()[-1].split(" = ")[0] if " = " in text else root.name == "f"


def test_nodes_remember_their_line():
    root = graph_of_lines("q = x + y\nf = q*z", {})
    assert root.site.line == 2
    assert root.operands[0].site.line == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no lines"),
        ("q = x + y\nf = x*z", "nothing leads to it from y, q"),
        ("f = x*y\nf = f*z", "line 2.*'f' is taken"),
        ("f = sigmiod(x)", "did you mean 'sigmoid'"),
        ("f = __import__('os').system('true')", "nothing was executed"),
        ("f = x.__class__", "nothing was executed"),
        ("f = (lambda: x)()", "nothing was executed"),
        ("f = [x for x in y]", "nothing was executed"),
        ("f = x^2", "powers are written"),
        ("f = 9**9**9", "too large"),
        ("f = x +", "cannot read"),
        ("import os", "name = formula"),
        ("f, g = x", "defines one name"),
        ("x + y\nz", "line 1.*name = formula"),
        ("f = 3 + 4", "no node"),
        ("f = softmax(x, axs=0)", "unexpected keyword|got an unexpected"),
        ("q = x\nf = q*y", "second name"),
        ("f = " + "(" * 400 + "x" + ")" * 400, "nested"),
        ("f = sum(*x)", "starred"),
    ],
)
def test_lines_that_cannot_be_read_are_refused(text, words):
    with pytest.raises(CheckError, match=words):
        graph_of_lines(text, {})


def test_name_that_is_not_declared_is_refused_where_inputs_are():
    with pytest.raises(CheckError, match="no 'w'.*inputs and lines before: x"):
        graph_of_lines("f = w*x", {"x": graphc.input("x")})


def test_shapes_that_do_not_fit_name_the_line():
    with pytest.raises(CheckError, match="line 1") as caught:
        graph_of_lines("S = X @ W\nL = sum(S)", {"X": graphc.input("X", (2, 3)), "W": graphc.input("W", (2, 3))})
    assert ".py" not in str(caught.value)


# ---- sheets and answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "is not TOML"),
        ("title = 'x'", "no exercises"),
        ("[[exercise]]\nname = 'a'\nclaims = ['x']", "'a' has no graph"),
        ("[[exercise]]\ngraph = 'x*y'", "asks for nothing"),
        ("[[exercise]]\ngraph = 'x*y'\nclaims = ['w']", "asks for 'w'"),
        ("[[exercise]]\ngraph = 'x*y'\nclaim = ['x']", "did you mean 'claims'"),
        ("[[exercise]]\ngraph = 'x*y'\nclaims = ['x']\nweights = { y = 1 }", "which is not asked for"),
        ("[[exercise]]\ngraph = 'x*y'\nclaims = ['x']\nweights = { x = -1 }", "number from 0 up"),
        ("[[exercise]]\ngraph = 'x*y'\nclaims = ['x']\nconventions = { ties = 'left' }", "ties"),
        ("[[exercise]]\nname='a'\ngraph = 'x*y'\nclaims = ['x']\n" * 2, "two exercises 'a'"),
        ("[partial]\nsigns = 1\n[[exercise]]\ngraph = 'x*y'\nclaims = ['x']", "did you mean 'sign'"),
        ("[partial]\nsign = 2\n[[exercise]]\ngraph = 'x*y'\nclaims = ['x']", "from 0 to 1"),
        ("[[exercise]]\ngraph = 'sum(x)'\nclaims = ['x']\ninputs = { x = 3 }", r"a list such as \[3\]"),
        ("[[exercise]]\ngraph = 'sum(x)'\nclaims = ['x']\ninputs = { x = ['N', -1] }", "exercise '1'"),
        ("[[exercise]]\ngraph = 'x*y'\nclaims = ['x']\nupstream = 'G'", "no 'G'"),
        ('[[exercise]]\ngraph = "x*y"\nclaims = { x = "\\sigma" }', "single quotes"),
    ],
)
def test_sheets_that_cannot_be_read_are_refused(tmp_path, text, words):
    with pytest.raises(CheckError, match=words):
        sheet_of(tmp_path, text)


def test_answers_are_read_by_exercise_or_plainly(tmp_path):
    sheet = sheet_of(tmp_path, SHEET)
    assert sheet.weight == 4
    quoted = answers_of(tmp_path, sheet, 'student = "Ada"\n[lecture]\nx = "z"\nz = "x + y"')
    assert quoted.student == "Ada"
    assert quoted.claims == {"lecture": {"x": "z", "z": "x + y"}}
    for text in ("x = z\nz = x + y  # sum", 'x = "z"\nz = "x + y"', "[lecture]\nx =z\nz= x + y"):
        assert answers_of(tmp_path, sheet, text).claims == quoted.claims, text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b"x = [[[", "is not TOML"),
        (b"x = " + b"[" * 100_000, "is not TOML"),
        (b"a" * 2_000_000, "at most"),
        (b"student = 3\nx = [1]", "student is a name"),
    ],
)
def test_bad_answers_say_what_is_wrong_with_them(tmp_path, content, problem):
    sheet = sheet_of(tmp_path, SHEET)
    (tmp_path / "bob.toml").write_bytes(content)
    assert problem in read_answers(tmp_path / "bob.toml", sheet).problem


def test_answers_that_nobody_asked_for_are_noted(tmp_path):
    sheet = sheet_of(tmp_path, SHEET)
    given = answers_of(tmp_path, sheet, '[lecture]\nx = "z"\ny = "z"\n[lectures]\nx = "z"')
    assert given.claims == {"lecture": {"x": "z"}}
    assert any("'y' was not asked for" in note for note in given.notes)
    assert any("did you mean 'lecture'" in note for note in given.notes)


# ---- the sheets of examples/exercises ------------------------------------------------------------------------


def test_sheets_cover_sections_1_2_and_4():
    assert [path.stem for path in SHEETS] == ["circuits", "losses", "recurrence"]
    for path in SHEETS:
        assert {p.stem for p in (FOLDER / path.stem).glob("*.toml")} == {"right", "typical"}


@functools.cache
def graded_sheet(path):
    """A sheet, and its own answers and those of the folder beside it, judged by one process."""
    sheet = read_sheet(path)
    others = [read_answers(FOLDER / path.stem / f"{name}.toml", sheet) for name in ("right", "typical")]
    own, right, typical = grade(sheet, [answers_of_sheet(sheet), *others], processes=1)
    return sheet, {"own": own, "right": right, "typical": typical}


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.stem)
def test_answers_of_every_sheet_are_right(path):
    sheet, students = graded_sheet(path)
    graded = students["own"]
    assert graded.exit_code == 0, graded.marks
    assert graded.score == sheet.weight
    _, lines = stated(path)
    for exercise, said in lines.items():
        found = [line["verdict"] for line in graded.derivations[exercise]["lines"]]
        assert [("right" if f == "definition" else f) for f in found] == [verdict for verdict, _ in said]


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["right", "typical"])
def test_submissions_get_the_verdicts_that_stand_beside_them(path, name):
    sheet, students = graded_sheet(path)
    graded = students[name]
    file = FOLDER / path.stem / f"{name}.toml"
    assert not graded.problem
    assert not graded.answers.notes
    answers, lines = stated(file)
    assert len(answers) + sum(map(len, lines.values())) > 15
    marks = {(mark.exercise, mark.name): mark for mark in graded.marks}
    given = {(exercise, key) for exercise, claims in graded.answers.claims.items() for key in claims}
    assert given == answers.keys(), "every answer has its verdict beside it"
    for key, (verdict, words) in answers.items():
        assert marks[key].verdict == verdict, f"{key}: {marks[key].text}"
        assert words in marks[key].text, f"{key}: {marks[key].text}"
    for exercise, said in lines.items():
        found = graded.derivations[exercise]["lines"]
        for line, (verdict, words) in zip(found, said, strict=True):
            assert verdict == line["verdict"] or {verdict, line["verdict"]} == {"right", "definition"}, line
            assert words in (line["diagnosis"] or ""), line
    assert graded.exit_code == (0 if name == "right" else 1)
    if name == "right":
        assert graded.score == sheet.weight
    else:
        assert 0 < graded.score < sheet.weight / 2


def test_sheets_are_plain_data():
    for path in SHEETS:
        for exercise in read_sheet(path).exercises:
            assert json.loads(json.dumps(exercise.plain())) == exercise.plain()
