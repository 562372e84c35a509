"""Rolling: a loop that was written by hand in Python becomes the repeat that `graphc.unroll` would have made.

A loop leaves copies of its body in the graph: the same gates, one copy for each step, which read one step of a sequence
each (``x[t]``) and what the copy before them made. They are found in time linear in the number of nodes:

1. Equal nodes are merged, so that what does not depend on the step is one node.
2. The *level* of a node is the largest step that it depends on. Nodes of one level are a copy of the body.
3. Nodes that the last copy does not have belong to the step behind them (``h @ U`` for the next ``h``).
4. Each node of a copy is described by its gate and by where its operands are: in the same copy, in the copy before it,
   a step of a sequence, or outside. Copies with equal descriptions are the same body. The first copy may be another
   one (``total = loss if total is None else total + loss``): then it stays outside.

What does not fit stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from graphc.graph import registry
from graphc.graph.node import Application, Node, topological
from graphc.graph.rebuild import rebuilt
from graphc.graph.unroll import copied, unrolling

__all__ = ["rolled"]

#: Fewest steps that are worth a repeat.
_STEPS = 3


def rolled(roots: Iterable[Node]) -> dict[Node, Node]:
    """Find loops that were written by hand below some nodes.

    Returns
    -------
    dict
        For each root the node to use instead; itself where no loop was found.

    Notes
    -----
    Loops are found by the steps of a sequence that they read: ``x[t]``, ``x[:, t]``, with t from 0 or 1 up. Time and
    memory are linear in the number of nodes.
    """
    wanted = list(roots)
    order = topological(wanted)
    if all(node.gate != "slice" for node in order):
        return {node: node for node in wanted}
    found = _Rolling(wanted)
    if not found.changed:
        # the last copy of a cell has all of its outputs only if somebody asks for them: the memory of an LSTM
        below = set(order)
        applied = (node.application for node in order if node.application is not None)
        others = dict.fromkeys(output for one in applied for output in one.outputs if output not in below)
        found = _Rolling([*wanted, *others]) if others else found
    return {node: found.result[node] for node in wanted}


def _step_of(node: Node) -> tuple[Node, int, int] | None:
    """Sequence, axis and number of the step that a node reads, if it does nothing else."""
    if node.gate != "slice" or node.application is None or node.application.gate is not registry.gates()["slice"]:
        return None
    (sequence,) = node.operands
    index = node.attributes["index"]
    axis = next((k for k, item in enumerate(index) if item != (None, None, None)), None)
    if axis is None or any(item != (None, None, None) for item in index[axis + 1 :] if item != "..."):
        return None
    step, extent = index[axis], sequence.shape[axis]
    if isinstance(step, bool) or not isinstance(step, int) or not isinstance(extent, int):
        return None
    return sequence, axis, step % extent


class _Rolling:
    def __init__(self, roots: list[Node]) -> None:
        self.same: dict[Node, Node] = {}
        order = self.merged(roots)
        self.result = {root: self.same[root] for root in roots}
        reads = {node: found for node in order if (found := _step_of(node)) is not None}
        counts: dict[tuple[Node, int], dict[int, Node]] = {}
        for node, (sequence, axis, step) in reads.items():
            counts.setdefault((sequence, axis), {})[step] = node
        # sequences of which every step is read, by their number of steps; the most common number is the loop's
        whole = {key: len(steps) for key, steps in counts.items() if set(steps) == set(range(len(steps)))}
        whole = {key: count for key, count in whole.items() if count >= _STEPS}
        self.changed = False
        for count in sorted(set(whole.values()), reverse=True):
            own = {node: found for node, found in reads.items() if whole.get(found[:2]) == count}
            body = _Body(order, self.same, own, count, set(self.result.values()))
            if body.found():
                self.result = rebuilt(roots, body.replaced(), same=self.same, left=body.inner)
                self.changed = True
                break
        if not self.changed:
            self.result = {root: root for root in roots}

    def merged(self, roots: list[Node]) -> list[Node]:
        """Nodes with equal gates on equal operands are one."""
        table: dict[Any, Node] = {}
        order = []
        for node in topological(roots):
            application = node.application
            if application is None:
                key: Any = ("constant", repr(node.value), node.dtype) if isinstance(node.value, float) else node.id
            else:
                key = (
                    application.formula,
                    tuple(self.same[o].id for o in node.operands),
                    node.output,
                    node.shape,
                    node.name,
                )
            self.same[node] = table.setdefault(key, node)
            if self.same[node] is node:
                order.append(node)
        return order


#: Where an operand of a node is: in the same copy, in the one before, a step of a sequence, or outside.
_Where = tuple[str, Any]


class _Body:
    """The copies of one loop."""

    def __init__(
        self,
        order: list[Node],
        same: Mapping[Node, Node],
        reads: Mapping[Node, tuple[Node, int, int]],
        count: int,
        roots: set[Node],
    ) -> None:
        self.order, self.same, self.reads, self.count, self.roots = order, same, reads, count, roots
        self.level: dict[Node, int] = {}
        self.groups: list[list[Node]] = [[] for _ in range(count)]
        for node in order:
            if node in reads:
                self.level[node] = reads[node][2]
                continue
            level = max((self.level[same[o]] for o in node.operands), default=-1)
            self.level[node] = level
            if level >= 0:
                self.groups[level].append(node)
        self.copies: list[dict[int, Node]] = []  # position in the body -> node, of each step
        self.start = 0
        self.inner: set[Node] = set()

    def operands(self, node: Node) -> list[Node]:
        return [self.same[o] for o in node.operands]

    def kind(self, node: Node) -> Any:
        """A gate with its operands outside of the loop, and the gates of the others."""
        places = tuple(o.id if self.level[o] < 0 else (o.formula, o.output) for o in self.operands(node))
        return node.formula, node.output, node.shape, places

    # ---- what is the body ----------------------------------------------------------------------------

    def keys(self, step: int) -> dict[tuple[Any, int], Node]:
        """Nodes of a copy by what they are, as far as that does not depend on the step."""
        numbers: dict[Node, int] = {}
        found: dict[tuple[Any, int], Node] = {}
        counts: dict[Any, int] = {}
        for node in self.groups[step]:
            places = []
            for o in self.operands(node):
                level = self.level[o]
                if o in self.reads:
                    sequence, axis, t = self.reads[o]
                    places.append(("read", sequence.id, axis, t - step))
                elif o in numbers:
                    places.append(("in", numbers[o]))
                elif level < 0:
                    places.append(("out", o.id) if o not in self.late else ("moved", self.late[o]))
                elif level == step - 1 or o in self.late:
                    places.append(("before", o.formula, o.output, o.shape))
                else:
                    places.append(("far", o.id))
            key = (node.formula, node.output, node.shape, tuple(places))
            numbers[node] = self.interned.setdefault(key, len(self.interned))
            counts[key] = counts.get(key, 0) + 1
            found[(numbers[node], counts[key])] = node
        return found

    def found(self) -> bool:
        """Whether the copies are copies of one body."""
        self.interned: dict[Any, int] = {}
        self.late: dict[Node, int] = {}
        last, before = self.keys(self.count - 1), self.keys(self.count - 2)
        moved = {key for key in before if key not in last}
        if moved:
            late = [[node for key, node in self.keys(step).items() if key in moved] for step in range(1, self.count)]
            # the first copy stands on other ground: there only gate and operands outside tell
            kinds = {self.kind(node) for node in late[0]}
            earliest: dict[Node, int] = {}
            for node in self.order:
                for o in self.operands(node):
                    earliest[o] = min(earliest.get(o, self.count), self.level[node])
            first = [n for n in self.groups[0] if self.kind(n) in kinds and earliest.get(n, 0) > 0]
            late.insert(0, first)
            for step, nodes in enumerate(late[:-1]):
                chosen = set(nodes)
                self.groups[step] = [n for n in self.groups[step] if n not in chosen]
                # operands come first: what moves reads the copy before, and what follows reads what moves
                self.groups[step + 1] = [*nodes, *self.groups[step + 1]]
                for node in nodes:
                    self.level[node] = step + 1
            self.interned.clear()
            last, before = self.keys(self.count - 1), self.keys(self.count - 2)
        template = [key for key in last if key in before]
        if not template:
            return False
        position = {key: k for k, key in enumerate(template)}
        self.copies = [{} for _ in range(self.count)]
        for step in range(1, self.count):
            own = self.keys(step) if step > 1 or self.count > 2 else before
            for key, node in own.items():
                if key in position:
                    self.copies[step][position[key]] = node
            if len(self.copies[step]) != len(template) and step > 1:
                return False
        self.body = [self.copies[-1][k] for k in range(len(template))]
        return self.aligned() and bool(self.inputs)

    def aligned(self) -> bool:
        """Check where every operand is, in every copy; note it for the body."""
        number: list[dict[Node, int]] = [{n: k for k, n in own.items()} for own in self.copies]

        def where(step: int, o: Node) -> _Where:
            if o in number[step]:
                return "in", number[step][o]
            if o in self.reads:
                sequence, axis, t = self.reads[o]
                return ("read", (sequence, axis)) if t == step else ("far", o)
            if step and o in number[step - 1]:
                return "before", number[step - 1][o]
            return "out", o

        last = self.count - 1
        self.where = [[where(last, o) for o in self.operands(node)] for node in self.body]
        carried = {q for places in self.where for kind, q in places if kind == "before"}
        self.inputs = list(dict.fromkeys(q for places in self.where for kind, q in places if kind == "read"))
        if any(kind == "far" for places in self.where for kind, _ in places):
            return False
        # what the third copy reads of the second is there, whatever the second reads of the first
        for k, places in enumerate(self.where):
            for (kind, q), o in zip(places, self.operands(self.copies[2][k]), strict=True):
                if kind == "before" and self.copies[1].setdefault(q, o) is not o:
                    return False
        number[1] = {n: k for k, n in self.copies[1].items()}
        # in the second copy, what the first one made is whatever stands there
        for k, places in enumerate(self.where):
            node = self.copies[1].get(k)
            if node is None:
                return False
            for (kind, q), o in zip(places, self.operands(node), strict=True):
                if kind == "before" and self.copies[0].setdefault(q, o) is not o:
                    return False
        number[0] = {n: k for k, n in self.copies[0].items()}
        for step in range(1, self.count):
            for k, places in enumerate(self.where):
                node = self.copies[step][k]
                if [where(step, o) for o in self.operands(node)] != places:
                    return False
        self.carried = sorted(carried)
        if not self.first():
            self.start = 1
            self.initial = {q: self.copies[0][q] for q in self.carried}
        if self.count - self.start < _STEPS:
            return False
        if any(self.initial[q].shape != self.body[q].shape for q in self.carried):
            return False
        for step in range(self.start, self.count):
            self.inner |= set(self.copies[step].values())
        return True

    def first(self) -> bool:
        """Whether the first copy is one of the body; then note what its states are before it."""
        self.initial: dict[int, Node] = {}
        own = dict(self.copies[0])
        work = list(own)
        table: dict[Any, Node] = {(n.formula, n.output, tuple(self.operands(n))): n for n in self.groups[0]}
        rest = [k for k in range(len(self.body)) if k not in own]
        while work or rest:
            if not work:  # what nothing behind it reads: an output
                k = rest.pop(0)
                if k in own:
                    continue
                operands = [self.expected(place, own) for place in self.where[k]]
                node = table.get((self.body[k].formula, self.body[k].output, tuple(operands)))
                if node is None:
                    continue
                own[k] = node
                work.append(k)
                continue
            k = work.pop()
            node = own[k]
            if node.application is None or (node.formula, node.output) != (self.body[k].formula, self.body[k].output):
                return False
            for (kind, q), o in zip(self.where[k], self.operands(node), strict=True):
                if kind == "in":
                    if own.setdefault(q, o) is not o:
                        return False
                    if q in rest:
                        rest.remove(q)
                        work.append(q)
                elif kind == "before":
                    if self.initial.setdefault(q, o) is not o or o.shape != self.body[q].shape:
                        return False
                elif kind == "read":
                    if self.reads.get(o) != (*q, 0):
                        return False
                elif o is not q:
                    return False
        if set(self.initial) != set(self.carried):
            return False
        self.copies[0] = own
        return True

    def expected(self, place: _Where, own: Mapping[int, Node]) -> Node | None:
        kind, q = place
        if kind == "in":
            return own.get(q)
        if kind == "before":
            return self.initial.get(q)
        if kind == "read":
            return next((n for n, found in self.reads.items() if found == (*q, 0)), None)
        return q

    # ---- what replaces it ----------------------------------------------------------------------------

    def replaced(self) -> dict[Node, Node]:
        """For each node of the loop that is used outside of it what to use instead."""
        place = {n: (step, k) for step in range(self.start, self.count) for k, n in self.copies[step].items()}
        used: dict[Node, None] = {n: None for n in place if n in self.roots}
        stacks: dict[Node, int] = {}
        for node in self.order:
            if node in self.inner:
                continue
            operands = self.operands(node)
            whole = self.stacked(node, operands, place)
            if whole is not None:
                stacks[node] = whole
            else:
                used |= {o: None for o in operands if o in place}
        # the last copy of a state is what the repeat returns as such
        last = {n for n in used if place[n][0] == self.count - 1 and place[n][1] in self.carried}
        wanted = sorted({place[n][1] for n in used if n not in last} | set(stacks.values()))
        sequences = tuple(self.sequence(*key) for key in self.inputs)
        initial = tuple(self.initial[q] for q in self.carried)

        def cell(x: tuple[Node, ...], state: tuple[Node, ...]) -> Any:
            made: dict[int, Node] = {}
            applications: dict[int, Application] = {}
            for k, node in enumerate(self.body):
                operands = []
                for kind, q in self.where[k]:
                    if kind == "in":
                        operands.append(made[q])
                    elif kind == "before":
                        operands.append(state[self.carried.index(q)])
                    else:
                        operands.append(x[self.inputs.index(q)] if kind == "read" else q)
                key = id(node.application)
                if key not in applications:
                    first = copied(node, operands)
                    assert first.application is not None
                    applications[key] = first.application
                made[k] = applications[key].outputs[node.output]
                if node.name is not None:
                    made[k].name = re.sub(r"[\[_ ]*\d+\]?$", "", node.name) or None
            return tuple(made[k] for k in wanted), tuple(made[q] for q in self.carried)

        results = unrolling(cell, sequences, initial, name="loop").results
        outputs = dict(zip(wanted, results, strict=False))
        finals = dict(zip(self.carried, results[len(wanted) :], strict=True))
        found: dict[Node, Node] = {}
        for node, k in stacks.items():
            alone = [registry.function("stack")([self.operands(node)[0]])] if self.start else []
            found[node] = registry.function("concat")([*alone, outputs[k]]) if alone else outputs[k]
        for node in used:
            step, k = place[node]
            found[node] = finals[k] if node in last else registry.call("slice", outputs[k], step - self.start)
        return found

    def stacked(self, node: Node, operands: list[Node], place: Mapping[Node, tuple[int, int]]) -> int | None:
        """Position of the node of the body whose copies of all steps a node stacks, behind whatever the first is."""
        if node.gate != "stack" or node.attributes.get("axis") != 0 or len(operands) != self.count:
            return None
        if operands[-1] not in place:
            return None
        k = place[operands[-1]][1]
        steps = range(self.start, self.count)
        return k if all(place.get(operands[step]) == (step, k) for step in steps) else None

    def sequence(self, sequence: Node, axis: int) -> Node:
        """A sequence with its steps first, from the first one that the repeat goes through."""
        if axis:
            order = (axis, *(d for d in range(len(sequence.shape)) if d != axis))
            sequence = registry.function("transpose")(sequence, order)
        return registry.call("slice", sequence, slice(self.start, None)) if self.start else sequence
