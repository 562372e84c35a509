"""multiclass_hinge: ``sum(max(0, scores[c] - scores[label] + margin) over wrong classes c)``, and its mean.

The loss of the multiclass support vector machine: every wrong class within the margin of the true one costs.

Shapes: scores ``(N, C)`` and integer labels ``(N,)`` give a scalar, or ``(N,)`` under ``reduction="none"``.
Derivative: 1 for each wrong class within the margin, minus their number for the true class, over ``N`` under
``"mean"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.loss import check_reduction, loss_line


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_reduction(attributes)
    if len(shapes[0]) != 2 or len(shapes[1]) != 1:
        found = f"{shape_text(shapes[0])} and {shape_text(shapes[1])}"
        raise ShapeError(f"multiclass_hinge needs scores (N, C) and labels (N,), found {found}")
    return attributes


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    term = "0 if c == label[n] else max(0, scores[n,c] - scores[n,label[n]] + margin)"
    last = loss_line("hinge[n]", "n", attributes["reduction"])
    return Definition(f"hinge[n] = sum({term}, c)\n{last}", integers=frozenset({"label"}))


_LECTURE = ([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], [0, 1, 2])

GATE = Gate(
    "multiclass_hinge",
    _definition,
    ("scores", "label"),
    symbol="multiclass hinge",
    ties="on the margin the constant 0 wins and the derivative is 0",
    attributes={"margin": 1.0, "reduction": "mean"},
    prepare=_prepare,
    samples=(
        Sample(((3, 3), (3,)), integers={1: 3}, interval=(-1.9, 1.9), values=(_LECTURE, 5.26667)),
        Sample(
            ((3, 3), (3,)),
            {"reduction": "none"},
            integers={1: 3},
            interval=(-1.9, 1.9),
            values=(_LECTURE, [2.9, 0.0, 12.9]),
        ),
        Sample(((5, 4), (5,)), {"margin": 0.3, "reduction": "sum"}, integers={1: 4}),
        Sample(((1, 1), (1,)), integers={1: 1}),
    ),
    source="Weston, Watkins, ESANN (1999); Karpathy, CS231n (2016), lecture 3",
    scatter_only="the gradient of the true class is written at the index label[n], which depends on data",
)


def multiclass_hinge(scores: Any, label: Any, margin: float = 1.0, reduction: str = "mean") -> Node:
    """Hinge loss of every wrong class against the true one.

    Parameters
    ----------
    scores : Node, shape (N, C)
        Scores of the classes.
    label : Node, shape (N,), integer
        True classes, 0 to C - 1.
    margin : float, default 1.0
        How far the true class should lead.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over the examples, or one loss for each.

    Returns
    -------
    Node, scalar, or shape (N,)

    Raises
    ------
    ShapeError
        If the batch extents differ, a rank does not fit, the labels are floats, or the reduction does not exist.

    Notes
    -----
    On the margin the constant 0 wins and the derivative is 0. Cost: 4*N*C FLOP.

    Source
    ------
    Weston, Watkins, ESANN (1999); Karpathy, CS231n (2016), lecture 3

    Examples
    --------
    >>> import graphc
    >>> scores, label = graphc.input("scores", (1, 3)), graphc.input("label", (1,), dtype="int32")
    >>> loss = graphc.multiclass_hinge(scores, label)
    >>> run = graphc.backward(loss).at(scores=[[3.2, 5.1, -1.7]], label=[0])
    >>> print(run.value(loss).round(4), run.grad("scores").tolist())
    2.9 [[-1.0, 1.0, 0.0]]
    """
    return GATE(scores, label, margin=margin, reduction=reduction)
