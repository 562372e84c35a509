"""A cell that is applied again and again: rolled into a loop, folded, or written out step by step.

Weights are cloned for each step, since the gradient of a weight is the sum of what the steps add to it. Steps stand
on a regular grid, so that no layout is needed, whatever their number. The picture knows no cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy

from graphc.drawing.cell_lines import cell_lines
from graphc.drawing.fonts import number_text, printable
from graphc.drawing.paths import chosen_repeat, input_names, read_cell, state_names
from graphc.drawing.scene import Group, Item, Scene, Text, moved
from graphc.drawing.strands import Strands, short_name
from graphc.drawing.theme import Theme
from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean
from graphc.formula.size import Size, extent_value
from graphc.gradients.flow import Flow, flow, state_name
from graphc.gradients.through_time import ThroughTime, rolled_root, rolled_run
from graphc.graph.node import Node, topological
from graphc.graph.repeating import Unrolling

__all__ = ["RecurrenceDrawing", "SeveralDrawing", "Weight", "recurrence_drawing"]

_VIEWS = ("rolled", "folded", "unrolled")
_DETAILS = ("cell", "gates")
#: A folded picture has no more nodes than this.
_NODES = 40
_SAME = ("slice", "transpose", "reshape", "concat")  # gates behind which a sequence is still the same numbers
#: States that a folded picture shows.
_STATES = 6
#: Steps that are written out; more of them would be a wall and no picture.
_STEPS = 2000


@dataclass(frozen=True)
class Weight:
    """What the steps add to the gradient of a weight.

    Attributes
    ----------
    name : str
    terms : array, (T,), or None
        In the order in which steps are taken: norms of the terms, or the terms themselves where the weight is a number.
    total : float
        The sum over all steps, or its norm.
    between : float
        The same of the steps between the first and the last.
    outside : float
        The same of what does not come from the repeat.
    scalar : bool
        Whether the weight is one number.
    """

    name: str
    terms: numpy.ndarray | None = None
    total: float = 0.0
    between: float = 0.0
    outside: float = 0.0
    scalar: bool = False


@dataclass(frozen=True, eq=False)
class RecurrenceDrawing(Written):
    """A repeat, drawn.

    Attributes
    ----------
    name, symbol : str
        Of the repeat and of its cell.
    view : str
        ``"rolled"``, ``"folded"`` or ``"unrolled"``.
    steps : int or Size
    backward : bool
        Whether the last step is taken first.
    states, inputs, outputs : tuple of str
        Names; outputs that are states are not repeated.
    shown : tuple of int
        States that leave every step for the rest of the graph.
    ends : tuple of int
        States that are used behind the last step.
    weights : tuple of Weight
    flow : Flow or None
        Norms of gradients and sensitivities, with a run.
    keys : tuple of str
        The states by their names in the flow.
    reaching : mapping of str to array, (T,)
        |dL/dx_t| of inputs, in the order of steps.
    strands : Strands or None
        The operations of a step, where these are drawn.
    columns : int or None
        Steps beside each other.
    hidden : int
        States that are not drawn.
    lines : tuple of str
        The equations of a step, where the picture has room for them.
    begin : int
        Steps before the repeat, of a loop by hand whose first step is another one.
    """

    name: str
    symbol: str
    view: str
    steps: int | Size
    backward: bool
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shown: tuple[int, ...]
    ends: tuple[int, ...]
    weights: tuple[Weight, ...]
    flow: Flow | None
    keys: tuple[str, ...]
    reaching: Mapping[str, numpy.ndarray]
    strands: Strands | None
    theme: Theme
    loss: str = "L"
    digits: int = 3
    columns: int | None = None
    hidden: int = 0
    begin: int = 0
    lines: tuple[str, ...] = ()

    @cached_property
    def _drawn(self) -> Scene:
        from graphc.drawing.steps import recurrence_scene

        return recurrence_scene(self)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    @property
    def title(self) -> str:
        """What is drawn."""
        steps = f"T = {self.steps + self.begin} steps" if isinstance(self.steps, int) else f"{self.steps} steps"
        symbol = f": {self.symbol}" if self.symbol != self.name else ""
        return f"{printable(self.name)}{symbol} {self.view}, {steps}"

    def text(self) -> str:
        """Return the numbers as tables: states step by step, and the terms of every weight."""
        rows = [self.title, ""]
        rows += [f"state {printable(s)}" for s in self.states]
        rows += [printable(line.replace("{", "").replace("}", ""), 200) for line in self.lines]
        if self.flow is not None:
            rows += ["", str(self.flow)]
        for weight in self.weights:
            if weight.terms is None:
                rows.append(f"weight {printable(weight.name)}")
                continue
            what = "" if weight.scalar else "norm of "
            name = printable(weight.name)
            rows += ["", f"dL/d{name}, the sum over all steps: {what}the sum {number_text(weight.total, self.digits)}"]
            numbers = [number_text(float(n), self.digits) for n in weight.terms]
            rows += [f"  {what}the term of step {k + 1}: {n}" for k, n in enumerate(numbers)]
        return "\n".join(rows) + "\n"


@dataclass(frozen=True, eq=False)
class SeveralDrawing(Written):
    """Several repeats, such as the layers and directions of a network, below each other.

    Attributes
    ----------
    parts : tuple of RecurrenceDrawing
    """

    parts: tuple[RecurrenceDrawing, ...]

    @cached_property
    def _drawn(self) -> Scene:
        items: list[Item] = []
        top = 0.0
        for number, part in enumerate(self.parts):
            items += [_prefixed(moved(item, 0.0, top), f"part-{number + 1}-") for item in part.scene.items]
            top = round(top + part.scene.height + 12, 2)
        scenes = [part.scene for part in self.parts]
        titles, words = "; ".join(s.title for s in scenes), " ".join(s.description for s in scenes)
        return Scene(max(s.width for s in scenes), top, tuple(items), titles, words, paper=self.parts[0].theme.paper)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    def text(self) -> str:
        """Return the tables of all repeats."""
        return "\n".join(part.text() for part in self.parts)


def _prefixed(item: Item, prefix: str) -> Item:
    """A copy whose ids are of one part."""
    if isinstance(item, Group):
        inner = tuple(_prefixed(child, prefix) for child in item.items)
        return replace(item, items=inner, id=f"{prefix}{item.id}" if item.id else "")
    return replace(item, id=f"{prefix}{item.id}") if isinstance(item, Text) and item.id else item


def recurrence_drawing(
    root: Node,
    back: Any,
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    view: str | None = None,
    detail: str = "cell",
    name: str | None = None,
    columns: int | None = None,
) -> RecurrenceDrawing | SeveralDrawing:
    """Draw a repeat: ``graphc.unroll``, a recurrent layer, or a loop that was written by hand.

    Parameters
    ----------
    root : Node
        What the repeat leads to. With a run its numbers are drawn: how strongly states depend on the first input, how
        strongly the loss depends on states, and what each step adds to the gradient of each weight.
    view : {"rolled", "folded", "unrolled"}, optional
        A loop; the first and the last step; all steps. By default all, if they are at most 8, else folded.
    detail : {"cell", "gates"}
        Whether the cell is a box, or its operations are drawn.
    name : str, optional
        Of the repeat, where there are several (layers, directions); by default all of them, below each other.
    columns : int, optional
        Steps beside each other, before the next line.
    """
    for asked, value, known in (("view", view, _VIEWS), ("detail", detail, _DETAILS)):
        if value is not None and value not in known:
            hint = did_you_mean(str(value), known)
            raise DrawingError(f"{asked}={value!r} is not known; known: {', '.join(map(repr, known))}{hint}")
    if direction != "LR" or engine is not None:
        raise DrawingError(
            "style='recurrence' runs from left to right and needs no engine: leave direction= and engine= out"
        )
    if columns is not None and (isinstance(columns, bool) or not isinstance(columns, int) or columns < 1):
        raise DrawingError(f"columns={columns!r} is a number of steps of at least 1")
    if run is not None:
        run = rolled_run(run)
        root = run.back.root
    else:
        root = rolled_root(root)
    nodes = topological([root])
    found = [n.application.formula.name for n in nodes if isinstance(n.application, Unrolling)]
    names = [name] if name is not None or len(set(found)) < 2 else list(dict.fromkeys(found))
    parts = []
    for own in names:
        application = chosen_repeat(nodes, own, "recurrence")
        steps: int | Size = extent_value(application.steps, run.sizes) if run is not None else application.steps
        chosen = _chosen_view(view, steps, application)
        parts.append(_read(root, back, run, application, steps, chosen, detail, theme, digits, columns, nodes))
    return parts[0] if len(parts) == 1 else SeveralDrawing(tuple(parts))


def _chosen_view(view: str | None, steps: int | Size, application: Unrolling) -> str:
    if view is None:
        view = "unrolled" if isinstance(steps, int) and steps <= 8 else "folded"
    if view == "folded" and isinstance(steps, int) and steps <= 3:
        return "unrolled"  # there is nothing to fold
    if view == "unrolled" and not (isinstance(steps, int) and steps <= _STEPS):
        problem = "are known at run time only: draw a run" if not isinstance(steps, int) else f"are more than {_STEPS}"
        raise DrawingError(
            f"the {steps} steps of {application.formula.name!r} {problem}, or use view='folded'\n"
            f"  declared at {application.site}",
            site=application.site,
        )
    return view


def _read(
    root: Node,
    back: Any,
    run: Any,
    application: Unrolling,
    steps: int | Size,
    view: str,
    detail: str,
    theme: Theme,
    digits: int,
    columns: int | None,
    nodes: Sequence[Node],
) -> RecurrenceDrawing:
    cell = application.cell
    states = state_names(application)
    own = topological([*cell.outputs, *cell.following])
    weights = [n for n in own if n.kind == "parameter" and n.is_float]
    outputs = []
    shown = []
    used = {o for n in nodes for o in n.operands} | {root}
    for node, result in zip(cell.outputs, application.results, strict=False):
        if result not in used:
            continue
        if node in cell.following:
            shown.append(cell.following.index(node))
        else:
            outputs.append(short_name(node) or "y")
    measured = flow(run, application.formula.name) if run is not None else None
    tensors = [application.places[n][0] for n in cell.states]
    read: tuple[Weight, ...] = tuple(Weight(n.label.rpartition(".")[2]) for n in weights)
    reaching: dict[str, numpy.ndarray] = {}
    if run is not None:
        read = _terms(run, application)
        for label, sequence in zip(input_names(application), application.sequences, strict=True):
            gradient = run.back.gradient_of(sequence)
            if gradient is not None:
                array = numpy.asarray(run.grad(sequence))
                norms = numpy.linalg.norm(array.reshape(len(array), -1), axis=1)
                reaching[label] = norms[::-1] if application.backward else norms
    kept = states
    if view == "folded":
        kept = states[:_STATES]
        per_step = 1 + len(cell.inputs) + len(outputs) + len(kept)
        if 3 * (per_step + len(read)) + len(kept) + len(read) > _NODES and len(read) > 1:
            read = (_together(read, measured is not None),)
    gates = {n.application.gate for n in own if n.application is not None and any(o in own for o in n.operands)}
    symbols = [g.symbol for g in gates if g is not None and g.symbol]
    whole = len({id(n.application) for n in cell.following}) == 1 and cell.following[0].application is not None
    gate = cell.following[0].application.gate if whole and cell.following[0].application else None
    symbol = gate.symbol if gate is not None and gate.symbol and len(symbols) == 1 else "cell"
    if symbol == "cell" and application.formula.name not in ("unroll", "loop"):
        symbol = application.formula.name
    finals = application.results[len(cell.outputs) :]
    return RecurrenceDrawing(
        application.formula.name, symbol, view, steps, application.backward, kept, input_names(application),
        tuple(outputs), tuple(shown), tuple(k for k, f in enumerate(finals) if f in used), read, measured,
        tuple(state_name(application, t) for t in tensors), reaching,
        read_cell(application)[0] if detail == "gates" else None, theme,
        _goal(application, nodes)
        or ("L" if back is not None or run is not None else printable(root.name or root.gate or root.label, 12)),
        digits, columns,
        len(states) - len(kept), _begins(application),
        tuple(cell_lines(application)) if view == "rolled" and detail == "cell" else (),
    )  # fmt: skip


def _goal(application: Unrolling, nodes: Sequence[Node]) -> str:
    """The other repeat that takes all that leaves this one: the next layer, or a decoder; empty where there is none."""
    leaving, names = set(application.results), set()
    for node in nodes:
        if node.application is application or leaving.isdisjoint(node.operands):
            continue
        if isinstance(node.application, Unrolling):
            names.add(node.application.formula.name)
        elif node.gate in _SAME:
            leaving.add(node)
        else:
            return ""
    return printable(names.pop(), 12) if len(names) == 1 else ""


def _begins(application: Unrolling) -> int:
    """Steps of the sequences that a loop by hand leaves out at its beginning."""
    begins = {0}
    for node in application.sequences if application.formula.name == "loop" else ():
        index = node.attributes.get("index", ()) if node.gate == "slice" else ()
        if index and isinstance(index[0], tuple) and isinstance(index[0][0], int):
            begins.add(index[0][0])
    return max(begins)


def _terms(run: Any, application: Unrolling) -> tuple[Weight, ...]:
    """Norms of what each step adds to the gradient of each weight, and of the sums."""
    sweep = ThroughTime(run, application)
    count = extent_value(application.steps, run.sizes)
    norms: dict[Node, numpy.ndarray] = {w: numpy.zeros(count) for w in sweep.weights}
    sums: dict[Node, Any] = dict.fromkeys(sweep.weights, 0.0)
    between: dict[Node, Any] = dict.fromkeys(sweep.weights, 0.0)

    def size(node: Node, array: Any) -> float:
        return float(array) if node.shape == () else float(numpy.linalg.norm(array))

    for step in sweep.steps():
        k = count - 1 - step.number if application.backward else step.number
        for weight, term in step.terms.items():
            norms[weight][k] = size(weight, term)
            sums[weight] = sums[weight] + term
            if 0 < k < count - 1:
                between[weight] = between[weight] + term
    found = []
    for w in sweep.weights:
        whole = run.grad(w) if run.back.gradient_of(w) is not None else sums[w]
        rest = size(w, whole - sums[w])
        rest = rest if abs(rest) > 1e-9 * max(abs(size(w, whole)), abs(size(w, sums[w]))) else 0.0
        name = w.label.rpartition(".")[2]
        found.append(Weight(name, norms[w], size(w, sums[w]), size(w, between[w]), rest, w.shape == ()))
    return tuple(found)


def _together(weights: Sequence[Weight], measured: bool) -> Weight:
    """All weights as one."""
    name = f"({len(weights)} weights)"
    if not measured:
        return Weight(name)

    def norm(numbers: Sequence[Any]) -> Any:
        return numpy.linalg.norm(numpy.array(numbers), axis=0)

    return Weight(
        name, norm([w.terms for w in weights]), float(norm([w.total for w in weights])),
        float(norm([w.between for w in weights])), float(norm([w.outside for w in weights])),
    )  # fmt: skip
