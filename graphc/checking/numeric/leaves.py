"""What a gradient check of a graph starts from: the root, the leaves to check, and an array for every leaf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy

from graphc.checking.numeric.terms import Term, split
from graphc.errors import CheckError, DataError, did_you_mean
from graphc.graph.declare import is_training
from graphc.graph.node import Node, topological
from graphc.graph.reference import bind_sizes, numeric_array
from graphc.graph.shapes import shape_text

__all__ = ["check_root", "checked_value", "leaves_of", "terms_of", "values_of"]

Array = numpy.ndarray


def check_root(root: Node) -> None:
    """Refuse a root that is no float scalar.

    Raises
    ------
    CheckError
        With its shape or dtype.
    """
    if not root.is_float:
        raise CheckError(
            f"check_gradients: {root.label!r} has dtype {root.dtype}; only floats have gradients\n"
            f"  declared at {root.site}",
            node=root,
            site=root.site,
        )
    if root.shape != ():
        raise CheckError(
            f"check_gradients: {root.label!r} has shape {shape_text(root.shape)}; a loss is a scalar\n"
            f"  declared at {root.site}\n"
            f"  Try: graphc.sum({root.label}), or its sum with fixed weights",
            node=root,
            shapes=(root.shape,),
            site=root.site,
        )


def terms_of(root: Node) -> list[Term]:
    """Terms of a loss, empty where it is no sum."""
    terms = split(root)
    return terms if len(terms) > 1 else []


def leaves_of(root: Node, wrt: Any) -> list[Node]:
    """Leaves whose gradients are checked: those asked for, or every float input and parameter.

    Raises
    ------
    CheckError
        If there is none, or one that is asked for cannot be moved.
    """
    nodes = topological([root])
    able = [n for n in nodes if n.kind in ("input", "parameter") and n.is_float]
    if wrt is None:
        if not able:
            raise CheckError(
                f"check_gradients: nothing below {root.label!r} is a float input or parameter, so there is nothing to "
                "check"
            )
        return able
    by_name = {n.label: n for n in nodes}
    found = []
    for item in [wrt] if isinstance(wrt, Node | str) else wrt:
        node = item if isinstance(item, Node) else by_name.get(str(item))
        if node is None or node not in nodes:
            names = [n.label for n in able]
            raise CheckError(
                f"check_gradients: wrt= names {getattr(item, 'label', item)!r}, which is not below {root.label!r}"
                f"{did_you_mean(str(getattr(item, 'label', item)), names)}; inputs and parameters: {', '.join(names)}"
            )
        if node not in able:
            what = f"dtype {node.dtype}" if not node.is_float else f"kind {node.kind}"
            raise CheckError(
                f"check_gradients: {node.label!r} has {what}; differences need a float input or parameter\n"
                f"  declared at {node.site}",
                node=node,
                site=node.site,
            )
        found.append(node)
    return found


def values_of(
    root: Node, data: Any, parameters: Mapping[str, Any] | None, training: bool, seed: int
) -> dict[Node, Array]:
    """One array for every leaf: from the data, the parameters, or its initialiser.

    Raises
    ------
    DataError
        If data is missing, unknown or does not fit.
    """
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise DataError(f"check_gradients: data of a graph goes by name, {{'x': array}}; found {type(data).__name__}")
    leaves = [n for n in topological([root]) if n.application is None and n.kind != "constant"]
    by_name = {n.label: n for n in leaves}
    given: dict[Node, Any] = {}
    for key, value in data.items():
        node = key if isinstance(key, Node) else by_name.get(key)
        if node is None or node not in leaves:
            raise DataError(
                f"check_gradients: no input or parameter is named {getattr(key, 'label', key)!r}"
                f"{did_you_mean(str(getattr(key, 'label', key)), by_name)}; leaves of the graph: {', '.join(by_name)}"
            )
        given[node] = value
    for name, value in (parameters or {}).items():
        if name in by_name:
            given.setdefault(by_name[name], value)
    mode = is_training()
    found: dict[Node, Array] = {}
    for node in leaves:
        if node is mode:
            found[node] = numpy.asarray(given.get(node, int(training)))
        elif node in given:
            found[node] = checked_value(node, given[node])
        elif node.kind == "input":
            raise DataError(
                f"check_gradients: the input {node.label!r} of shape {shape_text(node.shape)} is missing in the data\n"
                f"  declared at {node.site}\n  Try: data={{{node.label!r}: array, ...}}",
                node=node,
                site=node.site,
            )
        else:
            found[node] = _initial(node, seed)
    bind_sizes(found)
    return {n: a.astype("float64" if n.is_float else "int64") for n, a in found.items()}


def checked_value(node: Node, value: Any) -> Array:
    """A value handed in for a leaf, as an array of finite numbers.

    Raises
    ------
    DataError
        If it is none.
    """
    array = numeric_array(node, value)
    if array.dtype.kind == "f" and not numpy.isfinite(array).all():
        place = tuple(int(i) for i in numpy.argwhere(~numpy.isfinite(array))[0])
        raise DataError(
            f"check_gradients: {node.label!r} holds {array[place]} at index {place}, so the loss has no slope there\n"
            f"  declared at {node.site}",
            node=node,
            site=node.site,
        )
    return array


def _initial(node: Node, seed: int) -> Array:
    """What a compiled step of the same seed would start from."""
    shape = tuple(int(str(extent)) for extent in node.shape)
    if node.initial is None:
        return numpy.zeros(shape)
    if not callable(node.initial):
        return numpy.asarray(node.initial)
    stream = numpy.random.SeedSequence([seed, *node.label.encode()])
    return numpy.asarray(node.initial(shape, numpy.random.default_rng(stream)))
