"""Groups the gates of a graph that is too large to be read one by one: steps, layers, chains, named parts.

A fold is drawn as one block that says how many gates it holds and how large their gradients are. Nothing here knows a
cell or a layer: repetition is read off the graph (`graphc.drawing.repeats`), names are the user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from graphc.drawing.copies import Steps, ordered, steps_at, steps_of
from graphc.drawing.folds import Fold, Folding, Grouped, inside_gate
from graphc.drawing.fonts import printable
from graphc.drawing.repeats import Repeat, repeats
from graphc.errors import DrawingError, did_you_mean
from graphc.graph.node import Node

__all__ = ["LIMIT", "Fold", "Grouped", "Steps", "grouped", "steps_of"]

#: Blocks above which a picture is folded.
LIMIT = 400
_LEAST_STEPS = 4  # copies: the first and the last are drawn, what lies between is folded
_LEAST_GAIN = 8  # gates that folding a repeat hides at least
_LEAST_CHAIN = 3
_LARGE_COPY = 12  # gates; of larger copies the first and the last are folded too where there are too many blocks
_PARTS = 16


def grouped(root: Node, fold: Any = "auto", *, limit: int | None = None, keep: Iterable[Any] = ()) -> Grouped:
    """Choose what is drawn one by one and what is folded.

    Parameters
    ----------
    root : Node
        It is always drawn.
    fold : str, None, False or sequence, default ``"auto"``
        ``"auto"`` folds where more than ``limit`` blocks would be drawn: first the middle ones of equal copies, then
        what shares the prefix of a dotted name, then chains of elementwise gates, at last parts of equal size. None
        and False never fold. A sequence folds what it lists: a prefix (``"encoder"`` takes ``"encoder.…"``), a node
        or its name (with all that only it needs), a group of nodes.
    limit : int, optional
        Blocks above which ``"auto"`` folds, by default 400.
    keep : iterable of Node or str
        Nodes (or names) that stay unfolded.

    Raises
    ------
    DrawingError
        If a name is unknown, or a group cannot be one block because what leaves it comes back in.
    """
    order = ordered(root)
    drawn = [leaf for leaf in order.leaves if leaf is root or not inside_gate(leaf)]
    folding = _Choosing(order, drawn, {root.id, *(_identity(k) for k in keep)})
    if fold is None or fold is False:
        return folding.result()
    if isinstance(fold, str):
        if fold != "auto":
            raise DrawingError(
                f"fold={fold!r} is not known; known: 'auto', None (never), or a list of names, prefixes and nodes: "
                f"fold=[{fold!r}]"
            )
        return _auto(folding, LIMIT if limit is None else limit)
    if not isinstance(fold, Iterable):
        raise DrawingError(f"fold is 'auto', None or a list of names, prefixes and nodes; found {type(fold).__name__}")
    for item in fold:
        folding.listed(item)
    return folding.result()


def _identity(key: Any) -> Any:
    return key.id if isinstance(key, Node) else key


def _auto(folding: _Choosing, limit: int) -> Grouped:
    order = folding.order
    if folding.fits(limit):
        return folding.result()
    found = [
        repeat
        for repeat in repeats(order.labels(), order.operands)
        if repeat.copies >= _LEAST_STEPS and (repeat.copies - 2) * repeat.period >= _LEAST_GAIN
    ]
    steps = [steps_at(order, repeat) for repeat in found]
    for repeat, copies in zip(found, steps, strict=True):
        folding.copies(repeat, copies, 1, repeat.copies - 1)
    for repeat, copies in zip(found, steps, strict=True):
        if not folding.fits(limit) and repeat.period >= _LARGE_COPY:
            folding.copies(repeat, copies, 0, 1)
            folding.copies(repeat, copies, repeat.copies - 1, repeat.copies)
    for attempt in (folding.prefixes, folding.chains, folding.parts):
        if not folding.fits(limit):
            attempt()
    return folding.result()


class _Choosing(Folding):
    """Ways to choose what is folded."""

    def copies(self, repeat: Repeat, steps: Steps, first: int, last: int) -> None:
        """Fold copies ``first`` to ``last - 1``."""
        positions = [k for c in range(first, last) for k in repeat.copy(c)]
        count = last - first
        begin, end = steps.names[first], steps.names[last - 1]
        if steps.recurrent:
            label = begin if count == 1 else f"{begin} … {end.removeprefix('t = ')}"
        elif begin:
            label = begin if count == 1 else f"{begin} … {end} (×{count})"
        else:
            label = f"{_gate_names([self.order.gates[k] for k in repeat.copy(first)])} ×{count}"
        # kept gates (the root) split an interval; what is left of it may still be folded as one, since it stays convex
        # only if nothing kept lies between its parts
        for part in _intervals([k for k in positions if not self.kept(k)]):
            self.add(label, "steps" if steps.recurrent else "layers", part, count)

    def prefixes(self) -> None:
        """Fold neighbours that share the first part of a dotted name."""
        run: list[int] = []
        name = ""
        for k, gate in enumerate(self.order.gates):
            own = next((n for n in _dotted(gate)), "")
            if own == name or not own:
                run.append(k)
                continue
            self._prefixed(name, run)
            name, run = own, [k]
        self._prefixed(name, run)

    def _prefixed(self, name: str, run: list[int]) -> None:
        if name:
            for part in _intervals([k for k in run if self.owner[k] < 0 and not self.kept(k)]):
                self.add(name, "name", part)

    def chains(self) -> None:
        """Fold chains of gates with one operand and one reader each."""
        done = [owner >= 0 or self.kept(k) for k, owner in enumerate(self.owner)]
        for k in range(len(self.owner)):
            chain: list[int] = []
            while not done[k] and len(self._fed(k)) == 1:
                done[k] = True
                chain.append(k)
                if len(self.read_by[k]) != 1:
                    break
                k = self.read_by[k][0]
            if len(chain) >= _LEAST_CHAIN:
                self.add(_gate_names([self.order.gates[n] for n in chain]), "chain", chain)

    def _fed(self, position: int) -> set[int]:
        return {o for o in self.order.operands[position] if o >= 0 or not inside_gate(self.order.leaves[-1 - o])}

    def parts(self) -> None:
        """Fold what is left into parts of about equal size, cut where few wires are cut."""
        # chains do not stand together in the order: they are opened again
        chains = {k for k, (_, kind, _, _) in enumerate(self.chosen) if kind == "chain"}
        self.owner = [-1 if owner in chains else owner for owner in self.owner]
        self.chosen = [item for k, item in enumerate(self.chosen) if k not in chains]
        number = {
            old: new for new, old in enumerate(k for k in range(len(self.chosen) + len(chains)) if k not in chains)
        }
        self.owner = [number.get(owner, -1) for owner in self.owner]
        free = _intervals([k for k, owner in enumerate(self.owner) if owner < 0 and not self.kept(k)])
        total = sum(len(part) for part in free)
        size = max(-(-total // _PARTS), 2)
        cut = self._wires_across()
        parts: list[list[int]] = []
        for part in free:
            while len(part) > 1.5 * size:
                near = range(max(2, int(0.7 * size)), int(1.3 * size) + 1)
                at = min(near, key=lambda n, part=part: (cut[part[n]], abs(n - size)))
                parts.append(part[:at])
                part = part[at:]
            parts.append(part)
        for number_, part in enumerate(parts):
            self.add(f"part {number_ + 1} of {len(parts)}", "part", part)

    def _wires_across(self) -> list[int]:
        """How many values are read across the place before each position."""
        change = [0] * (len(self.owner) + 1)
        for k, readers in enumerate(self.read_by):
            if readers:
                change[k + 1] += 1
                change[max(readers) + 1 if max(readers) + 1 < len(change) else -1] -= 1
        total, found = 0, []
        for step in change[:-1]:
            total += step
            found.append(total)
        return found

    def listed(self, item: Any) -> None:
        """Fold what an entry of a list names."""
        position = {gate.id: k for k, gate in enumerate(self.order.gates)}
        if isinstance(item, Fold):  # as it was chosen before
            self.add(item.label, item.kind, sorted(position[n.id] for n in item.nodes if n.id in position), item.copies)
            return
        if isinstance(item, str):
            label, kind, found = printable(item, 28), "name", self._named(item)
        elif isinstance(item, Node):
            label, kind, found = printable(item.label, 28), "name", self._cone(item)
        elif isinstance(item, Sequence) and all(isinstance(node, Node) for node in item):
            found = [position[node.id] for node in item if node.id in position]
            label, kind = _gate_names([self.order.gates[k] for k in found]), "name"
            missing = [node.label for node in item if node.operands and node.id not in position]
            if missing:
                raise DrawingError(f"fold: {missing[0]!r} is not below {self.order.root.label!r}")
        else:
            raise DrawingError(
                f"fold takes names, prefixes, nodes and groups of nodes; found {type(item).__name__} in the list"
            )
        self.add(label, kind, sorted(found))

    def _named(self, name: str) -> list[int]:
        found = [k for k, gate in enumerate(self.order.gates) if any(_begins_with(n, name) for n in _names_at(gate))]
        for gate in self.order.gates:
            if gate.name == name:
                return self._cone(gate)
        if not found:
            known = sorted({n for gate in self.order.gates for n in (*_names_at(gate), *_dotted(gate))})
            shown = ", ".join(map(repr, known[:12])) + (", …" if len(known) > 12 else "")
            raise DrawingError(
                f"fold: no node or prefix below {self.order.root.label!r} is called {name!r}"
                f"{did_you_mean(name, known)}; names: {shown or 'none'}"
            )
        return self._rounded_off(set(self._closed(found)))

    def _rounded_off(self, inside: set[int]) -> list[int]:
        """Add unnamed gates that join several leaving values of a part, and then one activation behind it."""
        while True:
            leaving = [k for k in inside if any(reader not in inside for reader in self.read_by[k])]
            ready = {reader for k in leaving for reader in self.read_by[k] if self._belongs(reader, inside)}
            if len(leaving) > 1 and ready:
                inside |= ready
                continue
            if len(leaving) == 1 and len(self.read_by[leaving[0]]) == 1:
                inside |= ready
            return sorted(inside)

    def _belongs(self, position: int, inside: set[int]) -> bool:
        """Whether an unnamed gate outside reads nothing but the part."""
        unnamed = self.order.gates[position].name is None and not self.kept(position)
        return unnamed and position not in inside and self._fed(position) <= inside

    def _closed(self, positions: Sequence[int]) -> list[int]:
        """Gates and all that lies between them: what has no name of its own belongs to the part around it."""
        behind, before = set(positions), set(positions)
        for k in range(min(positions), max(positions) + 1):
            if any(operand in behind for operand in self.order.operands[k]):
                behind.add(k)
        for k in range(max(positions), min(positions) - 1, -1):
            if any(reader in before for reader in self.read_by[k]):
                before.add(k)
        return sorted(behind & before)

    def _cone(self, node: Node) -> list[int]:
        """A gate and all gates that only it needs."""
        position = {gate.id: k for k, gate in enumerate(self.order.gates)}
        if node.id not in position:
            raise DrawingError(f"fold: {node.label!r} is no gate below {self.order.root.label!r}")
        inside = {position[node.id]}
        for k in range(position[node.id] - 1, -1, -1):
            if self.read_by[k] and all(reader in inside for reader in self.read_by[k]):
                inside.add(k)
        return sorted(inside)


def _intervals(positions: Sequence[int]) -> list[list[int]]:
    """Split sorted positions where they are not neighbours."""
    parts: list[list[int]] = []
    for k in positions:
        if parts and parts[-1][-1] == k - 1:
            parts[-1].append(k)
        else:
            parts.append([k])
    return parts


def _names_at(gate: Node) -> list[str]:
    """Names of a gate and of the leaves that it reads."""
    return [node.name for node in (gate, *(o for o in gate.operands if not o.operands)) if node.name]


def _dotted(gate: Node) -> list[str]:
    return [name.partition(".")[0] for name in _names_at(gate) if "." in name]


def _begins_with(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix.removesuffix('.')}.")


def _gate_names(gates: Sequence[Node]) -> str:
    names = list(dict.fromkeys(gate.gate for gate in gates))
    return printable(" · ".join(names[:3]) + (" · …" if len(names) > 3 else ""), 36)
