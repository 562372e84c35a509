"""JAX: the whole training step under ``jit``, images with channels first and with channels last."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphc.benchmarks.runner import Runner, Task

__all__ = ["MODELS", "runners"]

Weights = Mapping[str, Any]


class _Layers:
    """Layers in one of the two layouts; filters are (K, C, R, S), or (R, S, C, K) with channels last.

    A loop over steps has `together` of them in its body.
    """

    def __init__(self, layout: str, together: int = 1) -> None:
        self.together = together
        self.jax = importlib.import_module("jax")
        self.numpy = importlib.import_module("jax.numpy")
        self.last = layout == "NHWC"
        self.numbers = ("NHWC", "HWIO", "NHWC") if self.last else ("NCHW", "OIHW", "NCHW")
        self.pixels = (1, 2) if self.last else (2, 3)

    def dense(self, x: Any, w: Weights, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def relu(self, x: Any) -> Any:
        return self.jax.nn.relu(x)

    def channels(self, vector: Any) -> Any:
        """Lay a vector along the channels."""
        return vector if self.last else vector[:, None, None]

    def conv(self, x: Any, w: Weights, name: str, padding: int, stride: int = 1) -> Any:
        y = self.jax.lax.conv_general_dilated(
            x, w[f"{name}.weight"], (stride, stride), [(padding, padding)] * 2, dimension_numbers=self.numbers
        )
        return y + self.channels(w[f"{name}.bias"]) if f"{name}.bias" in w else y

    def pool(self, x: Any) -> Any:
        """Largest of 2 x 2 elements; by reshaping, because the gradient of ``reduce_window`` is slower."""
        n, a, b, c = x.shape
        if self.last:
            return x.reshape(n, a // 2, 2, b // 2, 2, c).max((2, 4))
        return x.reshape(n, a, b // 2, 2, c // 2, 2).max((3, 5))

    def flat(self, x: Any) -> Any:
        """Flatten in the order channels, rows, columns, in which the weights were given."""
        x = x.transpose(0, 3, 1, 2) if self.last else x
        return x.reshape(x.shape[0], -1)

    def norm(self, x: Any, w: Weights, s: Weights, new: dict[str, Any], name: str) -> Any:
        axes = (0, *self.pixels)
        mean, variance = x.mean(axes), x.var(axes)
        count = x.size // mean.size
        for key, value in (("mean", mean), ("variance", variance * (count / (count - 1)))):
            new[f"{name}.{key}"] = 0.9 * s[f"{name}.{key}"] + 0.1 * self.jax.lax.stop_gradient(value)
        scale = w[f"{name}.gain"] * self.jax.lax.rsqrt(variance + 1e-5)
        return (x - self.channels(mean)) * self.channels(scale) + self.channels(w[f"{name}.bias"])

    def loss(self, scores: Any, label: Any) -> Any:
        chosen = self.numpy.take_along_axis(self.jax.nn.log_softmax(scores), label[:, None], 1)
        return -chosen.mean()


def _mlp(f: _Layers, w: Weights, _: Weights, image: Any, label: Any) -> Any:
    return f.loss(f.dense(f.relu(f.dense(image, w, "hidden")), w, "scores"), label), {}


def _lenet(f: _Layers, w: Weights, _: Weights, image: Any, label: Any) -> Any:
    x = f.pool(f.relu(f.conv(image, w, "conv1", 2)))
    x = f.flat(f.pool(f.relu(f.conv(x, w, "conv2", 0))))
    x = f.relu(f.dense(x, w, "dense1"))
    x = f.relu(f.dense(x, w, "dense2"))
    return f.loss(f.dense(x, w, "scores"), label), {}


def _cifar(f: _Layers, w: Weights, _: Weights, image: Any, label: Any) -> Any:
    x = f.relu(f.conv(image, w, "conv1", 1))
    x = f.pool(f.relu(f.conv(x, w, "conv2", 1)))
    x = f.relu(f.conv(x, w, "conv3", 1))
    x = f.flat(f.pool(f.relu(f.conv(x, w, "conv4", 1))))
    x = f.relu(f.dense(x, w, "hidden"))
    return f.loss(f.dense(x, w, "scores"), label), {}


def _resnet20(f: _Layers, w: Weights, s: Weights, image: Any, label: Any) -> Any:
    new: dict[str, Any] = {}

    def normed(x: Any, name: str, size: int = 3, stride: int = 1) -> Any:
        return f.norm(f.conv(x, w, name, size // 2, stride), w, s, new, f"{name}.norm")

    x = f.relu(normed(image, "stem"))
    for number in range(1, 10):
        stride = 2 if number in (4, 7) else 1
        y = f.relu(normed(x, f"block{number}.first", 3, stride))
        y = normed(y, f"block{number}.second")
        x = f.relu(y + (normed(x, f"block{number}.beside", 1, stride) if stride == 2 else x))
    return f.loss(f.dense(x.mean(f.pixels), w, "scores"), label), new


def _circuit(f: _Layers, w: Weights, _: Weights, x0: Any, x1: Any) -> Any:
    return 1.0 / (1.0 + f.numpy.exp(-(w["w0"] * x0 + w["w1"] * x1 + w["w2"]))), {}


def _characters(f: _Layers, w: Weights, cell: Callable[..., Any], tokens: Any, following: Any, states: int = 1) -> Any:
    """Run the cell over the products of all inputs with their weights, which are one product before the loop."""
    projected = w["embedding.weight"][tokens] @ w["cell.weight_x"].T + w["cell.bias"]  # (T, N, G*H)
    zero = f.numpy.zeros((tokens.shape[1], w["cell.weight_h"].shape[1]), "float32")

    def step(state: Any, x: Any) -> Any:
        new = cell(x, state)
        return new, new[0]

    _, shown = f.jax.lax.scan(step, (zero,) * states, projected, unroll=f.together)
    scores = f.dense(shown, w, "scores")
    return f.loss(scores.reshape(-1, scores.shape[-1]), following.reshape(-1)), {}


def _rnn(f: _Layers, w: Weights, _: Weights, tokens: Any, following: Any) -> Any:
    def cell(x: Any, state: Any) -> Any:
        return (f.numpy.tanh(x + state[0] @ w["cell.weight_h"].T),)

    return _characters(f, w, cell, tokens, following)


def _lstm(f: _Layers, w: Weights, _: Weights, tokens: Any, following: Any) -> Any:
    sigmoid = f.jax.nn.sigmoid

    def cell(x: Any, state: Any) -> Any:
        shown, memory = state
        i, forget, g, o = f.numpy.split(x + shown @ w["cell.weight_h"].T, 4, axis=1)
        memory = sigmoid(forget) * memory + sigmoid(i) * f.numpy.tanh(g)
        return sigmoid(o) * f.numpy.tanh(memory), memory

    return _characters(f, w, cell, tokens, following, 2)


def _gru(f: _Layers, w: Weights, _: Weights, tokens: Any, following: Any) -> Any:
    sigmoid = f.jax.nn.sigmoid

    def cell(x: Any, state: Any) -> Any:
        (shown,) = state
        recurrent = f.numpy.split(shown @ w["cell.weight_h"].T + w["cell.bias_h"], 3, axis=1)
        reset, z, new = f.numpy.split(x, 3, axis=1)
        reset, z = sigmoid(reset + recurrent[0]), sigmoid(z + recurrent[1])
        return ((1 - z) * f.numpy.tanh(new + reset * recurrent[2]) + z * shown,)

    return _characters(f, w, cell, tokens, following)


#: Workload -> loss and new states, of layers, weights, states and data.
MODELS: dict[str, Callable[..., Any]] = {
    "mlp": _mlp,
    "lenet": _lenet,
    "cifar": _cifar,
    "resnet20": _resnet20,
    "circuit": _circuit,
    "rnn": _rnn,
    "lstm128": _lstm,
    "lstm256": _lstm,
    "gru": _gru,
}


def runners(task: Task) -> Iterator[Runner]:
    """Give the compiled step, for images in both layouts, for sequences with one step and with five in the loop."""
    _limit_threads(task.threads)
    if task.workload.recurrent:
        yield Runner("JAX jit, scan", _step(task, ""))
        yield Runner("JAX jit, scan, unroll=5", _step(task, "", 5))
        return
    for layout in ("NCHW", "NHWC") if task.workload.convolutional else ("",):
        yield Runner(f"JAX jit{layout and ', '}{layout}", _step(task, layout))


def _limit_threads(threads: int) -> None:
    """Size XLA's pool of threads, which reads the environment once, when JAX first computes."""
    if "jax" not in sys.modules:
        os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(threads)
        flags = os.environ.get("XLA_FLAGS", "")
        if threads == 1 and "xla_cpu_multi_thread_eigen" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()


