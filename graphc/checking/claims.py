"""Reading claims: a text, a number or a SymPy expression becomes an expression over names of the graph.

Texts go through graphc's own parser; nothing is ever evaluated. Beyond the formula language a claim may use
what people write: ``cosh``, ``ln``, ``relu``, ``Heaviside``, SymPy's ``Max`` and ``Abs``, and the constants
``e`` and ``pi`` unless the graph has nodes of that name.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.checking.circuit import Circuit
from graphc.checking.precise import constant
from graphc.errors import CheckError, FormulaError, did_you_mean
from graphc.formula.expression import (
    FUNCTIONS,
    ONE,
    ZERO,
    Call,
    Expression,
    Number,
    Symbol,
    call,
    evaluate,
    number,
    symbols,
)
from graphc.formula.parser import ExpressionReader, node_text, syntax_tree
from graphc.formula.symbolic import TWO_OVER_ROOT_PI, from_sympy
from graphc.graph.node import Node

__all__ = ["CONSTANTS", "VOCABULARY", "Claim", "Names", "exact_constants", "read_claim"]


def _exponentials(x: Expression, sign: str) -> Expression:
    return Call(sign, (Call("exp", (x,)), Call("exp", (call("neg", x),))))


def _half(x: Expression) -> Expression:
    return Call("div", (x, Number(2)))


def _logarithm(base: int) -> Callable[..., Expression]:
    return lambda x: Call("div", (Call("log", (x,)), Call("log", (Number(base),))))


def _heaviside(x: Expression, at_zero: Expression = ZERO) -> Expression:
    tie = Call("select", (Call("equal", (x, ZERO)), at_zero, ZERO))
    return Call("select", (Call("greater", (x, ZERO)), ONE, tie))


#: Functions beyond the formula language, each as an expression of it.
VOCABULARY: Mapping[str, tuple[tuple[int, ...], Callable[..., Expression]]] = {
    "ln": ((1,), lambda x: Call("log", (x,))),
    "log2": ((1,), _logarithm(2)),
    "log10": ((1,), _logarithm(10)),
    "sinh": ((1,), lambda x: _half(_exponentials(x, "sub"))),
    "cosh": ((1,), lambda x: _half(_exponentials(x, "add"))),
    "sech": ((1,), lambda x: Call("div", (Number(2), _exponentials(x, "add")))),
    "csch": ((1,), lambda x: Call("div", (Number(2), _exponentials(x, "sub")))),
    "coth": ((1,), lambda x: Call("div", (ONE, Call("tanh", (x,))))),
    "tan": ((1,), lambda x: Call("div", (Call("sin", (x,)), Call("cos", (x,))))),
    "square": ((1,), lambda x: Call("pow", (x, Number(2)))),
    "reciprocal": ((1,), lambda x: Call("div", (ONE, x))),
    "relu": ((1,), lambda x: Call("max", (ZERO, x))),
    "logistic": ((1,), lambda x: Call("sigmoid", (x,))),
    "Heaviside": ((1, 2), _heaviside),
    "heaviside": ((1, 2), _heaviside),
    "step": ((1,), _heaviside),
    "Abs": ((1,), lambda x: Call("abs", (x,))),
    "Max": ((2,), lambda a, b: Call("max", (a, b))),
    "Min": ((2,), lambda a, b: Call("min", (a, b))),
    "maximum": ((2,), lambda a, b: Call("max", (a, b))),
    "minimum": ((2,), lambda a, b: Call("min", (a, b))),
    "where": ((3,), lambda c, a, b: Call("select", (c, a, b))),
    "pow": ((2,), lambda a, b: Call("pow", (a, b))),
}

#: Names that mean a number unless the graph has a node of that name.
CONSTANTS: Mapping[str, Expression] = {
    "e": Call("exp", (ONE,)),
    # pi has no finite form: it stays a name for those who evaluate
    "pi": Symbol("pi"),
}


@dataclass(frozen=True)
class Claim:
    """A claimed gradient: whose, as given, and as an expression over names of the graph or as a function.

    Attributes
    ----------
    target : Node
        Whose gradient is claimed.
    text : str
        The claim as given.
    expression : Expression or None
        The claim over the names in ``nodes`` and ``upstream`` and ``pi``; None where it is a function.
    function : callable or None
        A Python function of ``nodes`` and ``upstream`` by keyword, which is called with float64 arrays.
    nodes : mapping
        Node of each name whose value the claim uses.
    upstream : mapping
        Node of each name that means the gradient of the root with respect to that node.
    """

    target: Node
    text: str
    expression: Expression | None = None
    function: Callable[..., Any] | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    upstream: Mapping[str, Node] = field(default_factory=dict)

    def value(self, environment: Mapping[str, Any], precision: str = "exact") -> Any:
        """Evaluate the claim.

        Parameters
        ----------
        environment : mapping
            Value of each name in ``nodes``, gradient for each name in ``upstream``: mpmath numbers and arrays
            of dtype object, or floats and float64 arrays.
        precision : str
            ``"exact"`` in the working precision of mpmath, or ``"double"``. A function is always called with
            floats, whatever the precision.

        Raises
        ------
        OutsideDomain
            If the claim has no real value there.
        CheckError
            If the claim is a function and fails.
        """
        from graphc.checking.arrays import claim_functions

        if self.expression is None:
            return self._called(environment)
        if precision == "exact":
            import mpmath

            pi = +mpmath.mp.pi
            return evaluate(self.expression, {"pi": pi, **environment}, claim_functions("exact"), constant)
        return evaluate(self.expression, {"pi": math.pi, **environment}, claim_functions("double"), float)

    def _called(self, environment: Mapping[str, Any]) -> Any:
        assert self.function is not None
        arguments = {}
        for name in (*self.nodes, *self.upstream):
            array = numpy.array(environment[name], dtype=numpy.float64)  # a copy: a function may write into it
            arguments[name] = array if array.ndim else float(array)
        name = getattr(self.function, "__name__", "the function")
        try:
            with numpy.errstate(all="ignore"):
                result = numpy.asarray(self.function(**arguments), dtype=numpy.float64)
        except Exception as error:
            raise CheckError(
                f"the claim for {self.target.label!r}: {name} failed with {type(error).__name__}: {error}\n"
                f"  called with {', '.join(f'{n} of shape {numpy.shape(v)}' for n, v in arguments.items())}",
                node=self.target,
                site=self.target.site,
            ) from error
        return result if result.ndim else float(result)


class Names:
    """Names that a claim may use, and the nodes they mean.

    Leaves and named nodes go by name; ``f`` is the root where no node has that name.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.nodes: dict[str, list[Node]] = {}
        for node in circuit.nodes:
            if node.name is not None:
                self.nodes.setdefault(node.name, []).append(node)
        self.nodes.setdefault("f", [circuit.root])
        for node in circuit.nodes:  # labels such as add_7 are printed in tables, so they can be typed
            self.nodes.setdefault(node.label, [node])
        self.shown = [n for n in self.nodes if n.isidentifier() and (n == "f" or self.nodes[n][0].name == n)]

    def find(self, name: str) -> Node:
        """Return the node of a name.

        Raises
        ------
        CheckError
            If there is none, or more than one.
        """
        found = self.nodes.get(name)
        if found is None:
            raise CheckError(
                f"there is no node {name!r} in the graph{did_you_mean(name, self.shown)}; "
                f"its names are {', '.join(self.shown)}"
            )
        if len(found) > 1:
            sites = ", ".join(str(node.site) for node in found)
            raise CheckError(
                f"the name {name!r} means {len(found)} nodes, declared at {sites}; give one of them another name"
            )
        return found[0]


