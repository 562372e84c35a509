"""logsumexp: ``y[i] = logsumexp(x[i,j], j)`` over any axes.

Adds probabilities that are known by their logarithms; a smooth maximum.

Shapes: the reduced axes disappear, or stay with extent 1 under ``keepdims``.
Derivative: dy*exp(x - y): the softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.axes import indexed, letters_of
from graphc.graph.reduction import prepare_axes, reduction_rule

_definition = reduction_rule("logsumexp")


def _stable(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    text = _definition(shapes, attributes).text
    axes, letters = attributes["axes"], letters_of(len(shapes[0]))
    if not axes:
        return Definition(text)
    kept = [letter for d, letter in enumerate(letters) if d not in axes]
    x, top, base = indexed("x", letters), indexed("top", kept), indexed("base", kept)
    # what is left below the largest keeps its digits; `//` has derivative 0, and an infinite maximum stays out of it
    return Definition(
        f"{top} = max({x}, {', '.join(letters[d] for d in axes)})\n"
        f"{base} = min(max({top}, -1e30), 1e30)//1\n{text.replace(x, f'{x} - {base}')} + {base}"
    )


GATE = Gate(
    "logsumexp",
    _definition,
    ("x",),
    symbol="LSE",
    stable=_stable,
    attributes={"axes": None, "keepdims": False},
    prepare=prepare_axes,
    samples=(
        Sample(((3,),), values=(([1.0, 2.0, 3.0],), 3.4076)),
        Sample(((3, 5),)),
        Sample(((2, 3, 5),), {"axes": (1,)}),
        Sample(((2, 3, 5),), {"axes": (0, 2), "keepdims": True}),
        Sample(((1, 1),), {"axes": (-1,)}),
    ),
    source="Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.62",
)


def logsumexp(x: Any, axes: int | Iterable[int] | None = None, keepdims: bool = False) -> Node:
    """Logarithm of the sum of the exponentials along axes.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    axes : int or iterable of int, optional
        Axes to reduce, negative ones counted from the end; all by default.
    keepdims : bool, default False
        Keep the reduced axes with extent 1.

    Returns
    -------
    Node, shape of ``x`` without the reduced axes

    Raises
    ------
    ShapeError
        If an axis does not exist or is named twice.

    Notes
    -----
    The largest element is subtracted first: nothing overflows. Cost: 2 reads, 1 comparison and 1 exp per element
    of ``x``.

    Source
    ------
    Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.62.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> run = graphc.backward(graphc.logsumexp(x)).at(x=[1, 2, 3])
    >>> print(run.value(run.back.root).round(4), run.grad("x").round(4))
    3.4076 [0.09   0.2447 0.6652]
    """
    return GATE(x, axes=axes, keepdims=keepdims)
