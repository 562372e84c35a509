"""dropout: ``y = x/(1 - rate)`` where ``uniform(key[0], key[1], element) >= rate``, else 0.

Trains an ensemble of thinned networks at once; the scale keeps the expected sum, so that nothing changes afterwards.

Shapes: ``x`` any and an integer ``key (2,)`` give the shape of ``x``.
Derivative: ``1/(1 - rate)`` where the element was kept, else 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.random import LETTERS, position, prepare_rate


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = LETTERS[: len(shapes[0])]
    index = f"[{','.join(letters)}]" if letters else ""
    draw = f"uniform(key[0], key[1], {position('x', letters)})"
    return Definition(f"y{index} = x{index}/(1 - rate) if {draw} >= rate else 0", integers=frozenset({"key"}))


GATE = Gate(
    "dropout",
    _definition,
    ("x", "key"),
    symbol="dropout",
    attributes={"rate": 0.5},
    prepare=prepare_rate,
    samples=(
        Sample(((3, 5), (2,)), integers={1: 1000}),
        # the first three draws of Philox-2x32-10 with key 0 are 0.9965, 0.8627 and 0.0181
        Sample(((3,), (2,)), {"rate": 0.75}, integers={1: 1000}, values=(([1.0, 2.0, 3.0], [0, 0]), [4.0, 8.0, 0.0])),
        Sample(((2, 3, 1, 2), (2,)), {"rate": 0}, integers={1: 1000}),
        Sample(((), (2,)), {"rate": 0.1}, integers={1: 1000}),
    ),
    source="Srivastava et al., JMLR 15 (2014), section 4; Salmon, Moraes, Dror, Shaw, SC (2011)",
)


def dropout(x: Any, key: Any, rate: float = 0.5) -> Node:
    """Set elements to 0 at random and scale the others up.

    Parameters
    ----------
    x : Node, any shape
        Operand.
    key : Node, shape (2,), integer
        Number of the stream and of the step: the same key drops the same elements, on every machine.
    rate : float, default 0.5
        Probability of an element to be dropped, less than 1.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the key is not two integers, or the rate not in [0, 1).

    Notes
    -----
    Each element draws at its row-major position; no mask is stored, the derivative draws again. The gate always
    drops: choose with ``graphc.is_training()``, as the layer does. Cost: 1 read, 1 write, 10 integer products per
    element.

    Source
    ------
    Srivastava et al., JMLR 15 (2014), section 4; Salmon, Moraes, Dror, Shaw, SC (2011)

    Examples
    --------
    >>> import graphc
    >>> x, key = graphc.input("x", (6,)), graphc.input("key", (2,), dtype="int32")
    >>> step = graphc.compile([graphc.dropout(x, key)])
    >>> print(step(x=[1, 2, 3, 4, 5, 6], key=[0, 0])[0])
    [ 2.  4.  0.  0. 10.  0.]
    """
    return GATE(x, key, rate=rate)
