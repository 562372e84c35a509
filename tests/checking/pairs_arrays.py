"""Labelled pairs of arrays: a graph, whose gradient is claimed, the claim, and whether it is right.

Wrong claims are those that lectures, forums and homework show: transposes, sums over the batch, means, masks, steps.
"""

from __future__ import annotations

import numpy

import graphc

# ---- products of matrices ------------------------------------------------------------------------------


def product():
    x, w, g = graphc.input("X", ("N", 3)), graphc.parameter("W", (3, 4)), graphc.input("G", ("N", 4))
    return graphc.sum((x @ w).named("Y") * g).named("L")


def squares():
    x, w, y = graphc.input("X", ("N", 3)), graphc.parameter("W", (3, 4)), graphc.input("Y", ("N", 4))
    d = (x @ w - y).named("D")
    return (graphc.sum(d * d) / 2).named("L")


def mean_squares():
    x, w, y = graphc.input("X", ("N", 3)), graphc.parameter("W", (3, 4)), graphc.input("Y", ("N", 4))
    return graphc.mean((x @ w - y).named("D") ** 2).named("L")


def dense():
    x, g = graphc.input("X", ("N", 3)), graphc.input("G", ("N", 2))
    w, b = graphc.parameter("W", (2, 3)), graphc.parameter("b", (2,))
    h = graphc.tanh((x @ w.T + b).named("A")).named("H")
    return graphc.sum(h * g).named("L")


def network():
    x, y = graphc.input("X", ("N", 3)), graphc.input("Y", ("N", 2))
    w, b, v = graphc.parameter("W", (4, 3)), graphc.parameter("b", (4,)), graphc.parameter("V", (2, 4))
    h = graphc.relu((x @ w.T + b).named("A")).named("H")
    d = ((h @ v.T).named("O") - y).named("D")
    return (graphc.sum(d * d) / 2).named("L")


def decayed():
    x, w, y = graphc.input("X", ("N", 3)), graphc.parameter("W", (3, 2)), graphc.input("Y", ("N", 2))
    d = (x @ w - y).named("D")
    return (graphc.sum(d * d) / 2 + 0.1 * graphc.sum(w * w) / 2).named("L")


def quadratic():
    x, a = graphc.input("x", (3,)), graphc.parameter("A", (3, 3))
    return graphc.sum(x * (a @ x).named("y")).named("L")


def length():
    return graphc.sqrt(graphc.sum(graphc.input("x", (3,)) ** 2)).named("L")


def cosine():
    a, b = graphc.input("a", (3,)), graphc.input("b", (3,))
    return (graphc.sum(a * b) / graphc.sqrt(graphc.sum(a * a) * graphc.sum(b * b))).named("L")


def joined():
    a, b = graphc.input("a", ("N", 2)), graphc.input("b", ("N", 3))
    w, g = graphc.parameter("W", (5, 2)), graphc.input("G", ("N", 2))
    return graphc.sum((graphc.concat([a, b], axis=1) @ w) * g).named("L")


def total():
    return graphc.sum(graphc.input("X", ("N", 3))).named("L")


def average():
    return graphc.mean(graphc.input("x", ("N",))).named("L")


def mean_of_rows():
    m = graphc.mean(graphc.input("X", ("N", 3)), 0).named("m")
    return graphc.sum(m * m).named("L")


def outer():
    u, v, g = graphc.input("u", (2,)), graphc.input("v", (3,)), graphc.input("G", (2, 3))
    return graphc.sum(graphc.einsum("i,j->ij", u, v) * g).named("L")


def batched():
    a, b = graphc.input("A", ("N", 2, 3)), graphc.input("B", ("N", 3, 4))
    return graphc.sum((a @ b) * graphc.input("G", ("N", 2, 4))).named("L")


def lookup():
    table, words = graphc.parameter("E", (4, 2)), graphc.input("w", ("N",), dtype="int32")
    return graphc.sum(table[words] * graphc.input("G", ("N", 2))).named("L")


def lookup_forward(w, G):
    gradient = numpy.zeros((4, 2))
    numpy.add.at(gradient, w.astype(int), G)
    return gradient


def lookup_overwritten(w, G):
    gradient = numpy.zeros((4, 2))
    gradient[w.astype(int)] = G  # a word that occurs twice
    return gradient


