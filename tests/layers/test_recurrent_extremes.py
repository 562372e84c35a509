"""Recurrence at extremes: saturated gates, thousands of steps, exploding gradients, nothing but padding."""

import numpy
import pytest

import graphc


def compiled_against_reference(loss, values, wrt, tolerance=1e-9):
    step = graphc.compile([loss], gradients=wrt, dtype="float64", threads=2)
    parameters = set(step.parameters)
    for name in parameters:
        step.parameters[name][...] = values[name]
    (found,), gradients = step(**{k: v for k, v in values.items() if k not in parameters})
    run = graphc.backward(loss).at(values)
    assert numpy.isfinite(found)
    numpy.testing.assert_allclose(found, run.value(loss), rtol=tolerance)
    for name in wrt:
        assert numpy.isfinite(gradients[name]).all()
        # a saturated gate's slope y*(1 - y) is known to a unit in the last place of 1 only
        scale = max(numpy.abs(run.grad(name)).max(), 1e-6)
        numpy.testing.assert_allclose(gradients[name], run.grad(name), rtol=0, atol=tolerance * scale)
    return gradients


def draw(steps, count, units, rows, features=2, scale=1.0, seed=0):
    rng = numpy.random.default_rng(seed)
    return {
        "x": rng.normal(size=(steps, count, features)),
        "r.weight_x": scale * rng.normal(size=(rows * units, features)),
        "r.weight_h": scale * rng.normal(size=(rows * units, units)) / units**0.5,
        "r.bias": scale * rng.normal(size=rows * units),
    }


@pytest.mark.parametrize(("layer", "rows"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("scale", [100.0, 1e4])
def test_saturated_gates(layer, rows, scale):
    x = graphc.input("x", (5, "N", 2))
    hs = getattr(graphc.layers, layer)(x, 3, name="r")
    values = draw(5, 4, 3, rows, scale=scale)
    compiled_against_reference(graphc.sum(hs * hs), values, ["x", "r.weight_x", "r.weight_h", "r.bias"])
    # in float32 nothing overflows either
    step = graphc.compile([graphc.sum(hs * hs)], gradients=["x", "r.weight_h"])
    for name in step.parameters:
        step.parameters[name][...] = values[name]
    (loss,), gradients = step(x=values["x"])
    assert numpy.isfinite(loss)
    assert all(numpy.isfinite(g).all() for g in gradients.values())


@pytest.mark.parametrize(("layer", "rows"), [("rnn", 1), ("lstm", 4)])
def test_two_thousand_steps(layer, rows):
    x = graphc.input("x", (2000, "N", 2))
    hs = getattr(graphc.layers, layer)(x, 3, name="r")
    values = draw(2000, 2, 3, rows, scale=0.7)
    compiled_against_reference(graphc.mean(hs * hs), values, ["r.weight_x", "r.weight_h", "r.bias"], 1e-8)


def test_an_open_memory_keeps_a_gradient_over_two_thousand_steps():
    """Forget gate 1 and input gate 0: dL/dc is the same at every step."""
    x, c = graphc.input("x", (2000, "N", 1)), graphc.input("c", ("N", 1))
    h = graphc.input("h", ("N", 1))
    _, (_, last) = graphc.layers.lstm(x, 1, name="r", state=(h, c), returns="both")
    step = graphc.compile([graphc.sum(last)], gradients=["c"])
    step.parameters["r.weight_x"][...] = 0
    step.parameters["r.weight_h"][...] = 0
    step.parameters["r.bias"][...] = [-200, 200, 0, 0]
    zero = numpy.zeros((3, 1))
    _, gradients = step(x=numpy.zeros((2000, 3, 1)), h=zero, c=zero + 0.5)
    numpy.testing.assert_array_equal(gradients["c"], 1.0)


def test_an_exploding_gradient_is_clipped():
    x = graphc.input("x", (200, "N", 1))
    hs = graphc.layers.rnn(x, 2, name="r", activation="relu", bias=False)
    loss = graphc.mean(hs[-1])
    step = graphc.compile([loss], optimizer=graphc.SGD(1.0, clip_norm=1.0), dtype="float32")
    step.parameters["r.weight_x"][...] = 1
    step.parameters["r.weight_h"][...] = 0.6  # grows by 1.2 at each step
    before = {name: array.copy() for name, array in step.parameters.items()}
    step(x=numpy.ones((200, 4, 1)))
    assert 1e10 < step.gradient_norm < 1e30
    change = [step.parameters[name] - old for name, old in before.items()]
    numpy.testing.assert_allclose(numpy.sqrt(sum((c**2).sum() for c in change)), 1.0, rtol=1e-5)


@pytest.mark.parametrize("layer", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sequence_of_nothing_but_padding(layer, bidirectional):
    x, lengths = graphc.input("x", (4, "N", 2)), graphc.input("lengths", ("N",), "int32")
    hs = getattr(graphc.layers, layer)(x, 3, name="r", lengths=lengths, bidirectional=bidirectional)
    loss = graphc.sum(hs * hs)
    step = graphc.compile([loss, hs], gradients=["x"], dtype="float64")
    rng = numpy.random.default_rng(0)
    for name in step.parameters:
        step.parameters[name][...] = rng.normal(size=step.parameters[name].shape)
    data = rng.normal(size=(4, 3, 2))
    (found, states), gradients = step(x=data, lengths=numpy.array([0, 3, 0]))
    assert found > 0
    assert (states[:, [0, 2]] == 0).all()
    assert (states[3:] == 0).all()
    assert (gradients["x"][:, [0, 2]] == 0).all()
    assert (gradients["x"][:3, 1] != 0).any()
    (nothing, _), gradients = step(x=data, lengths=numpy.zeros(3, "int32"))
    assert nothing == 0
    assert (gradients["x"] == 0).all()
