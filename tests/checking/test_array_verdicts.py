"""Verdicts on claims about arrays: shapes, sizes, ties, conventions, one given point, upstream gradients."""

from __future__ import annotations

import json

import mpmath
import numpy
import pytest

import graphc
from graphc.checking.circuit import Circuit
from graphc.checking.conventions import Conventions
from graphc.checking.numbers import double


def checked(root, claims, **options):
    return graphc.check(root, claims, proof_seconds=0, **options)


def product():
    x, w, g = graphc.input("X", ("N", 3)), graphc.parameter("W", (3, 4)), graphc.input("G", ("N", 4))
    return graphc.sum((x @ w) * g)


def rectified():
    x, g = graphc.input("x", (4,)), graphc.input("G", (4,))
    return graphc.sum(graphc.relu(x).named("h") * g).named("L")


def pooled():
    x, g = graphc.input("x", (1, 1, 2, 2)), graphc.input("G", (1, 1, 1, 1))
    return graphc.sum(graphc.max_pool2d(x, 2).named("y") * g)


# ---- the circuit ---------------------------------------------------------------------------------------


def graphs():
    x, w, label = graphc.input("x", ("N", 3)), graphc.parameter("w", (2, 3)), graphc.input("t", ("N",), dtype="int32")
    yield graphc.softmax_cross_entropy(graphc.relu(x @ w.T), label)
    yield graphc.sum(graphc.batch_norm(x, graphc.parameter("a", (3,)), graphc.parameter("b", (3,))) ** 3)
    image, k = graphc.input("i", ("N", 2, 4, 4)), graphc.parameter("k", (2, 2, 3, 3))
    yield graphc.sum(graphc.max_pool2d(graphc.relu(graphc.conv2d(image, k, padding=1)), 2) ** 2)
    q, key = graphc.input("q", ("T", 2)), graphc.input("key", ("T", 2))
    yield graphc.sum(graphc.attention(q, key, key, causal=True) ** 2)
    yield graphc.sum(graphc.layers.lstm(graphc.input("xs", ("T", "N", 2)), 2, name="lstm") ** 2)
    yield graphc.sum(graphc.layers.gru(graphc.input("xs", (3, "N", 2)), 2, name="gru")[2] ** 2)
    table, words = graphc.parameter("table", (5, 2)), graphc.input("words", ("N", 2), dtype="int32")
    joined = graphc.concat([graphc.flatten(table[words]), graphc.softmax(graphc.input("z", ("N", 3)))], axis=1)
    yield (
        graphc.sum(graphc.logsumexp(joined, 1))
        + graphc.sum(graphc.prod(joined, 1))
        + graphc.sum(graphc.amax(joined, 0))
    )


@pytest.mark.parametrize("root", list(graphs()), ids=lambda root: root.gate)
def test_gradients_of_a_circuit_are_those_of_the_reference(root) -> None:
    circuit = Circuit(root)
    draw = numpy.random.default_rng(3)
    point = {}
    for node in circuit.leaves:
        shape = circuit.shapes[node.id]
        point[node.label] = (
            draw.standard_normal(shape) if node.is_float else draw.integers(0, circuit.bounds[node.id], shape)
        )
    run = graphc.backward(root).at(point)
    with mpmath.workdps(40):
        exact, rough = circuit.state(point), circuit.state(point, "double")
    for node in circuit.leaves:
        if node.is_float:
            for state in (exact, rough):
                gradient = state.gradients[node.id].astype(float)
                assert gradient == pytest.approx(run.grad(node), rel=1e-9, abs=1e-11), node.label
    for position, edge in enumerate(circuit.edges):
        found = circuit.pull(position, exact, exact.gradients[edge.target.id])
        assert numpy.shape(found) == circuit.shapes[edge.source.id]
    with mpmath.workdps(40):
        for node in circuit.nodes:  # what flows into a node is the sum over its edges
            parts = circuit.contributions(node, exact)
            if parts and node is not circuit.root:
                rest = numpy.abs(sum(part for _, part in parts) - exact.gradients[node.id])
                assert numpy.all(numpy.asarray(rest, dtype=float) < 1e-30), node.label


