"""What a notebook shows of graphs, runs, models and tables: each says something, and a large graph does not hang it."""

import numpy
import pytest

import graphc


def shown(subject):
    return subject._repr_mimebundle_()


def test_graphs_tables_and_runs_are_pictures():
    x, y = graphc.inputs("x y")
    f = (x * y).named("f")
    back = graphc.backward(f)
    for subject in (f, back, back.at(x=2, y=3)):
        bundle = shown(subject)
        assert "<svg" in bundle["text/html"]
        assert bundle["text/plain"]
    assert "upstream" in shown(back)["text/plain"]


@pytest.fixture(scope="module")
def trainer():
    x = graphc.input("x", ("N", 2))
    loss = graphc.mean(graphc.squared_error(graphc.layers.dense(x, 1, name="out"), graphc.input("y", ("N", 1))))
    return graphc.Trainer(loss, optimizer=graphc.SGD(0.1))


def test_models_and_reports_are_shown(trainer):
    data = {"x": numpy.ones((8, 2), "float32"), "y": numpy.ones((8, 1), "float32")}
    history = trainer.fit(data, batch_size=4, epochs=1)
    assert "out" in shown(trainer)["text/html"]
    assert "loss" in shown(history)["text/html"]
    assert "out" in shown(graphc.count(trainer.loss))["text/html"]


def test_checks_are_shown():
    x, y = graphc.inputs("x y")
    f = (x * graphc.tanh(y)).named("f")
    report = graphc.check(f, {"x": "tanh(y)", "y": "x"}, proof_seconds=0)
    assert "<svg" in shown(report)["text/html"]
    assert "WRONG" in shown(report)["text/plain"]
    assert "line 1" in shown(graphc.check_derivation(f, ["dy = x"]))["text/plain"]
    assert "right" in shown(graphc.check_gradients(f, {"x": 0.5, "y": 0.3}))["text/plain"]


def test_a_large_graph_is_a_line_of_text():
    node = graphc.inputs("x")
    for _ in range(3000):
        node = node + 1.0
    bundle = shown(node)
    assert "<svg" not in bundle.get("text/html", "")
    assert "draw" in bundle["text/plain"]
