r"""Cutting a claim into tokens: Python, LaTeX and Unicode mathematics become one small set of them.

What LaTeX and Unicode write differently is one token afterwards: ``\cdot`` and ``·``, ``\hat{y}`` and ``ŷ``,
``w_{1}`` and ``w₁``. Letters side by side are cut where each is a node of the graph and the whole is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from graphc.checking.language.names import GREEK, nearest, spelled
from graphc.checking.language.signs import (
    ACCENTS,
    COMBINING,
    COMMAND_OPERATORS,
    FONTS,
    FUNCTIONS,
    GREEK_COMMANDS,
    LOOKALIKES,
    LOOKS,
    OPERATORS,
    STRUCTURES,
    SUBSCRIPTS,
    SUPERSCRIPTS,
)  # fmt: skip
from graphc.errors import CheckError

__all__ = ["MAXIMUM_LENGTH", "Token", "tokenize"]

#: Longest claim read, in characters.
MAXIMUM_LENGTH = 10_000

#: Longest number read, in characters, and the largest exponent of ten in it.
_MAXIMUM_DIGITS = 60
_MAXIMUM_EXPONENT = 300


class Token(NamedTuple):
    """One token: ``kind`` is number, name, word (of text in quotes), command, power, op or end."""

    kind: str
    text: str
    start: int
    spaced: bool = False  # white space comes before it


_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_SUPERSCRIPT = re.compile(r"[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]+")
_SUBSCRIPT = re.compile(r"[₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ]+")
_PRIMES = re.compile(r"['′’]+|″|\^\{?\\prime\}?")
_LAYER = re.compile(r"\^\{?\s*[(\[]\s*(\w{1,3})\s*[)\]]\s*\}?")
_WORD = re.compile(r"(['\"])([a-z]{0,12}(?:,[a-z]{0,12}){0,3}(?:->[a-z]{0,12})?)\1")
_LETTER = "A-Za-z" + "".join(GREEK)
_RUN = re.compile(rf"(?:[{_LETTER}]|_(?![{{\\\\]))(?:[{_LETTER}0-9]|_(?![{{\\\\]))*")

#: A run of mixed alphabets: a Greek letter is a name of its own, with its number or index.
_PIECES = re.compile(rf"[{''.join(GREEK)}](?:_?[0-9]+|_[A-Za-z]+)?|[A-Za-z_][A-Za-z0-9_]*")

_BAR = re.compile(r"\s*(\\\||\|\||\\[vV]ert|\||‖)")
_SINGLE = ("|", r"\vert")
_SIDES = {
    f"{size}{side}": sign for size in ("", "big", "Big", "bigg", "Bigg") for side, sign in (("l", "<"), ("r", ">"))
}
_SIDES |= {"left": "<", "right": ">"}

#: What a subscript may follow beside a name: brackets, bars, an indicator and its 1.
_SUBSCRIPTED = frozenset([")", "]", "}", "|", "‖", "|>", "‖>", "∂", "∇", "indicator", "1"])


def tokenize(text: str, known: Callable[[str], bool], node: Callable[[str], bool]) -> list[Token]:
    """Cut a claim into tokens, the last of kind ``end``.

    Parameters
    ----------
    known : callable
        Whether a name has a meaning: letters are cut apart only where their run has none.
    node : callable
        Whether a letter is a node: letters are cut apart only where each is one.

    Raises
    ------
    CheckError
        If the text is too long, or holds what no claim holds; nothing was executed.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise CheckError(f"the text has {len(text)} characters; at most {MAXIMUM_LENGTH} are read as a claim")
    return _Lexer(text, known, node).tokens()