def test_edge_reads_the_values_of_the_state_it_is_given() -> None:
    import dataclasses

    x, y = graphc.input("x", (2,)), graphc.input("y", (2,))
    circuit = Circuit(graphc.sum(x * y))
    state = circuit.state({"x": numpy.array([1.0, 2.0]), "y": numpy.array([3.0, 4.0])}, "double")
    (position,) = (p for p, e in enumerate(circuit.edges) if e.source is x)
    assert circuit.local_factor(position, state).tolist() == [3.0, 4.0]
    other = dataclasses.replace(state, values={**state.values, y.id: numpy.array([5.0, 6.0])})
    assert circuit.local_factor(position, other).tolist() == [5.0, 6.0]
    assert circuit.pull(position, other, numpy.array([1.0, 2.0])).tolist() == [5.0, 12.0]


# ---- shapes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "claim", "words"),
    [
        ("W", "G.T @ X", "it looks like a transpose"),
        ("W", "expand_dims(X, 2) * expand_dims(G, 1)", "a sum over the axis of extent N is missing"),
        ("X", "sum(G @ W.T, axis=0)", "every entry along the axis of extent N"),
        ("X", "sum(G @ W.T, axis=0, keepdims=True)", "entries that are equal are written out in full"),
        ("X", "G @ W", "does not fit"),
        ("W", "X", "the claim has shape (N, 3), but W has shape (3, 4)"),
    ],
)
def test_wrong_shape_is_explained(name: str, claim: str, words: str) -> None:
    finding = checked(product(), {name: claim})[name]
    assert finding.verdict == "differs"
    assert words in finding.note
    assert words in str(finding)


def test_number_stands_for_equal_entries_and_a_row_does_not() -> None:
    root = graphc.sum(graphc.input("x", ("N", 3)))
    finding = checked(root, {"x": "1"})["x"]
    assert finding.verdict == "agrees"
    assert "single number" in finding.note
    assert checked(root, {"x": "ones(3)"})["x"].verdict == "differs"
    assert checked(root, {"x": "ones((1, 3))"})["x"].verdict == "differs"
    assert checked(root, {"x": lambda x: numpy.ones(3)})["x"].verdict == "differs"


def test_number_that_happens_to_be_the_batch_is_found_out() -> None:
    root = graphc.mean(graphc.input("x", ("N",)))
    for number in range(2, 7):
        assert checked(root, {"x": f"1/{number}"})["x"].verdict == "differs"
    assert checked(root, {"x": "1/N"})["x"].verdict == "agrees"


# ---- counterexamples -----------------------------------------------------------------------------------


def test_counterexample_names_an_entry_that_the_reference_confirms() -> None:
    root = product()
    report = checked(root, {"W": "-X.T @ G"})
    example = report["W"].counterexample
    row, column = example.element
    run = graphc.backward(root).at(example.at)
    assert run.grad("W")[row, column] == pytest.approx(example.correct, rel=1e-12)
    assert example.claimed == pytest.approx(-example.correct)
    assert f"gradient[{row},{column}]" in str(report)
    numbers = numpy.concatenate([numpy.ravel(v) for v in example.at.values()])
    assert set(numbers * 4) <= set(range(-16, 17))  # halves and quarters: it can be done by hand
    data = json.loads(report.json())["claims"][0]["counterexample"]
    assert data["element"] == [row, column]
    assert numpy.shape(data["at"]["W"]) == (3, 4)


def test_one_wrong_entry_of_many_is_found() -> None:
    def nearly(X, G):
        gradient = X.T @ G
        gradient[2, 3] *= 1.01
        return gradient

    finding = checked(product(), {"W": nearly})["W"]
    assert finding.verdict == "differs"
    assert finding.counterexample.element == (2, 3)


# ---- kinks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("G * (x > 0)", "agrees"),
        ("G * (x >= 0)", "agrees"),
        ("G * (1 + sign(x)) / 2", "agrees"),
        ("where(x == 0, 0.3 * G, G * (x > 0))", "agrees"),
        ("where(x == 0, 1.5 * G, G * (x > 0))", "differs"),
        ("where(x == 0, -0.1 * G, G * (x > 0))", "differs"),
        ("G * (x > 0.01)", "differs"),
        ("G * (x > -0.01)", "differs"),
    ],
)
def test_subgradients_are_accepted_entry_by_entry(claim: str, verdict: str) -> None:
    finding = checked(rectified(), {"x": claim})["x"]
    assert finding.verdict == verdict, str(finding)


