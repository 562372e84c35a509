# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""What a window sees: the inner loops of convolutions and of their filters' gradients.

Those of a *window* and of a *phase* are on vectors of maps, those of a *run* on vectors of positions.

Only generated modules import this file; its text is part of every kernel's hash (`graphc.kernels.cpu.cache`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from graphc.kernels.cpu.vector import (
    Product,
    _lane_sums,
    _lanes_below,
    _load,
    _Loop,
    _multiply_add,
    _plus,
    _routine,
    _shuffled,
    _splat,
    _store_or_add,
    _store_vector,
    _whole,
)

__all__ = [
    "PhaseProduct", "RunCopy", "RunProduct", "RunSum", "RunTotal", "WindowProduct", "WindowSum", "phase_product",
    "run_copy", "run_product", "run_sum", "run_total", "window_product", "window_sum",
]  # fmt: skip


class WindowSum(Product):
    """``pointers * taps`` x ``vectors`` sums in registers.

    ``sum(t, pitch, rows, columns, x, row_step, step, offsets, y, row_y, count, maps)`` adds to ``y[e*row_y + k]``, for
    ``e = taps*g + s < count`` and ``k < maps``, the products ``x[i*row_step + j*step + offsets[g] + s] *
    t[(i*columns + j)*pitch + k]`` over ``i < rows`` and ``j < columns``. Addresses are whole numbers (bytes), strides
    elements, ``offsets`` the address of ``pointers`` int64. It reads whole vectors of ``t``.
    """

    def __init__(self, dtype: str, lanes: int, pointers: int, taps: int, vectors: int) -> None:
        super().__init__(dtype, lanes, pointers * taps, vectors, clamped=False, masked=False)
        self.pointers, self.taps = pointers, taps
        self.name = f"window_{dtype}_{lanes}_{pointers}_{taps}_{vectors}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def window_sum(
            typingctx: Any,
            t: Any,
            pitch: Any,
            rows: Any,
            columns: Any,
            x: Any,
            row_step: Any,
            step: Any,
            offsets: Any,
            y: Any,
            row_y: Any,
            count: Any,
            maps: Any,
        ) -> Any:
            return types.none(*[types.int64] * 12), codegen

        return window_sum

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        t, pitch, rows, columns, x, row_step, step, offsets, y, row_y, count, maps = arguments
        pointer = self.element.as_pointer()
        t, x, y = (builder.inttoptr(address, pointer) for address in (t, x, y))
        offsets = builder.inttoptr(offsets, ir.IntType(64).as_pointer())
        starts = [builder.gep(x, [builder.load(builder.gep(offsets, [_whole(g)]))]) for g in range(self.pointers)]
        zeros = [ir.Constant(self.vector, None)] * (self.rows * self.columns)
        outer = _Loop(builder, rows, 1, [t, *starts, *zeros])
        at_t, *rest = outer.values
        begins, held = rest[: self.pointers], rest[self.pointers :]
        inner = _Loop(builder, columns, 1, [at_t, *begins, *held])
        at, *rest = inner.values
        places, held = rest[: self.pointers], rest[self.pointers :]
        right = [_load(builder, self.vector, at, _whole(v * self.lanes)) for v in range(self.columns)]
        for g in range(self.pointers):
            for s in range(self.taps):
                seen = builder.load(builder.gep(places[g], [_whole(s)]))
                left = _splat(builder, seen, self.lanes)
                for v in range(self.columns):
                    number = (g * self.taps + s) * self.columns + v
                    held[number] = _multiply_add(builder, left, right[v], held[number])
        following = [builder.gep(place, [step]) for place in places]
        at_t, *rest = inner.close([builder.gep(at, [pitch]), *following, *held])
        held = rest[self.pointers :]
        begins = [builder.gep(begin, [row_step]) for begin in begins]
        _, *rest = outer.close([at_t, *begins, *held])
        held = rest[self.pointers :]
        out = y, row_y, ir.Constant(ir.IntType(1), 1)
        whole = builder.and_(
            builder.icmp_signed(">=", count, _whole(self.rows)),
            builder.icmp_signed(">=", maps, _whole(self.columns * self.lanes)),
        )
        with builder.if_else(whole) as (all_of_it, part_of_it):
            with all_of_it:
                self._write(builder, held, *out)
            with part_of_it:
                self._write_part(builder, held, *out, count, self._masks(builder, maps))


