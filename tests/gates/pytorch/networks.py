"""Normalisation, attention and graphs, and PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy
import torch
from torch.nn import functional

from tests.gates.pytorch.case import Row, at, cases


def aggregated(x: Any, w: Any, source: Any, target: Any, weight: Any) -> Any:
    message = weight[:, None] * (x @ w)[source]
    return torch.zeros(x.shape[0], w.shape[1], dtype=x.dtype).index_add(0, target, message)


def attended(query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False) -> Any:
    if mask is not None and causal:
        future = torch.full((query.shape[-2], key.shape[-2]), -math.inf, dtype=query.dtype).triu(1)
        mask, causal = mask + future, False
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)


NETWORKS = {
    "attention": Row(
        attended,
        [
            *cases((5, 3), (5, 3), (5, 4), causal=[False, True]),
            *cases((2, 3, 4), (2, 5, 4), (2, 5, 2)),
            *cases((2, 2, 4, 3), (2, 2, 4, 3), (2, 2, 4, 3), causal=[False, True]),
            *cases((2, 3, 4), (2, 5, 4), (2, 5, 2), (3, 5)),
            *cases((2, 3, 4), (2, 3, 4), (2, 3, 2), (3, 3), causal=[True]),
            *cases((2, 3, 4), (2, 5, 4), (2, 5, 2), causal=[True]),
        ],
    ),
    "batch_norm": Row(
        lambda x, gain, bias, epsilon=1e-5: functional.batch_norm(
            x, None, None, gain, bias, training=True, eps=epsilon
        ),
        [
            *cases((4, 3), (3,), (3,)),
            *cases((4, 3, 5), (3,), (3,), epsilon=[1e-5, 0.1]),
            *cases((2, 3, 4, 5), (3,), (3,), epsilon=[1e-5, 1e-3]),
        ],
    ),
    "graph_convolution": Row(
        aggregated,
        [
            at(
                numpy.arange(12).reshape(4, 3) / 7 - 0.6,
                numpy.arange(6).reshape(3, 2) / 5 - 0.4,
                [0, 1, 1, 3, 2, 0],
                [1, 0, 2, 3, 3, 1],
                [0.5, 1.0, -0.7, 0.2, 1.5, 0.3],
                integers={2: 4, 3: 4},
            ),
        ],
    ),
    "group_norm": Row(
        lambda x, gain, bias, groups, epsilon=1e-5: functional.group_norm(x, groups, gain, bias, epsilon),
        [
            *cases((2, 6, 3), (6,), (6,), groups=[1, 2, 3]),
            *cases((2, 4, 3, 2), (4,), (4,), groups=[1, 2, 4], epsilon=[1e-5, 0.1]),
        ],
    ),
    "layer_norm": Row(
        lambda x, gain, bias, epsilon=1e-5: functional.layer_norm(x, gain.shape, gain, bias, epsilon),
        [
            *cases((4, 5), (5,), (5,)),
            *cases((2, 3, 5), (5,), (5,), epsilon=[1e-5, 0.1]),
            *cases((2, 3, 5), (3, 5), (3, 5)),
            *cases((2, 3, 2, 2), (3, 2, 2), (3, 2, 2)),
            at([[2.0, 2.0, 2.0]], [1.0, 2.0, 3.0], [0.0, 0.1, 0.2]),
        ],
    ),
    "local_response_norm": Row(
        # PyTorch divides alpha by the size
        lambda x, size=5, k=2.0, alpha=1e-4, beta=0.75: functional.local_response_norm(x, size, alpha * size, beta, k),
        [
            *cases((2, 7, 3, 2)),
            *cases((1, 8, 2, 3), size=[1, 2, 3, 4, 5], alpha=[0.3], beta=[0.5, 0.75], k=[1.0]),
            *cases((2, 6, 4), size=[3], alpha=[0.5]),
        ],
    ),
}
