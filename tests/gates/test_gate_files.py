"""A gate is one short file that knows the graph's vocabulary and nothing else of graphc."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import graphc.gates

FILES = sorted(p for p in Path(graphc.gates.__file__).parent.glob("*.py") if p.name != "__init__.py")
LIBRARY = {"__future__", "collections.abc", "itertools", "math", "typing"}
#: ``graphc.graph`` itself, or one module of it.
VOCABULARY = re.compile(r"graphc\.graph(\.\w+)?")
MOST_CODE_LINES = 60

each_file = pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])


def imported(text: str) -> list[str]:
    """Modules that a file imports, wherever in it; a relative import keeps its dots."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return found


def forbidden_imports(text: str) -> list[str]:
    return [name for name in imported(text) if name not in LIBRARY and not VOCABULARY.fullmatch(name)]


def code_lines(text: str) -> int:
    """Lines with code: without docstrings, comments and blank lines."""
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first = node.body[0]
            documentation |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in blank:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - documentation)


def test_the_folder_is_found() -> None:
    assert {"add", "conv2d", "relu"} <= {p.stem for p in FILES}


@each_file
def test_a_gate_imports_the_vocabulary_of_the_graph_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert any(name.startswith("graphc.graph") for name in imported(text))
    assert not forbidden_imports(text), f"{path.name} imports {', '.join(forbidden_imports(text))}"


@each_file
def test_a_gate_is_short(path: Path) -> None:
    count = code_lines(path.read_text(encoding="utf-8"))
    assert 0 < count <= MOST_CODE_LINES, f"{path.name} has {count} lines of code"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from graphc.graph import Gate", []),
        ("from graphc.graph.window import pair\nimport math", []),
        ("import numpy", ["numpy"]),
        ("from graphc.errors import ShapeError", ["graphc.errors"]),
        ("from graphc.graph.a.b import c", ["graphc.graph.a.b"]),
        ("from graphc.graphs import c", ["graphc.graphs"]),
        ("from .reshape import flat_copy", [".reshape"]),
        ("def f():\n    import os.path", ["os.path"]),
    ],
)
def test_forbidden_imports_are_found_wherever_they_are(text: str, expected: list[str]) -> None:
    assert forbidden_imports(text) == expected


def test_lines_of_code_leave_out_docstrings_comments_and_blank_lines() -> None:
    text = '''"""Two
lines."""

X = """one
two"""  # a comment

# another
def f():
    "Doc."
    return (

        1)
'''
    assert code_lines(text) == 5
