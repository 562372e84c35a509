"""What reductions over axes share: reading the axes and writing the formula for a rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.definition import Definition
from graphc.graph.shapes import Shape

__all__ = ["LETTERS", "normal_axis", "prepare_axes", "reduction_rule"]

#: Names of axes in formulas that are written for a rank.
LETTERS = "ijklmnpqrsuv"


def normal_axis(axis: Any, rank: int) -> int:
    """Return a non-negative axis number.

    Raises
    ------
    ShapeError
        If the operand has no such axis.
    """
    if isinstance(axis, bool) or not hasattr(axis, "__index__") or not -rank <= int(axis) < rank:
        raise ShapeError(f"axis {axis!r} does not exist: the operand has rank {rank}")
    return int(axis) % rank


def prepare_axes(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    """Normalise ``axes`` to a sorted tuple of axis numbers."""
    rank = len(shapes[0])
    axes = attributes["axes"]
    if axes is None:
        chosen = tuple(range(rank))
    else:
        items = tuple(axes) if isinstance(axes, Iterable) else (axes,)
        chosen = tuple(sorted(normal_axis(axis, rank) for axis in items))
        if len(set(chosen)) != len(chosen):
            raise ShapeError(f"axes {items} name an axis twice")
    return {**attributes, "axes": chosen, "keepdims": bool(attributes["keepdims"])}


def reduction_rule(operator: str) -> Callable[[tuple[Shape, ...], Mapping[str, Any]], Definition]:
    """Return the rule that writes ``y[kept] = operator(x[all], reduced)`` for a rank."""

    def rule(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
        rank = len(shapes[0])
        axes = attributes["axes"]
        letters = LETTERS[:rank]
        reduced = [letters[axis] for axis in axes]
        if attributes["keepdims"]:
            kept = ["0" if letter in reduced else letter for letter in letters]
        else:
            kept = [letter for letter in letters if letter not in reduced]
        left = f"y[{','.join(kept)}]" if kept else "y"
        read = f"x[{','.join(letters)}]" if letters else "x"
        if not reduced:
            return Definition(f"{left} = {read}")
        return Definition(f"{left} = {operator}({read}, {', '.join(reduced)})")

    return rule
