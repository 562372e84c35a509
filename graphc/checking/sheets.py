"""Sheets of exercises and answers to them, in TOML.

A sheet has a ``title``, ``[[exercise]]`` tables and, where it is graded, a table ``[partial]``. An exercise has a
``name``, a ``graph`` in lines, ``inputs`` with their shapes, and ``claims``: answers by name, or a list of the names
that are asked for. Answers of a student are a file with a table for each exercise.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphc.checking.conventions import as_conventions
from graphc.checking.sheet_graphs import graph_of_lines, without_sites
from graphc.errors import CheckError, GraphcError, did_you_mean
from graphc.gradients import Backward, backward
from graphc.graph.declare import input as declare_input
from graphc.graph.declare import parameter
from graphc.graph.node import Node, topological

__all__ = ["PARTIAL", "Answers", "Exercise", "Sheet", "read_answers", "read_sheet"]

#: Longest file that is read, in bytes.
_LONGEST = 1_000_000

#: Kinds of mistakes for which a sheet may give a share, beside ``follows``: what diagnosis calls them.
PARTIAL: Mapping[str, tuple[str, ...]] = {
    "sign": ("sign",),
    "constant": ("constant factor", "constant term", "dropped constant"),
    "factor": ("missing factor", "extra factor", "other factor", "inverted factor", "two factors", "missing mask"),
    "path": ("missing path", "missing step", "other step", "missing upstream", "detached"),
    "shape": ("transposed", "missing sum", "extra sum", "wrong axis", "rearranged"),
    "kink": ("kink",),
}


@dataclass(frozen=True)
class Exercise:
    """One exercise: a graph, and whose gradients are asked for.

    Attributes
    ----------
    name, question : str
    graph : str
        Lines as in ``graphc.checking.sheet_graphs``.
    inputs, parameters : mapping
        Shape by name, or ``{"shape": ..., "dtype": ...}``.
    weights : mapping
        Weight of every gradient that is asked for, by name, in order.
    answers : mapping
        Claims that the sheet itself holds.
    derivation : str
        Lines that the sheet itself holds, or an empty string.
    at : mapping or None
        Point at which claims are judged; everywhere by default.
    upstream : str
        Name of the input that is the gradient of a root that is no scalar; or an empty string.
    conventions : mapping
        As for ``graphc.check``.
    """

    name: str
    graph: str
    question: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    derivation: str = ""
    at: Mapping[str, Any] | None = None
    upstream: str = ""
    conventions: Mapping[str, Any] = field(default_factory=dict)

    def subject(self) -> Node | Backward:
        """Declare the graph.

        Raises
        ------
        CheckError
            If that cannot be done, or a name that is asked for is not in it.
        """
        try:
            leaves = {name: _leaf(declare_input, name, given) for name, given in self.inputs.items()}
            leaves |= {name: _leaf(parameter, name, given) for name, given in self.parameters.items()}
            root = graph_of_lines(self.graph, leaves)
            if not self.upstream:
                return root
            if self.upstream not in leaves:
                known = did_you_mean(self.upstream, leaves)
                raise CheckError(
                    f"upstream names the input that arrives at the root; there is no {self.upstream!r}{known}"
                )
            return backward(root, upstream=leaves[self.upstream])
        except GraphcError as error:
            raise CheckError(f"exercise {self.name!r}: {without_sites(error)}") from None

    def plain(self) -> dict[str, Any]:
        """What another process needs to declare the graph, as plain data."""
        return {
            "name": self.name,
            "graph": self.graph,
            "inputs": dict(self.inputs),
            "parameters": dict(self.parameters),
            "at": None if self.at is None else dict(self.at),
            "upstream": self.upstream,
            "conventions": dict(self.conventions),
        }


@dataclass(frozen=True)
class Sheet:
    """Exercises in their order.

    Attributes
    ----------
    title : str
    exercises : tuple of Exercise
    partial : mapping
        Share of the weight for a wrong answer whose mistake is of a kind of `PARTIAL`, or that ``follows`` from
        a wrong line of its derivation; empty where wrong is wrong.
    """

    title: str
    exercises: tuple[Exercise, ...]
    partial: Mapping[str, float] = field(default_factory=dict)

    def share(self, kinds: Sequence[str]) -> float:
        """Share for a wrong answer with mistakes of these kinds, the best of them."""
        shares = [share for name, share in self.partial.items() if {name, *PARTIAL.get(name, ())} & set(kinds)]
        return max(shares, default=0.0)

    @property
    def weight(self) -> float:
        """Weight of everything that is asked for."""
        return sum(sum(exercise.weights.values()) for exercise in self.exercises)


@dataclass(frozen=True)
class Answers:
    """What one student handed in.

    Attributes
    ----------
    student : str
    file : str
    claims : mapping
        For each exercise, its claims by name.
    derivations : mapping
        For each exercise, its lines.
    problem : str
        Why nothing of it can be judged, or an empty string.
    notes : tuple of str
        What was handed in and not asked for.
    """

    student: str
    file: str
    claims: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    derivations: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    notes: tuple[str, ...] = ()


# ---- reading -------------------------------------------------------------------------------------


def _leaf(declare: Any, name: str, given: Any) -> Node:
    settings = dict(given) if isinstance(given, Mapping) else {"shape": given}
    unknown = settings.keys() - {"shape", "dtype"}
    if unknown:
        raise CheckError(f"the input {name!r} has the settings shape and dtype, not {min(unknown)!r}")
    shape = settings.get("shape", [])
    if not isinstance(shape, list | tuple):
        raise CheckError(f'the shape of {name!r} is a list such as [3] or ["N", 3], found {shape!r}')
    return declare(name, tuple(shape), dtype=settings.get("dtype", "float32"))


def _toml(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > _LONGEST:
            raise CheckError(f"{path.name} has {size} bytes; at most {_LONGEST} are read")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise CheckError(f"{path.name} is not text in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = str(error) or "nested too deeply"
        hint = (
            "" if "\\" not in path.read_text("utf-8", "replace") else "; LaTeX goes between single quotes: 'x \\cdot y'"
        )
        raise CheckError(f"{path.name} is not TOML: {said}{hint}") from None


def _known(table: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise CheckError(f"{where} has no {key!r}{did_you_mean(key, allowed)}; it has {', '.join(allowed)}")


def _typed(table: Mapping[str, Any], key: str, kind: type, default: Any, where: str) -> Any:
    value = table.get(key, default)
    if not isinstance(value, kind):
        words = {str: "a text", dict: "a table", list: "a list"}
        raise CheckError(f"{where}: {key} is {words.get(kind, kind.__name__)}, found {value!r:.60}")
    return value


_EXERCISE = (
    "name", "question", "graph", "inputs", "parameters", "claims", "weights", "derivation", "at", "upstream",
    "conventions",
)  # fmt: skip


def read_sheet(path: Path) -> Sheet:
    """Read a sheet and declare its graphs once.

    Parameters
    ----------
    path : Path
        A TOML file.

    Raises
    ------
    CheckError
        If it cannot be read; the message says where and what is expected.
    """
    table = _toml(path)
    _known(table, ("title", "exercise", "partial", "conventions"), path.name)
    tables = table.get("exercise")
    if not isinstance(tables, list) or not tables:
        raise CheckError(f"{path.name} has no exercises; each begins with the line [[exercise]]")
    conventions = _typed(table, "conventions", dict, {}, path.name)
    exercises = [_exercise(item, k, conventions) for k, item in enumerate(tables, 1)]
    names = [exercise.name for exercise in exercises]
    for name in names:
        if names.count(name) > 1:
            raise CheckError(f"{path.name}: there are two exercises {name!r}")
    partial = _typed(table, "partial", dict, {}, path.name)
    _known(partial, (*PARTIAL, "follows"), f"{path.name}: [partial]")
    for name, share in partial.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise CheckError(f"{path.name}: the share for {name} is a number from 0 to 1, found {share!r}")
    return Sheet(_typed(table, "title", str, path.stem, path.name), tuple(exercises), partial)


def _exercise(table: Any, number: int, conventions: Mapping[str, Any]) -> Exercise:
    where = f"exercise {number}"
    if not isinstance(table, dict):
        raise CheckError(f"{where} is a table that begins with [[exercise]]")
    name = str(_typed(table, "name", str, f"{number}", where))
    where = f"exercise {name!r}"
    _known(table, _EXERCISE, where)
    if "graph" not in table:
        raise CheckError(f'{where} has no graph; write for example graph = "f = (x + y)*z"')
    inputs = table.get("inputs", {})
    if isinstance(inputs, str):  # names of scalars
        inputs = {word: [] for word in inputs.replace(",", " ").split()}
    elif not isinstance(inputs, dict):
        raise CheckError(f'{where}: inputs are names of scalars, "x y z", or a table such as X = ["N", 3]')
    claims = table.get("claims", {})
    if isinstance(claims, str):
        claims = claims.replace(",", " ").split()
    asked = list(claims)
    derivation = _typed(table, "derivation", str, "", where)
    if not asked and not derivation:
        raise CheckError(
            f'{where} asks for nothing; claims is a table of answers, or a list of names: claims = ["x", "y"]'
        )
    if not all(isinstance(item, str) for item in asked):
        raise CheckError(f"{where}: claims is a table of answers or a list of names")
    given = _typed(table, "weights", dict, {}, where)
    weights = dict.fromkeys(asked, 1.0)
    for key, weight in given.items():
        if key not in weights:
            raise CheckError(f"{where}: a weight for {key!r}, which is not asked for{did_you_mean(key, asked)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e6:
            raise CheckError(f"{where}: the weight of {key!r} is a number from 0 up, found {weight!r}")
        weights[key] = float(weight)
    chosen = {**conventions, **_typed(table, "conventions", dict, {}, where)}
    as_conventions(chosen)
    made = Exercise(
        name, _typed(table, "graph", str, "", where), _typed(table, "question", str, "", where), inputs,
        _typed(table, "parameters", dict, {}, where), weights, claims if isinstance(claims, dict) else {}, derivation,
        _typed(table, "at", dict, None, where) if "at" in table else None,
        _typed(table, "upstream", str, "", where), chosen,
    )  # fmt: skip
    subject = made.subject()
    root = subject if isinstance(subject, Node) else subject.root
    known = {node.name for node in topological([root]) if node.name is not None}
    for key in asked:
        if key not in known and not re.search(r"[\[\d]", key):  # steps of repeats appear later: h[1]
            raise CheckError(f"{where} asks for {key!r}, which is not in its graph{did_you_mean(key, known)}")
    return made


def read_answers(path: Path, sheet: Sheet) -> Answers:
    """Read what a student handed in; what is wrong with the file is said in ``problem``, never raised.

    Parameters
    ----------
    path : Path
        A TOML file with a table for each exercise, ``[neuron]`` and then ``w0 = "f*(1 - f)*x0"``, with the lines of
        a derivation as ``derivation``; where the sheet has a single exercise, without the table. Lines such as
        ``w0 = f*(1 - f)*x0`` without quotes are read too.
    """
    try:
        table = _plain_lines(path) or _toml(path)
    except CheckError as error:
        return Answers(path.stem, path.name, problem=str(error))
    student = table.pop("student", path.stem)
    if not isinstance(student, str) or not student.strip():
        return Answers(path.stem, path.name, problem=f"student is a name, found {student!r:.60}")
    names = {exercise.name: exercise for exercise in sheet.exercises}
    if len(names) == 1 and not any(isinstance(table.get(name), dict) for name in names):
        table = {next(iter(names)): table}
    claims: dict[str, dict[str, Any]] = {}
    derivations: dict[str, str] = {}
    notes: list[str] = []
    for name, answers in table.items():
        if name not in names:
            notes.append(f"there is no exercise {name!r}{did_you_mean(name, names)}")
        elif not isinstance(answers, dict):
            notes.append(f"{name!r} is an exercise; its answers stand below the line [{name}]")
        else:
            claims[name] = {}
            for key, value in answers.items():
                if key == "derivation" and key not in names[name].weights:
                    derivations[name] = value if isinstance(value, str) else "\n".join(map(str, value))
                elif key in names[name].weights:
                    claims[name][key] = value
                else:
                    notes.append(
                        f"{name}: {key!r} was not asked for{did_you_mean(key, [*names[name].weights, 'derivation'])}"
                    )
    student = "".join(c if c.isprintable() else " " for c in student).strip()[:80]
    return Answers(student, path.name, claims, derivations, notes=tuple(notes))


_PLAIN = re.compile(r"^\s*(?P<name>[^\W\d][\w.\[\]-]*)\s*=\s*(?P<claim>[^\s\"'\[{].*?)\s*$")
_TABLE = re.compile(r"^\s*\[(?P<name>[^\[\]]+)\]\s*$")


def _plain_lines(path: Path) -> dict[str, Any] | None:
    """Read ``name = claim`` without quotes; None where a line is anything else, so that it is read as TOML."""
    try:
        if path.stat().st_size > _LONGEST:
            return None
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    found: dict[str, Any] = {}
    table = found
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        head, claim = _TABLE.match(line), _PLAIN.match(line)
        if head is not None:
            table = found.setdefault(head["name"].strip().strip("\"'"), {})
        elif claim is not None and isinstance(table, dict):
            table[claim["name"]] = claim["claim"].partition("#")[0].strip()
        else:
            return None
    return found or None
