"""Real handwritten digits, and Fashion-MNIST where GRAPHC_DATA says where it is."""

from __future__ import annotations

import os
import time

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


def lenet():
    image = graphc.input("image", ("N", 1, 28, 28))
    label = graphc.input("label", ("N",), dtype="int32")
    h = graphc.layers.conv2d(image, 6, 5, padding="same", name="conv1")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.layers.conv2d(h, 16, 5, name="conv2")
    h = graphc.max_pool2d(graphc.relu(h), 2)
    h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 120, name="dense1"))
    h = graphc.relu(graphc.layers.dense(h, 84, name="dense2"))
    scores = graphc.layers.dense(h, 10, name="scores")
    return scores, graphc.softmax_cross_entropy(scores, label), graphc.accuracy(scores, label)


needs_fashion_mnist = pytest.mark.skipif(
    "GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA names no folder with Fashion-MNIST"
)
RATES = (0.05, 0.05, 0.03, 0.02, 0.01)  # one epoch each


@pytest.mark.slow
@needs_fashion_mnist
def test_lenet_reads_fashion_mnist_after_five_epochs():
    _, loss, accuracy = lenet()
    trainer = graphc.Trainer(loss, optimizer=graphc.SGD(0.05, momentum=0.9), metrics={"accuracy": accuracy})
    train, test = graphc.datasets.fashion_mnist()
    seconds = []
    for rate in RATES:
        trainer.optimizer.learning_rate = rate
        seconds.append(trainer.fit(train, batch_size=64, epochs=1)["seconds"][0])
    reached = trainer.evaluate(test)["accuracy"]
    print(f"Fashion-MNIST after {len(RATES)} epochs of {numpy.median(seconds):.2f} s: {reached:.4f}")
    assert reached >= 0.89


@pytest.mark.slow
@needs_fashion_mnist
def test_lenet_trains_as_well_as_in_pytorch_from_the_same_start_in_the_same_order():
    torch = pytest.importorskip("torch", reason="the peer of the comparison is not installed")
    functional = torch.nn.functional
    _, loss, accuracy = lenet()
    optimizer = graphc.SGD(0.05, momentum=0.9)
    learn = graphc.compile([loss], optimizer=optimizer, seed=0)
    weights = {name: torch.tensor(array.copy(), requires_grad=True) for name, array in learn.parameters.items()}

    def network(x):
        for name in ("conv1", "conv2"):
            padding = 2 if name == "conv1" else 0
            x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)
            x = functional.max_pool2d(functional.relu(x), 2)
        x = x.flatten(1)
        for name in ("dense1", "dense2"):
            x = functional.relu(functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"]))
        return functional.linear(x, weights["scores.weight"], weights["scores.bias"])

    peer = torch.optim.SGD(weights.values(), lr=0.05, momentum=0.9)
    train, test = graphc.datasets.fashion_mnist()
    seconds = numpy.zeros((len(RATES), 2))
    for epoch, rate in enumerate(RATES):
        optimizer.learning_rate = peer.param_groups[0]["lr"] = rate
        order = numpy.random.default_rng([0, epoch]).permutation(len(train))
        batches = [order[start : start + 64] for start in range(0, len(order), 64)]
        # one after the other, each a whole epoch: threads that still spin for one library slow the other down
        begin = time.perf_counter()
        for chosen in batches:
            learn(image=train["image"][chosen], label=train["label"][chosen])
        middle = time.perf_counter()
        for chosen in batches:
            image, label = torch.from_numpy(train["image"][chosen]), torch.from_numpy(train["label"][chosen])
            peer.zero_grad()
            functional.cross_entropy(network(image), label.long()).backward()
            peer.step()
        seconds[epoch] = middle - begin, time.perf_counter() - middle
    judge = graphc.compile([accuracy], parameters=learn.parameters, training=False)
    own = float(judge(image=test["image"], label=test["label"])[0])
    with torch.no_grad():
        found = network(torch.tensor(test["image"])).argmax(1).numpy()
    other = float((found == test["label"]).mean())
    mine, others = numpy.median(seconds, axis=0)
    print(f"Fashion-MNIST after {len(RATES)} epochs: graphc {own:.4f}, PyTorch {other:.4f}")
    print(f"an epoch: graphc {mine:.2f} s, PyTorch {others:.2f} s ({others / mine:.1f} times)")
    assert own >= 0.89
    assert abs(own - other) <= 0.007