def _step(task: Task, layout: str, together: int = 1) -> Callable[[], float]:
    f = _Layers(layout, together)
    jax, jnp = f.jax, f.numpy
    model = MODELS[task.workload.name]
    rate, momentum = task.workload.learning_rate, task.workload.momentum

    def filters(array: Any) -> Any:
        return jnp.array(array.transpose(2, 3, 1, 0) if f.last and array.ndim == 4 else array)

    def pictures(array: Any) -> Any:
        return jnp.array(array.transpose(0, 2, 3, 1) if f.last and array.ndim == 4 else array)

    def train(weights: Weights, velocities: Weights, states: Weights, data: Weights) -> Any:
        def loss_of(w: Weights) -> Any:
            return model(f, w, states, **data)

        (loss, new), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights)
        velocities = {name: momentum * velocities[name] + gradients[name] for name in weights}
        return {name: weights[name] - rate * velocities[name] for name in weights}, velocities, new, loss

    compiled = jax.jit(train, donate_argnums=(0, 1, 2))
    weights = {name: filters(array) for name, array in task.parameters.items()}
    moving = [weights, {name: jnp.zeros_like(a) for name, a in weights.items()}]
    moving.append({name: jnp.array(array) for name, array in task.states.items()})
    data = {name: pictures(array) for name, array in task.data.items()}

    def step() -> float:
        moving[0], moving[1], moving[2], loss = compiled(*moving, data)
        jax.block_until_ready(moving)  # the loss may be there before the last weight is
        return float(loss)

    return step
