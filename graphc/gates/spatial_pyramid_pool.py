"""spatial_pyramid_pool: the largest element of each bin, for coarse and fine bins at once.

``y[n, offset + l*l*c + l*i + j] = max(x[n,c,h,w] if h in bin i of l and w in bin j of l else -inf, h, w)``

One row of fixed length for an image of any size; coarse bins say what is in the image, fine ones where.

Shapes: ``(N, C, H, W)`` gives ``(N, C*sum(l*l))`` for levels of ``l*l`` bins; level after level, in each channel
after channel, in each the bins row by row.
Derivative: the upstream gradient at the winner of each bin, added up over the bins that it wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError
from graphc.graph.bins import maxima
from graphc.graph.window import check_ranks, window_numbers


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_ranks("spatial_pyramid_pool", 2, shapes)
    levels = attributes["levels"]
    if not isinstance(levels, tuple | list) or not levels:
        raise ShapeError(f"levels={levels!r} must be one or more whole numbers, such as (1, 2, 4)")
    return {"levels": tuple(window_numbers(level, "a level", 1, 1)[0] for level in levels)}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    lines, extents, bins = [], {"h": "size(x,2)", "w": "size(x,3)"}, 0
    for k, level in enumerate(attributes["levels"]):
        i, j = f"i{k}", f"j{k}"
        lines += [
            maxima(f"level{k}", (level, level), i, j, str(k)),
            f"y[n,{bins}*size(x,1) + {level * level}*c + {level}*{i} + {j}] += level{k}[n,c,{i},{j}]",
        ]
        extents |= {i: str(level), j: str(level)}
        bins += level * level
    return Definition("\n".join(lines), extents=extents | {"y.1": f"{bins}*size(x,1)"})


GATE = Gate(
    "spatial_pyramid_pool",
    _definition,
    ("x",),
    symbol="pyramid pool",
    ties="at a tie the first element of the bin, row by row, wins and takes the whole gradient",
    attributes={"levels": (1, 2, 4)},
    prepare=_prepare,
    samples=(
        Sample(
            ((2, 2, 3, 4),),
            {"levels": (1, 2)},
            values=(([[[[1.0, 2.0], [3.0, 4.0]], [[8.0, 7.0], [6.0, 5.0]]]],),
                    [[4.0, 8.0, 1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 6.0, 5.0]]),
            source="By hand",
        ),
        Sample(((1, 1, 5, 6),)),
        Sample(((2, 1, 2, 5),), {"levels": (3,)}),
        Sample(((1, 3, 1, 1),), {"levels": (1,)}),
    ),
    source="He et al., ECCV (2014), section 2.2 and appendix A",
)  # fmt: skip


def spatial_pyramid_pool(x: Any, levels: Any = (1, 2, 4)) -> Node:
    """Largest elements of the bins of several grids, side by side.

    Parameters
    ----------
    x : Node, shape (N, C, H, W)
        Images.
    levels : tuple of int, default (1, 2, 4)
        Bins along each side of the image, for each level.

    Returns
    -------
    Node, shape (N, C * sum(l * l))

    Raises
    ------
    ShapeError
        If the rank does not fit or a level is below 1.

    Notes
    -----
    At a tie the first element of the bin, row by row, takes the whole gradient. Cost: for each map, l*H*W + l*l*H
    comparisons a level.

    Source
    ------
    He et al., ECCV (2014), section 2.2 and appendix A.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 256, 13, 13))
    >>> graphc.spatial_pyramid_pool(x).shape
    (N, 5376)
    """
    return GATE(x, levels=levels)
