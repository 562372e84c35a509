"""squared_error: ``(prediction - target)**2 / 2``, elementwise, and its mean.

The loss of regression: the negative log-likelihood of a target with Gaussian noise, up to a constant.

Shapes: ``prediction`` and ``target`` of one shape give a scalar, or that shape under ``reduction="none"``.
Derivatives: ``prediction - target`` and its negative, over the number of elements under ``"mean"``.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.loss import loss_rule, prepare_loss

GATE = Gate(
    "squared_error",
    loss_rule("({prediction} - {target})**2 / 2", "prediction", "target"),
    ("prediction", "target"),
    symbol="½(p−t)²",
    attributes={"reduction": "mean"},
    prepare=prepare_loss,
    samples=(
        Sample(((3, 5), (3, 5)), {"reduction": "none"}),
        Sample(((3,), (3,)), values=(([1.0, 2.0, 3.0], [1.0, 0.0, 4.0]), 2.5 / 3)),
        Sample(((2, 3, 1), (2, 3, 1)), {"reduction": "sum"}),
        Sample(((), ())),
    ),
    source="Bishop, Pattern Recognition and Machine Learning (2006), eq. 5.11",
)


def squared_error(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """Half the squared difference between predictions and targets.

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
    The difference is squared as it is and never expanded, so that nothing cancels. Cost: 2 reads, 3 FLOP per element.

    Source
    ------
    Bishop, Pattern Recognition and Machine Learning (2006), eq. 5.11

    Examples
    --------
    >>> import graphc
    >>> prediction = graphc.input("prediction", (3,))
    >>> loss = graphc.squared_error(prediction, [1.0, 0.0, 4.0])
    >>> run = graphc.backward(loss).at(prediction=[1, 2, 3])
    >>> print(run.value(loss).round(4), run.grad("prediction").round(4))
    0.8333 [ 0.      0.6667 -0.3333]
    """
    return GATE(prediction, target, reduction=reduction)