class _Lexer:
    def __init__(self, text: str, known: Callable[[str], bool], node: Callable[[str], bool]) -> None:
        self.text = text
        self.known = known
        self.node = node
        self.position = 0
        self.found: list[Token] = []
        self.spaced = False
        self.depth = 0
        self.tex = "\\" in text

    def add(self, kind: str, text: str, start: int) -> None:
        self.found.append(Token(kind, text, start, self.spaced))
        self.spaced = False

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def tokens(self) -> list[Token]:
        text = self.text
        while self.position < len(text):
            start, character = self.position, text[self.position]
            if character in "\r\n" and self.depth == 0 and not self.tex and text[start:].strip():
                raise CheckError(
                    "there is a line break in the claim; a claim is one formula (inside brackets it may break)"
                )
            if character.isspace() or unicodedata.category(character) == "Zs" or character == "$":
                self.position += 1
                self.spaced = True
            elif character == "\\":
                self.command(start)
            elif character == "~" and self.tex:
                self.position += 1
            elif (word := self.quoted()) is not None:
                self.add("word", word, start)
            elif self.script(character):
                pass
            elif character == "_" and self.found and self.found[-1].text in _SUBSCRIPTED:
                self.position += 1
                self.add("op", "_", start)
            elif (run := self.match(_RUN)) is not None:
                self.run(run[0], start)
            elif (found := self.match(_NUMBER)) is not None:
                self.number(found[0], start)
            elif (found := self.match(_SUPERSCRIPT)) is not None:
                self.add("power", found[0].translate(SUPERSCRIPTS), start)
            else:
                self.operator(start)
        self.add("end", "", len(text))
        return self.found

    def quoted(self) -> str | None:
        """A word in quotes, such as the mode of a convolution; not a prime behind a name."""
        start = self.position
        before = self.text[start - 1] if start else " "
        if self.text[start] not in "'\"" or before.isalnum() or before in ")]}_'":
            return None
        found = self.match(_WORD)
        if found is None:
            raise CheckError("a claim holds no text in quotes; nothing was executed")
        return found[2]

    def script(self, character: str) -> bool:
        """Read characters that stand for a sign and a name at once: 𝑥, 𝟙, √, ∑."""
        start = self.position
        if character in "√∑" or (character == "Σ" and not self.known("Sigma")):
            self.position += 1
            if character == "√":
                self.add("command", "sqrt", start)
            else:
                self.sum(start)
            return True
        if character == "𝟙":
            self.position += 1
            self.add("command", "indicator", start)
            return True
        if "\U0001d400" <= character <= "\U0001d7ff":  # mathematical alphabets: bold, italic, ...
            run = ""
            while self.position < len(self.text) and "\U0001d400" <= self.text[self.position] <= "\U0001d7ff":
                run += unicodedata.normalize("NFKC", self.text[self.position])
                self.position += 1
            if run.isdigit():
                self.number(run, start)
            else:
                self.run(run, start)
            return True
        decomposed = unicodedata.normalize("NFD", character)
        if len(decomposed) == 2 and decomposed[0].isascii() and decomposed[1] in COMBINING:
            self.position += 1
            self.name(f"{decomposed[0]}_{COMBINING[decomposed[1]]}", start)
            return True
        return False

    def number(self, text: str, start: int) -> None:
        exponent = text.lower().partition("e")[2]
        if len(text) > _MAXIMUM_DIGITS or (exponent and (len(exponent) > 4 or abs(int(exponent)) > _MAXIMUM_EXPONENT)):
            shown = text if len(text) <= 20 else text[:17] + "..."
            raise CheckError(
                f"the number {shown} is too large to be read: at most {_MAXIMUM_DIGITS} digits, "
                f"and powers of ten up to {_MAXIMUM_EXPONENT}"
            )
        self.add("number", text, start)

    def operator(self, start: int) -> None:
        for length in (2, 1):
            sign = OPERATORS.get(self.text[start : start + length])
            if sign is not None:
                self.position += length
                self.depth += (sign in "([{") - (sign in ")]}")
                self.add("op", sign, start)
                return
        character = self.text[start]
        name = unicodedata.name(character, "a control character")
        if character in LOOKALIKES:
            latin = LOOKALIKES[character]
            raise CheckError(
                f"the letter {character!r} (U+{ord(character):04X}, {name}) only looks like the letter {latin!r}; "
                f"did you mean {latin!r}?"
            )
        if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Cn"):
            raise CheckError(
                f"there is an invisible character (U+{ord(character):04X}, {name}) at position {start + 1}; "
                "type the claim anew around it"
            )
        raise CheckError(f"{character!r} ({name}) is not a sign that a claim may hold; nothing was executed")

    # ---- names -----------------------------------------------------------------------------------

    def run(self, run: str, start: int) -> None:
        """Read a run of letters, digits and underscores."""
        if self.known(spelled(run)):
            self.name(spelled(run), start)
            return
        pieces = _PIECES.findall(run)
        for k, piece in enumerate(pieces):
            self.letters(spelled(piece), start, last=k == len(pieces) - 1)

    def letters(self, run: str, start: int, last: bool) -> None:
        """Emit a run as one name if it is one, else as a product of letters that are all nodes, else as it is."""
        following = self.text[self.position :]
        tex = re.fullmatch(r"([A-Za-z])_([A-Za-z]|[0-9]+)([A-Za-z]\w*)", run) if self.tex else None
        if tex is not None and not self.known(run) and self.known(f"{tex[1]}_{tex[2]}"):
            self.name(f"{tex[1]}_{tex[2]}", start, last=False)
            self.letters(tex[3], start, last)
            return
        cut = re.findall(r"[A-Za-z](?:_?[0-9]+)?", run)
        final = len(cut) - 1
        decorated = last and re.match(rf"[_{''.join(COMBINING)}'′’]|{_SUBSCRIPT.pattern}", following)
        power = last and re.match(r"\s*(\^|\*\*|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻])", following)
        fits = "".join(cut) == run and all(
            self.node(letter) or (k == final and (decorated or (letter == "e" and power)))
            for k, letter in enumerate(cut)
        )
        if fits and cut[0] == "d" and len(cut) == 2 and not self.known(run):
            raise CheckError(
                f"{run!r} may be the gradient of {cut[1]} or d times {cut[1]}; write ∂f/∂{cut[1]} or d*{cut[1]}"
            )
        for k, name in enumerate(cut) if fits and not self.known(run) else [(final, run)]:
            self.name(name, start, last=last and k == final)

    def name(self, base: str, start: int, last: bool = True) -> None:
        """Emit a name with the accents, subscripts, layer and primes behind it."""
        name = base
        while last and self.position < len(self.text):
            if (primes := self.match(_PRIMES)) is not None:
                count = 2 if primes[0] == "″" else 1 if "prime" in primes[0] else len(primes[0])
                name += "_prime" * count
            elif (sub := self.match(_SUBSCRIPT)) is not None:
                name += _subscript(sub[0].translate(SUBSCRIPTS))
            elif self.text[self.position] in COMBINING:
                name += "_" + COMBINING[self.text[self.position]]
                self.position += 1
            elif self.text[self.position] == "_" and "_" not in self.text[self.position + 1 : self.position + 2]:
                self.position += 1
                name += _subscript(self.argument())
            elif (layer := _LAYER.match(self.text, self.position)) and self.known(f"{name}_{layer[1]}"):
                self.position = layer.end()
                name += f"_{layer[1]}"
            else:
                break
        self.add("name", name, start)

    def argument(self) -> str:
        """Read what stands in braces, or the next character or command, as plain text of a name."""
        text = self.text
        while self.position < len(text) and text[self.position].isspace():
            self.position += 1
        start = self.position
        if start >= len(text):
            return ""
        if text[start] != "{":
            found = re.compile(r"\\[A-Za-z]+|.").match(text, start)
            assert found is not None
            self.position = found.end()
            inner = found[0]
        else:
            depth = 0
            for self.position in range(start, len(text)):
                depth += (text[self.position] == "{") - (text[self.position] == "}")
                if depth == 0:
                    break
            else:
                raise CheckError("a brace { is not closed")
            self.position += 1
            inner = text[start + 1 : self.position - 1]
        inner = re.sub(rf"\\({'|'.join(sorted(FONTS))})(?![A-Za-z])", "", inner)
        inner = re.sub(r"\\([A-Za-z]+)", lambda m: GREEK_COMMANDS.get(m[1], m[1]), inner)
        return spelled(re.sub(r"[{}\s\\]", "", inner).replace("−", "-"))

    # ---- commands --------------------------------------------------------------------------------

    def command(self, start: int) -> None:
        """Read a command of LaTeX."""
        found = re.compile(r"\\([A-Za-z]+\*?|.)", re.DOTALL).match(self.text, start)
        name = found[1].rstrip("*") or "*" if found is not None else ""
        self.position = start + 1 + len(found[1]) if found is not None else start + 1
        if name in COMMAND_OPERATORS:
            sign = COMMAND_OPERATORS[name]
            self.depth += (sign in "([{") - (sign in ")]}")
            self.add("op", sign, start)
        elif name in LOOKS:
            if name in ("left", "right") and self.text[self.position : self.position + 1] == ".":
                self.position += 1
            if name in _SIDES and (bar := self.match(_BAR)) is not None:  # bars that say where they open and close
                self.add("op", ("|" if bar[1] in _SINGLE else "‖") + _SIDES[name], start)
            self.spaced = True
        elif name == "sum":
            self.sum(start)
        elif name in STRUCTURES:
            self.add("command", STRUCTURES[name], start)
        elif name in ("begin", "end"):
            self.add("command", f"{name} {self.argument()}", start)
        elif name in FONTS:
            content = self.argument()
            if content in ("1", "I") and name in ("mathbb", "mathbbm", "mathds", "mathbf", "mathrm"):
                self.add("command", "indicator" if content == "1" or name != "mathrm" else "I", start)
            elif content.isdigit():
                self.number(content, start)
            elif content:
                self.name(content, start)
        elif name in ACCENTS:
            self.name(f"{self.argument()}_{ACCENTS[name]}", start)
        elif name in GREEK_COMMANDS:
            self.name(GREEK_COMMANDS[name], start)
        elif name in FUNCTIONS:
            self.name(name, start)
        else:
            known = [*COMMAND_OPERATORS, *STRUCTURES, *FONTS, *ACCENTS, *GREEK_COMMANDS, *FUNCTIONS]
            raise CheckError(f"\\{name} is not a command that claims may use{nearest(name, known)}")

    def sum(self, start: int) -> None:
        """Read a sum sign with the indices below and above it."""
        self.match(re.compile(r"∑|Σ|\\sum"))
        below = ""
        for _ in range(2):
            self.match(re.compile(r"\s*(\\limits)?\s*"))
            if (sub := self.match(_SUBSCRIPT)) is not None:
                below = sub[0].translate(SUBSCRIPTS)
            elif self.text[self.position : self.position + 1] == "_":
                self.position += 1
                below = self.argument()
            elif self.text[self.position : self.position + 1] == "^":
                self.position += 1
                self.argument()
        self.add("command", f"sum {below}".strip(), start)


def _subscript(text: str) -> str:
    return f"_{text}" if re.fullmatch(r"\w*", text) else f"_{{{text}}}"
