"""Derivations line by line: the first wrong line is named, and later ones that only follow from it say so."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy
import pytest

import graphc
from graphc.checking.derivation import check_derivation
from graphc.checking.language.text import claim_text
from graphc.errors import CheckError
from graphc.formula.expression import Expression
from tests.checking import mutation_graphs as graphs
from tests.checking.held_out_graphs import HELD_OUT
from tests.checking.mutation_trials import Trials, equal
from tests.checking.mutations import Mutator, substituted


@dataclass
class Lesson:
    """A right derivation, and wrong forms of its lines by number."""

    name: str
    build: Callable[[], graphc.Node]
    lines: tuple[str, ...]
    slips: dict[int, tuple[str, ...]]


LESSONS = [
    Lesson("lecture", graphs.lecture, ("dq = z", "dz = q", "dx = dq", "dy = dq"), {
        1: ("dq = q", "dq = -z", "dq = 1"), 2: ("dz = x - y", "dz = z"), 3: ("dx = dq*y", "dx = -dq"),
    }),
    Lesson("neuron", graphs.folded_neuron, ("ds = f*(1 - f)", "dw0 = ds*x0", "dx1 = ds*w1", "dw2 = ds"), {
        1: ("ds = f*(1 + f)", "ds = 1 - f", "ds = s*(1 - s)"), 2: ("dw0 = ds*w0", "dw0 = ds"), 4: ("dw2 = ds*w2",),
    }),
    Lesson("two layers", graphs.two_layers, (
        "let e = y - t", "dw2 = e*h", "dh = e*w2", "let delta = dh*(1 - h**2)", "dw1 = delta*x", "dx = delta*w1",
    ), {
        1: ("let e = t - y", "let e = (y - t)/2", "let e = y + t"), 2: ("dw2 = e", "dw2 = e*s"),
        3: ("dh = e*w1", "dh = e + w2", "dh = -e*w2"),
        4: ("let delta = dh", "let delta = dh*(1 - s**2)", "let delta = dh*(1 - h)", "let delta = dh*h"),
        5: ("dw1 = delta", "dw1 = delta*w1"), 6: ("dx = delta*x",),
    }),
    Lesson("two sigmoid layers", graphs.two_sigmoid_layers, (
        "delta_k = (y - t)*y*(1 - y)", "dw2 = delta_k*z", "delta_j = delta_k*w2*z*(1 - z)", "dw1 = delta_j*x",
    ), {
        1: ("delta_k = y - t", "delta_k = (t - y)*y*(1 - y)"), 2: ("dw2 = delta_k",),
        3: ("delta_j = delta_k*z*(1 - z)", "delta_j = delta_k*w2*z", "delta_j = delta_k*w2*(1 - z**2)"),
        4: ("dw1 = delta_k*x",),
    }),
    Lesson("recurrence", graphs.recurrence, (
        "let e3 = (h3 - t)*(1 - h3**2)", "let e2 = e3*w*(1 - h2**2)", "let e1 = e2*w*(1 - h1**2)",
        "dw = e3*h2 + e2*h1 + e1*h0", "du = e3*x3 + e2*x2 + e1*x1", "dh0 = e1*w",
    ), {
        1: ("let e3 = h3 - t", "let e3 = (h3 - t)*(1 - h2**2)"),
        2: ("let e2 = e3*(1 - h2**2)", "let e2 = e3*w*(1 - h1**2)", "let e2 = e3*u*(1 - h2**2)"),
        3: ("let e1 = e2*w*(1 - h2**2)",), 4: ("dw = e3*h2", "dw = e3*h3 + e2*h2 + e1*h1", "dw = e3*h2 + e2*h1"),
        5: ("du = e3*x3",), 6: ("dh0 = e1", "dh0 = e1*u"),
    }),
    Lesson("two layer net", graphs.two_layer_net, (
        "dY = Y - T", "dW2 = H.T @ dY", "db2 = sum(dY, axis=0)", "dH = dY @ W2.T", "dS = dH*(1 - H**2)",
        "dW1 = X.T @ dS",
    ), {
        1: ("dY = T - Y", "dY = Y"), 2: ("dW2 = S.T @ dY",), 3: ("db2 = dY", "db2 = mean(dY, axis=0)"),
        4: ("dH = -dY @ W2.T",), 5: ("dS = dH", "dS = dH*(1 - S**2)", "dS = dH*H*(1 - H)"), 6: ("dW1 = X.T @ dH",),
    }),
    Lesson("classifier", graphs.relu_classifier, (
        "let G = (softmax(Z) - one_hot(label, 3))/4", "dW2 = H.T @ G", "dH = G @ W2.T", "dS = dH*(S > 0)",
        "dW1 = X.T @ dS", "db1 = sum(dS, axis=0)",
    ), {
        1: ("let G = softmax(Z)/4", "let G = softmax(Z) - one_hot(label, 3)",
            "let G = (one_hot(label, 3) - softmax(Z))/4"),
        2: ("dW2 = H.T @ G/4",), 4: ("dS = dH", "dS = dH*(S < 0)"), 5: ("dW1 = X.T @ dH",), 6: ("db1 = dS",),
    }),
]  # fmt: skip

WRONG = [
    pytest.param(lesson, number, slip, id=f"{lesson.name}-{number}-{slip}")
    for lesson in LESSONS
    for number, slips in lesson.slips.items()
    for slip in slips
]


def users(lines: tuple[str, ...], number: int) -> set[int]:
    """Lines that use a line, directly or by way of others."""
    names = [line.removeprefix("let ").split("=")[0].strip() for line in lines]
    found = {number}
    for k, line in enumerate(lines, 1):
        right = line.split("=", 1)[1]
        if any(names[n - 1] in right.replace("*", " ").replace("(", " ").replace(",", " ").split() for n in found):
            found.add(k)
    return found - {number}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_right_derivation_is_right_in_every_line(lesson: Lesson) -> None:
    report = check_derivation(lesson.build(), lesson.lines)
    assert [step.verdict for step in report] == ["right"] * len(lesson.lines), str(report)
    assert report.first_wrong is None
    assert report.ok
    assert report.exit_code == 0


def judged_rightly(lesson: Lesson, number: int, slip: str) -> str:
    """Nothing where the first wrong line and those that follow from it are found, else the report."""
    lines = (*lesson.lines[: number - 1], slip, *lesson.lines[number:])
    report = check_derivation(lesson.build(), lines)
    follows = {step.number for step in report if step.verdict == "follows"}
    others = {step.number for step in report if step.verdict == "right"}
    wanted = users(lines, number)
    fine = (
        report.first_wrong is not None
        and report.first_wrong.number == number
        and follows == wanted
        and others == set(range(1, len(lines) + 1)) - wanted - {number}
        and all(report[n - 1].because == (number,) for n in wanted)
        and report.exit_code == 1
    )
    return "" if fine else str(report)


@pytest.mark.parametrize(("lesson", "number", "slip"), WRONG[::6])
def test_first_wrong_line_is_named_and_others_follow(lesson: Lesson, number: int, slip: str) -> None:
    problem = judged_rightly(lesson, number, slip)
    assert not problem, problem


@pytest.mark.slow
def test_first_wrong_line_is_always_found() -> None:
    problems = [judged_rightly(*case.values) for case in WRONG]
    print(f"first wrong line found in {problems.count('')} of {len(WRONG)} derivations")
    assert len(WRONG) >= 40
    assert not any(problems), "\n".join(p for p in problems if p)


def slipped(exercise: graphs.Exercise, chance: random.Random) -> Iterator[tuple[list[str], int]]:
    """Derivations from an exercise's lets and answers, with one random slip in the tree of one line."""
    trials = Trials(exercise)
    right = {f"let {k}": text for k, text in exercise.lets.items()}
    right |= {f"d{k}": text for k, text in exercise.answers.items() if f"d{k}" not in exercise.lets}
    lets: dict[str, Expression] = {}
    for name, text in exercise.lets.items():
        lets[name] = graphs.read(text, lets)
    mutator = Mutator({}, {}, trials.arriving, chance)
    for _ in range(30):
        number, (name, text) = chance.choice(list(enumerate(right.items(), 1)))
        slips = list(mutator.walk(graphs.read(text), lambda e: e, True))
        if not slips:
            continue
        slip = graphs.plain(chance.choice(slips)[0])
        new, old = (trials.values(substituted(tree, lets)) for tree in (slip, graphs.plain(graphs.read(text))))
        if new is None or numpy.shape(new[0]) != numpy.shape(old[0]) or all(map(equal, new, old)):
            continue
        lines = [f"{n} = {claim_text(graphs.plain(graphs.read(t)))}" for n, t in right.items()]
        lines[number - 1] = f"{name} = {claim_text(slip)}"
        yield lines, number


