"""roi_pool: the largest element of each bin of regions of images, for a fixed number of bins a region.

``y[r,c,i,j] = max(x[image[r],c,h,w] if h in bin i and w in bin j of region[r] else -inf, h, w)``

A detector classifies each proposed region from features of one length, computed once for the whole image.

Shapes: ``x (N, C, H, W)``, ``region (R, 4)``, ``image (R,)`` give ``(R, C, P, Q)`` for ``size=(P, Q)``.
Derivative: with respect to ``x`` the upstream gradient at the winner of each bin, added up over regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.bins import members
from graphc.graph.window import pair


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    x, region, image = shapes
    if len(x) != 4 or len(region) != 2 or region[1] != 4 or len(image) != 1:
        raise ShapeError(
            "roi_pool needs images (N, C, H, W), regions (R, 4) of top, left, bottom, right, and an image of each "
            f"(R,), found {shape_text(x)}, {shape_text(region)} and {shape_text(image)}"
        )
    return {"size": pair(attributes["size"], "size", 1)}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    high, wide = attributes["size"]
    rows = members("i", "max(region[r,2] - region[r,0] + 1, 1)", high, "h - region[r,0]")
    columns = members("j", "max(region[r,3] - region[r,1] + 1, 1)", wide, "w - region[r,1]")
    text = f"""row[r,i,h] = 1 if {rows} else 0
        column[r,j,w] = 1 if {columns} else 0
        band[r,c,h,j] = max(x[image[r],c,h,w] if column[r,j,w] > 0 else -inf, w)
        inside[r,c,i,j] = max(band[r,c,h,j] if row[r,i,h] > 0 else -inf, h)
        y[r,c,i,j] = inside[r,c,i,j] if inside[r,c,i,j] > -inf else 0"""
    extents = {"i": str(high), "j": str(wide), "h": "size(x,2)", "w": "size(x,3)"}
    return Definition(text, extents=extents, integers=frozenset({"region", "image"}))


GATE = Gate(
    "roi_pool",
    _definition,
    ("x", "region", "image"),
    symbol="region pool",
    ties="at a tie the first element of the bin, row by row, wins and takes the whole gradient",
    attributes={"size": 7},
    prepare=_prepare,
    samples=(
        Sample(((2, 2, 4, 5), (3, 4), (3,)), {"size": 2}, integers={1: 5, 2: 2}),
        Sample(
            ((1, 1, 3, 4), (2, 4), (2,)),
            {"size": (1, 2)},
            values=(([[[[1.0, 2.0, 3.0], [4.0, 9.0, 6.0]]]], [[0, 0, 1, 2], [0, 2, 0, 5]], [0, 0]),
                    [[[[9.0, 9.0]]], [[[3.0, 0.0]]]]),
            source="By hand: bins of 3 columns share the middle one; the last bin is outside the image",
            integers={1: 4, 2: 1},
        ),
        Sample(((3, 1, 2, 2), (4, 4), (4,)), {"size": 3}, integers={1: 3, 2: 3}),
        Sample(((1, 1, 1, 1), (1, 4), (1,)), {"size": 1}, integers={1: 1, 2: 1}),
    ),
    source="Girshick, Fast R-CNN, ICCV (2015), section 2.1 and eq. 4",
    scatter_only="the gradient is written to the image of each region, which depends on data",
)  # fmt: skip


def roi_pool(x: Any, region: Any, image: Any, size: Any = 7) -> Node:
    """Largest element of each bin of regions of images.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images, usually feature maps.
    region : Node, shape (R, 4), integer
        Rows of top, left, bottom and right, in elements of ``x``; bottom and right belong to the region.
    image : Node, shape (R,), integer
        Image of each region.
    size : int or (int, int), default 7
        Number of bins along the height and the width of a region.

    Returns
    -------
    Node, shape (R, C, P, Q)

    Raises
    ------
    ShapeError
        If a rank or the number of regions does not fit, a size is below 1, or ``region`` or ``image`` holds floats.

    Notes
    -----
    A region of less than one element counts as one; a bin without elements in the image is 0. At a tie the first
    element of the bin, row by row, takes the whole gradient. Cost: Q*H*W + P*Q*H comparisons for each region and
    channel.

    Source
    ------
    Girshick, Fast R-CNN, ICCV (2015), section 2.1 and eq. 4.

    Examples
    --------
    >>> import graphc
    >>> x, region = graphc.input("x", (1, 1, 2, 3)), graphc.input("region", (1, 4), dtype="int32")
    >>> y = graphc.roi_pool(x, region, graphc.input("image", (1,), dtype="int32"), size=1)
    >>> run = graphc.backward(graphc.sum(y)).at(x=[[[[7, 2, 3], [4, 5, 1]]]], region=[[0, 1, 1, 2]], image=[0])
    >>> print(run.value(y)[0, 0].tolist(), run.grad("x")[0, 0].tolist())
    [[5.0]] [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    return GATE(x, region, image, size=size)
