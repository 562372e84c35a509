"""Sums that share a pass: several sums over the same axes, in one go through what they read.

The formula class: ``t[c] = sum(body, n, i, j)`` for up to a few bodies of additions, products, quotients, comparisons
and choices, over tensors that are read at ``[n, c, i, j]`` or at some of these axes; their neighbours along ``j`` are
neighbours in memory. The statistics of a normalisation and the sums of its gradient are of it, and so is the gradient
of a bias of maps. `graphc.planning.plan.Kernel` documents literals and arguments.

Maps are read as they lie in memory, several vectors at a time, and each sum has as many lanes: their additions do not
wait for one another. A few hundred elements are added up so; what they come to is added to the sum of the channel in as
many lanes as the machine has, and what that addition loses is added up beside it.
"""

from __future__ import annotations

from graphc.errors import KernelError
from graphc.formula.expression import Call, Expression, Number, Symbol, symbols
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.values import Name, Value, Values
from graphc.kernels.cpu.writer import Lines
from graphc.planning.plan import Kernel, item_bytes

__all__ = ["Emitter", "emit_sums"]

#: Registers of a sum, and of all sums together.
_REGISTERS, _ALL = 4, 16
#: Elements that are added up without compensation.
_BLOCK = 1024
#: Vectors of sums that are kept beside each other: channels that a pass goes through together.
_KEPT = 128
#: Loops, from outside: channels, examples, rows, and columns in whole vectors or the rest of a row.
_CHANNEL, _EXAMPLE, _ROW, _COLUMN, _REST = range(5)


def emit_sums(kernel: Kernel) -> str:
    """Return the source text of several sums in one pass.

    Raises
    ------
    KernelError
        If the kernel is of another kind.
    """
    if kernel.kind != "sums" or not kernel.lines:
        raise KernelError(f"emit_sums writes sums; this kernel is of kind {kernel.kind!r}")
    return Emitter(kernel).text()


