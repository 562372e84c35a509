"""The whole table: rows, gates that PyTorch does not have, and derivatives on which both differ by choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from tests.gates.pytorch.arrays import SHAPES
from tests.gates.pytorch.case import Difference, Row
from tests.gates.pytorch.cells import CELLS
from tests.gates.pytorch.elementwise import ELEMENTWISE
from tests.gates.pytorch.losses import LOSSES, divergence
from tests.gates.pytorch.networks import NETWORKS
from tests.gates.pytorch.reductions import REDUCTIONS
from tests.gates.pytorch.windows import WINDOWS

ROWS: Mapping[str, Row] = {**ELEMENTWISE, **REDUCTIONS, **SHAPES, **LOSSES, **WINDOWS, **NETWORKS, **CELLS}

NOT_IN_TORCH: Mapping[str, str] = {
    "dropout": "the random numbers are another generator's; given the same numbers it is a product",
    "spatial_dropout": "the random numbers are another generator's; given the same numbers it is a product",
}

KNOWN_DIFFERENCES: Sequence[Difference] = (
    Difference(
        "max",
        "torch.maximum halves the gradient between equal operands; here the first operand wins",
        torch.maximum,
        ([1.0, 2.0], [1.0, 0.0]),
        ([1.0, 1.0], [0.0, 0.0]),
    ),
    Difference(
        "min",
        "torch.minimum halves the gradient between equal operands; here the first operand wins",
        torch.minimum,
        ([1.0, 2.0], [1.0, 3.0]),
        ([1.0, 1.0], [0.0, 0.0]),
    ),
    Difference(
        "amax",
        "torch.amax shares the gradient among equal elements; here the first wins, as in torch.max(dim)",
        lambda x: torch.amax(x, (0, 1)),
        ([[3.0, 1.0], [3.0, 3.0]],),
        ([[1.0, 0.0], [0.0, 0.0]],),
    ),
    Difference(
        "amin",
        "torch.amin shares the gradient among equal elements; here the first wins, as in torch.min(dim)",
        lambda x: torch.amin(x, (0, 1)),
        ([[3.0, 1.0], [1.0, 1.0]],),
        ([[0.0, 1.0], [0.0, 0.0]],),
    ),
    Difference(
        "kl_divergence",
        "kl_div has no number as the gradient of a target of 0; here such a class takes no gradient",
        divergence,
        ([[0.0, 0.5, 0.5]], [[0.25, 0.25, 0.5]]),
        ([[0.0, 1.0 + math.log(2.0), 1.0]], [[0.0, -2.0, -1.0]]),
    ),
    Difference(
        "cosine_similarity",
        "below a length of epsilon PyTorch's gradient is not that of its value: it clamps outside of the graph",
        lambda a, b, epsilon: functional.cosine_similarity(a, b, -1, epsilon),
        ([[0.0625, 0.0]], [[0.6, 0.8]]),
        ([[1.2, 1.6]], [[0.08, -0.06]]),
        {"epsilon": 0.5},
    ),
    Difference(
        "pow",
        "the gradient of an exponent is y*log(a), no number at a = 0; PyTorch defines it as 0 there",
        torch.pow,
        ([0.0, 2.0], [2.0, 3.0]),
        ([0.0, 12.0], [math.nan, 8 * math.log(2.0)]),
        documented="The gradient of the exponent needs a > 0",
    ),
    Difference(
        "perceptron_loss",
        "with relu(-target*score) a score of 0 has no gradient and zero weights never learn; torch.clamp agrees",
        lambda scores, target: functional.relu(-target * scores).mean(),
        ([0.0, 0.0], [1.0, -1.0]),
        ([-0.5, 0.5], [0.0, 0.0]),
    ),
)
