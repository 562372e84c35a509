"""Derivatives of scalar expressions, and the one door between graphc's expressions and SymPy.

Derivatives come from a table, `PARTIALS`, and the chain rule, on graphc's own tree: operand order stays as
written, and each row is relatively accurate in both tails, which no simplification afterwards could restore.
SymPy is imported only by the functions that need it: `to_sympy`, `from_sympy`, `closed_form`, and the elimination
step of `output_form`, whose results are remembered on disk.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from graphc.errors import FormulaError
from graphc.formula.expression import (
    FUNCTIONS,
    ONE,
    ZERO,
    Call,
    Expression,
    Number,
    Symbol,
    call,
    fold,
    number,
    operation_count,
    substitute,
    symbols,
    to_text,
)
from graphc.formula.memo import Memo
from graphc.formula.parser import parse_expression

__all__ = [
    "PARTIALS",
    "TWO_OVER_ROOT_PI",
    "closed_form",
    "derivative",
    "from_sympy",
    "output_form",
    "own_functions",
    "plus",
    "product",
    "to_sympy",
]

#: The constant of erf' as a float; programs that need more digits recognise it by its value.
TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)

#: Partial derivatives of each function with respect to its operands ``a``, ``b``, ``c``. At a kink the
#: slope of the operand that wins the tie is taken: the first one of max and min; abs has slope 0 at 0.
PARTIALS: Mapping[str, tuple[str, ...]] = {
    "or": ("0", "0"),
    "and": ("0", "0"),
    "not": ("0",),
    "less": ("0", "0"),
    "less_equal": ("0", "0"),
    "greater": ("0", "0"),
    "greater_equal": ("0", "0"),
    "equal": ("0", "0"),
    "not_equal": ("0", "0"),
    "add": ("1", "1"),
    "sub": ("1", "-1"),
    "mul": ("b", "a"),
    # not -a/b**2: b**2 underflows where a/b does not
    "div": ("1/b", "-(a/b/b)"),
    "floordiv": ("0", "0"),
    "neg": ("-1",),
    "pow": ("b*a**(b - 1)", "a**b*log(a)"),
    "exp": ("exp(a)",),
    "log": ("1/a",),
    "log1p": ("1/(1 + a)",),
    "expm1": ("exp(a)",),
    "sqrt": ("1/(2*sqrt(a))",),
    "sin": ("cos(a)",),
    "cos": ("-sin(a)",),
    "tanh": ("sech2(a)",),
    "sech2": ("-2*tanh(a)*sech2(a)",),
    "erf": (f"{TWO_OVER_ROOT_PI!r}*exp(-a**2)",),
    "erfc": (f"-{TWO_OVER_ROOT_PI!r}*exp(-a**2)",),
    # not y*(1 - y): 1 - y cancels to 0 for large a
    "sigmoid": ("sigmoid(a)*sigmoid(-a)",),
    "softplus": ("sigmoid(a)",),
    # not 1/(1 + abs(a)) - abs(a)/(1 + abs(a))**2: the difference cancels for large a
    "softsign": ("1/(1 + abs(a))**2",),
    "logaddexp": ("sigmoid(a - b)", "sigmoid(b - a)"),
    "abs": ("sign(a)",),
    "sign": ("0",),
    "max": ("1 if a >= b else 0", "0 if a >= b else 1"),
    "min": ("1 if a <= b else 0", "0 if a <= b else 1"),
    "uniform": ("0", "0", "0"),
    "select": ("0", "1 if a else 0", "0 if a else 1"),
}


# ---- differentiation on the own tree ----------------------------------------------------------------


class _Product:
    """Factors of a product: an exact coefficient, and powers of bases in order of first appearance."""

    def __init__(self) -> None:
        self.coefficient: Fraction | float = Fraction(1)
        self.powers: dict[Expression, int | Fraction] = {}

    def multiply(self, factor: Expression, sign: int = 1) -> None:
        """Take ``factor**sign`` in; quotients of symbols stay whole, as only they may not overflow."""
        match factor:
            case Number(value):
                exact = value if isinstance(value, float) else Fraction(value)
                self.coefficient = self.coefficient * exact if sign > 0 else self.coefficient / exact
            case Call("neg", (inner,)):
                self.coefficient = -self.coefficient
                self.multiply(inner, sign)
            case Call("mul", (left, right)):
                self.multiply(left, sign)
                self.multiply(right, sign)
            case Call("div", (top, bottom)) if (
                isinstance(top, Number) or isinstance(bottom, Number)
            ) and bottom != ZERO:
                self.multiply(top, sign)
                self.multiply(bottom, -sign)
            case Call("pow", (base, Number(exponent))) if not isinstance(exponent, float):
                self.power(base, sign * exponent)
            case _:
                self.power(factor, sign)

    def power(self, base: Expression, exponent: int | Fraction) -> None:
        self.powers[base] = self.powers.get(base, 0) + exponent

    def expression(self) -> Expression:
        """Write the product as a lecturer does: number first, one quotient, the sign in front."""
        coefficient = self.coefficient
        if coefficient == 0:
            return ZERO
        top, bottom = [], []
        if isinstance(coefficient, Fraction):
            numerator, denominator = abs(coefficient.numerator), coefficient.denominator
            negative = coefficient < 0
            top.append(Number(numerator))
            bottom.append(Number(denominator))
        else:
            negative = False
            top.append(number(coefficient))
        # symbols before functions, each in order of appearance: x*exp(x)
        ordered = sorted(self.powers.items(), key=lambda item: isinstance(item[0], Call))
        for base, exponent in ordered:
            if exponent:
                (top if exponent > 0 else bottom).append(_power(base, abs(exponent)))
        if negative and (bottom != [ONE] or top[0] == ONE):
            result = call("neg", call("div", _times(top), _times(bottom)))
        else:
            if negative:
                top[0] = call("neg", top[0])
            result = call("div", _times(top), _times(bottom))
        return result


def _power(base: Expression, exponent: int | Fraction) -> Expression:
    if exponent == Fraction(1, 2):
        return Call("sqrt", (base,))
    return call("pow", base, number(exponent) if isinstance(exponent, Fraction) else Number(exponent))


def _times(factors: list[Expression]) -> Expression:
    result: Expression = ONE
    for factor in factors:
        result = call("mul", result, factor)
    return result


def product(*factors: Expression) -> Expression:
    """Multiply as a lecturer writes it: number first, equal factors as a power or cancelled, one quotient."""
    if ZERO in factors:
        return ZERO
    result = _Product()
    for factor in factors:
        result.multiply(factor)
    return result.expression()


def plus(left: Expression, right: Expression) -> Expression:
    """Add, writing ``a + -b`` as ``a - b`` and ``a + a`` as ``2*a``."""
    if left == right and left != ZERO:
        return product(Number(2), left)
    if isinstance(right, Call) and right.function == "neg":
        return call("sub", left, right.operands[0])
    return call("add", left, right)


@functools.cache
def _partial(function: str, operand: int) -> Expression:
    return parse_expression(PARTIALS[function][operand])


def _slope(expression: Call, k: int) -> Expression:
    """Partial derivative of a call with respect to its operand ``k``, in terms of its operands."""
    operands = expression.operands
    if expression.function == "pow" and k == 0 and isinstance(operands[1], Number):
        exponent = operands[1].value
        less = exponent - 1
        if isinstance(less, float):
            return product(operands[1], call("pow", operands[0], number(less)))
        collected = _Product()
        collected.multiply(operands[1])
        collected.power(operands[0], less)
        return collected.expression()
    if expression.function == "div" and k == 1 and isinstance(operands[0], Number):
        return call("neg", call("div", operands[0], call("pow", operands[1], Number(2))))
    if expression.function == "sigmoid" and isinstance(operands[0], Call):
        return call("mul", expression, call("sigmoid", product(Number(-1), operands[0])))
    return substitute(_partial(expression.function, k), dict(zip("abc", operands, strict=False)))


def _differentiate(expression: Expression, name: str) -> Expression:
    if isinstance(expression, Symbol):
        return ONE if expression.name == name else ZERO
    if isinstance(expression, Number):
        return ZERO
    inner = [_differentiate(operand, name) for operand in expression.operands]
    if all(slope == ZERO for slope in inner):
        return ZERO
    if expression.function in ("max", "min", "select"):
        # one choice between slopes, rather than slopes times 0 or 1: 0*inf would be NaN
        if expression.function == "select":
            condition, first, second = expression.operands[0], inner[1], inner[2]
        else:
            relation = "greater_equal" if expression.function == "max" else "less_equal"
            condition, (first, second) = Call(relation, expression.operands), inner
        return first if first == second else Call("select", (condition, first, second))
    total: Expression = ZERO
    for k, slope in enumerate(inner):
        if slope != ZERO:
            partial = _slope(expression, k)
            total = plus(total, slope if partial == ONE else product(partial, slope))
    return total


@functools.lru_cache(maxsize=16384)
def derivative(body: Expression, name: str) -> Expression:
    """Differentiate an expression with respect to a symbol.

    The result is for evaluation: relatively accurate wherever ``body`` is in stable form
    (`graphc.formula.stable`). Kinks follow the tie policy of `PARTIALS`. Nothing is simplified beyond
    collecting numbers and cancelling equal factors.

    Parameters
    ----------
    body : Expression
        The expression.
    name : str
        Name of the symbol.

    Returns
    -------
    Expression
        The derivative; ``Number(0)`` where the symbol does not occur.

    Examples
    --------
    >>> print(derivative(parse_expression("sigmoid(x)"), "x"))
    sigmoid(x) * sigmoid(-x)
    """
    return fold(_differentiate(body, name))


# ---- derivatives through the output ------------------------------------------------------------------

_memo = Memo("output-form", __file__)

#: Functions that a rational function of exp(u) or of 1/u can be written with.
_RATIONAL = frozenset({"add", "sub", "mul", "div", "neg", "pow", "exp", "expm1", "sigmoid", "tanh", "sech2"})


_EXPONENTIAL = frozenset({"exp", "expm1", "sigmoid", "tanh", "sech2"})


def _divides_by(expression: Expression, name: str) -> bool:
    """Whether a quotient or a negative power has the symbol below the line."""
    if not isinstance(expression, Call):
        return False
    match expression.function, expression.operands:
        case "div", (_, bottom) if name in set(symbols(bottom)):
            return True
        case "pow", (base, Number(exponent)) if exponent < 0 and name in set(symbols(base)):
            return True
    return any(_divides_by(o, name) for o in expression.operands)


def _replace(expression: Expression, old: Expression, new: Expression) -> Expression:
    if expression == old:
        return new
    if isinstance(expression, Call):
        operands = tuple(_replace(o, old, new) for o in expression.operands)
        if operands != expression.operands:
            return call(expression.function, *operands)
    return expression


def _functions_of(expression: Expression) -> set[str]:
    if not isinstance(expression, Call):
        return set()
    return {expression.function}.union(*(_functions_of(o) for o in expression.operands))


def _identities(body: Expression, slope: Expression, output: Symbol) -> Expression:
    """Write the derivative in what the body is made of, where an identity without denominator does."""
    match body:
        case Call("sigmoid", (u,)):
            complement = call("sigmoid", product(Number(-1), u))
            return _replace(slope, complement, Call("sub", (ONE, body)))
        case Call("tanh", (u,)):
            square = Call("pow", (body, Number(2)))
            return _replace(slope, Call("sech2", (u,)), Call("sub", (ONE, square)))
        case Call("expm1", (u,)):
            return _replace(slope, Call("exp", (u,)), Call("add", (body, ONE)))
        case Call("div", (Number(1), u)):
            square = Call("pow", (output, Number(2)))
            return _replace(slope, Call("div", (ONE, Call("pow", (u, Number(2))))), square)
    return slope


@functools.lru_cache(maxsize=16384)
def output_form(body: Expression, derivative: Expression, input_name: str, output_name: str) -> Expression | None:
    """Write a derivative through the value of the function: ``y*(1 - y)`` for a sigmoid.

    Two substitutions are tried, both exact: the body itself by the output, and the elimination of the one
    generator (an exponential, or a reciprocal) that the body is linear in. A result that would divide by
    something the derivative does not divide by is rejected: ``y*(x - y + 1)/x`` for ``x*sigmoid(x)`` is
    undefined at 0.

    Parameters
    ----------
    body : Expression
        The function.
    derivative : Expression
        Its derivative with respect to ``input_name``.
    output_name : str
        Symbol that stands for the value of the body.

    Returns
    -------
    Expression or None
        None where no such form exists or the derivative does not depend on the input.
    """
    if not isinstance(body, Call) or input_name not in set(symbols(derivative)):
        return None
    output = Symbol(output_name)
    if body.function == "select" and isinstance(derivative, Call) and derivative.function == "select":
        if body.operands[0] != derivative.operands[0]:
            return None
        branches = []
        for inner, slope in zip(body.operands[1:], derivative.operands[1:], strict=True):
            branches.append(output_form(inner, slope, input_name, output_name) or slope)
        result = Call("select", (derivative.operands[0], *branches))
        return None if result == derivative else result
    replaced = _replace(_identities(body, derivative, output), body, output)
    if output_name in set(symbols(replaced)):
        shorter = operation_count(replaced) <= operation_count(derivative)
        if shorter or input_name not in set(symbols(replaced)):
            return fold(replaced)
    if not _functions_of(body) <= _RATIONAL or operation_count(body) > 40:
        return None
    if not (_functions_of(body) & _EXPONENTIAL or _divides_by(body, input_name)):
        return None
    # the output gets a name that can be written and read back
    safe = "y"
    while safe in {*symbols(body), *symbols(derivative)}:
        safe += "y"
    key = "\n".join((to_text(body), to_text(derivative), input_name, safe))
    text = _memo.get(key)
    if text is None:
        found = _eliminate(body, derivative, input_name, safe)
        text = "" if found is None else to_text(found)
        _memo.put(key, text)
    return substitute(parse_expression(text), {safe: output}) if text else None


def _eliminate(body: Expression, slope: Expression, input_name: str, output_name: str) -> Expression | None:
    """Eliminate ``exp(x)`` or ``1/x``, whichever the body is a linear fraction of, in favour of the output."""
    import sympy

    x, y, t = _symbol(input_name), _symbol(output_name), sympy.Symbol("t", positive=True)
    value, change = (to_sympy(e, exact=True).rewrite(sympy.exp) for e in (body, slope))
    for image in (sympy.log(t), 1 / t):
        if x not in value.free_symbols:
            return None
        value_t, change_t = (sympy.expand(e.subs(x, image)) for e in (value, change))
        top, bottom = sympy.fraction(sympy.together(value_t))
        equation = sympy.expand(y * bottom - top)
        if not equation.is_polynomial(t) or sympy.Poly(equation, t).degree() != 1:
            continue
        slope_1, slope_0 = sympy.Poly(equation, t).all_coeffs()
        if not change_t.is_rational_function(t):
            continue
        result = sympy.factor_terms(sympy.cancel(sympy.together(change_t.subs(t, -slope_0 / slope_1))))
        allowed = sympy.fraction(sympy.together(change))[1].free_symbols - {x}
        if x in result.free_symbols or sympy.fraction(result)[1].free_symbols - allowed:
            continue
        return from_sympy(result)
    return None


# ---- the door to SymPy ------------------------------------------------------------------------------


@functools.cache
def _symbol(name: str) -> Any:
    import sympy

    return sympy.Symbol(name, real=True)


@functools.cache
def own_functions() -> dict[str, Any]:
    """SymPy classes of the functions that SymPy lacks, or has with another meaning."""
    import sympy

    meaning: dict[str, Callable[..., Any]] = {
        "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
        "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
        "softsign": lambda x: x / (1 + sympy.Abs(x)),
        "sech2": lambda x: 4 / (sympy.exp(x) + sympy.exp(-x)) ** 2,
        "log1p": lambda x: sympy.log(1 + x),
        "expm1": lambda x: sympy.exp(x) - 1,
        "logaddexp": lambda a, b: sympy.log(sympy.exp(a) + sympy.exp(b)),
        "max": lambda a, b: sympy.Piecewise((a, a >= b), (b, True)),
        "min": lambda a, b: sympy.Piecewise((a, a <= b), (b, True)),
    }
    classes: dict[str, Any] = {}

    def make(name: str, definition: Callable[..., Any]) -> Any:
        row = FUNCTIONS[name]

        def fdiff(self: Any, argindex: int = 1) -> Any:
            operands = dict(zip("abc", self.args, strict=False))
            return to_sympy(_partial(name, argindex - 1), operands)

        def doit(self: Any, **_: Any) -> Any:
            return definition(*self.args)

        def evalf(self: Any, precision: int) -> Any:
            return definition(*self.args)._eval_evalf(precision)

        def rewrite(_: Any, *arguments: Any, **__: Any) -> Any:
            return definition(*arguments)

        def latex(self: Any, printer: Any, exp: Any = None) -> str:
            text = row.latex.format(*(printer._print(argument) for argument in self.args))
            return text if exp is None else rf"\left({text}\right)^{{{exp}}}"

        return type(
            name,
            (sympy.Function,),
            {
                "nargs": row.arity,
                "fdiff": fdiff,
                "definition": doit,
                "_eval_evalf": evalf,
                "_eval_rewrite_as_exp": rewrite,
                "_eval_rewrite_as_Piecewise": rewrite,
                "_eval_is_extended_real": lambda self: all(a.is_extended_real for a in self.args) or None,
                "_eval_is_real": lambda self: all(a.is_real for a in self.args) or None,
                "_eval_is_positive": lambda self: (
                    (name in ("sigmoid", "softplus", "sech2") and self.args[0].is_real) or None
                ),
                "_latex": latex,
                "__module__": __name__,
            },
        )

    for name, definition in meaning.items():
        classes[name] = make(name, definition)
    return classes


_RELATIONS = {
    "less": "Lt",
    "less_equal": "Le",
    "greater": "Gt",
    "greater_equal": "Ge",
    "equal": "Eq",
    "not_equal": "Ne",
}


def _number_to_sympy(value: Fraction | float, exact: bool) -> Any:
    import sympy

    if isinstance(value, int):
        return sympy.Integer(value)
    if isinstance(value, Fraction):
        return sympy.Rational(value.numerator, value.denominator)
    if not math.isfinite(value):
        return sympy.nan if math.isnan(value) else sympy.oo * (1 if value > 0 else -1)
    fraction = Fraction(value)
    if exact or fraction.denominator <= 64:
        fraction = Fraction(repr(value))
        return sympy.Rational(fraction.numerator, fraction.denominator)
    return sympy.Float(repr(value))


def to_sympy(expression: Expression, names: Mapping[str, Any] | None = None, *, exact: bool = False) -> Any:
    """Turn an expression into a SymPy expression over real symbols.

    Parameters
    ----------
    expression : Expression
        The expression.
    names : mapping, optional
        SymPy expression of a symbol, by name; by default a real symbol of that name.
    exact : bool
        Take a float as the decimal it is written as, an exact fraction, rather than as a SymPy float.

    Returns
    -------
    sympy.Expr
        Stable functions become functions of the same name (``sigmoid``, ``softplus``, ...) that SymPy can
        differentiate, evaluate and rewrite by ``exp``.
    """
    import sympy

    known: dict[str, Any] = dict(names or {})

    def condition(item: Expression) -> Any:
        if isinstance(item, Call):
            if item.function in _RELATIONS:
                left, right = (value(o) for o in item.operands)
                return getattr(sympy, _RELATIONS[item.function])(left, right)
            if item.function in ("and", "or", "not"):
                combine = {"and": sympy.And, "or": sympy.Or, "not": sympy.Not}[item.function]
                return combine(*(condition(o) for o in item.operands))
        return sympy.Ne(value(item), 0)

    def value(item: Expression) -> Any:
        if isinstance(item, Number):
            return _number_to_sympy(item.value, exact)
        if isinstance(item, Symbol):
            return known[item.name] if item.name in known else _symbol(item.name)
        name = item.function
        if name in _RELATIONS or name in ("and", "or", "not"):
            return sympy.Piecewise((1, condition(item)), (0, True))
        if name == "select":
            test, first, second = item.operands
            return sympy.Piecewise((value(first), condition(test)), (value(second), True))
        operands = [value(o) for o in item.operands]
        if name in own_functions():
            return own_functions()[name](*operands)
        return _SYMPY[name](sympy, *operands)

    return value(expression)


_SYMPY: dict[str, Callable[..., Any]] = {
    "add": lambda _, a, b: a + b,
    "sub": lambda _, a, b: a - b,
    "mul": lambda _, a, b: a * b,
    "div": lambda _, a, b: a / b,
    "floordiv": lambda sympy, a, b: sympy.floor(a / b),
    "neg": lambda _, a: -a,
    "pow": lambda _, a, b: a**b,
    "exp": lambda sympy, a: sympy.exp(a),
    "log": lambda sympy, a: sympy.log(a),
    "sqrt": lambda sympy, a: sympy.sqrt(a),
    "sin": lambda sympy, a: sympy.sin(a),
    "cos": lambda sympy, a: sympy.cos(a),
    "tanh": lambda sympy, a: sympy.tanh(a),
    "erf": lambda sympy, a: sympy.erf(a),
    "erfc": lambda sympy, a: 1 - sympy.erf(a),  # one name, so that equal things look equal
    "abs": lambda sympy, a: sympy.Abs(a),
    "sign": lambda sympy, a: sympy.sign(a),
}


def from_sympy(expression: Any) -> Expression:
    """Turn a SymPy expression into an expression, written as a lecturer would.

    Quotients become divisions, negative powers reciprocals; terms and factors are sorted by their text, so
    that the result does not depend on SymPy's own order. ``pi`` becomes the symbol ``pi``.

    Raises
    ------
    FormulaError
        If the expression holds something that the language has no word for.
    """
    import sympy

    if isinstance(expression, int | float | Fraction):
        return number(expression)
    if not isinstance(expression, sympy.Basic):  # texts go through our own parser, never through SymPy's
        raise FormulaError(f"expected a SymPy expression, found {type(expression).__name__}: {expression!r:.60}")
    return _Reader(sympy).read(expression)


class _Reader:
    """Walks a SymPy tree."""

    def __init__(self, sympy: Any) -> None:
        self.sympy = sympy
        self.relations = {getattr(sympy, cls): name for name, cls in _RELATIONS.items()}
        self.own = {cls: name for name, cls in own_functions().items()}

    def read(self, e: Any) -> Expression:
        sympy = self.sympy
        if e.is_Integer:
            return Number(int(e))
        if e.is_Rational:
            return number(Fraction(int(e.p), int(e.q)))
        if e.is_Float:
            return number(float(e))
        if e is sympy.pi:
            return Symbol("pi")
        if e is sympy.E:
            return Call("exp", (ONE,))
        if e in (sympy.oo, -sympy.oo):
            return Number(math.inf if e is sympy.oo else -math.inf)
        if e.is_Symbol:
            return Symbol(e.name)
        if e.is_Add:
            return self.add(e)
        if e.is_Mul:
            return self.multiply(e)
        if e.is_Pow:
            return self.power(e.base, e.exp)
        if e.func in self.own:
            return call(self.own[e.func], *(self.read(a) for a in e.args))
        if e.func in self.relations:
            return Call(self.relations[e.func], tuple(self.read(a) for a in e.args))
        return self.function(e)

    def function(self, e: Any) -> Expression:
        sympy = self.sympy
        one = {
            sympy.exp: "exp", sympy.log: "log", sympy.sin: "sin", sympy.cos: "cos", sympy.tanh: "tanh",
            sympy.erf: "erf", sympy.erfc: "erfc", sympy.Abs: "abs", sympy.sign: "sign", sympy.Not: "not",
        }  # fmt: skip
        if e.func in one:
            return call(one[e.func], self.read(e.args[0]))
        joined = {sympy.And: "and", sympy.Or: "or", sympy.Max: "max", sympy.Min: "min"}
        if e.func in joined:
            parts = sorted((self.read(a) for a in e.args), key=to_text)
            return functools.reduce(lambda a, b: Call(joined[e.func], (a, b)), parts)
        if e.func is sympy.Piecewise:
            return self.piecewise(e)
        if e.func is sympy.Heaviside:
            x = self.read(e.args[0])
            at_zero = self.read(e.args[1])
            tie = Call("select", (Call("equal", (x, ZERO)), at_zero, ZERO))
            return Call("select", (Call("greater", (x, ZERO)), ONE, tie))
        if isinstance(e, sympy.functions.elementary.hyperbolic.HyperbolicFunction):
            return self.read(e.rewrite(sympy.exp))
        if e.func is sympy.tan:
            return self.read(sympy.sin(e.args[0]) / sympy.cos(e.args[0]))
        if e in (sympy.true, sympy.false):
            return ONE if e is sympy.true else ZERO
        raise FormulaError(
            f"{str(e)[:80]!r} is not in the formula language: {type(e).__name__} has no word there; "
            "rewrite it with exp, log, sqrt, sin, cos, tanh, abs, max, min or Piecewise"
        )

    def piecewise(self, e: Any) -> Expression:
        *branches, (last, otherwise) = e.args
        if otherwise is not self.sympy.true:
            raise FormulaError(f"{str(e)[:80]!r} says nothing about the remaining case; add (value, True)")
        result = self.read(last)
        for value, condition in reversed(branches):
            result = Call("select", (self.read(condition), self.read(value), result))
        return result

    def add(self, e: Any) -> Expression:
        terms = [self.read(term) for term in e.args]
        # positive terms first, numbers last, then by text
        terms.sort(key=lambda t: (_negative(t), isinstance(t, Number), to_text(t)))
        result = terms[0]
        for term in terms[1:]:
            negated = _negative(term)
            operand = product(Number(-1), term) if negated else term
            result = call("sub" if negated else "add", result, operand)
        return result

    def multiply(self, e: Any) -> Expression:
        collected = _Product()
        factors = [self.read(factor) for factor in e.args]
        for factor in sorted(factors, key=to_text):
            collected.multiply(factor)
        return collected.expression()

    def power(self, base: Any, exponent: Any) -> Expression:
        sympy = self.sympy
        if base is sympy.E:
            return call("exp", self.read(exponent))
        if exponent.is_Rational:
            collected = _Product()
            inner = self.read(base)
            value = Fraction(int(exponent.p), int(exponent.q))
            collected.power(inner, int(value) if value.denominator == 1 else value)
            return collected.expression()
        if exponent.could_extract_minus_sign():
            return call("div", ONE, call("pow", self.read(base), self.read(-exponent)))
        return call("pow", self.read(base), self.read(exponent))


def _negative(term: Expression) -> bool:
    if isinstance(term, Number):
        return term.value < 0
    if isinstance(term, Call):
        if term.function == "neg":
            return True
        if term.function in ("mul", "div"):
            return _negative(term.operands[0])
    return False


def closed_form(expression: Expression) -> Any:
    """Turn a closed form into a SymPy expression for reading: what SymPy does by itself, and no more.

    Products that stand for accuracy are written as a lecturer would: ``sigmoid(x)*sigmoid(-x)`` as
    ``sigmoid(x)*(1 - sigmoid(x))``, ``sech2(x)`` as ``1 - tanh(x)**2``.

    Returns
    -------
    sympy.Expr
    """
    import sympy

    result = to_sympy(expression)
    own = own_functions()
    replacements: dict[Any, Any] = {}
    for item in result.atoms(own["sech2"]):
        replacements[item] = 1 - sympy.tanh(item.args[0]) ** 2
    present = {item.args[0] for item in result.atoms(own["sigmoid"])}
    for u in sorted(present, key=str):
        if -u in present and u.could_extract_minus_sign():
            replacements[own["sigmoid"](u)] = 1 - own["sigmoid"](-u)
    return result.xreplace(replacements)
