"""Long short-term memory layer: ``c[t] = f*c[t-1] + i*g`` and ``h[t] = o*tanh(c[t])``, gates of x[t] and h[t-1]."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, parameter, registry
from graphc.layers.initialisers import zeros
from graphc.layers.parts import refusal
from graphc.layers.recurrence import Kind, Options, Step, check_sequence, forget_bias, layered, weights

__all__ = ["lstm"]


def lstm(
    xs: Node,
    units: int,
    *,
    name: str,
    peephole: bool = False,
    coupled: bool = False,
    vocabulary: int | None = None,
    **options: Any,
) -> Any:
    """Long short-term memory layer.

    Parameters
    ----------
    xs : Node, shape (T, N, D), or (T, N) tokens
        Sequences, steps first; D is a number. Tokens are whole numbers that choose columns of ``weight_x``.
    units : int
        Extent of the state, H.
    name : str
        Parameters are named ``name.weight_x`` (4H, D), ``name.weight_h`` (4H, H) and ``name.bias`` (4H,), rows in the
        order i, f, g, o.
    peephole : bool, default False
        Whether i and f see the old memory and o the new one, weighted by ``name.peephole`` (3H,), 0 at first.
    coupled : bool, default False
        Whether i = 1 - f. Then there are 3H rows, in the order f, g, o, and 2H peepholes.
    vocabulary : int, optional
        Number of tokens V, for tokens: then ``weight_x`` is (4H, V).
    **options
        State, lengths, directions, stacking, dropout and what is returned: see `graphc.layers.recurrence.Options`.
        The state of one layer and direction is (h, c).

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
    Parameters: ``4*H*(D + H + 1)``. Initial weight_x: `xavier` and weight_h: `orthogonal`, each gate on its own; bias:
    1 for the forget gate, so that the memory is kept at first (Jozefowicz et al., ICML 2015), else 0. Cost:
    8*T*N*H*(D + H) FLOP.

    Source
    ------
    Hochreiter, Schmidhuber, Neural Computation 9 (1997); forget gates: Gers, Schmidhuber, Cummins, Neural Computation
    12 (2000); peepholes: Gers, Schmidhuber, IJCNN (2000); coupled: Greff et al., IEEE TNNLS 28 (2017), section III.

    Examples
    --------
    >>> import graphc
    >>> tokens = graphc.input("tokens", (50, "N"), dtype="int32")
    >>> outputs, (h, c) = graphc.layers.lstm(tokens, 128, name="memory", vocabulary=65, returns="both")
    >>> outputs.shape, c.shape
    ((50, N, 128), (N, 128))
    """
    made = Options.of("lstm", name, options)
    check_sequence("lstm", name, xs, units, vocabulary)
    for option, value in (("peephole", peephole), ("coupled", coupled)):
        if not isinstance(value, bool):
            raise refusal("lstm", name, f"{option}={value!r} must be True or False")
    gates = 3 if coupled else 4

    def declare(prefix: str, x: Node, first: bool) -> tuple[Node, Step]:
        read, weight_x, weight_h = weights(prefix, x, gates, units, vocabulary if first else None, made)
        bias = forget_bias(prefix, gates, units, 0 if coupled else 1, made)
        seen = parameter(f"{prefix}.peephole", ((gates - 1) * units,), initial=zeros()) if peephole else None

        def step(x: Node, states: tuple[Node, ...]) -> tuple[Node, ...]:
            h, c = registry.function("lstm_cell")(x, *states, weight_x, weight_h, bias, seen, coupled=coupled)
            return h, c

        return read, step

    return layered(Kind("lstm", name, ("h", "c"), (units,), declare), xs, made)
