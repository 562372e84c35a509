"""What losses share: the ``reduction`` attribute, equal shapes, and the formula written for a rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.definition import Definition
from graphc.graph.shapes import Shape, shape_text

__all__ = ["LETTERS", "REDUCTIONS", "check_reduction", "loss_line", "loss_rule", "prepare_loss"]

REDUCTIONS = ("mean", "sum", "none")

#: Axes of the operands in order; no operand of a loss has one of these names.
LETTERS = "ijklmnrstuvabcd"


def check_reduction(attributes: Mapping[str, Any]) -> None:
    """Refuse a reduction that does not exist.

    Raises
    ------
    ShapeError
        If ``reduction`` is none of ``"mean"``, ``"sum"`` and ``"none"``.
    """
    if attributes["reduction"] not in REDUCTIONS:
        raise ShapeError(f"reduction={attributes['reduction']!r} is none of {', '.join(map(repr, REDUCTIONS))}")


def prepare_loss(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    """Refuse operands of different shapes: a loss that broadcasts is a loss over the wrong pairs.

    Raises
    ------
    ShapeError
        If two operands differ in shape, or the reduction does not exist.
    """
    check_reduction(attributes)
    for shape in shapes[1:]:
        if shape != shapes[0]:
            raise ShapeError(
                f"operands of one shape are compared, found {shape_text(shapes[0])} and {shape_text(shape)}"
            )
    return attributes


def loss_line(body: str, axes: str, reduction: str) -> str:
    """Write the last line of a loss: one value for each element of ``axes``, or their mean or sum."""
    if reduction == "none" or not axes:
        return f"loss[{','.join(axes)}] = {body}" if axes else f"loss = {body}"
    return f"loss = {reduction}({body}, {', '.join(axes)})"


def loss_rule(body: str, *operands: str) -> Callable[[tuple[Shape, ...], Mapping[str, Any]], Definition]:
    """Return the rule of an elementwise loss.

    Parameters
    ----------
    body : str
        The loss of one element, operands in braces: ``"abs({prediction} - {target})"``.
    *operands : str
        Names of the operands.
    """

    def rule(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
        axes = LETTERS[: len(shapes[0])]
        if attributes["reduction"] == "none" or not axes:
            return Definition("loss = " + body.format(**{name: name for name in operands}))
        index = f"[{','.join(axes)}]"
        element = body.format(**{name: name + index for name in operands})
        return Definition(loss_line(element, axes, attributes["reduction"]))

    return rule
