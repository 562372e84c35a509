"""A program: a plan whose kernels are compiled and whose memory is laid out, ready to run.

One arena holds every buffer that lives inside a step; parameters, states and constants have arrays of their
own; inputs are used where the caller keeps them. The integer arguments of all launches are one array, filled in
when sizes or addresses change, so that a run is one call of the executor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.errors import DataError, KernelError, PlanError
from graphc.formula.size import Extent, extent_value
from graphc.formula.statement import Access, Gather, Wins, size_name
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.chain import emit_chain, emit_product_chain
from graphc.kernels.cpu.contraction import ARGUMENTS, emit_contraction
from graphc.kernels.cpu.direct import emit_direct
from graphc.kernels.cpu.emit import emit
from graphc.kernels.cpu.executor import EXECUTOR, HEAD, LAUNCH, MEET, SEGMENT
from graphc.kernels.cpu.moments import emit_moments
from graphc.kernels.cpu.pooling import emit_pooling
from graphc.kernels.cpu.rows import accepts, emit_rows
from graphc.kernels.cpu.strided import accepts_strided, emit_strided
from graphc.kernels.cpu.sums import emit_sums
from graphc.kernels.cpu.threads import available, default_threads, run
from graphc.kernels.cpu.writer import extent_names
from graphc.planning.plan import ALIGNMENT, THREADS, Buffer, Kernel, Launch, Layout, Plan, Segment, Stage, item_bytes
from graphc.planning.repeats import repeated

__all__ = ["Program"]

#: What a named size is taken to be where only an estimate is needed (the choice of a loop order).
_TYPICAL_SIZE = 64
_FRAMES_KEPT = 8
_UNSIGNED = numpy.dtype("uint32")
#: Looks at the meeting counter before a thread gives way, about 50 microseconds: on a busy machine, the thread that it
#: waits for may need its processor.
_PATIENCE = 2_000
#: Operations that a thread must have to pay for meeting the others: in loops, where most operations wait for
#: memory, and in matrix products.
_WORK, _PRODUCT_WORK = 32_768, 262_144
#: Kinds of kernels that go through memory.
_PASSES = ("loops", "pooling", "sums", "moments", "moments_of_all")


@dataclass
class _Frame:
    """Everything that depends on the named sizes."""

    sizes: dict[str, int]
    layout: Layout
    shapes: list[tuple[int, ...]]
    arguments: numpy.ndarray  # int64, all launches one after the other, a row for each thread
    starts: list[int]  # of each launch in a row of `arguments`
    table: numpy.ndarray  # int64, for the executor
    threads: int  # that the step is worth: workers are only woken for a launch that they share
    shard: int  # threads that divide the batch
    #: base buffer -> positions of its address in a row of `arguments`, and the bytes at which views begin
    places: dict[int, tuple[numpy.ndarray, numpy.ndarray]]
    filled: dict[int, int]  # base buffer -> the address that is there
    arena: int = 0  # address of the arena that the table was made for


def _aligned(count: int, dtype: str = "uint8") -> numpy.ndarray:
    """Return a zeroed array that starts at a multiple of the alignment."""
    size = count * numpy.dtype(dtype).itemsize
    memory = numpy.zeros(size + ALIGNMENT, numpy.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size].view(dtype)


class Program:
    """Compile the kernels of a plan and run its launches.

    Parameters
    ----------
    plan : Plan
        What to run.
    check_numerics : bool, default False
        Run launch by launch and report where the first NaN or infinity appears.
    threads : int, optional
        Threads that share the work of a launch; by default ``GRAPHC_THREADS``, or the processors at hand.

    Raises
    ------
    KernelError
        If a kernel cannot be compiled; the message names gate, site and the file with its text.
    """

    def __init__(self, plan: Plan, *, check_numerics: bool = False, threads: int | None = None) -> None:
        self.plan = plan
        self.check_numerics = check_numerics
        self.threads = default_threads() if threads is None else threads
        #: What writes the text of each kernel: its kind, or a schedule that takes its loops.
        self.schedules = [kernel.kind for kernel in plan.kernels]
        self._texts = [self._text(number, kernel) for number, kernel in enumerate(plan.kernels)]
        users = {launch.kernel: launch for launch in reversed(plan.launches)}
        sources = [
            cache.Source(text, users[k].label, users[k].site) if k in users else cache.Source(text)
            for k, text in enumerate(self._texts)
        ]
        self._executor_address, *self._addresses = cache.addresses([EXECUTOR, *sources])
        self._execute = cache.function(self._executor_address)
        self._bases = [self._base(number) for number in range(len(plan.buffers))]
        self._arrays: dict[int, numpy.ndarray] = {}
        self._dtypes = [numpy.dtype(buffer.dtype) for buffer in plan.buffers]
        for number, buffer in enumerate(plan.buffers):
            if buffer.role in ("parameter", "state", "constant") and buffer.view_of is None:
                shape = tuple(extent_value(e, {}) for e in buffer.shape)
                count = int(numpy.prod(shape, dtype=numpy.int64))
                self._arrays[number] = _aligned(max(count, 1), buffer.dtype)[:count].reshape(shape)
        self._gathered = self._gathers()
        self._arena = _aligned(0)
        self._frames: dict[tuple[tuple[str, int], ...], _Frame] = {}
        self._frame: _Frame | None = None
        self._moved: set[int] = set()  # base buffers whose address the arguments do not hold yet
        self._copies: list[tuple[numpy.ndarray, numpy.ndarray]] | None = None
        self._ran = False
        #: The segment of each launch that is sharded.
        self._segment: dict[int, int] = {}
        for stage in plan.stages:
            for segment in stage.segments if stage.shard else ():
                number = len(set(self._segment.values()))
                self._segment.update(dict.fromkeys(segment.launches, number))
        #: How often each launch runs.
        self._times = {k: plan.repeats[launch.repeat] for k, launch in enumerate(plan.launches) if launch.repeat >= 0}
        #: Numbers of steps of sequences.
        self._lengths = set(plan.repeats)
        if not plan.sizes:
            self.resize({})

    # ---- kernels -------------------------------------------------------------------------------

    def _text(self, number: int, kernel: Kernel) -> str:
        if kernel.kind == "contraction":
            return emit_contraction(dict(kernel.dtypes)["Y"])
        if kernel.kind.startswith(("convolution", "correlation")):
            return emit_direct(kernel.kind, dict(kernel.dtypes)["Y"], kernel.literals, shard=bool(kernel.shard))
        if kernel.kind == "pooling":
            return emit_pooling(kernel)
        if kernel.kind.startswith("moments"):
            return emit_moments(kernel)
        if kernel.kind == "sums":
            return emit_sums(kernel)
        if kernel.kind == "chain":
            return emit_chain(kernel)
        if kernel.kind == "product_chain":
            return emit_product_chain(kernel)
        names = [name for group in extent_names(kernel) for name in group]
        best: dict[str, int] = {}
        most = -1
        for launch in self.plan.launches:
            if launch.kernel != number:
                continue
            if len(launch.arguments) != len(names) or len(launch.buffers) != len(kernel.dtypes):
                raise PlanError(
                    f"the launch {launch.label!r} has {len(launch.buffers)} buffers and {len(launch.arguments)} "
                    f"arguments; its kernel takes {len(kernel.dtypes)} and {len(names)}",
                    site=launch.site,
                )
            work = self._typical(launch.work)
            if work > most:  # the loop order suits the launch with the most work
                most = work
                best = {n: self._typical(e) for n, e in zip(names, launch.arguments, strict=True)}
        if accepts(kernel, best):
            self.schedules[number] = "rows"
            return emit_rows(kernel, best)
        if accepts_strided(kernel, best):
            self.schedules[number] = "strided"
            return emit_strided(kernel)
        try:
            return emit(kernel, best)
        except KernelError as error:
            user = next((launch for launch in self.plan.launches if launch.kernel == number), None)
            if user is None:
                raise
            where = f" declared at {user.site}" if user.site else ""
            raise KernelError(f"no kernel for {user.label}{where}: {error}", site=user.site) from error

    def _typical(self, extent: Extent) -> int:
        return extent_value(extent, {THREADS: 2, **dict.fromkeys(self.plan.sizes, _TYPICAL_SIZE)})

    def _base(self, number: int) -> int:
        parent = self.plan.buffers[number].view_of
        while parent is not None:
            number, parent = parent, self.plan.buffers[parent].view_of
        return number

    def _gathers(self) -> list[tuple[int, Extent, Launch]]:
        """Integer buffers from outside that index a dimension: (buffer, its extent, the launch)."""
        found: dict[tuple[int, Extent], Launch] = {}
        for launch in self.plan.launches:
            kernel = self.plan.kernels[launch.kernel]
            if kernel.statement is None:
                continue
            tensors = [tensor for tensor, _ in kernel.dtypes]
            names = [name for group in extent_names(kernel) for name in group]
            sizes = dict(zip(names, launch.arguments, strict=True))

            def visit(
                access: Access,
                launch: Launch = launch,
                tensors: list[str] = tensors,
                sizes: dict[str, Extent] = sizes,
            ) -> None:
                for dimension, item in enumerate(access.index):
                    if not isinstance(item, Gather):
                        continue
                    visit(item.access)
                    buffer = launch.buffers[tensors.index(item.access.tensor)]
                    role = self.plan.buffers[self._bases[buffer]].role
                    if role != "arena" and access.outside != "zero":
                        found.setdefault((buffer, sizes[size_name(access.tensor, dimension)]), launch)

            statement = kernel.statement
            for access in (statement.write, *(a for _, a in statement.reads)):
                visit(access)
            for guard in statement.guards:
                if isinstance(guard, Wins):
                    visit(guard.access)
        return [(buffer, extent, launch) for (buffer, extent), launch in found.items()]

    # ---- memory --------------------------------------------------------------------------------

    def array(self, number: int) -> numpy.ndarray:
        """Return the array of a parameter, state, constant or bound input.

        Raises
        ------
        DataError
            If nothing is bound to an input yet.
        """
        base = self._bases[number]
        if base not in self._arrays:
            raise DataError(f"nothing is bound to the {self.plan.buffers[base].role} {self.plan.buffers[base].name!r}")
        array = self._arrays[base]
        return array if base == number else array.reshape(self._shape(number))

    def _shape(self, number: int) -> tuple[int, ...]:
        if self._frame is not None:
            return self._frame.shapes[number]
        return tuple(extent_value(e, {}) for e in self.plan.buffers[number].shape)

    def bind(self, number: int, array: Any) -> None:
        """Use an array as the storage of an input, parameter, state or constant.

        An array of the right dtype in C order is used where it is. Inputs of another dtype or order are
        converted into a copy; the others are refused, because results would not reach the caller's array.

        Raises
        ------
        DataError
            If shape or dtype do not fit, or integers do not fit the buffer's type.
        """
        buffer = self.plan.buffers[number]
        if buffer.role == "arena" or buffer.view_of is not None:
            raise DataError(f"{buffer.name!r} has no storage of its own to bind (role {buffer.role!r})")
        if array is self._arrays.get(number) and self._stays(number, array):
            return
        found = numpy.asarray(array)
        if buffer.role != "input":
            expected = self._arrays[number]
            if (found.shape, found.dtype) != (expected.shape, expected.dtype) or not found.flags.c_contiguous:
                raise DataError(
                    f"the {buffer.role} {buffer.name!r} needs an array {expected.dtype}{list(expected.shape)} in C "
                    f"order; found {found.dtype}{list(found.shape)}"
                )
            if not found.flags.writeable and buffer.role != "constant":
                raise DataError(f"the {buffer.role} {buffer.name!r} needs an array that can be written")
            self._copies = None
        else:
            if found.ndim != len(buffer.shape):
                raise DataError(
                    f"the input {buffer.name!r} has {len(buffer.shape)} dimensions ({_shape_text(buffer.shape)}); "
                    f"found shape {list(found.shape)}"
                )
            if found.dtype != buffer.dtype or not found.flags.c_contiguous:
                found = self._converted(buffer.name, found, buffer.dtype)
        self._arrays[number] = found
        self._moved.add(number)

    def _stays(self, number: int, array: numpy.ndarray) -> bool:
        """Whether an array that is bound already can be read where it was: to ask for its address takes longer."""
        frame = self._frame
        if frame is None or frame.shapes[number] != array.shape or not array.flags.c_contiguous:
            return False
        return array.dtype == self._dtypes[number]

    @staticmethod
    def _converted(name: str, found: numpy.ndarray, dtype: str) -> numpy.ndarray:
        kind = numpy.dtype(dtype)
        if kind.kind == "i":
            if found.dtype.kind not in "iub":
                raise DataError(f"the input {name!r} needs integers; found {found.dtype}")
            limits = numpy.iinfo(kind)
            if found.size and (int(found.min()) < limits.min or int(found.max()) > limits.max):
                raise DataError(f"the input {name!r} holds integers beyond {dtype}: {found.min()} to {found.max()}")
        elif found.dtype.kind not in "fiub":
            raise DataError(f"the input {name!r} needs numbers; found {found.dtype}")
        # ascontiguousarray makes scalars one-dimensional
        return numpy.ascontiguousarray(found, kind).reshape(found.shape)

    def resize(self, sizes: Mapping[str, int]) -> None:
        """Lay out memory for named sizes; a no-op for the sizes in use.

        The arena only grows: smaller sizes run in place. Results of earlier runs are lost.

        Raises
        ------
        DataError
            If a named size is missing or negative.
        """
        missing = [name for name in self.plan.sizes if name not in sizes]
        if missing:
            raise DataError(f"the named size {missing[0]!r} is not given; the plan needs {', '.join(self.plan.sizes)}")
        chosen = {name: int(sizes[name]) for name in self.plan.sizes}
        if self._frame is not None and chosen.items() <= self._frame.sizes.items():
            return
        negative = [name for name, value in chosen.items() if value < 0]
        if negative:
            raise DataError(f"the size {negative[0]!r} is {chosen[negative[0]]}; sizes are 0 or more")
        key = tuple(sorted(chosen.items()))
        frame = self._frames.get(key)
        if frame is None:
            frame = self._new_frame(chosen)
            if len(self._frames) >= _FRAMES_KEPT:
                self._frames.pop(next(iter(self._frames)))
            self._frames[key] = frame
        need = frame.layout.total + frame.shard * frame.layout.scratch
        if need > self._arena.nbytes:
            self._arena = _aligned(need)
        if frame.arena != self._arena.ctypes.data:  # addresses of slices are in the table
            frame.arena = self._arena.ctypes.data
            frame.table = self._table(frame)
        self._frame = frame
        self._moved = set(frame.places)
        self._copies = None
        self._ran = False

    def _new_frame(self, sizes: dict[str, int]) -> _Frame:
        shard = self._shard_threads(sizes)
        sizes = {**sizes, THREADS: shard}
        layout = self.plan.layout(sizes)
        shapes = [tuple(extent_value(e, sizes) for e in b.shape) for b in self.plan.buffers]
        arguments: list[int] = []
        starts: list[int] = []
        places: dict[int, list[tuple[int, int]]] = {}
        for launch in self.plan.launches:
            kernel = self.plan.kernels[launch.kernel]
            starts.append(len(arguments))
            for buffer in launch.buffers:
                begin = extent_value(self.plan.buffers[buffer].offset, sizes) * item_bytes(
                    self.plan.buffers[buffer].dtype
                )
                places.setdefault(self._bases[buffer], []).append((len(arguments), begin))
                arguments.append(0)
            arguments += [extent_value(e, sizes) for e in launch.arguments]
            if kernel.kind == "contraction":
                arguments.append(launch.split)
                if len(arguments) - starts[-1] != ARGUMENTS:
                    raise PlanError(
                        f"the contraction {launch.label!r} has {len(arguments) - starts[-1]} arguments, "
                        f"expected {ARGUMENTS}"
                    )
        block = numpy.array([arguments or [0]] * shard, numpy.int64)
        return _Frame(
            sizes,
            layout,
            shapes,
            block,
            starts,
            numpy.zeros(HEAD, numpy.int64),
            1,
            shard,
            {base: tuple(numpy.array(where, numpy.int64).T) for base, where in places.items()},
            {},
        )

    def _shard_threads(self, sizes: Mapping[str, int]) -> int:
        """Threads that divide the batch: each needs examples, and enough work to pay for a meeting."""
        if not self._segment:
            return 1
        work = sum(
            extent_value(self.plan.launches[k].work * self._times.get(k, 1), sizes) / self._least(self.plan.launches[k])
            for k in self._segment
        )
        return max(1, min(self.threads, int(work), sizes[self.plan.batch]))

    def _least(self, launch: Launch) -> int:
        return _WORK if self.plan.kernels[launch.kernel].kind in _PASSES else _PRODUCT_WORK

    def _table(self, frame: _Frame) -> numpy.ndarray:
        """The table of a frame for the executor."""
        records: list[int] = []
        together = False  # whether the last stage was run by more than one thread
        stages = self.plan.stages or tuple(Stage((Segment((k,)),)) for k in range(len(self.plan.launches)))
        number = 0
        for stage in stages:
            if stage.shard:
                own: list[int] = []
                for segment in stage.segments:
                    own += self._sliced(frame, number, segment.launches, segment.repeat)
                    number += 1
                shared = frame.shard > 1
            elif stage.segments[0].repeat >= 0:  # one thread goes through the steps
                own, shared = self._sliced(frame, -1, stage.segments[0].launches, stage.segments[0].repeat), False
            else:
                (segment,) = stage.segments
                own, shared = self._shared(frame, segment.launches)
            if records and (together or shared):
                records.append(MEET)
            records += own
            together = shared
            frame.threads = max(frame.threads, self.threads if shared else 1)
        return self._headed([*records, MEET])

    def _headed(self, records: list[int]) -> numpy.ndarray:
        patience = _PATIENCE if self.threads <= available() else 0  # more threads than processors: one must give way
        # where threads meet is the pool's
        return numpy.array([HEAD + len(records), 0, patience, *records], numpy.int64)

    def _shared(self, frame: _Frame, launches: tuple[int, ...]) -> tuple[list[int], bool]:
        """Records of a plain stage, and whether more than one thread runs it."""
        worth = {k: self._worth(self.plan.launches[k], frame.sizes) for k in launches}
        # what one thread runs, in operations of loops: those of products take less time
        alone = {
            k: extent_value(self.plan.launches[k].work, frame.sizes) * _WORK // self._least(self.plan.launches[k])
            for k in launches
            if worth[k] == 1
        }
        load = [0] * self.threads
        owner = {}
        for k in sorted(alone, key=lambda k: -alone[k]):
            owner[k] = load.index(min(load))
            load[owner[k]] += alone[k]
        saved = sum(load) - max(load)  # a meeting must pay
        several = max(worth.values()) > 1 or saved > 2 * _WORK
        if not several:
            owner = dict.fromkeys(owner, 0)
        records: list[int] = []
        for k in launches:
            kernel = self._addresses[self.plan.launches[k].kernel]
            records += [LAUNCH, kernel, self._argument(frame, frame.starts[k]), worth[k], owner.get(k, 0)]
        return records, several and self.threads > 1

    def _sliced(self, frame: _Frame, number: int, launches: tuple[int, ...], repeat: int = -1) -> list[int]:
        """Record of a segment, or of some of its launches; the number -1 is that of a segment outside of shards."""
        patches: list[int] = []
        moves: list[int] = []
        scratch = self._arena.ctypes.data + frame.layout.total
        for k in launches:
            for position, buffer in enumerate(self.plan.launches[k].buffers, frame.starts[k]):
                base = self._bases[buffer]
                step = extent_value(self.plan.buffers[buffer].step, frame.sizes)
                if step and repeat >= 0:
                    moves += [self._argument(frame, position), step * item_bytes(self.plan.buffers[buffer].dtype)]
                if self.plan.buffers[base].segment >= 0:
                    shape = frame.shapes[base]
                    each = math.prod(shape[1:]) * item_bytes(self.plan.buffers[base].dtype)
                    address = scratch + frame.layout.offsets[base]
                    patches += [self._argument(frame, position), address, frame.layout.scratch, each]
        threads, slices, batch = 1, 1, 0
        if number >= 0:
            threads, slices, batch = frame.shard, frame.layout.slices[number], frame.sizes[self.plan.batch]
        times = extent_value(self.plan.repeats[repeat], frame.sizes) if repeat >= 0 else 1
        head = [SEGMENT, threads, slices, frame.arguments.strides[0], batch, len(patches) // 4, len(launches)]
        head += [times, len(moves) // 2]
        called: list[int] = []
        for k in launches:
            called += [self._addresses[self.plan.launches[k].kernel], self._argument(frame, frame.starts[k])]
        return [*head, *patches, *called, *moves]

    @staticmethod
    def _argument(frame: _Frame, position: int) -> int:
        """Address of an argument of the first thread."""
        return frame.arguments.ctypes.data + 8 * position

    def _worth(self, launch: Launch, sizes: Mapping[str, int]) -> int:
        """How many threads a launch is worth: each needs enough work to pay for a meeting."""
        if "if thread > 0:\n        return" in self._texts[launch.kernel]:
            return 1  # its kernel does not share work
        return max(1, min(self.threads, extent_value(launch.work, sizes) // self._least(launch)))

    def view(self, number: int, time: int = 0) -> numpy.ndarray:
        """Return a buffer as an array, without a copy; later runs change what it shows.

        ``time`` says which repetition of a view that moves on is meant.

        Raises
        ------
        DataError
            If the named sizes are not known yet.
        """
        frame = self._ready()
        base, shape = self._bases[number], frame.shapes[number]
        buffer = self.plan.buffers[number]
        count = math.prod(shape)
        begin = extent_value(buffer.offset, frame.sizes) + time * extent_value(buffer.step, frame.sizes)
        if self.plan.buffers[base].role != "arena":
            return self.array(base).reshape(-1)[begin : begin + count].reshape(shape)
        start = frame.layout.offsets[base] + begin * item_bytes(buffer.dtype)
        return self._arena[start : start + count * item_bytes(buffer.dtype)].view(buffer.dtype).reshape(shape)

    def _ready(self) -> _Frame:
        if self._frame is None:
            raise DataError(f"the sizes {', '.join(self.plan.sizes)} are not known yet; call resize first")
        return self._frame

    # ---- running -------------------------------------------------------------------------------

    def _fill(self, frame: _Frame) -> None:
        """Write the addresses that changed into the arguments."""
        for base in self._moved:
            if base not in frame.places:
                continue  # no launch reads it
            where, begins = frame.places[base]
            buffer = self.plan.buffers[base]
            if buffer.role == "arena":
                address = self._arena.ctypes.data + frame.layout.offsets[base]
            else:
                array = self.array(base)
                if array.shape != frame.shapes[base]:
                    raise DataError(
                        f"the {buffer.role} {buffer.name!r} needs shape {list(frame.shapes[base])}"
                        f" ({_shape_text(buffer.shape)}); found {list(array.shape)}"
                    )
                address = array.ctypes.data
            if frame.filled.get(base) == address:
                continue
            frame.filled[base] = address
            frame.arguments[:, where] = address + begins
            if buffer.private:  # the array of each thread
                own = math.prod(frame.shapes[base][1:]) * item_bytes(buffer.dtype)
                frame.arguments[:, where] += own * numpy.arange(frame.shard)[:, None]
        self._moved.clear()

    def _check_indices(self) -> None:
        frame = self._ready()
        for buffer, extent, launch in self._gathered:
            moves = self.plan.buffers[buffer].step != 0  # of a sequence, all steps are looked at
            values = self.view(self._bases[buffer] if moves else buffer)
            limit = extent_value(extent, frame.sizes)
            if values.size and values.view(_UNSIGNED).max() >= limit:  # one look: negative numbers are large ones
                self._refuse_indices(values, limit, self.plan.buffers[self._bases[buffer]], launch)

    def _refuse_indices(self, values: numpy.ndarray, limit: int, base: Buffer, launch: Launch) -> None:
        low, high = int(values.min()), int(values.max())
        wrong = low if low < 0 else high
        place = [int(k) for k in numpy.argwhere(values == wrong)[0]]
        step = f", step {place[0]} of a sequence" if base.shape[:1] and base.shape[0] in self._lengths else ""
        raise DataError(
            f"{base.name!r} is used as an index by {launch.label}: it must hold integers from 0 to "
            f"{limit - 1}, found {wrong} at {place}{step}" + (f"\n  declared at {launch.site}" if launch.site else ""),
            site=launch.site,
        )

    def run(self) -> None:
        """Run every launch, then store the updates of parameters and states.

        Raises
        ------
        DataError
            If an input is not bound or does not fit, an index is out of range, or (with
            ``check_numerics``) a NaN or an infinity appears.
        """
        frame = self._ready()
        self._fill(frame)
        self._check_indices()
        if self.check_numerics:
            self._run_checked(frame)
        else:
            run(self._executor_address, self._execute, frame.table, self.threads if frame.threads > 1 else 1)
        self._ran = True
        self._update()

    def _update(self) -> None:
        if self._copies is None:
            self._copies = []
            for leaf, value in self.plan.updates:
                target, source = self.array(leaf), self.view(value)
                if target.ctypes.data != source.ctypes.data:
                    self._copies.append((target, source.reshape(target.shape)))
        for target, source in self._copies:
            target[...] = source

    def _call(self, number: int) -> Callable[[], None]:
        """Return a function that runs one launch alone; of a shard, the part of the first thread."""
        frame = self._ready()
        segment = self._segment.get(number)
        if segment is None:
            kernel, argument = self._addresses[self.plan.launches[number].kernel], frame.starts[number]
            records = [LAUNCH, kernel, self._argument(frame, argument), 1, 0]
        else:
            records = self._sliced(frame, segment, (number,))
        table = self._headed(records)
        return lambda: self._execute(table.ctypes.data, 0, 1)

    def _run_checked(self, frame: _Frame) -> None:
        for number, buffer in enumerate(self.plan.buffers):
            # constants are what the graph says, infinities included
            if buffer.role in ("input", "parameter", "state") and number in self._arrays:
                _require_finite(self._arrays[number], f"the {buffer.role} {buffer.name!r}", None)
        for together in repeated(self.plan.launches):
            repeat = self.plan.launches[together[0]].repeat
            times = extent_value(self.plan.repeats[repeat], frame.sizes) if repeat >= 0 else 1
            moves = [
                (frame.starts[k] + position, step * item_bytes(self.plan.buffers[buffer].dtype))
                for k in together
                for position, buffer in enumerate(self.plan.launches[k].buffers)
                if (step := extent_value(self.plan.buffers[buffer].step, frame.sizes))
            ]
            moved = 0
            try:
                for time in range(times):
                    for number in together:
                        self._call(number)()
                        self._require_results(number, time, times if repeat >= 0 else 0)
                    for position, step in moves:
                        frame.arguments[:, position] += step
                    moved += 1
            finally:
                for position, step in moves:
                    frame.arguments[:, position] -= moved * step

    def _require_results(self, number: int, time: int, times: int) -> None:
        launch = self.plan.launches[number]
        where = f" at step {time} of {times}" if times else ""
        for written in self.plan.kernels[launch.kernel].written(launch.buffers):
            _require_finite(self.view(written, time), f"the result of {launch.label}{where}", launch)

    # ---- looking inside ------------------------------------------------------------------------

    def source(self) -> str:
        """Return the text of every kernel, each under the launches that use it."""
        parts = []
        for number, text in enumerate(self._texts):
            labels = [launch.label for launch in self.plan.launches if launch.kernel == number]
            shown = ", ".join(dict.fromkeys(labels)) or "no launch"
            parts.append(f"# {'-' * 96}\n# kernel {number} for {shown}\n# {cache.path_of(text)}\n{text}")
        return "\n\n".join(parts)

    def report(self) -> str:
        """Return a table of the launches: kernel, elements, bytes, and where the program has run, times and speed.

        Each launch is then run alone many times; parameters, states and results are put back as they were.
        """
        from graphc.kernels.cpu.report import measured

        return str(measured(self))


def _shape_text(shape: tuple[Extent, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _require_finite(array: numpy.ndarray, what: str, launch: Launch | None) -> None:
    if array.dtype.kind != "f" or numpy.isfinite(array).all():
        return
    nan = int(numpy.isnan(array).sum())
    infinite = int(numpy.isinf(array).sum())
    found = " and ".join(f"{count} {name}" for count, name in ((nan, "NaN"), (infinite, "infinite values")) if count)
    where = f"\n  declared at {launch.site}" if launch is not None and launch.site else ""
    raise DataError(
        f"{what} has {found} among {array.size} elements; everything computed before it is finite{where}",
        site=launch.site if launch is not None else None,
    )
