"""The process that proves: ``python -m graphc.checking.worker`` answers JSON lines on its standard input.

Each line holds two expressions as text and a time limit; the answer is the word that
`graphc.checking.proof.prove` says. Whoever asks ends the process when it takes too long; should he be gone by
then, an alarm ends it a little later, even in the middle of a huge multiplication.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys

__all__ = ["main"]


#: How long after the time limit the process ends by itself, in seconds.
_GRACE = 5.0


def _alarm(seconds: float) -> None:
    """Let the system end this process after a time; 0 takes that back."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, seconds)


def main() -> None:
    """Answer until the input ends."""
    importlib.import_module("sympy")  # before "ready" is said: the first question should not wait for it
    from graphc.checking.proof import prove
    from graphc.errors import GraphcError
    from graphc.formula.parser import parse_expression

    if hasattr(os, "nice"):
        os.nice(5)  # the program that asks should not be slowed down by a proof it may not need
    sys.setrecursionlimit(10_000)
    answers = sys.stdout
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        question = json.loads(line)
        _alarm(question["seconds"] + _GRACE)
        try:
            answer = prove(parse_expression(question["claim"]), parse_expression(question["gradient"]))
        except (GraphcError, ArithmeticError, RecursionError, MemoryError, TypeError, ValueError, NotImplementedError):
            # SymPy refuses some expressions in these ways: no proof, and no verdict either
            answer = "unknown"
        _alarm(0)
        answers.write(answer + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
