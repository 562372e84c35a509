"""lstm_cell: ``c_new = f*c + i*g`` and ``h_new = o*tanh(c_new)``, one step of a long short-term memory.

The memory ``c`` is kept or forgotten (``f``) and written to (``i``) element by element, so that gradients pass many
steps without vanishing; ``o`` says how much of it is shown.

Shapes: ``x (N, D)``, ``h (N, H)``, ``c (N, H)``, ``weight_x (4H, D)``, ``weight_h (4H, H)`` and ``bias (4H,)`` give
``h_new (N, H)`` and ``c_new (N, H)``.
Derivatives: what arrives at ``c_new``, with ``o*(1 - tanh(c_new)**2)`` of what arrives at ``h_new``, goes on to ``c``
times ``f``, and through the slopes of the gates to ``x``, ``h`` and the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, ShapeError
from graphc.graph.cells import ByName, Shapes, applied, check_flag, check_shapes, memory_lines, product_lines

_OPERANDS = ("x", "h", "c", "weight_x", "weight_h", "bias", "peephole", "weight")


def _prepare(shapes: Shapes, attributes: dict[str, Any]) -> Mapping[str, Any]:
    check_flag(attributes, "coupled")
    parted = {"weight_x", "weight_h"} & set(shapes)
    if ("weight" in shapes) == bool(parted) or ("weight_x" in parted and len(parted) == 1):
        raise ShapeError("lstm_cell needs weight_h, with weight_x where x is not projected; or weight for both in one")
    own = "3H" if attributes["coupled"] else "4H"
    layout = {"x": "N D" if shapes.keys() & {"weight_x", "weight"} else f"N {own}", "h": "N H", "c": "N H"}
    layout |= {"weight_x": f"{own} D", "weight_h": f"{own} H", "bias": own, "weight": f"{own} H+D"}
    check_shapes("lstm_cell", shapes, layout | {"peephole": "2H" if attributes["coupled"] else "3H"})
    return attributes


def _definition(shapes: Shapes, attributes: Mapping[str, Any]) -> Definition:
    lines = product_lines(shapes) + memory_lines(shapes, "fgo" if attributes["coupled"] else "ifgo")
    return Definition("\n".join(lines), extents={"k": "size(h,1)"} | ({"m": "size(h,1)"} if "weight" in shapes else {}))


_BIASES = [1.0986123, -1.0986123, 0.5493061, 0.0]  # the gates are 3/4, 1/4, 1/2 and 1/2
GATE = Gate(
    "lstm_cell",
    ByName(_definition, _OPERANDS),
    _OPERANDS,
    symbol="LSTM",
    attributes={"coupled": False},
    prepare=ByName(_prepare, _OPERANDS),
    optional=5,
    samples=(
        Sample(((2, 3), (2, 4), (2, 4), (16, 3), (16, 4), (16,))),
        Sample(
            ((1, 1), (1, 1), (1, 1), (4, 1), (4, 1), (4,)),
            values=(([[2.0]], [[1.0]], [[2.0]], [[0.5]] * 4, [[-1.0]] * 4, _BIASES), [[0.35193]]),
            source="By hand: tanh(2/4 + 3/4*1/2)/2",
        ),
        Sample(((2, 3), (2, 2), (2, 2), (8, 3), (8, 2), (8,), (6,))),
        Sample(((2, 3), (2, 2), (2, 2), (6, 3), (6, 2), (6,), (4,)), {"coupled": True}),
        Sample(((1, 1), (1, 1), (1, 1), (4, 1), (4, 1))),
    ),
    source="Hochreiter, Schmidhuber, Neural Computation 9 (1997); Gers et al., ibid. 12 (2000); peepholes: Gers, "
    "Schmidhuber, IJCNN (2000); coupled: Greff et al., IEEE TNNLS 28 (2017), section III",
)


def lstm_cell(
    x: Any,
    h: Any,
    c: Any,
    weight_x: Any = None,
    weight_h: Any = None,
    bias: Any = None,
    peephole: Any = None,
    *,
    weight: Any = None,
    coupled: bool = False,
) -> tuple[Node, Node]:
    """One step of a long short-term memory.

    Rows of the weights in the order of PyTorch: input gate i, forget gate f, candidate g, output gate o.

    Parameters
    ----------
    x : Node, shape (N, D); (N, 4H) where only ``weight_h`` is given
        What is new at this step, or its product with the weights.
    h : Node, shape (N, H)
        What was shown before the step.
    c : Node, shape (N, H)
        Memory before the step.
    weight_x : Node, shape (4H, D), optional
        Weights of ``x``; None where ``x`` is multiplied by them already.
    weight_h : Node, shape (4H, H), optional
        Weights of ``h``; None where ``weight`` is given.
    bias : Node, shape (4H,), optional
        Added to the sums.
    peephole : Node, shape (3H,), optional
        Weights by which i and f see the old memory and o the new one, element by element.
    weight : Node, shape (4H, H + D), optional
        Both weights in one matrix that multiplies [h, x]: its columns for ``h`` come first.
    coupled : bool, default False
        Whether i = 1 - f. Then there are 3H rows, in the order f, g, o, and 2H peepholes, for f and o.

    Returns
    -------
    (Node, Node), shapes (N, H)
        What is shown, and the memory, after the step.

    Raises
    ------
    ShapeError
        If a rank or an extent does not fit, or neither ``weight_h`` nor ``weight`` is given, or both are.

    Notes
    -----
    A forget gate of 1 with an input gate of 0 keeps the memory as it is; start with a bias of 1 or more for f.
    Cost: 8*N*H*(D + H) FLOP and 5*N*H transcendental calls.

    Source
    ------
    Hochreiter, Schmidhuber, Neural Computation 9 (1997); forget gates: Gers, Schmidhuber, Cummins, Neural Computation
    12 (2000); peepholes: Gers, Schmidhuber, IJCNN (2000); coupled: Greff et al., IEEE TNNLS 28 (2017), section III.

    Examples
    --------
    >>> import graphc
    >>> x, h, c = (graphc.input(name, ("N", extent)) for name, extent in (("x", 28), ("h", 64), ("c", 64)))
    >>> w, v = graphc.parameter("w", (256, 28)), graphc.parameter("v", (256, 64))
    >>> h_new, c_new = graphc.lstm_cell(x, h, c, w, v)
    >>> h_new.shape, c_new.shape
    ((N, 64), (N, 64))
    """
    return applied(GATE, (x, h, c, weight_x, weight_h, bias, peephole, weight), {"coupled": coupled})
