"""group_norm: ``y = (x - mean)/sqrt(variance + epsilon)*gain + bias``, statistics over groups of channels.

Between the layer norm (one group) and the instance norm (a group for each channel); no batch is needed.

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
            f"group_norm needs x (N, C, ...), gain (C,) and bias (C,), found "
            f"{shape_text(x)}, {shape_text(gain)} and {shape_text(bias)}"
        )
    groups, channels = attributes["groups"], x[1]
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ShapeError(f"groups={groups!r} must be a whole number of at least 1")
    if not isinstance(channels, int) or channels % groups:
        raise ShapeError(f"groups={groups} must divide the channels, {channels}")
    return {**attributes, "width": channels // groups}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    rest, channel = LETTERS[: len(shapes[0]) - 2], "width*g+c"
    return Definition(
        normal_lines(("n", channel, *rest), ("n", "g"), ("c", *rest), (channel,)),
        extents={"g": str(attributes["groups"]), "c": str(attributes["width"]), "y.1": "size(x,1)"},
    )


GATE = Gate(
    "group_norm",
    _definition,
    ("x", "gain", "bias"),
    symbol="group norm",
    attributes={"groups": 1, "epsilon": 1e-5},
    prepare=_prepare,
    samples=(
        Sample(((2, 6, 3), (6,), (6,)), {"groups": 2}),
        Sample(
            ((1, 6), (6,), (6,)),
            {"groups": 2},
            values=(
                ([[1.0, 2.0, 3.0, 5.0, 5.0, 5.0]], [2.0] * 6, [1.0] * 6),
                [[-1.44947, 1.0, 3.44947, 1.0, 1.0, 1.0]],
            ),
        ),
        Sample(((2, 3, 2, 2), (3,), (3,)), {"groups": 3, "epsilon": 0.1}),
        Sample(((2, 3, 1, 2), (3,), (3,))),
    ),
    source="Wu, He, ECCV (2018), section 3.1",
)


def group_norm(x: Any, gain: Any, bias: Any, groups: int, epsilon: float = 1e-5) -> Node:
    """Normalise groups of neighbouring channels of each example, then scale and shift each channel.

    Parameters
    ----------
    x : Node, shape (N, C, ...)
        Operand.
    gain : Node, shape (C,)
        Scale of each channel.
    bias : Node, shape (C,)
        Shift of each channel.
    groups : int
        Number of groups; it divides the channels.
    epsilon : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the ranks or the channels do not fit, groups does not divide them, or epsilon is not positive.

    Notes
    -----
    The variance is biased (divided by the count) and taken in a second pass over the differences from the mean.
    Cost: 3 reads, about 8 FLOP per element.

    Source
    ------
    Wu, He, ECCV (2018), section 3.1

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 4))
    >>> y = graphc.group_norm(x, [2.0] * 4, [1.0] * 4, groups=2)
    >>> print(graphc.compile([y])(x=[[1, 3, 5, 5]])[0].round(3))
    [[-1.  3.  1.  1.]]
    """
    return GATE(x, gain, bias, groups=groups, epsilon=epsilon)
