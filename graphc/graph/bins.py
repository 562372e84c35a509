"""Pools over bins: a fixed number of bins over any extent, as matrices of axes used as numbers.

Bin ``i`` of ``b`` over ``e`` elements holds those from ``floor(i*e/b)`` to ``ceil((i + 1)*e/b)``, exclusive: bins
cover all elements and differ by one at most; where ``b`` does not divide ``e``, neighbours share an element.
"""

from __future__ import annotations

__all__ = ["limits", "maxima", "members"]


def limits(number: str, extent: str, bins: int) -> tuple[str, str]:
    """Text of the first element of a bin, and of the one after its last."""
    return f"{number}*{extent}//{bins}", f"(({number} + 1)*{extent} + {bins - 1})//{bins}"


def members(number: str, extent: str, bins: int, position: str) -> str:
    """Text of the condition that a position is in a bin."""
    start, stop = limits(number, extent, bins)
    return f"{position} >= {start} and {position} < {stop}"


def maxima(result: str, bins: tuple[int, int], i: str = "i", j: str = "j", k: str = "") -> str:
    """Lines of the largest element of each bin of ``x[n,c,h,w]``: over columns, then over rows.

    In this order the first element of a bin, row by row, wins a tie. ``i`` and ``j`` are the axes of the bins, and
    ``k`` tells the names of temporaries apart.
    """
    return f"""row{k}[{i},h] = 1 if {members(i, "size(x,2)", bins[0], "h")} else 0
        column{k}[{j},w] = 1 if {members(j, "size(x,3)", bins[1], "w")} else 0
        band{k}[n,c,h,{j}] = max(x[n,c,h,w] if column{k}[{j},w] > 0 else -inf, w)
        {result}[n,c,{i},{j}] = max(band{k}[n,c,h,{j}] if row{k}[{i},h] > 0 else -inf, h)"""
