"""What a diagnosis says: explanations of a wrong claim, best first, with the gates they point at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from graphc.checking.circuit import Edge
from graphc.formula.expression import Expression, Symbol, substitute, symbols, to_text
from graphc.gradients.local import elementwise, local_expression, node_expression
from graphc.graph.node import Node

__all__ = [
    "Diagnosis",
    "Explanation",
    "called",
    "formula_of",
    "joined",
    "local_gradient",
    "named_constant",
    "step_of",
    "told_gradient",
]

#: Explanations of equal rank that a sentence holds.
_SPOKEN = 3

#: Longest formula that stands for a node without a name, in characters.
_SHORT = 24


@dataclass(frozen=True)
class Explanation:
    """One way in which the claim follows from the right gradient.

    Attributes
    ----------
    kind : str
        Class of mistake, as in ``"missing factor"``, ``"missing path"``, ``"sign"``.
    text : str
        A sentence for whoever made the claim.
    edges : tuple of (Node, Node)
        Operand and gate of each edge that the sentence is about.
    nodes : tuple of Node
        Other nodes that it is about.
    certain : bool
        Whether the relation was confirmed to 40 digits; else in float64 only.
    rank : float
        Smaller explains better: a single change on the way from the node to the root before others.
    """

    kind: str
    text: str
    edges: tuple[tuple[Node, Node], ...] = ()
    nodes: tuple[Node, ...] = ()
    certain: bool = True
    rank: float = 1.0

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Diagnosis:
    """Every explanation found for a wrong claim, best first; empty (and false) where the cause is not known."""

    explanations: tuple[Explanation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.explanations)

    @property
    def best(self) -> Explanation | None:
        """The explanation that needs the smallest mistake."""
        return self.explanations[0] if self.explanations else None

    def __str__(self) -> str:
        if not self.explanations:
            return "the cause is not known"
        rank = self.explanations[0].rank
        texts = [e.text for e in self.explanations if e.rank == rank][:_SPOKEN]
        return "; or: ".join(dict.fromkeys(texts))

    def marks(self) -> dict[Any, str]:
        """Kind of mistake by (operand, gate) and by node, of the best explanation: data for a drawing."""
        best = self.best
        if best is None:
            return {}
        return dict.fromkeys(best.edges, best.kind) | dict.fromkeys(best.nodes, best.kind)


def joined(words: Iterable[str], last: str = "and") -> str:
    """Words as a list in a sentence, each once."""
    texts = list(dict.fromkeys(words))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"


_STEP = re.compile(r"^(?P<stem>.*?[^\d_\[])(?:\[(?P<index>\d+)\]|_?(?P<number>\d+))$")


def step_of(node: Node) -> tuple[str, int] | None:
    """Stem and time step of a name such as ``h[2]`` or ``h2``; None where a name has none."""
    found = None if node.name is None else _STEP.match(node.name)
    if found is None:
        return None
    return found["stem"], int(found["index"] if found["index"] is not None else found["number"])


def called(node: Node) -> str:
    """How a sentence calls a node: by name or short formula, or by gate and line where it has neither."""
    if node.name is not None or node.kind == "constant":
        return node.label
    if node.gate == "transpose" and node.operands[0].name is not None:
        return f"{node.operands[0].name}.T"
    formula = _written(node, 3)
    if formula is not None and len(text := to_text(formula)) <= _SHORT:
        return text
    return f"the {node.gate or node.kind} of line {node.site.line}"


def _written(node: Node, depth: int) -> Expression | None:
    """An elementwise node over named ones; None where that is not short."""
    if node.formula is None or not elementwise(node.formula) or depth == 0:
        return None
    operands: dict[str, Expression] = {}
    for operand in node.operands:
        if operand.name is None and operand.kind != "constant":
            inner = _written(operand, depth - 1)
            if inner is None:
                return None
            operands[operand.label] = inner
    written = substitute(node_expression(node), operands)
    return None if isinstance(written, Symbol) else written  # a transpose is not its operand


def formula_of(expression: Expression, around: Iterable[Node]) -> str | None:
    """An expression over labels as text; None where it would show names that nobody gave."""
    unnamed = {n.label for n in around if n.name is None and n.kind != "constant"}
    return None if unnamed & set(symbols(expression)) else to_text(expression)


def local_gradient(edge: Edge) -> str:
    """An edge's local gradient as a lecturer writes it: ``df/ds = f * (1 - f) of the gate sigmoid``."""
    target, shown = edge.target, None
    if target.formula is not None and elementwise(target.formula):
        shown = formula_of(local_expression(target, edge.k), (*target.operands, target))
    return told_gradient(edge, shown)


def told_gradient(edge: Edge, shown: str | None) -> str:
    """An edge's local gradient with its formula."""
    top, bottom = (
        node.name if node.name is not None else f"({called(node).removeprefix('the ')})"
        for node in (edge.target, edge.source)
    )
    formula = "" if shown is None else f" = {shown}"
    return f"d{top}/d{bottom}{formula} of the gate {edge.target.gate}"


def named_constant(values: Sequence[Any], sizes: dict[str, int], digits: int) -> str | None:
    """A constant in words, where it is one that mistakes are made of: a small fraction, ln 10, 1/N."""
    import mpmath

    value = mpmath.mpf(values[0])
    close = mpmath.mpf(10) ** -digits
    for name, known in (
        ("ln(10)", mpmath.log(10)),
        ("ln(2)", mpmath.log(2)),
        ("pi", +mpmath.mp.pi),
        ("sqrt(2)", mpmath.sqrt(2)),
    ):
        for sign, minus in ((1, ""), (-1, "-")):
            if abs(value - sign * known) <= close * abs(known):
                return f"{minus}{name}"
            if abs(value - sign / known) <= close / abs(known):
                return f"{minus}1/{name}"
    try:
        simple = Fraction(str(mpmath.nstr(value, 30))).limit_denominator(1000)
    except ValueError:
        return None
    if simple == 0 or abs(value - mpmath.mpf(simple.numerator) / simple.denominator) > close * abs(value):
        return None
    extents = [name for name, extent in sizes.items() if extent > 1 and abs(simple) == extent]
    extents += [f"1/{name}" for name, extent in sizes.items() if extent > 1 and abs(simple) == Fraction(1, extent)]
    return f"{simple} (here {joined(extents, 'or')})" if extents else str(simple)
