"""Chains: several elementwise lines over the same axes as one loop nest, with or without a product before them.

The fused elementwise part of a recurrent cell: what one line computes stays in a register for the lines behind it, and
only what others read is written. `graphc.planning.plan.Kernel` documents lines, literals and arguments. The first axis
is what threads, or parts of the batch, share.

Behind a product, a tile of a few examples and the vectors of columns that belong to some units is summed in registers
over all k and left in the first cache, where the lines read it at once: the product itself is never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc.errors import KernelError
from graphc.formula.expression import symbols
from graphc.kernels.cpu.body import Body
from graphc.kernels.cpu.convolution import vector_lanes
from graphc.kernels.cpu.writer import Lines
from graphc.planning.plan import Kernel, item_bytes

__all__ = ["emit_chain", "emit_product_chain"]

#: Most steps of k that a tile takes at a time, as in `graphc.kernels.cpu.contraction`: what is added up in registers
#: alone loses digits with its length.
_DEPTH = 256
#: Examples of a tile behind which a chain follows. Measured beside 3, 5 and 6: few enough that 32 or 64 examples leave
#: none over, and that a panel is read again from the first cache.
_EXAMPLES = 4


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
    start = _places(types, rank)
    if not rank:
        out.add("if thread > 0:")
        out.add("    return")
    for d in range(rank):
        limits = "n0 * thread // threads, n0 * (thread + 1) // threads" if d == 0 else f"n{d}"
        out.add(f"for i{d} in range({limits}):")
        out.depth += 1
        if d < rank - 1:
            for k in range(len(types)):
                before = f"o{k}_{d - 1} + " if d else ""
                out.add(f"o{k}_{d} = {before}i{d} * s{k}_{d}")

    def place(k: int) -> str:
        inner = f"i{rank - 1}" if rank and moving[k] else "0"
        return f"o{k}_{rank - 2} + {inner}" if rank > 1 else inner

    _write_lines(kernel, out, types, stores, place, {})
    return _module(kernel, out, types, stores, start, ())


def emit_product_chain(kernel: Kernel) -> str:
    """Return the source text of a chain behind a product.

    Raises
    ------
    KernelError
        If the kernel is of another kind.
    """
    if kernel.kind != "product_chain":
        raise KernelError(f"emit_product_chain writes products with chains; this kernel is of kind {kernel.kind!r}")
    rank, stores, several, wide, *moving = kernel.literals
    *accesses, (_, real), _ = kernel.dtypes
    types, size, lanes = [dtype for _, dtype in accesses], item_bytes(real), vector_lanes(real)
    columns = several * wide
    vectors = columns // lanes
    count, out = len(types), Lines(real)
    last = 2 * (count + 1) + count + 2  # of the offsets and strides
    start = [
        *_places(types, rank, after=2),
        f"    a = arguments[{count}] + {size} * arguments[{last + 1}]",
        f"    panels = arguments[{count + 1}]",
        f"    row_a, k = arguments[{last}], arguments[{last + 2}]",
        "    memory = scratch()",
        f"    tensor = pointer_{real}(memory)",
        f"    parts = max(1, (k + {_DEPTH - 1}) // {_DEPTH})",
        "    first, end = n0 * thread // threads, n0 * (thread + 1) // threads",
    ]
    text = f"""\
for unit in range(0, n1, {wide}):
    panel = panels + {size * several} * unit * k
    for row in range(first, end, {_EXAMPLES}):
        height = min({_EXAMPLES}, end - row)
        for part in range(parts):
            done = k * part // parts
            tile(a + {size} * (row * row_a + done), row_a, 1, panel + {size * columns} * done, {columns},
                 k * (part + 1) // parts - done, memory, {columns}, height, {columns}, part)
        for i0 in range(row, row + height):"""
    for line in text.splitlines():
        out.add(line)
    out.depth = 4
    for k in range(count):
        out.add(f"o{k}_0 = i0 * s{k}_0 + unit")
    out.add(f"held = (i0 - row) * {columns}")
    out.add(f"for lane in range({wide}):")
    out.depth += 1
    used = sorted({name for line in kernel.lines for name in symbols(line.body) if name.startswith("p")})
    names = {name: (name, "f") for name in used}
    for name in used:
        out.add(f"{name} = load_apart(tensor, held + {int(name[1:]) * wide} + lane)")

    def place(k: int) -> str:
        return f"o{k}_0 + lane" if moving[k] else f"o{k}_0 - unit"

    _write_lines(kernel, out, types, stores, place, names)
    preparation = [
        "from graphc.kernels.cpu.vector import product, stack",
        "",
        f'tile = product("{real}", {lanes}, {_EXAMPLES}, {vectors}, clamped=True)',
        f"scratch = stack({size * columns * _EXAMPLES})",
    ]
    return _module(kernel, out, [*types, real], stores, start, preparation)


def _places(types: list[str], rank: int, after: int = 0) -> list[str]:
    """Lines that name tensors at their offsets, extents and strides; ``after``: buffers behind those of accesses."""
    count = len(types)
    extents = count + after
    first, width = extents + rank, max(rank, 1)
    lines = [
        f"    t{k} = pointer_{dtype}(arguments[{k}] + {item_bytes(dtype)} * arguments[{first + k * width}])"
        for k, dtype in enumerate(types)
    ]
    lines += [f"    n{d} = arguments[{extents + d}]" for d in range(rank)]
    return lines + [
        f"    s{k}_{d} = arguments[{first + k * width + 1 + d}]" for k in range(count) for d in range(rank - 1)
    ]


def _write_lines(
    kernel: Kernel,
    out: Lines,
    types: list[str],
    stores: int,
    place: Callable[[int], str],
    names: dict[str, tuple[str, str]],
) -> None:
    """Write the lines of a chain at one point; ``names``: text and kind of what is known already."""
    body = Body(out)
    for number, line in enumerate(kernel.lines):
        for symbol in symbols(line.body):
            if symbol.startswith("a") and symbol not in names:
                k = int(symbol[1:])
                function = f"fetch_{k}" if k < stores else "load_apart"
                out.add(f"v{k} = {function}(t{k}, {place(k)})")
                names[symbol] = (f"v{k}", "f" if types[k].startswith("float") else "i")
        text = body.as_real(body.write(line.body, names), line.body)
        if line.adds:
            text = f"fetch_{line.store}(t{line.store}, {place(line.store)}) + ({text})"
        out.add(f"r{number} = {text}")
        names[f"r{number}"] = (f"r{number}", "f")
        if line.store >= 0:
            out.add(f"store_{line.store}(t{line.store}, {place(line.store)}, r{number})")
            names.pop(f"a{line.store}", None)


def _module(
    kernel: Kernel, out: Lines, types: list[str], stores: int, start: list[str], preparation: Iterable[str]
) -> str:
    memory = ["Apart", *(f"pointer_{dtype}" for dtype in set(types))]
    apart = ["", *preparation, f"apart = Apart({stores})", "load_apart = apart.load"]
    apart += [f"fetch_{k}, store_{k} = apart.fetch[{k}], apart.store[{k}]" for k in range(stores)]
    return out.module_of("; ".join(map(str, kernel.lines)), memory, apart, [*start, *out.lines])
