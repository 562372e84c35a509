"""Functions that people write in claims, each as an expression: NumPy's and SymPy's names, and those of lectures.

A builder takes the reader, which knows ranks, then the operands as the caller wrote them: expressions, tuples
of them, ``None``, booleans and words. What a builder is called with is checked against its parameters.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from graphc.checking.arrays import ARRAYS
from graphc.checking.language import builders
from graphc.checking.language.builders import Builder, Operands, Ranks, call_of
from graphc.checking.language.shapes import Shapes
from graphc.errors import CheckError
from graphc.formula.expression import FUNCTIONS, ONE, ZERO, Call, Expression, Number, Symbol, call, substitute
from graphc.formula.symbolic import derivative

__all__ = [
    "CONDITIONS", "CONSTANTS", "METHODS", "MODULES", "PREFIXED", "SPELLINGS", "VOCABULARY", "Ranks", "build", "slope",
]  # fmt: skip


#: Functions whose value is 1 or 0.
CONDITIONS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "and", "or", "not"})


_TWO = Number(2)


def _exponentials(x: Expression, sign: str) -> Expression:
    return call_of(sign, call_of("exp", x), call_of("exp", call("neg", x)))


def _formula(arity: int, function: Callable[..., Expression]) -> Builder:
    """A builder of a fixed number of operands that needs no reader."""

    def builder(_: Ranks, *operands: Expression) -> Expression:
        if len(operands) != arity:
            raise Operands(f"takes {arity} operand{'s' if arity > 1 else ''}, found {len(operands)}")
        return function(*operands)

    return builder


def _heaviside(_: Ranks, x: Expression, at_zero: Expression = ZERO) -> Expression:
    tie = call_of("select", call_of("equal", x, ZERO), at_zero, ZERO)
    return call_of("select", call_of("greater", x, ZERO), ONE, tie)


def _piecewise(_: Ranks, *rows: Any) -> Expression:
    """SymPy's (value, condition) pairs; the last condition may be True."""
    result: Expression = ZERO
    for row in reversed(rows):
        if not isinstance(row, tuple) or len(row) != 2 or isinstance(row[0], tuple):
            raise CheckError("Piecewise takes pairs, as in Piecewise((1, x > 0), (0, True))")
        value, condition = row
        result = value if condition is True else call_of("select", condition, value, result)
    return result


def _extremum(function: str) -> Builder:
    def builder(_: Ranks, *operands: Any) -> Expression:
        parts = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple) else operands
        if len(parts) == 1:
            return call_of(f"{function}_over", parts[0])
        result = parts[-1]
        for operand in reversed(parts[:-1]):  # max(a, b, c) = max(a, max(b, c)): the first still wins a tie
            result = call_of(function, operand, result)
        return result

    return builder


def _of_condition(_: Ranks, condition: Expression) -> Expression:
    if not isinstance(condition, Call) or condition.function not in CONDITIONS:
        raise CheckError("this function is read around a condition only, as in int(x > 0)")
    return condition


def _same(_: Ranks, a: Expression, **_settings: Any) -> Expression:
    return a


def _scalar(function: str) -> Builder:
    return _formula(FUNCTIONS[function].arity, lambda *operands: call_of(function, *operands))


def _logarithm(base: int) -> Builder:
    return _formula(1, lambda x: call_of("div", call_of("log", x), call_of("log", Number(base))))


_OPERATORS = {
    "multiply": "mul", "divide": "div", "true_divide": "div", "subtract": "sub", "add": "add", "negative": "neg",
    "power": "pow", "pow": "pow", "maximum": "max", "minimum": "min", "greater": "greater", "less": "less",
    "greater_equal": "greater_equal", "less_equal": "less_equal", "equal": "equal", "not_equal": "not_equal",
    "logical_and": "and", "logical_or": "or", "logical_not": "not", "where": "select", "absolute": "abs",
    "fabs": "abs", "Abs": "abs", "logistic": "sigmoid", "expit": "sigmoid", "sigma": "sigmoid", "sgn": "sign",
    "hadamard": "mul",
}  # fmt: skip

