"""Runs a launch plan with NumPy in one real arena: judges planning without any kernel."""

from __future__ import annotations

import itertools

import numpy

from graphc.formula.size import extent_value
from graphc.formula.statement import NEUTRAL
from graphc.graph.reference import run_statement


class Interpreter:
    """Executes a `Plan` on float64 buffers that share memory exactly as the plan says."""

    def __init__(self, plan, leaves, values, sizes):
        self.plan, self.sizes = plan, sizes
        self.layout = plan.layout(sizes)
        # NaN everywhere: reading memory before it is written shows
        self.arena = numpy.full(self.layout.total // 8 + 8, numpy.nan)
        self.owned = {}
        for number, node in leaves.items():
            kind = "float64" if node.is_float else "int32"
            value = node.value if node.kind == "constant" else values[node.label]
            self.owned[number] = numpy.array(value, dtype=kind)

    def base(self, number):
        while self.plan.buffers[number].view_of is not None:
            number = self.plan.buffers[number].view_of
        return number

    def array(self, number):
        buffer, base = self.plan.buffers[number], self.base(number)
        shape = tuple(extent_value(extent, self.sizes) for extent in buffer.shape)
        if base in self.owned:
            return self.owned[base].reshape(shape)
        count = int(numpy.prod(shape))
        start = self.layout.offsets[base] // 8
        memory = self.arena[start : start + max(count, 1)]
        if buffer.dtype == "int32":
            memory = memory.view("int32")
        return memory[:count].reshape(shape)

    def run(self):
        for launch in self.plan.launches:
            kernel = self.plan.kernels[launch.kernel]
            arguments = [extent_value(extent, self.sizes) for extent in launch.arguments]
            arrays = [self.array(number) for number in launch.buffers]
            getattr(self, kernel.kind)(kernel, arrays, arguments)
        for leaf, value in self.plan.updates:
            self.owned[leaf][...] = self.array(value)

    def loops(self, kernel, arrays, arguments):
        statement = kernel.statement
        names = [f"{t}.{d}" for (t, _), a in zip(kernel.dtypes, arrays, strict=True) for d in range(a.ndim)]
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
        arrays[0][...] = tensors["t0"]

    def contraction(self, _, arrays, arguments):
        a, b, y = (array.reshape(-1) for array in arrays)
        m, n, k, row_a, column_a, row_b, column_b, row_y, accumulate, *rest = arguments
        offset_a, offset_b, offset_y, *flat = rest
        levels = [flat[4 * j : 4 * j + 4] for j in range(4)]
        i, j, inner = (numpy.arange(extent) for extent in (m, n, k))
        seen = set()
        for point in itertools.product(*(range(level[0]) for level in levels)):
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

    def convolution(self, kernel, arrays, arguments):
        x, w, y = arrays
        maps = kernel.literals[-1]
        n, _, k, rows, columns, *_ = arguments
        assert k == maps
        assert y.shape == (n, k, rows, columns)
        y[...] = 0
        for c, r, s, seen in self.seen(kernel, x, arguments):
            y += seen[:, None] * w[c, r, s][:, None, None]

    def correlation(self, kernel, arrays, arguments):
        x, t, w = arrays
        n, _, k, rows, columns, _, pitch, *_, area, first = arguments
        assert w.size == 0 or n == len(t)
        maps = t.reshape(n, k, area)[:, :, first:]
        positions = (rows - 1) * pitch + columns
        flat = numpy.zeros((n, k, rows * pitch))
        flat[:, :, :positions] = maps[:, :, :positions]
        # the columns between two rows count too: they must hold zeros
        assert not flat.reshape(n, k, rows, pitch)[..., columns:].any()
        for c, r, s, seen in self.seen(kernel, x, arguments):
            w[:, c, r, s] = numpy.einsum("nij,nkij->k", seen, flat.reshape(n, k, rows, pitch)[..., :columns])

    @staticmethod
    def seen(kernel, x, arguments):
        """What every filter element meets: (c, r, s, (N, rows, columns))."""
        n, channels, _, rows, columns, height, pitch, filter_rows, size, *rest = arguments
        step, stride, spread, dilation, *_ = rest
        assert not kernel.literals[0] or step == stride == 1
        assert x.size == n * channels * step * stride * height * pitch
        phases = x.reshape(n, channels, step, stride, height * pitch)
        position = numpy.arange(rows)[:, None] * pitch + numpy.arange(columns)
        for c, r, s in itertools.product(range(channels), range(filter_rows), range(size)):
            i, j = r * spread, s * dilation
            start = i // step * pitch + j // stride
            yield c, r, s, phases[:, c, i % step, j % stride][:, start + position]
