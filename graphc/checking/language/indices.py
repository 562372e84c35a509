r"""Claims in index notation: ``\sum_j W_{ij} \delta_j`` is a formula for the elements of arrays.

Every letter of a claim is one axis; an element ``W_{ij}`` spreads its array over the axes of its letters, so that
all operations are element by element, and a sum runs over the axis of its letter. The letters of the left-hand side
``dL/dW_{kj} =`` say in which order the axes of the result are; it may be left out where only one letter is free.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graphc.errors import CheckError
from graphc.formula.expression import Call, Expression, Number, Symbol

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["element", "finished", "letter", "scan", "summed"]


_UNEQUAL = re.compile(r"([a-z])(?:≠|!=|neq|ne)([a-z])")
_DELTA = re.compile(r"delta_\{?([a-z]),?([a-z])\}?")


def _split(reader: Reader, written: str) -> tuple[str, list[str]] | None:
    """Array and letters of an element such as ``W_ij`` or ``W_{i,j}``; None for another name."""
    base, _, rest = written.rpartition("_")
    letters = re.findall(r"[a-z]", rest)
    if not letters or not re.fullmatch(r"\{?[a-z](,?[a-z]){0,5}\}?", rest) or reader.names.match(written) is not None:
        return None
    match = reader.names.match(base)
    if match is None:
        node = reader.names.gradient(base)
        match = reader.names.upstream(node) if node is not None else None
    if match is None or len(reader.names.shapes[match]) != len(letters):
        return None
    return match, letters


def scan(reader: Reader) -> None:
    """Find the letters of a claim, those of the left-hand side first, and an array that each runs over."""
    found: dict[str, tuple[str, int]] = {}
    for token in reader.tokens[reader.at :]:
        parts = _split(reader, token.text) if token.kind == "name" else None
        if parts is not None:
            for axis, name in enumerate(parts[1]):
                found.setdefault(name, (parts[0], axis))
    for token in reader.tokens:  # letters that are compared run as far as each other
        text = token.text.partition(" ")[2] if token.kind == "command" else token.text
        pair = (_UNEQUAL if token.kind == "command" else _DELTA).fullmatch(text)
        for first, second in (pair.groups(), pair.groups()[::-1]) if pair is not None else ():
            if first in found:
                found.setdefault(second, found[first])
    if found:
        for axis, name in enumerate(reader.free):
            found.setdefault(name, (reader.target.label, axis))
        rest = sorted(set(found) - set(reader.free))
        reader.letters = {name: found[name] for name in (*reader.free, *rest)}


def _axis(reader: Reader, name: str) -> int:
    return list(reader.letters).index(name)


def _spread(reader: Reader, array: Expression, letters: list[str]) -> Expression:
    settings = (Number(len(reader.letters)), *(Number(_axis(reader, name)) for name in letters))
    return reader.make("spread", array, *settings)


def element(reader: Reader, written: str) -> Expression | None:
    """Read an element of an array, or Kronecker's delta; None for another name."""
    parts = _split(reader, written)
    if parts is not None:
        array, letters = parts
        if array.startswith("∂") and reader.names.find(array[1:]) is reader.target:
            raise CheckError(
                f"{written!r} is the gradient that the claim is for; it cannot stand on the right-hand side"
            )
        return _spread(reader, Symbol(array), letters)
    delta = _DELTA.fullmatch(written)
    if delta is not None and all(name in reader.letters for name in delta.groups()):
        first, second = (letter(reader, name) for name in delta.groups())
        assert first is not None
        assert second is not None
        return reader.make("equal", first, second)
    return None


def letter(reader: Reader, written: str) -> Expression | None:
    """Read a letter as the number of its element, from 0; None for another name."""
    if written not in reader.letters:
        return None
    array, axis = reader.letters[written]
    count = reader.make("size", Symbol(array), Number(axis))
    return _spread(reader, reader.make("arange", count), [written])


def summed(reader: Reader, below: str) -> Expression:
    """Read a sum up to the next + or -, over the letters below its sign, or over everything."""
    unequal = _UNEQUAL.fullmatch(below)
    names = re.findall(r"[a-z]", below.partition("=")[0]) if unequal is None else [unequal[1]]
    body = reader.expression(20)
    if not reader.letters:
        rank = reader.rank(body)
        if rank is not None and names and rank != len(names):
            raise CheckError(
                f"the sum over {', '.join(names)} runs over {len(names)} of {rank} axes; write the elements, as in "
                r"\sum_i x_i, or name the axes, as in sum(x, 0)"
            )
        return reader.make("sum", body)
    if not names:
        names = [name for name in reader.letters if name in _free(reader, body)]
    missing = [name for name in names if name not in reader.letters]
    if missing:
        raise CheckError(f"the sum runs over {missing[0]!r}, and no element has that index")
    if unequal is not None:
        first, second = (letter(reader, name) for name in unequal.groups())
        if first is None or second is None:
            raise CheckError(f"the sum runs over {below!r}, and no element has these indices")
        body = reader.make("mul", reader.make("not_equal", first, second), body)
    axes = [Number(_axis(reader, name)) for name in names]
    # a sum of what does not contain the letter counts its terms
    body = reader.make("mul", _ones(reader, names), body) if set(names) - _free(reader, body) else body
    result = reader.make("expand_dims", reader.make("sum", body, *axes), *axes)
    reader.bound[id(result)] = (result, frozenset(names))
    return result


def _ones(reader: Reader, names: list[str]) -> Expression:
    counts = [reader.make("size", Symbol(reader.letters[n][0]), Number(reader.letters[n][1])) for n in names]
    return _spread(reader, reader.make("ones", *counts), names)


def _free(reader: Reader, expression: Expression) -> set[str]:
    """Letters that an expression depends on."""
    if not isinstance(expression, Call):
        return set()
    if expression.function == "spread":
        letters = list(reader.letters)
        return {letters[int(p.value)] for p in expression.operands[2:] if isinstance(p, Number)}
    inner = set().union(*(_free(reader, operand) for operand in expression.operands))
    known = reader.bound.get(id(expression))
    return inner - known[1] if known is not None else inner


def finished(reader: Reader, result: Expression) -> Expression:
    """Bring the axes of a claim in index notation to those of its target."""
    if not reader.letters:
        return result
    _refuse_whole_arrays(reader, result)
    free = _free(reader, result)
    if not reader.free and len(free) > 1:
        names = "".join(sorted(free))
        raise CheckError(
            f"the claim has the free indices {', '.join(sorted(free))}; say which element it is for, as in "
            f"dL/d{reader.target.label}_{{{names}}} = ... in front of it"
        )
    wanted = reader.free or sorted(free)
    if free - set(wanted):
        raise CheckError(
            f"the index {min(free - set(wanted))!r} is free in the claim: it stands neither on the left-hand side nor "
            "below a sum"
        )
    bound = [Number(_axis(reader, name)) for name in reader.letters if name not in wanted]
    if bound:
        result = reader.make("squeeze", result, *bound)
    if set(wanted) - free:  # the same for every value of the missing index
        result = reader.make("broadcast_like", result, Symbol(reader.target.label))
    return result


def _refuse_whole_arrays(reader: Reader, expression: Expression) -> None:
    if isinstance(expression, Symbol) and reader.names.shapes.get(expression.name):
        name = expression.name
        indices = "ijkl"[: len(reader.names.shapes[name])]
        raise CheckError(f"the claim is written with indices, and {name!r} has none; write {name}_{{{indices}}}")
    if isinstance(expression, Call) and expression.function not in ("spread", "size"):
        for operand in expression.operands:
            _refuse_whole_arrays(reader, operand)
