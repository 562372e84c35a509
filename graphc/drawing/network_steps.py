"""The blocks of a network: what stands between two places that everything passes, and which of them repeat.

A step leads from one unit to the next one that all paths from it pass, and that all paths to it come from there: a
residual block is one step, from sum to sum. Steps in a row with the same gates, shapes and links are one step,
drawn once, with the number of times.

Source: Cooper, Harvey, Kennedy, "A simple, fast dominance algorithm" (2001), for the dominators; on a graph without
cycles one pass is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphc.drawing.fonts import printable
from graphc.drawing.network import Layer, grouped, links_between, parameter_count, shape_text
from graphc.graph.mode import chooses, in_training

__all__ = ["Chain", "Repeat", "Step", "Unit", "read_chain"]

_JOINED = ("flatten", "reshape")  # gates that only say how the same numbers are read
_SILENT = ("bias",)
_LONGEST = 8  # steps that repeat together


@dataclass(frozen=True, slots=True)
class Unit:
    """One box: a layer with the normalisation and the activation behind it."""

    number: int
    name: str
    title: str  # what it does, with its sizes
    extras: str  # what follows in the same box
    shape: str
    parameters: int
    kind: str  # "input", "weights", "join" (a sum or product of branches), "plain" or "result"
    key: tuple[Any, ...]  # equal for units with the same gates and shapes


@dataclass(frozen=True, slots=True)
class Step:
    """What leads to a unit: chains side by side, inputs of its own, and the unit itself."""

    end: int
    inner: tuple[Chain, ...] = ()
    leaves: tuple[int, ...] = ()
    links: tuple[tuple[int, int], ...] = ()  # between units; -1 is where the step starts


@dataclass(frozen=True, slots=True)
class Repeat:
    """Steps that come ``times`` times in a row."""

    times: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps one after the other, from a unit to a unit."""

    parts: tuple[Repeat, ...]
    first: int
    last: int


@dataclass(slots=True)
class _Box:
    layers: list[Layer]
    tails: list[int]


def read_chain(root: Any) -> tuple[tuple[Unit, ...], Chain, int]:
    """Read the units of a network, its steps from the inputs to the root, and the number of its parameters."""
    nodes = in_training(root)
    layers, home = grouped(nodes)
    boxes = _joined(layers, links_between(nodes, home))
    units = tuple(_unit(k, box, boxes, root) for k, box in enumerate(boxes))
    total = sum(parameter_count(p) for p in nodes if p.kind == "parameter")
    return units, _Steps(units, [sorted(set(box.tails)) for box in boxes]).whole(), total


# ---- units -------------------------------------------------------------------------------------------


def _joined(layers: Sequence[Layer], links: Sequence[tuple[int, int]]) -> list[_Box]:
    """Put layers that only go on with the numbers of the one before into its box."""
    tails: list[list[int]] = [[] for _ in layers]
    heads: list[list[int]] = [[] for _ in layers]
    for tail, head in links:
        tails[head].append(tail)
        heads[tail].append(head)
    place: list[int] = []
    boxes: list[_Box] = []
    for k, layer in enumerate(layers):
        before = tails[k]
        if len(before) == 1 and heads[before[0]] == [k] and _follows(layers[before[0]], layer):
            boxes[place[before[0]]].layers.append(layer)
            place.append(place[before[0]])
            continue
        boxes.append(_Box([layer], [place[tail] for tail in before]))
        place.append(len(boxes) - 1)
    return boxes


def _follows(before: Layer, layer: Layer) -> bool:
    """Whether a layer normalises, activates or reads again what the one before has made."""
    if not before.nodes[-1].operands:
        return False
    gates = [node.gate for node in layer.nodes if node.gate and not chooses(node)]
    if all(gate in _JOINED for gate in gates):
        return True
    small = all(len(p.shape) <= 1 for p in layer.parameters)  # gains, means
    return small and layer.nodes[-1].shape == before.nodes[-1].shape


