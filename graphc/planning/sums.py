"""Sums in one pass: launches that add up over the same axes, and read the same tensors, become one launch.

A sum that goes through maps channel by channel waits for memory. Several that need nothing of each other read what
they share once: the gradient of a normalisation needs the sum of its upstream gradient, and of the same times the
deviations. What is elementwise before them is in their statements by now: `graphc.planning.fusion` counts sums that
will meet here as one reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphc.formula.expression import Expression, Symbol, substitute
from graphc.formula.size import Extent
from graphc.planning.fusion import Launches, drop_kernels
from graphc.planning.plan import Kernel, Launch, Line
from graphc.planning.summing import Read, Sum, summed

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["join_sums"]

#: Most sums of a launch, and most places that it reads.
_SUMS, _PLACES = 4, 16


def join_sums(builder: _Builder, kept: Iterable[int]) -> None:
    """Replace sums of a builder by launches of as many as can go together, in time linear in the launches.

    Parameters
    ----------
    kept : buffer numbers
        What is read after the launches.
    """
    joining = _Joining(builder, kept)
    for position in range(len(joining.launches)):
        joining.visit(position)
    joining.finish()
    builder.launches = [launch for launch in joining.launches if launch is not None]
    drop_kernels(builder)


class _Joining(Launches):
    """Sums that have met, by position."""

    def __init__(self, builder: _Builder, kept: Iterable[int]) -> None:
        super().__init__(builder, kept)
        self.groups: dict[int, list[tuple[Sum, Launch]]] = {}
        self.latest: dict[int, int] = {}  # base buffer -> position of the last group that reads it whole

    def visit(self, position: int) -> None:
        """Put the sum at a position to those before it, or begin a group."""
        launch = self.launches[position]
        found = summed(self.builder, launch) if launch is not None else None
        if launch is None or found is None:
            return
        bases = dict.fromkeys(self.builder.base(read.buffer) for read in found.reads if read.whole)
        met = dict.fromkeys(self.latest[base] for base in bases if base in self.latest)
        group = next((other for other in met if self.fits(other, position, found, launch)), position)
        self.groups.setdefault(group, []).append((found, launch))
        if group != position:
            self.launches[position] = None
        self.latest.update(dict.fromkeys(bases, group))

    def fits(self, first: int, position: int, found: Sum, launch: Launch) -> bool:
        """Whether a sum may be computed with those that are at an earlier position."""
        group = self.groups[first]
        if len(group) == _SUMS or len({read for one, _ in group for read in one.reads} | set(found.reads)) > _PLACES:
            return False
        one, other = group[0]
        if self.builder.buffers[other.buffers[0]].dtype != self.builder.buffers[launch.buffers[0]].dtype:
            return False
        return self.meet(first, one, position, found)

    def finish(self) -> None:
        """Write the launches."""
        for position, group in self.groups.items():
            self.launches[position] = self.launch(group)

    def launch(self, group: list[tuple[Sum, Launch]]) -> Launch:
        count = len(group)
        places: dict[Read, int] = {}
        numbers: dict[Extent, int] = {}
        lines = []
        for k, (one, _) in enumerate(group):
            new: dict[str, Expression] = {}
            for j, read in enumerate(one.reads):
                new[f"r{j}"] = Symbol(f"a{count + places.setdefault(read, len(places))}")
            for j, extent in enumerate(one.numbers):
                new[f"e{j}"] = Symbol(f"e{numbers.setdefault(extent, len(numbers))}")
            lines.append(Line(substitute(one.body, new), k))
        dtype = self.builder.buffers[group[0][0].written].dtype
        dtypes = tuple((f"t{k}", dtype) for k in range(count + len(places)))
        literals = (4, count, *(read.moving for read in places))
        number = self.builder.kernel_number(Kernel("sums", None, dtypes, literals, lines=tuple(lines)))
        arguments = [*group[0][0].extents]
        for read in places:
            arguments += [read.offset, *read.strides]
        labels = dict.fromkeys(label for _, launch in group for label in launch.label.split(" · "))
        work: Extent = 0
        for _, launch in group:
            work = launch.work + work
        buffers = (*(one.written for one, _ in group), *(read.buffer for read in places))
        return Launch(number, buffers, (*arguments, *numbers), " · ".join(labels), group[0][1].site, work)
