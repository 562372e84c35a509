"""Small graphs that the tests of training share."""

from __future__ import annotations

import numpy

import graphc


def classifier(units: int = 8, classes: int = 3, features: int = 4):
    """A two-layer classifier: scores, loss, accuracy."""
    x = graphc.input("x", ("N", features))
    label = graphc.input("label", ("N",), dtype="int32")
    hidden = graphc.tanh(graphc.layers.dense(x, units, name="hidden"))
    scores = graphc.layers.dense(hidden, classes, name="scores")
    loss = graphc.softmax_cross_entropy(scores, label).named("loss")
    return scores, loss, graphc.accuracy(scores, label)


def blobs(count: int = 70, seed: int = 3, classes: int = 3, features: int = 4) -> dict[str, numpy.ndarray]:
    """Points around one centre a class."""
    generator = numpy.random.default_rng(seed)
    centres = 2 * generator.normal(size=(classes, features))
    label = generator.integers(0, classes, count)
    x = centres[label] + generator.normal(size=(count, features))
    return {"x": x.astype("float32"), "label": label.astype("int32")}


def trainer(optimizer=None, **options) -> graphc.Trainer:
    """A trainer of the classifier."""
    _, loss, accuracy = classifier()
    optimizer = graphc.SGD(0.1, momentum=0.9) if optimizer is None else optimizer
    return graphc.Trainer(loss, optimizer=optimizer, metrics={"accuracy": accuracy}, **options)
