"""The networks that are timed, declared with ``graphc.layers``; data are synthetic and always the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from graphc import layers
from graphc.errors import GraphcError, did_you_mean
from graphc.graph import Definition, Gate, Node, constant, parameter, registry, topological
from graphc.graph.declare import input as declare_input
from graphc.graph.unroll import unroll
from graphc.layers.initialisers import xavier

__all__ = ["BATCH", "WORKLOADS", "Workload", "workload"]

#: Examples of one step, where the workload does not say otherwise.
BATCH = 64

_CLASSES = 10

#: Characters of the sequences, and the numbers that stand for each.
_CHARACTERS, _FEATURES = 65, 64


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
    batch : int
        Examples of one step.
    recurrent : bool
        Whether the data are sequences of characters, each of which is to foretell the next.
    """

    name: str
    title: str
    declare: Callable[[], Node]
    learning_rate: float = 0.01
    convolutional: bool = False
    momentum: float = 0.9
    batch: int = BATCH
    recurrent: bool = False

    def data(self) -> dict[str, numpy.ndarray]:
        """Return one batch: normal numbers and random labels, random characters, or the numbers of the lecture."""
        if self.declare is circuit:
            return {"x0": numpy.array(-1.0, "float32"), "x1": numpy.array(-2.0, "float32")}
        generator = numpy.random.default_rng(0)
        inputs = {n.label: n.shape for n in topological([self.declare()]) if n.kind == "input"}
        if self.recurrent:
            steps = int(str(inputs["tokens"][0]))
            characters = generator.integers(0, _CHARACTERS, (steps + 1, self.batch)).astype("int32")
            return {"tokens": characters[:-1], "following": characters[1:]}
        shape = (self.batch, *(int(str(extent)) for extent in inputs["image"][1:]))
        return {
            "image": generator.normal(size=shape).astype("float32"),
            "label": generator.integers(0, _CLASSES, self.batch).astype("int32"),
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


_ZERO_STATE = Gate(
    "zero state",
    # a named batch has no number yet, so that no constant has its shape
    lambda _, attributes: Definition("h[n,k] = 0", extents={"n": "size(tokens,1)", "k": str(attributes["units"])}),
    ("tokens",),
    attributes={"units": 1},
    source="Definition",
)


def _characters(cell: str, units: int, steps: int, batch: int | str) -> Node:
    """A recurrent network that foretells the next character at every step, from a state of zeros."""
    tokens = declare_input("tokens", (steps, batch), dtype="int32")
    following = declare_input("following", (steps, batch), dtype="int32")
    rows = layers.embedding(tokens, _CHARACTERS, _FEATURES, name="embedding")  # (T, N, D)
    zero = constant(numpy.zeros((batch, units))) if isinstance(batch, int) else _ZERO_STATE(tokens, units=units)
    count = {"rnn_cell": 1, "lstm_cell": 4, "gru_cell": 3}[cell]
    weights = [
        parameter("cell.weight_x", (count * units, _FEATURES), initial=xavier()),
        parameter("cell.weight_h", (count * units, units), initial=xavier()),
        parameter("cell.bias", (count * units,)),
    ]
    attributes = {}
    if cell == "gru_cell":
        weights.append(parameter("cell.bias_h", (count * units,)))
        attributes = {"reset_after": True, "update": "old"}

    def step(x: Node, state: Any) -> tuple[Node, Any]:
        if cell == "lstm_cell":
            shown, memory = registry.function(cell)(x, *state, *weights)
            return shown, (shown, memory)
        shown = registry.function(cell)(x, state, *weights, **attributes)
        return shown, shown

    shown, _ = unroll(step, rows, (zero, zero) if cell == "lstm_cell" else zero, name="cell")
    scores = layers.dense(shown, _CHARACTERS, name="scores", initial=xavier())  # (T, N, V)
    scores = registry.function("reshape")(scores, (-1, _CHARACTERS))
    following = registry.function("reshape")(following, (-1,))
    return registry.call("softmax_cross_entropy", scores, following).named("loss")


def rnn() -> Node:
    """A simple recurrent network over characters, one sequence at a time.

    Source: Elman, Cognitive Science 14 (1990), figure 2.
    """
    return _characters("rnn_cell", 100, 25, 1)


def lstm128() -> Node:
    """A long short-term memory of 128 units over 50 characters."""
    return _characters("lstm_cell", 128, 50, "N")


def lstm256() -> Node:
    """A long short-term memory of 256 units over 64 characters."""
    return _characters("lstm_cell", 256, 64, "N")


def gru() -> Node:
    """A gated recurrent unit in PyTorch's convention: the reset gate behind the product, z weights the old state."""
    return _characters("gru_cell", 128, 50, "N")


#: Every workload by name, in the order of the table.
WORKLOADS = {
    work.name: work
    for work in (
        Workload("mlp", "784-128-10, batch 64", mlp),
        Workload("lenet", "6@5x5, pool, 16@5x5, pool, 120, 84, 10 on 28 x 28, batch 64", lenet, convolutional=True),
        Workload("cifar", "32, 32, pool, 64, 64, pool, 256, 10 on 3 x 32 x 32, batch 64", cifar, 2e-4, True),
        Workload("resnet20", "batch norm, 1 x 1 projections, on 3 x 32 x 32, batch 64", resnet20, 1e-3, True),
        Workload("circuit", "the neuron 1/(1 + exp(-(w0*x0 + w1*x1 + w2))) on scalars", circuit, 0.1),
        Workload("rnn", "65 characters, tanh 100, 25 steps, batch 1", rnn, 0.01, batch=1, recurrent=True),
        Workload("lstm128", "65 characters, LSTM 128, 50 steps, batch 32", lstm128, 0.3, batch=32, recurrent=True),
        Workload("lstm256", "65 characters, LSTM 256, 64 steps, batch 64", lstm256, 0.3, recurrent=True),
        Workload("gru", "65 characters, GRU 128, 50 steps, batch 32", gru, 0.3, batch=32, recurrent=True),
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
