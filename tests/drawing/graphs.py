"""Graphs that the drawing tests share: the lecture circuits, and random ones from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import graphc


def simple() -> Any:
    """F = (x + y) z at the lecture's point."""
    x, y, z = graphc.inputs("x y z")
    q = (x + y).named("q")
    return graphc.backward((q * z).named("f")).at(x=-2, y=5, z=-4)


def neuron() -> Any:
    """The lecture's neuron in eight elementary gates."""
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    f = (1 / (1 + graphc.exp(-(w0 * x0 + w1 * x1 + w2)))).named("f")
    return graphc.backward(f).at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)


def folded_neuron() -> Any:
    """The same with the tail folded into one sigmoid."""
    w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
    f = graphc.sigmoid(w0 * x0 + w1 * x1 + w2).named("f")
    return graphc.backward(f).at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)


def product() -> Any:
    x, y = graphc.inputs("x y")
    return graphc.backward((x * y).named("f")).at(x=4, y=-3)


def square_by_itself() -> Any:
    x = graphc.inputs("x")
    return graphc.backward((x * x).named("f")).at(x=3)


def lone_input() -> Any:
    x = graphc.inputs("x")
    return graphc.backward(x).at(x=3)


def router() -> Any:
    x, y, z, w = graphc.inputs("x y z w")
    f = (2 * (x * y + graphc.max(z, w))).named("f")
    return graphc.backward(f).at(x=3, y=-4, z=2, w=-1)


def scalar_lstm(steps: int = 3) -> Any:
    """A scalar LSTM written by hand: many wires shared over many layers."""
    names = "wf wi wo wc uf ui uo uc"
    wf, wi, wo, wc, uf, ui, uo, uc = graphc.inputs(names)
    h, c = graphc.inputs("h0 c0")
    values = {n: 0.3 + 0.1 * k for k, n in enumerate(names.split())} | {"h0": 0.1, "c0": -0.2}
    for t in range(1, steps + 1):
        x = graphc.input(f"x{t}")
        values[f"x{t}"] = 0.5 * t
        f = graphc.sigmoid(wf * x + uf * h)
        i = graphc.sigmoid(wi * x + ui * h)
        o = graphc.sigmoid(wo * x + uo * h)
        c = (f * c + i * graphc.tanh(wc * x + uc * h)).named(f"c{t}")
        h = (o * graphc.tanh(c)).named(f"h{t}")
    return graphc.backward(h).at(values)


def random_circuit(seed: int, gates: int) -> Any:
    """A random scalar graph; every gate gets used."""
    chance = random.Random(seed)
    nodes = list(graphc.inputs("a b c d"))
    values = {name: round(chance.uniform(-2, 2), 3) for name in "abcd"}
    unary: list[Callable[[Any], Any]] = [
        graphc.exp, graphc.tanh, graphc.sigmoid, graphc.neg, graphc.relu, lambda n: n + 1, lambda
        n: 0.5 * n,
    ]  # fmt: skip
    binary = [graphc.add, graphc.mul, graphc.sub, graphc.max, graphc.min]
    unused = list(nodes)
    while len(nodes) < gates + 4 or len(unused) > 1:
        pick = unused.pop(0) if unused and chance.random() < 0.7 else chance.choice(nodes[-6:])
        if chance.random() < 0.35 and len(nodes) < gates + 4:
            made = graphc.tanh(chance.choice(unary)(pick))
        else:
            other = unused.pop(0) if unused else chance.choice(nodes)
            made = chance.choice(binary)(pick, other)
        if chance.random() < 0.2:
            made.named(f"node{len(nodes)}")
        nodes.append(made)
        unused.append(made)
    return graphc.backward(unused[0]).at(values)


def convolutional_network() -> Any:
    """Loss of a LeNet-style network."""
    image = graphc.input("image", ("N", 1, 28, 28))
    label = graphc.input("label", ("N",), dtype="int32")
    conv2d, dense = graphc.layers.conv2d, graphc.layers.dense
    h = graphc.max_pool2d(graphc.relu(conv2d(image, 6, 5, padding="same", name="conv1")), 2)
    h = graphc.max_pool2d(graphc.relu(conv2d(h, 16, 5, name="conv2")), 2)
    h = graphc.relu(dense(graphc.flatten(h), 120, name="hidden"))
    return graphc.softmax_cross_entropy(dense(h, 10, name="scores"), label).named("loss")


LECTURE = {
    "simple": simple, "neuron": neuron, "folded_neuron": folded_neuron, "product": product,
    "square_by_itself": square_by_itself, "lone_input": lone_input, "router": router,
    "scalar_lstm": scalar_lstm,
}  # fmt: skip
CORPUS: dict[str, Callable[[], Any]] = LECTURE | {
    f"random{seed}": (lambda seed=seed: random_circuit(seed, 4 + 3 * seed)) for seed in range(20)
}
