"""Fusion: an elementwise launch is computed where its result is read, and its buffer is never written.

A *producer* sets each element of a tensor from elements of others, once. Reading the tensor at an index is then the
same as the producer's body with that index in place of its axes, so its body goes into the kernels that read it and the
launch goes away. An elementwise launch that adds to what a producer has written takes it in the same way.

Fusion happens where it saves memory traffic: one reader takes anything that it does not have to compute again and
again; several readers take what is cheap to repeat.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graphc.errors import PlanError
from graphc.formula.expression import Call, Expression, Number, Symbol, call, operation_count, substitute, symbols
from graphc.formula.size import Extent, extent_value
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Gather,
    Interval,
    Let,
    Statement,
    Wins,
    affine,
    affine_expression,
    affine_extent,
    mapped_guard,
    size_name,
)
from graphc.planning.canonical import Canonical, canonical, rename_access
from graphc.planning.plan import Kernel, Launch
from graphc.planning.summing import Sum, simple, summed
from graphc.planning.tiling import tiling

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = [
    "Launches",
    "covers",
    "drop_kernels",
    "elementwise",
    "fuse_elementwise",
    "other_names",
    "reaches_all",
    "renamed",
]

#: Largest fused kernel: reads, and operations of its body.
_READS, _OPERATIONS = 8, 40
#: Most a body may cost along the innermost axis that several readers compute, and all in all where a reader computes it
#: more than once for an element.
_SHARED_COST, _REPEATED_COST = 5, 2
#: The same where some of the readers are sums that share a pass.
_JOINED_COST = 10
#: Most whole tensors that a producer with several readers may read.
_SHARED_READS = 2
#: What a named size is taken to be where traffic is compared.
_TYPICAL_SIZE = 64
_COSTS: dict[str, int] = {
    **dict.fromkeys(["add", "sub", "mul", "neg", "abs", "max", "min", "select", "and", "or", "not"], 1),
    **dict.fromkeys(["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"], 1),
    **dict.fromkeys(["div", "floordiv", "sqrt", "sign", "softsign"], 2),
}
#: Of any other function: more than any number of readers but one may pay.
_DEAR = 100


@dataclass(frozen=True)
class _Producer:
    """What fusion asks of a kernel, whatever its sizes; None stands for a kernel that produces nothing to fuse."""

    statement: Statement
    axes: tuple[str, ...]  # by dimension of the written tensor
    cost: int
    inner_cost: int  # of what changes along the innermost axis of the written tensor; the rest leaves the loop

    @property
    def placeholders(self) -> set[str]:
        """What its body calls what it reads."""
        return {placeholder for placeholder, _ in self.statement.reads}


def fuse_elementwise(builder: _Builder, kept: Iterable[int]) -> None:
    """Fuse the launches of a builder, in time linear in their number.

    Parameters
    ----------
    kept : buffer numbers
        What is read after the launches.
    """
    fusion = _Fusion(builder, kept)
    for position in range(len(fusion.launches)):
        fusion.visit(position)
    builder.launches = [launch for launch in fusion.launches if launch is not None]
    drop_kernels(builder)


def drop_kernels(builder: _Builder) -> None:
    """Renumber the kernels that are still launched: each one that stays is compiled."""
    used = sorted({launch.kernel for launch in builder.launches})
    number = {old: new for new, old in enumerate(used)}
    builder.kernel_list[:] = [builder.kernel_list[old] for old in used]
    builder.kernels = {key: number[old] for key, old in builder.kernels.items() if old in number}
    builder.numbers.clear()
    builder.launches = [replace(launch, kernel=number[launch.kernel]) for launch in builder.launches]


class Launches:
    """Launches by position, and who reads and writes which memory."""

    def __init__(self, builder: _Builder, kept: Iterable[int]) -> None:
        self.builder = builder
        self.launches: list[Launch | None] = list(builder.launches)
        self.kept = {builder.base(number) for number in kept}
        self.readers: dict[int, set[int]] = {}
        self.writers: dict[int, list[int]] = {}
        for position, launch in enumerate(builder.launches):
            self.enter(position, launch)
            for number in self.kernel(launch).written(launch.buffers):
                self.writers.setdefault(builder.base(number), []).append(position)

    # ---- who touches what ------------------------------------------------------------------------

    def kernel(self, launch: Launch) -> Kernel:
        """The kernel of a launch."""
        return self.builder.kernel_list[launch.kernel]

    def written(self, launch: Launch) -> int:
        """The buffer that a launch writes."""
        return self.kernel(launch).written(launch.buffers)[0]

    def read(self, launch: Launch) -> tuple[int, ...]:
        """The buffers that a launch reads."""
        return self.kernel(launch).read(launch.buffers)

    def enter(self, position: int, launch: Launch) -> None:
        """Enter a launch among the readers of its buffers."""
        for number in self.read(launch):
            self.readers.setdefault(self.builder.base(number), set()).add(position)

    def same(self, number: int) -> int:
        """The first of the buffers with this memory and this shape."""
        while True:
            parent = self.builder.buffers[number].view_of
            if parent is None or self.builder.buffers[parent].shape != self.builder.buffers[number].shape:
                return number
            number = parent

    def undisturbed(self, numbers: Iterable[int], first: int, last: int) -> bool:
        """Whether a launch at the second position finds in these buffers what one at the first would."""
        bases = {self.builder.base(number) for number in numbers}
        return not any(first < w <= last for base in bases for w in self.writers.get(base, ()))

    def meet(self, first: int, one: Sum, later: int, other: Sum) -> bool:
        """Whether the sum at a later position may be computed with the one at the first, in one pass."""
        launch = self.launches[later]
        written = self.builder.base(other.written)
        if launch is None or one.extents != other.extents:
            return False
        # what it reads must be there, and nobody may look at what it writes before it is written
        if any(
            first <= w < later for number in self.read(launch) for w in self.writers.get(self.builder.base(number), ())
        ):
            return False
        if any(place < later for place in self.writers.get(written, ())):
            return False
        return all(place >= later for place in self.readers.get(written, ()))

    def sizes(self, launch: Launch) -> dict[str, Extent]:
        """Extent of each size name of a launch of loops."""
        names = [
            size_name(f"t{k}", d)
            for k, number in enumerate(launch.buffers)
            for d in range(len(self.builder.buffers[number].shape))
        ]
        return dict(zip(names, launch.arguments, strict=True))

    def named(
        self, launch: Launch, numbers: Iterable[int], sizes: dict[str, Extent], ranks: dict[str, int]
    ) -> Statement:
        """The statement of a launch with its tensors named by these numbers; enter their sizes and ranks."""
        statement = self.kernel(launch).statement
        assert statement is not None
        tensors = {f"t{k}": f"b{n:02}" for k, n in enumerate(numbers)}
        names: dict[str, Affine] = {}
        for name, extent in self.sizes(launch).items():
            tensor, _, dimension = name.rpartition(".")
            new = size_name(tensors[tensor], int(dimension))
            sizes[new] = extent
            names[name] = affine(new)
        for tensor, number in zip(tensors.values(), launch.buffers, strict=True):
            ranks[tensor] = len(self.builder.buffers[number].shape)
        return renamed(statement, tensors, names)


class _Fusion(Launches):
    """Producers that go into their readers."""

    def __init__(self, builder: _Builder, kept: Iterable[int]) -> None:
        super().__init__(builder, kept)
        self.producers: dict[int, _Producer | None] = {}
        self.made: dict[Any, tuple[int, tuple[int, ...], tuple[Extent, ...]] | None] = {}
        self.covered: dict[Any, bool] = {}
        self.typical: dict[Extent, int] = {}

    def size(self, extent: Extent) -> int:
        if isinstance(extent, int):
            return extent
        if extent not in self.typical:
            self.typical[extent] = extent_value(extent, dict.fromkeys(extent.names(), _TYPICAL_SIZE))
        return self.typical[extent]

    def elements(self, number: int) -> int:
        count = 1
        for extent in self.builder.buffers[number].shape:
            count *= self.size(extent)
        return count

    # ---- one producer ----------------------------------------------------------------------------

    def visit(self, position: int) -> None:
        """Fuse the launch at a position into whatever reads it, if that pays."""
        launch = self.launches[position]
        if launch is None or self.kernel(launch).kind != "loops" or launch.repeat >= 0:
            return
        producer = self.producer(launch)
        if producer is None:
            return
        target = launch.buffers[0]
        base = self.builder.base(target)
        if self.builder.buffers[base].role != "arena" or self.same(target) != base:
            return
        readers = sorted(self.readers.get(base, ()))
        writers = [w for w in self.writers[base] if w != position]
        added = bool(writers)
        if added:
            # what is added to: the next to touch the memory must be an addition to every element
            if writers[0] < position or (readers and readers[0] <= writers[0]):
                return
            readers = writers[:1]
        elif not readers or base in self.kept:
            return
        if any(other is not None and other.repeat >= 0 for other in map(self.launches.__getitem__, readers)):
            return  # what a step reads again and again is computed once
        passes = self.passes(producer, readers)
        if len(readers) > 1 and producer.inner_cost > (_SHARED_COST if len(passes) == len(readers) else _JOINED_COST):
            return
        key = launch.kernel, launch.arguments
        if key not in self.covered:
            self.covered[key] = covers(producer, self.sizes(launch))
        if not self.covered[key]:
            return
        inputs = {self.same(number) for number in self.read(launch)}
        if any(self.same(n) != self.builder.base(n) and self.builder.buffers[n].offset != 0 for n in inputs):
            return  # a copied row, so that the others need not be kept
        bases = {self.builder.base(number) for number in inputs}
        if not self.undisturbed(bases, position, readers[-1]):
            return
        if len(readers) > 1 and not self.pays(producer, launch, passes, inputs):
            return
        fused: list[Launch] = []
        for reader in readers:
            result = self.fused(producer, launch, reader, added=added)
            if result is None:
                return
            fused.append(result)
        for reader, result in zip(readers, fused, strict=True):
            self.launches[reader] = result
            self.enter(reader, result)
        for b in bases:
            self.readers[b].discard(position)
        self.launches[position] = None
        self.writers[base].remove(position)
        if not added:
            del self.readers[base]

    def producer(self, launch: Launch) -> _Producer | None:
        if launch.kernel not in self.producers:
            self.producers[launch.kernel] = elementwise(self.kernel(launch))
        return self.producers[launch.kernel]

    def passes(self, producer: _Producer, readers: list[int]) -> list[list[int]]:
        """Readers by the pass over memory that they will be: sums that can share one count as one."""
        found: list[tuple[Sum | None, list[int]]] = []
        for position in readers:
            launch = self.launches[position]
            one = None
            if len(readers) > 1 and launch is not None and "sums" in self.builder.target.schedules:
                one = summed(self.builder, launch) if simple(producer.statement.body, producer.placeholders) else None
            for other, positions in found:
                if one is not None and other is not None and self.meet(positions[0], other, position, one):
                    positions.append(position)
                    break
            else:
                found.append((one, [position]))
        return [positions for _, positions in found]

    def pays(self, producer: _Producer, launch: Launch, passes: list[list[int]], inputs: set[int]) -> bool:
        """Whether several passes move fewer elements together if each computes what it reads."""
        own = self.elements(launch.buffers[0])
        whole = {a.tensor for _, a in producer.statement.reads if set(producer.axes) <= a.axes()}
        if len(whole) > _SHARED_READS:
            return False
        moved = {number: min(self.elements(number), own) for number in inputs}
        before = sum(moved.values()) + own * (1 + len(passes))
        after = 0
        for positions in passes:
            together = [self.launches[position] for position in positions]
            held = {self.same(number) for other in together if other is not None for number in self.read(other)}
            after += sum(count for number, count in moved.items() if number not in held)
        return after < before

    def fused(self, producer: _Producer, launch: Launch, position: int, *, added: bool) -> Launch | None:
        """The launch at a position with the producer's body in place of its reads, or None."""
        reader = self.launches[position]
        assert reader is not None
        kernel = self.kernel(reader)
        if kernel.kind != "loops" or kernel.statement is None:
            return None
        base = launch.buffers[0]
        if any(self.builder.base(n) == base != self.same(n) for n in reader.buffers):
            return None  # it sees the tensor in another shape
        # tensors are named by first occurrence, so that equal pairs of launches share one result
        order = {n: k for k, n in enumerate(dict.fromkeys(map(self.same, (*reader.buffers, *launch.buffers))))}
        own, others = (tuple(order[self.same(n)] for n in x.buffers) for x in (launch, reader))
        key = (launch.kernel, own, launch.arguments, reader.kernel, others, reader.arguments, added)
        numbers = list(order)
        if key not in self.made:
            form = self.make(producer, launch, own, reader, others, added=added)
            self.made[key] = None
            if form is not None:
                places = tuple(int(name[1:]) for name in form.tensors)
                used = [self.builder.buffers[numbers[k]] for k in places]
                dtypes = tuple((f"t{k}", buffer.dtype) for k, buffer in enumerate(used))
                arguments = tuple(extent for buffer in used for extent in buffer.shape)
                number = self.builder.kernel_number(Kernel("loops", form.statement, dtypes))
                self.made[key] = number, places, arguments
        made = self.made[key]
        if made is None:
            return None
        number, places, arguments = made
        labels = dict.fromkeys([*launch.label.split(" · "), *reader.label.split(" · ")])
        work = reader.work + launch.work
        buffers = tuple(numbers[k] for k in places)
        return Launch(number, buffers, arguments, " · ".join(labels), reader.site, work)

    def make(
        self,
        producer: _Producer,
        launch: Launch,
        own: tuple[int, ...],
        reader: Launch,
        others: tuple[int, ...],
        *,
        added: bool,
    ) -> Canonical | None:
        """Fused canonical statement of a pair of launches, whose buffers have these numbers."""
        sizes: dict[str, Extent] = {}
        ranks: dict[str, int] = {}
        source = self.named(launch, own, sizes, ranks)
        statement = self.kernel(reader).statement
        assert statement is not None
        sink = self.named(reader, others, sizes, ranks)
        if added:
            if not _adds_everywhere(statement, self.sizes(reader)):
                return None
            sink = replace(
                sink,
                operator="set",
                accumulate=False,
                reads=(("before", sink.write), *sink.reads),
                body=call("add", Symbol("before"), sink.body),
            )
        target = source.write.tensor
        points = math.prod(self.size(_reached(sink, axis, sizes)) for axis in sink.axes)
        repeats = points / max(self.elements(launch.buffers[0]), 1)
        floats = {self.builder.buffers[number].dtype for number in (*launch.buffers, *self.read(reader))}
        merged = _merged(sink, source, repeats, producer.cost, tiles=len(floats) == 1)
        if merged is None:
            return None
        # extents of the tensor that goes away are those of one that the producer reads
        merged = renamed(merged, {t: t for t in ranks}, other_names(sink, merged, target, sizes))
        try:
            return canonical(merged, ranks, sizes)
        except PlanError:  # a size that is left without a tensor
            return None


