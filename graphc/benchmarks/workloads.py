"""The networks that are timed, declared with ``graphc.layers``; data are synthetic and always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy

from graphc import layers
from graphc.errors import GraphcError, did_you_mean
from graphc.graph import Node, parameter, registry, topological
from graphc.graph.declare import input as declare_input

__all__ = ["BATCH", "WORKLOADS", "Workload", "workload"]

#: Examples of one step.
BATCH = 64

_CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """A network and how its step learns.

    Attributes
    ----------
    name : str
        As on the command line.
    title : str
        What it is, in a line.
    declare : callable
        Declares the graph anew and returns the loss.
    learning_rate : float
        Of gradient descent with `momentum`; small enough that ten steps amplify no rounding.
    convolutional : bool
        Whether images have channels, so that their memory format is a choice.
    """

    name: str
    title: str
    declare: Callable[[], Node]
    learning_rate: float = 0.01
    convolutional: bool = False
    momentum: float = 0.9

    def data(self) -> dict[str, numpy.ndarray]:
        """Return one batch: normal numbers, random labels, and for the circuit the numbers of the lecture."""
        if self.declare is circuit:
            return {"x0": numpy.array(-1.0, "float32"), "x1": numpy.array(-2.0, "float32")}
        generator = numpy.random.default_rng(0)
        (image,) = (n for n in topological([self.declare()]) if n.label == "image")
        shape = (BATCH, *(int(str(extent)) for extent in image.shape[1:]))
        return {
            "image": generator.normal(size=shape).astype("float32"),
            "label": generator.integers(0, _CLASSES, BATCH).astype("int32"),
        }


def _image(*shape: int) -> Node:
    return declare_input("image", ("N", *shape))


def _relu(x: Node) -> Node:
    return registry.call("relu", x)


def _pool(x: Node) -> Node:
    return registry.function("max_pool2d")(x, 2)


def _loss(scores: Node) -> Node:
    label = declare_input("label", ("N",), dtype="int32")
    return registry.call("softmax_cross_entropy", scores, label).named("loss")


def mlp() -> Node:
    """784-128-10 with ReLU."""
    hidden = _relu(layers.dense(_image(784), 128, name="hidden"))
    return _loss(layers.dense(hidden, _CLASSES, name="scores"))


def lenet() -> Node:
    """LeNet-5 with ReLU and max pooling on 28 x 28 pixels.

    Source: LeCun et al., Proc. IEEE 86 (1998), section II, figure 2.
    """
    maps = _pool(_relu(layers.conv2d(_image(1, 28, 28), 6, 5, padding="same", name="conv1")))  # (N, 6, 14, 14)
    maps = _pool(_relu(layers.conv2d(maps, 16, 5, name="conv2")))  # (N, 16, 5, 5)
    hidden = registry.call("flatten", maps)
    hidden = _relu(layers.dense(hidden, 120, name="dense1"))
    hidden = _relu(layers.dense(hidden, 84, name="dense2"))
    return _loss(layers.dense(hidden, _CLASSES, name="scores"))


def cifar() -> Node:
    """Two pairs of 3 x 3 convolutions, each with a pool behind it, and two dense layers on 3 x 32 x 32."""
    maps = _image(3, 32, 32)
    for number, channels in enumerate((32, 32, 64, 64), 1):
        maps = _relu(layers.conv2d(maps, channels, 3, padding="same", name=f"conv{number}"))
        if number in (2, 4):
            maps = _pool(maps)  # (N, 32, 16, 16), then (N, 64, 8, 8)
    hidden = _relu(layers.dense(registry.call("flatten", maps), 256, name="hidden"))
    return _loss(layers.dense(hidden, _CLASSES, name="scores"))


def resnet20() -> Node:
    """ResNet-20 with batch norm; where a block changes the shape, a 1 x 1 convolution stands beside it (option B).

    Source: He et al., CVPR (2016), section 4.2 and equation 2.
    """
    maps = _normed(_image(3, 32, 32), 16, 3, 1, "stem")
    maps = _relu(maps)
    for number, (channels, stride) in enumerate(_BLOCKS, 1):
        maps = _relu(layers.residual(maps, _branch(channels, stride, number), projection=_beside(number)))
    means = registry.call("global_average_pool2d", maps)  # (N, 64)
    return _loss(layers.dense(means, _CLASSES, name="scores"))


#: Channels and stride of each block of ResNet-20.
_BLOCKS = ((16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1))


def _normed(x: Node, channels: int, size: int, stride: int, name: str) -> Node:
    maps = layers.conv2d(x, channels, size, stride=stride, padding=size // 2, bias=False, name=name)
    return layers.batch_norm(maps, name=f"{name}.norm")


def _branch(channels: int, stride: int, number: int) -> Callable[[Node], Node]:
    def branch(x: Node) -> Node:
        x = _relu(_normed(x, channels, 3, stride, f"block{number}.first"))
        return _normed(x, channels, 3, 1, f"block{number}.second")

    return branch


def _beside(number: int) -> Callable[[Node], Node] | None:
    channels, stride = _BLOCKS[number - 1]
    if stride == 1:
        return None
    return lambda x: _normed(x, channels, 1, stride, f"block{number}.beside")


def circuit() -> Node:
    """The neuron ``1/(1 + exp(-(w0*x0 + w1*x1 + w2)))``, gate by gate, with its output as the loss.

    Source: Stanford CS231n, lecture 4, "Another example".
    """
    w0, w1, w2 = (parameter(f"w{k}", (), initial=value) for k, value in enumerate((2.0, -3.0, -3.0)))
    x0, x1 = declare_input("x0"), declare_input("x1")
    s = w0 * x0 + w1 * x1 + w2
    d = 1.0 + registry.call("exp", -s)
    return registry.call("reciprocal", d).named("f")


#: Every workload by name, in the order of the table.
WORKLOADS = {
    work.name: work
    for work in (
        Workload("mlp", "784-128-10, batch 64", mlp),
        Workload("lenet", "6@5x5, pool, 16@5x5, pool, 120, 84, 10 on 28 x 28, batch 64", lenet, convolutional=True),
        Workload("cifar", "32, 32, pool, 64, 64, pool, 256, 10 on 3 x 32 x 32, batch 64", cifar, 2e-4, True),
        Workload("resnet20", "batch norm, 1 x 1 projections, on 3 x 32 x 32, batch 64", resnet20, 1e-3, True),
        Workload("circuit", "the neuron 1/(1 + exp(-(w0*x0 + w1*x1 + w2))) on scalars", circuit, 0.1),
    )
}


def workload(name: str) -> Workload:
    """Return a workload by name.

    Raises
    ------
    GraphcError
        If there is none of that name.
    """
    if name not in WORKLOADS:
        raise GraphcError(f"no workload {name!r}{did_you_mean(name, WORKLOADS)}; workloads: {', '.join(WORKLOADS)}")
    return WORKLOADS[name]
