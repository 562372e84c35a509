"""Reading claims: a text, a number, a SymPy expression or a Python function becomes a `Claim` on a node.

Texts go through graphc's own grammar (`graphc.checking.language`), which reads Python, LaTeX and Unicode over the
names of the graph; nothing is ever evaluated. A function is the caller's own code and is called with arrays.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

from graphc.checking.language.grammar import read_expression
from graphc.checking.language.names import GRADIENT, Names
from graphc.checking.language.vocabulary import CONSTANTS, VOCABULARY
from graphc.checking.precise import constant
from graphc.errors import CheckError, FormulaError
from graphc.formula.expression import ONE, Call, Expression, Number, Symbol, evaluate, number, substitute, symbols
from graphc.formula.symbolic import TWO_OVER_ROOT_PI, from_sympy
from graphc.graph.node import Node

__all__ = ["CONSTANTS", "VOCABULARY", "Claim", "Names", "exact_constants", "read_claim"]

#: Parameters of a function that mean the gradient of the root with respect to itself, which is 1.
_SEEDS = frozenset({"dout", "upstream", "grad_output", "dloss"})


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
    defined : tuple of str
        Names of the earlier lines of a derivation that the claim uses.
    """

    target: Node
    text: str
    expression: Expression | None = None
    function: Callable[..., Any] | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    upstream: Mapping[str, Node] = field(default_factory=dict)
    defined: tuple[str, ...] = ()

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
            If the claim is a function and fails, or cannot be computed for arrays of these sizes.
        """
        from graphc.checking.arrays import claim_functions

        if self.expression is None:
            return self._called(environment)
        pi: Any = math.pi
        if precision == "exact":
            import mpmath

            pi = +mpmath.mp.pi
        number = constant if precision == "exact" else float
        try:
            return evaluate(self.expression, {"pi": pi, **environment}, claim_functions(precision), number)
        except (IndexError, ValueError, TypeError, MemoryError) as error:  # shapes that fit for other sizes only
            sizes = ", ".join(f"{name} of shape {numpy.shape(value)}" for name, value in environment.items())
            raise CheckError(
                f"the claim for {self.target.label!r} cannot be computed with {sizes}: {error}",
                node=self.target,
                site=self.target.site,
            ) from None

    def _called(self, environment: Mapping[str, Any]) -> Any:
        assert self.function is not None
        arguments = {}
        for name, node in (*self.nodes.items(), *self.upstream.items()):
            # a copy: a function may write into it
            array = numpy.array(environment[name], dtype=numpy.float64 if node.is_float else numpy.int64)
            arguments[name] = array if array.ndim else array.item()
        name = getattr(self.function, "__name__", "the function").replace("<lambda>", "the lambda")
        try:
            with numpy.errstate(all="ignore"):
                result = numpy.asarray(self._chosen(self.function(**arguments), name), dtype=numpy.float64)
        except CheckError:
            raise
        except Exception as error:
            raise CheckError(
                f"the claim for {self.target.label!r}: {name} failed with {type(error).__name__}: {error}\n"
                f"  called with {', '.join(f'{n} of shape {numpy.shape(v)}' for n, v in arguments.items())}",
                node=self.target,
                site=self.target.site,
            ) from error
        return result if result.ndim else float(result)

    def _chosen(self, result: Any, name: str) -> Any:
        """Of several gradients by name the one that is claimed."""
        label = self.target.label
        if isinstance(result, tuple):
            raise CheckError(
                f"the claim for {label!r}: {name} returns {len(result)} values; return the gradient of {label!r}, or "
                f"all gradients by name, as in {{{label!r}: d{label}, ...}}",
                node=self.target,
                site=self.target.site,
            )
        if not isinstance(result, Mapping):
            return result
        for key in (label, f"d{label}", self.target):
            if key in result:
                return result[key]
        found = ", ".join(str(key) for key in result)
        raise CheckError(
            f"the claim for {label!r}: {name} returns gradients of {found}, and none of {label!r}",
            node=self.target,
            site=self.target.site,
        )


def read_claim(target: Node, given: Any, names: Names) -> Claim:
    """Read one claim.

    Parameters
    ----------
    target : Node
        Whose gradient is claimed.
    given : str, number, sympy.Expr or callable
        The claimed gradient. A function takes values of nodes by their names, and gradients as ``dh``; it returns the
        gradient, or several by name.

    Returns
    -------
    Claim
        Its shape is not looked at: that belongs to the verdict.

    Raises
    ------
    CheckError
        If it cannot be read or uses a name that the graph does not have.
    """
    where = f"the claim for {target.label!r}"
    if isinstance(given, str):
        try:
            expression = read_expression(given, names, target)
        except (FormulaError, CheckError) as error:
            raise CheckError(f"{where}, {_short(given)!r}: {error}", node=target, site=target.site) from None
        except RecursionError:
            raise CheckError(f"{where}, {_short(given)!r}, is nested too deeply", node=target) from None
        return _claim(target, " ".join(given.split()), expression, names)
    if isinstance(given, bool) or given is None:
        raise CheckError(f"{where} is {given!r}; give a formula as text, for example 'x*y'", node=target)
    if isinstance(given, int | float):
        if not math.isfinite(given):
            raise CheckError(f"{where} is {given!r}; a gradient is a finite number", node=target, site=target.site)
        return _claim(target, repr(given), number(given), names)
    if "sympy" in sys.modules and isinstance(given, sys.modules["sympy"].Basic | sys.modules["sympy"].MatrixBase):
        return _of_sympy(target, given, names, where)
    if callable(given):
        return _of_function(target, given, names, where)
    raise CheckError(
        f"{where} is of type {type(given).__name__}; give a text such as 'f*(1 - f)', a number, a SymPy expression or "
        "a function of the nodes it uses",
        node=target,
        site=target.site,
    )


def _claim(target: Node, text: str, expression: Expression, names: Names) -> Claim:
    used = list(symbols(expression))
    return Claim(
        target,
        text,
        expression,
        nodes={name: names.find(name) for name in used if name in names.nodes},
        upstream={name: names.find(name.removeprefix(GRADIENT)) for name in used if name.startswith(GRADIENT)},
        defined=tuple(name for name in used if name in names.defined),
    )


def _of_sympy(target: Node, given: Any, names: Names, where: str) -> Claim:
    import sympy

    if not isinstance(given, sympy.Expr) or isinstance(given, sympy.MatrixExpr):
        raise CheckError(
            f"{where} is a SymPy object of type {type(given).__name__}; a claim is an expression of numbers. "
            "Write one over arrays as text, as in 'X.T @ (P - Y)', or as a Python function",
            node=target,
            site=target.site,
        )
    try:
        expression = from_sympy(given)
        found = {name: names.match(name) for name in symbols(expression) if name != "pi"}
        for name, match in found.items():
            if match is None:
                raise names.unknown(name)
    except (FormulaError, CheckError) as error:
        raise CheckError(f"{where}: {error}", node=target, site=target.site) from None
    renamed = {name: Symbol(match) for name, match in found.items() if match not in (None, name)}
    return _claim(target, str(given), substitute(expression, renamed), names)


def _of_function(target: Node, given: Callable[..., Any], names: Names, where: str) -> Claim:
    name = getattr(given, "__name__", type(given).__name__).replace("<lambda>", "lambda")
    nodes: dict[str, Node] = {}
    upstream: dict[str, Node] = {}
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):
        parameters = None
    if parameters is None:
        raise CheckError(
            f"{where} is {name}, whose parameters cannot be read; give a function written in Python", node=target
        )
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            named = [n for n, found in names.nodes.items() if len(found) == 1 and (n == "f" or found[0].name == n)]
            nodes |= {re.sub(r"\W+", "_", n).strip("_"): names.find(n) for n in named}
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise CheckError(
                f"{where} is the function {name}, which takes {parameter.name!r} by position only; its parameters go "
                "by name: write it without the /",
                node=target,
                site=target.site,
            )
        match = names.match(parameter.name)
        node = names.gradient(parameter.name)
        if match is not None and match in names.nodes:
            nodes[parameter.name] = names.find(match)
        elif parameter.name in _SEEDS:
            upstream[parameter.name] = names.root
        elif node is not None and node is not target:
            upstream[parameter.name] = node
        elif parameter.default is parameter.empty:
            raise CheckError(
                f"{where} is the function {name}, whose parameter {parameter.name!r} is neither a node nor the "
                f"gradient of one: {names.unknown(parameter.name)}",
                node=target,
                site=target.site,
            )
    return Claim(target, f"{name}({', '.join((*nodes, *upstream))})", None, given, nodes, upstream)


def _short(text: str) -> str:
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
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
