"""Recognising matrix products: a sum of products of two strided reads.

The *contraction* kernel computes, for every point of up to four batch levels,
``Y[m, n] (+)= sum(A[m, k] * B[k, n], k)`` on strided arrays. Its arguments, all int64, strides and offsets in
elements::

    address of A, address of B, address of Y,
    m, n, k,
    row_stride_A, column_stride_A, row_stride_B, column_stride_B, row_stride_Y,
    accumulate, offset_A, offset_B, offset_Y,
    4 x (extent, stride_A, stride_B, stride_Y)

``Y`` has unit column stride; ``A`` and ``B`` have a unit stride in one direction. A batch level whose
``stride_Y`` is 0 adds up. One more argument is `graphc.planning.plan.Launch.split`: what parts of the kernel are, 0
what it chooses, 1 rows, 2 columns, 3 the first batch level.

Reads that slide a window, or that a guard limits, are first copied into *patches* with plain axes; writes that
slide (the gradient of a convolution's input) go to plain *columns* first and are added up afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from graphc.formula.expression import Call, Symbol
from graphc.formula.size import Extent, Size
from graphc.formula.statement import (
    Access,
    Affine,
    Gather,
    Guard,
    Interval,
    Statement,
    affine,
    size_name,
)

__all__ = ["Contraction", "Split", "recognise", "split_windows"]

BATCH_LEVELS = 4


@dataclass(frozen=True)
class Contraction:
    """Tensors and integer arguments of a contraction launch."""

    a: str
    b: str
    y: str
    arguments: tuple[Extent, ...]
    work: Extent


@dataclass(frozen=True)
class Split:
    """A statement rewritten into several, with new tensors (name -> extents)."""

    statements: tuple[Statement, ...]
    tensors: Mapping[str, tuple[Extent, ...]]


def _product(statement: Statement) -> tuple[Access, Access] | None:
    body = statement.body
    if statement.operator != "sum" or statement.lets:
        return None
    if not isinstance(body, Call) or body.function != "mul" or len(statement.reads) != 2:
        return None
    left, right = body.operands
    reads = dict(statement.reads)
    if not isinstance(left, Symbol) or not isinstance(right, Symbol) or left == right:
        return None
    if left.name not in reads or right.name not in reads:
        return None
    accesses = reads[left.name], reads[right.name]
    for access in (*accesses, statement.write):
        if access.flat or any(isinstance(item, Gather) for item in access.index):
            return None
    return accesses


def _extent(form: Affine, sizes: Mapping[str, Extent]) -> Extent:
    total: Extent = form.constant
    for name, coefficient in form.terms:
        total = sizes[name] * coefficient + total
    return total


def _axis_extents(statement: Statement, sizes: Mapping[str, Extent]) -> dict[str, Extent]:
    return {axis.name: _extent(axis.extent, sizes) for axis in statement.axes}


def _radix(item: Affine, extents: Mapping[str, Extent]) -> bool:
    """Whether axes count through an index without gaps or repetition: ``3*g + c`` with ``c < 3``."""
    if item.constant or any(name not in extents for name in item.names()):
        return False
    step: Extent = 1
    for name, coefficient in sorted(item.terms, key=lambda term: term[1]):
        if coefficient != step:
            return False
        step = extents[name] * step
    return True


def split_windows(statement: Statement, sizes: Mapping[str, Extent], prefix: str) -> Split | None:
    """Rewrite a product of sliding reads or with a sliding write into patches, product and columns.

    Returns None where the statement is no product, or nothing slides.
    """
    accesses = _product(statement)
    if accesses is None:
        return None
    extents = _axis_extents(statement, sizes)
    slides = [_sliding(access, extents) for access in accesses]
    write_slides = _sliding(statement.write, extents)
    if not any(slides) and not write_slides:
        return None
    if any(not isinstance(guard, Interval) for guard in statement.guards):
        return None
    statements: list[Statement] = []
    tensors: dict[str, tuple[Extent, ...]] = {}
    guards: list[Guard] = list(statement.guards)
    reads: list[tuple[str, Access]] = []
    for (placeholder, access), sliding in zip(
        statement.reads, _in_read_order(statement, accesses, slides), strict=True
    ):
        if not sliding:
            reads.append((placeholder, access))
            continue
        axes = _patch_axes(access, extents)
        own = [g for g in guards if isinstance(g, Interval) and g.index in access.index]
        guards = [g for g in guards if g not in own]
        name = f"{prefix}.patches.{access.tensor}"
        tensors[name] = tuple(extents[axis] for axis in axes)
        statements.append(
            Statement(
                Access(name, tuple(affine(axis) for axis in axes)),
                "set",
                tuple(a for axis in axes for a in statement.axes if a.name == axis),
                ((placeholder, access),),
                Symbol(placeholder),
                tuple(own),
            )
        )
        reads.append((placeholder, Access(name, tuple(affine(axis) for axis in axes))))
    write = statement.write
    after: Statement | None = None
    if write_slides:
        own = [g for g in guards if isinstance(g, Interval) and g.index in write.index]
        guards = [g for g in guards if g not in own]
        axes = _patch_axes(write, extents)
        name = f"{prefix}.columns"
        tensors[name] = tuple(extents[axis] for axis in axes)
        columns = Access(name, tuple(affine(axis) for axis in axes))
        after = Statement(
            write,
            "sum",
            tuple(a for axis in axes for a in statement.axes if a.name == axis),
            (("column", columns),),
            Symbol("column"),
            tuple(own),
            (),
            statement.accumulate,
        )
        write = columns
    if guards:
        return None
    accumulate = statement.accumulate and after is None
    statements.append(replace(statement, write=write, reads=tuple(reads), guards=(), accumulate=accumulate))
    if after is not None:
        statements.append(after)
    return Split(tuple(statements), tensors)


def _in_read_order(statement: Statement, accesses: tuple[Access, Access], slides: list[bool]) -> list[bool]:
    by_access = dict(zip(accesses, slides, strict=True))
    return [by_access[access] for _, access in statement.reads]


def _sliding(access: Access, extents: Mapping[str, Extent]) -> bool:
    if access.outside != "forbidden":
        return True
    return any(
        isinstance(item, Affine) and item.names() and item.plain() is None and not _radix(item, extents)
        for item in access.index
    )


def _patch_axes(access: Access, extents: Mapping[str, Extent]) -> list[str]:
    """Plain axes first, then the window, then the places it slides over (the larger extents)."""
    plain: dict[str, None] = {}
    window: dict[str, None] = {}
    places: dict[str, None] = {}
    for item in access.index:
        if not isinstance(item, Affine):
            continue
        axes = [name for name in item.names() if name in extents]
        if item.plain() is not None or _radix(item, extents):
            steps = dict(item.terms)
            ordered = sorted(axes, key=lambda n: -steps[n])
            plain |= dict.fromkeys(ordered)
        elif len(axes) < 2:
            places |= dict.fromkeys(axes)
        else:
            ordered = sorted(axes, key=lambda n: (_order(extents[n]), n))
            places[ordered.pop()] = None
            window |= dict.fromkeys(sorted(ordered))
    return list(dict.fromkeys([*plain, *window, *places]))


def _order(extent: Extent) -> float:
    return float("inf") if isinstance(extent, Size) else float(extent)


def _strides(
    access: Access, sizes: Mapping[str, Extent], axes: Mapping[str, Extent]
) -> tuple[dict[str, Extent], Extent]:
    """Elements that each axis steps over, and the constant offset."""
    strides: dict[str, Extent] = {}
    offset: Extent = 0
    step: Extent = 1
    for d in reversed(range(len(access.index))):
        item = access.index[d]
        assert isinstance(item, Affine)
        offset = step * item.constant + offset
        for name, coefficient in item.terms:
            if name in axes:
                strides[name] = step * coefficient + strides.get(name, 0)
            else:
                offset = sizes[name] * step * coefficient + offset
        step = sizes[size_name(access.tensor, d)] * step
    return strides, offset


@dataclass(frozen=True)
class _Group:
    extent: Extent
    strides: tuple[Extent, Extent, Extent]  # in A, B, Y


def _merge(
    names: list[str],
    extents: Mapping[str, Extent],
    strides: list[dict[str, Extent]],
    used: tuple[int, ...],
) -> list[_Group]:
    """Join axes that step through memory as one in every tensor that has them; outermost first."""
    order = sorted(
        names,
        key=lambda n: [(_order(strides[u].get(n, 0)), str(strides[u].get(n, 0))) for u in reversed(used)],
        reverse=True,
    )
    groups: list[_Group] = []
    for name in order:
        extent = extents[name]
        own = (strides[0].get(name, 0), strides[1].get(name, 0), strides[2].get(name, 0))
        if extent == 1:
            continue
        if groups:
            outer = groups[-1]
            if all(outer.strides[u] == own[u] * extent for u in used):
                groups[-1] = _Group(outer.extent * extent, own)
                continue
        groups.append(_Group(extent, own))
    return groups


def _largest(groups: list[_Group], need: int | None) -> int | None:
    """Index of the group to give to the matrix product: unit stride where needed, then the longest."""
    best = None
    for k, group in enumerate(groups):
        if need is not None and group.strides[need] != 1:
            continue
        if best is None or _order(group.extent) > _order(groups[best].extent):
            best = k
    return best


def recognise(statement: Statement, sizes: Mapping[str, Extent]) -> Contraction | None:
    """Recognise a statement as a batched matrix product, or return None.

    Parameters
    ----------
    sizes : mapping
        Extent of each size name of the statement's tensors.
    """
    accesses = _product(statement)
    if accesses is None or statement.guards:
        return None
    extents = _axis_extents(statement, sizes)
    for access in (*accesses, statement.write):
        if _sliding(access, extents):
            return None
    if not statement.accumulate and not _fills(statement.write, extents, sizes):
        return None  # what a product does not reach would stay unwritten
    for swap in (False, True):
        a, b = (accesses[1], accesses[0]) if swap else accesses
        found = _recognise(statement, a, b, sizes, extents)
        if found is not None:
            return found
    return None


def _fills(write: Access, extents: Mapping[str, Extent], sizes: Mapping[str, Extent]) -> bool:
    """Whether a write map without repetition reaches every element of its tensor."""
    reached: Extent = 1
    whole: Extent = 1
    for d, item in enumerate(write.index):
        whole = sizes[size_name(write.tensor, d)] * whole
        for name in item.names() if isinstance(item, Affine) else ():
            reached = extents.get(name, 1) * reached
    return reached == whole


def _recognise(
    statement: Statement,
    a: Access,
    b: Access,
    sizes: Mapping[str, Extent],
    extents: Mapping[str, Extent],
) -> Contraction | None:
    parts = [_strides(access, sizes, extents) for access in (a, b, statement.write)]
    strides, offsets = [s for s, _ in parts], [o for _, o in parts]
    kinds: dict[tuple[bool, bool, bool], list[str]] = {}
    for name in extents:
        inside = (name in strides[0], name in strides[1], name in strides[2])
        kinds.setdefault(inside, []).append(name)
    if set(kinds) - {
        (True, True, True),
        (True, False, True),
        (False, True, True),
        (True, True, False),
    }:
        return None
    batch = _merge(kinds.get((True, True, True), []), extents, strides, (0, 1, 2))
    rows = _merge(kinds.get((True, False, True), []), extents, strides, (0, 2))
    columns = _merge(kinds.get((False, True, True), []), extents, strides, (1, 2))
    inner = _merge(kinds.get((True, True, False), []), extents, strides, (0, 1))
    if not inner or not (rows or columns):
        return None  # elementwise, outer and dot products only move memory: loops do that as well
    n = _largest(columns, 2)
    if columns and n is None:
        return None
    column = columns.pop(n) if n is not None else _Group(1, (0, 1, 1))
    for row, k in _candidates(rows, inner, column):
        left_rows = [g for g in rows if g is not row]
        left_inner = [g for g in inner if g is not k]
        levels = [*batch, *left_rows, *columns, *left_inner]
        if len(levels) > BATCH_LEVELS:
            continue
        # a single row has a stride, too: that of a packed array
        single_row, single_inner = not rows, not inner
        arguments: list[Extent] = [
            row.extent,
            column.extent,
            k.extent,
            k.extent if single_row and k.strides[0] == 1 else row.strides[0],
            k.strides[0],
            column.extent if single_inner and column.strides[1] == 1 else k.strides[1],
            column.strides[1],
            column.extent if single_row else row.strides[2],
            int(statement.accumulate),
            *offsets,
        ]
        for level in levels:
            arguments += [level.extent, *level.strides]
        for _ in range(BATCH_LEVELS - len(levels)):
            arguments += [1, 0, 0, 0]
        work: Extent = 2
        for extent in extents.values():
            work = extent * work
        return Contraction(a.tensor, b.tensor, statement.write.tensor, tuple(arguments), work)
    return None


def _candidates(rows: list[_Group], inner: list[_Group], column: _Group) -> list[tuple[_Group, _Group]]:
    """Pairs (row group, inner group) whose operands are read in whole vectors, the largest product first."""
    unit_row, unit_inner = _Group(1, (1, 0, 1)), _Group(1, (1, 1, 0))
    pairs: list[tuple[_Group, _Group]] = []
    for row in rows or [unit_row]:
        for k in inner or [unit_inner]:
            a_fits = 1 in (row.strides[0], k.strides[0]) or row.extent == 1 or k.extent == 1
            b_fits = 1 in (k.strides[1], column.strides[1]) or k.extent == 1 or column.extent == 1
            if a_fits and b_fits:
                pairs.append((row, k))
    pairs.sort(key=lambda pair: -_order(pair[0].extent) * min(_order(pair[1].extent), 1e9))
    return pairs
