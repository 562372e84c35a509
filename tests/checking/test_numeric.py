"""Gradient checks as a user meets them: reports, messages, hand-written backward passes, ties, random layers."""

from __future__ import annotations

import json

import numpy
import pytest

import graphc

GENERATOR = numpy.random.default_rng(7)


# ---- a two-layer network and its backward pass by hand -------------------------------------------------


def two_layers():
    x, label = graphc.input("X", ("N", 4)), graphc.input("y", ("N",), dtype="int32")
    first, second = graphc.parameter("W1", (4, 5)), graphc.parameter("W2", (5, 3))
    a, b = graphc.parameter("b1", (5,)), graphc.parameter("b2", (3,))
    h = graphc.relu((x @ first + a).named("z")).named("h")
    data_loss = graphc.softmax_cross_entropy(h @ second + b, label).named("data_loss")
    penalty = graphc.l2([first, second], 0.05).named("penalty")
    return (data_loss + penalty).named("loss")


def two_layer_data(*, whole: bool = False):
    generator = numpy.random.default_rng(3)

    def draw(*shape):
        return generator.integers(-1, 2, shape).astype(float) if whole else generator.standard_normal(shape)

    return {
        "X": draw(6, 4),
        "y": generator.integers(0, 3, 6),
        "W1": draw(4, 5),
        "b1": draw(5),
        "W2": draw(5, 3),
        "b2": draw(3),
    }


def backward_by_hand(mistake: str = ""):
    def backward(X, y, W1, b1, W2, b2):
        z = X @ W1 + b1
        h = numpy.maximum(z, 0)
        scores = h @ W2 + b2
        p = numpy.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        d = p
        d[numpy.arange(len(y)), y] -= 1
        if mistake != "mean":
            d /= len(y)
        dW2 = h.T @ d + 0.1 * W2
        if mistake == "transpose":
            dW2 = (d.T @ h) + 0.1 * W2.T
        if mistake == "regulariser":
            dW2 = h.T @ d
        dh = d @ W2.T
        open_units = {"one": z >= 0, "mask": True}.get(mistake, z > 0)
        dz = dh * open_units
        if mistake == "odd":  # no slip that has a name
            dz = dz * (1 + 0.3 * numpy.sin(3 * z))
        db1 = -dz.sum(axis=0) if mistake == "sign" else dz.sum(axis=0)
        gradients = {"W1": X.T @ dz + 0.1 * W1, "b1": db1, "W2": dW2, "b2": d.sum(axis=0)}
        if mistake == "percent":
            gradients["b1"] = 1.01 * gradients["b1"]
        if mistake == "batch":
            gradients["b2"] = d
        return gradients

    return backward


def check_by_hand(mistake: str = "", *, whole: bool = False):
    return graphc.check_gradients(two_layers(), two_layer_data(whole=whole), analytic=backward_by_hand(mistake))


def test_a_right_backward_pass_by_hand_is_right():
    report = check_by_hand()
    assert report.ok
    assert report.exit_code == 0
    assert list(report) == ["W1", "b1", "W2", "b2"]
    assert report["W1"].compared == 20
    report.raise_if_wrong()
    assert any("no gradient for them: X" in note for note in report.notes)


def test_names_with_dots_are_asked_for_with_underscores():
    x = graphc.input("x", ("N", 3))
    loss = graphc.sum(graphc.layers.dense(x, 2, name="one"))
    data = {"x": numpy.ones((4, 3)), "one.weight": numpy.ones((2, 3)), "one.bias": numpy.zeros(2)}

    def by_name(x, one_weight):
        return {"one_weight": numpy.tile(x.sum(axis=0), (2, 1)), "one.bias": numpy.full(2, float(len(x)))}

    def in_order(one_bias, one_weight, x):
        loss = (x @ one_weight.T + one_bias).sum()
        return loss, (numpy.full(2, float(len(x))), numpy.tile(x.sum(axis=0), (2, 1)))

    assert list(graphc.check_gradients(loss, data, analytic=by_name)) == ["one.weight", "one.bias"]
    report = graphc.check_gradients(loss, data, analytic=in_order)
    assert report.ok
    assert list(report) == ["one.weight", "one.bias"]


def test_a_wrong_loss_is_said_before_anything_else():
    x = graphc.input("x", (2,))
    data = {"x": numpy.array([1.0, 2.0])}
    report = graphc.check_gradients(graphc.sum(x**2), data, analytic=lambda x: ((x**2).mean(), {"x": 2 * x}))
    assert report.exit_code == 1
    assert "the loss itself differs: 2.5 from <lambda>(), 5 by the float64 reference" in str(report)


