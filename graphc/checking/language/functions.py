"""Functions in claims, with their operands in brackets, in braces or bare, and their settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.checking.language.names import nearest
from graphc.checking.language.products import product
from graphc.checking.language.vocabulary import CONSTANTS, PREFIXED, VOCABULARY, build, slope
from graphc.errors import CheckError
from graphc.formula.expression import Call, Expression, Number, Symbol

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["NOTHING_EXECUTED", "arguments", "built", "function", "of_module"]

NOTHING_EXECUTED = "nothing was executed"


def of_module(reader: Reader, module: str) -> Expression:
    """Read a function behind the name of its module, as in ``np.exp(x)``."""
    path = [module]
    while reader.take("."):
        token = reader.next()
        if token.kind != "name":
            raise CheckError(f"a name was expected after {'.'.join(path)!r} and a dot")
        path.append(token.text)
        if len(path) > 4:
            break
    written, last = ".".join(path), path[-1]
    if last in ("pi", "e"):
        return Symbol("pi") if last == "pi" else CONSTANTS["e"]
    if last not in VOCABULARY or last.startswith("_"):
        raise CheckError(
            f"{written!r} is not a function that claims know{nearest(last, VOCABULARY) or '.'} Nothing was executed"
        )
    if not reader.sign("("):
        raise CheckError(f"{written!r} is a function; write its operand in brackets, as in {written}(...)")
    operands, settings = arguments(reader)
    return built(reader, PREFIXED.get(last, VOCABULARY[last]), written, operands, settings)


def built(reader: Reader, builder: Any, written: str, operands: list[Any], settings: dict[str, Any]) -> Expression:
    """Apply a function of the vocabulary to its operands, under the limits of the reader."""
    result = build(builder, written, reader, operands, settings)
    return reader.make(result.function, *result.operands) if isinstance(result, Call) else result


def function(reader: Reader, function: str, written: str, primes: bool) -> Expression:
    """A function with its power, and its operands in brackets, in braces or bare."""
    exponent: Expression | None = None
    token = reader.token
    if token.kind == "power" or (token.text == "^" and token.kind == "op"):
        reader.next()
        exponent = reader.superscript(token.text) if token.kind == "power" else reader.exponent()
        if exponent == Number(-1):
            raise CheckError(
                f"{written}^-1 can mean the inverse function or 1/{written}(...); write the latter as a fraction"
            )
    settings: dict[str, Any] = {}
    if reader.sign("("):
        operands, settings = arguments(reader)
    elif reader.sign("{"):
        operands = [reader.group()]
    elif reader.begins_operand() and not reader.sign("["):
        operands = [_bare(reader, written)]
    else:
        raise CheckError(f"{written!r} is a function; write its operand in brackets, as in {written}(...)")
    if primes:
        result = slope(function, operands[0]) if len(operands) == 1 and not settings else None
        if result is None:
            raise CheckError(f"{written!r} means the derivative of a function of one operand, such as sigma'(z)")
        result = reader.sized(result)
    else:
        result = built(reader, VOCABULARY[function], written, operands, settings)
    return result if exponent is None else reader.raised(result, exponent)


def _bare(reader: Reader, written: str) -> Expression:
    """The operand of a function without brackets: one factor, with the number in front of it."""
    number = reader.primary() if reader.token.kind == "number" else None
    if number is not None and not (reader.token.kind == "name" and reader.begins_operand()):
        return reader.postfix(number)
    operand = reader.postfix(reader.primary())
    if reader.token.kind == "name" and reader.begins_operand():
        raise CheckError(
            f"{written} without brackets and several factors behind it can be read in several ways; "
            f"write {written}(...) with its operand in brackets"
        )
    return operand if number is None else product(reader, number, operand, "")


def arguments(reader: Reader) -> tuple[list[Any], dict[str, Any]]:
    """Read what stands between the brackets of a call."""
    reader.expect("(")
    bars, reader.bars = reader.bars, 0
    operands: list[Any] = []
    settings: dict[str, Any] = {}
    while not reader.take(")"):
        if reader.sign("*", "**"):
            raise CheckError(f"a starred argument is not part of the language of claims; {NOTHING_EXECUTED}")
        if reader.token.kind == "name" and reader.peek().text == "=" and reader.peek().kind == "op":
            word = reader.next().text
            reader.next()
            settings[word] = _argument(reader)
        else:
            operands.append(_argument(reader))
        if not reader.sign(")"):
            if reader.token.text == ":=":
                raise CheckError(f"':=' is not part of the language of claims; {NOTHING_EXECUTED}")
            if reader.token.text in reader.refused_words:
                raise reader.refused(reader.token.text)
            if not reader.take(","):
                raise reader.unexpected("',' or ')' was expected")
    reader.bars = bars
    return operands, settings


def _argument(reader: Reader) -> Any:
    """Read one argument: an expression, a tuple or list of them, a word in quotes, True, False or None."""
    token = reader.token
    if token.kind == "word":
        return reader.next().text
    if token.kind == "name" and token.text in ("True", "False", "None") and reader.names.match(token.text) is None:
        reader.next()
        return {"True": True, "False": False, "None": None}[token.text]
    if token.text in ("(", "[") and token.kind == "op":
        parts = _tuple(reader)
        if parts is not None:
            return parts
    return reader.expression(0)


def _tuple(reader: Reader) -> tuple[Any, ...] | None:
    """Read a tuple or list; None, with nothing read, if the brackets hold a single expression of their own."""
    start, depth, commas = reader.at, 0, 0
    for end in range(start, len(reader.tokens)):
        token = reader.tokens[end]
        if token.kind == "op":
            depth += (token.text in "([{") - (token.text in ")]}")
            commas += depth == 1 and token.text == ","
            if depth == 0:
                break
    else:
        return None
    after = reader.tokens[end + 1].text if end + 1 < len(reader.tokens) else ""
    plain_list = reader.tokens[start].text == "[" and not reader.tex and after in (",", ")", "]")
    if (not commas and not plain_list) or after not in (",", ")", "]"):
        return None
    reader.next()
    parts = []
    while not reader.take(")", "]"):
        parts.append(_argument(reader))
        if not reader.sign(")", "]") and not reader.take(","):
            if reader.token.text in reader.refused_words:
                raise reader.refused(reader.token.text)
            raise reader.unexpected("',' was expected")
    return tuple(parts)
