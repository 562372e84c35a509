"""Random networks with exact ties: whole numbers as data and weights."""

from __future__ import annotations

from typing import Any

import numpy

import graphc
from graphc.graph.node import Node, topological


def _dense(h: Node, units: int, name: str) -> Node:
    return graphc.layers.dense(graphc.flatten(h) if len(h.shape) > 2 else h, units, name=name)


def _activation(h: Node, generator: numpy.random.Generator) -> Node:
    kind = str(generator.choice(["relu", "relu", "tanh", "leaky", "max", "abs", "min", "sigmoid", "hard", "maxout"]))
    if kind == "leaky":
        return graphc.leaky_relu(h)
    if kind == "max":
        return graphc.max(h, 1.0 - h)
    if kind == "min":
        return graphc.min(h, 2.0)
    if kind == "hard":
        return graphc.hard_sigmoid(h)
    if kind == "maxout" and h.shape[1] % 2 == 0:
        return graphc.maxout(h, 2)
    return {"tanh": graphc.tanh, "abs": graphc.abs, "sigmoid": graphc.sigmoid}.get(kind, graphc.relu)(h)


def random_network(seed: int) -> tuple[Node, dict[str, Any]]:
    """A loss and its data: inputs, labels and parameters are small whole numbers."""
    generator = numpy.random.default_rng(seed)
    pick = lambda *options: options[int(generator.integers(len(options)))]  # noqa: E731
    batch = int(generator.integers(2, 5))
    data: dict[str, Any] = {}
    convolutional = bool(generator.integers(2))
    if convolutional:
        channels, side = pick(1, 2), pick(4, 5, 6)
        x = graphc.input("x", ("N", channels, side, side))
        h = x
        for k in range(pick(1, 1, 2)):
            h = graphc.layers.conv2d(
                h, 2, pick(2, 3), padding=pick("valid", "same", 1) if k == 0 else "same", name=f"conv{k}"
            )
            h = _activation(h, generator)
            if h.shape[2] >= 3:
                h = pick(
                    lambda t: graphc.max_pool2d(t, 2),
                    lambda t: graphc.max_pool2d(t, 3, stride=1),
                    lambda t: graphc.average_pool2d(t, 2),
                    lambda t: t,
                )(h)
        data["x"] = generator.integers(-1, 2, (batch, channels, side, side)).astype(float)
    else:
        features = pick(3, 4, 6)
        x = graphc.input("x", ("N", features))
        h = x
        for k in range(pick(1, 2, 3)):
            if k and bool(generator.integers(2)):
                h = graphc.layers.batch_norm(h, name=f"norm{k}")
            h = _activation(_dense(h, pick(4, 6), f"layer{k}"), generator)
        if bool(generator.integers(3) == 0):
            h = graphc.layers.dropout(h, 0.4, name="drop")
        data["x"] = generator.integers(-1, 2, (batch, features)).astype(float)
    classes = pick(2, 3)
    scores = _dense(h, classes, "scores")
    kind = pick("softmax", "softmax", "hinge", "square", "maximum")
    label = generator.integers(0, classes, batch)
    target = graphc.input("label", ("N",), dtype="int32")
    if kind != "maximum":
        data["label"] = label
    if kind in ("softmax", "hinge"):
        loss = (graphc.softmax_cross_entropy if kind == "softmax" else graphc.multiclass_hinge)(scores, target)
    elif kind == "square":
        loss = graphc.squared_error(scores, graphc.one_hot(target, classes))
    else:
        loss = graphc.sum(graphc.amax(scores, axes=1) - 0.5 * graphc.mean(scores * scores, axes=1))
    if bool(generator.integers(2)):
        weights = [n for n in topological([loss]) if n.kind == "parameter" and n.label.endswith("weight")]
        loss = loss + pick(graphc.l1, graphc.l2)(weights, 0.125)
    for node in topological([loss]):
        if node.kind == "parameter" and node.name is not None:
            positive = node.name.endswith("gain")
            data[node.name] = generator.integers(1 if positive else -1, 2, node.shape).astype(float)
    return loss.named("loss"), data
