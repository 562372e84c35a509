"""The sheets of examples/exercises and the verdicts that stand beside the answers."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "exercises"
SHEETS = sorted(FOLDER.glob("*.toml"))

_STATED = re.compile(
    r"#\s*(?P<verdict>proved|agrees|differs|unreadable|right|wrong|follows|definition)(?::\s*(?P<words>.*?))?\s*$"
)
_NAMED = re.compile(r"^(?P<name>[\w-]+)\s*=\s*[^'\"{]*(?:\"(?!\"\")|'(?!'')|[-\d])")


def stated(path: Path) -> tuple[dict[tuple[str, str], tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """Verdict and words of each answer by exercise and name, and of each line of a derivation by exercise."""
    answers: dict[tuple[str, str], tuple[str, str]] = {}
    lines: dict[str, list[tuple[str, str]]] = {}
    exercise, inside = "", False
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _STATED.search(line)
        if line.startswith("[") and not inside:
            exercise = line.strip("[]")
        elif line.startswith('name = "'):
            exercise = line.split('"')[1]
        quotes = line.count('"""') + line.count("'''")
        if quotes == 1:
            inside = not inside
        if found is None:
            continue
        said = found["verdict"], found["words"] or ""
        name = _NAMED.match(line)
        if inside:
            lines.setdefault(exercise, []).append(said)
        elif name is not None:
            answers[exercise, name["name"]] = said
    return answers, lines
