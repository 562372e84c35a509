"""What layers share: a bias for each channel, checks of operands, and drawing in another shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy

from graphc.errors import ShapeError
from graphc.graph import Definition, Gate, Node, Shape, parameter
from graphc.graph.node import call_site
from graphc.graph.shapes import shape_text
from graphc.graph.window import window_numbers
from graphc.layers.initialisers import Initialiser, zeros

__all__ = ["add_bias", "arranged", "numbers", "parameter_or", "refusal", "window"]

_LETTERS = "nkijh"


def _bias(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axes = _LETTERS[: len(shapes[0])]
    channel = axes[attributes["axis"]]
    return Definition(f"y[{','.join(axes)}] = x[{','.join(axes)}] + bias[{channel}]")


_ADD_BIAS = Gate("bias", _bias, ("x", "bias"), symbol="+ b", attributes={"axis": 1}, source="Definition")


def add_bias(y: Node, name: str, bias: bool, axis: int = 1) -> Node:
    """Add a parameter ``name.bias`` along an axis, if it is wanted, and name the result."""
    if not bias:
        return y.named(name)
    extent = y.shape[axis]
    return _ADD_BIAS(y, parameter(f"{name}.bias", (extent,), initial=zeros()), axis=axis).named(name)


def numbers(
    layer: str, name: str, x: Node, ranks: tuple[int, ...], wanted: str, axes: tuple[int, ...] = (1,), repair: str = ""
) -> None:
    """Refuse an operand of another rank, or whose extents along ``axes`` are not numbers.

    Raises
    ------
    ShapeError
    """
    if len(x.shape) in ranks and all(isinstance(x.shape[axis], int) for axis in axes):
        return
    site = call_site()
    raise ShapeError(
        f"{layer} {name!r} needs {wanted}, found {shape_text(x.shape)}: {x.label!r} declared at {x.site}\n"
        f"  called at {site}" + (f"\n  Try: {repair}" if repair else ""),
        node=x,
        gate=layer,
        shapes=(x.shape,),
        site=site,
    )


def window(layer: str, name: str, value: Any, rank: int, what: str = "size") -> tuple[int, ...]:
    """Return one whole number of at least 1 for each of ``rank`` axes, or refuse the value.

    Raises
    ------
    ShapeError
    """
    try:
        return window_numbers(value, what, 1, rank)
    except ShapeError as error:
        raise refusal(layer, name, str(error)) from None


def refusal(layer: str, name: str, reason: str) -> ShapeError:
    """Return an error that says which layer refuses, and where it was called."""
    site = call_site()
    return ShapeError(f"{layer} {name!r}: {reason}\n  called at {site}", gate=layer, site=site)


def parameter_or(given: Node | None, name: str, shape: Any, initial: Initialiser | Any) -> Node:
    """Return the parameter that is shared, or declare one."""
    return parameter(name, shape, initial=initial) if given is None else given


def arranged(initial: Initialiser | Any, shape: tuple[int, ...], order: tuple[int, ...], *, each: int = 0) -> Any:
    """Let an initialiser see weights as filters (K, C, ...), whatever order a gate keeps them in.

    Parameters
    ----------
    initial : initialiser or array
        An array is returned as it is.
    shape : tuple of int
        What the initialiser is asked for.
    order : tuple of int
        Dimensions of ``shape`` in the order in which they are stored.
    each : int
        How many leading dimensions of the stored weights count weights of their own, drawn one after the other.
    """
    if not callable(initial):
        return initial

    def draw(stored: tuple[int, ...], generator: numpy.random.Generator) -> numpy.ndarray:
        count = math.prod(stored[:each])
        drawn = [numpy.asarray(initial(shape, generator)).transpose(order) for _ in range(count)]
        return numpy.stack(drawn).reshape(stored)

    return draw
