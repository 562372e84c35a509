"""causal_conv1d: a convolution that sees no later element than the one it answers for.

``y[n,k,j] = sum(x[n,c,j+dilation*s-dilation*(S-1)] * w[k,c,s], c, s)``

The last weight of a filter meets the present, the others the past; stacked with dilations 1, 2, 4, ... the past
that is seen doubles with every layer.

Shapes: ``x (N, C, W)``, ``w (K, C, S)`` give ``(N, K, W)``.
Derivatives: those of ``conv1d``; the gradient of an element comes from the present and the future alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Gate, Node, Sample, Shape, ShapeError
from graphc.graph.window import check_ranks, convolution_formula, window_attributes


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("causal_conv1d", 1, shapes, "(K, C, S)")
    x, w = shapes
    found = window_attributes(attributes, x[2:], w[2:])
    if not isinstance(w[2], int):
        raise ShapeError(f"the extent of the filters must be a number, found {w[2]}")
    past = found["dilation_w"] * (w[2] - 1)
    return found | {"left": past, "pad_w": past}


GATE = Gate(
    "causal_conv1d",
    convolution_formula,
    ("x", "w"),
    symbol="∗ causal",
    attributes={"dilation": 1},
    prepare=_prepare,
    samples=(
        Sample(
            ((2, 3, 5), (4, 3, 2)),
            values=(([[[1.0, 2.0, 4.0, 7.0]]], [[[-1.0, 1.0]]]), [[[1.0, 1.0, 2.0, 3.0]]]),
            source="By hand: each element less the one before",
        ),
        Sample(((1, 2, 7), (3, 2, 3)), {"dilation": 2}),
        Sample(((1, 1, 2), (1, 1, 3)), {"dilation": 4}),
        Sample(((2, 1, 1), (1, 1, 1)), {"dilation": 3}),
    ),
    source="van den Oord et al., WaveNet (2016), section 2.1",
)


def causal_conv1d(x: Any, w: Any, *, dilation: int = 1) -> Node:
    """Dilated convolution (cross-correlation) of signals with their own past.

    Parameters
    ----------
    x : Node, shape (N, C, W)
        Signals; the last axis is time.
    w : Node, shape (K, C, S)
        Filters, from the earliest element to the present one.
    dilation : int, default 1
        Distance between the elements that a filter sees.

    Returns
    -------
    Node, shape (N, K, W)

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit.

    Notes
    -----
    Before the first element the signal is zero. Cost: 2*N*K*W*C*S FLOP.

    Source
    ------
    van den Oord et al., WaveNet (2016), section 2.1.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 4))
    >>> y = graphc.causal_conv1d(x, [[[1.0, 1.0]]], dilation=2)
    >>> run = graphc.backward(graphc.sum(y)).at(x=[[[1, 2, 3, 4]]])
    >>> print(run.value(y)[0, 0].tolist(), run.grad("x")[0, 0].tolist())
    [1.0, 2.0, 4.0, 6.0] [2.0, 2.0, 1.0, 1.0]
    """
    return GATE(x, w, dilation=dilation)
