"""Operands of claims: names, steps, methods and indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.checking.language.functions import NOTHING_EXECUTED, arguments, built, function, of_module
from graphc.checking.language.gradients import quotient
from graphc.checking.language.indices import element, letter
from graphc.checking.language.names import nearest
from graphc.checking.language.products import product
from graphc.checking.language.text import claim_text
from graphc.checking.language.vocabulary import CONSTANTS, METHODS, MODULES, PREFIXED, SPELLINGS, VOCABULARY
from graphc.errors import CheckError
from graphc.formula.expression import Call, Expression, Number, Symbol

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader

__all__ = ["BATCH", "attribute", "name", "step", "subscript"]

#: Names of the batch size beside the one that the graph declares, if it declares one only.
BATCH = frozenset({"m", "n", "N", "B", "batch", "batch_size"})


def name(reader: Reader) -> Expression:
    """Read a name: a node, a function with its operands, a constant, a size or a gradient."""
    token = reader.next()
    written = token.text
    if written in MODULES and reader.sign(".") and reader.names.match(written) is None:
        return of_module(reader, written)
    while reader.sign(".") and reader.peek().kind == "name":  # layers name their parameters conv1.weight
        dotted = f"{written}.{reader.peek().text}"
        if not any(node == dotted or node.startswith(dotted + ".") for node in reader.names.nodes):
            break
        reader.at += 2
        written = dotted
    if written == "d" and reader.names.match("d") is None and reader.token.kind == "name" and not reader.token.spaced:
        written = f"d{reader.next().text}"  # d\hat{x}
    stepped = step(reader, written)
    if stepped is not None:
        return _node(reader, stepped, stepped)
    exact = written in reader.names.nodes or written in reader.names.defined
    if reader.sign("(") and written in VOCABULARY and written != "sigma":
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
    if written in BATCH and len(reader.names.sizes) == 1:
        ((source, axis),) = reader.names.sizes.values()
        return reader.make("size", Symbol(source), Number(axis))
    return _gradient_or_nothing(reader, written)


def step(reader: Reader, written: str) -> str | None:
    """Go past the step behind a name, as in ``h[1]``, and return the name of the node there; else None."""
    if not reader.sign("["):
        return None
    minus = reader.peek().text == "-"
    number, closing = reader.peek(1 + minus), reader.peek(2 + minus)
    if number.kind != "number" or not number.text.isdigit() or closing.text != "]":
        return None
    found = reader.names.step(written, -int(number.text) if minus else int(number.text))
    if found is not None:
        reader.at += 3 + minus
    return found


def _word(reader: Reader, written: str) -> Expression | None:
    """A function or a constant, or None where the name is neither."""
    base = written.removesuffix("_prime")
    found = base if base in VOCABULARY else SPELLINGS.get(base.replace("_", "").lower())
    if found is not None and (base in VOCABULARY or reader.names.match(written) is None):
        return function(reader, found, written, primes=written != base)
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
        raise CheckError(f"{written!r} is not a name that a claim may use; {NOTHING_EXECUTED}")
    refused = written in reader.refused_words
    if reader.sign("("):
        hint = "" if refused else nearest(written, [*VOCABULARY, *reader.names.shown])
        some = "functions are exp, log, tanh, sigmoid, max, where, sum, mean, outer, softmax and others of NumPy"
        raise CheckError(
            f"{written!r} is not a function of the formula language, nor a node{hint or f'; {some}'}"
            f"{' ' if hint else '. '}Nothing was executed"
        )
    if refused:
        raise reader.refused(written)
    if written in ("True", "False", "None", "if", "else", "and", "or", "not"):
        raise CheckError(f"{written!r} is no value that a claim may hold here; {NOTHING_EXECUTED}")
    raise reader.names.unknown(written)


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
        operands, settings = arguments(reader)
        return built(reader, PREFIXED.get(word, VOCABULARY[word]), f".{word}", [base, *operands], settings)
    known = ["T", "shape", "size", *sorted(METHODS)]
    text = claim_text(base)
    shown = text if len(text) <= 40 else text[:37] + "..."
    hint = nearest(word, known)
    raise CheckError(
        f"{shown}.{word} is not part of the language of claims{hint}{' A' if hint else '; a'}n array has "
        f".{', .'.join(known)}. Nothing was executed"
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
        return product(reader, base, reader.square(), "")  # dh [h > 0]: times 1 where it holds
    return reader.make("item", base, *indices)


def _index(reader: Reader) -> Expression:
    if reader.token.kind == "word":
        raise CheckError(f"an index is a number or a slice, not a text in quotes; {NOTHING_EXECUTED}")
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
