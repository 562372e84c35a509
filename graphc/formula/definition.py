"""From text to `Formula`: names resolved, attributes bound, axes given extents, reductions split off."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from graphc.errors import FormulaError, did_you_mean
from graphc.formula.expression import (
    Call,
    Expression,
    Number,
    Symbol,
    call,
    fold,
    number,
    substitute,
    symbols,
)
from graphc.formula.parser import (
    REDUCTIONS,
    ExpressionReader,
    Line,
    flat_name,
    index_elements,
    node_text,
    parse_expression,
    parse_lines,
)
from graphc.formula.stable import rewritten
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Formula,
    Gather,
    Guard,
    Index,
    Interval,
    Statement,
    affine,
    affine_expression,
    fresh,
    size_name,
)

__all__ = ["Definition", "bind", "vanishes"]

Attribute = int | float | str | bool | tuple[int, ...] | None

_AXIS_LETTERS = "ijklmnpqrsuvabcd"


@dataclass(frozen=True)
class Definition:
    """A formula's text and what the text cannot say.

    Parameters
    ----------
    text : str
        One statement a line.
    outside : mapping
        What a read beyond the extents of a tensor means: ``0`` or ``"skip"`` (the element takes no part
        in the reduction). Tensors not named here must never be read outside.
    extents : mapping
        Extents of axes that do not follow from the formula, as text over ``size(x, d)`` and attributes.
    integers : frozenset of str
        Tensors that hold integers.
    """

    text: str
    outside: Mapping[str, int | str] = field(default_factory=dict)
    extents: Mapping[str, str] = field(default_factory=dict)
    integers: frozenset[str] = frozenset()

    def inputs(self, attributes: Mapping[str, Attribute]) -> tuple[str, ...]:
        """Names of the input tensors, in order of first appearance."""
        lines = parse_lines(self.text)
        written = {_tensor(line.target) for line in lines}
        found: dict[str, None] = {}
        for line in lines:
            indexed = any(other.indices is not None for other in lines) or _has_subscript(line.value)
            # axes on the left may be numbers on the right, and a data-dependent index there is an input
            axes = {n.id for e in line.indices or () for n in ast.walk(e) if isinstance(n, ast.Name)}
            targets = [name for e in line.indices or () for name in _tensor_names(e, True) if _has_subscript(e)]
            axes -= set(targets)
            for name in (*targets, *_tensor_names(line.value, indexed)):
                if name not in written and name not in attributes and name not in axes:
                    found[name] = None
        return tuple(found)

    def outputs(self) -> tuple[str, ...]:
        """Names of the output tensors: written, and not read by a later line unless it is the last."""
        lines = parse_lines(self.text)
        written = list(dict.fromkeys(_tensor(line.target) for line in lines))
        read = set()
        for line in lines:
            read |= set(_tensor_names(line.value, False))
        return tuple(n for n in written if n not in read) or (written[-1],)


def _tensor(target: str) -> str:
    return target[5:-1] if target.startswith("flat(") else target


def _has_subscript(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Subscript) for child in ast.walk(node))


def _tensor_names(node: ast.expr, indexed: bool) -> list[str]:
    """Names that may be tensors: subscripted ones, and bare ones outside indices and calls."""
    found: list[str] = []

    def visit(item: ast.AST, inside: bool) -> None:
        if isinstance(item, ast.Subscript):
            if isinstance(item.value, ast.Name):
                found.append(item.value.id)
            elif isinstance(item.value, ast.Call):
                found.append(_tensor(flat_name(item.value)))
            for element in index_elements(item):
                visit(element, True)
        elif isinstance(item, ast.Call):
            name = item.func.id if isinstance(item.func, ast.Name) else ""
            arguments = item.args
            if name == "size":
                return
            if indexed and name in REDUCTIONS and len(arguments) > 1 and _all_axes(arguments[1:]):
                arguments = arguments[:1]
            for argument in arguments:
                visit(argument, inside)
        elif isinstance(item, ast.Name):
            if not inside and not indexed:
                found.append(item.id)
        else:
            for child in ast.iter_child_nodes(item):
                visit(child, inside)

    visit(node, False)
    if indexed:  # scalars may be written bare in an indexed formula: names that are no axis
        axes = {n.id for s in ast.walk(node) if isinstance(s, ast.Subscript)
                for e in index_elements(s) for n in ast.walk(e) if isinstance(n, ast.Name)}  # fmt: skip
        reduced = set()
        functions = set()
        for child in ast.walk(node):
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                functions.add(child.func.id)
                if child.func.id in REDUCTIONS:
                    reduced |= {a.id for a in child.args[1:] if isinstance(a, ast.Name)}
        for child in ast.walk(node):
            if (
                isinstance(child, ast.Name)
                and child.id not in axes | reduced | functions
                and child.id not in found
                and child.id != "inf"
            ):
                found.append(child.id)
    return found


def _all_axes(arguments: list[ast.expr]) -> bool:
    return all(isinstance(argument, ast.Name) for argument in arguments)


def vanishes(body: Expression, placeholder: str) -> bool:
    """Whether a body is certainly 0 when the placeholder is 0 (it is a factor)."""
    if isinstance(body, Symbol):
        return body.name == placeholder
    if isinstance(body, Call):
        if body.function == "mul":
            return any(vanishes(operand, placeholder) for operand in body.operands)
        if body.function in ("div", "neg"):
            return vanishes(body.operands[0], placeholder)
        if body.function in ("add", "sub"):
            return all(vanishes(operand, placeholder) for operand in body.operands)
    return False


class _Binder:
    """Binds one definition to ranks and attributes; holds what the lines share."""

    def __init__(
        self,
        name: str,
        definition: Definition,
        inputs: tuple[str, ...],
        ranks: Mapping[str, int],
        attributes: Mapping[str, Attribute],
        broadcast: Mapping[str, tuple[bool, ...]],
    ) -> None:
        self.name = name
        self.definition = definition
        self.inputs = inputs
        self.attributes = attributes
        self.broadcast = broadcast
        self.ranks: dict[str, int] = {k: ranks[k] for k in inputs}
        self.extents: dict[str, Expression] = {}
        self.statements: list[Statement] = []
        self.lines = parse_lines(definition.text)
        self.indexed = any(line.indices is not None or _has_subscript(line.value) for line in self.lines)
        self.tensors = set(inputs) | {_tensor(line.target) for line in self.lines}
        self.integers = set(definition.integers)
        self.line_extents: dict[str, Affine] = {}  # axes that the line at hand indexes a tensor with
        self.adds: set[str] = set()  # tensors whose first line adds
        self.rules: dict[str, None] = {}  # that made bodies stable

    def fail(self, reason: str) -> FormulaError:
        return FormulaError(f"formula of {self.name}: {reason}", gate=self.name)

    # ---- indices -------------------------------------------------------------------------------

    def index(self, node: ast.expr) -> Index:
        """Read one index: affine in axes with integer coefficients, or a gather."""
        if isinstance(node, ast.Subscript):
            access = self.access(node)
            self.integers.add(access.tensor)
            return Gather(access)
        if isinstance(node, ast.Name) and node.id in self.tensors and self.ranks.get(node.id) == 0:
            self.integers.add(node.id)
            return Gather(Access(node.id, ()))
        form = self.affine_form(node)
        if form is None:
            raise self.fail(
                f"the index {node_text(node)!r} is not affine: an index is a sum of axes with integer "
                "coefficients, such as stride*i + r - padding"
            )
        return form

    def affine_form(self, node: ast.expr) -> Affine | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return Affine((), node.value)
        if isinstance(node, ast.Name):
            if node.id in self.attributes:
                value = self.attributes[node.id]
                if not isinstance(value, int):
                    raise self.fail(f"the attribute {node.id}={value!r} is used in an index and must be an integer")
                return Affine((), int(value))
            if node.id in self.tensors:
                raise self.fail(f"the tensor {node.id!r} is used as an index; write {node.id}[...]")
            return affine(node.id)
        if isinstance(node, ast.Call):
            expression = ExpressionReader().call(node)
            if isinstance(expression, Symbol):
                return affine(expression.name)
            return None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.affine_form(node.operand)
            return None if inner is None else inner * -1
        if isinstance(node, ast.BinOp):
            left, right = self.affine_form(node.left), self.affine_form(node.right)
            if left is None or right is None:
                return None
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mult):
                if not left.terms:
                    return right * left.constant
                if not right.terms:
                    return left * right.constant
        return None

    def access(self, node: ast.Subscript) -> Access:
        """Read ``x[...]`` or ``flat(x)[e]``."""
        flat = isinstance(node.value, ast.Call)
        if isinstance(node.value, ast.Call):
            tensor = _tensor(flat_name(node.value))
        elif isinstance(node.value, ast.Name):
            tensor = node.value.id
        else:
            raise self.fail(f"{node_text(node)!r}: only a tensor can be indexed")
        if tensor not in self.tensors:
            raise self.fail(f"unknown tensor {tensor!r}{did_you_mean(tensor, self.tensors)}")
        elements = index_elements(node)
        index = tuple(self.index(element) for element in elements)
        if not flat:
            rank = self.ranks.setdefault(tensor, len(index))
            if rank != len(index):
                raise self.fail(
                    f"{tensor} has rank {rank}, but {node_text(node)!r} gives {len(index)} "
                    f"{'index' if len(index) == 1 else 'indices'}"
                )
        return Access(tensor, index, "forbidden", flat)

    # ---- bodies --------------------------------------------------------------------------------

    def bind(self) -> Formula:
        for line in self.lines:
            self.line(line)
        read = {t for s in self.statements for t in s.tensors()}
        written = list(dict.fromkeys(s.write.tensor for s in self.statements))
        declared = [_tensor(line.target) for line in self.lines]
        outputs = [t for t in written if t in declared and t not in read] or [declared[-1]]
        return Formula(
            self.name,
            self.inputs,
            tuple(outputs),
            tuple(self.statements),
            dict(self.ranks),
            dict(self.extents),
            frozenset(self.integers),
            frozenset(self.adds),
            tuple(self.rules),
        )

    def line(self, line: Line) -> None:
        target, index, value, text, adds = line
        tensor, flat = _tensor(target), target.startswith("flat(")
        if tensor in self.inputs:
            raise self.fail(f"{tensor!r} is an input and cannot be written: {text!r}")
        again = any(s.write.tensor == tensor for s in self.statements)
        if again and not adds:
            raise self.fail(f"{tensor!r} is written twice: add to it with +=, or give each line its own name: {text!r}")
        if adds and not again:
            self.adds.add(tensor)
        if adds and not self.indexed:
            raise self.fail(f"a line without indices has nothing to add to: {text!r}; write 'y = a + b'")
        if not self.indexed:
            rank = max((self.ranks[n] for n in _tensor_names(value, False) if n in self.ranks), default=0)
            letters = [c for c in _AXIS_LETTERS if c not in self.tensors and c not in self.attributes][:rank]
            write = Access(tensor, tuple(affine(letter) for letter in letters))
        else:
            write = Access(tensor, tuple(self.index(e) for e in index or ()), "forbidden", flat)
            letters = []
        if not flat:
            self.ranks[tensor] = len(write.index)
        self.line_extents = self.plain_extents(value)
        before = len(self.statements)
        written = set(self.inputs) | {s.write.tensor for s in self.statements}
        self.assign(write, value, letters, text, adds)
        if again:
            self.statements[-1] = replace(self.statements[-1], accumulate=True)
        for statement in self.statements[before:]:
            unwritten = [name for name in statement.tensors() if name not in written]
            if unwritten:
                raise self.fail(f"{unwritten[0]!r} is read before it is written: {text!r}; move its line up")
            written.add(statement.write.tensor)

    def assign(self, write: Access, value: ast.expr, letters: list[str], text: str, adds: bool = False) -> None:
        operator, reduced, inner = "sum" if adds else "set", (), value
        match value:
            case ast.Call(func=ast.Name(id=name), args=[body, *axes]) if (
                self.indexed and name in (("sum", "mean") if adds else REDUCTIONS) and axes and self.axes_only(axes)
            ):
                operator, inner = name, body
                reduced = tuple(axis.id for axis in axes if isinstance(axis, ast.Name))
        reader = _BodyReader(self, letters, [*write.axes(), *reduced])
        body_expression = reader.read(inner)
        self.finish(write, operator, reduced, body_expression, reader.reads, text)

    def axes_only(self, arguments: list[ast.expr]) -> bool:
        return all(
            isinstance(a, ast.Name) and a.id not in self.tensors and a.id not in self.attributes for a in arguments
        )

    def finish(
        self,
        write: Access,
        operator: str,
        reduced: tuple[str, ...],
        body: Expression,
        reads: dict[str, Access],
        text: str,
    ) -> None:
        tensor_sizes = {size_name(t, d) for t, r in self.ranks.items() for d in range(r)}
        names = [n for n in _ordered_axes(write) if n not in tensor_sizes]
        order = list(dict.fromkeys([*names, *reduced]))
        used = {n for a in reads.values() for n in a.axes()} - tensor_sizes
        for axis in sorted(used - set(order)):
            if "." in axis:
                continue
            raise self.fail(
                f"the index {axis!r} is neither on the left nor reduced in {text!r}; "
                f"write it on the left or reduce over it: sum(..., {axis})"
            )
        accesses = list(reads.values())
        axes = tuple(Axis(axis, self.axis_extent(axis, write, accesses, text)) for axis in order)
        self.write_extents(write, axes)
        if operator == "mean":
            count: Expression = Number(1)
            for axis in axes:
                if axis.name in reduced:
                    count = call("mul", count, affine_expression(axis.extent))
            operator, body = "sum", call("div", body, count)
        body, rules = rewritten(body)
        self.rules.update(dict.fromkeys(rules))
        guards: list[Guard] = []
        final: list[tuple[str, Access]] = []
        for placeholder, access in reads.items():
            policy = self.definition.outside.get(access.tensor)
            composite = [  # indices that may leave the tensor: those of axes that run over it stay inside
                (d, i)
                for d, i in enumerate(access.index)
                if isinstance(i, Affine) and (i.plain() is None or i.plain() in self.definition.extents)
            ]
            if policy is not None and composite:
                if policy == "skip" or (policy == 0 and operator == "sum" and vanishes(body, placeholder)):
                    for dimension, item in composite:
                        guard = Interval(item, affine(size_name(access.tensor, dimension)))
                        if guard not in guards:
                            guards.append(guard)
                elif policy == 0:
                    access = Access(access.tensor, access.index, "zero", access.flat)
                else:
                    raise self.fail(f"outside={{{access.tensor!r}: {policy!r}}}: a policy is 0 or 'skip'")
            final.append((placeholder, access))
        if operator in ("argmax", "argmin"):
            self.integers.add(write.tensor)
        self.statements.append(Statement(write, operator, axes, tuple(final), body, tuple(guards)))

    # ---- extents -------------------------------------------------------------------------------

    def axis_extent(self, axis: str, write: Access, reads: list[Access], text: str) -> Affine:
        if axis in self.definition.extents:
            expression = self.size_text(self.definition.extents[axis])
            for dimension, item in enumerate(write.index):
                if isinstance(item, Affine) and item.plain() == axis and not write.flat:
                    self.extents.setdefault(size_name(write.tensor, dimension), expression)
                    return affine(size_name(write.tensor, dimension))
            if isinstance(expression, Number):
                return Affine((), int(expression.value))
            if isinstance(expression, Symbol):
                return affine(expression.name)
            raise self.fail(
                f"the extent of {axis!r}, {self.definition.extents[axis]!r}, must be a number or one size, "
                "because the axis is not on the left of the formula"
            )
        for access in [*reads, *self.gathers(reads)]:
            if access.flat:
                item = access.index[0]
                if isinstance(item, Affine) and item.plain() == axis:
                    return affine(f"{access.tensor}.size")
                continue
            for dimension, item in enumerate(access.index):
                if isinstance(item, Affine) and item.plain() == axis:
                    broadcast = self.broadcast.get(access.tensor, ())
                    if not (broadcast and broadcast[dimension]):
                        return affine(size_name(access.tensor, dimension))
        for dimension, item in enumerate(write.index):  # valid windows: the tight fit
            if isinstance(item, Affine) and item.plain() == axis:
                expression = self.tight_fit(axis, reads)
                if expression is not None:
                    self.extents.setdefault(size_name(write.tensor, dimension), expression)
                    return affine(size_name(write.tensor, dimension))
        if axis in self.line_extents:
            return self.line_extents[axis]
        raise self.fail(
            f"the extent of the axis {axis!r} does not follow from {text!r}; declare it: extents={{{axis!r}: '...'}}"
        )

    def plain_extents(self, value: ast.expr) -> dict[str, Affine]:
        """Extent of each axis that stands alone in an index of a line, nested reductions included."""
        found: dict[str, Affine] = {}
        for node in ast.walk(value):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                for dimension, element in enumerate(index_elements(node)):
                    if isinstance(element, ast.Name) and element.id not in self.tensors:
                        found.setdefault(element.id, affine(size_name(node.value.id, dimension)))
        return found

    def gathers(self, reads: list[Access]) -> list[Access]:
        return [item.access for access in reads for item in access.index if isinstance(item, Gather)]

    def tight_fit(self, axis: str, reads: list[Access]) -> Expression | None:
        for access in reads:
            for dimension, item in enumerate(access.index):
                if not isinstance(item, Affine) or item.coefficient(axis) <= 0:
                    continue
                total: Expression = Symbol(size_name(access.tensor, dimension))
                total = call("sub", total, Number(1 + item.constant))
                for name, coefficient in item.terms:
                    if name != axis:
                        extent = self.axis_extent(name, Access("", ()), reads, str(access))
                        span = call("sub", affine_expression(extent), Number(1))
                        total = call("sub", total, call("mul", Number(coefficient), span))
                return call("add", Call("floordiv", (total, Number(item.coefficient(axis)))), Number(1))
        return None

    def size_text(self, text: str) -> Expression:
        expression = parse_expression(text)
        values = {name: number(value) for name, value in self.attributes.items() if isinstance(value, int | float)}
        expression = fold(substitute(expression, values))
        for name in symbols(expression):
            tensor, dot, dimension = name.rpartition(".")
            if not dot or tensor not in self.ranks or int(dimension) >= self.ranks[tensor]:
                raise self.fail(f"{name!r} in the extent {text!r} is neither an attribute nor the size of an input")
        return expression

    def write_extents(self, write: Access, axes: tuple[Axis, ...]) -> None:
        extents = {axis.name: axis.extent for axis in axes}
        if write.flat:
            for dimension in range(self.ranks.setdefault(write.tensor, self.output_rank(write.tensor))):
                key = f"{write.tensor}.{dimension}"
                self.extents[size_name(write.tensor, dimension)] = self.size_text(self.definition.extents[key])
            return
        for dimension, item in enumerate(write.index):
            key = size_name(write.tensor, dimension)
            if key in self.extents:
                continue
            declared = self.definition.extents.get(key)
            if declared is not None:
                self.extents[key] = self.size_text(declared)
            elif isinstance(item, Affine) and item.plain() in extents:
                self.extents[key] = affine_expression(extents[item.plain() or ""])
            elif isinstance(item, Affine) and not item.terms:
                self.extents[key] = Number(item.constant + 1)
            else:
                raise self.fail(
                    f"extent {dimension} of {write.tensor!r} does not follow from its index {item}; "
                    f"declare it: extents={{'{key}': '...'}}"
                )

    def output_rank(self, tensor: str) -> int:
        rank = 0
        while f"{tensor}.{rank}" in self.definition.extents:
            rank += 1
        return rank


class _BodyReader(ExpressionReader):
    """Reads a right-hand side: accesses become placeholders, nested reductions become temporaries."""

    def __init__(self, binder: _Binder, letters: list[str], visible: list[str]) -> None:
        super().__init__()
        self.binder = binder
        self.letters = letters
        self.visible = visible
        self.reads: dict[str, Access] = {}

    def placeholder(self, access: Access) -> Symbol:
        for name, known in self.reads.items():
            if known == access:
                return Symbol(name)
        # placeholders and axes share one environment when a statement runs: never the same name
        name = fresh(access.tensor, {*self.reads, *self.visible, *self.letters})
        self.reads[name] = access
        return Symbol(name)

    def name(self, name: str) -> Expression:
        binder = self.binder
        if name in binder.tensors:
            if not binder.indexed:
                return self.placeholder(Access(name, self.broadcast_index(name)))
            rank = binder.ranks.get(name, 0)
            if rank:
                raise binder.fail(f"{name!r} has rank {rank} and needs {rank} indices: write {name}[...]")
            return self.placeholder(Access(name, ()))
        if name in binder.attributes:
            value = binder.attributes[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise binder.fail(f"the attribute {name}={value!r} is not a number and cannot be in a formula")
            return number(value)
        if name in self.visible and binder.indexed:
            return Symbol(name)  # an axis as a number
        expression = super().name(name)
        if isinstance(expression, Symbol):
            known = [*binder.tensors, *binder.attributes]
            raise binder.fail(f"unknown name {name!r}{did_you_mean(name, known)}")
        return expression

    def broadcast_index(self, tensor: str) -> tuple[Index, ...]:
        rank = self.binder.ranks[tensor]
        flags = self.binder.broadcast.get(tensor, (False,) * rank)
        letters = self.letters[len(self.letters) - rank :] if rank else []
        return tuple(Affine(()) if flag else affine(c) for flag, c in zip(flags, letters, strict=True))

    def subscript(self, node: ast.Subscript) -> Expression:
        return self.placeholder(self.binder.access(node))

    def call(self, node: ast.Call) -> Expression:
        match node:
            case ast.Call(func=ast.Name(id=name), args=[body, *axes], keywords=[]) if (
                self.binder.indexed and name in REDUCTIONS and axes and self.binder.axes_only(axes)
            ):
                reduced = {axis.id for axis in axes if isinstance(axis, ast.Name)}
                inner = _BodyReader(self.binder, [], [*self.visible, *reduced])
                expression = inner.read(body)
                free: dict[str, None] = {}
                indices = [axis for access in inner.reads.values() for axis in _ordered_axes(access)]
                for axis in (*indices, *(n for n in symbols(expression) if n in self.visible)):
                    if axis not in reduced and "." not in axis:
                        free[axis] = None
                tensor = fresh("t", {*self.binder.tensors, *self.visible})
                self.binder.tensors.add(tensor)
                write = Access(tensor, tuple(affine(axis) for axis in free))
                self.binder.ranks[tensor] = len(free)
                self.binder.assign(write, node, [], node_text(node))
                return self.placeholder(write)
        if isinstance(node.func, ast.Name) and node.func.id in REDUCTIONS and node.func.id not in ("max", "min"):
            raise self.binder.fail(
                f"{node_text(node)!r}: a reduction names its axes last, as in {node.func.id}(x[n, c], c)"
            )
        return super().call(node)

    def size(self, node: ast.Call) -> Expression:
        expression = super().size(node)
        assert isinstance(expression, Symbol)
        tensor, _, dimension = expression.name.rpartition(".")
        if tensor not in self.binder.ranks or int(dimension) >= self.binder.ranks[tensor]:
            raise self.binder.fail(f"{node_text(node)!r}: no such dimension")
        return expression


def _ordered_axes(access: Access) -> list[str]:
    """Axes in order of appearance in the index."""
    found: dict[str, None] = {}
    for item in access.index:
        names = item.names() if isinstance(item, Affine) else tuple(_ordered_axes(item.access))
        for name in names:
            found[name] = None
    return list(found)


def bind(
    name: str,
    definition: Definition,
    ranks: Mapping[str, int],
    attributes: Mapping[str, Attribute],
    *,
    inputs: tuple[str, ...] | None = None,
    broadcast: Mapping[str, tuple[bool, ...]] | None = None,
) -> Formula:
    """Bind a definition to the ranks of its inputs and the values of its attributes.

    Parameters
    ----------
    ranks : mapping
        Rank of each input tensor.
    attributes : mapping
        Values of the names that are neither tensors nor axes.
    inputs : tuple of str, optional
        Input tensors in operand order; by default in order of appearance.
    broadcast : mapping, optional
        For a formula without indices: which dimensions of an operand have extent 1 and are repeated.

    Raises
    ------
    FormulaError
        If an index is not affine, an axis has no extent, or a name is unknown.
    """
    names = definition.inputs(attributes) if inputs is None else inputs
    missing = [n for n in names if n not in ranks]
    if missing:
        raise FormulaError(f"formula of {name}: no operand for {', '.join(missing)}", gate=name)
    return _Binder(name, definition, names, ranks, attributes, broadcast or {}).bind()
