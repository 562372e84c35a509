"""From the lines of a sheet to a graph: ``s = w0*x0 + w1*x1 + w2``, ``f = sigmoid(s)``.

Lines are read into a syntax tree and walked; nothing is evaluated. Operations become gates of the registry.
"""

from __future__ import annotations

import ast
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import CheckError, GraphcError, Site, did_you_mean
from graphc.formula.expression import FUNCTIONS, Call, Symbol, to_text
from graphc.formula.parser import node_text, syntax_tree
from graphc.graph import Gate, registry
from graphc.graph.declare import input as declare_input
from graphc.graph.node import Node, topological

__all__ = ["graph_of_lines", "without_sites"]

#: Lines of one graph, at most.
_LINES = 400

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def graph_of_lines(text: str, leaves: Mapping[str, Node]) -> Node:
    """Declare the graph that some lines describe.

    Parameters
    ----------
    text : str
        One ``name = formula`` a line, the last one the root; or a single formula, whose value is then called ``f``.
        What follows ``#`` is a remark. Functions are gates, as ``graphc gates`` lists them, with their settings.
    leaves : mapping
        Inputs and parameters by name. Where there are none, every name that no line defines is a scalar input.

    Raises
    ------
    CheckError
        If a line cannot be read, uses a name that nothing declares, or does not fit; the line is named.
    """
    kept = [line for line in (raw.partition("#")[0].strip() for raw in text.splitlines()) if line]
    if not kept:
        raise CheckError('the graph has no lines; write for example graph = "f = (x + y)*z"')
    if len(kept) > _LINES:
        raise CheckError(f"the graph has {len(kept)} lines; at most {_LINES} are read")
    reader = _Reader(dict(leaves), free=not leaves)
    node: Any = None
    for number, line in enumerate(kept, 1):
        try:
            node = reader.line(line, number, alone=len(kept) == 1)
        except GraphcError as error:
            where = f"line {number} of the graph, {line[:80]!r}: " if len(kept) > 1 else f"the graph {line[:80]!r}: "
            raise CheckError(where + without_sites(error)) from None
    below = {found.id for found in topological([node])}
    idle = [name for name, found in reader.nodes.items() if found.id not in below and name not in leaves]
    if idle:
        raise CheckError(
            f"the last line of the graph is its root, and nothing leads to it from {', '.join(idle)}; "
            "leave out what is not used"
        )
    return node


_SITE = re.compile(r",?[ ]*(?:declared|called) at [^\n]*:\d+")


def without_sites(error: GraphcError) -> str:
    """The message of an error without lines of Python, which a sheet has none of."""
    lines = (_SITE.sub("", line).rstrip() for line in str(error).splitlines())
    return "\n".join(line for line in lines if line.strip())


