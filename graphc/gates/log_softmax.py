"""log_softmax: ``y[i] = x[i] - log(sum(exp(x[j]), j))`` along one axis.

Logarithms of probabilities without a logarithm of 0: what likelihoods, beams and policies add up.

Shapes: the result has the shape of ``x``.
Derivative: ``dy - softmax(x) * sum(dy)`` along the axis.
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
    x, z = indexed("x", letters), indexed("z", kept)
    return Definition(f"{z} = logsumexp({x}, {reduced})\n{indexed('y', letters)} = {x} - {z}")


def _stable(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    text = _definition(shapes, attributes).text
    letters = letters_of(len(shapes[0]))
    reduced = letters[attributes["axis"]]
    x, top = indexed("x", letters), indexed("top", [i for i in letters if i != reduced])
    # a shift of all scores changes nothing; `//` has derivative 0, and so has what is shifted by
    return Definition(f"{top} = max({x}, {reduced})\n" + text.replace(x, f"({x} - {top}//1)"))


GATE = Gate(
    "log_softmax",
    _definition,
    ("x",),
    symbol="log softmax",
    stable=_stable,
    attributes={"axis": -1},
    prepare=_prepare,
    samples=(
        Sample(((3, 5),), values=(([1.0, 2.0, 3.0],), [-2.4076, -1.4076, -0.4076])),
        Sample(((2, 3, 5),), {"axis": 1}),
        Sample(((4, 3),), {"axis": 0}, interval=(-20.0, 20.0)),
        Sample(((1,),), values=(([5.0],), [0.0])),
    ),
    source="Bridle (1990); Goodfellow, Bengio, Courville, Deep Learning (2016), eq. 6.30",
)


def log_softmax(x: Any, axis: int = -1) -> Node:
    """Logarithm of ``softmax``, in nats.

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
    Finite wherever the scores are; large scores lose no digits.
    Cost: 3 reads, 1 write and 1 exponential per element.

    Source
    ------
    Bridle (1990); Goodfellow, Bengio, Courville, Deep Learning (2016), eq. 6.30.

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (3,))
    >>> run = graphc.compile([graphc.log_softmax(x)])
    >>> print(run(x=[-1000, 0, 1000])[0])
    [-2000. -1000.     0.]
    """
    return GATE(x, axis=axis)
