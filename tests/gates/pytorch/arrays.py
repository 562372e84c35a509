"""Gates that move, choose or multiply elements, and PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from torch.nn import functional

from tests.gates.pytorch.case import Row, at, cases


def sequence(gate: Any, nodes: Any, attributes: Any) -> Any:
    return gate(nodes, **attributes)


def padded(x: Any, widths: Any) -> Any:
    pairs = [(widths, widths)] * x.dim() if isinstance(widths, int) else widths
    pairs = [(p, p) if isinstance(p, int) else p for p in pairs]
    return functional.pad(x, [n for p in reversed(pairs) for n in p])


def parts(x: Any, sections: Any, axis: int = 0) -> Any:
    return torch.split(x, x.shape[axis] // sections if isinstance(sections, int) else list(sections), axis)


def upsampled(x: Any, factor: int = 2, mode: str = "nearest") -> Any:
    more = {"align_corners": False} if mode == "bilinear" else {}
    return functional.interpolate(x, scale_factor=factor, mode=mode, **more)


def sliced(x: Any, index: Any) -> Any:
    """PyTorch has no negative steps: such an axis is flipped first."""
    items = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = [slice(None)] * (x.dim() - len(items) + 1)
    for axis, item in enumerate(items):
        if isinstance(item, slice) and (item.step or 1) < 0:
            chosen = torch.tensor(list(range(*item.indices(x.shape[axis]))))
            x = x.index_select(axis, chosen)
            items[axis] = slice(None)
    return x[tuple(items)]


SHAPES = {
    "concat": Row(
        lambda *x, axis=0: torch.cat(x, axis),
        [
            *cases((2, 3), (4, 3), (1, 3)),
            *cases((2, 3, 2), (2, 1, 2), axis=[1, -2]),
            *cases((3,)),
            *cases((2, 1), (2, 4), axis=[-1]),
        ],
        sequence,
    ),
    "einsum": Row(
        lambda *x, subscripts: torch.einsum(subscripts, *x),
        [
            *cases((3, 4), (4, 5), subscripts=["ij,jk->ik", "ij,jk", "ij,jk->ki", "ij,jk->j", "ij,jk->"]),
            *cases((3,), (4,), subscripts=["i,j->ij", "i,j->ji"]),
            *cases((2, 3, 4), (2, 4, 5), subscripts=["bij,bjk->bik"]),
            *cases((3, 4), (4, 2), (2, 5), subscripts=["ij,jk,kl->il"]),
            *cases((3, 3), subscripts=["ii->i", "ii->", "ij->ji"]),
            *cases((2, 3, 4), subscripts=["abc->cab", "abc->b"]),
        ],
        lambda gate, nodes, attributes: gate(attributes["subscripts"], *nodes),
    ),
    "embedding": Row(
        lambda weight, token: functional.embedding(token, weight),
        [
            *cases((7, 3), (5,), integers={1: 7}),
            *cases((4, 2), (2, 3), integers={1: 4}),
            at(numpy.ones((3, 2)), [1, 1, 1], integers={1: 3}),
        ],
    ),
    "flatten": Row(lambda x: torch.flatten(x, 1), [*cases((2, 3, 4)), *cases((3, 5)), *cases((2, 1, 3, 2))]),
    "gather": Row(
        lambda x, index, axis=-1: torch.gather(x, axis, index),
        [
            *cases((3, 5), (3, 2), integers={1: 5}),
            *cases((3, 5), (4, 5), integers={1: 3}, axis=[0]),
            *cases((2, 3, 4), (2, 6, 4), integers={1: 3}, axis=[1, -2]),
        ],
    ),
    "matmul": Row(
        torch.matmul,
        [
            *cases((3, 4), (4, 5)),
            *cases((2, 3, 4), (2, 4, 5)),
            *cases((2, 3, 4), (4, 5)),
            *cases((3, 4), (2, 4, 5)),
            *cases((2, 1, 3, 4), (3, 4, 2)),
            *cases((1, 7), (7, 1)),
        ],
    ),
    "one_hot": Row(
        lambda label, classes: functional.one_hot(label, num_classes=classes),
        [*cases((5,), integers={0: 4}, classes=[4, 6]), *cases((2, 3), integers={0: 3}, classes=[3])],
    ),
    "pad": Row(
        padded,
        [
            *cases((3, 4), widths=[((1, 2), (0, 3)), ((0, 0), (0, 0)), 1]),
            *cases((2, 1, 3), widths=[((0, 0), (2, 1), (1, 1))]),
        ],
    ),
    "reshape": Row(
        torch.reshape,
        [*cases((2, 6), shape=[(3, 4), (-1,), (2, -1, 3)]), *cases((), shape=[(1, 1)])],
    ),
    "slice": Row(
        sliced,
        [
            *cases(
                (5, 6),
                index=[
                    2,
                    -1,
                    slice(1, 4),
                    slice(None, None, 2),
                    slice(-3, None),
                    (slice(None), 3),
                    (1, slice(0, 5, 3)),
                    (Ellipsis, slice(2, 4)),
                    (slice(1, 2), slice(-2, None)),
                    (4, -6),
                ],
            ),
            *cases((2, 3, 4), index=[(Ellipsis, 1), (0, slice(1, None), slice(None, None, 3))]),
        ],
    ),
    "split": Row(
        parts,
        [
            *cases((6, 2), sections=[2, 3, (1, 2, 3)]),
            *cases((2, 5, 3), sections=[(4, 1)], axis=[1, -2]),
            *cases((2, 4), sections=[4], axis=[-1]),
        ],
    ),
    "stack": Row(
        lambda *x, axis=0: torch.stack(x, axis),
        [*cases((2, 3), (2, 3), axis=[0, 1, 2, -1]), *cases((), (), ()), *cases((4,))],
        sequence,
    ),
    "tile": Row(
        lambda x, repeats: torch.tile(x, repeats if isinstance(repeats, tuple) else (repeats,)),
        [
            *cases((3, 4), repeats=[(2, 3), (1, 1), (1, 2)]),
            *cases((3,), repeats=[(4,)]),
            *cases((2, 1, 2), repeats=[(2, 3, 1)]),
        ],
    ),
    "transpose": Row(
        lambda x, axes=None: torch.permute(x, tuple(reversed(range(x.dim()))) if axes is None else axes),
        [*cases((3, 5)), *cases((2, 3, 4), axes=[None, (1, 2, 0), (0, 2, 1), (-1, 0, 1)])],
    ),
    "upsample": Row(
        upsampled,
        [
            *cases((1, 2, 3, 4)),
            *cases((2, 1, 3, 2), factor=[1, 2, 3], mode=["nearest", "bilinear"]),
            *cases((1, 1, 1, 1), factor=[4], mode=["nearest", "bilinear"]),
        ],
    ),
}
