"""Grading: weights, partial credit, time limits, hostile submissions, Python files, tables and files."""

from __future__ import annotations

import csv
import json
import random
import time

import pytest

from graphc.checking.grading import answers_of_folder, answers_of_sheet, grade
from graphc.checking.helper import Helper, HelperError
from graphc.checking.sheets import Answers, read_answers, read_sheet
from graphc.errors import CheckError
from tests.checking.exercises import FOLDER, SHEETS
from tests.checking.test_report_formats import conforms

SHEET = """
title = "Two exercises"
[partial]
sign = 0.5
follows = 1

[[exercise]]
name = "neuron"
graph = "s = w*x + b\\nf = sigmoid(s)"
claims = { s = "f*(1 - f)", w = "f*(1 - f)*x" }
weights = { w = 3 }

[[exercise]]
name = "square"
graph = "h = tanh(v*x)\\nE = (h - t)**2/2"
claims = ["h", "v"]
"""


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    path = tmp_path_factory.mktemp("sheet") / "sheet.toml"
    path.write_text(SHEET, encoding="utf-8")
    return read_sheet(path)


def verdicts(graded):
    return {f"{mark.exercise}.{mark.name}": mark.verdict for mark in graded.marks}


def test_weights_and_partial_credit(sheet):
    answers = [
        Answers(
            "right",
            "",
            {"neuron": {"s": "f*(1 - f)", "w": "ds*x"}, "square": {"h": "h - t", "v": "dh*(1 - h**2)*x"}},
        ),
        Answers("sign", "", {"neuron": {"s": "-f*(1 - f)", "w": "f*x"}}),
        Answers("lines", "", {}, {"square": "dh = t - h\ndv = dh*(1 - h**2)*x"}),
        Answers("nothing", ""),
    ]  # fmt: skip
    book = grade(sheet, answers, processes=1)
    assert [graded.score for graded in book] == [6, 0.5, 0.5 + 1, 0]
    assert [graded.exit_code for graded in book] == [0, 1, 1, 1]
    assert verdicts(book[1]) == {
        "neuron.s": "differs", "neuron.w": "differs", "square.h": "missing", "square.v": "missing",
    }  # fmt: skip
    assert verdicts(book[2])["square.v"] == "follows"
    assert book.exit_code == 1
    assert "the sign is flipped" in book[1].marks[0].text


def test_without_partial_credit_wrong_is_wrong(sheet, tmp_path):
    path = tmp_path / "strict.toml"
    path.write_text(SHEET.replace("sign = 0.5\nfollows = 1", ""), encoding="utf-8")
    strict = read_sheet(path)
    (graded,) = grade(strict, [Answers("sign", "", {"neuron": {"s": "-f*(1 - f)"}})])
    assert graded.score == 0


def test_sheet_with_answers_is_proved(sheet):
    (graded,) = grade(sheet, [answers_of_sheet(sheet)], proof=5.0)
    assert [mark.verdict for mark in graded.marks[:2]] == ["proved", "proved"]


