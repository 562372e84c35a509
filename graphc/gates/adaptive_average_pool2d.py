"""adaptive_average_pool2d: the mean of each bin, for a fixed number of bins over any image.

``y[n,c,i,j] = sum(rows[i,h] * x[n,c,h,w] * columns[j,w], h, w)``

Gives a dense layer the same number of features whatever the size of the image.

Shapes: ``(N, C, H, W)`` gives ``(N, C, P, Q)`` for ``size=(P, Q)``; bin ``i`` holds the rows from ``floor(i*H/P)``
to ``ceil((i+1)*H/P)``, exclusive.
Derivative: the upstream gradient divided by the elements of its bin, added up where bins share an element.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.bins import limits, members
from graphc.graph.window import check_ranks, pair


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("adaptive_average_pool2d", 2, shapes)
    return {"size": pair(attributes["size"], "size", 1)}


def _share(number: str, extent: str, bins: int, position: str) -> str:
    start, stop = limits(number, extent, bins)
    return f"1 / ({stop} - {start}) if {members(number, extent, bins, position)} else 0"


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    high, wide = attributes["size"]
    text = f"""rows[i,h] = {_share("i", "size(x,2)", high, "h")}
        columns[j,w] = {_share("j", "size(x,3)", wide, "w")}
        bands[n,c,i,w] = sum(rows[i,h] * x[n,c,h,w], h)
        y[n,c,i,j] = sum(bands[n,c,i,w] * columns[j,w], w)"""
    return Definition(text, extents={"i": str(high), "j": str(wide), "h": "size(x,2)", "w": "size(x,3)"})


GATE = Gate(
    "adaptive_average_pool2d",
    _definition,
    ("x",),
    symbol="adaptive average",
    attributes={"size": 1},
    prepare=_prepare,
    samples=(
        Sample(((2, 3, 5, 4),), {"size": 2}),
        Sample(
            ((1, 2, 3, 7),),
            {"size": (1, 3)},
            values=(([[[[1.0, 3.0, 5.0, 9.0, 10.0]]]],), [[[[2.0, 17 / 3, 9.5]]]]),
            source="By hand: the bins of 5 elements are 0 to 1, 1 to 3 and 3 to 4",
        ),
        Sample(((1, 1, 2, 3),), {"size": (3, 4)}),
        Sample(((1, 1, 1, 1),)),
    ),
    source="He et al., ECCV (2014), appendix A (the bins), with means",
)


def adaptive_average_pool2d(x: Any, size: Any = 1) -> Node:
    """Mean of each of a fixed number of bins.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    size : int or (int, int), default 1
        Number of bins along height and width.

    Returns
    -------
    Node, shape (N, C, P, Q)

    Raises
    ------
    ShapeError
        If the rank does not fit or a size is below 1.

    Notes
    -----
    Cost: two matrix products for each map, 2*P*H*W + 2*P*Q*W FLOP.

    Source
    ------
    He et al., ECCV (2014), appendix A (the bins), with means.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 1, 3))
    >>> y = graphc.adaptive_average_pool2d(x, (1, 2))
    >>> run = graphc.backward(graphc.sum(y)).at(x=[[[[1, 2, 4]]]])
    >>> print(run.value(y)[0, 0].tolist(), run.grad("x")[0, 0].tolist())
    [[1.5, 3.0]] [[0.5, 1.0, 0.5]]
    """
    return GATE(x, size=size)
