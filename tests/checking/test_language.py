"""The language of claims: what people write has the meaning they give it, and what it means can be written again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.checking.claims import Claim, Names, read_claim
from graphc.checking.language import claim_text, shape_of
from graphc.graph.node import Node, topological
from tests.checking import claims_corpus as corpus

SIZES = {"N": 5, "B": 2}


class Graph:
    """The part of a circuit that names are made of."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.nodes = topological([root])


def scalar_graph() -> tuple[Node, str]:
    names = "x y z w_1 w_2 theta y_hat x_prime u p leaky"
    x, y, z, *rest = graphc.inputs(names)
    q = (x * y + z).named("q")
    total = q
    for node in rest:
        total = total * node
    return graphc.tanh(total).named("f"), "z"


def matrix_graph() -> tuple[Node, str]:
    x, labels = graphc.input("X", ("N", 3)), graphc.input("t", ("N",), dtype="int32")
    w, b, y = graphc.parameter("W", (3, 4)), graphc.parameter("b", (4,)), graphc.input("Y", ("N", 4))
    z = (x @ w + b).named("Z")
    p, h = graphc.softmax(z).named("P"), graphc.relu(z).named("H")
    weight = graphc.input("lambda")
    return (graphc.sum(p * y * h) * weight + graphc.softmax_cross_entropy(z, labels)).named("L"), "W"


def vector_graph() -> tuple[Node, str]:
    x, h = graphc.input("x", (3,)), graphc.input("h_prev", (4,))
    w, u = graphc.parameter("W_xh", (4, 3)), graphc.parameter("W_hh", (4, 4))
    a = (graphc.matmul(w, x) + graphc.matmul(u, h)).named("a")
    return graphc.sum(graphc.tanh(a).named("h") * graphc.input("delta", (4,))).named("L"), "W_xh"


def batch_graph() -> tuple[Node, str]:
    q, k, v = (graphc.input(name, ("B", 3, 2)) for name in "QKV")
    a = graphc.softmax(graphc.matmul(q, graphc.transpose(k, axes=(0, 2, 1)))).named("A")
    return graphc.sum(graphc.matmul(a, v).named("O")).named("L"), "Q"


def image_graph() -> tuple[Node, str]:
    x, w = graphc.input("x", (5, 5)), graphc.parameter("w", (3, 3))
    valid = graphc.gate("y[i,j] = sum(x[i+r,j+s] * w[r,s], r, s)", name="window")
    y = valid(x, w).named("y")
    return (graphc.sum(y) + graphc.sum(graphc.input("s", (7,))) + graphc.sum(graphc.input("k", (3,)))).named("L"), "w"


GRAPHS = {
    "SCALAR": scalar_graph(),
    "MATRIX": matrix_graph(),
    "VECTOR": vector_graph(),
    "BATCH": batch_graph(),
    "IMAGE": image_graph(),
}
CASES = [
    pytest.param(graph, text, meaning, id=f"{graph}-{text}")
    for graph in GRAPHS
    for text, meaning in getattr(corpus, graph)
]


