# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""Vectors in generated kernels: Numba types over LLVM vectors, and register tiles of them.

A vector is one register (``<16 x float>`` with AVX-512), a tile an array of accumulators that LLVM keeps in as many
registers through all loops. One operation on a tile is a few loads and all their products: a kernel that uses it
stays a short text, which compiles in little time. LLVM splits vectors wider than the machine's registers: any
number of lanes computes the same, only more slowly.

Only generated modules import this file; its text is part of every kernel's hash (`graphc.kernels.cpu.cache`).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.datamodel.registry import register_default
from numba.extending import intrinsic

__all__ = ["Tile", "between", "tile"]

_INDEX = ir.IntType(32)


class Accumulators(types.Type):
    """``count`` vectors of ``lanes`` floats."""

    def __init__(self, dtype: Any, lanes: int, count: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        self.count = count
        super().__init__(name=f"accumulators({dtype}, {lanes}, {count})")


class Mask(types.Type):
    """One truth value for each of ``lanes`` lanes."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"mask({lanes})")


@register_default(Accumulators)
class _AccumulatorsModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.ArrayType(ir.VectorType(element, kind.lanes), kind.count))


@register_default(Mask)
class _MaskModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.lanes))


# ---- what the operations are made of -----------------------------------------------------------------


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    """A scalar in every lane."""
    nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, lanes), None))


def _named(builder: Any, name: str, kind: Any, result: Any, arguments: list[Any]) -> Any:
    """Call an LLVM intrinsic on vectors; llvmlite's own declarations know scalars only."""
    suffix = f"v{kind.count}{'f32' if isinstance(kind.element, ir.FloatType) else 'f64'}"
    function = ir.FunctionType(result, [value.type for value in arguments])
    declared = cgutils.get_or_insert_function(builder.module, function, name.format(suffix))
    return builder.call(declared, arguments)


def _load(builder: Any, kind: Any, base: Any, offset: Any, mask: Any = None) -> Any:
    """A vector from memory; where a mask is false nothing is read and the lane is 0."""
    address = builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())
    if mask is None:
        return builder.load(address, align=_bytes(kind))
    values = [address, ir.Constant(_INDEX, _bytes(kind)), mask, ir.Constant(kind, None)]
    return _named(builder, "llvm.masked.load.{}.p0", kind, kind, values)


def _bytes(kind: Any) -> int:
    return 4 if isinstance(kind.element, ir.FloatType) else 8


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""
    return _named(builder, "llvm.fma.{}", a.type, a.type, [a, b, c])


def _total(builder: Any, value: Any) -> Any:
    """The sum of the lanes, added pairwise."""
    lanes = value.type.count
    nothing = ir.Constant(value.type, ir.Undefined)
    half = lanes // 2
    while half:
        order = [lane + half if lane < half else lane for lane in range(lanes)]
        moved = builder.shuffle_vector(value, nothing, ir.Constant(ir.VectorType(_INDEX, lanes), order))
        value = builder.fadd(value, moved)
        half //= 2
    return builder.extract_element(value, ir.Constant(_INDEX, 0))


def _plus(builder: Any, value: Any, number: int) -> Any:
    return builder.add(value, ir.Constant(value.type, number)) if number else value


