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

__all__ = ["Packing", "Product", "Tile", "between", "packing", "product", "stack", "tile"]

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


# ---- matrix products ---------------------------------------------------------------------------------


def _routine(builder: Any, name: str, arguments: list[Any], build: Any) -> Any:
    """Call a function of this module that takes whole numbers and returns nothing; ``build`` writes it once.

    A function of its own keeps the register allocation of a tile apart from that of the loops around it.
    """
    whole = ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType(), [whole] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")
        function.attributes.add("nounwind")
        function.attributes.add("optsize")
        function.attributes.alignstack = 64  # vectors that registers have no room for lie in one line each
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        build(inner, list(function.args))
        inner.ret_void()
    return builder.call(function, arguments)


class _Loop:
    """``while counter < end`` with values carried from turn to turn; runs no turn where ``end`` is not above 0."""

    def __init__(self, builder: Any, end: Any, step: int, carried: list[Any]) -> None:
        self.builder, self.step = builder, ir.Constant(end.type, step)
        self.end = end
        before = builder.block
        self.body, self.after = builder.append_basic_block("turn"), builder.append_basic_block("done")
        zero = ir.Constant(end.type, 0)
        builder.cbranch(builder.icmp_signed(">", end, zero), self.body, self.after)
        builder.position_at_end(self.body)
        self.starts = [zero, *carried]
        self.phis = [builder.phi(value.type) for value in self.starts]
        for phi, value in zip(self.phis, self.starts, strict=True):
            phi.add_incoming(value, before)
        self.before = before
        self.counter, self.values = self.phis[0], self.phis[1:]

    def close(self, carried: list[Any]) -> list[Any]:
        """End the turn with new values; return the values behind the loop."""
        builder = self.builder
        following = builder.add(self.counter, self.step)
        turn = builder.block
        for phi, value in zip(self.phis, [following, *carried], strict=True):
            phi.add_incoming(value, turn)
        builder.cbranch(builder.icmp_signed("<", following, self.end), self.body, self.after)
        builder.position_at_end(self.after)
        results = []
        for start, value in zip(self.starts[1:], carried, strict=True):
            phi = builder.phi(value.type)
            phi.add_incoming(start, self.before)
            phi.add_incoming(value, turn)
            results.append(phi)
        return results