MATRIX = [
    (product, "W", "X.T @ G", True), (product, "X", "G @ W.T", True), (product, "G", "X @ W", True),
    (product, "G", "Y", True), (product, "Y", "G", True), (product, "W", "(G.T @ X).T", True),
    (product, "X", "(W @ G.T).T", True), (product, "W", "X^T G", True), (product, "W", lambda X, G: X.T @ G, True),
    (product, "W", lambda X, G: X.T @ G / len(X), False),
    (product, "W", lambda X, dY: numpy.einsum("nd,nk->dk", X, dY), True), (product, "W", "G.T @ X", False),
    (product, "W", "X.T @ G / N", False), (product, "W", "X @ G", False), (product, "X", "W @ G.T", False),
    (product, "X", "G @ W", False), (product, "X", "W.T", False), (product, "W", "X.T @ Y", False),
    (product, "W", "-X.T @ G", False), (product, "W", "X.T @ abs(G)", False), (product, "X", "G @ W.T + 1e-30", False),
    (product, "G", "X", False), (product, "W", "sum(X) * G", False), (squares, "W", "X.T @ D", True),
    (squares, "W", "X.T @ (X @ W - Y)", True), (squares, "Y", "-D", True), (squares, "X", "(X @ W - Y) @ W.T", True),
    (squares, "D", "D", True), (squares, "Y", "Y - X @ W", True), (squares, "W", "X.T @ X @ W - X.T @ Y", True),
    (squares, "W", "2 * X.T @ D", False), (squares, "Y", "D", False), (squares, "W", "D.T @ X", False),
    (squares, "X", "D @ W", False), (squares, "W", "X.T @ (Y - X @ W)", False), (squares, "W", "X.T @ X @ W", False),
    (mean_squares, "W", "X.T @ D / (2 * N)", True), (mean_squares, "W", "2 * X.T @ D / size(D)", True),
    (mean_squares, "D", "D / (2 * N)", True), (mean_squares, "W", "2 * X.T @ D / N", False),
    (mean_squares, "W", "2 * X.T @ D", False), (mean_squares, "W", "X.T @ D / N", False),
    (mean_squares, "W", "X.T @ D / 10", False), (mean_squares, "Y", "D / (2 * N)", False),
    (dense, "b", "sum(G * (1 - H**2), axis=0)", True), (dense, "W", "(G * (1 - H**2)).T @ X", True),
    (dense, "X", "(G * (1 - tanh(A)**2)) @ W", True), (dense, "A", "G * (1 - H**2)", True),
    (dense, "A", "G / cosh(A)**2", True), (dense, "b", "ones(N) @ (G * (1 - H) * (1 + H))", True),
    (dense, "A", r"G \odot (1 - H \odot H)", True), (dense, "W", "dA.T @ X", True),
    (dense, "b", "sum(dA, axis=0)", True), (dense, "b", lambda H, G: (G * (1 - H**2)).sum(axis=0), True),
    (dense, "b", lambda H, G: (G * (1 - H**2)).mean(axis=0), False), (dense, "b", "G * (1 - H**2)", False),
    (dense, "b", "mean(G * (1 - H**2), axis=0)", False), (dense, "b", "sum(G * (1 - H**2), axis=1)", False),
    (dense, "b", "sum(G * (1 - H**2))", False), (dense, "b", "sum(G * (1 - H**2), axis=0, keepdims=True)", False),
    (dense, "b", "sum(G, axis=0)", False), (dense, "W", "G.T @ X", False),
    (dense, "W", "X.T @ (G * (1 - H**2))", False), (dense, "A", "G * (1 - A**2)", False),
    (dense, "X", "(G * (1 - H**2)) @ W.T", False), (dense, "A", "G * (1 - H)", False), (dense, "A", "1 - H**2", False),
    (dense, "W", "dH.T @ X", False), (dense, "A", "G * H * (1 - H)", False), (network, "V", "D.T @ H", True),
    (network, "W", "((D @ V) * (A > 0)).T @ X", True), (network, "W", "((D @ V) * (H > 0)).T @ X", True),
    (network, "b", "sum((D @ V) * (A >= 0), axis=0)", True), (network, "A", "(D @ V) * (A > 0)", True),
    (network, "A", "where(A > 0, D @ V, 0)", True), (network, "A", "(D @ V) * (1 + sign(A)) / 2", True),
    (network, "A", "(D @ V) * Heaviside(A)", True), (network, "A", "dH * (A > 0)", True),
    (network, "X", "((D @ V) * (A > 0)) @ W", True), (network, "Y", "O * -1 + Y", True),
    (network, "A", "D @ V", False), (network, "W", "(D @ V).T @ X", False), (network, "A", "(D @ V) * A", False),
    (network, "A", "(D @ V) * (A > 1e-3)", False), (network, "A", "(D @ V) * (A < 0)", False),
    (network, "W", "((D @ V) * (A > 0)).T @ H", False), (network, "V", "H.T @ D", False),
    (network, "H", "D @ V.T", False), (network, "A", "(D @ V) * (A != 0)", False),
    (network, "X", "(D @ V * (A > 0)) @ W.T", False), (network, "A", "(D @ V) * ((A > 0) + 7*(A == 0))", False),
    (network, "V", "D.T @ A", False), (decayed, "W", "X.T @ D + W / 10", True),
    (decayed, "W", "X.T @ D + 0.1 * W", True), (decayed, "W", "X.T @ D", False),
    (decayed, "W", "X.T @ D + 0.2 * W", False), (decayed, "W", "X.T @ D + 0.1", False),
    (decayed, "X", "D @ W.T", True), (quadratic, "x", "(A + A.T) @ x", True), (quadratic, "x", "A @ x + x @ A", True),
    (quadratic, "A", "outer(x, x)", True), (quadratic, "x", "y + A.T @ x", True), (quadratic, "x", "2 * A @ x", False),
    (quadratic, "x", "A @ x", False), (quadratic, "x", "A.T @ x", False), (quadratic, "A", "x * x", False),
    (quadratic, "A", "x", False), (length, "x", "x / L", True), (length, "x", "x / norm(x)", True),
    (length, "x", "x / sqrt(sum(x**2))", True), (length, "x", "x", False), (length, "x", "2 * x / L", False),
    (length, "x", "x / L**2", False), (length, "x", "abs(x) / L", False), (length, "x", "1 / L", False),
    (cosine, "a", "b / (norm(a) * norm(b)) - L * a / norm(a)**2", True),
    (cosine, "a", "b / (norm(a) * norm(b))", False), (cosine, "a", "b / (norm(a) * norm(b)) - L * a / norm(a)", False),
    (cosine, "a", "(b - (a @ b) * a / (a @ a)) / (norm(a) * norm(b))", True), (joined, "a", "G @ W[:2].T", True),
    (joined, "b", "G @ W[2:].T", True), (joined, "a", "(G @ W.T)[:, :2]", True),
    (joined, "W", "concatenate((a, b), axis=1).T @ G", True), (joined, "a", "G @ W[3:].T", False),
    (joined, "b", "G @ W[:3].T", False), (joined, "W", "concatenate((b, a), axis=1).T @ G", False),
    (joined, "a", "G @ W.T", False), (joined, "W", "concatenate((a, b), axis=1)", False), (total, "X", "1", True),
    (total, "X", "ones_like(X)", True), (total, "X", "1 / N", False), (total, "X", "N", False),
    (total, "X", "ones(3)", False), (total, "X", "ones((N, 1))", False), (total, "X", "0", False),
    (average, "x", "1 / N", True), (average, "x", "ones(N) / N", True), (average, "x", "1 / 3", False),
    (average, "x", "1 / 4", False), (average, "x", "1", False), (average, "x", "x / N", False),
    (mean_of_rows, "X", "2 * m / N + 0 * X", True), (mean_of_rows, "X", "broadcast_to(2 * m / N, X.shape)", True),
    (mean_of_rows, "X", "2 * m / N", False), (mean_of_rows, "X", "2 * X / N", False),
    (mean_of_rows, "m", "2 * m", True), (mean_of_rows, "X", "outer(ones(N), 2 * m)", False),
    (mean_of_rows, "X", "outer(ones(N), m) * 2 / N", True), (outer, "u", "G @ v", True), (outer, "v", "G.T @ u", True),
    (outer, "v", "u @ G", True), (outer, "u", "G.T @ v", False), (outer, "v", "G @ u", False),
    (outer, "u", "sum(G, axis=1)", False), (outer, "G", "outer(u, v)", True), (outer, "G", "outer(v, u)", False),
    (batched, "A", "G @ swapaxes(B, 1, 2)", True), (batched, "B", "swapaxes(A, -1, -2) @ G", True),
    (batched, "A", "G @ B", False), (batched, "B", "A @ G", False), (batched, "A", "G @ transpose(B)", False),
    (lookup, "E", "one_hot(w, E[:, 0]).T @ G", True), (lookup, "E", lookup_forward, True),
    (lookup, "E", lookup_overwritten, False), (lookup, "E", "sum(G)", False),
]  # fmt: skip