class _Reader:
    """Names met so far, and the walk over syntax trees."""

    def __init__(self, nodes: dict[str, Node], *, free: bool) -> None:
        self.nodes = nodes
        self.free = free
        self.placed: set[int] = set()

    def line(self, text: str, number: int, *, alone: bool) -> Node:
        """Read one line and name what it defines; its nodes remember the line."""
        tree = syntax_tree(text, "exec")
        assert isinstance(tree, ast.Module)
        if len(tree.body) != 1:
            raise CheckError("one formula a line is expected")
        statement = tree.body[0]
        name = "f"
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            if not isinstance(target, ast.Name):
                raise CheckError(f"a line defines one name; found {node_text(target)!r}")
            name = target.id
        elif isinstance(statement, ast.Expr) and alone:
            value = statement.value
        else:
            raise CheckError("a line is written name = formula")
        if name in self.nodes:
            raise CheckError(f"the name {name!r} is taken already; every line defines a new one")
        found = self.read(value)
        if not isinstance(found, Node):
            raise CheckError(f"{node_text(value)!r} is no node: there is no input in it")
        if found.name is not None:  # a second name for a node
            raise CheckError(f"{name!r} would be a second name for {found.name!r}; use that one")
        if name not in self.nodes:
            found.named(name)
            self.nodes[name] = found
        for node in topological([found]):
            if node.id not in self.placed:
                node.site = Site("the graph", number)
                self.placed.add(node.id)
        return found

    def read(self, tree: ast.AST) -> Any:
        """A node or a number."""
        match tree:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return value
            case ast.Name(id=name):
                return self.name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.read(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.read(operand)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                return self.operation(type(sign), self.read(left), self.read(right))
            case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARISONS:
                return _COMPARISONS[type(sign)](self.read(left), self.read(right))
            case ast.Attribute(value=value, attr="T"):
                found = self.read(value)
                if isinstance(found, Node):
                    return found.T
            case ast.Subscript(value=value, slice=index):
                found = self.read(value)
                if isinstance(found, Node):
                    return found[self.index(index)]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
                return self.call(name, arguments, keywords)
        hint = "; powers are written **" if isinstance(getattr(tree, "op", None), ast.BitXor) else ""
        raise CheckError(f"{node_text(tree)!r} is not part of the language of graphs{hint}; nothing was executed")

    def name(self, name: str) -> Node:
        """A node by name; a new scalar input where nothing was declared."""
        if name not in self.nodes:
            if not self.free:
                raise CheckError(
                    f"there is no {name!r}{did_you_mean(name, self.nodes)}; inputs and lines before: "
                    f"{', '.join(self.nodes)}"
                )
            self.nodes[name] = declare_input(name)
        return self.nodes[name]

    @staticmethod
    def operation(sign: type[ast.operator], left: Any, right: Any) -> Any:
        """A gate, or the number of two numbers."""
        if sign is ast.Div and left == 1 and isinstance(right, Node):
            return registry.call("reciprocal", right)
        if not isinstance(left, Node) and not isinstance(right, Node) and sign is ast.Pow and abs(right) > 64:
            raise CheckError(f"the power {left}**{right} of numbers is too large")
        try:
            return _OPERATORS[sign](left, right)
        except (ArithmeticError, TypeError) as error:
            raise CheckError(f"{left} and {right} cannot be combined: {error}") from None

    def index(self, tree: ast.AST) -> Any:
        """What stands between square brackets: whole numbers, ranges, or an integer node."""
        match tree:
            case ast.Tuple(elts=parts):
                return tuple(self.index(part) for part in parts)
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(None if end is None else _literal(end) for end in (lower, upper, step)))
            case ast.Name(id=name):
                return self.name(name)
        return _literal(tree)

    def call(self, name: str, arguments: list[ast.expr], keywords: list[ast.keyword]) -> Node:
        """Apply a gate; an elementwise function that is no gate becomes one of its own."""
        if any(isinstance(argument, ast.Starred) for argument in arguments) or any(k.arg is None for k in keywords):
            raise CheckError("a starred argument is not part of the language of graphs; nothing was executed")
        if name not in registry.gates():
            known = sorted({*registry.gates(), *FUNCTIONS})
            if name not in FUNCTIONS or keywords:
                raise CheckError(f"there is no gate {name!r}{did_you_mean(name, known)}; nothing was executed")
            operands = [self.read(argument) for argument in arguments]
            names = tuple("abc"[: len(operands)])
            formula = f"y = {to_text(Call(name, tuple(map(Symbol, names))))}"
            return Gate(name, formula, names, symbol=name)(*operands)
        function = registry.function(name)
        positional: list[Any] = []
        for k, argument in enumerate(arguments):
            positional.append(self.operand(argument) if k < 8 else _literal(argument))
        settings = {str(keyword.arg): self.setting(keyword.value) for keyword in keywords}
        try:
            inspect.signature(function).bind(*positional, **settings)
        except TypeError as error:
            raise CheckError(f"{name}: {error}; its arguments: {inspect.signature(function)}") from None
        found = function(*positional, **settings)
        if not isinstance(found, Node):
            raise CheckError(f"{name} gives {len(found)} values; write a formula that gives one")
        return found

    def operand(self, tree: ast.expr) -> Any:
        """An operand of a gate: a node, a number, several in brackets, or a setting written by position."""
        if isinstance(tree, ast.List | ast.Tuple):
            return [self.operand(part) for part in tree.elts]
        if isinstance(tree, ast.Constant) and (tree.value is None or isinstance(tree.value, bool | str)):
            return tree.value
        return self.read(tree)

    def setting(self, tree: ast.expr) -> Any:
        """What follows the equals sign of an argument: a node by name, or a literal."""
        return self.name(tree.id) if isinstance(tree, ast.Name) else _literal(tree)


def _literal(tree: ast.AST) -> Any:
    """A number, word, True, False, None, or several in brackets."""
    match tree:
        case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_literal(part) for part in parts)
    raise CheckError(f"{node_text(tree)!r} is no number or word; nothing was executed")
