"""Regularisers: penalties on weights, as nodes to add to a loss (``loss + graphc.l2(weights, 1e-4)``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc.errors import GraphcError
from graphc.graph import Node, registry
from graphc.graph.node import call_site

__all__ = ["l1", "l2"]


def _penalty(name: str, parameters: Node | Iterable[Node], strength: float, term: Callable[[Node], Node]) -> Node:
    nodes = [parameters] if isinstance(parameters, Node) else list(parameters)
    site = call_site()
    wrong = next((item for item in nodes if not isinstance(item, Node)), None)
    if wrong is not None or not nodes:
        found = "nothing" if wrong is None else f"{type(wrong).__name__}: {wrong!r:.60}"
        raise GraphcError(f"{name} needs a node or several, found {found}\n  called at {site}", site=site)
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not strength >= 0:
        raise GraphcError(
            f"{name}: strength={strength!r} must be a number of at least 0\n  called at {site}", site=site
        )
    total = registry.call("sum", term(nodes[0]))
    for node in nodes[1:]:
        total = total + registry.call("sum", term(node))
    return strength * total


def l1(parameters: Node | Iterable[Node], strength: float) -> Node:
    """Sum of absolute values times a strength: ``strength * sum(|w|)``, which drives weights to exactly 0.

    Parameters
    ----------
    parameters : Node or iterable of Node
        Weights; biases are usually left out.
    strength : float
        Factor, at least 0.

    Returns
    -------
    Node, scalar

    Raises
    ------
    GraphcError
        If a parameter is not a node, there is none, or the strength is negative.

    Notes
    -----
    The derivative at 0 is 0, as that of `abs`. Cost: 2 FLOP per weight.

    Source
    ------
    Tibshirani, J. R. Statist. Soc. B 58 (1996), equation 1.

    Examples
    --------
    >>> import graphc
    >>> w = graphc.parameter("w", (2,), initial=[3.0, -4.0])
    >>> run = graphc.backward(graphc.l1(w, 0.5)).at()
    >>> print(run.value(run.back.root), run.grad("w"))
    3.5 [ 0.5 -0.5]
    """
    return _penalty("l1", parameters, strength, lambda w: registry.call("abs", w))


def l2(parameters: Node | Iterable[Node], strength: float) -> Node:
    """Sum of squares times a strength: ``strength * sum(w**2)``, weight decay under plain gradient descent.

    Parameters
    ----------
    parameters : Node or iterable of Node
        Weights; biases are usually left out.
    strength : float
        Factor, at least 0.

    Returns
    -------
    Node, scalar

    Raises
    ------
    GraphcError
        If a parameter is not a node, there is none, or the strength is negative.

    Notes
    -----
    No factor 1/2: the gradient is ``2 * strength * w``, and a step of rate r multiplies each weight by
    ``1 - 2 * r * strength``. Cost: 2 FLOP per weight.

    Source
    ------
    Hoerl, Kennard, Technometrics 12 (1970), equation 2.1; Krogh, Hertz, NIPS (1991).

    Examples
    --------
    >>> import graphc
    >>> w = graphc.parameter("w", (2,), initial=[3.0, -4.0])
    >>> run = graphc.backward(graphc.l2(w, 0.5)).at()
    >>> print(run.value(run.back.root), run.grad("w"))
    12.5 [ 3. -4.]
    """
    return _penalty("l2", parameters, strength, lambda w: w**2)
