"""The process that runs a student's functions: ``python -m graphc.checking.run_python FILE`` answers JSON lines.

It executes the file with the rights of whoever started it. Numbers go in and numbers come out: the verdict is found
elsewhere. What the file prints is kept away from the answers.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["main"]

#: Largest file that a program may write, in bytes.
_FILE = 16 << 20


def _plain(value: Any) -> Any:
    """A result as JSON can hold it."""
    import numpy

    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return numpy.asarray(value, dtype=numpy.float64).tolist()


def _said(error: BaseException) -> str:
    """What an exception says, on one line of bounded length."""
    words = " ".join(str(error).split())[:400]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _described(function: Any) -> list[list[str]] | None:
    """Name and kind of each parameter; None where they cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    words = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            words.append([parameter.name, "var"])
        else:
            words.append([parameter.name, "plain" if parameter.default is parameter.empty else "default"])
    return words


def _answer(table: Mapping[str, Any], question: Mapping[str, Any]) -> dict[str, Any]:
    import numpy

    name = question["function"]
    arguments = {
        key: numpy.array(value, dtype=numpy.int64 if question["kinds"][key] in "iu" else numpy.float64)
        for key, value in question["arguments"].items()
    }
    arguments = {key: value if value.ndim else value.item() for key, value in arguments.items()}
    try:
        with numpy.errstate(all="ignore"):
            return {"value": _plain(table[name](**arguments))}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a student's function raises is its answer
        return {"error": f"{name} failed with {_said(error)}"}


def main() -> None:
    """Run the file, then answer until the input ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with tempfile.TemporaryFile() as printed, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - needs its number
        questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
        os.dup2(nothing.fileno(), 0)
        for stream in (1, 2):
            os.dup2(printed.fileno(), stream)
        with contextlib.suppress(ImportError, ValueError, OSError):
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        file = Path(sys.argv[1]).resolve()
        sys.argv = [str(file)]
        table: dict[str, Any] = {}
        greeting: dict[str, Any]
        try:
            table = runpy.run_path(str(file), run_name="submission")
            described = {k: _described(v) for k, v in table.items() if inspect.isfunction(v)}
            greeting = {"functions": {k: v for k, v in described.items() if v is not None}}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the file raises is said to its reader
            greeting = {"error": f"{file.name} failed with {_said(error)}"}
        channel.write(json.dumps(greeting) + "\n")
        channel.flush()
        for line in questions:
            channel.write(json.dumps(_answer(table, json.loads(line))) + "\n")
            channel.flush()


if __name__ == "__main__":
    main()
