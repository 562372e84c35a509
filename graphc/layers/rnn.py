"""Simple recurrent layer: ``h[t] = tanh(weight_x @ x[t] + weight_h @ h[t-1] + bias)``."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, parameter, registry
from graphc.layers.recurrence import Kind, Options, Step, check_sequence, layered, weights

__all__ = ["rnn"]


def rnn(
    xs: Node,
    units: int,
    *,
    name: str,
    activation: str = "tanh",
    vocabulary: int | None = None,
    **options: Any,
) -> Any:
    """Simple recurrent layer.

    Parameters
    ----------
    xs : Node, shape (T, N, D), or (T, N) tokens
        Sequences, steps first; D is a number. Tokens are whole numbers that choose columns of ``weight_x``.
    units : int
        Extent of the state, H.
    name : str
        Parameters are named ``name.weight_x`` (H, D), ``name.weight_h`` (H, H) and ``name.bias`` (H,).
    activation : {"tanh", "relu", "sigmoid"}, default "tanh"
        Function of the sum.
    vocabulary : int, optional
        Number of tokens V, for tokens: then ``weight_x`` is (H, V).
    **options
        State, lengths, directions, stacking, dropout and what is returned: see `graphc.layers.recurrence.Options`.

    Returns
    -------
    Node, shape (T, N, H)
        Or what ``returns`` asks for.

    Raises
    ------
    ShapeError
        If ``xs`` is no sequence, its features are not a number, or an option or a state does not fit.
    DataError
        Of the compiled step, if a token or a length is out of its range.

    Notes
    -----
    Parameters: ``H*(D + H + 1)``. Initial weight_x: `xavier`, weight_h: `orthogonal`, bias: 0. PyTorch's second bias is
    the same as a sum of both. Cost: 2*T*N*H*(D + H) FLOP.

    Source
    ------
    Elman, Cognitive Science 14 (1990), figure 2; Goodfellow, Bengio, Courville, Deep Learning (2016), eq. 10.8.

    Examples
    --------
    >>> import graphc
    >>> xs = graphc.input("xs", ("T", "N", 28))
    >>> graphc.layers.rnn(xs, 64, name="memory").shape
    (T, N, 64)
    >>> graphc.layers.rnn(xs, 64, name="both", bidirectional=True, returns="last").shape
    (N, 128)
    """
    made = Options.of("rnn", name, options)
    check_sequence("rnn", name, xs, units, vocabulary)

    def declare(prefix: str, x: Node, first: bool) -> tuple[Node, Step]:
        read, weight_x, weight_h = weights(prefix, x, 1, units, vocabulary if first else None, made)
        bias = parameter(f"{prefix}.bias", (units,)) if made.bias else None

        def step(x: Node, states: tuple[Node, ...]) -> tuple[Node, ...]:
            return (registry.function("rnn_cell")(x, states[0], weight_x, weight_h, bias, activation=activation),)

        return read, step

    return layered(Kind("rnn", name, ("h",), (units,), declare), xs, made)