class _Reader(ExpressionReader):
    """The formula language with the vocabulary of claims and the names of a graph."""

    def __init__(self, names: Names) -> None:
        super().__init__(None)
        self.graph = names

    def name(self, name: str) -> Expression:
        if name in self.graph.nodes:
            self.graph.find(name)
            return Symbol(name)
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in FUNCTIONS or name in VOCABULARY:
            raise CheckError(f"{name!r} is a function; write its operand in brackets, as in {name}(...)")
        if name.startswith("__"):
            raise CheckError(f"{name!r} is not a name that a claim may use; nothing was executed")
        self.graph.find(name)  # refuses the name, with those that exist
        raise AssertionError(name)

    def call(self, node: ast.Call) -> Expression:
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in VOCABULARY:
                arities, build = VOCABULARY[name]
                if len(node.args) not in arities:
                    takes = " or ".join(map(str, arities))
                    raise CheckError(f"{name} takes {takes} operand(s), found {len(node.args)} in {node_text(node)!r}")
                return build(*(self.read(argument) for argument in node.args))
            case ast.Call(func=ast.Name(id="uniform")):
                raise CheckError(f"{node_text(node)!r} is a random number; a claim is about formulas without chance")
            case ast.Call(func=ast.Name(id=name)) if name in self.graph.nodes and name not in FUNCTIONS:
                raise CheckError(
                    f"{node_text(node)!r} calls {name!r}, which is a node; a product is written {name}*(...)"
                )
        return super().call(node)


