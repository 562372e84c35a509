"""The launch plan: plain data between planning and execution.

A `Plan` lists buffers, kernels and launches. Extents may contain named sizes (the run-time batch ``N``);
`Plan.layout` turns them into byte offsets of one arena when the names are known. A larger ``N`` lays the
arena out again and generates no code.

Launches run in *stages*. Inside a stage no launch needs what another thread does in it: threads meet between stages
only. In a plain stage threads share each launch. In a *shard* each thread takes its own examples of the batch through
all launches; a shard is cut into *segments*, and a segment with `Segment.sliced` goes through a few examples at a time,
so that what they leave behind is still in the thread's cache when the next launch reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from graphc.errors import Site
from graphc.formula.expression import Expression, to_text
from graphc.formula.size import Extent, extent_value
from graphc.formula.statement import Statement

__all__ = [
    "ALIGNMENT", "THREADS", "Buffer", "Kernel", "Launch", "Layout", "Line", "Plan", "Segment", "Stage", "elements",
    "item_bytes",
]  # fmt: skip

ALIGNMENT = 64  # bytes: one cache line, and the widest vector

#: The size that stands for the number of threads of a shard; the program knows it. No declaration can have this name.
THREADS = "#threads"

#: Kinds of kernels that write as many buffers as their second literal says, before those that they read.
_SEVERAL = ("chain", "product_chain", "sums", "moments", "moments_of_all")

#: Bytes that the examples of one slice may fill, measured: less makes sums over a slice short, more leaves the cache.
_SLICE = 1280 * 1024


def item_bytes(dtype: str) -> int:
    """Bytes of one element of a dtype."""
    return {"float32": 4, "float64": 8, "int32": 4, "int64": 8}[dtype]


def elements(shape: tuple[Extent, ...]) -> Extent:
    """Number of elements of an array."""
    count: Extent = 1
    for extent in shape:
        count = extent * count
    return count


@dataclass(frozen=True, slots=True)
class Buffer:
    """One array of the plan, row-major and contiguous.

    ``role`` is ``"input"`` (bound to the caller's array at each call), ``"parameter"``, ``"state"`` and
    ``"constant"`` (owned by the program, kept between calls) or ``"arena"`` (lives from launch ``first``
    to launch ``last``, both included). A buffer with ``view_of`` shares the memory of that buffer.

    A buffer with a ``segment`` lives in that segment only: each thread has its own, of one slice. A ``private`` buffer
    has an array for each thread along its first dimension; in a shard a launch sees that of its thread.

    A view begins ``offset`` elements behind the memory that it looks at, and moves on by ``step`` elements with each
    repetition of the segment that uses it.
    """

    name: str
    shape: tuple[Extent, ...]
    dtype: str
    role: str
    first: int = 0
    last: int = 0
    view_of: int | None = None
    segment: int = -1
    private: bool = False
    offset: Extent = 0
    step: Extent = 0

    def elements(self) -> Extent:
        """Number of elements."""
        return elements(self.shape)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chain: ``body`` over ``a0``, ``a1``, ... (what accesses read) and ``r0``, ... (earlier lines).

    ``store`` is the access that the result is written to, -1 where only later lines need it; with ``adds`` it is added
    to what is there.
    """

    body: Expression
    store: int = -1
    adds: bool = False

    def __str__(self) -> str:
        return f"{f'a{self.store} ' if self.store >= 0 else ''}{'+' if self.adds else ''}= {to_text(self.body)}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """What is compiled once and launched many times.

    ``kind`` is ``"loops"``: a canonical statement (tensors ``t0`` = written, ``t1`` ... in order of
    ``dtypes``), whose arguments are one pointer for each tensor and then every extent ``t0.0, t0.1, ...,
    t1.0, ...``; or ``"contraction"``: a batched matrix product on strided arrays, see
    `graphc.planning.contraction` for its arguments; or one of ``"convolution"``, ``"convolution_of_maps"``,
    ``"convolution_of_phases"``, ``"convolution_of_runs"``, ``"correlation"``, ``"correlation_of_maps"`` and
    ``"correlation_of_runs"``, see `graphc.planning.convolution` for their arguments and ``literals``, numbers that are
    part of the kernel; or ``"convolution"`` or ``"correlation"``
    followed by ``"_by_tiles"`` or ``"_filters_by_tiles"``, see `graphc.planning.winograd`; or ``"pooling"``: a
    statement over windows that lie side by side, see `graphc.kernels.cpu.pooling`. All but loops have the written
    tensor last.

    A ``"chain"`` is several elementwise ``lines`` over the same axes: every access has a buffer, those that are written
    (as many as ``literals[1]``) first. Its ``literals`` are the number of axes, of written accesses, and for each
    access whether it moves along the last axis; its arguments are the extents of the axes, then for each access an
    offset and the strides along all axes but the last.

    A ``"product_chain"`` is a chain over two axes, examples and units, that begins with a matrix product: a line reads
    ``p0``, ``p1``, ... where it needs column ``unit``, ``units + unit``, ... of the product of A with a matrix, which
    is never stored. Behind the buffers of the accesses come A and the matrix in panels ``P[unit // wide, k, p, unit %
    wide]``. Its ``literals`` are 2, the number of written accesses, of columns for a unit, ``wide``, and for each
    access whether it moves along the units; its arguments are those of a chain, then the stride of A's rows, the
    offset of the first, and their length.

    ``"sums"`` are several sums over the axes ``n``, ``i`` and ``j`` into vectors along ``c``: line ``k`` is the term of
    the sum that is written to buffer ``k``, over ``a0``, ``a1``, ... (buffers, those that are written first) and
    ``e0``, ``e1``, ... (extents, as numbers). Its ``literals`` are 4, the number of sums, and for each buffer that is
    read the axes along which it moves: 1 for ``n``, 2 for ``c``, 4 for ``i`` and 8 for ``j``, where neighbours are
    neighbours in memory. Its arguments are the extents of ``n``, ``c``, ``i`` and ``j``, then for each buffer that is
    read an offset and the strides along ``n``, ``c`` and ``i``, then ``e0``, ``e1``, ... Parts are channels, or, in a
    shard over ``n``, examples.

    ``"moments"`` writes, for each part of the examples and each channel of maps ``[n, c]``, a number near their
    elements, and the sums of deviations from it and of their squares, into the row of the part's first example of three
    arrays, and how many examples the part has into a fourth; all other rows become 0. The arguments are the extents of
    ``n``, ``c``, ``i`` and ``j``, an offset and the strides along ``n``, ``c`` and ``i``. ``"moments_of_all"`` makes of
    them the mean and the mean square of deviations of each channel; its arguments are the extents of ``n`` and ``c``,
    the elements of a map, and what the sum of squares is divided by.

    A kernel is called with a part and a number of parts. What parts share is up to the kernel, unless ``shard`` names
    the axis of the batch: then part ``p`` of ``P`` computes the examples ``N*p//P`` to ``N*(p+1)//P``. Kernels
    that have no statement name the axis ``"n"``.
    """

    kind: str
    statement: Statement | None
    dtypes: tuple[tuple[str, str], ...]
    literals: tuple[int, ...] = ()
    shard: str = ""
    lines: tuple[Line, ...] = ()

    def written(self, buffers: tuple[int, ...]) -> tuple[int, ...]:
        """Of the buffers of a launch those that it writes."""
        if self.kind in _SEVERAL:
            return buffers[: self.literals[1]]
        return buffers[:1] if self.kind == "loops" else buffers[-1:]

    def read(self, buffers: tuple[int, ...]) -> tuple[int, ...]:
        """Of the buffers of a launch those that it reads, and does not only add to."""
        if self.kind in _SEVERAL:
            return buffers[self.literals[1] :]
        return buffers[1:] if self.kind == "loops" else buffers[:-1]

    def key(self) -> str:
        """Canonical text: equal keys are the same kernel."""
        s, text = self.statement, ""
        if s is not None:
            # the text of a statement leaves out what a reader can guess and a kernel cannot
            kind = f"{s.operator}{' accumulates' if s.accumulate else ''}"
            outside = ", ".join(f"{p} {a.outside}" for p, a in s.reads if a.outside != "forbidden")
            text = "; ".join(map(str, (s, *s.axes, kind))) + (f"; outside {outside}" if outside else "")
        text += "; ".join(map(str, self.lines)) + " ".join(map(str, self.literals))
        text += f"; shard {self.shard}" if self.shard else ""
        return f"{self.kind} | {text} | {', '.join(f'{t}: {d}' for t, d in self.dtypes)}"


@dataclass(frozen=True, slots=True)
class Launch:
    """One call of a kernel: buffers (pointers) first, then integer arguments."""

    kernel: int
    buffers: tuple[int, ...]
    arguments: tuple[Extent, ...]
    label: str  # gate and node, for reports and errors
    site: Site | None = None
    work: Extent = 0  # FLOP, a multiply-add counts 2
    split: int = 0  # of a contraction: what its parts share, see `graphc.planning.contraction`
    repeat: int = -1  # the repeat (`Plan.repeats`) that it belongs to


@dataclass(frozen=True, slots=True)
class Segment:
    """Launches (by number) of a shard that go through the examples of a thread together, in slices or at once.

    With a ``repeat`` (`Plan.repeats`) they run one after the other, again and again; in a plain stage on one thread.
    """

    launches: tuple[int, ...]
    sliced: bool = False
    repeat: int = -1


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs between two meetings of the threads; a plain stage has one segment."""

    segments: tuple[Segment, ...]
    shard: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets for known sizes: in the arena, or for buffers of a segment in the scratch memory of a thread.

    Buffers outside both have the offset -1. ``scratch`` are the bytes of one thread; ``slices`` says for each segment
    into how many slices a thread cuts its examples.
    """

    offsets: tuple[int, ...]
    total: int
    scratch: int = 0
    slices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Buffers, kernels and launches, in execution order."""

    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    launches: tuple[Launch, ...]
    sizes: tuple[str, ...]  # named sizes that a call must fix
    outputs: tuple[int, ...]  # buffers the caller reads
    gradients: Mapping[str, int]  # name -> buffer
    updates: tuple[tuple[int, int], ...] = ()  # (parameter or state, buffer with its new value)
    stages: tuple[Stage, ...] = ()  # none: each launch is one
    batch: str = ""  # the named size that shards divide
    repeats: tuple[Extent, ...] = ()  # how often the launches of each repeat run

    def layout(self, sizes: Mapping[str, int]) -> Layout:
        """Place every arena buffer: first fit by decreasing size among those that live at the same time.

        Parameters
        ----------
        sizes : mapping
            Named sizes; with shards also `THREADS`.
        """
        segments = [segment for stage in self.stages for segment in stage.segments if stage.shard]
        offsets = [-1] * len(self.buffers)
        own: dict[int, list[int]] = {}
        for number, buffer in enumerate(self.buffers):
            if buffer.role == "arena" and buffer.view_of is None:
                own.setdefault(buffer.segment, []).append(number)
        total = self._place(own.get(-1, []), sizes, offsets)
        scratch, slices = 0, []
        for number, segment in enumerate(segments):
            part = -(-sizes[self.batch] // sizes[THREADS])
            some = max(part, 1)
            if segment.sliced:
                one = self._place(own.get(number, []), {**sizes, self.batch: 1}, offsets)
                some = max(1, min(some, _SLICE // max(one, 1)))
            slices.append(max(1, -(-part // some)))
            scratch = max(scratch, self._place(own.get(number, []), {**sizes, self.batch: some}, offsets))
        for number, buffer in enumerate(self.buffers):
            if buffer.view_of is not None:
                offsets[number] = offsets[buffer.view_of]
        return Layout(tuple(offsets), total, scratch, tuple(slices))

    def _place(self, numbers: list[int], sizes: Mapping[str, int], offsets: list[int]) -> int:
        """Place some buffers beside each other; return the bytes that they fill."""
        need = []
        for number in numbers:
            buffer = self.buffers[number]
            count = extent_value(buffer.elements(), sizes) * item_bytes(buffer.dtype)
            need.append((-(-max(count, 1) // ALIGNMENT) * ALIGNMENT, number))
        placed: list[tuple[int, int, int, int]] = []  # (offset, end, first, last)
        total = 0
        for count, number in sorted(need, key=lambda item: (-item[0], item[1])):
            buffer = self.buffers[number]
            offset = 0
            for start, end, first, last in sorted(placed):
                if buffer.last < first or last < buffer.first:
                    continue  # never alive together: may share memory
                if start - offset >= count:
                    break
                offset = max(offset, end)
            offsets[number] = offset
            placed.append((offset, offset + count, buffer.first, buffer.last))
            total = max(total, offset + count)
        return total

    def __str__(self) -> str:
        lines = []
        for launch in self.launches:
            kernel = self.kernels[launch.kernel]
            names = ", ".join(self.buffers[b].name for b in launch.buffers)
            lines.append(f"{launch.label:<32} {kernel.kind}#{launch.kernel}({names})")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Serialise for people and tools; formulas are written as text."""
        return json.dumps(
            {
                "buffers": [
                    [b.name, [str(e) for e in b.shape], b.dtype, b.role, b.first, b.last, b.view_of]
                    for b in self.buffers
                ],
                "kernels": [kernel.key() for kernel in self.kernels],
                "launches": [
                    [k.label, k.kernel, list(k.buffers), [str(a) for a in k.arguments]] for k in self.launches
                ],
                "sizes": list(self.sizes),
                "outputs": list(self.outputs),
                "gradients": dict(self.gradients),
                "updates": [list(pair) for pair in self.updates],
            },
            indent=1,
        )
