"""Mistakes that change the graph: a small constant dropped; and gates of several lines, opened to look inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from graphc.checking.circuit import Circuit, State
from graphc.checking.diagnosis.evidence import Evidence, same
from graphc.checking.diagnosis.explanation import Explanation, called
from graphc.checking.precise import OutsideDomain
from graphc.errors import GraphcError
from graphc.formula.expression import ZERO, Call, Expression, Number
from graphc.formula.statement import Formula
from graphc.graph.declare import constant
from graphc.graph.expand import expanded
from graphc.graph.node import Application, Node
from graphc.graph.unroll import copied

__all__ = ["dropped_constants", "opened_gates"]

#: A constant of at most this size may be one that only avoids a division by zero.
_SMALL = 0.01

#: Constants that are tried.
_MOST = 6

Made = tuple[Circuit, Node]


def dropped_constants(evidence: Evidence) -> Iterator[Explanation]:
    """Claims that are right for a graph in which a small constant is zero."""
    circuit = evidence.circuit
    tried = 0
    for node in circuit.nodes:
        if tried >= _MOST:
            return
        value = node.value if node.kind == "constant" and node.shape == () else None
        numbers = {float(value)} if isinstance(value, float) else _numbers(node)
        for small in sorted(c for c in numbers if 0 < abs(c) <= _SMALL):
            tried += 1
            made = _without(circuit, evidence.target, node, small)
            if made is None or not _explains(made, evidence):
                continue
            readers = [n for n in circuit.nodes if any(o is node for o in n.operands)]
            where = called(node) if node.kind != "constant" else called(readers[0]) if readers else "the graph"
            text = f"the constant {small:g} is dropped: it belongs in {where}"
            edges = tuple((node, n) for n in readers[:1]) if node.kind == "constant" else ()
            yield Explanation("dropped constant", text, edges, (node,) if not edges else (), True, 1.0)


def _numbers(node: Node) -> set[float]:
    """Numbers in the formula of a gate."""
    if node.formula is None:
        return set()
    found: set[float] = set()
    work: list[Expression] = [s.body for s in node.formula.statements]
    while work:
        item = work.pop()
        if isinstance(item, Number):
            found.add(float(item.value))
        elif isinstance(item, Call):
            work += item.operands
    return found


def _without(circuit: Circuit, target: Node, changed: Node, small: float) -> Made | None:
    """The circuit with a constant made zero, and what stands for the target."""
    found: dict[int, Node] = {}
    for node in circuit.nodes:
        operands = [found.get(o.id, o) for o in node.operands]
        same_operands = all(a is b for a, b in zip(operands, node.operands, strict=True))
        if node is changed and node.kind == "constant":
            found[node.id] = constant(0.0)
        elif node is changed and node.application is not None:
            if len(node.application.outputs) > 1:
                return None
            found[node.id] = _with_formula(node, operands, _zeroed(node.application.formula, small))
        elif node.application is not None and not same_operands:
            if len(node.application.outputs) > 1:
                return None
            found[node.id] = copied(node, operands)
        else:
            found[node.id] = node
    return _built(circuit, found[circuit.root.id], found[target.id])


def _zeroed(formula: Formula, small: float) -> Formula:
    def body(expression: Expression) -> Expression:
        if isinstance(expression, Number):
            return ZERO if float(expression.value) == small else expression
        if isinstance(expression, Call):
            return Call(expression.function, tuple(body(o) for o in expression.operands))
        return expression

    return replace(formula, statements=tuple(replace(s, body=body(s.body)) for s in formula.statements))


def _with_formula(node: Node, operands: Sequence[Node], formula: Formula) -> Node:
    application = node.application
    assert application is not None
    made = Application(
        application.gate, formula, tuple(operands), application.attributes, application.sizes, application.site
    )
    output = Node("gate", node.shape, node.dtype, node.site, name=node.name, application=made, output=0)
    made.outputs = (output,)
    return output


def _built(circuit: Circuit, root: Node, target: Node) -> Made | None:
    try:
        made = Circuit(root, upstream=circuit.upstream, sizes=circuit.sizes, conventions=circuit.conventions)
    except GraphcError:
        return None
    return made, made.standing.get(target, target)


def _explains(made: Made, evidence: Evidence) -> bool:
    circuit, target = made

    def prediction(state: State) -> Any:
        return circuit.state(state.point, state.precision).gradients[target.id]

    return evidence.confirmed(prediction)


def opened_gates(
    circuit: Circuit, target: Node, samples: Sequence[tuple[State, Any]]
) -> tuple[Circuit, Node, list[tuple[State, Any]]] | None:
    """The circuit with normalisations written out, and the samples there; None if there are none.

    Mean and variance of a batch are wholes that students forget to differentiate; a softmax is no such chain of lines.
    """
    several = [n for n in circuit.nodes if "norm" in n.gate and n.formula is not None and not n.formula.repeats]
    if not several or isinstance(circuit.upstream, Node):
        return None
    made = _built(circuit, expanded(circuit.root), target)
    if made is None:
        return None
    other, standing = made
    if target.application is not None:
        named = [n for n in other.nodes if n.name is not None and n.name == target.name]
        if len(named) != 1:
            return None
        standing = named[0]
    return (other, standing, found) if (found := _again(other, standing, target, samples)) else None


def _again(
    other: Circuit, standing: Node, target: Node, samples: Sequence[tuple[State, Any]]
) -> list[tuple[State, Any]]:
    """The samples' points in another circuit, as long as the gradient there is the same."""
    found = []
    for state, claim in samples[:4]:
        try:
            again = other.state(state.point, state.precision)
        except OutsideDomain:
            continue
        if not same(again.gradients[standing.id], state.gradients[target.id], 9):
            return []
        found.append((again, claim))
    return found
