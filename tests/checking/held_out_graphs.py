"""Further graphs with right gradients, written after the diagnosis was: nothing was adjusted to them."""

from __future__ import annotations

import graphc
from tests.checking.mutation_graphs import Exercise


def likelihood():
    m, v, t = graphc.inputs("m v t")
    d = (t - m).named("d")
    return (graphc.log(v * v + 1).named("l") / 2 + d * d / (2 * (v * v + 1))).named("f")


def similarity():
    a, b, w = graphc.inputs("a b w")
    top = (a * b).named("p")
    return (w * (top / graphc.sqrt((a * a + b * b + 1).named("n")).named("r")).named("c")).named("f")


def triplet():
    a, p, n = graphc.inputs("a p n")
    near, far = (a - p).named("u"), (a - n).named("v")
    return graphc.relu((near * near - far * far + 1).named("m")).named("f")


def linear_recurrence():
    w, h0, x1, x2, x3, x4 = graphc.inputs("w h0 x1 x2 x3 x4")
    h = h0
    for k, x in enumerate((x1, x2, x3, x4), 1):
        h = (w * h + x).named(f"h{k}")
    return graphc.sin(h).named("f")


def leaky_chain():
    w, x, v = graphc.inputs("w x v")
    s = (w * x).named("s")
    return (graphc.sigmoid((v * graphc.softplus(s).named("p")).named("q")).named("y") * x).named("f")


def gated_linear_unit():
    x, w, v, r = (graphc.input(n, s) for n, s in (("X", (4, 3)), ("W", (3, 3)), ("V", (3, 3)), ("R", (4, 3))))
    gate = graphc.sigmoid((x @ v).named("B")).named("G")
    return graphc.sum(((x @ w).named("A") * gate).named("H") * r).named("L")


def residual_net():
    x, w, t = graphc.input("X", (4, 3)), graphc.input("W", (3, 3)), graphc.input("T", (4, 3))
    h = graphc.tanh((x @ w).named("S")).named("H")
    d = ((x + h).named("Y") - t).named("D")
    return (graphc.sum(d * d) / 24).named("L")


def bilinear_form():
    x, a, y = graphc.input("x", (3, 3)), graphc.input("A", (3, 3)), graphc.input("y", (3, 3))
    return graphc.sum((x @ a).named("P") * y).named("L")


def pooled_classifier():
    x, label = graphc.input("X", (4, 5)), graphc.input("label", (4,), dtype="int32")
    w, b, s = graphc.input("W", (5, 3)), graphc.input("b", (3,)), graphc.input("s", (3,))
    h = graphc.tanh((x @ w).named("U")).named("H")
    return graphc.softmax_cross_entropy((h * s + b).named("Z"), label).named("L")


HELD_OUT = [
    Exercise("likelihood", likelihood, {"m": "-d/(v**2 + 1)", "t": "d/(v**2 + 1)", "d": "d/(v**2 + 1)", "l": "1/2"}),
    Exercise("similarity", similarity, {
        "w": "c", "c": "w", "p": "w/r", "r": "-w*p/r**2", "a": "w*paths(b/r, -p*a/r**3)",
    }),
    Exercise("triplet", triplet, {
        "p": "-2*u*(m > 0)", "n": "2*v*(m > 0)", "a": "paths(2*u, -2*v)*(m > 0)", "u": "2*u*(m > 0)",
    }),
    Exercise("linear recurrence", linear_recurrence, {
        "w": "paths(d4*h3, d3*h2, d2*h1, d1*h0)", "h0": "d1*w", "x1": "d1", "x3": "d3", "h2": "d3*w",
    }, {"d4": "cos(h4)", "d3": "d4*w", "d2": "d3*w", "d1": "d2*w"}),
    Exercise("leaky chain", leaky_chain, {
        "w": "x*y*(1 - y)*v*sigmoid(s)*x", "v": "x*y*(1 - y)*p", "x": "paths(y, x*y*(1 - y)*v*sigmoid(s)*w)",
        "q": "x*y*(1 - y)",
    }),
    Exercise("gated linear unit", gated_linear_unit, {
        "W": "X.T @ dA", "V": "X.T @ dB", "X": "paths(dA @ W.T, dB @ V.T)", "A": "dA", "B": "dB",
    }, {"dA": "R*G", "dB": "R*A*G*(1 - G)"}),
    Exercise("residual net", residual_net, {
        "W": "X.T @ ds", "X": "paths(dy, ds @ W.T)", "Y": "dy", "S": "ds", "T": "-dy",
    }, {"dy": "D/12", "ds": "dy*(1 - H**2)"}),
    Exercise("bilinear form", bilinear_form, {"A": "x.T @ y", "x": "y @ A.T", "y": "P"}),
    Exercise("pooled classifier", pooled_classifier, {
        "W": "X.T @ du", "b": "sum(dz, 0)", "s": "sum(dz*H, 0)", "H": "dz*s", "X": "du @ W.T",
    }, {"dz": "(softmax(Z) - one_hot(label, Z))/4", "du": "dz*s*(1 - H**2)"}),
]  # fmt: skip