class WindowProduct(Product):
    """``positions`` x ``vectors`` sums in registers.

    ``product(x, channels, channel, taps, offsets, w, row_w, y)`` writes to ``y[p*vectors*lanes + k]`` the sums over
    ``c < channels`` and ``t < taps`` of ``x[c*channel + offsets[t] + p] * w[(c*taps + t)*row_w + k]``. Addresses are
    whole numbers (bytes), strides elements, ``offsets`` the address of ``taps`` int64. Vectors of ``w`` and ``y`` are
    whole.
    """

    def __init__(self, dtype: str, lanes: int, positions: int, vectors: int) -> None:
        super().__init__(dtype, lanes, positions, vectors, clamped=False, masked=False)
        self.name = f"convolution_{dtype}_{lanes}_{positions}_{vectors}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def window_product(
            typingctx: Any, x: Any, channels: Any, channel: Any, taps: Any, offsets: Any, w: Any, row_w: Any, y: Any
        ) -> Any:
            return types.none(*[types.int64] * 8), codegen

        return window_product

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        x, channels, channel, taps, offsets, w, row_w, y = arguments
        pointer = self.element.as_pointer()
        x, w, y = (builder.inttoptr(address, pointer) for address in (x, w, y))
        offsets = builder.inttoptr(offsets, ir.IntType(64).as_pointer())
        zeros = [ir.Constant(self.vector, None)] * (self.rows * self.columns)
        outer = _Loop(builder, channels, 1, [x, w, *zeros])
        at_x, at_w, *held = outer.values
        inner = _Loop(builder, taps, 1, [at_w, *held])
        at, *held = inner.values
        seen = builder.gep(at_x, [builder.load(builder.gep(offsets, [inner.counter]))])
        right = [_load(builder, self.vector, at, _whole(v * self.lanes)) for v in range(self.columns)]
        for p in range(self.rows):
            left = _splat(builder, builder.load(builder.gep(seen, [_whole(p)])), self.lanes)
            for v in range(self.columns):
                number = p * self.columns + v
                held[number] = _multiply_add(builder, left, right[v], held[number])
        at_w, *held = inner.close([builder.gep(at, [row_w]), *held])
        _, _, *held = outer.close([builder.gep(at_x, [channel]), at_w, *held])
        for number, value in enumerate(held):
            _store_vector(builder, value, y, _whole(number * self.lanes))


