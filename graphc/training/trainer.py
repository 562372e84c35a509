"""``Trainer``: a compiled step, driven over data, with a history and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy

from graphc.errors import CheckpointError, DataError, DerivativeError, GraphcError, did_you_mean
from graphc.graph import Node, topological, verbs
from graphc.graph.shapes import shape_text
from graphc.kernels import compile as compile_step
from graphc.training.batches import Batches, batch_axis, batch_size_name, whole_number
from graphc.training.checkpoint import read_checkpoint, write_checkpoint
from graphc.training.graph_text import graph_from, graph_to
from graphc.training.history import History
from graphc.training.optimizers import Optimizer, optimizer_from

__all__ = ["Trainer"]


class Trainer:
    """Trains the parameters below a loss.

    Parameters
    ----------
    loss : Node, scalar
        What is minimised: a mean over the examples of a batch.
    optimizer : Optimizer
        `SGD` or `Adam`; ``trainer.optimizer.learning_rate = 0.01`` acts at the next step.
    metrics : mapping of str to Node, optional
        Scalars evaluated beside the loss, averaged over examples.
    target : str, default ``"cpu"``
        Where the step runs.
    dtype : str, default ``"float32"``
        Dtype of every float.
    seed : int, default 0
        Of the initialisers and of the order of the examples: equal seeds give equal bits.
    threads : int, optional
        Threads of the step; by default what the machine offers.
    check_numerics : bool, default False
        Report where a NaN or an infinity first appears (slower).

    Attributes
    ----------
    parameters, states, optimizer_state : mapping
        Arrays by name; they may be written.
    history : History
        Every epoch so far, across calls of `fit` and across checkpoints.
    epoch, steps : int
        Epochs and steps so far.

    Raises
    ------
    DerivativeError
        If the loss is not a float scalar, or a metric is not a scalar.
    PlanError, KernelError
        If the graph cannot be compiled.
    """

    def __init__(
        self,
        loss: Node,
        *,
        optimizer: Optimizer,
        metrics: Mapping[str, Node] | None = None,
        target: str = "cpu",
        dtype: str = "float32",
        seed: int = 0,
        threads: int | None = None,
        check_numerics: bool = False,
    ) -> None:
        self.loss = _scalar(loss, "the loss")
        self.metrics = {str(name): _scalar(node, f"the metric {name!r}") for name, node in (metrics or {}).items()}
        reserved = [n for n in self.metrics if n in ("epoch", "loss", "seconds", "learning rate", "gradient_norm")]
        if reserved:
            raise DataError(f"a metric cannot be called {reserved[0]!r}: the history has a column of that name")
        if not isinstance(optimizer, Optimizer):
            raise GraphcError(
                f"optimizer must be an optimiser such as graphc.SGD(0.05, momentum=0.9), found {optimizer!r}"
            )
        self.optimizer = optimizer
        self.target, self.dtype, self.threads = target, dtype, threads
        self.seed = whole_number("seed", seed, 0)
        self.check_numerics = check_numerics
        self.history = History()
        self.epoch = 0
        self.steps = 0
        self._roots = [self.loss, *self.metrics.values()]
        self._step = compile_step(
            self._roots,
            optimizer=optimizer,
            target=target,
            dtype=dtype,
            threads=threads,
            seed=self.seed,
            check_numerics=check_numerics,
        )
        self._forward: dict[int, Any] = {}  # id of a node -> (node, compiled step without training)
        self._evaluation: Any = None

    # ---- what is trained -------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, numpy.ndarray]:
        """Parameters by name."""
        return self._step.parameters

    @property
    def states(self) -> Mapping[str, numpy.ndarray]:
        """States of the graph by name."""
        return self._step.states

    @property
    def optimizer_state(self) -> Mapping[str, numpy.ndarray]:
        """States of the optimiser by name."""
        return self._step.optimizer_state

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Inputs that training needs."""
        return _inputs(self._roots)

    def node(self, name: str) -> Node:
        """Return a named node of the graph: how one finds ``scores`` again after `load`.

        Raises
        ------
        DataError
            If there is none.
        """
        by_name = {n.name: n for n in topological(self._roots) if n.name is not None}
        if name not in by_name:
            raise DataError(
                f"no node is named {name!r}{did_you_mean(name, by_name)}; names: {', '.join(by_name) or 'none'}"
            )
        return by_name[name]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(self.loss, text=repr(self), style="cards")

    def __repr__(self) -> str:
        count = sum(array.size for array in self.parameters.values())
        return f"<Trainer of {self.loss.label!r}: {count:,} parameters, {self.optimizer!r}, epoch {self.epoch}>"

    # ---- training --------------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        batch_size: int = 64,
        epochs: int = 1,
        *,
        shuffle: bool = True,
        validation: Any = None,
        progress: bool = True,
    ) -> History:
        """Train for some epochs.

        Parameters
        ----------
        train : dict of arrays, Dataset, or iterable of dicts
            Every input by name. Arrays are cut into batches along their named size; the last, smaller batch
            is trained too. An iterable gives the batches itself.
        batch_size : int, default 64
            Examples a step.
        epochs : int, default 1
            Passes over the data.
        shuffle : bool, default True
            Whether each epoch takes the examples in its own random order, which depends only on ``seed`` and
            the number of the epoch. Iterables keep their order.
        validation : as ``train``, optional
            Data evaluated after each epoch, never trained.
        progress : bool, default True
            Whether a progress bar is shown, where the output is a terminal.

        Returns
        -------
        History
            The epochs of this call; ``trainer.history`` has all. The loss and the metrics of an epoch are
            means over its examples, each as they were when its step began; so is ``gradient_norm``, the norm of the
            gradients before clipping, where the optimiser clips by it.

        Raises
        ------
        DataError
            If the data do not fit, or the loss is no longer a finite number.
        """
        size = whole_number("batch_size", batch_size, 1)
        passes = whole_number("epochs", epochs, 1)
        data = Batches(train, self.inputs, "training data")
        if passes > 1 and data.once():
            raise DataError(
                f"training data: a generator can be gone through once, but epochs={passes}; hand in a list of "
                "batches or an object whose __iter__ starts afresh"
            )
        judged = None if validation is None else Batches(validation, self.inputs, "validation data")
        if judged is not None and passes > 1 and judged.once():
            raise DataError("validation data: a generator can be gone through once; hand in a list of batches")
        result = History()
        with _progress(progress, passes, data.steps(size)) as advance:
            for _ in range(passes):
                row = self._epoch(data, size, shuffle, advance)
                if judged is not None:
                    means = self._evaluate(judged, size)
                    row |= {f"validation {name}": value for name, value in means.items()}
                row["seconds"] = row.pop("seconds")  # the last column of the table
                result.append(row)
                self.history.append(row)
        return result

    def _epoch(self, data: Batches, size: int, shuffle: bool, advance: Any) -> dict[str, float]:
        order = None
        if shuffle and data.count is not None:
            order = numpy.random.default_rng([self.seed, self.epoch]).permutation(data.count)
        start = time.perf_counter()
        rate = self.optimizer.learning_rate
        totals, norms, examples = numpy.zeros(len(self._roots)), 0.0, 0
        for number, (batch, count) in enumerate(data.batches(size, order), 1):
            values = self._step(**batch)
            loss = float(values[0])
            if not math.isfinite(loss):
                raise DataError(self._lost(loss, number, count), node=self.loss, site=self.loss.site)
            totals += count * numpy.array([float(value) for value in values])
            norms += count * (self._step.gradient_norm or 0.0)
            examples += count
            self.steps += 1
            advance(self.epoch + 1, totals[0] / examples)
        self.epoch += 1
        means = totals / examples
        row: dict[str, float] = {"epoch": self.epoch}
        row |= {name: float(m) for name, m in zip(["loss", *self.metrics], means, strict=True)}
        if self._step.gradient_norm is not None:
            row["gradient_norm"] = norms / examples
        row["learning rate"] = rate
        row["seconds"] = time.perf_counter() - start
        return row

    def _lost(self, loss: float, step: int, count: int) -> str:
        return (
            f"the loss is {loss} at epoch {self.epoch + 1}, step {step} (a batch of {count}); training has "
            f"stopped, and the parameters are no longer usable. Try a smaller learning rate than "
            f"{self.optimizer.learning_rate:g}, look for NaN in the data, or a logarithm or quotient that "
            f"leaves its domain; Trainer(..., check_numerics=True) names the gate where it first appears\n"
            f"  declared at {self.loss.site}"
        )

    # ---- using what was trained ------------------------------------------------------------------

    def evaluate(self, data: Any, batch_size: int = 256) -> dict[str, float]:
        """Return loss and metrics on data, as means over the examples; nothing is trained.

        Raises
        ------
        DataError
            If the data do not fit.
        """
        size = whole_number("batch_size", batch_size, 1)
        return self._evaluate(Batches(data, self.inputs, "evaluation data"), size)

    def _evaluate(self, data: Batches, size: int) -> dict[str, float]:
        if self._evaluation is None:
            self._evaluation = self._compiled(self._roots)
        totals, examples = numpy.zeros(len(self._roots)), 0
        for batch, count in data.batches(size):
            totals += count * numpy.array([float(value) for value in self._evaluation(**batch)])
            examples += count
        means = totals / examples
        return {name: float(m) for name, m in zip(["loss", *self.metrics], means, strict=True)}

    def predict(self, node: Node | str, batch_size: int | None = None, **inputs: Any) -> numpy.ndarray:
        """Evaluate a node with the trained parameters.

        Parameters
        ----------
        node : Node or str
            What to evaluate: a node, or the name of one below the loss or a metric.
        batch_size : int, optional
            Examples at a time; by default all at once.
        **inputs
            Arrays of the inputs that the node needs.

        Returns
        -------
        numpy.ndarray, shape of the node

        Raises
        ------
        DataError
            If an input is missing or does not fit.
        """
        if not isinstance(node, Node):
            node = self.node(str(node))
        if id(node) not in self._forward:
            self._forward[id(node)] = (node, self._compiled([node]))
        step = self._forward[id(node)][1]
        if batch_size is None:
            return step(**inputs)[0]
        size = whole_number("batch_size", batch_size, 1)
        needed = _inputs([node])
        axis = batch_axis(node, batch_size_name(needed))
        if axis is None:
            raise DataError(
                f"{node.label!r} of shape {shape_text(node.shape)} has no row for each example, so it cannot be "
                "evaluated in batches; leave batch_size away",
                node=node,
                site=node.site,
            )
        data = Batches(inputs, needed, "inputs")
        return numpy.concatenate([step(**batch)[0] for batch, _ in data.batches(size)], axis=axis)

    def _compiled(self, nodes: list[Node]) -> Any:
        return compile_step(
            nodes,
            parameters={**self.parameters, **self.states},
            target=self.target,
            dtype=self.dtype,
            threads=self.threads,
            seed=self.seed,
            training=False,
            check_numerics=self.check_numerics,
        )

    # ---- checkpoints -----------------------------------------------------------------------------

    def save(self, path: Any) -> Path:
        """Write a checkpoint: graph, parameters, states, optimiser, history, and where the training stands.

        The file appears whole or not at all: what stood there before stays if writing fails.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        graph, tensors = graph_to(self._roots)
        content = {
            "graph": graph,
            "metrics": list(self.metrics),
            "optimizer": self.optimizer.settings(),
            "options": {"target": self.target, "dtype": self.dtype},
            "epoch": self.epoch,
            "steps": self.steps,
            # initialisers and the order of the examples depend on the seed and on the epoch only
            "random": {"seed": self.seed, "epoch": self.epoch},
            "history": self.history.rows,
        }
        for kind, arrays in self._stored().items():
            tensors |= {f"{kind}/{name}": array for name, array in arrays.items()}
        return write_checkpoint(path, content, tensors)

    def _stored(self) -> dict[str, Mapping[str, numpy.ndarray]]:
        return {"parameter": self.parameters, "state": self.states, "optimizer": self.optimizer_state}

    @classmethod
    def load(
        cls,
        path: Any,
        *,
        target: str | None = None,
        threads: int | None = None,
        check_numerics: bool = False,
    ) -> Trainer:
        """Read a checkpoint; training goes on as if it had never stopped.

        Parameters
        ----------
        path : str or path
            File written by `save`. Nothing in it is executed.
        target : str, optional
            Where to run; by default where it ran before.

        Raises
        ------
        CheckpointError
            If the file is missing, truncated, damaged, or not a checkpoint.
        """
        content, tensors = read_checkpoint(path)
        try:
            return cls._restored(content, tensors, target, threads, check_numerics)
        except CheckpointError as error:
            raise CheckpointError(f"the checkpoint {str(path)!r} cannot be loaded: {error}") from error
        except (GraphcError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CheckpointError(
                f"the checkpoint {str(path)!r} cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    @classmethod
    def _restored(
        cls,
        content: Mapping[str, Any],
        tensors: Mapping[str, numpy.ndarray],
        target: str | None,
        threads: int | None,
        check_numerics: bool,
    ) -> Trainer:
        nodes, roots = graph_from(content["graph"], tensors)
        for node in nodes:
            if node.kind in ("parameter", "state"):
                array = _tensor(tensors, f"{node.kind}/{node.label}")
                if array.shape != node.shape:
                    raise CheckpointError(
                        f"{node.label!r} is declared with shape {shape_text(node.shape)}, its tensor has {array.shape}"
                    )
                node.initial = array.astype("float64")
        names = [str(name) for name in content["metrics"]]
        trainer = cls(
            roots[0],
            optimizer=optimizer_from(content["optimizer"]),
            metrics=dict(zip(names, roots[1:], strict=True)),
            target=target or content["options"]["target"],
            dtype=content["options"]["dtype"],
            seed=content["random"]["seed"],
            threads=threads,
            check_numerics=check_numerics,
        )
        for kind, arrays in trainer._stored().items():
            stored = {name for name in tensors if name.startswith(f"{kind}/")}
            surplus = sorted(stored - {f"{kind}/{name}" for name in arrays})
            if surplus:
                raise CheckpointError(f"the tensor {surplus[0]!r} belongs to nothing in the graph")
            for name, array in arrays.items():
                saved = _tensor(tensors, f"{kind}/{name}")
                if saved.shape != array.shape:
                    raise CheckpointError(f"{name!r} has shape {array.shape}, its tensor has {saved.shape}")
                array[...] = saved
        trainer.epoch = whole_number("epoch", content["epoch"], 0)
        trainer.steps = whole_number("steps", content["steps"], 0)
        trainer.history = History([{str(k): float(v) for k, v in row.items()} for row in content["history"]])
        return trainer


def _tensor(tensors: Mapping[str, numpy.ndarray], name: str) -> numpy.ndarray:
    if name not in tensors:
        raise CheckpointError(f"the file has no tensor {name!r}")
    return tensors[name]


def _scalar(node: Any, what: str) -> Node:
    if not isinstance(node, Node):
        raise DerivativeError(f"{what} must be a node, found {type(node).__name__}")
    if node.shape != ():
        raise DerivativeError(
            f"{what} must be a scalar, but {node.label!r} has shape {shape_text(node.shape)}; reduce it with "
            f"graphc.mean or graphc.sum\n  declared at {node.site}",
            node=node,
            shapes=(node.shape,),
            site=node.site,
        )
    return node


def _inputs(roots: list[Node]) -> tuple[Node, ...]:
    return tuple(node for node in topological(roots) if node.kind == "input")


@contextmanager
def _progress(wanted: bool, epochs: int, steps: int | None) -> Iterator[Any]:
    """Show a progress bar on a terminal; gives a function to call after each step."""
    import sys

    if not wanted or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} steps"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=None if steps is None else epochs * steps)

        def advance(epoch: int, loss: float) -> None:
            bar.update(task, advance=1, description=f"epoch {epoch}, loss {loss:.4f}")

        yield advance
