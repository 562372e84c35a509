"""Compiled steps are checked by calling them: against the reference, against differences, in both dtypes."""

from __future__ import annotations

import importlib

import numpy
import pytest

import graphc
from graphc.graph import registry
from graphc.graph.node import topological
from tests.checking.numeric_networks import random_network


def network():
    x, label = graphc.input("x", ("N", 4)), graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.dropout(graphc.relu(graphc.layers.dense(x, 5, name="one")), 0.3, name="drop")
    loss = graphc.softmax_cross_entropy(graphc.layers.dense(h, 3, name="two"), label).named("loss")
    generator = numpy.random.default_rng(1)
    return loss, {"x": generator.standard_normal((4, 4)), "label": generator.integers(0, 3, 4)}


@pytest.fixture(scope="module", params=["float32", "float64"])
def step(request):
    return graphc.compile([network()[0]], gradients=True, dtype=request.param, threads=1, seed=4)


def test_a_compiled_step_passes_and_is_left_as_it_was(step):
    _, data = network()
    step(**data)  # a step later the mask is another one
    parameters = {name: numpy.array(array) for name, array in step.parameters.items()}
    states = {name: numpy.array(array) for name, array in step.states.items()}
    expected = step(**data)
    step.states["drop.key"][...] = states["drop.key"]
    report = graphc.check_gradients(step, data)
    assert report.ok, str(report)
    assert report.dtype == step.dtype
    assert list(report) == list(parameters)
    assert all(finding.compared == parameters[name].size for name, finding in report.items())
    assert all((step.parameters[name] == array).all() for name, array in parameters.items())
    assert all((step.states[name] == array).all() for name, array in states.items())
    again = step(**data)
    assert all((again[1][name] == expected[1][name]).all() for name in parameters)


def test_other_parameters_can_be_tried(step):
    _, data = network()
    before = numpy.array(step.parameters["one.weight"])
    report = graphc.check_gradients(step, data, parameters={"one.weight": numpy.zeros((5, 4))}, wrt=["two.bias"])
    assert report.ok
    assert list(report) == ["two.bias"]
    assert (step.parameters["one.weight"] == before).all()


class Spoilt:
    """A step with one wrong gradient entry."""

    def __init__(self, step, name, place, factor):
        self.step, self.change = step, (name, place, factor)
        self.parameters, self.states, self.outputs, self.dtype = step.parameters, step.states, step.outputs, step.dtype

    def __call__(self, **data):
        values, gradients = self.step(**data)
        name, place, factor = self.change
        gradients[name][place] *= factor
        return values, gradients


def test_one_percent_of_one_entry_is_caught(step):
    _, data = network()
    place = tuple(int(i) for i in numpy.argwhere(abs(step(**data)[1]["two.weight"]) > 0.05)[0])
    report = graphc.check_gradients(Spoilt(step, "two.weight", place, 1.01), data)
    assert [name for name, f in report.items() if not f.ok] == ["two.weight"]
    assert report["two.weight"].worst.place == place
    assert f"from the compiled step ({step.dtype})" in str(report["two.weight"])


class Opaque:
    """A step that does not tell its graph."""

    def __init__(self, step):
        self.step, self.parameters, self.states = step, step.parameters, step.states

    def __call__(self, **data):
        return self.step(**data)


def test_a_step_without_a_graph_is_checked_by_its_own_differences(step):
    _, data = network()
    report = graphc.check_gradients(Opaque(step), data)
    assert report.ok, str(report)
    assert report.dtype == step.dtype


def test_what_cannot_be_checked_is_explained(step):
    loss, data = network()
    learner, forward = Opaque(step), Opaque(step)
    learner.optimizer = graphc.SGD(0.1)
    forward.step = lambda **_: [1.0]
    with pytest.raises(graphc.CheckError, match="has an optimizer"):
        graphc.check_gradients(learner, data)
    with pytest.raises(graphc.CheckError, match=r"returns values but no gradients\n  Try: graphc.compile"):
        graphc.check_gradients(forward, data)
    with pytest.raises(graphc.CheckError, match="returns no gradient for 'x'"):
        graphc.check_gradients(step, data, wrt=["x"])
    with pytest.raises(graphc.DataError, match="the input 'label' .* is missing"):
        graphc.check_gradients(step, {"x": data["x"]})
    with pytest.raises(graphc.CheckError, match="analytic= goes with a node"):
        graphc.check_gradients(step, data, analytic=lambda x: x)
    assert loss.name == "loss"


# ---- many networks -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(14))
def test_compiled_kernels_of_many_networks(seed, dtype):
    loss, data = random_network(seed)
    step = graphc.compile([loss], gradients=True, dtype=dtype, threads=1)
    report = graphc.check_gradients(step, data)
    assert report.ok, str(report)


@pytest.mark.slow
def test_one_percent_of_any_term_of_compiled_kernels_is_caught(monkeypatch):
    sweep = importlib.import_module("graphc.gradients.backward")
    derived = sweep.derived
    visible = caught = 0
    for seed in (3, 9, 12, 14):
        loss, data = random_network(seed)
        clean = graphc.compile([loss], gradients=True, threads=1)(**_inputs(loss, data))[1]
        for edge in (1, 4, 7):
            count = iter(range(10**6))

            def spoilt(formula, operands, sizes, site, dtype, count=count, edge=edge):
                found = derived(formula, operands, sizes, site, dtype)
                return (registry.call("mul", found[0], 1.01), *found[1:]) if next(count) == edge else found

            with monkeypatch.context() as patch:
                patch.setattr(sweep, "derived", spoilt)
                step = graphc.compile([loss], gradients=True, threads=1)
            for name in step.parameters:
                step.parameters[name][...] = data.get(name, step.parameters[name])
            gradients = step(**_inputs(loss, data))[1]
            clean = graphc.compile([loss], gradients=True, threads=1, parameters=dict(step.parameters))
            reference = clean(**_inputs(loss, data))[1]
            effect = max(
                float(abs(gradients[n] - reference[n]).max() / max(abs(reference[n]).max(), 1e-30)) for n in gradients
            )
            if effect > 2e-3:
                visible += 1
                caught += graphc.check_gradients(step, data).exit_code == 1
    assert visible >= 5
    assert caught == visible


def _inputs(loss, data):
    return {n.label: data[n.label] for n in topological([loss]) if n.kind == "input"}