# ---- softmax and cross-entropy -------------------------------------------------------------------------


def classifier():
    x, label = graphc.input("X", ("N", 3)), graphc.input("t", ("N",), dtype="int32")
    w, b = graphc.parameter("W", (4, 3)), graphc.parameter("b", (4,))
    return graphc.softmax_cross_entropy((x @ w.T + b).named("S"), label).named("L")


def written_out():
    s, y = graphc.input("S", ("N", 4)), graphc.input("Y", ("N", 4))
    p = graphc.softmax(s).named("P")
    return (-graphc.sum(y * graphc.log(p)) / graphc.sum(graphc.sum(y * 0 + 0.25))).named("L")


def soft_targets():
    s, y = graphc.input("S", ("N", 4)), graphc.input("Y", ("N", 4))
    return (-graphc.sum(y * graphc.log_softmax(s).named("Z"))).named("L")


def weighted_softmax():
    p = graphc.softmax(graphc.input("S", ("N", 4))).named("P")
    return graphc.sum(p * graphc.input("G", ("N", 4))).named("L")


def smooth_maximum():
    return graphc.sum(graphc.logsumexp(graphc.input("S", ("N", 4)), 1).named("z")).named("L")


SOFTMAX = [
    (classifier, "S", "(softmax(S) - one_hot(t, S)) / N", True),
    (classifier, "b", "sum(softmax(S) - one_hot(t, S), axis=0) / N", True),
    (classifier, "b", "mean(softmax(S) - one_hot(t, S), axis=0)", True),
    (classifier, "W", "(softmax(S) - one_hot(t, S)).T @ X / N", True), (classifier, "W", "dS.T @ X", True),
    (classifier, "X", "(softmax(S) - one_hot(t, S)) @ W / N", True),
    (classifier, "S", "(exp(S) / sum(exp(S), axis=1, keepdims=True) - one_hot(t, S)) / N", True),
    (classifier, "S", "softmax(S) - one_hot(t, S)", False),
    (classifier, "S", "(one_hot(t, S) - softmax(S)) / N", False), (classifier, "S", "softmax(S) / N", False),
    (classifier, "b", "(softmax(S) - one_hot(t, S)) / N", False),
    (classifier, "W", "X.T @ (softmax(S) - one_hot(t, S)) / N", False),
    (classifier, "S", "(softmax(S) - one_hot(t, S)) / 3", False),
    (classifier, "W", "(softmax(S) - one_hot(t, S)).T @ X", False),
    (classifier, "S", "(S - one_hot(t, S)) / N", False),
    (classifier, "S", "(softmax(S, axis=0) - one_hot(t, S)) / N", False),
    (classifier, "S", "-one_hot(t, S) / softmax(S) / N", False),
    (classifier, "S", "(softmax(S) - one_hot(t, S)) * softmax(S) / N", False),
    (classifier, "b", "sum(softmax(S) - one_hot(t, S), axis=0)", False),
    (classifier, "b", "sum(softmax(S) - one_hot(t, S), axis=1) / N", False),
    (classifier, "S", "(sigmoid(S) - one_hot(t, S)) / N", False),
    (classifier, "X", "(softmax(S) - one_hot(t, S)) @ W.T / N", False),
    (classifier, "S", "(softmax(S) - one_hot(t, S)) / 4", False), (written_out, "P", "-Y / P / N", True),
    (written_out, "S", "(P * sum(Y, axis=1, keepdims=True) - Y) / N", True), (written_out, "S", "(P - Y) / N", False),
    (written_out, "S", "-Y / N", False), (written_out, "P", "Y / P / N", False),
    (soft_targets, "S", "softmax(S) * sum(Y, axis=1, keepdims=True) - Y", True),
    (soft_targets, "S", "softmax(S) - Y", False),
    (soft_targets, "S", "exp(Z) * sum(Y, axis=1, keepdims=True) - Y", True), (soft_targets, "Y", "-Z", True),
    (soft_targets, "S", "softmax(S) * sum(Y) - Y", False), (soft_targets, "Y", "-log(S)", False),
    (weighted_softmax, "S", "P * (G - sum(G * P, axis=1, keepdims=True))", True),
    (weighted_softmax, "S", "P * G - P * sum(P * G, axis=-1, keepdims=True)", True),
    (weighted_softmax, "S", "P * (1 - P) * G", False), (weighted_softmax, "S", "P * (G - sum(G * P))", False),
    (weighted_softmax, "S", "P * (G - sum(G * P, axis=0))", False), (weighted_softmax, "S", "P * G", False),
    (weighted_softmax, "S", "P * (sum(G * P, axis=1, keepdims=True) - G)", False),
    (weighted_softmax, "S", "G - sum(G * P, axis=1, keepdims=True)", False),
    (weighted_softmax, "S", "P * (G - mean(G * P, axis=1, keepdims=True))", False),
    (weighted_softmax, "S", "P * (G - sum(G, axis=1, keepdims=True))", False),
    (smooth_maximum, "S", "softmax(S)", True), (smooth_maximum, "S", "exp(S - expand_dims(z, 1))", True),
    (smooth_maximum, "S", "exp(S)", False), (smooth_maximum, "S", "softmax(S) / N", False),
    (smooth_maximum, "S", "S == max(S)", False),
]  # fmt: skip


