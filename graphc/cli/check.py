"""``graphc check``: claims about an expression, a sheet of exercises, or a folder of submissions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from graphc.cli.declare import assignments, declare
from graphc.errors import GraphcError
from graphc.files import replace_file

__all__ = ["check_command"]


def check_command(options: argparse.Namespace) -> int:
    """Judge what was given; 0 all right, 1 something wrong, 3 something undecided and nothing wrong.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Raises
    ------
    GraphcError
        If the input cannot be read: exit code 2.
    """
    if not options.seconds > 0:
        raise GraphcError(f"--seconds is a time above 0, found {options.seconds:g}")
    if options.proof is not None and not options.proof >= 0:
        raise GraphcError(f"--proof is a time in seconds, or 0 for no proofs; found {options.proof:g}")
    if options.subject.endswith(".toml"):
        if options.claim:
            raise GraphcError("--claim goes with an expression; a sheet holds its claims itself, or --submissions does")
        return _sheet(options)
    if options.submissions is not None or options.run_python or options.details:
        raise GraphcError("--submissions, --details and --run-python go with a sheet: graphc check sheet.toml ...")
    if not options.claim:
        raise GraphcError('there is no claim to check; write for example --claim x="f*(1-f)"')
    return _expression(options)


def _expression(options: argparse.Namespace) -> int:
    from graphc.checking import check
    from graphc.checking.text import coloured, joined_text, report_parts

    claimed = assignments(options.claim, "--claim")
    files = _files(options.save, (".json", ".txt", ".html", ".svg", ".pdf", ".png"))
    root = declare(options.subject)
    report = check(root, claimed, proof_seconds=2.0 if options.proof is None else options.proof)
    print(report.json() if options.json else joined_text(report_parts(report), colour=coloured()))
    for path in files:
        if path.suffix in (".svg", ".pdf", ".png"):
            report.draw(path)
        else:
            _write(path, {".json": report.json, ".txt": lambda: str(report), ".html": report.html}[path.suffix])
    return report.exit_code


def _sheet(options: argparse.Namespace) -> int:
    from graphc.checking.gradebook import Graded
    from graphc.checking.grading import RUNS_PYTHON, answers_of_folder, answers_of_sheet, grade
    from graphc.checking.sheets import read_sheet
    from graphc.checking.text import coloured, joined_text

    sheet = read_sheet(Path(options.subject))
    files = _files(options.save, (".json", ".csv", ".txt"))
    colour = coloured()
    folder = None if options.submissions is None else Path(options.submissions)
    if folder is None:
        if options.run_python:
            raise GraphcError("--run-python goes with --submissions FOLDER")
        answers = [answers_of_sheet(sheet)]
        proof = 2.0 if options.proof is None else options.proof
    else:
        answers = answers_of_folder(folder, sheet)
        proof = 0.0 if options.proof is None else options.proof
    if options.run_python:
        print(RUNS_PYTHON, file=sys.stderr)

    done = 0

    def progress(_: Graded) -> None:
        nonlocal done
        done += 1
        print(f"\r{done} of {len(answers)}", end="\n" if done == len(answers) else "", file=sys.stderr, flush=True)

    graded = grade(
        sheet, answers, seconds=options.seconds, proof=proof, python=folder if options.run_python else None,
        progress=progress if folder is not None and sys.stderr.isatty() else None,
    )  # fmt: skip
    if options.json:
        print(graded.json())
    else:
        parts = graded.details() if folder is None or options.details else []
        parts += graded.table() if folder is not None else []
        print(joined_text(parts, colour=colour))
    for path in files:
        text = {
            ".json": graded.json,
            ".csv": graded.csv,
            ".txt": lambda: joined_text([*graded.details(), *graded.table()], colour=False),
        }
        _write(path, text[path.suffix])
    return graded.exit_code


def _files(names: list[str], suffixes: tuple[str, ...]) -> list[Path]:
    """Paths to write, checked before any work is done."""
    paths = [Path(name) for name in names]
    for path in paths:
        if path.suffix not in suffixes:
            raise GraphcError(f"--save {path}: the suffix decides what is written, one of {' '.join(suffixes)}")
        if not path.parent.is_dir():
            raise GraphcError(f"--save {path}: there is no folder {str(path.parent)!r}")
    return paths


def _write(path: Path, text: Callable[[], str]) -> None:
    try:
        replace_file(path, (text().rstrip("\n") + "\n").encode("utf-8"))
    except OSError as error:
        raise GraphcError(f"{path} cannot be written: {error.strerror or error}") from None
