"""local_response_norm: ``y = x / (k + alpha*sum(x**2 over neighbouring channels))**beta``.

Channels at one place of the image compete: a strong response weakens those beside it (AlexNet).

Shapes: ``x (N, C, ...)``, result the same.
Derivative: ``dy/d**beta``, with ``d`` the bracket, less ``2*alpha*beta*x`` times the sum of ``dy*x/d**(beta+1)`` over
the channels that see this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.attributes import check_positive
from graphc.graph.norm import LETTERS


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    (x,) = shapes
    if len(x) < 2:
        raise ShapeError(f"local_response_norm needs x (N, C, ...), found {shape_text(x)}")
    size = attributes["size"]
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ShapeError(f"size={size!r} must be a whole number of at least 1")
    check_positive(attributes, "k")
    return {**attributes, "half": size // 2}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    rest = "".join(f",{letter}" for letter in LETTERS.replace("k", "").replace("n", "")[: len(shapes[0]) - 2])
    return Definition(
        f"square[n,c{rest}] = sum(x[n,c+e-half{rest}]**2, e)\n"
        f"y[n,c{rest}] = x[n,c{rest}]/(k + alpha*square[n,c{rest}])**beta",
        outside={"x": "skip"},
        extents={"c": "size(x,1)", "e": "size"},
    )


GATE = Gate(
    "local_response_norm",
    _definition,
    ("x",),
    symbol="LRN",
    attributes={"size": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75},
    prepare=_prepare,
    samples=(
        Sample(((2, 7, 2, 1),), {"alpha": 0.5}),
        Sample(
            ((1, 3),),
            {"size": 3, "k": 1.0, "alpha": 1.0, "beta": 1.0},
            values=(([[1, 2, 3]],), [[1 / 6, 2 / 15, 3 / 14]]),
        ),
        Sample(((1, 4, 3),), {"size": 2, "alpha": 0.3, "beta": 0.5}),
        Sample(((2, 1, 3, 2),)),
    ),
    source="Krizhevsky, Sutskever, Hinton, NeurIPS (2012), section 3.3",
)


def local_response_norm(x: Any, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> Node:
    """Divide each channel by a power of the squares of its neighbours.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand.
    size : int, default 5
        Channels in the window around each channel, itself included; of an even window the larger half lies below.
    k : float, default 2.0
        Offset of the bracket.
    alpha : float, default 1e-4
        Weight of the sum of squares, which is not divided by the window.
    beta : float, default 0.75
        Exponent.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the rank does not fit, the window is empty, or k is not positive.

    Notes
    -----
    Windows end at the first and the last channel. Cost: ``size`` multiplications and additions and one power per
    element.

    Source
    ------
    Krizhevsky, Sutskever, Hinton, NeurIPS (2012), section 3.3

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 3))
    >>> y = graphc.local_response_norm(x, size=3, k=1.0, alpha=1.0, beta=1.0)
    >>> print(graphc.compile([y])(x=[[1, 2, 3]])[0].round(4))
    [[0.1667 0.1333 0.2143]]
    """
    return GATE(x, size=size, k=k, alpha=alpha, beta=beta)
