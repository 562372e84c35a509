"""``graphc demo``: the neuron of the lectures, worked and drawn, then a CNN trained on handwritten digits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from graphc.errors import DataError, DrawingError
from graphc.gradients import Backward, Run, backward
from graphc.graph import Node, registry
from graphc.graph.declare import input as declare_input
from graphc.graph.declare import inputs

if TYPE_CHECKING:
    from graphc.training import Trainer

__all__ = ["demo", "digits_network", "neuron", "train_digits"]

#: Learning rates and for how many epochs each: large steps first, then smaller ones to settle.
SCHEDULE = ((0.05, 12), (0.01, 4), (0.002, 2))


def neuron() -> tuple[Backward, Run]:
    """Declare and evaluate the neuron ``1/(1 + exp(-(w0*x0 + w1*x1 + w2)))``, gate by gate.

    Source: Stanford CS231n, lecture 4, "Another example".
    """
    declared = inputs("w0 x0 w1 x1 w2")
    assert isinstance(declared, tuple)
    w0, x0, w1, x1, w2 = declared
    call = registry.call
    p, q = call("mul", w0, x0).named("p"), call("mul", w1, x1).named("q")
    s = call("add", p, q).named("s")
    t = call("add", s, w2).named("t")
    n = call("neg", t).named("n")
    e = call("exp", n).named("e")
    d = call("add", e, 1.0).named("d")
    back = backward(call("reciprocal", d).named("f"))
    return back, back.at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)


def digits_network() -> tuple[Node, Node]:
    """Declare a small network of LeNet's kind for 8 x 8 images: scores and loss.

    Source: LeCun et al., Proc. IEEE 86 (1998), section II, with ReLU and max pooling.
    """
    from graphc import layers

    call = registry.function
    image = declare_input("image", ("N", 1, 8, 8))
    label = declare_input("label", ("N",), dtype="int32")
    maps = layers.conv2d(image, 16, 3, padding="same", name="conv1")  # (N, 16, 8, 8)
    maps = call("max_pool2d")(call("relu")(maps), 2)  # (N, 16, 4, 4)
    maps = layers.conv2d(maps, 32, 3, padding="same", name="conv2")  # (N, 32, 4, 4)
    maps = call("max_pool2d")(call("relu")(maps), 2)  # (N, 32, 2, 2)
    hidden = call("relu")(layers.dense(call("flatten")(maps), 64, name="hidden"))
    scores = layers.dense(hidden, 10, name="scores")
    return scores, call("softmax_cross_entropy")(scores, label).named("loss")


def train_digits(seed: int = 0, *, progress: bool = True, began: float | None = None) -> Trainer:
    """Train the network on the digits and return the trainer; its history has the accuracies.

    With ``began``, a time of `time.perf_counter`, it prints how long the kernels took from there.
    """
    from graphc.datasets import digits
    from graphc.training import SGD, Trainer, accuracy

    train, test = digits("train"), digits("test")
    scores, loss = digits_network()
    label = next(n for n in loss.operands if n.kind == "input")
    trainer = Trainer(
        loss,
        optimizer=SGD(SCHEDULE[0][0], momentum=0.9),
        metrics={"accuracy": accuracy(scores, label)},
        seed=seed,
    )
    if began is not None:
        print(f"kernels ready after {time.perf_counter() - began:.1f} s\n", flush=True)
    for rate, epochs in SCHEDULE:
        trainer.optimizer.learning_rate = rate
        trainer.fit(train, batch_size=32, epochs=epochs, validation=test, progress=progress)
    return trainer


def demo(folder: str, seed: int = 0) -> int:
    """Run both parts and write ``neuron.svg``, ``neuron.pdf`` and ``loss.svg`` into a folder."""
    from graphc import drawing
    from graphc.planning import count

    if seed < 0:
        raise DataError(f"--seed must be at least 0, found {seed}")
    place = Path(folder)
    if not place.is_dir():
        raise DrawingError(f"there is no folder {folder!r} to write into")
    start = time.perf_counter()
    print("1. A neuron, f = 1/(1 + exp(-(w0*x0 + w1*x1 + w2))), worked backwards\n")
    print("   p = w0*x0   q = w1*x1   s = p + q   t = s + w2   n = -t   e = exp(n)   d = e + 1   f = 1/d\n")
    _, run = neuron()
    print(run)
    print(f"\nf = {float(run.value('f')):.4f}; its derivatives with respect to the inputs:")
    for name in ("w0", "x0", "w1", "x1", "w2"):
        print(f"  df/d{name} = {float(run.grad(name)):8.4f}")
    picture = drawing.draw(run)
    pictures = [picture.save(place / "neuron.svg"), picture.save(place / "neuron.pdf")]

    print("\n2. A convolutional network on 1,797 handwritten digits of 8 x 8 pixels\n")
    _, loss = digits_network()
    print(count(loss))
    epochs = sum(n for _, n in SCHEDULE)
    print(f"\nTraining for {epochs} epochs on 1,438 of them; kernels are compiled at the first run.", flush=True)
    began = time.perf_counter()
    trainer = train_digits(seed, began=start)
    print(trainer.history)
    accuracy = trainer.history["validation accuracy"][-1]
    print(f"\ntest accuracy {accuracy:.2%} on 359 digits that it never saw", end="; ")
    print(f"training took {time.perf_counter() - began:.1f} s")
    pictures.append(trainer.history.plot(place / "loss.svg"))
    print(f"\nwrote {', '.join(map(str, pictures))} in {time.perf_counter() - start:.1f} s")
    print(
        'next:  graphc draw "(x+y)*z" --at x=-2,y=5,z=-4 -o f.svg\n'
        '       graphc check "1/(1+exp(-x))" --claim x="f*(1-f)"\n'
        "       graphc gates conv2d"
    )
    return 0
