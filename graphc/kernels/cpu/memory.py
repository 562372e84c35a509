# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""Intrinsics that generated kernels use to reach memory, to call by address and to choose.

Only generated modules import this file, so that Numba stays unloaded until something is compiled. Its text
is part of every kernel's hash (`graphc.kernels.cpu.cache`).

Tensors are C pointers, not Numba arrays: an index is a plain offset, without the wrap-around of negative
indices that keeps loops from being vectorised. The tensor that a kernel writes never overlaps one that it
reads (the plan keeps both alive during the launch), and loads say so to LLVM: no run-time overlap checks.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = [
    "Apart",
    "arrive",
    "call_kernel",
    "either",
    "fetch",
    "give_way",
    "integer",
    "load",
    "pointer_float32",
    "pointer_float64",
    "pointer_int32",
    "pointer_int64",
    "read_shared",
    "real32",
    "real64",
    "relax",
    "store",
]


def _scope(module: Any) -> Any:
    """Alias scope of the written tensor: scopes and domains may be named by strings."""
    domain = module.add_metadata(["graphc"])
    return module.add_metadata([module.add_metadata(["written", domain])])


def _pointer(element: Any) -> Any:
    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), codegen

    return pointer


pointer_float32 = _pointer(types.float32)
pointer_float64 = _pointer(types.float64)
pointer_int32 = _pointer(types.int32)
pointer_int64 = _pointer(types.int64)


def _reader(metadata: str) -> Any:
    @intrinsic
    def read(typingctx: Any, tensor: Any, offset: Any) -> Any:
        # integers are widened to 64 bits, so that index arithmetic has one type
        result = types.int64 if isinstance(tensor.dtype, types.Integer) else tensor.dtype

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(builder.gep(arguments[0], [arguments[1]]))
            value.set_metadata(metadata, _scope(builder.module))
            if value.type != context.get_value_type(result):
                return builder.sext(value, context.get_value_type(result))
            return value

        return result(tensor, types.int64), codegen

    return read


load = _reader("noalias")
fetch = _reader("alias.scope")  # reads the tensor that the kernel writes


def _converted(builder: Any, value: Any, target: Any) -> Any:
    """Convert between the number types of tensors."""
    source = value.type
    if source == target:
        return value
    if isinstance(source, ir.IntType):
        if isinstance(target, ir.IntType):
            if source.width == 1:
                return builder.zext(value, target)
            narrow = source.width > target.width
            return builder.trunc(value, target) if narrow else builder.sext(value, target)
        return builder.uitofp(value, target) if source.width == 1 else builder.sitofp(value, target)
    if isinstance(target, ir.IntType):
        return builder.fptosi(value, target)
    return builder.fptrunc(value, target) if isinstance(source, ir.DoubleType) else builder.fpext(value, target)


