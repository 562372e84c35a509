"""kl_divergence: ``sum(p*log(p/q))`` over the classes of each row, and its mean over the rows.

What it costs, in nats, to code draws from ``p`` with a code made for ``q``; 0 where they agree, else positive.

Shapes: ``p`` and ``q`` of shape ``(..., C)`` give a scalar, or ``(...)`` under ``reduction="none"``.
Derivatives: ``log(p/q) + 1`` and ``-p/q``, over the number of rows under ``"mean"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.loss import LETTERS, loss_line, prepare_loss


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    if not shapes[0]:
        raise ShapeError(f"kl_divergence needs rows (..., C), found {shape_text(shapes[0])}")
    return prepare_loss(shapes, attributes)


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    rows = LETTERS[: len(shapes[0]) - 1]
    row, element = f"[{','.join(rows)}]" if rows else "", f"[{','.join((*rows, 'e'))}]"
    # two logarithms: p/q overflows where neither of them does, and 0*log(0) is 0
    term = f"p{element}*(log(p{element}) - log(q{element})) if p{element} > 0 else 0"
    last = loss_line(f"divergence{row}", rows, attributes["reduction"])
    return Definition(f"divergence{row} = sum({term}, e)\n{last}")


GATE = Gate(
    "kl_divergence",
    _definition,
    ("p", "q"),
    symbol="KL",
    ties="a class with p = 0 adds 0 and takes no gradient",
    attributes={"reduction": "mean"},
    prepare=_prepare,
    samples=(
        Sample(((3, 2), (3, 2)), interval=(0.1, 2.0)),
        Sample(
            ((2, 2), (2, 2)),
            values=(([[0.5, 0.5], [0.0, 1.0]], [[0.25, 0.75], [0.5, 0.5]]), 0.418494),
            interval=(0.1, 2.0),
        ),
        Sample(((2, 3, 4), (2, 3, 4)), {"reduction": "none"}, interval=(0.1, 2.0)),
        Sample(((5,), (5,)), {"reduction": "sum"}, interval=(0.1, 2.0)),
    ),
    source="Kullback, Leibler, Annals of Mathematical Statistics 22 (1951), section 2",
)


def kl_divergence(p: Any, q: Any, reduction: str = "mean") -> Node:
    """Kullback-Leibler divergence of distributions from others, in nats.

    Parameters
    ----------
    p : Node, shape (..., C)
        Probabilities of each row, 0 included.
    q : Node, shape (..., C)
        Probabilities to compare with, positive where those of ``p`` are.
    reduction : "mean", "sum" or "none", default "mean"
        Mean or sum over the rows, or one divergence for each.

    Returns
    -------
    Node, scalar, or shape (...)

    Raises
    ------
    ShapeError
        If the shapes differ, the operands are scalars, or the reduction does not exist.

    Notes
    -----
    Rows are taken as they are, not normalised. A class with p = 0 adds 0 and takes no gradient. Cost: 2 reads,
    2 transcendental calls per element.

    Source
    ------
    Kullback, Leibler, Annals of Mathematical Statistics 22 (1951), section 2

    Examples
    --------
    >>> import graphc
    >>> q = graphc.input("q", (1, 2))
    >>> loss = graphc.kl_divergence([[0.5, 0.5]], q)
    >>> run = graphc.backward(loss).at(q=[[0.25, 0.75]])
    >>> print(run.value(loss).round(4), run.grad("q").round(4).tolist())
    0.1438 [[-2.0, -0.6667]]
    """
    return GATE(p, q, reduction=reduction)
