"""Operands of claims: names, functions with their arguments, methods, indices and the commands of LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphc.checking.language.gradients import fraction_of_gradients, quotient
from graphc.checking.language.indices import element, letter, summed
from graphc.checking.language.names import nearest
from graphc.checking.language.text import claim_text
from graphc.checking.language.vocabulary import CONSTANTS, METHODS, MODULES, PREFIXED, VOCABULARY, build, slope
from graphc.errors import CheckError
from graphc.formula.expression import FUNCTIONS, ZERO, Call, Expression, Number, Symbol

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["attribute", "command", "name", "subscript"]

_NOTHING_EXECUTED = "nothing was executed"
_WORDS_OF_CONDITIONS = {"if", "for", "when", "where", "wenn"}
_WORDS_OF_REST = {"otherwise", "else", "sonst"}


def name(reader: Reader) -> Expression:
    """Read a name: a node, a function with its operands, a constant, a size or a gradient."""
    token = reader.next()
    written = token.text
    if written in MODULES and reader.sign(".") and reader.names.match(written) is None:
        return _of_module(reader, written)
    while reader.sign(".") and reader.peek().kind == "name":  # layers name their parameters conv1.weight
        dotted = f"{written}.{reader.peek().text}"
        if not any(node == dotted or node.startswith(dotted + ".") for node in reader.names.nodes):
            break
        reader.at += 2
        written = dotted
    exact = written in reader.names.nodes or written in reader.names.defined
    if reader.sign("(") and written in FUNCTIONS and written in VOCABULARY:
        exact = False
    if not exact:
        found = _word(reader, written)
        if found is not None:
            return found
    match = reader.names.match(written)
    if match is not None:
        return _node(reader, match, written)
    if written in reader.names.sizes:
        source, axis = reader.names.sizes[written]
        return reader.make("size", Symbol(source), Number(axis))
    found = element(reader, written) or letter(reader, written)
    if found is not None:
        return found
    return _gradient_or_nothing(reader, written)


def _word(reader: Reader, written: str) -> Expression | None:
    """A function or a constant, or None where the name is neither."""
    base = written.removesuffix("_prime")
    plain = base if base in VOCABULARY else base.replace("_", "")
    lower = plain if plain in VOCABULARY else plain.lower()
    if lower in VOCABULARY and (base in VOCABULARY or reader.names.match(written) is None):
        return _function(reader, lower, written, primes=written != base)
    if written in CONSTANTS:
        return CONSTANTS[written]
    if written == "pi":
        return Symbol("pi")
    return None


def _node(reader: Reader, match: str, written: str) -> Expression:
    names = reader.names
    if match in names.nodes:
        node = names.find(match)
        if reader.sign("(") and node.operands:
            reader_at = reader.at
            inner = _bare_names(reader)
            if inner and all(other in names.nodes for other in inner):
                arguments = ", ".join(inner)
                raise CheckError(
                    f"{written}({arguments}) can mean a product or the value of {written} at {arguments}; "
                    f"write {written} alone, or {written}*{arguments}"
                )
            reader.at = reader_at
    return Symbol(match)


def _bare_names(reader: Reader) -> list[str]:
    """Names between brackets where there is nothing else, as in ``f(x, y)``."""
    found: list[str] = []
    offset = 1
    while reader.peek(offset).kind == "name":
        found.append(reader.names.match(reader.peek(offset).text) or "")
        if reader.peek(offset + 1).text == ")":
            return found
        if reader.peek(offset + 1).text != ",":
            return []
        offset += 2
    return []


def _gradient_or_nothing(reader: Reader, written: str) -> Expression:
    found = quotient(reader, written)
    if found is not None:
        return found
    if written.startswith("__"):
        raise CheckError(f"{written!r} is not a name that a claim may use; {_NOTHING_EXECUTED}")
    if written in reader.refused_words:
        raise reader.refused(written)
    if reader.sign("("):
        raise CheckError(
            f"{written!r} is not a function that claims know, nor a node"
            f"{nearest(written, [*VOCABULARY, *reader.names.shown])}; functions are exp, log, sqrt, tanh, sigmoid, max, "
            f"where, sum, mean, outer, softmax and others of NumPy; {_NOTHING_EXECUTED}"
        )
    if written in ("True", "False", "None", "if", "else", "and", "or", "not"):
        raise CheckError(f"{written!r} is no value that a claim may hold here; {_NOTHING_EXECUTED}")
    raise reader.names.unknown(written)


# ---- functions ---------------------------------------------------------------------------------------


def _of_module(reader: Reader, module: str) -> Expression:
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
            f"{written!r} is not a function that claims know{nearest(last, VOCABULARY)}; {_NOTHING_EXECUTED}"
        )
    if not reader.sign("("):
        raise CheckError(f"{written!r} is a function; write its operand in brackets, as in {written}(...)")
    operands, settings = _arguments(reader)
    return _built(reader, PREFIXED.get(last, VOCABULARY[last]), written, operands, settings)


def _built(reader: Reader, builder: Any, written: str, operands: list[Any], settings: dict[str, Any]) -> Expression:
    before = reader.operations
    result = build(builder, written, reader, operands, settings)
    if isinstance(result, Call):
        reader.operations = before
        reader.make(result.function, *result.operands)  # counts it, and refuses what is too large
        if result.function == "div" or result.function == "neg":
            return reader.make(result.function, *result.operands)
    return result


def _function(reader: Reader, function: str, written: str, primes: bool) -> Expression:
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
        operands, settings = _arguments(reader)
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
    else:
        result = _built(reader, VOCABULARY[function], written, operands, settings)
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
    return operand if number is None else reader.product(number, operand, "")


def _arguments(reader: Reader) -> tuple[list[Any], dict[str, Any]]:
    """Read what stands between the brackets of a call."""
    reader.expect("(")
    bars, reader.bars = reader.bars, 0
    operands: list[Any] = []
    settings: dict[str, Any] = {}
    while not reader.take(")"):
        if reader.sign("*", "**"):
            raise CheckError(f"a starred argument is not part of the language of claims; {_NOTHING_EXECUTED}")
        if reader.token.kind == "name" and reader.peek().text == "=" and reader.peek().kind == "op":
            word = reader.next().text
            reader.next()
            settings[word] = _argument(reader)
        else:
            operands.append(_argument(reader))
        if not reader.sign(")"):
            if reader.token.text == ":=":
                raise CheckError(f"':=' is not part of the language of claims; {_NOTHING_EXECUTED}")
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


# ---- attributes and indices --------------------------------------------------------------------------


def attribute(reader: Reader, base: Expression) -> Expression:
    """Read what stands behind a dot: T, shape, size, or one of a few methods."""
    reader.expect(".")
    token = reader.next()
    word = token.text
    if token.kind == "name" and word in ("T", "mT"):
        return reader.make("transpose" if word == "T" else "swap_last", base)
    if word == "shape":
        if not reader.take("["):
            return Call("shape", (base,))
        axis = reader.expression(0)
        reader.expect("]")
        return reader.make("size", base, axis)
    if word == "size" and not reader.sign("("):
        return reader.make("size", base)
    if token.kind == "name" and word in METHODS and reader.sign("("):
        if word in ("astype", "copy"):
            _skip_type(reader)
            return base
        operands, settings = _arguments(reader)
        return _built(reader, PREFIXED.get(word, VOCABULARY[word]), f".{word}", [base, *operands], settings)
    known = ["T", "shape", "size", *sorted(METHODS)]
    text = claim_text(base)
    shown = text if len(text) <= 40 else text[:37] + "..."
    raise CheckError(
        f"{shown}.{word} is not part of the language of claims{nearest(word, known)}; "
        f"an array has .{', .'.join(known)}. N{_NOTHING_EXECUTED[1:]}"
    )


def _skip_type(reader: Reader) -> None:
    """Go past the type in ``.astype(np.float64)``: a claim is about real numbers."""
    reader.expect("(")
    while not reader.take(")"):
        token = reader.next()
        if token.kind not in ("name", "word") and token.text != ".":
            raise CheckError("astype names a type, as in (x > 0).astype(float)")


def subscript(reader: Reader, base: Expression) -> Expression:
    """Read the indices behind an operand."""
    conditional = reader.at
    reader.expect("[")
    bars, reader.bars = reader.bars, 0
    indices: list[Expression] = []
    while not reader.take("]"):
        indices.append(_index(reader))
        if not reader.sign("]") and not reader.take(","):
            raise reader.unexpected("',' or ']' was expected")
    reader.bars = bars
    if not indices:
        raise CheckError("there is nothing in the square brackets; an index is a number, or : for all")
    if len(indices) == 1 and reader.is_condition(indices[0]):
        reader.at = conditional
        return reader.product(base, reader.square(), "")  # dh [h > 0]: times 1 where it holds
    return reader.make("item", base, *indices)


def _index(reader: Reader) -> Expression:
    if reader.token.kind == "word":
        raise CheckError(f"an index is a number or a slice, not a text in quotes; {_NOTHING_EXECUTED}")
    if reader.token.kind == "name" and reader.token.text in ("None", "newaxis"):
        reader.next()
        return Call("newaxis", ())
    if reader.token.kind == "name" and reader.token.text in MODULES and reader.peek(2).text == "newaxis":
        reader.at += 3
        return Call("newaxis", ())
    bounds: list[Expression] = []
    colons = 0
    none: Expression = Call("none", ())
    while True:
        bounds.append(none if reader.sign(":", ",", "]") else reader.expression(0))
        if not reader.take(":"):
            break
        colons += 1
    if colons == 0:
        if bounds[0] == none:
            raise CheckError("there is an empty index between the commas")
        return bounds[0]
    if colons > 2:
        raise CheckError("a slice has at most two colons, as in x[::2]")
    return Call("slice", ()) if all(bound == none for bound in bounds) else Call("slice", tuple(bounds))


# ---- commands ----------------------------------------------------------------------------------------


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
