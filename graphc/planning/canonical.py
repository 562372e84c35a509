"""Canonical statements: tensors ``t0, t1, ...``, axes ``a0, a1, ...``, so that equal kernels have equal text.

Sizes are renamed to sizes of the statement's own tensors, because a kernel receives the extents of its tensors
and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphc.errors import PlanError
from graphc.formula.expression import Expression, Number, Symbol, fold, substitute, symbols
from graphc.formula.size import Extent
from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Gather,
    Interval,
    Let,
    Statement,
    Wins,
    affine,
    mapped_guard,
    size_name,
)

__all__ = ["Canonical", "canonical", "rename_access", "sizes_used"]


@dataclass(frozen=True)
class Canonical:
    """A canonical statement; ``tensors[k]`` is the original name of ``t{k}``.

    ``portable`` says that the result does not depend on the values of sizes, so that every application of the
    same template shares it.
    """

    statement: Statement
    tensors: tuple[str, ...]
    portable: bool


def rename_access(access: Access, tensors: Mapping[str, str], names: Mapping[str, Affine]) -> Access:
    """Rename the tensor and substitute axes and sizes."""
    index = tuple(
        item.substitute(names) if isinstance(item, Affine) else Gather(rename_access(item.access, tensors, names))
        for item in access.index
    )
    return Access(tensors[access.tensor], index, access.outside, access.flat)


def _size_forms(
    statement: Statement,
    tensors: Mapping[str, str],
    ranks: Mapping[str, int],
    sizes: Mapping[str, Extent],
) -> tuple[dict[str, Affine], bool]:
    """Express every size name in the statement through the extents of its own tensors."""
    needed = sizes_used(statement)
    own = {size_name(t, d) for t in tensors for d in range(ranks[t])}
    forms: dict[str, Affine] = {}
    for old in own:
        tensor, _, d = old.rpartition(".")
        forms[old] = affine(size_name(tensors[tensor], int(d)))
    axis_sizes: dict[str, list[tuple[str, Affine]]] = {}
    for access in [statement.write, *(a for _, a in statement.reads)]:
        if access.flat:
            continue
        for d, item in enumerate(access.index):
            if isinstance(item, Affine) and item.plain() is not None:
                own_size = size_name(access.tensor, d), affine(size_name(tensors[access.tensor], d))
                axis_sizes.setdefault(item.plain() or "", []).append(own_size)
    for axis in statement.axes:  # an axis runs over the extent of a tensor that it indexes plainly
        name = axis.extent.plain()
        if name is None:
            continue
        for size, form in axis_sizes.get(axis.name, ()):
            if sizes.get(size) == sizes.get(name):  # a tensor that is written in parts is longer than the axis
                forms[name] = form
                break
    portable = True
    for name in needed:
        if name in forms:
            continue
        portable = False
        value = sizes[name]
        same = [old for old in sorted(own) if sizes.get(old) == value]
        if isinstance(value, int):
            forms[name] = Affine((), value)
        elif same:
            forms[name] = forms[same[0]]
        else:
            raise PlanError(f"the size {name} = {value} is not an extent of a tensor of {statement}")
    return forms, portable


def sizes_used(statement: Statement) -> list[str]:
    """Names of the sizes in a statement, in order."""
    names: dict[str, None] = {}

    def form(item: Affine) -> None:
        for name in item.names():
            if "." in name:
                names[name] = None

    def access(item: Access) -> None:
        for index in item.index:
            form(index) if isinstance(index, Affine) else access(index.access)

    for axis in statement.axes:
        form(axis.extent)
    access(statement.write)
    for _, read in statement.reads:
        access(read)
    for guard in statement.guards:
        if isinstance(guard, Wins):
            access(guard.access)
            for index, extent in guard.axes:
                form(index)
                form(extent)
        else:
            form(guard.index)
            if isinstance(guard, Interval):
                form(guard.upper)
    for let in statement.lets:
        form(let.numerator)
    for name in symbols(statement.body):
        if "." in name:
            names[name] = None
    return list(names)


def canonical(statement: Statement, ranks: Mapping[str, int], sizes: Mapping[str, Extent]) -> Canonical:
    """Rename everything in a statement.

    Parameters
    ----------
    ranks : mapping
        Rank of each tensor in the statement.
    sizes : mapping
        Extent of each size name, to resolve sizes that are not of a tensor of the statement.
    """
    order = list(dict.fromkeys([statement.write.tensor, *statement.tensors()]))
    tensors = {name: f"t{k}" for k, name in enumerate(order)}
    names, portable = _size_forms(statement, tensors, ranks, sizes)
    axis_names: dict[str, str] = {}
    for k, axis in enumerate([*statement.axes]):
        axis_names[axis.name] = f"a{k}"
    for k, let in enumerate(statement.lets):
        axis_names[let.name] = f"l{k}"
    names |= {old: affine(new) for old, new in axis_names.items()}

    def placed(item: Affine) -> Affine:
        return item.substitute(names)

    def renamed(item: Access) -> Access:
        return rename_access(item, tensors, names)

    placeholders: dict[str, Expression] = {}
    reads: list[tuple[str, Access]] = []
    for k, (name, access) in enumerate(statement.reads):
        placeholders[name] = Symbol(f"v{k}")
        reads.append((f"v{k}", rename_access(access, tensors, names)))
    for name in symbols(statement.body):
        if name in axis_names and name not in placeholders:
            placeholders[name] = Symbol(axis_names[name])
        elif "." in name:
            form = names[name]
            plain = form.plain()
            placeholders[name] = Symbol(plain) if plain is not None else Number(form.constant)
    return Canonical(
        Statement(
            rename_access(statement.write, tensors, names),
            statement.operator,
            tuple(Axis(axis_names[a.name], a.extent.substitute(names)) for a in statement.axes),
            tuple(reads),
            fold(substitute(statement.body, placeholders)),
            tuple(mapped_guard(g, placed, renamed) for g in statement.guards),
            tuple(Let(axis_names[x.name], x.numerator.substitute(names), x.divisor) for x in statement.lets),
            statement.accumulate,
        ),
        tuple(order),
        portable,
    )
