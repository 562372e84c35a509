"""A cell taken apart into single operations, and along which lines between them a gradient is passed on unbent.

A line is *linear* where the local gradient of the operation does not contain the operand that the line brings: that
of ``f*c`` with respect to ``c`` is ``f``, that of ``tanh(c)`` contains ``c``. Both are read off the formula, for any
cell. A path is linear where all of its lines are; the lines of such paths, from what a step reads to what it gives, are
*direct*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy

from graphc.drawing.fonts import formula_text
from graphc.errors import DerivativeError, DrawingError
from graphc.formula.adjoint import adjoint
from graphc.formula.expression import Call, Expression, Number, Symbol, call, fold, substitute, symbols
from graphc.formula.size import extent_value
from graphc.formula.symbolic import derivative, output_form
from graphc.gradients.local import elementwise
from graphc.graph.node import Node, topological
from graphc.graph.reference import run_formula

__all__ = ["Operation", "Strand", "Strands", "short_name"]

#: How functions are written inside of an operation.
_SYMBOLS: Mapping[str, str] = {
    "add": "+",
    "sub": "−",
    "mul": "×",
    "div": "÷",
    "neg": "−",
    "sigmoid": "σ",
    "sech2": "sech²",
}


@dataclass(frozen=True)
class Operation:
    """One operation, or an end of the cell.

    Attributes
    ----------
    number : int
        Place in `Strands.operations`; operands come first.
    symbol : str
        What is written in it; of an end the name.
    low : str
        Of an end, what stands low behind the name: the step.
    kind : str
        ``"source"`` (what a step reads), ``"sink"`` (what it gives), or ``"operation"``.
    name : str
        Of its value, where it has one.
    state : int
        Which state an end is of, or -1.
    """

    number: int
    symbol: str
    low: str = ""
    kind: str = "operation"
    name: str = ""
    state: int = -1

    @property
    def said(self) -> str:
        """How it is called in a line of text: ``c_t``, ``f``, or what is written in it."""
        return f"{self.symbol}_{self.low}" if self.low else self.name or self.symbol


@dataclass(eq=False)
class Strand:
    """The line from one operation to one that reads it.

    Attributes
    ----------
    source, target : int
        Numbers of operations.
    linear : bool
        Whether the local gradient does not contain the operand.
    local : str
        The local gradient.
    closed : bool
        Whether the local gradient is 0 everywhere, so that no gradient passes.
    direct : bool
        Whether it is part of a linear path through the whole cell.
    node, position, slope :
        Where its gradient comes from: an operand of a node, or with a slope, the derivative of the node's body.
    """

    source: int
    target: int
    linear: bool
    local: str
    closed: bool
    node: Node
    position: int = -1
    slope: Expression | None = None
    direct: bool = False

    def contribution(
        self,
        values: Mapping[Node, numpy.ndarray],
        gradients: Mapping[Node, numpy.ndarray],
        edges: Mapping[tuple[Node, int], numpy.ndarray],
        sizes: Mapping[str, int],
    ) -> float:
        """Norm of the gradient that flows back along the line."""
        if self.position >= 0:
            return float(numpy.linalg.norm(edges.get((self.node, self.position), 0.0)))
        if self.node not in gradients:
            return 0.0
        slope: numpy.ndarray | float = 1.0
        if self.slope is not None:
            application, formula = self.node.application, self.node.formula
            assert application is not None
            assert formula is not None
            known = {name: extent_value(extent, sizes) for name, extent in application.sizes.items()}
            tensors = {n: values[o] for n, o in zip(formula.inputs, application.operands, strict=True)}
            statement = replace(formula.statements[0], body=self.slope)
            (slope,) = run_formula(replace(formula, statements=(statement,)), tensors, known).values()
        return float(numpy.linalg.norm(gradients[self.node] * slope))


def short_name(node: Node) -> str:
    """The name without the layer, the number and the step: ``c`` for ``lstm.c[t-1]``."""
    name = (node.name or "").rpartition(".")[2]
    return re.sub(r"(\[.*\]|[_ ]*\d+)$", "", name) or name


@dataclass(eq=False)
class Strands:
    """Operations and the lines between them.

    Attributes
    ----------
    operations : list of Operation
    strands : list of Strand
    """

    operations: list[Operation] = field(default_factory=list)
    strands: list[Strand] = field(default_factory=list)

    @classmethod
    def of(cls, sources: Sequence[tuple[Node, str, str, int]], sinks: Sequence[tuple[Node, str, str, int]]) -> Strands:
        """Read the operations between nodes.

        Parameters
        ----------
        sources, sinks : sequence of (Node, str, str, int)
            What a step reads and gives, its name, what stands low behind that, and which state it is of, or -1.

        Raises
        ------
        DrawingError
            If no sink depends on a source.
        """
        made = cls()
        _Reader(made, sources, sinks)
        if not made.strands:
            names = ", ".join(name for _, name, _, _ in sources) or "nothing"
            raise DrawingError(f"there is no path through the cell: what it gives does not depend on {names}")
        made._find_direct()
        return made

    def of_kind(self, kind: str) -> list[Operation]:
        """Operations of one kind."""
        return [o for o in self.operations if o.kind == kind]

    def belt(self, state: int) -> list[int]:
        """The longest linear path from a state to itself behind the step; empty where there is none."""
        begins = {o.number for o in self.operations if o.kind == "source" and o.state == state}
        ends = {o.number for o in self.operations if o.kind == "sink" and o.state == state}
        best: dict[int, list[int]] = {number: [number] for number in begins}
        for operation in self.operations:  # operands come first
            for strand in self.strands:
                if strand.target == operation.number and strand.linear and strand.source in best:
                    path = [*best[strand.source], operation.number]
                    if len(path) > len(best.get(operation.number, [])):
                        best[operation.number] = path
        paths = [best[number] for number in ends if number in best]
        return max(paths, key=len, default=[])

    def _find_direct(self) -> None:
        ahead = {o.number for o in self.of_kind("source")}
        behind = {o.number for o in self.of_kind("sink")}
        for strand in sorted(self.strands, key=lambda s: s.target):
            if strand.linear and strand.source in ahead:
                ahead.add(strand.target)
        for strand in sorted(self.strands, key=lambda s: -s.source):
            if strand.linear and strand.target in behind:
                behind.add(strand.source)
        for strand in self.strands:
            strand.direct = strand.linear and strand.source in ahead and strand.target in behind


@dataclass(frozen=True)
class _Part:
    """A part of a body: the operation that makes it, or None and how it is written where no source reaches it."""

    number: int | None
    text: str


class _Reader:
    def __init__(
        self, made: Strands, sources: Sequence[tuple[Node, str, str, int]], sinks: Sequence[tuple[Node, str, str, int]]
    ) -> None:
        self.made = made
        self.numbers: dict[Node, int] = {}
        self.said: dict[int, str] = {}
        below = topological([node for node, _, _, _ in sinks])
        reached = {node for node, _, _, _ in sources}
        for node in below:
            if any(o in reached for o in node.operands):
                reached.add(node)
        for node, label, low, state in sources:
            if node in below:
                self.numbers[node] = self.operation(label, low, "source", state=state)
        for node in below:
            if node in reached and node not in self.numbers:
                self.numbers[node] = self.read(node)
        for node, label, low, state in sinks:
            if node in self.numbers:
                number = self.operation(label, low, "sink", state=state)
                self.line(Strand(self.numbers[node], number, True, "1", False, node))

    def operation(self, symbol: str, low: str = "", kind: str = "operation", name: str = "", state: int = -1) -> int:
        made = Operation(len(self.made.operations), symbol, low, kind, name, state)
        self.made.operations.append(made)
        self.said[made.number] = made.said
        return made.number

    def line(self, strand: Strand) -> None:
        self.made.strands.append(strand)

    def read(self, node: Node) -> int:
        """Take a node apart; return the operation that makes it."""
        formula = node.formula
        assert formula is not None
        name = short_name(node)
        if elementwise(formula):
            statement = formula.statements[0]
            by_tensor = dict(zip(formula.inputs, node.operands, strict=True))
            at = {p: by_tensor[access.tensor] for p, access in statement.reads}
            part = self.body(node, statement.body, at, Number(1), name)
            if part.number is not None:
                return part.number
        return self.whole(node, name)

    # ---- element by element --------------------------------------------------------------------------

    def outside(self, node: Node) -> str:
        """How something that does not depend on the sources is written."""
        if node.kind == "constant":
            value = node.value
            return formula_text(Number(value)) if isinstance(value, float) else "constant"
        if node.name is not None:
            return node.name.rpartition(".")[2]
        own = [n for n in topological([node]) if n.kind == "parameter"]
        return ", ".join(dict.fromkeys(n.label.rpartition(".")[2] for n in own)) or node.gate or node.label

    def body(self, node: Node, body: Expression, at: Mapping[str, Node], slope: Expression, name: str) -> _Part:
        """Make the operations of an expression; ``slope`` is the derivative of the node's body with respect to it."""
        if isinstance(body, Number):
            return _Part(None, formula_text(body))
        if isinstance(body, Symbol):
            operand = at.get(body.name)
            if operand is None:
                return _Part(None, body.name)
            return _Part(self.numbers.get(operand), short_name(operand) or self.outside(operand))
        items = _flat_sum(body)
        dummies = [Symbol(f"a{k}") for k in range(len(items))]
        whole: Expression = dummies[0] if items else Number(0)
        if body.function == "add":
            for dummy in dummies[1:]:
                whole = call("add", whole, dummy)
        else:
            whole = Call(body.function, tuple(dummies))
        back = {d.name: item for d, item in zip(dummies, items, strict=True)}
        slopes = [fold(derivative(whole, d.name)) for d in dummies]
        parts: list[_Part] = []
        for item, own in zip(items, slopes, strict=True):
            inner = call("mul", slope, substitute(own, back))
            parts.append(self.body(node, item, at, inner, ""))
        if all(part.number is None for part in parts):
            return _Part(
                None,
                formula_text(substitute(whole, {d.name: Symbol(p.text) for d, p in zip(dummies, parts, strict=True)})),
            )
        number = self.operation(_symbol(body.function, parts), name=name)
        shown = slopes
        if len(parts) == 1:  # through what the operation gives, where that is shorter: o*(1 - o)
            through = output_form(whole, slopes[0], "a0", "y")
            shown = [through] if through is not None else slopes
        texts = {
            d.name: Symbol(_closed_text(self.said[p.number]) if p.number is not None else p.text)
            for d, p in zip(dummies, parts, strict=True)
        }
        texts["y"] = Symbol(name or "output")
        if not name:
            self.said[number] = formula_text(substitute(whole, texts))
        for part, own, said in zip(parts, slopes, shown, strict=True):
            if part.number is None:
                continue
            same = {d.name for d, p in zip(dummies, parts, strict=True) if p.number == part.number}
            closed = own == Number(0)
            linear = not closed and not same & set(symbols(own))
            through = call("mul", slope, substitute(own, back))
            self.line(
                Strand(
                    part.number, number, linear, formula_text(fold(substitute(said, texts))), closed, node,
                    slope=fold(through),
                )
            )  # fmt: skip
        return _Part(number, self.said[number])

    # ---- everything else -----------------------------------------------------------------------------

    def whole(self, node: Node, name: str) -> int:
        """A gate that mixes elements, as one operation with its weights."""
        formula = node.formula
        assert formula is not None
        own = list(dict.fromkeys(self.outside(o) for o in node.operands if o not in self.numbers))
        gate = node.application.gate if node.application is not None else None
        product = formula.statements[-1].operator == "sum" and isinstance(formula.statements[-1].body, Call)
        symbol = f"{', '.join(own)} ·" if own and product else gate.symbol if gate and gate.symbol else node.gate
        number = self.operation(symbol, name=name)
        for position, (tensor, operand) in enumerate(zip(formula.inputs, node.operands, strict=True)):
            if operand not in self.numbers or not operand.is_float:
                continue
            same = {t for t, o in zip(formula.inputs, node.operands, strict=True) if o is operand}
            try:
                found = adjoint(formula, tensor)
            except DerivativeError:
                found = None
            reads = {o.tensor for o in found.operands if o.role == "input"} if found is not None else set()
            bent = found is not None and (bool(reads & same) or any(o.role == "output" for o in found.operands))
            factor = ", ".join(own) if found is not None and own and product else "" if found is not None else "0"
            linear = found is not None and not bent
            self.line(Strand(self.numbers[operand], number, linear, factor, found is None, node, position))
        return number


def _closed_text(text: str) -> str:
    return f"({text})" if " " in text and not text.endswith(")") else text


def _flat_sum(body: Call) -> list[Expression]:
    """Operands; those of sums of sums in one row."""
    if body.function != "add":
        return list(body.operands)
    found: list[Expression] = []
    for operand in body.operands:
        found += _flat_sum(operand) if isinstance(operand, Call) and operand.function == "add" else [operand]
    return found


def _symbol(function: str, parts: Sequence[_Part]) -> str:
    """What is written in an operation: constants and weights stand inside of it."""
    symbol = _SYMBOLS.get(function, function)
    fixed = [part.text for part in parts if part.number is None]
    if not fixed:
        return symbol
    if function == "add":
        return f"+ {' + '.join(fixed)}"
    if function == "mul":
        return f"× {' × '.join(fixed)}"
    if function in ("sub", "div", "pow") and len(parts) == 2:
        mark = "^" if function == "pow" else symbol
        return f"{parts[0].text} {mark}" if parts[0].number is None else f"{mark} {parts[1].text}"
    shown = ["·" if part.number is not None else part.text for part in parts]
    return f"{symbol}({', '.join(shown)})"
