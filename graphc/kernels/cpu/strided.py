"""Strided rows: element by element, where rows are read or added to in steps.

The formula class: each element of a tensor is set to a body of elements of others where guards hold, and to 0 where
they do not, as in frames for windows that move in steps (`graphc.planning.convolution`); or a body is added to some
elements of it, or of zeros. Along the innermost axis everything lies a fixed step apart, at least one of them above 1,
or does not move. Derived loops would load such elements one by one.

A vector is a piece of the part of a row in which guards hold; a mask holds back the lanes behind its end. Whole runs
are read and taken apart in registers. The mask is the same in all rows of a plane, whose loop is the inner one. What
guards hold back is written as zeros: before that part of a plane, between its rows, and behind it.

Arguments, parts and extents of a kernel are those of loops. Where steps are 1, derived loops are as fast (measured).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from graphc.errors import KernelError
from graphc.formula.expression import Call, Expression, Number, Symbol
from graphc.formula.statement import Access, Affine, Interval, Statement, affine, size_name
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.levels import Levels
from graphc.kernels.cpu.values import Name, Value
from graphc.kernels.cpu.writer import bracketed, compute_type
from graphc.planning.plan import Kernel
from graphc.planning.tiling import FUNCTIONS

__all__ = ["accepts_strided", "emit_strided"]

#: Longest step between two lanes.
_STEP = 4
#: Fewest elements of a row, as far as they are known.
_ROW = 4


def accepts_strided(kernel: Kernel, typical: Mapping[str, int]) -> bool:
    """Whether `emit_strided` takes a kernel.

    Parameters
    ----------
    kernel : Kernel
        Kind ``"loops"``.
    typical : mapping
        What sizes mostly are.
    """
    found = _rows(kernel)
    if found is None:
        return False
    s, lane = found
    if s.extent(lane).value(typical) < _ROW:
        return False
    return max(_step(access, lane) for access in (s.write, *(a for _, a in s.reads))) > 1


def emit_strided(kernel: Kernel) -> str:
    """Return the source text of a kernel of rows.

    Parameters
    ----------
    kernel : Kernel
        One that `accepts_strided` accepts.

    Raises
    ------
    KernelError
        If its statement is of another class.
    """
    return _Emitter(kernel).text()


def _step(access: Access, lane: str) -> int:
    """Elements between two lanes; 0 where an access does not move with them."""
    item = access.index[-1] if access.index else None
    return item.coefficient(lane) if isinstance(item, Affine) else 0


def _rows(kernel: Kernel) -> tuple[Statement, str] | None:
    """The statement of a kernel and the axis of its lanes, if it is of the class."""
    s = kernel.statement
    types = {dtype for _, dtype in kernel.dtypes}
    if s is None or kernel.kind != "loops" or s.operator not in ("set", "sum") or s.reduced() or s.lets:
        return None
    if len(types) != 1 or not next(iter(types)).startswith("float") or len(s.axes) < 3:
        return None
    accesses = [s.write, *(a for _, a in s.reads)]
    if any(a.flat or a.outside != "forbidden" or not all(isinstance(i, Affine) for i in a.index) for a in accesses):
        return None
    first = s.write.index[0]
    names = [axis.name for axis in s.axes]
    if first != affine(names[0]) or kernel.shard not in (None, "", names[0]):
        return None  # parts of the kernel write rows of their own
    own = s.write.index[-1]
    moving = [name for name in (own.names() if isinstance(own, Affine) else ()) if name in names]
    lane = max(moving, key=names.index, default="")
    if not lane or lane in names[:2]:
        return None
    for access in accesses:
        steps = [item.coefficient(lane) for item in access.index if isinstance(item, Affine)]
        if any(steps[:-1]) or (steps and not 0 <= steps[-1] <= _STEP):
            return None
    if any(access.tensor == s.write.tensor for _, access in s.reads):
        return None
    if s.guards if _adds(s) else _step(s.write, lane) != 1 or not _covers(s):
        return None
    row = [name for name in names if name != lane][-1]
    if s.guards and s.write.index[-2] != affine(row):
        return None  # rows follow each other
    for guard in s.guards:
        if not isinstance(guard, Interval) or guard.upper.plain() is None:
            return None
        if guard.index.coefficient(lane) < 0 or guard.index.coefficient(row) < 0:
            return None
        if bool(guard.index.coefficient(lane)) == bool(guard.index.coefficient(row)):
            return None  # of both, or of neither
    placeholders = {p for p, _ in s.reads}
    return (s, lane) if _simple(s.body, placeholders) else None


def _adds(s: Statement) -> bool:
    """Whether elements are added to, be it to zeros."""
    return s.accumulate or (s.operator == "sum" and not _covers(s))


def _covers(s: Statement) -> bool:
    """Whether each element is written: plain axes through whole extents."""
    for d, item in enumerate(s.write.index):
        plain = item.plain() if isinstance(item, Affine) else None
        if plain is None or s.extent(plain) != affine(size_name(s.write.tensor, d)):
            return False
    return s.race_free()


def _simple(body: Expression, names: set[str]) -> bool:
    if isinstance(body, Symbol):
        return body.name in names or "." in body.name
    if not isinstance(body, Call):
        return True
    if body.function == "pow":
        power = body.operands[1]
        return isinstance(power, Number) and power.value == 2 and _simple(body.operands[0], names)
    return body.function in FUNCTIONS and all(_simple(operand, names) for operand in body.operands)


class _Emitter(Levels):
    """One kernel in the making; the loop over rows is the last, inside of that over pieces of rows."""

    def __init__(self, kernel: Kernel) -> None:
        found = _rows(kernel)
        if found is None:
            raise KernelError(
                f"a kernel of rows needs elements that are set or added to, a step apart; found {kernel.statement}"
            )
        s, self.lane = found
        *before, row = (axis for axis in s.axes if axis.name != self.lane)
        self.axes = [*before, *(axis for axis in s.axes if axis.name == self.lane), row]
        super().__init__(kernel, s, vector_lanes(compute_type(kernel)), len(self.axes) - 1)
        self.level = {axis.name: number for number, axis in enumerate(self.axes)}
        self.out.variables = set(self.level)
        self.row = row.name
        self.offsets: dict[tuple[object, ...], str] = {}

    # ---- where things are ------------------------------------------------------------------------

    def offset(self, access: Access) -> tuple[str, int]:
        """Where an access is in the first lane of a piece, and the loop that knows it."""
        tensor, text, level = access.tensor, "", -1
        constant = []
        for d, item in enumerate(access.index):
            assert isinstance(item, Affine)
            if item.constant:
                stride = self.out.row_stride(tensor, d)
                constant.append(str(item.constant) if stride == "1" else f"{item.constant} * {stride}")
        if constant:
            text = self.named(("start", tensor, *constant), -1, " + ".join(constant).replace("+ -", "- "))
        for number, axis in enumerate(self.axes):
            terms = []
            for d, item in enumerate(access.index):
                assert isinstance(item, Affine)
                if item.coefficient(axis.name):
                    factors = [axis.name, str(item.coefficient(axis.name)), self.out.row_stride(tensor, d)]
                    terms.append(" * ".join(f for f in factors if f != "1"))
            if terms:
                level = number
                text = self.named((tensor, text, *terms), number, " + ".join(filter(None, [text, *terms])))
        return text or "0", level

    def named(self, key: tuple[object, ...], level: int, text: str) -> str:
        """A name for a whole number, computed once."""
        if key not in self.offsets:
            self.offsets[key] = f"p{len(self.offsets)}"
            self.add(level, f"{self.offsets[key]} = {text}")
        return self.offsets[key]

    def limits(self, axis: str) -> tuple[str, str]:
        """Between which positions along an axis the guards on it hold."""
        extent = self.out.form_text(self.statement.extent(axis))
        low, high, level = ["0"], [extent], -1
        for guard in self.statement.guards:
            step = guard.index.coefficient(axis) if isinstance(guard, Interval) else 0
            if not step or not isinstance(guard, Interval):
                continue
            rest = guard.index - affine({axis: step})
            level = max([level, *(self.level[name] for name in rest.names() if name in self.level)])
            text, upper = bracketed(self.out.form_text(rest)), self.out.size(guard.upper.plain() or "")
            low.append(f"-({text} // {step})" if step > 1 else f"-{text}")
            high.append(f"-(({text} - {upper}) // {step})" if step > 1 else f"{upper} - {text}")
        if len(low) == 1:
            return "0", extent
        first = self.named(("first", axis), level, f"min(max({', '.join(low)}), {extent})")
        return first, self.named(("end", axis), level, f"max({first}, min({', '.join(high)}))")

    def inside(self, step: int) -> Name:
        """Mask of the elements that the lanes of a piece meet, so many for each lane, of which the first counts."""
        left = f"({self.limits(self.lane)[1]} - {self.lane})"
        self.functions.add(f"between_{step}")
        text = f"between_{step}(0, {left if step == 1 else f'{step} * {left} - {step - 1}'})"
        return self.new(("inside", step), self.last - 1, text, mask=True)

    def read(self, access: Access) -> Name:
        """A vector with what an access means in each lane."""
        step = _step(access, self.lane)
        at, level = self.offset(access)
        if step == 0:
            self.out.use("load")
            self.functions.add("spread")
            return self.new(("read", access), level, f"spread(load({access.tensor}, {at}))")
        self.functions.add(f"read_{step}")
        text = f"read_{step}({access.tensor}, {at}, {self.inside(step).text})"
        return self.new(("read", access), self.last, text if step == 1 else f"{text}[0]")

    def value(self, body: Expression, reads: Mapping[str, Access], point: Mapping[str, Value]) -> Value:
        """A body in each lane; sizes are numbers."""
        if isinstance(body, Symbol) and "." in body.name:
            self.functions.add("spread")
            self.out.use("real")
            return self.new(("size", body.name), -1, f"spread(real({self.out.size(body.name)}))")
        if isinstance(body, Call) and body.function == "pow":
            base = self.vector(self.value(body.operands[0], reads, point))
            return self.operation("mul", base, base)
        return super().value(body, reads, point)

    # ---- the kernel ------------------------------------------------------------------------------

    def text(self) -> str:
        """Write a piece of a row, then the loops around it."""
        s = self.statement
        value = self.vector(self.value(s.body, dict(s.reads), {}))
        step, target = _step(s.write, self.lane), s.write.tensor
        mask = self.inside(step).text
        self.functions.add(f"write_{step}")
        if _adds(s):
            at, _ = self.offset(s.write)
            self.functions |= {"add", f"read_{step}"}
            names = [f"y{r}" for r in range(step)]
            self.add(self.last, f"{', '.join(names)} = read_{step}({target}, {at}, {mask})")
            sums = ", ".join([f"add({names[0]}, {value.text})", *names[1:]])
            self.add(self.last, f"write_{step}({target}, {at}, {sums if step == 1 else f'({sums})'}, {mask})")
            if not s.accumulate:
                self.clear()
        else:
            self.add(self.last, f"write_1({target}, {self.offset(s.write)[0]}, {value.text}, {mask})")
        self.limits(self.row)
        return self.module(self.loops(self.zeros() if s.guards else []))

    def clear(self) -> None:
        """Zeros in all that belongs to an example, before anything is added to it."""
        example, target = self.axes[0].name, self.statement.write.tensor
        size = self.out.row_stride(target, 0)
        self.functions |= {"between_1", "write_1"}
        write = f"write_1({target}, {example} * {size} + place, {self.vector(0).text}, between_1(0, {size} - place))"
        self.add(0, f"for place in range(0, {size}, {self.lanes}):\n    {write}")

    def zeros(self) -> list[str]:
        """Zeros around the part of a plane in which guards hold: before it, between its rows, behind it."""
        first, end = self.limits(self.row)
        start, stop = self.limits(self.lane)
        rows, columns = (bracketed(self.out.form_text(self.statement.extent(axis))) for axis in (self.row, self.lane))
        s, row = self.statement, self.row
        drop = affine({}, 0)
        plane, _ = self.offset(replace(s.write, index=(*s.write.index[:-2], drop, drop)))
        write = f"write_1({s.write.tensor}, {plane} + {{}}, {self.vector(0).text}, between_1(0, {{}} - place))"
        inner = f"{row} * {columns} + {stop} + place", "gap"
        return [
            f"before = {first} * {columns} + {start} if {end} > {first} else {rows} * {columns}",
            f"behind = ({end} - 1) * {columns} + {stop} if {end} > {first} else {rows} * {columns}",
            f"gap = {columns} - {stop} + {start}",
            f"for place in range(0, before, {self.lanes}):",
            "    " + write.format("place", "before"),
            f"for place in range(0, gap, {self.lanes}):",
            f"    for {row} in range({first}, {end} - 1):",
            "        " + write.format(*inner),
            f"for place in range(behind, {rows} * {columns}, {self.lanes}):",
            "    " + write.format("place", f"{rows} * {columns}"),
        ]

    def loops(self, zeros: list[str]) -> Iterable[str]:
        """The lines of all levels, each in its loop."""
        for level, lines in enumerate(self.lines, -1):
            depth = "    " * (level + 1)
            if level >= 0:
                axis = self.axes[level]
                span = self.out.form_text(axis.extent)
                if level == 0:
                    extent = bracketed(span)
                    span = f"{extent} * thread // threads, {extent} * (thread + 1) // threads"
                elif level >= self.last - 1:
                    span = ", ".join(self.limits(axis.name))
                yield f"{depth}for {axis.name} in range({span}{f', {self.lanes}' if axis.name == self.lane else ''}):"
            yield from (f"{depth}    {part}" for line in lines for part in line.splitlines())
            if level == self.last - 2:  # what guards need is known
                yield from (f"{depth}    {line}" for line in zeros)
