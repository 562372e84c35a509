"""Scheduling: which launches a thread runs through with its own examples, and where threads must meet.

1. A launch is *sharded* where each example of the batch is computed from the same example of its operands, or where it
   sums over examples. `sharded` decides that on accesses and arguments; nothing here knows a gate.
2. What sums over examples adds into an array of its thread's own; a launch behind the shard adds these up, always in
   the same order.
3. Stages are filled in turn: a plain stage with everything that is ready and cannot be sharded, then a shard with as
   much as can go into it. Inside a shard, launches that read large shared operands again for each slice (dense layers)
   go through all examples of the thread at once, the others in slices; each change begins a new segment.
4. What lives in one segment only is local to it: memory of a slice, not of the batch.

Where a named size is not the leading extent of what a launch reads and writes, or the value of an element depends on
its place in the batch in a way that is not seen here, the launch stays in a plain stage.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graphc.formula.expression import ZERO, Symbol
from graphc.formula.size import Extent, Size, extent_value, named
from graphc.formula.statement import Access, Affine, Axis, Statement, Wins, accesses, affine
from graphc.planning.plan import THREADS, Kernel, Launch, Segment, Stage, elements
from graphc.planning.repeats import repeated

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["Schedule", "schedule"]

#: Most elements of a sum over examples that each thread keeps for itself.
_PRIVATE = 1 << 20
#: What other named sizes are taken to be.
_TYPICAL_SIZE = 64


@dataclass(frozen=True)
class Schedule:
    """Stages over the launches of a builder, in their new order, and the size that shards divide."""

    stages: tuple[Stage, ...]
    batch: str


@dataclass(frozen=True)
class _Sharded:
    """How a launch is sharded."""

    launch: Launch
    sums: bool  # over examples
    whole: bool | None  # all examples of a thread at once, or in slices; None: either


def schedule(builder: _Builder, kept: Iterable[int], *, shard: bool) -> Schedule:
    """Order the launches of a builder into stages, and mark buffers that belong to a segment or a thread.

    Parameters
    ----------
    kept : buffer numbers
        What is read after the launches.
    shard : bool
        Whether anything is sharded; otherwise each launch is a stage of its own, in the order given.
    """
    batch = _batch(builder) if shard else ""
    together = repeated(builder.launches)
    if not batch:
        stages = (Stage((Segment(tuple(unit), repeat=builder.launches[unit[0]].repeat),)) for unit in together)
        return Schedule(tuple(stages), "")
    finder = _Finder(builder, batch)
    units: list[tuple[Launch, ...]] = []
    kinds: list[_Sharded | None] = []
    writers = Counter(base for launch in builder.launches for base in _written(builder, launch))
    for positions in together:
        launch = builder.launches[positions[0]]
        if launch.repeat >= 0:
            steps = [finder.of_step(builder.launches[k]) for k in positions]
            sharded = [found for found in steps if found is not None]
            if len(sharded) == len(steps):
                units.append(tuple(sharded))
                kinds.append(_Sharded(sharded[0], sums=False, whole=True))
            else:
                units.append(tuple(builder.launches[k] for k in positions))
                kinds.append(None)
            continue
        found = finder.sharded(launch)
        if found is not None and found.sums and any(writers[base] > 1 for base in _written(builder, launch)):
            found = None
        if found is None:
            units.append((launch,))
            kinds.append(None)
        elif found.sums:
            fills, own, merges = _privately(builder, launch, found)
            units += [*((fill,) for fill in fills), (own,), *((merge,) for merge in merges)]
            kinds += [*(None for _ in fills), replace(found, launch=own), *(None for _ in merges)]
        else:
            units.append((found.launch,))
            kinds.append(found)
    filled = _Stages(builder, units, kinds)
    builder.launches = [launch for k in filled.order for launch in units[k]]
    _localise(builder, filled.stages, batch, set(map(builder.base, kept)))
    return Schedule(tuple(filled.stages), batch)


def _batch(builder: _Builder) -> str:
    """The named size that leads what most steps of repeats write; without repeats, the shape of most inputs."""
    found: Counter[str] = Counter()
    stepped = {n for k in builder.launches if k.repeat >= 0 for n in builder.kernel_list[k.kernel].written(k.buffers)}
    for number, buffer in enumerate(builder.buffers):
        counted = number in stepped if stepped else buffer.role == "input"
        if counted and buffer.shape and isinstance(buffer.shape[0], Size):
            found.update(name for name in buffer.shape[0].names() if buffer.shape[0] == named(name))
    return found.most_common(1)[0][0] if found else ""


def _written(builder: _Builder, launch: Launch) -> set[int]:
    """Base buffers that a launch writes."""
    return {builder.base(number) for number in builder.kernel_list[launch.kernel].written(launch.buffers)}


# ---- what can be sharded -----------------------------------------------------------------------------


class _Finder:
    """Whether launches can be sharded over one named size."""

    def __init__(self, builder: _Builder, batch: str) -> None:
        self.builder = builder
        self.batch = batch
        self.size = named(batch)
        self.loops: dict[tuple[int, tuple[bool, ...]], tuple[Kernel, bool] | None] = {}

    def has(self, extent: Extent) -> bool:
        return isinstance(extent, Size) and self.batch in extent.names()

    def leads(self, number: int) -> bool | None:
        """Whether examples are the first dimension of a buffer; None where they are another one."""
        shape = self.builder.buffers[number].shape
        if not any(map(self.has, shape)):
            return False
        return True if shape[0] == self.size and not any(map(self.has, shape[1:])) else None

    def sharded(self, launch: Launch) -> _Sharded | None:
        leads = [self.leads(number) for number in launch.buffers]
        kernel = self.builder.kernel_list[launch.kernel]
        # a view under another leading extent would be another slice of the same memory
        if not any(leads) or None in leads or any(self.leads(self.builder.base(n)) is None for n in launch.buffers):
            return None
        if any(lead and not self.leads(self.builder.base(n)) for lead, n in zip(leads, launch.buffers, strict=True)):
            return None
        written = kernel.written(launch.buffers)
        if any(self.builder.buffers[self.builder.base(number)].role != "arena" for number in written):
            return None
        several = {not self.leads(number) for number in written}
        if len(several) != 1:
            return None
        (sums,) = several
        for number in written if sums else ():
            count = elements(self.builder.buffers[number].shape)
            typical = dict.fromkeys(count.names(), _TYPICAL_SIZE) if isinstance(count, Size) else {}
            if self.builder.base(number) != number or extent_value(count, typical) > _PRIVATE:
                return None
        if kernel.kind == "loops":
            return self.of_loops(launch, kernel, tuple(bool(lead) for lead in leads), sums)
        if kernel.kind == "sums":
            return self.of_sums(launch, kernel) if sums else None
        if kernel.kind == "contraction":
            return self.of_contraction(launch, sums)
        if kernel.kind.startswith(("convolution", "correlation")):
            correlation = kernel.kind.startswith("correlation")
            if correlation != sums or not leads[0] or (correlation and not leads[1]):
                return None
            number = self.builder.kernel_number(replace(kernel, shard="n"))
            return _Sharded(replace(launch, kernel=number), sums, whole=False)
        if kernel.kind == "moments":  # parts of it are examples in any case
            return _Sharded(launch, sums, whole=None) if self.by_examples(launch, kernel.literals[1]) else None
        if kernel.kind == "pooling" and not sums:  # parts of it are examples in any case
            return _Sharded(launch, sums, whole=False)
        return None

    def of_step(self, launch: Launch) -> Launch | None:
        """A launch of a repeat over the examples of a thread; what it sees of a step is a buffer of its own."""
        buffers = [self.builder.buffers[number] for number in launch.buffers]
        leads = [self.leads(number) for number in launch.buffers]
        kernel = self.builder.kernel_list[launch.kernel]
        if None in leads or not all(leads[launch.buffers.index(n)] for n in kernel.written(launch.buffers)):
            return None
        if kernel.kind in ("chain", "product_chain"):
            rank, extents = kernel.literals[0], launch.arguments
            if not rank or extents[0] != self.size:
                return None
            if kernel.kind == "product_chain":
                *buffers, a, _ = buffers
                *leads, lead, fixed = leads
                if not lead or fixed is not False or launch.arguments[-3] != elements(a.shape[1:]):
                    return None
            for k, (buffer, lead) in enumerate(zip(buffers, leads, strict=True)):
                own = launch.arguments[rank + k * rank :][:rank]  # an offset, and strides along all axes but the last
                step = own[1] if rank > 1 else kernel.literals[2 + k]
                if step != (elements(buffer.shape[1:]) if lead else 0):
                    return None
            return launch
        if kernel.kind == "contraction":
            found = self.of_contraction(launch, sums=False)
        elif kernel.kind == "loops":
            found = self.of_loops(launch, kernel, tuple(bool(lead) for lead in leads), sums=False)
        else:
            return None
        return found.launch if found is not None else None

    def of_loops(self, launch: Launch, kernel: Kernel, leads: tuple[bool, ...], sums: bool) -> _Sharded | None:
        key = launch.kernel, leads
        if key not in self.loops:
            self.loops[key] = _sharded_loops(kernel, leads)
        found = self.loops[key]
        if found is None or found[1] != sums:
            return None
        return _Sharded(replace(launch, kernel=self.builder.kernel_number(found[0])), sums, whole=None)

    def of_sums(self, launch: Launch, kernel: Kernel) -> _Sharded | None:
        """Several sums over the examples of a thread: n is the batch, and a step along it one example of each map."""
        if not self.by_examples(launch, kernel.literals[1]):
            return None
        lines = tuple(replace(line, adds=True) for line in kernel.lines)
        number = self.builder.kernel_number(replace(kernel, lines=lines, shard="n"))
        return _Sharded(replace(launch, kernel=number), sums=True, whole=None)

    def by_examples(self, launch: Launch, stores: int) -> bool:
        """Whether n is the batch, and a step along it one example of each map that is read behind the written ones."""
        if launch.arguments[0] != self.size or any(map(self.has, launch.arguments[1:4])):
            return False
        for k, number in enumerate(launch.buffers[stores:]):
            offset, *strides = launch.arguments[4 + 4 * k : 8 + 4 * k]
            example = elements(self.builder.buffers[number].shape[1:]) if self.leads(number) else 0
            inside = isinstance(offset, int) and (not example or (isinstance(example, int) and offset < example))
            if strides[0] != example or not inside or any(map(self.has, strides)):
                return False
        return True

    def of_contraction(self, launch: Launch, sums: bool) -> _Sharded | None:
        buffers = [self.builder.buffers[number] for number in launch.buffers]
        # elements of one example, which is the stride between two
        strides = [
            elements(buffer.shape[1:]) if self.leads(number) else 0
            for buffer, number in zip(buffers, launch.buffers, strict=True)
        ]
        head, levels = launch.arguments[:12], [launch.arguments[k : k + 4] for k in range(12, 28, 4)]
        with_batch = [k for k, extent in enumerate(head) if self.has(extent)]
        level_with = [k for k, level in enumerate(levels) if any(map(self.has, level))]
        if with_batch == [0] and not level_with and not sums:
            rows = (head[0], head[3], 0, head[7])  # extent and strides of A, B, Y
            if rows != (self.size, *strides):
                return None
            return _Sharded(replace(launch, split=1), sums, whole=True)
        if with_batch or len(level_with) != 1:
            return None
        own = levels.pop(level_with[0])
        if tuple(own) != (self.size, *strides):
            return None
        flat = (item for level in (own, *levels) for item in level)
        return _Sharded(replace(launch, arguments=(*head, *flat), split=3), sums, whole=False)


def _sharded_loops(kernel: Kernel, leads: tuple[bool, ...]) -> tuple[Kernel, bool] | None:
    """The kernel over the axis of examples, and whether it sums over them.

    ``leads`` says which of its tensors have examples along their first dimension.
    """
    s = kernel.statement
    assert s is not None
    with_batch = {f"t{k}" for k, lead in enumerate(leads) if lead}
    axes = set()
    for access in accesses(s):
        if access.tensor not in with_batch:
            continue
        item = access.index[0]
        if access.flat or not isinstance(item, Affine) or item.plain() is None:
            return None
        axes.add(item.plain())
    if len(axes) != 1:
        return None
    (axis,) = axes
    if axis is None or axis not in {a.name for a in s.axes}:
        return None
    extent = s.extent(axis).plain() or ""
    if extent.rpartition(".")[0] not in with_batch or not extent.endswith(".0"):
        return None
    if any(axis in guard.index.names() for guard in s.guards if not isinstance(guard, Wins)):
        return None
    if any(axis in let.numerator.names() for let in s.lets):
        return None
    for guard in s.guards:
        if isinstance(guard, Wins) and any(axis in index.names() for index, _ in guard.axes):
            return None
    if s.write.tensor in with_batch:
        return replace(kernel, shard=axis), False
    adds = s.operator == "sum" or (s.operator == "set" and s.accumulate)
    if not adds or (s.accumulate and s.write.tensor in {a.tensor for _, a in s.reads}):
        return None
    if any(isinstance(item, Affine) and axis in item.names() for item in s.write.index):
        return None
    return replace(kernel, statement=replace(s, accumulate=True), shard=axis), True


def _privately(builder: _Builder, launch: Launch, found: _Sharded) -> tuple[list[Launch], Launch, list[Launch]]:
    """Sums over examples in three steps: zeros for each thread, the sums of each thread, and their sums."""
    sharded = found.launch
    fills: list[Launch] = []
    merges: list[Launch] = []
    private: dict[int, int] = {}
    both = tuple(Axis(f"a{d}", affine(f"t0.{d}")) for d in range(2))
    for written in builder.kernel_list[launch.kernel].written(launch.buffers):
        buffer = builder.buffers[written]
        shape = (named(THREADS), *buffer.shape)
        own = private[written] = builder.buffer(f"{buffer.name} of each thread", shape, buffer.dtype, "arena")
        builder.buffers[own].private = True
        # elements in a row, whatever their shape: one kernel fills, one adds up
        count = elements(buffer.shape)
        zeros = Statement(Access("t0", (affine("a0"), affine("a1"))), "set", both, (), ZERO)
        fill = builder.kernel_number(Kernel("loops", zeros, (("t0", buffer.dtype),)))
        # of few terms: plain additions, thread after thread
        read = Access("t1", (affine("a1"), affine("a0")))
        domain = Axis("a0", affine("t0.0")), Axis("a1", affine("t1.0"))
        total = Statement(Access("t0", (affine("a0"),)), "sum", domain, (("v0", read),), Symbol("v0"))
        merge = builder.kernel_number(Kernel("loops", total, (("t0", buffer.dtype), ("t1", buffer.dtype))))
        fills.append(Launch(fill, (own,), (shape[0], count), f"zeros for {launch.label}", launch.site, count))
        merges.append(
            Launch(
                merge, (written, own), (count, shape[0], count), f"{launch.label} of all threads", launch.site, count
            )
        )
    arguments = sharded.arguments
    if builder.kernel_list[sharded.kernel].kind == "contraction":
        arguments = (*arguments[:8], 1, *arguments[9:])  # it adds
    buffers = tuple(private.get(number, number) for number in sharded.buffers)
    return fills, replace(sharded, buffers=buffers, arguments=arguments), merges


# ---- stages ------------------------------------------------------------------------------------------


def _dependencies(builder: _Builder, units: list[tuple[Launch, ...]]) -> list[set[int]]:
    """For each unit those that must run before it: who wrote what it touches, who read what it writes."""
    writer: dict[int, int] = {}
    readers: dict[int, list[int]] = {}
    before: list[set[int]] = []
    for k, unit in enumerate(units):
        own = {base for launch in unit for base in _written(builder, launch)}
        bases = {builder.base(number) for launch in unit for number in launch.buffers}
        needed = {writer[base] for base in bases if base in writer}
        for base in own:
            needed.update(readers.get(base, ()))
        before.append(needed)
        for base in bases:
            readers.setdefault(base, []).append(k)
        for base in own:
            writer[base] = k
            readers[base] = []
    return before


class _Stages:
    """An order of units and the stages over it, filled in turn; a unit is a launch, or the launches of a repeat."""

    def __init__(self, builder: _Builder, units: list[tuple[Launch, ...]], kinds: list[_Sharded | None]) -> None:
        before = _dependencies(builder, units)
        self.units = units
        self.begin = 0  # launches in order so far
        self.after: list[list[int]] = [[] for _ in units]
        self.missing = [len(needed) for needed in before]
        for k, needed in enumerate(before):
            for other in needed:
                self.after[other].append(k)
        self.kinds = kinds
        self.plain: list[int] = []
        # what can be sharded, by what it asks for: sums first, because they end the lives of what they read
        self.waiting: dict[bool | None, list[tuple[bool, int]]] = {True: [], False: [], None: []}
        self.order: list[int] = []
        self.stages: list[Stage] = []
        for k, count in enumerate(self.missing):
            if not count:
                self.ready(k)
        while self.plain or any(self.waiting.values()):
            if self.plain:
                self.plain_stage()
            else:
                self.shard()

    def ready(self, k: int) -> None:
        kind = self.kinds[k]
        if kind is None:
            self.plain.append(k)
        else:
            heapq.heappush(self.waiting[kind.whole], (not kind.sums, k))

    def done(self, k: int) -> None:
        for other in self.after[k]:
            self.missing[other] -= 1
            if not self.missing[other]:
                self.ready(other)

    def segment(self, members: list[int], *, sliced: bool) -> Segment:
        begin = self.begin
        self.order += members
        self.begin += sum(len(self.units[k]) for k in members)
        return Segment(tuple(range(begin, self.begin)), sliced, self.repeat(members[0]))

    def repeat(self, k: int) -> int:
        """The repeat that a unit is, or -1."""
        return self.units[k][0].repeat

    def plain_stage(self) -> None:
        """Everything that is ready: nothing in it can need anything else in it."""
        chosen, self.plain = sorted(self.plain), []
        ordinary = [k for k in chosen if self.repeat(k) < 0]
        for members in ([ordinary] if ordinary else []) + [[k] for k in chosen if self.repeat(k) >= 0]:
            self.stages.append(Stage((self.segment(members, sliced=False),)))
        for k in chosen:
            self.done(k)

    def shard(self) -> None:
        """As much as can go through the batch without a meeting."""
        segments: list[Segment] = []
        members: list[int] = []
        whole: bool | None = None
        while any(self.waiting.values()):
            choices = [w for w in dict.fromkeys((None, whole)) if self.waiting[w]]
            if not choices:  # only what wants the other way
                if members:
                    segments.append(self.segment(members, sliced=whole is False))
                    members = []
                whole = next(w for w in (False, True) if self.waiting[w])
                choices = [whole]
            chosen = min(choices, key=lambda w: self.waiting[w][0])
            _, k = heapq.heappop(self.waiting[chosen])
            if self.repeat(k) >= 0:
                if members:
                    segments.append(self.segment(members, sliced=whole is False))
                segments.append(self.segment([k], sliced=False))
                members = []
            else:
                members.append(k)
            self.done(k)
        if members:
            segments.append(self.segment(members, sliced=whole is False))
        self.stages.append(Stage(tuple(segments), shard=True))


def _localise(builder: _Builder, stages: list[Stage], batch: str, kept: set[int]) -> None:
    """Mark buffers that one segment writes and reads and nobody else."""
    size = named(batch)
    users: dict[int, set[int]] = {}  # base buffer -> segments, -1 for plain stages
    number = 0
    for stage in stages:
        for segment in stage.segments:
            for k in segment.launches:
                for buffer in builder.launches[k].buffers:
                    users.setdefault(builder.base(buffer), set()).add(number if stage.shard else -1)
            number += stage.shard
    for base, found in users.items():
        buffer = builder.buffers[base]
        if buffer.role != "arena" or base in kept or buffer.private or not buffer.shape or buffer.shape[0] != size:
            continue
        if len(found) == 1 and -1 not in found:
            buffer.segment = found.pop()
