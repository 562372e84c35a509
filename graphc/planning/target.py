"""What kernels of a machine take, as data: planning chooses by it, and knows nothing else of the machine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCHEDULES", "Target"]

#: Families of kernels that a target may have beside derived loops, chains and products of matrices: direct convolution
#: (`graphc.planning.convolution`), convolution by tiles (`graphc.planning.winograd`), windows side by side
#: (`graphc.planning.pooling`), sums in one pass (`graphc.planning.sums`), and products that stay in registers for the
#: chain behind them (`graphc.planning.repeats`).
SCHEDULES = frozenset({"convolution", "tiles", "pooling", "product_chain", "sums"})


@dataclass(frozen=True, slots=True)
class Target:
    """A machine as planning sees it.

    Attributes
    ----------
    lanes : int
        float32 numbers of one vector: which kernel keeps vectors full depends on it.
    schedules : frozenset of str
        Those of `SCHEDULES` that its kernels include; what needs another is planned as loops and matrix products.
    """

    lanes: int = 16
    schedules: frozenset[str] = SCHEDULES
