"""``graphc.compile``: from nodes to a callable step on planned, compiled kernels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy

from graphc.errors import DataError, PlanError, did_you_mean
from graphc.formula.size import extent_value
from graphc.gradients import Backward, backward
from graphc.graph.lookups import lifted
from graphc.graph.node import Node, topological
from graphc.graph.reference import bind_sizes, numeric_array
from graphc.graph.rolling import rolled
from graphc.graph.shapes import shape_text
from graphc.planning import SCHEDULES, Target, plan

if TYPE_CHECKING:
    from graphc.kernels.cpu.program import Program
    from graphc.planning import Plan

__all__ = ["Arrays", "Optimizer", "Step", "compile"]


class Optimizer(Protocol):
    """What `compile` needs of an optimiser."""

    learning_rate: float
    learning_rate_node: Node

    def updates(self, parameters: Mapping[str, tuple[Node, Node]]) -> list[tuple[Node, Node]]:
        """Return (leaf, next value) for parameters and optimiser states, from (parameter, gradient)."""
        ...


class Arrays(Mapping[str, numpy.ndarray]):
    """Arrays of a step by name: NumPy views of the memory that the kernels use."""

    def __init__(self, arrays: dict[str, numpy.ndarray], kind: str) -> None:
        self._arrays = arrays
        self._kind = kind

    def __getitem__(self, name: str) -> numpy.ndarray:
        if name not in self._arrays:
            raise DataError(f"no {self._kind} is named {name!r}{did_you_mean(name, self._arrays)}")
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __setitem__(self, name: str, value: Any) -> None:
        array = self[name]
        found = numpy.shape(value)
        if found not in ((), array.shape):
            raise DataError(f"{self._kind} {name!r} has shape {array.shape}, found {found}")
        array[...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{n!r}: {a.dtype}{list(a.shape)}' for n, a in self._arrays.items())}}}"


def compile(
    outputs: Node | Sequence[Node],
    *,
    gradients: bool | Iterable[Node | str] = False,
    optimizer: Optimizer | None = None,
    parameters: Mapping[str, numpy.ndarray] | None = None,
    target: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
    seed: int = 0,
    training: bool = True,
    check_numerics: bool = False,
) -> Step:
    """Plan, compile and return a callable step.

    Parameters
    ----------
    outputs : Node or sequence of Node
        What a call returns, in this order.
    gradients : bool or names, default False
        True asks for the gradients of the first output with respect to every trainable parameter; names or
        nodes ask for others (inputs too).
    optimizer : optional
        The step then updates the trainable parameters of the first output, which must be a scalar.
    parameters : mapping, optional
        Parameters of another step (``step.parameters``), shared, or arrays to start from.
    target : str, default ``"cpu"``
    dtype : str, default ``"float32"``
        Dtype of every float: ``"float32"`` or ``"float64"``.
    threads : int, optional
        Threads that share the work of a step; by default ``GRAPHC_THREADS``, or the processors at hand. A launch
        too small to share is run by one. Results have the same bits at every run with the same number of threads.
    seed : int, default 0
        Of the initialisers.
    training : bool, default True
        Whether updates of states are applied after each call, and what ``graphc.is_training()`` says.
    check_numerics : bool, default False
        Look at every result and report where a NaN or an infinity first appears (slower).

    Returns
    -------
    Step

    Raises
    ------
    PlanError
        If an option is unknown or the graph cannot be planned.
    KernelError
        If a kernel cannot be built.
    """
    nodes = [outputs] if isinstance(outputs, Node) else list(outputs)
    if not nodes or not all(isinstance(node, Node) for node in nodes):
        raise PlanError("compile needs at least one node: graphc.compile([loss])")
    if target != "cpu":
        raise PlanError(f"unknown target {target!r}; available: 'cpu'")
    if dtype not in ("float32", "float64"):
        raise PlanError(f"unknown dtype {dtype!r}; expected 'float32' or 'float64'")
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        raise PlanError(f"threads={threads!r} must be a whole number of at least 1")
    return Step(nodes, gradients, optimizer, parameters, dtype, threads, seed, training, check_numerics)


class Step:
    """A compiled graph. Call it with input arrays by name.

    Attributes
    ----------
    parameters : Arrays
        Parameters by name, views that may be written: ``step.parameters["w"][...] = array``.
    states, optimizer_state : Arrays
        States of the graph and of the optimiser.
    gradient_norm : float or None
        Norm of all gradients together at the last call, before clipping, where the optimiser clips by it.
    plan : Plan
        The launch plan.
    """

    def __init__(
        self,
        outputs: list[Node],
        gradients: bool | Iterable[Node | str],
        optimizer: Optimizer | None,
        parameters: Mapping[str, numpy.ndarray] | None,
        dtype: str,
        threads: int | None,
        seed: int,
        training: bool,
        check_numerics: bool,
    ) -> None:
        outputs = _rolled(outputs, gradients)
        self.outputs = outputs
        self.dtype = dtype
        self.optimizer = optimizer
        self.threads = threads
        wanted = _wanted(outputs, gradients)
        back = self._backward(outputs[0], wanted, optimizer)
        self.gradient_names = [node.label for node in wanted]
        graph_states = [n for n in topological(outputs) if n.kind == "state"]
        updates = _state_updates(graph_states) if training else []
        own_states: list[Node] = []
        if optimizer is not None and back is not None:
            trainable = _trainable(back.nodes)
            pairs = optimizer.updates({n.label: (n, back.grad(n)) for n in trainable if back.has_grad(n)})
            known = {id(n) for n in back.nodes}
            own_states = [leaf for leaf, _ in pairs if id(leaf) not in known]
            updates = [*updates, *pairs]
        gradient_nodes = {n.label: back.grad(n) for n in wanted} if back is not None else {}
        _check_inputs(outputs[0], gradient_nodes)
        self.plan, leaves = _plan(outputs, gradient_nodes, updates, dtype, training, fuse=not check_numerics)
        from graphc.kernels.cpu.program import Program

        self.program: Program = Program(self.plan, check_numerics=check_numerics, threads=threads)
        self._inputs = {n.label: (b, n) for b, n in leaves.items() if n.kind == "input"}
        self._shapes: tuple[tuple[int, ...], ...] | None = None  # of the inputs at the last call
        self._dtypes = numpy.dtype("int32"), numpy.dtype(dtype)  # of integers and of floats
        if optimizer is not None:
            self._rate = self._inputs.pop(optimizer.learning_rate_node.label, None)
            self._rate_value = numpy.zeros((), dtype)
        self._fill(leaves, own_states, parameters, seed)

    def _backward(self, root: Node, wanted: list[Node], optimizer: Optimizer | None) -> Backward | None:
        if not wanted and optimizer is None:
            return None
        nodes = list(wanted)
        if optimizer is not None:
            nodes += [n for n in _trainable(topological([root])) if n not in nodes]
        if not nodes:
            raise PlanError(f"nothing below {root.label!r} is a trainable parameter, so there is nothing to update")
        return backward(root, nodes)

    def _fill(
        self,
        leaves: dict[int, Node],
        own_states: list[Node],
        parameters: Mapping[str, numpy.ndarray] | None,
        seed: int,
    ) -> None:
        found: dict[str, dict[str, numpy.ndarray]] = {"parameter": {}, "state": {}, "optimizer": {}}
        own = {id(node) for node in own_states}
        for number, node in sorted(leaves.items(), key=lambda item: item[1].id):
            if node.kind == "input":
                continue
            if node.kind == "constant":
                self.program.array(number)[...] = node.value
                continue
            kind = "optimizer" if id(node) in own else node.kind
            given = parameters is not None and kind != "optimizer" and node.label in parameters
            shared = parameters[node.label] if parameters is not None and given else None
            if shared is not None:
                self._share(number, node, shared)
            elif parameters is not None and kind == "parameter":
                raise DataError(
                    f"parameters= has no {node.label!r}{did_you_mean(node.label, parameters)}\n"
                    f"  declared at {node.site}",
                    node=node,
                    site=node.site,
                )
            else:
                self.program.array(number)[...] = _initial(node, seed)
            found[kind][node.label] = self.program.array(number)
        self.parameters = Arrays(found["parameter"], "parameter")
        self.states = Arrays(found["state"], "state")
        self.optimizer_state = Arrays(found["optimizer"], "optimiser state")

    def _share(self, number: int, node: Node, shared: Any) -> None:
        array = self.program.array(number)
        if numpy.shape(shared) != array.shape:
            raise DataError(
                f"the shared parameter {node.label!r} has shape {numpy.shape(shared)}, expected {array.shape}\n"
                f"  declared at {node.site}",
                node=node,
                site=node.site,
            )
        same = isinstance(shared, numpy.ndarray) and shared.dtype == array.dtype and shared.flags.c_contiguous
        if same and shared.flags.writeable:
            self.program.bind(number, shared)
        else:
            array[...] = shared

    # ---- running ---------------------------------------------------------------------------------

    def __call__(self, **inputs: Any) -> Any:
        """Run once.

        Parameters
        ----------
        **inputs
            One array for each input, by name.

        Returns
        -------
        list of arrays, or (list of arrays, dict of gradients)
            Fresh arrays, one for each output; with ``gradients`` also a dict by name.

        Raises
        ------
        DataError
            If an input is missing, unknown, or does not fit its declaration.
        """
        arrays = self._arrays(inputs)
        shapes = tuple([array.shape for array in arrays.values()])
        if shapes != self._shapes:
            sizes = bind_sizes({self._inputs[name][1]: array for name, array in arrays.items()})
            missing = [name for name in self.plan.sizes if name not in sizes]
            if missing:
                raise DataError(f"the size {missing[0]} is not fixed by any input")
            self.program.resize(sizes)
            self._shapes = shapes
        for name, array in arrays.items():
            self.program.bind(self._inputs[name][0], array)
        if self.optimizer is not None and self._rate is not None:
            self._rate_value[...] = self.optimizer.learning_rate
            self.program.bind(self._rate[0], self._rate_value)
        self.program.run()
        values = [numpy.array(self.program.view(number)) for number in self.plan.outputs]
        if not self.gradient_names:
            return values
        gradients = {name: numpy.array(self.program.view(number)) for name, number in self.plan.gradients.items()}
        return values, gradients

    def _arrays(self, inputs: Mapping[str, Any]) -> dict[str, numpy.ndarray]:
        for name in inputs:
            if name not in self._inputs:
                raise DataError(
                    f"no input is named {name!r}{did_you_mean(name, self._inputs)}; "
                    f"inputs: {', '.join(self._inputs) or 'none'}"
                )
        arrays = {}
        for name, (_, node) in self._inputs.items():
            if name not in inputs:
                raise DataError(
                    f"the input {name!r} of shape {shape_text(node.shape)} is missing\n  declared at {node.site}",
                    node=node,
                    site=node.site,
                )
            arrays[name] = self._array(node, inputs[name])
        return arrays

    def _array(self, node: Node, value: Any) -> numpy.ndarray:
        if type(value) is numpy.ndarray and value.dtype == self._dtypes[node.is_float] and value.flags.c_contiguous:
            return value
        array = numeric_array(node, value)
        if node.is_float:
            return numpy.ascontiguousarray(array, dtype=self.dtype).reshape(array.shape)
        if array.dtype.itemsize > 4 or array.dtype == numpy.uint32:
            bounds = numpy.iinfo("int32")
            if array.size and (array.min() < bounds.min or array.max() > bounds.max):
                raise DataError(f"{node.label!r} holds values that do not fit int32", node=node, site=node.site)
        return numpy.ascontiguousarray(array, dtype="int32").reshape(array.shape)

    @property
    def gradient_norm(self) -> float | None:
        """Norm of all gradients together at the last call, before clipping; None unless the optimiser clips by it."""
        if getattr(self.optimizer, "clip_norm", None) is None or "gradient_norm" not in self.optimizer_state:
            return None
        return float(self.optimizer_state["gradient_norm"])

    # ---- looking inside ---------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """Text of every kernel."""
        return self.program.source()

    def report(self) -> str:
        """Which kernel serves which gate, with times where the step has run, and which formulas were made stable."""
        found: dict[str, dict[str, None]] = {}
        for node in topological(self.outputs):
            if node.application is not None:
                for rule in node.application.formula.rules:
                    found.setdefault(node.application.formula.name, {})[rule] = None
        lines = [self.program.report()]
        if found:
            rules = ", ".join(f"{name} ({', '.join(names)})" for name, names in found.items())
            lines += ["", *textwrap.wrap(f"formulas in stable form, by rule: {rules}", 110)]
        return "\n".join(lines)


def _plan(
    outputs: list[Node],
    gradients: dict[str, Node],
    updates: list[tuple[Node, Node]],
    dtype: str,
    training: bool,
    *,
    fuse: bool,
) -> tuple[Plan, dict[int, Node]]:
    from graphc.kernels.cpu.convolution import registers, vector_lanes

    # a tile for a chain has as many vectors as a unit has columns: with few registers, few examples are left for it
    schedules = SCHEDULES if registers() >= 32 else SCHEDULES - {"product_chain"}
    target = Target(vector_lanes("float32"), schedules)
    return plan(outputs, gradients, updates, dtype=dtype, training=training, fuse=fuse, shard=fuse, target=target)


def _rolled(outputs: list[Node], gradients: bool | Iterable[Node | str]) -> list[Node]:
    """Outputs whose loops are repeats and whose lookups are behind products.

    As they are, where a node that is asked for by name or by itself would not be there any more.
    """
    loops = rolled(outputs)
    chosen = [loops[node] for node in outputs]
    lookups = lifted(chosen)
    chosen = [lookups[node] for node in chosen]
    nodes = topological(outputs)
    states = [n for n in nodes if n.kind == "state" and n.update is not None]
    if chosen == outputs or states:
        return outputs
    asked = [] if isinstance(gradients, bool) else [gradients] if isinstance(gradients, str | Node) else list(gradients)
    left = topological(chosen)
    there = {*left, *(n.name for n in left)}
    return chosen if all(item in there for item in asked) else outputs


def _wanted(outputs: list[Node], gradients: bool | Iterable[Node | str]) -> list[Node]:
    if gradients is False:
        return []
    nodes = topological([outputs[0]])
    if gradients is True:
        found = _trainable(nodes)
        if not found:
            raise PlanError(
                f"gradients=True means the trainable parameters, but {outputs[0].label!r} has none; "
                "name what you want: gradients=['x']"
            )
        return found
    by_name = {n.name: n for n in nodes if n.name is not None}
    wanted = []
    for item in [gradients] if isinstance(gradients, str | Node) else gradients:
        node = item if isinstance(item, Node) else by_name.get(str(item))
        if node is None or node not in nodes:
            raise PlanError(f"gradients: nothing below {outputs[0].label!r} is named {item!r}"
                            f"{did_you_mean(str(item), by_name)}")  # fmt: skip
        wanted.append(node)
    return wanted


def _trainable(nodes: Iterable[Node]) -> list[Node]:
    return [n for n in nodes if n.kind == "parameter" and n.trainable and n.is_float]


def _state_updates(states: list[Node]) -> list[tuple[Node, Node]]:
    """Updates of states, and of states that only those updates read."""
    found: list[tuple[Node, Node]] = []
    seen = {id(state) for state in states}
    work = list(states)
    while work:
        state = work.pop(0)
        if state.update is None:
            continue
        found.append((state, state.update))
        for node in topological([state.update]):
            if node.kind == "state" and id(node) not in seen:
                seen.add(id(node))
                work.append(node)
    return found


def _check_inputs(root: Node, gradients: Mapping[str, Node]) -> None:
    names: dict[str, Node] = {}
    for node in topological([root, *gradients.values()]):
        if node.kind == "input":
            other = names.setdefault(node.label, node)
            if other is not node:
                raise PlanError(
                    f"two inputs are named {node.label!r}: declared at {other.site} and {node.site}; rename one",
                    node=node,
                    site=node.site,
                )


def _initial(node: Node, seed: int) -> Any:
    """Initial array of a parameter or state; the generator depends on seed and name, not on the order."""
    if node.initial is None:
        return 0.0
    if not callable(node.initial):
        return node.initial
    shape = tuple(extent_value(extent, {}) for extent in node.shape)
    stream = numpy.random.SeedSequence([seed, *node.label.encode()])
    value = numpy.asarray(node.initial(shape, numpy.random.default_rng(stream)))
    if value.shape != shape:
        raise DataError(
            f"the initialiser of {node.label!r} returned shape {value.shape}, expected {shape}\n"
            f"  declared at {node.site}",
            node=node,
            site=node.site,
        )
    return value