@intrinsic
def store(typingctx: Any, tensor: Any, offset: Any, value: Any) -> Any:
    """``tensor[offset] = value``, converted to the element type."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]])
        written = builder.store(_converted(builder, arguments[2], place.type.pointee), place)
        written.set_metadata("alias.scope", _scope(builder.module))
        return context.get_dummy_value()

    return types.none(tensor, types.int64, value), codegen


class Apart:
    """Reading and writing tensors of which ``count`` are written and none overlaps another.

    ``load(tensor, offset)`` reads what is not written; ``fetch[k]`` and ``store[k]`` are for the written tensor ``k``.
    """

    def __init__(self, count: int) -> None:
        def lists(module: Any) -> tuple[list[Any], Any, list[Any]]:
            """Alias scopes: of each written tensor, of all, and of all but each."""
            domain = module.add_metadata(["graphc chain"])
            own = [module.add_metadata([f"written {k}", domain]) for k in range(count)]
            single = [module.add_metadata([scope]) for scope in own]
            others = [module.add_metadata([s for j, s in enumerate(own) if j != k]) for k in range(count)]
            return single, module.add_metadata(own), others

        def reader(number: int | None) -> Any:
            @intrinsic
            def read(typingctx: Any, tensor: Any, offset: Any) -> Any:
                result = types.int64 if isinstance(tensor.dtype, types.Integer) else tensor.dtype

                def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                    value = builder.load(builder.gep(arguments[0], [arguments[1]]))
                    single, every, others = lists(builder.module)
                    if number is not None:
                        value.set_metadata("alias.scope", single[number])
                    if number is None or count > 1:
                        value.set_metadata("noalias", every if number is None else others[number])
                    return _converted(builder, value, context.get_value_type(result))

                return result(tensor, types.int64), codegen

            return read

        def writer(number: int) -> Any:
            @intrinsic
            def write(typingctx: Any, tensor: Any, offset: Any, value: Any) -> Any:
                def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                    place = builder.gep(arguments[0], [arguments[1]])
                    written = builder.store(_converted(builder, arguments[2], place.type.pointee), place)
                    single, _, others = lists(builder.module)
                    written.set_metadata("alias.scope", single[number])
                    if count > 1:
                        written.set_metadata("noalias", others[number])
                    return context.get_dummy_value()

                return types.none(tensor, types.int64, value), codegen

            return write

        self.load = reader(None)
        self.fetch = [reader(k) for k in range(count)]
        self.store = [writer(k) for k in range(count)]


def _conversion(target: Any) -> Any:
    @intrinsic
    def convert(typingctx: Any, value: Any) -> Any:
        value = types.unliteral(value)

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _converted(builder, arguments[0], context.get_value_type(target))

        return target(value), codegen

    return convert


real32 = _conversion(types.float32)
real64 = _conversion(types.float64)
integer = _conversion(types.int64)


@intrinsic
def either(typingctx: Any, condition: Any, first: Any, second: Any) -> Any:
    """``first if condition else second``, both computed: no branch, so loops stay vectorisable."""
    first, second = types.unliteral(first), types.unliteral(second)
    if first != second or condition != types.boolean:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return first(types.boolean, first, second), codegen


@intrinsic
def call_kernel(typingctx: Any, address: Any, arguments_address: Any, thread: Any, threads: Any) -> Any:
    """Call the kernel at an address with the address of its arguments, as one thread of several."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = ir.IntType(64).as_pointer()
        # the calling convention of Numba's own functions: return slot, error slot, arguments
        slot = ir.IntType(8).as_pointer()
        whole = ir.IntType(64)
        function = ir.FunctionType(ir.IntType(32), [slot.as_pointer(), slot.as_pointer(), block, whole, whole])
        result = cgutils.alloca_once(builder, slot)
        error = cgutils.alloca_once(builder, slot)
        builder.call(
            builder.inttoptr(arguments[0], function.as_pointer()),
            [result, error, builder.inttoptr(arguments[1], block), arguments[2], arguments[3]],
        )
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64, types.int64), codegen


def _atomic(builder: Any, address: Any, place: int) -> Any:
    pointer = builder.inttoptr(address, ir.IntType(64).as_pointer())
    return builder.gep(pointer, [ir.Constant(ir.IntType(64), place)])


@intrinsic
def read_shared(typingctx: Any, address: Any) -> Any:
    """Read a whole number that another thread may be writing."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_atomic(builder, arguments[0], 0), "acquire", 8)

    return types.int64(types.int64), codegen


@intrinsic
def arrive(typingctx: Any, address: Any) -> Any:
    """Add 1 to a whole number that threads share, and return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", _atomic(builder, arguments[0], 0), one, "acq_rel")

    return types.int64(types.int64), codegen


@intrinsic
def relax(typingctx: Any) -> Any:
    """Tell the processor that this thread is waiting for another."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}.get(platform.machine())
        if name is not None:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def give_way(typingctx: Any) -> Any:
    """Let another thread have the processor."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.none(), codegen
