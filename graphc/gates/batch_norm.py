"""batch_norm: ``y = (x - mean)/sqrt(variance + epsilon)*gain + bias``, statistics of each channel over the batch.

Gives every channel mean 0 and variance 1 before it is scaled again, so that deep networks train at high rates.

Shapes: ``x (N, C, ...)``, ``gain (C,)`` and ``bias (C,)`` give the shape of ``x``.
Derivatives: by ``x`` the upstream gradient less its mean and less its share along ``y``, scaled; by ``gain`` and
``bias`` sums over all axes but the channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.attributes import check_positive
from graphc.graph.norm import LETTERS, normal_lines


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_positive(attributes, "epsilon")
    x, gain, bias = shapes
    if len(x) < 2 or gain != (x[1],) or bias != (x[1],):
        raise ShapeError(
            f"batch_norm needs x (N, C, ...), gain (C,) and bias (C,), found "
            f"{shape_text(x)}, {shape_text(gain)} and {shape_text(bias)}"
        )
    return attributes


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    rest = LETTERS[: len(shapes[0]) - 2]
    return Definition(normal_lines(("n", "c", *rest), "c", ("n", *rest), "c"))


GATE = Gate(
    "batch_norm",
    _definition,
    ("x", "gain", "bias"),
    symbol="batch norm",
    attributes={"epsilon": 1e-5},
    prepare=_prepare,
    samples=(
        Sample(((5, 3), (3,), (3,))),
        Sample(((3, 1), (1,), (1,)), values=(([[1.0], [2.0], [3.0]], [2.0], [1.0]), [[-1.44947], [1.0], [3.44947]])),
        Sample(((2, 3, 5), (3,), (3,)), {"epsilon": 0.1}),
        Sample(((2, 2, 3, 2), (2,), (2,))),
    ),
    source="Ioffe, Szegedy, ICML (2015), algorithm 1",
)


def batch_norm(x: Any, gain: Any, bias: Any, epsilon: float = 1e-5) -> Node:
    """Normalise each channel by the mean and variance of the batch, then scale and shift it.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand.
    gain : Node, shape (C,)
        Scale of each channel.
    bias : Node, shape (C,)
        Shift of each channel.
    epsilon : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the ranks or the channels do not fit, or epsilon is not positive.

    Notes
    -----
    The variance is biased (divided by the count) and taken in a second pass over the differences from the mean.
    Cost: 3 reads, about 8 FLOP per element.

    Source
    ------
    Ioffe, Szegedy, ICML (2015), algorithm 1

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3, 1))
    >>> y = graphc.batch_norm(x, [2.0], [1.0])
    >>> print(graphc.compile([y])(x=[[1], [2], [3]])[0].round(3).ravel())
    [-1.449  1.     3.449]
    """
    return GATE(x, gain, bias, epsilon=epsilon)
