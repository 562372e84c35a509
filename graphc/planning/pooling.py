"""Windows side by side: the maximum of each, and its gradient, as one launch each.

The gradient of a maximum is planned as three launches: the position of the winner in each window, the zeros with the
upstream gradient added where the position is the winner's, and often an elementwise launch that multiplies the result.
All of them look at the same windows, and no window shares an element with another: one statement sets each element of
each window to ``select(winner == position, upstream, 0)`` and what the elementwise launch makes of it.

What is elementwise *before* the windows is in their statements by now (`graphc.planning.fusion`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from graphc.errors import PlanError
from graphc.formula.expression import ZERO, Expression, Number, Symbol, call, fold, substitute
from graphc.formula.size import Extent
from graphc.formula.statement import Access, Affine, Statement, Wins, affine, affine_expression, affine_extent
from graphc.planning.canonical import canonical
from graphc.planning.fusion import Launches, drop_kernels, elementwise, reaches_all
from graphc.planning.plan import Kernel, Launch
from graphc.planning.tiling import WINDOW, tiling

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["fuse_pooling"]

#: Fewest and most lanes that a kernel is told of.
_LANES = (4, 16)


def fuse_pooling(builder: _Builder, kept: Iterable[int]) -> None:
    """Replace launches of a builder on windows that lie side by side, in time linear in their number.

    Parameters
    ----------
    kept : buffer numbers
        What is read after the launches.
    """
    pooling = _Pooling(builder, kept)
    for position in range(len(pooling.launches)):
        pooling.visit(position)
    builder.launches = [launch for launch in pooling.launches if launch is not None]
    drop_kernels(builder)


class _Pooling(Launches):
    """Launches on windows."""

    def visit(self, position: int) -> None:
        """Give the launch at a position, and those that finish its work, the kernel of windows if there is one."""
        launch = self.launches[position]
        statement = self.kernel(launch).statement if launch is not None else None
        if launch is None or statement is None or self.kernel(launch).kind != "loops":
            return
        if statement.operator == "max":
            self.launches[position] = self.windows(statement, launch.buffers, [launch]) or launch
        elif statement.operator == "argmax" and tiling(statement) is not None:
            self.gradient(position, launch)

    def windows(self, statement: Statement, buffers: Sequence[int], sources: Sequence[Launch]) -> Launch | None:
        """The launch of a canonical statement by the kernel of windows, or None where that does not take it."""
        found = tiling(statement)
        used = [self.builder.buffers[number] for number in buffers]
        if found is None or len({buffer.dtype for buffer in used}) != 1 or not used[0].dtype.startswith("float"):
            return None
        sizes = {f"t{k}.{d}": extent for k, buffer in enumerate(used) for d, extent in enumerate(buffer.shape)}
        for access in (statement.write, *(a for _, a in statement.reads)):
            examples = access.index and access.index[0] == affine(found.axes[0])
            if not examples and any(not isinstance(e, int) for e in used[int(access.tensor[1:])].shape):
                return None  # parts of the batch are parts of every tensor that has a named extent
        counts = [affine_extent(statement.extent(axis), sizes) for axis in found.axes]
        for count, step, extent in zip(counts, found.steps, used[0].shape, strict=True):
            if count != extent and (step == 1 or statement.operator != "set"):
                return None  # a part of the tensor
        columns = counts[-1]
        lanes = 0
        if isinstance(columns, int) and columns <= _LANES[1]:
            lanes = max(1 << max(columns - 1, 0).bit_length(), _LANES[0])
        exact = statement.operator != "set" or used[0].shape == tuple(
            count * step for count, step in zip(counts, found.steps, strict=True)
        )
        order = [*range(1, len(used)), 0]
        dtypes = tuple((f"t{k}", used[k].dtype) for k in order)
        number = self.builder.kernel_number(Kernel("pooling", statement, dtypes, (lanes, int(exact))))
        arguments = tuple(extent for k in order for extent in used[k].shape)
        labels = dict.fromkeys(label for source in sources for label in source.label.split(" · "))
        work: Extent = 0
        for source in sources:
            work = source.work + work
        last = sources[-1]
        return Launch(number, tuple(buffers[k] for k in order), arguments, " · ".join(labels), last.site, work)

    # ---- the gradient ----------------------------------------------------------------------------

    def gradient(self, position: int, launch: Launch) -> None:
        """Join a launch that finds winners with the one that adds where they are, and with what that is read by."""
        adder = self.only_reader(position, launch)
        if adder is None:
            return
        reader = self.only_reader(adder, self.at(adder))
        positions = [position, adder] if reader is None else [position, adder, reader]
        joined = self.joined(positions)
        if joined is None:
            positions = [position, adder]
            joined = self.joined(positions) if reader is not None else None
        if joined is None:
            return
        for place in positions:
            done = self.at(place)
            for number in self.read(done):
                self.readers[self.builder.base(number)].discard(place)
            self.writers[self.builder.base(self.written(done))].remove(place)
            self.launches[place] = None
        self.launches[positions[-1]] = joined
        self.enter(positions[-1], joined)
        self.writers[self.builder.base(self.written(joined))].append(positions[-1])

    def at(self, position: int) -> Launch:
        launch = self.launches[position]
        assert launch is not None
        return launch

    def only_reader(self, position: int, launch: Launch) -> int | None:
        """The only launch that reads what a launch writes, where no other writes there, and nobody reads it later."""
        written = self.written(launch)
        base = self.builder.base(written)
        readers = self.readers.get(base, set())
        if self.builder.buffers[base].role != "arena" or self.same(written) != base or base in self.kept:
            return None
        if self.writers[base] != [position] or len(readers) != 1:
            return None
        (reader,) = readers
        other = self.at(reader)
        # where it is seen in another shape, elements are other elements
        whole = all(self.same(number) == base for number in other.buffers if self.builder.base(number) == base)
        return reader if whole and self.kernel(other).kind == "loops" else None

    def joined(self, positions: list[int]) -> Launch | None:
        """One launch in place of two or three, or None."""
        launches = [self.at(position) for position in positions]
        made = {self.builder.base(self.written(launch)) for launch in launches}
        for position, launch in zip(positions, launches, strict=True):
            read = [number for number in self.read(launch) if self.builder.base(number) not in made]
            if not self.undisturbed(read, position, positions[-1]):
                return None
        order = {n: k for k, n in enumerate(dict.fromkeys(self.same(n) for x in launches for n in x.buffers))}
        sizes: dict[str, Extent] = {}
        ranks: dict[str, int] = {}
        first, second, *rest = [self.named(x, [order[self.same(n)] for n in x.buffers], sizes, ranks) for x in launches]
        if not reaches_all(first, sizes):
            return None
        statement = _placed(first, second)
        if statement is not None and rest:
            produced = elementwise(self.kernel(launches[2]))
            if produced is None or not reaches_all(rest[0], sizes):
                return None
            statement = _continued(statement, rest[0], sizes)
        if statement is None:
            return None
        try:
            result = canonical(statement, ranks, sizes)
        except PlanError:  # a size that is left without a tensor
            return None
        numbers = list(order)
        return self.windows(result.statement, [numbers[int(name[1:])] for name in result.tensors], launches)


def _placed(first: Statement, second: Statement) -> Statement | None:
    """One statement in place of two, where ``second`` adds at the positions of winners that ``first`` stores."""
    if second.accumulate or second.operator not in ("set", "sum") or second.lets or second.reduced():
        return None
    guard = second.guards[0] if len(second.guards) == 1 else None
    if not isinstance(guard, Wins) or guard.access.tensor != first.write.tensor or guard.access.flat:
        return None
    if any(access.tensor == first.write.tensor for _, access in second.reads):
        return None
    extents = [extent for _, extent in guard.axes]
    reduced = first.reduced()
    if extents != [first.extent(axis) for axis in reduced] or any(extent.terms for extent in extents):
        return None
    if math.prod(extent.constant for extent in extents) > WINDOW:
        return None
    places: dict[str, Affine] = {}
    for own, item in zip(first.write.index, guard.access.index, strict=True):
        if not isinstance(own, Affine) or not isinstance(item, Affine):
            return None
        places[own.plain() or ""] = item
    names: dict[Access, str] = {}
    scores = []
    for point in itertools.product(*(range(extent.constant) for extent in extents)):
        inside = {axis: affine({}, number) for axis, number in zip(reduced, point, strict=True)}
        scores.append(_at(first, names, {**places, **inside}))
    winner, _ = _winner(scores, 0)
    position = affine({})
    for index, extent in guard.axes:
        position = position * extent.constant + index
    own = call("equal", winner, affine_expression(position))
    body = call("select", own, _at(second, names, {}), ZERO)
    reads = tuple((placeholder, access) for access, placeholder in names.items())
    return replace(second, operator="set", reads=reads, body=body, guards=())


def _winner(scores: list[Expression], first: int) -> tuple[Expression, Expression]:
    """Position, counted from ``first``, and value of the largest: NaN over everything, the first at a tie."""
    if len(scores) == 1:
        return Number(first), scores[0]
    half = len(scores) // 2
    (early, best), (late, other) = _winner(scores[:half], first), _winner(scores[half:], first + half)
    larger = call("and", call("not", call("less_equal", other, best)), call("equal", best, best))
    return call("select", larger, late, early), call("max", best, other)


def _at(s: Statement, names: dict[Access, str], axes: Mapping[str, Affine]) -> Expression:
    """The body of a statement with these forms for its axes; ``names`` are the placeholders of accesses."""

    def symbol(access: Access) -> Symbol:
        return Symbol(names.setdefault(access, f"r{len(names)}"))

    replacements: dict[str, Expression] = {name: affine_expression(form) for name, form in axes.items()}
    replacements |= {placeholder: symbol(access.substitute(axes)) for placeholder, access in s.reads}
    return substitute(s.body, replacements)


def _continued(s: Statement, after: Statement, sizes: Mapping[str, Extent]) -> Statement | None:
    """A statement that sets elements of windows, with an elementwise one that reads what it sets."""
    target = s.write.tensor
    own = {placeholder for placeholder, access in after.reads if access.tensor == target}
    if any(access != replace(after.write, tensor=target) for p, access in after.reads if p in own):
        return None
    if fold(substitute(after.body, dict.fromkeys(own, ZERO))) != ZERO and not _whole(s, sizes):
        return None  # what no window has would not be 0
    places = {
        item.plain() or "": form
        for item, form in zip(after.write.index, s.write.index, strict=True)
        if isinstance(item, Affine) and isinstance(form, Affine)
    }
    names = {access: placeholder for placeholder, access in s.reads}
    others = replace(after, reads=tuple((p, access) for p, access in after.reads if p not in own))
    body = _at(others, names, places)
    body = substitute(body, dict.fromkeys(own, s.body))
    reads = tuple((placeholder, access) for access, placeholder in names.items())
    return replace(s, write=after.write.substitute(places), reads=reads, body=body)


def _whole(s: Statement, sizes: Mapping[str, Extent]) -> bool:
    """Whether windows cover the whole tensor that a statement writes."""
    found = tiling(s)
    if found is None:
        return False
    counts = [affine_extent(s.extent(axis), sizes) for axis in found.axes]
    shape = [sizes[f"{s.write.tensor}.{d}"] for d in range(len(counts))]
    return [count * step for count, step in zip(counts, found.steps, strict=True)] == shape
