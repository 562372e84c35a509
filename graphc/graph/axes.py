"""What gates that rearrange axes share: letters for a rank, indexed tensors as text, and broadcast indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.size import Extent
from graphc.graph.reduction import LETTERS, normal_axis
from graphc.graph.shapes import Shape, shape_text

__all__ = ["broadcast_letters", "indexed", "letters_of", "normal_axis", "whole_numbers"]


def letters_of(rank: int) -> list[str]:
    """Return one axis letter for each dimension.

    Raises
    ------
    ShapeError
        If the rank is above the number of letters.
    """
    if rank > len(LETTERS):
        raise ShapeError(f"operands have rank {len(LETTERS)} at most, found {rank}")
    return list(LETTERS[:rank])


def indexed(tensor: str, index: Iterable[str]) -> str:
    """Write ``tensor[i,j]``, or the bare name of a scalar."""
    items = ",".join(index)
    return f"{tensor}[{items}]" if items else tensor


def broadcast_letters(shapes: Sequence[Shape], letters: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Index operands that broadcast as in NumPy, aligned at the right.

    Parameters
    ----------
    letters : sequence of str
        One for each dimension of the result.

    Returns
    -------
    list of list of str
        Index of each operand: a letter, or ``"0"`` where an extent of 1 is repeated.
    list of str
        Index of the result: the letters that are needed, from the right.

    Raises
    ------
    ShapeError
        If two extents differ and neither is 1.
    """
    rank = max(map(len, shapes), default=0)
    chosen = list(letters[len(letters) - rank :])
    full: list[Extent] = [1] * rank
    for shape in shapes:
        for d, extent in enumerate(shape, rank - len(shape)):
            if extent != 1 and full[d] not in (1, extent):
                raise ShapeError(
                    f"axis {d - rank} has two extents, {full[d]} and {extent}: "
                    f"{' and '.join(map(shape_text, shapes))} do not broadcast"
                )
            full[d] = extent if full[d] == 1 else full[d]
    indices = [
        [
            "0" if extent == 1 and full[d] != 1 else chosen[d]
            for d, extent in enumerate(shape, rank - len(shape))
        ]
        for shape in shapes
    ]  # fmt: skip
    return indices, chosen


def whole_numbers(value: Any, name: str, minimum: int) -> tuple[int, ...]:
    """Return whole numbers as a tuple.

    Raises
    ------
    ShapeError
        If it is no sequence of them, or one is below the minimum.
    """
    items = value if isinstance(value, tuple | list) else (value,)
    if any(isinstance(i, bool) or not hasattr(i, "__index__") or int(i) < minimum for i in items):
        raise ShapeError(f"{name}={value!r} must be whole numbers of at least {minimum}")
    return tuple(int(i) for i in items)