def test_a_wrong_transpose_is_named():
    report = check_by_hand("transpose")
    assert {name: f.verdict for name, f in report.items()} == {
        "W1": "right",
        "b1": "right",
        "W2": "wrong",
        "b2": "right",
    }
    assert "gradient has shape (3, 5), expected (5, 3)" in str(report["W2"])
    assert "transpose it" in str(report["W2"])


def test_a_missing_mask_is_named():
    report = check_by_hand("mask")
    assert [name for name, f in report.items() if f.verdict == "wrong"] == ["W1", "b1"]
    assert "Mistake: the mask of the gate relu is missing" in str(report["W1"])
    assert not report.problems


def test_the_place_of_a_mistake_without_a_name_is_narrowed_down():
    report = check_by_hand("odd")
    assert [name for name, f in report.items() if f.verdict == "wrong"] == ["W1", "b1"]
    assert "Mistake" not in str(report)
    (where,) = report.problems
    assert where.startswith("Where: W2, b2 are right, so look at the way back from ")
    assert "h to z" in where


def test_a_missing_mean_is_recognised():
    report = check_by_hand("mean")
    assert report.exit_code == 1
    assert "6 times the right gradient" in str(report["b2"])
    assert "N = 6: a mean over N is missing" in str(report["b2"])
    assert "6 times the gradient of the term data_loss (data)" in str(report["W2"])


def test_a_missing_regulariser_is_recognised():
    report = check_by_hand("regulariser")
    assert [name for name, f in report.items() if not f.ok] == ["W2"]
    assert "without that of the term penalty (regulariser)" in str(report["W2"])


def test_a_changed_sign_is_recognised():
    assert "the right gradient with the sign changed" in str(check_by_hand("sign")["b1"])


def test_a_missing_sum_over_the_batch_is_recognised():
    assert "sum its gradient over axis 0" in str(check_by_hand("batch")["b2"])


@pytest.mark.parametrize("whole", [False, True])
def test_one_percent_is_caught(whole):
    report = check_by_hand("percent", whole=whole)
    assert [name for name, f in report.items() if not f.ok] == ["b1"]
    assert "1.01 times the right gradient" in str(report["b1"])


def test_a_message_says_index_values_error_step_reason_and_next_step():
    finding = check_by_hand("percent")["b1"]
    worst = finding.worst
    assert worst is not None
    assert worst.place is not None
    text = str(finding)
    assert f"b1 is WRONG: b1[{worst.place[0]}]" in text
    assert f"numeric   {worst.numeric:.8g}" in text
    assert f"analytic  {worst.analytic:.8g}" in text
    for words in ("from backward()", "step ", "relative 9.9e-03", "order 1.0", "Why: ", "Next: ", "no kink excuses it"):
        assert words in text


# ---- ties ----------------------------------------------------------------------------------------------


def test_another_convention_at_a_tie_is_accepted():
    assert (
        two_layer_data(whole=True)["X"] @ two_layer_data(whole=True)["W1"] + two_layer_data(whole=True)["b1"] == 0
    ).any()
    assert check_by_hand("", whole=True).ok
    report = check_by_hand("one", whole=True)  # relu'(0) = 1
    assert report.ok
    assert "tie" in {finding.verdict for finding in report.values()}


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_every_slope_between_the_sides_of_a_tie_is_accepted(share):
    x = graphc.input("x", (3,))
    loss = graphc.sum(graphc.relu(x) * 2.0)
    data = {"x": numpy.array([0.0, 1.0, -1.0])}
    report = graphc.check_gradients(loss, data, analytic=lambda x: 2 * ((x > 0) + share * (x == 0)))
    assert report.ok


@pytest.mark.parametrize(
    ("conventions", "slope", "verdict"),
    [
        ({"relu_at_zero": 0}, 0.0, "right"),
        ({"relu_at_zero": 0}, 2.0, "wrong"),
        ({"relu_at_zero": 1}, 2.0, "tie"),
        ({"relu_at_zero": 1}, 0.0, "wrong"),
        ({"ties": "first"}, 2.0, "tie"),
    ],
)
def test_conventions_for_relu_can_be_asked_for(conventions, slope, verdict):
    x = graphc.input("x", (3,))
    loss = graphc.sum(graphc.relu(x) * 2.0)
    data = {"x": numpy.array([0.0, 1.0, -1.0])}
    report = graphc.check_gradients(
        loss, data, analytic=lambda x: 2.0 * (x > 0) + slope * (x == 0), conventions=conventions
    )
    assert report["x"].verdict == verdict


