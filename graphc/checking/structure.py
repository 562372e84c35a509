"""What the formulas of a graph say without any numbers: which gates are elementwise, what labels count in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.formula.expression import Call, Expression, Symbol
from graphc.formula.size import extent_value
from graphc.formula.statement import Affine, Formula, Gather, accesses, size_name
from graphc.gradients.local import elementwise
from graphc.graph.node import Application, Node

__all__ = ["aligned", "functions_of", "keys", "label_bounds"]


def aligned(application: Application, known: Mapping[str, int]) -> bool:
    """Whether a gate is elementwise and its operands broadcast as in NumPy, axis under axis."""
    formula = application.formula
    if not elementwise(formula):
        return False
    statement = formula.statements[0]
    written = [item.plain() if isinstance(item, Affine) else None for item in statement.write.index]
    if None in written or len(written) != len(statement.axes):
        return False
    sizes = {name: extent_value(e, known) for name, e in application.sizes.items()}
    extents = {axis.name: axis.extent.value(sizes) for axis in statement.axes}
    for _, access in statement.reads:
        rank = len(access.index)
        if rank > len(written):
            return False
        for d, (item, axis) in enumerate(zip(access.index, written[len(written) - rank :], strict=True)):
            extent = sizes[size_name(access.tensor, d)]
            # a part of an operand has the same axis, but a smaller extent
            whole = isinstance(item, Affine) and item.plain() == axis and extent == extents[axis or ""]
            repeated = isinstance(item, Affine) and not item.terms and not item.constant and extent == 1
            if not whole and not repeated:
                return False
    return True


def label_bounds(nodes: Sequence[Node], known: Mapping[str, int]) -> dict[int, int]:
    """For every leaf of whole numbers the extent that it is an index into, as far as that is seen."""
    bounds: dict[int, int] = {}
    for node in reversed(nodes):
        application = node.application
        if application is None:
            continue
        sizes = {name: extent_value(e, known) for name, e in application.sizes.items()}
        formula = application.formula
        operands = dict(zip(formula.inputs, application.operands, strict=True))
        for tensor, extent in _indexed(formula, sizes):
            if tensor in operands and not operands[tensor].is_float:
                key = operands[tensor].id
                bounds[key] = min(bounds.get(key, extent), extent)
        if not node.is_float and node.id in bounds:
            for operand in node.operands:
                if not operand.is_float:
                    bounds[operand.id] = min(bounds.get(operand.id, bounds[node.id]), bounds[node.id])
    return bounds


def functions_of(expression: Expression) -> set[str]:
    """Names of the functions that an expression calls."""
    if not isinstance(expression, Call):
        return set()
    return {expression.function}.union(*(functions_of(o) for o in expression.operands))


def keys(leaves: list[Node]) -> dict[int, str]:
    """A name for each leaf in points: its label, made different where two are alike."""
    found: dict[int, str] = {}
    for leaf in leaves:
        alike = leaf.label in found.values()
        found[leaf.id] = f"{leaf.label}_{leaf.id}" if alike else leaf.label
    return found


def _indexed(formula: Formula, sizes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Tensors that are used as indices or compared with a position, and the extent that they count in."""
    found: list[tuple[str, int]] = []
    for statement in formula.statements:
        for access in accesses(statement):
            for d, item in enumerate(access.index):
                if isinstance(item, Gather):
                    found.append((item.access.tensor, sizes.get(f"{access.tensor}.{d}", 1)))
        reads = {p: a.tensor for p, a in statement.reads}
        extents = {axis.name: axis.extent.value(sizes) for axis in statement.axes}
        work = [statement.body]
        while work:
            item = work.pop()
            if not isinstance(item, Call):
                continue
            work += item.operands
            if item.function in ("equal", "not_equal"):
                names = [o.name for o in item.operands if isinstance(o, Symbol)]
                found += [(reads[p], extents[a]) for p in names for a in names if p in reads and a in extents]
    return found