@pytest.mark.slow
def test_random_slips_are_found_in_their_lines() -> None:
    chance = random.Random(4)
    found = made = 0
    missed = []
    for exercise in (*graphs.EXERCISES, *HELD_OUT):
        if not exercise.lets:
            continue
        for lines, number in itertools.islice(slipped(exercise, chance), 12):
            report = check_derivation(exercise.build(), lines)
            made += 1
            found += report.first_wrong is not None and report.first_wrong.number == number
            if report.first_wrong is None or report.first_wrong.number != number:
                missed.append(f"{exercise.name}, line {number}: {report}")
    print(f"first wrong line found in {found} of {made} derivations with random slips")
    assert made >= 100
    assert found >= 0.98 * made, "\n".join(missed)


def test_slip_is_named_with_its_gate() -> None:
    report = check_derivation(graphs.two_layers(), ["dy = y - t", "dh = dy*w2", "ds = dh*(1 - s**2)", "dw1 = ds*x"])
    first = report.first_wrong
    assert first.number == 3
    assert "before the activation" in str(first.diagnosis)
    assert "tanh" in str(first.diagnosis)
    assert report[3].because == (3,)
    text = str(report)
    assert "the first wrong one is line 3" in text
    assert "follows from your line 3, which is wrong" in text
    assert report.marks()
    data = json.loads(report.json())
    assert data["first_wrong"] == 3
    assert [line["verdict"] for line in data["lines"]] == ["right", "right", "wrong", "follows"]


