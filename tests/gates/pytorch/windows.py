"""Convolutions and pooling, and PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from torch.nn import functional

from tests.gates.pytorch.case import Case, Row, at, cases


def numbers(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def surrounded(x: Any, window: Sequence[int], stride: Any, padding: Any, dilation: Any = 1, fill: float = 0.0) -> Any:
    """The data with their padding, as TensorFlow and SciPy define "same" and "full"."""
    rank = len(window)
    pads: list[int] = []
    settings = zip(x.shape[2:], window, numbers(stride, rank), numbers(dilation, rank), strict=True)
    for axis, (extent, size, step, spread) in enumerate(settings):
        reach = spread * (size - 1) + 1
        if padding == "same":
            total = max((math.ceil(extent / step) - 1) * step + reach - extent, 0)
            pads = [total // 2, total - total // 2, *pads]
        else:
            side = (
                {"full": reach - 1, "valid": 0}[padding] if isinstance(padding, str) else numbers(padding, rank)[axis]
            )
            pads = [side, side, *pads]
    return functional.pad(x, pads, value=fill)


def convolved(rank: int) -> Callable[..., Any]:
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]

    def call(x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        if not isinstance(padding, str):  # PyTorch's own padding
            return convolve(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
        x = surrounded(x, w.shape[2:], stride, padding, dilation)
        return convolve(x, w, stride=stride, dilation=dilation, groups=groups)

    return call


def depthwise(x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
    x = surrounded(x, w.shape[2:], stride, padding, dilation)
    return functional.conv2d(x, w.flatten(0, 1).unsqueeze(1), stride=stride, dilation=dilation, groups=w.shape[0])


def locally_connected(x: Any, w: Any, stride: Any = 1, padding: Any = 0) -> Any:
    rows, columns, _, _, *window = w.shape
    x = surrounded(x, window, stride, padding)
    found = functional.unfold(x, tuple(window), stride=stride).unflatten(1, (x.shape[1], *window))
    return torch.einsum("ncrsij,ijkcrs->nkij", found.unflatten(-1, (rows, columns)), w)


def masked(x: Any, w: Any, kind: str = "A", padding: Any = "same") -> Any:
    rows, columns = w.shape[2:]
    mask = torch.ones_like(w)
    mask[:, :, rows // 2, columns // 2 + (kind == "B") :] = 0
    mask[:, :, rows // 2 + 1 :] = 0
    return convolved(2)(x, w * mask, padding=padding)


def causal(x: Any, w: Any, dilation: int = 1) -> Any:
    return functional.conv1d(functional.pad(x, (dilation * (w.shape[2] - 1), 0)), w, dilation=dilation)


def pooled(theirs: Callable[..., Any], rank: int, fill: float) -> Callable[..., Any]:
    def call(x: Any, size: Any = 2, stride: Any = None, padding: Any = 0) -> Any:
        step = size if stride is None else stride
        return theirs(surrounded(x, numbers(size, rank), step, padding, fill=fill), size, step)

    return call


def average(x: Any, size: Any = 2, stride: Any = None, padding: Any = 0, count_padding: bool = False) -> Any:
    if not isinstance(padding, str):
        return functional.avg_pool2d(x, size, stride, padding, count_include_pad=count_padding)
    step = size if stride is None else stride
    ones = torch.ones_like(x)
    total = pooled(functional.avg_pool2d, 2, 0.0)(x, size, step, padding)
    return total if count_padding else total / pooled(functional.avg_pool2d, 2, 0.0)(ones, size, step, padding)


def euclidean(x: Any, size: Any = 2, stride: Any = None, padding: Any = 0, epsilon: float = 1e-12) -> Any:
    mean = pooled(functional.avg_pool2d, 2, 0.0)(x.square(), size, stride, padding)
    return (mean * math.prod(numbers(size, 2)) + epsilon).sqrt()


def pyramid(x: Any, levels: Any = (1, 2, 4)) -> Any:
    return torch.cat([functional.adaptive_max_pool2d(x, level).flatten(1) for level in levels], 1)


def regions(x: Any, region: Any, image: Any, size: Any) -> Any:
    found = []
    for (top, left, bottom, right), number in zip(region.tolist(), image.tolist(), strict=True):
        crop = x[number : number + 1, :, top : bottom + 1, left : right + 1]
        found.append(functional.adaptive_max_pool2d(crop, size))
    return torch.cat(found)


def convolution_cases(rank: int) -> list[Case]:
    extents = ((9,), (7, 6), (4, 5, 3))[rank - 1]
    window = ((3,), (3, 2), (2, 3, 2))[rank - 1]
    x, w = (2, 4, *extents), (6, 4, *window)
    return [
        *cases(x, w),
        *cases(x, w, stride=[1, 2, 3], padding=[0, 1, "same", "full"]),
        *cases((1, 4, *(e + 3 for e in extents)), w, stride=[1, 2], padding=[0, 2, "same"], dilation=[2]),
        *cases(x, (6, 2, *window), groups=[2], padding=[0, 1], stride=[1, 2]),
        *cases(x, (4, 1, *window), groups=[4]),
        *cases((1, 1, *(1,) * rank), (1, 1, *(1,) * rank)),
        *cases(x, (3, 4, *(1,) * rank), stride=[2]),
    ]


POOLS = [
    *cases((2, 3, 4, 6)),
    *cases((1, 2, 7, 5), size=[2, 3, (3, 2)], stride=[None, 1, 2, (2, 3)], padding=[0, 1]),
    *cases((1, 1, 5, 6), size=[3], stride=[2], padding=["same", "valid"]),
]
EQUAL = numpy.array([1.0, 1.0, 2.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 0.0, 2.0, 3.0, 3.0, 2.0, 2.0]).reshape(
    1, 1, 4, 4
)

WINDOWS = {
    "adaptive_average_pool2d": Row(
        lambda x, size=1: functional.adaptive_avg_pool2d(x, size),
        cases((2, 2, 7, 5), size=[1, 2, 3, (3, 2), (7, 5), (4, 1)]),
    ),
    "adaptive_max_pool2d": Row(
        lambda x, size=1: functional.adaptive_max_pool2d(x, size),
        [*cases((2, 2, 7, 5), size=[1, 2, 3, (3, 2), (7, 5)]), at(EQUAL, size=2), at(EQUAL, size=3)],
    ),
    "average_pool2d": Row(
        average, [*POOLS, *cases((1, 2, 7, 5), size=[3], stride=[2], padding=[1, "same"], count_padding=[False, True])]
    ),
    "causal_conv1d": Row(
        causal,
        [*cases((2, 3, 8), (4, 3, 3)), *cases((2, 3, 8), (4, 3, 2), dilation=[1, 2, 4]), *cases((1, 1, 2), (1, 1, 5))],
    ),
    "conv1d": Row(convolved(1), convolution_cases(1)),
    "conv2d": Row(
        convolved(2),
        [
            *convolution_cases(2),
            *cases((1, 2, 6, 7), (3, 2, 2, 3), stride=[(2, 1), (1, 3)], padding=[(0, 2), (1, 0)], dilation=[(1, 2)]),
        ],
    ),
    "conv3d": Row(convolved(3), convolution_cases(3)),
    "depthwise_conv2d": Row(
        depthwise,
        [
            *cases((2, 3, 6, 5), (3, 2, 3, 2)),
            *cases((2, 3, 6, 5), (3, 1, 3, 3), stride=[1, 2, (2, 1)], padding=[0, 1, "same"]),
            *cases((1, 2, 8, 7), (2, 2, 3, 2), dilation=[2], padding=[0, (2, 1)]),
        ],
    ),
    "global_average_pool2d": Row(lambda x: x.mean((2, 3)), [*cases((2, 3, 4, 5)), *cases((1, 1, 1, 1))]),
    "global_max_pool2d": Row(
        lambda x: functional.adaptive_max_pool2d(x, 1).flatten(1),
        [*cases((2, 3, 4, 5)), *cases((1, 1, 1, 1)), at(EQUAL)],
    ),
    "l2_pool2d": Row(euclidean, [*POOLS, *cases((1, 2, 5, 5), size=[2], epsilon=[0.3]), at(numpy.zeros((1, 1, 2, 2)))]),
    "locally_connected2d": Row(
        locally_connected,
        [
            *cases((2, 2, 4, 5), (3, 4, 3, 2, 2, 2)),
            *cases((2, 1, 5, 5), (2, 2, 3, 1, 3, 2), stride=[2]),
            *cases((1, 2, 4, 3), (4, 3, 2, 2, 3, 3), padding=[1, "same"]),
        ],
    ),
    "masked_conv2d": Row(
        masked,
        [
            *cases((2, 2, 5, 4), (3, 2, 3, 3), kind=["A", "B"]),
            *cases((1, 1, 6, 6), (2, 1, 5, 3), kind=["A", "B"]),
            *cases((1, 2, 6, 5), (1, 2, 3, 5), kind=["A", "B"], padding=["valid"]),
        ],
    ),
    "max_pool1d": Row(
        pooled(functional.max_pool1d, 1, -math.inf),
        [
            *cases((2, 3, 8)),
            *cases((2, 2, 9), size=[2, 3], stride=[None, 1, 2], padding=[0, 1]),
            at([[[1.0, 1.0, 2.0, 2.0, 2.0, 0.0, 0.0]]], size=3, stride=2),
        ],
    ),
    "max_pool2d": Row(
        pooled(functional.max_pool2d, 2, -math.inf),
        [
            *POOLS,
            at(EQUAL),
            at(EQUAL, size=3, stride=1),
            at(EQUAL, size=3, stride=2, padding=1),
            at(-EQUAL, size=3, stride=1),
        ],
    ),
    "roi_pool": Row(
        regions,
        [
            at(
                numpy.random.default_rng(3).permutation(2 * 3 * 7 * 8).reshape(2, 3, 7, 8) / 50.0,
                [[0, 0, 6, 7], [1, 2, 4, 6], [3, 3, 5, 7], [2, 1, 6, 2]],
                [0, 1, 1, 0],
                integers={1: 8, 2: 2},
                size=size,
            )
            for size in (1, 2, 3)
        ],
    ),
    "spatial_pyramid_pool": Row(pyramid, [*cases((2, 2, 7, 5)), *cases((1, 3, 4, 6), levels=[(1,), (1, 2), (3, 1)])]),
    "transposed_conv2d": Row(
        functional.conv_transpose2d,
        [
            *cases((2, 3, 4, 5), (3, 2, 3, 2)),
            *cases((2, 3, 4, 3), (3, 2, 3, 3), stride=[1, 2, 3], padding=[0, 1, 2]),
            *cases((1, 2, 3, 4), (2, 3, 3, 2), stride=[2, (3, 2)], output_padding=[1, (1, 0)]),
            *cases((1, 2, 3, 4), (2, 1, 3, 2), dilation=[2, (1, 3)], stride=[1, 2], padding=[0, 1]),
        ],
    ),
}
