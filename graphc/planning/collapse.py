"""One axis instead of several, where a launch goes through its arrays element by element.

A parameter's rank does not matter to an optimiser: matrices, filters and biases then share its kernels, and there are
fewer to compile. Runs after fusion, which matches indices of the real rank.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from graphc.formula.expression import symbols
from graphc.formula.statement import Access, Affine, Axis, Statement, affine
from graphc.planning.plan import Kernel, elements

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["collapse_axes"]


def collapse_axes(builder: _Builder) -> None:
    """Collapse the axes of elementwise launches over arrays of one fixed shape."""
    known: dict[int, Kernel | None] = {}
    for position, launch in enumerate(builder.launches):
        if launch.kernel not in known:
            known[launch.kernel] = _collapsed(builder.kernel_list[launch.kernel])
        kernel = known[launch.kernel]
        shapes = {builder.buffers[number].shape for number in launch.buffers} - {()}
        if kernel is None or len(shapes) != 1:
            continue
        (shape,) = shapes
        if any(not isinstance(extent, int) for extent in shape):
            continue
        arguments = tuple(elements(shape) for number in launch.buffers if builder.buffers[number].shape)
        builder.launches[position] = replace(launch, kernel=builder.kernel_number(kernel), arguments=arguments)


def _collapsed(kernel: Kernel) -> Kernel | None:
    """The kernel over one axis, if each tensor is read where the written one is written, or has no axes."""
    s = kernel.statement
    if kernel.kind != "loops" or s is None or s.guards or s.lets or s.write.flat or s.accumulate:
        return None
    axes = [item.plain() if isinstance(item, Affine) else None for item in s.write.index]
    if len(axes) < 2 or None in axes or len(set(axes)) != len(axes) or {a.name for a in s.axes} != set(axes):
        return None
    # the launch's arrays have one shape: an axis covers them if its extent is that of its dimension in any of them
    if s.operator not in ("set", "sum") or any(
        not (s.extent(axis).plain() or "").endswith(f".{d}") for d, axis in enumerate(axes) if axis is not None
    ):
        return None
    if any(access.index not in (s.write.index, ()) or access.flat for _, access in s.reads):
        return None
    if set(symbols(s.body)) - {placeholder for placeholder, _ in s.reads}:  # axes or sizes as numbers
        return None
    one = (affine("a0"),)
    tensors = {access.tensor for _, access in s.reads}
    if {tensor for tensor, _ in kernel.dtypes} != {s.write.tensor, *tensors}:
        return None
    statement = Statement(
        Access(s.write.tensor, one),
        "set",
        (Axis("a0", affine(f"{s.write.tensor}.0")),),
        tuple((p, replace(access, index=one) if access.index else access) for p, access in s.reads),
        s.body,
    )
    return replace(kernel, statement=statement)