# ---- normalisation -------------------------------------------------------------------------------------

_EPSILON = 1e-5


def batch_normalised():
    x, g = graphc.input("X", ("N", 3)), graphc.input("G", ("N", 3))
    return graphc.sum(graphc.batch_norm(x, graphc.parameter("a", (3,)), graphc.parameter("b", (3,))) * g).named("L")


def batch_steps():
    x, g = graphc.input("X", ("N", 3)), graphc.input("G", ("N", 3))
    c = (x - graphc.mean(x, 0).named("m")).named("C")
    s = graphc.sqrt(graphc.mean(c * c, 0) + _EPSILON).named("s")
    return graphc.sum((c / s).named("Z") * g).named("L")


def layer_normalised():
    x, g = graphc.input("X", ("N", 3)), graphc.input("G", ("N", 3))
    return graphc.sum(graphc.layer_norm(x, graphc.parameter("a", (3,)), graphc.parameter("b", (3,))) * g).named("L")


_Z = "((X - mean(X, axis=0)) / sqrt(var(X, axis=0) + 1e-5))"
_S = "sqrt(var(X, axis=0) + 1e-5)"
_ZL = "((X - mean(X, axis=1, keepdims=True)) / sqrt(var(X, axis=1, keepdims=True) + 1e-5))"
_SL = "sqrt(var(X, axis=1, keepdims=True) + 1e-5)"


