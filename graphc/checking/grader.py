"""The process that judges answers: ``python -m graphc.checking.grader`` answers JSON lines.

A question is an exercise with claims, or the lines of a derivation; the answer has a verdict for each. Whoever asks
ends the process when it takes too long. With a Python file, functions of that file are judged: they run in a further
process, which hands back numbers only.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from graphc.checking.derivation import check_derivation
from graphc.checking.diagnosis import Diagnosis
from graphc.checking.helper import Helper, HelperError
from graphc.checking.report import check
from graphc.checking.sheets import Exercise
from graphc.checking.text import derivation_parts, finding_parts
from graphc.errors import CheckError, GraphcError

__all__ = ["STARTING", "judged", "main", "read_exercise"]

#: How long a process for a Python file may take to start, beside the time limit of a claim, in seconds.
STARTING = 5.0

#: Most memory that judging may take, in bytes.
_MEMORY = 4 << 30


def read_exercise(plain: Mapping[str, Any]) -> Exercise:
    """The exercise that ``Exercise.plain`` describes."""
    return Exercise(**plain)


def judged(subject: Any, exercise: Exercise, claims: Mapping[str, Any], proof: float) -> dict[str, Any]:
    """Verdicts on some claims: together where all can be read, else one by one.

    Parameters
    ----------
    proof : float
        Time limit of each proof, in seconds.

    Returns
    -------
    dict
        For each claim its verdict with the parts of a text; ``"unreadable"`` where there is none.
    """
    from graphc.checking.schema import plain_finding

    try:
        report = check(
            subject, dict(claims), at=exercise.at, proof_seconds=proof, conventions=exercise.conventions
        )  # fmt: skip
    except GraphcError as error:
        if len(claims) > 1:
            return {
                name: answer
                for key, claim in claims.items()
                for name, answer in judged(subject, exercise, {key: claim}, proof).items()
            }
        (name,) = claims
        return {name: unreadable(claims[name], str(error), name)}
    return {
        name: {
            "verdict": report[name].verdict,
            "claimed": report[name].claimed,
            "finding": plain_finding(report[name]),
            "parts": finding_parts(report[name]),
        }
        for name in claims
    }


def unreadable(claim: Any, message: str, name: str, word: str = "cannot be read") -> dict[str, Any]:
    """The answer for a claim that cannot be judged."""
    written = " ".join(str(claim).split())[:120]
    message = re.sub(r"^the claim for '[^']*'(, '.*?'(?=: )|)(: |, )", "", message)
    parts = [("", f"{name}: {written}   "), ("wrong", f"{word}\n")]
    parts += [("", f"    {line}\n") for line in message.splitlines()]
    return {"verdict": "unreadable", "claimed": written, "finding": None, "parts": parts, "message": message}


def _derived(subject: Any, exercise: Exercise, lines: str) -> dict[str, Any]:
    if exercise.at is not None:
        raise CheckError("this exercise is judged at one point, and a derivation holds everywhere")
    found = check_derivation(subject, lines)
    return {
        "derivation": json.loads(found.json()),
        "parts": derivation_parts(found),
        "kinds": {str(step.number): _kinds(step.diagnosis) for step in found if step.diagnosis},
    }


def _kinds(diagnosis: Diagnosis) -> list[str]:
    """Kinds of the mistakes that explain a line best."""
    best = diagnosis.explanations[0].rank
    return [explanation.kind for explanation in diagnosis.explanations if explanation.rank == best]


# ---- functions -----------------------------------------------------------------------------------


def _stand_in(runner: Helper, name: str, parameters: list[list[str]], seconds: float) -> Callable[..., Any]:
    """A function that calls one of a file in the process that runs it."""
    import numpy

    def call(**arguments: Any) -> Any:
        sent = {key: numpy.asarray(value).tolist() for key, value in arguments.items()}
        kinds = {key: numpy.asarray(value).dtype.kind for key, value in arguments.items()}
        try:
            answer = runner.ask({"function": name, "arguments": sent, "kinds": kinds}, seconds)
        except HelperError as error:
            raise CheckError(
                f"{name} took longer than {seconds:g} s" if error.late else f"the process that ran {name} has ended"
            ) from None
        if "error" in answer:
            raise CheckError(answer["error"])
        return answer["value"]

    kinds = {"var": inspect.Parameter.VAR_KEYWORD, "plain": inspect.Parameter.KEYWORD_ONLY}
    call.__signature__ = inspect.Signature(
        [
            inspect.Parameter(word, kinds.get(kind, kinds["plain"]), **({"default": None} if kind == "default" else {}))
            for word, kind in parameters
        ]
    )
    call.__name__ = name
    return call


def functions(
    greeting: Mapping[str, Any], exercise: str, asked: list[str], runner: Helper, seconds: float, single: bool
) -> dict[str, Callable[..., Any]]:
    """The function of a file that is meant for each gradient: ``neuron_w0``, or ``neuron`` that returns all by name."""
    found = {}
    table = greeting["functions"]
    stem = re.sub(r"\W+", "_", exercise).strip("_")
    for name in asked:
        word = re.sub(r"\W+", "_", name).strip("_")
        choices = [f"{stem}_{word}", f"{stem}_d{word}", stem]
        if single:
            choices += [word, f"d{word}", "backward"]
        chosen = next((choice for choice in choices if choice in table), None)
        if chosen is not None:
            found[name] = _stand_in(runner, chosen, table[chosen], seconds)
    return found


class _Answering:
    """Graphs declared so far, and the process for a file of functions."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Exercise, Any]] = {}
        self.runner: Helper | None = None
        self.file = ""

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one question."""
        key = json.dumps(question["exercise"], sort_keys=True)
        if key not in self.known:
            exercise = read_exercise(question["exercise"])
            self.known[key] = exercise, exercise.subject()
        exercise, subject = self.known[key]
        if "python" in question:
            return self.python(question, exercise, subject)
        if "derivation" in question:
            try:
                return _derived(subject, exercise, question["derivation"])
            except GraphcError as error:
                return {"problem": str(error)}
        return judged(subject, exercise, question["claims"], question["proof"])

    def python(self, question: Mapping[str, Any], exercise: Exercise, subject: Any) -> dict[str, Any]:
        """Judge functions of a file, each by itself."""
        seconds = question["seconds"]
        if self.runner is None or self.file != question["python"]:
            if self.runner is not None:
                self.runner.stop()
            self.file = question["python"]
            self.runner = Helper(
                "graphc.checking.run_python", [self.file], own_group=False, starting=seconds + STARTING
            )
        try:
            greeting = self.runner.ready()
        except HelperError as error:
            late = f"the file took longer than {seconds + STARTING:g} s to load"
            return {"problem": late if error.late else "the file ended the process that runs it"}
        if "error" in greeting:
            return {"problem": greeting["error"]}
        found = functions(greeting, exercise.name, question["asked"], self.runner, seconds, question["single"])
        result: dict[str, Any] = {}
        for name, function in found.items():
            result |= judged(subject, exercise, {name: function}, 0)
            if result[name]["verdict"] == "unreadable":
                shown = result[name]
                result[name] = unreadable(function.__name__, shown["message"], name, "cannot be judged")
        return result


def main() -> None:
    """Answer until the input ends."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    answering = _Answering()
    out = sys.stdout
    out.write('"ready"\n')
    out.flush()
    for line in sys.stdin:
        out.write(json.dumps(answering.answer(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