def _whole(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _lanes_below(builder: Any, count: Any, lanes: int) -> Any:
    """A mask that is true for the first ``count`` lanes."""
    lane = ir.Constant(ir.VectorType(_INDEX, lanes), list(range(lanes)))
    count = _smaller(builder, count, _whole(lanes))
    count = builder.select(builder.icmp_signed(">", count, _whole(0)), count, _whole(0))
    return builder.icmp_signed("<", lane, _splat(builder, builder.trunc(count, _INDEX), lanes))


def _store_vector(builder: Any, value: Any, base: Any, offset: Any, mask: Any = None) -> None:
    address = builder.bitcast(builder.gep(base, [offset]), value.type.as_pointer())
    if mask is None:
        builder.store(value, address, align=_bytes(value.type))
    else:
        align = ir.Constant(_INDEX, _bytes(value.type))
        _named(builder, "llvm.masked.store.{}.p0", value.type, ir.VoidType(), [value, address, align, mask])


def _store_or_add(builder: Any, places: list[tuple[Any, Any, Any]], y: Any, more: Any) -> None:
    """Write vectors, each at its offset in ``y`` under its mask, or add them where ``more`` is true.

    Memory is read only to be added to: a read behind a masked write of neighbours waits for it.
    """
    with builder.if_else(more) as (added, written):
        with added:
            for value, place, mask in places:
                held = _load(builder, value.type, y, place, mask)
                _store_vector(builder, builder.fadd(value, held), y, place, mask)
        with written:
            for value, place, mask in places:
                _store_vector(builder, value, y, place, mask)


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, len(order)), order))


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose as many vectors as they have lanes, by shuffles of one instruction each.

    First squares within 128 bits (unpack), then blocks of 128 bits: a pair of vectors gives its even and its odd
    blocks, and each half goes on alike.
    """
    lanes = len(rows)
    side = min(lanes, 16 // _bytes(rows[0].type))  # of the square within 128 bits

    def unpacked(a: Any, b: Any, run: int, half: int) -> Any:
        # runs of elements from one half of each 128 bits, alternately of a and of b
        order = []
        for start in range(0, lanes, side):
            for place in range(start + half * side // 2, start + (half + 1) * side // 2, run):
                order += [*range(place, place + run), *range(lanes + place, lanes + place + run)]
        return _shuffled(builder, a, b, order)

    squares = list(rows)
    if side == 2:
        for r in range(0, lanes, 2):
            a, b = rows[r : r + 2]
            squares[r : r + 2] = [unpacked(a, b, 1, half) for half in range(2)]
    elif side == 4:
        for r in range(0, lanes, 4):
            a, b, c, d = rows[r : r + 4]
            pairs = [(unpacked(a, b, 1, half), unpacked(c, d, 1, half)) for half in range(2)]
            squares[r : r + 4] = [unpacked(*pair, 2, half) for pair in pairs for half in range(2)]
    result: list[Any] = [None] * lanes

    def spread(vectors: list[Any], first: int, step: int, column: int) -> None:
        if len(vectors) == 1:
            result[first * side + column] = vectors[0]
            return
        for odd in range(2):
            order = [place for place in range(2 * lanes) if place // side % 2 == odd]
            halves = [_shuffled(builder, a, b, order) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
            spread(halves, first + odd * step, 2 * step, column)

    for column in range(side):
        spread(squares[column::side], 0, 1, column)
    return result


def _lane_sums(builder: Any, vectors: list[Any]) -> Any:
    """The sum of the lanes of each vector, as one vector; their number is a power of two."""
    lanes = remaining = vectors[0].type.count
    while remaining > 1:
        even, odd = ([*range(first, 2 * lanes, 2)] for first in range(2))
        if len(vectors) > 1:
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        else:
            pairs = [(vectors[0], vectors[0])]
            even, odd = even[: lanes // 2], odd[: lanes // 2]
            lanes //= 2
        vectors = [builder.fadd(_shuffled(builder, a, b, even), _shuffled(builder, a, b, odd)) for a, b in pairs]
        remaining //= 2
    while len(vectors) > 1:
        order = list(range(2 * vectors[0].type.count))
        vectors = [_shuffled(builder, a, b, order) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


class Product:
    """Matrix products on tiles of ``rows`` x ``columns`` vectors, and what lays operands out for them.

    Addresses are whole numbers (bytes), strides elements.

    ``tile(a, row_a, column_a, b, row_b, k, y, row_y, rows, columns, add)`` writes, or adds where ``add`` is not 0, the
    sums over ``k`` of ``a[row*row_a + p*column_a] * b[p*row_b + column]`` to the first ``rows`` rows and ``columns``
    columns of ``y``. It reads every row of ``a`` that the tile has, unless it is ``clamped`` to the last, and every
    column of ``b``, unless those beyond the last are ``masked``.
    """

    def __init__(self, dtype: str, lanes: int, rows: int, columns: int, *, clamped: bool, masked: bool) -> None:
        self.element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.element, lanes)
        self.lanes, self.rows, self.columns = lanes, rows, columns
        self.clamped, self.masked = clamped, masked
        self.name = f"product_{dtype}_{lanes}_{rows}_{columns}_{int(clamped)}{int(masked)}"

    def call(self) -> Any:
        """Return the operation."""

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _routine(builder, self.name, list(arguments), self._build)
            return context.get_dummy_value()

        @intrinsic
        def product(
            typingctx: Any,
            a: Any,
            row_a: Any,
            column_a: Any,
            b: Any,
            row_b: Any,
            k: Any,
            y: Any,
            row_y: Any,
            rows: Any,
            columns: Any,
            add: Any,
        ) -> Any:
            return types.none(*[types.int64] * 11), codegen

        return product

    def _build(self, builder: Any, arguments: list[Any]) -> None:
        a, row_a, column_a, b, row_b, k, y, row_y, rows, columns, add = arguments
        pointer = self.element.as_pointer()
        a, b, y = (builder.inttoptr(address, pointer) for address in (a, b, y))
        last = builder.sub(rows, _whole(1))
        offsets = []
        for row in range(self.rows):
            number = _smaller(builder, _whole(row), last) if self.clamped else _whole(row)
            offsets.append(builder.mul(row_a, number))
        sums = a, column_a, b, row_b, k, offsets
        out = y, row_y, builder.icmp_signed("!=", add, _whole(0))
        whole = builder.and_(
            builder.icmp_signed(">=", rows, _whole(self.rows)),
            builder.icmp_signed(">=", columns, _whole(self.columns * self.lanes)),
        )
        held = None if self.masked else self._sums(builder, *sums)
        with builder.if_else(whole) as (all_of_it, part_of_it):
            with all_of_it:
                self._write(builder, held or self._sums(builder, *sums), *out)
            with part_of_it:
                masks = self._masks(builder, columns)
                self._write_part(builder, held or self._sums(builder, *sums, masks), *out, rows, masks)

    def _masks(self, builder: Any, columns: Any) -> list[Any]:
        counts = [builder.sub(columns, _whole(c * self.lanes)) for c in range(self.columns)]
        return [_lanes_below(builder, count, self.lanes) for count in counts]

    def _sums(
        self, builder: Any, a: Any, column_a: Any, b: Any, row_b: Any, k: Any, offsets: list[Any], masks: Any = None
    ) -> list[Any]:
        """The tile, row by row."""
        masks = masks or [None] * self.columns
        zeros = [ir.Constant(self.vector, None)] * (self.rows * self.columns)
        loop = _Loop(builder, k, 1, [a, b, *zeros])
        at_a, at_b, *held = loop.values
        right = [_load(builder, self.vector, at_b, _whole(c * self.lanes), masks[c]) for c in range(self.columns)]
        for row in range(self.rows):
            left = _splat(builder, builder.load(builder.gep(at_a, [offsets[row]])), self.lanes)
            for c in range(self.columns):
                number = row * self.columns + c
                held[number] = _multiply_add(builder, left, right[c], held[number])
        return loop.close([builder.gep(at_a, [column_a]), builder.gep(at_b, [row_b]), *held])[2:]

    def _write(self, builder: Any, held: list[Any], y: Any, row_y: Any, more: Any) -> None:
        places = []
        for number, value in enumerate(held):
            start = builder.mul(row_y, _whole(number // self.columns))
            places.append((value, _plus(builder, start, number % self.columns * self.lanes), None))
        _store_or_add(builder, places, y, more)

    def _write_part(
        self, builder: Any, held: list[Any], y: Any, row_y: Any, more: Any, rows: Any, masks: list[Any]
    ) -> None:
        """Through memory, row by row: a loop with two masked operations instead of two for each vector."""
        kind = ir.ArrayType(self.vector, len(held))
        with builder.goto_entry_block():
            buffer = builder.alloca(kind)
        for number, value in enumerate(held):
            builder.store(value, builder.gep(buffer, [_whole(0), _whole(number)]))
        buffer = builder.bitcast(buffer, self.element.as_pointer())
        loop = _Loop(builder, _smaller(builder, rows, _whole(self.rows)), 1, [])
        start = builder.mul(loop.counter, row_y)
        own = builder.mul(loop.counter, _whole(self.columns * self.lanes))
        places = []
        for c, mask in enumerate(masks):
            value = _load(builder, self.vector, buffer, _plus(builder, own, c * self.lanes))
            places.append((value, _plus(builder, start, c * self.lanes), mask))
        _store_or_add(builder, places, y, more)
        loop.close([])


class Packing:
    """What lays operands of a product out; addresses are whole numbers (bytes), strides elements.

    ``pack(x, lane_step, step, count, k, to, pitch)`` copies ``x[p*step + lane*lane_step]`` to ``to[p*pitch + lane]``
    for ``p < k``, in whole vectors: what it writes to lanes from ``count`` on has no meaning, and it writes up to a
    vector beyond ``pitch`` and up to as many steps beyond ``k`` as a vector has lanes.

    ``unpack(x, pitch, rows, columns, y, row_y, add)`` writes ``x[r*pitch + c]`` to ``y[c*row_y + r]``, or adds it where
    ``add`` is not 0, for ``rows`` rows and ``columns`` columns; it reads whole squares of vectors.

    ``dots(a, b, step, k, y, count, add)`` writes the sums of ``a[p] * b[column*step + p]`` to ``y[column]``, or adds
    them where ``add`` is not 0, for ``count`` columns.
    """

    def __init__(self, dtype: str, lanes: int) -> None:
        self.element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.element, lanes)
        self.lanes = lanes
        self.dtype = dtype
        self.pack, self.unpack, self.dots = self._pack(), self._unpack(), self._dots()

    def _pack(self) -> Any:
        def build(builder: Any, arguments: list[Any]) -> None:
            x, lane_step, step, count, k, to, pitch = arguments
            x, to = (builder.inttoptr(address, self.element.as_pointer()) for address in (x, to))
            # the last vector first: what it writes beyond the pitch belongs to the next step
            vectors = builder.sdiv(builder.add(pitch, _whole(self.lanes - 1)), _whole(self.lanes))
            loop = _Loop(builder, vectors, 1, [])
            number = builder.sub(builder.sub(vectors, _whole(1)), loop.counter)
            first = builder.mul(number, _whole(self.lanes))
            source, place = builder.gep(x, [builder.mul(first, lane_step)]), builder.gep(to, [first])
            own = builder.sub(count, first), k, place, pitch
            with builder.if_else(builder.icmp_signed("==", lane_step, _whole(1))) as (neighbours, others):
                with neighbours:
                    self._pack_rows(builder, source, step, *own)
                with others, builder.if_else(builder.icmp_signed("==", step, _whole(1))) as (turned, neither):
                    with turned:
                        self._pack_turned(builder, source, lane_step, *own)
                    with neither:
                        self._pack_singly(builder, source, lane_step, step, *own)
            loop.close([])

        @intrinsic
        def pack(typingctx: Any, x: Any, lane_step: Any, step: Any, count: Any, k: Any, to: Any, pitch: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"pack_{self.dtype}_{self.lanes}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 7), codegen

        return pack

    def _pack_rows(self, builder: Any, x: Any, step: Any, count: Any, k: Any, to: Any, pitch: Any) -> None:
        """Lanes are neighbours in memory."""
        mask = _lanes_below(builder, count, self.lanes)
        loop = _Loop(builder, k, 1, [x, to])
        at, place = loop.values
        _store_vector(builder, _load(builder, self.vector, at, _whole(0), mask), place, _whole(0))
        loop.close([builder.gep(at, [step]), builder.gep(place, [pitch])])

    def _pack_turned(self, builder: Any, x: Any, lane_step: Any, count: Any, k: Any, to: Any, pitch: Any) -> None:
        """Steps of k are neighbours in memory: squares are transposed."""
        last = builder.sub(count, _whole(1))
        offsets = [builder.mul(lane_step, _smaller(builder, _whole(lane), last)) for lane in range(self.lanes)]
        loop = _Loop(builder, k, self.lanes, [x, to])
        at, place = loop.values
        vectors = self._strip(builder, at, offsets, builder.sub(k, loop.counter))
        for lane, value in enumerate(_transposed(builder, vectors)):
            _store_vector(builder, value, place, builder.mul(pitch, _whole(lane)))
        following = builder.gep(place, [builder.mul(pitch, _whole(self.lanes))])
        loop.close([builder.gep(at, [_whole(self.lanes)]), following])

    def _pack_singly(
        self, builder: Any, x: Any, lane_step: Any, step: Any, count: Any, k: Any, to: Any, pitch: Any
    ) -> None:
        """Neither is: element by element."""
        loop = _Loop(builder, k, 1, [x, to])
        at, place = loop.values
        inner = _Loop(builder, _smaller(builder, count, _whole(self.lanes)), 1, [at])
        builder.store(builder.load(inner.values[0]), builder.gep(place, [inner.counter]))
        inner.close([builder.gep(inner.values[0], [lane_step])])
        loop.close([builder.gep(at, [step]), builder.gep(place, [pitch])])

    def _strip(self, builder: Any, x: Any, offsets: list[Any], left: Any) -> list[Any]:
        """One vector at each offset, with zeros from the element ``left`` on."""
        before = builder.append_basic_block("whole"), builder.append_basic_block("part")
        after = builder.append_basic_block("vectors")
        builder.cbranch(builder.icmp_signed(">=", left, _whole(self.lanes)), *before)
        values = []
        for block, partly in zip(before, (False, True), strict=True):
            builder.position_at_end(block)
            mask = _lanes_below(builder, left, self.lanes) if partly else None
            values.append([_load(builder, self.vector, x, offset, mask) for offset in offsets])
            builder.branch(after)
        builder.position_at_end(after)
        vectors = []
        for pair in zip(*values, strict=True):
            phi = builder.phi(self.vector)
            for value, block in zip(pair, before, strict=True):
                phi.add_incoming(value, block)
            vectors.append(phi)
        return vectors

    def _unpack(self) -> Any:
        def build(builder: Any, arguments: list[Any]) -> None:
            x, pitch, rows, columns, y, row_y, add = arguments
            x, y = (builder.inttoptr(address, self.element.as_pointer()) for address in (x, y))
            more = builder.icmp_signed("!=", add, _whole(0))
            outer = _Loop(builder, rows, self.lanes, [])
            first_row = outer.counter
            inside = _lanes_below(builder, builder.sub(rows, first_row), self.lanes)
            inner = _Loop(builder, columns, self.lanes, [])
            first_column = inner.counter
            start = builder.add(builder.mul(first_row, pitch), first_column)
            offsets = [builder.add(start, builder.mul(pitch, _whole(row))) for row in range(self.lanes)]
            vectors = [_load(builder, self.vector, x, offset) for offset in offsets]
            places = []
            for lane, value in enumerate(_transposed(builder, vectors)):
                column = builder.add(first_column, _whole(lane))
                mask = builder.and_(inside, _splat(builder, builder.icmp_signed("<", column, columns), self.lanes))
                places.append((value, builder.add(builder.mul(column, row_y), first_row), mask))
            _store_or_add(builder, places, y, more)
            inner.close([])
            outer.close([])

        @intrinsic
        def unpack(typingctx: Any, x: Any, pitch: Any, rows: Any, columns: Any, y: Any, row_y: Any, add: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"unpack_{self.dtype}_{self.lanes}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 7), codegen

        return unpack

    def _dot_step(
        self, builder: Any, a: Any, b: Any, offsets: list[Any], held: list[Any], mask: Any = None
    ) -> list[Any]:
        left = _load(builder, self.vector, a, _whole(0), mask)
        right = [_load(builder, self.vector, b, offset, mask) for offset in offsets]
        return [_multiply_add(builder, left, value, sums) for value, sums in zip(right, held, strict=True)]

    def _dots(self) -> Any:
        width = 8  # sums at a time: as many as hide the latency of a multiply-add

        def build(builder: Any, arguments: list[Any]) -> None:
            a, b, step, k, y, count, add = arguments
            a, b, y = (builder.inttoptr(address, self.element.as_pointer()) for address in (a, b, y))
            last = builder.sub(count, _whole(1))
            outer = _Loop(builder, count, width, [])
            offsets = []
            for number in range(width):
                column = _smaller(builder, builder.add(outer.counter, _whole(number)), last)
                offsets.append(builder.mul(step, column))
            zero = ir.Constant(self.vector, None)
            remaining = builder.srem(k, _whole(self.lanes))
            step_on = _whole(self.lanes)
            inner = _Loop(builder, builder.sub(k, remaining), self.lanes, [a, b, *[zero] * width])
            at_a, at_b, *held = inner.values
            held = self._dot_step(builder, at_a, at_b, offsets, held)
            at_a, at_b, *held = inner.close([builder.gep(at_a, [step_on]), builder.gep(at_b, [step_on]), *held])
            rest = _Loop(builder, remaining, self.lanes, held)
            mask = _lanes_below(builder, remaining, self.lanes)
            held = rest.close(self._dot_step(builder, at_a, at_b, offsets, rest.values, mask))
            sums = _lane_sums(builder, held)
            at_y, remaining = builder.gep(y, [outer.counter]), builder.sub(count, outer.counter)
            mask = _lanes_below(builder, remaining, width)
            _store_or_add(builder, [(sums, _whole(0), mask)], at_y, builder.icmp_signed("!=", add, _whole(0)))
            outer.close([])

        @intrinsic
        def dots(typingctx: Any, a: Any, b: Any, step: Any, k: Any, y: Any, count: Any, add: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"dots_{self.dtype}_{self.lanes}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 7), codegen

        return dots


def packing(dtype: str, lanes: int) -> Packing:
    """Return what lays operands of a product out."""
    return Packing(dtype, lanes)


def stack(size: int) -> Any:
    """Return ``f()``: the address of ``size`` bytes that last as long as the kernel runs."""

    @intrinsic
    def function(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(ir.IntType(8), size))
                memory.align = 64
            return builder.ptrtoint(memory, ir.IntType(64))

        return types.int64(), codegen

    return function


def product(dtype: str, lanes: int, rows: int, columns: int, *, clamped: bool = False, masked: bool = False) -> Any:
    """Return the product on one register tile (`Product`)."""
    return Product(dtype, lanes, rows, columns, clamped=clamped, masked=masked).call()
