"""Mean and mean square of deviations of channels, from one pass over the maps.

The formula class: ``m[c] = sum(x[n,c,i,j] / E, n, i, j)`` with ``E`` the number of terms, and behind it
``v[c] = sum((x[n,c,i,j] - m[c])**2 / F, n, i, j)``. Each part of the batch adds up deviations, and their squares, from
the means of its first example; what is lost when the square of a mean is subtracted is then at most as many times the
rounding as a part has examples, and that only where its first example lies apart from all others. Another kernel puts
parts together by the rule for groups (T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37, 1983).

Arguments are documented by `graphc.planning.plan.Kernel`.
"""

from __future__ import annotations

from graphc.errors import KernelError
from graphc.formula.expression import Symbol, call
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.sums import Emitter
from graphc.planning.plan import Kernel, Line

__all__ = ["emit_moments"]

_OF_ALL = '''\
"""moments of all examples; {real}"""

import numpy as np

from graphc.kernels.cpu.lanes import lanes
from graphc.kernels.cpu.memory import load, pointer_{real}
from graphc.kernels.cpu.memory import {convert} as real
from graphc.kernels.cpu.vector import between

zero = np.{real}(0)
machine = lanes("{real}", {machine})
add, sub, mul, div, neg, above = machine.add, machine.sub, machine.mul, machine.div, machine.neg, machine.above
choose, spread, multiply_add = machine.choose, machine.spread, machine.multiply_add
rounding_error, unordered = machine.rounding_error, machine.unordered
read, write, between_lanes = machine.read(1), machine.write(1), between({machine})


def kernel(arguments, thread, threads):
    if thread > 0:
        return
    mean, variance, near = pointer_{real}(arguments[0]), pointer_{real}(arguments[1]), pointer_{real}(arguments[2])
    first, second = pointer_{real}(arguments[3]), pointer_{real}(arguments[4])
    weights = pointer_{real}(arguments[5])
    n_all, c_all, size, divisor = arguments[6], arguments[7], arguments[8], arguments[9]
    sizes, count = spread(real(max(size, 1))), spread(real(max(n_all, 1)))
    divisors = spread(real(divisor if n_all > 0 else 1))
    for c in range(0, c_all, {machine}):
        inside = between_lanes(0, c_all - c)
        total = lost = rest = spread(zero)
        for n in range(n_all):
            weight = load(weights, n)
            if weight > zero:
                at, weight = n * c_all + c, spread(weight)
                value = read(near, at, inside)
                product = mul(weight, value)
                lost = add(lost, multiply_add(weight, value, neg(product)))
                lost = add(lost, rounding_error(total, product))
                total = add(total, product)
                rest = add(rest, read(first, at, inside))
        lost = add(lost, div(rest, sizes))
        nothing = sub(total, total)  # no number beside an infinite total, which stays as it is
        total = div(choose(unordered(nothing, nothing), total, add(total, lost)), count)
        write(mean, c, total, inside)
        off = squares = lost = spread(zero)
        for n in range(n_all):
            weight = load(weights, n)
            if weight > zero:
                at, terms = n * c_all + c, mul(spread(weight), sizes)
                deviations = read(first, at, inside)
                own = div(deviations, terms)
                d = add(sub(read(near, at, inside), total), own)
                off = multiply_add(terms, d, off)
                value = sub(read(second, at, inside), mul(deviations, own))
                value = multiply_add(mul(terms, d), d, above(spread(zero), value))
                lost = add(lost, rounding_error(squares, value))
                squares = add(squares, value)
        squares = sub(add(squares, lost), div(mul(off, div(off, sizes)), count))  # what the mean lost to rounding
        write(variance, c, div(above(spread(zero), squares), divisors), inside)
'''


def emit_moments(kernel: Kernel) -> str:
    """Return the source text of the kernel of parts, or of the one that puts them together.

    Raises
    ------
    KernelError
        If the kernel is of another kind.
    """
    if kernel.kind not in ("moments", "moments_of_all"):
        raise KernelError(f"emit_moments writes moments; this kernel is of kind {kernel.kind!r}")
    real = kernel.dtypes[0][1]
    if kernel.kind == "moments":
        return _Parts(real).text()
    convert = "real32" if real == "float32" else "real64"
    return _OF_ALL.format(real=real, convert=convert, machine=vector_lanes(real))


class _Parts(Emitter):
    """The kernel of parts: two sums, into the row of the first example, about the means that are put there before."""

    def __init__(self, real: str) -> None:
        deviation = call("sub", Symbol("a2"), Symbol("a3"))
        lines = Line(deviation, 0), Line(call("mul", deviation, deviation), 1)
        dtypes = tuple((f"t{k}", real) for k in range(4))
        super().__init__(Kernel("sums", None, dtypes, (4, 2, 15, 2), shard="n", lines=lines))
        self.own.add(3)

    def start(self, size: int) -> list[str]:
        """Lines that name tensors, and find the means of the first example."""
        pointer = f"pointer_{self.real}"
        self.out.use("store")
        self.functions.update(("spread", "multiply_add"))
        zero, one = self.out.constant(0), self.out.constant(1)
        return [
            "n_all, c_all, i_all, j_all = arguments[5], arguments[6], arguments[7], arguments[8]",
            "first, last = n_all * thread // threads, n_all * (thread + 1) // threads",
            "if first >= last:",
            "    return",
            f"row = {size} * first * c_all",
            f"t0, t1, t3 = {', '.join(f'{pointer}(arguments[{k}] + row)' for k in (1, 2, 0))}",
            f"t2, weights = {pointer}(arguments[4] + {size} * arguments[9]), {pointer}(arguments[3])",
            "s2_n, s2_c, s2_i, s3_c = arguments[10], arguments[11], arguments[12], 1",
            *self.limits(),
            f"share = {one} / real(max(i_all * j_all, 1))",
            "for c in range(c_all):",
            f"    part = spread({zero})",
            "    for i in range(i_all):",
            "        at = first * s2_n + c * s2_c + i * s2_i",
            f"        for j in range(0, whole, {self.lanes}):",
            "            part = multiply_add(read(t2, at + j), spread(share), part)",
            "        if whole < j_all:",
            "            part = multiply_add(read_part(t2, at + whole, inside), spread(share), part)",
            f"    store(t3, c, total_of(halved(part), spread_machine({zero})))",
            "store(weights, first, real(last - first))",
            "for n in range(first + 1, last):",
            f"    store(weights, n, {zero})",
            "for k in range(c_all, (last - first) * c_all):",
            *(f"    store({tensor}, k, {zero})" for tensor in ("t0", "t1", "t3")),
        ]
