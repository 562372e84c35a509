"""average_pool2d: the mean of each window.

``y[n,c,i,j] = sum(x[n,c,stride*i+r-padding, stride*j+s-padding], r, s) / count``

Smooths and halves the image; every element of a window gets the same share of the gradient.

Shapes: ``(N, C, H, W)`` gives ``(N, C, H', W')`` with ``H' = (H + 2*padding - size)//stride + 1``.
Derivative: the upstream gradient divided by the count of its window, added up where windows overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.window import is_padded, pool_rule, pooling


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    if attributes["count_padding"] or not is_padded(attributes):
        return pool_rule("mean({x}, {window})")(shapes, attributes)
    rows = "min(stride_h*i - top + size_h, size(x,2)) - max(stride_h*i - top, 0)"  # inside the image
    columns = "min(stride_w*j - left + size_w, size(x,3)) - max(stride_w*j - left, 0)"
    return pool_rule(f"sum({{x}}, {{window}}) / (({rows})*({columns}))")(shapes, attributes)


GATE = Gate(
    "average_pool2d",
    _definition,
    ("x",),
    symbol="average pool",
    attributes={"size": 2, "stride": None, "padding": 0, "count_padding": False},
    prepare=pooling("average_pool2d", 2),
    samples=(
        Sample(((2, 3, 4, 6),), values=(([[[[1.0, 4.0], [3.0, 2.0]]]],), [[[[2.5]]]]), source="By hand"),
        Sample(
            ((1, 2, 5, 4),),
            {"size": 3, "stride": 2, "padding": 1},
            values=(([[[[1.0, 2.0], [3.0, 6.0]]]],), [[[[3.0]]]]),
            source="By hand: 4 of the 9 elements of the window are in the image",
        ),
        Sample(
            ((1, 2, 5, 4),),
            {"size": 3, "stride": 2, "padding": 1, "count_padding": True},
            values=(([[[[1.0, 2.0], [3.0, 6.0]]]],), [[[[12 / 9]]]]),
            source="By hand: the 5 zeros of the padding count",
        ),
        Sample(((1, 1, 5, 6),), {"size": (2, 3), "stride": 2, "padding": "same"}),
        Sample(((1, 1, 5, 5),), {"size": 2, "stride": 3}),
        Sample(((1, 1, 1, 1),), {"size": 1}),
    ),
    source="LeCun et al., Proc. IEEE 86 (1998), section II.B",
)


def average_pool2d(x: Any, size: Any = 2, stride: Any = None, padding: Any = 0, count_padding: bool = False) -> Node:
    """Mean of each window.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    size : int or (int, int), default 2
        Window, in elements.
    stride : int or (int, int), optional
        Step of the window; the window by default, so that windows do not overlap.
    padding : int, (int, int), "valid" or "same", default 0
        Zeros around the image, in elements on each side.
    count_padding : bool, default False
        Whether these zeros count as elements of the window.

    Returns
    -------
    Node, shape (N, C, H', W')

    Raises
    ------
    ShapeError
        If the rank does not fit, the window is larger than the image, or the padding reaches a whole window.

    Notes
    -----
    Cost: one addition for each element of each window and one division for each window.

    Source
    ------
    LeCun et al., Proc. IEEE 86 (1998), section II.B.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 2, 2))
    >>> run = graphc.backward(graphc.sum(graphc.average_pool2d(x))).at(x=[[[[1, 4], [3, 2]]]])
    >>> print(run.value(run.back.root), run.grad("x")[0, 0].tolist())
    2.5 [[0.25, 0.25], [0.25, 0.25]]
    """
    return GATE(x, size=size, stride=stride, padding=padding, count_padding=count_padding)
