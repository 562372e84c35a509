"""spatial_dropout: ``y = x/(1 - rate)`` where ``uniform(key[0], key[1], n*C + c) >= rate``, else 0.

Drops whole channels: neighbouring pixels of a channel say the same, and dropping single ones would hide nothing.

Shapes: ``x (N, C, ...)`` and an integer ``key (2,)`` give the shape of ``x``.
Derivative: ``1/(1 - rate)`` where the channel was kept, else 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.random import LETTERS, position, prepare_rate


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    if len(shapes[0]) < 2:
        raise ShapeError(f"spatial_dropout needs x (N, C, ...), found {shape_text(shapes[0])}")
    return prepare_rate(shapes, attributes)


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = LETTERS[: len(shapes[0])]
    index = ",".join(letters)
    draw = f"uniform(key[0], key[1], {position('x', letters[:2])})"
    return Definition(f"y[{index}] = x[{index}]/(1 - rate) if {draw} >= rate else 0", integers=frozenset({"key"}))


GATE = Gate(
    "spatial_dropout",
    _definition,
    ("x", "key"),
    symbol="spatial dropout",
    attributes={"rate": 0.5},
    prepare=_prepare,
    samples=(
        Sample(((2, 3, 2, 2), (2,)), integers={1: 1000}),
        # the first three draws of Philox-2x32-10 with key 0 are 0.9965, 0.8627 and 0.0181
        Sample(
            ((1, 3, 2), (2,)),
            {"rate": 0.75},
            integers={1: 1000},
            values=(([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], [0, 0]), [[[4.0, 8.0], [12.0, 16.0], [0.0, 0.0]]]),
        ),
        Sample(((3, 2), (2,)), {"rate": 0.1}, integers={1: 1000}),
        Sample(((1, 2, 1, 3, 1), (2,)), {"rate": 0}, integers={1: 1000}),
    ),
    source="Tompson et al., CVPR (2015), section 3.2; Salmon, Moraes, Dror, Shaw, SC (2011)",
)


def spatial_dropout(x: Any, key: Any, rate: float = 0.5) -> Node:
    """Set whole channels to 0 at random and scale the others up.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand.
    key : Node, shape (2,), integer
        Number of the stream and of the step: the same key drops the same channels, on every machine.
    rate : float, default 0.5
        Probability of a channel to be dropped, less than 1.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the rank does not fit, the key is not two integers, or the rate not in [0, 1).

    Notes
    -----
    Each channel of each example draws once. The gate always drops: choose with ``graphc.is_training()``, as the
    layer does. Cost: 1 read, 1 write, 10 integer products per element.

    Source
    ------
    Tompson et al., CVPR (2015), section 3.2; Salmon, Moraes, Dror, Shaw, SC (2011)

    Examples
    --------
    >>> import graphc
    >>> x, key = graphc.input("x", (1, 4, 2)), graphc.input("key", (2,), dtype="int32")
    >>> step = graphc.compile([graphc.spatial_dropout(x, key)])
    >>> print(step(x=[[[1, 1], [2, 2], [3, 3], [4, 4]]], key=[0, 0])[0].tolist())
    [[[2.0, 2.0], [4.0, 4.0], [0.0, 0.0], [0.0, 0.0]]]
    """
    return GATE(x, key, rate=rate)
