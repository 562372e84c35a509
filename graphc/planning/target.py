"""What kernels of a machine take, as data: planning chooses by it, and knows nothing else of the machine."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LAYOUTS", "SCHEDULES", "Target"]

#: Families of kernels that a target may have beside derived loops, chains and products of matrices: direct convolution
#: (`graphc.planning.convolution`), convolution by tiles (`graphc.planning.winograd`), windows side by side
#: (`graphc.planning.pooling`), sums in one pass (`graphc.planning.sums`), and products that stay in registers for the
#: chain behind them (`graphc.planning.repeats`).
SCHEDULES = frozenset({"convolution", "tiles", "pooling", "product_chain", "sums"})

#: Kinds of kernels that are told where a tensor lies in a frame of zeros (`graphc.planning.layout`): gradients of
#: filters, which read a result's gradient there, and windows, which write there.
LAYOUTS = frozenset({"correlation_of_maps", "correlation_by_tiles", "correlation_of_runs", "pooling"})


@dataclass(frozen=True, slots=True)
class Target:
    """A machine as planning sees it.

    Attributes
    ----------
    lanes : int
        float32 numbers of one vector: which kernel keeps vectors full depends on it.
    schedules : frozenset of str
        Those of `SCHEDULES` that its kernels include; what needs another is planned as loops and matrix products.
    layouts : frozenset of str
        Those of `LAYOUTS` whose kernels know frames; others see whole tensors.
    """

    lanes: int = 16
    schedules: frozenset[str] = SCHEDULES
    layouts: frozenset[str] = LAYOUTS
