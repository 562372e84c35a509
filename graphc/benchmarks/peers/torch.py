"""PyTorch: eager and compiled, each in both memory formats.

The models are written with ``torch.nn.functional`` over a dict of weights, which spends less time in Python than
modules do; the optimiser is the fused one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from graphc.benchmarks.runner import Runner, RunnerError, Task

__all__ = ["MODELS", "runners"]

Weights = Mapping[str, Any]


def _functional() -> Any:
    return importlib.import_module("torch.nn.functional")


def _mlp(w: Weights, _: Weights, image: Any) -> Any:
    f = _functional()
    hidden = f.relu(f.linear(image, w["hidden.weight"], w["hidden.bias"]))
    return f.linear(hidden, w["scores.weight"], w["scores.bias"])


def _lenet(w: Weights, _: Weights, image: Any) -> Any:
    f = _functional()
    x = f.max_pool2d(f.relu(f.conv2d(image, w["conv1.weight"], w["conv1.bias"], padding=2)), 2)
    x = f.max_pool2d(f.relu(f.conv2d(x, w["conv2.weight"], w["conv2.bias"])), 2).flatten(1)
    x = f.relu(f.linear(x, w["dense1.weight"], w["dense1.bias"]))
    x = f.relu(f.linear(x, w["dense2.weight"], w["dense2.bias"]))
    return f.linear(x, w["scores.weight"], w["scores.bias"])


def _cifar(w: Weights, _: Weights, image: Any) -> Any:
    f = _functional()
    x = f.relu(f.conv2d(image, w["conv1.weight"], w["conv1.bias"], padding=1))
    x = f.max_pool2d(f.relu(f.conv2d(x, w["conv2.weight"], w["conv2.bias"], padding=1)), 2)
    x = f.relu(f.conv2d(x, w["conv3.weight"], w["conv3.bias"], padding=1))
    x = f.max_pool2d(f.relu(f.conv2d(x, w["conv4.weight"], w["conv4.bias"], padding=1)), 2).flatten(1)
    x = f.relu(f.linear(x, w["hidden.weight"], w["hidden.bias"]))
    return f.linear(x, w["scores.weight"], w["scores.bias"])


def _resnet20(w: Weights, s: Weights, image: Any) -> Any:
    f = _functional()

    def normed(x: Any, name: str, stride: int = 1) -> Any:
        weight = w[f"{name}.weight"]
        x = f.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        running = s[f"{name}.norm.mean"], s[f"{name}.norm.variance"]
        return f.batch_norm(x, *running, w[f"{name}.norm.gain"], w[f"{name}.norm.bias"], training=True, momentum=0.1)

    x = f.relu(normed(image, "stem"))
    for number in range(1, 10):
        stride = 2 if number in (4, 7) else 1
        y = f.relu(normed(x, f"block{number}.first", stride))
        y = normed(y, f"block{number}.second")
        x = f.relu(y + (normed(x, f"block{number}.beside", stride) if stride == 2 else x))
    return f.linear(x.mean((2, 3)), w["scores.weight"], w["scores.bias"])


def _circuit(w: Weights, _: Weights, x0: Any, x1: Any) -> Any:
    return (1.0 + (-(w["w0"] * x0 + w["w1"] * x1 + w["w2"])).exp()).reciprocal()


def _recurrent(shown: Callable[..., Any]) -> Callable[..., Any]:
    """Characters, the function that ``nn.LSTM`` and its like call, and scores of every step.

    That function loops over the steps itself. ``torch.compile`` leaves it as it is, as it does with the modules: the
    steps written out take minutes to compile and are slower.
    """

    def loss(w: Weights, _: Weights, tokens: Any, following: Any) -> Any:
        torch, f = importlib.import_module("torch"), _functional()
        rows = f.embedding(tokens, w["embedding.weight"])
        # PyTorch wants two biases; where graphc has one, the other is zero and not trained
        second = w["cell.bias_h"] if "cell.bias_h" in w else torch.zeros_like(w["cell.bias"])
        weights = [w["cell.weight_x"], w["cell.weight_h"], w["cell.bias"], second]
        zero = rows.new_zeros(1, tokens.shape[1], w["cell.weight_h"].shape[1])
        # biases, one layer, no dropout, training, one direction, steps first
        states = torch.compiler.disable(shown)(torch, rows, zero, weights, (True, 1, 0.0, True, False, False))
        scores = f.linear(states, w["scores.weight"], w["scores.bias"])
        return f.cross_entropy(scores.flatten(0, 1), following.flatten())

    return loss


def _rnn(torch: Any, rows: Any, zero: Any, weights: list[Any], options: tuple[Any, ...]) -> Any:
    return torch.rnn_tanh(rows, zero, weights, *options)[0]


def _lstm(torch: Any, rows: Any, zero: Any, weights: list[Any], options: tuple[Any, ...]) -> Any:
    return torch.lstm(rows, (zero, zero), weights, *options)[0]


def _gru(torch: Any, rows: Any, zero: Any, weights: list[Any], options: tuple[Any, ...]) -> Any:
    return torch.gru(rows, zero, weights, *options)[0]


def _classified(scores: Callable[[Weights, Weights, Any], Any]) -> Callable[..., Any]:
    return lambda w, s, image, label: _functional().cross_entropy(scores(w, s, image), label)


#: Workload -> loss of weights, states and data.
MODELS: dict[str, Callable[..., Any]] = {
    "mlp": _classified(_mlp),
    "lenet": _classified(_lenet),
    "cifar": _classified(_cifar),
    "resnet20": _classified(_resnet20),
    "circuit": _circuit,
    "rnn": _recurrent(_rnn),
    "lstm128": _recurrent(_lstm),
    "lstm256": _recurrent(_lstm),
    "gru": _recurrent(_gru),
}


def runners(task: Task) -> Iterator[Runner]:
    """Give eager and compiled steps, for images with contiguous channels and with channels last."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(task.threads)
    formats = (False, True) if task.workload.convolutional else (False,)
    for compiled in (False, True):
        for last in formats:
            name = "PyTorch compiled" if compiled else "PyTorch eager"
            if task.workload.convolutional:
                name += ", channels last" if last else ", contiguous"
            yield Runner(name, _step(torch, task, last, compiled))


def _step(torch: Any, task: Task, channels_last: bool, compiled: bool) -> Callable[[], float]:
    def tensor(array: Any) -> Any:
        # labels are indices, which PyTorch wants as 64-bit numbers
        found = torch.tensor(array, dtype=torch.int64 if array.dtype.kind == "i" else torch.float32)
        return found.to(memory_format=torch.channels_last) if channels_last and found.ndim == 4 else found

    weights = {name: tensor(array).requires_grad_() for name, array in task.parameters.items()}
    states = {name: tensor(array) for name, array in task.states.items()}
    data = {name: tensor(array) for name, array in task.data.items()}
    work = task.workload
    optimizer = torch.optim.SGD(list(weights.values()), lr=work.learning_rate, momentum=work.momentum, fused=True)
    model = MODELS[work.name]

    def plain(w: Weights, s: Weights, inputs: Weights) -> Any:
        return model(w, s, **inputs)

    loss_of = torch.compile(plain) if compiled else plain

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        try:
            loss = loss_of(weights, states, data)
        except (RuntimeError, OSError, ImportError) as error:
            if not compiled:
                raise
            # no C++ compiler, no Python headers, or a defect of the compiler
            raise RunnerError(f"torch.compile failed: {_short(error)}") from error
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines).partition(" Set TORCHDYNAMO_VERBOSE")[0]  # advice for developers of PyTorch
    return f"{type(error).__name__}: {text[:160]}"
