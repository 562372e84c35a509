"""Kernels on vectors, written loop by loop: the text of the module around the values of a statement.

What the schedules of windows and of strided rows share (`graphc.kernels.cpu.pooling`, `graphc.kernels.cpu.strided`):
values are in `graphc.kernels.cpu.values`; reading, writing and the loops themselves belong to the schedules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from graphc.formula.expression import Expression, Number, Symbol
from graphc.formula.statement import Access, Statement
from graphc.kernels.cpu.values import Name, Value, Values
from graphc.kernels.cpu.writer import Writer, _formula_text
from graphc.planning.plan import Kernel

__all__ = ["Levels"]


class Levels(Values):
    """The lines of one kernel in the making."""

    def __init__(self, kernel: Kernel, statement: Statement, lanes: int, last: int) -> None:
        self.out: Writer = Writer(kernel)
        super().__init__(self.out, last + 1)
        self.statement = statement
        self.lanes = lanes
        self.last = last  # the innermost loop

    def read(self, access: Access) -> Name:
        """A vector with what an access means in each lane."""
        raise NotImplementedError

    def value(self, body: Expression, reads: Mapping[str, Access], point: Mapping[str, Value]) -> Value:
        """A body at one point; ``point`` has values of some symbols."""
        if isinstance(body, Number):
            return body.value
        if isinstance(body, Symbol):
            return point[body.name] if body.name in point else self.read(reads[body.name])
        return self.apply(body.function, [self.value(operand, reads, point) for operand in body.operands])

    def module(self, loops: Iterable[str]) -> str:
        """The text of the whole module."""
        out, kernel = self.out, self.out.kernel
        body = list(loops)
        memory = sorted({"load", "store"} & out.imports | {f"pointer_{dtype}" for _, dtype in kernel.dtypes})
        # read_2, write_2 and between_2 are made for two elements a lane
        ways = sorted(name for name in self.functions if name.startswith(("read_", "write_")))
        steps = sorted({int(name.rpartition("_")[2]) for name in self.functions if name[-1].isdigit()})
        plain = sorted(name for name in self.functions if not name[-1].isdigit())
        head = [
            f'"""{_formula_text(self.statement, kernel.dtypes)}"""',
            "",
            "import numpy as np",
            "",
            "from graphc.kernels.cpu.lanes import lanes",
            f"from graphc.kernels.cpu.memory import {', '.join(memory)}",
            *([f"from graphc.kernels.cpu.memory import real{out.real[5:]} as real"] if "real" in out.imports else []),
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
