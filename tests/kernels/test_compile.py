from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.errors import DataError, PlanError

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}  # of the largest element of each tensor


def cnn():
    image = graphc.input("image", ("N", 1, 8, 8))
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(image, 8, 3, padding="same", name="conv1")), 2)
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(h, 12, 3, padding="same", name="conv2")), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 16, name="dense1"))
    scores = graphc.layers.dense(h, 10, name="scores")
    return scores, graphc.softmax_cross_entropy(scores, label)


def batch(count, seed=0):
    generator = numpy.random.default_rng(seed)
    return {"image": generator.normal(size=(count, 1, 8, 8)), "label": generator.integers(0, 10, count)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_compiled_gradients_of_a_cnn_equal_the_reference(dtype, count):
    _, loss = cnn()
    step = graphc.compile([loss], gradients=True, dtype=dtype)
    (value,), gradients = step(**batch(count))
    run = graphc.backward(loss).at(batch(count), parameters=step.parameters)
    assert abs(value - run.value(loss)) <= TOLERANCE[dtype] * abs(run.value(loss))
    assert list(gradients) == list(step.parameters)
    for name, gradient in gradients.items():
        expected = run.grad(name)
        assert gradient.dtype == dtype
        assert numpy.abs(gradient - expected).max() <= TOLERANCE[dtype] * numpy.abs(expected).max(), name


def test_batches_of_any_size_run_one_after_another():
    _, loss = cnn()
    step = graphc.compile([loss], gradients=True)
    first = step(**batch(3))
    step(**batch(11, 1))
    step(**batch(1, 2))
    again = step(**batch(3))
    assert first[0][0] == again[0][0]
    for name, gradient in first[1].items():
        assert (gradient == again[1][name]).all()  # the same bits


def test_an_empty_batch_runs_and_has_zero_gradients():
    _, loss = cnn()
    (value,), gradients = graphc.compile([loss], gradients=True)(**batch(0))
    assert value == 0
    assert all((gradient == 0).all() for gradient in gradients.values())


def test_returned_arrays_are_not_overwritten_by_the_next_call():
    x = graphc.input("x", ("N",))
    double = graphc.compile([x * 2, x])
    first = double(x=[1.0, 2.0])
    double(x=[5.0, 6.0])
    assert first[0].tolist() == [2.0, 4.0]
    assert first[1].tolist() == [1.0, 2.0]


def test_parameters_are_views_and_can_be_shared():
    scores, loss = cnn()
    learn = graphc.compile([loss], optimizer=graphc.SGD(0.1))
    predict = graphc.compile([scores], parameters=learn.parameters, training=False)
    before = predict(image=batch(2)["image"])[0]
    learn(**batch(5))
    after = predict(image=batch(2)["image"])[0]
    assert not numpy.allclose(before, after)
    learn.parameters["scores.bias"][...] = 100.0
    assert predict(image=batch(2)["image"])[0].min() > 50


def test_one_step_of_gradient_descent_is_the_formula():
    _, loss = cnn()
    start = graphc.compile([loss], gradients=True, seed=3, dtype="float64")
    learn = graphc.compile([loss], optimizer=graphc.SGD(0.25), seed=3, dtype="float64")
    _, gradients = start(**batch(6))
    learn(**batch(6))
    for name, gradient in gradients.items():
        expected = start.parameters[name] - 0.25 * gradient
        numpy.testing.assert_allclose(learn.parameters[name], expected, rtol=1e-12, atol=1e-14)


def test_a_changed_learning_rate_acts_at_the_next_step():
    x = graphc.input("x")
    w = graphc.parameter("w", initial=1.0)
    optimizer = graphc.SGD(0.5)
    learn = graphc.compile([w * x], optimizer=optimizer)
    learn(x=1.0)
    assert learn.parameters["w"] == 0.5
    optimizer.learning_rate = 0.25
    learn(x=1.0)
    assert learn.parameters["w"] == 0.25


def test_the_same_seed_gives_the_same_parameters_and_another_seed_others():
    _, loss = cnn()
    one, two, other = (graphc.compile([loss], seed=seed) for seed in (0, 0, 1))
    assert (one.parameters["conv1.weight"] == two.parameters["conv1.weight"]).all()
    assert (one.parameters["conv1.weight"] != other.parameters["conv1.weight"]).any()


def test_states_are_updated_after_each_training_step_only():
    x = graphc.input("x", ("N",))
    count = graphc.state("count", (), initial=0.0)
    mean = graphc.state("mean", (), initial=10.0)
    graphc.update(count, count + 1.0)
    graphc.update(mean, 0.5 * mean + 0.5 * graphc.mean(x))
    y = graphc.sum(x) + 0.0 * count + 0.0 * mean
    step = graphc.compile([y])
    step(x=[2.0, 4.0])
    step(x=[2.0, 4.0])
    assert step.states["count"] == 2
    assert step.states["mean"] == 0.5 * (0.5 * 10 + 1.5) + 1.5
    still = graphc.compile([y], training=False)
    still(x=[2.0, 4.0])
    assert still.states["count"] == 0


def test_gradients_of_inputs_are_asked_for_by_name():
    x, w = graphc.input("x", (3,)), graphc.parameter("w", (3,), initial=[1.0, 2.0, 3.0])
    _, gradients = graphc.compile([graphc.sum(x * w * w)], gradients=["x"])(x=[1.0, 1.0, 1.0])
    assert gradients["x"].tolist() == [1.0, 4.0, 9.0]
    with pytest.raises(PlanError, match=r"named 'z'"):
        graphc.compile([graphc.sum(x * w)], gradients=["z"])


def test_a_gradient_that_is_added_to_is_not_shared_with_an_equal_one():
    product = graphc.gate("y[i] = x[i]*w[i]", name="product")
    shifted = graphc.gate("y[i] = x[i]*w[i] + x[0]", name="shifted")
    x, w, g = (graphc.input(name, (4,)) for name in "xwg")
    plain = graphc.backward(product(x, w), ["x"], upstream=g).grad("x")
    added = graphc.backward(shifted(x, w), ["x"], upstream=g).grad("x")
    data = {"w": [2.0, 3.0, 4.0, 5.0], "g": [1.0, 1.0, 1.0, 1.0]}
    expected = {plain: [2.0, 3.0, 4.0, 5.0], added: [6.0, 3.0, 4.0, 5.0]}
    for outputs in ([plain, added], [added, plain]):
        found = graphc.compile(outputs)(**data)
        assert [array.tolist() for array in found] == [expected[node] for node in outputs]


def test_equal_kernels_are_compiled_once_and_listed_in_source_and_report():
    _, loss = cnn()
    step = graphc.compile([loss], gradients=True)
    step(**batch(2))
    assert len(step.plan.kernels) < len(step.plan.launches)
    assert "conv1.weight" in step.report()
    assert "def " in step.source


def test_nan_is_reported_where_it_first_appears():
    x = graphc.input("x", (3,))
    y = graphc.sum(graphc.exp(graphc.log(x).named("logarithm")))
    step = graphc.compile([y], check_numerics=True)
    assert step(x=[1.0, 1.0, 1.0])[0] == 3
    with pytest.raises(DataError, match=r"(?s)log logarithm.*NaN.*test_compile\.py:\d+"):
        step(x=[1.0, -1.0, 1.0])
    with pytest.raises(DataError, match="x"):
        step(x=[1.0, numpy.nan, 1.0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"image": numpy.zeros((2, 1, 8, 8))}, r"the input 'label' of shape \(N,\) is missing"),
        ({"imag": 1, "label": [1]}, r"no input is named 'imag'; did you mean 'image'\?"),
        ({"image": numpy.zeros((2, 8, 8)), "label": [1, 2]}, r"'image' needs rank 4"),
        ({"image": numpy.zeros((2, 1, 8, 9)), "label": [1, 2]}, r"'image' needs shape \(N, 1, 8, 8\)"),
        ({"image": numpy.zeros((2, 1, 8, 8)), "label": [1, 2, 3]}, r"the size N is 2 in 'image' but 3 in 'label'"),
        ({"image": numpy.zeros((2, 1, 8, 8)), "label": [1.0, 2.0]}, r"'label' is declared int32, found floats"),
        ({"image": numpy.zeros((1, 1, 8, 8)), "label": [10]}, r"label.*10"),
        ({"image": numpy.zeros((1, 1, 8, 8)), "label": [-1]}, r"label.*-1"),
        ({"image": numpy.full((1, 1, 8, 8), "a"), "label": [1]}, r"'image' has dtype .*expected numbers"),
        ({"image": [[1], [1, 2]], "label": [1]}, r"'image' is not an array"),
        ({"image": numpy.zeros((1, 1, 8, 8)), "label": [2**40]}, r"do not fit int32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_was_expected(inputs, message):
    _, loss = cnn()
    step = graphc.compile([loss])
    with pytest.raises(DataError, match=f"(?s){message}"):
        step(**inputs)


@pytest.mark.parametrize("width", ["int8", "uint8", "int16", "int64", "uint64"])
def test_labels_of_any_integer_width_are_accepted(width):
    _, loss = cnn()
    data = batch(3)
    data["label"] = data["label"].astype(width)
    assert numpy.isfinite(graphc.compile([loss])(**data)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "tpu"}, "unknown target 'tpu'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"threads": 0}, "threads=0"),
        ({"gradients": True}, "has none"),
        ({"optimizer": graphc.SGD(0.1)}, "nothing to update"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    x = graphc.input("x")
    with pytest.raises(PlanError, match=message):
        graphc.compile([x * 2], **options)


def test_two_inputs_of_one_name_are_refused_with_both_sites():
    a, b = graphc.input("x"), graphc.input("x")
    with pytest.raises(PlanError, match=r"two inputs are named 'x'.*test_compile.py"):
        graphc.compile([a + b])


def test_parameters_of_a_trainer_serve_a_graph_with_states():
    """A dropout has a state of its own, which the parameters of a trainer do not hold."""
    x = graphc.input("x", ("N", 3))
    y = graphc.layers.dense(graphc.layers.dropout(x, name="drop"), 1, name="y")
    trainer = graphc.Trainer(graphc.mean(y * y), optimizer=graphc.SGD(0.1), threads=1)
    predict = graphc.compile([y], parameters=trainer.parameters, training=False, threads=1)
    data = numpy.ones((2, 3))
    before = predict(x=data)[0]
    trainer.parameters["y.bias"][...] += 1
    numpy.testing.assert_allclose(predict(x=data)[0], before + 1, rtol=1e-6)
