"""Tilings: statements that see a tensor as windows side by side, each element in one window.

Along a dimension a window has ``step`` elements, and the next one begins where it ends: what is seen there is
``step*a + r`` with ``0 <= r < step``, where ``a`` counts windows and ``r`` elements of a window. A kernel can take the
windows of a row together, one in each lane of a vector, and touches each element once: `graphc.kernels.cpu.pooling`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from graphc.formula.expression import Call, Expression, Symbol
from graphc.formula.statement import Access, Affine, Index, Statement

__all__ = ["FUNCTIONS", "WINDOW", "Tiling", "tiling"]

#: Most elements of a window: each is written out.
WINDOW = 9
#: Scalar functions that are a few operations on vectors.
FUNCTIONS = frozenset(
    (
        *("add", "sub", "mul", "div", "neg", "abs", "max", "min", "sqrt", "select", "and", "or", "not"),
        *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
    )
)


@dataclass(frozen=True)
class Tiling:
    """Axes that count windows and the elements of a window along each, by dimension of the written tensor.

    ``window`` has the axes inside a window with their extents, in row-major order.
    """

    axes: tuple[str, ...]
    steps: tuple[int, ...]
    window: dict[str, int]

    def points(self) -> Iterator[dict[str, int]]:
        """Elements of a window, row by row."""
        for place in itertools.product(*map(range, self.window.values())):
            yield dict(zip(self.window, place, strict=True))


def tiling(s: Statement) -> Tiling | None:
    """Return how a statement tiles what it reads or writes, or None where it does not, or has no such kernel.

    Either each window is reduced to one element (``max``, ``argmax``), or each element of each window is set. The
    first dimension, examples as a rule, has no windows; the last one has, so that elements of a window are neighbours
    in memory and windows are, too.
    """
    if s.accumulate or s.guards or s.lets or s.operator not in ("set", "max", "argmax"):
        return None
    accesses = [s.write, *(a for _, a in s.reads)]
    forms = [item for access in accesses for item in access.index if isinstance(item, Affine)]
    extents = {axis.name: axis.extent for axis in s.axes}
    owner: dict[str, str] = {}  # of an axis inside a window: the one that counts windows
    for form in forms:
        if len(form.terms) == 2:
            pairs = [
                (inner, outer)
                for (inner, one), (outer, count) in itertools.permutations(form.terms)
                if one == 1 and extents.get(inner) == Affine((), count) and outer in extents
            ]
            if not pairs:
                return None
            inner, outer = max(pairs, key=lambda pair: list(extents).index(pair[0]))  # what is reduced comes last
            if owner.setdefault(inner, outer) != outer:
                return None
    step: dict[str, int] = {}
    for form in forms:
        name = _counted(form, owner)
        step[name] = max(step.get(name, 1), form.coefficient(name))
    window = {axis.name: axis.extent.constant for axis in s.axes if axis.name in owner}
    written = [_counted(item, owner) for item in s.write.index]
    axes = tuple(name for name in written if name in extents)
    if len(axes) != len(written) or len(set(axes)) != len(axes) or {*axes, *window} != set(extents):
        return None
    found = Tiling(axes, tuple(step[axis] for axis in axes), window)
    if len(axes) < 2 or found.steps[0] != 1 or found.steps[-1] == 1 or math.prod(found.steps) > WINDOW:
        return None
    reduces = s.operator != "set"
    if set(s.reduced()) != (set(window) if reduces else set()):
        return None
    for item, count in zip(s.write.index, found.steps, strict=True):
        plain = isinstance(item, Affine) and item.plain() is not None
        if plain != reduces and (reduces or count > 1):  # one element of each window, or all of them
            return None
    if not all(_fits(access, found, owner) for access in accesses):
        return None
    return found if _simple(s.body, {*window, *(p for p, _ in s.reads)}) else None


def _counted(item: Index, owner: dict[str, str]) -> str:
    """The axis that an index counts windows by; empty where there is not exactly one."""
    names = [name for name in item.names() if name not in owner] if isinstance(item, Affine) else []
    return names[0] if len(names) == 1 else ""


def _fits(access: Access, found: Tiling, owner: dict[str, str]) -> bool:
    """Whether every index is a number, an axis, or an element of a window; examples first and lanes last."""
    if access.flat or access.outside != "forbidden":
        return False
    steps = dict(zip(found.axes, found.steps, strict=True))
    last = len(access.index) - 1
    for dimension, item in enumerate(access.index):
        if not isinstance(item, Affine):
            return False
        axis = _counted(item, owner)
        if not axis:
            if item.terms or item.constant < 0:
                return False
            continue
        if axis not in steps or (axis == found.axes[0] and dimension > 0):
            return False
        if axis == found.axes[-1] and dimension != last:
            return False
        if item.plain() == axis:
            continue
        inner = [owner[name] for name in item.names() if name in owner]
        if item.coefficient(axis) != steps[axis] or inner not in ([], [axis]):
            return False
        if not 0 <= item.constant < (1 if inner else steps[axis]):
            return False
    return True


def _simple(body: Expression, names: set[str]) -> bool:
    if isinstance(body, Symbol):
        return body.name in names
    return not isinstance(body, Call) or (body.function in FUNCTIONS and all(_simple(o, names) for o in body.operands))
