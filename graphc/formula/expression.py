"""Scalar expressions: the body of a statement, and what derivatives are made of.

Three immutable node types (``Number``, ``Symbol``, ``Call``) over a closed table of scalar functions.
Operand order is kept as written. Nothing here evaluates text; `graphc.formula.parser` reads it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from graphc.errors import FormulaError

__all__ = [
    "FUNCTIONS",
    "Call",
    "Expression",
    "Function",
    "Number",
    "Symbol",
    "call",
    "evaluate",
    "fold",
    "number",
    "operation_count",
    "substitute",
    "symbols",
    "to_latex",
    "to_text",
]


@dataclass(frozen=True, slots=True)
class Function:
    """One scalar function of the language: its arity and how it is written."""

    name: str
    arity: int
    latex: str  # operands in {0}, {1}, ...
    infix: str = ""  # Python spelling between two operands
    precedence: int = 100  # of the infix or LaTeX spelling; calls bind tightest


def _functions() -> dict[str, Function]:
    table = [
        Function("or", 2, r"{0} \vee {1}", "or", 4),
        Function("and", 2, r"{0} \wedge {1}", "and", 5),
        Function("not", 1, r"\neg {0}", "", 6),
        Function("less", 2, "{0} < {1}", "<", 7),
        Function("less_equal", 2, r"{0} \leq {1}", "<=", 7),
        Function("greater", 2, "{0} > {1}", ">", 7),
        Function("greater_equal", 2, r"{0} \geq {1}", ">=", 7),
        Function("equal", 2, "{0} = {1}", "==", 7),
        Function("not_equal", 2, r"{0} \neq {1}", "!=", 7),
        Function("add", 2, "{0} + {1}", "+", 10),
        Function("sub", 2, "{0} - {1}", "-", 10),
        Function("mul", 2, r"{0} \, {1}", "*", 20),
        Function("div", 2, r"\frac{{{0}}}{{{1}}}", "/", 20),
        Function("floordiv", 2, r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor", "//", 20),
        Function("neg", 1, "-{0}", "", 15),
        Function("pow", 2, "{{{0}}}^{{{1}}}", "**", 30),
        Function("exp", 1, "e^{{{0}}}"),
        Function("log", 1, r"\log\left({0}\right)"),
        Function("log1p", 1, r"\log\left(1 + {0}\right)"),
        Function("expm1", 1, r"\left(e^{{{0}}} - 1\right)"),
        Function("sqrt", 1, r"\sqrt{{{0}}}"),
        Function("sin", 1, r"\sin\left({0}\right)"),
        Function("cos", 1, r"\cos\left({0}\right)"),
        Function("tanh", 1, r"\tanh\left({0}\right)"),
        Function("sech2", 1, r"\operatorname{{sech}}^2\left({0}\right)"),
        Function("erf", 1, r"\operatorname{{erf}}\left({0}\right)"),
        Function("erfc", 1, r"\operatorname{{erfc}}\left({0}\right)"),
        Function("sigmoid", 1, r"\sigma\left({0}\right)"),
        Function("softplus", 1, r"\log\left(1 + e^{{{0}}}\right)"),
        Function("softsign", 1, r"\operatorname{{softsign}}\left({0}\right)"),
        Function("logaddexp", 2, r"\log\left(e^{{{0}}} + e^{{{1}}}\right)"),
        Function("abs", 1, r"\left|{0}\right|"),
        Function("sign", 1, r"\operatorname{{sign}}\left({0}\right)"),
        Function("max", 2, r"\max\left({0}, {1}\right)"),
        Function("min", 2, r"\min\left({0}, {1}\right)"),
        Function("uniform", 3, r"\operatorname{{uniform}}\left({0}, {1}, {2}\right)"),
        Function("select", 3, r"\left[{0}\right] ? {1} : {2}"),
    ]
    return {function.name: function for function in table}


#: The closed table of scalar functions; every backend has one row for each name.
#: ``max`` and ``min`` are ordered: at a tie the *first* operand wins.
FUNCTIONS: Mapping[str, Function] = _functions()


@dataclass(frozen=True, slots=True)
class Number:
    """An exact integer or fraction, or a float."""

    value: int | Fraction | float

    def __str__(self) -> str:
        return to_text(self)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A placeholder of a read, a size (``"x.1"`` is extent 1 of ``x``), or a name of the graph."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Call:
    """A scalar function applied to operands, in the order written."""

    function: str
    operands: tuple[Expression, ...]

    def __str__(self) -> str:
        return to_text(self)


Expression = Number | Symbol | Call

ZERO, ONE = Number(0), Number(1)


def number(value: Fraction | float) -> Number:
    """Return a ``Number``; a float or fraction that is a whole number of modest size becomes an integer."""
    if isinstance(value, Fraction) and value.denominator == 1:
        return Number(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return Number(int(value))
    return Number(value)


def call(function: str, *operands: Expression) -> Expression:
    """Apply a scalar function, dropping neutral elements (x+0, x*1, x*0, --x) and nothing else.

    Raises
    ------
    FormulaError
        If the function is not in the table or the operand count is wrong.
    """
    row = FUNCTIONS.get(function)
    if row is None or row.arity != len(operands):
        raise FormulaError(f"no scalar function {function!r} with {len(operands)} operand(s)")
    if function == "mul":
        a, b = operands
        if ZERO in (a, b):
            return ZERO
        if a == ONE:
            return b
        if b == ONE:
            return a
    elif function == "add":
        a, b = operands
        if a == ZERO:
            return b
        if b == ZERO:
            return a
    elif function == "sub":
        a, b = operands
        if b == ZERO:
            return a
        if a == ZERO:
            return call("neg", b)
    elif (function == "div" and operands[1] == ONE) or (function == "pow" and operands[1] == ONE):
        return operands[0]
    elif function == "neg":
        (a,) = operands
        if isinstance(a, Number):
            return Number(-a.value)
        if isinstance(a, Call) and a.function == "neg":
            return a.operands[0]
    return Call(function, operands)


def symbols(expression: Expression) -> Iterator[str]:
    """Yield the names of the symbols, left to right, each once."""
    seen: set[str] = set()
    stack = [expression]
    while stack:
        item = stack.pop()
        if isinstance(item, Symbol):
            if item.name not in seen:
                seen.add(item.name)
                yield item.name
        elif isinstance(item, Call):
            stack.extend(reversed(item.operands))


def substitute(expression: Expression, replacements: Mapping[str, Expression]) -> Expression:
    """Replace symbols by expressions, all at once."""
    if isinstance(expression, Symbol):
        return replacements.get(expression.name, expression)
    if isinstance(expression, Call):
        return call(expression.function, *(substitute(o, replacements) for o in expression.operands))
    return expression


_RELATIONS = {
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}


def fold(expression: Expression) -> Expression:
    """Compute exact integer and fraction arithmetic where every operand is a number."""
    if not isinstance(expression, Call):
        return expression
    operands = tuple(fold(operand) for operand in expression.operands)
    if expression.function == "select" and isinstance(operands[0], Number):
        return operands[1 if operands[0].value else 2]
    exact = [o.value for o in operands if isinstance(o, Number) and isinstance(o.value, int | Fraction)]
    if len(exact) == len(operands):
        match expression.function, exact:
            case "add", [a, b]:
                return number(Fraction(a + b))
            case "sub", [a, b]:
                return number(Fraction(a - b))
            case "mul", [a, b]:
                return number(Fraction(a * b))
            case "div", [a, b] if b != 0:
                return number(Fraction(a) / Fraction(b))
            case "floordiv", [a, b] if b != 0:
                return number(Fraction(a // b))
            case "max", [a, b]:
                return operands[0 if a >= b else 1]
            case "min", [a, b]:
                return operands[0 if a <= b else 1]
            case ("less" | "less_equal" | "greater" | "greater_equal" | "equal" | "not_equal") as relation, [a, b]:
                return Number(int(getattr(operator, _RELATIONS[relation])(a, b)))
            case "pow", [a, int(b)] if abs(b) <= 16 and (a != 0 or b > 0):
                return number(Fraction(a) ** b)
    return call(expression.function, *operands)


def operation_count(expression: Expression) -> int:
    """Count the calls in an expression."""
    if isinstance(expression, Call):
        return 1 + sum(operation_count(o) for o in expression.operands)
    return 0


def evaluate(
    expression: Expression,
    environment: Mapping[str, Any],
    functions: Mapping[str, Callable[..., Any]],
    constant: Callable[[int | Fraction | float], Any] = float,
) -> Any:
    """Evaluate over any number system: ``functions`` maps each function name to its implementation.

    Parameters
    ----------
    environment : mapping
        Value of each symbol, a number or an array.
    constant : callable
        Turns a literal into a number of the system.
    """
    if isinstance(expression, Number):
        return constant(expression.value)
    if isinstance(expression, Symbol):
        return environment[expression.name]
    values = [evaluate(o, environment, functions, constant) for o in expression.operands]
    return functions[expression.function](*values)


def _literal(value: Fraction | float) -> str:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)


def _precedence(expression: Expression) -> int:
    if isinstance(expression, Call):
        return FUNCTIONS[expression.function].precedence
    if isinstance(expression, Number):
        if isinstance(expression.value, Fraction):
            return 20
        return 15 if expression.value < 0 else 100
    return 100


def to_text(expression: Expression) -> str:
    """Write an expression so that `graphc.formula.parser.parse_expression` reads it back exactly."""
    if isinstance(expression, Number):
        return _literal(expression.value)
    if isinstance(expression, Symbol):
        tensor, dot, dimension = expression.name.rpartition(".")
        return f"size({tensor}, {dimension})" if dot and dimension.isdigit() else expression.name
    row, operands = FUNCTIONS[expression.function], expression.operands
    if row.infix:
        left, right = operands
        wrap_left = _precedence(left) < row.precedence or (row.name == "pow" and _precedence(left) <= row.precedence)
        # a right operand of equal precedence keeps its brackets: operand order is meaning here
        wrap_right = _precedence(right) <= row.precedence
        a = f"({to_text(left)})" if wrap_left or row.precedence == 7 == _precedence(left) else to_text(left)
        b = f"({to_text(right)})" if wrap_right else to_text(right)
        return f"{a}{row.infix}{b}" if row.name == "pow" else f"{a} {row.infix} {b}"
    if row.name in ("neg", "not"):
        (inner,) = operands
        sign = "-" if row.name == "neg" else "not "
        return f"{sign}({to_text(inner)})" if _precedence(inner) <= 20 else f"{sign}{to_text(inner)}"
    return f"{row.name}({', '.join(to_text(o) for o in operands)})"


def _latex_name(name: str) -> str:
    greek = {
        "alpha", "beta", "gamma", "delta", "epsilon", "eta", "theta", "kappa", "lambda", "mu",
        "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "psi", "omega",
    }  # fmt: skip
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    if stem.lower() in greek:
        stem = "\\" + stem
    elif "_" in stem or "." in stem or len(stem) > 1:
        stem = r"\mathrm{" + stem.replace("_", r"\_") + "}"
    return f"{stem}_{{{digits}}}" if digits and stem else (stem or digits)


def _infinite(value: Expression) -> bool:
    return isinstance(value, Number) and isinstance(value.value, float) and math.isinf(value.value)


def _latex_precedence(expression: Expression) -> int:
    """Precedence as LaTeX: a select is a sum of terms with Iverson brackets, or one such product."""
    if isinstance(expression, Call) and expression.function == "select":
        if any(_infinite(value) for value in expression.operands[1:]):
            return 0
        branches = [value for value in expression.operands[1:] if value != ZERO]
        return (100 if branches in ([], [ONE]) else 20) if len(branches) < 2 else 10
    return _precedence(expression)


def to_latex(expression: Expression, names: Mapping[str, str] | None = None) -> str:
    """Write an expression as LaTeX, as a lecturer would; ``names`` gives LaTeX for symbols."""
    names = names or {}
    if isinstance(expression, Number):
        value = expression.value
        if isinstance(value, Fraction):
            return rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
        if isinstance(value, float) and math.isinf(value):
            return r"\infty" if value > 0 else r"-\infty"
        return repr(value) if isinstance(value, int) else f"{value:g}"
    if isinstance(expression, Symbol):
        return names.get(expression.name) or _latex_name(expression.name)
    row, operands = FUNCTIONS[expression.function], expression.operands
    texts = [to_latex(o, names) for o in operands]
    if row.precedence < 100 and row.name not in ("div", "floordiv"):
        for k, operand in enumerate(operands):
            inner = _latex_precedence(operand)
            fraction = isinstance(operand, Call) and operand.function == "div"
            if row.name == "pow" and k == 1:
                continue  # an exponent needs no brackets
            tight = inner <= row.precedence if (k == 1 or row.name in ("pow", "neg")) else inner < row.precedence
            if row.name in ("add", "mul") and k == 1:
                tight = inner < row.precedence or (isinstance(operand, Number) and operand.value < 0)
            if row.name == "pow" and (fraction or (isinstance(operand, Call) and operand.function == "exp")):
                tight = True
            elif fraction:
                tight = False
            if row.name == "neg" and isinstance(operand, Call) and operand.function == "mul":
                tight = False
            if tight:
                texts[k] = rf"\left({texts[k]}\right)"
    if row.name == "mul" and isinstance(operands[1], Number):
        return rf"{texts[0]} \cdot {texts[1]}"
    if row.name == "select":
        # Iverson brackets: [condition] is 1 where it holds and 0 elsewhere; a factor 1 is not written
        if any(map(_infinite, operands[1:])):  # 0 times infinity is no number: in words
            return rf"{texts[1]} \text{{ if }} {texts[0]} \text{{ else }} {texts[2]}"
        holds, fails = rf"\left[{texts[0]}\right]", rf"\left[\neg\left({texts[0]}\right)\right]"
        terms = []
        for value, text, bracket in zip(operands[1:], texts[1:], (holds, fails), strict=True):
            if _latex_precedence(value) < 20:
                text = rf"\left({text}\right)"
            if value != ZERO:
                terms.append(bracket if value == ONE else rf"{text} \, {bracket}")
        return " + ".join(terms) or "0"
    return row.latex.format(*texts)
