"""The process that proves: ``python -m graphc.checking.worker`` answers JSON lines on its standard input.

Each line holds two expressions as text; the answer is the word that `graphc.checking.proof.prove` says. The
process has no time limit of its own: whoever asks ends it when it takes too long.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

__all__ = ["main"]


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
        try:
            answer = prove(parse_expression(question["claim"]), parse_expression(question["gradient"]))
        except (GraphcError, ArithmeticError, RecursionError, MemoryError, TypeError, ValueError, NotImplementedError):
            # SymPy refuses some expressions in these ways: no proof, and no verdict either
            answer = "unknown"
        answers.write(answer + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
