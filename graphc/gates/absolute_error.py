"""absolute_error: ``abs(prediction - target)``, elementwise, and its mean.

A loss of regression that outliers pull no harder than their neighbours: its best constant is the median.

Shapes: ``prediction`` and ``target`` of one shape give a scalar, or that shape under ``reduction="none"``.
Derivatives: the sign of ``prediction - target`` and its negative, over the number of elements under ``"mean"``.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.loss import loss_rule, prepare_loss

GATE = Gate(
    "absolute_error",
    loss_rule("abs({prediction} - {target})", "prediction", "target"),
    ("prediction", "target"),
    symbol="|p−t|",
    ties="where prediction and target are equal the derivative is 0",
    attributes={"reduction": "mean"},
    prepare=prepare_loss,
    samples=(
        Sample(((3, 5), (3, 5)), {"reduction": "none"}),
        Sample(((3,), (3,)), values=(([1.0, 2.0, 3.0], [1.0, 0.0, 4.0]), 1.0)),
        Sample(((2, 3, 1), (2, 3, 1)), {"reduction": "sum"}),
        Sample(((), ())),
    ),
    source="Boyd, Vandenberghe, Convex Optimization (2004), section 6.1.2",
)


def absolute_error(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """Absolute difference between predictions and targets.

    Parameters
    ----------
    prediction : Node, any shape
        Predictions.
    target : Node, shape of ``prediction``
        Targets.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over all elements, or one loss for each.

    Returns
    -------
    Node, scalar, or shape of ``prediction``

    Raises
    ------
    ShapeError
        If the shapes differ or the reduction does not exist.

    Notes
    -----
    Where prediction and target are equal the derivative is 0. Cost: 2 reads, 2 FLOP per element.

    Source
    ------
    Boyd, Vandenberghe, Convex Optimization (2004), section 6.1.2

    Examples
    --------
    >>> import graphc
    >>> prediction = graphc.input("prediction", (3,))
    >>> loss = graphc.absolute_error(prediction, [1.0, 0.0, 4.0])
    >>> run = graphc.backward(loss).at(prediction=[1, 2, 3])
    >>> print(run.value(loss).round(4), run.grad("prediction").round(4))
    1.0 [ 0.      0.3333 -0.3333]
    """
    return GATE(prediction, target, reduction=reduction)