class Values(dict):  # type: ignore[type-arg]
    """Arrays by name, also as attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def extents(node: Node) -> tuple[int, ...]:
    return tuple(SIZES[str(e)] if not isinstance(e, int) else e for e in node.shape)


def values(names: Names, seed: int) -> Values:
    """Any value for any name: a claim is a formula, whatever the graph computes."""
    generator = np.random.default_rng(seed)
    result = Values(pi=np.pi)
    for name, (node, *_) in names.nodes.items():
        shape = extents(node)
        value = generator.normal(size=shape) if node.is_float else generator.integers(0, 4, size=shape).astype(float)
        if name in ("u", "P", "x") and not (name == "x" and shape):
            value = np.abs(value) + 0.2  # roots and logarithms want a positive number, and so does x**y
        result[name] = value if shape else float(value)
        result["∂" + name] = generator.normal(size=shape) if shape else float(generator.normal())
    return result


def read(graph: str, text: str) -> tuple[Claim, Names]:
    root, target = GRAPHS[graph]
    names = Names(Graph(root))  # type: ignore[arg-type]
    return read_claim(names.find(target), text, names), names


def environment(claim: Claim, known: Values) -> dict[str, Any]:
    return {name: known[name] for name in (*claim.nodes, *claim.upstream)}


def test_the_corpus_is_as_large_as_promised_and_writes_nothing_twice() -> None:
    texts = [(graph, text) for graph in GRAPHS for text, _ in getattr(corpus, graph)]
    assert len(texts) == len(set(texts))
    assert len(texts) >= 150


@pytest.mark.parametrize(("graph", "text", "meaning"), CASES)
def test_text_means_what_people_mean(graph: str, text: str, meaning: corpus.Meaning) -> None:
    claim, names = read(graph, text)
    for seed in range(2):
        known = values(names, seed)
        found = claim.value(environment(claim, known), "double")
        expected = np.asarray(meaning(known), dtype=float)
        assert np.shape(found) == expected.shape
        np.testing.assert_allclose(np.asarray(found, dtype=float), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("graph", "text", "meaning"), CASES)
def test_exact_values_shape_and_the_text_written_back_agree(graph: str, text: str, meaning: corpus.Meaning) -> None:
    import mpmath

    claim, names = read(graph, text)
    known = environment(claim, values(names, 3))
    exact = {
        name: np.vectorize(mpmath.mpf, otypes=[object])(value) if isinstance(value, np.ndarray) else mpmath.mpf(value)
        for name, value in known.items()
    }
    found = np.asarray(claim.value(exact, "exact"))
    np.testing.assert_allclose(found.astype(float), claim.value(known, "double"), rtol=1e-11, atol=1e-12)
    assert claim.expression is not None
    shape = shape_of(claim.expression, {n: node.shape for n, node in (claim.nodes | claim.upstream).items()})
    assert tuple(SIZES[str(e)] if str(e) in SIZES else int(eval_extent(e)) for e in shape) == found.shape
    assert read(graph, claim_text(claim.expression))[0].expression == claim.expression


def eval_extent(extent: Any) -> int:
    from graphc.formula.size import extent_value

    return extent_value(extent, SIZES)


@pytest.mark.parametrize(
    ("graph", "text", "message"),
    [
        ("MATRIX", "W^{-1}", "can mean an inverse matrix, which claims do not have, or 1/W"),
        ("MATRIX", "P × Y", r"write @ for the matrix product, \\odot or \* for the one element by element"),
        ("VECTOR", "x x", r"a\^\\top b or a @ b for the sum of products, a b\^\\top for the outer product"),
        ("MATRIX", r"\sum_i W", r"the sum over i runs over 1 of 2 axes; write the elements"),
        ("MATRIX", r"\sum_k X_{ni}", "the sum runs over 'k', and no element has that index"),
        ("MATRIX", "X_{ni} Y_{nj}", "has the free indices i, j, n; say which element it is for"),
        ("MATRIX", r"dL/dW_{ij} = X_{ni} Y_{nj}", "the index 'n' is free in the claim"),
        (
            "MATRIX",
            r"dL/dW_{ij} = \sum_n X_{ni} P",
            "the claim is written with indices, and 'P' has none; write P_{ij}",
        ),
        ("MATRIX", r"dL/dW_{ij} = dW_{ij}", "the gradient that the claim is for"),
        ("MATRIX", r"\mathbf{1}", r"a vector of ones in a product"),
        ("MATRIX", r"\mathbf{1}^2 P", r"a vector of ones has no powers"),
        ("MATRIX", "P.shape", "a tuple of extents; write for example x.shape"),
        ("MATRIX", "np.einsum('ni', X)", r"einsum is written einsum\('ni,nj->ij', a, b\)"),
        ("MATRIX", "np.sum(P, axis='rows')", "an axis is a whole number, found 'rows'"),
        ("MATRIX", "np.sum(P, axis=0.5)", "an axis is a whole number, found 0.5"),
        ("MATRIX", "np.transpose(None)", "has a tuple, a word or None for an operand"),
        ("MATRIX", "np.rot90(W)", "k=2"),
        ("MATRIX", "np.argsort(b)", "'np.argsort' is not a function that claims know"),
        ("MATRIX", "P.argmax(1)", r"P.argmax is not part of the language of claims.*\.sum"),
        ("MATRIX", "int(b)", r"around a condition only, as in int\(x > 0\)"),
        ("MATRIX", "x.T @ (P - Y)", "there is no node 'x' in the graph; did you mean 'X'"),
        ("MATRIX", "X.T @ (P - Q)", "there is no node 'Q' in the graph; its names are X, W, b, Z, P, .*sizes are N"),
        ("MATRIX", "X[0, 'a']", "an index is a number or a slice, not a text in quotes"),
        ("MATRIX", "X[]", "nothing in the square brackets"),
        ("MATRIX", "X[0,,1]", "an empty index between the commas"),
        ("MATRIX", "X[::1:]", "at most two colons"),
        ("BATCH", "Q ** A.shape", "a tuple of extents"),
        ("MATRIX", r"\|W\|_3", r"the norm with index '3' is not read; write \|x\|"),
        ("MATRIX", r"\frac{\partial Z}{\partial H} P", "∂Z/∂H is a local derivative; write it out as a formula"),
    ],
)
def test_messages_about_arrays_say_what_to_write(graph: str, text: str, message: str) -> None:
    with pytest.raises(graphc.CheckError, match=f"(?s)the claim for '.*{message}") as caught:
        read(graph, text)
    assert len(str(caught.value)) < 500


def test_ds_with_a_node_d_is_refused_with_both_ways_of_writing():
    d, s = graphc.inputs("d s")
    f = (d * s * s).named("q")
    with pytest.raises(graphc.CheckError, match=r"'ds' may be the gradient of s or d times s; write ∂f/∂s or d\*s"):
        graphc.check(f, {"s": "2 ds"}, proof_seconds=0)
    assert graphc.check(f, {"s": "2 d s"}, proof_seconds=0).ok
