"""Gated recurrent unit layer: ``h[t] = (1 - z)*h[t-1] + z*new``, where r says what of h[t-1] ``new`` sees."""

from __future__ import annotations

from typing import Any

from graphc.graph import Node, parameter, registry
from graphc.layers.recurrence import Kind, Options, Step, check_sequence, layered, weights

__all__ = ["gru"]


def gru(
    xs: Node,
    units: int,
    *,
    name: str,
    reset_after: bool = False,
    update: str = "new",
    vocabulary: int | None = None,
    **options: Any,
) -> Any:
    """Gated recurrent unit layer.

    Parameters
    ----------
    xs : Node, shape (T, N, D), or (T, N) tokens
        Sequences, steps first; D is a number. Tokens are whole numbers that choose columns of ``weight_x``.
    units : int
        Extent of the state, H.
    name : str
        Parameters are named ``name.weight_x`` (3H, D), ``name.weight_h`` (3H, H) and ``name.bias`` (3H,), rows in the
        order r, z, n; with ``reset_after`` also ``name.bias_h`` (3H,).
    reset_after : bool, default False
        Whether r multiplies the product of the state with its weights, as in PyTorch, or the state before it.
    update : {"new", "old"}, default "new"
        What z weights: the candidate, or the state, as in PyTorch.
    vocabulary : int, optional
        Number of tokens V, for tokens: then ``weight_x`` is (3H, V).
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
    Parameters: ``3*H*(D + H + 1)``, and 3*H with ``reset_after``. Initial weight_x: `xavier` and weight_h:
    `orthogonal`, each gate on its own; biases: 0. Cost: 6*T*N*H*(D + H) FLOP.

    Source
    ------
    Cho et al., EMNLP (2014), eq. 5 to 8; ``update="new"``: Chung et al., arXiv:1412.3555 (2014), eq. 5 to 8.

    Examples
    --------
    >>> import graphc
    >>> xs = graphc.input("xs", ("T", "N", 28))
    >>> graphc.layers.gru(xs, 64, name="memory", layers=2, dropout=0.2).shape
    (T, N, 64)
    """
    made = Options.of("gru", name, options)
    check_sequence("gru", name, xs, units, vocabulary)

    def declare(prefix: str, x: Node, first: bool) -> tuple[Node, Step]:
        read, weight_x, weight_h = weights(prefix, x, 3, units, vocabulary if first else None, made)
        bias = parameter(f"{prefix}.bias", (3 * units,)) if made.bias else None
        bias_h = parameter(f"{prefix}.bias_h", (3 * units,)) if made.bias and reset_after else None

        def step(x: Node, states: tuple[Node, ...]) -> tuple[Node, ...]:
            cell = registry.function("gru_cell")
            return (cell(x, *states, weight_x, weight_h, bias, bias_h, reset_after=reset_after, update=update),)

        return read, step

    return layered(Kind("gru", name, ("h",), (units,), declare), xs, made)