def rows(text):
    """Mean of every row, as a column."""
    return f"mean({text}, axis=1, keepdims=True)"


_LAYER = f"(G * a - {rows('G * a')} - {_ZL} * {rows(f'G * a * {_ZL}')}) / {_SL}"
_GAIN_LATE = f"a * (G - {rows('G')} - {_ZL} * {rows(f'G * {_ZL}')}) / {_SL}"


def batch_backward(X, a, G):
    """As a homework has it, step by step."""
    n = len(X)
    mean, variance = X.mean(0), X.var(0)
    inverse = 1 / numpy.sqrt(variance + _EPSILON)
    scaled = G * a
    d_variance = (scaled * (X - mean) * -0.5 * inverse**3).sum(0)
    d_mean = (-scaled * inverse).sum(0) + d_variance * (-2 * (X - mean)).mean(0)
    return scaled * inverse + d_variance * 2 * (X - mean) / n + d_mean / n


def batch_backward_without_mean(X, a, G):
    inverse = 1 / numpy.sqrt(X.var(0) + _EPSILON)
    d_variance = (G * a * (X - X.mean(0)) * -0.5 * inverse**3).sum(0)
    return G * a * inverse + d_variance * 2 * (X - X.mean(0)) / len(X)


NORMS = [
    (batch_normalised, "b", "sum(G, axis=0)", True), (batch_normalised, "a", f"sum(G * {_Z}, axis=0)", True),
    (batch_normalised, "X", f"a / (N * {_S}) * (N * G - sum(G, axis=0) - {_Z} * sum(G * {_Z}, axis=0))", True),
    (batch_normalised, "X", f"a / {_S} * (G - mean(G, axis=0) - {_Z} * mean(G * {_Z}, axis=0))", True),
    (batch_normalised, "X", batch_backward, True), (batch_normalised, "X", batch_backward_without_mean, False),
    (batch_normalised, "X", f"a * G / {_S}", False),
    (batch_normalised, "X", f"a / {_S} * (G - mean(G, axis=0))", False),
    (batch_normalised, "X", f"a / {_S} * (G - {_Z} * mean(G * {_Z}, axis=0))", False),
    (batch_normalised, "X", f"1 / {_S} * (G - mean(G, axis=0) - {_Z} * mean(G * {_Z}, axis=0))", False),
    (batch_normalised, "X", f"a / {_S} * (G - sum(G, axis=0) - {_Z} * sum(G * {_Z}, axis=0))", False),
    (batch_normalised, "X", f"a / sqrt(var(X, axis=0)) * (G - mean(G, axis=0) - {_Z} * mean(G * {_Z}, axis=0))", False),
    (batch_normalised, "X", f"a / {_S}**2 * (G - mean(G, axis=0) - {_Z} * mean(G * {_Z}, axis=0))", False),
    (batch_normalised, "X", f"a / {_S} * (G - mean(G, axis=0) + {_Z} * mean(G * {_Z}, axis=0))", False),
    (batch_normalised, "X", f"a / {_S} * (G - mean(G, axis=1, keepdims=True) - {_Z} * mean(G * {_Z}, axis=0))", False),
    (batch_normalised, "b", "mean(G, axis=0)", False), (batch_normalised, "b", "sum(G, axis=1)", False),
    (batch_normalised, "b", "G", False), (batch_normalised, "a", "sum(G * X, axis=0)", False),
    (batch_normalised, "a", f"sum(G * {_Z})", False),
    (batch_normalised, "a", "sum(G * (X - mean(X, axis=0)) / sqrt(var(X, axis=0)), axis=0)", False),
    (batch_normalised, "a", f"G * {_Z}", False), (batch_normalised, "a", f"sum(G * a * {_Z}, axis=0)", False),
    (batch_steps, "Z", "G", True), (batch_steps, "s", "-sum(G * C, axis=0) / s**2", True),
    (batch_steps, "s", "-sum(G * Z, axis=0) / s", True), (batch_steps, "s", "sum(G * C, axis=0) / s**2", False),
    (batch_steps, "s", "-G * C / s**2", False), (batch_steps, "m", "-sum(G, axis=0) / s", True),
    (batch_steps, "C", "G / s", False), (batch_steps, "C", "G / s - Z * mean(G * Z, axis=0) / s", True),
    (batch_steps, "m", "-sum(G / s - Z * mean(G * Z, axis=0) / s, axis=0)", True),
    (batch_steps, "m", "-sum(dC, axis=0)", True),
    (batch_steps, "X", "(G - mean(G, axis=0) - Z * mean(G * Z, axis=0)) / s", True), (batch_steps, "X", "dC", False),
    (batch_steps, "X", "dC - mean(dC, axis=0)", True), (batch_steps, "X", "dC + dm", False),
    (batch_steps, "X", "dC + dm / N", True), (layer_normalised, "b", "sum(G, axis=0)", True),
    (layer_normalised, "a", f"sum(G * {_ZL}, axis=0)", True), (layer_normalised, "X", _LAYER, True),
    (layer_normalised, "X", _GAIN_LATE, False),
    (layer_normalised, "X", f"(G * a - mean(G * a, axis=0) - {_ZL} * mean(G * a * {_ZL}, axis=0)) / {_SL}", False),
    (layer_normalised, "X", f"G * a / {_SL}", False), (layer_normalised, "a", f"sum(G * {_ZL}, axis=1)", False),
    (layer_normalised, "a", f"sum(G * {_Z}, axis=0)", False), (layer_normalised, "b", "sum(G, axis=1)", False),
    (layer_normalised, "X", f"(G * a - mean(G * a, axis=1) - {_ZL} * mean(G * a * {_ZL}, axis=1)) / {_SL}", False),
    (layer_normalised, "b", "mean(G, axis=0)", False),
    (layer_normalised, "X", f"(G * a - {_ZL} * mean(G * a * {_ZL}, axis=1, keepdims=True)) / {_SL}", False),
]  # fmt: skip


