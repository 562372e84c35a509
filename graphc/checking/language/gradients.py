r"""Gradients in claims: the left-hand side that names what is claimed, and gradients of later nodes on the right.

``df/dx =``, ``\frac{\partial f}{\partial x} =``, ``∂f/∂x =``, ``\nabla_x f =``, ``dx =``, ``x.grad =`` are dropped
after checking that they name the target. On the right ``dh``, ``df/dh``, ``∂f/∂h`` mean the gradient with respect
to another node h: the upstream gradient of a backward pass.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graphc.errors import CheckError
from graphc.formula.expression import Expression, Symbol
from graphc.graph.node import Node

if TYPE_CHECKING:
    from graphc.checking.language.grammar import Reader
    from graphc.checking.language.tokens import Token

__all__ = ["fraction_of_gradients", "gradient", "left_hand_side", "quotient"]


def left_hand_side(reader: Reader) -> int:
    """Return where the right-hand side begins, after checking what stands left of ``=``.

    Raises
    ------
    CheckError
        If the left-hand side does not name the gradient that is claimed.
    """
    depth = 0
    sign: int | None = None
    for k, token in enumerate(reader.tokens):
        if token.kind == "op":
            depth += (token.text in "([{") - (token.text in ")]}")
            if token.text == "=" and depth == 0:
                sign = k
                break
    if sign is None:
        return 0
    target = reader.target
    label = target.label
    written = reader.text[: reader.tokens[sign].start].strip()
    found = _named(reader, _flat(reader.tokens[:sign]))
    if found is None:
        raise CheckError(
            f"{written!r} on the left of = names no gradient; give the right-hand side only, "
            f"or write df/d{label} = ... in front of it"
        )
    if found is not target:
        raise CheckError(
            f"the left-hand side {written!r} is the gradient of {found.label!r}, and the claim is for {label!r}; "
            f"write df/d{label} = ..., or give the right-hand side only"
        )
    return sign + 1


def _flat(tokens: list[Token]) -> str:
    r"""A left-hand side as one text without brackets: \frac{\partial f}{\partial x} is ∂f/∂x."""
    parts: list[str] = []
    depth = 0
    pending: list[int] = []  # depths at which the numerator of a fraction ends
    for token in tokens:
        if token.kind == "command" and token.text == "frac":
            pending.append(depth)
        elif token.kind == "op" and token.text in "([{":
            depth += 1
        elif token.kind == "op" and token.text in ")]}":
            depth -= 1
            if pending and pending[-1] == depth:
                parts.append("/")
                pending.pop()
        else:
            parts.append(token.text)
    return "".join(parts)


def _named(reader: Reader, flat: str) -> Node | None:
    """The node whose gradient a left-hand side names."""
    names = reader.names
    quotient = re.fullmatch(r"(?:∂|d_?)(.+?)/(?:∂|d_?)(.+)", flat)
    if quotient is not None:
        if not names.is_root(quotient[1]):
            raise CheckError(
                f"the left-hand side is the derivative of {quotient[1]!r}, and gradients are those of "
                f"{names.root.label!r} here"
            )
        return _node(reader, quotient[2])
    nabla = re.fullmatch(r"[∇∂]_?(.+)", flat)
    if nabla is not None:
        return _nabla(reader, nabla[1])
    dotted = re.fullmatch(r"(.+)\.grad", flat)
    if dotted is not None:
        return _node(reader, dotted[1])
    of_root = re.fullmatch(r"([^_]+)_(.+)", flat)
    if of_root is not None and names.is_root(of_root[1]) and names.match(flat) is None:
        return _node(reader, of_root[2])
    return names.gradient(flat)


def _nabla(reader: Reader, rest: str) -> Node | None:
    """The node of ``x f`` or ``x`` behind a nabla: the root may follow."""
    node = _node(reader, rest)
    for cut in range(1, len(rest)):
        if node is None and reader.names.is_root(rest[cut:]):
            node = _node(reader, rest[:cut])
    return node


def _node(reader: Reader, written: str) -> Node | None:
    """The node of a name, with or without the indices of an element."""
    match = reader.names.match(written)
    if match is None or match not in reader.names.nodes:
        base, _, indices = written.rpartition("_")
        match = reader.names.match(base) if re.fullmatch(r"\{?[a-z,]{1,7}\}?", indices) else None
        if match is None or match not in reader.names.nodes:
            return None
        reader.free = re.findall(r"[a-z]", indices)
    return reader.names.find(match)


# ---- gradients on the right --------------------------------------------------------------------------


def _symbol(reader: Reader, node: Node, written: str) -> Expression:
    if node is reader.target:
        raise CheckError(f"{written!r} is the gradient that the claim is for; it cannot stand on the right-hand side")
    return Symbol(reader.names.upstream(node))


def quotient(reader: Reader, written: str) -> Expression | None:
    """Read a gradient that begins with a name: ``dh``, or ``df`` of ``df/dh``; None if it is none."""
    names = reader.names
    root = re.fullmatch(r"d_?(.+)", written)
    below = re.fullmatch(r"d_?(.+)", reader.peek().text)
    if root is not None and below is not None and reader.sign("/") and names.is_root(root[1]):
        start = reader.at
        reader.at += 2
        stepped = _stepped(reader, below[1])
        node = names.find(stepped) if stepped is not None else _node(reader, below[1])
        if node is not None:
            return _symbol(reader, node, f"{written}/{below[0]}")
        reader.at = start
    node = names.gradient(written)
    if node is None and root is not None:
        stepped = _stepped(reader, root[1])
        node = names.find(stepped) if stepped is not None else None
    return None if node is None else _symbol(reader, node, written)


def gradient(reader: Reader) -> Expression:
    """Read ``∂f/∂h``, or ``∂h`` as the name of the same."""
    reader.expect("∂")
    above = _name(reader)
    if reader.sign("/") and reader.peek().text == "∂":
        reader.at += 2
        below = _name(reader)
        if not reader.names.is_root(above):
            raise _local(reader, above, below)
        return _known(reader, below)
    return _known(reader, above)


def _known(reader: Reader, written: str) -> Expression:
    node = _node(reader, written)
    if node is None:
        raise reader.names.unknown(written)
    return _symbol(reader, node, f"∂{reader.names.root.label}/∂{written}")


def _name(reader: Reader) -> str:
    braces = reader.take("{")
    token = reader.next()
    if token.kind != "name":
        raise CheckError("a name was expected behind ∂, as in ∂f/∂x")
    if braces:
        reader.expect("}")
    return _stepped(reader, token.text) or token.text


def _stepped(reader: Reader, written: str) -> str | None:
    """The name ``h[1]`` of a step, where its brackets follow."""
    from graphc.checking.language.operands import step

    return step(reader, written)


def _local(reader: Reader, above: str, below: str) -> CheckError:
    return CheckError(
        f"∂{above}/∂{below} is a local derivative; write it out as a formula. "
        f"Only gradients of {reader.names.root.label!r}, such as ∂f/∂h, may stand on the right-hand side"
    )


def fraction_of_gradients(reader: Reader) -> Expression | None:
    r"""Read ``{\partial f}{\partial h}`` behind ``\frac``; None, with nothing read, if it is another fraction."""
    start = reader.at
    ends: list[int] = []
    depth = 0
    for k in range(start, len(reader.tokens)):
        token = reader.tokens[k]
        if token.kind == "op":
            depth += (token.text in "([{") - (token.text in ")]}")
            if depth == 0:
                ends.append(k)
        if len(ends) == 2 or token.kind == "end" or (depth == 0 and token.kind != "op"):
            break
    if len(ends) < 2:
        return None
    above, below = _flat(reader.tokens[start : ends[0]]), _flat(reader.tokens[ends[0] + 1 : ends[1]])
    upper = re.fullmatch(r"(?:∂|d_?)(.+)", above)
    lower = re.fullmatch(r"(?:∂|d_?)(.+)", below)
    if upper is None or lower is None or reader.names.match(above) is not None or "/" in above + below:
        return None
    reader.at = ends[1] + 1
    if not reader.names.is_root(upper[1]):
        raise _local(reader, upper[1], lower[1])
    return _known(reader, lower[1])
