"""Chains: several elementwise lines over the same axes as one loop nest.

The fused elementwise part of a recurrent cell: what one line computes stays in a register for the lines behind it, and
only what others read is written. `graphc.planning.plan.Kernel` documents lines, literals and arguments. The first axis
is what threads, or parts of the batch, share.
"""

from __future__ import annotations

from graphc.errors import KernelError
from graphc.formula.expression import symbols
from graphc.kernels.cpu.body import Body
from graphc.kernels.cpu.writer import Lines
from graphc.planning.plan import Kernel, item_bytes

__all__ = ["emit_chain"]


def emit_chain(kernel: Kernel) -> str:
    """Return the source text of a chain.

    Raises
    ------
    KernelError
        If the kernel is not a chain.
    """
    if kernel.kind != "chain" or not kernel.lines:
        raise KernelError(f"emit_chain writes chains; this kernel is of kind {kernel.kind!r}")
    rank, stores, *moving = kernel.literals
    types = [dtype for _, dtype in kernel.dtypes]
    out = Lines(types[0])
    body = Body(out)
    count = len(types)
    first = count + rank  # of the offsets and strides
    width = max(rank, 1)
    start = [
        f"    t{k} = pointer_{dtype}(arguments[{k}] + {item_bytes(dtype)} * arguments[{first + k * width}])"
        for k, dtype in enumerate(types)
    ]
    start += [f"    n{d} = arguments[{count + d}]" for d in range(rank)]
    start += [f"    s{k}_{d} = arguments[{first + k * width + 1 + d}]" for k in range(count) for d in range(rank - 1)]
    if not rank:
        out.add("if thread > 0:")
        out.add("    return")
    for d in range(rank):
        limits = "n0 * thread // threads, n0 * (thread + 1) // threads" if d == 0 else f"n{d}"
        out.add(f"for i{d} in range({limits}):")
        out.depth += 1
        if d < rank - 1:
            for k in range(count):
                before = f"o{k}_{d - 1} + " if d else ""
                out.add(f"o{k}_{d} = {before}i{d} * s{k}_{d}")

    def place(k: int) -> str:
        inner = f"i{rank - 1}" if rank and moving[k] else "0"
        return f"o{k}_{rank - 2} + {inner}" if rank > 1 else inner

    names: dict[str, tuple[str, str]] = {}

    def read(k: int, name: str) -> None:
        function = f"fetch_{k}" if k < stores else "load_apart"
        out.add(f"{name} = {function}(t{k}, {place(k)})")

    for number, line in enumerate(kernel.lines):
        for symbol in symbols(line.body):
            if symbol.startswith("a") and symbol not in names:
                k = int(symbol[1:])
                read(k, f"v{k}")
                names[symbol] = (f"v{k}", "f" if types[k].startswith("float") else "i")
        text = body.as_real(body.write(line.body, names), line.body)
        if line.adds:
            text = f"fetch_{line.store}(t{line.store}, {place(line.store)}) + ({text})"
        out.add(f"r{number} = {text}")
        names[f"r{number}"] = (f"r{number}", "f")
        if line.store >= 0:
            out.add(f"store_{line.store}(t{line.store}, {place(line.store)}, r{number})")
            names.pop(f"a{line.store}", None)
    memory = ["Apart", *(f"pointer_{dtype}" for dtype in set(types))]
    apart = ["", f"apart = Apart({stores})", "load_apart = apart.load"]
    apart += [f"fetch_{k}, store_{k} = apart.fetch[{k}], apart.store[{k}]" for k in range(stores)]
    title = "; ".join(map(str, kernel.lines))
    return out.module_of(title, memory, apart, [*start, *out.lines])
