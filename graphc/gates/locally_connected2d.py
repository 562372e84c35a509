"""locally_connected2d: a convolution whose weights are not shared: every place of the result has its own filters.

``y[n,k,i,j] = sum(x[n,c,stride*i+r-padding, stride*j+s-padding] * w[i,j,k,c,r,s], c, r, s)``

For images in which places differ, such as aligned faces.

Shapes: ``x (N, C, H, W)``, ``w (H', W', K, C, R, S)`` give ``(N, K, H', W')`` with
``H' = (H + padding - R)//stride + 1``.
Derivatives: with respect to ``x`` the upstream gradient times the filters of its place, added up where windows
overlap; with respect to ``w`` the window of each place times its upstream gradient, summed over the batch alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.window import check_ranks, slide, window_attributes, window_definition


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("locally_connected2d", 2, shapes, "(H', W', K, C, R, S)")
    (_, _, height, width), (*places, _, _, rows, columns) = shapes
    found = window_attributes(attributes, (height, width), (rows, columns))
    wanted = [
        (extent + found[f"pad_{letter}"] - size) // found[f"stride_{letter}"] + 1
        for letter, extent, size in (("h", height, rows), ("w", width, columns))
    ]
    if wanted != places:
        raise ShapeError(
            f"w has filters for {places[0]} x {places[1]} places, the result has {wanted[0]} x {wanted[1]}"
        )
    return found


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    text = f"y[n,k,i,j] = sum(x[n,c,{slide(2, dilated=False)}] * w[i,j,k,c,r,s], c, r, s)"
    return window_definition(text, attributes, ["size(w,4)", "size(w,5)"])


GATE = Gate(
    "locally_connected2d",
    _definition,
    ("x", "w"),
    symbol="local",
    attributes={"stride": 1, "padding": 0},
    prepare=_prepare,
    samples=(
        Sample(
            ((2, 2, 3, 4), (2, 2, 3, 2, 2, 3)),
            values=(([[[[1.0, 2.0, 3.0]]]], [[[[[[1.0, 1.0]]]], [[[[0.0, 10.0]]]]]]), [[[[3.0, 30.0]]]]),
            source="By hand: two places, two filters",
        ),
        Sample(((1, 2, 5, 4), (3, 2, 1, 2, 2, 1)), {"stride": (2, 2), "padding": (1, 0)}),
        Sample(((2, 1, 3, 3), (2, 2, 2, 1, 3, 3)), {"stride": 2, "padding": "same"}),
        Sample(((1, 1, 1, 1), (1, 1, 1, 1, 1, 1))),
    ),
    source="LeCun, Generalization and network design strategies (1989); Taigman et al., DeepFace, CVPR (2014)",
)


def locally_connected2d(x: Any, w: Any, *, stride: Any = 1, padding: Any = 0) -> Node:
    """Weighted sums of windows, with other weights at every place.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    w : Node, shape (H', W', K, C, R, S)
        Filters of each place of the result.
    stride : int or (int, int), default 1
        Step of the window, in elements.
    padding : int, (int, int), "valid", "same" or "full", default 0
        Zeros around the image, in elements on each side.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If a rank, the channels or the places do not fit, or the window is larger than the padded image.

    Notes
    -----
    Reads outside the image are zero. Cost: 2*N*K*H'*W'*C*R*S FLOP, and as many weights as one image needs
    products.

    Source
    ------
    LeCun, Generalization and network design strategies (1989); Taigman et al., DeepFace, CVPR (2014).

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 3, 8, 8)), graphc.parameter("w", (6, 6, 4, 3, 3, 3))
    >>> graphc.locally_connected2d(x, w).shape
    (N, 4, 6, 6)
    """
    return GATE(x, w, stride=stride, padding=padding)
