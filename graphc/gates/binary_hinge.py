"""binary_hinge: ``max(0, 1 - target*scores)``, elementwise, and its mean.

The loss of the two-class support vector machine: right answers beyond the margin cost nothing.

Shapes: ``scores`` and ``target`` of one shape give a scalar, or that shape under ``reduction="none"``.
Derivatives: where ``target*scores < 1``, ``-target`` and ``-scores``, else 0; over the number of elements
under ``"mean"``.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.loss import loss_rule, prepare_loss

GATE = Gate(
    "binary_hinge",
    loss_rule("max(0, 1 - {target}*{scores})", "scores", "target"),
    ("scores", "target"),
    symbol="hinge",
    ties="on the margin the constant 0 wins and the derivative is 0",
    attributes={"reduction": "mean"},
    prepare=prepare_loss,
    samples=(
        Sample(((3, 5), (3, 5)), {"reduction": "none"}),
        Sample(((3,), (3,)), values=(([2.0, 0.5, 3.0], [1.0, 1.0, -1.0]), 1.5)),
        Sample(((2, 3, 1), (2, 3, 1)), {"reduction": "sum"}),
        Sample(((), ())),
    ),
    source="Cortes, Vapnik, Machine Learning 20 (1995), section 3",
)


def binary_hinge(scores: Any, target: Any, reduction: str = "mean") -> Node:
    """Hinge loss of scores whose sign is the predicted class.

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
    On the margin the constant 0 wins and the derivative is 0. Cost: 2 reads, 3 FLOP per element.

    Source
    ------
    Cortes, Vapnik, Machine Learning 20 (1995), section 3

    Examples
    --------
    >>> import graphc
    >>> scores = graphc.input("scores", (3,))
    >>> loss = graphc.binary_hinge(scores, [1.0, 1.0, -1.0])
    >>> run = graphc.backward(loss).at(scores=[2, 0.5, 3])
    >>> print(run.value(loss).round(4), run.grad("scores").round(4))
    1.5 [ 0.     -0.3333  0.3333]
    """
    return GATE(scores, target, reduction=reduction)
