"""Short rows: lanes of a vector are rows, so that rows of any length keep vectors full.

A loop along the columns of a row of scores fills vectors badly: 10 classes are less than one, 65 are four and a rest,
and every row ends in a sum over lanes and in scalar logarithms. Here a block of rows is copied to scratch with its
columns as lines (squares of vectors are transposed in registers), all rows of a block meet a column together, and what
is done once a row is done on vectors too.

Accepted: ``y[..., n] = operator(body, c)`` for max, min, sum and logsumexp over one axis ``c``, and elementwise
``y[..., n, c] = body`` of expensive functions, where each read moves along rows, along columns, or along both
(`accepts`). Each row is computed alone: results do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from graphc.formula.expression import Call, Expression, symbols
from graphc.formula.statement import Access, Affine, affine, neutral
from graphc.kernels.cpu.body import Body
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.normal import Normal
from graphc.kernels.cpu.writer import Writer, bracketed
from graphc.planning.plan import Kernel, item_bytes

__all__ = ["accepts", "emit_rows"]

#: Columns copied at a time.
_STRIP = 96
#: Vectors of rows in a block: independent sums that hide the latency of an addition.
_VECTORS = 4
#: Longest rows of a plain sum, and of all else: beyond, a loop along the columns is as fast.
_PLAIN, _OTHER = 64, 256
#: Most tensors that are copied, of a block each.
_COPIED = 3
_FUNCTIONS = {"exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf", "erfc", "sin", "cos", "sech2"}
_STEPS = {"sum": "", "max": "largest", "min": "smallest", "logsumexp": "largest"}


@dataclass(frozen=True)
class _Rows:
    """A statement as rows and columns."""

    normal: Normal
    outer: tuple[str, ...]
    row: str
    column: str
    reduces: bool


def _expensive(body: Expression) -> bool:
    return isinstance(body, Call) and (body.function in _FUNCTIONS or any(map(_expensive, body.operands)))


def _plain(access: Access) -> list[str] | None:
    """Axes of an access whose every index is a plain axis, each once; or None."""
    names = [item.plain() if isinstance(item, Affine) else None for item in access.index]
    known = [name for name in names if name is not None]
    return known if len(known) == len(names) == len(set(known)) and not access.flat else None


def _typical(form: Affine, hints: Mapping[str, int]) -> int:
    return form.constant + sum(c * hints.get(name, _STRIP) for name, c in form.terms)


def _rows(kernel: Kernel, hints: Mapping[str, int]) -> _Rows | None:
    """A kernel's statement as rows and columns, or None where it has none."""
    s = kernel.statement
    if (
        s is None
        or s.guards
        or s.lets
        or s.partial
        or not s.race_free()
        or s.write.tensor in {a.tensor for _, a in s.reads}
    ):
        return None
    reduces = bool(s.reduced())
    if (s.accumulate or s.operator not in _STEPS) if reduces else s.operator not in ("set", "sum"):
        return None
    normal = Normal(s)
    written = _plain(normal.write)
    if written is None or normal.inequalities or len(normal.reduced) != reduces or len(written) != len(normal.free):
        return None
    if len(written) < 2 - reduces:
        return None
    whole = [affine(f"{normal.write.tensor}.{d}") for d in range(len(written))]
    if not s.accumulate and [normal.extents[axis] for axis in written] != whole:
        return None  # the rest of the tensor becomes zeros, as in frames
    column = normal.reduced[0] if reduces else written[-1]
    choices = written if reduces else written[:-1]
    # the longest axis fills blocks best; of equal ones the last, whose results are neighbours
    row = max(choices, key=lambda axis: (_typical(normal.extents[axis], hints), choices.index(axis)))
    used = {n for n in symbols(normal.body) if n in normal.extents}
    if used - {column} or (kernel.shard and normal.axis_name[kernel.shard] == column):
        return None
    return _Rows(normal, tuple(axis for axis in choices if axis != row), row, column, reduces)


