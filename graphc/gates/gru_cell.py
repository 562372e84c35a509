"""gru_cell: ``h_new = (1 - z)*h + z*new``, one step of a gated recurrent unit.

``z`` says how much of the state is replaced, and ``r`` how much of it the replacement ``new`` sees: an LSTM with two
gates and no second state.

Shapes: ``x (N, D)``, ``h (N, H)``, ``weight_x (3H, D)``, ``weight_h (3H, H)``, ``bias (3H,)`` and ``bias_h (3H,)``
give ``(N, H)``.
Derivatives: what arrives goes on to ``h`` times ``1 - z``, and through the slopes of the gates to ``x``, ``h`` and the
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.graph import Definition, Gate, Node, Sample, ShapeError
from graphc.graph.cells import ByName, Shapes, applied, check_flag, check_shapes, product_lines, summed

_OPERANDS = ("x", "h", "weight_x", "weight_h", "bias", "bias_h")
_UPDATES = {"new": "(1 - z[n,k])*h[n,k] + z[n,k]*new[n,k]", "old": "(1 - z[n,k])*new[n,k] + z[n,k]*h[n,k]"}


def _prepare(shapes: Shapes, attributes: dict[str, Any]) -> Mapping[str, Any]:
    if attributes["update"] not in tuple(_UPDATES):
        raise ShapeError(f"update={attributes['update']!r} must be 'new' (z weights what is new) or 'old' (the state)")
    check_flag(attributes, "reset_after")
    layout = {"x": "N D" if "weight_x" in shapes else "N 3H", "h": "N H", "weight_x": "3H D", "weight_h": "3H H"}
    check_shapes("gru_cell", shapes, layout | {"bias": "3H", "bias_h": "3H"})
    return attributes


def _definition(shapes: Shapes, attributes: Mapping[str, Any]) -> Definition:
    if attributes["reset_after"]:
        row, reset, biases = "j", [f"gated[n,k] = r[n,k]*({summed(shapes, 2, 'recurrent', 'bias_h')})"], ["bias"]
    else:  # only r and z see the state as it is
        row, reset, biases = "l", ["reset[n,m] = r[n,m]*h[n,m]"], ["bias", "bias_h"]
        reset.append("gated[n,k] = sum(reset[n,m]*weight_h[k + 2*size(h,1),m], m)")
    lines = [f"{letter}[n,k] = sigmoid({summed(shapes, number)})" for number, letter in enumerate("rz")] + reset
    lines.append(f"new[n,k] = tanh({summed(shapes, 2, 'projected', *biases)} + gated[n,k])")
    lines = [*product_lines(shapes, row), *lines, f"h_new[n,k] = {_UPDATES[attributes['update']]}"]
    return Definition("\n".join(lines), extents={"k": "size(h,1)"} | ({"l": "2*size(h,1)"} if row == "l" else {}))


_GIVEN, _BIASES = ([[2.0]], [[1.0]], [[0.5]] * 3, [[-1.0]] * 3), [1.0986123, -1.0986123]
GATE = Gate(
    "gru_cell",
    ByName(_definition, _OPERANDS),
    _OPERANDS,
    symbol="GRU",
    attributes={"reset_after": False, "update": "new"},
    prepare=ByName(_prepare, _OPERANDS),
    optional=2,
    samples=(
        Sample(((2, 3), (2, 4), (12, 3), (12, 4), (12,))),
        # by hand: r = 3/4, z = 1/4, 3/4 + tanh(1 - 3/4 + 1/4)/4
        Sample(((1, 1), (1, 1), (3, 1), (3, 1), (3,)), values=((*_GIVEN, [*_BIASES, 0.25]), [[0.86553]])),
        # by hand: the same gates, 3/4*tanh(1 + 3/4*(1 - 1) - 1/2) + 1/4
        Sample(
            ((1, 1), (1, 1), (3, 1), (3, 1), (3,), (3,)),
            {"reset_after": True, "update": "old"},
            values=((*_GIVEN, [*_BIASES, -0.5], [0.0, 0.0, 1.0]), [[0.59659]]),
        ),
        Sample(((2, 3), (2, 2), (6, 3), (6, 2), (6,), (6,)), {"update": "old"}),
        Sample(((2, 3), (2, 2), (6, 3), (6, 2)), {"reset_after": True}),
    ),
    source="Cho et al., EMNLP (2014), eq. 5 to 8; update='new': Chung et al., arXiv:1412.3555 (2014), eq. 5 to 8",
)


def gru_cell(
    x: Any,
    h: Any,
    weight_x: Any,
    weight_h: Any,
    bias: Any = None,
    bias_h: Any = None,
    *,
    reset_after: bool = False,
    update: str = "new",
) -> Node:
    """One step of a gated recurrent unit.

    Rows of the weights in the order of PyTorch: reset gate r, update gate z, candidate n (``new`` in the formula). Two
    conventions each exist for where r acts and for what z weights; PyTorch's are ``reset_after=True, update="old"``.

    Parameters
    ----------
    x : Node, shape (N, D); (N, 3H) where ``weight_x`` is None
        What is new at this step, or its product with the weights.
    h : Node, shape (N, H)
        State before the step.
    weight_x : Node, shape (3H, D), or None
        Weights of ``x``; None where ``x`` is multiplied by them already.
    weight_h : Node, shape (3H, H)
        Weights of the state.
    bias : Node, shape (3H,), optional
        Added to the part of ``x``.
    bias_h : Node, shape (3H,), optional
        Added to the part of the state.
    reset_after : bool, default False
        Whether r multiplies the product of the state with its weights, bias_h included, as in PyTorch and cuDNN:
        n = tanh(x' + r*(W h + bias_h)). Otherwise it multiplies the state before it: n = tanh(x' + W (r*h) + bias_h),
        as in Cho et al. (2014).
    update : {"new", "old"}, default "new"
        What z weights. "new" is the candidate: h_new = (1 - z)*h + z*n, as in Chung et al. (2014). "old" is the state:
        h_new = (1 - z)*n + z*h, as in PyTorch and Cho et al. (2014).

    Returns
    -------
    Node, shape (N, H)
        State after the step.

    Raises
    ------
    ShapeError
        If a rank or an extent does not fit, or an attribute has another value.

    Notes
    -----
    The two meanings of z are the same network with the signs of all that z is made of turned round. Cost:
    6*N*H*(D + H) FLOP and 3*N*H transcendental calls.

    Source
    ------
    Cho et al., EMNLP (2014), eq. 5 to 8; update="new": Chung et al., arXiv:1412.3555 (2014), eq. 5 to 8.

    Examples
    --------
    >>> import graphc
    >>> x, h = graphc.input("x", ("N", 28)), graphc.input("h", ("N", 64))
    >>> w, v = graphc.parameter("w", (192, 28)), graphc.parameter("v", (192, 64))
    >>> graphc.gru_cell(x, h, w, v, reset_after=True).shape
    (N, 64)
    """
    return applied(GATE, (x, h, weight_x, weight_h, bias, bias_h), {"reset_after": reset_after, "update": update})
