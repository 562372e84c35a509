"""Declaring leaves: inputs, parameters, states, constants; and updates of states."""

from __future__ import annotations

import functools
from typing import Any

from graphc.errors import GraphcError, ShapeError, Site
from graphc.graph.node import DTYPES, Node, as_node, call_site, check_name, parse_shape
from graphc.graph.shapes import shape_text

__all__ = ["constant", "input", "inputs", "is_training", "parameter", "state", "update"]


def _dtype(dtype: Any, site: Site) -> str:
    text = str(getattr(dtype, "name", dtype))
    if isinstance(dtype, type):
        text = dtype.__name__
    if text not in DTYPES:
        raise ShapeError(
            f"unknown dtype {text!r}; expected one of {', '.join(DTYPES)}\n  declared at {site}",
            site=site,
        )
    return text


def input(name: str, shape: Any = (), dtype: Any = "float32") -> Node:
    """Declare an input; names in the shape (``"N"``) are sizes known at run time.

    Parameters
    ----------
    name : str
        Name by which data is handed in.
    shape : tuple of int or str, default ``()``
        Extents; a scalar by default.
    dtype : str, default ``"float32"``
        ``"float32"``, ``"float64"``, ``"int32"`` or ``"int64"``. Compiled code uses the compile option for
        floats; any integer width is accepted at run time if the values fit.

    Raises
    ------
    ShapeError
        If an extent or the dtype is not one.
    """
    site = call_site()
    return Node("input", parse_shape(shape, site), _dtype(dtype, site), site, name=check_name(name, site))


def inputs(names: str, dtype: Any = "float32") -> Any:
    """Declare scalar inputs by names separated by spaces or commas.

    Returns
    -------
    tuple of Node, or Node for a single name

    Examples
    --------
    >>> import graphc
    >>> x, y, z = graphc.inputs("x y z")
    """
    if not isinstance(names, str) or not names.replace(",", " ").split():
        raise GraphcError(f"expected names separated by spaces, found {names!r}", site=call_site())
    nodes = [input(word, (), dtype) for word in names.replace(",", " ").split()]
    return nodes[0] if len(nodes) == 1 else tuple(nodes)


def _leaf(kind: str, name: str, shape: Any, initial: Any, dtype: Any, trainable: bool) -> Node:
    import numpy

    site = call_site()
    parsed = parse_shape(shape, site)
    if any(not isinstance(extent, int) for extent in parsed):
        raise ShapeError(
            f"the {kind} {name!r} has the shape {shape_text(parsed)}, but its extents must be numbers: "
            f"it is stored between calls\n  declared at {site}",
            site=site,
        )
    if initial is not None and not callable(initial):
        array = numpy.asarray(initial, dtype="float64")
        try:
            array = numpy.broadcast_to(array, tuple(int(str(e)) for e in parsed))
        except ValueError:
            raise ShapeError(
                f"the initial value of {name!r} has shape {array.shape}, expected {shape_text(parsed)}\n"
                f"  declared at {site}",
                site=site,
            ) from None
        initial = array
    return Node(
        kind,
        parsed,
        _dtype(dtype, site),
        site,
        name=check_name(name, site),
        initial=initial,
        trainable=trainable,
    )


def parameter(
    name: str,
    shape: Any = (),
    *,
    initial: Any = None,
    trainable: bool = True,
    dtype: Any = "float32",
) -> Node:
    """Declare a parameter.

    Parameters
    ----------
    shape : tuple of int
        All extents are numbers.
    initial : array, number or initialiser, optional
        An initialiser is called as ``initial(shape, generator)`` when a program is compiled; None means zeros.
    trainable : bool, default True
        Whether an optimiser updates it.
    """
    return _leaf("parameter", name, shape, initial, dtype, trainable)


def state(name: str, shape: Any = (), *, initial: Any = 0.0, dtype: Any = "float32") -> Node:
    """Declare a state: kept between compiled steps, saved in checkpoints, not differentiated."""
    return _leaf("state", name, shape, initial, dtype, False)


def constant(value: Any, dtype: Any = "float32") -> Node:
    """Declare a constant from a number or an array."""
    site = call_site()
    return as_node(value, _dtype(dtype, site), site)


@functools.cache
def is_training() -> Node:
    """Whether the graph is being trained: 1 in steps compiled with ``training=True``, else 0.

    The same whole-number scalar at every call, named ``training``; planning puts its value in, so that
    ``graphc.where(graphc.is_training(), a, b)`` costs nothing. In the reference it is 1 unless it is handed in:
    ``back.at(..., training=0)``.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x")
    >>> y = graphc.where(graphc.is_training(), 2 * x, x)
    >>> float(graphc.compile([y], training=False)(x=3.0)[0])
    3.0
    """
    return Node("mode", (), "int32", call_site(), name="training", value=1.0)


def update(target: Node, value: Any) -> Node:
    """Say what a state becomes after each compiled step with ``training=True``.

    Parameters
    ----------
    target : Node
        A node declared with `state`.
    value : Node
        Its next value, of the same shape.

    Raises
    ------
    GraphcError
        If the target is not a state, already has an update, or the shapes differ.
    """
    site = call_site()
    if not isinstance(target, Node) or target.kind != "state":
        found = target.kind if isinstance(target, Node) else type(target).__name__
        raise GraphcError(f"update needs a state, found {found}\n  called at {site}", site=site)
    node = as_node(value, target.dtype, site)
    if target.update is not None:
        raise GraphcError(f"the state {target.name!r} already has an update\n  called at {site}", site=site)
    if node.shape != target.shape:
        raise ShapeError(
            f"the update of {target.name!r} has shape {shape_text(node.shape)}, expected "
            f"{shape_text(target.shape)} (declared at {target.site})\n  called at {site}",
            node=target,
            shapes=(target.shape, node.shape),
            site=site,
        )
    target.update = node
    return target
