"""upsample: ``y[n,c,factor*i+r,factor*j+s] = x[n,c,i,j]``, or bilinear weights between neighbours.

Enlarges feature maps again: decoders, segmentation, generators.

Shapes: ``(N, C, H, W)`` gives ``(N, C, factor*H, factor*W)``.
Derivative: each element gets the upstream gradients of the elements it was copied or weighted into.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.axes import whole_numbers


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    if len(shapes[0]) != 4:
        raise ShapeError(f"upsample needs images (N, C, H, W), found rank {len(shapes[0])}")
    if attributes["mode"] not in ("nearest", "bilinear"):
        raise ShapeError(f"mode={attributes['mode']!r} must be 'nearest' or 'bilinear'")
    (factor,) = whole_numbers((attributes["factor"],), "factor", 1)
    return {"factor": factor, "mode": attributes["mode"]}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    if attributes["mode"] == "nearest":
        return Definition(
            "y[n,c,factor*i+r,factor*j+s] = x[n,c,i,j]",
            extents={"r": "factor", "s": "factor", "y.2": "factor*size(x,2)", "y.3": "factor*size(x,3)"},
        )
    # where the centre of an output element lies, in elements of x, and how near that is to each of them
    weight = "max(0, 1 - abs(max(min(({o} + 1/2)/factor - 1/2, size(x,{d}) - 1), 0) - {p}))"
    return Definition(
        f"rows[i,p] = {weight.format(o='i', p='p', d=2)}\n"
        f"columns[j,q] = {weight.format(o='j', p='q', d=3)}\n"
        "t[n,c,i,q] = sum(rows[i,p] * x[n,c,p,q], p)\n"
        "y[n,c,i,j] = sum(t[n,c,i,q] * columns[j,q], q)",
        extents={
            "i": "factor*size(x,2)",
            "j": "factor*size(x,3)",
            "p": "size(x,2)",
            "q": "size(x,3)",
        },
    )


GATE = Gate(
    "upsample",
    _definition,
    ("x",),
    symbol="upsample",
    attributes={"factor": 2, "mode": "nearest"},
    prepare=_prepare,
    samples=(
        Sample(((1, 1, 1, 2),), values=(([[[[1.0, 2.0]]]],), [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]])),
        Sample(((2, 3, 2, 3),), {"factor": 3}),
        Sample(
            ((1, 1, 1, 2),),
            {"mode": "bilinear"},
            values=(([[[[1.0, 2.0]]]],), [[[[1.0, 1.25, 1.75, 2.0], [1.0, 1.25, 1.75, 2.0]]]]),
        ),
        Sample(((2, 2, 3, 2),), {"factor": 3, "mode": "bilinear"}),
        Sample(((1, 2, 3, 4),), {"factor": 1, "mode": "bilinear"}),
    ),
    source="Long, Shelhamer, Darrell, CVPR (2015), section 3.3; pixel centres as in OpenCV",
)


def upsample(x: Any, factor: int = 2, mode: str = "nearest") -> Node:
    """Images enlarged by a whole factor.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    factor : int, default 2
        How many elements one becomes, along each side.
    mode : str, default "nearest"
        ``"nearest"`` copies, ``"bilinear"`` weights the four nearest elements.

    Returns
    -------
    Node, shape (N, C, factor*H, factor*W)

    Raises
    ------
    ShapeError
        If the rank does not fit, the factor is below 1, or the mode is unknown.

    Notes
    -----
    Bilinear: centres of elements are aligned (``align_corners=False``), and the border is continued.
    Cost: nearest 1 write per element of the result; bilinear two matrix products,
    2*N*C*factor*H*W*(H + factor*W) FLOP.

    Source
    ------
    Long, Shelhamer, Darrell, CVPR (2015), section 3.3.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 1, 2))
    >>> run = graphc.backward(graphc.sum(graphc.upsample(x, mode="bilinear"))).at(x=[[[[1, 2]]]])
    >>> print(run.value(run.back.root), run.grad("x").tolist())
    12.0 [[[[4.0, 4.0]]]]
    """
    return GATE(x, factor=factor, mode=mode)
