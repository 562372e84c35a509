"""adaptive_max_pool2d: the largest element of each bin, for a fixed number of bins over any image.

``y[n,c,i,j] = max(x[n,c,h,w] if h in bin i and w in bin j else -inf, h, w)``

Gives a dense layer the same number of features whatever the size of the image.

Shapes: ``(N, C, H, W)`` gives ``(N, C, P, Q)`` for ``size=(P, Q)``; bin ``i`` holds the rows from ``floor(i*H/P)``
to ``ceil((i+1)*H/P)``, exclusive.
Derivative: the upstream gradient at the winner of each bin, added up where bins share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.bins import maxima
from graphc.graph.window import check_ranks, pair


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("adaptive_max_pool2d", 2, shapes)
    return {"size": pair(attributes["size"], "size", 1)}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    high, wide = attributes["size"]
    extents = {"i": str(high), "j": str(wide), "h": "size(x,2)", "w": "size(x,3)"}
    return Definition(maxima("y", (high, wide)), extents=extents)


GATE = Gate(
    "adaptive_max_pool2d",
    _definition,
    ("x",),
    symbol="adaptive max",
    ties="at a tie the first element of the bin, row by row, wins and takes the whole gradient",
    attributes={"size": 1},
    prepare=_prepare,
    samples=(
        Sample(((2, 3, 5, 4),), {"size": 2}),
        Sample(
            ((1, 2, 3, 7),),
            {"size": (1, 3)},
            values=(([[[[1.0, 3.0, 2.0, 9.0, 7.0]]]],), [[[[3.0, 9.0, 9.0]]]]),
            source="By hand: the bins of 5 elements are 0 to 1, 1 to 3 and 3 to 4",
        ),
        Sample(((1, 1, 2, 3),), {"size": (3, 4)}),
        Sample(((1, 1, 1, 1),)),
    ),
    source="He et al., ECCV (2014), appendix A",
)


def adaptive_max_pool2d(x: Any, size: Any = 1) -> Node:
    """Largest element of each of a fixed number of bins.

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
    At a tie the first element of the bin, row by row, takes the whole gradient. Cost: H*W*Q + H*P*Q comparisons
    for each map.

    Source
    ------
    He et al., ECCV (2014), appendix A.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 1, 3))
    >>> y = graphc.adaptive_max_pool2d(x, (1, 2))
    >>> run = graphc.backward(graphc.sum(y)).at(x=[[[[1, 4, 4]]]])
    >>> print(run.value(y)[0, 0].tolist(), run.grad("x")[0, 0].tolist())
    [[4.0, 4.0]] [[0.0, 2.0, 0.0]]
    """
    return GATE(x, size=size)
