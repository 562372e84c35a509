"""What is said about wrong claims: every class of mistake, with its gate, its place and its time step."""

from __future__ import annotations

import pytest

import graphc
from tests.checking import mutation_graphs as graphs

RECURRENCE = {
    "d3": "d*(1 - h3**2)",
    "d2": "d*(1 - h3**2)*w*(1 - h2**2)",
    "d1": "d*(1 - h3**2)*w*(1 - h2**2)*w*(1 - h1**2)",
}


def recurrent(text: str) -> str:
    for name, value in RECURRENCE.items():
        text = text.replace(name, f"({value})")
    return text


def cross_entropy():
    x, label = graphc.input("X", ("N", 3)), graphc.input("label", ("N",), dtype="int32")
    w, b = graphc.parameter("W", (3, 4)), graphc.parameter("b", (4,))
    return graphc.softmax_cross_entropy((x @ w + b).named("Z"), label).named("L")


def unrolled():
    sequence, start = graphc.input("xs", ("T", "N", 2)), graphc.input("h0", ("N", 3))
    w, u = graphc.parameter("W", (3, 3)), graphc.parameter("U", (2, 3))

    def cell(x, h):
        new = graphc.tanh((h @ w + x @ u).named("s")).named("h")
        return new, new

    return graphc.sum(graphc.unroll(cell, sequence, start)[1]).named("L")


def whole_batch_norm():
    x, r = graphc.input("x", ("N", 3)), graphc.input("R", ("N", 3))
    gain, shift = graphc.input("gain", (3,)), graphc.input("shift", (3,))
    return graphc.sum(graphc.batch_norm(x, gain, shift).named("y") * r).named("L")


def guarded():
    x, y = graphc.inputs("x y")
    return (x / graphc.sqrt((x * x + y * y + 1e-6).named("v")).named("r")).named("f")


def regularised():
    w, x, t, lam = graphc.inputs("w x t lam")
    return (graphc.relu((1 - t * w * x).named("m")) + lam * w * w).named("f")


def square_bias():
    x, w = graphc.input("X", (3, 2)), graphc.input("W", (2, 3))
    b, r = graphc.input("b", (3,)), graphc.input("R", (3, 3))
    return graphc.sum(graphc.tanh((x @ w + b).named("S")).named("H") * r).named("L")


def logarithm():
    x, y = graphc.inputs("x y")
    return graphc.log(x * x + y * y + 1).named("f")


def pooled():
    x, w, r = graphc.input("x", (1, 1, 6, 6)), graphc.input("w", (1, 1, 3, 3)), graphc.input("R", (1, 1, 2, 2))
    s = graphc.conv2d(x, w).named("s")
    return graphc.sum(graphc.max_pool2d(s, 2).named("p") * r).named("L")


ERROR = "(softmax(Z) - one_hot(label, 4))"
CASES = [
    (graphs.folded_neuron, "w0", "x0", "missing factor", "the local gradient df/ds = f * (1 - f) of the gate sigmoid"),
    (graphs.folded_neuron, "w0", "f*(1-f)*f*(1-f)*x0", "extra factor", "df/ds = f * (1 - f)"),
    (graphs.folded_neuron, "w0", "f*x0", "missing factor", "1 - f"),
    (graphs.two_layers, "w1", "d*w2*(1 - s**2)*x", "pre-activation", "before the activation"),
    (graphs.two_layers, "w1", "d*(1 - h**2)*x", "missing factor", "= w2 of the gate mul"),
    (graphs.two_layers, "w1", "w2*(1 - h**2)*x", "missing factor", "= d of the gate mul"),
    (graphs.two_layers, "w1", "(1 - h**2)*x", "missing upstream", "df/dh"),
    (graphs.relu_neuron, "w", "v*x", "missing mask", "the mask of the gate relu"),
    (graphs.recurrence, "w", recurrent("d3*h2 + d2*h1"), "missing step", "time step 1"),
    (graphs.recurrence, "w", recurrent("d3*h2"), "missing step", "time steps 1 and 2"),
    (graphs.recurrence, "w", recurrent("d3*h3 + d2*h2 + d1*h1"), "other step", "another time step"),
    (graphs.recurrence, "h1", "d*(1 - h3**2)*w*w", "missing factor", "1 - h2**2 of the gate tanh at time step 2"),
    (graphs.recurrence, "h0", "d*(1 - h3**2)*w*w*(1 - h2**2)*w", "missing factor", "dh1/ds1"),
    (graphs.recurrence, "h0", "d*w**3", "missing factor", "other time steps"),
    (graphs.shared, "x", "y - b + 1 - c**2", "sign", "b"),
    (graphs.shared, "x", "y + 2*b + 1 - c**2", "constant factor", "twice"),
    (graphs.normalised, "x", "g/r", "detached", "constant"),
    (logarithm, "x", "2*x/(x*x + y*y + 1)/log(10)", "constant factor", "1/ln(10)"),
    (guarded, "y", "-x*y/(x*x + y*y)**(3/2)", "dropped constant", "1e-06"),
    (regularised, "w", "-t*x*(m > 0)", "detached", "lam * w * w"),
    (cross_entropy, "W", f"X.T @ {ERROR}", "constant factor", "(here N)"),
    (cross_entropy, "b", f"mean({ERROR}, axis=0)/N", "constant factor", "1/N"),
    (cross_entropy, "W", "X.T @ softmax(Z)/N", "missing label", "p - y"),
    (cross_entropy, "X", f"-{ERROR} @ W.T/N", "sign", "flipped"),
    (cross_entropy, "b", f"{ERROR}/N", "missing sum", "the sum over axis 0 is missing, of extent N"),
    (cross_entropy, "W", f"{ERROR}.T @ X/N", "transposed", "transposed"),
    (graphs.two_layer_net, "X", "((D @ W2.T)*(1 - H**2)) @ W1", "transposed", "W1 is transposed the wrong way"),
    (graphs.two_layer_net, "W1", "X.T @ (D @ W2.T)", "missing factor", "dH/dS = 1 - H**2 of the gate tanh"),
    (graphs.two_layer_net, "W2", "S.T @ D", "pre-activation", "S stands in place of H"),
    (square_bias, "b", "sum(R*(1 - H**2), axis=1)", "wrong axis", "axis 1"),
    (graphs.batch_norm, "x", "R*gain/sd", "detached", "constant"),
    (whole_batch_norm, "x", "R*gain/sqrt(var(x, axis=0) + 1e-5)", "missing path", "average (sum), variance (sum)"),
    (graphs.attention, "S", "(R @ V.T)*A*(1 - A)", "diagonal Jacobian", "element by element"),
    (graphs.global_maximum, "W", "X.T @ (reshape(R, (4, 1))*ones_like(S))", "missing mask", "only the winner"),
    (pooled, "p", "-R", "sign", "flipped"),
    (graphs.lecture, "z", "z", "another gradient", "gradient with respect to x"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "name", "claim", "kind", "words"), CASES)
