"""The conveyor belt: a cell taken apart, its linear paths in one colour and its nonlinear ones in another.

The picture knows no cell. Which lines are linear is read off the local gradients (`graphc.drawing.strands`), and with a
run their widths say how much gradient flows back along them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy

from graphc.drawing.fonts import number_text, printable
from graphc.drawing.scene import Scene
from graphc.drawing.strands import Strand, Strands, short_name
from graphc.drawing.theme import Theme
from graphc.drawing.written import Written
from graphc.errors import DerivativeError, DrawingError, did_you_mean
from graphc.gradients.through_time import ThroughTime, repeat_of, rolled_root, rolled_run, written_out
from graphc.graph.node import Node, topological
from graphc.graph.repeating import Unrolling

__all__ = ["PathsDrawing", "chosen_repeat", "input_names", "paths_drawing", "read_cell", "state_names"]

_SHOW = ("both", "forward", "backward")


def read_cell(application: Unrolling) -> tuple[Strands, tuple[str, ...]]:
    """Take the cell of a repeat apart; returns its operations and the names of its states."""
    cell = application.cell
    _, became, _ = written_out([n for n in (*cell.outputs, *cell.following) if n.is_float])
    return _strands(application, became), state_names(application)


def chosen_repeat(nodes: Sequence[Node], name: str | None, style: str) -> Unrolling:
    """Return the repeat to draw; raises `DrawingError` where there is none, or several and no name."""
    try:
        chosen = repeat_of(nodes, name)
    except DerivativeError as problem:
        raise DrawingError(f"style={style!r}: {problem}; name= chooses") from None
    found = {id(n.application): n.application for n in nodes if isinstance(n.application, Unrolling)}
    parts = [other for other in found.values() if other.formula.name == chosen.formula.name]
    if len(parts) > 1:
        raise DrawingError(
            f"style={style!r}: {len(parts)} repeats are named {chosen.formula.name!r}, as checkpoint= makes them; "
            f"declare it without checkpoint=, or give each a name= of its own\n  declared at {chosen.site}",
            site=chosen.site,
        )
    return chosen


def state_names(application: Unrolling) -> tuple[str, ...]:
    """Names by which people know the states."""
    found = []
    for before, behind in zip(application.initial, application.cell.following, strict=True):
        made = short_name(behind) and behind not in application.cell.states  # not one that is only handed on
        own = "" if made else _declared(behind)
        found.append((own, own) if own else _names_of(behind if made or not short_name(before) else before, "s"))
    return _told_apart(found)


def _declared(node: Node) -> str:
    """The name that the formula of a cell has for its new state: ``h`` for ``h_new``."""
    output = node.application.formula.outputs[node.output] if node.application is not None else ""
    return output.removesuffix("_new") if output.endswith("_new") else ""


def input_names(application: Unrolling) -> tuple[str, ...]:
    """Names of what a step reads of the sequences; a part of a sequence has the name of the whole."""
    found = []
    for node in application.sequences:
        while node.name is None and node.gate in ("slice", "transpose"):
            (node,) = node.operands
        found.append(_names_of(node, "x"))
    return _told_apart(found)


def _names_of(node: Node, letter: str) -> tuple[str, str]:
    """Short and longer name of a node."""
    return short_name(node) or node.gate.rpartition(" ")[2] or letter, (node.name or "").rpartition(".")[2]


def _told_apart(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Short names; longer ones, or numbers, where short ones are the same."""
    short, whole = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    names: list[str] = []
    for k, (name, longer) in enumerate(zip(short, whole, strict=True)):
        if short.count(name) > 1:
            name = longer if longer and whole.count(longer) == 1 else f"{name}{k + 1}"
        while name in names:
            name += "'"
        names.append(name)
    return tuple(names)


def _strands(application: Unrolling, became: Mapping[Node, Node]) -> Strands:
    cell = application.cell
    names, read = state_names(application), input_names(application)
    sources = [(n, name, "t−1", k) for k, (n, name) in enumerate(zip(cell.states, names, strict=True))]
    sources += [(n, name, "t", -1) for n, name in zip(cell.inputs, read, strict=True)]
    sinks = [(became.get(n, n), name, "t", k) for k, (n, name) in enumerate(zip(cell.following, names, strict=True))]
    given = {became.get(n, n) for n in cell.following}
    for k, node in enumerate(dict.fromkeys(became.get(n, n) for n in cell.outputs)):
        if node not in given and node.is_float:
            sinks.append((node, short_name(node) or ("y" if k == 0 else f"y{k + 1}"), "t", -1))
    return Strands.of(sources, sinks)


