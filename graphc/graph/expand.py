"""Expanding: a gate of several lines as one node for each line, for drawings and checks that look inside."""

from __future__ import annotations

from graphc.formula.expression import Call
from graphc.formula.statement import Formula, Statement
from graphc.graph.gate import derived
from graphc.graph.node import Node, topological
from graphc.graph.unroll import copied

__all__ = ["expanded"]


def expanded(root: Node) -> Node:
    """Write gates of several lines out: one node for each tensor that a line makes, with its name.

    Parameters
    ----------
    root : Node

    Returns
    -------
    Node
        The same value. A cell shows its gates: ``i``, ``f``, ``g``, ``o``, the memory, and what is shown of it. Repeats
        stay whole; write them out with ``graphc.unrolled`` first.

    Examples
    --------
    >>> import graphc
    >>> x, h, w = graphc.input("x", ("N", 2)), graphc.input("h", ("N", 3)), graphc.parameter("w", (3, 2))
    >>> u = graphc.parameter("u", (3, 3))
    >>> [n.name for n in graphc.expanded(graphc.rnn_cell(x, h, w, u)).operands]
    ['projected', 'recurrent']
    """
    found: dict[Node, Node] = {}
    taken = {node.name for node in topological([root]) if node.name is not None}
    for node in topological([root]):
        application = node.application
        if application is None or node in found:
            found.setdefault(node, node)
            continue
        operands = [found[o] for o in node.operands]
        if len(application.formula.statements) < 2 or application.formula.repeats:
            same = all(a is b for a, b in zip(operands, node.operands, strict=True))
            first = node if same else copied(node, operands)
            assert first.application is not None
            found |= dict(zip(application.outputs, first.application.outputs, strict=True))
            continue
        formula = application.formula
        tensors = dict(zip(formula.inputs, operands, strict=True))
        lines: dict[str, list[Statement]] = {}
        for statement in formula.statements:
            lines.setdefault(statement.write.tensor, []).append(statement)
        for tensor, own in lines.items():
            read = tuple(dict.fromkeys(t for s in own for t in s.tensors() if t != tensor))
            ranks = {t: formula.ranks[t] for t in (*read, tensor)}
            whole = formula.integers & set(ranks)
            line = Formula(_name(own, formula.name), read, (tensor,), tuple(own), ranks, formula.extents, whole)
            (made,) = derived(line, tuple(tensors[t] for t in read), application.sizes, application.site, node.dtype)
            tensors[tensor] = made
            if tensor not in formula.outputs:
                made.name = tensor if tensor not in taken else None
                taken.add(tensor)
        for output, tensor in zip(application.outputs, formula.outputs, strict=True):
            tensors[tensor].name = output.name
            found[output] = tensors[tensor]
    return found[root]


def _name(statements: list[Statement], gate: str) -> str:
    """What a line does: the function around everything else, or what it sums."""
    s = statements[-1]
    if s.operator != "set":
        return s.operator
    return s.body.function if isinstance(s.body, Call) else gate
