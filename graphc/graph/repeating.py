"""From a traced cell to one formula with a repeat: the statements of all its gates, each with an axis for the step.

A tensor of the cell gets a row for each step; a state one more, for what is there before the first. What the cell only
looks at (weights, masks) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphc.errors import ShapeError, Site
from graphc.formula.expression import Call, Expression, substitute
from graphc.formula.expression import Symbol as Name
from graphc.formula.size import Extent
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Formula,
    Gather,
    Let,
    Statement,
    affine,
    fresh,
    mapped_guard,
    size_name,
)
from graphc.formula.steps import assembled, split
from graphc.graph.node import Application, Node, topological

__all__ = ["Cell", "Unrolling", "repeated_cell"]


@dataclass(eq=False)
class Cell:
    """One step as it was traced.

    Attributes
    ----------
    inputs, states : tuple of Node
        Stand-ins for what a step reads: its part of each sequence, and the states before it.
    outputs, following : tuple of Node
        What the step gives, and the states behind it.
    """

    inputs: tuple[Node, ...]
    states: tuple[Node, ...]
    outputs: tuple[Node, ...]
    following: tuple[Node, ...]


@dataclass(eq=False)
class Unrolling(Application):
    """A cell at every step: the application of a formula with a repeat.

    Attributes
    ----------
    cell : Cell
    steps : int or Size
    backward : bool
        Whether the last step comes first.
    sequences, initial : tuple of Node
        What `cell.inputs` are parts of, and the states before the first step.
    places : mapping
        Which tensor of the formula a node of the cell is, and the offset of its step.
    results : tuple of Node
        The outputs of all steps, (T, ...), then the states behind the last step.
    pattern : Any
        The structure of outputs that the cell returned.
    recompute : bool
        Whether the reverse sweep computes the steps again instead of reading what they left.
    """

    cell: Cell = field(default_factory=lambda: Cell((), (), (), ()))
    steps: Extent = 0
    backward: bool = False
    sequences: tuple[Node, ...] = ()
    initial: tuple[Node, ...] = ()
    places: Mapping[Node, tuple[str, int]] = field(default_factory=dict)
    results: tuple[Node, ...] = ()
    pattern: Any = None
    recompute: bool = False


def repeated_cell(
    cell: Cell,
    sequences: tuple[Node, ...],
    initial: tuple[Node, ...],
    steps: Extent,
    name: str,
    site: Site,
    *,
    backward: bool,
    recompute: bool,
) -> Unrolling:
    """Return the application of a cell at every step.

    Parameters
    ----------
    sequences, initial : tuple of Node
        What `Cell.inputs` are steps of, and the states before the first step.
    recompute : bool
        Whether nothing is computed for all steps ahead of them, and the reverse sweep computes the steps again.

    Raises
    ------
    ShapeError
        If a gate of the cell cannot be repeated.
    """
    return _Tracer(cell, sequences, initial, steps, name, site, backward=backward, recompute=recompute).made


class _Tracer:
    """From a traced cell to the application of its formula, and to nodes for outputs and last states."""

    def __init__(
        self,
        cell: Cell,
        sequences: tuple[Node, ...],
        initial: tuple[Node, ...],
        steps: Extent,
        name: str,
        site: Site,
        *,
        backward: bool,
        recompute: bool,
    ) -> None:
        self.steps, self.backward, self.site = steps, backward, site
        self.used: set[str] = set()
        self.sizes: dict[str, Extent] = {}
        self.ranks: dict[str, int] = {}
        self.integers: set[str] = set()
        self.operands: dict[Node, str] = {}
        self.statements: list[Statement] = []
        self.rules: dict[str, None] = {}
        self.renamed: dict[str, tuple[str, int]] = {}
        self.views: dict[tuple[str, int], str] = {}
        self.places: dict[Node, tuple[str, int | None]] = {}  # None: the same at every step
        order = topological([*cell.outputs, *cell.following])
        self.axis = self.free_axis(order)
        stand_ins = {*cell.inputs, *cell.states}
        inner: set[Node] = set()
        for node in order:
            if node in stand_ins or any(o in inner for o in node.operands):
                inner.add(node)
        for one, sequence in zip(cell.inputs, sequences, strict=True):
            self.places[one] = (self.operand(sequence), 0)
        begin, end = (1, 0) if backward else (0, 1)
        starts: list[Statement] = []
        copies: list[tuple[Node, str]] = []
        tensors: list[str] = []
        for k, (old, new, start) in enumerate(zip(cell.states, cell.following, initial, strict=True)):
            tensor = self.tensor(start.name or f"state{k}", (self.steps + 1, *old.shape), whole=not old.is_float)
            tensors.append(tensor)
            self.places[old] = (tensor, begin)
            starts.append(self.start(tensor, self.operand(start)))
            if new in inner and new not in stand_ins and new not in self.places and _sets_all(new):
                self.places[new] = (tensor, end)
            else:
                copies.append((new, tensor))
        done: set[int] = set()
        for node in order:
            if node in inner and node.application is not None and id(node.application) not in done:
                done.add(id(node.application))
                self.apply(node.application)
        for new, tensor in copies:
            self.copy(new, tensor, end)
        stacked: list[tuple[str, int]] = []
        for node in cell.outputs:
            if node not in inner or node in stand_ins:
                tensor = self.tensor(node.name or "output", (self.steps, *node.shape), whole=not node.is_float)
                self.copy(node, tensor, 0)
                stacked.append((tensor, 0))
            else:
                tensor, offset = self.places[node]
                stacked.append((tensor, offset or 0))
        self.join_copies()
        stacked = [self.renamed.get(tensor, (tensor, offset)) for tensor, offset in stacked]
        results = [
            tensor if self.sizes[size_name(tensor, 0)] == steps else self.seen(tensor, o) for tensor, o in stacked
        ]
        lasts = [self.last(tensor) for tensor in tensors]
        groups = split(self.statements, self.axis, ahead=not recompute)
        statements, repeats = assembled(starts, groups, [s for _, s in lasts], self.axis, backward=backward)
        written = tuple(dict.fromkeys(s.write.tensor for s in statements))
        formula = Formula(
            name, tuple(self.operands.values()), written, statements, self.ranks,
            {}, frozenset(self.integers), rules=tuple(self.rules), repeats=repeats,
        )  # fmt: skip
        made = Unrolling(
            None, formula, tuple(self.operands), {}, self.sizes, site, cell=cell, steps=steps, backward=backward,
            sequences=sequences, initial=initial, recompute=recompute,
            places={n: (t, offset or 0) for n, (t, offset) in self.places.items() if n in inner},
        )  # fmt: skip
        floats = [n.dtype for n in (*sequences, *initial, *self.operands) if n.is_float]
        dtype = "float64" if "float64" in floats else "float32"
        nodes: dict[str, Node] = {}
        for number, tensor in enumerate(written):
            shape = tuple(self.sizes[size_name(tensor, d)] for d in range(self.ranks[tensor]))
            own = "int32" if tensor in self.integers else dtype
            nodes[tensor] = Node("gate", shape, own, site, application=made, output=number)
        self.made = made
        made.outputs = tuple(nodes.values())
        made.results = tuple(nodes[t] for t in (*results, *(t for t, _ in lasts)))

    def seen(self, tensor: str, offset: int) -> str:
        """The steps of a state, without the row before the first step."""
        if (tensor, offset) in self.views:
            return self.views[tensor, offset]
        shape = [self.sizes[size_name(tensor, d)] for d in range(1, self.ranks[tensor])]
        name = self.tensor(f"{tensor}_steps", (self.steps, *shape), whole=tensor in self.integers)
        self.views[tensor, offset] = name
        axes = tuple(Axis(f"a{d}", affine(size_name(name, d + 1))) for d in range(len(shape)))
        index = tuple(affine(a.name) for a in axes)
        step = Axis(self.axis, affine(size_name(name, 0)))
        read = Access(tensor, (affine({self.axis: 1}, offset), *index))
        write = Access(name, (affine(self.axis), *index))
        self.statements.append(Statement(write, "set", (step, *axes), (("v", read),), Name("v")))
        return name

    def last(self, tensor: str) -> tuple[str, Statement]:
        """A state behind the last step."""
        shape = [self.sizes[size_name(tensor, d)] for d in range(1, self.ranks[tensor])]
        name = self.tensor(f"{tensor}_last", shape, whole=tensor in self.integers)
        axes = tuple(Axis(f"a{d}", affine(size_name(name, d))) for d in range(len(shape)))
        index = tuple(affine(a.name) for a in axes)
        row = affine({}, 0) if self.backward else affine({size_name(tensor, 0): 1}, -1)
        read = (("v", Access(tensor, (row, *index))),)
        return name, Statement(Access(name, index), "set", axes, read, Name("v"))

    # ---- names -------------------------------------------------------------------------------------

    @staticmethod
    def free_axis(order: Iterable[Node]) -> str:
        taken: set[str] = set()
        for node in order:
            if node.application is not None:
                for s in node.application.formula.statements:
                    taken |= {a.name for a in s.axes} | {p for p, _ in s.reads} | {x.name for x in s.lets}
        return fresh("t", taken)

    def tensor(self, stem: str, shape: Sequence[Extent], *, whole: bool) -> str:
        name = fresh("".join(c if c.isalnum() and c.isascii() else "_" for c in stem) or "x", self.used)
        self.used.add(name)
        self.ranks[name] = len(shape)
        count: Extent = 1
        for d, extent in enumerate(shape):
            self.sizes[size_name(name, d)] = extent
            count = extent * count
        self.sizes[f"{name}.size"] = count
        if whole:
            self.integers.add(name)
        return name

    def operand(self, node: Node) -> str:
        if node not in self.operands:
            self.operands[node] = self.tensor(node.name or node.gate or node.kind, node.shape, whole=not node.is_float)
        return self.operands[node]

    # ---- statements --------------------------------------------------------------------------------

    def start(self, tensor: str, initial: str) -> Statement:
        """The row before the first step."""
        axes = tuple(Axis(f"a{d}", affine(size_name(initial, d))) for d in range(self.ranks[initial]))
        index = tuple(affine(a.name) for a in axes)
        row = affine({size_name(tensor, 0): 1}, -1) if self.backward else affine({}, 0)
        return Statement(
            Access(tensor, (row, *index)), "set", axes, (("v", Access(initial, index)),), Name("v"), partial=True
        )

    def copy(self, node: Node, tensor: str, offset: int) -> None:
        """A step of a tensor is what a node is."""
        rank = self.ranks[tensor] - 1
        axes = tuple(Axis(f"a{d}", affine(size_name(tensor, d + 1))) for d in range(rank))
        index = tuple(affine(a.name) for a in axes)
        if node not in self.places:
            self.places[node] = (self.operand(node), None)
        source, place = self.places[node]
        read = Access(source, index if place is None else (affine({self.axis: 1}, place), *index))
        step = Axis(self.axis, self.count(tensor))
        write = Access(tensor, (affine({self.axis: 1}, offset), *index))
        self.statements.append(
            Statement(
                write,
                "set",
                (step, *axes),
                (("v", read),),
                Name("v"),
                partial=self.sizes[size_name(tensor, 0)] != self.steps,
            )
        )

    def join_copies(self) -> None:
        """A state that is a copy of another tensor's step is that tensor."""
        for s in list(self.statements):
            if len(s.reads) != 1:
                continue
            ((placeholder, read),) = s.reads
            source, target = read.tensor, s.write
            same = (
                s.body == Name(placeholder)
                and read.index[1:] == target.index[1:]
                and not (s.guards or s.lets or s.reduced() or read.flat)
            )
            if not same or not s.partial or self.ranks[source] != self.ranks[target.tensor] or not read.index:
                continue
            step = affine({self.axis: 1})
            writers = [o for o in self.statements if o.write.tensor == source]
            if source in self.operands.values() or len(writers) != 1 or writers[0].partial or read.index[0] != step:
                continue
            offset = target.index[0]
            if not isinstance(offset, Affine) or writers[0].write.index[0] != step or writers[0].guards:
                continue
            if writers[0].write.flat or not writers[0].race_free() or writers[0].lets:
                continue
            self.statements.remove(s)
            rename = {source: (target.tensor, offset.constant)}
            self.statements = [_moved(o, rename, partial=o is writers[0]) for o in self.statements]
            for node, place in self.places.items():
                if place == (source, 0):
                    self.places[node] = rename[source]
            self.renamed[source] = rename[source]

    def count(self, tensor: str) -> Affine:
        """Number of steps, as an extent of a tensor that has them."""
        spare = self.sizes[size_name(tensor, 0)] - self.steps
        return affine({size_name(tensor, 0): 1}, -spare if isinstance(spare, int) else 0)

    def apply(self, application: Application) -> None:
        formula = application.formula
        if formula.repeats:
            raise ShapeError(
                f"a cell cannot hold another unroll; apply it outside of the cell\n  declared at {application.site}",
                site=application.site,
            )
        self.rules.update(dict.fromkeys(formula.rules))
        names: dict[str, tuple[str, int | None]] = {}
        for tensor, node in zip(formula.inputs, application.operands, strict=True):
            if node not in self.places:
                self.places[node] = (self.operand(node), None)
            names[tensor] = self.places[node]
        outputs = dict(zip(formula.outputs, application.outputs, strict=True))
        for tensor in dict.fromkeys(s.write.tensor for s in formula.statements):
            node = outputs.get(tensor)
            if node is not None and node in self.places:
                names[tensor] = self.places[node]
                continue
            shape = tuple(application.sizes[size_name(tensor, d)] for d in range(formula.ranks[tensor]))
            stem = node.name if node is not None and node.name else tensor
            own = self.tensor(stem, (self.steps, *shape), whole=tensor in formula.integers)
            names[tensor] = (own, 0)
            if node is not None:
                self.places[node] = names[tensor]
        forms: dict[str, Affine] = {}
        for tensor, (own, offset) in names.items():
            shift = 0 if offset is None else 1
            for d in range(formula.ranks[tensor]):
                forms[size_name(tensor, d)] = affine(size_name(own, d + shift))
            if offset is None:
                forms[f"{tensor}.size"] = affine(f"{own}.size")
        for name, extent in application.sizes.items():
            if name not in forms:  # elements of a step, or a size of the application that this one was derived from
                self.sizes.setdefault(f"{name.replace('.', '_')}_.{len(self.sizes)}", extent)
                forms[name] = affine(next(reversed(self.sizes)))
        for s in formula.statements:
            self.statements.append(self.stepped(s, names, forms, application))

    def stepped(
        self,
        s: Statement,
        names: Mapping[str, tuple[str, int | None]],
        forms: Mapping[str, Affine],
        application: Application,
    ) -> Statement:
        """A statement for every step."""
        gate = application.gate.name if application.gate is not None else application.formula.name
        if _random(s.body):
            raise ShapeError(
                f"{gate} draws random numbers inside of a cell, which would be the same at every step: draw the mask "
                f"outside and use it in the cell, or drop the outputs\n  declared at {application.site}",
                site=application.site,
            )

        def access(a: Access) -> Access:
            own, offset = names[a.tensor]
            index = tuple(i.substitute(forms) if isinstance(i, Affine) else Gather(access(i.access)) for i in a.index)
            if offset is None:
                return Access(own, index, a.outside, a.flat)
            if not a.flat:
                return Access(own, (affine({self.axis: 1}, offset), *index), a.outside)
            count: Extent = 1
            for d in range(1, self.ranks[own]):
                count = self.sizes[size_name(own, d)] * count
            if not isinstance(count, int) or len(index) != 1 or not isinstance(index[0], Affine):
                raise ShapeError(
                    f"inside of a cell {gate} needs extents that are numbers\n  declared at {application.site}",
                    site=application.site,
                )
            return Access(own, (index[0] + affine({self.axis: count}, offset * count),), a.outside, flat=True)

        def form(item: Affine) -> Affine:
            return item.substitute(forms)

        written, _ = names[s.write.tensor]
        sizes: dict[str, Expression] = {
            old: Name(new.plain() or "") for old, new in forms.items() if new.plain() is not None
        }
        partial = self.sizes[size_name(written, 0)] != self.steps
        return Statement(
            access(s.write),
            s.operator,
            (Axis(self.axis, self.count(written)), *(Axis(a.name, a.extent.substitute(forms)) for a in s.axes)),
            tuple((p, access(a)) for p, a in s.reads),
            substitute(s.body, sizes),
            tuple(mapped_guard(g, form, access) for g in s.guards),
            tuple(Let(x.name, x.numerator.substitute(forms), x.divisor) for x in s.lets),
            s.accumulate,
            partial and not s.accumulate,
        )


