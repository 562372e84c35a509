"""Loop nests: from one canonical statement to the text of one kernel.

``emit`` derives what the statement's docstrings promise, for every operator, access and guard:

1. the statement is brought to its normal form (`graphc.kernels.cpu.normal`);
2. the loop order comes from a small stride-cost model (`_Emitter.order`);
3. each linear inequality becomes a limit of the deepest loop that it mentions: no test is left in a loop;
4. loops whose strides fit are joined at run time (``e1 = e0*e1; e0 = 1``), so that an elementwise kernel is
   one long loop whatever the rank;
5. offsets are built level by level, and only the innermost term stays in the innermost loop;
6. sums of float32 run in blocks, whose results are added with compensation.

Arguments of a kernel: the address of each tensor in the order of ``dtypes``, then every extent ``t0.0, t0.1,
..., t1.0, ...``. A tensor that only has flat accesses has a single extent, its number of elements.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphc.errors import KernelError
from graphc.formula.expression import symbols
from graphc.formula.statement import NEUTRAL, Access, Affine, Gather, affine, neutral
from graphc.kernels.cpu.body import Body
from graphc.kernels.cpu.normal import Normal
from graphc.kernels.cpu.writer import Writer, bracketed
from graphc.planning.plan import Kernel

__all__ = ["emit"]

#: Iterations of the innermost loop of a float32 sum between two compensated additions.
BLOCK = 512
#: Taken for extents that no hint gives.
_DEFAULT_EXTENT = 32
#: float32 terms beyond which a sum is not left to plain additions in memory.
_LONG_SUM = 8192
#: Most points of a constant window that is written out.
_UNROLLED = 16
_STEP = {"sum": "sum_step", "set": "sum_step", "prod": "product_step", "max": "largest", "min": "smallest"}


@dataclass
class _Read:
    """An access with its flat offset as a linear form over axes, lets and gathered values."""

    access: Access
    pointer: str
    offset: dict[str, str]  # loop variable -> stride text ("" is the constant part)
    inside: list[str]


def emit(kernel: Kernel, hints: Mapping[str, int] | None = None) -> str:
    """Return the Python/Numba source text of a derived loop nest.

    Parameters
    ----------
    kernel : Kernel
        Kind ``"loops"``.
    hints : mapping, optional
        Typical values of extents (``{"t0.1": 64}``). They only steer the choice of the loop order: the text
        is right for all extents.

    Raises
    ------
    KernelError
        If the statement has no loop nest (the message says what is missing).
    """
    if kernel.kind != "loops" or kernel.statement is None:
        raise KernelError(f"emit writes loop nests; this kernel is of kind {kernel.kind!r}")
    return _Emitter(kernel, hints or {}).text()


class _Emitter:
    """One kernel in the making."""

    def __init__(self, kernel: Kernel, hints: Mapping[str, int]) -> None:
        assert kernel.statement is not None
        self.source = kernel.statement
        self.hints = hints
        self.types = dict(kernel.dtypes)
        for tensor in (self.source.write.tensor, *self.source.tensors()):
            if tensor not in self.types:
                raise KernelError(f"the kernel's dtypes do not name the tensor {tensor!r}")
        if self.source.accumulate and self.source.operator in ("argmax", "argmin", "logsumexp"):
            raise KernelError(f"{self.source.operator} cannot accumulate into what a tensor holds")
        self.out = Writer(kernel)
        self.body = Body(self.out)
        self.normal = Normal(self.source)
        self.shard = self.normal.axis_name[kernel.shard] if kernel.shard else ""
        self.unrolled = False
        self.owned = ""  # an axis over slices of the written tensor, where only these can be shared
        self.parts: dict[str, tuple[str, str]] = {}  # limits of the loop that threads share

    # ---- order of loops ------------------------------------------------------------------------

    def typical(self, axis: str) -> int:
        """Expected extent of an axis."""
        form = self.normal.extents.get(axis)
        if form is None:
            return 4  # what is left of a window after its stride
        total = form.constant
        for name, c in form.terms:
            total += c * self.hints.get(name, _DEFAULT_EXTENT)
        return max(1, total)

    def step(self, access: Access, axis: str) -> int:
        """Distance of neighbours along an axis: 0, the coefficient, or a large number."""
        if access.flat:
            item = access.index[0]
            return abs(item.coefficient(axis)) if isinstance(item, Affine) else 0
        total = 0
        size = 1
        derived = {let.name: let for let in self.normal.lets}
        for dimension in range(len(access.index) - 1, -1, -1):
            item = access.index[dimension]
            if isinstance(item, Affine):
                total += item.coefficient(axis) * size
                for name in item.names():
                    if name in derived and derived[name].numerator.coefficient(axis):
                        total += 2 * size
            elif axis in item.access.axes():
                total += 4 * size
            size *= max(self.hints.get(f"{access.tensor}.{dimension}", 1000), 1)
        return abs(total)

    def order(self) -> list[str]:
        """Choose the innermost loop: cheapest cost of one iteration over the strides of all accesses.

        An access costs 0.1 where the axis leaves it alone, 1 with unit stride (vector loads), 3 with a small
        stride (gathered lanes), 8 beyond (a cache line each). A free innermost axis under reduced loops
        loads and stores the written element at each iteration; a reduced one keeps it in registers. Each
        start of the loop costs about 10 more, shared by its typical extent.
        """

        def cost(step: int) -> float:
            return 0.1 if step == 0 else 1.0 if step == 1 else 3.0 if step <= 4 else 8.0

        def total(axis: str) -> float:
            result = sum(cost(self.step(access, axis)) for access in self.normal.reads.values())
            written = self.step(self.normal.write, axis)
            if axis in self.normal.free:
                result += cost(written) * (2 if self.normal.reduced or not self.race_free else 1)
                if not self.normal.reduced:
                    result -= 0.01 * (written == 1)
            elif not self.race_free:
                result += 0.5  # one combination with memory for each start
            return result + 10 / self.typical(axis)

        free = self.normal.free
        if not self.normal.inequalities and not self.normal.lets and self.race_free:
            # outer loops go through the written tensor as it lies in memory, however the formula counts its axes
            free = sorted(free, key=lambda a: -self.step(self.normal.write, a))
        axes = [*free, *self.normal.reduced]
        if not axes:
            return axes
        self.unrolled = self.small_window()
        if self.unrolled:
            if not self.normal.free:
                return axes
            best = min(reversed(free), key=lambda a: round(total(a), 6))
            return [*(a for a in free if a != best), best, *self.normal.reduced]
        # argmax and logsumexp need all points of an element together; a long chain of float32 additions in
        # memory would lose digits that the compensated sum in registers keeps
        length = math.prod(self.typical(a) for a in self.normal.reduced)
        long = self.source.operator == "sum" and self.out.real == "float32" and length > _LONG_SUM
        whole = self.source.operator in ("argmax", "argmin", "logsumexp") or (long and self.race_free)
        candidates = self.normal.reduced if whole and self.normal.reduced else [*self.normal.reduced, *free]
        # among reduced axes ties go to the last; a free axis must be better to win
        best = min(
            reversed(candidates),
            key=lambda a: (round(total(a), 6), a in self.normal.free and bool(self.normal.reduced)),
        )
        return [*(a for a in axes if a != best), best]

    def small_window(self) -> bool:
        """Whether the reduced axes are a few constant steps that no guard limits.

        LLVM then writes them out, and the innermost free loop around them is vectorised.
        """
        extents = [self.normal.extents.get(a) for a in self.normal.reduced]
        if not extents or any(e is None or e.terms for e in extents):
            return False
        limited = {n for q in self.normal.inequalities for n in q.names()}
        limited |= {n for d in self.normal.divides for n in d.index.names()}
        limited |= {n for let in self.normal.lets for n in let.numerator.names()}
        small = 0 < math.prod(e.constant for e in extents if e is not None) <= _UNROLLED
        return small and not limited & set(self.normal.reduced) and self.source.operator != "logsumexp"

    # ---- emission ------------------------------------------------------------------------------

    def text(self) -> str:
        """Write the nest that the operator needs."""
        s = self.source
        self.race_free = s.race_free() and not s.write.flat
        if s.write.flat and isinstance(self.normal.write.index[0], Affine):
            # one plain axis over the whole tensor reaches each element once
            plain = self.normal.write.index[0].plain()
            self.race_free = plain in self.normal.extents and len(self.normal.free) == 1
        if not self.race_free and s.operator in ("argmax", "argmin", "logsumexp"):
            raise KernelError(f"{s.operator} needs a write index of plain axes; found {s.write}")
        self.loops = self.order()
        self.out.variables = {*self.loops, *(let.name for let in self.normal.lets)}
        if s.operator in ("argmax", "argmin"):
            self.nest_position()
        elif s.operator == "logsumexp":
            self.nest_logsumexp()
        else:
            self.nest()
        return self.out.module()

    def level(self, names: Iterable[str]) -> int:
        """Depth at which all names are known: 0 is before the first loop."""
        depth = 0
        lets = {let.name: let for let in self.normal.lets}
        for name in names:
            if name in self.loops:
                depth = max(depth, self.loops.index(name) + 1)
            elif name in lets:
                depth = max(depth, self.level(lets[name].numerator.names()))
            elif name.startswith("g") and name in self.gathered:
                depth = max(depth, self.gathered[name])
        return depth

    def prepare(self) -> None:
        """Place every guard, derived axis, gathered value and offset at its level."""
        count = len(self.loops)
        self.gathered: dict[str, int] = {}
        self.lower: list[list[str]] = [[] for _ in range(count + 1)]
        self.upper: list[list[str]] = [[] for _ in range(count + 1)]
        self.before: list[list[str]] = [[] for _ in range(count + 1)]  # lines at the start of a level
        self.conditions: list[list[str]] = [[] for _ in range(count + 1)]
        self.stepped: dict[str, tuple[str, int]] = {}
        self.guarded: set[str] = set()  # axes that are not free to be joined
        self.gather_lines: dict[tuple[Access, str], str] = {}
        lets = {let.name for let in self.normal.lets}
        for let in self.normal.lets:
            level = self.level([let.name])
            self.before[level].append(f"{let.name} = ({self.out.form_text(let.numerator)}) // {let.divisor}")
            self.guarded.update(let.numerator.names())
        for q in dict.fromkeys(self.normal.inequalities):
            names = [n for n in q.names() if n in self.out.variables]
            if self.trivial(q):
                continue
            self.guarded.update(names)
            level = self.level(names)
            if level == 0 or any(n in lets for n in names):
                self.conditions[level].append(f"{self.out.form_text(q)} >= 0")
                continue
            axis = self.loops[level - 1]
            c = q.coefficient(axis)
            rest = q - affine({axis: c})
            if c == 1:
                self.lower[level].append(self.out.form_text(rest * -1))
            elif c > 0 and not rest.terms:
                self.lower[level].append(str(-(rest.constant // c)))
            elif c > 0:
                self.lower[level].append(f"-(({self.out.form_text(rest)}) // {c})")
            elif c == -1:
                self.upper[level].append(self.out.form_text(rest + 1))
            else:
                self.upper[level].append(f"({self.out.form_text(rest)}) // {-c} + 1")
        for guard in self.normal.divides:
            names = [n for n in guard.index.names() if n in self.out.variables]
            self.guarded.update(names)
            level = self.level(names)
            axis = self.loops[level - 1] if level else ""
            c = guard.index.coefficient(axis) if level else 0
            if abs(c) == 1 and axis not in self.stepped and not any(n in lets for n in names):
                # first value at or above the lower limit that the divisor divides
                rest = guard.index - affine({axis: c})
                self.stepped[axis] = (self.out.form_text(rest * -c), guard.divisor)
            else:
                self.conditions[level].append(f"({self.out.form_text(guard.index)}) % {guard.divisor} == 0")
        # offsets
        self.offsets: dict[Access, _Read] = {}
        for access in (self.normal.write, *self.normal.reads.values(), *(w.access for w in self.normal.wins)):
            self.register(access)
        for win in self.normal.wins:
            names = set(win.access.axes())
            for index, _ in win.axes:
                names.update(index.names())
            self.guarded.update(n for n in names if n in self.out.variables)
        for name in symbols(self.normal.body):
            if name in self.out.variables:
                self.guarded.add(name)

    def trivial(self, form: Affine) -> bool:
        """Whether ``form >= 0`` says nothing new: axes with an extent and sizes are never negative."""
        counted = [n for n in form.names() if n in self.out.variables]
        if any(n not in self.normal.extents for n in counted):
            return False
        if all(c > 0 for _, c in form.terms) and form.constant >= 0:
            return True
        return len(counted) == 1 and form == self.normal.extents[counted[0]] - affine(counted[0]) - 1

    def register(self, access: Access) -> _Read:
        """Write the strides of an access."""
        if access in self.offsets:
            return self.offsets[access]
        number = self.out.numbers[access.tensor]
        read = _Read(access, f"t{number}", {}, [])
        parts: dict[str, list[str]] = {}

        def put(key: str, text: str) -> None:
            parts.setdefault(key, []).append(text)

        for dimension, item in enumerate(access.index):
            stride = "1" if access.flat else self.out.row_stride(access.tensor, dimension)
            upper = f"{access.tensor}.size" if access.flat else f"{access.tensor}.{dimension}"
            if isinstance(item, Gather):
                name = self.gather(item.access, "" if access.outside == "zero" else self.out.size(upper))
                put(name, stride)
                if access.outside == "zero":
                    read.inside += [f"{name} >= 0", f"{name} < {self.out.size(upper)}"]
                continue
            if access.outside == "zero":
                plain = item.plain()
                if not (plain in self.normal.extents and self.normal.extents[plain] == affine(upper)):
                    names = [n for n in item.names() if n in self.out.variables]
                    self.guarded.update(names)
                    text = self.out.form_text(item)
                    read.inside += [f"{bracketed(text)} >= 0", f"{bracketed(text)} < {self.out.size(upper)}"]
            rest = Affine((), item.constant)
            for name, c in item.terms:
                if name in self.out.variables:
                    put(name, stride if c == 1 else str(c) if stride == "1" else f"{c} * {stride}")
                else:
                    rest = rest + affine({name: c})
            if rest.terms or rest.constant:
                text = self.out.form_text(rest)
                if stride != "1":
                    signs = {"1": stride, "-1": f"-{stride}"}
                    text = signs.get(text, f"{bracketed(text)} * {stride}")
                put("", text)
        number_of = len(self.offsets)
        for key, pieces in parts.items():
            text = " + ".join(pieces)
            if key and len(pieces) + text.count("*") > 1 and not re.fullmatch(r"-?\d+", text):
                local = f"d{number_of}_{key}"
                self.out.head.append(f"{local} = {text}")
                text = local
            read.offset[key] = text
        self.offsets[access] = read
        return read

    def gather(self, access: Access, limit: str) -> str:
        """Local variable that holds a data-dependent index, kept below ``limit`` if that is given."""
        if (access, limit) not in self.gather_lines:
            read = self.register(access)
            name = f"g{len(self.gather_lines)}"
            self.gather_lines[access, limit] = name
            level = self.level([k for k in read.offset if k])
            self.gathered[name] = level
            self.guarded.update(k for k in read.offset if k in self.out.variables)
            terms = [(k, v) for k, v in read.offset.items()]
            offset = self.offset_text(terms)
            self.out.use("load")
            self.before[level].append(f"{name} = integer(load({read.pointer}, {offset}))")
            if limit:  # a wrong index from a computation must not reach foreign memory
                self.before[level].append(f"{name} = min(max({name}, 0), {limit} - 1)")
            self.out.use("integer")
            self.out.variables.add(name)
        return self.gather_lines[access, limit]

    @staticmethod
    def offset_text(terms: Iterable[tuple[str, str]]) -> str:
        pieces = []
        for key, stride in terms:
            if not key:
                pieces.append(stride)
            elif stride == "1":
                pieces.append(key)
            else:
                pieces.append(f"{key} * {bracketed(stride)}")
        return " + ".join(pieces).replace("+ -", "- ") or "0"

    def bases(self, accesses: Iterable[Access], innermost: int) -> list[list[str]]:
        """Lines that build each offset level by level, down to the level before the innermost loop."""
        lines: list[list[str]] = [[] for _ in range(innermost + 1)]
        self.current: dict[Access, str] = {}
        for number, access in enumerate(dict.fromkeys(accesses)):
            read = self.offsets[access]
            grouped: dict[int, list[tuple[str, str]]] = {}
            for key, stride in read.offset.items():
                grouped.setdefault(self.level([key]) if key else 0, []).append((key, stride))
            name = ""
            for level in range(innermost):
                terms = grouped.get(level)
                if not terms:
                    continue
                text = self.offset_text(terms)
                local = f"b{number}_{level}"
                lines[level].append(f"{local} = {name + ' + ' if name else ''}{text}")
                name = local
            inner = self.offset_text(grouped[innermost]) if innermost in grouped else ""
            self.current[access] = " + ".join(t for t in (name, inner) if t) or "0"
        return lines

    def limits(self, level: int, extent: Mapping[str, str]) -> tuple[str, str, int]:
        """Lower limit, upper limit and step of the loop ``level`` (1 is outermost)."""
        axis = self.loops[level - 1]
        # an eliminated axis has its limits among the inequalities only
        first, last = self.parts.get(axis, ("0", extent.get(axis, "")))
        lower: list[str] = list(dict.fromkeys([*([first] if axis in extent else []), *self.lower[level]]))
        upper: list[str] = list(dict.fromkeys([*([last] if axis in extent else []), *self.upper[level]]))
        low = lower[0] if len(lower) == 1 else f"max({', '.join(lower)})"
        high = upper[0] if len(upper) == 1 else f"min({', '.join(upper)})"
        if axis not in self.stepped:
            return low, high, 1
        target, divisor = self.stepped[axis]
        self.out.add(f"first{level} = {low}")
        self.out.add(f"first{level} += ({target} - first{level}) % {divisor}")
        return f"first{level}", high, divisor

    def open_loop(self, level: int, extent: Mapping[str, str]) -> None:
        """Write the header of a loop."""
        low, high, step = self.limits(level, extent)
        limits = high if (low, step) == ("0", 1) else f"{low}, {high}" + (f", {step}" if step > 1 else "")
        self.out.add(f"for {self.loops[level - 1]} in range({limits}):")
        self.out.depth += 1

    def tiles(self) -> list[str] | None:
        """Tests that tiles of constant size fill the written tensor; None where tiles could overlap.

        ``y[2*i + r]`` with ``r < 2`` writes each element once, as in the adjoint of pooling over windows that do not
        overlap.
        """
        source = self.source
        if source.operator not in ("sum", "set") or self.normal.reduced or source.write.flat or source.accumulate:
            return None
        tests: list[str] = []
        used: list[str] = []
        exact = not (self.normal.inequalities or self.normal.divides or self.normal.lets)
        for dimension, item in enumerate(self.normal.write.index):
            if not isinstance(item, Affine) or item.constant or any(n not in self.normal.extents for n in item.names()):
                return None
            (inner, c), *rest = sorted(item.terms, key=lambda term: term[1]) or [("", 0)]
            used += item.names()
            extent = self.normal.extents.get(inner)
            if c != 1 or extent is None or len(rest) > 1:
                return None
            whole = self.out.size(f"{self.normal.write.tensor}.{dimension}")
            reach = self.out.form_text(extent)
            if rest:
                outer, step = rest[0]
                if extent.terms or extent.constant > step:
                    return None
                exact = exact and extent.constant == step
                reach = f"{step} * {bracketed(self.out.form_text(self.normal.extents[outer]))}"
            tests.append(f"{whole} == {reach}")
        if len(set(used)) != len(used) or set(used) != set(self.normal.free):
            return None
        return tests if exact else ["False"]

    def slices(self) -> str:
        """The axis that runs over the first dimension of the written tensor and nothing else, or nothing.

        Threads may share it even where points along other axes write one element, or some elements are not reached.
        """
        write = self.normal.write
        item = write.index[0] if write.index and not write.flat else None
        plain = item.plain() if isinstance(item, Affine) else None
        whole = self.normal.extents.get(plain or "") == affine(f"{write.tensor}.0")
        return plain or "" if whole and self.loops and (self.loops[-1] != plain or len(self.loops) == 1) else ""

    def split_loops(self, extent: Mapping[str, str], possible: bool) -> None:
        """Give each thread a part of a free loop: the outermost, or the innermost where that one is too short.

        Each element is computed by one thread and in the same order as by one alone, so that results are the same
        at every run; between numbers of threads the last bit may differ, where a remainder of a vector loop begins
        elsewhere. Where no axis can be shared the first thread does everything. In a shard the axis of the batch is
        shared, whatever it is.
        """
        axes = [a for a in self.loops if a in self.normal.free and a in extent and a not in self.stepped]
        if self.owned:
            axes = [a for a in axes if a == self.owned]
        if self.shard:
            self.owned = self.shard
            axes = [self.shard]
        elif not possible or not axes:
            self.owned = ""
            self.out.head += ["if thread > 0:", "    return"]
            return
        outer, inner = axes[0], axes[-1]
        for axis in dict.fromkeys((outer, inner)):
            self.parts[axis] = (f"first_{axis}", f"last_{axis}")
            self.out.head += [f"first_{axis} = 0", f"last_{axis} = {extent[axis]}"]
        part = "{0} = {1} * thread // threads", "{0} = {1} * (thread + 1) // threads"
        lines = {
            a: [p.format(n, bracketed(extent[a])) for p, n in zip(part, self.parts[a], strict=True)]
            for a in axes
            if a in self.parts
        }
        if outer == inner:
            self.out.head += lines[outer]
            return
        self.out.head.append(f"if {extent[outer]} >= threads:")
        self.out.head += ["    " + line for line in lines[outer]]
        self.out.head.append("else:")
        self.out.head += ["    " + line for line in lines[inner]]

    def conditions_at(self, level: int) -> None:
        if self.conditions[level]:
            text = " and ".join(dict.fromkeys(self.conditions[level]))
            if level == 0:
                self.out.add(f"if not ({text}):")
                self.out.add("    return")
            else:
                self.out.add(f"if not ({text}):")
                self.out.add("    continue")

    def covers(self) -> bool:
        """Whether the free axes alone reach every element of the written tensor."""
        for dimension, item in enumerate(self.normal.write.index):
            if not isinstance(item, Affine):
                return False
            plain = item.plain()
            name = (
                f"{self.normal.write.tensor}.size"
                if self.normal.write.flat
                else f"{self.normal.write.tensor}.{dimension}"
            )
            if plain is None or self.normal.extents.get(plain) != affine(name):
                return False
        return self.race_free

    def join_loops(self) -> dict[str, str]:
        """Text of every extent; neighbouring loops whose strides fit become one at run time."""
        extent = {
            axis: self.out.form_text(self.normal.extents[axis]) for axis in self.loops if axis in self.normal.extents
        }
        blocked = self.guarded | set(self.stepped) | ({self.owned} if self.owned else set())
        position = self.source.operator in ("argmax", "argmin")
        if position:  # the stored position counts reduced axes in their order: only the last ones may join
            blocked = blocked | (set(self.normal.reduced) if len(self.normal.reduced) > 2 else set())
        for group in (self.normal.free, self.normal.reduced):
            kept = [a for a in self.loops if a in group and a in extent and a not in blocked]
            kept = [a for a in kept if self.normal.extents[a].terms]  # constant loops are unrolled
            if len(kept) < 2:
                continue
            inner = kept[-1]
            outers = kept[:-1][::-1]
            previous: list[str] = []
            for outer in outers:
                conditions = self.joinable(outer, inner)
                if conditions is None:
                    break
                for axis in (inner, outer):
                    if not extent[axis].startswith("e"):
                        self.out.head.append(f"e{axis} = {extent[axis]}")
                        extent[axis] = f"e{axis}"
                tests = [f"{extent[p]} == 1" for p in previous] + [
                    f"{a} == {b and b + ' * '}{extent[inner]}" for a, b in conditions
                ]
                body = [f"{extent[inner]} *= {extent[outer]}", f"{extent[outer]} = 1"]
                if tests:
                    self.out.head.append(f"if {' and '.join(tests)}:")
                    body = ["    " + line for line in body]
                self.out.head += body
                previous.append(outer)
        return extent

    def joinable(self, outer: str, inner: str) -> list[tuple[str, str]] | None:
        """Conditions ``stride(outer) == stride(inner) * extent(inner)``; None if they cannot hold."""
        conditions: dict[tuple[str, str], None] = {}
        for read in self.offsets.values():
            a, b = read.offset.get(outer, ""), read.offset.get(inner, "")
            if not a and not b:
                continue
            if not a or not b or (a == "1" and b == "1"):
                return None
            conditions[(a, "" if b == "1" else bracketed(b))] = None
        # where the outer stride is the inner extent by name, the condition holds
        own = self.out.form_text(self.normal.extents[inner])
        return [(a, b) for a, b in conditions if not (b == "" and a == own and not self.joined(inner))]

    def joined(self, axis: str) -> bool:
        return any(line.startswith(f"e{axis} ") or line.strip().startswith(f"e{axis} *=") for line in self.out.head)

    # ---- scalar text ---------------------------------------------------------------------------

    def value(self) -> str:
        """Write the reads and the body at the current depth; return the text of the value, a real."""
        names: dict[str, tuple[str, str]] = {}
        used = set(symbols(self.normal.body))
        for k, (placeholder, access) in enumerate(self.normal.reads.items()):
            if placeholder not in used:
                continue
            read = self.offsets[access]
            own = access.tensor == self.source.write.tensor
            self.out.use("fetch" if own else "load")
            text = f"{'fetch' if own else 'load'}({read.pointer}, {self.current[access]})"
            kind = "i" if self.types[access.tensor].startswith("int") else "f"
            if kind == "f" and self.types[access.tensor] != self.out.real:
                text = f"real({text})"
            if read.inside:
                neutral = "0" if kind == "i" else self.out.constant(0)
                self.out.add(f"v{k} = {neutral}")
                self.out.add(f"if {' and '.join(read.inside)}:")
                self.out.add(f"    v{k} = {text}")
            else:
                self.out.add(f"v{k} = {text}")
            names[placeholder] = (f"v{k}", kind)
        typed = self.body.write(self.normal.body, names)
        whole = self.source.operator == "set" and self.types[self.source.write.tensor].startswith("int")
        if whole and typed[1] == "i" and not self.normal.wins and self.race_free and not self.source.accumulate:
            text = typed[0]  # integers stay integers
        else:
            text = self.body.as_real(typed, self.normal.body)
        # a winner guard protects no memory: both sides are computed, so the loop has no branch
        for win in self.normal.wins:
            self.out.use("either", "load")
            read = self.offsets[win.access]
            position = ""
            for index, extent in win.axes:
                piece = self.out.form_text(index)
                position = f"({position}) * {bracketed(self.out.form_text(extent))} + {piece}" if position else piece
            stored = f"integer(load({read.pointer}, {self.current[win.access]}))"
            self.out.use("integer")
            unreached = self.out.constant(NEUTRAL[self.source.operator])
            text = f"either({stored} == {position or '0'}, {text}, {unreached})"
        return text

    # ---- nests ---------------------------------------------------------------------------------

    def fill_all(self) -> None:
        """Give every element the neutral value."""
        tensor = self.source.write.tensor
        self.out.use("store")
        limits = self.out.size(tensor + ".size")
        if self.owned in self.parts:  # each thread fills its own slices
            stride = self.out.row_stride(tensor, 0)
            limits = ", ".join(f"{limit} * {bracketed(stride)}" for limit in self.parts[self.owned])
        self.out.add(f"for e in range({limits}):")
        self.out.add(f"    store(t{self.out.numbers[tensor]}, e, {self.start_value()})")

    def start_value(self) -> str:
        """What an element of the written tensor starts from."""
        whole = self.types[self.source.write.tensor] == "int32"
        return self.out.constant(neutral(self.source.operator, whole=whole))

    def start_level(self, level: int, bases: list[list[str]]) -> None:
        for line in self.before[level]:
            self.out.add(line)
        self.conditions_at(level)
        if level < len(bases):
            for line in bases[level]:
                self.out.add(line)

    def first_guard(self) -> int:
        """Depth of the outermost loop that a guard shortens (0: a guard without axes)."""
        for level in range(len(self.loops) + 1):
            if self.conditions[level] or self.lower[level] or self.upper[level]:
                return level
            if level and self.loops[level - 1] in self.stepped:
                return level
        return len(self.loops) + 1

    def init_rows(self, level: int, extent: Mapping[str, str]) -> None:
        """Neutral values for the part of the written tensor that the free loops below ``level`` reach."""
        read = self.offsets[self.normal.write]
        inner = [a for a in self.loops[level:] if a in self.normal.free]
        depth = self.out.depth
        for axis in inner:
            first, last = self.parts.get(axis, ("0", extent[axis]))
            self.out.add(f"for {axis} in range({last if first == '0' else f'{first}, {last}'}):")
            self.out.depth += 1
        terms = [(k, v) for k, v in read.offset.items()]
        self.out.use("store")
        self.out.add(f"store({read.pointer}, {self.offset_text(terms)}, {self.start_value()})")
        self.out.depth = depth

    def nest(self) -> None:
        """set, sum, max, min, prod: scalar accumulators over the innermost reduced loops, else memory."""
        s = self.source
        self.prepare()
        count = len(self.loops)
        accumulates = s.accumulate
        suffix = 0  # innermost loops that are reduced: their result stays in a register
        while suffix < count and self.loops[count - 1 - suffix] in self.normal.reduced:
            suffix += 1
        first_reduced = next((k for k, a in enumerate(self.loops) if a in self.normal.reduced), count)
        tiles = None if self.race_free else self.tiles()
        # each element is finished at once
        direct = (self.race_free or tiles is not None) and first_reduced == count - suffix
        whole = self.race_free and (accumulates or self.covers())
        self.owned = self.shard or ("" if whole else self.slices())
        extent = self.join_loops()
        self.split_loops(extent, whole or bool(self.owned))
        bases = self.bases(
            (self.normal.write, *self.normal.reads.values(), *(w.access for w in self.normal.wins)), count
        )
        guard = self.first_guard()
        init_level = None
        if not accumulates:
            reached = guard > (count - suffix)  # the stores of finished elements are all reached
            if tiles is not None:
                self.out.add(f"if not ({' and '.join(tiles)}):")
                self.out.depth += 1
                self.fill_all()
                self.out.depth -= 1
            elif not self.covers():
                self.fill_all()
            elif not (direct and reached):
                init_level = min(max(guard - 1, 0), first_reduced)
        level = 0
        fast = self.out.real == "float32" and s.operator == "sum" and suffix > 0 and not self.unrolled
        accumulator_depth = self.out.depth
        combined = accumulates or not direct
        step = _STEP[s.operator]
        for level in range(count + 1):
            if level == 0 and init_level == 0:
                self.init_rows(0, extent)  # before the conditions: they may return
            self.start_level(level, bases)
            if init_level == level and level > 0:
                self.init_rows(level, extent)
            if level == count - suffix and suffix:
                start = self.start_value()
                self.out.add(f"total = {start}")
                if fast:
                    self.out.add(f"lost = {start}")
                accumulator_depth = self.out.depth
            if level < count:
                if fast and level == count - 1:
                    self.blocked_loop(level + 1, extent)
                else:
                    self.open_loop(level + 1, extent)
        value = self.value()
        self.out.use("store")
        pointer, place = self.offsets[self.normal.write].pointer, self.current[self.normal.write]
        if suffix:
            self.out.use(step)
            accumulator = "part" if fast else "total"
            self.out.add(f"{accumulator} = {step}({accumulator}, {value})")
            if fast:
                self.out.use("rounding_error", "either")
                self.out.depth -= 1
                self.out.add("lost = lost + rounding_error(total, part)")
                self.out.add("total = total + part")
            self.out.depth = accumulator_depth
            if fast:  # infinities leave NaN in the lost part
                self.out.add("total = either(lost == lost, total + lost, total)")
            value = "total"
        if combined:
            self.out.use("fetch")
            held = f"fetch({pointer}, {place})"
            if self.types[s.write.tensor] != self.out.real:
                held = f"real({held})"
            if s.operator in ("sum", "set"):
                value = f"{held} + {value}"
            else:
                self.out.use(step)
                value = f"{step}({held}, {value})"
        self.out.add(f"store({pointer}, {place}, {value})")

    def blocked_loop(self, level: int, extent: Mapping[str, str]) -> None:
        """The innermost loop of a float32 sum in blocks, each added with compensation."""
        low, high, step = self.limits(level, extent)
        if not re.fullmatch(r"\w+", high):
            self.out.add(f"last = {high}")
            high = "last"
        self.out.add(f"for start in range({low}, {high}, {BLOCK * step}):")
        self.out.depth += 1
        self.out.add(f"part = {self.out.constant(0)}")
        ending = f", {step}" if step > 1 else ""
        self.out.add(f"for {self.loops[level - 1]} in range(start, min(start + {BLOCK * step}, {high}){ending}):")
        self.out.depth += 1

    def scalar_levels(self) -> tuple[int, int, list[list[str]], dict[str, str]]:
        """Common start of nests that need all points of one element together."""
        self.prepare()
        count, free = len(self.loops), len(self.normal.free)
        self.owned = self.shard
        extent = self.join_loops()
        bases = self.bases(
            (self.normal.write, *self.normal.reads.values(), *(w.access for w in self.normal.wins)), count
        )
        filled = not self.covers() or self.first_guard() <= free
        self.split_loops(extent, not filled)
        if filled:
            self.fill_all()
        for level in range(free):
            self.start_level(level, bases)
            self.open_loop(level + 1, extent)
        return count, free, bases, extent

    def nest_position(self) -> None:
        """argmax, argmin: the first winner in row-major order; NaN wins over everything."""
        # reduced axes in the order of positions
        self.loops = [*(a for a in self.loops if a in self.normal.free), *self.normal.reduced]
        count, free, bases, extent = self.scalar_levels()
        better = ">" if self.source.operator == "argmax" else "<"
        self.start_level(free, bases)
        self.out.add(f"best = {self.out.constant(-math.inf if better == '>' else math.inf)}")
        self.out.add("winner = -1")
        depth = self.out.depth
        for level in range(free, count):
            self.open_loop(level + 1, extent)
            self.start_level(level + 1, bases)
        self.out.add(f"value = {self.value()}")
        position = ""
        for axis in self.normal.reduced:
            position = f"({position}) * {bracketed(extent[axis])} + {axis}" if position else axis
        if self.unrolled:
            self.out.use("either")
            self.out.add(f"better = (winner < 0) | (value {better} best) | ((value != value) & (best == best))")
            self.out.add("best = either(better, value, best)")
            self.out.add(f"winner = either(better, {position or '0'}, winner)")
        else:
            self.out.add(f"if winner < 0 or value {better} best or (value != value and best == best):")
            self.out.add("    best = value")
            self.out.add(f"    winner = {position or '0'}")
        self.out.depth = depth
        self.out.use("store")
        self.out.add(
            f"store({self.offsets[self.normal.write].pointer}, {self.current[self.normal.write]}, max(winner, 0))"
        )

    def nest_logsumexp(self) -> None:
        """Two passes: the maximum, then the sum of exp of what is below it.

        ``m + log(count of m) + log1p(rest / count)`` keeps results near 0 right.
        """
        count, free, bases, extent = self.scalar_levels()
        self.start_level(free, bases)
        one, zero = self.out.constant(1), self.out.constant(0)
        infinity, minus = self.out.constant(math.inf), self.out.constant(-math.inf)
        self.out.use("largest", "sum_step", "exp", "log", "log1p", "either", "store")
        depth = self.out.depth
        self.out.add(f"top = {minus}")
        for level in range(free, count):
            self.open_loop(level + 1, extent)
            self.start_level(level + 1, bases)
        self.out.add(f"top = largest(top, {self.value()})")
        self.out.depth = depth
        self.out.add(f"rest = {zero}")
        self.out.add(f"ties = {zero}")
        for level in range(free, count):
            self.open_loop(level + 1, extent)
            self.start_level(level + 1, bases)
        self.out.add(f"value = {self.value()}")
        self.out.add(f"rest = sum_step(rest, either(value == top, {zero}, exp(value - top)))")
        self.out.add(f"ties = sum_step(ties, either(value == top, {one}, {zero}))")
        self.out.depth = depth
        self.out.add("value = top + log(ties) + log1p(rest / ties)")
        # infinite maxima are the result themselves (all -inf, or an inf); NaN passes through
        self.out.add(f"value = either((top == {infinity}) | (top == {minus}), top, value)")
        self.out.add(f"store({self.offsets[self.normal.write].pointer}, {self.current[self.normal.write]}, value)")

    # ---- the module ----------------------------------------------------------------------------
