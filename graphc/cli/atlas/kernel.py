"""The CPU kernels of a gate's first sample as text: derived, planned and written, but not compiled."""

from __future__ import annotations

from graphc.cli.atlas.application import apply_sample
from graphc.graph import Gate
from graphc.kernels.cpu.emit import emit
from graphc.kernels.cpu.pooling import emit_pooling
from graphc.kernels.cpu.writer import extent_names
from graphc.planning import Kernel, Launch, plan

__all__ = ["kernel_text"]

#: Lines of kernels on one page.
LINES = 60
_PLAIN = {
    "contraction": "# a matrix product over batches of strided arrays, on register tiles of vectors",
    "convolution": "# a direct convolution: register tiles of positions and maps, for the processor",
    "correlation": "# a direct gradient of filters: register tiles of maps and filter elements, for the processor",
}


def kernel_text(gate: Gate) -> str:
    """Return the forward kernels of the gate's first sample as Markdown."""
    made, _ = plan(apply_sample(gate, gate.samples[0]))
    if not made.launches:
        return "None: the result is a view of the operand's memory."
    blocks: list[str] = []
    for number, kernel in enumerate(made.kernels):
        launches = [launch for launch in made.launches if launch.kernel == number]
        count = f", launched {len(launches)} times" if len(launches) > 1 else ""
        title = f"# kernel {number + 1} of {len(made.kernels)}{count}" if len(made.kernels) > 1 else ""
        # of the samples, rows of windows fit into the vectors of any processor
        windows = _shown(emit_pooling(kernel)) if kernel.kind == "pooling" else ""
        text = _PLAIN.get(kernel.kind.partition("_")[0]) or windows or _loops(kernel, launches)
        blocks.append(f"{title}\n{text}".strip())
    lines = "\n\n".join(blocks).splitlines()
    if len(lines) > LINES:
        cut = len(lines) - LINES
        lines = [*lines[:LINES], f"# ... and {cut} more lines"]
    return "\n".join(["```python", *lines, "```"])


def _loops(kernel: Kernel, launches: list[Launch]) -> str:
    """One loop nest: its formula, its constants and the function; imports are left out."""
    names = [name for group in extent_names(kernel) for name in group]
    # the order of the loops suits the sample's extents, as it would in a program
    arguments = launches[0].arguments if launches else ()
    hints = {name: extent for name, extent in zip(names, arguments, strict=False) if isinstance(extent, int)}
    return _shown(emit(kernel, hints))


def _shown(module: str) -> str:
    """The formula of a kernel's module, its constants and the function."""
    lines = module.rstrip().splitlines()
    start = lines.index("def kernel(arguments, thread, threads):")
    formula = f"# {lines[0].strip(chr(34))}"
    constants = [line for line in lines[1:start] if line.startswith("c") and "= np." in line]
    return "\n".join([formula, *constants, *lines[start:]])