# ---- attention -----------------------------------------------------------------------------------------


def attending():
    q, k, v = (graphc.input(name, ("T" if name == "Q" else "S", 2)) for name in "QKV")
    scores = (q @ k.T / 2**0.5).named("A")
    p = graphc.softmax(scores).named("P")
    return graphc.sum((p @ v).named("O") * graphc.input("G", ("T", 2))).named("L")


def gate_of_attention():
    q, k, v = (graphc.input(name, (3, 2)) for name in "QKV")
    return graphc.sum(graphc.attention(q, k, v) * graphc.input("G", (3, 2))).named("L")


def causal_attention():
    q, k, v = (graphc.input(name, (3, 2)) for name in "QKV")
    return graphc.sum(graphc.attention(q, k, v, causal=True) * graphc.input("G", (3, 2))).named("L")


_DA = "(P * (G @ V.T - sum(P * (G @ V.T), axis=1, keepdims=True)))"
_PQ = "softmax(Q @ K.T / sqrt(2))"
_DAQ = f"({_PQ} * (G @ V.T - sum({_PQ} * (G @ V.T), axis=1, keepdims=True)))"


def causal_backward(Q, K, V, G):
    scores = Q @ K.T / numpy.sqrt(Q.shape[1])
    weights = numpy.exp(numpy.where(numpy.tril(numpy.ones(scores.shape)) > 0, scores, -numpy.inf))
    weights /= weights.sum(1, keepdims=True)
    flow = G @ V.T
    return (weights * (flow - (weights * flow).sum(1, keepdims=True))).T @ Q / numpy.sqrt(Q.shape[1])


