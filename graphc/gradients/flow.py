"""Gradient flow through time, as numbers: how much of the loss each step feels, and how far the first input is felt.

A plain recurrence multiplies by the same kind of matrix at every step, so that gradients fade or explode; a long
short-term memory lets them pass where its gates are open. `Run.flow` measures both, for any cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from graphc.errors import DerivativeError, did_you_mean
from graphc.formula.size import Size, extent_value
from graphc.graph import registry, verbs
from graphc.graph.node import Node, topological
from graphc.graph.reference import evaluate, evaluate_all
from graphc.graph.repeating import Unrolling

if TYPE_CHECKING:
    from graphc.gradients.run import Run

__all__ = ["Flow", "flow"]

#: Cells with more states than this have no Jacobian computed.
_STATES = 1024


@dataclass(frozen=True)
class Flow:
    """What passes through a repeat, in the order of its steps; norms are Euclidean, over everything but the steps.

    Attributes
    ----------
    name : str
        Of the repeat.
    states : mapping of str to array, (T + 1,)
        |dL/ds_t| for each state s: 0 before the first step, T behind the last.
    gates : mapping of str to array, (T,)
        |dL/dg_t| for each tensor that a gate of the cell makes: the share of the gradient that goes through it.
    values : mapping of str to array, (T,)
        Mean of each of these tensors: how open a gate is.
    sensitivity : mapping of str to array, (T,)
        |ds_t/dx_1|: how strongly the state behind each step still depends on the first input (Frobenius norm of the
        Jacobian, of one example).
    """

    name: str
    states: Mapping[str, numpy.ndarray]
    gates: Mapping[str, numpy.ndarray]
    values: Mapping[str, numpy.ndarray]
    sensitivity: Mapping[str, numpy.ndarray]

    def draw(self, path: Any = None, **options: Any) -> Any:
        """Draw the flow: a row of boxes for each state, shaded by its sensitivity, and bars over the steps.

        Parameters
        ----------
        path : str or path, optional
            Where to write it; the suffix decides.
        **options
            ``theme=``, and ``gates=``: names of `values` to draw as bars.
        """
        picture = verbs.lookup("flow_drawing")(self, **options)
        if path is not None:
            picture.save(path)
        return picture

    def _repr_svg_(self) -> str:
        return self.draw().svg()

    def __str__(self) -> str:
        columns = {f"|dL/d{name}|": norms[1:] for name, norms in self.states.items()}
        columns |= {f"|d{name}/dx_1|": norms for name, norms in self.sensitivity.items()}
        rows = [f"{'step':>6}" + "".join(f"{title:>14}" for title in columns)]
        for t, numbers in enumerate(zip(*columns.values(), strict=True), 1):
            rows += [f"{t:>6}" + "".join(f"{number:>14.4g}" for number in numbers)]
        return "\n".join(rows)


def flow(run: Run, name: str | None = None, *, example: int = 0) -> Flow:
    """Measure the flow through a repeat of a run's graph; see `Run.flow`."""
    found = {id(n.application): n.application for n in run.back.nodes if isinstance(n.application, Unrolling)}
    by_name = {application.formula.name: application for application in found.values()}
    if name is None and len(found) == 1:
        (application,) = found.values()
    elif name in by_name:
        application = by_name[name]
    else:
        asked = "it has no loop" if not found else f"name one of {', '.join(map(repr, by_name))}"
        hint = did_you_mean(name, by_name) if name is not None and found else ""
        raise DerivativeError(f"flow needs a graph with a repeat; {asked}{hint} (graphc.unroll keeps a cell once)")
    tensors = dict(zip(application.formula.outputs, application.outputs, strict=True))
    gradients = {t: run.back.gradient_of(n) for t, n in tensors.items()}
    roots = [*tensors.values(), *(g for g in gradients.values() if g is not None)]
    values = evaluate_all(roots, run.given)
    count = extent_value(application.steps, run.sizes)
    names = {tensor: _shown(application, tensor) for tensor in tensors}
    states, gates, means = {}, {}, {}
    order = slice(None, None, -1 if application.backward else 1)  # as steps are taken
    carried = {application.places[n][0] for n in application.cell.states}
    for tensor, node in tensors.items():
        value, gradient = values[node], gradients[tensor]
        if tensor in carried:
            states[names[tensor]] = _norms(values[gradient])[order] if gradient is not None else numpy.zeros(len(value))
        elif node.is_float and value.ndim and len(value) == count and not tensor.endswith(("_steps", "_last")):
            gates[names[tensor]] = _norms(values[gradient])[order] if gradient is not None else numpy.zeros(count)
            means[names[tensor]] = value.reshape(count, -1).mean(axis=1)[order]
    return Flow(application.formula.name, states, gates, means, _sensitivity(run, application, values, names, example))


