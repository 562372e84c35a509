"""Gather form: a normalisation of the write map, so that every point writes its own element.

Each write dimension gets its own plain axis ``p``: the affine write index is solved for one loop variable,
which becomes a derived axis (`Let`) with its range as an `Interval` guard and, where the coefficient is not
1, a `Divides` guard. `bounds` turns an interval into loop limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from graphc.formula.statement import (
    Access,
    Affine,
    Axis,
    Divides,
    Gather,
    Guard,
    Interval,
    Let,
    Statement,
    Wins,
    Zero,
    affine,
    fresh,
    size_name,
    substitute_axes,
)

__all__ = ["Bound", "bounds", "conflict_free", "gather", "gather_or_reason"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A loop limit ``ceil(numerator / divisor)`` with a positive divisor."""

    numerator: Affine
    divisor: int


def bounds(guard: Interval, axis: str) -> tuple[Bound, Bound] | None:
    """Turn ``0 <= index < upper`` into ``lower <= axis < limit``; None if the axis is not in the index.

    With ``index = c*axis + rest``: for c > 0 the axis runs from ``ceil(-rest/c)`` to
    ``ceil((upper - rest)/c)``; for c < 0 from ``ceil((rest - upper + 1)/|c|)`` to ``ceil((rest + 1)/|c|)``.
    """
    coefficient = guard.index.coefficient(axis)
    if coefficient == 0 or guard.upper.coefficient(axis):
        return None
    rest = guard.index - affine({axis: coefficient})
    if coefficient > 0:
        return Bound(rest * -1, coefficient), Bound(guard.upper - rest, coefficient)
    return Bound(rest - guard.upper + 1, -coefficient), Bound(rest + 1, -coefficient)


def conflict_free(statement: Statement) -> tuple[str, ...]:
    """Axes along which a scatter never writes the same element twice: alone in one write dimension."""
    found: dict[str, None] = {}
    axes = {axis.name for axis in statement.axes}
    for item in statement.write.index:
        if isinstance(item, Affine):
            own = [name for name in item.names() if name in axes]
            if len(own) == 1:
                found[own[0]] = None
    return tuple(found)


def gather(statement: Statement) -> Statement | None:
    """Return the gather form, or None where only the scatter form exists."""
    form, _ = gather_or_reason(statement)
    return form


