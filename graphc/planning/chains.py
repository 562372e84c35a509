"""What a chain needs to know of an elementwise statement: where its accesses are, for a point of its axes.

Kernels of chains (`graphc.planning.plan.Kernel`) get offsets and strides as arguments, so that one kernel serves any
part of any tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.formula.expression import Expression, symbols
from graphc.formula.size import Extent
from graphc.formula.statement import Access, Affine, Statement, affine

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder, _SizedNames

__all__ = ["Elementwise", "Pattern"]


@dataclass(frozen=True)
class Pattern:
    """Where an access is, for a point of the axes: an offset and the stride along each axis, in elements."""

    offset: Extent
    steps: tuple[Extent, ...]


@dataclass(frozen=True)
class Elementwise:
    """A statement that sets or adds to one element at each point of its axes; accesses are (buffer, pattern)."""

    extents: tuple[Extent, ...]
    write: tuple[int, Pattern]
    reads: tuple[tuple[str, tuple[int, Pattern]], ...]
    body: Expression
    accumulate: bool

    @staticmethod
    def of(s: Statement, names: _SizedNames, builder: _Builder, tensors: Mapping[str, int]) -> Elementwise | None:
        """What a chain needs to know of a statement; None where it is no line of one."""
        if s.operator not in ("set", "sum") or s.reduced() or s.guards or s.lets or s.write.flat:
            return None
        if set(symbols(s.body)) - {p for p, _ in s.reads}:
            return None
        axes: list[str] = []
        names_of = {a.name for a in s.axes}
        for item in s.write.index:
            if not isinstance(item, Affine):
                return None
            axes += [n for n in item.names() if n in names_of]
        if sorted(axes) != sorted(names_of):
            return None

        def pattern(a: Access) -> tuple[int, Pattern] | None:
            if a.outside != "forbidden" or a.flat or a.tensor not in tensors:
                return None
            buffer = tensors[a.tensor]
            offset: Extent = 0
            steps: dict[str, Extent] = dict.fromkeys(axes, 0)
            row: Extent = 1
            for item, extent in zip(reversed(a.index), reversed(builder.buffers[buffer].shape), strict=True):
                if not isinstance(item, Affine):
                    return None
                own = [n for n in item.names() if n in names_of]
                if len(own) > 1 or any(item.coefficient(n) != 1 for n in own):
                    return None
                rest = item - affine(own[0]) if own else item
                offset = row * names.value(rest) + offset
                if own:
                    steps[own[0]] = row + steps[own[0]]
                row = extent * row
            if axes and steps[axes[-1]] not in (0, 1):
                return None
            return buffer, Pattern(offset, tuple(steps[a] for a in axes))

        write = pattern(s.write)
        if write is None or not builder.buffers[write[0]].dtype.startswith("float"):
            return None
        if axes and write[1].steps[-1] != 1:
            return None
        reads = []
        for placeholder, access in s.reads:
            found = pattern(access)
            if found is None:
                return None
            reads.append((placeholder, found))
        extents = {a.name: names.value(a.extent) for a in s.axes}
        return Elementwise(tuple(extents[a] for a in axes), write, tuple(reads), s.body, s.accumulate)

    def apart(self, a: Pattern, b: Pattern) -> bool:
        """Whether two patterns are one, or reach different elements: other parts of the same rows."""
        if a == b:
            return True
        gap = a.offset - b.offset
        if a.steps != b.steps or not isinstance(gap, int) or not self.extents or not isinstance(self.extents[-1], int):
            return False
        pitch = a.steps[-2] if len(a.steps) > 1 else abs(gap) + self.extents[-1]
        return isinstance(pitch, int) and self.extents[-1] <= abs(gap) <= pitch - self.extents[-1]

    def joins(self, others: Sequence[Elementwise | None]) -> bool:
        """Whether the statement can follow others in a chain: what they wrote it reads in its place."""
        for other in others:
            assert other is not None
            if other.extents != self.extents:
                return False
            if other.write[0] == self.write[0] and not self.apart(other.write[1], self.write[1]):
                return False
            for _, (buffer, pattern) in self.reads:
                if buffer == other.write[0] and pattern != other.write[1]:
                    return False
            for _, (buffer, pattern) in other.reads:
                if buffer == self.write[0] and pattern != self.write[1]:
                    return False
        return True
