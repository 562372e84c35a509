"""Writing one kernel module: lines, sizes, strides, typed constants, imports."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction

from graphc.errors import KernelError
from graphc.formula.statement import Affine, Statement, accesses
from graphc.planning.plan import Kernel

__all__ = ["Lines", "Writer", "bracketed", "compute_type", "extent_names"]

_MODULE = "graphc.kernels.cpu"


def extent_names(kernel: Kernel) -> tuple[tuple[str, ...], ...]:
    """Names of the extents in a kernel's arguments, for each tensor in the order of ``dtypes``."""
    assert kernel.statement is not None
    ranks, flat = _ranks(kernel.statement)
    return tuple(
        (f"{tensor}.size",) if tensor in flat else tuple(f"{tensor}.{d}" for d in range(ranks.get(tensor, 0)))
        for tensor, _ in kernel.dtypes
    )


def compute_type(kernel: Kernel) -> str:
    """Float type of a kernel's arithmetic: that of the written tensor, else the widest it reads."""
    assert kernel.statement is not None
    types = dict(kernel.dtypes)
    written = types[kernel.statement.write.tensor]
    if written.startswith("float"):
        return written
    floats = [t for t in types.values() if t.startswith("float")]
    return max(floats, default="float64")


def _ranks(statement: Statement) -> tuple[dict[str, int], set[str]]:
    ranks: dict[str, int] = {}
    flat: set[str] = set()
    for access in accesses(statement):
        if access.flat:
            flat.add(access.tensor)
        else:
            ranks[access.tensor] = len(access.index)
    return ranks, flat - set(ranks)


def bracketed(text: str) -> str:
    """Put brackets around anything but a name or a number."""
    return text if re.fullmatch(r"\w+", text) else f"({text})"


class Lines:
    """Lines of one kernel in the making, and what stands above them."""

    def __init__(self, real: str) -> None:
        self.real = real
        self.lines: list[str] = []
        self.depth = 1
        self.head: list[str] = []  # sizes and strides: known before the first line
        self.variables: set[str] = set()  # local names of loops and derived axes
        self.imports: set[str] = set()
        self.powers: set[int] = set()
        self.constants: dict[str, str] = {}

    def add(self, line: str) -> None:
        """Write a line at the current depth."""
        self.lines.append("    " * self.depth + line)

    def use(self, *names: str) -> None:
        """Import functions from the intrinsics."""
        self.imports.update(names)

    def size(self, name: str) -> str:
        """Local variable of a size; a kernel that has none refuses."""
        raise KernelError(f"the kernel does not know the size {name!r}")

    def constant(self, value: float | Fraction) -> str:
        """Module-level name of a typed literal."""
        number = float(value)
        if math.isinf(number):
            text = "np.inf" if number > 0 else "-np.inf"
        elif math.isnan(number):
            text = "np.nan"
        else:
            text = repr(number)
        return self.constants.setdefault(text, f"c{len(self.constants)}")

    def module_of(self, title: str, memory: Iterable[str], preparation: Iterable[str], body: Iterable[str]) -> str:
        """Text of a module.

        Parameters
        ----------
        title : str
            One safe line.
        memory : iterable of str
            What is imported to reach memory.
        preparation : iterable of str
            Lines of the module before the kernel.
        body : iterable of str
            Lines of the kernel.
        """
        scalar = self.imports - set(_MEMORY)
        memory = {*memory, *(self.imports & set(_MEMORY))}
        head = [
            f'"""{title}"""',
            "",
            "import numpy as np",
            "",
            f"from {_MODULE}.memory import {', '.join(sorted(memory))}",
            f"from {_MODULE}.memory import {'real32' if self.real == 'float32' else 'real64'} as real",
        ]
        steps = {"sum_step", "product_step", "rounding_error"}
        if scalar & steps:
            head.append(f"from {_MODULE}.scalar import {', '.join(sorted(scalar & steps))}")
        if scalar - steps:
            head.append(f"from {_MODULE}.scalar import NAMES")
        if self.powers:
            head.append(f"from {_MODULE}.scalar import power as powers")
        head.append("")
        head += [f'{name} = NAMES["{name}"]' for name in sorted(scalar - steps)]
        head += [f"power_{'minus_' if p < 0 else ''}{abs(p)} = powers({p})" for p in sorted(self.powers)]
        head += [f"{name} = np.{self.real}({value})" for value, name in self.constants.items()]
        head += [*preparation, "", "", "def kernel(arguments, thread, threads):"]
        return "\n".join([*head, *body, ""])