@dataclass(frozen=True, eq=False)
class PathsDrawing(Written):
    """The paths through a cell.

    Attributes
    ----------
    title : str
    strands : Strands
        Operations, and the lines between them.
    flows : mapping of Strand to float
        Norm of the gradient that flows back along each line; empty without a run.
    arriving, leaving : mapping of str to float
        Norm of the gradient at what the step gives, and at what it reads.
    said : str
        Over which steps the norms are.
    """

    title: str
    strands: Strands
    flows: Mapping[Strand, float]
    ends: Mapping[str, float]
    said: str
    theme: Theme
    show: str = "both"
    digits: int = 3

    def shares(self) -> dict[str, tuple[float, float]]:
        """For each state before the step the norms of the gradient that reaches it along linear and other lines."""
        found = {}
        for o in self.strands.of_kind("source"):
            own = [s for s in self.strands.strands if s.source == o.number]
            parts = [
                numpy.linalg.norm([self.flows.get(s, 0.0) for s in own if s.direct == kind]) for kind in (True, False)
            ]
            found[o.said] = (float(parts[0]), float(parts[1]))
        return found

    @cached_property
    def _drawn(self) -> Scene:
        from graphc.drawing.path_picture import paths_scene

        return paths_scene(self)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    def text(self) -> str:
        """Return the lines as a table."""
        names = [o.said for o in self.strands.operations]
        rows = [self.title, ""]
        for s in self.strands.strands:
            kind = "linear path" if s.direct else "linear" if s.linear else "nonlinear"
            flow = f"  {number_text(self.flows[s])}" if s in self.flows else ""
            local = f"  × {s.local}" if s.local not in ("", "1") else ""
            rows.append(f"{names[s.source]} -> {names[s.target]}  {kind}{local}{flow}")
        return printable("\n".join(rows), 10**9).replace("\\n", "\n") + "\n"


def paths_drawing(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given the same
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    show: str = "both",
    name: str | None = None,
    step: int | None = None,
) -> PathsDrawing:
    """Draw the paths through a cell, forward and backward.

    Parameters
    ----------
    root : Node
        A graph with a repeat (``graphc.unroll``, a recurrent layer or a loop by hand), or an output of a cell.
    show : {"both", "forward", "backward"}
        Which directions.
    name : str, optional
        Of the repeat, where there are several.
    step : int, optional
        The step, from 1, of which the gradients are; by default the mean over all steps.
    """
    if show not in _SHOW:
        raise DrawingError(f"show={show!r} is not known; known: {', '.join(_SHOW)}{did_you_mean(str(show), _SHOW)}")
    if direction != "LR" or engine is not None:
        raise DrawingError(
            "style='paths' runs from left to right and places itself: direction='TB' and engine= are not for it"
        )
    if run is not None:
        run = rolled_run(run)
        root = run.back.root
    else:
        root = rolled_root(root)
    if not any(isinstance(n.application, Unrolling) for n in topological([root])):
        return _single(root, run, theme, digits, show)
    application = chosen_repeat(topological([root]), name, "paths")
    title = f"Paths through one step of {printable(application.formula.name)}"
    if run is None:
        strands, _ = read_cell(application)
        return PathsDrawing(title, strands, {}, {}, "", theme, show, digits)
    sweep = ThroughTime(run, application, inside=True)
    became = dict(
        zip((*application.cell.outputs, *application.cell.following), (*sweep.outputs, *sweep.following), strict=True)
    )
    strands = _strands(application, became)
    steps = list(sweep.steps())
    count = len(steps)
    if step is not None:
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= count:
            raise DrawingError(f"step={step!r} is not one of the steps 1 to {count} of {application.formula.name!r}")
        steps = [s for s in steps if s.number == step - 1]
    flows = {
        strand: float(numpy.mean([strand.contribution(s.values, s.gradients, s.edges, run.sizes) for s in steps]))
        for strand in strands.strands
    }
    ends = {}
    for before, behind, own in zip(application.cell.states, sweep.following, state_names(application), strict=True):
        ends[f"{own}_t−1"] = float(numpy.mean([numpy.linalg.norm(s.leaving.get(before, 0.0)) for s in steps]))
        ends[f"{own}_t"] = float(numpy.mean([numpy.linalg.norm(s.arriving.get(behind, 0.0)) for s in steps]))
    said = f"at t = {step}" if step is not None else f"mean over t = 1 … {count}" if count > 1 else "at t = 1"
    return PathsDrawing(title, strands, flows, ends, said, theme, show, digits)


def _single(root: Node, run: Any, theme: Theme, digits: int, show: str) -> PathsDrawing:
    """The paths of a graph without a repeat, such as a cell that is applied once."""
    outputs = [n for n in (root.application.outputs if root.application is not None else ()) if n.is_float]
    if not outputs:
        raise DrawingError(f"{root.label!r} is no result of a gate, so that there are no paths to draw")
    values: dict[Node, numpy.ndarray] = {}
    gradients: dict[Node, numpy.ndarray] = {}
    edges: dict[tuple[Node, int], numpy.ndarray] = {}
    if run is None:
        _, became, _ = written_out(outputs)
        ends = [became[n] for n in outputs]
    else:
        from graphc.gradients.backward import backward
        from graphc.gradients.run import Run
        from graphc.graph.expand import expanded

        whole = Run(backward(expanded(root), upstream=run.back.seed), run.leaves)
        nodes = whole.back.nodes
        values = {n: whole.value(n) for n in nodes}
        gradients = {n: whole.grad(n) for n in nodes if whole.back.has_grad(n)}
        edges = {key: whole.edge(*key) for key in whole.back.edges}
        ends = [whole.back.root]
    below = topological(ends)
    sources = [(n, n.label, "", -1) for n in below if n.kind in ("input", "state") and n.is_float]
    sinks = [(n, n.name or (f"y{k + 1}" if len(ends) > 1 else "y"), "", -1) for k, n in enumerate(ends)]
    strands = Strands.of(sources, sinks)
    measured = strands.strands if run is not None else []
    sizes = run.sizes if run is not None else {}
    flows = {s: s.contribution(values, gradients, edges, sizes) for s in measured}
    title = f"Paths through {printable(root.gate or root.label)}"
    return PathsDrawing(title, strands, flows, {}, "at this point", theme, show, digits)
