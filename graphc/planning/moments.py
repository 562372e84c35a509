"""The mean of channels, and the mean square of deviations from it, in one pass over the maps.

Deviations need the mean, so that two sums go through all maps one after the other, and threads meet in between. Each
part of the batch has a mean and squares of deviations of its own; what they come to together is found afterwards, from
a few numbers a part (`graphc.kernels.cpu.moments`). A part writes to the row of its first example: how many parts there
are is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphc.formula.expression import Call, Expression, Number, Symbol
from graphc.planning.fusion import Launches, drop_kernels
from graphc.planning.plan import Kernel, Launch
from graphc.planning.summing import Read, Sum, summed

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["join_moments"]


def join_moments(builder: _Builder, kept: Iterable[int]) -> None:
    """Replace means, and squares of deviations from them, in time linear in the launches.

    Parameters
    ----------
    kept : buffer numbers
        What is read after the launches.
    """
    launches = Launches(builder, kept)
    instead: dict[int, tuple[Launch, ...]] = {}
    for position, launch in enumerate(builder.launches):
        squares = summed(builder, launch)
        found = _pair(launches, position, squares) if squares is not None else None
        if squares is not None and found is not None:
            instead[found[0]] = _joined(builder, found[0], found[1], squares, launch)
            instead[position] = ()
    builder.launches = [new for k, launch in enumerate(builder.launches) for new in instead.get(k, (launch,))]
    drop_kernels(builder)


def _pair(launches: Launches, position: int, squares: Sum) -> tuple[int, Sum] | None:
    """Position of the mean from which deviations are squared, and that mean; None where there is none."""
    builder = launches.builder
    deviation = _quotient(squares.body)
    if not isinstance(deviation, Call) or deviation.function != "pow" or deviation.operands[1] != Number(2):
        return None
    difference = deviation.operands[0]
    if not isinstance(difference, Call) or difference.function != "sub":
        return None
    x, m = (_read(operand, squares) for operand in difference.operands)
    if x is None or m is None or not x.whole or (m.offset, m.strides, m.neighbours) != (0, (0, 1, 0), False):
        return None
    writers = launches.writers.get(builder.base(m.buffer), [])
    if len(writers) != 1 or writers[0] >= position:
        return None
    (first,) = writers
    mean = summed(builder, builder.launches[first])
    n, _, i, j = squares.extents
    if mean is None or mean.extents != squares.extents or mean.numbers != (i * j * n,) or 0 in x.strides[:2]:
        return None
    if _read(_quotient(mean.body), mean) != x or builder.buffers[m.buffer].dtype != builder.buffers[x.buffer].dtype:
        return None
    if any(builder.buffers[number].offset != 0 for number in (m.buffer, mean.written)):
        return None  # a part of a longer vector, perhaps another one
    # the squares are written earlier, and what they are of must not change in between
    written = builder.base(squares.written)
    if not launches.undisturbed([x.buffer], first, position) or launches.writers[written] != [position]:
        return None
    return (first, mean) if all(place > position for place in launches.readers.get(written, ())) else None


def _quotient(body: Expression) -> Expression | None:
    """What a body divides by its only extent."""
    if isinstance(body, Call) and body.function == "div" and body.operands[1] == Symbol("e0"):
        return body.operands[0]
    return None


def _read(body: Expression | None, found: Sum) -> Read | None:
    """The place that a body is, if it is one."""
    return found.reads[int(body.name[1:])] if isinstance(body, Symbol) and body.name.startswith("r") else None


def _joined(builder: _Builder, position: int, mean: Sum, squares: Sum, launch: Launch) -> tuple[Launch, Launch]:
    """The launch of all maps, and the one that puts them together."""
    first = builder.launches[position]
    (x,) = mean.reads
    n, c, i, j = mean.extents
    dtype = builder.buffers[x.buffer].dtype
    name = builder.buffers[mean.written].name
    parts = [builder.buffer(f"{name}, {what}", (n, c), dtype, "arena") for what in ("about", "deviations", "squares")]
    parts.append(builder.buffer(f"{name}, examples", (n,), dtype, "arena"))
    kernels = [
        builder.kernel_number(Kernel(kind, None, tuple((f"t{k}", dtype) for k in range(count)), literals))
        for kind, count, literals in (("moments", 5, (4, 4)), ("moments_of_all", 6, (2, 2)))
    ]
    arguments = (n, c, i, j, x.offset, *x.strides)
    maps = Launch(kernels[0], (*parts, x.buffer), arguments, first.label, first.site, launch.work + first.work)
    buffers = (mean.written, squares.written, *parts)
    last = (n, c, i * j, squares.numbers[0])
    return maps, Launch(kernels[1], buffers, last, f"{first.label} of all examples", first.site, n * c * 16)
