"""Repeats: statements that run step by step, what of them can run for all steps at once, and their gradient.

A recurrence is a formula like any other, with one more axis: the *step*. ``h[t+1,n,k] = tanh(a[t,n,k])`` writes what
``a[t,n,k] = sum(h[t,n,m]*w[k,m], m)`` reads, so both must run together, step after step. Everything that lies on no
such cycle is computed for all steps at once, before or behind them: the projection of the inputs, the outputs, and the
gradient of every weight. `split` finds that as strongly connected components of "is read by".

The reverse sweep of a repeat is a repeat: its statements are the adjoints (`graphc.formula.adjoint`) in reverse order,
from the last step down. Values of the forward pass are read, not computed again; where a nonlinearity has a derivative
in its own value (sigmoid, tanh, exp), that is used.

Source: Werbos, Proc. IEEE 78 (1990), for backpropagation through time; Tarjan, SIAM J. Comput. 1 (1972), for the
components.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.formula.adjoint import Operand, Sweep
from graphc.formula.expression import ONE, ZERO, Call, Expression, Symbol, call, substitute
from graphc.formula.size import Extent, Size
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Formula,
    Gather,
    Repeat,
    Statement,
    accesses,
    affine,
    fresh,
    size_name,
)
from graphc.formula.symbolic import derivative

#: Most rows of a tensor beyond its steps that are filled one by one.
_SPARE_ROWS = 8

__all__ = ["RepeatAdjoint", "assembled", "repeat_adjoint", "split"]


# ---- what must run step by step ------------------------------------------------------------------------


def split(
    statements: Sequence[Statement], axis: str, *, ahead: bool = True
) -> list[tuple[bool, tuple[Statement, ...]]]:
    """Put statements in an order in which as few as possible run step by step.

    Parameters
    ----------
    statements : sequence of Statement
        What runs together for each value of ``axis``, in order.
    ahead : bool, default True
        Whether anything is computed for all steps before the first one: that takes memory for all steps.

    Returns
    -------
    list of (bool, tuple of Statement)
        Whether they must run step by step, and which; in an order that computes what is read before it is read.

    Notes
    -----
    Where a statement slides a window over its operands, all stay together: schedules for windows know no steps.
    """
    if any(_slides(s, axis) for s in statements):
        stepped = [s for s in statements if any(a.name == axis for a in s.axes)]
        return [*((False, (s,)) for s in statements if s not in stepped), (True, tuple(stepped))]
    readers: dict[str, list[int]] = {}
    for k, s in enumerate(statements):
        for tensor in s.tensors():
            readers.setdefault(tensor, []).append(k)
    after = [sorted(set(readers.get(s.write.tensor, ()))) for s in statements]
    component = _components(after)
    members: dict[int, list[int]] = {}
    for k, number in enumerate(component):
        members.setdefault(number, []).append(k)
    before: dict[int, set[int]] = {number: set() for number in members}
    for k, following in enumerate(after):
        for other in following:
            if component[other] != component[k]:
                before[component[other]].add(component[k])
    waiting = [(own[0], number) for number, own in members.items() if not before[number]]
    heapq.heapify(waiting)
    found: list[tuple[bool, tuple[Statement, ...]]] = []
    while waiting:
        _, number = heapq.heappop(waiting)
        own = members[number]
        cycle = len(own) > 1 or own[0] in after[own[0]]
        found.append((cycle, tuple(statements[k] for k in own)))
        for other, needed in before.items():
            if number in needed:
                needed.discard(number)
                if not needed:
                    heapq.heappush(waiting, (members[other][0], other))
    last = max((k for k, (cycle, _) in enumerate(found) if cycle), default=-1)
    if ahead or last < 0:
        return found
    inside = {id(s) for _, own in found[: last + 1] for s in own if any(a.name == axis for a in s.axes)}
    before = [group for group in found[: last + 1] if not any(id(s) in inside for s in group[1])]
    return [*before, (True, tuple(s for s in statements if id(s) in inside)), *found[last + 1 :]]


def _slides(s: Statement, axis: str) -> bool:
    """Whether an index is more than one axis and an offset."""
    own = {a.name for a in s.axes} - {axis}
    for access in accesses(s):
        for item in access.index:
            if isinstance(item, Affine) and (
                len(own & set(item.names())) > 1 or any(abs(item.coefficient(a)) > 1 for a in own)
            ):
                return not access.flat
    return bool(s.lets)


def _components(after: Sequence[Sequence[int]]) -> list[int]:
    """Number of the strongly connected component of each vertex."""
    count = len(after)
    index, low = [-1] * count, [0] * count
    component, stack = [-1] * count, []
    found = number = 0
    for root in range(count):
        if index[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            vertex, position = work.pop()
            if position == 0:
                index[vertex] = low[vertex] = found
                found += 1
                stack.append(vertex)
            for place in range(position, len(after[vertex])):
                other = after[vertex][place]
                if index[other] < 0:
                    work += [(vertex, place + 1), (other, 0)]
                    break
                if component[other] < 0:
                    low[vertex] = min(low[vertex], low[other])
            else:
                if low[vertex] == index[vertex]:
                    while component[vertex] < 0:
                        component[stack.pop()] = number
                    number += 1
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[vertex])
    return component


def assembled(
    before: Iterable[Statement],
    groups: Iterable[tuple[bool, tuple[Statement, ...]]],
    after: Iterable[Statement],
    axis: str,
    *,
    backward: bool,
) -> tuple[tuple[Statement, ...], tuple[Repeat, ...]]:
    """Statements and repeats of a formula from what lies before, inside and behind its steps."""
    statements = list(before)
    repeats = []
    for cycle, members in groups:
        if cycle:
            repeats.append(Repeat(len(statements), len(statements) + len(members), axis, backward))
        statements += members
    if not repeats:  # nothing goes round: the axis is noted all the same
        repeats.append(Repeat(len(statements), len(statements), axis, backward))
    return (*statements, *after), tuple(repeats)


# ---- the reverse sweep ---------------------------------------------------------------------------------


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
    groups = split([*own, *leading], axis, ahead=ahead)
    started, groups, rest = _started(groups, rest, sweep, filled, known, axis, backward=backward)
    return _result(formula, sweep, known, [*sweep.copies, *started], groups, rest, axis, backward=backward)


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
        own = isinstance(body, Call) and body.function in _THROUGH and s.operator == "set" and not s.write.flat
        if not own or not isinstance(body, Call):
            return derivative(body, placeholder)
        inner = derivative(body.operands[0], placeholder)
        if inner == ZERO:
            return ZERO
        taken = {axis.name for axis in s.axes} | set(reads)
        value = fresh("y", taken)
        reads[value] = s.write
        return call("mul", _THROUGH[body.function](Symbol(value)), inner)


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
    own, theirs = _region(s, sizes, axis), _region(other, sizes, axis)
    return own is not None and theirs is not None and own[0] == theirs[0] and _disjoint(own[1], theirs[1])


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
            boxes.append(((_value(item - affine(s.free()[0]), sizes), _value(s.extent(s.free()[0]), sizes)),))
        extent = sizes[size_name(target, 0)]
        apart = all(_disjoint(x, y) for k, x in enumerate(boxes) for y in boxes[:k])
        last = size_name(source, len(access.index) - 1)
        if not apart or _volume_of(boxes) != extent or sizes[last] != extent:
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


# ---- where a gradient starts ---------------------------------------------------------------------------


def _started(
    groups: list[tuple[bool, tuple[Statement, ...]]],
    rest: list[Statement],
    sweep: _Sweep,
    filled: Collection[str],
    sizes: Mapping[str, Extent],
    axis: str,
    *,
    backward: bool,
) -> tuple[list[Statement], list[tuple[bool, tuple[Statement, ...]]], list[Statement]]:
    """Let the first write of each element set it, and the others add to it; ``filled`` tensors hold something already.

    Where that cannot be seen, a tensor starts from zeros everywhere.
    """
    order = [(cycle, s) for cycle, members in groups for s in members]
    by_tensor: dict[str, list[tuple[bool, int, Statement]]] = {}
    for k, (cycle, s) in enumerate(order):
        by_tensor.setdefault(s.write.tensor, []).append((cycle, k, s))
    initial: list[Statement] = []
    changed: dict[int, Statement] = {}
    started = set(filled)
    for tensor, writers in by_tensor.items():
        if tensor not in sweep.gradient.values():  # a position of a winner and the like: written once
            started.add(tensor)
            continue
        if tensor not in filled:
            firsts, rows = _firsts(writers, sizes, axis, backward=backward)
            if len(writers) == 1 and not writers[0][0] and not (firsts and rows):
                changed[writers[0][1]] = replace(writers[0][2], accumulate=False)
                started.add(tensor)
                continue
            if firsts is None:
                initial.append(_zeros(tensor, sweep.ranks[tensor], None))
            else:
                initial += [_zeros(tensor, sweep.ranks[tensor], row) for row in rows]
        else:
            firsts = frozenset()
        started.add(tensor)
        for _, k, s in writers:
            set_here = firsts is not None and k in firsts
            operator = "set" if set_here and not s.reduced() else s.operator
            changed[k] = replace(s, operator=operator, accumulate=not set_here, partial=set_here)
    position = 0
    result = []
    for cycle, members in groups:
        result.append((cycle, tuple(changed.get(position + k, s) for k, s in enumerate(members))))
        position += len(members)
    behind = []
    for s in rest:
        behind.append(replace(s, accumulate=s.write.tensor in started))
        started.add(s.write.tensor)
    return initial, result, behind


def _zeros(tensor: str, rank: int, row: Affine | None) -> Statement:
    """Zeros everywhere, or in one row."""
    dimensions = range(rank) if row is None else range(1, rank)
    axes = tuple(Axis(f"a{d}", affine(size_name(tensor, d))) for d in dimensions)
    index = tuple(affine(a.name) for a in axes)
    write = Access(tensor, index if row is None else (row, *index))
    return Statement(write, "set", axes, (), ZERO, partial=row is not None)


def _firsts(
    writers: list[tuple[bool, int, Statement]], sizes: Mapping[str, Extent], axis: str, *, backward: bool
) -> tuple[frozenset[int] | None, list[Affine]]:
    """Which statements (by number) reach an element before all others, and the rows that none of these reaches."""
    tensor = writers[0][2].write.tensor
    found = []
    single: list[tuple[int, Affine]] = []  # statements that write one row
    for cycle, k, s in writers:
        row = _row(s, sizes, axis)
        if row is not None:
            single.append((k, row))
            continue
        region = _region(s, sizes, axis)
        if region is None:
            return None, []
        found.append((cycle, k, *region))
    if not found:
        return None, []
    # before the steps, or at the step that reaches a row first; what follows adds
    begin = min((number for cycle, number, *_ in found if cycle), default=1 << 30)
    plain = [item for item in found if item[1] < begin]
    chosen = plain or [item for item in found if item[0]]
    offset = (min if backward else max)(item[2] for item in chosen)
    if plain and {item[2] for item in chosen} != {offset}:
        return None, []
    firsts: list[tuple[int, tuple[tuple[Extent, Extent], ...]]] = []
    for _, k, own, box in chosen:
        if own == offset and all(_disjoint(box, other) for _, other in firsts):
            firsts.append((k, box))
    whole = [sizes[size_name(tensor, d)] for d in range(1, len(writers[0][2].write.index))]
    if _volume_of([box for _, box in firsts]) != _volume(whole):
        return None, []
    s = next(s for _, k, s in writers if k == firsts[0][0])
    spare = sizes[size_name(tensor, 0)] - _value(s.extent(axis), sizes)  # rows that no step reaches at this offset
    if not isinstance(spare, int) or not 0 <= offset <= spare <= _SPARE_ROWS:
        return None, []
    missing = [affine({}, r) for r in range(offset)]
    missing += [affine({size_name(tensor, 0): 1}, -r) for r in range(1, spare - offset + 1)]
    if any(k < min(k for k, _ in firsts) and row not in missing for k, row in single):
        return None, []  # it would be written over
    alone = {k: row for k, row in single if row in missing and [r for _, r in single].count(row) == 1}
    missing = [row for row in missing if row not in alone.values()]
    return frozenset([*(k for k, _ in firsts), *alone]), missing


def _row(s: Statement, sizes: Mapping[str, Extent], axis: str) -> Affine | None:
    """The row that a statement without steps sets, if it reaches all of it."""
    first = s.write.index[0] if s.write.index else None
    names = {a.name for a in s.axes}
    if axis in names or not isinstance(first, Affine) or names & set(first.names()) or s.guards or s.lets:
        return None
    plain = [item.plain() if isinstance(item, Affine) else None for item in s.write.index[1:]]
    whole = [sizes[size_name(s.write.tensor, d)] for d in range(1, len(s.write.index))]
    extents = {a.name: _value(a.extent, sizes) for a in s.axes}
    if len(set(plain)) != len(plain) or any(
        p not in extents or extents[p] != e for p, e in zip(plain, whole, strict=True)
    ):
        return None
    # as counted from the other end of the gradient
    rows = sizes[size_name(s.write.tensor, 0)]
    behind = _value(first, sizes) - rows
    return (
        first
        if not first.terms
        else affine({size_name(s.write.tensor, 0): 1}, behind if isinstance(behind, int) else 0)
    )


def _value(form: Affine, sizes: Mapping[str, Extent]) -> Extent:
    total: Extent = form.constant
    for name, coefficient in form.terms:
        total = sizes[name] * coefficient + total
    return total


def _region(
    s: Statement, sizes: Mapping[str, Extent], axis: str
) -> tuple[int, tuple[tuple[Extent, Extent], ...]] | None:
    """Offset of the step in the first index, and first element and extent in each other dimension."""
    if s.guards or s.lets or s.write.flat or s.operator not in ("set", "sum") or not s.write.index:
        return None
    names = {a.name for a in s.axes}
    used: list[str] = []
    box: list[tuple[Extent, Extent]] = []
    offset: int | None = None
    for d, item in enumerate(s.write.index):
        if not isinstance(item, Affine):
            return None
        own = [n for n in item.names() if n in names]
        if len(own) > 1 or any(item.coefficient(n) != 1 for n in own):
            return None
        if d == 0:
            if own != [axis] or (item - affine(axis)).terms:
                return None
            offset = item.constant
            continue
        used += own
        if own:
            box.append((_value(item - affine(own[0]), sizes), _value(s.extent(own[0]), sizes)))
        else:
            box.append((_value(item, sizes), 1))
    if offset is None or axis in used or len(set(used)) != len(used):
        return None
    return offset, tuple(box)


def _disjoint(a: Sequence[tuple[Extent, Extent]], b: Sequence[tuple[Extent, Extent]]) -> bool:
    for (low, count), (start, extent) in zip(a, b, strict=True):
        for gap in (start - low - count, low - start - extent):
            if isinstance(gap, int) and gap >= 0:
                return True
            if isinstance(gap, Size) and all(c > 0 for _, c in gap.terms):
                return True
    return False


def _volume(extents: Sequence[Extent]) -> Extent:
    total: Extent = 1
    for extent in extents:
        total = extent * total
    return total


def _volume_of(boxes: Iterable[Sequence[tuple[Extent, Extent]]]) -> Extent:
    total: Extent = 0
    for box in boxes:
        total = _volume([count for _, count in box]) + total
    return total


# ---- the result ----------------------------------------------------------------------------------------


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
