"""The text of a kernel as LLVM instructions, without Numba's front end.

Kernels are written in a small part of Python: whole numbers, truth values and floats in variables of one type each,
loops over ranges, branches, and calls of intrinsics. Types follow from the order of the text, so that one walk over the
syntax tree writes the instructions. Numba infers types over all paths, lowers through several forms and optimises more
than once: that takes three to four times as long.

Intrinsics are Numba's: their code generators get a `_Context` of what they ask for. What is not understood here raises
`NotUnderstoodError`, and the text goes to Numba (`graphc.kernels.cpu.cache`), which gives it the same meaning.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from llvmlite import ir
from numba.core import types
from numba.core.datamodel.registry import default_manager

__all__ = ["NotUnderstoodError", "text_of", "translated"]

_WHOLE, _TRUTH = ir.IntType(64), ir.IntType(1)
_FLOATS = types.float32, types.float64
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_FLOAT_OPERATORS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_NUMBERS = {ast.Add: int.__add__, ast.Sub: int.__sub__, ast.Mult: int.__mul__}  # of two literals
_WHOLE_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_", ast.BitOr: "or_"}
#: A node of a loop as llvmlite writes it.
_NODE = re.compile(r'(!\d+) = !{ !"loop \d+",')


class NotUnderstoodError(Exception):
    """A text uses what only Numba understands."""


class _Context:
    """What code generators of intrinsics ask of Numba's target context."""

    def get_value_type(self, kind: Any) -> Any:
        return default_manager.lookup(kind).get_value_type()

    def make_tuple(self, builder: Any, kind: Any, values: Sequence[Any]) -> Any:
        whole = ir.Constant(self.get_value_type(kind), ir.Undefined)
        for number, value in enumerate(values):
            whole = builder.insert_value(whole, value, number)
        return whole

    def get_dummy_value(self) -> Any:
        return ir.Constant(ir.IntType(8).as_pointer(), None)


#: A value and its type in Numba's words.
_Typed = tuple[Any, Any]


@dataclass(slots=True)
class _Loop:
    """A loop around what is being written: blocks of its next turn and behind it, variables before it, names read."""

    following: Any
    behind: Any
    before: set[str]
    read: set[str]