#: Builders by the name that is written.
VOCABULARY: Mapping[str, Builder] = {
    **{name: builders.raw(name) for name in ARRAYS if name not in ("slice", "none", "newaxis")},
    **{
        name: _scalar(name)
        for name, row in FUNCTIONS.items()
        if name not in ("uniform", "and", "or", "not") and (not row.infix or name == "pow") and name != "neg"
    },
    **{name: _scalar(function) for name, function in _OPERATORS.items()},
    "ln": _formula(1, lambda x: call_of("log", x)),
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "sinh": _formula(1, lambda x: call_of("div", _exponentials(x, "sub"), _TWO)),
    "cosh": _formula(1, lambda x: call_of("div", _exponentials(x, "add"), _TWO)),
    "sech": _formula(1, lambda x: call_of("div", _TWO, _exponentials(x, "add"))),
    "csch": _formula(1, lambda x: call_of("div", _TWO, _exponentials(x, "sub"))),
    "coth": _formula(1, lambda x: call_of("div", ONE, call_of("tanh", x))),
    "tan": _formula(1, lambda x: call_of("div", call_of("sin", x), call_of("cos", x))),
    "square": _formula(1, lambda x: call_of("pow", x, _TWO)),
    "reciprocal": _formula(1, lambda x: call_of("div", ONE, x)),
    "relu": _formula(1, lambda x: call_of("max", ZERO, x)),
    "ReLU": _formula(1, lambda x: call_of("max", ZERO, x)),
    "clip": _formula(3, lambda x, low, high: call_of("min", call_of("max", x, low), high)),
    "Heaviside": _heaviside,
    "heaviside": _heaviside,
    "step": _heaviside,
    "Piecewise": _piecewise,
    "max": _extremum("max"),
    "min": _extremum("min"),
    "Max": _extremum("max"),
    "Min": _extremum("min"),
    "sum": builders.reduction("sum"),
    "mean": builders.reduction("mean"),
    "amax": builders.reduction("max_over"),
    "amin": builders.reduction("min_over"),
    "var": builders.variance,
    "std": builders.deviation,
    "norm": builders.norm,
    "softmax": builders.last_axis("softmax"),
    "logsumexp": builders.last_axis("logsumexp"),
    "log_softmax": builders.log_softmax,
    "inner": _formula(2, lambda a, b: call_of("sum", call_of("mul", a, b))),
    "vdot": _formula(2, lambda a, b: call_of("sum", call_of("mul", a, b))),
    "diagflat": builders.raw("diag"),
    "tr": builders.raw("trace"),
    "transpose": builders.transpose,
    "permute": builders.transpose,
    "swapaxes": builders.swapaxes,
    "reshape": builders.reshape,
    "view": builders.reshape,
    "broadcast_to": builders.broadcast_to,
    "ones": builders.filled("ones"),
    "zeros": builders.filled("zeros"),
    "identity": builders.raw("eye"),
    "ravel": builders.raw("flatten"),
    "unsqueeze": builders.raw("expand_dims"),
    "expand_dims": lambda _, a, *axes, axis=None: call_of("expand_dims", a, *builders.chosen_axes(axes, axis)),
    "squeeze": lambda _, a, *axes, axis=None: call_of("squeeze", a, *builders.chosen_axes(axes, axis)),
    "flip": lambda _, a, *axes, axis=None: call_of("flip", a, *builders.chosen_axes(axes, axis)),
    "flipud": _formula(1, lambda a: call_of("flip", a, Number(0))),
    "fliplr": _formula(1, lambda a: call_of("flip", a, Number(1))),
    "rot90": builders.half_turn,
    "concatenate": builders.joined("concatenate"),
    "concat": builders.joined("concatenate"),
    "cat": builders.joined("concatenate"),
    "hstack": builders.joined("concatenate", -1),
    "vstack": builders.joined("concatenate", 0),
    "stack": builders.joined("stack"),
    "convolve": builders.sliding("convolve", "full"),
    "convolve2d": builders.sliding("convolve", "full"),
    "correlate": builders.sliding("correlate", "valid"),
    "correlate2d": builders.sliding("correlate", "full"),
    "size": builders.size,
    "len": _formula(1, lambda a: call_of("size", a, ZERO)),
    "float": _same,
    "asarray": _same,
    "float64": _same,
    "float32": _same,
    "int": _of_condition,
    "bool": _of_condition,
    "I": _of_condition,
    "einsum": builders.einsum,
    "array": _same,
}

