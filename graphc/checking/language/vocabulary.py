"""Functions that people write in claims, each as an expression: NumPy's and SymPy's names, and those of lectures.

A builder takes the reader, which knows ranks, then the operands as the caller wrote them: expressions, tuples
of them, ``None``, booleans and words. What a builder is called with is checked against its parameters.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from graphc.checking.arrays import ARRAYS, MODES
from graphc.checking.language.text import claim_text
from graphc.errors import CheckError
from graphc.formula.expression import FUNCTIONS, ONE, ZERO, Call, Expression, Number, Symbol, call, substitute
from graphc.formula.symbolic import derivative

__all__ = [
    "CONDITIONS", "CONSTANTS", "METHODS", "MODULES", "PREFIXED", "SPELLINGS", "VOCABULARY", "Ranks", "build", "slope",
]  # fmt: skip


class Ranks(Protocol):
    """What a builder asks of the reader."""

    def rank(self, expression: Expression) -> int | None:
        """Number of axes, or None where the shapes do not fit."""


#: Functions whose value is 1 or 0.
CONDITIONS = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "and", "or", "not"})

Builder = Callable[..., Expression]

_TWO = Number(2)


def _call(function: str, *operands: Expression) -> Expression:
    return Call(function, operands)


def _exponentials(x: Expression, sign: str) -> Expression:
    return _call(sign, _call("exp", x), _call("exp", call("neg", x)))


def _formula(arity: int, function: Callable[..., Expression]) -> Builder:
    """A builder of a fixed number of operands that needs no reader."""

    def builder(_: Ranks, *operands: Expression) -> Expression:
        if len(operands) != arity:
            raise TypeError(f"takes {arity} operand{'s' if arity > 1 else ''}, found {len(operands)}")
        return function(*operands)

    return builder


def _heaviside(_: Ranks, x: Expression, at_zero: Expression = ZERO) -> Expression:
    tie = _call("select", _call("equal", x, ZERO), at_zero, ZERO)
    return _call("select", _call("greater", x, ZERO), ONE, tie)


def _piecewise(_: Ranks, *rows: Any) -> Expression:
    """SymPy's (value, condition) pairs; the last condition may be True."""
    result: Expression = ZERO
    for row in reversed(rows):
        if not isinstance(row, tuple) or len(row) != 2 or isinstance(row[0], tuple):
            raise CheckError("Piecewise takes pairs, as in Piecewise((1, x > 0), (0, True))")
        value, condition = row
        result = value if condition is True else _call("select", condition, value, result)
    return result


def _extremum(function: str) -> Builder:
    def builder(_: Ranks, *operands: Any) -> Expression:
        parts = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple) else operands
        if len(parts) == 1:
            return _call(f"{function}_over", parts[0])
        result = parts[-1]
        for operand in reversed(parts[:-1]):  # max(a, b, c) = max(a, max(b, c)): the first still wins a tie
            result = _call(function, operand, result)
        return result

    return builder


# ---- settings ----------------------------------------------------------------------------------------


def _flat(settings: tuple[Any, ...]) -> tuple[Expression, ...]:
    """Axes or extents given one by one or as a tuple."""
    if len(settings) == 1 and isinstance(settings[0], tuple):
        settings = settings[0]
    return tuple(setting for setting in settings if setting is not None)


def _whole(setting: Any, what: str) -> int:
    if isinstance(setting, Number) and isinstance(setting.value, int):
        return setting.value
    found = claim_text(setting) if isinstance(setting, Number | Symbol | Call) else repr(setting)
    raise CheckError(f"{what} is a whole number, found {found[:60]}")


def _axes(settings: tuple[Any, ...], axis: Any) -> tuple[Expression, ...]:
    axes = _flat(settings) or _flat((axis,))
    for setting in axes:
        _whole(setting, "an axis")
    return axes


def _rank(reader: Ranks, a: Expression) -> int:
    rank = reader.rank(a)
    return 0 if rank is None else rank


