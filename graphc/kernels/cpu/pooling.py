"""Pooling: windows side by side (`graphc.planning.tiling`), those of a row in the lanes of a vector.

Each element of a window is written out: its operands are vectors with one window in each lane, read as whole rows and
taken apart in registers. Masks hold back the lanes behind the end of a row, so that short rows are vectors, too.

Arguments of a kernel: the address of each tensor in the order of ``dtypes``, then every extent, as for loops. The
literals are the lanes that a row needs, a power of two, or 0 where these are many or not known yet; and whether windows
cover the whole tensor: where they do not, the rest of a written tensor becomes 0. Where what is written lies in a frame
of zeros, its first row and column there follow, and the extents of the written tensor are those of the frame. Part
``p`` of ``P`` are the examples ``N*p//P`` to ``N*(p+1)//P``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from graphc.errors import KernelError
from graphc.formula.expression import ZERO, Call, Expression, Number, Symbol, symbols
from graphc.formula.statement import Access, Affine, affine
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.levels import Levels
from graphc.kernels.cpu.values import Name
from graphc.kernels.cpu.writer import bracketed, compute_type
from graphc.planning.plan import Kernel
from graphc.planning.tiling import tiling

__all__ = ["emit_pooling"]

_LARGEST = "largest"  # placeholder


def _split(body: Expression, inside: set[str]) -> tuple[Expression, Expression]:
    """Write a body as a function of an inner one that alone depends on the symbols ``inside``; return inner and outer.

    The outer function never falls where the inner one rises. The largest value so is that of the largest inner value,
    also after rounding: the inner body of ``max(0, x + b)`` is ``x``. (Not where infinities of both signs are added.)
    """
    if isinstance(body, Call) and body.function in ("add", "sub", "max", "min", "mul"):
        depends = [bool(inside & set(symbols(operand))) for operand in body.operands]
        place = depends.index(True) if sum(depends) == 1 else -1
        factor = body.operands[1 - place] if place >= 0 else ZERO
        falls = body.function == "sub" and place == 1
        if body.function == "mul" and not (isinstance(factor, Number) and factor.value > 0):
            falls = True
        if place >= 0 and not falls:
            inner, outer = _split(body.operands[place], inside)
            operands = tuple(outer if k == place else operand for k, operand in enumerate(body.operands))
            return inner, Call(body.function, operands)
    return body, Symbol(_LARGEST)


def emit_pooling(kernel: Kernel) -> str:
    """Return the source text of a kernel of windows.

    Parameters
    ----------
    kernel : Kernel
        Kind ``"pooling"``.

    Raises
    ------
    KernelError
        If its statement is none that `graphc.planning.tiling.tiling` accepts.
    """
    return _Emitter(kernel).text()


class _Emitter(Levels):
    """One kernel in the making."""

    def __init__(self, kernel: Kernel) -> None:
        s = kernel.statement
        found = tiling(s) if s is not None else None
        if s is None or found is None or s.operator == "argmax":
            raise KernelError(f"a pooling kernel needs windows side by side, reduced or set; found {s}")
        most, self.exact, *self.first = kernel.literals
        lanes = vector_lanes(compute_type(kernel))
        super().__init__(kernel, s, min(lanes, most or lanes), len(found.axes) - 1)
        self.tiling = found
        self.out.variables = set(found.axes)
        self.out.numbers = {tensor: int(tensor[1:]) for tensor in self.out.numbers}  # what is written comes last
        self.whole = self.lanes == most  # a row is one vector
        self.places: dict[tuple[object, ...], str] = {}  # offsets

    # ---- where things are ------------------------------------------------------------------------

    def row(self, access: Access) -> tuple[str, int]:
        """Offset of an access without the axis of the lanes and what stands beside it, and the loop that knows it."""
        tensor, text, level = access.tensor, "", -1
        constant: list[str] = []
        for number, axis in enumerate(self.tiling.axes[:-1]):
            terms = []
            for dimension, item in enumerate(access.index):
                assert isinstance(item, Affine)
                if item.coefficient(axis):
                    factors = [axis, str(item.coefficient(axis)), self.out.row_stride(tensor, dimension)]
                    terms.append(" * ".join(f for f in factors if f != "1"))
            if terms:
                # one line for each loop: LLVM turns products with counters into steps
                key, level = (text, *terms), number
                if key not in self.places:
                    self.places[key] = f"p{len(self.places)}"
                    self.add(level, f"{self.places[key]} = {' + '.join(filter(None, key))}")
                text = self.places[key]
        for dimension, item in enumerate(access.index):
            assert isinstance(item, Affine)
            if item.constant and not (dimension == len(access.index) - 1 and item.coefficient(self.tiling.axes[-1])):
                stride = self.out.row_stride(tensor, dimension)
                factors = [str(item.constant), stride] if item.constant > 1 or stride == "1" else [stride]
                constant.append(" * ".join(f for f in factors if f != "1") or "1")
        return " + ".join([*([text] if text else []), *constant]) or "0", level

    def inside(self, step: int) -> str:
        """Mask of the elements of windows that exist."""
        axis = self.tiling.axes[-1]
        left = bracketed(self.out.form_text(self.statement.extent(axis) - (affine({}) if self.whole else affine(axis))))
        line = f"inside_{step} = between_{step}(0, {left if step == 1 else f'{step} * {left}'})"
        self.add(-1 if self.whole else self.last, line)
        return f"inside_{step}"

    def place(self, access: Access) -> tuple[str, int, int]:
        """Where an access is in the first lane, the step between two lanes, and which of a window's elements it is."""
        item = access.index[-1]
        assert isinstance(item, Affine)
        step = item.coefficient(self.tiling.axes[-1])
        row, _ = self.row(access)
        axis = self.tiling.axes[-1]
        beside = "" if self.whole else f" + {axis if step == 1 else f'{step} * {axis}'}"
        return f"{row}{beside}", step, item.constant

    def read(self, access: Access) -> Name:
        """A vector with what an access means in each window."""
        pointer = access.tensor
        if self.tiling.axes[-1] not in access.axes():
            self.out.use("load")
            row, level = self.row(access)
            self.functions.add("spread")
            return self.new(("read", access), level, f"spread(load({pointer}, {row}))")
        at, step, element = self.place(access)
        if step == 1:
            self.functions.add("read_1")
            return self.new(("read", access), self.last, f"read_1({pointer}, {at}, {self.inside(1)})")
        key = "read", access.tensor, at
        if key not in self.known:
            names = [f"x{len(self.known)}_{r}" for r in range(step)]
            self.functions.add(f"read_{step}")
            self.add(self.last, f"{', '.join(names)} = read_{step}({pointer}, {at}, {self.inside(step)})")
            self.known[key] = Name(f"x{len(self.known)}", self.last)
        return Name(f"{self.known[key].text}_{element}", self.last)

    # ---- the kernel ------------------------------------------------------------------------------

    def text(self) -> str:
        """Write out every element of a window, then the loops around them."""
        s = self.statement
        if s.operator == "max":
            places, values = [s.write], [self.largest()]
        else:
            points = [{name: affine({}, number) for name, number in point.items()} for point in self.tiling.points()]
            places, values = [s.write.substitute(point) for point in points], self.elements(s.body)
        written: dict[str, list[str]] = {}
        for access, value in zip(places, values, strict=True):
            at, _, _ = self.place(access)
            if self.first:
                top, left = self.first
                self.add(-1, f"first = {top} * {self.out.row_stride(s.write.tensor, len(access.index) - 2)} + {left}")
                at = f"first + {at}"
            written.setdefault(at, []).append(value.text)
        pointer = s.write.tensor
        for at, names in written.items():
            step = len(names)
            self.functions.add(f"write_{step}")
            result = names[0] if step == 1 else f"({', '.join(names)})"
            self.add(self.last, f"write_{step}({pointer}, {at}, {result}, {self.inside(step)})")
        if self.first:
            self.surround(pointer)
        elif s.operator == "set" and not self.exact:
            self.clear(pointer)
        return self.module(self.loops())

    def elements(self, body: Expression) -> list[Name]:
        """A body at each element of a window."""
        values = []
        for point in self.tiling.points():
            fixed = {name: affine({}, number) for name, number in point.items()}
            reads = {placeholder: access.substitute(fixed) for placeholder, access in self.statement.reads}
            values.append(self.vector(self.value(body, reads, point)))
        return values

    def largest(self) -> Name:
        """The largest element of a window; what is monotone in it is computed afterwards, once."""
        s = self.statement
        inside = {placeholder for placeholder, access in s.reads if access.axes() & set(self.tiling.window)}
        inner, outer = _split(s.body, inside | set(self.tiling.window))
        values = elements = self.elements(inner)
        while len(values) > 1:  # pairs of neighbours, then pairs of these
            pairs = [self.operation("above", x, y) for x, y in zip(values[::2], values[1::2], strict=False)]
            values = [*pairs, *values[2 * len(pairs) :]]
        pairs = [(elements[k], elements[min(k + 1, len(elements) - 1)]) for k in range(0, len(elements), 2)]
        missing = [self.operation("unordered", x, y) for x, y in pairs]
        nan = self.combined("or", [*missing])
        assert isinstance(nan, Name)
        total = self.operation("choose", nan, self.vector(math.nan), values[0])
        return self.vector(self.value(outer, dict(s.reads), {_LARGEST: total}))

    def surround(self, pointer: str) -> None:
        """Zeros in a whole plane of the frame, before anything is written there."""
        self.out.use("store")
        s, rank, nothing = self.statement, len(self.statement.write.index), affine({}, 0)
        begin, _ = self.row(Access(pointer, (*s.write.index[:-2], nothing, nothing)))
        size, zero = self.out.row_stride(pointer, rank - 3), self.out.constant(0)
        self.add(rank - 3, f"for rest in range({begin}, {begin} + {size}):\n    store({pointer}, rest, {zero})")

    def clear(self, pointer: str) -> None:
        """Zeros behind the last window of each dimension."""
        s, found = self.statement, self.tiling
        self.out.use("store")
        zero = self.out.constant(0)
        for dimension, (axis, step) in enumerate(zip(found.axes, found.steps, strict=True)):
            if step == 1:
                continue
            count = bracketed(self.out.form_text(s.extent(axis)))
            stride = self.out.row_stride(s.write.tensor, dimension)
            times = "" if stride == "1" else f" * {stride}"
            extent = self.out.size(f"{s.write.tensor}.{dimension}")
            outer = [r for r in range(dimension) if found.steps[r] > 1]
            for place in itertools.product(*(range(found.steps[r]) for r in outer)):
                numbers = dict(zip(outer, place, strict=True))
                index = tuple(
                    affine({a: found.steps[d]}, numbers.get(d, 0)) if d < dimension else affine({}, 0)
                    for d, a in enumerate(found.axes)
                )
                row, _ = self.row(Access(s.write.tensor, index))
                first, end = f"{row} + {step} * {count}{times}", f"{row} + {extent}{times}"
                self.add(dimension - 1, f"for rest in range({first}, {end}):\n    store({pointer}, rest, {zero})")

    def loops(self) -> Iterable[str]:
        """The lines of all levels, each in its loop; there is none over one vector."""
        depth = 0
        for level, lines in enumerate(self.lines, -1):
            if 0 <= level <= self.last - self.whole:
                axis = self.tiling.axes[level]
                extent = self.out.form_text(self.statement.extent(axis))
                span = extent
                if level == 0:
                    count = bracketed(extent)
                    span = f"{count} * thread // threads, {count} * (thread + 1) // threads"
                elif level == self.last:
                    span = f"0, {extent}, {self.lanes}"
                yield "    " * depth + f"for {axis} in range({span}):"
            depth += not (level == self.last and self.whole)
            for line in lines:
                yield from ("    " * depth + part for part in line.splitlines())
