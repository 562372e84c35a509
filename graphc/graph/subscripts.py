"""Einstein's notation: ``ij,jk->ik``, read into letters and written as lines of a formula."""

from __future__ import annotations

from typing import Any

from graphc.errors import ShapeError
from graphc.graph.axes import indexed

__all__ = ["read_subscripts", "summed_line"]


def read_subscripts(subscripts: Any, ranks: tuple[int, ...]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result.

    Raises
    ------
    ShapeError
        If the text is not of that form, or does not fit the ranks of the operands.
    """
    if not isinstance(subscripts, str):
        raise ShapeError(f"subscripts are a text such as 'ij,jk->ik', found {subscripts!r:.60}")
    text = "".join(subscripts.split())
    if "." in text:
        raise ShapeError(f"'...' is not part of subscripts here, found {subscripts!r}; give every axis a letter")
    left, arrow, output = text.partition("->")
    inputs = left.split(",")
    letters_only = left.replace(",", "") + output
    foreign = [c for c in letters_only if not (c.isascii() and c.isalpha())]
    if foreign:
        raise ShapeError(f"{foreign[0]!r} in the subscripts {subscripts!r} is not a letter")
    if len(inputs) != len(ranks):
        raise ShapeError(f"the subscripts {subscripts!r} are for {len(inputs)} operand(s), found {len(ranks)}")
    for k, (letters, rank) in enumerate(zip(inputs, ranks, strict=True)):
        if len(letters) != rank:
            raise ShapeError(f"{letters!r} in {subscripts!r} names {len(letters)} axes, but operand {k} has {rank}")
    if not arrow:
        output = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    for letter in output:
        if output.count(letter) > 1:
            raise ShapeError(f"the letter {letter!r} is twice in the output of {subscripts!r}")
        if letter not in left:
            raise ShapeError(f"the letter {letter!r} in the output of {subscripts!r} is in no operand")
    return inputs, output


def summed_line(target: str, kept: str, body: str, letters: str) -> str:
    """Write one line: a product, summed over the letters that are not kept."""
    summed = "".join(c for c in dict.fromkeys(letters) if c not in kept)
    return f"{indexed(target, kept)} = " + (f"sum({body}, {', '.join(summed)})" if summed else body)
