"""The equations of one step, one line for each named value, as a lecturer writes them beside the cell."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from graphc.drawing.fonts import formula_text
from graphc.drawing.paths import input_names, state_names
from graphc.drawing.strands import short_name
from graphc.formula.expression import Call, Expression, Number, Symbol, substitute
from graphc.formula.statement import Affine
from graphc.gradients.local import elementwise
from graphc.gradients.through_time import written_out
from graphc.graph.node import Node, topological
from graphc.graph.repeating import Unrolling

__all__ = ["cell_lines", "pieces"]

#: Longer lines are cut.
_LONG = 90


def cell_lines(application: Unrolling) -> list[str]:
    """Return the equations of a cell; what stands low is in braces: ``h_{t} = o·shown``.

    Values without a name are written out where they are used. Where a gate reads a part of a longer vector, that part
    bears the gate's name: ``projected_{f}``.
    """
    cell = application.cell
    _, became, _ = written_out([n for n in (*cell.outputs, *cell.following) if n.is_float])
    names = {n: f"{name}_{{t−1}}" for n, name in zip(cell.states, state_names(application), strict=True)}
    names |= {n: f"{name}_{{t}}" for n, name in zip(cell.inputs, input_names(application), strict=True)}
    results = {became.get(n, n): f"{s}_{{t}}" for n, s in zip(cell.following, state_names(application), strict=True)}
    for node in cell.outputs:
        own = became.get(node, node)
        if own not in results and short_name(own):
            results[own] = f"{short_name(own)}_{{t}}"
    order = topological([became.get(n, n) for n in (*cell.outputs, *cell.following)])
    written: dict[Node, Expression] = {}
    lines: list[str] = []
    inner: set[Node] = set(names)
    for node in order:
        if node in inner or not any(o in inner for o in node.operands):
            written[node] = Symbol(names.get(node) or _outside(node))
            continue
        inner.add(node)
        body = _body(node, written, inner)
        name = results.get(node) or short_name(node)
        if node in results and short_name(node) and results[node] != f"{short_name(node)}_{{t}}":
            lines.append(f"{short_name(node)} = {formula_text(body)}")  # the state has a name of its own
            body = Symbol(short_name(node))
        if name:
            lines.append(f"{name} = {formula_text(body)}")
            body = Symbol(name)
        written[node] = body
    for node, name in results.items():
        if node in names:  # a state that is what another was
            lines.append(f"{name} = {names[node]}")
    return [line if len(line) <= _LONG else f"{line[: _LONG - 1]}…" for line in lines]


def _outside(node: Node) -> str:
    if node.kind == "constant":
        return formula_text(Number(node.value)) if isinstance(node.value, float) else "constant"
    own = [n for n in topological([node]) if n.kind == "parameter"]
    if node.name is None and own:
        return ", ".join(dict.fromkeys(n.label.rpartition(".")[2] for n in own))
    return node.label.rpartition(".")[2]


def _body(node: Node, written: Mapping[Node, Expression], inner: Collection[Node]) -> Expression:
    formula = node.formula
    assert formula is not None
    operands = dict(zip(formula.inputs, node.operands, strict=True))
    if elementwise(formula):
        statement = formula.statements[0]
        known: dict[str, Expression] = {}
        for placeholder, access in statement.reads:
            source = written[operands[access.tensor]]
            place, shape = access.index[-1:], operands[access.tensor].shape
            moves = place and isinstance(place[0], Affine) and place[0].names()
            if moves and node.shape and shape[-1] != node.shape[-1] and isinstance(source, Symbol) and short_name(node):
                source = Symbol(f"{source.name}_{{{short_name(node)}}}")
            known[placeholder] = source
        return substitute(statement.body, known)
    shown = [formula_text(written[o]) for o in node.operands]
    product = formula.statements[-1].operator == "sum" and isinstance(formula.statements[-1].body, Call)
    if product and len(shown) == 2:
        turned = node.operands[0] in inner and node.operands[1] not in inner  # weights stand in front
        return Symbol(" ".join(shown[::-1] if turned else shown))
    return Symbol(f"{node.gate}({', '.join(shown)})")


def pieces(line: str) -> list[str]:
    """Split a line so that every second piece stands low, that of names such as ``W_hh`` too."""
    return re.split(r"_\{(.*?)\}", re.sub(r"_(\w+)", r"_{\1}", line))