def between(lanes: int) -> Any:
    """Return ``f(low, high)``: a mask that is true for the lanes ``low <= lane < high``."""

    @intrinsic
    def function(typingctx: Any, low: Any, high: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lane = ir.Constant(ir.VectorType(_INDEX, lanes), list(range(lanes)))
            limit, none = ir.Constant(ir.IntType(64), lanes), ir.Constant(ir.IntType(64), 0)
            ends = []
            for value in arguments:
                value = builder.select(builder.icmp_signed("<", value, limit), value, limit)
                value = builder.select(builder.icmp_signed(">", value, none), value, none)
                # 32 bits: one lane of numbers for each float
                ends.append(_splat(builder, builder.trunc(value, _INDEX), lanes))
            above = builder.icmp_signed(">=", lane, ends[0])
            return builder.and_(above, builder.icmp_signed("<", lane, ends[1]))

        return Mask(lanes)(types.int64, types.int64), codegen

    return function


class Tile:
    """Operations on ``rows`` x ``columns`` accumulators of ``lanes`` floats; offsets are elements.

    ``zero()`` returns a tile of zeros.

    ``broadcast(tile, x, at, w, weights)`` adds ``x[at + row*lanes + lane] * w[weights + column]`` to accumulator
    (row, column); ``broadcast_masked(tile, x, at, mask, w, weights)`` reads ``x`` where the mask is true.

    ``store[row](tile, y, at, step, count, mask)`` writes the accumulators of a row to ``y[at + column*step + lane]``,
    the first ``count`` columns where the mask is true.

    ``correlate(tile, x, xs, t, ts)`` adds ``x[xs[row] + lane] * t[ts[column] + lane]``; ``correlate_masked(tile, x, xs,
    t, ts, mask)`` where the mask is true.

    ``total(tile, y, at, step, count, rows, more)`` writes the sum of the lanes to ``y[at + column*step + row]``, the
    first ``rows`` rows of the first ``count`` columns; with ``more`` it adds to what is there.
    """

    def __init__(self, dtype: str, lanes: int, rows: int, columns: int) -> None:
        element = {"float32": types.float32, "float64": types.float64}[dtype]
        self.lanes, self.rows, self.columns = lanes, rows, columns
        self.pointer = types.CPointer(element)
        self.mask = Mask(lanes)
        self.type = Accumulators(element, lanes, rows * columns)
        self.zero = self._zero()
        self.broadcast, self.broadcast_masked = self._broadcast(False), self._broadcast(True)
        self.correlate, self.correlate_masked = self._correlate(False), self._correlate(True)
        self.store = [self._store(row) for row in range(rows)]
        self.total = self._total()

    def _zero(self) -> Any:
        kind = self.type

        @intrinsic
        def zero(typingctx: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                return ir.Constant(context.get_value_type(kind), None)

            return kind(), codegen

        return zero

    def _broadcast(self, masked: bool) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            mask = arguments[3] if masked else None
            tile, x, at, w, weights = arguments[:3] + arguments[3 + masked :]
            kind = tile.type.element
            left = [_load(builder, kind, x, _plus(builder, at, r * self.lanes), mask) for r in range(self.rows)]
            for column in range(self.columns):
                weight = builder.load(builder.gep(w, [_plus(builder, weights, column)]))
                right = _splat(builder, weight, self.lanes)
                for row in range(self.rows):
                    number = row * self.columns + column
                    value = _multiply_add(builder, left[row], right, builder.extract_value(tile, number))
                    tile = builder.insert_value(tile, value, number)
            return tile

        kind, pointer, i64 = self.type, self.pointer, types.int64
        if masked:

            @intrinsic
            def broadcast_masked(typingctx: Any, tile: Any, x: Any, at: Any, mask: Any, w: Any, weights: Any) -> Any:
                return kind(kind, pointer, i64, self.mask, pointer, i64), codegen

            return broadcast_masked

        @intrinsic
        def broadcast(typingctx: Any, tile: Any, x: Any, at: Any, w: Any, weights: Any) -> Any:
            return kind(kind, pointer, i64, pointer, i64), codegen

        return broadcast

    def _correlate(self, masked: bool) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tile, x, xs, t, ts = arguments[:5]
            mask = arguments[5] if masked else None
            kind = tile.type.element
            left = [_load(builder, kind, x, builder.extract_value(xs, row), mask) for row in range(self.rows)]
            for column in range(self.columns):
                right = _load(builder, kind, t, builder.extract_value(ts, column), mask)
                for row in range(self.rows):
                    number = row * self.columns + column
                    value = _multiply_add(builder, left[row], right, builder.extract_value(tile, number))
                    tile = builder.insert_value(tile, value, number)
            return tile

        kind, pointer = self.type, self.pointer
        offsets = [types.UniTuple(types.int64, count) for count in (self.rows, self.columns)]
        if masked:

            @intrinsic
            def correlate_masked(typingctx: Any, tile: Any, x: Any, xs: Any, t: Any, ts: Any, mask: Any) -> Any:
                return kind(kind, pointer, offsets[0], pointer, offsets[1], self.mask), codegen

            return correlate_masked

        @intrinsic
        def correlate(typingctx: Any, tile: Any, x: Any, xs: Any, t: Any, ts: Any) -> Any:
            return kind(kind, pointer, offsets[0], pointer, offsets[1]), codegen

        return correlate

    def _store(self, row: int) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tile, y, at, step, count, mask = arguments
            kind = tile.type.element
            for column in range(self.columns):
                with builder.if_then(builder.icmp_signed(">", count, ir.Constant(count.type, column))):
                    place = builder.add(at, builder.mul(step, ir.Constant(step.type, column)))
                    address = builder.bitcast(builder.gep(y, [place]), kind.as_pointer())
                    value = builder.extract_value(tile, row * self.columns + column)
                    align = ir.Constant(_INDEX, _bytes(kind))
                    _named(builder, "llvm.masked.store.{}.p0", kind, ir.VoidType(), [value, address, align, mask])
            return context.get_dummy_value()

        i64 = types.int64

        @intrinsic
        def store(typingctx: Any, tile: Any, y: Any, at: Any, step: Any, count: Any, mask: Any) -> Any:
            return types.none(self.type, self.pointer, i64, i64, i64, self.mask), codegen

        return store

    def _total(self) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tile, y, at, step, count, rows, more = arguments
            for column in range(self.columns):
                for row in range(self.rows):
                    inside = builder.and_(
                        builder.icmp_signed(">", count, ir.Constant(count.type, column)),
                        builder.icmp_signed(">", rows, ir.Constant(rows.type, row)),
                    )
                    with builder.if_then(inside):
                        place = builder.add(at, builder.mul(step, ir.Constant(step.type, column)))
                        address = builder.gep(y, [_plus(builder, place, row)])
                        value = _total(builder, builder.extract_value(tile, row * self.columns + column))
                        with builder.if_else(more) as (then, otherwise):
                            with then:
                                builder.store(builder.fadd(builder.load(address), value), address)
                            with otherwise:
                                builder.store(value, address)
            return context.get_dummy_value()

        i64 = types.int64

        @intrinsic
        def total(typingctx: Any, tile: Any, y: Any, at: Any, step: Any, count: Any, rows: Any, more: Any) -> Any:
            return types.none(self.type, self.pointer, i64, i64, i64, i64, types.boolean), codegen

        return total


def tile(dtype: str, lanes: int, rows: int, columns: int) -> Tile:
    """Return the operations on a register tile; ``lanes`` is a power of two."""
    return Tile(dtype, lanes, rows, columns)
