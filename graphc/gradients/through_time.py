"""Backpropagation through time, written out: what every single step of a repeat adds to the gradient of a weight.

The sweep of a repeat returns sums over its steps. Here the backward pass of one step is applied again and again, from
the last step to the first, so that each term of the sum is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy

from graphc.errors import DerivativeError, did_you_mean
from graphc.formula.size import extent_value
from graphc.graph import registry
from graphc.graph.expand import expanded
from graphc.graph.node import Node, topological
from graphc.graph.reference import evaluate, evaluate_all
from graphc.graph.repeating import Unrolling
from graphc.graph.rolling import rolled

if TYPE_CHECKING:
    from graphc.gradients.run import Run

__all__ = ["Step", "ThroughTime", "repeat_of", "rolled_root", "rolled_run", "values_inside", "written_out"]


def repeat_of(nodes: Sequence[Node], name: str | None) -> Unrolling:
    """Return the repeat of a graph, or the one of several that has a name.

    Raises
    ------
    DerivativeError
        If there is none, or several and no name.
    """
    found = {id(n.application): n.application for n in nodes if isinstance(n.application, Unrolling)}
    by_name = {application.formula.name: application for application in found.values()}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in by_name:
        return by_name[name]
    asked = "it has no loop" if not found else f"name one of {', '.join(map(repr, by_name))}"
    hint = did_you_mean(name, by_name) if name is not None and found else ""
    raise DerivativeError(f"this needs a graph with a repeat; {asked}{hint} (graphc.unroll keeps a cell once)")


def rolled_root(root: Node) -> Node:
    """Return the root with loops that were written by hand as repeats; itself where there is none, or are repeats."""
    order = topological([root])
    if any(isinstance(node.application, Unrolling) for node in order):
        return root
    found = rolled([root])[root]
    if found is root:
        # the last copy of a cell has all of its outputs only if somebody asks for them: the memory of an LSTM
        own = set(order)
        others = {o: None for n in order if n.application is not None for o in n.application.outputs if o not in own}
        found = rolled([root, *others])[root] if others else root
    return found


def rolled_run(run: Run) -> Run:
    """Return a run of the same graph in which loops that were written by hand are repeats; itself where it has some."""
    back = run.back
    root = rolled_root(back.root)
    if root is back.root:
        return run
    from graphc.gradients.backward import backward
    from graphc.gradients.run import Run

    below = set(topological([root]))
    wrt = [node for node in back.wrt if node in below]
    return Run(backward(root, wrt, upstream=back.seed), {n: v for n, v in run.leaves.items() if n in below})


def written_out(given: Sequence[Node]) -> tuple[Node, dict[Node, Node], dict[Node, Node]]:
    """Return a scalar whose gradient with respect to each of some nodes is a seed of its own.

    Gates of several lines below them are written out, so that what several gradients need is computed once.

    Returns
    -------
    root : Node
    became : dict of Node to Node
        For each node what it is below the root.
    seeds : dict of Node to Node
        For each of these its seed.
    """
    pairs = {
        node: Node("input", node.shape, node.dtype, node.site, name=f"gradient at {k}")
        for k, node in enumerate(dict.fromkeys(given))
    }
    terms = [registry.call("mul", node, seed) for node, seed in pairs.items()]
    terms = [registry.call("sum", term) if term.shape else term for term in terms]
    root = terms[0]
    for term in terms[1:]:
        root = registry.call("add", root, term)
    root = expanded(root)
    own = set(pairs.values())
    # a seed stands beside what it is the gradient of
    beside = {
        n.operands[1]: n.operands[0] for n in topological([root]) if len(n.operands) == 2 and n.operands[1] in own
    }
    return root, {node: beside[seed] for node, seed in pairs.items()}, {beside[seed]: seed for seed in pairs.values()}


#: Evaluating a repeat takes all of its steps: done once for each run.
_VALUES: WeakKeyDictionary[Run, dict[int, Mapping[Node, numpy.ndarray]]] = WeakKeyDictionary()


def values_inside(run: Run, application: Unrolling) -> Mapping[Node, numpy.ndarray]:
    """Values of all tensors of a repeat, of their gradients, and of its sequences, by node."""
    found = _VALUES.setdefault(run, {})
    if id(application) not in found:
        gradients = [g for n in application.outputs if (g := run.back.gradient_of(n)) is not None]
        found[id(application)] = evaluate_all([*application.outputs, *gradients, *application.sequences], run.given)
    return found[id(application)]


@dataclass(frozen=True)
class Step:
    """The backward pass of one step.

    Attributes
    ----------
    number : int
        The row of the sequences, from 0.
    arriving : mapping of Node to array
        What flows back into the states behind the step from the steps behind it, and into outputs from outside.
    leaving : mapping of Node to array
        What flows on into the states before the step.
    terms : mapping of Node to array
        What the step adds to the gradient of each weight.
    values, gradients : mapping of Node to array
        Of the nodes of the step, where they were asked for.
    edges : mapping of (Node, int) to array
        What flows back from a node of the step into each of its operands, where that was asked for.
    """

    number: int
    arriving: Mapping[Node, numpy.ndarray]
    leaving: Mapping[Node, numpy.ndarray]
    terms: Mapping[Node, numpy.ndarray]
    values: Mapping[Node, numpy.ndarray]
    gradients: Mapping[Node, numpy.ndarray]
    edges: Mapping[tuple[Node, int], numpy.ndarray]


class ThroughTime:
    """One step of a repeat with its own backward pass, applied from the last step to the first.

    Parameters
    ----------
    run : Run
    application : Unrolling
        One of its repeats.
    inside : bool, default False
        Whether values and gradients of all nodes of a step are kept.

    Attributes
    ----------
    weights : tuple of Node
        Parameters that the cell reads.
    outputs, following : tuple of Node
        Those of the cell, as they are in the graph of the step.
    nodes : list of Node
        The graph of the step, operands first.

    Source
    ------
    Werbos, Proc. IEEE 78 (1990), eq. 29
    """

    def __init__(self, run: Run, application: Unrolling, *, inside: bool = False) -> None:
        from graphc.gradients.backward import backward

        self.run, self.application, self.inside = run, application, inside
        cell = application.cell
        floats = [n for n in (*cell.outputs, *cell.following) if n.is_float]
        root, became, self.seeds = written_out(floats)
        self.outputs = tuple(became.get(n, n) for n in cell.outputs)
        self.following = tuple(became.get(n, n) for n in cell.following)
        self.nodes = topological([*self.outputs, *self.following])
        own = set(self.nodes)
        self.weights = tuple(n for n in self.nodes if n.kind == "parameter" and n.is_float)
        states = [n for n in cell.states if n.is_float]
        read = cell.inputs if inside else ()
        wrt = [n for n in (*read, *states, *self.weights) if n in own and n.is_float]
        self.back = backward(root, wrt)
        self.wanted = {n: g for n in wrt if (g := self.back.gradient_of(n)) is not None}
        self.inner = {n: g for n in self.nodes if inside and (g := self.back.gradient_of(n)) is not None}
        self.edges = {key: edge for key, edge in self.back.edges.items() if inside and key[0] in own}

    def steps(self) -> Iterator[Step]:
        """Yield the steps, the last one that was taken first."""
        application, cell, run = self.application, self.application.cell, self.run
        tensors = dict(zip(application.formula.outputs, application.outputs, strict=True))
        rows = {n: tensors[application.places[n][0]] for n in cell.states}
        values = values_inside(run, application)
        count = extent_value(application.steps, run.sizes)
        outer = self._from_outside()
        arriving = {}
        for node, final in zip(self.following, application.results[len(cell.outputs) :], strict=True):
            if node in self.seeds:
                shape = evaluate_shape(final, run)
                arriving[node] = arriving.get(node, numpy.zeros(shape)) + outer.pop(final, numpy.zeros(shape))
        given = {n: v for n, v in run.given.items() if n.application is None}
        roots = [
            *self.wanted.values(),
            *self.inner.values(),
            *self.edges.values(),
            *(self.nodes if self.inside else ()),
        ]
        for t in range(count) if application.backward else reversed(range(count)):
            for node, result in zip(self.outputs, application.results, strict=False):
                if result in outer and node in self.seeds:
                    term = outer[result][t]
                    arriving[node] = arriving[node] + term if node in arriving else term
            now = dict(given)
            for node, sequence in zip(cell.inputs, application.sequences, strict=True):
                now[node] = values[sequence][t]
            for node, tensor in rows.items():
                now[node] = values[tensor][t + 1 if application.backward else t]
            for node, seed in self.seeds.items():
                now[seed] = arriving.get(node, 0.0 * evaluate([node], now)[0])
            found = evaluate_all(roots, now)
            leaving = {n: found[self.wanted[n]] for n in cell.states if n in self.wanted}
            terms = {n: found[self.wanted[n]] for n in self.weights if n in self.wanted}
            yield Step(
                t,
                {n: now[seed] for n, seed in self.seeds.items()},
                leaving,
                terms,
                {n: found[n] for n in self.nodes} if self.inside else {},
                {n: numpy.broadcast_to(found[g], numpy.shape(found[n])) for n, g in self.inner.items()},
                {key: found[edge] for key, edge in self.edges.items()},
            )
            arriving = {}
            for node, old in zip(self.following, cell.states, strict=True):
                if old in leaving:
                    arriving[node] = arriving[node] + leaving[old] if node in arriving else leaving[old]

    def _from_outside(self) -> dict[Node, numpy.ndarray]:
        """What flows into results of the repeat from what is behind it."""
        back = self.run.back
        results = set(self.application.results)
        found: dict[Node, Any] = {}
        if back.root in results:
            found[back.root] = evaluate([back.seed], self.run.given)[0]
        done: set[tuple[int, int]] = set()
        for node in back.nodes:
            for position, operand in enumerate(node.operands):
                key = (id(node.application), position)
                if operand in results and (node, position) in back.edges and key not in done:
                    done.add(key)
                    found[operand] = found.get(operand, 0.0) + self.run.edge(node, position)
        return found


def evaluate_shape(node: Node, run: Run) -> tuple[int, ...]:
    """Extents of a node in a run."""
    return tuple(extent_value(extent, run.sizes) for extent in node.shape)