def gather_or_reason(statement: Statement) -> tuple[Statement | None, str]:
    """Return the gather form, or None and the reason why there is none.

    Only ``sum`` and ``set`` statements are normalised. The variable solved for has coefficient 1 where
    possible, and among those the one with the larger extent (a spatial axis, not a filter axis), so that the
    loops that stay are the short ones.
    """
    if statement.race_free():
        return statement, ""
    if statement.operator not in ("set", "sum"):
        return None, f"a {statement.operator} over a non-plain write map"
    if statement.write.flat:
        return None, "a flat write"
    if any(isinstance(item, Gather) for item in statement.write.index):
        return None, "the write index depends on data"
    axes = {axis.name: axis.extent for axis in statement.axes}
    used = set(axes) | {n for _, a in statement.reads for n in a.axes()} | {let.name for let in statement.lets}
    used |= {placeholder for placeholder, _ in statement.reads}  # they share the axes' environment
    guards: list[Guard] = list(statement.guards)
    solved: dict[str, tuple[Affine, int]] = {}  # variable -> (numerator, divisor), free of solved variables
    taken: set[str] = set()  # loop axes that already are a write axis
    write: list[Affine] = []
    leading: list[Axis] = []
    # plain dimensions first: they keep their axis
    for item in statement.write.index:
        assert isinstance(item, Affine)
        name = item.plain()
        if name in axes and name not in taken:
            taken.add(name or "")
    claimed: set[str] = set()
    rank = {n: k for k, n in enumerate(_by_expected_extent(statement))}
    for dimension, item in enumerate(statement.write.index):
        assert isinstance(item, Affine)
        extent = affine(size_name(statement.write.tensor, dimension))
        name = item.plain()
        if name is not None and name in taken and name not in claimed:
            claimed.add(name)
            write.append(affine(name))
            leading.append(Axis(name, axes[name]))
            continue
        axis = fresh("p" if dimension == 0 else "pqrst"[min(dimension, 4)], used)
        used.add(axis)
        write.append(affine(axis))
        leading.append(Axis(axis, extent))
        # what is solved already is put in before the next variable is chosen: form == scale*axis
        form, scale = _eliminate(item, 1, solved)
        own = [n for n in form.names() if n in axes and n not in taken]
        if not own:
            guards.append(Zero(form - affine({axis: scale})))
            continue
        variable = min((abs(form.coefficient(n)) != 1, rank[n], n) for n in own)[2]
        coefficient = form.coefficient(variable)
        rest = form - affine({variable: coefficient})
        numerator = (affine({axis: scale}) - rest) * (1 if coefficient > 0 else -1)
        known = {variable: (numerator, abs(coefficient))}
        solved = {n: _eliminate(top, bottom, known) for n, (top, bottom) in solved.items()} | known
    replace: dict[str, Affine] = {}  # integers without division: substituted away
    lets: list[Let] = []
    for variable, (numerator, divisor) in solved.items():
        if divisor == 1:
            replace[variable] = numerator
        else:
            guards.append(Divides(numerator, divisor))
            lets.append(Let(variable, numerator, divisor))
        guards.append(Interval(numerator, axes[variable] * divisor))
    lets = [*statement.lets, *lets]
    order = [*leading, *(a for a in statement.axes if a.name not in taken and a.name not in solved)]
    return (
        Statement(
            Access(statement.write.tensor, tuple(write)),
            "sum" if len(order) > len(leading) or statement.operator == "sum" else "set",
            tuple(order),
            tuple((p, a.substitute(replace)) for p, a in statement.reads),
            substitute_axes(statement.body, replace),
            tuple(_substitute(guard, replace) for guard in guards),
            tuple(Let(let.name, let.numerator.substitute(replace), let.divisor) for let in lets),
            statement.accumulate,
        ),
        "",
    )


def _eliminate(form: Affine, divisor: int, solved: dict[str, tuple[Affine, int]]) -> tuple[Affine, int]:
    """Put solved variables into ``form / divisor``: an integer form over an integer, in lowest terms."""
    for name, (numerator, denominator) in solved.items():
        coefficient = form.coefficient(name)
        if coefficient:
            rest = form - affine({name: coefficient})
            form = rest * denominator + numerator * coefficient
            divisor *= denominator
    common = math.gcd(divisor, form.constant, *(coefficient for _, coefficient in form.terms))
    if common > 1:
        form = Affine(tuple((n, c // common) for n, c in form.terms), form.constant // common)
        divisor //= common
    return form, divisor


def _by_expected_extent(statement: Statement) -> list[str]:
    """Axes from the expectedly longest: those that upstream reads carry (spatial) before filter axes."""
    spatial: dict[str, None] = {}
    for _, access in statement.reads[::-1]:
        # the upstream gradient is read at the forward write index, so its plain axes are the spatial ones
        for item in access.index:
            if isinstance(item, Affine) and item.plain():
                spatial[item.plain() or ""] = None
        break
    names = [axis.name for axis in statement.axes]
    constant = [a.name for a in statement.axes if not a.extent.terms]
    return sorted(names, key=lambda n: (n not in spatial, n in constant, names.index(n)))


def _substitute(guard: Guard, replace: dict[str, Affine]) -> Guard:
    if isinstance(guard, Interval):
        return Interval(guard.index.substitute(replace), guard.upper)
    if isinstance(guard, Divides):
        return Divides(guard.index.substitute(replace), guard.divisor)
    if isinstance(guard, Zero):
        return Zero(guard.index.substitute(replace))
    return Wins(
        guard.access.substitute(replace),
        tuple((index.substitute(replace), extent) for index, extent in guard.axes),
    )