@pytest.mark.parametrize(
    ("conventions", "second", "verdict"),
    [({}, 0.5, "tie"), ({"ties": "first"}, 0.5, "wrong"), ({"ties": "first"}, 0.0, "right")],
)
def test_conventions_for_ties_can_be_asked_for(conventions, second, verdict):
    x, y = graphc.inputs("x y")
    loss = graphc.max(x, y) ** 2

    def shared(x, y):
        first = 1 - second if x == y else float(x > y)
        return {"x": 2 * max(x, y) * first, "y": 2 * max(x, y) * (1 - first)}

    report = graphc.check_gradients(loss, {"x": 1.5, "y": 1.5}, analytic=shared, conventions=conventions)
    assert {finding.verdict for finding in report.values()} == {verdict}
    assert any("tie" in line for line in report.conventions)


def test_unknown_conventions_are_refused():
    x = graphc.input("x")
    with pytest.raises(graphc.CheckError, match="there is no convention 'relu'"):
        graphc.check_gradients(x * x, {"x": 1.0}, conventions={"relu": 1})


@pytest.mark.parametrize("slope", [-0.02, 2.02])
def test_no_slope_beyond_the_sides_of_a_tie_is_accepted(slope):
    x = graphc.input("x", (3,))
    loss = graphc.sum(graphc.relu(x) * 2.0)
    data = {"x": numpy.array([0.0, 1.0, -1.0])}
    report = graphc.check_gradients(loss, data, analytic=lambda x: 2.0 * (x > 0) + slope * (x == 0))
    assert report["x"].verdict == "wrong"
    assert report["x"].worst.place == (0,)
    assert report["x"].worst.interval == pytest.approx((0.0, 2.0), abs=1e-6)


def test_a_pooling_gradient_that_rewards_every_winner_of_a_tie_is_wrong():
    image = graphc.input("image", ("N", 1, 2, 2))
    gain = graphc.parameter("gain", ())
    loss = graphc.sum(graphc.max_pool2d(image * gain, 2))
    data = {"image": numpy.ones((1, 1, 2, 2)), "gain": 2.0}
    right = graphc.check_gradients(loss, data, analytic=lambda image, gain: {"gain": 1.0})
    assert right.ok
    doubled = graphc.check_gradients(loss, data, analytic=lambda image, gain: {"gain": 4.0})
    assert doubled["gain"].verdict == "wrong"


def test_ties_do_not_excuse_an_error_beside_them():
    x = graphc.input("x", (2,))
    loss = graphc.sum(graphc.relu(x))
    # half a unit is a slope that the tie allows, but beside it the unit is on or off
    report = graphc.check_gradients(loss, {"x": numpy.zeros(2)}, analytic=lambda x: 0.5 + 0 * x)
    assert report["x"].verdict == "wrong"
    assert "beside the one given, away from its ties" in str(report["x"])


def test_graphc_itself_is_held_to_its_conventions(monkeypatch):
    x = graphc.input("x", (3,))
    loss = graphc.sum(graphc.relu(x) - graphc.relu(-x))  # x, except that both slopes are 0 at 0
    report = graphc.check_gradients(loss, {"x": numpy.array([0.0, 2.0, -1.0])})
    assert report.ok
    assert any("exact ties at the point" in note for note in report.notes)
    assert "relu has any slope from 0 to 1 at 0; graphc itself takes 0" in str(report)


def test_winners_that_change_within_a_step_are_listed():
    x = graphc.input("x", (2,))
    loss = graphc.sum(graphc.relu(x).named("r") ** 2)
    data = {"x": numpy.array([1e-3, 1.0])}
    report = graphc.check_gradients(loss, data, analytic=lambda x: 2.02 * x)
    (sample,) = [s for s in report["x"].samples if s.place == (0,)]
    assert sample.verdict == "wrong"
    assert sample.kinks == ("r (1)",)


# ---- what a report holds -------------------------------------------------------------------------------