#: Names as people join and capitalise them: onehot, LogSumExp, Softmax.
SPELLINGS: Mapping[str, str] = {name.replace("_", "").lower(): name for name in reversed(VOCABULARY)}

#: What means something else behind ``np.`` or as a method: a reduction, where the bare name compares operands.
PREFIXED: Mapping[str, Builder] = {"max": builders.reduction("max_over"), "min": builders.reduction("min_over")}

#: Names of modules, whose functions go by the last part of their name.
MODULES = frozenset({"np", "numpy", "math", "sympy", "sp", "scipy", "jnp", "torch", "tf", "F"})

#: Methods of arrays.
METHODS = frozenset({
    "sum", "mean", "max", "min", "var", "std", "dot", "transpose", "permute", "reshape", "view", "ravel", "flatten",
    "squeeze", "unsqueeze", "swapaxes", "astype", "copy", "trace", "exp", "log", "tanh", "sigmoid", "sqrt", "abs",
    "clip", "outer",
})  # fmt: skip

#: Names that mean a number unless the graph has a node of that name; pi has no finite form and stays a name.
CONSTANTS: Mapping[str, Expression] = {"e": Call("exp", (ONE,))}


@functools.cache
def _parameters(builder: Builder) -> inspect.Signature:
    return inspect.signature(builder)


def build(builder: Builder, name: str, reader: Ranks, operands: list[Any], settings: Mapping[str, Any]) -> Expression:
    """Apply a builder to what was written between the brackets of a function.

    Raises
    ------
    CheckError
        If the function takes other operands or has no such setting.
    """
    try:
        _parameters(builder).bind(reader, *operands, **settings)
    except TypeError as error:
        raise CheckError(f"{name}: {error}; it is written {_usage(builder, name)}") from None
    try:
        result = builder(reader, *operands, **settings)
    except Operands as error:
        raise CheckError(f"{name} {error}") from None
    if not _complete(result):
        raise CheckError(f"{name} has a tuple, a word or None for an operand; it is written {_usage(builder, name)}")
    return result


def _complete(result: Any) -> bool:
    """Whether a result is an expression throughout: what was written may be a tuple, a word or None."""
    if isinstance(result, Call):
        return all(_complete(operand) for operand in result.operands)
    return isinstance(result, Number | Symbol)


def _usage(builder: Builder, name: str) -> str:
    words = []
    for word, parameter in list(_parameters(builder).parameters.items())[1:]:
        if parameter.kind is parameter.VAR_POSITIONAL and word == "axes":
            continue  # axes one by one are how graphc prints them; people write axis=
        if not word.startswith("_"):
            words.append(word if parameter.default is parameter.empty else f"{word}={parameter.default}")
    return f"{name}({', '.join(words)})"


class _Scalars:
    """Stands for the reader where an operand is a number."""

    def rank(self, expression: Expression) -> int | None:
        return len(Shapes({}).of(expression))


def _elementwise(body: Expression) -> bool:
    return not isinstance(body, Call) or (body.function in FUNCTIONS and all(map(_elementwise, body.operands)))


def slope(name: str, operand: Expression) -> Expression | None:
    """Derivative of a function of one operand, as in ``sigma'(z)``; None where there is none."""
    inner = Symbol("*operand")
    try:
        body = build(VOCABULARY[name], name, _Scalars(), [inner], {})
    except CheckError:
        return None
    return substitute(derivative(body, inner.name), {inner.name: operand}) if _elementwise(body) else None
