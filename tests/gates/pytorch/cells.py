"""Recurrent cells, and PyTorch's; other conventions and choices of operands: `tests/gates/test_cells.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from tests.gates.pytorch.case import Row, cases


def recurrent(x: Any, h: Any, w: Any, v: Any, bias: Any = None, activation: str = "tanh") -> Any:
    return getattr(torch, f"rnn_{activation}_cell")(x, h, w, v, bias, None if bias is None else torch.zeros_like(bias))


def remembered(x: Any, h: Any, c: Any, w: Any, v: Any, bias: Any = None) -> Any:
    return torch.lstm_cell(x, (h, c), w, v, bias, None if bias is None else torch.zeros_like(bias))


def gated(x: Any, h: Any, w: Any, v: Any, bias: Any = None, bias_h: Any = None, **conventions: Any) -> Any:
    assert conventions == {"reset_after": True, "update": "old"}
    return torch.gru_cell(x, h, w, v, bias, bias_h)


def mapped(x: Any, h: Any, c: Any, w: Any, v: Any, bias: Any = None) -> Any:
    total = functional.conv2d(x, w, bias, padding="same") + functional.conv2d(h, v, padding="same")
    i, f, g, o = total.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


CELLS = {
    "conv_lstm_cell": Row(
        mapped,
        [
            *cases((2, 3, 4, 5), (2, 2, 4, 5), (2, 2, 4, 5), (8, 3, 3, 5), (8, 2, 1, 3), (8,)),
            *cases((1, 1, 3, 3), (1, 2, 3, 3), (1, 2, 3, 3), (8, 1, 5, 1), (8, 2, 3, 3)),
        ],
    ),
    "gru_cell": Row(
        gated,
        [
            *cases((3, 4), (3, 5), (15, 4), (15, 5), (15,), (15,), reset_after=[True], update=["old"]),
            *cases((2, 1), (2, 3), (9, 1), (9, 3), reset_after=[True], update=["old"]),
        ],
    ),
    "lstm_cell": Row(
        remembered,
        [
            *cases((3, 4), (3, 5), (3, 5), (20, 4), (20, 5), (20,)),
            *cases((2, 1), (2, 3), (2, 3), (12, 1), (12, 3)),
        ],
    ),
    "rnn_cell": Row(
        recurrent,
        [
            *cases((3, 4), (3, 5), (5, 4), (5, 5), (5,), activation=["tanh", "relu"]),
            *cases((2, 1), (2, 3), (3, 1), (3, 3)),
        ],
    ),
}
