"""softmax: ``y[i] = exp(x[i]) / sum(exp(x[j]), j)`` along one axis.

Scores become probabilities: attention weights, classes, actions.

Shapes: the result has the shape of ``x``.
Derivative: ``y * (dy - sum(dy * y))`` along the axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.axes import indexed, letters_of, normal_axis


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    return {"axis": normal_axis(attributes["axis"], len(shapes[0]))}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = letters_of(len(shapes[0]))
    reduced = letters[attributes["axis"]]
    kept = [i for i in letters if i != reduced]
    x, e, total = indexed("x", letters), indexed("e", letters), indexed("total", kept)
    return Definition(f"{e} = exp({x})\n{total} = sum({e}, {reduced})\n{indexed('y', letters)} = {e} / {total}")


def _stable(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    text = _definition(shapes, attributes).text
    letters = letters_of(len(shapes[0]))
    reduced = letters[attributes["axis"]]
    x, top = indexed("x", letters), indexed("top", [i for i in letters if i != reduced])
    # a shift of all scores changes nothing; `//` has derivative 0, and so has what is shifted by
    return Definition(f"{top} = max({x}, {reduced})\n" + text.replace(f"exp({x})", f"exp({x} - {top}//1)"))


GATE = Gate(
    "softmax",
    _definition,
    ("x",),
    symbol="softmax",
    stable=_stable,
    attributes={"axis": -1},
    prepare=_prepare,
    samples=(
        Sample(((3, 5),), values=(([1.0, 2.0, 3.0],), [0.0900, 0.2447, 0.6652])),
        Sample(((2, 3, 5),), {"axis": 1}),
        Sample(((4, 3),), {"axis": 0}, interval=(-6.0, 6.0)),
        Sample(((1,),)),
        Sample(((7, 1),)),
    ),
    source="Bridle (1990); Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.104",
)


def softmax(x: Any, axis: int = -1) -> Node:
    """Probabilities in proportion to the exponentials of scores.

    Parameters
    ----------
    x : Node, any shape of rank 1 or more
        Scores.
    axis : int, default -1
        Axis along which the probabilities add up to 1.

    Returns
    -------
    Node, shape of ``x``

    Raises
    ------
    ShapeError
        If the axis does not exist.

    Notes
    -----
    The largest score is subtracted first, so that nothing overflows and large scores lose no digits. A score of
    -inf gets 0.
    For the loss of a classifier use ``softmax_cross_entropy``, for logarithms ``log_softmax``.
    Cost: 4 reads, 2 writes and 1 exponential per element.

    Source
    ------
    Bridle (1990); Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.104.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> run = graphc.compile([graphc.softmax(x)])
    >>> print(run(x=[1, 2, 3])[0].round(4))
    [0.09   0.2447 0.6652]
    """
    return GATE(x, axis=axis)