def accepts(kernel: Kernel, hints: Mapping[str, int]) -> bool:
    """Whether `emit_rows` writes a kernel, and expects it to be faster than a loop along the columns.

    Parameters
    ----------
    kernel : Kernel
        Of kind ``"loops"``.
    hints : mapping
        Typical values of extents (``{"t1.1": 10}``).
    """
    found = _rows(kernel, hints)
    types = dict(kernel.dtypes)
    if found is None or len({t for t in types.values() if t.startswith("float")}) != 1:
        return False
    real = types[found.normal.write.tensor]
    if not real.startswith("float"):
        return False
    copied, turned = 0, 0
    for access in found.normal.reads.values():
        axes = _plain(access)
        if axes is None or access.outside != "forbidden":
            return False
        if found.row in axes and found.column in axes:
            copied += 1
            turned += axes[-1] == found.column
            if axes[-1] not in (found.column, found.row) or types[access.tensor] != real:
                return False
    logsumexp = found.normal.operator == "logsumexp"
    heavy = logsumexp or _expensive(found.normal.body)
    if copied > _COPIED or not (turned or logsumexp):
        return False
    lanes, columns = vector_lanes(real), _typical(found.normal.extents[found.column], hints)
    if _typical(found.normal.extents[found.row], hints) < _VECTORS * lanes // 2:
        return False  # blocks would be empty for the most part
    if not found.reduces:
        return heavy and columns < 2 * lanes and columns % lanes != 0
    return columns <= (_OTHER if heavy or found.normal.operator != "sum" else _PLAIN)


def emit_rows(kernel: Kernel, hints: Mapping[str, int]) -> str:
    """Return the source text of a kernel that `accepts` takes; arguments are those of derived loops."""
    found = _rows(kernel, hints)
    assert found is not None
    return _Emitter(kernel, found).text()


