"""Gates of single numbers, and PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from tests.gates.pytorch.case import Case, Row, at, cases

WIDE = [-40.0, -30.5, -21.0, -6.0, -3.5, -1.0, -0.25, 0.3, 1.0, 2.0, 3.5, 6.0, 21.0, 30.5, 40.0]
UNARY = [*cases((3, 5)), *cases(()), *cases((2, 1, 4))]
BINARY = [*cases((3, 5), (3, 5)), *cases((3, 5), (5,)), *cases((2, 1, 4), (3, 1)), *cases((), (2, 3))]


def unary(theirs: Callable[..., Any], *more: Case, wide: bool = True) -> Row:
    return Row(theirs, [*UNARY, *([at(WIDE)] if wide else []), *more])


def positive(theirs: Callable[..., Any]) -> Row:
    return Row(
        theirs, [*cases((3, 5), low=0.05, high=4.0), *cases((), low=0.05, high=4.0), at([1e-20, 1e-3, 1e3, 1e20])]
    )


def compared(theirs: Callable[..., Any]) -> Row:
    tied = at([1.0, 2.0, -3.0, 0.0, 5.0], [1.0, 3.0, -4.0, 0.0, 5.0])
    return Row(lambda a, b: theirs(a, b).to(torch.float64), [*BINARY, tied])


ELEMENTWISE = {
    "abs": unary(torch.abs, at([0.0, -1.0, 0.0, 2.0])),
    "add": Row(torch.add, BINARY),
    "cos": unary(torch.cos),
    "div": Row(torch.div, [*BINARY, *cases((4, 3), (3,), low=0.1, high=9.0)]),
    "elu": Row(
        lambda x, alpha=1.0: functional.elu(x, alpha),
        [
            *UNARY,
            *cases((3, 5), alpha=[0.5, 1.0, 3.0]),
            at([0.0, -0.5, 2.0, 0.0]),
            at([0.0, -1.0, 1.0], alpha=0.5),
            at(WIDE),
        ],
    ),
    "equal": compared(torch.eq),
    "erf": unary(torch.erf),
    "exp": unary(torch.exp),
    "gelu": Row(
        lambda x, approximate=False: functional.gelu(x, approximate="tanh" if approximate else "none"),
        [
            *UNARY,
            *cases((3, 5), approximate=[False, True]),
            at([0.0, 5.0, -5.0, 9.0]),
            at([0.0, 5.0, -5.0, 9.0], approximate=True),
        ],
    ),
    "greater": compared(torch.gt),
    "greater_equal": compared(torch.ge),
    # the backward pass of functional.hardsigmoid has 1/6 rounded to float32 even for float64
    "hard_sigmoid": unary(lambda x: functional.relu6(x + 3) / 6, at([-3.0, 3.0, 0.0, -3.5, 2.9])),
    "leaky_relu": Row(
        lambda x, slope=0.01: functional.leaky_relu(x, slope),
        [*UNARY, *cases((3, 5), slope=[0.0, 0.2, 1.5]), at([0.0, -1.0, 1.0, 0.0], slope=0.3)],
    ),
    "less": compared(torch.lt),
    "less_equal": compared(torch.le),
    "log": positive(torch.log),
    "max": Row(torch.maximum, BINARY),
    "min": Row(torch.minimum, BINARY),
    "mish": unary(functional.mish),
    "mul": Row(torch.mul, BINARY),
    "neg": unary(torch.neg),
    "not_equal": compared(torch.ne),
    "pow": Row(
        torch.pow,
        [
            *cases((3, 5), (3, 5), low=0.1, high=3.0),
            *cases((3, 5), (), low=0.1, high=3.0),
            *cases((), (2, 3), low=0.1, high=3.0),
        ],
    ),
    "prelu": Row(
        functional.prelu,
        [
            *cases((4, 3), ()),
            *cases((2, 3, 4), (3,)),
            *cases((2, 3, 4, 2), (3,)),
            *cases((4, 3), (3,)),
            at([[0.0, -1.0], [2.0, 0.0]], [0.5, -0.25]),
        ],
    ),
    "reciprocal": unary(torch.reciprocal),
    "relu": unary(functional.relu, at([0.0, -1.0, 0.0, 2.0])),
    "selu": unary(functional.selu, at([0.0, -1.0, 1.0])),
    "sigmoid": unary(torch.sigmoid),
    "sign": unary(torch.sign, at([0.0, -1.0, 0.0, 2.0])),
    "sin": unary(torch.sin),
    "softplus": unary(functional.softplus, wide=False),
    "softsign": unary(functional.softsign, at([0.0])),
    "sqrt": positive(torch.sqrt),
    "sub": Row(torch.sub, BINARY),
    "swish": Row(lambda x, beta=1.0: x * torch.sigmoid(beta * x), [*UNARY, *cases((3, 5), beta=[0.0, 0.5, 3.0])]),
    "tanh": unary(torch.tanh),
    "where": Row(
        lambda condition, a, b: torch.where(condition != 0, a, b),
        [
            at([1.0, 0.0, -2.0, 0.0], [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]),
            at([[1.0], [0.0]], [1.0, 2.0, 3.0], 9.0),
            *cases((2, 3), (3,), ()),
        ],
    ),
}
