r"""The grammar of claims: operators by precedence, over the tokens of `graphc.checking.language.tokens`.

One grammar reads Python, LaTeX and Unicode. Where they disagree, these rules hold:

- ``^`` is a power; a text that also writes ``**`` means Python, where ``^`` is none, and is refused.
- Letters or brackets side by side are a product: of scalars and arrays as with ``*``; of matrices and vectors the
  matrix product, as with ``·``; a vector is a column, so ``\delta x^\top`` is an outer product.
- ``*``, ``⊙`` and ``∘`` multiply element by element, ``@`` is the matrix product of NumPy. What stands side by side or
  with a dot between binds tighter: ``h ⊙ W x`` is ``h ⊙ (W x)``; but ``a/b·c`` is ``(a/b)·c``.
- ``a/b c`` is refused, since it can mean ``(a/b)*c`` and ``a/(b*c)``, unless a space ends the fraction: ``1/N x``.
- ``f(x)``, where ``f`` is computed from ``x``, is refused: it can mean ``f*x`` or ``f``.
- A function without brackets takes one factor, with its number: ``\sin 2x``.
"""

from __future__ import annotations

from graphc.checking.language import operands
from graphc.checking.language.commands import command
from graphc.checking.language.cursor import REFUSED, WORDS, Cursor
from graphc.checking.language.gradients import gradient, left_hand_side
from graphc.checking.language.indices import finished, scan
from graphc.checking.language.names import Names
from graphc.checking.language.products import ONES, product
from graphc.checking.language.shape_rules import short
from graphc.checking.language.tokens import Token
from graphc.checking.language.vocabulary import CONSTANTS
from graphc.errors import CheckError
from graphc.formula.expression import Expression, Number, Symbol
from graphc.graph.node import Node

__all__ = ["Reader", "read_expression"]

#: Precedence and function of the operators between two operands.
_INFIX = {
    "or": (1, "or"), "and": (2, "and"), "<": (4, "less"), "<=": (4, "less_equal"), ">": (4, "greater"),
    ">=": (4, "greater_equal"), "==": (4, "equal"), "!=": (4, "not_equal"), "|": (5, "or"), "&": (6, "and"),
    "+": (10, "add"), "-": (10, "sub"), "*": (20, "mul"), "/": (20, "div"), "//": (20, "floordiv"),
    "@": (20, "matmul"), "⊙": (20, "mul"), "·": (21, "·"), "×": (20, "×"), "⊗": (20, "outer"),
}  # fmt: skip
_NOT, _COMPARISON, _SIDE_BY_SIDE, _SIGN = 3, 4, 21, 25


def read_expression(text: str, names: Names, target: Node) -> Expression:
    """Read a claim as an expression over the names of a graph.

    Parameters
    ----------
    target : Node
        Whose gradient is claimed: a left-hand side must name it.

    Raises
    ------
    CheckError
        If the text is not in the language, uses a name that the graph does not have, or exceeds a limit.
    """
    return Reader(text, names, target).read()


