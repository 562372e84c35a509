"""Tokens of a claim one after the other, and the limits on what is built of them."""

from __future__ import annotations

import math
from fractions import Fraction

from graphc.checking.arrays import ARRAYS
from graphc.checking.language.names import Names
from graphc.checking.language.products import ONES
from graphc.checking.language.shape_rules import short
from graphc.checking.language.shapes import Shapes
from graphc.checking.language.text import literal
from graphc.checking.language.tokens import Token, tokenize
from graphc.checking.language.vocabulary import CONDITIONS, CONSTANTS, MODULES, VOCABULARY
from graphc.errors import CheckError
from graphc.formula.expression import FUNCTIONS, Call, Expression, Number, Symbol, number
from graphc.formula.size import Extent, Size, extent_value
from graphc.graph.node import Node
from graphc.graph.shapes import Shape, shape_text

__all__ = ["REFUSED", "WORDS", "Cursor"]

#: Largest number of operations that build on each other.
_MAXIMUM_HEIGHT = 200

#: Largest number of elements of an intermediate array, unless the graph has larger ones; a named size counts as 8.
_MAXIMUM_ELEMENTS = 10**6
_NAMED = 8

#: Largest nesting of brackets, signs and powers, number of operations, and exponent.
_MAXIMUM_DEPTH = 60
_MAXIMUM_OPERATIONS = 2000
_MAXIMUM_EXPONENT = 1000

#: Words of Python that mean something else than a name.
WORDS = {"if", "else", "and", "or", "not", "True", "False", "None"}
REFUSED = frozenset({
    "lambda", "for", "in", "is", "import", "from", "await", "yield", "async", "def", "class", "return", "while",
    "with", "as", "assert", "del", "global", "nonlocal", "pass", "raise", "try", "except", "finally", "break",
    "continue", "exec", "eval", "compile", "open", "getattr", "setattr", "globals", "locals", "vars", "input",
    "breakpoint",
})  # fmt: skip


def _elements(shape: Shape) -> int:
    """Number of elements of a shape, with a small number for each named size."""
    return math.prod(extent_value(extent, dict.fromkeys(_names(extent), _NAMED)) for extent in shape)


def _names(extent: Extent) -> set[str]:
    return extent.names() if isinstance(extent, Size) else set()