# ---- statements ------------------------------------------------------------------------------------


def elementwise(kernel: Kernel) -> _Producer | None:
    """What a kernel says about itself if it sets each element of a tensor from elements of others, once."""
    s = kernel.statement
    types = dict(kernel.dtypes)
    if s is None or s.accumulate or s.guards or s.lets or s.operator not in ("set", "sum") or s.reduced():
        return None
    if s.write.flat or any(a.flat for _, a in s.reads) or not s.race_free():
        return None
    if not types[s.write.tensor].startswith("float"):
        return None
    axes = [item.plain() if isinstance(item, Affine) else None for item in s.write.index]
    if {axis.name for axis in s.axes} != set(axes) or s.write.tensor in s.tensors():
        return None
    kinds = {p: "i" if types[a.tensor].startswith("int") else "f" for p, a in s.reads}
    if _kind(s.body, kinds) == "i":  # whole numbers are computed otherwise than floats that hold them
        return None
    names = tuple(axis or "" for axis in axes)
    last = names[-1:]
    changing = [*last, *(p for p, a in s.reads if set(last) & a.axes())]
    return _Producer(s, names, _cost(s.body), _cost(s.body, changing))


def _cost(body: Expression, changing: Iterable[str] | None = None) -> int:
    """Cost of a body, or of what in it depends on some of the symbols ``changing``."""
    if not isinstance(body, Call) or (changing is not None and not set(changing) & set(symbols(body))):
        return 0
    own = _COSTS.get(body.function, _DEAR)
    if body.function == "pow" and isinstance(body.operands[1], Number) and body.operands[1].value in (2, 3):
        own = 2
    return own + sum(_cost(operand, changing) for operand in body.operands)


