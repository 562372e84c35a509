"""What gates that draw random numbers share: the checks of their key and rate, and the place of a draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import ShapeError
from graphc.graph.shapes import Shape, shape_text

__all__ = ["LETTERS", "position", "prepare_rate"]

#: Axes of the operand, the first two as in (N, C, ...).
LETTERS = "ncijdlmrstuvab"


def prepare_rate(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    """Refuse a key that is not two numbers, and a rate outside [0, 1).

    Raises
    ------
    ShapeError
        If the key's shape or the rate does not fit.
    """
    rate = attributes["rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ShapeError(f"rate={rate!r} must be a number from 0 to 1, 1 excluded")
    if shapes[1] != (2,):
        raise ShapeError(
            f"a key is two whole numbers, shape (2,): its own number and the step; found {shape_text(shapes[1])}"
        )
    return attributes


def position(tensor: str, letters: str) -> str:
    """Write the row-major position of an element in the leading axes ``letters`` of a tensor."""
    text = letters[0] if letters else "0"
    for d, letter in enumerate(letters[1:], 1):
        left = f"({text})" if d > 1 else text
        text = f"{left}*size({tensor},{d}) + {letter}"
    return text
