"""softmax_cross_entropy: mean over the batch of ``log(sum(exp(scores))) - scores[label]``.

The loss of every classifier here: the negative log-probability of the true class, in nats.

Shapes: scores ``(N, C)`` and integer labels ``(N,)`` give a scalar.
Derivative: ``(softmax(scores) - one_hot(label)) / N``.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Definition, Gate, Node, Sample

# log(1 + sum over the wrong classes of exp(scores[c] - scores[label])), scores measured from the largest wrong one,
# rounded down: `//` has derivative 0, and what is subtracted has none of its own. The gradient of the true class is
# minus the sum of the others, never 1 less a probability near 1. -1e30 stands for a class that takes no part.
_STABLE = """
top[n] = max(-1e30 if c == label[n] else scores[n,c], c)
wrong[n] = logsumexp(-1e30 if c == label[n] else scores[n,c] - top[n]//1, c)
loss = mean(softplus(wrong[n] + (top[n]//1 - scores[n,label[n]])), n)
"""

GATE = Gate(
    "softmax_cross_entropy",
    Definition("z[n] = logsumexp(scores[n,c], c)\nloss = mean(z[n] - scores[n,label[n]], n)"),
    ("scores", "label"),
    symbol="softmax CE",
    stable=Definition(_STABLE, integers=frozenset({"label"})),
    samples=(
        Sample(((4, 3), (4,)), integers={1: 3}, values=(([[3.2, 5.1, -1.7]], [0]), 2.0404)),
        Sample(((1, 1), (1,)), integers={1: 1}),
        Sample(((7, 5), (7,)), integers={1: 5}, interval=(-20.0, 20.0)),
    ),
    source="Bridle (1990); Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.108",
    scatter_only="the gradient of the true class is written at the index label[n], which depends on data",
)


def softmax_cross_entropy(scores: Any, label: Any) -> Node:
    """Mean negative log-probability of the true classes under a softmax of the scores, in nats.

    Parameters
    ----------
    scores : Node, shape (N, C)
        Unnormalised scores (logits).
    label : Node, shape (N,), integer
        True classes, 0 to C - 1.

    Returns
    -------
    Node, scalar

    Raises
    ------
    ShapeError
        If the batch extents differ, a rank does not fit, or the labels are floats.

    Notes
    -----
    Scores are measured from the largest one of a wrong class: nothing overflows, and a confident right answer keeps
    the digits of its loss and its gradient. Cost: about 2*N*C transcendental calls.

    Source
    ------
    Bridle (1990); Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.108.

    Examples
    --------
    >>> import graphc
    >>> scores, label = graphc.input("scores", (1, 3)), graphc.input("label", (1,), dtype="int32")
    >>> loss = graphc.softmax_cross_entropy(scores, label)
    >>> print(f"{graphc.backward(loss).at(scores=[[3.2, 5.1, -1.7]], label=[0]).value(loss):.4f}")
    2.0404
    """
    return GATE(scores, label)
