"""Pooling: windows side by side (`graphc.planning.tiling`), those of a row in the lanes of a vector.

Each element of a window is written out: its operands are vectors with one window in each lane, read as whole rows and
taken apart in registers. Masks hold back the lanes behind the end of a row, so that short rows are vectors, too.

Arguments of a kernel: the address of each tensor in the order of ``dtypes``, then every extent, as for loops. The
literals are the lanes that a row needs, a power of two, or 0 where these are many or not known yet; and whether windows
cover the whole tensor: where they do not, the rest of a written tensor becomes 0. Part ``p`` of ``P`` are the examples
``N*p//P`` to ``N*(p+1)//P``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from graphc.errors import KernelError
from graphc.formula.expression import ZERO, Call, Expression, Number, Symbol, symbols
from graphc.formula.statement import Access, Affine, affine
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.writer import Writer, _formula_text, bracketed
from graphc.planning.plan import Kernel
from graphc.planning.tiling import tiling

__all__ = ["emit_pooling"]

_SPELLED = {"abs": "absolute", "max": "maximum", "min": "minimum", "and": "both", "or": "any", "not": "invert"}
_LARGEST = "largest"  # placeholder
_COMPARISONS: Mapping[str, Callable[[float | Fraction, float | Fraction], bool]] = {
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "greater": lambda x, y: x > y,
    "greater_equal": lambda x, y: x >= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
}


@dataclass(frozen=True)
class _Name:
    """A vector or a mask with a name; the loop, counted from outside, that it is computed in (-1: before all)."""

    text: str
    level: int
    mask: bool = False


@dataclass(frozen=True)
class _Choice:
    """One of two values, not yet computed."""

    condition: _Name
    first: _Value
    second: _Value


_Value: TypeAlias = "_Name | _Choice | bool | int | float | Fraction"


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


class _Emitter:
    """One kernel in the making."""

    def __init__(self, kernel: Kernel) -> None:
        s = kernel.statement
        found = tiling(s) if s is not None else None
        if s is None or found is None or s.operator == "argmax":
            raise KernelError(f"a pooling kernel needs windows side by side, reduced or set; found {s}")
        self.statement, self.tiling = s, found
        self.out = Writer(kernel)
        self.out.variables = set(found.axes)
        self.out.numbers = {tensor: int(tensor[1:]) for tensor in self.out.numbers}  # what is written comes last
        most, self.exact = kernel.literals
        self.lanes = min(vector_lanes(self.out.real), most or vector_lanes(self.out.real))
        self.last = len(found.axes) - 1
        self.whole = self.lanes == most  # a row is one vector
        self.lines: list[list[str]] = [[] for _ in range(self.last + 2)]  # before the loops, and inside each
        self.known: dict[tuple[object, ...], _Name] = {}
        self.places: dict[tuple[object, ...], str] = {}  # offsets
        self.functions: set[str] = set()

    # ---- where things are ------------------------------------------------------------------------

    def add(self, level: int, line: str) -> None:
        """Write a line into a loop; level -1 is before all of them."""
        if line not in self.lines[level + 1]:
            self.lines[level + 1].append(line)

    def new(self, key: tuple[object, ...], level: int, text: str, *, mask: bool = False) -> _Name:
        """The name of a value, computed once."""
        if key not in self.known:
            name = f"{'m' if mask else 'x'}{len(self.known)}"
            self.add(level, f"{name} = {text}")
            self.known[key] = _Name(name, level, mask)
        return self.known[key]

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

    def read(self, access: Access) -> _Name:
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
            self.known[key] = _Name(f"x{len(self.known)}", self.last)
        return _Name(f"{self.known[key].text}_{element}", self.last)

    # ---- values ----------------------------------------------------------------------------------

    def vector(self, value: _Value) -> _Name:
        """A value as a vector."""
        if isinstance(value, _Name):
            return self.operation("choose", value, self.vector(1), self.vector(0)) if value.mask else value
        if isinstance(value, _Choice):
            return self.operation("choose", value.condition, self.vector(value.first), self.vector(value.second))
        self.functions.add("spread")
        literal = self.out.constant(float(value))
        return self.new(("constant", literal), -1, f"spread({literal})")

    def truth(self, value: _Value) -> _Name | bool:
        """A value as a condition: a number counts as true unless it is 0."""
        if isinstance(value, _Name) and value.mask:
            return value
        if isinstance(value, _Name | _Choice):
            return self.operation("not_equal", self.vector(value), self.vector(0))
        return bool(value)

    def operation(self, name: str, *operands: _Name) -> _Name:
        """An operation on vectors, in the outermost loop that knows them all."""
        mask = name in _COMPARISONS or name in ("both", "any", "invert", "unordered")
        self.functions.add(name)
        level = max(operand.level for operand in operands)
        return self.new((name, *operands), level, f"{name}({', '.join(o.text for o in operands)})", mask=mask)

    def combined(self, name: str, operands: list[_Name | bool]) -> _Name | bool:
        """``and``, ``or`` and ``not`` of conditions, some of which are known."""
        unknown = [operand for operand in operands if not isinstance(operand, bool)]
        if name == "not":
            return self.operation("invert", *unknown) if unknown else not operands[0]
        decisive = name == "or"  # one such operand decides
        if any(operand is decisive for operand in operands):
            return decisive
        if not unknown:
            return not decisive
        result = unknown[0]
        for other in unknown[1:]:
            result = self.operation(_SPELLED[name], result, other)
        return result

    def equal(self, value: _Value, number: float | Fraction) -> _Name | bool:
        """Whether a choice between numbers is this one, without computing it."""
        if isinstance(value, _Choice):
            first, second = self.equal(value.first, number), self.equal(value.second, number)
            chosen = self.combined("and", [value.condition, first])
            other = self.combined("and", [self.combined("not", [value.condition]), second])
            return self.combined("or", [chosen, other])
        if isinstance(value, _Name):
            return self.operation("equal", self.vector(value), self.vector(number))
        return value == number

    def apply(self, function: str, operands: list[_Value]) -> _Value:
        """A scalar function of values."""
        if function in ("and", "or", "not"):
            return self.combined(function, [self.truth(operand) for operand in operands])
        if function == "select":
            condition = self.truth(operands[0])
            if isinstance(condition, bool):
                return operands[1 if condition else 2]
            return _Choice(condition, operands[1], operands[2])
        numbers = [operand for operand in operands if isinstance(operand, int | float | Fraction)]
        if len(numbers) == len(operands):
            if function in _COMPARISONS:
                return _COMPARISONS[function](numbers[0], numbers[1])
            if function in ("add", "mul") and all(isinstance(value, int) for value in numbers):
                return numbers[0] + numbers[1] if function == "add" else numbers[0] * numbers[1]
        if function in ("max", "min") and numbers:  # no NaN among literals
            literal, other = sorted(operands, key=lambda operand: isinstance(operand, _Name | _Choice))
            return self.operation("above" if function == "max" else "below", self.vector(literal), self.vector(other))
        if function == "equal" and numbers and isinstance(operands[0], _Choice):
            return self.equal(operands[0], numbers[0])
        return self.operation(_SPELLED.get(function, function), *map(self.vector, operands))

    def value(self, body: Expression, reads: Mapping[str, Access], point: Mapping[str, _Value]) -> _Value:
        """A body at one element of the windows."""
        if isinstance(body, Number):
            return body.value
        if isinstance(body, Symbol):
            return point[body.name] if body.name in point else self.read(reads[body.name])
        return self.apply(body.function, [self.value(operand, reads, point) for operand in body.operands])

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
            written.setdefault(at, []).append(value.text)
        pointer = s.write.tensor
        for at, names in written.items():
            step = len(names)
            self.functions.add(f"write_{step}")
            result = names[0] if step == 1 else f"({', '.join(names)})"
            self.add(self.last, f"write_{step}({pointer}, {at}, {result}, {self.inside(step)})")
        if s.operator == "set" and not self.exact:
            self.clear(pointer)
        return self.module(self.loops())

    def elements(self, body: Expression) -> list[_Name]:
        """A body at each element of a window."""
        values = []
        for point in self.tiling.points():
            fixed = {name: affine({}, number) for name, number in point.items()}
            reads = {placeholder: access.substitute(fixed) for placeholder, access in self.statement.reads}
            values.append(self.vector(self.value(body, reads, point)))
        return values

    def largest(self) -> _Name:
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
        assert isinstance(nan, _Name)
        total = self.operation("choose", nan, self.vector(math.nan), values[0])
        return self.vector(self.value(outer, dict(s.reads), {_LARGEST: total}))

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

    def module(self, loops: Iterable[str]) -> str:
        """The text of the whole module."""
        out, kernel = self.out, self.out.kernel
        body = list(loops)
        memory = sorted({"load", "store"} & out.imports | {f"pointer_{dtype}" for _, dtype in kernel.dtypes})
        steps = sorted({int(name[name.index("_") + 1 :]) for name in self.functions if name[:4] in ("read", "writ")})
        plain = sorted(name for name in self.functions if name[:4] not in ("read", "writ"))
        ways = sorted(self.functions - set(plain))
        head = [
            f'"""{_formula_text(self.statement, kernel.dtypes)}"""',
            "",
            "import numpy as np",
            "",
            "from graphc.kernels.cpu.lanes import lanes",
            f"from graphc.kernels.cpu.memory import {', '.join(memory)}",
            "from graphc.kernels.cpu.vector import between",
            "",
            f'operations = lanes("{out.real}", {self.lanes})',
            *(f"{name} = operations.{name}" for name in plain),
            *(f"{name} = operations.{name.replace('_', '(')})" for name in ways),
            *(f"between_{step} = between({step * self.lanes})" for step in steps),
            *(f"{name} = np.{out.real}({value})" for value, name in out.constants.items()),
            "",
            "",
            "def kernel(arguments, thread, threads):",
            *(f"    {tensor} = pointer_{dtype}(arguments[{k}])" for k, (tensor, dtype) in enumerate(kernel.dtypes)),
            *(f"    {line}" for line in out.head),
        ]
        return "\n".join([*head, *body, ""])