class Emitter(Values):
    """One kernel of sums in the making."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.real = kernel.dtypes[0][1]
        super().__init__(Lines(self.real), _REST + 1)
        _, self.count, *self.moving = kernel.literals
        self.machine = vector_lanes(self.real)
        self.lanes = self.machine * min(_REGISTERS, max(1, _ALL // self.count))
        self.channels = max(1, _KEPT // self.count)
        self.own: set[int] = set()  # of what is read that which the kernel writes itself

    # ---- what bodies read ------------------------------------------------------------------------

    def read(self, number: int, level: int) -> Name:
        """What access ``number`` means in the innermost loop ``level``."""
        moves = self.moving[number - self.count]
        if moves & 8:
            place = f"t{number}, o{number} + j" if level == _COLUMN else f"t{number}, o{number} + whole, inside"
            function = "read" if level == _COLUMN else "read_part"
            return self.new(("read", number, level), level, f"{function}({place})")
        known = max(loop for loop, bit in ((_CHANNEL, 2), (_EXAMPLE, 1), (_ROW, 4), (-1, 0)) if moves & bit == bit)
        function = "fetch" if number in self.own else "load"
        self.out.use(function)
        place = f"{function}(t{number}, {self.place(number, known)})"
        return self.new(("read", number), known, self.call("spread", place))

    def call(self, function: str, *operands: str) -> str:
        """Text of a call of an operation."""
        self.functions.add(function)
        return f"{function}({', '.join(operands)})"

    def place(self, number: int, level: int) -> str:
        """Offset of an access in a loop, without its columns."""
        moves = self.moving[number - self.count]
        steps = [(_CHANNEL, 2, "c"), (_EXAMPLE, 1, "n"), (_ROW, 4, "i")]
        terms = [f"{axis} * s{number}_{axis}" for loop, bit, axis in steps if moves & bit and loop <= level]
        return " + ".join(terms) or "0"

    # ---- bodies ----------------------------------------------------------------------------------

    def value(self, body: Expression, level: int) -> Value:
        """A body in the innermost loop ``level``."""
        if isinstance(body, Number):
            return body.value
        if isinstance(body, Symbol):
            if body.name.startswith("e"):  # an extent, or a product of some
                return self.new(("extent", body.name), -1, self.call("spread", f"real({body.name})"))
            return self.read(int(body.name[1:]), level)
        if body.function == "pow":
            base, exponent = body.operands
            if not isinstance(exponent, Number) or exponent.value not in (2, 3):
                raise KernelError(f"sums take powers of 2 and 3 only; found {exponent}")
            one = self.vector(self.value(base, level))
            square = self.operation("mul", one, one)
            return square if exponent.value == 2 else self.operation("mul", square, one)
        return self.apply(body.function, [self.value(operand, level) for operand in body.operands])

    def added(self, number: int, body: Expression, level: int) -> str:
        """The sum ``number`` with a body added to it."""
        if isinstance(body, Call) and body.function == "mul":
            x, y = (self.vector(self.value(operand, level)) for operand in body.operands)
            return self.call("multiply_add", x.text, y.text, f"part_{number}")
        return self.call("add", f"part_{number}", self.vector(self.value(body, level)).text)

    # ---- the kernel ------------------------------------------------------------------------------

    def text(self) -> str:
        """Write the loops around the bodies."""
        divisors: list[Expression | None] = []
        for number, line in enumerate(self.kernel.lines):
            body, divisor = _outside(line.body)
            divisors.append(divisor)
            for level in (_COLUMN, _REST):
                total = self.added(number, body, level)
                chosen = total if level == _COLUMN else self.call("choose", "inside", total, f"part_{number}")
                self.lines[level + 1].append(f"part_{number} = {chosen}")
        out, size = self.out, item_bytes(self.real)
        for line in self.start(size):
            out.add(line)
        shared = "n" if self.kernel.shard else "c"
        out.add(f"first, last = {shared}_all * thread // threads, {shared}_all * (thread + 1) // threads")
        channels, examples = ("0, c_all", "first, last") if self.kernel.shard else ("first, last", "0, n_all")
        for line in (*self.lines[0], f"c_first, c_last = {channels}", f"n_first, n_last = {examples}"):
            out.add(line)
        self.loop(f"for low in range(c_first, c_last, {self.channels}):", f"high = min(low + {self.channels}, c_last)")
        zero, step = out.constant(0), 2 * self.count * self.machine
        out.add(f"for k in range(0, (high - low) * {step}, {self.machine}):")
        out.add(f"    keep(held, k, spread_machine({zero}))")
        self.loop("for n0 in range(n_first, n_last, group):", "n1 = min(n0 + group, n_last)")
        self.loop("for c in range(low, high):", *self.lines[_CHANNEL + 1])
        self.loop("for i0 in range(0, i_all, rows):", "i1 = min(i0 + rows, i_all)")
        self.loop(f"for j0 in range(0, j_all, {_BLOCK}):", f"j1 = min(j0 + {_BLOCK}, whole)")
        numbers = range(self.count)
        for k in numbers:
            out.add(f"part_{k} = {self.call('spread', zero)}")
        self.loop("for n in range(n0, n1):", *self.lines[_EXAMPLE + 1])
        places = [k for k, moves in enumerate(self.moving, self.count) if moves & 8]
        self.loop("for i in range(i0, i1):", *(f"o{k} = {self.place(k, _ROW)}" for k in places), *self.lines[_ROW + 1])
        self.loop(f"for j in range(j0, j1, {self.lanes}):", *self.lines[_COLUMN + 1])
        out.depth -= 1
        self.loop(f"if j0 + {_BLOCK} >= j_all > whole:", *self.lines[_REST + 1])
        out.depth -= 3
        out.add(f"k = (c - low) * {step}")
        for k in numbers:
            at = f"k + {2 * k * self.machine}", f"k + {(2 * k + 1) * self.machine}"
            out.add(f"part, total = halved(part_{k}), held_load(held, {at[0]})")
            out.add(f"keep(held, {at[1]}, plus(held_load(held, {at[1]}), rounding_error(total, part)))")
            out.add(f"keep(held, {at[0]}, plus(total, part))")
        out.depth -= 4
        self.loop("for c in range(low, high):", f"k = (c - low) * {step}")
        out.use("store", "fetch")
        for k, (line, divisor) in enumerate(zip(self.kernel.lines, divisors, strict=True)):
            at = f"k + {2 * k * self.machine}", f"k + {(2 * k + 1) * self.machine}"
            out.add(f"value = total_of(held_load(held, {at[0]}), held_load(held, {at[1]}))")
            if divisor is not None:
                out.add("if n_all > 0:")  # else there is nothing to divide, and often nothing to divide by
                out.add(f"    value = value / real({_integer(divisor)})")
            before = f"fetch(t{k}, c) + " if line.adds else ""
            out.add(f"store(t{k}, c, {before}value)")
        return self.module()

    def loop(self, head: str, *lines: str) -> None:
        """Open a loop."""
        self.out.add(head)
        self.out.depth += 1
        for line in lines:
            self.out.add(line)

    def start(self, size: int) -> list[str]:
        """Lines that name tensors at their offsets, extents and strides."""
        all_accesses = self.count + len(self.moving)
        pointer = f"pointer_{self.real}"
        lines = [f"t{k} = {pointer}(arguments[{k}])" for k in range(self.count)]
        lines.append(f"n_all, c_all, i_all, j_all = {', '.join(f'arguments[{all_accesses + k}]' for k in range(4))}")
        for number, moves in enumerate(self.moving, self.count):
            first = all_accesses + 4 + 4 * (number - self.count)
            lines.append(f"t{number} = {pointer}(arguments[{number}] + {size} * arguments[{first}])")
            for place, (bit, axis) in enumerate(((1, "n"), (2, "c"), (4, "i")), 1):
                if moves & bit:
                    lines.append(f"s{number}_{axis} = arguments[{first + place}]")
        used = {name for line in self.kernel.lines for name in symbols(line.body) if name.startswith("e")}
        first = all_accesses + 4 + 4 * len(self.moving)
        lines += [f"{name} = arguments[{first + int(name[1:])}]" for name in sorted(used)]
        return [*lines, *self.limits()]

    def limits(self) -> list[str]:
        """Lines that find where loops end; and memory for what channels come to."""
        return [
            f"whole = j_all - j_all % {self.lanes}",
            "inside = between_lanes(0, j_all - whole)",
            f"group = max(1, {_BLOCK} // max(1, i_all * j_all))",
            f"rows = max(1, {_BLOCK} // max(1, j_all))",
            f"held = pointer_{self.real}(scratch())",
        ]

    def module(self) -> str:
        """The text of the whole module."""
        plain = sorted(self.functions)
        step = 2 * self.count * self.machine
        preparation = [
            "from graphc.kernels.cpu.lanes import lanes",
            "from graphc.kernels.cpu.vector import between, stack",
            "",
            f'operations, machine = lanes("{self.real}", {self.lanes}), lanes("{self.real}", {self.machine})',
            "read, read_part = operations.load, operations.read(1)",
            *(f"{name} = operations.{name}" for name in plain),
            f"between_lanes, halved = between({self.lanes}), operations.halved({self.machine})",
            "keep, plus, held_load = machine.keep, machine.add, machine.load",
            "rounding_error, total_of, spread_machine = machine.rounding_error, machine.total, machine.spread",
            f"scratch = stack({item_bytes(self.real) * step * self.channels})",
        ]
        title = "; ".join(map(str, self.kernel.lines))
        return self.out.module_of(title, [f"pointer_{self.real}"], preparation, self.out.lines)


def _outside(body: Expression) -> tuple[Expression, Expression | None]:
    """A body without what the whole sum may be divided by instead, and that."""
    if isinstance(body, Call) and body.function == "div" and _integer(body.operands[1]):
        inner, divisor = body.operands
        return inner, divisor
    return body, None


def _integer(body: Expression) -> str:
    """Text of a body that is an extent or a product of some; empty where it is something else."""
    return body.name if isinstance(body, Symbol) and body.name.startswith("e") else ""