def _hint(text: str) -> str:
    if re.search(r"\d\s*[A-Za-z_(]|\)\s*[\w(]", text) and not re.search(r"\d[eE][-+]?\d", text):
        return "; a product is written with *, as in 2*x"
    if "\\" in text:
        return "; LaTeX is not read, write for example x**2/(1 + exp(-x))"
    if "=" in text:
        return "; give the right-hand side only"
    return ""


def read_claim(target: Node, given: Any, names: Names) -> Claim:
    """Read one claim.

    Parameters
    ----------
    given : str, number or sympy.Expr
        The claimed gradient.

    Raises
    ------
    CheckError
        If it cannot be read or uses a name that the graph does not have.
    """
    where = f"the claim for {target.label!r}"
    if isinstance(given, str):
        try:
            expression = _Reader(names).read(syntax_tree(given, "eval"))
        except (FormulaError, CheckError) as error:
            hint = _hint(given) if "cannot read" in str(error) else ""
            raise CheckError(f"{where}, {_short(given)!r}: {error}{hint}", node=target, site=target.site) from None
        except RecursionError:
            raise CheckError(f"{where}, {_short(given)!r}, is nested too deeply", node=target) from None
        return Claim(target, given.strip(), expression, nodes=_nodes(expression, names))
    if isinstance(given, bool) or given is None:
        raise CheckError(f"{where} is {given!r}; give a formula as text, for example 'x*y'", node=target)
    if isinstance(given, int | float):
        return Claim(target, repr(given), number(given))
    if type(given).__module__.partition(".")[0] == "sympy":
        try:
            expression = from_sympy(given)
        except FormulaError as error:
            raise CheckError(f"{where}: {error}", node=target, site=target.site) from None
        for name in symbols(expression):
            if name not in names.nodes and name not in CONSTANTS:
                names.find(name)
        return Claim(target, str(given), expression, nodes=_nodes(expression, names))
    raise CheckError(
        f"{where} is of type {type(given).__name__}; give a text such as 'f*(1 - f)', a number or a SymPy expression",
        node=target,
        site=target.site,
    )


def _nodes(expression: Expression, names: Names) -> dict[str, Node]:
    return {name: names.find(name) for name in symbols(expression) if name in names.nodes}


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


_PI = Symbol("pi")
_TWO = Number(2)

#: Floats that stand for a constant, as `graphc.checking.precise.constant` takes them too.
_FAMOUS: Mapping[float, Expression] = {
    math.pi: _PI,
    math.tau: Call("mul", (_TWO, _PI)),
    math.e: Call("exp", (ONE,)),
    math.sqrt(2): Call("sqrt", (_TWO,)),
    math.log(2): Call("log", (_TWO,)),
    math.sqrt(2 / math.pi): Call("sqrt", (Call("div", (_TWO, _PI)),)),
    TWO_OVER_ROOT_PI: Call("div", (_TWO, Call("sqrt", (_PI,)))),
}


def exact_constants(expression: Expression) -> Expression:
    """Replace floats that stand for a famous constant by that constant, for proofs."""
    if isinstance(expression, Number) and isinstance(expression.value, float):
        return _FAMOUS.get(expression.value, expression)
    if isinstance(expression, Call):
        return Call(expression.function, tuple(exact_constants(o) for o in expression.operands))
    return expression
