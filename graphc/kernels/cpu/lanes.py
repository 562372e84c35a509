# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""Elementwise arithmetic on whole vectors in generated kernels.

Where `graphc.kernels.cpu.vector` keeps sums in registers, this does to every lane what a scalar body says, with the
results of `graphc.kernels.cpu.scalar`: ``maximum`` and ``minimum`` return the first operand at a tie and propagate NaN,
comparisons with NaN are false. Truth values are masks: one bit for each lane.

Only generated modules import this file; its text is part of every kernel's hash (`graphc.kernels.cpu.cache`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.datamodel.registry import register_default
from numba.extending import intrinsic

from graphc.kernels.cpu.vector import Mask, _bytes, _load, _multiply_add, _named, _splat

__all__ = ["Lanes", "lanes"]

_INDEX = ir.IntType(32)


class Vector(types.Type):
    """``lanes`` floats."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"vector({dtype}, {lanes})")


@register_default(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


def _function(result: Any, operands: tuple[Any, ...], build: Callable[..., Any]) -> Any:
    """An intrinsic with one to three operands of fixed types; ``build`` gets the LLVM builder and their values."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = build(builder, *arguments)
        return context.get_dummy_value() if result is types.none else value

    signature = result(*operands)
    if len(operands) == 1:

        @intrinsic
        def unary(typingctx: Any, x: Any) -> Any:
            return signature, codegen

        return unary
    if len(operands) == 2:

        @intrinsic
        def binary(typingctx: Any, x: Any, y: Any) -> Any:
            return signature, codegen

        return binary

    @intrinsic
    def ternary(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
        return signature, codegen

    return ternary


def _larger(comparison: str) -> Callable[[Any, Any, Any], Any]:
    """The second operand where it is beyond the first or NaN, but not where the first is NaN."""

    def build(builder: Any, x: Any, y: Any) -> Any:
        number = builder.fcmp_ordered("ord", x, x)
        return builder.select(builder.and_(builder.fcmp_unordered(comparison, y, x), number), y, x)

    return build


def _beyond(comparison: str) -> Callable[[Any, Any, Any], Any]:
    """The first operand where it is beyond the second, else the second: one instruction of most processors."""
    return lambda builder, x, y: builder.select(builder.fcmp_ordered(comparison, x, y), x, y)


def _intrinsic(name: str) -> Callable[..., Any]:
    def build(builder: Any, *operands: Any) -> Any:
        return _named(builder, name, operands[0].type, operands[0].type, list(operands))

    return build


def _comparison(operator: str) -> Callable[[Any, Any, Any], Any]:
    if operator == "!=":  # true where an operand is NaN
        return lambda builder, x, y: builder.fcmp_unordered(operator, x, y)
    return lambda builder, x, y: builder.fcmp_ordered(operator, x, y)


def _rounding_error(builder: Any, x: Any, y: Any) -> Any:
    total = builder.fadd(x, y)
    part = builder.fsub(total, x)
    return builder.fadd(builder.fsub(x, builder.fsub(total, part)), builder.fsub(y, part))


def _part(builder: Any, x: Any, first: int, count: int) -> Any:
    order = ir.Constant(ir.VectorType(_INDEX, count), list(range(first, first + count)))
    return builder.shuffle_vector(x, ir.Constant(x.type, ir.Undefined), order)


def _compensated(builder: Any, total: Any, lost: Any) -> Any:
    """The sum of all lanes of both; what is lost counts nothing where it is no number: beside infinities."""
    while total.type.count > 1:
        half = total.type.count // 2
        (x, y), (x_lost, y_lost) = (
            [_part(builder, whole, first, half) for first in (0, half)] for whole in (total, lost)
        )
        total = builder.fadd(x, y)
        lost = builder.fadd(builder.fadd(x_lost, y_lost), _rounding_error(builder, x, y))
    total, lost = (builder.extract_element(x, ir.Constant(_INDEX, 0)) for x in (total, lost))
    return builder.select(builder.fcmp_ordered("ord", lost, lost), builder.fadd(total, lost), total)


def _keep(builder: Any, tensor: Any, at: Any, x: Any) -> Any:
    builder.store(x, builder.bitcast(builder.gep(tensor, [at]), x.type.as_pointer()), align=_bytes(x.type))


class Lanes:
    """Operations on vectors of ``count`` floats; offsets are elements.

    ``spread(value)`` puts a number into every lane. ``choose(mask, x, y)`` is ``x`` where the mask is true, else ``y``;
    ``both``, ``any`` and ``invert`` combine masks. ``above(x, y)`` is ``x`` where it is larger, else ``y``: also where
    one of them is NaN, which ``unordered(x, y)`` says; ``below`` is the same with smaller.

    ``read(step)`` returns a function ``f(tensor, at, mask)`` to read ``count`` windows of ``step`` neighbours: vector
    ``r`` of its result holds ``tensor[at + step*lane + r]``. ``write(step)`` returns ``f(tensor, at, vectors, mask)``.
    Their masks have ``step * count`` lanes: where they are false, zeros are read and nothing is written.
    ``load(tensor, at)`` and ``keep(tensor, at, vector)`` read and write whole vectors.

    ``multiply_add(x, y, z)`` is ``x*y + z``, rounded once; ``rounding_error(x, y)`` is what ``add(x, y)`` loses.
    ``halved(n)`` returns the function that adds halves of a vector until ``n`` lanes are left, and ``total(sum, lost)``
    adds all lanes, and what is lost on the way.
    """

    def __init__(self, dtype: str, count: int) -> None:
        element = {"float32": types.float32, "float64": types.float64}[dtype]
        self.count = count
        self.pointer = types.CPointer(element)
        self.vector, self.mask = Vector(element, count), Mask(count)
        v, m = self.vector, self.mask
        self.spread = _function(v, (element,), lambda builder, x: _splat(builder, x, count))
        self.add = _function(v, (v, v), lambda builder, x, y: builder.fadd(x, y))
        self.sub = _function(v, (v, v), lambda builder, x, y: builder.fsub(x, y))
        self.mul = _function(v, (v, v), lambda builder, x, y: builder.fmul(x, y))
        self.div = _function(v, (v, v), lambda builder, x, y: builder.fdiv(x, y))
        self.neg = _function(v, (v,), lambda builder, x: builder.fneg(x))
        self.absolute = _function(v, (v,), _intrinsic("llvm.fabs.{}"))
        self.sqrt = _function(v, (v,), _intrinsic("llvm.sqrt.{}"))
        self.maximum = _function(v, (v, v), _larger(">"))
        self.minimum = _function(v, (v, v), _larger("<"))
        self.above = _function(v, (v, v), _beyond(">"))
        self.below = _function(v, (v, v), _beyond("<"))
        self.unordered = _function(m, (v, v), lambda builder, x, y: builder.fcmp_unordered("uno", x, y))
        self.less, self.less_equal, self.greater, self.greater_equal, self.equal, self.not_equal = (
            _function(m, (v, v), _comparison(operator)) for operator in ("<", "<=", ">", ">=", "==", "!=")
        )
        self.choose = _function(v, (m, v, v), lambda builder, x, y, z: builder.select(x, y, z))
        self.both = _function(m, (m, m), lambda builder, x, y: builder.and_(x, y))
        self.any = _function(m, (m, m), lambda builder, x, y: builder.or_(x, y))
        self.invert = _function(m, (m,), lambda builder, x: builder.not_(x))
        self.multiply_add = _function(v, (v, v, v), _multiply_add)
        self.rounding_error = _function(v, (v, v), _rounding_error)
        self.total = _function(element, (v, v), _compensated)
        self.load = _function(v, (self.pointer, types.int64), self._whole)
        self.keep = _function(types.none, (self.pointer, types.int64, v), _keep)

    def _whole(self, builder: Any, tensor: Any, at: Any) -> Any:
        return _load(builder, ir.VectorType(tensor.type.pointee, self.count), tensor, at)

    def halved(self, count: int) -> Any:
        """Return the function that adds halves until so many lanes are left."""

        def build(builder: Any, x: Any) -> Any:
            while x.type.count > count:
                half = x.type.count // 2
                x = builder.fadd(_part(builder, x, 0, half), _part(builder, x, half, half))
            return x

        return _function(Vector(self.vector.dtype, count), (self.vector,), build)

    def _several(self, step: int) -> Any:
        return self.vector if step == 1 else types.UniTuple(self.vector, step)

    def read(self, step: int) -> Any:
        """Return the function that reads windows of so many neighbours."""
        result, mask, pointer, count = self._several(step), Mask(step * self.count), self.pointer, self.count

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tensor, at, inside = arguments
            kind = context.get_value_type(self.vector)
            whole = _load(builder, ir.VectorType(kind.element, step * count), tensor, at, inside)
            if step == 1:
                return whole
            nothing = ir.Constant(whole.type, ir.Undefined)
            parts = []
            for r in range(step):
                order = ir.Constant(ir.VectorType(_INDEX, count), [step * lane + r for lane in range(count)])
                parts.append(builder.shuffle_vector(whole, nothing, order))
            return context.make_tuple(builder, result, parts)

        @intrinsic
        def read(typingctx: Any, tensor: Any, at: Any, inside: Any) -> Any:
            return result(pointer, types.int64, mask), codegen

        return read

    def write(self, step: int) -> Any:
        """Return the function that writes windows of so many neighbours."""
        several, mask, pointer, count = self._several(step), Mask(step * self.count), self.pointer, self.count

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            tensor, at, vectors, inside = arguments
            parts = [vectors] if step == 1 else [builder.extract_value(vectors, r) for r in range(step)]
            whole = parts[0]
            for r, part in enumerate(parts[1:], 1):  # r vectors in `whole`: put the next behind them
                order = list(range((r + 1) * count))
                wide = part
                if r > 1:
                    again = [lane if lane < count else 0 for lane in range(r * count)]
                    nothing = ir.Constant(part.type, ir.Undefined)
                    wide = builder.shuffle_vector(part, nothing, ir.Constant(ir.VectorType(_INDEX, r * count), again))
                whole = builder.shuffle_vector(whole, wide, ir.Constant(ir.VectorType(_INDEX, len(order)), order))
            if step > 1:
                order = [r * count + lane for lane in range(count) for r in range(step)]
                nothing = ir.Constant(whole.type, ir.Undefined)
                whole = builder.shuffle_vector(whole, nothing, ir.Constant(ir.VectorType(_INDEX, len(order)), order))
            address = builder.bitcast(builder.gep(tensor, [at]), whole.type.as_pointer())
            align = ir.Constant(_INDEX, _bytes(whole.type))
            _named(builder, "llvm.masked.store.{}.p0", whole.type, ir.VoidType(), [whole, address, align, inside])
            return context.get_dummy_value()

        @intrinsic
        def write(typingctx: Any, tensor: Any, at: Any, vectors: Any, inside: Any) -> Any:
            return types.none(pointer, types.int64, several, mask), codegen

        return write


def lanes(dtype: str, count: int) -> Lanes:
    """Return the operations on vectors of ``count`` floats; ``count`` is a power of two."""
    return Lanes(dtype, count)
