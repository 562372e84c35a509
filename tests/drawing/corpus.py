"""The corpus of the geometric test: gates, lecture circuits, recurrence, attention, fan-outs, odd names, networks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import graphc
from graphc.graph import registry
from tests.drawing import graphs
from tests.gates import contract

__all__ = ["ALL", "CARDS", "CIRCUITS", "FAST", "subject"]

Make = Callable[[], Any]


def at_random(root: Any, seed: int = 0) -> Any:
    """Evaluate a scalar graph with values of order 1."""
    chance = random.Random(seed)
    back = graphc.backward(root)
    leaves = [node for node in back.nodes if node.kind == "input"]
    return back.at({node: round(chance.uniform(0.2, 1.5), 3) for node in leaves})


# ---------------------------------------------------------------- gates


def one_gate(name: str) -> Any:
    """A gate on the first of its samples, with values; the structure alone where no gradient flows."""
    gate = registry.gate(name)
    case = contract.apply(gate, gate.samples[0])
    if not gate.differentiable or not case.differentiable:
        return case.outputs[0]
    back = graphc.backward(contract.weighted(case).named("weighted"), wrt=case.floats)
    return back.at({node: value for node, value in case.values.items() if node in back.nodes})


# ---------------------------------------------------------------- recurrence and attention


def scalar_gru(steps: int = 4) -> Any:
    """A scalar GRU written by hand."""
    wz, wr, wh, uz, ur, uh, h = graphc.inputs("wz wr wh uz ur uh h0")
    for t in range(1, steps + 1):
        x = graphc.input(f"x{t}")
        z = graphc.sigmoid(wz * x + uz * h)
        r = graphc.sigmoid(wr * x + ur * h)
        candidate = graphc.tanh(wh * x + uh * (r * h))
        h = ((1 - z) * h + z * candidate).named(f"h{t}")
    return at_random(h)


def cloned_lstm(steps: int = 4, units: str = "fioc") -> Any:
    """A scalar LSTM whose weights are inputs of every step."""
    h, c = graphc.inputs("h0 c0")
    for t in range(1, steps + 1):
        x = graphc.input(f"x{t}")
        gates = []
        for letter in units:
            w, u = graphc.input(f"w{letter}{t}"), graphc.input(f"u{letter}{t}")
            squash = graphc.tanh if letter == "c" else graphc.sigmoid
            gates.append(squash(w * x + u * h))
        f, i, o, g = gates
        c = (f * c + i * g).named(f"c{t}")
        h = (o * graphc.tanh(c)).named(f"h{t}")
    return at_random(h)


def unrolled_rnn(steps: int = 4) -> Any:
    """A scalar RNN declared once and written out by `graphc.unrolled`."""
    w, u, s = graphc.inputs("w u s")
    x = graphc.input("x", (steps,))

    def cell(x_t: Any, h: Any) -> tuple[Any, Any]:
        new = graphc.tanh(w * x_t + u * h).named("h")
        return new, new

    _, last = graphc.unroll(cell, x, s)
    back = graphc.backward(graphc.unrolled(last))
    return back.at(w=0.5, u=0.8, s=0.1, x=[0.3 * (k + 1) for k in range(steps)])


def scalar_attention(keys: int = 3) -> Any:
    """One query, scalar keys and values, with the softmax written out."""
    q = graphc.input("q")
    exponentials = [graphc.exp(q * graphc.input(f"k{n}")) for n in range(1, keys + 1)]
    total = exponentials[0]
    for e in exponentials[1:]:
        total = total + e
    out: Any = None
    for n, e in enumerate(exponentials, 1):
        term = (e / total).named(f"a{n}") * graphc.input(f"v{n}")
        out = term if out is None else out + term
    return at_random(out.named("out"))


def encoder_decoder(steps: int = 3) -> Any:
    """Two scalar RNNs, the second started by the last state of the first."""
    wx, wh, vy, vs, h = graphc.inputs("wx wh vy vs h0")
    for t in range(1, steps + 1):
        h = graphc.tanh(wx * graphc.input(f"x{t}") + wh * h).named(f"h{t}")
    s, loss = h, None
    for t in range(1, steps + 1):
        s = graphc.tanh(vs * s + vy * h).named(f"s{t}")
        error = (s - graphc.input(f"y{t}")) ** 2
        loss = error if loss is None else loss + error
    return at_random(loss.named("loss"))


# ---------------------------------------------------------------- shapes of graphs


def fan_out(readers: int) -> Any:
    """One value read by several gates; their results are added up in a row."""
    x = graphc.input("x")
    s = graphc.sigmoid(x).named("s")
    total: Any = None
    for n in range(readers):
        term = graphc.exp(s) if n % 3 == 0 else s * graphc.input(f"w{n}") if n % 3 == 1 else s + n
        total = term if total is None else total + term
    return at_random(total)


def repeated_operands() -> Any:
    x, y = graphc.inputs("x y")
    square = x * x
    return at_random(((square + square) * (y + y) + y * y).named("f"))


def constants() -> Any:
    x, y = graphc.inputs("x y")
    big = graphc.constant([1.0, 2.0, 3.0])
    return at_random((graphc.sum(big * x) + 1e-9 * y + 123456.789 - 2 / (x + 1) + y**3).named("f"))


def long_names() -> Any:
    a = graphc.input("a_name_that_goes_on_for_a_very_long_while_indeed")
    b = graphc.input("another_of_the_same_kind_with_a_number_0123456789")
    product = (a * b).named("the_product_of_both_of_them_at_the_step_before")
    return at_random((product + a).named("what_comes_out_of_it_all_in_the_very_end"))


def unicode_names() -> Any:
    a, b, c = (graphc.input(name) for name in ("größe", "学習率", "x<&_%$'\""))
    return at_random((graphc.tanh(a * b).named("σ̂₁") + c).named("Ñandú → ∂"))


def extreme_values() -> Any:
    x, y, z = graphc.inputs("x y z")
    f = (graphc.exp(x) * y + graphc.log(z) / y).named("f")
    return graphc.backward(f).at(x=40.0, y=-1e-12, z=1e-30)


def not_a_number() -> Any:
    x, y = graphc.inputs("x y")
    return graphc.backward((graphc.log(x) * y).named("f")).at(x=-1.0, y=2.0)


def wide(inputs: int = 16) -> Any:
    """A scalar product, added up in pairs."""
    terms = [graphc.input(f"w{k}") * graphc.input(f"x{k}") for k in range(inputs)]
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return at_random(graphc.sigmoid(terms[0]).named("y"))


def chain(gates: int = 30) -> Any:
    x = graphc.input("x")
    for k in range(gates):
        x = (graphc.tanh, graphc.exp, graphc.sigmoid)[k % 3](x)
    return at_random(x)


def shallow(seed: int) -> Any:
    """A random graph of depth at most 12."""
    chance = random.Random(1000 + seed)
    layers = [list(graphc.inputs("a b c d e"))]
    for _ in range(10):
        before = [node for layer in layers[-2:] for node in layer]
        gates: list[Any] = [graphc.add, graphc.mul, graphc.sub, graphc.max]
        layers.append([
            graphc.tanh(chance.choice(before)) if chance.random() < 0.4
            else chance.choice(gates)(chance.choice(before), chance.choice(before))
            for _ in range(chance.randrange(1, 5))
        ])  # fmt: skip
    total = layers[-1][0]
    for node in layers[-1][1:]:
        total = total + node
    return at_random(total, seed)


def two_layers() -> Any:
    """A net of two inputs, three hidden units and one output, in scalars."""
    x1, x2 = graphc.inputs("x1 x2")
    out = graphc.input("b")
    for k in range(1, 4):
        z = graphc.tanh(graphc.input(f"w{k}1") * x1 + graphc.input(f"w{k}2") * x2 + graphc.input(f"b{k}"))
        out = out + graphc.input(f"v{k}") * z.named(f"z{k}")
    return at_random(((out - graphc.input("t")) ** 2 / 2).named("E"))


# ---------------------------------------------------------------- networks


def small_cnn(convolutions: int) -> Any:
    image, label = graphc.input("image", ("N", 3, 32, 32)), graphc.input("label", ("N",), dtype="int32")
    h = image
    for k in range(1, convolutions + 1):
        h = graphc.relu(graphc.layers.conv2d(h, 4 * k, 3, padding="same", name=f"conv{k}"))
        h = graphc.max_pool2d(h, 2)
    scores = graphc.layers.dense(graphc.flatten(h), 10, name="scores")
    return graphc.softmax_cross_entropy(scores, label).named("loss")


def residual_network(blocks: int) -> Any:
    image, label = graphc.input("image", ("N", 3, 16, 16)), graphc.input("label", ("N",), dtype="int32")
    layers = graphc.layers
    h = graphc.relu(layers.conv2d(image, 8, 3, padding="same", name="stem"))
    for k in range(1, blocks + 1):

        def branch(x: Any, k: int = k) -> Any:
            inner = graphc.relu(layers.conv2d(x, 8, 3, padding="same", name=f"block{k}.conv1"))
            return layers.conv2d(inner, 8, 3, padding="same", name=f"block{k}.conv2")

        h = graphc.relu(layers.residual(h, branch))
    scores = layers.dense(graphc.global_average_pool2d(h), 10, name="scores")
    return graphc.softmax_cross_entropy(scores, label).named("loss")


def encoder_decoder_network() -> Any:
    """A small U-Net: down, up, and the skip between."""
    image = graphc.input("image", ("N", 1, 16, 16))
    layers = graphc.layers
    down1 = graphc.relu(layers.conv2d(image, 4, 3, padding="same", name="down1"))
    down2 = graphc.relu(layers.conv2d(graphc.max_pool2d(down1, 2), 8, 3, padding="same", name="down2"))
    up = graphc.upsample(down2, 2)
    joined = graphc.concat([down1, up], axis=1)
    return graphc.sum(layers.conv2d(joined, 1, 3, padding="same", name="out") ** 2).named("loss")


def inception_network() -> Any:
    image = graphc.input("image", ("N", 8, 12, 12))
    h = graphc.layers.inception(image, 4, (2, 4), (2, 4), 4, name="inception1")
    return graphc.mean(graphc.layers.inception(h, 4, (2, 4), (2, 4), 4, name="inception2")).named("loss")


def recurrent_network() -> Any:
    words, label = graphc.input("words", (5, "N"), dtype="int32"), graphc.input("label", ("N",), dtype="int32")
    outputs = graphc.layers.lstm(words, 6, vocabulary=20, name="lstm")
    scores = graphc.layers.dense(outputs[4], 2, name="scores")
    return graphc.softmax_cross_entropy(scores, label).named("loss")


CIRCUITS: dict[str, Make] = {
    **graphs.CORPUS,
    "lstm4": lambda: graphs.scalar_lstm(4),
    "lstm4_cloned": cloned_lstm,
    "gru4": scalar_gru,
    "unrolled_rnn": unrolled_rnn,
    "attention": scalar_attention,
    "attention5": lambda: scalar_attention(5),
    "encoder_decoder": encoder_decoder,
    **{f"fan_out{n}": (lambda n=n: fan_out(n)) for n in range(1, 13)},
    "repeated_operands": repeated_operands,
    "constants": constants,
    "long_names": long_names,
    "unicode_names": unicode_names,
    "extreme_values": extreme_values,
    "not_a_number": not_a_number,
    "wide": wide,
    "chain": chain,
    "two_layers": two_layers,
    **{f"shallow{seed}": (lambda seed=seed: shallow(seed)) for seed in range(8)},
    "lstm12": lambda: graphs.scalar_lstm(12),  # 274 blocks
    **{f"gate_{name}": (lambda name=name: one_gate(name)) for name in registry.names()},
}
CARDS: dict[str, Make] = {
    "lenet": graphs.convolutional_network,
    **{f"cnn{n}": (lambda n=n: small_cnn(n)) for n in (1, 2, 4)},
    **{f"resnet{n}": (lambda n=n: residual_network(n)) for n in (1, 3, 8)},
    "unet": encoder_decoder_network,
    "inception": inception_network,
    "recurrent_network": recurrent_network,
}
ALL = [*CIRCUITS, *CARDS]

#: What the suite draws by default: one of each kind.
FAST = (
    "neuron", "scalar_lstm", "random9", "gru4", "unrolled_rnn", "attention", "encoder_decoder", "fan_out1", "fan_out5",
    "fan_out12", "repeated_operands", "constants", "long_names", "unicode_names", "extreme_values", "not_a_number",
    "two_layers", "shallow3", "gate_softmax", "gate_where", "gate_lstm_cell", "gate_conv2d", "lenet", "resnet3", "unet",
)  # fmt: skip


def subject(name: str) -> Any:
    """Build a graph of the corpus."""
    return (CIRCUITS[name] if name in CIRCUITS else CARDS[name])()
