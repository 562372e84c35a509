"""Grading answers to a sheet: weights, partial credit, and one process that judges under a time limit."""

from __future__ import annotations

import math
import os
import queue
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from graphc.checking.gradebook import RIGHT, Gradebook, Graded, Mark
from graphc.checking.grader import STARTING
from graphc.checking.helper import Helper, HelperError
from graphc.checking.sheets import Answers, Exercise, Sheet, read_answers
from graphc.checking.text import Parts, shortened
from graphc.errors import CheckError

__all__ = ["answers_of_folder", "answers_of_sheet", "grade"]

_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)

#: Time for an answer beyond the time for a claim, in seconds: reading, declaring the graph.
_GRACE = 1.0

RUNS_PYTHON = (
    "--run-python: the functions of these submissions are executed on this machine, with your rights, in a child "
    "process without a sandbox. Use it in a container or under an account that can do no harm."
)


# ---- answers -------------------------------------------------------------------------------------


def answers_of_sheet(sheet: Sheet) -> Answers:
    """The answers that a sheet itself holds.

    Raises
    ------
    CheckError
        If it holds none.
    """
    claims = {exercise.name: dict(exercise.answers) for exercise in sheet.exercises if exercise.answers}
    derivations = {exercise.name: exercise.derivation for exercise in sheet.exercises if exercise.derivation}
    if not claims and not derivations:
        raise CheckError(
            'the sheet asks and holds no answers; write them as claims = {x = "..."}, or give the answers of '
            "students with --submissions FOLDER"
        )
    return Answers(sheet.title, "", claims, derivations)