class PhaseProduct(Product):
    """``positions`` x ``vectors`` sums in registers, over a list of filter elements.

    ``product(x, channels, channel, elements, w, step_w, y, row_y)`` writes to ``y[p*row_y + k]`` the sums over ``c <
    channels`` and the elements of ``x[c*channel + at + p] * w[c*step_w + weights + k]``. Addresses are whole numbers
    (bytes), strides elements, ``elements`` the address of int64: how many elements, then ``at`` and ``weights`` of
    each. Vectors of ``w`` and ``y`` are whole.
    """

    def __init__(self, dtype: str, lanes: int, positions: int, vectors: int) -> None:
        super().__init__(dtype, lanes, positions, vectors, clamped=False, masked=False)
        self.name = f"phase_{dtype}_{lanes}_{positions}_{vectors}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def phase_product(
            typingctx: Any, x: Any, channels: Any, channel: Any, elements: Any, w: Any, step_w: Any, y: Any, row_y: Any
        ) -> Any:
            return types.none(*[types.int64] * 8), codegen

        return phase_product

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        x, channels, channel, elements, w, step_w, y, row_y = arguments
        pointer = self.element.as_pointer()
        x, w, y = (builder.inttoptr(address, pointer) for address in (x, w, y))
        elements = builder.inttoptr(elements, ir.IntType(64).as_pointer())
        count = builder.load(elements)
        zeros = [ir.Constant(self.vector, None)] * (self.rows * self.columns)
        outer = _Loop(builder, channels, 1, [x, w, *zeros])
        at_x, at_w, *held = outer.values
        inner = _Loop(builder, count, 1, [builder.gep(elements, [_whole(1)]), *held])
        pair, *held = inner.values
        seen = builder.gep(at_x, [builder.load(pair)])
        weights = builder.gep(at_w, [builder.load(builder.gep(pair, [_whole(1)]))])
        right = [_load(builder, self.vector, weights, _whole(v * self.lanes)) for v in range(self.columns)]
        for p in range(self.rows):
            left = _splat(builder, builder.load(builder.gep(seen, [_whole(p)])), self.lanes)
            for v in range(self.columns):
                number = p * self.columns + v
                held[number] = _multiply_add(builder, left, right[v], held[number])
        _, *held = inner.close([builder.gep(pair, [_whole(2)]), *held])
        _, _, *held = outer.close([builder.gep(at_x, [channel]), builder.gep(at_w, [step_w]), *held])
        for p in range(self.rows):
            for v in range(self.columns):
                _store_vector(builder, held[p * self.columns + v], y, _whole(v * self.lanes))
            y = builder.gep(y, [row_y])


class RunProduct(Product):
    """``vectors`` x ``maps`` sums in registers, on vectors of positions that follow each other.

    ``product(x, taps, offsets, w, row_w, y, row_y)`` writes to ``y[k*row_y + p]`` the sums over ``t < taps`` of
    ``x[offsets[t] + p] * w[t*row_w + k]``, for ``k < maps`` and ``p < vectors*lanes``. Addresses are whole numbers
    (bytes), strides elements, ``offsets`` the address of ``taps`` int64.
    """

    def __init__(self, dtype: str, lanes: int, vectors: int, maps: int) -> None:
        super().__init__(dtype, lanes, vectors, maps, clamped=False, masked=False)
        self.name = f"run_product_{dtype}_{lanes}_{vectors}_{maps}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def run_product(typingctx: Any, x: Any, taps: Any, offsets: Any, w: Any, row_w: Any, y: Any, row_y: Any) -> Any:
            return types.none(*[types.int64] * 7), codegen

        return run_product

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        x, taps, offsets, w, row_w, y, row_y = arguments
        pointer = self.element.as_pointer()
        x, w, y = (builder.inttoptr(address, pointer) for address in (x, w, y))
        offsets = builder.inttoptr(offsets, ir.IntType(64).as_pointer())
        zeros = [ir.Constant(self.vector, None)] * (self.rows * self.columns)
        loop = _Loop(builder, taps, 1, [w, *zeros])
        at, *held = loop.values
        seen = builder.gep(x, [builder.load(builder.gep(offsets, [loop.counter]))])
        left = [_load(builder, self.vector, seen, _whole(v * self.lanes)) for v in range(self.rows)]
        for k in range(self.columns):
            right = _splat(builder, builder.load(builder.gep(at, [_whole(k)])), self.lanes)
            for v in range(self.rows):
                number = k * self.rows + v
                held[number] = _multiply_add(builder, left[v], right, held[number])
        _, *held = loop.close([builder.gep(at, [row_w]), *held])
        for k in range(self.columns):
            for v in range(self.rows):
                _store_vector(builder, held[k * self.rows + v], y, _whole(v * self.lanes))
            y = builder.gep(y, [row_y])


