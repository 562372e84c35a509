"""reshape: ``flat(y)[e] = flat(x)[e]``: the same elements in row-major order under another shape.

A view: planning gives it no kernel and no memory.

Shapes: any to any with as many elements; one extent may be -1.
Derivative: the upstream gradient in the shape of ``x``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import FormulaError, ShapeError
from graphc.formula.definition import Definition
from graphc.formula.size import Extent, Size
from graphc.graph import Gate, Node, Sample
from graphc.graph.node import parse_shape
from graphc.graph.shapes import Shape, shape_text


def element_count(shape: Shape) -> Extent:
    """Number of elements of a shape."""
    count: Extent = 1
    for extent in shape:
        count = extent * count
    return count


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    given = attributes["shape"]
    items = (given,) if isinstance(given, int | str | Size) else tuple(given)
    unknown = [k for k, extent in enumerate(items) if isinstance(extent, int) and extent == -1]
    if len(unknown) > 1:
        raise ShapeError(f"at most one extent may be -1, found {items}")
    parsed = list(parse_shape([1 if k in unknown else e for k, e in enumerate(items)]))
    count = element_count(shapes[0])
    if unknown:
        try:
            known = element_count(tuple(parsed))
            whole = count if isinstance(count, Size) else Size({(): count})
            parsed[unknown[0]] = whole // known if known else 0
        except FormulaError:
            parsed[unknown[0]] = 0  # does not divide: refused below with both counts
    if element_count(tuple(parsed)) != count:
        raise ShapeError(
            f"cannot reshape {shape_text(shapes[0])} ({count} elements) to {items} "
            f"({element_count(tuple(parsed))} elements)"
        )
    return {"shape": tuple(parsed)}


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


GATE = Gate(
    "reshape",
    flat_copy,
    ("x",),
    symbol="reshape",
    attributes={"shape": (-1,)},
    prepare=_prepare,
    samples=(
        Sample(((2, 6),), {"shape": (3, 4)}),
        Sample(((2, 3, 5),), {"shape": (2, -1)}),
        Sample(((),), {"shape": (1, 1)}),
    ),
    source="Definition: row-major order of the elements is kept",
)


def reshape(x: Any, shape: Any) -> Node:
    """The same elements, in row-major order, under another shape.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    shape : int, name or tuple of these
        New shape; one extent may be -1.

    Returns
    -------
    Node, shape ``shape``

    Raises
    ------
    ShapeError
        If the number of elements differs, or a name is not an extent of ``x``.

    Notes
    -----
    Cost: none; it is a view.

    Source
    ------
    Definition: row-major order of the elements is kept.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", ("N", 2, 3))
    >>> graphc.reshape(x, ("N", 6)).shape
    (N, 6)
    """
    return GATE(x, shape=shape)
