"""triplet_loss: ``max(0, |anchor - positive|**2 - |anchor - negative|**2 + margin)`` of each row, and its mean.

Teaches distances rather than classes: what belongs together comes closer than what does not, by a margin.

Shapes: three operands ``(..., D)`` give a scalar, or ``(...)`` under ``reduction="none"``.
Derivatives: where the loss is positive ``2*(negative - positive)`` for the anchor, ``2*(positive - anchor)`` and
``2*(anchor - negative)`` for the others, over the number of rows under ``"mean"``; else 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.loss import LETTERS, loss_line, prepare_loss


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    if not shapes[0]:
        raise ShapeError(f"triplet_loss needs rows (..., D), found {shape_text(shapes[0])}")
    return prepare_loss(shapes, attributes)


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axes = LETTERS[: len(shapes[0]) - 1]
    row, element = f"[{','.join(axes)}]" if axes else "", f"[{','.join((*axes, 'e'))}]"
    lines = [
        f"near{row} = sum((anchor{element} - positive{element})**2, e)",
        f"far{row} = sum((anchor{element} - negative{element})**2, e)",
        loss_line(f"max(0, near{row} - far{row} + margin)", axes, attributes["reduction"]),
    ]
    return Definition("\n".join(lines))


GATE = Gate(
    "triplet_loss",
    _definition,
    ("anchor", "positive", "negative"),
    symbol="triplet",
    ties="on the margin the constant 0 wins and the derivative is 0",
    attributes={"margin": 1.0, "reduction": "mean"},
    prepare=_prepare,
    samples=(
        Sample(((3, 2),) * 3),
        Sample(((2, 2),) * 3, values=(([[0, 0], [0, 0]], [[1, 2], [1, 0]], [[1, 1], [3, 0]]), 2.0)),
        Sample(((2, 3, 2),) * 3, {"margin": 0.2, "reduction": "none"}),
        Sample(((4,),) * 3, {"margin": 5.0, "reduction": "sum"}),
    ),
    source="Schroff, Kalenichenko, Philbin, CVPR (2015), section 3.1",
)


def triplet_loss(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, reduction: str = "mean") -> Node:
    """Hinge loss on squared distances: to a positive example less to a negative one.

    Parameters
    ----------
    anchor : Node, shape (..., D)
        Rows to compare with.
    positive : Node, shape (..., D)
        Rows that belong to the anchors.
    negative : Node, shape (..., D)
        Rows that do not.
    margin : float, default 1.0
        How much closer, in squared distance, the positive rows should be.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over the rows, or one loss for each.

    Returns
    -------
    Node, scalar, or shape (...)

    Raises
    ------
    ShapeError
        If the shapes differ, the operands are scalars, or the reduction does not exist.

    Notes
    -----
    On the margin the constant 0 wins and the derivative is 0. Cost: 3 reads, 6 FLOP per element of a row.

    Source
    ------
    Schroff, Kalenichenko, Philbin, CVPR (2015), section 3.1

    Examples
    --------
    >>> import graphc
    >>> anchor = graphc.input("anchor", (1, 2))
    >>> loss = graphc.triplet_loss(anchor, [[1.0, 2.0]], [[1.0, 1.0]])
    >>> run = graphc.backward(loss).at(anchor=[[0, 0]])
    >>> print(run.value(loss).round(4), run.grad("anchor").round(4).tolist())
    4.0 [[0.0, -2.0]]
    """
    return GATE(anchor, positive, negative, margin=margin, reduction=reduction)
