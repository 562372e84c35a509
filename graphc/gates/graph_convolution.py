"""graph_convolution: ``y[target[e]] += weight[e] * (x @ w)[source[e]]`` over the edges of a graph.

Every node adds up what its neighbours send: the same linear map of their features, weighted by the edge.

Shapes: ``x (V, F)``, ``w (F, G)`` and edges ``source``, ``target``, ``weight``, each ``(E,)``, give ``(V, G)``.
Derivatives: by ``x`` the upstream gradient sent back along the edges and through ``w``; by ``w`` the features times
what came back; by ``weight`` the product of what was sent and the gradient where it arrived.
"""

from __future__ import annotations

from typing import Any

from graphc.graph import Definition, Gate, Node, Sample

_TEXT = """
sent[v,g] = sum(x[v,f]*w[f,g], f)
y[target[e],g] += weight[e]*sent[source[e],g]
"""

GATE = Gate(
    "graph_convolution",
    Definition(_TEXT, extents={"y.0": "size(x,0)"}, integers=frozenset({"source", "target"})),
    ("x", "w", "source", "target", "weight"),
    symbol="graph conv",
    samples=(
        Sample(((4, 3), (3, 2), (7,), (7,), (7,)), integers={2: 4, 3: 4}),
        Sample(
            ((3, 1), (1, 2), (4,), (4,), (4,)),
            integers={2: 3, 3: 3},
            values=(
                ([[1.0], [2.0], [3.0]], [[1.0, -1.0]], [0, 1, 1, 2], [1, 0, 2, 2], [1.0, 0.5, 0.5, 2.0]),
                [[1.0, -1.0], [1.0, -1.0], [7.0, -7.0]],
            ),
        ),
        Sample(((1, 1), (1, 1), (1,), (1,), (1,)), integers={2: 1, 3: 1}),
    ),
    source="Kipf, Welling, ICLR (2017), eq. 2",
    scatter_only="messages are written at target[e], their gradients at source[e], and both depend on data",
)


def graph_convolution(x: Any, w: Any, source: Any, target: Any, weight: Any) -> Node:
    """Weighted sums over incoming edges of linearly mapped features.

    Parameters
    ----------
    x : Node, shape (V, F)
        Features of the nodes of the graph.
    w : Node, shape (F, G)
        Linear map of the features.
    source : Node, shape (E,), integer
        Node that each edge comes from.
    target : Node, shape (E,), integer
        Node that each edge leads to.
    weight : Node, shape (E,)
        Weight of each edge, such as ``1/sqrt(degree[source]*degree[target])``.

    Returns
    -------
    Node, shape (V, G)

    Raises
    ------
    ShapeError
        If extents disagree, a rank does not fit, or the ends of edges are floats.

    Notes
    -----
    A node without incoming edges gets 0; add an edge from each node to itself to keep its own features. Cost:
    2*V*F*G + 2*E*G FLOP.

    Source
    ------
    Kipf, Welling, ICLR (2017), eq. 2

    Examples
    --------
    >>> import graphc
    >>> x = graphc.input("x", (2, 1))
    >>> source, target = graphc.constant([0, 0], "int32"), graphc.constant([0, 1], "int32")
    >>> y = graphc.graph_convolution(x, [[1.0]], source, target, [0.5, 2.0])
    >>> print(graphc.compile([y])(x=[[3], [4]])[0].tolist())
    [[1.5], [6.0]]
    """
    return GATE(x, w, source, target, weight)
