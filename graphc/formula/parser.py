"""Reading text: expressions and formulas, through Python's ``ast`` with a whitelist; never evaluated.

``parse_expression`` reads scalar expressions. ``parse_formula`` reads the statement language::

    y[n, k, i, j] = sum(x[n, c, stride * i + r - padding, stride * j + s - padding] * w[k, c, r, s], c, r, s)

one statement a line; several lines make a composite. What it returns is a `Definition`: names resolved,
not yet bound to attributes and ranks (`graphc.formula.definition` does that).
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from fractions import Fraction
from typing import NamedTuple

from graphc.errors import FormulaError, did_you_mean
from graphc.formula.expression import FUNCTIONS, Call, Expression, Number, Symbol, call, number

__all__ = ["MAXIMUM_LENGTH", "REDUCTIONS", "Line", "node_text", "parse_expression", "parse_lines", "syntax_tree"]

#: Longest text read, in characters: longer ones are not formulas, and deep ones exhaust the stack.
MAXIMUM_LENGTH = 20_000
_MAXIMUM_DEPTH = 150

REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod", "logsumexp", "argmax", "argmin"})

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.FloorDiv: "floordiv",
    ast.Pow: "pow",
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
_INFIX = {
    "add",
    "sub",
    "mul",
    "div",
    "floordiv",
    "pow",
    "neg",
    "not",
    "and",
    "or",
    *_COMPARE.values(),
}
_CALLABLE = sorted(set(FUNCTIONS) - _INFIX)


def node_text(node: ast.AST) -> str:
    """Return the source text of a syntax node, shortened for messages."""
    text = ast.unparse(node)
    return text if len(text) <= 80 else text[:77] + "..."


def syntax_tree(text: str, mode: str) -> ast.AST:
    """Parse text into a syntax tree of bounded length and depth, or refuse it; nothing is evaluated."""
    if len(text) > MAXIMUM_LENGTH:
        raise FormulaError(f"the text has {len(text)} characters; at most {MAXIMUM_LENGTH} are read as a formula")
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > _MAXIMUM_DEPTH:
            raise FormulaError(f"more than {_MAXIMUM_DEPTH} nested brackets in {text[:40]!r}...")
    try:
        tree = ast.parse(text.strip(), mode=mode)
        _check_depth(tree)
    except SyntaxError as error:
        hint = "; powers are written ** " if "^" in text else ""
        raise FormulaError(f"cannot read {text.strip()[:80]!r}: {error.msg}{hint}") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise FormulaError(f"cannot read {text.strip()[:80]!r}: {error or 'nested too deeply'}") from None
    return tree


def _check_depth(tree: ast.AST) -> None:
    """Refuse trees that recursion could not walk (long chains of unary signs or powers)."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        if depth > 4 * _MAXIMUM_DEPTH:
            raise ValueError("nested too deeply")
        level = [child for node in level for child in ast.iter_child_nodes(node)]


class ExpressionReader:
    """Walks a syntax tree and builds an `Expression`; subclasses add accesses and reductions."""

    def __init__(self, names: Collection[str] | None = None) -> None:
        self.names = names

    def read(self, node: ast.AST) -> Expression:
        """Translate one syntax node, or refuse it with its text."""
        if isinstance(node, ast.Expression):
            return self.read(node.body)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                raise FormulaError(f"{node_text(node)} is not a number; a formula holds only numbers and names")
            if isinstance(node.value, float) and node.value != node.value:
                raise FormulaError("NaN is not a number that a formula may hold")
            return Number(node.value)
        if isinstance(node, ast.Name):
            return self.name(node.id)
        if isinstance(node, ast.UnaryOp):
            operand = self.read(node.operand)
            if isinstance(node.op, ast.USub):
                return call("neg", operand)
            if isinstance(node.op, ast.UAdd):
                return operand
            if isinstance(node.op, ast.Not):
                return call("not", operand)
        elif isinstance(node, ast.BinOp):
            function = _BINARY.get(type(node.op))
            if function is None:
                hint = "; powers are written **" if isinstance(node.op, ast.BitXor) else ""
                raise FormulaError(f"the operator in {node_text(node)!r} is not part of the language{hint}")
            left, right = self.read(node.left), self.read(node.right)
            if (
                function == "div"
                and isinstance(left, Number)
                and isinstance(right, Number)
                and isinstance(left.value, int)
                and isinstance(right.value, int)
                and right.value != 0
            ):
                return number(Fraction(left.value, right.value))
            return call(function, left, right)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            function = _COMPARE.get(type(node.ops[0]))
            if function is not None:
                return Call(function, (self.read(node.left), self.read(node.comparators[0])))
        elif isinstance(node, ast.BoolOp):
            function = "and" if isinstance(node.op, ast.And) else "or"
            values = [self.read(value) for value in node.values]
            result = values[0]
            for value in values[1:]:
                result = Call(function, (result, value))
            return result
        elif isinstance(node, ast.IfExp):
            return Call("select", (self.read(node.test), self.read(node.body), self.read(node.orelse)))
        elif isinstance(node, ast.Call):
            return self.call(node)
        elif isinstance(node, ast.Subscript):
            return self.subscript(node)
        raise FormulaError(f"{node_text(node)!r} is not part of the formula language; nothing was executed")

    def name(self, name: str) -> Expression:
        """Translate a bare name."""
        if self.names is not None and name not in self.names:
            if name == "inf":
                return Number(float("inf"))
            raise FormulaError(f"unknown name {name!r}{did_you_mean(name, self.names)}")
        if self.names is None and name == "inf":
            return Number(float("inf"))
        if name.startswith("__"):
            raise FormulaError(f"{name!r} is not a name that a formula may use; nothing was executed")
        return Symbol(name)

    def call(self, node: ast.Call) -> Expression:
        """Translate a function call."""
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise FormulaError(f"{node_text(node)!r} is not a call of the formula language; nothing was executed")
        name = node.func.id
        if name == "size":
            return self.size(node)
        if name not in _CALLABLE:
            raise FormulaError(
                f"{name!r} is not a function of the formula language{did_you_mean(name, _CALLABLE)}; "
                f"known functions: {', '.join(_CALLABLE)}. Nothing was executed"
            )
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise FormulaError(f"{node_text(node)!r}: a starred argument is not part of the formula language")
        operands = [self.read(argument) for argument in node.args]
        if name in ("max", "min") and len(operands) > 2:
            result = operands[-1]  # max(a, b, c) = max(a, max(b, c)): the first still wins a tie
            for operand in reversed(operands[:-1]):
                result = Call(name, (operand, result))
            return result
        if len(operands) != FUNCTIONS[name].arity:
            raise FormulaError(
                f"{name} takes {FUNCTIONS[name].arity} operand(s), found {len(operands)} in {node_text(node)!r}"
            )
        return call(name, *operands)

    def size(self, node: ast.Call) -> Expression:
        """Translate ``size(x, dimension)``."""
        match node.args:
            case [ast.Name(id=tensor), ast.Constant(value=int(dimension))] if not isinstance(dimension, bool):
                return Symbol(f"{tensor}.{dimension}")
        raise FormulaError(f"write size(tensor, dimension), as in size(x, 1); found {node_text(node)!r}")

    def subscript(self, node: ast.Subscript) -> Expression:
        """Translate an indexed read; plain expressions have none."""
        raise FormulaError(f"{node_text(node)!r}: an index is not allowed in a scalar expression")


