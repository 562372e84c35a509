r"""Reading a derivation: ordered lines that claim gradients or give names to what is computed on the way.

``dW = X.T @ d``, ``∂L/∂W = ...`` and ``\frac{\partial L}{\partial W} = ...`` claim the gradient of a node of the
graph; ``let d = p - y`` and ``delta3 = ...`` define a name; a line that begins with ``=`` goes on with the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from graphc.checking.circuit import Circuit
from graphc.checking.claims import Claim, read_claim
from graphc.checking.language import shape_of
from graphc.checking.language.names import GRADIENT, Names
from graphc.errors import CheckError
from graphc.formula.expression import Call, Expression, Symbol, symbols
from graphc.graph.node import Node

__all__ = ["Line", "read_lines", "written_out"]

#: Lines and characters of a line that are read at most.
_LINES, _LENGTH = 200, 4000


@dataclass(frozen=True)
class Line:
    """One line as it was read.

    Attributes
    ----------
    number : int
        From 1 on, blank lines and remarks left out.
    name : str
        What stands left of the equals sign.
    target : Node or None
        Whose gradient is claimed; None where a name is defined.
    claim : Claim
        The right-hand side, over names of the graph, gradients, and names of earlier lines.
    """

    number: int
    text: str
    name: str
    target: Node | None
    claim: Claim

    @property
    def keys(self) -> tuple[str, ...]:
        """Names under which later lines use this one."""
        if self.target is None:
            return (self.name,)
        label = self.target.label
        return (*dict.fromkeys((self.name, f"d{label}", f"d_{label}")), GRADIENT + label)


def read_lines(given: str | Iterable[str], names: Names, circuit: Circuit) -> list[Line]:
    """Read the lines of a derivation.

    Parameters
    ----------
    given : str or iterable of str
        Lines, or one text with line breaks; what follows ``#`` is a remark.

    Raises
    ------
    CheckError
        If a line cannot be read, uses an unknown name, or defines a name for the second time.
    """
    texts = given.splitlines() if isinstance(given, str) else list(given)
    if not all(isinstance(text, str) for text in texts):
        raise CheckError("a derivation is a list of lines, each a text such as 'dW = X.T @ d' or 'let d = p - y'")
    kept = [line for text in texts for line in [text.partition("#")[0].strip()] if line]
    if not kept:
        raise CheckError("the derivation has no lines; write for example 'let d = p - y' and 'dW = X.T @ d'")
    if len(kept) > _LINES:
        raise CheckError(f"the derivation has {len(kept)} lines; at most {_LINES} are read")
    lines: list[Line] = []
    for number, text in enumerate(kept, 1):
        try:
            line = _line(number, text, lines, names, circuit)
        except CheckError as error:
            raise CheckError(f"line {number}, {text[:60]!r}: {error}") from None
        if line.target is None:
            assert line.claim.expression is not None
            names.define(line.name, shape_of(line.claim.expression, names.shapes))
        for key in line.keys:  # dy is this line, also where a node is called d
            if line.target is not None and key.isidentifier() and key not in names.nodes and key not in names.sizes:
                names.define(key, line.target.shape)
        lines.append(line)
    return lines


def _line(number: int, text: str, before: list[Line], names: Names, circuit: Circuit) -> Line:
    if len(text) > _LENGTH:
        raise CheckError(f"it has {len(text)} characters; at most {_LENGTH} are read")
    left, right = _sides(text)
    lets = re.match(r"let\s+", left)
    name = left[lets.end() :].strip() if lets else left
    if not name:
        if not before:
            raise CheckError("there is no line before it that it could go on with; write a name left of =")
        last = before[-1]
        target, name = last.target, last.name
        if target is None:
            raise CheckError(f"it goes on with {name!r}, which is defined already; give the new form a name of its own")
    else:
        target = _claimed(name, names)
    if target is not None:
        standing = circuit.standing.get(target, target)
        return Line(number, text, name, standing, read_claim(standing, right, names))
    name = _plain_name(name)
    if any(line.name == name and line.target is None for line in before):
        raise CheckError(f"{name!r} is defined by line {next(x.number for x in before if x.name == name)} already")
    if name in names.nodes:
        raise CheckError(f"{name!r} is a node of the graph; a gradient is claimed as d{name} = ..., and a line defines")
    claim = read_claim(circuit.root, right, names)
    if claim.expression is None:
        raise CheckError("a line is a formula")
    return Line(number, text, name, None, claim)


def _sides(text: str) -> tuple[str, str]:
    """Both sides of the first equals sign that is no comparison and stands in no bracket."""
    depth = 0
    for k, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == ":" and text[k + 1 : k + 2] == "=" and depth == 0:
            return text[:k].strip(), text[k + 2 :].strip()
        if (
            character == "="
            and depth == 0
            and text[k - 1 : k] not in ("<", ">", "!", "=")
            and text[k + 1 : k + 2] != "="
        ):
            return text[:k].strip(), text[k + 1 :].strip()
    raise CheckError("it has no equals sign; a line is 'dx = ...', 'let d = ...' or 'd = ...'")


def _claimed(left: str, names: Names) -> Node | None:
    """The node whose gradient a left-hand side names, if it names one."""
    flat = re.sub(r"\\[dt]?frac\s*\{(.*)\}\s*\{(.*)\}$", r"\1/\2", left.strip())
    flat = re.sub(r"\\partial\s*|\\mathrm\{d\}\s*", "∂", flat).replace(r"\nabla", "∇").replace("\\", "")
    flat = re.sub(r"[\s{}]", "", flat)
    quotient = re.fullmatch(r"[∂d]_?(.+)/[∂d]_?(.+)", flat)
    if quotient is not None:
        if not names.is_root(quotient[1].strip("()")):
            raise CheckError(
                f"{left!r} is a derivative of {quotient[1]!r}; gradients are those of {names.root.label!r}"
            )
        return names.find(quotient[2].strip("()"))
    dotted = re.fullmatch(r"(.+)\.grad", flat)
    if dotted is not None:
        return names.find(dotted[1])
    nabla = re.fullmatch(r"∇_?(.+)", flat)
    if nabla is not None:
        rest = nabla[1]
        cuts = [rest, *(rest[:k] for k in range(len(rest) - 1, 0, -1) if names.is_root(rest[k:]))]
        match = next((m for cut in cuts if (m := names.match(cut)) in names.nodes), None)
        if match is None:
            raise names.unknown(rest)
        return names.find(match)
    return names.gradient(flat)


def _plain_name(name: str) -> str:
    plain = re.sub(r"[\s{}\\]", "", name)
    if not plain.replace("_", "a").isidentifier() or len(plain) > 40:
        raise CheckError(f"{name[:40]!r} left of = is no name; write for example 'let d = ...' or 'delta3 = ...'")
    return plain


def written_out(expression: Expression, names: dict[str, Expression]) -> Expression:
    """An expression with names of earlier lines written out."""
    if isinstance(expression, Symbol):
        return names.get(expression.name, expression)
    if isinstance(expression, Call) and any(name in names for name in symbols(expression)):
        return Call(expression.function, tuple(written_out(o, names) for o in expression.operands))
    return expression
