"""layer_norm: ``y = (x - mean)/sqrt(variance + epsilon)*gain + bias``, statistics over the trailing axes.

Normalises every example, or every position of a sequence, on its own: no batch is needed.

Shapes: ``x (..., D)``, ``gain`` and ``bias`` of the trailing extents, give the shape of ``x``.
Derivatives: by ``x`` the upstream gradient less its mean and less its share along ``y``, scaled; by ``gain`` and
``bias`` sums over the leading axes.
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
    if not 0 < len(gain) <= len(x) or x[len(x) - len(gain) :] != gain or bias != gain:
        raise ShapeError(
            f"layer_norm needs gain and bias of the trailing extents of x, found "
            f"{shape_text(x)}, {shape_text(gain)} and {shape_text(bias)}"
        )
    return attributes


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    axes, leading = LETTERS[: len(shapes[0])], len(shapes[0]) - len(shapes[1])
    return Definition(normal_lines(axes, axes[:leading], axes[leading:], axes[leading:]))


GATE = Gate(
    "layer_norm",
    _definition,
    ("x", "gain", "bias"),
    symbol="layer norm",
    attributes={"epsilon": 1e-5},
    prepare=_prepare,
    samples=(
        Sample(((5, 3), (3,), (3,))),
        Sample(((1, 3), (3,), (3,)), values=(([[1.0, 2.0, 3.0]], [2.0] * 3, [1.0] * 3), [[-1.44947, 1.0, 3.44947]])),
        Sample(((2, 3, 2, 2), (3, 2, 2), (3, 2, 2)), {"epsilon": 0.1}),
        Sample(((4,), (4,), (4,))),
    ),
    source="Ba, Kiros, Hinton, arXiv 1607.06450 (2016), section 3",
)


def layer_norm(x: Any, gain: Any, bias: Any, epsilon: float = 1e-5) -> Node:
    """Normalise each example by the mean and variance of its own elements, then scale and shift them.

    Parameters
    ----------
    x : Node, shape (..., D) or with more trailing axes
        Operand.
    gain : Node, shape (D,), or that of the trailing axes
        Scale of each element; its rank says how many axes are normalised.
    bias : Node, shape of ``gain``
        Shift of each element.
    epsilon : float, default 1e-5
        Added to the variance.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If gain and bias do not have the trailing extents of x, or epsilon is not positive.

    Notes
    -----
    The variance is biased (divided by the count) and taken in a second pass over the differences from the mean.
    Cost: 3 reads, about 8 FLOP per element.

    Source
    ------
    Ba, Kiros, Hinton, arXiv 1607.06450 (2016), section 3

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (1, 3))
    >>> y = graphc.layer_norm(x, [2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    >>> print(graphc.compile([y])(x=[[1, 2, 3]])[0].round(3))
    [[-1.449  1.     3.449]]
    """
    return GATE(x, gain, bias, epsilon=epsilon)
