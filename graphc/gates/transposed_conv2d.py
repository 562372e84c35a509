"""transposed_conv2d: every element of the image puts a scaled copy of the filter into the result.

``y[n,k,stride*i+dilation*r-padding, stride*j+dilation*s-padding] += sum(x[n,c,i,j] * w[c,k,r,s], c)``

The adjoint of ``conv2d`` as a layer of its own: it enlarges an image with weights that are learned.

Shapes: ``x (N, C, H, W)``, ``w (C, K, R, S)`` give ``(N, K, H', W')`` with
``H' = (H-1)*stride - 2*padding + dilation*(R-1) + output_padding + 1``.
Derivatives: with respect to ``x`` the upstream gradient convolved with ``w``; with respect to ``w`` the upstream
gradient slid with the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.window import check_ranks, pair, window_attributes


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("transposed_conv2d", 2, shapes, "(C, K, R, S)")
    padding, more = pair(attributes["padding"], "padding", 0), pair(attributes["output_padding"], "output_padding", 0)
    found = window_attributes({**attributes, "padding": padding}, shapes[0][2:], shapes[1][2:])
    if any(more[k] >= max(found[f"stride_{d}"], found[f"dilation_{d}"]) for k, d in enumerate("hw")):
        raise ShapeError(f"output_padding={attributes['output_padding']!r} must be smaller than the stride or dilation")
    return found | {"more_h": more[0], "more_w": more[1]}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    copies = "[n,k,stride_h*i + dilation_h*r,stride_w*j + dilation_w*s] += sum(x[n,c,i,j] * w[c,k,r,s], c)"
    whole = [f"(size(x,{d}) - 1)*stride_{e} + dilation_{e}*(size(w,{d}) - 1) + 1" for d, e in ((2, "h"), (3, "w"))]
    kept = [f"{whole[0]} - 2*top + more_h", f"{whole[1]} - 2*left + more_w"]
    if not attributes["top"] and not attributes["left"]:
        return Definition("y" + copies, extents={"y.2": kept[0], "y.3": kept[1]})
    text = f"t{copies}\ny[n,k,p,q] = t[n,k,p + top,q + left]"  # without the padding
    return Definition(text, {"t": 0}, {"t.2": whole[0], "t.3": whole[1], "p": kept[0], "q": kept[1]})


GATE = Gate(
    "transposed_conv2d",
    _definition,
    ("x", "w"),
    symbol="∗ᵀ",
    attributes={"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1},
    prepare=_prepare,
    samples=(
        Sample(
            ((2, 3, 3, 2), (3, 2, 2, 3)),
            values=(([[[[1.0, 2.0]]]], [[[[1.0, 10.0]]]]), [[[[1.0, 12.0, 20.0]]]]),
            source="By hand: two copies that overlap in one element",
        ),
        Sample(((1, 2, 3, 2), (2, 3, 3, 3)), {"stride": 2, "padding": 1, "output_padding": 1}),
        Sample(((1, 2, 2, 3), (2, 1, 3, 4)), {"stride": (2, 3), "padding": (1, 2)}),
        Sample(((2, 1, 4, 3), (1, 2, 2, 2)), {"dilation": 2, "padding": 1}),
        Sample(((1, 1, 1, 1), (1, 1, 1, 1))),
    ),
    source="Zeiler et al., CVPR (2010), eq. 1; Dumoulin, Visin (2016), relationship 14",
)


def transposed_conv2d(
    x: Any, w: Any, *, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, dilation: Any = 1
) -> Node:
    """Transposed convolution: the adjoint of ``conv2d`` with respect to its images.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    w : Node, shape (C, K, R, S)
        Filters, as those of a ``conv2d`` from K to C channels.
    stride : int or (int, int), default 1
        Step between the copies of the filter, in elements of the result.
    padding : int or (int, int), default 0
        Elements that the result loses on each side.
    output_padding : int or (int, int), default 0
        Elements that the result has more below and at the right: which of the images that ``conv2d`` would give
        the same shape is meant.
    dilation : int or (int, int), default 1
        Distance between the elements that a filter writes.

    Returns
    -------
    Node, shape (N, K, H', W')

    Raises
    ------
    ShapeError
        If a rank or the channels do not fit, nothing is left, or output_padding is not smaller than the stride or
        the dilation.

    Notes
    -----
    Cost: 2*N*C*K*H*W*R*S FLOP.

    Source
    ------
    Zeiler et al., CVPR (2010), eq. 1; Dumoulin, Visin (2016), relationship 14.

    Examples
    --------
    >>> import graphc
    >>> x, w = graphc.input("x", ("N", 64, 7, 7)), graphc.parameter("w", (64, 32, 3, 3))
    >>> graphc.transposed_conv2d(x, w, stride=2, padding=1, output_padding=1).shape
    (N, 32, 14, 14)
    """
    return GATE(x, w, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation)