_MEMORY = ("load", "fetch", "store", "either", "integer")


class Writer(Lines):
    """Lines of the kernel of one statement."""

    def __init__(self, kernel: Kernel) -> None:
        assert kernel.statement is not None
        super().__init__(compute_type(kernel))
        self.kernel = kernel
        self.types = dict(kernel.dtypes)
        self.numbers = {tensor: k for k, (tensor, _) in enumerate(kernel.dtypes)}
        self.ranks, self.flat = _ranks(kernel.statement)
        self._sizes: dict[str, str] = {}
        self._strides: dict[tuple[str, int], str] = {}

    def size(self, name: str) -> str:
        """Local variable of a size such as ``t1.0``."""
        if name not in self._sizes:
            tensor, _, dimension = name.rpartition(".")
            if tensor not in self.numbers:
                raise KernelError(f"the size {name!r} is of a tensor that the kernel does not have")
            number = self.numbers[tensor]
            if dimension == "size" and tensor not in self.flat:
                local = f"n{number}_all"
                factors = [self.size(f"{tensor}.{d}") for d in range(self.ranks[tensor])]
                self._sizes[name] = local
                self.head.append(f"{local} = {' * '.join(factors) or '1'}")
                return local
            if dimension != "size" and int(dimension) >= (1 if tensor in self.flat else self.ranks[tensor]):
                raise KernelError(f"the size {name!r} is beyond the rank of the tensor")
            dimension = "0" if dimension == "size" else dimension
            self._sizes[name] = local = f"n{number}_{dimension}"
            argument = len(self.types)
            for tensor_name, rank_names in zip(self.types, extent_names(self.kernel), strict=True):
                if tensor_name == tensor:
                    argument += int(dimension)
                    break
                argument += len(rank_names)
            self.head.append(f"{local} = arguments[{argument}]")
        return self._sizes[name]

    def row_stride(self, tensor: str, dimension: int) -> str:
        """Elements between neighbours along a dimension; "1" for the last."""
        last = self.ranks[tensor] - 1
        if dimension == last:
            return "1"
        key = (tensor, dimension)
        if key not in self._strides:
            inner = self.row_stride(tensor, dimension + 1)
            extent = self.size(f"{tensor}.{dimension + 1}")
            if inner == "1":
                self._strides[key] = extent
            else:
                local = f"s{self.numbers[tensor]}_{dimension}"
                self.head.append(f"{local} = {extent} * {inner}")
                self._strides[key] = local
        return self._strides[key]

    def form_text(self, form: Affine) -> str:
        """Python text of a linear form over loop variables and sizes."""
        text = ""
        for name, c in sorted(form.terms, key=lambda term: (term[1] < 0, term[0])):
            local = name if name in self.variables else self.size(name)
            piece = local if abs(c) == 1 else f"{abs(c)} * {local}"
            text += (" - " if c < 0 else " + ") + piece if text else ("-" if c < 0 else "") + piece
        if form.constant or not text:
            c = form.constant
            text += (f" - {-c}" if c < 0 else f" + {c}") if text else str(c)
        return text

    def module(self) -> str:
        """Return the text of the whole module."""
        assert self.kernel.statement is not None
        # sizes and strides may turn up while loops are written, but all are known before the first loop
        sizes = ["    " + line for line in self.head]
        pointers = [f"    t{k} = pointer_{dtype}(arguments[{k}])" for k, (_, dtype) in enumerate(self.kernel.dtypes)]
        memory = {f"pointer_{dtype}" for _, dtype in self.kernel.dtypes}
        text = _formula_text(self.kernel.statement, self.kernel.dtypes)
        return self.module_of(text, memory, (), [*pointers, *sizes, *self.lines])


def _formula_text(statement: Statement, dtypes: Iterable[tuple[str, str]]) -> str:
    """The statement and its types as one safe line: tensors and axes have generated names."""
    text = f"{statement}; {', '.join(f'{t}: {d}' for t, d in dtypes)}"
    return re.sub(r"[^ -~]|[\"\\]", "?", text)