class Reader(Cursor):
    """Reads one claim."""

    # ---- the whole claim -------------------------------------------------------------------------

    def read(self) -> Expression:
        """Read the claim, with or without a left-hand side that names its target."""
        powers = {self.text[t.start] for t in self.tokens if t.kind == "op" and t.text in ("^", "**")}
        if powers == {"^", "*"}:
            raise CheckError(
                "the claim writes powers both as ** and as ^, which is no power in Python; write one of them"
            )
        if len(self.tokens) == 1:
            raise CheckError("the claim is empty; write a formula, for example x*y")
        self.at = left_hand_side(self)
        scan(self)
        result = self.expression(0)
        if self.token.kind != "end":
            raise self.leftover()
        result = finished(self, result)
        self.validate(result)
        return result

    def leftover(self) -> CheckError:
        """Return the error that something follows the formula."""
        token = self.token
        if token.text in ("=", ":="):
            return CheckError("there is more than one = in the claim; give the right-hand side only, one formula")
        if token.text in (",", ";"):
            return CheckError(f"there is a {token.text!r} in the claim; a claim is one formula, not a list")
        if token.kind == "name" and token.text in REFUSED:
            return self.refused(token.text)
        return self.unexpected("an operator or the end was expected")

    # ---- operators -------------------------------------------------------------------------------

    def expression(self, least: int) -> Expression:
        """Read operators of at least some precedence."""
        self.deeper()
        left = self.prefix()
        compared: Expression | None = None  # right operand of the comparison just read: 0 < x < 1 goes on from it
        divided = False  # whether a fraction without brackets was just read
        while True:
            token = self.token
            if token.text == "=" and self.equations:
                token = token._replace(text="==")
            row = _INFIX.get(token.text) if token.kind == "op" or token.text in ("and", "or") else None
            if token.text == "|" and (self.bars or not self.is_condition(left)):
                row = None
            if row is not None:
                precedence, function = row
                if precedence < least:
                    break
                self.next()
                fraction = function in ("div", "floordiv")
                divided = fraction and not self.sign("(", "{")
                right = self.expression(_SIDE_BY_SIDE + 1 if fraction else precedence + 1)
                divided = divided and (token.spaced or not self.token.spaced)
                if compared is not None and precedence == _COMPARISON:
                    left = self.make("and", left, self.make(function, compared, right))
                else:
                    left = self.joined(function, left, right, token)
                compared = right if precedence == _COMPARISON else None
            elif least <= _SIDE_BY_SIDE and self.begins_operand():
                if divided:
                    raise CheckError(
                        "a fraction followed by a factor, as in 1/2x, can be read as (1/2)*x and as 1/(2*x); "
                        "write the brackets"
                    )
                if token.kind == "number" and not (self.tex and token.spaced):
                    raise CheckError(
                        f"the number {token.text} behind a factor can be a factor, a power or a part of a name; "
                        "write the product with *, a power with ^, and an index with _"
                    )
                left = product(self, left, self.expression(_SIDE_BY_SIDE + 1), "")
            else:
                break
        if least == 0 and self.take("if"):
            condition = self.expression(1)
            self.expect("else")
            left = self.make("select", condition, left, self.expression(0))
        self.depth -= 1
        return left

    def joined(self, function: str, left: Expression, right: Expression, token: Token) -> Expression:
        """Join two operands by an operator."""
        if function in ("·", "×"):
            return product(self, left, right, function)
        if token.text in ("&", "|") and not (self.is_condition(left) and self.is_condition(right)):
            raise CheckError(f"{token.text} joins two conditions, each in brackets, as in (x > 0) {token.text} (y > 0)")
        return self.make(function, left, right)

    def prefix(self) -> Expression:
        """Read signs and ``not`` in front of an operand."""
        if self.take("-"):
            return self.make("neg", self.expression(_SIGN))
        if self.take("+"):
            return self.expression(_SIGN)
        if self.take("not"):
            return self.make("not", self.expression(_NOT))
        if self.take("~"):
            operand = self.expression(_SIGN)
            if not self.is_condition(operand):
                raise CheckError("~ means 'not', and stands before a condition in brackets, as in ~(x > 0)")
            return self.make("not", operand)
        return self.postfix(self.primary())

    def begins_operand(self) -> bool:
        """Whether the next token can begin another factor."""
        token = self.token
        if token.kind in ("number", "command"):
            return not token.text.startswith("end")
        if token.kind == "name":
            return token.text not in WORDS and (token.text not in REFUSED or self.is_node(token.text))
        return token.kind == "op" and (
            token.text in ("(", "{", "[", "∂", "|<", "‖<") or (token.text in ("|", "‖") and not self.bars)
        )

    # ---- operands --------------------------------------------------------------------------------

    def primary(self) -> Expression:
        """Read a number, a name, a function or something in brackets."""
        token = self.token
        if token.kind == "number":
            self.next()
            if token.text == "1" and self.take("_"):
                return self.indicator()
            value = float(token.text) if any(c in token.text for c in ".eE") else int(token.text)
            return Number(value)
        if token.kind == "name":
            return operands.name(self)
        if token.kind == "command":
            return command(self)
        if token.kind == "word":
            raise CheckError("a claim holds no text in quotes; nothing was executed")
        if token.text in ("(", "{"):
            return self.group()
        if token.text == "[":
            return self.square()
        if token.text in ("|", "‖", "|<", "‖<"):
            return self.barred()
        if token.text == "∂":
            return gradient(self)
        raise self.unexpected("a number, a name or a bracket was expected")

    def group(self) -> Expression:
        """Read an expression in round brackets or braces."""
        closing = {"(": ")", "{": "}"}[self.next().text]
        bars, self.bars = self.bars, 0
        inner = self.expression(0)
        if self.sign(","):
            raise CheckError("there is a comma in the brackets; a claim is one formula, not a list")
        if self.sign(":="):
            raise CheckError("':=' is not part of the language of claims; nothing was executed")
        if self.token.kind == "name" and self.token.text in REFUSED:
            raise self.refused(self.token.text)
        self.expect(closing)
        self.bars = bars
        return inner

    def square(self) -> Expression:
        """Read square brackets that index nothing: 1 where a condition holds, or plain brackets in LaTeX."""
        self.expect("[")
        bars, self.bars = self.bars, 0
        self.equations += 1
        inner = self.expression(0)
        self.equations -= 1
        self.bars = bars
        if self.sign(","):
            raise CheckError(
                "there is a list in the claim; a list stands only in a function such as concatenate([a, b])"
            )
        if self.token.kind == "name" and self.token.text in REFUSED:
            raise self.refused(self.token.text)
        self.expect("]")
        if not self.is_condition(inner) and not self.tex:
            raise CheckError("square brackets hold a condition, as in [x > 0], or an index; group with round ones")
        return inner

    def barred(self) -> Expression:
        """Read an absolute value or a norm."""
        bar = self.next().text
        sided = bar.endswith("<")
        outer, self.bars = self.bars, 0 if sided else self.bars + 1
        inner = self.expression(0)
        self.expect(bar.replace("<", ">"))
        self.bars, bar = outer, bar[0]
        order = "2"
        if self.take("_"):
            braces = self.take("{")
            order = self.next().text
            if braces:
                self.expect("}")
        if bar == "|" or self.rank(inner) == 0:
            return self.make("abs", inner)
        if order == "1":
            return self.make("sum", self.make("abs", inner))
        if order not in ("2", "F"):
            raise CheckError(f"the norm with index {order!r} is not read; write |x|, \\|x\\|_1, \\|x\\|_2 or \\|x\\|_F")
        return self.make("norm2", inner)

    def indicator(self) -> Expression:
        """Read the condition of an indicator, in any brackets; a bold 1 without is a vector of ones."""
        closing = {"[": "]", "(": ")", "{": "}"}.get(self.token.text)
        if self.sign("^", "ᵀ"):
            braces = self.take("^") and self.take("{")
            if self.next().text not in ("⊤", "ᵀ", "T"):
                raise CheckError(r"a vector of ones has no powers; \mathbf{1}^\top sums over the first axis")
            if braces:
                self.expect("}")
            return self.make("sum", self.expression(_SIDE_BY_SIDE), Number(0))
        if closing is None:
            return ONES
        self.next()
        self.equations += 1
        inner = self.expression(0)
        self.equations -= 1
        self.expect(closing)
        if not self.is_condition(inner):
            raise CheckError(rf"an indicator holds a condition, as in \mathbb{{1}}[x > 0]; found {short(inner)}")
        return inner

    def postfix(self, base: Expression) -> Expression:
        """Read powers, transposes, indices and methods behind an operand."""
        while True:
            token = self.token
            if token.kind == "power":
                self.next()
                base = self.raised(base, self.superscript(token.text))
            elif token.kind != "op":
                return base
            elif token.text == "ᵀ":
                self.next()
                base = self.transposed(base)
            elif token.text in ("^", "**"):
                self.next()
                base = self.power(base, caret=token.text == "^")
            elif token.text == ".":
                base = operands.attribute(self, base)
            elif token.text == "[" and not self.tex and not self.letters and not isinstance(base, Number):
                base = operands.subscript(self, base)
            else:
                return base

    def superscript(self, text: str) -> Expression:
        """The exponent that raised digits are."""
        if "n" in text:
            if text != "n":
                raise CheckError("a raised n stands alone, as in xⁿ; write other exponents with ^")
            return Symbol(self.names.find("n").label)
        if len(text) > 6:
            raise CheckError(f"the raised exponent {text[:12]}... is too large")
        return Number(int(text))

    def power(self, base: Expression, caret: bool) -> Expression:
        """Read an exponent, or a raised T."""
        if caret:
            braces = self.sign("{")
            first, second = (self.peek(), self.peek(2)) if braces else (self.token, None)
            raised = first.text in ("⊤", "ᵀ", "T", "t") and first.kind in ("op", "name")
            usual = self.rank(base) != 0 or (first.text != "t" and not self.names.match(first.text))
            if raised and usual and (second is None or second.text == "}"):
                self.at += 3 if braces else 1
                return self.transposed(base)
            if first.text == "*":
                raise self.unexpected("an exponent was expected")
            if braces and first.text == "(" and self.peek(3).text == ")" and self.peek(4).text == "}":
                raise CheckError(
                    f"({self.peek(2).text}) raised is a layer, a step or an example, and the graph has no node of that "
                    f"name; its names are {', '.join(self.names.shown)}. A power is written ^{self.peek(2).text}"
                )
        exponent = self.token
        result = self.raised(base, self.exponent())
        if exponent.kind == "name" and self.token.kind == "name" and self.token.start == exponent.start:
            raise CheckError("an exponent of several letters, as in e^xy, needs brackets: e^(xy), or e^x*y")
        return result

    def exponent(self) -> Expression:
        """Read an exponent: signs, then one operand, which may have an exponent of its own."""
        self.deeper()
        if self.take("-"):
            result = self.make("neg", self.exponent())
        elif self.take("+"):
            result = self.exponent()
        else:
            result = self.postfix(self.primary())
        self.depth -= 1
        return result

    def raised(self, base: Expression, exponent: Expression) -> Expression:
        """Build a power."""
        if base == CONSTANTS["e"]:
            return self.make("exp", exponent)
        if exponent == Number(-1) and self.rank(base) in (2, 3) and not self.letters:
            raise CheckError(
                f"{short(base)}^-1 can mean an inverse matrix, which claims do not have, or 1/{short(base)[1:-1]}; "
                "write the latter so"
            )
        return self.make("pow", base, exponent)

    def transposed(self, base: Expression) -> Expression:
        """Build a transpose: of a batch of matrices that of each."""
        rank = self.rank(base)
        if rank == 0:
            return base
        return self.make("swap_last" if rank is not None and rank > 2 else "transpose", base)
