"""Real handwritten digits, and Fashion-MNIST where GRAPHC_DATA says where it is."""

from __future__ import annotations

import os

import numpy
import pytest

import graphc

SEEDS = range(5)


def digits_network(dtype: str = "float32"):
    image = graphc.input("image", ("N", 1, 8, 8), dtype=dtype)
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 16, 3, padding="same", name="conv1")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.layers.conv2d(h, 32, 3, padding="same", name="conv2")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 64, name="hidden"))
    scores = graphc.layers.dense(h, 10, name="scores")
    return scores, graphc.softmax_cross_entropy(scores, label), graphc.accuracy(scores, label)


def _accuracy(seed: int) -> float:
    _, loss, accuracy = digits_network()
    trainer = graphc.Trainer(loss, optimizer=graphc.SGD(0.05, momentum=0.9), metrics={"accuracy": accuracy}, seed=seed)
    train, test = graphc.datasets.digits("train"), graphc.datasets.digits("test")
    for rate, epochs in ((0.05, 12), (0.01, 4), (0.002, 2)):
        trainer.optimizer.learning_rate = rate
        trainer.fit(train, batch_size=32, epochs=epochs)
    return trainer.evaluate(test)["accuracy"]


def test_a_small_cnn_reads_digits_from_every_initialisation():
    found = [_accuracy(seed) for seed in SEEDS]
    assert min(found) >= 0.96, found
    assert numpy.mean(found) >= 0.97, found


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_gradients_of_the_digits_network_equal_those_of_the_reference(dtype, tolerance):
    _, loss, _ = digits_network(dtype)
    step = graphc.compile([loss], gradients=True, dtype=dtype)
    part = graphc.datasets.digits("test")
    data = {"image": part.image[:8], "label": part.label[:8]}
    (value,), gradients = step(**data)
    run = graphc.backward(loss).at(parameters=step.parameters, **data)
    assert float(value) == pytest.approx(float(run.value(loss)), rel=tolerance)
    assert len(gradients) == 8
    for name, gradient in gradients.items():
        expected = run.grad(name)
        assert numpy.abs(gradient - expected).max() <= tolerance * numpy.abs(expected).max(), name


@pytest.mark.slow
@pytest.mark.skipif("GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA names no folder with Fashion-MNIST")
def test_lenet_reads_fashion_mnist_after_two_epochs():
    image = graphc.input("image", ("N", 1, 28, 28))
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 6, 5, padding="same", name="conv1")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.layers.conv2d(h, 16, 5, name="conv2")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 120, name="dense1"))
    h = graphc.relu(graphc.layers.dense(h, 84, name="dense2"))
    scores = graphc.layers.dense(h, 10, name="scores")
    loss = graphc.softmax_cross_entropy(scores, label)
    trainer = graphc.Trainer(
        loss,
        optimizer=graphc.SGD(0.05, momentum=0.9),
        metrics={"accuracy": graphc.accuracy(scores, label)},
    )
    train, test = graphc.datasets.fashion_mnist()
    for rate in (0.05, 0.01):
        trainer.optimizer.learning_rate = rate
        trainer.fit(train, batch_size=64, epochs=1)
    accuracy = trainer.evaluate(test)["accuracy"]
    assert accuracy >= 0.86, f"{accuracy:.4f}"
