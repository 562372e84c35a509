"""one_hot: ``y[n,c] = 1 if c == label[n] else 0``.

Classes as vectors: what losses and models take that compare with every class.

Shapes: integer labels of any shape get a last axis of ``classes``; the result is float32.
Derivative: none; labels are integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape
from graphc.graph.axes import indexed, letters_of, whole_numbers


def _prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
    (classes,) = whole_numbers((attributes["classes"],), "classes", 1)
    return {"classes": classes}


def _definition(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    letters = letters_of(len(shapes[0]))
    text = f"{indexed('y', [*letters, 'c'])} = 1 if c == {indexed('label', letters)} else 0"
    return Definition(text, extents={"c": str(attributes["classes"])}, integers=frozenset({"label"}))


GATE = Gate(
    "one_hot",
    _definition,
    ("label",),
    symbol="one hot",
    attributes={"classes": 2},
    prepare=_prepare,
    samples=(
        Sample(((2,),), {"classes": 3}, integers={0: 3}, values=(([2, 0],), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])),
        Sample(((3, 5),), {"classes": 4}, integers={0: 4}),
        Sample(((),), {"classes": 1}, integers={0: 1}),
    ),
    source="Bishop, Pattern Recognition and Machine Learning (2006), section 4.1.3: the 1-of-K coding",
    differentiable=False,
)


def one_hot(label: Any, classes: int = 2) -> Node:
    """1 at the class, 0 at all others.

    Parameters
    ----------
    label : Node, any shape, integer
        Classes, 0 to ``classes`` - 1.
    classes : int, default 2
        Number of classes.

    Returns
    -------
    Node, the shape of ``label`` with a last axis of ``classes``, float32

    Raises
    ------
    ShapeError
        If the labels are floats or ``classes`` is not a whole number of at least 1.

    Notes
    -----
    A label outside the classes gives a row of zeros. ``softmax_cross_entropy`` and ``embedding`` take labels as they
    are, without this. Cost: 1 write and 1 comparison per element of the result.

    Source
    ------
    Bishop, Pattern Recognition and Machine Learning (2006), section 4.1.3.

    Examples
    --------
    >>> import graphc
    >>> label = graphc.input("label", ("N",), dtype="int32")
    >>> print(graphc.compile([graphc.one_hot(label, 3)])(label=[2, 0])[0].tolist())
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return GATE(label, classes=classes)