class RunSum(Product):
    """``taps`` x ``maps`` vectors of sums in registers, each lane those of its own positions.

    ``sums(x, offsets, t, row_t, positions, held, row)`` adds ``x[offsets[e] + p] * t[k*row_t + p]`` to lane ``p %
    lanes`` of the vector ``held[k*row + e]``, for ``e < taps``, ``k < maps`` and ``p < positions``. Addresses are whole
    numbers (bytes), ``row_t`` is elements, ``row`` vectors, ``offsets`` the address of ``taps`` int64.
    """

    def __init__(self, dtype: str, lanes: int, taps: int, maps: int) -> None:
        super().__init__(dtype, lanes, taps, maps, clamped=False, masked=False)
        self.name = f"run_sum_{dtype}_{lanes}_{taps}_{maps}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def run_sum(
            typingctx: Any, x: Any, offsets: Any, t: Any, row_t: Any, positions: Any, held: Any, row: Any
        ) -> Any:
            return types.none(*[types.int64] * 7), codegen

        return run_sum

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        x, offsets, t, row_t, positions, held, row = arguments
        pointer = self.element.as_pointer()
        x, t, held = (builder.inttoptr(address, pointer) for address in (x, t, held))
        offsets = builder.inttoptr(offsets, ir.IntType(64).as_pointer())
        taps = [builder.gep(x, [builder.load(builder.gep(offsets, [_whole(e)]))]) for e in range(self.rows)]
        maps = [builder.gep(t, [builder.mul(row_t, _whole(k))]) for k in range(self.columns)]
        places = []
        for number in range(self.rows * self.columns):
            vector = _plus(builder, builder.mul(row, _whole(number // self.rows)), number % self.rows)
            places.append(builder.mul(vector, _whole(self.lanes)))
        sums = [_load(builder, self.vector, held, place) for place in places]
        rest = builder.srem(positions, _whole(self.lanes))
        whole = builder.sub(positions, rest)
        loop = _Loop(builder, whole, self.lanes, sums)
        sums = loop.close(self._step(builder, taps, maps, loop.counter, list(loop.values)))
        last = _Loop(builder, rest, self.lanes, sums)
        mask = _lanes_below(builder, rest, self.lanes)
        sums = last.close(self._step(builder, taps, maps, whole, list(last.values), mask))
        for value, place in zip(sums, places, strict=True):
            _store_vector(builder, value, held, place)

    def _step(
        self, builder: Any, taps: list[Any], maps: list[Any], at: Any, sums: list[Any], mask: Any = None
    ) -> list[Any]:
        right = [_load(builder, self.vector, own, at, mask) for own in maps]
        for e, tap in enumerate(taps):
            left = _load(builder, self.vector, tap, at, mask)
            for k, value in enumerate(right):
                number = k * self.rows + e
                sums[number] = _multiply_add(builder, left, value, sums[number])
        return sums


class RunCopy(Product):
    """Copies of rows, each copy some columns further on than the one before; of every ``stride``-th column.

    ``copy(x, first, width, row_x, step, rows, to, row, plane, count)`` writes ``x[i*row_x + j]`` with ``j = first +
    s*step + stride*lane`` to ``to[s*plane + i*row + lane]``, and 0 where ``j`` is not in ``0 <= j < width``, for ``s <
    copies``, ``i < rows`` and ``lane < min(count, lanes)``. It reads no other columns and writes nothing else.
    """

    def __init__(self, dtype: str, lanes: int, copies: int, stride: int) -> None:
        super().__init__(dtype, lanes, copies, stride, clamped=False, masked=False)
        self.name = f"run_copy_{dtype}_{lanes}_{copies}_{stride}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def run_copy(
            typingctx: Any,
            x: Any,
            first: Any,
            width: Any,
            row_x: Any,
            step: Any,
            rows: Any,
            to: Any,
            row: Any,
            plane: Any,
            count: Any,
        ) -> Any:
            return types.none(*[types.int64] * 10), codegen

        return run_copy

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        x, first, width, row_x, step, rows, to, row, plane, count = arguments
        pointer = self.element.as_pointer()
        x, to = (builder.inttoptr(address, pointer) for address in (x, to))
        kept = _lanes_below(builder, count, self.lanes)
        copies = []
        for s in range(self.rows):
            start = builder.add(first, builder.mul(step, _whole(s)))
            read = []
            for v in range(self.columns):
                at = _plus(builder, start, v * self.lanes)
                before = _lanes_below(builder, builder.neg(at), self.lanes)
                inside = _lanes_below(builder, builder.sub(width, at), self.lanes)
                read.append((at, builder.and_(inside, builder.not_(before))))
            copies.append((read, builder.mul(plane, _whole(s))))
        loop = _Loop(builder, rows, 1, [x, to])
        x, to = loop.values
        for read, place in copies:
            value, *others = [_load(builder, self.vector, x, at, inside) for at, inside in read]
            if others:
                value = self._strided(builder, [value, *others])
            _store_vector(builder, value, to, place, kept)
        loop.close([builder.gep(x, [row_x]), builder.gep(to, [row])])

    def _strided(self, builder: Any, vectors: list[Any]) -> Any:
        """Every ``stride``-th element of vectors that follow each other."""
        places = [lane * self.columns for lane in range(self.lanes)]
        value = vectors[0]
        for number, vector in enumerate(vectors[1:], 1):
            # lanes are at their place from the second vector on
            first = places if number == 1 else list(range(self.lanes))
            order = []
            for lane, place in enumerate(places):
                here = place // self.lanes
                order.append(place - (number - 1) * self.lanes if here == number else first[lane] % self.lanes)
            value = _shuffled(builder, value, vector, order)
        return value


class RunTotal(Product):
    """``totals(held, count, y, more)`` writes the sum of the lanes of the vector ``held[e]`` to ``y[e]``.

    It does so for ``e < count``, and adds where ``more`` is not 0. It reads as many vectors at a time as they have
    lanes.
    """

    def __init__(self, dtype: str, lanes: int) -> None:
        super().__init__(dtype, lanes, lanes, 1, clamped=False, masked=False)
        self.name = f"run_total_{dtype}_{lanes}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def run_total(typingctx: Any, held: Any, count: Any, y: Any, more: Any) -> Any:
            return types.none(*[types.int64] * 4), codegen

        return run_total

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        held, count, y, add = arguments
        pointer = self.element.as_pointer()
        held, y = (builder.inttoptr(address, pointer) for address in (held, y))
        loop = _Loop(builder, count, self.lanes, [held, y])
        held, y = loop.values
        vectors = [_load(builder, self.vector, held, _whole(e * self.lanes)) for e in range(self.lanes)]
        mask = _lanes_below(builder, builder.sub(count, loop.counter), self.lanes)
        more = builder.icmp_signed("!=", add, _whole(0))
        _store_or_add(builder, [(_lane_sums(builder, vectors), _whole(0), mask)], y, more)
        loop.close([builder.gep(held, [_whole(self.lanes**2)]), builder.gep(y, [_whole(self.lanes)])])


def phase_product(dtype: str, lanes: int, positions: int, vectors: int) -> Any:
    """Return the sums on one register tile (`PhaseProduct`)."""
    return PhaseProduct(dtype, lanes, positions, vectors).call()


def run_copy(dtype: str, lanes: int, copies: int, stride: int) -> Any:
    """Return the copies of rows (`RunCopy`)."""
    return RunCopy(dtype, lanes, copies, stride).call()


def run_product(dtype: str, lanes: int, vectors: int, maps: int) -> Any:
    """Return the sums on one register tile (`RunProduct`)."""
    return RunProduct(dtype, lanes, vectors, maps).call()


def run_sum(dtype: str, lanes: int, taps: int, maps: int) -> Any:
    """Return the sums on one register tile (`RunSum`)."""
    return RunSum(dtype, lanes, taps, maps).call()


def run_total(dtype: str, lanes: int) -> Any:
    """Return the sums of lanes (`RunTotal`)."""
    return RunTotal(dtype, lanes).call()


def window_product(dtype: str, lanes: int, positions: int, vectors: int) -> Any:
    """Return the sums on one register tile (`WindowProduct`)."""
    return WindowProduct(dtype, lanes, positions, vectors).call()


def window_sum(dtype: str, lanes: int, pointers: int, taps: int, vectors: int) -> Any:
    """Return the sums on one register tile (`WindowSum`)."""
    return WindowSum(dtype, lanes, pointers, taps, vectors).call()