def test_report_of_a_node():
    report = graphc.check_gradients(two_layers(), two_layer_data())
    assert list(report) == ["X", "W1", "b1", "W2", "b2"]
    assert all(len(f.samples) >= 4 for f in report.values())
    assert all(sum(s.place is None for s in f.samples) == 1 for f in report.values())
    orders = [s.order for f in report.values() for s in f.samples if s.order is not None]
    assert orders
    assert orders == pytest.approx([2.0] * len(orders), abs=0.05)
    assert max(s.relative for f in report.values() for s in f.samples) < 1e-7
    assert set(report["W1"].terms) == {"data_loss (data)", "penalty (regulariser)"}
    loss = two_layers()
    assert list(graphc.check_gradients(loss, two_layer_data(), wrt=["W1"])) == ["W1"]


def test_json_and_text():
    report = check_by_hand("percent")
    plain = json.loads(report.json())
    assert plain["ok"] is False
    assert plain["exit_code"] == 1
    assert [p["name"] for p in plain["parameters"]] == ["W1", "b1", "W2", "b2"]
    assert plain["parameters"][1]["verdict"] == "wrong"
    assert {"place", "numeric", "analytic", "step", "order"} <= set(plain["parameters"][1]["samples"][0])
    text = str(report)
    assert "3 of 4 right" in text
    assert "Conventions" in text
    assert "b1 wrong" in repr(report)
    with pytest.raises(graphc.CheckError, match=r"b1 is WRONG"):
        report.raise_if_wrong()
    with pytest.raises(KeyError, match="did you mean 'W1'"):
        report["W11"]


def test_an_error_in_the_data_loss_does_not_hide_behind_a_regulariser(monkeypatch):
    x, w = graphc.input("x", (3,)), graphc.parameter("w", (3,))
    data_loss = graphc.sum(graphc.tanh(x * w) * 1e-7)
    loss = data_loss + graphc.l2(w, 10.0)
    report = graphc.check_gradients(loss, {"x": [1.0, 2.0, 3.0], "w": [0.5, 0.1, -0.3]}, wrt=["w"])
    assert report.ok
    assert any("hides their errors in the sum" in note for note in report.notes)
    assert all(error < 1e-5 for error in report["w"].terms.values())
    from graphc.checking.numeric import graphs

    whole = graphs.GraphPoint._gradients

    def spoilt(self, root):
        factor = 1.01 if root is data_loss else 1.0
        return {leaf: factor * g for leaf, g in whole(self, root).items()}

    monkeypatch.setattr(graphs.GraphPoint, "_gradients", spoilt)
    report = graphc.check_gradients(loss, {"x": [1.0, 2.0, 3.0], "w": [0.5, 0.1, -0.3]}, wrt=["w"])
    assert report["w"].verdict == "wrong"
    assert "the term sum" in str(report["w"])


def test_results_are_the_same_every_time():
    first = graphc.check_gradients(two_layers(), two_layer_data(), seed=5)
    again = graphc.check_gradients(two_layers(), two_layer_data(), seed=5)
    assert [f.samples for f in first.values()] == [f.samples for f in again.values()]


# ---- layers with states, random numbers and repeats ----------------------------------------------------


def test_dropout_batch_norm_and_their_use():
    x = graphc.input("x", ("N", 3))
    h = graphc.layers.batch_norm(graphc.layers.dense(x, 4, name="one"), name="norm")
    h = graphc.layers.dropout(graphc.relu(h), 0.5, name="drop")
    loss = graphc.sum(graphc.layers.dense(h, 1, name="two") ** 2)
    data = {"x": GENERATOR.standard_normal((5, 3)), "norm.variance": numpy.full(4, 2.0)}
    report = graphc.check_gradients(loss, data)
    assert report.ok, str(report)
    assert list(report) == ["x", "one.weight", "one.bias", "norm.gain", "norm.bias", "two.weight", "two.bias"]
    in_use = graphc.check_gradients(loss, data, training=False)
    assert in_use.ok
    assert in_use.loss != report.loss


def test_a_repeat_is_checked_step_by_step():
    xs = graphc.input("xs", (4, "N", 2))
    loss = graphc.sum(graphc.layers.lstm(xs, 3, name="lstm") ** 2)
    report = graphc.check_gradients(loss, {"xs": GENERATOR.standard_normal((4, 2, 2))}, samples=1)
    assert report.ok, str(report)
    assert "lstm.weight_h" in report


def test_second_order_gradients_can_be_checked():
    x = graphc.input("x", (3,))
    first = graphc.backward(graphc.sum(graphc.tanh(x) ** 3)).grad("x")
    report = graphc.check_gradients(graphc.sum(first**2), {"x": [0.3, -0.7, 1.1]})
    assert report.ok


# ---- Python functions ----------------------------------------------------------------------------------


