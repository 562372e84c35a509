"""Reads a convolution off its formula: which element of the input meets which weight for which output.

Nothing here knows the name of a gate: any formula ``y[...] = sum(x[...] * w[...], ...)`` with affine indices can be
read, with its stride, padding and dilation, and whether weights are shared or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.errors import DrawingError
from graphc.formula.expression import Call, Symbol
from graphc.formula.size import extent_value
from graphc.formula.statement import Access, Affine, Formula
from graphc.graph.node import Node

__all__ = ["Products", "products_of", "slides"]

#: Most products of one example that are read.
LIMIT = 200_000


@dataclass(frozen=True)
class Products:
    """The products of one example, one row each, sorted by output.

    Attributes
    ----------
    image, weight, result : Node
        Operands and result.
    output, read, element : array of int, shape (P, rank)
        Index into the result and the image of one example, and into the weight. A read may lie outside of the image:
        it meets the zeros of the padding.
    output_shape, input_shape, weight_shape : tuple of int
        Of one example.
    batched : bool
        Whether the first axis of image and result counts examples.
    spatial : int
        How many of the last axes the window slides along.
    """

    image: Node
    weight: Node
    result: Node
    output: numpy.ndarray
    read: numpy.ndarray
    element: numpy.ndarray
    output_shape: tuple[int, ...]
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    batched: bool
    spatial: int


def _factors(node: Node) -> tuple[Access, Access] | None:
    """Return the accesses of image and weight, if a node's formula is one sum of products of two operands."""
    application = node.application
    if application is None or len(application.formula.statements) != 1:
        return None
    (statement,) = application.formula.statements
    reads, body = dict(statement.reads), statement.body
    if statement.operator not in ("set", "sum") or statement.accumulate or statement.lets or len(reads) != 2:
        return None
    if not (isinstance(body, Call) and body.function == "mul" and all(isinstance(o, Symbol) for o in body.operands)):
        return None
    first, second = (reads[o.name] for o in body.operands if isinstance(o, Symbol))
    if first.tensor == second.tensor or not all(_affine(a) for a in (first, second, statement.write)):
        return None
    by_name = _operands(application.formula, node)
    if by_name[first.tensor].kind == "parameter" and by_name[second.tensor].kind != "parameter":
        first, second = second, first
    return first, second


def slides(node: Node) -> bool:
    """Whether a node slides a window along at least one axis."""
    found = _factors(node)
    return found is not None and _spatial(node, found[0]) > 0


def _spatial(node: Node, read: Access) -> int:
    """Count the last indices of a read that are sums of an axis of the output, which has it as it is, and a summed one.

    The channels of groups are such sums as well, but the output has them as sums, too.
    """
    assert node.application is not None
    (statement,) = node.application.formula.statements
    summed, count = set(statement.reduced()), 0
    for item, written in zip(reversed(read.index), reversed(statement.write.index), strict=False):
        names = set(item.names()) if isinstance(item, Affine) else set()
        place = written.plain() if isinstance(written, Affine) else None
        if place not in names or not names & summed:
            break
        count += 1
    return count


def products_of(node: Node, sizes: Mapping[str, int] | None = None) -> Products:
    """Read all products of one example.

    Parameters
    ----------
    sizes : mapping, optional
        Named sizes, where a run has bound them.

    Raises
    ------
    DrawingError
        If the node is no such sum, an extent is not a number, or there are more products than can be drawn.
    """
    found = _factors(node)
    if found is None:
        formula = f": {node.application.formula}" if node.application is not None else ""
        raise DrawingError(
            f"style='convolution' draws one sum of products x[...] * w[...], found the {node.kind} "
            f"{node.label!r}{formula}\n  declared at {node.site}\n"
            "  Try: node= with the convolution itself, such as graphc.conv2d(x, w), or the name of its layer",
            node=node,
            site=node.site,
        )
    first, second = found
    application = node.application
    assert application is not None
    (statement,) = application.formula.statements
    by_name = _operands(application.formula, node)
    batched = _leads(first, statement.write, second)
    leading = statement.write.index[0] if batched else None
    example = leading.names()[0] if isinstance(leading, Affine) else ""
    known: dict[str, int] = {}
    for name, extent in application.sizes.items():
        try:
            known[name] = extent_value(extent, sizes or {})
        except KeyError:
            continue  # refused below, where an axis has it
    axes = [axis for axis in statement.axes if axis.name != example]
    for axis in axes:
        unknown = set(axis.extent.names()) - set(known)
        if unknown:
            raise DrawingError(
                f"the axis {axis.name} of {node.label!r} has no number of elements yet; draw a run: "
                f"graphc.backward(...).at(...)\n  declared at {node.site}",
                node=node,
                site=node.site,
            )
    extents = [axis.extent.value(known) for axis in axes]
    total = int(numpy.prod(extents, dtype="int64"))
    if total > LIMIT:
        raise DrawingError(
            f"{node.label!r} forms {total:,} products for one example; at most {LIMIT:,} can be drawn\n"
            f"  declared at {node.site}\n  Try: the same convolution on a small image, such as 5 x 5",
            node=node,
            site=node.site,
        )
    grid = numpy.indices(extents).reshape(len(extents), -1)
    environment: dict[str, Any] = dict(known) | {a.name: row for a, row in zip(axes, grid, strict=True)} | {example: 0}

    def indices(access: Access, skip: int) -> numpy.ndarray:
        columns = [i.value(environment) + 0 * grid[0] for i in access.index[skip:] if isinstance(i, Affine)]
        return numpy.array(columns).reshape(len(columns), total).T

    skip = int(batched)
    output, read, element = indices(statement.write, skip), indices(first, skip), indices(second, 0)
    order = numpy.lexsort([*read.T[::-1], *output.T[::-1]])

    def shape(access: Access, first: int) -> tuple[int, ...]:
        names = [f"{access.tensor}.{d}" for d in range(first, len(access.index))]
        return tuple(known[name] for name in names)

    return Products(
        by_name[first.tensor], by_name[second.tensor], node, output[order], read[order], element[order],
        shape(statement.write, skip), shape(first, skip), shape(second, 0), batched, _spatial(node, first),
    )  # fmt: skip


def _operands(formula: Formula, node: Node) -> dict[str, Node]:
    return dict(zip(formula.inputs, node.operands, strict=True))


def _affine(access: Access) -> bool:
    return not access.flat and all(isinstance(item, Affine) for item in access.index)


def _leads(first: Access, write: Access, second: Access) -> bool:
    """Whether one axis runs along the examples: first in image and result, and not in the weight."""
    if not first.index or not write.index:
        return False
    names = [item.plain() if isinstance(item, Affine) else None for item in (first.index[0], write.index[0])]
    return names[0] is not None and names[0] == names[1] and names[0] not in second.axes()