def _norms(gradient: numpy.ndarray) -> numpy.ndarray:
    return numpy.sqrt((gradient.reshape(len(gradient), -1) ** 2).sum(axis=1))


def _shown(application: Unrolling, tensor: str) -> str:
    """The name by which people know a tensor: without the number of its row before the first step."""
    for k, node in enumerate(application.cell.states):
        if application.places[node][0] == tensor:
            follows = application.cell.following[k]
            return follows.name or application.initial[k].name or tensor
    return tensor


def _sensitivity(
    run: Run, application: Unrolling, values: Mapping[Node, numpy.ndarray], names: Mapping[str, str], example: int
) -> dict[str, numpy.ndarray]:
    """|ds_t/dx_1| by the chain of the Jacobians of single steps."""
    cell = application.cell
    tensors = dict(zip(application.formula.outputs, application.outputs, strict=True))
    inputs = [n for n in cell.inputs if n.is_float]
    states = [n for n in cell.states if n.is_float]
    following = [f for f, n in zip(cell.following, cell.states, strict=True) if n.is_float]
    batch = {n.shape[0] for n in (*states, *cell.inputs) if n.shape}
    one = len(batch) == 1 and isinstance(next(iter(batch)), Size) and all(n.shape for n in (*states, *cell.inputs))
    if not inputs or not states or not one:
        return {}
    (size,) = batch
    shapes = [tuple(int(str(e)) for e in n.shape[1:]) for n in states]
    counts = [int(numpy.prod(shape)) for shape in shapes]
    total = sum(counts)
    if total > _STATES:
        return {}
    # every unit of the states is an example of its own: one sweep gives all rows of a Jacobian
    seeds = [Node("input", n.shape, n.dtype, n.site, name=f"seed{k}") for k, n in enumerate(states)]
    terms = [registry.call("sum", registry.call("mul", f, s)) for f, s in zip(following, seeds, strict=True)]
    root = terms[0]
    for term in terms[1:]:
        root = registry.call("add", root, term)
    from graphc.gradients.backward import backward

    back = backward(root, [n for n in (*inputs, *states) if n in topological([root])])
    wrt = {n: back.grad(n) for n in (*inputs, *states) if n in back.nodes}
    identity = numpy.eye(total)
    given: dict[Node, numpy.ndarray] = {}
    begin = 0
    for seed, shape, width in zip(seeds, shapes, counts, strict=True):
        given[seed] = identity[:, begin : begin + width].reshape(total, *shape)
        begin += width
    stand_ins = {*cell.inputs, *cell.states, *seeds}
    for node in topological([root]):
        if node.application is None and node not in stand_ins and node in run.given:
            value = numpy.asarray(run.given[node])
            axes = [d for d, e in enumerate(node.shape) if e == size]
            if axes:
                value = numpy.repeat(numpy.take(value, [example], axis=axes[0]), total, axis=axes[0])
            given[node] = value
    sequences = dict(zip(cell.inputs, evaluate(application.sequences, run.given), strict=True))
    length = len(next(iter(sequences.values())))
    order = range(length)[::-1] if application.backward else range(length)
    chain: numpy.ndarray | None = None
    result: dict[str, list[float]] = {names[application.places[n][0]]: [] for n in states}
    for t in order:
        for node, array in sequences.items():
            given[node] = numpy.repeat(array[t][[example]], total, axis=0)
        for node in cell.states:
            tensor, _ = application.places[node]
            row = values[tensors[tensor]][t + 1 if application.backward else t]
            given[node] = numpy.repeat(row[[example]], total, axis=0)
        found = dict(zip(wrt, evaluate(wrt.values(), given), strict=True))
        if chain is None:
            chain = numpy.concatenate([found[n].reshape(total, -1) for n in inputs if n in found], axis=1)
        else:
            step = numpy.concatenate(
                [found[n].reshape(total, -1) if n in found else numpy.zeros((total, w))
                 for n, w in zip(states, counts, strict=True)], axis=1,
            )  # fmt: skip
            chain = step @ chain
        begin = 0
        for node, width in zip(states, counts, strict=True):
            part = chain[begin : begin + width]
            result[names[application.places[node][0]]].append(float(numpy.sqrt((part**2).sum())))
            begin += width
    return {name: numpy.array(norms) for name, norms in result.items()}