def _kind(body: Expression, kinds: Mapping[str, str]) -> str:
    """What an expression is computed as: ``"f"`` float, ``"i"`` whole number, ``"b"`` truth value."""
    if isinstance(body, Number):
        return "i" if isinstance(body.value, int) else "f"
    if isinstance(body, Symbol):
        return kinds.get(body.name, "i")
    name = body.function
    if name in ("and", "or", "not", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"):
        return "b"
    inner = {_kind(o, kinds) for o in (body.operands[1:] if name == "select" else body.operands)}
    if name == "select" and inner == {"b"}:
        return "b"
    if name in ("select", "add", "sub", "mul", "neg", "max", "min", "abs", "floordiv") and inner == {"i"}:
        return "f" if name == "select" and all(isinstance(o, Number) for o in body.operands[1:]) else "i"
    return "f"


def covers(producer: _Producer, sizes: Mapping[str, Extent]) -> bool:
    """Whether every element of the written tensor is set."""
    return reaches_all(producer.statement, sizes)


def reaches_all(s: Statement, sizes: Mapping[str, Extent]) -> bool:
    """Whether the write index is plain axes that go through every element of the written tensor."""
    extents = {axis.name: axis.extent for axis in s.axes}
    axes = [item.plain() if isinstance(item, Affine) else None for item in s.write.index]
    return all(
        axis in extents and affine_extent(extents[axis], sizes) == sizes[size_name(s.write.tensor, d)]
        for d, axis in enumerate(axes)
    )


def _reached(s: Statement, axis: Axis, sizes: Mapping[str, Extent]) -> Extent:
    """How many values of an axis its guards let pass, of those that compare it alone."""
    extent = affine_extent(axis.extent, sizes)
    for guard in s.guards:
        if isinstance(guard, Interval) and (guard.index - affine(axis.name)).terms == ():
            inner = affine_extent(guard.upper, sizes)
            if isinstance(inner, int) and isinstance(extent, int):
                extent = min(extent, inner)
    return extent


def _adds_everywhere(s: Statement, sizes: Mapping[str, Extent]) -> bool:
    """Whether a statement adds once to each element of its tensor, and reads it nowhere."""
    if not s.accumulate or s.operator not in ("set", "sum") or s.reduced() or s.guards or s.lets or s.write.flat:
        return False
    axes = [item.plain() if isinstance(item, Affine) else None for item in s.write.index]
    if not s.race_free() or {axis.name for axis in s.axes} != set(axes) or s.write.tensor in s.tensors():
        return False
    return reaches_all(s, sizes)


def renamed(s: Statement, tensors: Mapping[str, str], names: Mapping[str, Affine]) -> Statement:
    """A statement with other names for tensors and sizes."""
    sizes = {old: affine_expression(new) for old, new in names.items()}

    def form(item: Affine) -> Affine:
        return item.substitute(names)

    def access(item: Access) -> Access:
        return rename_access(item, tensors, names)

    return Statement(
        rename_access(s.write, tensors, names),
        s.operator,
        tuple(Axis(a.name, a.extent.substitute(names)) for a in s.axes),
        tuple((p, rename_access(a, tensors, names)) for p, a in s.reads),
        substitute(s.body, sizes),
        tuple(mapped_guard(g, form, access) for g in s.guards),
        tuple(Let(x.name, x.numerator.substitute(names), x.divisor) for x in s.lets),
        s.accumulate,
    )


def other_names(sink: Statement, merged: Statement, target: str, sizes: Mapping[str, Extent]) -> dict[str, Affine]:
    """For each extent of a tensor that is read no more one of a tensor with the same index there, if there is one.

    A leading dimension may also be that of a tensor with a row more, at an offset: the steps of a state.
    """
    found: dict[str, Affine] = {}
    accesses = [*(a for _, a in merged.reads), merged.write]
    for taken in (a for _, a in sink.reads if a.tensor == target):
        for dimension, item in enumerate(taken.index):
            old = size_name(target, dimension)
            for access in accesses:
                same = (size_name(access.tensor, d) for d, other in enumerate(access.index) if other == item)
                new = next((name for name in same if sizes[name] == sizes[old]), None)
                if new is not None:
                    found.setdefault(old, affine(new))
                    break
            if dimension or old in found:
                continue
            for access in accesses:
                other = access.index[0] if access.index else None
                name = size_name(access.tensor, 0)
                if not isinstance(item, Affine) or not isinstance(other, Affine) or (other - item).terms:
                    continue
                spare = sizes[name] - sizes[old] if name in sizes else 0
                if isinstance(spare, int) and spare == 1:
                    found[old] = affine({name: 1}, -spare)
                    break
    return found


def _touches(access: Access, tensor: str) -> bool:
    return access.tensor == tensor or any(_touches(i.access, tensor) for i in access.index if isinstance(i, Gather))


def _window(item: Any, axes: set[str]) -> bool:
    """Whether an index is more than one axis of coefficient 1 and an offset.

    Loops load windows by strided lanes: measured, a bias and a ReLU computed there cost more than they save. Only where
    windows lie side by side they are read as rows: `graphc.kernels.cpu.pooling`.
    """
    own = [name for name in item.names() if "." not in name]
    return len(own) > 1 or any(item.coefficient(name) != 1 or name not in axes for name in own)


def _merged(sink: Statement, source: Statement, repeats: float, cost: int, *, tiles: bool) -> Statement | None:
    """``sink`` with the body of ``source`` in place of what it reads of the tensor that ``source`` writes.

    ``repeats`` says how many points of the sink there are for an element of that tensor, ``tiles`` whether windows that
    lie side by side may be read.
    """
    target = source.write.tensor
    hidden = [g.access for g in sink.guards if isinstance(g, Wins)]
    hidden += [i.access for _, a in (("", sink.write), *sink.reads) for i in a.index if isinstance(i, Gather)]
    if any(_touches(access, target) for access in hidden):
        return None
    taken = dict.fromkeys(a for _, a in sink.reads if a.tensor == target)
    if any(a.outside != "forbidden" or a.flat or not all(isinstance(i, Affine) for i in a.index) for a in taken):
        return None
    if any(a.tensor == target and p not in symbols(sink.body) for p, a in sink.reads):
        return None  # the sink waits for it
    axes = {axis.name for axis in sink.axes}
    windows = any(_window(item, axes) for a in taken for item in a.index)
    if windows and not tiles:
        return None
    if len(taken) * repeats > 1.01 and cost > _REPEATED_COST:
        return None
    names: dict[Access, str] = {}
    replacements: dict[str, Expression] = {}

    def place(access: Access) -> Symbol:
        return Symbol(names.setdefault(access, f"r{len(names)}"))

    for placeholder, access in sink.reads:
        if access.tensor != target:
            replacements[placeholder] = place(access)
            continue
        # axes of the producer: what the reader's index says in their dimension
        places: dict[str, Affine] = {}
        for own, item in zip(source.write.index, access.index, strict=True):
            assert isinstance(own, Affine)
            assert isinstance(item, Affine)
            places[own.plain() or ""] = item
        inner: dict[str, Expression] = {p: place(a.substitute(places)) for p, a in source.reads}
        inner |= {name: affine_expression(places[name]) for name in symbols(source.body) if name in places}
        replacements[placeholder] = substitute(source.body, inner)
    body = substitute(sink.body, replacements)
    # what a statement reads without using it is there for its length, or to come late
    waits = {names[a] for p, a in sink.reads if a in names and p not in symbols(sink.body)}
    used = set(symbols(body)) | waits
    reads = tuple((p, a) for a, p in names.items() if p in used)
    if len(reads) > _READS or operation_count(body) > _OPERATIONS:
        return None
    merged = replace(sink, reads=reads, body=body)
    return None if windows and (merged.operator == "set" or tiling(merged) is None) else merged
