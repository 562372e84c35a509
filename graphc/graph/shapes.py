"""Shapes of a bound formula: extents of every tensor, and the message when letters clash."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import FormulaError
from graphc.formula.expression import Expression, evaluate
from graphc.formula.size import Extent, Size
from graphc.formula.statement import (
    Access,
    Affine,
    Formula,
    Gather,
    Interval,
    Statement,
    affine_extent,
    size_name,
)

__all__ = ["Clash", "Shape", "extents", "shape_text"]

Shape = tuple[Extent, ...]

_INTEGER: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": operator.floordiv,
    "neg": operator.neg,
    "max": max,
    "min": min,
}


class Clash(Exception):  # noqa: N818 - never seen by the user: the caller words the error
    """Two tensors disagree about a letter, or a read leaves its tensor; the caller words the message."""

    def __init__(self, reason: str, letter: str = "", first: str = "", second: str = "", repair: str = "") -> None:
        super().__init__(reason)
        self.repair = repair  # what to try, where that is known here
        self.letter = letter
        self.first = first  # tensor that fixed the extent
        self.second = second  # tensor that disagrees


def shape_text(shape: Shape) -> str:
    """Write a shape as a tuple: ``(N, 784)``."""
    inner = ", ".join(map(str, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def extent_of(expression: Expression, environment: Mapping[str, Extent]) -> Extent:
    """Evaluate an extent expression over numbers and named sizes."""
    return evaluate(expression, environment, _INTEGER, int)


def extents(
    formula: Formula, shapes: Mapping[str, Shape], inherited: Mapping[str, Extent] | None = None
) -> dict[str, Extent]:
    """Return the extent of every dimension of every tensor, by size name (``"x.1"``).

    Parameters
    ----------
    shapes : mapping
        Shapes of the inputs.
    inherited : mapping, optional
        Sizes of the formula that this one was derived from.

    Raises
    ------
    Clash
        If two tensors disagree about a letter, an output extent is negative, or a read that may not
        leave its tensor does.
    """
    known: dict[str, Extent] = dict(inherited or {})
    for tensor, shape in shapes.items():
        count: Extent = 1
        for d, extent in enumerate(shape):
            known[size_name(tensor, d)] = extent
            count = extent * count
        known[f"{tensor}.size"] = count  # what a flat access runs over
    for name, expression in formula.extents.items():
        try:
            value = extent_of(expression, known)
        except FormulaError as error:
            raise Clash(str(error)) from None
        if (isinstance(value, int) and value < 0) or (value == 0 and not _any_zero(shapes)):
            tensor, _, dimension = name.rpartition(".")
            raise Clash(f"extent {dimension} of {tensor} would be {value}: the window is larger than the input")
        known[name] = value
    parts = {statement.write.tensor for statement in formula.statements if statement.accumulate}
    for statement in formula.statements:
        _check(statement, known, statement.write.tensor in parts)
        if not statement.accumulate and statement.write.tensor not in formula.adds:
            _check_written_once(statement, known)
    return known


def _check_written_once(statement: Statement, known: Mapping[str, Extent]) -> None:
    """Refuse a write map that takes two points to one element: which value stays would be a matter of luck."""
    if statement.write.flat or statement.race_free():
        return
    advice = f"where values should add up, write {statement.write} += ..."
    if any(isinstance(item, Gather) for item in statement.write.index):
        reason = f"{statement.write} is written where the data say, so two points may write one element"
        raise Clash(reason, repair=advice)
    spans = {axis.name: affine_extent(axis.extent, known) for axis in statement.axes}
    forms = [item for item in statement.write.index if isinstance(item, Affine)]
    found: set[str] = set()  # axes that the position tells
    left = {name for name in statement.free() if spans[name] not in (0, 1)}
    while left:
        before = len(found)
        for form in forms:
            terms = [(abs(c), name) for name, c in form.terms if name in left]
            if _tells(terms, spans):
                found |= {name for _, name in terms}
        left -= found
        if len(found) == before:
            reason = f"two points write one element of {statement.write}: its index cannot be inverted"
            raise Clash(reason, repair=advice)


def _tells(terms: list[tuple[int, str]], spans: Mapping[str, Extent]) -> bool:
    """Whether a sum of multiples tells each of its axes: every coefficient exceeds all that lies below it."""
    reach: Extent = 0
    for coefficient, name in sorted(terms):
        if not isinstance(reach, int) or coefficient <= reach:
            return False
        reach = (spans[name] + -1) * coefficient + reach
    return True


def _any_zero(shapes: Mapping[str, Shape]) -> bool:
    return any(extent == 0 for shape in shapes.values() for extent in shape)


def _accesses(statement: Statement) -> list[Access]:
    found: list[Access] = []

    def visit(access: Access) -> None:
        found.append(access)
        for item in access.index:
            if isinstance(item, Gather):
                visit(item.access)

    visit(statement.write)
    for _, access in statement.reads:
        visit(access)
    return found


def _check(statement: Statement, known: Mapping[str, Extent], part: bool) -> None:
    """Compare extents; ``part``: the statement may write a part of its tensor only."""
    letters = {axis.name: axis.extent for axis in statement.axes}
    guarded = {guard.index for guard in statement.guards if isinstance(guard, Interval)}
    for access in _accesses(statement):
        if access.flat:
            continue  # the reshape gate compares the numbers of elements itself
        for d, item in enumerate(access.index):
            if not isinstance(item, Affine):
                continue
            name = item.plain()
            extent = known[size_name(access.tensor, d)]
            # an axis that runs over the result may read a part of an operand
            own = name in letters and (letters[name or ""].plain() or "").rpartition(".")[0] == statement.write.tensor
            partial = part if access is statement.write else own
            if name in letters and not partial:
                _same(name or "", letters, known, extent, access.tensor)
            elif access.outside == "forbidden" and item not in guarded and not statement.lets:
                _inside(statement, access, item, extent, known)


def _same(
    letter: str,
    letters: Mapping[str, Affine],
    known: Mapping[str, Extent],
    extent: Extent,
    tensor: str,
) -> None:
    form = letters[letter]
    expected = affine_extent(form, known)
    if expected != extent:
        first = (form.plain() or "").rpartition(".")[0]
        raise Clash(
            f"the letter {letter} has two extents: {expected} in {first or 'the attributes'} and {extent} in {tensor}",
            letter,
            first,
            tensor,
        )


def _inside(statement: Statement, access: Access, item: Affine, extent: Extent, known: Mapping[str, Extent]) -> None:
    low: Extent = item.constant
    high: Extent = item.constant
    axes = {axis.name: axis.extent for axis in statement.axes}
    for name, coefficient in item.terms:
        if name in axes:
            span = affine_extent(axes[name], known) + -1
            if coefficient > 0:
                high = high + span * coefficient
            else:
                low = low + span * coefficient
        else:
            low = low + known[name] * coefficient
            high = high + known[name] * coefficient
    room = extent + high * -1 + -1
    if isinstance(low, Size) or isinstance(room, Size):
        return  # cannot be decided before the size is known; generated loops stay inside their axes
    empty = any(affine_extent(axes[n], known) == 0 for n, _ in item.terms if n in axes)
    if (low < 0 or room < 0) and not empty:
        raise Clash(
            f"the {'write' if access is statement.write else 'read'} {access} reaches index "
            f"{high if room < 0 else low}, but {access.tensor} has extent {extent}",
            "",
            access.tensor,
            access.tensor,
        )