@pytest.mark.parametrize(
    ("conventions", "at_zero"),
    [
        ({"relu_at_zero": 0}, {"0": True, "1": False, "1/2": False}),
        ({"relu_at_zero": 1}, {"0": False, "1": True, "1/2": False}),
        ({"relu_at_zero": "interval"}, {"0": True, "1": True, "1/2": True, "2": False}),
        (Conventions(ties="first"), {"0": True, "1": True}),
    ],
)
@pytest.mark.parametrize("array", [False, True])
def test_slope_of_relu_at_zero_follows_the_convention(conventions, at_zero, array: bool) -> None:
    x = graphc.input("x", (3,) if array else ())
    root = graphc.sum(graphc.relu(x)) if array else graphc.relu(x)
    for slope, right in at_zero.items():
        report = checked(root, {"x": f"where(x == 0, {slope}, x > 0)"}, conventions=conventions)
        assert report["x"].verdict == ("agrees" if right else "differs"), slope
        if conventions == {"relu_at_zero": 1}:
            assert "relu has slope 1 at 0" in str(report)


def test_first_winner_or_any_winner() -> None:
    def last(x, y, G):
        gradient = numpy.zeros(4)
        gradient[3 - numpy.argmax(x.ravel()[::-1])] = G.item()
        return gradient.reshape(x.shape)

    def first(x, y, G):
        gradient = numpy.zeros(4)
        gradient[numpy.argmax(x.ravel())] = G.item()
        return gradient.reshape(x.shape)

    assert checked(pooled(), {"x": last}).ok
    assert checked(pooled(), {"x": first}, conventions={"ties": "first"}).ok
    finding = checked(pooled(), {"x": last}, conventions={"ties": "first"})["x"]
    assert finding.verdict == "differs"
    assert len({round(v, 9) for v in numpy.ravel(finding.counterexample.at["x"])}) < 4


def test_range_that_is_wider_than_the_slopes_decides_nothing() -> None:
    x = graphc.input("x", (6,))
    root = graphc.sum(graphc.max(x * 1.0, x))  # a tie at every point
    assert checked(root, {"x": "1"})["x"].verdict == "agrees"
    assert checked(root, {"x": "1.5"})["x"].verdict == "undecided"
    assert checked(root, {"x": "2.5"})["x"].verdict == "differs"


@pytest.mark.parametrize("seed", range(6))
def test_ranges_at_ties_hold_the_slopes_on_either_side(seed: int) -> None:
    image, k = graphc.input("x", (1, 2, 4, 4)), graphc.parameter("k", (2, 2, 2, 2))
    scores = graphc.flatten(graphc.max_pool2d(graphc.relu(graphc.conv2d(image, k, padding=1)), 2))
    root = graphc.sum(graphc.max(scores, 1) * graphc.abs(scores - 2)) + graphc.amax(graphc.flatten(image), 1)[0]
    circuit = Circuit(root)
    draw = numpy.random.default_rng(seed)
    point = {circuit.keys[n.id]: draw.integers(-1, 2, circuit.shapes[n.id]).astype(float) for n in circuit.leaves}
    state = circuit.state(point, "double")
    assert state.intervals
    value, step, checks = state.values[circuit.root.id], 1e-6, 0
    for node in circuit.leaves:
        low, high = state.intervals.get(node.id, (state.gradients[node.id],) * 2)
        assert numpy.all(low <= state.gradients[node.id])
        assert numpy.all(state.gradients[node.id] <= high)
        for index in numpy.ndindex(circuit.shapes[node.id]):
            for side in (-step, step):
                moved = point[node.label].copy()
                moved[index] += side
                slope = (circuit.values({**point, node.label: moved}, double())[circuit.root.id] - value) / side
                assert low[index] - 1e-3 <= slope <= high[index] + 1e-3, (node.label, index, slope)
                checks += 1
    assert checks == 2 * (32 + 16)