def answers_of_folder(folder: Path, sheet: Sheet) -> list[Answers]:
    """The answers of students: every .toml, .txt and .py file of a folder, by name.

    Raises
    ------
    CheckError
        If the folder cannot be read, or has no such file.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".toml", ".txt", ".py") and path.is_file())
    except OSError as error:
        raise CheckError(f"the folder {folder} cannot be read: {error.strerror or error}") from None
    if not files:
        raise CheckError(f"the folder {folder} has no submissions; each is a file such as ada.toml")
    return [
        Answers(path.stem, path.name) if path.suffix == ".py" else read_answers(path, sheet) for path in files
    ]  # fmt: skip


# ---- judging -------------------------------------------------------------------------------------


#: Answers by exercise, name and claim: what many students write is judged once.
_Said = dict[tuple[str, str, str], dict[str, Any]]


class _Judge:
    """A process that judges, and what has been said before."""

    def __init__(self, sheet: Sheet, seconds: float, proof: float, said: _Said) -> None:
        self.sheet, self.seconds, self.proof, self.said = sheet, seconds, proof, said
        self.helper = Helper("graphc.checking.grader")

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Ask the process; raises `HelperError`."""
        return self.helper.ask({**question, "proof": self.proof}, seconds + _GRACE)

    def claims(self, exercise: Exercise, claims: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Verdicts on claims: together in the time of one, and where that does not do, each in its own."""
        written = {name: _written(claim, number=exercise.at is not None) for name, claim in claims.items()}
        keys = {name: (exercise.name, name, repr(claim)) for name, claim in written.items()}
        fresh = {name: claim for name, claim in written.items() if keys[name] not in self.said}
        if fresh:
            found = self.judged(exercise, fresh)
            # what overran may have had bad luck
            self.said |= {keys[name]: answer for name, answer in found.items() if answer["verdict"] != "undecided"}
            return {name: found[name] if name in found else self.said[keys[name]] for name in claims}
        return {name: self.said[keys[name]] for name in claims}

    def judged(self, exercise: Exercise, claims: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        try:
            question = {"exercise": exercise.plain(), "claims": claims}
            return self.ask(question, self.seconds + self.proof * len(claims))  # proofs have a limit of their own
        except HelperError as error:
            if len(claims) == 1:
                (name,) = claims
                return {name: self.stopped(name, claims[name], error)}
        found: dict[str, dict[str, Any]] = {}
        for name, claim in claims.items():
            found |= self.judged(exercise, {name: claim})
        return found

    def stopped(self, name: str, claim: str, error: HelperError) -> dict[str, Any]:
        """The answer for a claim on which the process overran or died."""
        why = f"stopped after {self.seconds:g} s" if error.late else "the process that judged it ended"
        parts = [("", f"{name}: {shortened(str(claim))}   "), ("undecided", "undecided"), ("", f", {why}\n")]
        return {"verdict": "undecided", "claimed": shortened(str(claim)), "finding": None, "parts": parts}

    def derivation(self, exercise: Exercise, lines: str) -> dict[str, Any]:
        """Verdicts on lines; ``{"problem": ...}`` where there are none."""
        count = min(max(1, len(lines.splitlines())), 20)
        try:
            return self.ask({"exercise": exercise.plain(), "derivation": lines}, self.seconds * count)
        except HelperError as error:
            late = f"stopped after {self.seconds * count:g} s" if error.late else "the process that judged it ended"
            return {"problem": f"the derivation was not judged: {late}", "undecided": True}

    def python(self, exercise: Exercise, file: Path, single: bool) -> dict[str, Any]:
        """Verdicts on functions of a file."""
        asked = list(exercise.weights)
        question = {
            "exercise": exercise.plain(), "python": str(file), "asked": asked, "seconds": self.seconds,
            "single": single,
        }  # fmt: skip
        try:
            return self.ask(question, self.seconds * (len(asked) + 1) + STARTING)
        except HelperError as error:
            return {name: self.stopped(name, f"a function of {file.name}", error) for name in asked}


def _written(claim: Any, *, number: bool) -> Any:
    """A claim as it is sent: text, numbers, or where a number is expected, the number of a text and lists of them."""
    if isinstance(claim, int | float) and not isinstance(claim, bool):
        return claim if math.isfinite(claim) else str(claim)
    if not number:
        return str(claim)
    if isinstance(claim, str) and _DECIMAL.fullmatch(claim.strip()):
        return float(claim)
    return claim if isinstance(claim, list) else str(claim)


def grade(
    sheet: Sheet,
    answers: Iterable[Answers],
    *,
    seconds: float = 10.0,
    proof: float = 0.0,
    python: Path | None = None,
    processes: int | None = None,
    progress: Callable[[Graded], None] | None = None,
) -> Gradebook:
    """Grade answers; students are shared out over a few processes.

    Parameters
    ----------
    sheet : Sheet
    answers : iterable of Answers
    seconds : float
        Time limit of each claim on the clock. A claim that overruns is undecided, and the process is replaced.
    proof : float
        Time limit of each proof; 0 leaves proofs out, and right answers get the verdict ``"agrees"``.
    python : Path, optional
        Folder of Python files whose functions may be run. Without it they are not touched.
    processes : int, optional
        How many judge side by side; by default one a processor, four at most. A claim that many students wrote is
        judged once.
    progress : callable, optional
        Gets every graded student, in order.

    Returns
    -------
    Gradebook
        Whatever is handed in, everybody is in it.
    """
    start = time.perf_counter()
    given = list(answers)
    count = max(1, min(processes or min(4, os.cpu_count() or 1), len(given)))
    said: _Said = {}
    judges = [_Judge(sheet, seconds, proof, said) for _ in range(count)]
    free: queue.SimpleQueue[_Judge] = queue.SimpleQueue()
    for judge in judges:
        free.put(judge)

    def graded(one: Answers) -> Graded:
        judge = free.get()
        try:
            return _graded(judge, one, python)
        finally:
            free.put(judge)

    found: list[Graded] = []
    pool = ThreadPoolExecutor(count, thread_name_prefix="graphc grading")
    try:
        for done in pool.map(graded, given):
            found.append(done)
            if progress is not None:
                progress(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for judge in judges:
            judge.helper.close()
    return Gradebook(sheet, found, time.perf_counter() - start)


def _graded(judge: _Judge, given: Answers, python: Path | None) -> Graded:
    sheet = judge.sheet
    marks: list[Mark] = []
    derivations: dict[str, Mapping[str, Any]] = {}
    lines: dict[str, Parts] = {}
    problem = given.problem
    code = given.file.endswith(".py")
    if code and python is None:
        problem = f"{given.file} is a program; it is run only with --run-python, and its claims were not judged"
    for exercise in sheet.exercises:
        verdicts: dict[str, dict[str, Any]] = {}
        if code and python is not None and not problem:
            verdicts = judge.python(exercise, python / given.file, len(sheet.exercises) == 1)
            problem = str(verdicts.pop("problem", ""))
        elif not problem:
            text = given.derivations.get(exercise.name, "")
            if text.strip():
                derived = judge.derivation(exercise, text)
                if "problem" in derived:
                    verdict = "undecided" if "undecided" in derived else "unreadable"
                    role = "undecided" if verdict == "undecided" else "wrong"
                    lines[exercise.name] = [(role, f"{line}\n") for line in derived["problem"].splitlines()]
                    verdicts = {name: _unread(name, derived["problem"], verdict) for name in exercise.weights}
                else:
                    derivations[exercise.name] = derived["derivation"]
                    lines[exercise.name] = [(role, text) for role, text in derived["parts"]]
                    verdicts = dict(_by_name(derived, exercise))
            claims = given.claims.get(exercise.name, {})
            if claims:
                verdicts |= judge.claims(exercise, claims)
        marks += [_mark(sheet, exercise, name, verdicts.get(name)) for name in exercise.weights]
    return Graded(given, tuple(marks), derivations, lines, problem)


def _unread(name: str, problem: str, verdict: str) -> dict[str, Any]:
    role = "undecided" if verdict == "undecided" else "wrong"
    parts = [("", f"{name}:   "), (role, "the derivation was not judged\n")]
    return {"verdict": verdict, "claimed": "", "finding": None, "parts": parts, "message": problem}


def _by_name(derived: Mapping[str, Any], exercise: Exercise) -> Iterator[tuple[str, dict[str, Any]]]:
    """The last line of a derivation for each gradient that is asked for."""
    for name in exercise.weights:
        steps = [s for s in derived["derivation"]["lines"] if s["node"] == name and s["verdict"] != "definition"]
        if steps:
            step = steps[-1]
            role = "right" if step["verdict"] == "right" else "undecided" if step["verdict"] != "wrong" else "wrong"
            parts = [("", f"{name}: line {step['line']}   "), (role, f"{step['verdict']}\n")]
            kinds = derived["kinds"].get(str(step["line"]), [])
            yield name, {
                "verdict": step["verdict"], "claimed": step["text"], "finding": None, "parts": parts, "kinds": kinds,
            }  # fmt: skip


def _mark(sheet: Sheet, exercise: Exercise, name: str, answer: Mapping[str, Any] | None) -> Mark:
    weight = exercise.weights[name]
    if answer is None:
        return Mark(exercise.name, name, "missing", "", weight, 0.0, [("", f"{name}:   "), ("wrong", "no answer\n")])
    verdict, finding = answer["verdict"], answer["finding"]
    share = 0.0
    if verdict in RIGHT:
        share = 1.0
    elif verdict == "follows":
        share = sheet.share(["follows"])
    elif verdict in ("differs", "wrong"):
        kinds = answer.get("kinds", [])
        if finding is not None and finding["explanations"]:
            best = finding["explanations"][0]["rank"]
            kinds = [e["kind"] for e in finding["explanations"] if e["rank"] == best]
        share = sheet.share(kinds)
    parts = [(role, text) for role, text in answer["parts"]]
    return Mark(exercise.name, name, verdict, answer["claimed"], weight, share, parts, finding)