def _reduction(function: str) -> Builder:
    def builder(
        reader: Ranks, a: Expression, *axes: Any, axis: Any = None, keepdims: bool = False, dim: Any = None,
        keepdim: bool = False,
    ) -> Expression:  # fmt: skip
        chosen = _axes(axes, axis if axis is not None else dim)
        result = _call(function, a, *chosen)
        if keepdims is True or keepdim is True:
            kept = chosen or tuple(Number(k) for k in range(_rank(reader, a)))
            result = _call("expand_dims", result, *kept) if kept else result
        return result

    return builder


def _variance(reader: Ranks, a: Expression, *axes: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    mean = _reduction("mean")
    centred = _call("sub", a, mean(reader, a, *axes, axis=axis, keepdims=True))
    return mean(reader, _call("pow", centred, _TWO), *axes, axis=axis, keepdims=keepdims)


def _deviation(reader: Ranks, a: Expression, *axes: Any, axis: Any = None, keepdims: bool = False) -> Expression:
    return _call("sqrt", _variance(reader, a, *axes, axis=axis, keepdims=keepdims))


def _last_axis(function: str) -> Builder:
    def builder(_: Ranks, a: Expression, axis: Any = None, dim: Any = None, keepdims: bool = False) -> Expression:
        chosen = _axes((), axis if axis is not None else dim)
        if len(chosen) > 1:
            raise CheckError(f"{function} runs over one axis, found {len(chosen)}")
        result = _call(function, a, *chosen)
        return _call("expand_dims", result, *(chosen or (Number(-1),))) if keepdims is True else result

    return builder


def _log_softmax(reader: Ranks, a: Expression, axis: Any = None) -> Expression:
    return _call("sub", a, _last_axis("logsumexp")(reader, a, axis=axis, keepdims=True))


def _norm(reader: Ranks, a: Expression, axis: Any = None, keepdims: bool = False) -> Expression:
    if reader.rank(a) == 0:
        return _call("abs", a)
    return _reduction("norm2")(reader, a, axis=axis, keepdims=keepdims)


def _shape(settings: tuple[Any, ...]) -> tuple[Expression, ...] | Expression:
    """Extents of a new array, or the array whose ``.shape`` was given."""
    extents = _flat(settings)
    match extents:
        case (Call("shape", (other,)),):
            return other
    return extents


def _reshape(_: Ranks, a: Expression, *shape: Any) -> Expression:
    extents = _shape(shape)
    return _call("reshape", a, *extents) if isinstance(extents, tuple) else _call("reshape_like", a, extents)


def _broadcast_to(_: Ranks, a: Expression, *shape: Any) -> Expression:
    extents = _shape(shape)
    if isinstance(extents, tuple):
        return _call("broadcast_like", a, _call("zeros", *extents))
    return _call("broadcast_like", a, extents)


def _filled(function: str) -> Builder:
    def builder(_: Ranks, *shape: Any) -> Expression:
        extents = _shape(shape)
        return _call(function, *extents) if isinstance(extents, tuple) else _call(f"{function}_like", extents)

    return builder


def _transpose(_: Ranks, a: Expression, *axes: Any) -> Expression:
    return _call("transpose", a, *_axes(axes, None))


def _swapaxes(reader: Ranks, a: Expression, first: Any, second: Any) -> Expression:
    rank = _rank(reader, a)
    i, j = (_whole(axis, "an axis") for axis in (first, second))
    if {i - rank * (i >= 0), j - rank * (j >= 0)} == {-1, -2}:
        return _call("swap_last", a)
    order = list(range(rank))
    if not (-rank <= i < rank and -rank <= j < rank):
        raise CheckError(f"swapaxes asks for axes {i} and {j} of an array with {rank} axes")
    order[i], order[j] = order[j], order[i]
    return _call("transpose", a, *map(Number, order))


def _joined(function: str, axis_of_words: int | None = None) -> Builder:
    def builder(_: Ranks, *operands: Any, axis: Any = None, dim: Any = None) -> Expression:
        axis = axis if axis is not None else dim
        if operands and isinstance(operands[0], tuple):
            parts, rest = operands[0], operands[1:]
            axis = rest[0] if rest else axis
        elif len(operands) < 2:
            raise TypeError("takes a list of arrays, and the axis to join")
        else:  # as it is printed: the axis comes last
            parts, axis = operands[:-1], operands[-1]
        if not parts:
            raise TypeError("takes at least one array")
        if axis_of_words is not None:
            axis = Number(axis_of_words)
        chosen = Number(0) if axis is None else axis
        _whole(chosen, "an axis")
        return _call(function, *parts, chosen)

    return builder


def _sliding(function: str, usual: str) -> Builder:
    def builder(_: Ranks, a: Expression, b: Expression, mode: Any = usual) -> Expression:
        if isinstance(mode, str):
            if mode not in MODES:
                raise CheckError(f"the mode of {function} is {' or '.join(map(repr, MODES))}, found {mode!r}")
            mode = Number(MODES[mode])
        return _call(function, a, b, mode)

    return builder


def _half_turn(_: Ranks, a: Expression, k: Any = ONE) -> Expression:
    if k != _TWO:
        raise CheckError("rot90 is read with k=2, which flips a filter")
    return _call("flip", a, Number(0), Number(1))


def _einsum(_: Ranks, subscripts: Any, *operands: Expression) -> Expression:
    """NumPy's sum of products over letters, written out: letters of the result come first."""
    inputs, arrow, result = subscripts.partition("->") if isinstance(subscripts, str) else ("", "", "")
    letters = inputs.split(",")
    used = "".join(letters)
    if not operands or len(letters) != len(operands) or not arrow or not set(result) <= set(used):
        raise CheckError("einsum is written einsum('ni,nj->ij', a, b), with letters for the axes of every operand")
    order = result + "".join(sorted(set(used) - set(result)))
    factors = [
        _call("spread", a, Number(len(order)), *(Number(order.index(letter)) for letter in axes))
        for a, axes in zip(operands, letters, strict=True)
    ]
    product = functools.reduce(lambda a, b: _call("mul", a, b), factors)
    summed = [Number(k) for k in range(len(result), len(order))]
    return _call("sum", product, *summed) if summed else product


def _of_condition(_: Ranks, condition: Expression) -> Expression:
    if not isinstance(condition, Call) or condition.function not in CONDITIONS:
        raise CheckError("this function is read around a condition only, as in int(x > 0)")
    return condition


def _size(_: Ranks, a: Expression, axis: Any = None) -> Expression:
    return _call("size", a, *_axes((), axis))


def _same(_: Ranks, a: Expression, **_settings: Any) -> Expression:
    return a


def _raw(function: str) -> Builder:
    row = ARRAYS[function]

    def builder(_: Ranks, *operands: Any) -> Expression:
        settings = _flat(operands[1:])
        count = len(operands[:1]) + len(settings)
        if count < row.least or (row.most >= 0 and count > row.most):
            wanted = str(row.least) if row.least == row.most else f"at least {row.least}"
            raise TypeError(f"takes {wanted} operand{'s' if wanted != '1' else ''}, found {count}")
        return _call(function, *operands[:1], *settings)

    return builder


def _scalar(function: str) -> Builder:
    return _formula(FUNCTIONS[function].arity, lambda *operands: _call(function, *operands))


def _logarithm(base: int) -> Builder:
    return _formula(1, lambda x: _call("div", _call("log", x), _call("log", Number(base))))


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
    **{name: _raw(name) for name in ARRAYS if name not in ("slice", "none", "newaxis")},
    **{
        name: _scalar(name)
        for name, row in FUNCTIONS.items()
        if name not in ("uniform", "and", "or", "not") and (not row.infix or name == "pow") and name != "neg"
    },
    **{name: _scalar(function) for name, function in _OPERATORS.items()},
    "ln": _formula(1, lambda x: _call("log", x)),
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "sinh": _formula(1, lambda x: _call("div", _exponentials(x, "sub"), _TWO)),
    "cosh": _formula(1, lambda x: _call("div", _exponentials(x, "add"), _TWO)),
    "sech": _formula(1, lambda x: _call("div", _TWO, _exponentials(x, "add"))),
    "csch": _formula(1, lambda x: _call("div", _TWO, _exponentials(x, "sub"))),
    "coth": _formula(1, lambda x: _call("div", ONE, _call("tanh", x))),
    "tan": _formula(1, lambda x: _call("div", _call("sin", x), _call("cos", x))),
    "square": _formula(1, lambda x: _call("pow", x, _TWO)),
    "reciprocal": _formula(1, lambda x: _call("div", ONE, x)),
    "relu": _formula(1, lambda x: _call("max", ZERO, x)),
    "ReLU": _formula(1, lambda x: _call("max", ZERO, x)),
    "clip": _formula(3, lambda x, low, high: _call("min", _call("max", x, low), high)),
    "Heaviside": _heaviside,
    "heaviside": _heaviside,
    "step": _heaviside,
    "Piecewise": _piecewise,
    "max": _extremum("max"),
    "min": _extremum("min"),
    "Max": _extremum("max"),
    "Min": _extremum("min"),
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
    "amax": _reduction("max_over"),
    "amin": _reduction("min_over"),
    "var": _variance,
    "std": _deviation,
    "norm": _norm,
    "softmax": _last_axis("softmax"),
    "logsumexp": _last_axis("logsumexp"),
    "log_softmax": _log_softmax,
    "inner": _formula(2, lambda a, b: _call("sum", _call("mul", a, b))),
    "vdot": _formula(2, lambda a, b: _call("sum", _call("mul", a, b))),
    "diagflat": _raw("diag"),
    "tr": _raw("trace"),
    "transpose": _transpose,
    "permute": _transpose,
    "swapaxes": _swapaxes,
    "reshape": _reshape,
    "view": _reshape,
    "broadcast_to": _broadcast_to,
    "ones": _filled("ones"),
    "zeros": _filled("zeros"),
    "identity": _raw("eye"),
    "ravel": _raw("flatten"),
    "unsqueeze": _raw("expand_dims"),
    "expand_dims": lambda _, a, *axes, axis=None: _call("expand_dims", a, *_axes(axes, axis)),
    "squeeze": lambda _, a, *axes, axis=None: _call("squeeze", a, *_axes(axes, axis)),
    "flip": lambda _, a, *axes, axis=None: _call("flip", a, *_axes(axes, axis)),
    "flipud": _formula(1, lambda a: _call("flip", a, Number(0))),
    "fliplr": _formula(1, lambda a: _call("flip", a, Number(1))),
    "rot90": _half_turn,
    "concatenate": _joined("concatenate"),
    "concat": _joined("concatenate"),
    "cat": _joined("concatenate"),
    "hstack": _joined("concatenate", -1),
    "vstack": _joined("concatenate", 0),
    "stack": _joined("stack"),
    "convolve": _sliding("convolve", "full"),
    "convolve2d": _sliding("convolve", "full"),
    "correlate": _sliding("correlate", "valid"),
    "correlate2d": _sliding("correlate", "full"),
    "size": _size,
    "len": _formula(1, lambda a: _call("size", a, ZERO)),
    "float": _same,
    "asarray": _same,
    "float64": _same,
    "float32": _same,
    "int": _of_condition,
    "bool": _of_condition,
    "I": _of_condition,
    "einsum": _einsum,
    "array": _same,
}

#: Names as people join and capitalise them: onehot, LogSumExp, Softmax.
SPELLINGS: Mapping[str, str] = {name.replace("_", "").lower(): name for name in reversed(VOCABULARY)}

#: What means something else behind ``np.`` or as a method: a reduction, where the bare name compares operands.
PREFIXED: Mapping[str, Builder] = {"max": _reduction("max_over"), "min": _reduction("min_over")}

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
    except TypeError as error:
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
    words = [word for word in list(_parameters(builder).parameters)[1:] if not word.startswith("_")]
    return f"{name}({', '.join(words)})"


def slope(name: str, operand: Expression) -> Expression | None:
    """Derivative of a function of one operand, as in ``sigma'(z)``; None where there is none."""
    row = FUNCTIONS.get(name)
    inner = Symbol("*operand")
    if row is not None and row.arity == 1 and name not in ("not", "neg"):
        body = _call(name, inner)
    elif name in VOCABULARY and name not in ARRAYS:
        try:
            body = VOCABULARY[name](None, inner)
        except (TypeError, AttributeError):
            return None
    else:
        return None
    return substitute(derivative(body, inner.name), {inner.name: operand})
