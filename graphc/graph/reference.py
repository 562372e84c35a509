"""The one float64 evaluator: every formula, statement by statement, as the definition reads.

Vectorised over the iteration domain in blocks of bounded memory. It knows no gather form, no schedule and no
kernel, so that it can judge them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy

from graphc.errors import DataError
from graphc.formula.expression import evaluate as evaluate_expression
from graphc.formula.numeric import NUMPY
from graphc.formula.size import Extent, Size, extent_value
from graphc.formula.statement import (
    NEUTRAL,
    Access,
    Affine,
    Divides,
    Formula,
    Gather,
    Interval,
    Statement,
    Zero,
    mapped_guard,
    neutral,
    size_name,
    substitute_axes,
)
from graphc.graph.node import Node, topological
from graphc.graph.shapes import shape_text

__all__ = ["BLOCK_POINTS", "bind_sizes", "evaluate", "evaluate_all", "numeric_array", "run_formula"]

#: Points of the iteration domain evaluated at once: 2**19 points are 4 MB for each operand.
BLOCK_POINTS = 1 << 19

Array = numpy.ndarray


def numeric_array(node: Node, value: Any) -> Array:
    """Return a value handed in for a node as an array of numbers of the right kind.

    Raises
    ------
    DataError
        If it is no array, holds no numbers, or holds floats where integers are declared.
    """
    try:
        array = numpy.asarray(value)
    except ValueError as error:
        raise DataError(
            f"{node.label!r} is not an array: {error}\n  declared at {node.site}", node=node, site=node.site
        ) from None
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{node.label!r} has dtype {array.dtype}, expected numbers\n  declared at {node.site}",
            node=node,
            site=node.site,
        )
    if not node.is_float and array.dtype.kind == "f":
        raise DataError(
            f"{node.label!r} is declared {node.dtype}, found floats of dtype {array.dtype}\n"
            f"  declared at {node.site}\n  Try: {node.label}.astype('int32')",
            node=node,
            site=node.site,
        )
    return array


def bind_sizes(values: Mapping[Node, Any]) -> dict[str, int]:
    """Read the named sizes off arrays.

    Raises
    ------
    DataError
        If an array's rank or extents do not fit its node, or two arrays disagree about a name.
    """
    sizes: dict[str, int] = {}
    fixed_by: dict[str, Node] = {}
    for node, array in values.items():
        shape = numpy.shape(array)
        if len(shape) != len(node.shape):
            raise DataError(
                f"{node.label!r} needs rank {len(node.shape)}, shape {shape_text(node.shape)}, found shape {shape}"
                f"\n  declared at {node.site}",
                node=node,
                site=node.site,
            )
        for extent, found in zip(node.shape, shape, strict=True):
            if isinstance(extent, Size) and len(extent.terms) == 1 and len(extent.names()) == 1:
                ((monomial, coefficient),) = extent.terms
                if len(monomial) == 1 and coefficient == 1:
                    name = monomial[0]
                    if sizes.setdefault(name, found) != found:
                        other = fixed_by[name]
                        raise DataError(
                            f"the size {name} is {sizes[name]} in {other.label!r} but {found} in {node.label!r}\n"
                            f"  declared at {other.site} and {node.site}",
                            node=node,
                            site=node.site,
                        )
                    fixed_by.setdefault(name, node)
    for node, array in values.items():
        for extent, found in zip(node.shape, numpy.shape(array), strict=True):
            expected = _known(extent, sizes)
            if expected is not None and expected != found:
                raise DataError(
                    f"{node.label!r} needs shape {shape_text(node.shape)}, found {numpy.shape(array)}\n"
                    f"  declared at {node.site}",
                    node=node,
                    site=node.site,
                )
    return sizes


def _known(extent: Extent, sizes: Mapping[str, int]) -> int | None:
    if isinstance(extent, Size) and not extent.names() <= set(sizes):
        return None
    return extent_value(extent, sizes)


def evaluate(roots: Iterable[Node], values: Mapping[Node, Any]) -> list[Array]:
    """Evaluate nodes in float64.

    Parameters
    ----------
    values : mapping
        Array of each leaf below the roots; constants may be left out. Inner nodes given here are taken as
        they are.

    Raises
    ------
    DataError
        If a leaf is missing or an array does not fit.
    """
    wanted = list(roots)
    found = evaluate_all(wanted, values)
    return [found[root] for root in wanted]


def evaluate_all(roots: Iterable[Node], values: Mapping[Node, Any]) -> dict[Node, Array]:
    """Evaluate nodes and return the value of every node below them; see `evaluate`."""
    wanted = list(roots)
    order = topological(wanted)
    needed = {root.id for root in wanted}
    for node in reversed(order):  # what lies below a given value is not needed for it
        if node.id in needed and node not in values:
            needed |= {operand.id for operand in node.operands}
    order = [node for node in order if node.id in needed]
    sizes = bind_sizes(values)
    found: dict[Node, Array] = {}
    for node in order:
        if node in values:
            kind = "float64" if node.is_float else "int64"
            found[node] = numpy.asarray(values[node]).astype(kind)
        elif node.kind in ("constant", "mode"):
            found[node] = numpy.asarray(node.value, dtype="float64" if node.is_float else "int64")
        elif node.application is None:
            raise DataError(
                f"no value for the {node.kind} {node.label!r} of shape {shape_text(node.shape)}\n"
                f"  declared at {node.site}",
                node=node,
                site=node.site,
            )
        elif node not in found:
            application = node.application
            tensors = {
                name: found[operand]
                for name, operand in zip(application.formula.inputs, application.operands, strict=True)
            }
            known = {name: extent_value(extent, sizes) for name, extent in application.sizes.items()}
            try:
                results = run_formula(application.formula, tensors, known)
            except DataError as error:
                raise DataError(
                    f"{error}\n  {node.gate} declared at {node.site}", node=node, gate=node.gate, site=node.site
                ) from None
            for output, tensor in zip(application.outputs, application.formula.outputs, strict=True):
                found[output] = results[tensor]
    return found


def run_formula(formula: Formula, inputs: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """Run the statements of a formula.

    Parameters
    ----------
    inputs : mapping
        Array of each input tensor, float64 or int64.
    sizes : mapping
        Value of each size name (``"x.1"``).

    Returns
    -------
    dict
        Arrays of the outputs.
    """
    tensors: dict[str, Array] = dict(inputs)
    with numpy.errstate(all="ignore"):
        for repeat, statements in formula.groups():
            for statement in statements:
                target = statement.write.tensor
                shape = tuple(sizes[size_name(target, d)] for d in range(formula.ranks[target]))
                kind = "int64" if target in formula.integers else "float64"
                if target not in tensors or not (statement.accumulate or statement.partial):
                    tensors[target] = numpy.full(shape, neutral(statement.operator, whole=kind == "int64"), dtype=kind)
                if repeat is None:
                    run_statement(statement, tensors, sizes)
            if repeat is not None and statements:
                steps = statements[0].extent(repeat.axis).value(sizes)
                for step in reversed(range(steps)) if repeat.backward else range(steps):
                    for statement in statements:
                        run_statement(at_step(statement, repeat.axis, step), tensors, sizes)
    return {name: tensors[name] for name in formula.outputs}


def at_step(statement: Statement, axis: str, step: int) -> Statement:
    """A statement with an axis fixed."""
    places = {axis: Affine((), step)}

    def form(item: Affine) -> Affine:
        return item.substitute(places)

    def access(item: Access) -> Access:
        return item.substitute(places)

    return replace(
        statement,
        write=statement.write.substitute(places),
        axes=tuple(a for a in statement.axes if a.name != axis),
        reads=tuple((p, a.substitute(places)) for p, a in statement.reads),
        body=substitute_axes(statement.body, places),
        guards=tuple(mapped_guard(g, form, access) for g in statement.guards),
        lets=tuple(replace(x, numerator=x.numerator.substitute(places)) for x in statement.lets),
    )


def run_statement(statement: Statement, tensors: dict[str, Array], sizes: Mapping[str, int]) -> None:
    """Run one statement into ``tensors[statement.write.tensor]``, which holds the neutral element."""
    extents = [axis.extent.value(sizes) for axis in statement.axes]
    if any(extent <= 0 for extent in extents):
        return
    free = set(statement.free())
    splittable = [
        k
        for k, axis in enumerate(statement.axes)
        if axis.name in free or statement.operator in ("set", "sum", "max", "min", "prod")
    ]
    splittable.sort(key=lambda k: statement.axes[k].name not in free)
    for ranges in _blocks(extents, splittable):
        _block(statement, tensors, sizes, ranges)


def _blocks(extents: list[int], splittable: list[int]) -> Iterator[list[tuple[int, int]]]:
    ranges = [(0, extent) for extent in extents]
    steps: dict[int, int] = {}
    points = math.prod(extents)
    for k in splittable:
        if points <= BLOCK_POINTS:
            break
        rest = points // extents[k]
        steps[k] = max(1, BLOCK_POINTS // max(rest, 1))
        points = rest * steps[k]

    def emit(pending: list[int]) -> Iterator[list[tuple[int, int]]]:
        if not pending:
            yield list(ranges)
            return
        k, *others = pending
        for start in range(0, extents[k], steps[k]):
            ranges[k] = (start, min(extents[k], start + steps[k]))
            yield from emit(others)

    yield from emit(list(steps))


def _block(
    statement: Statement,
    tensors: dict[str, Array],
    sizes: Mapping[str, int],
    ranges: list[tuple[int, int]],
) -> None:
    rank = len(ranges)
    environment: dict[str, Any] = dict(sizes)
    for k, (axis, (start, stop)) in enumerate(zip(statement.axes, ranges, strict=True)):
        shape = [1] * rank
        shape[k] = stop - start
        environment[axis.name] = numpy.arange(start, stop).reshape(shape)
    for let in statement.lets:
        environment[let.name] = let.numerator.value(environment) // let.divisor
    mask: Any = None
    for guard in statement.guards:
        if isinstance(guard, Interval):
            index = guard.index.value(environment)
            holds = (index >= 0) & (index < guard.upper.value(environment))
        elif isinstance(guard, Divides):
            holds = guard.index.value(environment) % guard.divisor == 0
        elif isinstance(guard, Zero):
            holds = guard.index.value(environment) == 0
        else:
            position: Any = 0
            for index, extent in guard.axes:
                position = position * extent.value(environment) + index.value(environment)
            holds = _read(guard.access, tensors, environment, True) == position
        mask = holds if mask is None else mask & holds
    for placeholder, access in statement.reads:
        environment[placeholder] = _read(access, tensors, environment, mask is not None)
    shape = tuple(stop - start for start, stop in ranges)
    body = evaluate_expression(statement.body, environment, NUMPY)
    body = numpy.broadcast_to(numpy.asarray(body, dtype="float64"), shape)
    if mask is not None:
        mask = numpy.broadcast_to(mask, shape)
        body = numpy.where(mask, body, NEUTRAL["max" if "max" in statement.operator else
                           "min" if "min" in statement.operator else statement.operator])  # fmt: skip
    _store(statement, tensors, environment, body, mask, ranges)


def _read(access: Access, tensors: Mapping[str, Array], environment: Mapping[str, Any], masked: bool) -> Any:
    array = tensors[access.tensor]
    if access.flat:
        array = array.reshape(-1)
    if not access.index:
        return array[()]
    index, valid = [], None
    for d, item in enumerate(access.index):
        position = _position(item, access, d, tensors, environment, array.shape[d])
        if access.outside == "zero":
            inside = (position >= 0) & (position < array.shape[d])
            valid = inside if valid is None else valid & inside
        if access.outside == "zero" or masked:
            position = numpy.clip(position, 0, max(array.shape[d] - 1, 0))
        index.append(position)
    if array.size == 0:
        return numpy.zeros(numpy.broadcast_shapes(*(numpy.shape(i) for i in index)))
    value = array[tuple(index)]
    return value if valid is None else numpy.where(valid, value, 0.0)


def _position(
    item: Affine | Gather,
    access: Access,
    dimension: int,
    tensors: Mapping[str, Array],
    environment: Mapping[str, Any],
    extent: int,
) -> Any:
    if isinstance(item, Affine):
        return item.value(environment)
    position = numpy.asarray(_read(item.access, tensors, environment, True)).astype("int64")
    if position.size and (position.min() < 0 or position.max() >= extent):
        worst = position.max() if position.max() >= extent else position.min()
        raise DataError(
            f"{item.access.tensor} holds {worst}, but it is an index into dimension {dimension} of "
            f"{access.tensor}, whose extent is {extent}"
        )
    return position


def _store(
    statement: Statement,
    tensors: Mapping[str, Array],
    environment: Mapping[str, Any],
    body: Array,
    mask: Any,
    ranges: list[tuple[int, int]],
) -> None:
    operator, target = statement.operator, tensors[statement.write.tensor]
    names = [axis.name for axis in statement.axes]
    # a guard may hold back what would leave the tensor: then points are stored one by one
    stops = {name: stop for name, (_, stop) in zip(names, ranges, strict=True)}
    fits = all(
        not isinstance(item, Affine) or stops.get(item.plain() or "", 0) <= extent
        for item, extent in zip(statement.write.index, target.shape, strict=False)
    )
    if statement.race_free() and not statement.write.flat and fits:
        free = [i.plain() for i in statement.write.index if isinstance(i, Affine) and i.plain() in names]
        reduced = tuple(k for k, name in enumerate(names) if name not in free)
        kept = [name for name in names if name in free]
        value = _reduce(operator, body, reduced)
        value = numpy.transpose(value, [kept.index(name or "") for name in free])
        where = tuple(
            slice(*ranges[names.index(i.plain() or "")])
            if isinstance(i, Affine) and i.plain() in names
            else i.value(environment)  # a constant index
            for i in statement.write.index
            if isinstance(i, Affine)
        )
        if statement.partial:
            target[where] = value
        elif operator in ("sum", "prod", "max", "min"):
            combine = {
                "sum": numpy.add,
                "prod": numpy.multiply,
                "max": numpy.maximum,
                "min": numpy.minimum,
            }
            target[where] = combine[operator](target[where], value)
        elif operator == "set" and statement.accumulate:
            target[where] += value
        else:
            target[where] = value
        return
    view = target.reshape(-1) if statement.write.flat else target
    index = []
    for d, item in enumerate(statement.write.index):
        index.append(_position(item, statement.write, d, tensors, environment, view.shape[d]))
    positions = numpy.broadcast_arrays(*index, body)[:-1] if index else []
    flat_body = body.reshape(-1)
    keep = slice(None) if mask is None else mask.reshape(-1)
    where = tuple(p.reshape(-1)[keep] for p in positions)
    flat_body = flat_body[keep]
    if not where:
        view[()] += flat_body.sum()
        return
    if statement.partial:
        view[where] = 0
    if operator == "sum":
        # bincount is an order of magnitude faster than add.at
        linear = numpy.ravel_multi_index(where, view.shape)
        view += numpy.bincount(linear, flat_body, minlength=view.size).reshape(view.shape).astype(view.dtype)
    elif operator == "set" and statement.accumulate:
        numpy.add.at(view, where, flat_body)
    elif operator == "set":
        view[where] = flat_body
    elif operator in ("max", "min", "prod"):
        ufunc = {"max": numpy.maximum, "min": numpy.minimum, "prod": numpy.multiply}[operator]
        ufunc.at(view, where, flat_body)
    else:
        raise DataError(f"a {operator} cannot be written at {statement.write}")


def _reduce(operator: str, body: Array, axes: tuple[int, ...]) -> Array:
    if operator in ("set", "sum"):
        return body.sum(axis=axes) if axes else body
    if operator == "prod":
        return body.prod(axis=axes)
    if operator == "max":
        return body.max(axis=axes)
    if operator == "min":
        return body.min(axis=axes)
    if operator == "logsumexp":
        top = body.max(axis=axes, keepdims=True)
        top = numpy.where(numpy.isfinite(top), top, 0.0)
        return numpy.squeeze(top, axes) + numpy.log(numpy.exp(body - top).sum(axis=axes))
    moved = numpy.moveaxis(body, axes, tuple(range(body.ndim - len(axes), body.ndim)))
    flat = moved.reshape((*moved.shape[: body.ndim - len(axes)], -1))
    return flat.argmax(axis=-1) if operator == "argmax" else flat.argmin(axis=-1)