ATTENTION = [
    (attending, "V", "P.T @ G", True), (attending, "P", "G @ V.T", True), (attending, "A", _DA, True),
    (attending, "Q", f"{_DA} @ K / sqrt(2)", True), (attending, "K", f"{_DA}.T @ Q / sqrt(2)", True),
    (attending, "Q", "dA @ K / sqrt(2)", True), (attending, "V", "P @ G", False), (attending, "V", "G", False),
    (attending, "P", "G @ V", False), (attending, "A", "G @ V.T", False),
    (attending, "A", "P * (1 - P) * (G @ V.T)", False), (attending, "A", "P * (G @ V.T)", False),
    (attending, "Q", f"{_DA} @ K", False), (attending, "Q", f"{_DA} @ K / 2", False),
    (attending, "K", f"{_DA} @ Q / sqrt(2)", False), (attending, "Q", f"{_DA}.T @ K / sqrt(2)", False),
    (attending, "A", "P * (G @ V.T - sum(P * (G @ V.T), axis=0))", False), (attending, "K", f"{_DA}.T @ Q", False),
    (attending, "K", f"{_DA}.T @ K / sqrt(2)", False),
    (attending, "A", "P * (G @ V.T - sum(G @ V.T, axis=1, keepdims=True))", False),
    (gate_of_attention, "V", f"{_PQ}.T @ G", True), (gate_of_attention, "Q", f"{_DAQ} @ K / sqrt(2)", True),
    (gate_of_attention, "K", f"{_DAQ}.T @ Q / sqrt(2)", True), (gate_of_attention, "V", f"{_PQ} @ G", False),
    (gate_of_attention, "Q", f"{_DAQ} @ K", False), (gate_of_attention, "K", f"{_DAQ} @ Q / sqrt(2)", False),
    (causal_attention, "K", causal_backward, True), (causal_attention, "K", f"{_DAQ}.T @ Q / sqrt(2)", False),
    (causal_attention, "V", f"{_PQ}.T @ G", False),
]  # fmt: skip