def test_unknown_conventions_are_refused() -> None:
    for bad, words in (
        ({"relu": 0}, "relu_at_zero"),
        ({"relu_at_zero": 2}, "'interval' or 0 or 1"),
        ("first", "mapping"),
    ):
        with pytest.raises(graphc.CheckError, match=words):
            checked(rectified(), {"x": "0"}, conventions=bad)


# ---- one point -----------------------------------------------------------------------------------------


def neuron():
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    return graphc.sigmoid(w0 * x0 + w1 * x1 + w2).named("f")


POINT = {"w0": 2, "x0": -1, "w1": -3, "x1": -2, "w2": -3}


def test_numbers_of_a_lecture_are_judged_at_their_point_only() -> None:
    report = checked(neuron(), {"w0": -0.1966, "x0": 0.3932, "w1": -0.3932, "x1": -0.5898, "w2": 0.20}, at=POINT)
    assert [f.verdict for f in report.values()] == ["agrees", "agrees", "agrees", "agrees", "differs"]
    assert report["w0"].points == 1
    assert "at this point" in str(report)
    assert "0.2" in str(report["w2"].counterexample)
    assert checked(neuron(), {"w0": "-f*(1 - f)"}, at=POINT).ok  # right here, though not everywhere
    assert not checked(neuron(), {"w0": "-f*(1 - f)"}).ok


def test_arrays_of_numbers_at_a_point() -> None:
    point = {"X": [[1, 2, 3], [4, 5, 6]], "W": numpy.ones((3, 4)), "G": [[1, 0, 2, 0], [0, 1, 0, 3]]}
    right = numpy.array(point["X"]).T @ numpy.array(point["G"])
    report = checked(product(), {"W": right.tolist(), "X": [[3, 3, 3], [4, 4, 4.5]]}, at=point)
    assert report["W"].verdict == "agrees"
    assert report["X"].counterexample.element == (1, 2)
    assert checked(product(), {"W": right.T}, at=point)["W"].note.endswith("it looks like a transpose")
    with pytest.raises(graphc.CheckError, match="no value for 'G'"):
        checked(product(), {"W": right}, at={"X": point["X"], "W": point["W"]})
    with pytest.raises(graphc.CheckError, match="did you mean 'W'"):
        checked(product(), {"W": right}, at={**point, "WW": 1})
    with pytest.raises(graphc.CheckError, match="the size N"):
        checked(product(), {"W": right}, at={**point, "G": [[1, 0, 2, 0]]})


# ---- what is differentiated ----------------------------------------------------------------------------


def test_gradient_that_arrives_at_an_array() -> None:
    x, w = graphc.input("X", ("N", 3)), graphc.parameter("W", (3, 4))
    y = (x @ w).named("Y")
    back = graphc.backward(y, upstream=graphc.input("dY", ("N", 4)))
    report = checked(back, {"W": "X.T @ dY", "X": "dY @ W.T"})
    assert report.ok
    assert not checked(back, {"W": "dY.T @ X"}).ok
    assert {node.label: word for node, word in report.marks().items()} == {"W": "agrees", "X": "agrees"}
    with pytest.raises(graphc.CheckError, match="gradient that arrives"):
        checked(y, {"W": "X"})


def test_upstream_gradient_of_a_scalar_and_graphs_that_are_too_large() -> None:
    x = graphc.input("x")
    back = graphc.backward(x * x, upstream=3.0)
    assert checked(back, {"x": "6*x"}).ok
    assert not checked(back, {"x": "2*x"}).ok
    image, k = graphc.input("image", ("N", 3, 224, 224)), graphc.parameter("k", (64, 3, 11, 11))
    with pytest.raises(graphc.CheckError, match="smaller extents"):
        checked(graphc.sum(graphc.conv2d(image, k)), {"k": "0"})


