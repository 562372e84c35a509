"""huber: ``d**2 / 2`` for errors ``d = prediction - target`` up to ``delta``, a straight line beyond.

A loss of regression that is smooth like the squared error, but bounds the pull of outliers by ``delta``.

Shapes: ``prediction`` and ``target`` of one shape give a scalar, or that shape under ``reduction="none"``.
Derivatives: ``prediction - target`` cut off at ``-delta`` and ``delta``, and its negative, over the number of
elements under ``"mean"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Gate, Node, Sample, Shape
from graphc.graph.attributes import check_positive
from graphc.graph.loss import loss_rule, prepare_loss

BODY = (
    "({prediction} - {target})**2 / 2 if abs({prediction} - {target}) <= delta"
    " else delta*(abs({prediction} - {target}) - delta/2)"
)


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_positive(attributes, "delta")
    return prepare_loss(shapes, attributes)


GATE = Gate(
    "huber",
    loss_rule(BODY, "prediction", "target"),
    ("prediction", "target"),
    symbol="Huber",
    attributes={"delta": 1.0, "reduction": "mean"},
    prepare=_prepare,
    samples=(
        Sample(((3, 5), (3, 5)), {"reduction": "none"}, interval=(-1.9, 1.9)),
        Sample(((3,), (3,)), values=(([0.5, 3.0, -2.0], [0.0, 0.0, 0.0]), 4.125 / 3)),
        Sample(((2, 3, 1), (2, 3, 1)), {"delta": 0.25, "reduction": "sum"}),
        Sample(((), ()), {"delta": 3}),
    ),
    source="Huber, Annals of Mathematical Statistics 35 (1964), section 3",
)


def huber(prediction: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Node:
    """Squared error of small differences, absolute error of large ones.

    Parameters
    ----------
    prediction : Node, any shape
        Predictions.
    target : Node, shape of ``prediction``
        Targets.
    delta : float, default 1.0
        Difference at which the parabola turns into its tangent.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over all elements, or one loss for each.

    Returns
    -------
    Node, scalar, or shape of ``prediction``

    Raises
    ------
    ShapeError
        If the shapes differ, delta is not positive, or the reduction does not exist.

    Notes
    -----
    Value and derivative are continuous at ``delta``; there the parabola is taken. Cost: 2 reads, 5 FLOP per
    element.

    Source
    ------
    Huber, Annals of Mathematical Statistics 35 (1964), section 3

    Examples
    --------
    >>> import graphc
    >>> prediction = graphc.input("prediction", (3,))
    >>> loss = graphc.huber(prediction, [0.0, 0.0, 0.0])
    >>> run = graphc.backward(loss).at(prediction=[0.5, 3, -2])
    >>> print(run.value(loss).round(4), run.grad("prediction").round(4))
    1.375 [ 0.1667  0.3333 -0.3333]
    """
    return GATE(prediction, target, delta=delta, reduction=reduction)
