"""rnn_cell: ``h_new = tanh(x @ weight_x.T + h @ weight_h.T + bias)``, one step of a simple recurrent network.

The state is a summary of all that was seen; every step mixes it with what is new.

Shapes: ``x (N, D)``, ``h (N, H)``, ``weight_x (H, D)``, ``weight_h (H, H)`` and ``bias (H,)`` give ``(N, H)``.
Derivatives: the upstream gradient times the slope of the activation, sent back through ``weight_x`` to ``x`` and
through ``weight_h`` to ``h``; by the weights its products with ``x`` and ``h``, summed over the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, ShapeError
from graphc.graph.cells import ByName, Shapes, applied, check_shapes, product_lines, summed

_OPERANDS = ("x", "h", "weight_x", "weight_h", "bias")
_ACTIVATIONS = {"tanh": "tanh({})", "relu": "max(0, {})", "sigmoid": "sigmoid({})"}


def _prepare(shapes: Shapes, attributes: dict[str, Any]) -> Mapping[str, Any]:
    if attributes["activation"] not in tuple(_ACTIVATIONS):
        raise ShapeError(f"activation={attributes['activation']!r} must be one of {', '.join(map(repr, _ACTIVATIONS))}")
    x = "N D" if "weight_x" in shapes else "N H"
    check_shapes("rnn_cell", shapes, {"x": x, "h": "N H", "weight_x": "H D", "weight_h": "H H", "bias": "H"})
    return attributes


def _definition(shapes: Shapes, attributes: Mapping[str, Any]) -> Definition:
    value = _ACTIVATIONS[attributes["activation"]].format(summed(shapes, 0))
    lines = [*product_lines(shapes), f"h_new[n,k] = {value}"]
    return Definition("\n".join(lines))


GATE = Gate(
    "rnn_cell",
    ByName(_definition, _OPERANDS),
    _OPERANDS,
    symbol="RNN",
    ties="with activation='relu', at 0 the constant 0 wins and the derivative is 0",
    attributes={"activation": "tanh"},
    prepare=ByName(_prepare, _OPERANDS),
    optional=1,
    samples=(
        Sample(((2, 3), (2, 4), (4, 3), (4, 4), (4,))),
        Sample(
            ((1, 1), (1, 2), (2, 1), (2, 2), (2,)),
            values=(
                ([[2.0]], [[0.5, -1.0]], [[0.5], [-1.0]], [[1.0, 0.5], [0.0, -1.0]], [-0.5, 1.25]),
                [[0.46212, 0.24492]],
            ),
            source="By hand: tanh(1/2) and tanh(1/4)",
        ),
        Sample(((2, 3), (2, 2), (2, 3), (2, 2)), {"activation": "sigmoid"}),
        Sample(((3, 1), (3, 2), (2, 1), (2, 2), (2,)), {"activation": "relu"}),
        Sample(((1, 1), (1, 1), (1, 1), (1, 1))),
    ),
    source="Elman, Cognitive Science 14 (1990), figure 2; Goodfellow et al., Deep Learning (2016), eq. 10.8",
)


def rnn_cell(x: Any, h: Any, weight_x: Any, weight_h: Any, bias: Any = None, *, activation: str = "tanh") -> Node:
    """One step of a simple recurrent network.

    Parameters
    ----------
    x : Node, shape (N, D); (N, H) where ``weight_x`` is None
        What is new at this step.
    h : Node, shape (N, H)
        State before the step.
    weight_x : Node, shape (H, D), or None
        Weights of ``x``; None where ``x`` is multiplied by them already.
    weight_h : Node, shape (H, H)
        Weights of the state.
    bias : Node, shape (H,), optional
        Added to the sum.
    activation : {"tanh", "relu", "sigmoid"}, default "tanh"
        Function of the sum.

    Returns
    -------
    Node, shape (N, H)
        State after the step.

    Raises
    ------
    ShapeError
        If a rank or an extent does not fit, or the activation is another.

    Notes
    -----
    Weights are laid out as in PyTorch; its second bias is the same as a sum of both. Cost: 2*N*H*(D + H) FLOP and
    N*H transcendental calls.

    Source
    ------
    Elman, Cognitive Science 14 (1990), figure 2; Goodfellow, Bengio, Courville, Deep Learning (2016), eq. 10.8.

    Examples
    --------
    >>> import graphc
    >>> h = graphc.input("h", (1, 1))
    >>> y = graphc.rnn_cell([[2.0]], h, [[1.0]], [[-1.5]], activation="relu")
    >>> print(graphc.compile([y])(h=[[1.0]])[0])
    [[0.5]]
    """
    return applied(GATE, (x, h, weight_x, weight_h, bias), {"activation": activation})
