"""global_max_pool2d: ``y[n,c] = max(x[n,c,i,j], i, j)``: the strongest response of each map, wherever it is.

Says whether a feature is in the image, and forgets where.

Shapes: ``(N, C, H, W)`` gives ``(N, C)``.
Derivative: the upstream gradient at the winner of each map.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "global_max_pool2d",
    "y[n,c] = max(x[n,c,i,j], i, j)",
    ("x",),
    symbol="global max",
    ties="at a tie the first element of the map, row by row, wins and takes the whole gradient",
    samples=(
        Sample(((2, 3, 3, 5),), values=(([[[[1.0, 2.0], [6.0, 3.0]]]],), [[6.0]]), source="By hand"),
        Sample(((1, 2, 1, 4),)),
        Sample(((3, 1, 1, 1),)),
    ),
    source="Oquab et al., CVPR (2015), section 3.2",
)


def global_max_pool2d(x: Any) -> Node:
    """Largest element of each map.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.

    Returns
    -------
    Node, shape (N, C)

    Raises
    ------
    ShapeError
        If the rank is not 4.

    Notes
    -----
    At a tie the first element of the map, row by row, takes the whole gradient. Cost: one comparison for each
    element.

    Source
    ------
    Oquab et al., CVPR (2015), section 3.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 2, 2))
    >>> run = graphc.backward(graphc.sum(graphc.global_max_pool2d(x))).at(x=[[[[1, 6], [6, 2]]]])
    >>> print(run.value(run.back.root), run.grad("x")[0, 0].tolist())
    6.0 [[0.0, 1.0], [0.0, 0.0]]
    """
    return GATE(x)