def test_claims_go_by_node_of_the_users_graph_through_repeats() -> None:
    x, h0, w = graphc.input("x", ("T", 2)), graphc.input("h0", (2,)), graphc.parameter("w", (2,))

    def cell(v, h):
        new = graphc.tanh(w * h + v)
        return new, new

    hs, last = graphc.unroll(cell, x, h0)
    root = graphc.sum(hs) + graphc.sum(last)
    report = checked(root, {w: "w", hs: "ones_like(x)", x: "0*x"})
    assert report[hs].verdict == "agrees"
    assert report["w"].verdict == "differs"
    assert set(report.marks()) == {w, hs, x}


def test_claim_by_function_is_never_more_than_agreement() -> None:
    report = graphc.check(product(), {"W": lambda X, G: X.T @ G})
    assert report["W"].verdict == "agrees"
    assert report["W"].digits < 16


def test_tiny_error_is_seen_and_rounding_is_not() -> None:
    assert not checked(product(), {"W": "X.T @ G * (1 + 1e-30)"}).ok
    assert checked(product(), {"W": "X.T @ (G * cosh(50)**2 - G * sinh(50)**2)"}).ok
    shifted = "exp(X @ W - X @ W + 300) / exp(300) * G @ W.T"
    assert checked(product(), {"X": shifted}).ok
    assert checked(product(), {"X": lambda X, W, G: (1e6 * G) @ W.T / 1e6}).ok


# ---- proofs --------------------------------------------------------------------------------------------


def small():
    x, w, g = graphc.input("X", (2, 2)), graphc.parameter("W", (2, 2)), graphc.input("G", (2, 2))
    y = (x @ w).named("Y")
    return {
        "tanh": graphc.sum(graphc.tanh(y).named("H") * g),
        "relu": graphc.sum(graphc.relu(y).named("H") * g),
        "softmax": graphc.sum(graphc.softmax(y).named("H") * g),
        "maximum": graphc.sum(graphc.amax(y, 1) ** 2),
    }


@pytest.mark.parametrize(
    ("graph", "name", "claim"),
    [
        ("tanh", "W", "X.T @ (G / cosh(Y)**2)"),
        ("relu", "X", "(G * (Y > 0)) @ W.T"),
        ("softmax", "Y", "H * (G - sum(G * H, axis=1, keepdims=True))"),
        ("softmax", "W", "X.T @ (H * (G - sum(G * H, axis=1, keepdims=True)))"),
    ],
)
def test_entries_of_small_arrays_are_proved(graph: str, name: str, claim: str) -> None:
    finding = graphc.check(small()[graph], {name: claim}, proof_seconds=10)[name]
    assert finding.verdict == "proved", str(finding)


def test_no_entry_is_proved_that_differs() -> None:
    from graphc.checking.claims import Names, read_claim
    from graphc.checking.proving import prove_claim

    for graph, name, claim in (
        ("tanh", "W", "X.T @ (G * (1 - H))"),
        ("relu", "X", "G @ W.T"),
        ("softmax", "Y", "H * (1 - H) * G"),
        ("maximum", "Y", "2 * Y"),
        ("tanh", "X", "(G * (1 - H**2)) @ W.T + 1e-40"),
    ):
        circuit = Circuit(small()[graph])
        names = Names(circuit)
        word, _ = prove_claim(circuit, read_claim(names.find(name), claim, names), 10)
        assert word == "agrees", claim


def test_proof_for_some_sizes_is_no_proof_for_all() -> None:
    x, w = graphc.input("X", ("N", 2)), graphc.parameter("w", (2,))
    finding = graphc.check(graphc.sum((x * w) ** 2), {"w": "2 * w * sum(X**2, axis=0)"}, proof_seconds=10)["w"]
    assert finding.verdict == "agrees"
    assert finding.note == "proved for N = 2"
    labels = graphc.input("t", (2,), dtype="int32")
    root = graphc.softmax_cross_entropy(graphc.input("S", (2, 2)), labels)
    finding = graphc.check(root, {"S": "(softmax(S) - one_hot(t, S)) / 2"}, proof_seconds=10)["S"]
    assert finding.verdict == "agrees"
    assert "labels" in finding.note