class _Emitter:
    def __init__(self, kernel: Kernel, found: _Rows) -> None:
        self.kernel, self.found = kernel, found
        self.types = dict(kernel.dtypes)
        self.out = Writer(kernel)
        self.body = Body(self.out)
        self.real = self.out.real
        self.size = item_bytes(self.real)
        self.wide = _VECTORS * vector_lanes(self.real)
        self.out.variables = {*found.outer, found.row, found.column}
        self.scratch: list[str] = []  # lines that name its parts
        self.bytes = 0
        self.numbers: dict[str, int] = {}  # of parts that generated code writes: each is known to overlap no other

    # ---- places --------------------------------------------------------------------------------

    def room(self, name: str, dtype: str, elements: int, *, own: bool = True) -> str:
        """A part of the scratch; with a number of its own if generated code writes it."""
        self.scratch += [f"address_{name} = memory + {self.bytes}", f"{name} = pointer_{dtype}(address_{name})"]
        self.bytes += -(-elements * item_bytes(dtype) // 64) * 64
        if own:
            self.numbers[name] = len(self.numbers) + 1  # the result is 0
        return name

    def offset(self, access: Access, without: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        """Offset of an access but for some axes, and the strides of those."""
        pieces, strides = [], {}
        for dimension, item in enumerate(access.index):
            assert isinstance(item, Affine)
            axis, stride = item.plain(), self.out.row_stride(access.tensor, dimension)
            assert axis is not None
            if axis in without:
                strides[axis] = stride
            else:
                pieces.append(axis if stride == "1" else f"{axis} * {bracketed(stride)}")
        return " + ".join(pieces) or "0", strides

    def get(self, name: str, place: str) -> str:
        return f"fetch_{self.numbers[name]}({name}, {place})"

    def put(self, name: str, place: str, value: str) -> None:
        self.out.add(f"store_{self.numbers[name]}({name}, {place}, {value})")

    # ---- the kernel ----------------------------------------------------------------------------

    def text(self) -> str:
        """Write the kernel."""
        found, out = self.found, self.out
        columns = out.form_text(found.normal.extents[found.column])
        limits: dict[str, tuple[str, str]] = {}
        for axis in (*found.outer, found.row):
            extent = out.form_text(found.normal.extents[axis])
            limits[axis] = ("0", extent)
            if self.kernel.shard and found.normal.axis_name[self.kernel.shard] == axis:
                out.add(f"first_{axis} = {bracketed(extent)} * thread // threads")
                out.add(f"last_{axis} = {bracketed(extent)} * (thread + 1) // threads")
                limits[axis] = (f"first_{axis}", f"last_{axis}")
        first, last = limits[found.row]
        out.add(f"columns = {columns}")
        out.add(f"blocks = ({last} - {first} + {self.wide - 1}) // {self.wide}")
        items = " * ".join(["blocks", *(f"({b} - {a})" for a, b in (limits[axis] for axis in found.outer))])
        out.add(f"items = {items}")
        span = "items" if self.kernel.shard else "items * thread // threads, items * (thread + 1) // threads"
        out.add(f"for item in range({span}):")
        out.depth += 1
        out.add(f"start = {first} + item % blocks * {self.wide}")
        out.add(f"count = min({self.wide}, {last} - start)")
        if found.outer:
            out.add("rest_of_item = item // blocks")
        for axis in reversed(found.outer):
            low, high = limits[axis]
            out.add(f"{axis} = {low} + rest_of_item % ({high} - {low})")
            out.add(f"rest_of_item //= {high} - {low}")
        self.reads()
        if not found.reduces:
            self.elementwise()
        elif found.normal.operator == "logsumexp":
            self.logsumexp()
        else:
            self.reduction()
        return self.module()

    def reads(self) -> None:
        """Say how each read is reached; copy what moves along rows only."""
        found, out = self.found, self.out
        self.names: dict[str, tuple[str, str]] = {}
        self.lines: list[str] = []  # at the start of a column
        self.inner: list[str] = []  # of one row of it
        self.copies: list[tuple[str, str, str]] = []
        alone: list[tuple[str, str, str]] = []
        for placeholder, access in found.normal.reads.items():
            pointer = f"t{out.numbers[access.tensor]}"
            kind = "f" if self.types[access.tensor].startswith("float") else "i"
            offset, strides = self.offset(access, (found.row, found.column))
            name = f"v{len(self.names)}"
            self.names[placeholder] = (name, kind)
            if found.row not in strides:
                along = f" + {found.column} * {bracketed(strides[found.column])}" if strides else ""
                self.lines.append(f"{name} = load_apart({pointer}, {offset}{along})")
            elif found.column not in strides:
                part = self.room(f"p{len(self.names)}", self.types[access.tensor], self.wide)
                alone.append((part, pointer, f"{offset} + place * {bracketed(strides[found.row])}"))
                self.inner.append(f"{name} = {self.get(part, 'lane')}")
            else:
                part = self.room(f"p{len(self.names)}", self.real, self.wide * (_STRIP + 16), own=False)
                steps = strides[found.row], strides[found.column]
                place = f"{offset} + start * {bracketed(steps[0])} + strip * {bracketed(steps[1])}"
                source = f"arguments[{out.numbers[access.tensor]}] + {self.size} * ({place})"
                self.copies.append((part, source, ", ".join(steps)))
                self.inner.append(f"{name} = load_apart({part}, ({found.column} - strip) * {self.wide} + lane)")
        if alone:
            out.add(f"for lane in range({self.wide}):")
            out.depth += 1
            out.add("place = start + min(lane, count - 1)")
            for part, pointer, offset in alone:
                self.put(part, "lane", f"load_apart({pointer}, {offset})")
            out.depth -= 1

    def open_columns(self, *, copied: bool = False) -> None:
        """Loops over strips, columns and rows; ``copied``: the only strip may be there already."""
        out = self.out
        out.add(f"for strip in range(0, columns, {_STRIP}):")
        out.depth += 1
        out.add(f"width = min({_STRIP}, columns - strip)")
        if copied and self.copies:
            out.add(f"if columns > {_STRIP}:")
            out.depth += 1
        for part, source, steps in self.copies:
            out.add(f"pack({source}, {steps}, count, width, address_{part}, {self.wide})")
        if copied and self.copies:
            out.depth -= 1

    def columns(self) -> None:
        """Open the loop over the columns of a strip, and over rows."""
        self.out.add(f"for {self.found.column} in range(strip, strip + width):")
        self.out.depth += 1
        for line in self.lines:
            self.out.add(line)
        self.rows()
        for line in self.inner:
            self.out.add(line)

    def rows(self, count: str = "") -> None:
        self.out.add(f"for lane in range({count or self.wide}):")
        self.out.depth += 1

    def value(self) -> str:
        """Text of the body at one row and column; lines that it needs are written."""
        return self.body.as_real(self.body.write(self.found.normal.body, self.names), self.found.normal.body)

    def fill(self, *parts: tuple[str, str]) -> None:
        self.rows()
        for part, text in parts:
            self.put(part, "lane", text)
        self.out.depth -= 1

    def store(self, value: str) -> None:
        offset, strides = self.offset(self.found.normal.write, (self.found.row,))
        along = "(start + lane)" if strides[self.found.row] == "1" else f"(start + lane) * {strides[self.found.row]}"
        self.out.add(f"store_0(t0, {offset} + {along}, {value})")

    def compensated(self, part: str, total: str, lost: str) -> None:
        """Add the sum of a strip to the total."""
        self.out.use("rounding_error")
        self.out.add(f"before, more = {self.get(total, 'lane')}, {self.get(part, 'lane')}")
        self.put(lost, "lane", f"{self.get(lost, 'lane')} + rounding_error(before, more)")
        self.put(total, "lane", "before + more")

    def reduction(self) -> None:
        """A sum, in strips that are added with compensation, or the largest or smallest."""
        out, operator = self.out, self.found.normal.operator
        total = self.room("total", self.real, self.wide)
        start = out.constant(neutral(operator, whole=False))
        if operator != "sum":
            self.fill((total, start))
            self.open_columns()
            self.columns()
            out.use(_STEPS[operator])
            self.put(total, "lane", f"{_STEPS[operator]}({self.get(total, 'lane')}, {self.value()})")
            out.depth -= 3
            self.rows("count")
            self.store(self.get(total, "lane"))
            return
        lost, part = self.room("lost", self.real, self.wide), self.room("part", self.real, self.wide)
        self.fill((total, start), (lost, start))
        self.open_columns()
        self.fill((part, start))
        self.columns()
        self.put(part, "lane", f"{self.get(part, 'lane')} + {self.value()}")
        out.depth -= 2
        self.rows()
        self.compensated(part, total, lost)
        out.depth -= 2
        self.rows("count")
        out.use("either")
        out.add(f"whole, missing = {self.get(total, 'lane')}, {self.get(lost, 'lane')}")
        self.store("either(missing == missing, whole + missing, whole)")

    def logsumexp(self) -> None:
        """As in derived loops: the maximum, then the sum of exp of what is below it."""
        out = self.out
        one, zero = out.constant(1), out.constant(0)
        infinity, minus = out.constant(math.inf), out.constant(-math.inf)
        out.use("largest", "exp", "log", "log1p", "either")
        top, rest, ties = (self.room(name, self.real, self.wide) for name in ("top", "rest", "ties"))
        lost, part = self.room("lost", self.real, self.wide), self.room("part", self.real, self.wide)
        self.fill((top, minus), (rest, zero), (ties, zero), (lost, zero))
        self.open_columns()
        self.columns()
        self.put(top, "lane", f"largest({self.get(top, 'lane')}, {self.value()})")
        out.depth -= 3
        self.open_columns(copied=True)
        self.fill((part, zero))
        self.columns()
        out.add(f"value = {self.value()}")
        out.add(f"most = {self.get(top, 'lane')}")
        self.put(part, "lane", f"{self.get(part, 'lane')} + either(value == most, {zero}, exp(value - most))")
        self.put(ties, "lane", f"{self.get(ties, 'lane')} + either(value == most, {one}, {zero})")
        out.depth -= 2
        self.rows()
        self.compensated(part, rest, lost)
        out.depth -= 2
        self.rows("count")
        out.add(f"most, number = {self.get(top, 'lane')}, {self.get(ties, 'lane')}")
        out.add(f"below = {self.get(rest, 'lane')} + {self.get(lost, 'lane')}")
        out.add("value = most + log(number) + log1p(below / number)")
        self.store(f"either((most == {infinity}) | (most == {minus}), most, value)")

    def elementwise(self) -> None:
        """Computed with rows as lanes, then turned back."""
        result = self.room("result", self.real, self.wide * (_STRIP + 16))
        self.open_columns()
        self.columns()
        self.put(result, f"({self.found.column} - strip) * {self.wide} + lane", self.value())
        self.out.depth -= 2
        write = self.found.normal.write
        offset, strides = self.offset(write, (self.found.row, self.found.column))
        step = strides[self.found.row]
        target = f"arguments[0] + {self.size} * ({offset} + start * {bracketed(step)} + strip)"
        adds = int(self.kernel.statement is not None and self.kernel.statement.accumulate)
        self.out.add(f"unpack(address_result, {self.wide}, width, count, {target}, {step}, {adds})")

    def module(self) -> str:
        """Text of the module."""
        out = self.out
        pointers = [f"    t{k} = pointer_{dtype}(arguments[{k}])" for k, (_, dtype) in enumerate(self.kernel.dtypes)]
        start = ["    memory = scratch()", *(f"    {line}" for line in self.scratch)]
        count = len(self.numbers) + 1
        preparation = [f"scratch = stack({max(self.bytes, 64)})", f"apart = Apart({count})", "load_apart = apart.load"]
        preparation += [f"fetch_{k}, store_{k} = apart.fetch[{k}], apart.store[{k}]" for k in range(count)]
        lanes = vector_lanes(self.real)
        preparation += [f'packing = packing("{self.real}", {lanes})', "pack, unpack = packing.pack, packing.unpack"]
        vector = ["", "from graphc.kernels.cpu.vector import packing, stack", ""]
        memory = {"Apart", *(f"pointer_{dtype}" for dtype in {*self.types.values(), self.real})}
        sizes = ["    " + line for line in out.head]
        title = f"rows as lanes: {self.kernel.statement}"
        title = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in title)
        return out.module_of(title, memory, [*vector, *preparation], [*pointers, *sizes, *start, *out.lines])