def _unit(number: int, box: _Box, boxes: Sequence[_Box], root: Any) -> Unit:
    nodes = [node for layer in box.layers for node in layer.nodes]
    main = next((n for n in nodes if n.gate and n.gate not in _SILENT and not chooses(n)), nodes[0])
    last = nodes[-1]
    weights = [p for layer in box.layers for p in layer.parameters if p.kind == "parameter"]
    counted = sum(parameter_count(p) for p in dict.fromkeys(weights))
    gates = list(dict.fromkeys(n.gate for n in nodes if n.gate and not chooses(n)))
    extras = [_plain(gate) for gate in gates if gate != main.gate and gate not in _SILENT]
    joins = len(set(box.tails)) > 1 and not counted and main.gate in ("add", "mul", "sub")
    kind = "input" if not main.operands else "join" if joins else "weights" if counted else "plain"
    if last is root:
        kind = "result"
    entries = tuple(shape_text(boxes[tail].layers[-1].nodes[-1].shape) for tail in box.tails)
    given = tuple(sorted((k, str(v)) for k, v in main.attributes.items())) if main.operands else ()
    name = box.layers[0].name
    shown = last.shape[1:] if last.shape and not isinstance(last.shape[0], int) else last.shape
    return Unit(
        number=number,
        name=printable(name if "." in name or weights or last is root or kind == "input" else main.name or "", 24),
        title=printable(main.label if kind == "input" else _title(main, weights), 30),
        extras=printable(" · ".join(extras), 40),
        shape=shape_text(shown) if shown else "",
        parameters=counted,
        kind=kind,
        key=(tuple(gates), given, entries, shape_text(last.shape), counted, kind),
    )  # fmt: skip


def _plain(gate: str) -> str:
    """Write a gate's name in words: ``max_pool2d`` as max pool."""
    words = gate.replace("_", " ")
    return words[:-2] if words[-2:] in ("1d", "2d", "3d") else words


_SIGNS = {"add": "+", "mul": "×", "sub": "−"}


def _title(node: Any, weights: Sequence[Any]) -> str:
    """Write what a gate does with the sizes that one asks for: window, number of maps or units, stride."""
    name = _SIGNS.get(node.gate, _plain(node.gate or node.kind))
    attributes = node.attributes
    window = attributes.get("size")
    ranked = [p for p in weights if len(p.shape) > 2]
    if ranked:
        window = ranked[0].shape[2:] if len(ranked[0].shape) < 6 else None
    said = [name]
    if isinstance(window, int):
        window = (window,) * (len(node.shape) - 2)
    if window:
        said.append("×".join(str(extent) for extent in window))
    if weights and len(node.shape) > 1 and any(len(p.shape) > 1 for p in weights):
        axis = 1 if ranked else -1
        said[-1] += ","
        said.append(str(node.shape[axis]))
    stride = attributes.get("stride", 1)
    steps = set(stride) if isinstance(stride, tuple | list) else {stride}
    usual = window if attributes.get("size") is not None else (1,)
    if stride is not None and steps != {1} and tuple(steps) != tuple(set(usual or ())):
        said.append("/" + "×".join(str(s) for s in sorted(steps)))
    groups = attributes.get("groups", 1)
    if groups != 1:
        said.append(f"({groups} groups)")
    return " ".join(said).replace(f"{name}, ", f"{name} ")


# ---- steps -------------------------------------------------------------------------------------------