class _Walk:
    """One walk over the function of a kernel."""

    def __init__(self, builder: Any, names: Mapping[str, Any]) -> None:
        self.builder, self.names = builder, names
        self.context = _Context()
        self.variables: dict[str, tuple[Any, Any]] = {}  # place and type
        self.loops: list[_Loop] = []
        self.count = 0
        self.changed: set[str] = set()  # names that were given another type in this branch or loop

    # ---- statements ----------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.builder.block.is_terminated:
                return  # nothing gets here
            if isinstance(statement, ast.Break | ast.Continue):
                loop = self.loops[-1]
                self.builder.branch(loop.behind if isinstance(statement, ast.Break) else loop.following)
            elif not isinstance(statement, ast.Pass):
                visit = getattr(self, f"visit_{type(statement).__name__.lower()}", None)
                if visit is None:
                    raise NotUnderstoodError(type(statement).__name__)
                visit(statement)

    def visit_expr(self, statement: ast.Expr) -> None:
        if not isinstance(statement.value, ast.Constant):  # a text
            self.typed(statement.value)

    def visit_return(self, statement: ast.Return) -> None:
        if statement.value is not None:
            raise NotUnderstoodError("a result")
        self.builder.ret(ir.Constant(ir.IntType(32), 0))

    def visit_assign(self, statement: ast.Assign) -> None:
        value, target = statement.value, statement.targets[0]
        if len(statement.targets) > 1:
            if any(isinstance(name, ast.Tuple) for name in statement.targets):
                raise NotUnderstoodError("several tuples")
            typed = self.typed(value)
            for name in statement.targets:
                self.assign(name, typed)
            return
        if not isinstance(target, ast.Tuple):
            self.assign(target, self.typed(value))
            return
        if isinstance(value, ast.Tuple):
            found = [self.typed(element) for element in value.elts]  # all before the first name: they may be exchanged
        else:
            whole, kind = self.typed(value)
            if not isinstance(kind, types.UniTuple):
                raise NotUnderstoodError("parts of a number")
            found = [(self.builder.extract_value(whole, number), kind.dtype) for number in range(kind.count)]
        if len(target.elts) != len(found):
            raise NotUnderstoodError("a tuple of another length")
        for element, typed in zip(target.elts, found, strict=True):
            self.assign(element, typed)

    def visit_augassign(self, statement: ast.AugAssign) -> None:
        if not isinstance(statement.target, ast.Name):
            raise NotUnderstoodError("an operator on an element")
        left = self.typed(ast.Name(statement.target.id, ast.Load()))
        self.assign(statement.target, self.binary(type(statement.op), left, statement.value))

    def assign(self, target: ast.expr, typed: _Typed) -> None:
        value, kind = typed
        if isinstance(target, ast.Subscript):
            base, pointer = self.typed(target.value)
            if not isinstance(pointer, types.CPointer) or pointer.dtype != kind:
                raise NotUnderstoodError("an element that is not a number")
            self.builder.store(value, self.builder.gep(base, [self.whole(target.slice)]))
            return
        if not isinstance(target, ast.Name):
            raise NotUnderstoodError(type(target).__name__)
        _, own = self.variables.get(target.id, (None, kind))
        if own == types.int64 and kind == types.boolean:
            value, kind = self.builder.zext(value, _WHOLE), own
        if own != kind and any(target.id in loop.before and target.id in loop.read for loop in self.loops):
            raise NotUnderstoodError(f"{target.id} is both {own} and {kind}")
        if own != kind:  # a name may come to mean something else
            self.changed.add(target.id)
        if own != kind or target.id not in self.variables:
            self.variables[target.id] = self.place(value.type, target.id), kind
        self.builder.store(value, self.variables[target.id][0])

    def place(self, kind: Any, name: str = "") -> Any:
        """Memory for a variable, which LLVM makes a register."""
        with self.builder.goto_entry_block():
            return self.builder.alloca(kind, name=name)

    def visit_if(self, statement: ast.If) -> None:
        then, behind = self.builder.append_basic_block("then"), self.builder.append_basic_block("behind")
        otherwise = self.builder.append_basic_block("otherwise") if statement.orelse else behind
        self.builder.cbranch(self.truth(statement.test), then, otherwise)
        for block, statements in ((then, statement.body), (otherwise, statement.orelse)):
            if block is behind:
                continue
            self.builder.position_at_end(block)
            with self.part():
                self.block(statements)
            if not self.builder.block.is_terminated:
                self.builder.branch(behind)
        self.builder.position_at_end(behind)

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """A branch or a loop: behind it, names that it gave another type have no meaning."""
        before, self.changed = self.changed, set()
        yield
        self.variables.update(dict.fromkeys(self.changed, (None, types.undefined)))
        self.changed |= before

    def visit_while(self, statement: ast.While) -> None:
        if statement.orelse:
            raise NotUnderstoodError("else behind a loop")
        builder = self.builder
        test, body, behind = (builder.append_basic_block(name) for name in ("while", "turn", "behind"))
        builder.branch(test)
        builder.position_at_end(test)
        with self.loop(test, behind):
            builder.cbranch(self.truth(statement.test), body, behind)
            builder.position_at_end(body)
            self.block(statement.body)

    @contextlib.contextmanager
    def loop(self, following: Any, behind: Any) -> Iterator[None]:
        """What is written inside is a loop; the builder is left behind it."""
        self.loops.append(_Loop(following, behind, set(self.variables), set()))
        with self.part():
            yield
        if not self.builder.block.is_terminated:
            self.builder.branch(following)
        self.loops.pop()
        self.builder.position_at_end(behind)

    def visit_for(self, statement: ast.For) -> None:
        call, builder = statement.iter, self.builder
        if statement.orelse or not isinstance(statement.target, ast.Name):
            raise NotUnderstoodError("a loop of another form")
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"):
            raise NotUnderstoodError("a loop over something else")
        bounds = [self.whole(argument) for argument in call.args]
        start, end = (ir.Constant(_WHOLE, 0), bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else ir.Constant(_WHOLE, 1)
        counter = self.place(_WHOLE)
        builder.store(start, counter)
        names = ("for", "turn", "following", "behind")
        test, body, following, behind = (builder.append_basic_block(name) for name in names)
        builder.branch(test)
        builder.position_at_end(test)
        value = builder.load(counter)
        builder.cbranch(self.remaining(value, end, step), body, behind)
        builder.position_at_end(body)
        with self.loop(following, behind):
            self.assign(statement.target, (value, types.int64))
            self.block(statement.body)
        builder.position_at_end(following)
        builder.store(builder.add(builder.load(counter), step, flags=("nsw",)), counter)
        self.once(builder.branch(test))
        builder.position_at_end(behind)

    def once(self, back: Any) -> None:
        """Say that a loop is not to be copied for several turns: vectors and tiles are as wide as registers allow.

        LLVM wants a node of its own for each loop, which names itself: `_NODE` makes it of what llvmlite can write.
        """
        module = self.builder.module
        disable = module.add_metadata(["llvm.loop.unroll.runtime.disable"])
        self.count += 1
        back.set_metadata("llvm.loop", module.add_metadata([f"loop {self.count}", disable]))

    def remaining(self, value: Any, end: Any, step: Any) -> Any:
        """Whether a range goes on."""
        below, above = (self.builder.icmp_signed(sign, value, end) for sign in "<>")
        if isinstance(step, ir.Constant):
            return below if step.constant > 0 else above
        return self.builder.select(self.builder.icmp_signed(">", step, ir.Constant(_WHOLE, 0)), below, above)

    # ---- expressions ---------------------------------------------------------------------------

    def typed(self, expression: ast.expr) -> _Typed:
        """Value and type."""
        visit = getattr(self, f"typed_{type(expression).__name__.lower()}", None)
        if visit is None:
            raise NotUnderstoodError(type(expression).__name__)
        return visit(expression)

    def typed_constant(self, expression: ast.Constant) -> _Typed:
        value = expression.value
        if isinstance(value, bool):
            return ir.Constant(_TRUTH, int(value)), types.boolean
        if isinstance(value, int) and abs(value) < 2**63:
            return ir.Constant(_WHOLE, value), types.int64
        raise NotUnderstoodError(repr(value))

    def typed_name(self, expression: ast.Name) -> _Typed:
        if expression.id in self.variables:
            place, kind = self.variables[expression.id]
            if place is None:
                raise NotUnderstoodError(f"{expression.id} may be of two types")
            for loop in self.loops:
                loop.read.add(expression.id)
            return self.builder.load(place), kind
        value = self.names.get(expression.id)
        if isinstance(value, int):
            return self.typed_constant(ast.Constant(value))
        kind = {numpy.float32: types.float32, numpy.float64: types.float64}.get(type(value))
        if value is None or kind is None:
            raise NotUnderstoodError(expression.id)
        return ir.Constant(self.context.get_value_type(kind), float(value)), kind

    def typed_tuple(self, expression: ast.Tuple) -> _Typed:
        found = [self.typed(element) for element in expression.elts]
        kinds = {kind for _, kind in found}
        if len(kinds) != 1:
            raise NotUnderstoodError("a tuple of several types")
        kind = types.UniTuple(kinds.pop(), len(found))
        return self.context.make_tuple(self.builder, kind, [value for value, _ in found]), kind

    def typed_subscript(self, expression: ast.Subscript) -> _Typed:
        value, kind = self.typed(expression.value)
        index = self.whole(expression.slice)
        if isinstance(kind, types.CPointer):
            return self.builder.load(self.builder.gep(value, [index])), kind.dtype
        if isinstance(kind, types.UniTuple) and isinstance(index, ir.Constant) and 0 <= index.constant < kind.count:
            return self.builder.extract_value(value, index.constant), kind.dtype
        raise NotUnderstoodError("an element")

    def typed_unaryop(self, expression: ast.UnaryOp) -> _Typed:
        if isinstance(expression.op, ast.Not):
            return self.builder.not_(self.truth(expression.operand)), types.boolean
        if not isinstance(expression.op, ast.USub):
            raise NotUnderstoodError(type(expression.op).__name__)
        value, kind = self.typed(expression.operand)
        if kind in _FLOATS:
            return self.builder.fneg(value), kind
        value = self.as_whole((value, kind))
        if isinstance(value, ir.Constant):
            return ir.Constant(_WHOLE, -value.constant), types.int64
        return self.builder.neg(value), types.int64

    def typed_binop(self, expression: ast.BinOp) -> _Typed:
        return self.binary(type(expression.op), self.typed(expression.left), expression.right)

    def binary(self, operator: type[ast.operator], left: _Typed, other: ast.expr) -> _Typed:
        right = self.typed(other)
        if left[1] in _FLOATS:
            if left[1] != right[1] or operator not in _FLOAT_OPERATORS:
                raise NotUnderstoodError("numbers of two types")
            return getattr(self.builder, _FLOAT_OPERATORS[operator])(left[0], right[0]), left[1]
        if left[1] == right[1] == types.boolean and operator in (ast.BitAnd, ast.BitOr):
            return getattr(self.builder, _WHOLE_OPERATORS[operator])(left[0], right[0]), types.boolean
        a, b = self.as_whole(left), self.as_whole(right)
        if isinstance(a, ir.Constant) and isinstance(b, ir.Constant) and operator in _NUMBERS:
            return ir.Constant(_WHOLE, _NUMBERS[operator](a.constant, b.constant)), types.int64
        if operator in _WHOLE_OPERATORS:
            return getattr(self.builder, _WHOLE_OPERATORS[operator])(a, b), types.int64
        if operator in (ast.FloorDiv, ast.Mod):
            quotient, rest = self.divided(a, b)
            return (quotient if operator is ast.FloorDiv else rest), types.int64
        raise NotUnderstoodError(operator.__name__)

    def divided(self, a: Any, b: Any) -> _Typed:
        """Quotient, rounded down, and rest; both 0 where the divisor is."""
        builder, zero = self.builder, ir.Constant(_WHOLE, 0)
        literal = isinstance(b, ir.Constant)
        if literal and b.constant <= 0:
            raise NotUnderstoodError("a divisor that is not positive")
        nothing = None if literal else builder.icmp_signed("==", b, zero)
        divisor = b if literal else builder.select(nothing, ir.Constant(_WHOLE, 1), b)
        quotient = builder.sdiv(a, divisor)
        rest = builder.srem(a, divisor)
        # the quotient of the processor is rounded towards 0, so its rest has the sign of the dividend
        sign = rest if literal else builder.xor(rest, divisor)
        wrong = builder.icmp_signed("<", sign, zero)
        if not literal:
            wrong = builder.and_(wrong, builder.icmp_signed("!=", rest, zero))
        quotient = builder.sub(quotient, builder.zext(wrong, _WHOLE))
        rest = builder.add(rest, builder.select(wrong, divisor, zero))
        if not literal:
            quotient = builder.select(nothing, zero, quotient)
        return quotient, rest

    def typed_compare(self, expression: ast.Compare) -> _Typed:
        if len(expression.ops) > 1:  # pairs, of which the second only counts where the first holds
            operands = [expression.left, *expression.comparators]
            if any(isinstance(part, ast.Call) for operand in operands[1:-1] for part in ast.walk(operand)):
                raise NotUnderstoodError("a call between two comparisons")
            rows = zip(operands, expression.ops, operands[1:], strict=False)
            return self.typed_boolop(ast.BoolOp(ast.And(), [ast.Compare(x, [sign], [y]) for x, sign, y in rows]))
        left, right = self.typed(expression.left), self.typed(expression.comparators[0])
        sign = _COMPARISONS.get(type(expression.ops[0]))
        if sign is None:
            raise NotUnderstoodError(type(expression.ops[0]).__name__)
        if left[1] in _FLOATS:
            if left[1] != right[1]:
                raise NotUnderstoodError("numbers of two types")
            compare = self.builder.fcmp_unordered if sign == "!=" else self.builder.fcmp_ordered  # NaN differs
            return compare(sign, left[0], right[0]), types.boolean
        return self.builder.icmp_signed(sign, self.as_whole(left), self.as_whole(right)), types.boolean

    def typed_boolop(self, expression: ast.BoolOp) -> _Typed:
        """What follows is only computed where it counts: it may read memory."""
        builder, either = self.builder, isinstance(expression.op, ast.Or)
        behind = builder.append_basic_block("behind")
        decided = []
        for operand in expression.values[:-1]:
            value, kind = self.typed(operand)
            if kind != types.boolean:
                raise NotUnderstoodError("a truth value that is a number")
            decided.append(builder.block)
            following = builder.append_basic_block("next")
            builder.cbranch(value, *((behind, following) if either else (following, behind)))
            builder.position_at_end(following)
        last, kind = self.typed(expression.values[-1])
        if kind != types.boolean:
            raise NotUnderstoodError("a truth value that is a number")
        final = builder.block
        builder.branch(behind)
        builder.position_at_end(behind)
        result = builder.phi(_TRUTH)
        for block in decided:
            result.add_incoming(ir.Constant(_TRUTH, int(either)), block)
        result.add_incoming(last, final)
        return result, types.boolean

    def typed_ifexp(self, expression: ast.IfExp) -> _Typed:
        builder = self.builder
        blocks = builder.append_basic_block("then"), builder.append_basic_block("otherwise")
        behind = builder.append_basic_block("behind")
        builder.cbranch(self.truth(expression.test), *blocks)
        found = []
        for block, value in zip(blocks, (expression.body, expression.orelse), strict=True):
            builder.position_at_end(block)
            found.append((self.typed(value), builder.block))
            builder.branch(behind)
        ((first, kind), _), ((_, other), _) = found
        if kind != other:
            raise NotUnderstoodError("a choice of two types")
        builder.position_at_end(behind)
        result = builder.phi(first.type)
        for (value, _), block in found:
            result.add_incoming(value, block)
        return result, kind

    def typed_call(self, expression: ast.Call) -> _Typed:
        if not isinstance(expression.func, ast.Name) or expression.keywords:
            raise NotUnderstoodError(ast.unparse(expression.func))
        name = expression.func.id
        if name in self.variables:
            raise NotUnderstoodError(f"{name} is called")
        found = [self.typed(argument) for argument in expression.args]
        if name in ("min", "max") and name not in self.names:
            sign, numbers = "<" if name == "min" else ">", [self.as_whole(typed) for typed in found]
            best = numbers[0]
            for number in numbers[1:]:
                best = self.builder.select(self.builder.icmp_signed(sign, number, best), number, best)
            return best, types.int64
        define = getattr(self.names.get(name), "_defn", None)
        if define is None:
            raise NotUnderstoodError(f"{name} is called")
        made = define(None, *(kind for _, kind in found))
        if made is None:
            raise NotUnderstoodError(f"{name} does not take its operands")
        signature, generate = made
        values = []
        for (value, kind), wanted in zip(found, signature.args, strict=True):
            if kind == types.boolean and wanted == types.int64:
                value, kind = self.builder.zext(value, _WHOLE), wanted
            if kind != wanted:
                raise NotUnderstoodError(f"{name} takes {wanted}, not {kind}")
            values.append(value)
        return generate(self.context, self.builder, signature, values), signature.return_type

    def truth(self, expression: ast.expr) -> Any:
        """A value as a condition."""
        value, kind = self.typed(expression)
        if kind == types.boolean:
            return value
        return self.builder.icmp_signed("!=", self.as_whole((value, kind)), ir.Constant(_WHOLE, 0))

    def whole(self, expression: ast.expr) -> Any:
        return self.as_whole(self.typed(expression))

    def as_whole(self, typed: _Typed) -> Any:
        """A whole number; truth values are 0 and 1."""
        value, kind = typed
        if kind == types.int64:
            return value
        if kind == types.boolean:
            return self.builder.zext(value, _WHOLE)
        raise NotUnderstoodError(f"{kind} is no whole number")


def translated(text: str, names: Mapping[str, Any], symbol: str) -> Any:
    """Return an LLVM module with a kernel as its only function that can be reached.

    Parameters
    ----------
    text : str
        Of the kernel's module.
    names : mapping
        What its names mean: the module after it was run.
    symbol : str
        Name of the function.

    Raises
    ------
    NotUnderstoodError
        If only Numba understands the text.
    """
    (kernel,) = [part for part in ast.parse(text).body if isinstance(part, ast.FunctionDef)]
    module = ir.Module(symbol)
    slot = ir.IntType(8).as_pointer().as_pointer()
    operands = types.CPointer(types.int64), types.int64, types.int64
    context = _Context()
    # the calling convention of Numba: a place for the result, one for an error, the operands
    kind = ir.FunctionType(ir.IntType(32), [slot, slot, *map(context.get_value_type, operands)])
    function = ir.Function(module, kind, symbol)
    function.attributes.add("nounwind")
    walk = _Walk(ir.IRBuilder(function.append_basic_block("entry")), names)
    for name, value, operand in zip(kernel.args.args, function.args[2:], operands, strict=True):
        walk.assign(ast.Name(name.arg, ast.Store()), (value, operand))
    walk.block(kernel.body)
    if not walk.builder.block.is_terminated:
        walk.visit_return(ast.Return())
    return module


def text_of(module: Any) -> str:
    """Return the text of a module that `translated` wrote."""
    return _NODE.sub(r"\1 = distinct !{ \1,", str(module))
