"""What the checker opens before it looks: repeats are written out step by step, cells line by line.

Unlike `graphc.unrolled` and `graphc.expanded` it says which node stands for which, so that claims made for nodes of the
user's graph find their place; and named sizes are numbers here, so that a repeat over T steps can be written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphc.errors import CheckError
from graphc.formula.expression import Call, Symbol
from graphc.formula.size import Extent, Size, extent_value
from graphc.formula.statement import Formula, Statement
from graphc.graph import registry
from graphc.graph.gate import derived
from graphc.graph.node import Application, Node, topological
from graphc.graph.repeating import Unrolling
from graphc.graph.unroll import copied

__all__ = ["choose_sizes", "opened", "steps_of"]

#: Steps that are written out at most; beyond it a repeat stays one gate.
MOST_STEPS = 64

#: Extents tried for a named size. Not 2: any two numbers are at equal distances from their mean.
_EXTENTS = (3, 4, 5, 6, 7)

_LARGEST = 4096


def choose_sizes(nodes: Iterable[Node], given: Mapping[str, int] | None = None) -> dict[str, int]:
    """Small numbers for the named sizes of a graph, different from other extents where possible.

    Parameters
    ----------
    given : mapping, optional
        Sizes that are known.

    Raises
    ------
    CheckError
        If no small numbers make every extent positive.
    """
    order = list(nodes)
    extents: list[Extent] = [extent for node in order for extent in node.shape]
    extents += [e for a in {id(n.application): n.application for n in order if n.application}.values()
                for e in a.sizes.values()]  # fmt: skip
    steps = steps_of(order)
    symbolic = [extent for extent in extents if isinstance(extent, Size)]
    names = {name for extent in symbolic for name in extent.names()}
    sizes = dict(given or {})
    used = {extent for extent in extents if isinstance(extent, int)} | set(sizes.values())
    for name in sorted(names, key=lambda n: (n not in steps, n)):
        if name in sizes:
            continue
        sizes[name] = next((k for k in _EXTENTS if k not in used), _EXTENTS[0])
        used.add(sizes[name])
    while True:
        empty = {name for extent in symbolic if extent_value(extent, sizes) < 1 for name in extent.names()}
        empty -= set(given or {})
        if not empty:
            break
        if max(sizes[name] for name in empty) > _LARGEST:
            raise CheckError(f"no small extents were found for the sizes {', '.join(sorted(empty))} of the graph")
        for name in empty:
            sizes[name] += 1
    return sizes


def steps_of(nodes: Iterable[Node]) -> set[str]:
    """Names of the sizes that are numbers of steps."""
    found: set[str] = set()
    for node in nodes:
        application = node.application
        if isinstance(application, Unrolling) and isinstance(application.steps, Size):
            found |= application.steps.names()
    return found


def opened(roots: Iterable[Node], sizes: Mapping[str, int]) -> dict[Node, Node]:
    """Write repeats and cells out.

    Parameters
    ----------
    sizes : mapping
        Numbers of the named sizes.

    Returns
    -------
    dict
        The node that stands for each node below the roots.
    """
    order = topological(roots)
    return _Opening(order, sizes).through(order)


class _Opening:
    def __init__(self, order: Iterable[Node], sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.found: dict[Node, Node] = {}
        self.taken = {node.name for node in order if node.name is not None}

    def through(self, order: Iterable[Node]) -> dict[Node, Node]:
        for node in order:
            if node in self.found:
                continue
            if node.application is None:
                self.found[node] = node
                continue
            source = next((n.application for n in (node, *node.operands) if isinstance(n.application, Unrolling)), None)
            if source is not None and node in source.results and self.steps(source) <= MOST_STEPS:
                copies = self.written_out(source)
                for old, new in zip(source.results, copies, strict=True):
                    if new.application is not None and new.name is None:
                        new.name = old.name
                    self.found[old] = new
            else:
                self.gate(node, self.found, "")
        return self.found

    def steps(self, application: Unrolling) -> int:
        return extent_value(application.steps, self.sizes)

    def gate(self, node: Node, at: dict[Node, Node], suffix: str) -> None:
        """Enter what stands for the outputs of a node's gate, on what stands for its operands."""
        application = node.application
        assert application is not None
        operands = [at.get(o, self.found.get(o, o)) for o in node.operands]
        if node.gate.endswith("_cell") and len(application.formula.statements) > 1 and not application.formula.repeats:
            at |= self.lines(application, operands, node.dtype, suffix)
        elif suffix or any(a is not b for a, b in zip(operands, node.operands, strict=True)):
            first = copied(node, operands)
            assert first.application is not None
            at |= dict(zip(application.outputs, first.application.outputs, strict=True))
        else:
            at |= {output: output for output in application.outputs}
        if suffix:
            for output in application.outputs:
                at[output].name = None if output.name is None else output.name + suffix

    def lines(self, application: Application, operands: list[Node], dtype: str, suffix: str) -> dict[Node, Node]:
        """One node for each tensor that a line of a cell makes, with its name."""
        formula = application.formula
        tensors = dict(zip(formula.inputs, operands, strict=True))
        groups: dict[str, list[Statement]] = {}
        for statement in formula.statements:
            groups.setdefault(statement.write.tensor, []).append(statement)
        for tensor, own in groups.items():
            if tensor in formula.outputs and _copied_from(own) in tensors:  # the memory that is shown is the memory
                tensors[tensor] = tensors[_copied_from(own)]
                continue
            read = tuple(dict.fromkeys(t for s in own for t in s.tensors() if t != tensor))
            ranks = {t: formula.ranks[t] for t in (*read, tensor)}
            name = _line_name(own, formula.name)
            whole = formula.integers & set(ranks)
            line = Formula(name, read, (tensor,), tuple(own), ranks, formula.extents, whole)
            (made,) = derived(line, tuple(tensors[t] for t in read), application.sizes, application.site, dtype)
            tensors[tensor] = made
            if tensor not in formula.outputs:
                made.name = tensor + suffix if tensor + suffix not in self.taken else None
                self.taken.add(tensor + suffix)
        found = {}
        for output, tensor in zip(application.outputs, formula.outputs, strict=True):
            if output.name is not None or tensor == tensors[tensor].name:
                tensors[tensor].name = output.name
            found[output] = tensors[tensor]
        return found

    def written_out(self, application: Unrolling) -> tuple[Node, ...]:
        """One copy of a cell for each step; names carry the step, as in ``h[2]``."""
        cell = application.cell
        sequences = [self.found.get(n, n) for n in application.sequences]
        states = [self.found.get(n, n) for n in application.initial]
        collected: list[list[Node]] = [[] for _ in cell.outputs]
        order = topological([*cell.outputs, *cell.following])
        count = self.steps(application)
        for t in reversed(range(count)) if application.backward else range(count):
            at: dict[Node, Node] = dict(zip(cell.inputs, [sequence[t] for sequence in sequences], strict=True))
            for node, sequence in zip(cell.inputs, sequences, strict=True):
                if sequence.name is not None:
                    at[node].name = f"{sequence.name}[{t}]"
            at |= dict(zip(cell.states, states, strict=True))
            for node in order:
                if node.application is not None and node not in at and any(o in at for o in node.operands):
                    self.gate(node, at, f"[{t}]")
            for k, node in enumerate(cell.outputs):
                collected[k].append(self.standing(node, at))
            states = [self.standing(n, at) for n in cell.following]
        outputs: Any = [registry.function("stack")(o[::-1] if application.backward else o) for o in collected]
        return (*outputs, *states)

    def standing(self, node: Node, at: Mapping[Node, Node]) -> Node:
        return at.get(node, self.found.get(node, node))


def _copied_from(statements: list[Statement]) -> str:
    """Tensor that a line copies as it is, or an empty string."""
    if len(statements) != 1:
        return ""
    (s,) = statements
    if s.operator != "set" or s.guards or s.accumulate or not isinstance(s.body, Symbol) or len(s.reads) != 1:
        return ""
    access = s.reads[0][1]
    return access.tensor if access.index == s.write.index and not access.flat else ""


def _line_name(statements: list[Statement], gate: str) -> str:
    """What a line does: the function around everything else, or what it sums."""
    last = statements[-1]
    if last.operator != "set":
        return last.operator
    return last.body.function if isinstance(last.body, Call) else gate
