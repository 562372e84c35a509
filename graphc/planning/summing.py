"""What a sum over channels of maps is: which launches one pass could share (`graphc.planning.sums`).

Decided on accesses alone: a term of additions, products, quotients and choices, read along the axes n, c, i and j of
maps, is added up over all of them but c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.formula.expression import Call, Expression, Number, Symbol, call, substitute
from graphc.formula.size import Extent, Size, extent_value
from graphc.formula.statement import Access, Affine, Statement, affine, affine_extent
from graphc.planning.plan import Launch, elements
from graphc.planning.tiling import FUNCTIONS

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["Read", "Sum", "simple", "summed"]

#: Fewest neighbours in memory that a sum goes through at a time: fewer leave vectors empty.
_NEIGHBOURS = 32
#: Fewest elements of a sum; and what a named size is taken to be.
_TERMS, _TYPICAL_SIZE = 256, 64


@dataclass(frozen=True)
class Read:
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
class Sum:
    """One sum over n, i and j for each c, of a body over the places of its reads and ``e0``, ``e1``, ..."""

    extents: tuple[Extent, Extent, Extent, Extent]
    written: int
    reads: tuple[Read, ...]
    body: Expression  # over r0, r1, ... and e0, e1, ...
    numbers: tuple[Extent, ...]


def summed(builder: _Builder, launch: Launch) -> Sum | None:
    """The sum that a launch is, or None where no kernel of sums takes it."""
    kernel = builder.kernel_list[launch.kernel]
    s = kernel.statement
    if kernel.kind != "loops" or launch.repeat >= 0 or s is None or s.operator != "sum" or s.accumulate:
        return None
    if s.guards or s.lets or s.write.flat or len({d for _, d in kernel.dtypes}) != 1:
        return None
    if not kernel.dtypes[0][1].startswith("float"):
        return None
    shapes = {f"t{k}": builder.buffers[number].shape for k, number in enumerate(launch.buffers)}
    sizes = {f"{t}.{d}": extent for t, shape in shapes.items() for d, extent in enumerate(shape)}
    # one axis of what is written goes along channels, and the others have one step
    kept = [(item, extent) for item, extent in zip(s.write.index, shapes["t0"], strict=True) if extent != 1]
    if len(kept) != 1 or any(item != affine({}) for item in s.write.index if item != kept[0][0]):
        return None
    ((item, channels),) = kept
    free = item.plain() if isinstance(item, Affine) else None
    if free is None or not s.race_free() or affine_extent(s.extent(free), sizes) != channels:
        return None
    strides: dict[str, dict[str, Extent]] = {}
    offsets: dict[str, Extent] = {}
    for placeholder, access in s.reads:
        found = _strides(access, shapes[access.tensor])
        if found is None or access.tensor == s.write.tensor:
            return None
        offsets[placeholder], strides[placeholder] = found
    axes = _axes(s, free, strides, sizes)
    if axes is None or not simple(s.body, set(strides)):
        return None
    extents, places = axes
    typical = [_typical(extent) for extent in extents]
    if typical[2] * typical[3] < _NEIGHBOURS or typical[0] * typical[2] * typical[3] < _TERMS:
        return None
    buffers = {f"t{k}": number for k, number in enumerate(launch.buffers)}
    reads: dict[Read, str] = {}
    replacements: dict[str, Expression] = {}
    for placeholder, access in s.reads:
        own = strides[placeholder]
        along = [own.get(name, 0) if name else 0 for name in places]
        read = Read(buffers[access.tensor], offsets[placeholder], (along[0], along[1], along[2]), along[3] != 0)
        replacements[placeholder] = Symbol(reads.setdefault(read, f"r{len(reads)}"))
    numbers: list[Extent] = []
    body = substitute(_numbered(s.body, sizes, numbers), replacements)
    return Sum(extents, launch.buffers[0], tuple(reads), body, tuple(numbers))


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
    order = list(whole)  # as dimensions of a tensor
    outer, inner = order[: order.index(free)], order[order.index(free) + 1 :]
    for part in (outer, inner):
        for first in part[-2::-1]:  # the last axis takes in those before it, as long as they fit
            second = part[part.index(first) + 1]
            if all(_joined(own, first, second, extents[second]) for own in strides.values()):
                extents[second] = extents[second] * extents[first]
                part.remove(first)
    if not inner or len(outer) > 1 or len(inner) > 2:
        return None
    n, i, j = outer[0] if outer else "", inner[0] if len(inner) > 1 else "", inner[-1]
    if any(own.get(j, 1) != 1 for own in strides.values()):
        return None
    count, channels, rows, columns = (extents[name] if name else 1 for name in (n, free, i, j))
    return (count, channels, rows, columns), (n, free, i, j)


def _joined(own: Mapping[str, Extent], first: str, second: str, extent: Extent) -> bool:
    """Whether a read steps through two axes as through one."""
    if first not in own and second not in own:
        return True
    return first in own and second in own and own[first] == own[second] * extent


def simple(body: Expression, names: set[str]) -> bool:
    """Whether a body is a few operations on vectors."""
    if isinstance(body, Symbol):
        return body.name in names or "." in body.name
    if not isinstance(body, Call):
        return True
    if body.function == "pow":
        base, exponent = body.operands
        return isinstance(exponent, Number) and exponent.value in (2, 3) and simple(base, names)
    return body.function in FUNCTIONS and all(simple(operand, names) for operand in body.operands)


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
