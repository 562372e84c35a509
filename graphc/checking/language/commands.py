"""Commands of LaTeX in claims: fractions, roots, sums, indicators and cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.checking.language.gradients import fraction_of_gradients
from graphc.checking.language.indices import summed
from graphc.errors import CheckError
from graphc.formula.expression import ZERO, Expression, Number

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["command"]

_WORDS_OF_CONDITIONS = {"if", "for", "when", "where", "wenn"}
_WORDS_OF_REST = {"otherwise", "else", "sonst"}


def command(reader: Reader) -> Expression:
    """Read a fraction, a root, a sum, an indicator or cases."""
    word, _, rest = reader.next().text.partition(" ")
    if word == "frac":
        found = fraction_of_gradients(reader)
        if found is not None:
            return found
        numerator = _braced(reader)
        return reader.make("div", numerator, _braced(reader))
    if word == "sqrt":
        return _root(reader)
    if word == "sum":
        return summed(reader, rest)
    if word in ("indicator", "I"):
        reader.take("_")
        return reader.indicator()
    if word == "begin" and rest == "cases":
        return _cases(reader)
    raise CheckError(f"\\{word}{{{rest}}} is not part of the language of claims; \\begin{{cases}} is")


def _braced(reader: Reader) -> Expression:
    """The argument of a command: in braces, or a single token; of a number without braces one digit."""
    token = reader.token
    if token.kind == "number" and token.text.isdigit() and len(token.text) > 1:
        reader.tokens[reader.at] = token._replace(text=token.text[1:])
        return Number(int(token.text[0]))
    return reader.group() if reader.sign("{") else reader.primary()


def _root(reader: Reader) -> Expression:
    degree: Expression = Number(2)
    if reader.tex and reader.take("["):
        degree = reader.expression(0)
        reader.expect("]")
    inner = reader.group() if reader.sign("{", "(") else reader.postfix(reader.primary())
    if degree == Number(2):
        return reader.make("sqrt", inner)
    return reader.make("pow", inner, reader.make("div", Number(1), degree))


def _cases(reader: Reader) -> Expression:
    rows: list[tuple[Expression, Expression | None]] = []
    while reader.token.text != "end cases":
        value = reader.expression(7)  # up to the &
        reader.take(",")
        reader.expect("&")
        if reader.token.text in _WORDS_OF_CONDITIONS:
            reader.next()
        if reader.token.text in _WORDS_OF_REST:
            reader.next()
            condition = None
        else:
            condition = reader.expression(0)
            if not reader.is_condition(condition):
                raise CheckError("a row of cases is 'value & condition', as in 1 & x > 0")
        reader.take(".", ",")
        rows.append((value, condition))
        if not reader.take("\\\\") and reader.token.text != "end cases":
            raise reader.unexpected(r"\\ or \end{cases} was expected")
        if condition is None:
            break
    if reader.next().text != "end cases" or not rows:
        raise CheckError(r"cases end with \end{cases}, and 'otherwise' is their last row")
    result: Expression = ZERO
    for value, condition in reversed(rows):
        result = value if condition is None else reader.make("select", condition, value, result)
    return result