def test_mistake_is_named_in_words(build, name: str, claim: str, kind: str, words: str) -> None:
    finding = graphc.check(build(), {name: claim}, proof_seconds=0)[name]
    assert finding.verdict == "differs"
    assert finding.diagnosis is not None
    spoken = [e for e in finding.explanations if e.text in finding.diagnosis]
    assert kind in {e.kind for e in spoken}, [(e.kind, e.text) for e in finding.explanations]
    assert any(words in e.text for e in spoken if e.kind == kind), finding.diagnosis
    assert all(e.certain for e in spoken)


def test_every_use_that_is_missing_is_marked() -> None:
    finding = graphc.check(graphs.recurrence(), {"w": recurrent("d3*h2")}, proof_seconds=0)["w"]
    best = finding.explanations[0]
    assert {source.label for source, _ in best.edges} == {"w"}
    assert len(best.edges) == 2


def test_unrolled_cell_names_the_steps() -> None:
    root = unrolled()
    finding = graphc.check(root, {"W": "h[2].T @ (1 - h[3]**2)"}, proof_seconds=0)["W"]
    assert "time steps 0, 1 and 2" in finding.diagnosis
    assert {e.kind for e in finding.explanations[:1]} == {"missing step"}


@pytest.mark.parametrize(
    ("build", "name", "claim"),
    [
        (graphs.two_layers, "w1", "d*w2*(1 + h**2)*x"),
        (graphs.two_layers, "w1", "sin(d)*w2*(1 - h**2)*x"),
        (graphs.two_layers, "w1", "d*w2*(1 - h**2)*x + x*y"),
        (graphs.shared, "x", "y*b*(1 - c**2)"),
        (graphs.two_layer_net, "W1", "X.T @ ((D @ W2.T)*(1 + H**2))"),
        (graphs.classifier, "Z", "(tanh(Z) - one_hot(label, 3))/4"),
        (graphs.recurrence, "w", "d*(1 - h3**2)*h2*exp(w)"),
    ],
)
def test_nothing_is_said_where_no_single_mistake_explains(build, name: str, claim: str) -> None:
    finding = graphc.check(build(), {name: claim}, proof_seconds=0)[name]
    assert finding.verdict == "differs"
    assert finding.diagnosis is None, finding.diagnosis
    assert finding.explanations == ()


def test_claim_as_a_function_is_diagnosed_in_float64() -> None:
    finding = graphc.check(graphs.two_layers(), {"w1": lambda d, w2, x: d * w2 * x}, proof_seconds=0)["w1"]
    assert "1 - h**2" in finding.diagnosis


def test_all_matches_are_reported_best_first() -> None:
    x = graphc.input("x")
    finding = graphc.check((x * x).named("f"), {"x": "x"}, proof_seconds=0)["x"]
    kinds = [e.kind for e in finding.explanations]
    assert {"constant factor", "missing path"} <= set(kinds)
    ranks = [e.rank for e in finding.explanations]
    assert ranks == sorted(ranks)
    assert "; or: " in finding.diagnosis


def test_marks_are_pairs_of_operand_and_gate() -> None:
    from graphc.checking.diagnosis import Diagnosis

    finding = graphc.check(graphs.two_layers(), {"w1": "d*w2*x"}, proof_seconds=0)["w1"]
    marks = Diagnosis(finding.explanations).marks()
    ((source, target),) = marks
    assert (source.name, target.name) == ("s", "h")
    assert marks[source, target] == "missing factor"