class Cursor:
    """Tokens of one claim, and the operations built of them."""

    def __init__(self, text: str, names: Names, target: Node) -> None:
        self.text = text
        self.names = names
        self.target = target
        self.shapes = Shapes(names.shapes)
        self.tokens = tokenize(text, self.known, self.is_node)
        self.tex = "\\" in text
        self.at = 0
        self.depth = 0
        self.bars = 0
        self.equations = 0  # brackets around, in which a single = compares
        self.sizes: dict[int, tuple[Expression, int]] = {}  # operations of each call; held, so that ids stay
        self.free: list[str] = []  # indices of the element that a left-hand side names
        self.letters: dict[str, tuple[str, int]] = {}  # indices of the claim, with an array and an axis of each
        self.rows: dict[int, Expression] = {}  # vectors that a transpose made rows
        self.bound: dict[int, tuple[Expression, frozenset[str]]] = {}  # sums over letters

    refused_words = REFUSED

    # ---- tokens ----------------------------------------------------------------------------------

    def known(self, name: str) -> bool:
        """Whether a run of letters has a meaning as it stands."""
        base = name.removesuffix("_prime")
        return (
            base in VOCABULARY
            or base in WORDS
            or base in REFUSED
            or base in MODULES
            or base in CONSTANTS
            or base == "pi"
            or base in self.names.sizes
            or base in ("dtype", "newaxis")
            or self.names.match(name) is not None
            or (self.names.gradient(name) is not None and not self.is_node(name[0]))
        )

    def is_node(self, name: str) -> bool:
        """Whether a name is a node, a defined line or a size."""
        return name in self.names.sizes or self.names.match(name) is not None

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    def peek(self, offset: int = 1) -> Token:
        """A token behind the next one."""
        return self.tokens[min(self.at + offset, len(self.tokens) - 1)]

    def next(self) -> Token:
        """Go past the next token."""
        token = self.token
        self.at += token.kind != "end"
        return token

    def sign(self, *texts: str) -> bool:
        """Whether the next token is one of some operators or words."""
        token = self.token
        return token.text in texts and token.kind in ("op", "name") and (token.kind == "op" or token.text in WORDS)

    def take(self, *texts: str) -> bool:
        """Go past the next token if it is one of some operators."""
        found = self.sign(*texts)
        self.at += found
        return found

    def expect(self, text: str) -> None:
        """Go past an operator that must come next."""
        if not self.take(text):
            raise self.unexpected(f"{text!r} was expected")

    def unexpected(self, reason: str) -> CheckError:
        """Return the error that something else comes next."""
        token = self.token
        if token.kind == "end":
            return CheckError(f"cannot read the claim: it ends where {reason.replace(' was expected', '')} is missing")
        after = self.text[: token.start].rstrip()[-20:]
        where = f" after {after!r}" if after else ""
        return CheckError(f"cannot read the claim: {token.text!r} at position {token.start + 1}{where}; {reason}")

    def rank(self, expression: Expression) -> int | None:
        """Number of axes of an expression, or None where its shapes do not fit."""
        if not isinstance(expression, Number | Symbol | Call):
            return None  # a tuple or a word: refused where it is built in
        try:
            return len(self.shapes.of(expression))
        except (CheckError, KeyError):
            return None

    @staticmethod
    def is_condition(expression: Expression) -> bool:
        """Whether an expression is a comparison, or conditions joined."""
        return isinstance(expression, Call) and expression.function in CONDITIONS

    def make(self, function: str, *operands: Expression) -> Expression:
        """Build an operation, under the limits."""
        match function, operands:
            case "neg", (Number(value),):
                return Number(-value)
            case "div", (Number(int(a)), Number(int(b))) if b != 0:
                return number(Fraction(a, b))
            case "pow", (base, exponent):
                self.check_power(base, exponent)
        return self.sized(Call(function, operands))

    def sized(self, expression: Expression) -> Expression:
        """Refuse an expression of too many operations: cosh(cosh(...)) doubles with every step."""
        if self.size(expression) > _MAXIMUM_OPERATIONS:
            raise CheckError(f"the claim has more than {_MAXIMUM_OPERATIONS} operations; it is too long to be judged")
        return expression

    def size(self, expression: Expression) -> int:
        """Number of operations, each as often as it is written out."""
        if not isinstance(expression, Call):
            return 0
        if id(expression) not in self.sizes:
            total = 1 + sum(self.size(operand) for operand in expression.operands)
            self.sizes[id(expression)] = expression, total
        return self.sizes[id(expression)][1]

    def check_power(self, base: Expression, exponent: Expression) -> None:
        """Refuse powers whose exponents are too large."""
        size = literal(exponent)
        if size is None:
            return
        total = abs(size.value)
        while isinstance(base, Call) and base.function == "pow":
            inner = literal(base.operands[1])
            total *= abs(inner.value) if inner is not None else 1
            base = base.operands[0]
        if total > _MAXIMUM_EXPONENT:
            raise CheckError(
                f"a power with the exponent {short(exponent)} is too large: exponents go up to {_MAXIMUM_EXPONENT}, "
                "those of nested powers multiplied"
            )

    def deeper(self) -> None:
        """Count one more bracket, sign or power around what comes next."""
        self.depth += 1
        if self.depth > _MAXIMUM_DEPTH:
            raise CheckError(f"the claim is nested too deeply: more than {_MAXIMUM_DEPTH} brackets, signs or powers")

    def refused(self, word: str) -> CheckError:
        """Return the error that a word of Python stands in a claim."""
        hint = " (a node named lambda can be written so)" if word == "lambda" else ""
        return CheckError(f"{word!r} is not part of the language of claims{hint}; nothing was executed")

    def validate(self, result: Expression) -> None:
        """Refuse trees that are too high, and operands that are no values."""
        largest = max(_MAXIMUM_ELEMENTS, *(4 * _elements(shape) for shape in self.names.shapes.values()))
        level = [result]
        height = 0
        while level:
            height += 1
            if height > _MAXIMUM_HEIGHT:
                raise CheckError(
                    f"more than {_MAXIMUM_HEIGHT} operations build on each other in the claim; "
                    "name intermediate results in the graph and use their names"
                )
            for item in level:
                if item == ONES:
                    raise CheckError(
                        r"\mathbf{1} is a vector of ones in a product, as in \mathbf{1}^\top X or X \mathbf{1}, "
                        r"or an indicator, as in \mathbb{1}[x > 0]"
                    )
                if isinstance(item, Call) and item.function not in FUNCTIONS and item.function not in ARRAYS:
                    raise CheckError(f"{short(item)} is a tuple of extents; write for example x.shape[0]")
                if self.rank(item) and _elements(self.shapes.of(item)) > largest:
                    raise CheckError(
                        f"{short(item)} makes an array of shape {shape_text(self.shapes.of(item))}; "
                        f"a claim may hold {largest} elements at once"
                    )
            level = [o for item in level if isinstance(item, Call) for o in item.operands]
