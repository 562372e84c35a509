"""sigmoid_cross_entropy: ``-target*log(sigmoid(scores)) - (1 - target)*log(1 - sigmoid(scores))``, and its mean.

The loss of yes-or-no questions, each answered on its own: the negative log-probability of the target, in nats.

Shapes: ``scores`` and ``target`` of one shape give a scalar, or that shape under ``reduction="none"``.
Derivatives: ``sigmoid(scores) - target`` and ``-scores``, over the number of elements under ``"mean"``.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.loss import loss_rule, prepare_loss

_DEFINITION = "-{target}*log(1/(1 + exp(-{scores}))) - (1 - {target})*log(1 - 1/(1 + exp(-{scores})))"
#: Both branches are the same function; each adds terms of one sign, so that no value and no slope cancels.
_STABLE = "(1 - {target})*{scores} + softplus(-{scores}) if {scores} > 0 else softplus({scores}) - {target}*{scores}"

GATE = Gate(
    "sigmoid_cross_entropy",
    loss_rule(_DEFINITION, "scores", "target"),
    ("scores", "target"),
    symbol="sigmoid CE",
    stable=loss_rule(_STABLE, "scores", "target"),
    attributes={"reduction": "mean"},
    prepare=prepare_loss,
    samples=(
        Sample(((3, 5), (3, 5)), {"reduction": "none"}),
        Sample(((2,), (2,)), values=(([0.0, 2.0], [1.0, 0.0]), 1.41004)),
        Sample(((2, 3, 1), (2, 3, 1)), {"reduction": "sum"}, interval=(-20.0, 20.0)),
        Sample(((), ())),
    ),
    source="Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.90",
)


def sigmoid_cross_entropy(scores: Any, target: Any, reduction: str = "mean") -> Node:
    """Negative log-probability of targets under a sigmoid of the scores, in nats.

    Parameters
    ----------
    scores : Node, any shape
        Unnormalised scores (logits).
    target : Node, shape of ``scores``
        Probability of a yes, from 0 to 1.
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
    Neither the sigmoid nor its logarithm is evaluated: a score of any size gives a finite loss, and a confident
    right answer a gradient that keeps its digits. Cost: 2 reads, 2 transcendental calls per element.

    Source
    ------
    Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.90

    Examples
    --------
    >>> import graphc
    >>> scores = graphc.input("scores", (2,))
    >>> loss = graphc.sigmoid_cross_entropy(scores, [1.0, 0.0])
    >>> run = graphc.backward(loss).at(scores=[0, 2])
    >>> print(run.value(loss).round(4), run.grad("scores").round(4))
    1.41 [-0.25    0.4404]
    """
    return GATE(scores, target, reduction=reduction)
