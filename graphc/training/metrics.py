"""Metrics: scalar nodes, evaluated beside the loss and averaged over examples."""

from __future__ import annotations

from graphc.errors import ShapeError
from graphc.graph import Node, registry
from graphc.graph.node import call_site
from graphc.graph.shapes import shape_text

__all__ = ["accuracy"]


def accuracy(scores: Node, label: Node) -> Node:
    """Share of examples whose largest score is that of the true class.

    Parameters
    ----------
    scores : Node, shape (..., C)
        Scores or log-probabilities of C classes.
    label : Node, shape of ``scores`` without the last axis, integer
        True classes.

    Returns
    -------
    Node, scalar
        Between 0 and 1.

    Raises
    ------
    ShapeError
        If ``label`` has not the shape of ``scores`` without the last axis.

    Notes
    -----
    At a tie of scores the first class counts as predicted. No gradient flows through it.

    Source
    ------
    Definition.
    """
    site = call_site()
    if scores.shape[:-1] != label.shape or not scores.shape:
        raise ShapeError(
            f"accuracy needs scores (..., C) and labels (...), found {scores.label!r} "
            f"{shape_text(scores.shape)} and {label.label!r} {shape_text(label.shape)}\n"
            f"  declared at {scores.site} and {label.site}\n  called at {site}",
            shapes=(scores.shape, label.shape),
            site=site,
        )
    predicted = registry.function("argmax")(scores)
    return registry.function("mean")(registry.function("equal")(predicted, label))