def test_repeat_too_long_to_be_written_out_has_the_same_gradients(monkeypatch) -> None:
    from graphc.checking import opened

    def build():
        xs = graphc.input("xs", (4, 2, 3))
        return graphc.sum(graphc.layers.lstm(xs, 2, name="lstm") ** 2)

    written_out = Circuit(build())
    monkeypatch.setattr(opened, "MOST_STEPS", 2)
    whole = Circuit(build())
    assert len(whole.nodes) < len(written_out.nodes)
    draw = numpy.random.default_rng(5)
    point = {written_out.keys[n.id]: draw.standard_normal(written_out.shapes[n.id]) for n in written_out.leaves}
    states = [circuit.state(point, "double") for circuit in (written_out, whole)]
    for one, other in zip(written_out.leaves, whole.leaves, strict=True):
        assert states[1].gradients[other.id] == pytest.approx(states[0].gradients[one.id], rel=1e-9)


@pytest.mark.slow
def test_large_networks_are_judged_in_float64() -> None:
    x, label = graphc.input("x", ("N", 784)), graphc.input("t", ("N",), dtype="int32")
    w, v = graphc.parameter("W", (64, 784)), graphc.parameter("V", (10, 64))
    h = graphc.relu((x @ w.T).named("A")).named("H")
    root = graphc.softmax_cross_entropy((h @ v.T).named("S"), label)
    flow = "(softmax(S) - one_hot(t, S)) / N"
    report = checked(root, {"V": f"({flow}).T @ H", "W": f"((({flow}) @ V) * (A > 0)).T @ x", "A": f"({flow}) @ V"})
    assert [f.verdict for f in report.values()] == ["agrees", "agrees", "differs"]
    assert report["V"].digits < 16


def test_right_gradient_is_written_as_in_a_lecture() -> None:
    x, w, b = graphc.input("X", ("N", 3)), graphc.parameter("W", (4, 3)), graphc.parameter("b", (4,))
    a = (x @ w.T + b).named("A")
    g = graphc.input("G", ("N", 4))
    root = graphc.sum(graphc.tanh(a).named("H") * g)
    report = checked(root, {"W": "0", "b": "0"})
    assert report["W"].correct == "(G * (1 - H**2)).T @ X"
    assert report["b"].correct.startswith("sum(G * (1 - H**2)")
    assert checked(root, {name: finding.correct for name, finding in report.items()}).ok
    label = graphc.input("t", ("N",), dtype="int32")
    assert "softmax(A) - one_hot(t, A)" in checked(graphc.softmax_cross_entropy(a, label), {"W": "0"})["W"].correct
    masked = checked(graphc.sum(graphc.relu(a) * g), {"X": "0"})["X"].correct
    assert "A > 0" in masked
    assert checked(graphc.sum(graphc.relu(a) * g), {"X": masked}).ok


def test_tie_that_rounding_hides_is_a_tie() -> None:
    x, g = graphc.input("x", (5, 1)), graphc.input("G", (5, 1))
    v = x - graphc.mean(x, 0)
    flow = "sign(x - sum(x, axis=0)/5) * G"
    report = checked(graphc.sum(graphc.abs(v) * g), {"x": f"{flow} - mean({flow}, axis=0)"})
    assert report.ok, str(report)

    def claim(x, G):
        return _centred(_centred(numpy.sign(_centred(_centred(x))) * G))

    report = checked(graphc.sum(graphc.abs(v - graphc.mean(v, 0)) * g), {"x": claim})
    assert report.ok, str(report)


def _centred(flow):
    return flow - flow.mean(0)


def test_a_long_recurrence_is_judged_in_time_or_says_that_it_was_too_long():
    """Beyond 64 steps a repeat is not written out; an output that nobody reads is known from the forward pass only."""
    xs = graphc.input("x", (200, "N", 3))
    hs = graphc.layers.lstm(xs, 4, name="lstm").named("hs")
    loss = graphc.sum(hs * hs)
    wrong = graphc.check(loss, {"lstm.bias": "2*lstm.bias"}, proof_seconds=0)["lstm.bias"]
    assert wrong.verdict == "differs"
    right = graphc.check(loss, {"hs": "2*hs"}, proof_seconds=0)["hs"]
    assert right.verdict == "agrees" or "there was time for" in right.note
