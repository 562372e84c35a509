"""The gradient of an array as a lecturer writes it: ``X.T @ (G * (1 - H**2))``.

Rules for the gates of lectures give the text; it is shown only where it equals the true gradient at a random point to
all digits, so that a rule that does not fit a graph leaves the text out and nothing worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy

from graphc.checking.circuit import Circuit, Edge
from graphc.checking.compare import AGREEING, DIGITS, MOST_EXACT, apart
from graphc.checking.precise import OutsideDomain
from graphc.checking.sampling import Sampler
from graphc.errors import GraphcError
from graphc.formula.expression import ONE, ZERO, Call, Expression, Number, Symbol, evaluate, number, substitute, symbols
from graphc.formula.size import Size
from graphc.formula.symbolic import plus, product
from graphc.gradients.local import local_expression, node_expression
from graphc.graph.node import Node

__all__ = ["written_gradient"]

#: Longest gradient that is written, in operations.
_LIMIT = 40


class _CannotWriteError(Exception):
    """No rule fits, or the gradient gets too long."""


def written_gradient(circuit: Circuit, target: Node) -> Expression | None:
    """Gradient with respect to ``target`` over names of the graph; None where no short form is known to be right."""
    try:
        found = _Writer(circuit, target).gradient()
        if not _right(circuit, target, found):
            return None
    except (_CannotWriteError, OutsideDomain, GraphcError, KeyError, TypeError, ValueError):
        return None
    return _readable(found, {n.name: n for n in circuit.nodes if n.name is not None})


def _right(circuit: Circuit, target: Node, expression: Expression) -> bool:
    import mpmath

    from graphc.checking.arrays import claim_functions

    numbers = {n.name: n for n in circuit.nodes if n.name is not None}
    with mpmath.workdps(DIGITS):
        sampler = Sampler(circuit, 5)
        precision = "exact" if circuit.operations() <= MOST_EXACT else "double"
        state = circuit.state(sampler.generic(0.5, positive=True), precision)
        environment = {name: state.values[numbers[name].id] for name in symbols(expression)}
        value = evaluate(expression, environment, claim_functions(precision), state.numbers.constant)
        if numpy.shape(value) != circuit.shapes[target.id]:
            return False
        margin = mpmath.mpf(10) ** -AGREEING if precision == "exact" else 1e-9
        return apart(value, state, target, margin, margin) is None


def _readable(expression: Expression, nodes: Mapping[str, Node]) -> Expression:
    """Named sizes by their names, ``N`` for ``size(X, 0)``, and the mask of relu as a comparison."""
    match expression:
        case Call("size", (Symbol(name), Number(axis))) if isinstance(nodes[name].shape[int(axis)], Size):
            extent = str(nodes[name].shape[int(axis)])
            return Symbol(extent) if extent.isidentifier() and extent not in nodes else expression
        case Call("select", (Call("greater_equal", (Number(0), x)), Number(0), Number(1))):
            return Call("greater", (_readable(x, nodes), ZERO))
        case Call(function, operands):
            return Call(function, tuple(_readable(o, nodes) for o in operands))
    return expression


class _Writer:
    def __init__(self, circuit: Circuit, target: Node) -> None:
        self.circuit, self.target = circuit, target
        names = [n.name for n in circuit.nodes]
        self.named = {n.id for n in circuit.nodes if n.name is not None and names.count(n.name) == 1}
        self.forms: dict[int, Expression] = {}
        self.shapes = {n.name: circuit.shapes[n.id] for n in circuit.nodes if n.name is not None}

    def shape(self, expression: Expression) -> tuple[int, ...]:
        from graphc.checking.language import shape_of

        return tuple(int(str(extent)) for extent in shape_of(expression, self.shapes))

    # ---- values ------------------------------------------------------------------------------------------

    def form(self, node: Node) -> Expression:
        """A node by name, or written out."""
        if node.id in self.named and node.name is not None:
            return Symbol(node.name)
        if node.kind == "constant" and isinstance(node.value, float):
            return number(node.value)
        if node.id not in self.forms:
            self.forms[node.id] = _short(self.written(node))
        return self.forms[node.id]

    def written(self, node: Node) -> Expression:
        if node.application is None:
            raise _CannotWriteError
        if self.circuit.direct[node.id]:
            return substitute(node_expression(node), {o.label: self.form(o) for o in node.operands})
        operands = tuple(self.form(o) for o in node.operands)
        match node.gate:
            case "matmul":
                return Call("matmul", operands)
            case "transpose" if node.attributes["axes"] == tuple(reversed(range(len(node.shape)))):
                return Call("transpose", operands)
            case "sum" | "mean" if not node.attributes["keepdims"]:
                return Call(node.gate, (*operands, *map(Number, node.attributes["axes"])))
            case "softmax" if node.attributes["axis"] == len(node.shape) - 1:
                return Call("softmax", operands)
        raise _CannotWriteError

    # ---- gradients ---------------------------------------------------------------------------------------

    def gradient(self) -> Expression:
        circuit = self.circuit
        if circuit.upstream is not None:
            if not isinstance(circuit.upstream, Node):
                raise _CannotWriteError
            total: dict[int, Expression] = {circuit.root.id: self.form(circuit.upstream)}
        else:
            total = {circuit.root.id: ONE}
        for node in reversed(circuit.below):
            if node.id not in total or node is self.target or not self.leads(node):
                continue
            for position in circuit.edges_into.get(node.id, ()):
                edge = circuit.edges[position]
                if not self.leads(edge.source):
                    continue
                term = self.pulled(edge, total[node.id])
                known = total.get(edge.source.id)
                total[edge.source.id] = _short(term if known is None else plus(known, term))
        found = total.get(self.target.id, ZERO)
        return found if self.shape(found) == circuit.shapes[self.target.id] else self.full(found, self.target)

    def leads(self, node: Node) -> bool:
        """Whether the gradient of the target passes a node."""
        if not hasattr(self, "_leading"):
            self._leading = {self.target.id}
            for other in self.circuit.below:
                if any(o.id in self._leading for o in other.operands):
                    self._leading.add(other.id)
        return node.id in self._leading

    def extent(self, node: Node, axis: int, form: Expression) -> Expression:
        """An extent of a node as a number, or as that of a node that goes by a name."""
        wanted = node.shape[axis]
        if isinstance(wanted, int):
            return Number(wanted)
        for other in self.circuit.nodes:
            if other.id in self.named and wanted in other.shape:
                return Call("size", (Symbol(str(other.name)), Number(other.shape.index(wanted))))
        return Call("size", (form, Number(axis)))

    def full(self, expression: Expression, node: Node) -> Expression:
        """An expression with the shape of a node, where it stands for equal entries so far."""
        shape = self.circuit.shapes[node.id]
        if self.shape(expression) == shape:
            return expression
        if expression == ONE:
            return Call("ones_like", (self.form(node),))
        return Call("broadcast_like", (expression, self.form(node)))

    def pulled(self, edge: Edge, upstream: Expression) -> Expression:
        """What flows back along an edge."""
        if edge.slope is not None:
            return self.elementwise(edge, upstream)
        node = edge.target
        operands = [self.form(o) for o in node.operands]
        rule = _RULES.get(node.gate)
        if rule is None:
            raise _CannotWriteError
        return rule(self, edge, upstream, operands)

    def elementwise(self, edge: Edge, upstream: Expression) -> Expression:
        node = edge.target
        slope = local_expression(node, edge.k)
        forms = {o.label: self.form(o) for o in node.operands}
        if node.label in set(symbols(slope)) and node.label not in forms:
            forms[node.label] = self.form(node)
        term = product(upstream, substitute(slope, forms))
        target, source = self.circuit.shapes[node.id], self.circuit.shapes[edge.source.id]
        if source == target:
            return term
        extra = len(target) - len(source)
        axes = [*range(extra), *(extra + d for d, k in enumerate(source) if k == 1 and target[extra + d] != 1)]
        term = Call("sum", (self.full(term, node), *map(Number, axes)))
        kept = [axis - extra for axis in axes if axis >= extra]
        return Call("expand_dims", (term, *map(Number, kept))) if kept else term


def _matmul(self: _Writer, edge: Edge, upstream: Expression, operands: list[Expression]) -> Expression:
    if any(len(o.shape) != 2 for o in edge.target.operands):
        raise _CannotWriteError
    flow, other = self.full(upstream, edge.target), operands[1 - edge.k]
    turned = _transposed(other)
    return Call("matmul", (flow, turned)) if edge.k == 0 else Call("matmul", (turned, flow))


def _transposed(expression: Expression) -> Expression:
    match expression:
        case Call("transpose", (inner,)):
            return inner
    return Call("transpose", (expression,))


def _transpose(self: _Writer, edge: Edge, upstream: Expression, _: list[Expression]) -> Expression:
    if edge.target.attributes["axes"] != (1, 0):
        raise _CannotWriteError
    return _turned(self.full(upstream, edge.target))


def _turned(expression: Expression) -> Expression:
    """The transpose of a matrix, moved inwards: (A @ B).T = B.T @ A.T."""
    match expression:
        case Call("matmul", (a, b)):
            return Call("matmul", (_transposed(b), _transposed(a)))
        case Call("add" | "sub" as sign, (a, b)):
            return Call(sign, (_turned(a), _turned(b)))
    return _transposed(expression)


def _sum(self: _Writer, edge: Edge, upstream: Expression, operands: list[Expression]) -> Expression:
    node = edge.target
    axes = node.attributes["axes"]
    if node.attributes["keepdims"]:
        raise _CannotWriteError
    if node.gate == "mean":
        for axis in axes:
            upstream = product(upstream, Call("div", (ONE, self.extent(edge.source, axis, operands[0]))))
    return Call("expand_dims", (upstream, *map(Number, axes))) if self.shape(upstream) and node.shape else upstream


def _softmax(self: _Writer, edge: Edge, upstream: Expression, _: list[Expression]) -> Expression:
    node = edge.target
    if node.attributes["axis"] != len(node.shape) - 1:
        raise _CannotWriteError
    p, axis = self.form(node), Number(node.attributes["axis"])
    mean = Call("expand_dims", (Call("sum", (product(upstream, p), axis)), axis))
    return product(p, Call("sub", (upstream, mean)))


def _cross_entropy(self: _Writer, edge: Edge, upstream: Expression, operands: list[Expression]) -> Expression:
    scores, label = operands
    error = Call("sub", (Call("softmax", (scores,)), Call("one_hot", (label, scores))))
    return product(upstream, Call("div", (error, self.extent(edge.target.operands[0], 0, scores))))


def _reshaped(self: _Writer, edge: Edge, upstream: Expression, operands: list[Expression]) -> Expression:
    return Call("reshape_like", (self.full(upstream, edge.target), operands[0]))


_RULES: Mapping[str, Callable[[_Writer, Edge, Expression, list[Expression]], Expression]] = {
    "matmul": _matmul,
    "transpose": _transpose,
    "sum": _sum,
    "mean": _sum,
    "softmax": _softmax,
    "softmax_cross_entropy": _cross_entropy,
    "flatten": _reshaped,
    "reshape": _reshaped,
}


def _short(expression: Expression) -> Expression:
    if _count(expression) > _LIMIT:
        raise _CannotWriteError
    return expression


def _count(expression: Any) -> int:
    return 1 + sum(_count(o) for o in expression.operands) if isinstance(expression, Call) else 0
