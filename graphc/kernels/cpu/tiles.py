# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""Winograd's convolutions F(2x2, 3x3) and F(4x4, 3x3) on vectors of tiles: transforms, and products between them.

A tile is ``size`` x ``size`` elements of the result, which ``size + 2`` x ``size + 2`` elements of the image meet. Each
lane of a vector is a tile of its own, so that a transform is sums of whole vectors. A vector consists of *pieces*: runs
of neighbouring tiles of one row of tiles, wherever these are. Reading separates the columns of tiles, and writing joins
them again, by shuffles within 128 bits of float32: for pieces ``a`` to ``d``, lanes are ``a0 a1 b0 b1 | a2 a3 b2 b3 |
...`` with tiles of 2, ``a0 b0 c0 d0 | a1 b1 c1 d1 | ...`` with tiles of 4.

Only generated modules import this file; its text is part of every kernel's hash (`graphc.kernels.cpu.cache`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphc.kernels.cpu.vector import (
    _bytes,
    _lanes_below,
    _load,
    _Loop,
    _multiply_add,
    _plus,
    _routine,
    _shuffled,
    _smaller,
    _splat,
    _store_or_add,
    _store_vector,
    _transposed,
    _whole,
)

__all__ = ["Tiles", "tiles"]

#: Tiles of 4 meet polynomials at 0, infinity, and plus and minus these: errors a fifth of those at 1 and 2 (measured).
POINTS = 0.75, 1.5
#: Channels between the one that is seen and the one whose lines are asked for (measured).
_AHEAD = 2
#: Vectors of results whose lines are asked for before they are written: stores that wait hold products up (measured).
_EARLY = 2


def _prefetch(builder: Any, address: Any, *, written: bool = False) -> None:
    """Ask for a line of memory that is read or written soon; it need not exist."""
    small = ir.IntType(32)
    place = builder.bitcast(address, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [place.type, small, small, small])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [place, small(int(written)), small(3), small(1)])  # into the first cache, of data


