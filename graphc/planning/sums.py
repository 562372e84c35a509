"""Sums in one pass: launches that add up over the same axes, and read the same tensors, become one launch.

A sum that goes through maps channel by channel waits for memory. Several that need nothing of each other read what they
share once: the gradient of a normalisation needs the sums of its upstream gradient and of the same times the deviations.
What is elementwise before them is in their statements by now (`graphc.planning.fusion`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.formula.expression import Call, Expression, Number, Symbol, call, substitute, symbols
from graphc.formula.size import Extent, Size, extent_value
from graphc.formula.statement import Access, Affine, Statement, affine_extent
from graphc.planning.fusion import Launches, drop_kernels, reaches_all
from graphc.planning.plan import Kernel, Launch, Line, elements
from graphc.planning.tiling import FUNCTIONS

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["join_sums", "summed"]

#: Most sums of a launch, and most whole tensors that it reads.
_SUMS, _WHOLE = 4, 6
#: Fewest neighbours in memory that a sum goes through at a time: fewer leave vectors empty.
_NEIGHBOURS = 32
#: Fewest elements of a sum; and what a named size is taken to be.
_TERMS, _TYPICAL_SIZE = 256, 64


@dataclass(frozen=True)
class _Read:
    """Where a sum reads a buffer: offset, strides along n, c and i, and whether it moves along j."""

    buffer: int
    offset: Extent
    strides: tuple[Extent, Extent, Extent]
    neighbours: bool

    @property
    def moving(self) -> int:
        """The axes along which it moves, as a literal of the kernel."""
        return sum(bit for bit, moves in zip((1, 2, 4, 8), (*self.strides, self.neighbours), strict=True) if moves != 0)

    @property
    def whole(self) -> bool:
        """Whether it moves along the summed axes that are long."""
        return self.neighbours and self.strides[0] != 0


@dataclass(frozen=True)
class _Sum:
    """One sum over n, i and j for each c, of a body over the places of its reads and ``e0``, ``e1``, ..."""

    extents: tuple[Extent, Extent, Extent, Extent]
    written: int
    reads: tuple[_Read, ...]
    body: Expression  # over r0, r1, ... and e0, e1, ...
    numbers: tuple[Extent, ...]


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


def summed(builder: _Builder, launch: Launch) -> _Sum | None:
    """The sum that a launch is, or None where no kernel of sums takes it."""
    kernel = builder.kernel_list[launch.kernel]
    s = kernel.statement
    if kernel.kind != "loops" or launch.repeat >= 0 or s is None or s.operator != "sum" or s.accumulate:
        return None
    if s.guards or s.lets or s.write.flat or len(s.write.index) != 1 or len({d for _, d in kernel.dtypes}) != 1:
        return None
    if not kernel.dtypes[0][1].startswith("float"):
        return None
    shapes = {f"t{k}": builder.buffers[number].shape for k, number in enumerate(launch.buffers)}
    sizes = {f"{t}.{d}": extent for t, shape in shapes.items() for d, extent in enumerate(shape)}
    (item,) = s.write.index
    free = item.plain() if isinstance(item, Affine) else None
    if free is None or not s.race_free() or not reaches_all(s, sizes):
        return None
    strides: dict[str, dict[str, Extent]] = {}
    offsets: dict[str, Extent] = {}
    for placeholder, access in s.reads:
        found = _strides(access, shapes[access.tensor])
        if found is None or access.tensor == s.write.tensor:
            return None
        offsets[placeholder], strides[placeholder] = found
    axes = _axes(s, free, strides, sizes)
    if axes is None or not _simple(s.body, set(strides)):
        return None
    extents, places = axes
    typical = [_typical(extent) for extent in extents]
    if typical[2] * typical[3] < _NEIGHBOURS or typical[0] * typical[2] * typical[3] < _TERMS:
        return None
    buffers = {f"t{k}": number for k, number in enumerate(launch.buffers)}
    reads: dict[_Read, str] = {}
    replacements: dict[str, Expression] = {}
    for placeholder, access in s.reads:
        own = strides[placeholder]
        along = [own.get(name, 0) if name else 0 for name in places]
        read = _Read(buffers[access.tensor], offsets[placeholder], (along[0], along[1], along[2]), along[3] != 0)
        replacements[placeholder] = Symbol(reads.setdefault(read, f"r{len(reads)}"))
    numbers: list[Extent] = []
    body = substitute(_numbered(s.body, sizes, numbers), replacements)
    return _Sum(extents, launch.buffers[0], tuple(reads), body, tuple(numbers))


class _Joining(Launches):
    """Sums that have met, by position."""

    def __init__(self, builder: _Builder, kept: Iterable[int]) -> None:
        super().__init__(builder, kept)
        self.groups: dict[int, list[tuple[_Sum, Launch]]] = {}
        self.latest: dict[int, list[int]] = {}  # base buffer -> positions of groups that read it whole

    def visit(self, position: int) -> None:
        """Put the sum at a position to those before it, or begin a group."""
        launch = self.launches[position]
        found = summed(self.builder, launch) if launch is not None else None
        if launch is None or found is None:
            return
        bases = dict.fromkeys(self.builder.base(read.buffer) for read in found.reads if read.whole)
        for other in dict.fromkeys(place for base in bases for place in self.latest.get(base, ())[-1:]):
            if self.fits(other, position, found, launch):
                self.groups[other].append((found, launch))
                self.launches[position] = None
                return
        self.groups[position] = [(found, launch)]
        for base in bases:
            self.latest.setdefault(base, []).append(position)

    def fits(self, first: int, position: int, found: _Sum, launch: Launch) -> bool:
        """Whether a sum may be computed with those that are at an earlier position."""
        group = self.groups[first]
        dtype = self.builder.buffers[launch.buffers[0]].dtype
        if group[0][0].extents != found.extents or len(group) == _SUMS:
            return False
        if self.builder.buffers[group[0][1].buffers[0]].dtype != dtype:
            return False
        if len({read for one, _ in group for read in one.reads if read.whole} | set(found.reads)) > 2 * _WHOLE:
            return False
        # what it reads must be there, and nobody may look at what it writes before it is written
        written = self.builder.base(found.written)
        if not self.undisturbed(self.read(launch), first - 1, position):
            return False
        return all(position <= reader for reader in self.readers.get(written, ())) and not any(
            writer < position for writer in self.writers.get(written, ())
        )

    def finish(self) -> None:
        """Write the launches."""
        for position, group in self.groups.items():
            self.launches[position] = self.launch(group)

    def launch(self, group: list[tuple[_Sum, Launch]]) -> Launch:
        count = len(group)
        places: dict[_Read, int] = {}
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


# ---- statements --------------------------------------------------------------------------------------


def _strides(access: Access, shape: tuple[Extent, ...]) -> tuple[Extent, dict[str, Extent]] | None:
    """Offset of an access, and the stride of each axis; None where an axis is not alone in its dimension."""
    if access.flat or access.outside != "forbidden":
        return None
    offset: Extent = 0
    strides: dict[str, Extent] = {}
    for dimension, item in enumerate(access.index):
        if not isinstance(item, Affine) or len(item.terms) > 1 or any("." in name for name in item.names()):
            return None
        below = elements(shape[dimension + 1 :])
        offset = below * item.constant + offset
        for name, coefficient in item.terms:
            if coefficient != 1 or name in strides:
                return None
            strides[name] = below
    return offset, strides


def _axes(
    s: Statement, free: str, strides: Mapping[str, Mapping[str, Extent]], sizes: Mapping[str, Extent]
) -> tuple[tuple[Extent, Extent, Extent, Extent], tuple[str, str, str, str]] | None:
    """Extents of n, c, i and j, and the axis of the statement that each is; empty where it has only one step.

    Axes that every read steps through as one are one.
    """
    extents = {axis.name: affine_extent(axis.extent, sizes) for axis in s.axes}
    whole = next((own for own in strides.values() if own.keys() == extents.keys()), None)
    if whole is None:
        return None
    order = [name for name in whole]  # as dimensions of a tensor
    outer, inner = order[: order.index(free)], order[order.index(free) + 1 :]
    for part in (outer, inner):
        for first, second in reversed(list(zip(part[:-1], part[1:], strict=True))):
            if all(_joined(own, first, second, extents[second]) for own in strides.values()):
                extents[second] = extents[second] * extents[first]
                part.remove(first)
    if not inner or len(outer) > 1 or len(inner) > 2:
        return None
    *rows, columns = inner
    if any(own.get(columns, 1) != 1 for own in strides.values()):
        return None
    names = (*(outer or [""]), free, *(rows or [""]), columns)
    n, c, i, j = (extents[name] if name else 1 for name in names)
    return (n, c, i, j), names


def _joined(own: Mapping[str, Extent], first: str, second: str, extent: Extent) -> bool:
    """Whether a read steps through two axes as through one."""
    if first not in own and second not in own:
        return True
    return first in own and second in own and own[first] == own[second] * extent


def _simple(body: Expression, names: set[str]) -> bool:
    """Whether a body is a few operations on vectors."""
    if isinstance(body, Symbol):
        return body.name in names or "." in body.name
    if not isinstance(body, Call):
        return True
    if body.function == "pow":
        base, exponent = body.operands
        return isinstance(exponent, Number) and exponent.value in (2, 3) and _simple(base, names)
    return body.function in FUNCTIONS and all(_simple(operand, names) for operand in body.operands)


def _numbered(body: Expression, sizes: Mapping[str, Extent], numbers: list[Extent]) -> Expression:
    """A body whose sizes, and products and sums of sizes, are numbers given to the kernel."""
    extent = _whole(body, sizes)
    if extent is not None and not isinstance(body, Number):
        if extent not in numbers:
            numbers.append(extent)
        return Symbol(f"e{numbers.index(extent)}")
    if not isinstance(body, Call):
        return body
    return call(body.function, *(_numbered(operand, sizes, numbers) for operand in body.operands))


def _whole(body: Expression, sizes: Mapping[str, Extent]) -> Extent | None:
    """The extent that a body of sizes and whole numbers is."""
    if isinstance(body, Number):
        return body.value if isinstance(body.value, int) else None
    if isinstance(body, Symbol):
        return sizes[body.name] if "." in body.name else None
    if body.function not in ("add", "mul"):
        return None
    operands = [_whole(operand, sizes) for operand in body.operands]
    total: Extent = 1 if body.function == "mul" else 0
    for operand in operands:
        if operand is None:
            return None
        total = operand * total if body.function == "mul" else operand + total
    return total


def _typical(extent: Extent) -> int:
    return extent_value(extent, dict.fromkeys(extent.names(), _TYPICAL_SIZE)) if isinstance(extent, Size) else extent
