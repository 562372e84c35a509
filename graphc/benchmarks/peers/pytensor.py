"""PyTensor: the whole training step as one function, linked by Numba, and in C where a compiler is found.

PyTensor has no convolution and no pooling of images (version 3): a convolution is a product with copied patches, and a
pool the largest of four strided images. Compiling LeNet takes it minutes, the first time.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy

from graphc.benchmarks.runner import Runner, RunnerError, Task, unable
from graphc.kernels.cpu.threads import available

__all__ = ["MODELS", "runners"]

Weights = Mapping[str, Any]


class _Layers:
    def __init__(self) -> None:
        self.tensor = importlib.import_module("pytensor.tensor")

    def dense(self, x: Any, w: Weights, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def relu(self, x: Any) -> Any:
        return self.tensor.maximum(x, numpy.float32(0))

    def conv(self, x: Any, w: Weights, name: str, padding: int) -> Any:
        weight = w[f"{name}.weight"]
        (images, channels, rows, columns), (maps, _, tall, wide) = x.type.shape, weight.type.shape
        if padding:
            framed = self.tensor.zeros((images, channels, rows + 2 * padding, columns + 2 * padding), dtype="float32")
            x = framed[:, :, padding:-padding, padding:-padding].set(x)
            rows, columns = rows + 2 * padding, columns + 2 * padding
        places = numpy.arange(channels * rows * columns).reshape(channels, rows, columns)
        windows = numpy.lib.stride_tricks.sliding_window_view(places, (tall, wide), (1, 2))  # (C, I, J, R, S)
        order = windows.transpose(0, 3, 4, 1, 2).reshape(channels * tall * wide, -1)  # (C*R*S, I*J)
        patches = x.reshape((images, channels * rows * columns))[:, order]  # (N, C*R*S, I*J)
        columns_of_all = patches.transpose((1, 0, 2)).reshape((order.shape[0], images * order.shape[1]))
        y = weight.reshape((maps, order.shape[0])) @ columns_of_all  # (K, N*I*J)
        y = y.reshape((maps, images, *windows.shape[1:3])).transpose((1, 0, 2, 3))
        return y + w[f"{name}.bias"][:, None, None]

    def pool(self, x: Any) -> Any:
        largest = self.tensor.maximum
        above = largest(x[:, :, ::2, ::2], x[:, :, ::2, 1::2])
        return largest(above, largest(x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]))

    def loss(self, scores: Any, label: Any) -> Any:
        chosen = self.tensor.special.log_softmax(scores, axis=1)[numpy.arange(label.type.shape[0]), label]
        return -chosen.mean()


def _mlp(f: _Layers, w: Weights, image: Any) -> Any:
    return f.dense(f.relu(f.dense(image, w, "hidden")), w, "scores")


def _lenet(f: _Layers, w: Weights, image: Any) -> Any:
    x = f.pool(f.relu(f.conv(image, w, "conv1", 2)))
    x = f.pool(f.relu(f.conv(x, w, "conv2", 0))).flatten(2)
    x = f.relu(f.dense(x, w, "dense1"))
    x = f.relu(f.dense(x, w, "dense2"))
    return f.dense(x, w, "scores")


#: Workload -> scores of layers, weights and images.
MODELS: dict[str, Callable[..., Any]] = {"mlp": _mlp, "lenet": _lenet}


def runners(task: Task) -> Iterator[Runner]:
    """Give the function under each linker."""
    # its products are those of NumPy and SciPy, whose library reads this when it is loaded
    limited = os.environ.get("OPENBLAS_NUM_THREADS") == str(task.threads) or task.threads == available()
    for mode, name in (("NUMBA", "PyTensor, Numba"), ("CVM", "PyTensor, C")):
        if task.workload.name not in MODELS:
            yield unable(name)
        elif not limited:
            yield unable(name, f"set OPENBLAS_NUM_THREADS={task.threads} before")
        else:
            yield Runner(name, _step(task, mode))


def _step(task: Task, mode: str) -> Callable[[], float]:
    state: list[Any] = []

    def prepared() -> Any:
        pytensor, f = importlib.import_module("pytensor"), _Layers()
        work = task.workload

        def shared(array: Any) -> Any:
            return pytensor.shared(array, shape=array.shape)

        weights = {name: shared(array) for name, array in task.parameters.items()}
        data = {name: shared(array) for name, array in task.data.items()}
        loss = f.loss(MODELS[work.name](f, weights, data["image"]), data["label"])
        updates = {}
        gradients = pytensor.grad(loss, list(weights.values()))
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            velocity = shared(numpy.zeros_like(task.parameters[name]))
            updates[velocity] = numpy.float32(work.momentum) * velocity + gradient
            updates[weight] = weight - numpy.float32(work.learning_rate) * updates[velocity]
        return pytensor.function([], loss, updates=updates, mode=mode)

    def step() -> float:
        try:
            if not state:
                state.append(prepared())
            return float(state[0]())
        except Exception as error:  # compilers of two languages, each with errors of its own
            text = " ".join(str(error).split())
            raise RunnerError(f"PyTensor ({mode}) failed: {type(error).__name__}: {text[:160]}") from error

    return step