class _Steps:
    """Dominators of a graph without cycles, and the chains of steps that follow from them.

    Unit ``k`` is place ``k + 1``; place 0 is a source in front of all inputs.
    """

    def __init__(self, units: Sequence[Unit], tails: list[list[int]]) -> None:
        self.units = units
        count = len(units)
        heads: list[list[int]] = [[] for _ in units]
        for head, before in enumerate(tails):
            for tail in before:
                heads[tail].append(head)
        # an input that only one unit reads, beside other units, belongs to that unit
        self.leaves: dict[int, list[int]] = {}
        alone = {k for k in range(count) if not tails[k] and len(heads[k]) == 1}
        for k in sorted(alone):
            head = heads[k][0]
            if any(tail not in alone for tail in tails[head]) or min(tails[head]) != k:
                self.leaves.setdefault(head, []).append(k)
        held = {k for leaves in self.leaves.values() for k in leaves}
        self.kept = [k for k in range(count) if k not in held]
        self.tails = {k: [t for t in tails[k] if t not in held] or [-1] for k in self.kept}
        self.heads: dict[int, list[int]] = {k: [] for k in (-1, *self.kept)}
        for head, before in self.tails.items():
            for tail in before:
                self.heads[tail].append(head)
        self.before = _dominators([-1, *self.kept], self.tails)
        self.after = _dominators([*reversed(self.kept), -1], self.heads)
        self.next = {k: e for k, e in self.after.items() if e != k and self.before.get(e) == k}

    def whole(self) -> Chain:
        """Return the chain from the inputs to the root."""
        return self._chain(-1, set(self.kept))

    def _chain(self, start: int, among: set[int]) -> Chain:
        """Return the steps that follow a unit, the unit first, as far as they stay among some units."""
        first, steps = start, [Step(start, leaves=tuple(self.leaves.get(start, ())))] if start >= 0 else []
        while start in self.next and self.next[start] in among:
            end = self.next[start]
            inner = self._between(start, end)
            links = [(-1 if tail == start else tail, head) for head in (*inner, end) for tail in self.tails[head]]
            if start < 0:  # nothing is drawn in front of the inputs
                links = [link for link in links if link[0] >= 0]
            steps.append(Step(end, self._chains(inner), tuple(self.leaves.get(end, ())), tuple(links)))
            start = end
        return Chain(self._folded(steps), first, start)

    def _between(self, start: int, end: int) -> list[int]:
        """Units on the paths from one unit to another."""
        found: set[int] = set()
        waiting = [head for head in self.heads[start] if head != end]
        while waiting:
            k = waiting.pop()
            if k not in found:
                found.add(k)
                waiting += [head for head in self.heads[k] if head != end]
        return sorted(found)

    def _chains(self, inner: list[int]) -> tuple[Chain, ...]:
        """Put units into chains; each goes as far as it can."""
        among, chains = set(inner), []
        for k in inner:
            if k not in among:
                continue
            chains.append(self._chain(k, among))
            among -= self._members(chains[-1])
        return tuple(chains)

    def _members(self, chain: Chain) -> set[int]:
        """Every unit of a chain, those that were folded away as well."""
        between = self._between(chain.first, chain.last) if chain.first != chain.last else []
        return {chain.first, chain.last, *between}

    def _folded(self, steps: list[Step]) -> tuple[Repeat, ...]:
        """Find steps that repeat in a row; the ones that save most are taken first from the left."""
        keys = [self._key(step) for step in steps]
        found: list[Repeat] = []
        k = 0
        while k < len(steps):
            best, saved = (1, 1), 0
            for length in range(1, min(_LONGEST, (len(steps) - k) // 2) + 1):
                times = 1
                while keys[k + times * length : k + (times + 1) * length] == keys[k : k + length]:
                    times += 1
                if (times - 1) * length > saved:
                    best, saved = (length, times), (times - 1) * length
            length, times = best
            if times == 1:
                found.append(Repeat(1, (steps[k],)))
            else:
                found.append(Repeat(times, tuple(steps[k : k + length])))
            k += length * times
        return tuple(found)

    def _key(self, step: Step) -> tuple[Any, ...]:
        """Equal for steps with the same units and links."""
        members = sorted({k for chain in step.inner for k in self._members(chain)} | {step.end, *step.leaves})
        rank = {k: number for number, k in enumerate(members)} | {-1: -1}
        links = tuple(sorted((rank[tail], rank[head]) for tail, head in step.links if tail in rank))
        return (tuple(self.units[k].key for k in members), links)


def _dominators(order: Sequence[int], before: dict[int, list[int]]) -> dict[int, int]:
    """Immediate dominators; ``order`` starts with the entry and every unit comes behind what it follows."""
    entry = order[0]
    rank = {k: number for number, k in enumerate(order)}
    found = {entry: entry}
    for k in order[1:]:
        common = None
        for other in before[k]:
            a, b = other, other if common is None else common
            while a != b:
                if rank[a] > rank[b]:
                    a = found[a]
                else:
                    b = found[b]
            common = a
        found[k] = entry if common is None else common
    return found
