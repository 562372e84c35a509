"""The gradient of a repeat is a repeat: backpropagation through time, as statements.

The statements of a step are swept in reverse order (`graphc.formula.adjoint`), from the last step down. Values of the
forward pass are read, not computed again; where a nonlinearity has a derivative in its own value (sigmoid, tanh, exp),
that is used. Gradients of all inputs come from one sweep: tensors that are written alike are one tensor, sums of what
some tensor holds read that tensor, and what lies on no cycle (the gradient of every weight) is computed for all steps
at once (`graphc.formula.steps`).

Source: Werbos, Proc. IEEE 78 (1990).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.formula.adjoint import Operand, Sweep
from graphc.formula.expression import ONE, ZERO, Call, Expression, Symbol, call, substitute
from graphc.formula.first_writes import disjoint, region, volume_of
from graphc.formula.first_writes import started as first_writes
from graphc.formula.size import Extent
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Formula,
    Gather,
    Statement,
    affine,
    affine_extent,
    fresh,
    size_name,
)
from graphc.formula.steps import assembled, split
from graphc.formula.symbolic import derivative

__all__ = ["RepeatAdjoint", "repeat_adjoint"]


@dataclass(frozen=True)
class RepeatAdjoint:
    """Gradients of a repeat: a formula with a tensor for each, and with the gradient of every tensor in between.

    ``operands[k]`` says what ``formula.inputs[k]`` is bound to, ``gradients`` in which output the gradient of an input
    is, ``sizes`` the extents of all tensors. ``inner`` gives the gradient of what the repeat writes.
    """

    formula: Formula
    operands: tuple[Operand, ...]
    gradients: Mapping[str, str]
    inner: Mapping[str, str]
    sizes: Mapping[str, Extent]


def repeat_adjoint(
    formula: Formula,
    wrt: Sequence[str],
    upstream: Sequence[str],
    sizes: Mapping[str, Extent],
    *,
    ahead: bool = True,
) -> RepeatAdjoint:
    """Derive the gradients of some inputs of a formula with repeats.

    Parameters
    ----------
    wrt : sequence of str
        Inputs.
    upstream : sequence of str
        Outputs that have an upstream gradient.
    sizes : mapping
        Extent of each size name.
    ahead : bool, default True
        See `split`.

    Raises
    ------
    DerivativeError
        If a statement has no derivative in the language.
    """
    sweep = _Sweep(formula, tuple(wrt), tuple(upstream))
    axis, backward = formula.repeats[0].axis, not formula.repeats[0].backward
    leading: list[Statement] = []  # have no steps and follow the last one in the formula: here they come first
    own: list[Statement] = []
    rest: list[Statement] = []  # have no steps either: initial states
    for number in reversed(range(len(formula.statements))):
        sweep.statements = []
        sweep.statement(number)
        stepped = any(a.name == axis for a in formula.statements[number].axes)
        (own if stepped else rest if own else leading).extend(sweep.statements)
    leading, own, rest = _reached(sweep, leading, own, rest)
    own, names = _merged(own, sweep, sizes, {s.write.tensor for s in (*sweep.copies, *leading)})
    sweep.gradient = {tensor: names.get(name, name) for tensor, name in sweep.gradient.items()}
    rest = [_renamed(s, names) for s in rest]
    known = dict(sizes)
    for name, tensor in sweep.origin.items():
        for d in range(formula.ranks[tensor]):
            known[size_name(name, d)] = sizes[size_name(tensor, d)]
    filled = {s.write.tensor for s in sweep.copies}
    own = _shared(own, {*filled, *(s.write.tensor for s in leading)}, known, axis)
    own = [_counted(s, axis, known) for s in own]
    groups = split([*own, *leading], axis, ahead=ahead, ordered=False)
    begun, groups, rest = first_writes(
        groups, rest, set(sweep.gradient.values()), sweep.ranks, filled, known, axis, backward=backward
    )
    return _result(formula, sweep, known, [*sweep.copies, *begun], groups, rest, axis, backward=backward)


class _Sweep(Sweep):
    """The sweep over all inputs at once; what the forward pass wrote is there to be read."""

    def __init__(self, formula: Formula, wrt: tuple[str, ...], upstream: tuple[str, ...]) -> None:
        self.origin: dict[str, str] = {}  # new tensor -> the tensor whose shape it has
        super().__init__(formula, "", ())
        edges = [({a.tensor for _, a in s.reads}, s.write.tensor) for s in formula.statements]
        reached, leading = set(wrt), set(upstream)
        grown = True
        while grown:  # values go round with the steps
            sizes = len(reached), len(leading)
            for reads, written in edges:
                if reads & reached and written not in formula.integers:
                    reached.add(written)
                if written in leading:
                    leading |= reads
            grown = sizes != (len(reached), len(leading))
        self.affected = (reached & leading) - formula.integers
        self.copies: list[Statement] = []
        self.upstream: dict[str, str] = {}
        read = {a.tensor for s in formula.statements for _, a in s.reads if s.write.tensor in self.affected}
        for tensor in upstream:
            if tensor not in self.affected:
                continue
            if tensor not in read:
                self.upstream[tensor] = self.name_gradient(tensor)
                continue
            self.upstream[tensor] = name = fresh("upstream_" + tensor, self.used)
            self.used.add(name)
            self.like(name, tensor)
            axes = tuple(Axis(f"a{d}", affine(size_name(tensor, d))) for d in range(formula.ranks[tensor]))
            index = tuple(affine(a.name) for a in axes)
            copied = self.name_gradient(tensor)
            self.copies.append(
                Statement(Access(copied, index), "set", axes, (("g", Access(name, index)),), Symbol("g"))
            )
        for tensor in sorted(self.affected):
            self.name_gradient(tensor)

    def like(self, name: str, tensor: str) -> None:
        super().like(name, tensor)
        self.origin[name] = tensor

    def slope(self, s: Statement, placeholder: str, reads: dict[str, Access]) -> Expression:
        body = s.body
        alone = sum(o.write.tensor == s.write.tensor for o in self.formula.statements if not _starts(o)) == 1
        own = (
            alone and isinstance(body, Call) and body.function in _THROUGH and s.operator == "set" and not s.write.flat
        )
        if not own or not isinstance(body, Call):
            return derivative(body, placeholder)
        inner = derivative(body.operands[0], placeholder)
        if inner == ZERO:
            return ZERO
        taken = {axis.name for axis in s.axes} | set(reads)
        value = fresh("y", taken)
        reads[value] = s.write
        return call("mul", _THROUGH[body.function](Symbol(value)), inner)


def _starts(s: Statement) -> bool:
    """Whether a statement sets the row before the first step."""
    return (
        s.partial
        and not s.accumulate
        and isinstance(s.write.index[0], Affine)
        and not ({a.name for a in s.axes} & set(s.write.index[0].names()))
    )


#: Derivatives of functions through their values.
_THROUGH = {
    "sigmoid": lambda y: call("mul", y, call("sub", ONE, y)),
    "tanh": lambda y: call("sub", ONE, call("mul", y, y)),
    "exp": lambda y: y,
}


def _reached(sweep: _Sweep, *parts: list[Statement]) -> list[list[Statement]]:
    """Statements without those that pass on a gradient that nothing contributes to: it is zero."""
    found = list(parts)
    while True:
        held = {s.write.tensor for part in (*found, sweep.copies) for s in part} | set(sweep.upstream.values())
        zero = set(sweep.gradient.values()) - held
        kept = [[s for s in part if not zero & set(s.tensors())] for part in found]
        if kept == found:
            return found
        found = kept


def _meaning(s: Statement) -> tuple[object, ...]:
    """What a statement computes, whatever its placeholders are called and wherever it writes."""
    body = substitute(s.body, {p: Symbol(f"@{a} {a.outside}") for p, a in s.reads})
    return s.operator, s.axes, body, s.guards, s.lets, s.write.index, s.write.flat


def _renamed(s: Statement, names: Mapping[str, str]) -> Statement:
    def access(a: Access) -> Access:
        index = tuple(Gather(access(i.access)) if isinstance(i, Gather) else i for i in a.index)
        return replace(a, tensor=names.get(a.tensor, a.tensor), index=index)

    return replace(s, write=access(s.write), reads=tuple((p, access(a)) for p, a in s.reads))


def _merged(
    statements: list[Statement], sweep: _Sweep, sizes: Mapping[str, Extent], fixed: Collection[str]
) -> tuple[list[Statement], dict[str, str]]:
    """Tensors that are written alike are one: the gradients of two terms of a sum are the same. So are copies."""
    names: dict[str, str] = {}

    def shape(tensor: str) -> tuple[Extent, ...]:
        origin = sweep.origin[tensor]
        return tuple(sizes[size_name(origin, d)] for d in range(sweep.formula.ranks[origin]))

    while True:
        by_tensor: dict[str, list[Statement]] = {}
        for s in statements:
            by_tensor.setdefault(s.write.tensor, []).append(s)
        found: dict[object, str] = {}
        same: dict[str, str] = {}
        for tensor, writers in by_tensor.items():
            if tensor in fixed or tensor not in sweep.origin:
                continue
            key = (shape(tensor), tuple(map(_meaning, writers)))
            other = found.setdefault(key, tensor)
            source = _copy(writers[0]) if len(writers) == 1 else None
            if other != tensor:
                same[tensor] = other
            elif source in by_tensor and source not in fixed and shape(source) == shape(tensor):
                same[tensor] = source
                break  # the source may be a copy as well
        if not same:
            return statements, names
        names = {old: same.get(new, new) for old, new in names.items()} | same
        statements = [_renamed(s, same) for s in statements if s.write.tensor not in same]


def _counted(s: Statement, axis: str, sizes: Mapping[str, Extent]) -> Statement:
    """The number of steps as an extent of a tensor of the statement: its kernel then does not know it."""
    steps = affine_extent(s.extent(axis), sizes)
    forms = []
    for access in (s.write, *(a for _, a in s.reads)):
        first = access.index[0] if access.index and not access.flat else None
        if isinstance(first, Affine) and first.coefficient(axis) == 1:
            spare = sizes[size_name(access.tensor, 0)] - steps
            if isinstance(spare, int):
                forms.append((spare, affine({size_name(access.tensor, 0): 1}, -spare)))
    if not forms:
        return s
    extent = min(forms, key=lambda item: item[0])[1]
    return replace(s, axes=tuple(Axis(a.name, extent) if a.name == axis else a for a in s.axes))


def _copy(s: Statement) -> str | None:
    """The tensor that a statement copies element by element, if it does nothing else."""
    if s.guards or s.lets or s.reduced() or len(s.reads) != 1 or s.write.flat or not s.race_free():
        return None
    ((placeholder, access),) = s.reads
    same = s.body == Symbol(placeholder) and access.index == s.write.index and not access.flat
    return access.tensor if same and access.tensor != s.write.tensor else None


def _shared(
    statements: list[Statement], fixed: Collection[str], sizes: Mapping[str, Extent], axis: str
) -> list[Statement]:
    """Sums of what some tensor already holds read that tensor: a bias's gradient is a sum of its gate's."""
    writers: dict[str, list[Statement]] = {}
    for s in statements:
        writers.setdefault(s.write.tensor, []).append(s)
    held: dict[object, Access] = {}
    for s in statements:
        plain = not (s.reduced() or s.guards or s.lets) and s.write.tensor not in fixed
        if plain and all(o is s or _apart(s, o, sizes, axis) for o in writers[s.write.tensor]):
            held.setdefault(_meaning(s)[:5], s.write)
    result = []
    for s in statements:
        access = held.get(_meaning(s)[:5]) if s.reduced() and len(s.reads) > 1 else None
        result.append(s if access is None else replace(s, reads=(("g", access),), body=Symbol("g")))
    return _joined(result, sizes)


def _apart(s: Statement, other: Statement, sizes: Mapping[str, Extent], axis: str) -> bool:
    """Whether two statements write different elements of the same step."""
    own, theirs = region(s, sizes, axis), region(other, sizes, axis)
    return own is not None and theirs is not None and own[0] == theirs[0] and disjoint(own[1], theirs[1])


def _joined(statements: list[Statement], sizes: Mapping[str, Extent]) -> list[Statement]:
    """One sum instead of several whose parts cover a tensor: ``db[k] = sum(da[t,k])`` beside ``db[k+H] = ...``."""
    parts: dict[tuple[str, str], list[Statement]] = {}
    for s in statements:
        if len(s.reads) == 1 and s.reduced() and s.body == Symbol(s.reads[0][0]) and len(s.write.index) == 1:
            parts.setdefault((s.write.tensor, s.reads[0][1].tensor), []).append(s)
    for (target, source), own in parts.items():
        writers = [s for s in statements if s.write.tensor == target]
        first = own[0]
        access = first.reads[0][1]
        alike = all(
            s.reads[0][1].index[-1:] == s.write.index
            and s.reads[0][1].index[:-1] == access.index[:-1]
            and len(s.free()) == 1
            and isinstance(s.write.index[0], Affine)
            and s.write.index[0].coefficient(s.free()[0]) == 1
            for s in own
        )
        if len(own) < 2 or len(writers) != len(own) or not alike:
            continue
        boxes = []
        for s in own:
            item = s.write.index[0]
            assert isinstance(item, Affine)
            boxes.append(
                ((affine_extent(item - affine(s.free()[0]), sizes), affine_extent(s.extent(s.free()[0]), sizes)),)
            )
        extent = sizes[size_name(target, 0)]
        apart = all(disjoint(x, y) for k, x in enumerate(boxes) for y in boxes[:k])
        last = size_name(source, len(access.index) - 1)
        if not apart or volume_of(boxes) != extent or sizes[last] != extent:
            continue
        free = first.free()[0]
        axes = tuple(Axis(free, affine(last)) if a.name == free else a for a in first.axes)
        whole = affine(free)
        joined = replace(
            first,
            write=Access(target, (whole,)),
            axes=axes,
            reads=((first.reads[0][0], Access(source, (*access.index[:-1], whole))),),
        )
        statements = [joined if s is first else s for s in statements if s is first or s not in own]
    return statements


def _result(
    formula: Formula,
    sweep: _Sweep,
    sizes: Mapping[str, Extent],
    before: list[Statement],
    groups: list[tuple[bool, tuple[Statement, ...]]],
    after: list[Statement],
    axis: str,
    *,
    backward: bool,
) -> RepeatAdjoint:
    statements, repeats = assembled(before, groups, after, axis, backward=backward)
    written = dict.fromkeys(s.write.tensor for s in statements)
    read = dict.fromkeys(t for s in statements for t in s.tensors())
    upstream = {name: tensor for tensor, name in sweep.upstream.items()}
    operands: list[tuple[str, Operand]] = []
    for tensor in read:
        if tensor in written:
            continue
        if tensor in upstream:
            operands.append((tensor, Operand("upstream", upstream[tensor])))
        else:
            operands.append((tensor, Operand("input" if tensor in formula.inputs else "output", tensor)))
    ranks = {t: formula.ranks.get(t, sweep.ranks.get(t, 0)) for t in (*read, *written)}
    extents = {size_name(t, d): Symbol(size_name(sweep.origin[t], d)) for t in written for d in range(ranks[t])}
    derived = Formula(
        f"{formula.name}.gradient",
        tuple(name for name, _ in operands),
        tuple(written),
        statements,
        ranks,
        extents,
        (formula.integers & set(ranks)) | (sweep.integers & set(ranks)),
        repeats=repeats,
    )
    gradients = {
        tensor: sweep.gradient[tensor]
        for tensor in formula.inputs
        if tensor in sweep.gradient and sweep.gradient[tensor] in written
    }
    inner = {
        tensor: name for tensor, name in sweep.gradient.items() if tensor not in formula.inputs and name in written
    }
    return RepeatAdjoint(derived, tuple(o for _, o in operands), gradients, inner, sizes)