def test_sheet_without_answers_says_so(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("[[exercise]]\ngraph = 'x*y'\nclaims = ['x']", encoding="utf-8")
    with pytest.raises(CheckError, match="--submissions"):
        answers_of_sheet(read_sheet(path))


def test_conventions_of_the_sheet_and_of_the_exercise_count(tmp_path):
    exercise = "[[exercise]]\nname = '{}'\ngraph = 'f = relu(x)'\nclaims = ['x']\n"
    text = "conventions = { relu_at_zero = 0 }\n" + exercise.format("a") + exercise.format("b")
    (tmp_path / "sheet.toml").write_text(text + "conventions = { relu_at_zero = 1 }\n", encoding="utf-8")
    sheet = read_sheet(tmp_path / "sheet.toml")
    (graded,) = grade(sheet, [Answers("ada", "", {"a": {"x": "x >= 0"}, "b": {"x": "x >= 0"}})])
    assert [mark.verdict for mark in graded.marks] == ["differs", "agrees"]


def write(folder, **files):
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_bytes(text if isinstance(text, bytes) else text.encode())


def test_hostile_and_endless_submissions_do_not_stop_the_batch(sheet, tmp_path):
    write(
        tmp_path,
        ada_toml='[neuron]\ns = "f*(1 - f)"',
        bytes_toml=b"\xff\xfe\x00",
        broken_toml="[neuron\ns = 1",
        deep_toml="[neuron]\ns = '" + "(" * 50_000 + "'",
        power_toml="[neuron]\ns = '9**9**9**9'\nw = 'f**999**9'",
        execute_toml=f"[neuron]\ns = '''__import__(\"os\").system(\"touch {tmp_path}/pwned\")'''",
        tower_toml="[neuron]\ns = '" + "exp(" * 30 + "s" + ")" * 30 + "'",
        types_toml="[neuron]\ns = true\nw = [1, 2]\n[square]\nh = 1979-05-27\nv = { a = 1 }",
        zoe_toml="neuron = 3",
    )
    answers = answers_of_folder(tmp_path, sheet)
    book = grade(sheet, answers, seconds=5)
    assert [graded.answers.student for graded in book] == sorted(path.stem for path in tmp_path.glob("*.toml"))
    by_name = {graded.answers.student: graded for graded in book}
    assert by_name["ada"].score == 1
    assert all(graded.score == 0 for name, graded in by_name.items() if name != "ada")
    assert by_name["bytes"].problem
    assert by_name["broken"].problem
    assert verdicts(by_name["power"])["neuron.s"] == "unreadable"
    assert verdicts(by_name["execute"])["neuron.s"] == "unreadable"
    assert verdicts(by_name["types"])["neuron.s"] == "unreadable"
    assert not (tmp_path / "pwned").exists()


def test_programs_are_not_touched_unless_asked_for(sheet, tmp_path):
    write(tmp_path, ada_py=f"open({str(tmp_path / 'ran')!r}, 'w')")
    book = grade(sheet, answers_of_folder(tmp_path, sheet))
    assert "only with --run-python" in book[0].problem
    assert not (tmp_path / "ran").exists()
    assert book.exit_code == 1


def test_programs_are_judged_in_a_process_of_their_own(sheet, tmp_path):
    write(
        tmp_path,
        ada_py='import numpy\nprint(\'{"not": "an answer"}\')\n'
        "def neuron(f, x): return {'s': f*(1 - f), 'w': f*(1 - f)*numpy.asarray(x)}\n"
        "def square_h(h, t): return h - t + 1e-3\n",
        endless_py="def neuron_s(f):\n    while True: pass\ndef neuron_w(f, x): return f*(1 - f)*x\n",
        exit_py="import os\nos._exit(0)",
        fail_py="def neuron(f): return 1/0",
        loud_py="import os\ndef neuron_s(f):\n    os.write(1, b'x'*100000)\n    return f*(1 - f)\n",
    )
    book = grade(sheet, answers_of_folder(tmp_path, sheet), seconds=2, python=tmp_path)
    ada, endless, stopped, fail, loud = book
    assert verdicts(ada) == {
        "neuron.s": "agrees", "neuron.w": "agrees", "square.h": "differs", "square.v": "missing",
    }  # fmt: skip
    assert "longer than 2 s" in endless.marks[0].text
    assert endless.marks[1].verdict == "agrees"
    assert "ended the process" in stopped.problem
    assert "ZeroDivisionError" in fail.marks[0].text
    assert "Traceback" not in fail.marks[0].text
    assert loud.marks[0].verdict == "agrees"


def test_helper_is_replaced_when_it_overruns_or_dies():
    with Helper("graphc.checking.grader") as helper:
        assert helper.ready() == "ready"
        claims = {"exercise": {"name": "a", "graph": "x*y"}, "claims": {"x": "y"}, "proof": 0}
        with pytest.raises(HelperError) as caught:
            helper.ask(claims, 0.0001)
        assert caught.value.late
        assert helper.ask(claims, 60)["x"]["verdict"] == "agrees"
        with pytest.raises(HelperError) as caught:
            helper.ask({"no": "exercise"}, 60)  # a defect ends the process
        assert not caught.value.late
        assert helper.ask(claims, 60)["x"]["verdict"] == "agrees"
        assert helper.started == 3
    with pytest.raises(HelperError):
        helper.ask(claims, 60)


def test_claim_that_overruns_is_undecided_and_the_others_are_judged(sheet, monkeypatch):
    from graphc.checking import grading

    class Slow(Helper):
        def ask(self, question, seconds):
            if any(claim == "slow" for claim in question.get("claims", {}).values()):
                self.stop()
                raise HelperError(late=True)
            return super().ask(question, seconds)

    monkeypatch.setattr(grading, "Helper", Slow)
    (graded,) = grade(sheet, [Answers("ada", "", {"neuron": {"s": "slow", "w": "f*(1 - f)*x"}})])
    assert [mark.verdict for mark in graded.marks[:2]] == ["undecided", "agrees"]
    assert "stopped after 10 s" in graded.marks[0].text


def test_tables_and_files(sheet):
    answers = [
        Answers("=cmd()", "a.toml", {"neuron": {"s": "f*(1 - f)", "w": "2*f*(1 - f)*x"}}),
        Answers("Zoë, Müller", "b.toml", {}, {"square": "dh = h - t\ndv = dh*x"}),
        Answers("broken", "c.toml", problem="c.toml is not TOML"),
    ]
    book = grade(sheet, answers)
    rows = list(csv.reader(book.csv().splitlines()))
    assert rows[0][:6] == ["student", "file", "score", "of", "neuron.s", "neuron.w"]
    assert rows[1][0] == "'=cmd()"
    assert rows[2][0] == "Zoë, Müller"
    assert [row[2] for row in rows[1:]] == ["1", "1", "0"]
    data = json.loads(book.json())
    conforms(data, "gradebook")
    assert data["students"][0]["marks"][1]["finding"]["diagnosis"]
    assert data["students"][1]["derivations"]["square"]["first_wrong"] == 2
    text = "".join(part for _, part in book.table())
    assert "3 submissions" in text
    assert "c.toml is not TOML" in text


# ---- a hundred submissions -----------------------------------------------------------------------------------


def class_of(sheet, right, typical, seed):
    """100 students; claims with a number of their own, so that no two are the same; 15 % of right ones spoilt."""
    draw = random.Random(seed)
    students = []
    for k in range(100):
        claims = {}
        for exercise in sheet.exercises:
            for name in exercise.weights:
                source = right if draw.random() < 0.7 else typical
                claim = source.claims.get(exercise.name, {}).get(name)
                if claim is None:
                    continue
                if isinstance(claim, str):
                    number = draw.randint(2, 10**6)
                    slip = 0 if draw.random() < 0.85 else 1
                    claim = f"{number}*({claim})/{number + slip}"
                claims.setdefault(exercise.name, {})[name] = claim
        derivations = (right if draw.random() < 0.7 else typical).derivations
        students.append(Answers(f"student {k}", f"{k}.toml", claims, derivations))
    return students


@pytest.mark.slow
@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.stem)
def test_a_hundred_submissions_are_graded_within_a_minute(path):
    sheet = read_sheet(path)
    right, typical = (read_answers(FOLDER / path.stem / f"{name}.toml", sheet) for name in ("right", "typical"))
    students = class_of(sheet, right, typical, seed=0)
    start, work = time.perf_counter(), sum(len(c) for s in students for c in s.claims.values())
    book = grade(sheet, students)
    seconds = time.perf_counter() - start
    print(f"{path.stem}: 100 submissions, {work} different claims in {seconds:.1f} s")
    assert len(book) == 100
    assert not [mark for graded in book for mark in graded.marks if mark.verdict in ("undecided", "unreadable")]
    assert seconds < 60