def parse_expression(text: str, *, names: Collection[str] | None = None) -> Expression:
    """Read a scalar expression such as ``"f*(1 - f)"``.

    Parameters
    ----------
    text : str
        Python notation; ``if``/``else``, comparisons and the functions of
        `graphc.formula.expression.FUNCTIONS` are known. Nothing is ever evaluated.
    names : collection of str, optional
        Names that may occur; by default any identifier becomes a symbol.

    Raises
    ------
    FormulaError
        If the text is not in the language, naming the part that is not.
    """
    if not isinstance(text, str):
        raise FormulaError(f"expected text, found {type(text).__name__}")
    tree = syntax_tree(text, "eval")
    try:
        return ExpressionReader(names).read(tree)
    except RecursionError:
        raise FormulaError(f"cannot read {text.strip()[:80]!r}: nested too deeply") from None


class Line(NamedTuple):
    """One line of a formula: ``target[index] = value``, or ``+=`` where it adds."""

    target: str
    indices: list[ast.expr] | None
    value: ast.expr
    text: str
    adds: bool


def parse_lines(text: str) -> list[Line]:
    """Split a formula's text into its lines.

    Raises
    ------
    FormulaError
        If a line is not ``name = ...``, ``name[index, ...] = ...`` or one of these with ``+=``.
    """
    lines = [line.strip() for line in text.strip().splitlines()]
    result: list[Line] = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        tree = syntax_tree(line, "exec")
        assert isinstance(tree, ast.Module)
        match tree.body:
            case [ast.Assign(targets=[target], value=value)]:
                adds = False
            case [ast.AugAssign(target=target, op=ast.Add(), value=value)]:
                adds = True
            case _:
                raise FormulaError(f"a formula line is 'y = ...', 'y[i, j] = ...' or 'y[i] += ...'; found {line!r}")
        _refuse_foreign_calls(value)
        if isinstance(target, ast.Name):
            result.append(Line(target.id, None, value, line, adds))
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            result.append(Line(target.value.id, index_elements(target), value, line, adds))
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Call):
            result.append(Line(flat_name(target.value), index_elements(target), value, line, adds))
        else:
            raise FormulaError(f"the left-hand side {node_text(target)!r} is not a name or name[index]")
    if not result:
        raise FormulaError("the formula is empty; write at least 'y = ...'")
    return result


def _refuse_foreign_calls(tree: ast.AST) -> None:
    """Refuse calls outside the whitelist before anything else is said about a formula."""
    known = {*_CALLABLE, *REDUCTIONS, "size", "flat"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in known):
            name = node_text(node.func)
            raise FormulaError(
                f"{name!r} is not a function of the formula language{did_you_mean(name, known)}; "
                f"known functions: {', '.join(sorted(known))}. Nothing was executed"
            )


def flat_name(node: ast.Call) -> str:
    """Return ``"flat(x)"`` for the syntax of ``flat(x)``, the row-major elements of a tensor."""
    match node:
        case ast.Call(func=ast.Name(id="flat"), args=[ast.Name(id=tensor)], keywords=[]):
            return f"flat({tensor})"
    raise FormulaError(f"{node_text(node)!r} cannot be indexed; only tensors and flat(tensor) can")


def index_elements(node: ast.Subscript) -> list[ast.expr]:
    """Return the index expressions of a subscript."""
    inner = node.slice
    return list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
