"""conv_lstm_cell: one step of an LSTM whose state is an image and whose products are convolutions.

Every place has a memory of its own and sees its neighbourhood only: sequences of maps stay maps.

Shapes: ``x (N, C, R, S)``, ``h (N, K, R, S)``, ``c (N, K, R, S)``, ``weight_x (4K, C, P, Q)``,
``weight_h (4K, K, U, V)`` with odd P, Q, U and V, and ``bias (4K,)`` give ``h_new`` and ``c_new (N, K, R, S)``.
Derivatives: those of ``lstm_cell`` at each place, sent back to ``x``, ``h`` and the weights as by ``conv2d``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, Shape, ShapeError, shape_text
from graphc.graph.cells import ByName, Shapes, applied, check_shapes, memory_lines

_OPERANDS = ("x", "h", "c", "weight_x", "weight_h", "bias")


def _prepare(shapes: Shapes, attributes: dict[str, Any]) -> Mapping[str, Any]:
    layout = {"x": "N C R S" if "weight_x" in shapes else "N 4K R S", "h": "N K R S", "c": "N K R S"}
    layout |= {"weight_x": "4K C P Q", "weight_h": "4K K U V", "bias": "4K"}
    check_shapes("conv_lstm_cell", shapes, layout)
    for name in [name for name in ("weight_x", "weight_h") if name in shapes]:
        found = shapes[name]
        if any(not isinstance(extent, int) or extent % 2 == 0 for extent in found[2:]):
            raise ShapeError(f"{name} needs filters of odd extents, which have a centre; found {shape_text(found)}")
    return attributes


def _convolution(result: str, image: str, channel: str, filters: str, shape: Shape) -> str:
    """Line of a convolution with as many zeros around the image as keep its extents."""
    row, column = (int(str(extent)) // 2 for extent in shape[2:])
    read = f"{image}[n,{channel},p + r - {row},q + s - {column}]"
    return f"{result}[n,j,p,q] = sum({read}*{filters}[j,{channel},r,s], {channel}, r, s)"


def _definition(shapes: Shapes, attributes: Mapping[str, Any]) -> Definition:
    lines = [_convolution("recurrent", "h", "m", "weight_h", shapes["weight_h"])]
    padded = {"h"}
    if "weight_x" in shapes:
        lines.insert(0, _convolution("projected", "x", "d", "weight_x", shapes["weight_x"]))
        padded.add("x")
    lines += memory_lines(shapes, places=",p,q")
    extents = {"k": "size(h,1)", "p": "size(h,2)", "q": "size(h,3)"}
    return Definition("\n".join(lines), dict.fromkeys(sorted(padded), 0), extents)


_FILTERS = [[[[0.0, 0.0, 0.0]]]] * 2 + [[[[0.0, 0.25, 0.25]]]] + [[[[0.0, 0.0, 0.0]]]]  # only g sees, to the right
_BIASES = [1.0986123, -1.0986123, 0.0, 0.0]  # without neighbours the gates are 3/4, 1/4, 0 and 1/2
_RECURRENT = [[[[0.0]]]] * 2 + [[[[-0.5]]]] + [[[[0.0]]]]
GATE = Gate(
    "conv_lstm_cell",
    ByName(_definition, _OPERANDS),
    _OPERANDS,
    symbol="ConvLSTM",
    prepare=ByName(_prepare, _OPERANDS),
    optional=1,
    samples=(
        Sample(((2, 2, 3, 4), (2, 1, 3, 4), (2, 1, 3, 4), (4, 2, 3, 3), (4, 1, 3, 3), (4,))),
        Sample(
            ((1, 1, 1, 2), (1, 1, 1, 2), (1, 1, 1, 2), (4, 1, 1, 3), (4, 1, 1, 1), (4,)),
            values=(
                ([[[[1.0, 2.0]]]], [[[[0.5, 0.5]]]], [[[[2.0, 0.0]]]], _FILTERS, _RECURRENT, _BIASES),
                [[[[0.34464, 0.09083]]]],
            ),
            source="By hand: tanh(2/4 + 3/4*tanh(3/4 - 1/4))/2 and tanh(3/4*tanh(2/4 - 1/4))/2",
        ),
        Sample(((1, 3, 2, 5), (1, 2, 2, 5), (1, 2, 2, 5), (8, 3, 1, 5), (8, 2, 3, 1))),
    ),
    source="Shi et al., NIPS (2015), eq. 3, without peepholes",
)


def conv_lstm_cell(x: Any, h: Any, c: Any, weight_x: Any, weight_h: Any, bias: Any = None) -> tuple[Node, Node]:
    """One step of a convolutional long short-term memory.

    Channels of the weights in the order of PyTorch's LSTM: input gate i, forget gate f, candidate g, output gate o.

    Parameters
    ----------
    x : Node, shape (N, C, R, S); (N, 4K, R, S) where ``weight_x`` is None
        Images that are new at this step, or what their convolution gave.
    h : Node, shape (N, K, R, S)
        What was shown before the step.
    c : Node, shape (N, K, R, S)
        Memory before the step.
    weight_x : Node, shape (4K, C, P, Q) with odd P and Q, or None
        Filters of ``x``; None where ``x`` is convolved with them already.
    weight_h : Node, shape (4K, K, U, V) with odd U and V
        Filters of ``h``.
    bias : Node, shape (4K,), optional
        Added at every place.

    Returns
    -------
    (Node, Node), shapes (N, K, R, S)
        What is shown, and the memory, after the step.

    Raises
    ------
    ShapeError
        If a rank or an extent does not fit, or an extent of the filters is even.

    Notes
    -----
    Zeros around the images keep their extents. The peepholes of the paper, a weight for each place, are left out. Cost:
    8*N*K*R*S*(C*P*Q + K*U*V) FLOP and 5*N*K*R*S transcendental calls.

    Source
    ------
    Shi et al., NIPS (2015), eq. 3, without peepholes.

    Examples
    --------
    >>> import graphc
    >>> x, h, c = (graphc.input(name, ("N", extent, 16, 16)) for name, extent in (("x", 3), ("h", 8), ("c", 8)))
    >>> w, v = graphc.parameter("w", (32, 3, 5, 5)), graphc.parameter("v", (32, 8, 3, 3))
    >>> h_new, c_new = graphc.conv_lstm_cell(x, h, c, w, v)
    >>> h_new.shape
    (N, 8, 16, 16)
    """
    return applied(GATE, (x, h, c, weight_x, weight_h, bias), {})
