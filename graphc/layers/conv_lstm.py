"""Convolutional long short-term memory layer: an LSTM of images, whose products are convolutions."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, parameter, registry
from graphc.layers.initialisers import orthogonal, xavier
from graphc.layers.parts import numbers, refusal, window
from graphc.layers.recurrence import Kind, Options, Step, each_gate, forget_bias, layered

__all__ = ["conv_lstm"]


def conv_lstm(xs: Node, channels: int, size: int | tuple[int, int], *, name: str, **options: Any) -> Any:
    """Convolutional long short-term memory layer.

    Parameters
    ----------
    xs : Node, shape (T, N, C, H, W)
        Sequences of images, steps first; C is a number.
    channels : int
        Channels of the state, K.
    size : int or (int, int)
        Filter height and width P and Q, odd numbers.
    name : str
        Parameters are named ``name.weight_x`` (4K, C, P, Q), ``name.weight_h`` (4K, K, P, Q) and ``name.bias`` (4K,),
        channels in the order i, f, g, o.
    **options
        State, lengths, directions, stacking, dropout and what is returned: see `graphc.layers.recurrence.Options`. The
        state of one layer and direction is (h, c), both (N, K, H, W); a learned one is (K,), the same at every place.

    Returns
    -------
    Node, shape (T, N, K, H, W)
        Or what ``returns`` asks for.

    Raises
    ------
    ShapeError
        If ``xs`` is no sequence of images, its channels are not a number, a filter has an even extent, or an option
        or a state does not fit.
    DataError
        Of the compiled step, if a length is out of its range.

    Notes
    -----
    Parameters: ``4*K*(P*Q*(C + K) + 1)``. Initial weight_x: `xavier` and weight_h: `orthogonal`, each gate on its own;
    bias: 1 for the forget gate, so that the memory is kept at first, else 0. Zeros around the images keep their
    extents. Cost: 8*T*N*H*W*K*P*Q*(C + K) FLOP.

    Source
    ------
    Shi et al., NIPS (2015), eq. 3, without peepholes.

    Examples
    --------
    >>> import graphc
    >>> rain = graphc.input("rain", (10, "N", 1, 32, 32))
    >>> graphc.layers.conv_lstm(rain, 8, 3, name="clouds").shape
    (10, N, 8, 32, 32)
    """
    made = Options.of("conv_lstm", name, options)
    numbers("conv_lstm", name, xs, (5,), "sequences of images (T, N, C, H, W), steps first", (2,))
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise refusal("conv_lstm", name, f"channels={channels!r} must be a whole number of at least 1")
    height, width = window("conv_lstm", name, size, 2)
    if height % 2 == 0 or width % 2 == 0:
        raise refusal("conv_lstm", name, f"size={size!r} must be odd: the image keeps its extents around a centre")

    def declare(prefix: str, x: Node, first: bool) -> tuple[Node, Step]:
        del first
        rows = 4 * channels
        own = each_gate(xavier() if made.initial is None else made.initial, 4)
        across = each_gate(orthogonal() if made.initial_h is None else made.initial_h, 4)
        weight_x = parameter(f"{prefix}.weight_x", (rows, x.shape[2], height, width), initial=own)
        weight_h = parameter(f"{prefix}.weight_h", (rows, channels, height, width), initial=across)
        bias = forget_bias(prefix, 4, channels, 1, made)

        def step(x: Node, states: tuple[Node, ...]) -> tuple[Node, ...]:
            h, c = registry.function("conv_lstm_cell")(x, *states, weight_x, weight_h, bias)
            return h, c

        return x, step

    return layered(Kind("conv_lstm", name, ("h", "c"), (channels, *xs.shape[3:]), declare), xs, made)
