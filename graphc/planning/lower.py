"""From a graph to a launch plan: merge, fold, view, split, recognise, schedule, place.

`plan` reads as its pipeline. Nothing here is compiled: the result is plain data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphc.errors import PlanError, Site
from graphc.formula.expression import (
    ZERO,
    Expression,
    Number,
    Symbol,
    fold,
    number,
    operation_count,
    substitute,
    symbols,
)
from graphc.formula.gather import gather
from graphc.formula.size import Extent, Size
from graphc.formula.statement import Access, Affine, Axis, Formula, Statement, affine, affine_extent, size_name
from graphc.graph.node import Node, topological
from graphc.planning.canonical import Canonical, canonical, sizes_used
from graphc.planning.collapse import collapse_axes
from graphc.planning.contraction import recognise, split_windows
from graphc.planning.convolution import recognise_convolution
from graphc.planning.factors import factor_out
from graphc.planning.fusion import drop_kernels, fuse_elementwise
from graphc.planning.layout import lay_out
from graphc.planning.moments import join_moments
from graphc.planning.plan import THREADS, Buffer, Kernel, Launch, Plan, Stage, elements
from graphc.planning.pooling import fuse_pooling
from graphc.planning.repeats import Place, lower_part, lower_repeat, repeated
from graphc.planning.schedule import schedule
from graphc.planning.sums import join_sums
from graphc.planning.target import Target
from graphc.planning.updates import update_in_place
from graphc.planning.winograd import Prepared

__all__ = ["plan"]


@dataclass
class _Buffer:
    """A buffer while it is being planned."""

    name: str
    shape: tuple[Extent, ...]
    dtype: str
    role: str
    view_of: int | None = None
    first: int = -1
    last: int = -1
    segment: int = -1
    private: bool = False
    offset: Extent = 0
    step: Extent = 0


@dataclass
class _Builder:
    dtype: str
    representative: Mapping[Node, Node]
    buffers: list[_Buffer] = field(default_factory=list)
    kernels: dict[str, int] = field(default_factory=dict)
    kernel_list: list[Kernel] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    of_node: dict[Node, int] = field(default_factory=dict)
    scalars: dict[Node, float] = field(default_factory=dict)  # nodes with one value everywhere: folded into kernels
    merged: dict[Any, int] = field(default_factory=dict)  # launch key -> buffer it writes
    leaves: dict[int, Node] = field(default_factory=dict)
    training: bool = True
    target: Target = field(default_factory=Target)
    # looked up by identity: statements are shared by every application of a template and kept alive here
    templates: dict[int, tuple[Statement, Canonical]] = field(default_factory=dict)
    numbers: dict[Any, tuple[Kernel, int]] = field(default_factory=dict)
    folded: dict[Any, tuple[Statement, Statement]] = field(default_factory=dict)
    carriers: dict[Extent, int] = field(default_factory=dict)  # arrays that are there for their length
    repeats: list[Extent] = field(default_factory=list)  # how often the launches of each repeat run

    # ---- buffers ---------------------------------------------------------------------------------

    def own_dtype(self, node: Node) -> str:
        return self.dtype if node.is_float else "int32"

    def buffer(
        self,
        name: str,
        shape: tuple[Extent, ...],
        dtype: str,
        role: str,
        view_of: int | None = None,
    ) -> int:
        self.buffers.append(_Buffer(name, shape, dtype, role, view_of))
        return len(self.buffers) - 1

    def base(self, number: int) -> int:
        while True:
            parent = self.buffers[number].view_of
            if parent is None:
                return number
            number = parent

    def leaf(self, node: Node) -> None:
        role = {
            "input": "input",
            "parameter": "parameter",
            "state": "state",
            "constant": "constant",
        }[node.kind]
        number = self.buffer(node.label, node.shape, self.own_dtype(node), role)
        self.of_node[node] = number
        self.leaves[number] = node

    def materialised(self, node: Node) -> int:
        """Buffer of a node; a folded constant gets one when somebody needs its memory."""
        node = self.representative[node]
        if node not in self.of_node:
            value = self.scalars[node]
            if node.shape == ():
                constant = Node("constant", (), node.dtype, node.site, name=node.name, value=value)
                self.leaf(constant)
                self.of_node[node] = self.of_node[constant]
            else:
                self.of_node[node] = self.filled(node, value)
        return self.of_node[node]

    def filled(self, node: Node, value: float) -> int:
        """Buffer in which every element has one value."""
        axes = tuple(Axis(f"a{d}", affine(f"t0.{d}")) for d in range(len(node.shape)))
        write = Access("t0", tuple(affine(axis.name) for axis in axes))
        kernel = Kernel("loops", Statement(write, "set", axes, (), number(value)), (("t0", self.own_dtype(node)),))
        result = self.buffer(node.label, node.shape, self.own_dtype(node), "arena")
        self.launches.append(Launch(self.kernel_number(kernel), (result,), node.shape, f"fill {node.label}", node.site))
        return result

    # ---- nodes -----------------------------------------------------------------------------------

    def node(self, node: Node) -> None:
        if node.kind == "constant" and isinstance(node.value, float):
            self.scalars[node] = node.value
        elif node.kind == "mode":
            self.scalars[node] = float(self.training)
        elif node.application is None:
            self.leaf(node)
        elif node not in self.of_node and node not in self.scalars:
            self.application(node)

    def application(self, node: Node) -> None:
        application = node.application
        assert application is not None
        formula, sizes = application.formula, application.sizes
        operands = [self.representative[operand] for operand in application.operands]
        constants = {t: self.scalars[o] for t, o in zip(formula.inputs, operands, strict=True) if o in self.scalars}
        tensors = {t: self.of_node[o] for t, o in zip(formula.inputs, operands, strict=True) if o not in self.scalars}
        label = application.gate.name if application.gate is not None else formula.name
        named = node.name or next((o.name for o in reversed(operands) if o.kind == "parameter"), None)
        if named is not None:
            label += f" {named}"
        names = _SizedNames(formula, sizes)
        # what is added to later must own its memory: a view would change what it looks at
        names.added_to = frozenset(s.write.tensor for s in formula.statements if s.accumulate)
        dtype = self.own_dtype(node) if node.is_float else self.dtype
        by_name = dict(zip(formula.inputs, operands, strict=True))
        for position, (repeat, group) in enumerate(formula.groups()):
            if not group:
                continue
            if repeat is not None:
                for tensor in dict.fromkeys(t for s in group for t in s.tensors()):
                    if tensor in by_name and tensor not in tensors and tensor not in constants:
                        tensors[tensor] = self.materialised(by_name[tensor])
                place = Place(label, application.site, f"{node.id}.{position}", dtype)
                kept = {
                    t for o, t in zip(application.outputs, formula.outputs, strict=True) if o in self.representative
                }
                kept |= {t for s in formula.statements if s not in group for t in s.tensors()}
                lower_repeat(self, repeat, group, names, tensors, constants, kept, place)
                continue
            statement = self.fold(group[0], constants)
            target = statement.write.tensor
            if statement.accumulate and target in constants:  # nothing but zeros so far
                statement = self.first(statement)
                del constants[target]
            elif statement.accumulate and statement.body == ZERO:
                continue
            if statement.partial and target in constants:
                tensors[target] = self.filled(
                    Node("constant", names.shape(target), node.dtype, node.site, name=target), constants.pop(target)
                )
            value = None if statement.partial else self.everywhere(statement, names)
            if value is not None:
                constants[target] = value
                continue
            for tensor in statement.tensors():  # positions are read from memory, even where they are all equal
                if tensor in by_name and tensor not in tensors:
                    tensors[tensor] = self.materialised(by_name[tensor])
            if statement.partial:
                place = Place(label, application.site, f"{node.id}.{position}", dtype)
                lower_part(self, statement, names, tensors, place)
                continue
            self.statement(statement, names, tensors, label, application.site, f"{node.id}.{position}", dtype)
        for output, tensor in zip(application.outputs, formula.outputs, strict=True):
            if tensor in constants:
                self.scalars[output] = constants[tensor]
            elif tensor in tensors:  # of a repeat, some are only there while a step runs
                self.of_node[output] = tensors[tensor]

    def everywhere(self, statement: Statement, names: _SizedNames) -> float | None:
        """The value that every element of the written tensor has, if the body no longer reads any."""
        target, body = statement.write.tensor, statement.body
        if statement.accumulate or not isinstance(body, Number) or target in names.integers:
            return None
        if body == ZERO and statement.operator in ("set", "sum"):
            return 0.0
        plain = statement.operator == "set" and not statement.guards and target not in names.added_to
        return float(body.value) if plain and statement.race_free() else None

    def first(self, statement: Statement) -> Statement:
        """An addition to zeros as the first write."""
        key = (id(statement), "first")
        if key not in self.folded:
            self.folded[key] = (statement, replace(statement, accumulate=False))
        return self.folded[key][1]

    def fold(self, statement: Statement, constants: Mapping[str, float]) -> Statement:
        """Write constants into the body, exactly where they are whole numbers."""
        values = tuple(
            (p, constants[a.tensor])
            for p, a in statement.reads
            if a.tensor in constants and (a.outside == "forbidden" or constants[a.tensor] == 0)
        )
        if not values:
            return statement
        key = (id(statement), repr(values))
        if key not in self.folded:
            replacements: dict[str, Expression] = {p: number(value) for p, value in values}
            body = fold(substitute(statement.body, replacements))
            used = set(symbols(body))
            reads = tuple((p, a) for p, a in statement.reads if p in used)
            self.folded[key] = (statement, replace(statement, body=body, reads=reads))
        return self.folded[key][1]

    # ---- statements ------------------------------------------------------------------------------

    def statement(
        self,
        statement: Statement,
        names: _SizedNames,
        tensors: dict[str, int],
        label: str,
        site: Site,
        prefix: str,
        dtype: str,
    ) -> None:
        view = self.view(statement, names, tensors, label)
        if view is not None:
            tensors[statement.write.tensor] = view
            return
        if statement.write.flat or any(a.flat for _, a in statement.reads):
            raise PlanError(
                f"{label}: only a plain reshape may use flat accesses in a compiled graph: {statement}\n"
                f"  declared at {site}",
                site=site,
            )
        if self.convolution(statement, names, tensors, label, site, prefix, dtype):
            return
        if self.row(statement, names, tensors, Place(label, site, prefix, dtype)):
            return
        factored = factor_out(statement, names.sizes, prefix)
        if factored is not None:
            inner = names.extended({factored.tensor: names.shape(statement.write.tensor)})
            self.one(factored.inner, inner, tensors, label, site, dtype)
            self.one(factored.outer, inner, tensors, label, site, dtype)
            return
        split = split_windows(statement, names.sizes, prefix)
        if split is not None:
            inner = names.extended(split.tensors)
            if (
                recognise(
                    split.statements[0 if len(split.statements) == 1 else _product_of(split.statements)],
                    inner.sizes,
                )
                is not None
            ):
                for part in split.statements:
                    self.one(part, inner, tensors, label, site, dtype)
                return
        self.one(statement, names, tensors, label, site, dtype)

    def row(self, statement: Statement, names: _SizedNames, tensors: dict[str, int], place: Place) -> bool:
        """Emit a statement that writes one row: its kernel must not know which."""
        target, index = statement.write.tensor, statement.write.index
        if statement.write.flat or not index or not isinstance(index[0], Affine) or not statement.race_free():
            return False
        axes = {axis.name for axis in statement.axes}
        if axes & set(index[0].names()) or (not index[0].terms and index[0].constant < 2) or target in names.placed:
            return False
        if statement.guards or statement.lets or target in statement.tensors():
            return False
        if not statement.accumulate:
            shape, dtype = names.shape(target), "int32" if target in names.integers else place.dtype
            kind = "int32" if dtype == "int32" else "float32"
            tensors[target] = self.filled(Node("constant", shape, kind, place.site, name=target), 0.0)
        elif target not in tensors:
            return False
        lower_part(self, replace(statement, partial=not statement.accumulate), names, tensors, place)
        return True

    def convolution(
        self,
        statement: Statement,
        names: _SizedNames,
        tensors: dict[str, int],
        label: str,
        site: Site,
        prefix: str,
        dtype: str,
    ) -> bool:
        """Emit a convolution with the copies that it reads, where one is recognised."""
        target = statement.write.tensor
        if target in names.integers or any(self.buffers[tensors[t]].dtype != dtype for t in statement.tensors()):
            return False
        found = recognise_convolution(statement, names.sizes, prefix, self.target)
        if found is None:
            return False
        inner = names.extended(found.tensors)
        for part in found.statements:
            self.one(part, inner, tensors, label, site, dtype)

        def transform(made: Prepared | None) -> None:
            if made is not None:
                kernel = Kernel(made.kind, None, (("A", dtype), ("Y", dtype)), made.literals)
                read, own = (tensors[made.read],), (tensors, statement, label, site, dtype, made.work)
                self.launch(kernel, made.written, read, made.arguments, inner, *own)

        transform(found.prepared)
        kernel = Kernel(found.kind, None, (("A", dtype), ("B", dtype), ("Y", dtype)), found.literals)
        read = (tensors[found.reads[0]], tensors[found.reads[1]])
        arguments, work = found.arguments, found.work
        if found.after is None:
            self.launch(kernel, target, read, arguments, names, tensors, statement, label, site, dtype, work)
        else:
            ((_, summed),) = found.after.reads
            written = summed.tensor if found.finished is None else found.finished.read
            self.launch(kernel, written, read, arguments, inner, tensors, statement, label, site, dtype, work)
            transform(found.finished)
            self.one(found.after, inner, tensors, label, site, dtype)
        return True

    def view(self, statement: Statement, names: _SizedNames, tensors: dict[str, int], label: str) -> int | None:
        """Buffer number of a view, where the statement only renames or reshapes."""
        if statement.operator not in ("set", "sum") or statement.accumulate or statement.guards or statement.lets:
            return None
        if len(statement.reads) != 1 or not isinstance(statement.body, Symbol):
            return None
        if statement.write.tensor in names.added_to or statement.write.tensor in names.placed:
            return None
        ((placeholder, access),) = statement.reads
        if statement.body.name != placeholder or access.outside != "forbidden":
            return None
        rows = self.rows(statement, access, names, tensors)
        if rows is not None:
            alone = len(statement.write.index) < len(access.index) and self.buffers[self.base(rows)].role == "arena"
            # one row would keep all of them alive: it is copied
            return self.copied(rows, label, statement.write.tensor) if alone else rows
        if (access.index, access.flat) != (
            statement.write.index,
            statement.write.flat,
        ) or statement.reduced():
            return None
        if not statement.write.flat and not statement.race_free():
            return None
        target = statement.write.tensor
        shape = names.shape(target)
        source = tensors[access.tensor]
        if not statement.write.flat and self.buffers[source].shape != shape:
            return None
        dtype = self.buffers[source].dtype
        return self.buffer(target, shape, dtype, self.buffers[source].role, source)

    def rows(self, statement: Statement, access: Access, names: _SizedNames, tensors: dict[str, int]) -> int | None:
        """Buffer number of a view of one row, or of rows that follow each other."""
        write, first = statement.write, access.index[0] if access.index else None
        if access.flat or write.flat or not isinstance(first, Affine) or not statement.race_free():
            return None
        source = tensors[access.tensor]
        held, shape = self.buffers[source].shape, names.shape(write.tensor)
        axes = {axis.name for axis in statement.axes}
        kept = write.index[:1] if len(write.index) == len(access.index) else ()
        if access.index[1:] != write.index[len(kept) :] or held[1:] != shape[len(kept) :] or statement.reduced():
            return None
        begin = first - kept[0] if kept and isinstance(kept[0], Affine) else first
        if axes & set(begin.names()) or (kept and not begin.terms and not begin.constant):
            return None
        extents = {axis.name: names.value(axis.extent) for axis in statement.axes}
        plain = [item.plain() if isinstance(item, Affine) else None for item in write.index]
        if any(p not in extents or extents[p] != e for p, e in zip(plain, shape, strict=True)):
            return None
        view = self.buffer(write.tensor, shape, self.buffers[source].dtype, self.buffers[source].role, source)
        self.buffers[view].offset = elements(held[1:]) * names.value(begin)
        return view

    def one(
        self,
        statement: Statement,
        names: _SizedNames,
        tensors: dict[str, int],
        label: str,
        site: Site,
        dtype: str,
    ) -> None:
        """Emit one launch for a statement: a contraction where recognised, else derived loops."""
        statement, names, tensors = self.sized(statement, names, tensors)
        target = statement.write.tensor
        own = "int32" if target in names.integers else dtype
        contraction = recognise(statement, names.sizes) if own == dtype else None
        if contraction is not None:
            kernel = Kernel("contraction", None, (("A", dtype), ("B", dtype), ("Y", dtype)))
            read = (tensors[contraction.a], tensors[contraction.b])
            self.launch(
                kernel,
                target,
                read,
                contraction.arguments,
                names,
                tensors,
                statement,
                label,
                site,
                own,
                contraction.work,
            )
            return
        result = self.template(statement, names)
        order = result.tensors
        dtypes = [(f"t{k}", own if t == target else self.buffers[tensors[t]].dtype) for k, t in enumerate(order)]
        kernel = Kernel("loops", result.statement, tuple(dtypes))
        arguments = tuple(names.sizes[size_name(t, d)] for t in order for d in range(names.ranks[t]))
        read = tuple(tensors[t] for t in order if t != target)
        work: Extent = max(operation_count(statement.body), 1) + (statement.operator != "set")
        for axis in statement.axes:
            work = names.value(axis.extent) * work
        self.launch(kernel, target, read, arguments, names, tensors, statement, label, site, own, work)

    def sized(
        self, statement: Statement, names: _SizedNames, tensors: dict[str, int]
    ) -> tuple[Statement, _SizedNames, dict[str, int]]:
        """A statement that also reads, but does not use, an array as long as each run-time size it has no tensor of.

        A kernel knows the extents of its own tensors only: ``y[c] = m[c]/size(x, 0)`` gets one of ``size(x, 0)``
        elements.
        """
        own = {names.sizes[size_name(t, d)] for t in statement.tensors() for d in range(names.ranks[t])}
        own.update(names.shape(statement.write.tensor))
        missing = {names.sizes[name] for name in sizes_used(statement)} - own
        extents = sorted((e for e in missing if not isinstance(e, int)), key=str)
        if not extents:
            return statement, names, tensors
        carriers = {f"size {extent}": extent for extent in extents}
        for tensor, extent in carriers.items():
            if extent not in self.carriers:
                self.carriers[extent] = self.buffer(tensor, (extent,), "int32", "arena")
            tensors[tensor] = self.carriers[extent]
        reads = tuple((tensor, Access(tensor, (affine({}),))) for tensor in carriers)
        names = names.extended({tensor: (extent,) for tensor, extent in carriers.items()})
        return replace(statement, reads=(*statement.reads, *reads)), names, tensors

    def template(self, statement: Statement, names: _SizedNames) -> Canonical:
        """Canonical form of a statement, made once for each template."""
        known = self.templates.get(id(statement))
        if known is not None:
            return known[1]
        form = statement
        if not statement.race_free() and statement.reduced():
            # one thread may scatter: gathering pays only where a reduction then stays in a register
            form = gather(statement) or statement
        result = canonical(form, names.ranks, names.sizes)
        if result.portable and statement.write.tensor not in names.added_to:
            self.templates[id(statement)] = (statement, result)
        return result

    def kernel_number(self, kernel: Kernel) -> int:
        """Number of a kernel; equal keys are one kernel."""
        quick = (id(kernel.statement), kernel.lines, kernel.kind, kernel.dtypes, kernel.literals, kernel.shard)
        if quick not in self.numbers:
            key = kernel.key()
            if key not in self.kernels:
                self.kernels[key] = len(self.kernel_list)
                self.kernel_list.append(kernel)
            self.numbers[quick] = (kernel, self.kernels[key])
        return self.numbers[quick][1]

    def launch(
        self,
        kernel: Kernel,
        target: str,
        read: tuple[int, ...],
        arguments: tuple[Extent, ...],
        names: _SizedNames,
        tensors: dict[str, int],
        statement: Statement,
        label: str,
        site: Site,
        dtype: str,
        work: Extent,
    ) -> None:
        number = self.kernel_number(kernel)
        same = (number, read, arguments)
        if not statement.accumulate:
            # what is added to later has a history of its own: it is neither shared nor offered for sharing
            shared = target not in names.added_to and target not in names.placed
            if shared and same in self.merged:  # the same kernel on the same data: computed once
                tensors[target] = self.merged[same]
                return
            if target not in names.placed:
                tensors[target] = self.buffer(target, names.shape(target), dtype, "arena")
            if shared:
                self.merged[same] = tensors[target]
        # what is placed is a part of a buffer that is there already
        written = tensors[target]
        buffers = (written, *read) if kernel.kind == "loops" else (*read, written)
        self.launches.append(Launch(number, buffers, arguments, label, site, work))

    def kept_apart(self, number: int, label: str) -> int:
        """Buffer with a copy of what may change, so that the order in which new values are stored cannot matter."""
        return number if self.buffers[self.base(number)].role == "arena" else self.copied(number, label)

    def copied(self, number: int, label: str, name: str = "") -> int:
        """Buffer with a copy."""
        source = self.buffers[number]
        axes = tuple(Axis(f"a{d}", affine(f"t0.{d}")) for d in range(len(source.shape)))
        index = tuple(affine(axis.name) for axis in axes)
        statement = Statement(Access("t0", index), "set", axes, (("v0", Access("t1", index)),), Symbol("v0"))
        kernel = Kernel("loops", statement, (("t0", source.dtype), ("t1", source.dtype)))
        copy = self.buffer(name or source.name, source.shape, source.dtype, "arena")
        self.launches.append(Launch(self.kernel_number(kernel), (copy, number), (*source.shape, *source.shape), label))
        return copy


def _product_of(statements: Sequence[Statement]) -> int:
    return max(range(len(statements)), key=lambda k: len(statements[k].reads))


class _SizedNames:
    """Sizes, ranks and extents of the tensors of one application, patches included."""

    def __init__(self, formula: Formula, sizes: Mapping[str, Extent]) -> None:
        self.sizes = sizes
        self.ranks: Mapping[str, int] = formula.ranks
        self.integers = formula.integers
        self.added_to: frozenset[str] = frozenset()
        self.placed: frozenset[str] = frozenset()
        self.parts: set[str] = set()  # rows that a partial statement has begun to set

    def extended(self, tensors: Mapping[str, tuple[Extent, ...]], integers: Iterable[str] = ()) -> _SizedNames:
        result = object.__new__(_SizedNames)
        result.sizes = {
            **self.sizes,
            **{size_name(t, d): e for t, shape in tensors.items() for d, e in enumerate(shape)},
        }
        result.ranks = {**self.ranks, **{t: len(shape) for t, shape in tensors.items()}}
        result.integers = self.integers | frozenset(integers)
        result.added_to = self.added_to
        result.placed = self.placed
        result.parts = self.parts
        return result

    def shape(self, tensor: str) -> tuple[Extent, ...]:
        return tuple(self.sizes[size_name(tensor, d)] for d in range(self.ranks[tensor]))

    def value(self, form: Affine) -> Extent:
        return affine_extent(form, self.sizes)


def plan(
    outputs: Sequence[Node],
    gradients: Mapping[str, Node] | None = None,
    updates: Sequence[tuple[Node, Node]] = (),
    *,
    dtype: str = "float32",
    leaves: Iterable[Node] = (),
    training: bool = True,
    fuse: bool = True,
    shard: bool = True,
    target: Target | None = None,
) -> tuple[Plan, dict[int, Node]]:
    """Plan the evaluation of nodes.

    Parameters
    ----------
    outputs : sequence of Node
        What a call returns.
    gradients : mapping, optional
        Gradient nodes by name.
    updates : sequence of (leaf, value), optional
        Parameters and states with the nodes they become after the launches.
    dtype : str, default ``"float32"``
        Dtype of every float.
    leaves : nodes, optional
        Leaves that get a buffer even where nothing reads them.
    training : bool, default True
        What ``is_training()`` stands for.
    fuse : bool, default True
        Whether elementwise launches go into the kernels that read them.
    shard : bool, default True
        Whether threads take their own examples of the batch through launches.
    target : Target, optional
        What the kernels take; by default wide vectors and every schedule.

    Returns
    -------
    Plan
    dict
        Leaf node of each input, parameter, state and constant buffer.

    Raises
    ------
    PlanError
        If a statement cannot be lowered.
    """
    gradients = gradients or {}
    roots = [
        *outputs,
        *gradients.values(),
        *(value for _, value in updates),
        *(leaf for leaf, _ in updates),
    ]
    order, representative = _merge([*leaves, *roots])
    builder = _Builder(dtype, representative, training=training, target=target or Target())
    for node in order:
        builder.node(node)
    kept = [builder.materialised(node) for node in outputs]
    kept_gradients = {name: builder.materialised(node) for name, node in gradients.items()}
    pairs = [
        (builder.materialised(leaf), builder.kept_apart(builder.materialised(value), f"update {leaf.label}"))
        for leaf, value in updates
    ]
    return _finish(builder, kept, kept_gradients, pairs, fuse=fuse, shard=shard), builder.leaves


def _merge(roots: Iterable[Node]) -> tuple[list[Node], dict[Node, Node]]:
    """Merge common subexpressions: nodes with equal formulas and equal operands have one representative."""
    representative: dict[Node, Node] = {}
    table: dict[Any, Node] = {}
    order = []
    for node in topological(roots):
        application = node.application
        if application is None:
            key: Any = ("constant", repr(node.value), node.dtype) if isinstance(node.value, float) else node.id
        else:
            operands = tuple(representative[o].id for o in application.operands)
            key = (application.formula, operands, node.output, node.shape)
        representative[node] = table.setdefault(key, node)
        if representative[node] is node:
            order.append(node)
    return order, representative


def _drop_unused(builder: _Builder, kept: Iterable[int]) -> None:
    """Drop launches whose result nobody reads."""
    needed = {builder.base(number) for number in kept}
    launches: set[int] = set()
    for together in reversed(repeated(builder.launches)):
        while True:  # in a repeat, what a step reads may be written by the step before
            own = [k for k in together if k not in launches and _writes(builder, builder.launches[k]) & needed]
            if not own:
                break
            for k in reversed(own):
                needed |= {builder.base(number) for number in builder.launches[k].buffers}
                launches.add(k)
    builder.launches = [builder.launches[k] for k in sorted(launches)]
    for position, buffer in enumerate(builder.buffers):
        if buffer.role == "arena" and buffer.view_of is None and position not in needed:
            buffer.shape = (0,)


def _writes(builder: _Builder, launch: Launch) -> set[int]:
    return {builder.base(number) for number in builder.kernel_list[launch.kernel].written(launch.buffers)}


def _finish(
    builder: _Builder,
    outputs: list[int],
    gradients: dict[str, int],
    updates: list[tuple[int, int]],
    *,
    fuse: bool,
    shard: bool,
) -> Plan:
    needed = [*outputs, *gradients.values(), *(number for pair in updates for number in pair)]
    _drop_unused(builder, needed)
    if fuse:
        lay_out(builder, needed)
        fuse_elementwise(builder, needed)
        if lay_out(builder, needed):  # what was added up in several launches is one by now
            fuse_elementwise(builder, needed)
        if "pooling" in builder.target.schedules:
            fuse_pooling(builder, needed)
            if any(kernel.kind == "pooling" for kernel in builder.kernel_list):
                lay_out(builder, needed)
        _drop_unused(builder, needed)
        update_in_place(builder, updates, [*outputs, *gradients.values()])
        collapse_axes(builder)
        if "sums" in builder.target.schedules:
            join_moments(builder, needed)
            join_sums(builder, needed)
    scheduled = schedule(builder, needed, shard=shard)
    drop_kernels(builder)
    _live(builder, scheduled.stages, needed)
    sizes: set[str] = set()
    final = []
    for buffer in builder.buffers:
        base, offset, step = buffer, buffer.offset, buffer.step
        while base.view_of is not None:
            base = builder.buffers[base.view_of]
            offset, step = base.offset + offset, base.step + step
        final.append(
            Buffer(
                buffer.name,
                buffer.shape,
                buffer.dtype,
                base.role,
                max(base.first, 0),
                max(base.last, 0),
                buffer.view_of,
                base.segment,
                base.private,
                offset,
                step,
            )
        )
        for extent in (*buffer.shape, offset, step):
            if isinstance(extent, Size):
                sizes |= extent.names()
    return Plan(
        tuple(final),
        tuple(builder.kernel_list),
        tuple(builder.launches),
        tuple(sorted(sizes - {THREADS})),
        tuple(outputs),
        gradients,
        tuple(updates),
        scheduled.stages,
        scheduled.batch,
        tuple(builder.repeats),
    )


def _live(builder: _Builder, stages: Sequence[Stage], kept: Iterable[int]) -> None:
    """Note from where to where each buffer lives: in stages, inside a segment in launches."""
    for time, stage in enumerate(stages):
        for position in (k for segment in stage.segments for k in segment.launches):
            for touched in builder.launches[position].buffers:
                buffer = builder.buffers[builder.base(touched)]
                moment = time if buffer.segment < 0 else position
                if buffer.first < 0:
                    buffer.first = moment
                buffer.last = moment
    for needed in kept:
        buffer = builder.buffers[builder.base(needed)]
        buffer.first = max(buffer.first, 0)
        buffer.last = len(stages)
