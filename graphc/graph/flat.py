"""What gates that keep every element in row-major order share: the new shape and the formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import FormulaError, ShapeError
from graphc.formula.definition import Definition
from graphc.formula.size import Extent, Size
from graphc.graph.node import parse_shape
from graphc.graph.shapes import Shape, shape_text

__all__ = ["element_count", "flat_copy", "resolve_shape"]


def element_count(shape: Shape) -> Extent:
    """Number of elements of a shape."""
    count: Extent = 1
    for extent in shape:
        count = extent * count
    return count


def resolve_shape(shape: Shape, given: Any) -> Shape:
    """Read a new shape for the elements of ``shape``; one extent may be -1.

    Raises
    ------
    ShapeError
        If several extents are -1, or the number of elements differs.
    """
    items = (given,) if isinstance(given, int | str | Size) else tuple(given)
    unknown = [k for k, extent in enumerate(items) if isinstance(extent, int) and extent == -1]
    if len(unknown) > 1:
        raise ShapeError(f"at most one extent may be -1, found {items}")
    parsed = list(parse_shape([1 if k in unknown else e for k, e in enumerate(items)]))
    count = element_count(shape)
    if unknown:
        try:
            known = element_count(tuple(parsed))
            whole = count if isinstance(count, Size) else Size({(): count})
            parsed[unknown[0]] = whole // known if known else 0
        except FormulaError:
            parsed[unknown[0]] = 0  # does not divide: refused below with both counts
    if element_count(tuple(parsed)) != count:
        raise ShapeError(
            f"cannot reshape {shape_text(shape)} ({count} elements) to {items} "
            f"({element_count(tuple(parsed))} elements)"
        )
    return tuple(parsed)


def flat_copy(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    """Write the formula with the extents of ``attributes["shape"]`` over the sizes of ``x``."""
    named = {
        extent.terms[0][0]: d
        for d, extent in reversed(list(enumerate(shapes[0])))
        if isinstance(extent, Size) and len(extent.terms) == 1
    }
    extents: dict[str, str] = {}
    for d, extent in enumerate(attributes["shape"]):
        if isinstance(extent, int):
            extents[f"y.{d}"] = str(extent)
            continue
        terms = []
        for monomial, coefficient in extent.terms:
            factors = [str(coefficient)]
            whole = named.get(monomial)
            if whole is not None and shapes[0][whole] == Size({monomial: 1}):
                factors.append(f"size(x,{whole})")
            else:
                for name in monomial:
                    if (name,) not in named or shapes[0][named[(name,)]] != Size({(name,): 1}):
                        raise ShapeError(f"the size {name} is not an extent of {shape_text(shapes[0])}")
                    factors.append(f"size(x,{named[(name,)]})")
            terms.append("*".join(factors))
        extents[f"y.{d}"] = " + ".join(terms)
    return Definition("flat(y)[e] = flat(x)[e]", extents=extents)
