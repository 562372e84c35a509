"""max_pool1d: the largest element of each window of a signal.

``y[n,c,j] = max(x[n,c,stride*j+s-padding], s)``

Keeps the strongest response and halves the signal; a router for the gradient.

Shapes: ``(N, C, W)`` gives ``(N, C, W')`` with ``W' = (W + 2*padding - size)//stride + 1``.
Derivative: the upstream gradient at the winner of each window, added up where windows overlap.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Gate, Node, Sample
from graphc.graph.window import pool_rule, pooling

GATE = Gate(
    "max_pool1d",
    pool_rule("max({x}, {window})"),
    ("x",),
    symbol="max pool",
    ties="at a tie the first element of the window wins and takes the whole gradient",
    attributes={"size": 2, "stride": None, "padding": 0},
    prepare=pooling("max_pool1d", 1),
    samples=(
        Sample(((2, 3, 6),), values=(([[[1.0, 4.0, 3.0, 2.0, -1.0]]],), [[[4.0, 3.0]]]), source="By hand"),
        Sample(((1, 2, 7),), {"size": 3, "stride": 2, "padding": 1}),
        Sample(((1, 1, 5),), {"size": 2, "stride": 3}),
        Sample(((2, 1, 4),), {"size": 3, "stride": 1, "padding": "same"}),
        Sample(((1, 1, 1),), {"size": 1}),
    ),
    source="Collobert et al., JMLR 12 (2011), section 3.2.2",
)


def max_pool1d(x: Any, size: int = 2, stride: int | None = None, padding: Any = 0) -> Node:
    """Largest element of each window of a signal.

    Parameters
    ----------
    x : Node, shape (N, C, W)
        Signals.
    size : int, default 2
        Window, in elements.
    stride : int, optional
        Step of the window; the window by default, so that windows do not overlap.
    padding : int, "valid" or "same", default 0
        Elements at both ends of the signal that take no part in the maximum.

    Returns
    -------
    Node, shape (N, C, W')

    Raises
    ------
    ShapeError
        If the rank does not fit, the window is larger than the signal, or the padding reaches a whole window.

    Notes
    -----
    At a tie the first element of the window takes the whole gradient. Cost: one comparison for each element of
    each window.

    Source
    ------
    Collobert et al., JMLR 12 (2011), section 3.2.2.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 1, 4))
    >>> y = graphc.max_pool1d(x)
    >>> run = graphc.backward(graphc.sum(y)).at(x=[[[1, 4, 3, 3]]])
    >>> print(run.value(y)[0, 0].tolist(), run.grad("x")[0, 0].tolist())
    [4.0, 3.0] [0.0, 1.0, 1.0, 0.0]
    """
    return GATE(x, size=size, stride=stride, padding=padding)
