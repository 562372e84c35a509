"""Which text computes a direct convolution on this processor."""

from __future__ import annotations

from graphc.kernels.cpu.convolution import (
    emit_convolution,
    emit_correlation,
    tile,
    vector_lanes,
)
from graphc.kernels.cpu.maps import (
    emit_convolution_of_maps,
    emit_convolution_of_phases,
    emit_correlation_of_maps,
    forward_tile,
)
from graphc.kernels.cpu.runs import emit_convolution_of_runs, emit_correlation_of_runs
from graphc.kernels.cpu.winograd import (
    emit_convolution_by_tiles,
    emit_correlation_by_tiles,
    emit_filters_by_tiles,
    emit_gradient_by_tiles,
)

__all__ = ["emit_direct"]


def emit_direct(kind: str, dtype: str, literals: tuple[int, ...], *, shard: bool) -> str:
    """Return the source text of a kernel of `graphc.planning.convolution` for this processor.

    Parameters
    ----------
    kind, literals
        Of `graphc.planning.plan.Kernel`.
    shard : bool
        Whether parts of the kernel are images.
    """
    lanes = vector_lanes(dtype)
    if kind == "convolution_filters_by_tiles":
        return emit_filters_by_tiles(dtype, *literals)
    if kind == "correlation_filters_by_tiles":
        return emit_gradient_by_tiles(dtype, lanes, literals[0])
    maps = literals[1]
    if kind == "convolution_by_tiles":
        return emit_convolution_by_tiles(dtype, lanes, literals[0], maps, literals[2], shard=shard)
    if kind == "correlation_by_tiles":
        return emit_correlation_by_tiles(dtype, lanes, literals[0], maps, *literals[2:], shard=shard)
    if kind == "convolution_of_runs":
        copies, _, stride, elements, taps, positions = literals
        return emit_convolution_of_runs(dtype, lanes, maps, copies, stride, (elements, taps, positions), shard=shard)
    if kind == "correlation_of_runs":
        copies, _, stride, taps, elements = literals
        return emit_correlation_of_runs(dtype, lanes, maps, copies, stride, (taps, elements), shard=shard)
    if kind == "convolution_of_maps":
        columns, _, taps = literals
        return emit_convolution_of_maps(dtype, lanes, forward_tile(maps, columns, lanes), taps, shard=shard)
    if kind == "convolution_of_phases":
        places, _, taps, *stride = literals
        shape = forward_tile(maps, places, lanes)
        return emit_convolution_of_phases(dtype, lanes, shape, taps, (stride[0], stride[1]), shard=shard)
    if kind == "correlation_of_maps":
        return emit_correlation_of_maps(dtype, lanes, literals[0], maps, shard=shard)
    if kind == "correlation":
        return emit_correlation(dtype, tile(kind, maps, literals[0]), lanes, shard=shard)
    unit, _, positions = literals
    vectors = max(1, positions // lanes) if positions else 0
    return emit_convolution(dtype, tile(kind, maps, vectors), lanes, unit=bool(unit), shard=shard)