def hinge(w, x):
    margins = 1 - x @ w
    return numpy.maximum(margins, 0).sum(), {"dw": -x.T @ (margins > 0)}


def test_a_function_of_named_arrays():
    data = {"w": GENERATOR.standard_normal(3), "x": GENERATOR.standard_normal((7, 3))}
    copies = {name: array.copy() for name, array in data.items()}
    report = graphc.check_gradients(hinge, data)
    assert report.ok
    assert list(report) == ["w"]
    assert all((data[name] == copies[name]).all() for name in data)


def test_a_wrong_function_is_told_by_its_order_and_its_factor():
    def wrong(w):
        return float((w**4).sum()), {"w": 2 * w**3}

    finding = graphc.check_gradients(wrong, {"w": numpy.array([1.0, 2.0, -1.5])})["w"]
    assert finding.verdict == "wrong"
    assert finding.worst.order == pytest.approx(1.0, abs=0.05)
    assert "1/2 of the right gradient at all 3 samples" in str(finding)
    assert "the slopes on both sides agree" in str(finding)


def test_kinks_of_a_function_accept_what_lies_between_their_slopes():
    def absolute(slope):
        return lambda x: (numpy.abs(x).sum(), {"x": numpy.where(x == 0, slope, numpy.sign(x))})

    data = {"x": numpy.array([0.0, 1.0, -2.0, 1e-5])}
    assert graphc.check_gradients(absolute(0.0), data).ok
    assert graphc.check_gradients(absolute(-0.9), data).ok
    finding = graphc.check_gradients(absolute(1.05), data)["x"]
    assert finding.verdict == "unclear"  # right beside the point: several kinks could meet here
    assert finding.worst.interval == pytest.approx((-1, 1), abs=1e-6)
    wrong = graphc.check_gradients(lambda x: (numpy.abs(x).sum(), {"x": 1.05 * numpy.sign(x)}), data)
    assert wrong.exit_code == 1


def test_kinks_of_several_units_at_one_point():
    def check(extra):
        def units(w, b):  # both at their kink: the slopes of the whole are 1 and 2, yet with both off it is 0
            first, second = w + b[0], b[1] - w
            loss = max(first, 0) - 2 * max(second, 0)
            on, other = float(first > 0), float(second > 0)
            return loss, {"w": on + 2 * other + extra * (w == 0), "b": numpy.array([on, -2 * other])}

        return graphc.check_gradients(units, {"w": 0.0, "b": numpy.zeros(2)})["w"].verdict

    assert check(0.0) == "tie"
    assert check(3.5) == "unclear"


def test_a_pair_of_forward_and_backward_with_a_cache():
    def forward(x, w, b):
        return x @ w + b, (x, w)

    def backward(upstream, cache):
        x, w = cache
        return upstream @ w.T, x.T @ upstream, upstream.sum(axis=0)

    arrays = [GENERATOR.standard_normal(shape) for shape in ((4, 3), (3, 2), (2,))]
    report = graphc.check_gradients((forward, backward), arrays)
    assert report.ok
    assert list(report) == ["x", "w", "b"]

    def forgets_transpose(upstream, cache):
        x, w = cache
        return upstream @ w.T, (x.T @ upstream)[::-1], upstream.sum(axis=0)

    assert [n for n, f in graphc.check_gradients((forward, forgets_transpose), arrays).items() if not f.ok] == ["w"]


def test_random_masks_are_frozen_and_generators_left_as_they_were():
    def dropout(x):
        mask = numpy.random.rand(*x.shape) < 0.5  # noqa: NPY002 - what students write
        return ((x * mask) ** 2).sum(), {"x": 2 * x * mask}

    before = numpy.random.get_state()[1].copy()  # noqa: NPY002
    assert graphc.check_gradients(dropout, {"x": GENERATOR.standard_normal((3, 4))}).ok
    assert (numpy.random.get_state()[1] == before).all()  # noqa: NPY002


def test_a_function_that_differs_at_every_call_is_refused():
    def restless(x):
        return x.sum() + numpy.random.default_rng().random(), {"x": numpy.ones(3)}

    with pytest.raises(graphc.CheckError, match="two calls of restless at one point"):
        graphc.check_gradients(restless, {"x": numpy.ones(3)})


# ---- what is refused, and how --------------------------------------------------------------------------


def square():
    x = graphc.input("x", ("N", 3))
    w = graphc.parameter("w", (3,), initial=[1.0, 2.0, 3.0])
    return graphc.sum(graphc.log(x @ w)).named("loss"), numpy.ones((2, 3))


