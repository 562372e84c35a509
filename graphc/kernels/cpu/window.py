# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""What a window sees times vectors of maps: the inner loops of a convolution and of its filter's gradient.

Only generated modules import this file; its text is part of every kernel's hash (`graphc.kernels.cpu.cache`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from graphc.kernels.cpu.vector import (
    Product,
    _load,
    _Loop,
    _multiply_add,
    _routine,
    _splat,
    _store_vector,
    _whole,
)

__all__ = ["PhaseProduct", "WindowProduct", "WindowSum", "phase_product", "window_product", "window_sum"]


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


def phase_product(dtype: str, lanes: int, positions: int, vectors: int) -> Any:
    """Return the sums on one register tile (`PhaseProduct`)."""
    return PhaseProduct(dtype, lanes, positions, vectors).call()


def window_product(dtype: str, lanes: int, positions: int, vectors: int) -> Any:
    """Return the sums on one register tile (`WindowProduct`)."""
    return WindowProduct(dtype, lanes, positions, vectors).call()


def window_sum(dtype: str, lanes: int, pointers: int, taps: int, vectors: int) -> Any:
    """Return the sums on one register tile (`WindowSum`)."""
    return WindowSum(dtype, lanes, pointers, taps, vectors).call()