class Tiles:
    """Operations on ``vectors`` vectors of tiles; addresses are whole numbers (bytes), strides elements.

    ``see(x, channels, channel, pitch, places, v, row_v, step_v)`` transforms the tiles of one vector in each of
    ``channels`` images, whose rows are ``pitch`` apart, and writes ``v[c*row_v + e*step_v + lane]`` for the
    elements ``e``. ``places`` is the address of ``pieces`` int64: where the pieces begin in an image.

    ``multiply(u, step_u, block_u, channels, v, step_v, maps, m, step_m, add, before)`` writes to
    ``m[k*vectors*lanes + e*step_m + lane]`` the sums over ``c`` of ``u[(k // block)*block_u + e*step_u + c*block + k %
    block] * v[c*vectors*lanes + e*step_v + lane]`` for all lanes of all vectors, or adds them where ``add`` is not 0,
    for ``maps`` rounded up to whole blocks of ``block`` maps. In between it transforms and writes other sums, so that
    products hide that these come from the second cache. ``before`` is the address of int64: how many vectors there
    are, one map after the other, the address of the first, that of its image of the result, elements of an image and
    of its rows, addresses of the places of all pieces and of their limits, and, where not 0, that of each piece only as
    many columns and rows are written as the limits say, pairs of int64.

    ``spread(t, area, pitch, maps, piece, present, w, wide, step_w)`` transforms the result's gradient, for the tiles of
    one piece of all maps, ``area`` apart, in rows ``pitch`` apart. It writes ``w[lane*wide + e*step_w + k]`` for whole
    vectors ``k < wide``, where lanes are those of ``see``; zeros where ``present`` is 0. Maps become neighbours a few
    vectors at a time, which stay in the first cache.

    ``sums(v, step_v, w, wide, step_w, tiles, channels, d, row_d, step_d, t, area, pitch, places, units)`` adds to
    ``d[c*row_d + e*step_d + k]`` the products ``v[c*vectors*lanes + e*step_v + lane] * w[lane*wide + e*step_w + k]``
    over ``lane < tiles``, for ``k < wide``, whole blocks of ``columns`` vectors. It reads ``v`` for ``channels``
    rounded up to whole blocks of ``rows``. In between it asks for lines of ``t``, which are spread next: of ``units``
    pieces, those at the address ``places`` of one map after the other, which are ``area`` apart, their rows ``pitch``.

    ``gradient(d, step_d, maps, y)`` transforms the sums of one channel and writes ``y[(3*r + s)*maps + k]``.

    ``filters(w, row_w, count, u, step_u)`` transforms the filters ``w[(3*r + s)*row_w + k]`` of one channel, ``k <
    count``, and writes ``u[e*step_u + k]`` for a block of maps, zeros from ``count`` on.
    """

    def __init__(
        self,
        dtype: str,
        lanes: int,
        pieces: int,
        size: int,
        vectors: int = 1,
        block: int = 1,
        sums: tuple[int, int] = (1, 1),
    ) -> None:
        self.element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.vector = ir.VectorType(self.element, lanes)
        self.piece = ir.VectorType(self.element, size * lanes // pieces)
        self.size, self.reach = size, size + 2
        self.run = 1 if size == 4 else 8 // _bytes(self.vector)  # neighbouring tiles of a piece
        self.lanes, self.pieces, self.vectors, self.block = lanes, pieces, vectors, block
        self.rows, self.columns = sums
        self.name = f"{dtype}_{lanes}_{pieces}_{size}_{vectors}_{block}"
        self.see, self.multiply, self.filters = self._see(), self._multiply(), self._filters()
        self.spread, self.sums, self.gradient = self._spread(), self._tile_sums(), self._gradient()

    def _pointer(self, builder: Any, address: Any) -> Any:
        return builder.inttoptr(address, self.element.as_pointer())

    def _element(self, builder: Any, step: Any, r: int, s: int) -> Any:
        return builder.mul(step, _whole(self.reach * r + s))

    def _starts(self, builder: Any, base: Any, places: Any) -> list[Any]:
        places = builder.inttoptr(places, ir.IntType(64).as_pointer())
        return [
            builder.gep(base, [builder.load(builder.gep(places, [_whole(number)]))]) for number in range(self.pieces)
        ]

    # ---- from the image --------------------------------------------------------------------------------

    def _together(self, builder: Any, parts: list[Any], count: int) -> list[Any]:
        """Neighbours side by side, in ``count`` vectors."""
        while len(parts) > count:
            order = list(range(2 * parts[0].type.count))
            parts = [_shuffled(builder, a, b, order) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts

    def _columns(self, builder: Any, starts: list[Any], offset: Any) -> list[Any]:
        """The columns of a row of the pieces' tiles of 2."""
        found: list[Any] = []
        for start in (0, 2):
            parts = [_load(builder, self.piece, place, _plus(builder, offset, start)) for place in starts]
            found += self._separated(builder, self._together(builder, parts, 2))
        return found

    def _row(self, builder: Any, starts: list[Any], offset: Any) -> list[Any]:
        """A row of the pieces as it lies, in four vectors, and the two elements behind each piece."""
        pair = ir.VectorType(self.element, 2)
        parts = [_load(builder, self.piece, place, offset) for place in starts]
        ends = [_load(builder, pair, place, _plus(builder, offset, self.piece.count)) for place in starts]
        return [*self._together(builder, parts, 4), *self._together(builder, ends, 1)]

    def _following(self, builder: Any, columns: list[Any], ends: Any) -> list[Any]:
        """The first columns of the tiles to the right, some of which are behind a piece."""
        found = []
        own = self.lanes // self.pieces  # tiles of a piece
        count = max(self.lanes, ends.type.count)
        ends = self._widened(builder, ends, count)
        for s, column in enumerate(columns):
            order = []
            for group, k in itertools.product(range(self.lanes // 4), range(4)):
                behind = count + 2 * (k * self.pieces // 4 + group // own) + s
                order.append(behind if group % own == own - 1 else 4 * group + 4 + k)
            found.append(_shuffled(builder, self._widened(builder, column, count), ends, order))
        return found

    def _widened(self, builder: Any, value: Any, count: int) -> Any:
        """A vector of ``count`` elements; what the last ones are has no meaning."""
        last = value.type.count - 1
        return value if last == count - 1 else _shuffled(builder, value, value, [min(k, last) for k in range(count)])

    def _separated(self, builder: Any, parts: list[Any]) -> list[Any]:
        """Even and odd columns."""
        separated = []
        for odd in range(2):
            order = []
            for start in range(0, self.lanes, 2 * self.run):
                order += [*range(start + odd, start + 2 * self.run, 2)]
                order += [*range(self.lanes + start + odd, self.lanes + start + 2 * self.run, 2)]
            separated.append(_shuffled(builder, parts[0], parts[1], order))
        return separated

    def _turned(self, builder: Any, rows: list[Any]) -> list[Any]:
        """Transpose squares of 4 x 4: the same lanes of four vectors; its own inverse."""

        def merged(a: Any, b: Any, half: int, run: int) -> Any:
            order = []
            for start in range(0, self.lanes, 4):
                for place in range(start + 2 * half, start + 2 * half + 2, run):
                    order += [*range(place, place + run), *range(self.lanes + place, self.lanes + place + run)]
            return _shuffled(builder, a, b, order)

        pairs = [[merged(rows[k], rows[k + 1], half, 1) for k in (0, 2)] for half in range(2)]
        return [merged(first, second, half, 2) for first, second in pairs for half in range(2)]

    def _differences(self, builder: Any, d: list[Any]) -> list[Any]:
        """The transform of an image in one direction."""
        if self.size == 2:
            return [
                builder.fsub(d[0], d[2]),
                builder.fadd(d[1], d[2]),
                builder.fsub(d[2], d[1]),
                builder.fsub(d[1], d[3]),
            ]
        rows = []
        for point, other in (POINTS, POINTS[::-1]):
            even, odd = (self._scaled(builder, -(other**2), d[k], d[k + 2]) for k in (2, 1))
            rows += [self._scaled(builder, sign * point, odd, even) for sign in (1, -1)]
        squares = POINTS[0] ** 2, POINTS[1] ** 2
        ends = []
        for k in range(2):
            rest = self._scaled(builder, -sum(squares), d[k + 2], d[k + 4])
            ends.append(self._scaled(builder, squares[0] * squares[1], d[k], rest))
        return [ends[0], *rows, ends[1]]

    def _scaled(self, builder: Any, factor: float, a: Any, b: Any) -> Any:
        """``factor * a + b``."""
        return _multiply_add(builder, self._constant(factor, a.type), a, b)

    def _constant(self, value: float, kind: Any = None) -> Any:
        kind = kind or self.vector
        return ir.Constant(kind, [value] * kind.count)

    def _rows(self, builder: Any, starts: list[Any], below: list[Any]) -> Iterator[list[Any]]:
        """The columns of each row of the image's transform in the other direction."""
        if self.size == 2:
            lines = [self._columns(builder, starts, offset) for offset in below]
        else:  # elements are transformed before they are separated: those behind a piece are few
            lines = [self._row(builder, starts, offset) for offset in below]
        for row in zip(*(self._differences(builder, list(line)) for line in zip(*lines, strict=True)), strict=True):
            if self.size == 2:
                yield list(row)
            else:
                columns = self._turned(builder, list(row[:4]))
                yield [*columns, *self._following(builder, columns[:2], row[4])]

    def _see(self) -> Any:
        def build(builder: Any, arguments: list[Any]) -> None:
            x, channels, channel, pitch, places, v, row_v, step_v = arguments
            loop = _Loop(builder, channels, 1, [self._pointer(builder, v), self._pointer(builder, x)])
            to, image = loop.values
            starts = self._starts(builder, image, places)
            below = [builder.mul(pitch, _whole(r)) for r in range(self.reach)]
            further = builder.mul(channel, _whole(_AHEAD))
            for start, row in itertools.product(starts, below[::2]):  # lines of the others are often among these
                _prefetch(builder, builder.gep(start, [builder.add(further, row)]))
            for r, row in enumerate(self._rows(builder, starts, below)):
                for s, value in enumerate(self._differences(builder, row)):
                    _store_vector(builder, value, to, builder.mul(step_v, _whole(self.reach * r + s)))
            loop.close([builder.gep(to, [row_v]), builder.gep(image, [channel])])

        @intrinsic
        def see(
            typingctx: Any,
            x: Any,
            channels: Any,
            channel: Any,
            pitch: Any,
            places: Any,
            v: Any,
            row_v: Any,
            step_v: Any,
        ) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"see_{self.name}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 8), codegen

        return see

    # ---- to the result ---------------------------------------------------------------------------------

    def _sums(self, builder: Any, m: list[Any]) -> list[Any]:
        """The transform of the products in one direction."""
        plus, minus = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
        if self.size == 2:
            return [builder.fadd(m[0], plus), builder.fsub(minus, m[3])]
        more, less = builder.fadd(m[3], m[4]), builder.fsub(m[3], m[4])
        return [
            builder.fadd(m[0], builder.fadd(plus, more)),
            self._weighted(builder, 1, minus, less),
            self._weighted(builder, 2, plus, more),
            builder.fadd(self._weighted(builder, 3, minus, less), m[5]),
        ]

    def _weighted(self, builder: Any, power: int, a: Any, b: Any) -> Any:
        """The sum of two vectors times powers of the points."""
        return self._scaled(builder, POINTS[1] ** power, b, builder.fmul(self._constant(POINTS[0] ** power), a))

    def _joined(self, builder: Any, columns: list[Any]) -> list[Any]:
        """The pieces from the columns of their tiles."""
        if self.size == 4:
            parts = self._turned(builder, columns)
        else:
            parts = []
            for half in range(2):
                order = []
                for start in range(half * self.run, self.lanes, 2 * self.run):
                    order += [place for lane in range(start, start + self.run) for place in (lane, self.lanes + lane)]
                parts.append(_shuffled(builder, columns[0], columns[1], order))
        while len(parts) < self.pieces:
            count = parts[0].type.count // 2
            halves = [*range(count)], [*range(count, 2 * count)]
            parts = [_shuffled(builder, part, part, half) for part in parts for half in halves]
        return parts

    def _write(
        self, builder: Any, m: Any, step_m: Any, starts: list[Any], columns: Any, masks: list[list[Any]]
    ) -> None:
        """Transform the sums of one vector in one map, and write them."""
        elements = itertools.product(range(self.reach), repeat=2)
        held = {(r, s): _load(builder, self.vector, m, self._element(builder, step_m, r, s)) for r, s in elements}
        summed = [self._sums(builder, [held[r, s] for r in range(self.reach)]) for s in range(self.reach)]
        for r in range(self.size):
            parts = self._joined(builder, self._sums(builder, [column[r] for column in summed]))
            for part, start, mask in zip(parts, starts, masks[r], strict=True):
                _store_vector(builder, part, start, builder.mul(columns, _whole(r)), mask)

    def _masks(self, builder: Any, limits: Any) -> list[list[Any]]:
        """Which elements of each row of the pieces' tiles are in the result."""
        masks: list[list[Any]] = [[] for _ in range(self.size)]
        for number in range(self.pieces):
            columns, rows = (builder.load(builder.gep(limits, [_whole(2 * number + d)])) for d in range(2))
            for r in range(self.size):
                count = builder.select(builder.icmp_signed(">", rows, _whole(r)), columns, _whole(0))
                masks[r].append(_lanes_below(builder, count, self.piece.count))
        return masks

    # ---- products --------------------------------------------------------------------------------------

    def _multiply(self) -> Any:
        def products(builder: Any, channels: Any, maps: Any, u: Any, block_u: Any, v: Any, m: Any, more: Any) -> None:
            wide = self.vectors * self.lanes
            blocks = _Loop(builder, maps, self.block, [u, m])
            own, to = blocks.values
            zeros = [ir.Constant(self.vector, None)] * (self.block * self.vectors)
            loop = _Loop(builder, channels, 1, [own, v, *zeros])
            at_u, at_v, *held = loop.values
            seen = [_load(builder, self.vector, at_v, _whole(t * self.lanes)) for t in range(self.vectors)]
            for k in range(self.block):
                weight = _splat(builder, builder.load(builder.gep(at_u, [_whole(k)])), self.lanes)
                for t in range(self.vectors):
                    number = k * self.vectors + t
                    held[number] = _multiply_add(builder, weight, seen[t], held[number])
            held = loop.close([builder.gep(at_u, [_whole(self.block)]), builder.gep(at_v, [_whole(wide)]), *held])[2:]
            places = [(value, _whole(number * self.lanes), None) for number, value in enumerate(held)]
            _store_or_add(builder, places, to, more)
            blocks.close([builder.gep(own, [block_u]), builder.gep(to, [_whole(self.block * wide)])])

        def build(builder: Any, arguments: list[Any]) -> None:
            u, step_u, block_u, channels, v, step_v, maps, m, step_m, add, before = arguments
            before = builder.inttoptr(before, ir.IntType(64).as_pointer())
            known = [builder.load(builder.gep(before, [_whole(number)])) for number in range(8)]
            units, m_before, y, area, columns, places, limits, partly = known
            more, partly = (builder.icmp_signed("!=", value, _whole(0)) for value in (add, partly))
            u, v, m, m_before, y = (self._pointer(builder, address) for address in (u, v, m, m_before, y))
            count = _whole(self.reach**2)

            def unit(number: Any) -> tuple[Any, list[Any], Any]:
                image = builder.gep(y, [builder.mul(builder.sdiv(number, _whole(self.vectors)), area)])
                table = builder.mul(builder.srem(number, _whole(self.vectors)), _whole(8 * self.pieces))
                starts = self._starts(builder, image, builder.add(places, table))
                inside = builder.add(limits, builder.mul(table, _whole(2)))
                return builder.gep(m_before, [builder.mul(number, _whole(self.lanes))]), starts, inside

            elements = _Loop(builder, count, 1, [u, v, m, _whole(0), _whole(0)])
            at_u, at_v, at_m, first, asked = elements.values
            until = builder.sdiv(builder.mul(units, builder.add(elements.counter, _whole(1))), count)
            asking = _smaller(builder, builder.add(until, _whole(_EARLY)), units)
            ahead = _Loop(builder, builder.sub(asking, asked), 1, [])
            _, starts, _ = unit(builder.add(asked, ahead.counter))
            for start, r in itertools.product(starts, range(self.size)):
                _prefetch(builder, builder.gep(start, [builder.mul(columns, _whole(r))]), written=True)
            ahead.close([])
            products(builder, channels, maps, at_u, block_u, at_v, at_m, more)
            results = _Loop(builder, builder.sub(until, first), 1, [])
            summed, starts, inside = unit(builder.add(first, results.counter))
            with builder.if_else(partly) as (some, whole):
                with some:
                    masks = self._masks(builder, builder.inttoptr(inside, ir.IntType(64).as_pointer()))
                    self._write(builder, summed, step_m, starts, columns, masks)
                with whole:
                    self._write(builder, summed, step_m, starts, columns, [[None] * self.pieces] * self.size)
            results.close([])
            following = [builder.gep(at, [step]) for at, step in ((at_u, step_u), (at_v, step_v), (at_m, step_m))]
            elements.close([*following, until, asking])

        @intrinsic
        def multiply(
            typingctx: Any,
            u: Any,
            step_u: Any,
            block_u: Any,
            channels: Any,
            v: Any,
            step_v: Any,
            maps: Any,
            m: Any,
            step_m: Any,
            add: Any,
            before: Any,
        ) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"multiply_{self.name}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 11), codegen

        return multiply

    # ---- of the filters --------------------------------------------------------------------------------

    def _values(self, builder: Any, g: list[Any]) -> list[Any]:
        """The values of a filter, or of a tile of the result's gradient, at the points, in one direction."""
        values = [g[0]]
        for point in POINTS if self.size == 4 else (1.0,):
            even = g[0] if len(g) == 2 else self._scaled(builder, point**2, g[2], g[0])
            odd = g[1] if len(g) < 4 else self._scaled(builder, point**2, g[3], g[1])
            values += [self._scaled(builder, sign * point, odd, even) for sign in (1, -1)]
        return [*values, g[-1]]

    def _factors(self) -> list[float]:
        """What the transform of the image leaves out: values are multiplied by these, or sums of their products."""
        if self.size == 2:
            return [1.0, 0.5, 0.5, 1.0]
        (a, b), gap = POINTS, POINTS[0] ** 2 - POINTS[1] ** 2
        first, second = 1 / (2 * a**2 * gap), -1 / (2 * b**2 * gap)
        return [1 / (a * b) ** 2, first, first, second, second, 1.0]

    def _filters(self) -> Any:
        def build(builder: Any, arguments: list[Any]) -> None:
            w, row_w, count, u, step_u = arguments
            w, place = self._pointer(builder, w), self._pointer(builder, u)
            mask = _lanes_below(builder, _smaller(builder, count, _whole(self.block)), self.lanes)
            rows = []
            for r in range(3):
                offsets = [builder.mul(row_w, _whole(3 * r + s)) for s in range(3)]
                rows.append(self._values(builder, [_load(builder, self.vector, w, o, mask) for o in offsets]))
            turned = [self._values(builder, [row[s] for row in rows]) for s in range(self.reach)]
            own = _lanes_below(builder, _whole(self.block), self.lanes)
            factors = self._factors()
            for r in range(self.reach):
                for s in range(self.reach):
                    value = builder.fmul(self._constant(factors[r] * factors[s]), turned[s][r])
                    _store_vector(builder, value, place, _whole(0), own)
                    place = builder.gep(place, [step_u])

        @intrinsic
        def filters(typingctx: Any, w: Any, row_w: Any, count: Any, u: Any, step_u: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"filters_{self.name}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 5), codegen

        return filters

    # ---- the gradient of the filter --------------------------------------------------------------------

    def _spread(self) -> Any:
        width = self.piece.count
        together = min(self.size, self.lanes // width)  # rows

        def turn(builder: Any, t: Any, area: Any, pitch: Any, last: Any, first: Any, held: Any) -> None:
            """Lay elements of maps from ``first`` on out with maps as neighbours; behind the last they do not count."""
            places = [_smaller(builder, builder.add(first, _whole(lane)), last) for lane in range(self.lanes)]
            offsets = [builder.mul(area, place) for place in places]
            loop = _Loop(builder, _whole(self.size), together, [t, held])
            at, place = loop.values
            below = [builder.mul(pitch, _whole(r)) for r in range(together)]
            vectors = []
            for offset in offsets:
                parts = [_load(builder, self.piece, at, builder.add(offset, row)) for row in below]
                vectors.append(self._widened(builder, self._together(builder, parts, 1)[0], self.lanes))
            for number, value in enumerate(_transposed(builder, vectors)[: together * width]):
                _store_vector(builder, value, place, _whole(number * self.lanes))
            following = builder.gep(place, [_whole(together * width * self.lanes)])
            loop.close([builder.gep(at, [builder.mul(pitch, _whole(together))]), following])

        def build(builder: Any, arguments: list[Any]) -> None:
            t, area, pitch, count, piece, present, w, wide, step_w = arguments
            t, w = self._pointer(builder, t), self._pointer(builder, w)
            mask = _splat(builder, builder.icmp_signed("!=", present, _whole(0)), self.lanes)
            with builder.goto_entry_block():
                memory = builder.alloca(ir.ArrayType(self.element, self.size * width * self.lanes))
                memory.align = 64
            memory = builder.bitcast(memory, self.element.as_pointer())
            half = self.run
            own, pairs = self.lanes // self.pieces, _whole(self.pieces // self.size)
            before = builder.mul(builder.urem(piece, pairs), _whole(own))
            beside = builder.mul(builder.udiv(piece, pairs), _whole(half))
            last = builder.sub(count, _whole(1))
            maps = _Loop(builder, wide, self.lanes, [w])
            turn(builder, t, area, pitch, last, maps.counter, memory)
            tile = _Loop(builder, _whole(own), 1, [memory])
            (source,) = tile.values
            place = builder.add(before, tile.counter)
            lane = builder.mul(builder.udiv(place, _whole(half)), _whole(self.size * half))
            lane = builder.add(builder.add(lane, builder.urem(place, _whole(half))), beside)
            to = builder.gep(maps.values[0], [builder.mul(lane, wide)])
            rows = []
            for r in range(self.size):
                places = [_whole((r * width + s) * self.lanes) for s in range(self.size)]
                rows.append(self._values(builder, [_load(builder, self.vector, source, at, mask) for at in places]))
            turned = [self._values(builder, [row[s] for row in rows]) for s in range(self.reach)]
            for r in range(self.reach):
                for s in range(self.reach):
                    _store_vector(builder, turned[s][r], to, builder.mul(step_w, _whole(self.reach * r + s)))
            tile.close([builder.gep(source, [_whole(self.size * self.lanes)])])
            maps.close([builder.gep(maps.values[0], [_whole(self.lanes)])])

        @intrinsic
        def spread(
            typingctx: Any,
            t: Any,
            area: Any,
            pitch: Any,
            maps: Any,
            piece: Any,
            present: Any,
            w: Any,
            wide: Any,
            step_w: Any,
        ) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"spread_{self.name}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 9), codegen

        return spread

    def _tile_sums(self) -> Any:
        def build(builder: Any, arguments: list[Any]) -> None:
            v, step_v, w, wide, step_w, count, channels, d, row_d, step_d, t, area, pitch, places, units = arguments
            v, w, d, t = (self._pointer(builder, address) for address in (v, w, d, t))
            table = builder.inttoptr(places, ir.IntType(64).as_pointer())
            pieces = _whole(self.vectors * self.pieces)
            every = _whole(self.reach**2)
            run = _whole(self.vectors * self.lanes)
            block_v = builder.mul(run, _whole(self.rows))
            elements = _Loop(builder, every, 1, [v, w, d, _whole(0)])
            v, w, d, asked = elements.values
            asking = builder.sdiv(builder.mul(units, builder.add(elements.counter, _whole(1))), every)
            ahead = _Loop(builder, builder.sub(asking, asked), 1, [])
            unit = builder.add(asked, ahead.counter)
            place = builder.load(builder.gep(table, [builder.srem(unit, pieces)]))
            start = builder.gep(t, [builder.add(place, builder.mul(builder.sdiv(unit, pieces), area))])
            for r in range(self.size):
                _prefetch(builder, builder.gep(start, [builder.mul(pitch, _whole(r))]))
            ahead.close([])
            maps = _Loop(builder, wide, self.columns * self.lanes, [w, d])
            own_w, own_d = maps.values
            blocks = _Loop(builder, channels, self.rows, [v, own_d])
            own_v, to = blocks.values
            zeros = [ir.Constant(self.vector, None)] * (self.rows * self.columns)
            loop = _Loop(builder, count, 1, [own_v, own_w, *zeros])
            at_v, at_w, *held = loop.values
            right = [_load(builder, self.vector, at_w, _whole(c * self.lanes)) for c in range(self.columns)]
            for row in range(self.rows):
                seen = builder.load(builder.gep(at_v, [_whole(row * self.vectors * self.lanes)]))
                left = _splat(builder, seen, self.lanes)
                for c in range(self.columns):
                    number = row * self.columns + c
                    held[number] = _multiply_add(builder, left, right[c], held[number])
            held = loop.close([builder.gep(at_v, [_whole(1)]), builder.gep(at_w, [wide]), *held])[2:]
            remaining = builder.sub(channels, blocks.counter)
            for row in range(self.rows):
                with builder.if_then(builder.icmp_signed(">", remaining, _whole(row))):
                    start = builder.mul(row_d, _whole(row))
                    for c in range(self.columns):
                        place = builder.add(start, _whole(c * self.lanes))
                        value = builder.fadd(held[row * self.columns + c], _load(builder, self.vector, to, place))
                        _store_vector(builder, value, to, place)
            blocks.close([builder.gep(own_v, [block_v]), builder.gep(to, [builder.mul(row_d, _whole(self.rows))])])
            whole = _whole(self.columns * self.lanes)
            maps.close([builder.gep(own_w, [whole]), builder.gep(own_d, [whole])])
            elements.close([builder.gep(v, [step_v]), builder.gep(w, [step_w]), builder.gep(d, [step_d]), asking])

        @intrinsic
        def sums(
            typingctx: Any,
            v: Any,
            step_v: Any,
            w: Any,
            wide: Any,
            step_w: Any,
            tiles: Any,
            channels: Any,
            d: Any,
            row_d: Any,
            step_d: Any,
            t: Any,
            area: Any,
            pitch: Any,
            places: Any,
            units: Any,
        ) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"sums_{self.name}_{self.rows}_{self.columns}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 15), codegen

        return sums

    def _three(self, builder: Any, d: list[Any]) -> list[Any]:
        """The transform of the sums of products in one direction."""
        plus, minus = builder.fadd(d[1], d[2]), builder.fsub(d[1], d[2])
        if self.size == 2:
            return [builder.fadd(d[0], plus), minus, builder.fsub(plus, d[3])]
        more, less = builder.fadd(d[3], d[4]), builder.fsub(d[3], d[4])
        return [
            builder.fadd(d[0], builder.fadd(plus, more)),
            self._weighted(builder, 1, minus, less),
            builder.fadd(self._weighted(builder, 2, plus, more), d[5]),
        ]

    def _gradient(self) -> Any:
        def build(builder: Any, arguments: list[Any]) -> None:
            d, step_d, maps, y = arguments
            d, y = self._pointer(builder, d), self._pointer(builder, y)
            loop = _Loop(builder, maps, self.lanes, [d, y])
            at, to = loop.values
            mask = _lanes_below(builder, builder.sub(maps, loop.counter), self.lanes)
            factors = self._factors()
            rows = []
            for r in range(self.reach):
                values = []
                for s in range(self.reach):
                    value = _load(builder, self.vector, at, builder.mul(step_d, _whole(self.reach * r + s)))
                    values.append(builder.fmul(self._constant(factors[r] * factors[s]), value))
                rows.append(self._three(builder, values))
            turned = [self._three(builder, [row[s] for row in rows]) for s in range(3)]
            for r in range(3):
                for s in range(3):
                    _store_vector(builder, turned[s][r], to, builder.mul(maps, _whole(3 * r + s)), mask)
            loop.close([builder.gep(at, [_whole(self.lanes)]), builder.gep(to, [_whole(self.lanes)])])

        @intrinsic
        def gradient(typingctx: Any, d: Any, step_d: Any, maps: Any, y: Any) -> Any:
            def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                _routine(builder, f"gradient_{self.name}", list(arguments), build)
                return context.get_dummy_value()

            return types.none(*[types.int64] * 4), codegen

        return gradient


def tiles(
    dtype: str,
    lanes: int,
    pieces: int,
    size: int,
    vectors: int = 1,
    block: int = 1,
    sums: tuple[int, int] = (1, 1),
) -> Tiles:
    """Return the operations on vectors of tiles; ``lanes`` and ``pieces`` are powers of two, ``pieces >= size``."""
    return Tiles(dtype, lanes, pieces, size, vectors, block, sums)
