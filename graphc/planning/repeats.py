"""Repeats: the statements of one step, planned once, on views that move on with the step.

A tensor with a row for each step is one buffer; what a step sees of it is a view of one row, `Buffer.step` elements
further at each repetition. So the statements of a step lose the axis of the steps and are lowered like any others:
kernels never see how many steps there are. What only lives inside of a step is a buffer of one step.

Elementwise statements over the same axes become one launch, a *chain*: every value is computed once and stays in a
register for the lines behind it. A product with a matrix that is the same at every step reads that matrix in the order
in which it runs through it; it is copied so once, before the first step. Where a chain alone reads a product, as in
every recurrent cell, both are one launch: the product of a few examples and units stays near while the chain uses it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graphc.errors import PlanError, Site
from graphc.formula.expression import Expression, Symbol, call, operation_count, substitute, symbols
from graphc.formula.size import Extent
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Gather,
    Let,
    Repeat,
    Statement,
    Wins,
    accesses,
    affine,
    affine_expression,
    mapped_guard,
    size_name,
)
from graphc.planning.chains import Elementwise, Pattern
from graphc.planning.contraction import recognise
from graphc.planning.plan import Kernel, Launch, Line, elements, item_bytes

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder, _SizedNames

__all__ = ["Place", "lower_part", "lower_repeat", "repeated"]

#: Fewest steps for which a matrix is copied.
_STEPS = 3
#: Columns of a matrix that are kept together for a product of several rows.
PANEL = 32
#: Vectors of columns that a tile holds for a chain.
_VECTORS = 4


@dataclass(frozen=True)
class Place:
    """What launches of an application are labelled with."""

    label: str
    site: Site
    prefix: str
    dtype: str


def repeated(launches: Sequence[Launch]) -> list[list[int]]:
    """Positions of launches, those of one repeat together."""
    found: list[list[int]] = []
    for k, launch in enumerate(launches):
        together = launch.repeat >= 0 and k and launches[k - 1].repeat == launch.repeat
        found[-1].append(k) if together else found.append([k])
    return found


# ---- parts of a tensor -----------------------------------------------------------------------------------


def lower_part(
    builder: _Builder, statement: Statement, names: _SizedNames, tensors: dict[str, int], place: Place
) -> None:
    """Lower a statement that sets some rows of a tensor and leaves the others alone."""
    target, (first, *_) = statement.write.tensor, statement.write.index
    assert isinstance(first, Affine)
    if target not in tensors:
        tensors[target] = builder.buffer(target, names.shape(target), _dtype(names, target, place), "arena")
    shape = names.shape(target)
    row = elements(shape[1:])
    axes = {axis.name: axis for axis in statement.axes}
    own = [name for name in first.names() if name in axes]
    if own:
        begin = names.value(first - affine(own[0]))
        rows: tuple[Extent, ...] = (names.value(axes[own[0]].extent),)
        index = (affine(own[0]), *statement.write.index[1:])
    else:
        begin, rows, index = names.value(first), (), statement.write.index[1:]
    name = f"part of {target} from {begin}"
    part = builder.buffer(name, (*rows, *shape[1:]), builder.buffers[tensors[target]].dtype, "arena", tensors[target])
    builder.buffers[part].offset = row * begin
    inner = names.extended({name: (*rows, *shape[1:])}, [name] if target in names.integers else [])
    own_tensors = {**tensors, name: part}
    # the part knows how many rows it has: its kernel need not
    counted = tuple(Axis(a.name, affine(size_name(name, 0))) if a.name in own else a for a in statement.axes)
    moved = replace(statement, write=Access(name, index), axes=counted, partial=False)
    _placed(builder, moved, inner, own_tensors, place, covered=_fills(moved, inner), started=names.parts)


def _dtype(names: _SizedNames, tensor: str, place: Place) -> str:
    return "int32" if tensor in names.integers else place.dtype


def _fills(statement: Statement, names: _SizedNames) -> bool:
    """Whether a statement reaches every element of what it writes."""
    if statement.guards or statement.lets or statement.write.flat:
        return False
    shape = names.shape(statement.write.tensor)
    extents = {a.name: names.value(a.extent) for a in statement.axes}
    plain = [item.plain() if isinstance(item, Affine) else None for item in statement.write.index]
    return len(set(plain)) == len(plain) and all(
        p in extents and extents[p] == e for p, e in zip(plain, shape, strict=True)
    )


def _placed(
    builder: _Builder,
    statement: Statement,
    names: _SizedNames,
    tensors: dict[str, int],
    place: Place,
    *,
    covered: bool,
    started: set[str],
) -> None:
    """Lower a statement into a buffer that is there already."""
    target = statement.write.tensor
    if not covered and target in started:
        statement = replace(statement, accumulate=True)  # the first one has filled the rest with zeros
    statement = replace(statement, partial=False)
    started.add(target)
    inner = names.extended({})
    inner.placed = names.placed | {target}
    builder.statement(statement, inner, tensors, place.label, place.site, place.prefix, place.dtype)


# ---- one step --------------------------------------------------------------------------------------------


def lower_repeat(
    builder: _Builder,
    repeat: Repeat,
    statements: Sequence[Statement],
    names: _SizedNames,
    tensors: dict[str, int],
    constants: dict[str, float],
    kept: Collection[str],
    place: Place,
) -> None:
    """Lower the statements of a repeat.

    Parameters
    ----------
    tensors : dict
        Buffer of each tensor that is there; those that the repeat writes are entered.
    constants : dict
        Value of tensors that have one value everywhere; those that the repeat writes get a buffer.
    kept : collection of str
        Tensors that somebody reads after the repeat.

    Raises
    ------
    PlanError
        If a tensor is used at steps that are no fixed distance from the current one.
    """
    _Step(builder, repeat, statements, names, tensors, constants, kept, place).lower()


@dataclass(frozen=True)
class _Product:
    """A product with a matrix in panels, as launched: which matrix, from which row and column on."""

    launch: Launch
    tensor: str
    n: int
    k: Extent
    place: tuple[int, int]
    turned: bool


class _Step:
    def __init__(
        self,
        builder: _Builder,
        repeat: Repeat,
        statements: Sequence[Statement],
        names: _SizedNames,
        tensors: dict[str, int],
        constants: dict[str, float],
        kept: Collection[str],
        place: Place,
    ) -> None:
        self.builder, self.repeat, self.place = builder, repeat, place
        self.names, self.tensors, self.kept = names, tensors, kept
        written = {s.write.tensor for s in statements}
        for tensor in written & constants.keys():
            tensors[tensor] = self.filled(tensor, constants.pop(tensor))
        for s in statements:
            for tensor in s.tensors():
                if tensor in constants and tensor not in tensors and not _foldable(s, tensor):
                    tensors[tensor] = self.filled(tensor, constants[tensor])
        folded = [builder.fold(s, {t: v for t, v in constants.items() if t not in tensors}) for s in statements]
        self.steps = names.value(statements[0].extent(repeat.axis))
        self.written = written
        self.offsets: dict[str, set[int]] = {}
        for s in folded:
            for access in accesses(s):
                place_of = self.at(access)
                if place_of is not None:
                    self.offsets.setdefault(access.tensor, set()).add(place_of)
        self.slices: dict[str, int] = {}  # name of a part of one step -> buffer
        self.shapes: dict[str, tuple[Extent, ...]] = {}
        self.statements = [self.sliced(s) for s in folded]

    def filled(self, tensor: str, value: float) -> int:
        from graphc.graph.node import Node

        shape = self.names.shape(tensor)
        dtype = _dtype(self.names, tensor, self.place)
        return self.builder.filled(Node("constant", shape, dtype, self.place.site, name=tensor), value)

    # ---- views of a step ---------------------------------------------------------------------------

    def at(self, access: Access) -> int | None:
        """Distance of the step that an access sees from the current one; None where it sees the same at each."""
        axis = self.repeat.axis
        forms = [item for item in access.index if isinstance(item, Affine)]  # what is looked up has a place of its own
        if not any(axis in item.names() for item in forms):
            return None
        first = access.index[0]
        once = sum(axis in item.names() for item in forms) == 1
        if isinstance(first, Affine) and not access.flat and once:
            rest = first - affine(axis)
            if not rest.terms:
                return rest.constant
        if isinstance(first, Affine) and access.flat and first.coefficient(axis):
            return 0
        raise PlanError(
            f"{self.place.label}: a step may see a tensor only at a fixed distance: {access}\n"
            f"  declared at {self.place.site}",
            site=self.place.site,
        )

    def slice(self, access: Access) -> Access:
        """The access to the part of one step; its buffer is made where it is not there."""
        index = tuple(Gather(self.slice(i.access)) if isinstance(i, Gather) else i for i in access.index)
        offset = self.at(access)
        if offset is None:
            return replace(access, index=index)
        name = f"{access.tensor} at {offset}"
        if name not in self.slices:
            self.shapes[name] = self.names.shape(access.tensor)[1:]
            self.slices[name] = self.part(access.tensor, offset)
        if access.flat:
            first = access.index[0]
            assert isinstance(first, Affine)
            return replace(
                access, tensor=name, index=(first - affine({self.repeat.axis: first.coefficient(self.repeat.axis)}),)
            )
        return replace(access, tensor=name, index=index[1:])

    def part(self, tensor: str, offset: int) -> int:
        shape = self.names.shape(tensor)
        dtype = _dtype(self.names, tensor, self.place)
        if tensor not in self.tensors:
            if tensor not in self.kept and len(self.offsets[tensor]) == 1:
                return self.builder.buffer(tensor, shape[1:], dtype, "arena")  # it lives inside of a step
            self.tensors[tensor] = self.builder.buffer(tensor, shape, dtype, "arena")
        whole = self.tensors[tensor]
        buffers = self.builder.buffers
        part = self.builder.buffer(tensor, shape[1:], buffers[whole].dtype, buffers[whole].role, whole)
        row = elements(shape[1:])
        first = self.steps - 1 if self.repeat.backward else 0
        buffers[part].offset = row * (first + offset)
        buffers[part].step = row * -1 if self.repeat.backward else row
        return part

    def sliced(self, s: Statement) -> Statement:
        """A statement of one step."""
        if self.repeat.axis in symbols(s.body) or any(self.repeat.axis in x.numerator.names() for x in s.lets):
            raise PlanError(
                f"{self.place.label}: the number of the step is used in {s}; hand it in as a sequence\n"
                f"  declared at {self.place.site}",
                site=self.place.site,
            )
        found = {a: self.slice(a) for a in (s.write, *(a for _, a in s.reads))}
        forms: dict[str, Affine] = {}
        for old, new in found.items():
            if old.tensor != new.tensor:
                for d in range(1, self.names.ranks[old.tensor]):
                    forms[size_name(old.tensor, d)] = affine(size_name(new.tensor, d - 1))

        def access(a: Access) -> Access:
            return (found.get(a) or self.slice(a)).substitute(forms)

        def form(item: Affine) -> Affine:
            return item.substitute(forms)

        body = substitute(s.body, {old: affine_expression(new) for old, new in forms.items() if old in symbols(s.body)})
        return Statement(
            access(s.write),
            s.operator,
            tuple(Axis(a.name, a.extent.substitute(forms)) for a in s.axes if a.name != self.repeat.axis),
            tuple((p, access(a)) for p, a in s.reads),
            body,
            tuple(mapped_guard(g, form, access) for g in s.guards),
            tuple(Let(x.name, x.numerator.substitute(forms), x.divisor) for x in s.lets),
            s.accumulate,
            s.partial,
        )

    # ---- order and launches --------------------------------------------------------------------------

    def lower(self) -> None:
        """Emit the launches of a step: products and the like as soon as they can run, chains in between."""
        builder = self.builder
        whole = [name for name in self.shapes if name.rpartition(" at ")[0] in self.names.integers]
        self.inner = self.names.extended(self.shapes, whole)
        self.own = {**self.tensors, **self.slices}
        self.inner.placed = frozenset(self.slices)
        self.ahead: list[Launch] = []  # runs once, before the first step
        self.started: set[str] = set()
        self.products: dict[int, _Product] = {}  # by the buffer that each writes
        self.begin = begin = len(builder.launches)
        waiting = list(range(len(self.statements)))
        chains = {k: Elementwise.of(self.statements[k], self.inner, builder, self.own) for k in waiting}
        while waiting:
            ready = [k for k in waiting if chains[k] is None and not self.before(k, waiting)]
            for k in ready:
                waiting.remove(k)
                self.emit(self.statements[k])
            if ready:
                continue
            chosen: list[int] = []
            for k in waiting:
                own = chains[k]
                needed = self.before(k, waiting)
                if own is not None and needed <= set(chosen) and (not chosen or own.joins([chains[c] for c in chosen])):
                    chosen.append(k)
            for k in chosen:
                waiting.remove(k)
            self.chain([c for c in (chains[k] for k in chosen) if c is not None], waiting)
        number = len(builder.repeats)
        builder.repeats.append(self.steps)
        inside = [replace(launch, repeat=number) for launch in builder.launches[begin:]]
        builder.launches[begin:] = [*self.ahead, *inside]

    def before(self, k: int, waiting: Sequence[int]) -> set[int]:
        """Statements that still wait and must come before one."""
        s = self.statements[k]
        read = {*s.tensors(), s.write.tensor}
        found = set()
        for other in waiting:
            if other >= k:
                break
            o = self.statements[other]
            if o.write.tensor in read or s.write.tensor in o.tensors():
                found.add(other)
        return found

    def emit(self, statement: Statement) -> None:
        """A launch of any other kind."""
        builder, place = self.builder, self.place
        if statement.partial or not statement.accumulate:
            covered = _fills(statement, self.inner)
            if statement.partial and not covered and statement.write.tensor in self.started:
                statement = replace(statement, accumulate=True)
            statement = replace(statement, partial=False)
        self.started.add(statement.write.tensor)
        if self.product(statement) or self.reshaped(statement):
            return
        builder.statement(statement, self.inner, self.own, place.label, place.site, place.prefix, place.dtype)

    def reshaped(self, s: Statement) -> bool:
        """A copy of all elements in their order, whatever the shapes."""
        plain = s.operator in ("set", "sum") and not (s.accumulate or s.guards or s.lets or s.reduced())
        if (
            not plain
            or len(s.reads) != 1
            or s.body != Symbol(s.reads[0][0])
            or not (s.write.flat or s.reads[0][1].flat)
        ):
            return False
        builder, dtype = self.builder, self.place.dtype
        target, source = self.own[s.write.tensor], self.own[s.reads[0][1].tensor]
        count = elements(builder.buffers[target].shape)
        views = [builder.buffer(builder.buffers[k].name, (count,), dtype, "arena", k) for k in (target, source)]
        for view, number in zip(views, (target, source), strict=True):
            builder.buffers[view].role = builder.buffers[number].role
        index = (affine("a0"),)
        axes = (Axis("a0", affine("t0.0")),)
        copy = Statement(Access("t0", index), "set", axes, (("v0", Access("t1", index)),), Symbol("v0"))
        number = builder.kernel_number(Kernel("loops", copy, (("t0", dtype), ("t1", dtype))))
        builder.launches.append(
            Launch(number, (views[0], views[1]), (count, count), self.place.label, self.place.site, count)
        )
        return True

    def product(self, s: Statement) -> bool:
        """A product with a matrix that is the same at every step, copied into panels before the first."""
        if isinstance(self.steps, int) and self.steps < _STEPS:
            return False
        found = recognise(s, self.inner.sizes)
        if found is None:
            s = self.apart(s)
            found = recognise(s, self.inner.sizes)
        if found is None or found.b in self.slices or found.b in self.written or found.b not in self.own:
            return False
        m, n, k, *_ = found.arguments[:3]
        row_b, column_b, offset = (found.arguments[j] for j in (5, 6, 10))
        levels = [found.arguments[j : j + 4] for j in range(12, 28, 4)]
        shape = self.builder.buffers[self.own[found.b]].shape
        plain = all(isinstance(e, int) for e in (n, k, row_b, column_b, offset)) and len(shape) == 2
        if not plain or any(level[0] != 1 for level in levels):
            return False
        assert isinstance(n, int)
        assert isinstance(k, int)
        assert isinstance(offset, int)
        pitch = shape[1]
        if (row_b, column_b) not in ((pitch, 1), (1, pitch)) or not isinstance(pitch, int):
            return False
        wide = PANEL if n % PANEL == 0 and m != 1 else n
        panels = self.packed(found.b, n, k, wide, offset // pitch, offset % pitch, turned=column_b != 1)
        head = list(found.arguments[:12])
        head[1], head[5], head[6], head[10] = wide, wide, 1, 0
        level = (n // wide, 0, wide * k, wide)
        arguments = (*head, *level, *(item for one in levels[1:] for item in one))
        dtype = self.place.dtype
        kernel = Kernel("contraction", None, (("A", dtype), ("B", dtype), ("Y", dtype)))
        number = self.builder.kernel_number(kernel)
        written = self.own[s.write.tensor]
        buffers = (self.own[found.a], panels, written)
        launch = Launch(number, buffers, arguments, self.place.label, self.place.site, found.work)
        self.builder.launches.append(launch)
        place = offset // pitch, offset % pitch
        self.products[written] = _Product(launch, found.b, n, k, place, column_b != 1)
        return True

    def apart(self, s: Statement) -> Statement:
        """A sum of products that reads rows of a matrix from an offset, on a copy of them made before the steps."""
        if s.operator != "sum" or len(s.reads) != 2 or s.guards or s.lets:
            return s
        extents = {a.name: self.inner.value(a.extent) for a in s.axes}
        reads = []
        for placeholder, a in s.reads:
            own = [next((n for n in i.names() if n in extents), "") if isinstance(i, Affine) else "" for i in a.index]
            fixed = a.tensor in self.own and a.tensor not in self.slices and a.tensor not in self.written
            forms = [i - affine(n) for i, n in zip(a.index, own, strict=True) if isinstance(i, Affine) and n]
            plain = len(forms) == len(own) == 2 and not any(extents.keys() & set(form.names()) for form in forms)
            shifts = [shift for shift in map(self.inner.value, forms) if isinstance(shift, int)] if plain else []
            shape = tuple(extents[n] for n in own) if plain else ()
            if not fixed or a.flat or len(shifts) != 2 or not any(shifts) or not all(isinstance(e, int) for e in shape):
                reads.append((placeholder, a))
                continue
            axes = tuple(Axis(f"a{d}", affine(f"t0.{d}")) for d in range(2))
            index = tuple(affine({f"a{d}": 1}, shift) for d, shift in enumerate(shifts))
            write = Access("t0", tuple(affine(x.name) for x in axes))
            copy = Statement(write, "set", axes, (("v0", Access("t1", index)),), Symbol("v0"))
            dtype, builder, source = self.place.dtype, self.builder, self.own[a.tensor]
            number = builder.kernel_number(Kernel("loops", copy, (("t0", dtype), ("t1", dtype))))
            arguments = (*shape, *builder.buffers[source].shape)
            key = (number, (source,), arguments)
            if key not in builder.merged:
                result = builder.buffer(f"part of {a.tensor}", shape, dtype, "arena")
                label = f"part of {builder.buffers[source].name}"
                self.ahead.append(Launch(number, (result, source), arguments, label, self.place.site, elements(shape)))
                builder.merged[key] = result
            name = f"{a.tensor} from {' '.join(map(str, shifts))}"
            self.own[name] = builder.merged[key]
            placed = self.inner.placed
            self.inner = self.inner.extended({name: shape})
            self.inner.placed = placed
            reads.append((placeholder, replace(a, tensor=name, index=tuple(map(affine, own)))))
        return replace(s, reads=tuple(reads))

    def packed(
        self, tensor: str, n: int, k: int, wide: int, row: int, column: int, *, turned: bool, several: int = 1
    ) -> int:
        """Panels ``P[p, i, c, l] = B[i, n/several*c + wide*p + l]`` of a matrix, without c where it is 0.

        ``turned`` says that the tensor holds the transpose.
        """
        panel, inner = affine({"p": wide, "l": 1}), affine("i")
        extents = {"p": n // several // wide, "i": k, "l": wide}
        if several > 1:
            panel, extents = panel + affine({"c": n // several}), {"p": extents["p"], "i": k, "c": several, "l": wide}
        index = (panel + row, inner + column) if turned else (inner + row, panel + column)
        axes = tuple(Axis(name, affine({}, extent)) for name, extent in extents.items())
        write = Access("t0", tuple(map(affine, extents)))
        statement = Statement(write, "set", axes, (("v0", Access("t1", index)),), Symbol("v0"))
        axes = tuple(Axis(a.name, affine(f"t0.{d}")) for d, a in enumerate(axes))
        statement = replace(statement, axes=axes)
        dtype = self.place.dtype
        kernel = Kernel("loops", statement, (("t0", dtype), ("t1", dtype)))
        shape = tuple(extents.values())
        builder, source = self.builder, self.own[tensor]
        key = (builder.kernel_number(kernel), (source,), (*shape, *builder.buffers[source].shape))
        if key not in builder.merged:
            result = builder.buffer(f"panels of {tensor}", shape, dtype, "arena")
            label = f"panels of {builder.buffers[source].name}"
            self.ahead.append(Launch(key[0], (result, source), key[2], label, self.place.site, n * k))
            builder.merged[key] = result
        return builder.merged[key]

    # ---- chains ----------------------------------------------------------------------------------------

    def chain(self, items: list[Elementwise], waiting: list[int]) -> None:
        """One launch for elementwise statements over the same axes."""
        later = {t for k in waiting for t in (*self.statements[k].tensors(), self.statements[k].write.tensor)}
        accesses: dict[tuple[int, Pattern], int] = {}
        lines: list[tuple[Expression, tuple[int, Pattern] | None, bool]] = []
        values: dict[tuple[int, Pattern], str] = {}  # what an earlier line has made
        for item in items:
            replacements: dict[str, Expression] = {}
            for placeholder, key in item.reads:
                if key in values:
                    replacements[placeholder] = Symbol(values[key])
                else:
                    replacements[placeholder] = Symbol(f"@{accesses.setdefault(key, len(accesses))}")
            body = substitute(item.body, replacements)
            adds = item.accumulate
            if adds and item.write in values:
                body, adds = substitute(_SUM, {"x": Symbol(values[item.write]), "y": body}), False
            values[item.write] = f"r{len(lines)}"
            lines.append((body, item.write, adds))
        # a line is stored where something else reads it: what is overwritten by a later line is not
        last = {write: k for k, (_, write, _) in enumerate(lines)}
        stored = {}
        for k, (_, write, adds) in enumerate(lines):
            assert write is not None
            buffer = self.builder.buffers[write[0]]
            local = buffer.view_of is None and self.name_of(write[0]) not in later
            if adds or (last[write] == k and not local):
                stored[k] = write
        order = list(dict.fromkeys(stored.values()))
        place_of = {key: k for k, key in enumerate(order)}
        for key in accesses:
            place_of.setdefault(key, len(place_of))
        names: dict[str, Expression] = {f"@{k}": Symbol(f"a{place_of[key]}") for key, k in accesses.items()}
        final = tuple(
            Line(substitute(body, names), place_of[stored[k]] if k in stored else -1, adds)
            for k, (body, _, adds) in enumerate(lines)
        )
        rank = len(items[0].extents)
        keys = list(place_of)
        joined = self.behind_product(items, keys, len(order), final, later)
        if joined is not None:
            self.builder.launches.append(joined)
            for item in items:
                self.started.add(self.name_of(item.write[0]))
            return
        literals = (rank, len(order), *(int(key[1].steps[-1] != 0) if rank else 0 for key in keys))
        dtypes = tuple((f"a{k}", self.builder.buffers[key[0]].dtype) for k, key in enumerate(keys))
        kernel = Kernel("chain", None, dtypes, literals, lines=final)
        arguments = (
            *items[0].extents,
            *(x for key in keys for x in (key[1].offset, *key[1].steps[: max(rank - 1, 0)])),
        )
        work: Extent = sum(max(operation_count(line.body), 1) for line in final)
        for extent in items[0].extents:
            work = extent * work
        number = self.builder.kernel_number(kernel)
        buffers = tuple(key[0] for key in keys)
        self.builder.launches.append(Launch(number, buffers, arguments, self.place.label, self.place.site, work))
        for item in items:
            self.started.add(self.name_of(item.write[0]))

    def behind_product(
        self,
        items: list[Elementwise],
        keys: list[tuple[int, Pattern]],
        stores: int,
        lines: tuple[Line, ...],
        later: Collection[str],
    ) -> Launch | None:
        """The launch of a chain together with the product that it alone reads, which is then never stored; or None."""
        builder, extents, dtype = self.builder, items[0].extents, self.place.dtype
        if "product_chain" not in builder.target.schedules or len(extents) != 2:
            return None
        examples, units = extents
        for number in {key[0] for key in keys[stores:]} & self.products.keys():
            product, own = self.products[number], [key for key in keys if key[0] == number]
            a = product.launch.buffers[0]
            place = next((k for k, x in enumerate(builder.launches[self.begin :]) if x is product.launch), None)
            if place is None or not isinstance(units, int) or product.n % units:
                continue
            several = product.n // units
            lanes = 4 * builder.target.lanes // item_bytes(dtype)
            wide = next((w * lanes for w in (4, 2, 1) if w * several <= _VECTORS and units % (w * lanes) == 0), 0)
            starts = [key[1].offset for key in own]
            alone = builder.buffers[number].view_of is None and self.name_of(number) not in later
            head = product.launch.arguments
            plain = (head[0], head[4], head[7], head[8], head[11]) == (examples, 1, product.n, 0, 0) and examples != 1
            if (
                not isinstance(product.k, int)
                or not (wide and alone and plain)
                or number in {key[0] for key in keys[:stores]}
            ):
                continue
            if any(key[1].steps != (product.n, 1) for key in own):
                continue
            if not all(isinstance(s, int) and s % units == 0 for s in starts):
                continue
            after = builder.launches[self.begin + place + 1 :]
            touched = {n for launch in after for n in launch.buffers}
            changed = {builder.base(n) for x in after for n in builder.kernel_list[x.kernel].written(x.buffers)}
            if number in touched or builder.base(a) in changed:
                continue
            if not all(self.beside(a, key[0]) for key in keys[:stores]):
                continue
            # the accesses of the product become what the tile holds
            others = [key for key in keys if key[0] != number]
            names: dict[str, Expression] = {}
            for k, key in enumerate(keys):
                if key[0] == number:
                    assert isinstance(key[1].offset, int)
                    names[f"a{k}"] = Symbol(f"p{key[1].offset // units}")
                else:
                    names[f"a{k}"] = Symbol(f"a{others.index(key)}")
            final = tuple(replace(line, body=substitute(line.body, names)) for line in lines)
            panels = self.packed(
                product.tensor, product.n, product.k, wide, *product.place, turned=product.turned, several=several
            )
            moving = (int(key[1].steps[-1] != 0) for key in others)
            dtypes = tuple((f"a{k}", builder.buffers[key[0]].dtype) for k, key in enumerate(others))
            kernel = Kernel(
                "product_chain", None, (*dtypes, ("A", dtype), ("P", dtype)), (2, stores, several, wide, *moving),
                lines=final,
            )  # fmt: skip
            places = (x for key in others for x in (key[1].offset, key[1].steps[0]))
            work: Extent = sum(max(operation_count(line.body), 1) for line in final)
            work = examples * (units * work) + product.launch.work
            del builder.launches[self.begin + place]
            del self.products[number]
            buffers = (*(key[0] for key in others), a, panels)
            return Launch(
                builder.kernel_number(kernel), buffers, (*extents, *places, head[3], head[9], product.k),
                self.place.label, self.place.site, work,
            )  # fmt: skip
        return None

    def beside(self, a: int, b: int) -> bool:
        """Whether no element of one buffer is one of the other: of another tensor, or of another step of this one."""
        if self.builder.base(a) != self.builder.base(b):
            return True
        first, second = self.builder.buffers[a], self.builder.buffers[b]
        gap, count = first.offset - second.offset, elements(first.shape)
        return first.step == second.step and first.shape == second.shape and gap in (count, -1 * count)

    def name_of(self, buffer: int) -> str:
        return next(name for name, number in self.own.items() if number == buffer)


_SUM = call("add", Symbol("x"), Symbol("y"))


def _foldable(s: Statement, tensor: str) -> bool:
    """Whether a tensor of one value everywhere can be written into the body."""
    plain = any(a.tensor == tensor for _, a in s.reads)
    hidden = any(isinstance(g, Wins) and g.access.tensor == tensor for g in s.guards)
    hidden |= any(isinstance(i, Gather) and i.access.tensor == tensor for _, a in s.reads for i in a.index)
    return plain and not hidden
