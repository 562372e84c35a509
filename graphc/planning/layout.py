"""Layout: a tensor that a convolution reads in a frame of zeros lies in that frame, and nowhere else.

A frame is planned as a copy of a tensor (`graphc.planning.convolution`). Where all that reads the tensor can read it in
the frame, it does, at shifted indices; then the copy alone reads the tensor, and fusion (`graphc.planning.fusion`)
computes the tensor where it is copied to: what makes it writes into the frame.

What reads a tensor: derived loops at any index, and kernels of the target that are told where a result's gradient lies
(`graphc.planning.Target.layouts`). What a caller reads, or what is seen in another shape, is not moved. The kernel of
windows (`graphc.planning.pooling`) is told where the frame begins; the gradient of windows is copied.

A ReLU's gradient may ask its result instead of its operand: ``0 >= max(0, x)`` where ``0 >= x``. It does where the
result is kept in any case and the operand would be kept for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from graphc.errors import PlanError
from graphc.formula.expression import ZERO, Call, Expression, Symbol, symbols
from graphc.formula.size import Extent
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Gather,
    Interval,
    Statement,
    Wins,
    affine,
    affine_extent,
    size_name,
)
from graphc.planning.canonical import canonical
from graphc.planning.fusion import Launches, drop_kernels, elementwise, other_names, reaches_all, renamed
from graphc.planning.plan import Kernel, Launch

if TYPE_CHECKING:
    from graphc.planning.lower import _Builder

__all__ = ["lay_out"]

#: Literals of a kernel of windows that writes a whole tensor; into a frame, the first row and column follow.
_WHOLE = 2
#: Where in the arguments of a gradient of a filter it stands how its second operand, the gradient of a result, lies:
#: elements of a map, the first of them, the pitch of its rows.
_PLACE = 14
_COLUMNS = 4  # of the result


def lay_out(builder: _Builder, kept: Iterable[int]) -> bool:
    """Let tensors lie in frames, and the masks of ReLU read results; return whether anything changed.

    Parameters
    ----------
    kept : buffer numbers
        What is read after the launches.
    """
    layout = _Layout(builder, kept)
    for position in range(len(layout.launches)):
        layout.visit(position)
    if layout.changed:
        order: list[Launch] = []
        for position, launch in enumerate(layout.launches):
            order += [launch] if launch is not None else []
            order += layout.behind.get(position, [])
        builder.launches = order
        drop_kernels(builder)
    return layout.changed


class _Layout(Launches):
    """Frames, and who reads what they are copies of."""

    def __init__(self, builder: _Builder, kept: Iterable[int]) -> None:
        super().__init__(builder, kept)
        self.changed = False
        self.behind: dict[int, list[Launch]] = {}  # launches that move behind the one at a position

    def visit(self, position: int) -> None:
        """Let a tensor lie in a frame, if the launch at this position copies it there."""
        launch = self.launches[position]
        statement = self.kernel(launch).statement if launch is not None else None
        if launch is None or statement is None or launch.repeat >= 0:
            return
        if _is_relu(statement):
            self.ask_result(position, launch)
        first = _frame(statement, self.sizes(launch))
        if first is None:
            return
        framed, source = launch.buffers
        base = self.builder.base(source)
        writer = self.writer(base)
        if writer is None or base in self.kept or self.same(source) != base or self.builder.base(framed) in self.kept:
            return
        producer = self.launches[writer]
        if producer is None:
            return
        framing = self.framing(producer, framed, first)
        if framing is None and (self.pooled(writer) or elementwise(self.kernel(producer)) is None):
            return
        readers = sorted(self.readers[base] - {position})
        moved: dict[int, Launch] = {}
        for reader in readers:
            found = self.moved(self.launches[reader], base, framed, first)
            if found is None:
                return
            moved[reader] = found
        if not moved and framing is None:
            return
        for reader, found in moved.items():
            self.change(reader, found)
        self.launches[position] = None
        if framing is None:
            self.behind.setdefault(writer, []).append(launch)
        else:
            self.launches[writer] = framing
            self.writers[self.builder.base(framed)] = [writer]
        self.changed = True

    def writer(self, base: int) -> int | None:
        """The position of the only launch that writes a buffer of the arena."""
        writers = self.writers.get(base, [])
        return writers[0] if self.builder.buffers[base].role == "arena" and len(writers) == 1 else None

    def change(self, position: int, launch: Launch) -> None:
        """Put another launch at a position, which writes what the one before did."""
        before = self.launches[position]
        assert before is not None
        for number in self.read(before):
            self.readers[self.builder.base(number)].discard(position)
        self.launches[position] = launch
        self.enter(position, launch)

    def pooled(self, position: int) -> bool:
        """Whether a launch finishes what a launch on windows has begun."""
        seen: set[int] = set()
        waiting = [position]
        while waiting:
            launch = self.launches[waiting.pop()]
            if launch is None or elementwise(self.kernel(launch)) is None:
                continue
            for number in self.read(launch):
                base = self.builder.base(number)
                if base in seen or len(self.readers[base]) != 1:
                    continue
                seen.add(base)
                for writer in self.writers.get(base, ()):
                    other = self.launches[writer]
                    statement = self.kernel(other).statement if other is not None else None
                    if statement is not None and any(isinstance(guard, Wins) for guard in statement.guards):
                        return True
                    waiting.append(writer)
        return False

    def framing(self, launch: Launch, framed: int, first: tuple[int, ...]) -> Launch | None:
        """A launch of the kernel of windows that writes into a frame itself, or None."""
        kernel = self.kernel(launch)
        statement = kernel.statement
        if kernel.kind != "pooling" or statement is None or len(kernel.literals) > _WHOLE:
            return None
        if kernel.kind not in self.builder.target.layouts:
            return None
        # gradients of windows are four times as large, and their rows stream faster as they are (measured)
        if statement.operator == "set" or len(first) < 3 or any(first[:-2]):
            return None
        written, *_ = kernel.written(launch.buffers)
        before, after = (self.builder.buffers[number].shape for number in (written, framed))
        names: dict[str, Affine] = {}
        for d, (own, extent) in enumerate(zip(before, after, strict=True)):
            name, spare = size_name(statement.write.tensor, d), extent - own
            if not isinstance(spare, int) or (spare and d < len(before) - 2):
                return None
            names[name] = affine({name: 1}, -spare)
        inner = renamed(statement, {tensor: tensor for tensor, _ in kernel.dtypes}, names)
        made = replace(kernel, statement=inner, literals=(*kernel.literals, *first[-2:]))
        buffers = tuple(framed if number == written else number for number in launch.buffers)
        arguments = (*launch.arguments[: -len(after)], *after)
        return replace(launch, kernel=self.builder.kernel_number(made), buffers=buffers, arguments=arguments)

    # ---- reading in the frame --------------------------------------------------------------------

    def moved(self, launch: Launch | None, base: int, framed: int, first: tuple[int, ...]) -> Launch | None:
        """A launch that reads a tensor in its frame, or None."""
        if launch is None or launch.repeat >= 0:
            return None
        numbers = [n for n in launch.buffers if self.builder.base(n) == base]
        if any(self.same(number) != base for number in numbers):
            return None  # it sees the tensor in another shape
        kernel = self.kernel(launch)
        if kernel.kind.startswith("correlation") and kernel.kind in self.builder.target.layouts:
            return self.told(launch, base, framed, first)
        if kernel.kind != "loops" or kernel.statement is None:
            return None
        order = {n: k for k, n in enumerate(dict.fromkeys((*map(self.same, launch.buffers), framed)))}
        sizes: dict[str, Extent] = {}
        ranks: dict[str, int] = {}
        statement = self.named(launch, [order[self.same(n)] for n in launch.buffers], sizes, ranks)
        source, target = f"b{order[base]:02}", f"b{order[framed]:02}"
        shape = self.builder.buffers[framed].shape
        sizes |= {size_name(target, d): extent for d, extent in enumerate(shape)}
        ranks[target] = len(shape)
        result = _shifted(statement, source, target, first, sizes)
        if result is None:
            return None
        try:
            form = canonical(result, ranks, sizes)
        except PlanError:  # a size that is left without a tensor
            return None
        places = [list(order)[int(name[1:])] for name in form.tensors]
        used = [self.builder.buffers[number] for number in places]
        dtypes = tuple((f"t{k}", buffer.dtype) for k, buffer in enumerate(used))
        number = self.builder.kernel_number(Kernel("loops", form.statement, dtypes))
        arguments = tuple(extent for buffer in used for extent in buffer.shape)
        return replace(launch, kernel=number, buffers=tuple(places), arguments=arguments)

    def told(self, launch: Launch, base: int, framed: int, first: tuple[int, ...]) -> Launch | None:
        """The gradient of a filter that reads the gradient of a result in its frame."""
        image, result, written = launch.buffers
        height, pitch = self.builder.buffers[framed].shape[-2:] if len(first) == 4 else (1, 0)
        if self.builder.base(image) == base or self.same(result) != base or len(first) != 4 or first[:2] != (0, 0):
            return None
        assert isinstance(height, int)
        assert isinstance(pitch, int)
        columns = launch.arguments[_COLUMNS]
        if not isinstance(columns, int) or pitch > 2 * columns:
            return None  # more than the kernel of runs copies
        place = height * pitch, first[2] * pitch + first[3], pitch
        arguments = (*launch.arguments[:_PLACE], *place, *launch.arguments[_PLACE + len(place) :])
        return replace(launch, buffers=(image, framed, written), arguments=arguments)

    # ---- masks -----------------------------------------------------------------------------------

    def ask_result(self, position: int, launch: Launch) -> None:
        """Let masks that read the operand of a ReLU read its result, where that keeps less alive."""
        result, operand = (self.same(number) for number in launch.buffers)
        if self.builder.buffers[operand].shape != self.builder.buffers[result].shape:
            return
        if not any(self.stays(self.launches[k]) for k in self.readers.get(self.builder.base(result), ())):
            return
        base = self.builder.base(operand)
        if base != operand or self.writer(base) is None or base in self.kept:
            return
        readers = self.readers[base] - {position}
        roots = self.roots(base)
        if not readers or (len(roots) == 1 and all(self.kept_anyway(root, base) for root in roots)):
            return
        changed: dict[int, Launch] = {}
        for reader in readers:
            other = self.launches[reader]
            found = self.asking(other, base, result) if other is not None else None
            if found is None or reader < position:
                return
            changed[reader] = found
        for reader, found in changed.items():
            self.change(reader, found)
        self.changed = True

    def stays(self, launch: Launch | None) -> bool:
        """Whether what a launch reads is computed before it, not inside of it, or lies in the frame that it fills."""
        statement = self.kernel(launch).statement if launch is not None else None
        if launch is None or statement is None:
            return launch is not None
        return _frame(statement, self.sizes(launch)) is not None

    def asking(self, launch: Launch, operand: int, result: int) -> Launch | None:
        """A launch that asks whether a result is positive instead of its operand, or None."""
        statement = self.kernel(launch).statement
        if statement is None or launch.repeat >= 0 or self.kernel(launch).kind != "loops":
            return None
        places = [k for k, n in enumerate(launch.buffers) if self.builder.base(n) == operand]
        tensors = {f"t{k}" for k in places}
        if any(self.same(launch.buffers[k]) != operand for k in places) or result in launch.buffers:
            return None
        asked = {p for p, access in statement.reads if access.tensor in tensors}
        if not asked or not _only_compared(statement.body, asked) or _hidden(statement) & tensors:
            return None
        buffers = tuple(result if k in places else n for k, n in enumerate(launch.buffers))
        return replace(launch, buffers=buffers)

    def roots(self, base: int) -> set[int]:
        """Whole tensors that a tensor is computed from, element by element."""
        found: set[int] = set()
        seen: set[int] = set()
        waiting = [base]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            writer = self.writer(number)
            launch = self.launches[writer] if writer is not None else None
            producer = elementwise(self.kernel(launch)) if launch is not None else None
            if launch is None or producer is None:
                found.add(number)
                continue
            whole = {a.tensor for _, a in producer.statement.reads if set(producer.axes) <= a.axes()}
            waiting += [self.builder.base(launch.buffers[int(tensor[1:])]) for tensor in whole]
        return found

    def kept_anyway(self, root: int, base: int) -> bool:
        """Whether somebody else reads a tensor than what leads from it to another one."""
        seen = {base}
        waiting = [root]
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            if self.builder.buffers[number].role != "arena" or number in self.kept:
                return True
            readers = [self.launches[reader] for reader in self.readers.get(number, ())]
            elements = [launch for launch in readers if launch is not None and elementwise(self.kernel(launch))]
            if not readers or len(elements) < len(readers):
                return True
            waiting += [self.builder.base(self.written(launch)) for launch in elements]
        return False


# ---- statements ------------------------------------------------------------------------------------


def _is_relu(s: Statement) -> bool:
    """Whether each element is the larger of 0 and that of another tensor."""
    body = s.body
    if not (isinstance(body, Call) and body.function == "max" and ZERO in body.operands) or len(s.reads) != 1:
        return False
    ((placeholder, access),) = s.reads
    plain = not (s.guards or s.lets or s.accumulate or s.write.flat or access.flat)
    return plain and Symbol(placeholder) in body.operands and access.index == s.write.index


def _frame(s: Statement, sizes: Mapping[str, Extent]) -> tuple[int, ...] | None:
    """Where the first element of a tensor lies in what a statement copies it into, with zeros around it."""
    if s.operator != "set" or s.accumulate or s.lets or len(s.reads) != 1 or s.write.flat:
        return None
    ((placeholder, read),) = s.reads
    if s.body != Symbol(placeholder) or read.flat or read.outside != "forbidden" or not reaches_all(s, sizes):
        return None
    if len(read.index) != len(s.write.index) or not s.race_free():
        return None
    guarded = {guard.index: guard.upper for guard in s.guards if isinstance(guard, Interval)}
    if len(guarded) != len(s.guards):
        return None
    first = []
    for d, (own, item) in enumerate(zip(s.write.index, read.index, strict=True)):
        name = size_name(read.tensor, d)
        if not isinstance(own, Affine) or not isinstance(item, Affine):
            return None
        shift = item - own
        spare = sizes[size_name(s.write.tensor, d)] - sizes[name]
        if shift.terms or not isinstance(spare, int) or not 0 <= -shift.constant <= spare:
            return None
        if spare and guarded.get(item) != affine(name):
            return None
        first.append(-shift.constant)
    whole = all(any(item == index for item in read.index) for index in guarded)
    return tuple(first) if guarded and whole else None


def _shifted(
    s: Statement, source: str, target: str, first: tuple[int, ...], sizes: Mapping[str, Extent]
) -> Statement | None:
    """A statement that reads ``target`` in place of ``source``, which lies in it from ``first`` on."""
    if source in _hidden(s) or s.write.tensor in (source, target):
        return None
    total = _total(s, source, target, sizes)
    if total is not None:
        return total
    reads = []
    for placeholder, access in s.reads:
        if access.tensor != source:
            reads.append((placeholder, access))
            continue
        if access.flat or access.outside != "forbidden":
            return None
        index = tuple(item + n for item, n in zip(access.index, first, strict=True) if isinstance(item, Affine))
        reads.append((placeholder, Access(target, index)))
    result = replace(s, reads=tuple(reads))
    names = other_names(s, result, source, sizes)
    for d in range(len(first)):
        old, new = size_name(source, d), size_name(target, d)
        spare = sizes[new] - sizes[old]
        assert isinstance(spare, int)
        names.setdefault(old, affine({new: 1}, -spare))
    return renamed(result, {tensor: tensor for tensor in (s.write.tensor, target, *s.tensors())}, names)


def _total(s: Statement, source: str, target: str, sizes: Mapping[str, Extent]) -> Statement | None:
    """The sum over a whole frame in place of that over a tensor: zeros add nothing, and rows follow each other."""
    if s.operator != "sum" or s.guards or s.lets or len(s.reads) != 1 or s.write.flat:
        return None
    ((placeholder, access),) = s.reads
    if s.body != Symbol(placeholder) or access.tensor != source or access.flat:
        return None
    plain = [item.plain() if isinstance(item, Affine) else None for item in access.index]
    if None in plain or len(set(plain)) != len(plain) or {axis.name for axis in s.axes} != set(plain):
        return None
    written = {name for item in s.write.index if isinstance(item, Affine) for name in item.names()}
    extents: dict[str, Affine] = {}
    for d, axis in enumerate(plain):
        assert axis is not None
        own, whole = sizes[size_name(source, d)], sizes[size_name(target, d)]
        if affine_extent(s.extent(axis), sizes) != own or (own != whole and axis in written):
            return None
        extents[axis] = s.extent(axis) if axis in written else affine(size_name(target, d))
    axes = tuple(Axis(axis.name, extents[axis.name]) for axis in s.axes)
    return replace(s, axes=axes, reads=((placeholder, Access(target, access.index)),))


def _hidden(s: Statement) -> set[str]:
    """Tensors that a statement reads to know where, or whether, to read others."""
    found: set[str] = set()

    def gathered(access: Access) -> None:
        for item in access.index:
            if isinstance(item, Gather):
                found.add(item.access.tensor)
                gathered(item.access)

    for access in (s.write, *(a for _, a in s.reads)):
        gathered(access)
    for guard in s.guards:
        if isinstance(guard, Wins):
            found.add(guard.access.tensor)
            gathered(guard.access)
    return found


def _only_compared(body: Expression, asked: set[str]) -> bool:
    """Whether symbols occur nowhere but in ``0 >= x`` and ``x > 0``, which a ReLU leaves as they are."""
    if isinstance(body, Symbol):
        return body.name not in asked
    if not isinstance(body, Call):
        return True
    if body.function in ("greater_equal", "less") and body.operands[0] == ZERO and isinstance(body.operands[1], Symbol):
        return True
    if body.function in ("less_equal", "greater") and body.operands[1] == ZERO and isinstance(body.operands[0], Symbol):
        return True
    return all(_only_compared(operand, asked) for operand in body.operands if asked & set(symbols(operand)))
