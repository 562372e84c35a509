"""Gradient flow through time, as numbers: how much of the loss each step feels, and how far the first input is felt.

A plain recurrence multiplies by the same kind of matrix at every step, so that gradients fade or explode; a long
short-term memory lets them pass where its gates are open. `Run.flow` measures both, for any cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from graphc.formula.size import Size, extent_value
from graphc.gradients.through_time import repeat_of, rolled_run, values_inside
from graphc.graph import registry, verbs
from graphc.graph.node import Node, topological
from graphc.graph.reference import evaluate
from graphc.graph.repeating import Unrolling

if TYPE_CHECKING:
    from graphc.gradients.run import Run

__all__ = ["Flow", "flow", "state_name"]

#: Cells with more units of their states than this have no Jacobian computed, nor have, where examples are no named size
#: and each unit of each step takes a sweep of its own, repeats with more sweeps than this.
_STATES, _SWEEPS = 1024, 2000


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
        Jacobian, of one example; of the whole state where the number of examples is no named size).
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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        """What a notebook shows."""
        return verbs.lookup("notebook_bundle")(self.draw(), text=str(self))

    def __str__(self) -> str:
        columns = {f"|dL/d{name}|": norms[1:] for name, norms in self.states.items()}
        columns |= {f"|d{name}/dx_1|": norms for name, norms in self.sensitivity.items()}
        rows = [f"{'step':>6}" + "".join(f"{title:>14}" for title in columns)]
        for t, numbers in enumerate(zip(*columns.values(), strict=True), 1):
            rows += [f"{t:>6}" + "".join(f"{number:>14.4g}" for number in numbers)]
        return "\n".join(rows)


def flow(run: Run, name: str | None = None, *, example: int = 0) -> Flow:
    """Measure the flow through a repeat of a run's graph, or through a loop written by hand; see `Run.flow`."""
    run = rolled_run(run)
    application = repeat_of(run.back.nodes, name)
    tensors = dict(zip(application.formula.outputs, application.outputs, strict=True))
    gradients = {t: run.back.gradient_of(n) for t, n in tensors.items()}
    values = values_inside(run, application)
    count = extent_value(application.steps, run.sizes)
    names = {tensor: state_name(application, tensor) for tensor in tensors}
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


def state_name(application: Unrolling, tensor: str) -> str:
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
    if not inputs or not states:
        return {}
    batch = {n.shape[0] for n in (*states, *cell.inputs) if n.shape}
    size = next(iter(batch)) if len(batch) == 1 and all(n.shape for n in (*states, *cell.inputs)) else None
    together = isinstance(size, Size)
    shapes = [tuple(extent_value(e, run.sizes) for e in (n.shape[1:] if together else n.shape)) for n in states]
    counts = [math.prod(shape) for shape in shapes]
    total = sum(counts)
    sequences = {n: values[s] for n, s in zip(cell.inputs, application.sequences, strict=True)}
    length = len(next(iter(sequences.values())))
    if total > _STATES or (not together and total * length > _SWEEPS):
        return {}
    seeds = [Node("input", n.shape, n.dtype, n.site, name=f"seed{k}") for k, n in enumerate(states)]
    terms = [registry.call("mul", f, s) for f, s in zip(following, seeds, strict=True)]
    terms = [registry.call("sum", term) if term.shape else term for term in terms]
    root = terms[0]
    for term in terms[1:]:
        root = registry.call("add", root, term)
    from graphc.gradients.backward import backward

    below = set(topological([root]))
    back = backward(root, [n for n in (*inputs, *states) if n in below])
    wrt = {n: back.grad(n) for n in (*inputs, *states) if n in below}
    identity = numpy.eye(total)
    splits = numpy.cumsum(counts)[:-1]
    stand_ins = {*cell.inputs, *cell.states, *seeds}
    given: dict[Node, numpy.ndarray] = {}
    for node in below:
        if node.application is None and node not in stand_ins and node in run.given:
            value = numpy.asarray(run.given[node])
            axes = [d for d, e in enumerate(node.shape) if together and e == size]
            given[node] = (
                numpy.repeat(numpy.take(value, [example], axis=axes[0]), total, axis=axes[0]) if axes else value
            )

    def rows(seed_values: numpy.ndarray, lead: tuple[int, ...]) -> dict[Node, numpy.ndarray]:
        """Rows of the Jacobian of one step: what flows back from each unit of the states."""
        parts = numpy.split(seed_values, splits, axis=-1)
        given.update({s: p.reshape((*lead, *shape)) for s, p, shape in zip(seeds, parts, shapes, strict=True)})
        found = evaluate(wrt.values(), given)
        return {n: v.reshape(len(seed_values) if lead else 1, -1) for n, v in zip(wrt, found, strict=True)}

    chain: numpy.ndarray | None = None
    result: dict[str, list[float]] = {names[application.places[n][0]]: [] for n in states}
    for t in range(length)[::-1] if application.backward else range(length):
        now = {node: array[t] for node, array in sequences.items()}
        for node in cell.states:
            tensor, _ = application.places[node]
            now[node] = values[tensors[tensor]][t + 1 if application.backward else t]
        if together:  # every unit of the states is an example of its own: one sweep gives all rows
            given |= {node: numpy.repeat(value[[example]], total, axis=0) for node, value in now.items()}
            found = rows(identity, (total,))
        else:
            given |= now
            each = [rows(row, ()) for row in identity]
            found = {n: numpy.concatenate([part[n] for part in each]) for n in wrt}
        if chain is None:
            chain = numpy.concatenate([found[n] for n in inputs if n in found] or [numpy.zeros((total, 1))], axis=1)
        else:
            parts = [found.get(n, numpy.zeros((total, w))) for n, w in zip(states, counts, strict=True)]
            chain = numpy.concatenate(parts, axis=1) @ chain
        for node, part in zip(states, numpy.split(chain, splits), strict=True):
            result[names[application.places[node][0]]].append(float(numpy.sqrt((part**2).sum())))
    return {name: numpy.array(norms) for name, norms in result.items()}
