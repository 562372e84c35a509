"""global_average_pool2d: ``y[n,c] = mean(x[n,c,i,j], i, j)``: one number for each map.

Replaces the dense layers at the end of a network: no parameters, and any image size.

Shapes: ``(N, C, H, W)`` gives ``(N, C)``.
Derivative: the upstream gradient divided by ``H*W``, at every element of the map.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample

GATE = Gate(
    "global_average_pool2d",
    "y[n,c] = mean(x[n,c,i,j], i, j)",
    ("x",),
    symbol="global average",
    samples=(
        Sample(((2, 3, 3, 5),), values=(([[[[1.0, 2.0], [3.0, 6.0]]]],), [[3.0]]), source="By hand"),
        Sample(((1, 2, 1, 4),)),
        Sample(((3, 1, 1, 1),)),
    ),
    source="Lin, Chen, Yan, Network in network, ICLR (2014), section 3.2",
)


def global_average_pool2d(x: Any) -> Node:
    """Mean of each map.

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
    Cost: 1 FLOP for each element.

    Source
    ------
    Lin, Chen, Yan, Network in network, ICLR (2014), section 3.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 2, 2))
    >>> run = graphc.backward(graphc.sum(graphc.global_average_pool2d(x))).at(x=[[[[1, 2], [3, 6]]]])
    >>> print(run.value(run.back.root), run.grad("x")[0, 0].tolist())
    3.0 [[0.25, 0.25], [0.25, 0.25]]
    """
    return GATE(x)
