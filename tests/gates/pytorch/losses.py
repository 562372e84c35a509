"""Probabilities and losses, and PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from tests.gates.pytorch.case import Case, Row, at, cases

HOW = ["mean", "sum", "none"]


def reduced(loss: Any, reduction: str = "mean") -> Any:
    return loss if reduction == "none" else getattr(loss, reduction)()


def loss_row(theirs: Callable[..., Any], *more: Case, low: float = -2.0, high: float = 2.0, **grid: Any) -> Row:
    """A loss of two operands of one shape, under every reduction."""
    shapes = [((3, 5), (3, 5)), ((4,), (4,)), ((2, 3, 1), (2, 3, 1)), ((), ())]
    found = [case for pair in shapes for case in cases(*pair, low=low, high=high, reduction=HOW, **grid)]
    return Row(theirs, [*found, *more])


def multiclass(scores: Any, label: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    # PyTorch divides by the number of classes
    loss = functional.multi_margin_loss(scores, label, margin=margin, reduction="none") * scores.shape[1]
    return reduced(loss, reduction)


def triplet(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    near, far = (anchor - positive).square().sum(-1), (anchor - negative).square().sum(-1)
    return reduced(functional.relu(near - far + margin), reduction)


def divergence(p: Any, q: Any, reduction: str = "mean") -> Any:
    return reduced(functional.kl_div(q.log(), p, reduction="none").sum(-1), reduction)


SIGNS = ([0.5, -1.0, 2.0, -0.25], [1.0, 1.0, -1.0, -1.0])

LOSSES = {
    "absolute_error": loss_row(
        lambda prediction, target, reduction="mean": functional.l1_loss(prediction, target, reduction=reduction),
        at([1.0, 2.0, 0.0], [1.0, 3.0, 0.0]),
    ),
    "binary_hinge": loss_row(
        lambda scores, target, reduction="mean": reduced(functional.relu(1 - target * scores), reduction),
        at(*SIGNS),
        at([1.0, -1.0, 1.0], [1.0, -1.0, -1.0], reduction="none"),  # on the margin
    ),
    "cosine_similarity": Row(
        lambda a, b, axis=-1, epsilon=1e-8: functional.cosine_similarity(a, b, axis, epsilon),
        [
            *cases((3, 5), (3, 5)),
            *cases((3, 5), (1, 5)),
            *cases((2, 3, 4), (2, 3, 4), axis=[0, 1, -1]),
            *cases((4,), (4,), epsilon=[1e-8, 0.1]),
            at([[0.0, 0.0], [1e-5, 1e-5]], [[1.0, 2.0], [1e-5, 2e-5]]),
        ],
    ),
    "huber": loss_row(
        lambda prediction, target, delta=1.0, reduction="mean": functional.huber_loss(
            prediction, target, reduction=reduction, delta=delta
        ),
        at([1.0, -1.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0], reduction="none"),
        delta=[0.3, 1.0],
    ),
    "kl_divergence": Row(
        divergence,
        [
            *cases((3, 4), (3, 4), low=0.05, high=0.9, reduction=HOW),
            *cases((2, 3, 4), (2, 3, 4), low=0.05, high=0.9),
            *cases((4,), (4,), low=0.05, high=0.9),
        ],
    ),
    "log_softmax": Row(
        lambda x, axis=-1: functional.log_softmax(x, axis),
        [
            *cases((3, 5)),
            *cases((2, 3, 4), axis=[0, 1, -1]),
            *cases((1, 1)),
            at([[800.0, 0.0, -800.0], [5.0, 5.0, 5.0]]),
        ],
    ),
    "multiclass_hinge": Row(
        multiclass,
        [
            *cases((4, 3), (4,), integers={1: 3}, reduction=HOW),
            *cases((4, 3), (4,), integers={1: 3}, margin=[0.5, 2.0]),
            at([[1.0, 2.0, 0.5], [3.0, 0.0, 0.0]], [1, 0], integers={1: 3}),  # on the margin
        ],
    ),
    "perceptron_loss": loss_row(
        # at a score of 0 clamp passes the gradient on, relu does not
        lambda scores, target, reduction="mean": reduced(torch.clamp(-target * scores, min=0), reduction),
        at(*SIGNS),
        at([0.0, 0.0, 1.0], [1.0, -1.0, 1.0]),
    ),
    "sigmoid_cross_entropy": loss_row(
        lambda scores, target, reduction="mean": functional.binary_cross_entropy_with_logits(
            scores, target, reduction=reduction
        ),
        at([40.0, -40.0, 800.0, -800.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.5], reduction="none"),
        low=0.02,
        high=0.98,
    ),
    "softmax": Row(
        lambda x, axis=-1: functional.softmax(x, axis),
        [
            *cases((3, 5)),
            *cases((2, 3, 4), axis=[0, 1, -1]),
            *cases((1, 1)),
            at([[800.0, 0.0, -800.0], [5.0, 5.0, 5.0]]),
            at([[-math.inf, 0.5, 1.0]]),
        ],
    ),
    "softmax_cross_entropy": Row(
        functional.cross_entropy,
        [
            *cases((4, 3), (4,), integers={1: 3}),
            *cases((7, 5), (7,), integers={1: 5}, low=-20.0, high=20.0),
            *cases((1, 1), (1,), integers={1: 1}),
            at([[2.0, 2.0, 2.0]], [1], integers={1: 3}),
        ],
    ),
    "squared_error": loss_row(
        lambda prediction, target, reduction="mean": functional.mse_loss(prediction, target, reduction=reduction) / 2
    ),
    "triplet_loss": Row(
        triplet,
        [
            *cases((3, 4), (3, 4), (3, 4), reduction=HOW),
            *cases((2, 3, 4), (2, 3, 4), (2, 3, 4), margin=[0.2, 5.0]),
            at([[0.0, 0.0]], [[0.0, 0.0]], [[1.0, 0.0]]),  # on the margin
        ],
    ),
}