def test_second_mistake_is_a_mistake_of_its_own() -> None:
    report = check_derivation(graphs.two_layers(), ["dy = t - y", "dh = dy*w2", "ds = dh", "dw1 = ds*x"])
    assert [step.verdict for step in report] == ["wrong", "follows", "wrong", "follows"]
    assert "1 - h**2" in str(report[2].diagnosis)
    assert report[3].because == (3,) or report[3].because == (1, 3)


def test_name_alone_on_the_right_is_no_proof_of_what_it_stands_for() -> None:
    report = check_derivation(graphs.two_layers(), ["let e = y - t", "dw2 = e"])
    assert [step.verdict for step in report] == ["right", "wrong"]
    report = check_derivation(graphs.two_layers(), ["let e = (t - y)*w2", "dh = e", "ds = e*(1 - h**2)"])
    assert [step.verdict for step in report] == ["wrong", "follows", "follows"]


def test_mistakes_that_cancel_are_noted() -> None:
    report = check_derivation(graphs.two_layers(), ["dy = t - y", "dw2 = -dy*h"])
    assert [step.verdict for step in report] == ["wrong", "right"]
    assert "mistakes cancel" in report[1].note


def test_mistake_that_is_repeated_in_full_follows() -> None:
    report = check_derivation(graphs.two_layers(), ["dy = t - y", "dw2 = (t - y)*h", "dw1 = (y - t)*w2*(1 - h**2)*x"])
    assert [step.verdict for step in report] == ["wrong", "follows", "right"]


def test_name_that_stands_for_no_gradient_is_a_definition() -> None:
    report = check_derivation(graphs.two_layers(), ["let k = 1 - h**2", "dw1 = (y - t)*w2*k*x"])
    assert [step.verdict for step in report] == ["definition", "right"]


def test_lines_are_written_in_several_ways() -> None:
    lines = r"""
    # the output first
    \delta = y - t
    \frac{\partial f}{\partial w_2} = \delta h
    ∂f/∂h = \delta w_2
    let k := dh*(1 - h**2)
    w1.grad = k*x
    = (y - t) w_2 (1 - h^2) x
    """
    report = check_derivation(graphs.two_layers(), lines)
    assert [step.verdict for step in report] == ["right"] * 6, str(report)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("dw2", "no equals sign"),
        ("dw2 = (y - t)*g", "line 1.*no node 'g'"),
        ("let e = y - t\nlet e = t - y", "defined by line 1"),
        ("let h = y - t", "'h' is a node of the graph"),
        ("let 2a = y", "is no name"),
        ("= y", "no line before"),
        ("", "has no lines"),
        ("let e = __import__('os').system('true')", "line 1"),
        ("let e = (y.__class__)", "line 1"),
        ("dL/dw9 = 1", "w9"),
    ],
)
def test_lines_that_cannot_be_read_are_refused(lines: str, words: str) -> None:
    with pytest.raises(CheckError, match=words):
        check_derivation(graphs.two_layers(), lines)
