"""tinygrad: the whole training step under ``TinyJit``, on its CPU device; it needs ``clang`` (or another as ``CC``)."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphc.benchmarks.runner import Runner, RunnerError, Task, unable

__all__ = ["MODELS", "runners"]

Weights = Mapping[str, Any]


def _mlp(w: Weights, image: Any) -> Any:
    hidden = image.linear(w["hidden.weight"].T, w["hidden.bias"]).relu()
    return hidden.linear(w["scores.weight"].T, w["scores.bias"])


def _lenet(w: Weights, image: Any) -> Any:
    x = image.conv2d(w["conv1.weight"], w["conv1.bias"], padding=2).relu().max_pool2d()
    x = x.conv2d(w["conv2.weight"], w["conv2.bias"]).relu().max_pool2d().flatten(1)
    x = x.linear(w["dense1.weight"].T, w["dense1.bias"]).relu()
    x = x.linear(w["dense2.weight"].T, w["dense2.bias"]).relu()
    return x.linear(w["scores.weight"].T, w["scores.bias"])


def _cifar(w: Weights, image: Any) -> Any:
    x = image.conv2d(w["conv1.weight"], w["conv1.bias"], padding=1).relu()
    x = x.conv2d(w["conv2.weight"], w["conv2.bias"], padding=1).relu().max_pool2d()
    x = x.conv2d(w["conv3.weight"], w["conv3.bias"], padding=1).relu()
    x = x.conv2d(w["conv4.weight"], w["conv4.bias"], padding=1).relu().max_pool2d().flatten(1)
    x = x.linear(w["hidden.weight"].T, w["hidden.bias"]).relu()
    return x.linear(w["scores.weight"].T, w["scores.bias"])


#: Workload -> scores of weights and images.
MODELS: dict[str, Callable[..., Any]] = {"mlp": _mlp, "lenet": _lenet, "cifar": _cifar}


def runners(task: Task) -> Iterator[Runner]:
    """Give the step that ``TinyJit`` records."""
    name = "tinygrad TinyJit"
    if task.workload.name not in MODELS:
        yield unable(name)
        return
    os.environ.setdefault("DEV", "CPU")  # read when tinygrad is imported
    importlib.import_module("tinygrad.helpers").NUM_CPU_THREADS.value = task.threads
    yield Runner(name, _step(task))


def _step(task: Task) -> Callable[[], float]:
    tinygrad, helpers = (importlib.import_module(name) for name in ("tinygrad", "tinygrad.helpers"))
    optim = importlib.import_module("tinygrad.nn.optim")
    tensor, model, work = tinygrad.Tensor, MODELS[task.workload.name], task.workload
    state: list[Any] = []

    def prepared() -> Callable[[], Any]:
        weights = {name: tensor(array).is_param_() for name, array in task.parameters.items()}
        data = {name: tensor(array).realize() for name, array in task.data.items()}
        optimizer = optim.SGD(list(weights.values()), lr=work.learning_rate, momentum=work.momentum)

        def train() -> Any:
            with helpers.Context(TRAINING=1):
                optimizer.zero_grad()
                loss = model(weights, data["image"]).sparse_categorical_crossentropy(data["label"]).backward()
                return loss.realize(*optimizer.schedule_step())

        return tinygrad.TinyJit(train)

    def step() -> float:
        try:
            if not state:
                state.append(prepared())
            return state[0]().item()
        except FileNotFoundError as error:
            raise RunnerError(f"tinygrad compiles its kernels with clang: {error}") from error
        except (RuntimeError, AssertionError, subprocess.CalledProcessError) as error:
            raise RunnerError(f"tinygrad failed: {type(error).__name__}: {str(error)[:160]}") from error

    return step