def _moved(s: Statement, rename: Mapping[str, tuple[str, int]], *, partial: bool) -> Statement:
    """A statement that finds the steps of some tensors in others."""

    def access(a: Access) -> Access:
        index = tuple(Gather(access(i.access)) if isinstance(i, Gather) else i for i in a.index)
        if a.tensor not in rename:
            return replace(a, index=index)
        tensor, offset = rename[a.tensor]
        first = index[0]
        assert isinstance(first, Affine)
        return replace(a, tensor=tensor, index=(first + offset, *index[1:]))

    def size(form: Affine) -> Affine:
        places = {}
        for name in form.names():
            tensor, dot, d = name.rpartition(".")
            if dot and tensor in rename:
                own = size_name(rename[tensor][0], int(d))
                places[name] = affine({own: 1}, -1) if d == "0" else affine(own)
        return form.substitute(places)

    return replace(
        s,
        write=access(s.write),
        axes=tuple(Axis(a.name, size(a.extent)) for a in s.axes),
        reads=tuple((p, access(a)) for p, a in s.reads),
        guards=tuple(mapped_guard(g, size, access) for g in s.guards),
        partial=s.partial or partial,
    )


def _sets_all(node: Node) -> bool:
    """Whether one statement sets each element of a node."""
    application = node.application
    if application is None:
        return False
    tensor = application.formula.outputs[node.output]
    writers = [s for s in application.formula.statements if s.write.tensor == tensor]
    plain = len(writers) == 1 and not (writers[0].guards or writers[0].lets or writers[0].write.flat)
    return plain and writers[0].race_free() and len(writers[0].free()) == len(node.shape)


def _random(body: Expression) -> bool:
    return isinstance(body, Call) and (body.function == "uniform" or any(_random(o) for o in body.operands))
