"""perceptron_loss: ``max(-target*scores, 0)``, elementwise, and its mean.

The perceptron's criterion: only wrong answers cost, in proportion to their score.

Shapes: ``scores`` and ``target`` of one shape give a scalar, or that shape under ``reduction="none"``.
Derivatives: where ``target*scores <= 0``, ``-target`` and ``-scores``, else 0; over the number of elements
under ``"mean"``.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.loss import loss_rule, prepare_loss

GATE = Gate(
    "perceptron_loss",
    loss_rule("max(-{target}*{scores}, 0)", "scores", "target"),
    ("scores", "target"),
    symbol="perceptron",
    ties="at a score of 0 the first operand wins and the derivative is -target, so that zero weights learn",
    attributes={"reduction": "mean"},
    prepare=prepare_loss,
    samples=(
        Sample(((3, 5), (3, 5)), {"reduction": "none"}),
        Sample(((3,), (3,)), values=(([2.0, 0.5, 3.0], [1.0, -1.0, -1.0]), 3.5 / 3)),
        Sample(((2, 3, 1), (2, 3, 1)), {"reduction": "sum"}),
        Sample(((), ())),
    ),
    source="Rosenblatt (1958); Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.54",
)


def perceptron_loss(scores: Any, target: Any, reduction: str = "mean") -> Node:
    """Perceptron criterion of scores whose sign is the predicted class.

    Parameters
    ----------
    scores : Node, any shape
        Scores.
    target : Node, shape of ``scores``
        True classes, -1 or +1.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over all elements, or one loss for each.

    Returns
    -------
    Node, scalar, or shape of ``scores``

    Raises
    ------
    ShapeError
        If the shapes differ or the reduction does not exist.

    Notes
    -----
    At a score of 0 the derivative is ``-target``: weights that start at zero learn. Cost: 2 reads, 3 FLOP per
    element.

    Source
    ------
    Rosenblatt (1958); Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.54

    Examples
    --------
    >>> import graphc
    >>> scores = graphc.input("scores", (3,))
    >>> loss = graphc.perceptron_loss(scores, [1.0, -1.0, -1.0])
    >>> run = graphc.backward(loss).at(scores=[2, 0, 3])
    >>> print(run.value(loss).round(4), run.grad("scores").round(4))
    1.0 [0.     0.3333 0.3333]
    """
    return GATE(scores, target, reduction=reduction)
