"""Runs a launch plan with NumPy in one real arena: judges planning without any kernel."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy

from graphc.formula.expression import Number, evaluate, symbols
from graphc.formula.numeric import NUMPY
from graphc.formula.size import extent_value
from graphc.formula.statement import NEUTRAL, Affine, Axis, Wins, affine, substitute_axes
from graphc.graph.reference import run_statement
from graphc.planning.plan import THREADS, item_bytes


def part_of(statement, axis, examples):
    """A statement over a range of one axis."""
    first, last = examples
    move = {axis: affine({axis: 1}, first)}
    guards = tuple(replace(g, access=g.access.substitute(move)) if isinstance(g, Wins) else g for g in statement.guards)
    return replace(
        statement,
        axes=tuple(Axis(a.name, Affine((), last - first)) if a.name == axis else a for a in statement.axes),
        write=statement.write.substitute(move),
        reads=tuple((p, a.substitute(move)) for p, a in statement.reads),
        body=substitute_axes(statement.body, move),
        guards=guards,
    )


def transforms(size, taps):
    """Winograd's matrices of ``size`` results of ``taps`` terms each: of the image, of the filter, of the products.

    From polynomials, for any of the points that the kernels use; rows may differ from theirs by a factor that another
    matrix takes back.
    """
    points = {4: [0, 1, -1], 6: [0, 0.75, -0.75, 1.5, -1.5]}[size + taps - 1]
    image, filters, products = [], [], []
    for point in points:
        others = [other for other in points if other != point]
        image.append([*numpy.poly(others)[::-1], 0])
        value = numpy.prod([point - other for other in others])
        filters.append([point**k / value for k in range(taps)])
        products.append([point**k for k in range(size)])
    image.append(numpy.poly(points)[::-1])
    filters.append([0.0] * (taps - 1) + [1.0])
    products.append([0.0] * (size - 1) + [1.0])
    return numpy.array(image), numpy.array(filters), numpy.array(products).T


class Interpreter:
    """Executes a `Plan` on float64 buffers that share memory exactly as the plan says.

    Threads of a shard run one after the other, the last first: what one needs of another shows as a wrong result. A
    thread goes through all steps of a repeat with its examples before the next thread begins.
    """

    def __init__(self, plan, leaves, values, sizes, threads=2):
        self.plan, self.sizes = plan, {**sizes, THREADS: threads}
        self.layout = plan.layout(self.sizes)
        # NaN everywhere: reading memory before it is written shows
        self.arena = numpy.full(self.layout.total // 8 + 8, numpy.nan)
        self.scratch = numpy.full((threads, self.layout.scratch // 8 + 8), numpy.nan)
        self.owned = {}
        for number, node in leaves.items():
            kind = "float64" if node.is_float else "int32"
            value = node.value if node.kind == "constant" else values[node.label]
            self.owned[number] = numpy.array(value, dtype=kind)

    def base(self, number):
        while self.plan.buffers[number].view_of is not None:
            number = self.plan.buffers[number].view_of
        return number

    def array(self, number, thread=0, examples=None, time=0, copies=None):
        """A buffer as a step of a repeat sees it.

        With ``examples`` a local buffer is as long as the batch, and NaN but for these; ``copies`` holds these arrays,
        so that all views of one buffer show the same.
        """
        buffer, base = self.plan.buffers[number], self.base(number)
        shape = self.shape(buffer)
        begin = extent_value(buffer.offset, self.sizes) + time * extent_value(buffer.step, self.sizes)
        count = math.prod(shape)
        assert 0 <= begin <= begin + count <= math.prod(self.shape(self.plan.buffers[base])), f"{buffer} at {time}"
        if base in self.owned:
            return self.owned[base].reshape(-1)[begin : begin + count].reshape(shape)
        if self.plan.buffers[base].segment >= 0:
            copies = {} if copies is None else copies
            if base not in copies:
                own = self.local(base, thread, examples)
                nothing = numpy.nan if own.dtype.kind == "f" else -(2**31)
                copies[base] = numpy.full(self.shape(self.plan.buffers[base]), nothing, own.dtype)
                copies[base][slice(*examples)] = own
            return copies[base].reshape(-1)[begin : begin + count].reshape(shape)
        found = self.memory(self.arena, self.layout.offsets[base], buffer, shape, begin)
        return found[thread, ...] if buffer.private and examples is not None else found

    def shape(self, buffer):
        return tuple(extent_value(extent, self.sizes) for extent in buffer.shape)

    def local(self, base, thread, examples):
        buffer = self.plan.buffers[base]
        shape = (examples[1] - examples[0], *self.shape(buffer)[1:])
        return self.memory(self.scratch[thread], self.layout.offsets[base], buffer, shape)

    @staticmethod
    def memory(memory, offset, buffer, shape, begin=0):
        dtype = "int32" if buffer.dtype == "int32" else "float64"
        first = offset // item_bytes(dtype) + begin
        return memory.view(dtype)[first : first + math.prod(shape)].reshape(shape)

    def run(self):
        number = 0
        met = []
        for stage in self.plan.stages:
            for segment in stage.segments:
                met += segment.launches
                assert {self.plan.launches[k].repeat for k in segment.launches} == {segment.repeat}
            if not stage.shard:
                (segment,) = stage.segments
                self.segment(segment)
                continue
            batch, threads = self.sizes[self.plan.batch], self.sizes[THREADS]
            for thread in reversed(range(threads)):
                for n, segment in enumerate(stage.segments, number):
                    parts = threads * self.layout.slices[n]
                    for part in range(parts * thread // threads, parts * (thread + 1) // threads):
                        examples = batch * part // parts, batch * (part + 1) // parts
                        self.part = part, parts
                        self.segment(segment, thread, examples)
            number += len(stage.segments)
        assert sorted(met) == list(range(len(self.plan.launches)))
        for leaf, value in self.plan.updates:
            self.owned[leaf][...] = self.array(value)

    def segment(self, segment, thread=0, examples=None):
        """The launches of a segment, all of one step before those of the next."""
        times = 1 if segment.repeat < 0 else extent_value(self.plan.repeats[segment.repeat], self.sizes)
        for time in range(times):
            for k in segment.launches:
                self.launch(self.plan.launches[k], thread, examples, time)

    def launch(self, launch, thread=0, examples=None, time=0):
        kernel = self.plan.kernels[launch.kernel]
        arguments = [extent_value(extent, self.sizes) for extent in launch.arguments]
        copies = {}
        for (_, dtype), number in zip(kernel.dtypes, launch.buffers, strict=True):
            assert dtype == self.plan.buffers[number].dtype, (
                f"{launch.label} takes {self.plan.buffers[number]} as {dtype}"
            )
        arrays = [self.array(number, thread, examples, time, copies) for number in launch.buffers]
        if kernel.kind == "contraction":
            self.contraction(launch.split, arrays, arguments, examples)
        else:
            # parts of windows are examples in any case, and so is the first axis of a chain
            assert kernel.kind in ("pooling", "chain", "product_chain", "moments") or bool(kernel.shard) == (
                examples is not None
            )
            getattr(self, kernel.kind)(kernel, arrays, arguments, examples)
        for base in {self.base(number) for number in kernel.written(launch.buffers)} & copies.keys():
            self.local(base, thread, examples)[...] = copies[base][slice(*examples)]

    def product_chain(self, kernel, arrays, arguments, examples):
        rank, stores, several, wide, *moving = kernel.literals
        *arrays, a, panels = arrays
        *arguments, pitch, offset, length = arguments
        count, units = arguments[:2]
        rows = a.reshape(-1)[offset + pitch * numpy.arange(count)[:, None] + numpy.arange(length)]
        columns = panels.reshape(units // wide, length, several, wide).transpose(1, 2, 0, 3)
        product = rows @ columns.reshape(length, several * units)
        own = slice(*examples) if examples is not None else slice(None)
        held = {f"p{c}": product[own, c * units : (c + 1) * units].copy() for c in range(several)}
        # the kernel reads rows of A while it writes
        reached = set(
            (a.ctypes.data + a.itemsize * (offset + pitch * numpy.arange(count)[:, None] + numpy.arange(length)))
            .reshape(-1)
            .tolist()
        )
        self.chain(replace(kernel, literals=(rank, stores, *moving)), arrays, arguments, examples, held, reached)

    def chain(self, kernel, arrays, arguments, examples, held=None, reached=frozenset()):
        rank, stores, *moving = kernel.literals
        extents, width = arguments[:rank], max(rank, 1)
        assert len(arguments) == rank + width * len(arrays)
        points = [numpy.arange(extent) for extent in extents]
        if examples is not None:
            assert extents[0] == self.sizes[self.plan.batch]
            points[0] = numpy.arange(*examples)
        grid = numpy.meshgrid(*points, indexing="ij") if rank else []
        places = []
        for k, array in enumerate(arrays):
            offset, *strides = arguments[rank + k * width :][:width]
            place = numpy.full([len(p) for p in points], offset)
            for axis, stride in zip(grid, [*strides, moving[k]], strict=False):
                place += axis * stride
            assert place.size == 0 or 0 <= place.min() <= place.max() < array.size
            places.append(place)
        self.apart(arrays, places, stores)
        for k in range(stores):
            written = arrays[k].ctypes.data + arrays[k].itemsize * places[k].reshape(-1)
            assert not reached & set(written.tolist()), f"access {k} writes what the product still reads"
        tensors = [array.reshape(-1) for array in arrays]
        values = dict(held or {})
        for number, line in enumerate(kernel.lines):
            for k in range(len(arrays)):
                if f"a{k}" in symbols(line.body):
                    values[f"a{k}"] = tensors[k][places[k]]
            with numpy.errstate(all="ignore"):
                value = numpy.asarray(evaluate(line.body, values, NUMPY), dtype="float64")
            value = numpy.broadcast_to(value, [len(p) for p in points])
            if line.adds:
                value = tensors[line.store][places[line.store]] + value
            values[f"r{number}"] = value
            if line.store >= 0:
                assert line.store < stores
                tensors[line.store][places[line.store]] = value

    @staticmethod
    def apart(arrays, places, stores):
        """A kernel may assume that no access sees what another one writes, and that no element is written twice."""
        reached = []
        for array, place in zip(arrays, places, strict=True):
            reached.append(set((array.ctypes.data + array.itemsize * place.reshape(-1)).tolist()))
        for k in range(stores):
            assert len(reached[k]) == places[k].size
            for other in range(len(arrays)):
                assert other == k or not reached[k] & reached[other], f"accesses {k} and {other} share memory"

    def moments(self, kernel, arrays, arguments, examples):
        *parts, weights, x = arrays
        assert kernel.literals == (4, len(parts) + 1)
        n, c, i, j, offset, *strides = arguments
        own = numpy.arange(n) if examples is None else numpy.arange(*examples)
        if not len(own):
            return
        place = offset + sum(a * s for a, s in zip(numpy.ix_(own, range(c), range(i)), strides, strict=True))
        maps = x.reshape(-1)[place[..., None] + numpy.arange(j)]
        near = maps[0].mean(axis=(1, 2))
        off = maps - near[:, None, None]
        for part, values in zip(parts, (near, off.sum(axis=(0, 2, 3)), (off**2).sum(axis=(0, 2, 3))), strict=True):
            part[own] = 0
            part[own[0]] = values
        weights[own] = 0
        weights[own[0]] = len(own)

    def moments_of_all(self, kernel, arrays, arguments, examples):
        mean, variance, near, first, second, weights = arrays
        assert examples is None
        n, c, size, divisor = arguments
        assert near.shape == (n, c)
        own = weights > 0
        assert weights.sum() == n
        terms = size * weights[own, None]
        means = near[own] + first[own] / terms
        total = (terms * means).sum(axis=0) / (n * size)
        squares = second[own] - first[own] ** 2 / terms + terms * (means - total) ** 2
        mean[...] = total.reshape(mean.shape)
        variance[...] = (squares.sum(axis=0) / divisor).reshape(variance.shape)

    def sums(self, kernel, arrays, arguments, examples):
        rank, stores, *moving = kernel.literals
        assert rank == 4
        assert stores == len(kernel.lines)
        reads = arrays[stores:]
        extents, numbers = arguments[:4], arguments[4 + 4 * len(reads) :]
        points = [numpy.arange(extent) for extent in extents]
        if examples is not None:
            assert kernel.shard == "n"
            assert extents[0] == self.sizes[self.plan.batch]
            points[0] = numpy.arange(*examples)
        grid = numpy.meshgrid(*points, indexing="ij")
        values = {f"e{k}": number for k, number in enumerate(numbers)}
        for k, array in enumerate(reads):
            offset, *strides = arguments[4 + 4 * k : 8 + 4 * k]
            for bit, stride in zip((1, 2, 4), strides, strict=True):
                assert bool(moving[k] & bit) == (stride != 0)
            place = numpy.full([len(p) for p in points], offset)
            for axis, stride in zip(grid, [*strides, int(bool(moving[k] & 8))], strict=True):
                place += axis * stride
            assert place.size == 0 or 0 <= place.min() <= place.max() < array.size
            values[f"a{stores + k}"] = array.reshape(-1)[place]
        for k, line in enumerate(kernel.lines):
            assert line.store == k
            with numpy.errstate(all="ignore"):
                value = numpy.asarray(evaluate(line.body, values, NUMPY), dtype="float64")
            total = numpy.broadcast_to(value, [len(p) for p in points]).sum(axis=(0, 2, 3))
            total = total.reshape(arrays[k].shape)
            arrays[k][...] = arrays[k] + total if line.adds else total

    def loops(self, kernel, arrays, arguments, examples):
        statement = kernel.statement
        assert not statement.partial
        # a kernel may see elements in a row, whatever their shape
        ranks = {a.tensor: len(a.index) for a in (statement.write, *(a for _, a in statement.reads)) if not a.flat}
        ranks = [ranks.get(t, a.ndim) for (t, _), a in zip(kernel.dtypes, arrays, strict=True)]
        extents = iter(arguments)
        arrays = [a.reshape([next(extents) for _ in range(rank)]) for a, rank in zip(arrays, ranks, strict=True)]
        names = [f"{t}.{d}" for (t, _), a in zip(kernel.dtypes, arrays, strict=True) for d in range(a.ndim)]
        own = slice(None)
        lead = statement.write.index[:1]
        if examples is not None and lead and isinstance(lead[0], Affine) and lead[0].plain() == kernel.shard:
            own = slice(*examples)
        elif examples is not None:
            statement = part_of(statement, kernel.shard, examples)
        assert len(names) == len(arguments)
        sizes = dict(zip(names, arguments, strict=True))
        for (tensor, _), array in zip(kernel.dtypes, arrays, strict=True):
            for d in range(array.ndim):
                assert sizes[f"{tensor}.{d}"] == array.shape[d]
        # read copies: a written buffer that shares memory with a read one shows as a wrong result
        tensors = {t: numpy.array(a) for (t, _), a in zip(kernel.dtypes, arrays, strict=True)}
        if not statement.accumulate:
            tensors["t0"][...] = NEUTRAL[statement.operator]
        with numpy.errstate(all="ignore"):
            run_statement(statement, tensors, sizes)
        if arrays[0].ndim:
            arrays[0][own] = tensors["t0"][own]
        else:
            arrays[0][...] = tensors["t0"]

    def pooling(self, kernel, arrays, arguments, examples):
        # a statement like those of loops, but what is written comes last
        rank = arrays[-1].ndim
        dtypes = (kernel.dtypes[-1], *kernel.dtypes[:-1])
        assert [tensor for tensor, _ in dtypes] == [f"t{k}" for k in range(len(dtypes))]
        kernel = replace(kernel, dtypes=dtypes, shard=kernel.statement.write.index[0].plain())
        arrays, arguments = [arrays[-1], *arrays[:-1]], arguments[-rank:] + arguments[:-rank]
        if len(kernel.literals) > 2:  # into a frame of zeros
            *index, row, column = kernel.statement.write.index
            index += [row + kernel.literals[2], column + kernel.literals[3]]
            write = replace(kernel.statement.write, index=tuple(index))
            kernel = replace(kernel, statement=replace(kernel.statement, write=write))
            ones = replace(kernel, statement=replace(kernel.statement, body=Number(1)))
            reached = numpy.zeros_like(arrays[0])
            self.loops(ones, [reached, *arrays[1:]], arguments, examples)
        self.loops(kernel, arrays, arguments, examples)
        if len(kernel.literals) > 2:
            own = slice(*examples) if examples is not None else slice(None)
            arrays[0][own] = numpy.where(reached[own] == 1, arrays[0][own], 0)

    def contraction(self, split, arrays, arguments, examples):
        assert bool(split) == (examples is not None)
        a, b, y = (array.reshape(-1) for array in arrays)
        m, n, k, row_a, column_a, row_b, column_b, row_y, accumulate, *rest = arguments
        offset_a, offset_b, offset_y, *flat = rest
        levels = [flat[4 * j : 4 * j + 4] for j in range(4)]
        i, j, inner = (numpy.arange(extent) for extent in (m, n, k))
        if split == 1:
            i = numpy.arange(*examples)
        seen = set()
        ranges = [range(level[0]) for level in levels]
        if split == 3:
            ranges[0] = range(*examples)
        for point in itertools.product(*ranges):
            start = [
                offset + sum(p * level[1 + t] for p, level in zip(point, levels, strict=True))
                for t, offset in enumerate((offset_a, offset_b, offset_y))
            ]
            left = a[start[0] + i[:, None] * row_a + inner[None, :] * column_a]
            right = b[start[1] + inner[:, None] * row_b + j[None, :] * column_b]
            where = start[2] + i[:, None] * row_y + j[None, :]
            add = accumulate or start[2] in seen
            seen.add(start[2])
            y[where] = left @ right + (y[where] if add else 0.0)

    def convolution(self, kernel, arrays, arguments, examples):
        x, w, y = arrays
        if examples is not None:
            x, y, arguments = x[slice(*examples)], y[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, _, _, height, width, *_ = arguments
        groups = arguments[13]
        assert k == kernel.literals[1]
        result = y.reshape(n, groups, k, rows, columns)
        result[...] = 0
        w = w.reshape(groups, channels + 1, height, width, k)
        for c, r, s, seen in self.seen(kernel, x, arguments):
            result += seen[:, :, None] * w[:, c, r, s, :, None, None]

    convolution_of_maps = convolution

    def convolution_of_runs(self, kernel, arrays, arguments, examples):
        x, w, y = arrays
        if examples is not None:
            x, y, arguments = x[slice(*examples)], y[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, height, width, *window, top, left, piece = arguments
        filter_rows, size, step, stride, spread, _, groups = window
        pieces, last = -(-rows // piece), (filter_rows - 1) * spread
        assert piece == -(-rows // pieces)  # as even as they can be
        copied = channels * size * min(step, last + 1) * (piece + last // step) * columns
        assert kernel.literals == (size, k, stride, copied, channels * filter_rows * size, piece * columns)
        result = y.reshape(n, groups, k, rows, columns)
        result[...] = 0
        w = w.reshape(groups, channels + 1, filter_rows, size, k)
        for c, r, s, seen in self.unframed(x, [n, channels, k, rows, columns, height, width, *window, top, left]):
            result += seen[:, :, None] * w[:, c, r, s, :, None, None]

    def convolution_filters_by_tiles(self, kernel, arrays, arguments, examples):
        w, u = arrays
        assert examples is None
        channels, maps = arguments
        _, size = kernel.literals
        turn = transforms(size, 3)[1]
        w = w.reshape(channels + 1, 3, 3, maps)[:channels]
        u[...] = 0
        u[:, :, :channels, :maps] = numpy.einsum("ea,cabk,fb->efck", turn, w, turn)

    def convolution_by_tiles(self, kernel, arrays, arguments, examples):
        x, u, y = arrays
        if examples is not None:
            x, y, arguments = x[slice(*examples)], y[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, height, pitch, *window = arguments
        *known, size = kernel.literals
        assert known == [columns, k]
        assert window == [3, 3, 1, 1, 1, 1, 1]
        turn, _, back = transforms(size, 3)
        x, y = x.reshape(n, channels, height * pitch), y.reshape(n, k, rows, columns)
        one = numpy.arange(size + 2)[:, None] * pitch + numpy.arange(size + 2)
        for i, j in itertools.product(range(0, rows, size), range(0, columns, size)):
            seen = numpy.einsum("ea,ncab,fb->ncef", turn, x[..., i * pitch + j + one], turn)
            products = numpy.einsum("ncef,efck->nkef", seen, u[:, :, :channels, :k])
            some = y[..., i : i + size, j : j + size]
            some[...] = numpy.einsum("ae,nkef,bf->nkab", back, products, back)[..., : some.shape[2], : some.shape[3]]

    def correlation_by_tiles(self, kernel, arrays, arguments, examples):
        x, t, d = arrays
        if examples is not None:
            x, t, arguments = x[slice(*examples)], t[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, height, pitch, *window, _, _, _ = arguments
        *known, size = kernel.literals
        assert known == [columns, k, channels]
        assert window == [3, 3, 1, 1, 1, 1, 1]
        assert rows % size == columns % size == 0
        turn, mix, _ = transforms(3, size)
        x, t = x.reshape(n, channels, height * pitch), self.placed(t, n, k, arguments)
        one = numpy.arange(size + 2)[:, None] * pitch + numpy.arange(size + 2)
        found = numpy.zeros((size + 2, size + 2, channels, k))
        for i, j in itertools.product(range(0, rows, size), range(0, columns, size)):
            seen = numpy.einsum("ea,ncab,fb->ncef", turn, x[..., i * pitch + j + one], turn)
            mixed = numpy.einsum("ea,nkab,fb->nkef", mix, t[..., i : i + size, j : j + size], mix)
            found += numpy.einsum("ncef,nkef->efck", seen, mixed)
        if examples is None:
            d[...] = 0
        d[..., :k] += found

    def correlation_filters_by_tiles(self, kernel, arrays, arguments, examples):
        d, w = arrays
        assert examples is None
        _, maps = arguments
        three = transforms(3, *kernel.literals)[2]
        found = numpy.einsum("ae,efck,bf->cabk", three, d[..., :maps], three)
        w[...] = found.reshape(w.shape)

    def convolution_of_phases(self, kernel, arrays, arguments, examples):
        x, w, y = arrays
        if examples is not None:
            x, y, arguments = x[slice(*examples)], y[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, height, pitch, filter_rows, size, *rest = arguments
        step, stride, spread, dilation, groups, top, left = rest
        assert kernel.literals == (columns // stride, k, filter_rows * size, step, stride)
        above, before = (filter_rows - 1) * spread // step, (size - 1) * dilation // stride
        x = x.reshape(n, groups, channels, height, pitch)
        w = w.reshape(groups, channels + 1, filter_rows, size, k)[:, :channels]
        result = y.reshape(n, groups, k, rows, columns)
        result[...] = 0
        for i, j, r, s in itertools.product(range(rows), range(columns), range(filter_rows), range(size)):
            u, v = i + top - r * spread, j + left - s * dilation
            if u % step == v % stride == 0:
                seen = x[..., above + u // step, before + v // stride]
                result[..., i, j] += numpy.einsum("ngc,gck->ngk", seen, w[:, :, r, s])

    def correlation(self, kernel, arrays, arguments, examples):
        x, t, w = arrays
        if examples is not None:
            x, t, arguments = x[slice(*examples)], t[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, _, pitch, *_, groups, area, first, line = arguments
        assert kernel.literals[0] in (0, channels * arguments[7] * arguments[8])
        assert w.size == 0 or n == len(t)
        assert line == pitch
        maps = t.reshape(n, groups, k, area)[..., first:]
        positions = (rows - 1) * pitch + columns
        flat = numpy.zeros((n, groups, k, rows * pitch))
        flat[..., :positions] = maps[..., :positions]
        flat = flat.reshape(n, groups, k, rows, pitch)
        # the columns between two rows count too: they must hold zeros
        assert not flat[..., columns:].any()
        w = w.reshape(groups, k, channels, *arguments[7:9])
        for c, r, s, seen in self.seen(kernel, x, arguments):
            found = numpy.einsum("ngij,ngkij->gk", seen, flat[..., :columns])
            w[:, :, c, r, s] = found if examples is None else w[:, :, c, r, s] + found

    def correlation_of_maps(self, kernel, arrays, arguments, examples):
        x, t, w = arrays
        if examples is not None:
            x, t, arguments = x[slice(*examples)], t[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, _, _, height, width, *_ = arguments
        groups = arguments[13]
        t = self.placed(t, n, groups * k, arguments).reshape(n, groups, k, rows, columns)
        w = w.reshape(groups, channels, height, width, k)
        for c, r, s, seen in self.seen(kernel, x, arguments):
            found = numpy.einsum("ngij,ngkij->gk", seen, t)
            w[:, c, r, s] = found if examples is None else w[:, c, r, s] + found

    def correlation_of_runs(self, kernel, arrays, arguments, examples):
        x, t, w = arrays
        if examples is not None:
            x, t, arguments = x[slice(*examples)], t[slice(*examples)], [examples[1] - examples[0], *arguments[1:]]
        n, channels, k, rows, columns, height, width, *window, area, first, pitch, top, left = arguments
        filter_rows, size, step, stride, spread, _, groups = window
        *known, most = kernel.literals
        assert known == [size, k, stride, channels * filter_rows * size]
        last = (filter_rows - 1) * spread
        assert channels * size * min(step, last + 1) * (1 + last // step) * 2 * columns <= most
        t = t.reshape(n, groups, k, area)[..., first:][..., : (rows - 1) * pitch + columns]
        place = numpy.arange(rows)[:, None] * pitch + numpy.arange(columns)
        w = w.reshape(groups, k, channels, filter_rows, size)
        for c, r, s, seen in self.unframed(x, [n, channels, k, rows, columns, height, width, *window, top, left]):
            found = numpy.einsum("ngij,ngkij->gk", seen, t[..., place])
            w[:, :, c, r, s] = found if examples is None else w[:, :, c, r, s] + found

    @staticmethod
    def unframed(x, arguments):
        """What every filter element meets in an image without a frame, as `seen`."""
        n, channels, _, rows, columns, height, width, filter_rows, size, *rest = arguments
        step, stride, spread, dilation, groups, top, left = rest
        x = x.reshape(n, groups, channels, height, width)
        for c, r, s in itertools.product(range(channels), range(filter_rows), range(size)):
            i = numpy.arange(rows)[:, None] * step + r * spread - top
            j = numpy.arange(columns) * stride + s * dilation - left
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            found = x[:, :, c, i.clip(0, height - 1), j.clip(0, width - 1)]
            yield c, r, s, numpy.where(inside, found, 0.0)

    @staticmethod
    def placed(t, n, maps, arguments):
        """The gradient of a result from where it lies: (N, maps, rows, columns)."""
        rows, columns = arguments[3:5]
        plane, first, pitch = arguments[-3:]
        return t.reshape(n, maps, plane)[..., first + numpy.arange(rows)[:, None] * pitch + numpy.arange(columns)]

    @staticmethod
    def seen(kernel, x, arguments):
        """What every filter element meets: (c, r, s, (N, groups, rows, columns))."""
        n, channels, _, rows, columns, height, pitch, filter_rows, size, *rest = arguments
        step, stride, spread, dilation, groups, *_ = rest
        if kernel.kind == "convolution":
            assert kernel.literals[0] == (step == stride == 1)
        assert x.size == n * groups * channels * step * stride * height * pitch
        phases = x.reshape(n, groups, channels, step, stride, height * pitch)
        position = numpy.arange(rows)[:, None] * pitch + numpy.arange(columns)
        for c, r, s in itertools.product(range(channels), range(filter_rows), range(size)):
            i, j = r * spread, s * dilation
            start = i // step * pitch + j // stride
            yield c, r, s, phases[:, :, c, i % step, j % stride][..., start + position]