@pytest.mark.parametrize(
    ("data", "options", "error", "text"),
    [
        ({}, {}, graphc.DataError, "the input 'x' of shape (N, 3) is missing"),
        ({"xx": 1.0}, {}, graphc.DataError, "no input or parameter is named 'xx'; did you mean 'x'?"),
        ({"x": numpy.ones((2, 4))}, {}, graphc.DataError, "'x' needs shape (N, 3), found (2, 4)"),
        ({"x": [["a"] * 3]}, {}, graphc.DataError, "expected numbers"),
        ({"x": numpy.full((2, 3), numpy.nan)}, {}, graphc.DataError, "'x' holds nan at index (0, 0)"),
        ({"x": numpy.zeros((2, 3))}, {}, graphc.CheckError, "the first -inf comes from log"),
        ([1.0], {}, graphc.DataError, "data of a graph goes by name"),
        ({"x": numpy.ones((2, 3))}, {"wrt": "v"}, graphc.CheckError, "wrt= names 'v', which is not below 'loss'"),
        ({"x": numpy.ones((2, 3))}, {"samples": 0}, graphc.CheckError, "samples=0"),
        ({"x": numpy.ones((2, 3))}, {"tolerance": -1}, graphc.CheckError, "tolerance=-1"),
        ({"x": numpy.ones((2, 3))}, {"analytic": 3}, graphc.CheckError, "analytic= is a function"),
        ({"x": numpy.ones((2, 3))}, {"analytic": lambda q: q}, graphc.DataError, "the function asks for 'q'"),
        (
            {"x": numpy.ones((2, 3))},
            {"analytic": lambda x: {"v": x}},
            graphc.CheckError,
            "returns a gradient for 'v', which is not in the data",
        ),
    ],
)
def test_bad_requests_about_a_graph_are_explained(data, options, error, text):
    loss, _ = square()
    with pytest.raises(error) as raised:
        graphc.check_gradients(loss, data, **options)
    assert text in str(raised.value)


def test_a_node_that_is_no_scalar_is_refused():
    x = graphc.input("x", (3,))
    with pytest.raises(graphc.CheckError, match=r"'x' has shape \(3,\); a loss is a scalar\n.*\n  Try: graphc.sum"):
        graphc.check_gradients(x, {"x": numpy.ones(3)})


@pytest.mark.parametrize(
    ("function", "data", "error", "text"),
    [
        (lambda x: x.sum(), {"x": numpy.ones(2)}, graphc.CheckError, "must return (loss, gradients), found float64"),
        (lambda x: (x, {"x": x}), {"x": numpy.ones(2)}, graphc.CheckError, "has shape (2,), expected one number"),
        (lambda x: (x.sum(), {"x": x}), {"x": numpy.arange(3)}, graphc.DataError, "astype('float64')"),
        (lambda x, y: (x.sum(), {"x": x}), {"x": numpy.ones(2)}, graphc.DataError, "cannot be called with the data"),
        (lambda x: (x.sum(), {"y": x}), {"x": numpy.ones(2)}, graphc.CheckError, "a gradient for 'y', which is not in"),
        (lambda x: (x.sum() * numpy.nan, {"x": x}), {"x": numpy.ones(2)}, graphc.CheckError, "is nan, so it has no"),
        (lambda x: (x.sum(), {}), {"x": numpy.ones(2)}, graphc.CheckError, "returns no gradients"),
        (lambda x: (x.sum(), {"x": "a"}), {"x": numpy.ones(2)}, graphc.CheckError, "is no array of numbers"),
        (lambda x: (x.sum(), {"x": x}), {"x": numpy.array([1, numpy.inf])}, graphc.DataError, "'x' holds inf at"),
        (lambda x: (x.sum(), {"x": x}), None, graphc.DataError, "no data"),
        (7, {"x": numpy.ones(2)}, graphc.CheckError, "found int"),
    ],
)
def test_bad_functions_are_explained(function, data, error, text):
    with pytest.raises(error) as raised:
        graphc.check_gradients(function, data)
    assert text in str(raised.value)


def test_gradients_that_are_no_numbers_are_wrong_and_their_place_named():
    def broken(x):
        return (x**2).sum(), {"x": numpy.where(x == 0, numpy.nan, 2 * x)}

    finding = graphc.check_gradients(broken, {"x": numpy.array([1.0, 0.0])})["x"]
    assert finding.verdict == "wrong"
    assert "nan at x[1] (1 of 2 entries" in str(finding)
