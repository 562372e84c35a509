"""The public names that README, examples and users rely on, used together as a user would."""

from __future__ import annotations

import json

import numpy
import pytest

import graphc


def test_declaring_differentiating_evaluating_and_checking(tmp_path):
    x, y, z = graphc.inputs("x y z")
    q = (x + y).named("q")
    f = (q * z).named("f")
    back = graphc.backward(f)
    assert str(back.formula("x")) == "z"
    assert str(back.formula("z")) == "x + y"
    assert str(back.local(q, f)) == "z"
    assert graphc.backward(back.grad("x")).grad("z") is not None  # second order
    assert graphc.to_networkx(f).number_of_edges() == 4
    run = back.at(x=-2, y=5, z=-4)
    assert (run.value("f"), run.grad("x"), run.local("q", "f")) == (-12, -4, -4)
    for suffix in ("svg", "pdf", "dot", "txt"):
        run.draw(tmp_path / f"circuit.{suffix}")
        assert (tmp_path / f"circuit.{suffix}").stat().st_size > 100
    run.frames(tmp_path / "steps.pdf")
    graphc.draw(f, tmp_path / "structure.svg")
    report = graphc.check(f, {"x": "z", "y": "z", "z": "x + y"})
    assert report.ok
    assert report["x"].verdict == "proved"
    assert json.loads(report.json())["ok"]
    wrong = graphc.check(f, {"z": "x - y"})
    assert not wrong.ok
    assert wrong["z"].verdict == "differs"
    assert wrong["z"].counterexample is not None
    wrong.draw(tmp_path / "where.svg")


def test_gates_from_text_reach_every_floor(tmp_path):
    squareplus = graphc.gate("y = (x + sqrt(x**2 + 4)) / 2", name="squareplus")
    blur = graphc.gate(
        "y[n,i] = sum(x[n,stride*i+r-padding] * w[r], r)",
        name="blur",
        stride=1,
        padding=0,
        outside={"x": 0},
        extents={"i": "(size(x,1) + 2*padding - size(w,0))//stride + 1"},
    )
    x, w = graphc.input("x", ("N", 7)), graphc.parameter("w", (3,), initial=[1.0, 2.0, 3.0])
    y = graphc.sum(squareplus(blur(x, w, stride=2, padding=1)))
    data = numpy.random.default_rng(0).normal(size=(2, 7))
    run = graphc.backward(y).at(x=data)
    step = graphc.compile([y], gradients=["x", "w"], dtype="float64")
    (value,), gradients = step(x=data)
    assert value == pytest.approx(float(run.value(y)), rel=1e-12)
    for name in ("x", "w"):
        numpy.testing.assert_allclose(gradients[name], run.grad(name), rtol=1e-12, atol=1e-14)
    graphc.draw(y, tmp_path / "gates.svg")
    scalar = graphc.input("s")
    assert graphc.check(squareplus(scalar), {"s": "1/2 + s/(2*sqrt(s**2 + 4))"}).ok


def test_compiling_training_saving_and_counting(tmp_path):
    image, label = graphc.input("image", ("N", 1, 8, 8)), graphc.input("label", ("N",), dtype="int32")
    h = graphc.max_pool2d(graphc.relu(graphc.layers.conv2d(image, 6, 5, padding="same", name="conv1")), 2)
    scores = graphc.layers.dense(graphc.flatten(h), 10, name="scores")
    loss = graphc.softmax_cross_entropy(scores, label)
    train, test = graphc.datasets.digits().split(0.2, seed=0)

    step = graphc.compile([loss], gradients=True, target="cpu", dtype="float32", threads=2, seed=0, training=True)
    step.parameters["conv1.weight"][...] = 0.1
    (_, gradients) = step(image=train["image"][:8], label=train["label"][:8])
    assert gradients["conv1.weight"].shape == (6, 1, 5, 5)
    predict = graphc.compile([scores], parameters=step.parameters, training=False)
    (array,) = predict(image=test["image"][:5])
    assert array.shape == (5, 10)
    assert "def kernel" in predict.source
    assert "conv2d" in predict.report()

    trainer = graphc.Trainer(
        loss,
        optimizer=graphc.SGD(0.05, momentum=0.9),
        metrics={"accuracy": graphc.accuracy(scores, label)},
        target="cpu",
        seed=0,
    )
    history = trainer.fit(train, batch_size=64, epochs=2, shuffle=True, validation=test)
    assert "accuracy" in str(history)
    trainer.optimizer.learning_rate = 0.01
    trainer.save(tmp_path / "run.graphc")
    loaded = graphc.Trainer.load(tmp_path / "run.graphc")
    for name, array in trainer.parameters.items():
        assert (loaded.parameters[name] == array).all()
    assert trainer.predict(scores, image=test["image"][:3]).shape == (3, 10)
    assert graphc.count(loss)["conv1"].parameters == 6 * (5 * 5 + 1)
    assert graphc.backward(loss).at({"label": [1]}, parameters=trainer.parameters, image=test["image"][:1]).value(
        loss
    ) == pytest.approx(float(trainer.predict(loss, image=test["image"][:1], label=[1])), rel=1e-4)


def test_recurrent_layers_and_unrolling():
    xs = graphc.input("xs", (5, "N", 3))
    hs = graphc.layers.lstm(xs, 8, name="lstm")
    assert hs.shape[0] == 5
    assert hs.shape[2] == 8
    shapes = {n.label: n.shape for n in graphc.backward(graphc.sum(hs)).wrt if n.kind == "parameter"}
    assert shapes == {"lstm.weight_x": (32, 3), "lstm.weight_h": (32, 8), "lstm.bias": (32,)}
    assert graphc.layers.lstm(graphc.input("t", (5, "N"), dtype="int32"), 8, name="l", vocabulary=11).shape == hs.shape

    def cell(x, state):
        h, c = graphc.lstm_cell(x, *state, weight_x, weight_h, bias)
        return h, (h, c)

    weight_x, weight_h = graphc.parameter("wx", (32, 3)), graphc.parameter("wh", (32, 8))
    bias, zeros = graphc.parameter("b", (32,)), graphc.input("zeros", ("N", 8))
    outputs, (h, c) = graphc.unroll(cell, xs, (zeros, zeros))
    assert outputs.shape == hs.shape
    assert h.shape == c.shape == zeros.shape
    copies = graphc.unrolled(graphc.sum(outputs))
    data = {"xs": numpy.ones((5, 2, 3)), "zeros": numpy.zeros((2, 8)), "wx": numpy.ones((32, 3)) / 9}
    found = graphc.compile([graphc.sum(outputs)], gradients=["xs"], dtype="float64")
    found.parameters["wx"][...] = data["wx"]
    (value,), gradients = found(xs=data["xs"], zeros=data["zeros"])
    run = graphc.backward(copies).at(data)
    assert value == pytest.approx(float(run.value(copies)), rel=1e-10)
    numpy.testing.assert_allclose(gradients["xs"], run.grad("xs"), rtol=1e-9, atol=1e-12)


def test_public_names_exist_once():
    assert len(set(graphc.__all__)) == len(graphc.__all__)
    missing = [name for name in graphc.__all__ if not hasattr(graphc, name)]
    assert not missing
    assert {"conv2d", "sigmoid", "max_pool2d"} <= set(dir(graphc))
