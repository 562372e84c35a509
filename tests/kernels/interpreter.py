"""The judge of kernels: a slow interpreter of statements, nested loops in plain Python and float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy

from graphc.formula.expression import evaluate
from graphc.formula.statement import Access, Affine, Divides, Gather, Interval, Statement, Zero

NEUTRAL = {
    "set": 0.0, "sum": 0.0, "max": -math.inf, "min": math.inf, "prod": 1.0, "logsumexp": -math.inf,
    "argmax": 0, "argmin": 0,
}  # fmt: skip


def _exp(x):
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _sigmoid(x):
    return 1 / (1 + _exp(-x)) if x >= 0 else _exp(x) / (1 + _exp(x))


def _max(a, b):
    return a if (a >= b or math.isnan(a)) else b


def _min(a, b):
    return a if (a <= b or math.isnan(a)) else b


FUNCTIONS = {
    "or": lambda a, b: bool(a) or bool(b),
    "and": lambda a, b: bool(a) and bool(b),
    "not": lambda a: not a,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b if b else math.copysign(math.inf, a) if a else math.nan,
    "floordiv": lambda a, b: a // b,
    "neg": lambda a: -a,
    "pow": lambda a, b: a**b,
    "exp": _exp,
    "log": lambda a: math.log(a) if a > 0 else (-math.inf if a == 0 else math.nan),
    "log1p": math.log1p,
    "expm1": math.expm1,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "sech2": lambda a: 1 / math.cosh(a) ** 2,
    "erf": math.erf,
    "erfc": math.erfc,
    "sigmoid": _sigmoid,
    "softplus": lambda a: max(a, 0.0) + math.log1p(_exp(-abs(a))),
    "softsign": lambda a: a / (1 + abs(a)),
    "logaddexp": lambda a, b: _max(a, b) + math.log1p(_exp(-abs(a - b))),
    "abs": abs,
    "sign": lambda a: float((a > 0) - (a < 0)),
    "max": _max,
    "min": _min,
    "select": lambda c, a, b: a if c else b,
}


def interpret(statement: Statement, arrays: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
    """Return what the written tensor holds after the statement; ``arrays`` has every tensor."""
    sizes = {f"{t}.{d}": n for t, a in arrays.items() for d, n in enumerate(a.shape)}
    sizes |= {f"{t}.size": a.size for t, a in arrays.items()}
    target = statement.write.tensor
    write = statement.write
    held = numpy.array(arrays[target], dtype=float)
    groups: dict[tuple[int, ...], list[tuple[int, float]]] = {}
    extents = [axis.extent.value(sizes) for axis in statement.axes]
    names = [axis.name for axis in statement.axes]
    reduced = set(statement.reduced())

    def indices(access: Access, at: Mapping[str, int]) -> tuple[int, ...]:
        result = []
        for item in access.index:
            if isinstance(item, Affine):
                result.append(item.value(at))
            else:
                assert isinstance(item, Gather)
                result.append(int(read(item.access, at)))
        return tuple(result)

    def inside(index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        return all(0 <= i < n for i, n in zip(index, shape, strict=True))

    def read(access: Access, at: Mapping[str, int]) -> float:
        array = arrays[access.tensor]
        array = array.reshape(-1) if access.flat else array
        index = indices(access, at)
        if not inside(index, array.shape):
            assert access.outside == "zero", f"{access} reads {index} of {array.shape}"
            return 0.0
        return float(array[index])

    for point in itertools.product(*(range(n) for n in extents)):
        at: dict[str, int] = {**sizes, **dict(zip(names, point, strict=True))}
        exact = True
        for guard in statement.guards:  # divisibility first: derived axes need it
            if isinstance(guard, Divides) and not any(let.name in guard.index.names() for let in statement.lets):
                exact &= guard.index.value(at) % guard.divisor == 0
        if not exact:
            continue
        for let in statement.lets:
            at[let.name] = let.numerator.value(at) // let.divisor
        passed = True
        for guard in statement.guards:
            if isinstance(guard, Interval):
                passed &= 0 <= guard.index.value(at) < guard.upper.value(at)
            elif isinstance(guard, Divides):
                passed &= guard.index.value(at) % guard.divisor == 0
            elif isinstance(guard, Zero):
                passed &= guard.index.value(at) == 0
        if not passed:
            continue
        for guard in statement.guards:
            if not isinstance(guard, Interval | Divides | Zero):
                position = 0
                for index, extent in guard.axes:
                    position = position * extent.value(at) + index.value(at)
                passed &= read(guard.access, at) == position
        if not passed:
            continue
        environment = {**{n: float(v) for n, v in at.items()}, **{p: read(a, at) for p, a in statement.reads}}
        value = evaluate(statement.body, environment, FUNCTIONS)
        where = indices(write, at)
        shape = held.reshape(-1).shape if write.flat else held.shape
        if not inside(where, shape):
            assert write.outside == "zero", f"{write} writes {where} of {shape}"
            continue
        position = 0
        for name, extent in zip(names, extents, strict=True):
            if name in reduced:
                position = position * extent + at[name]
        groups.setdefault(where, []).append((position, float(value)))
    result = held if statement.accumulate else numpy.full(held.shape, NEUTRAL[statement.operator], float)
    flat = result.reshape(-1) if write.flat else result
    for where, values in groups.items():
        combined = _combine(statement.operator, values)
        if statement.accumulate or not statement.race_free():
            flat[where] = _joined(statement.operator, flat[where], combined)
        else:
            flat[where] = combined
    return result


def _joined(operator: str, held: float, value: float) -> float:
    if operator in ("set", "sum"):
        return held + value
    if operator == "prod":
        return held * value
    return (_max if operator == "max" else _min)(held, value)


def _combine(operator: str, values: list[tuple[int, float]]) -> float:
    numbers = [v for _, v in values]
    if operator in ("set", "sum"):
        return math.fsum(numbers) if all(map(math.isfinite, numbers)) else sum(numbers)
    if operator == "prod":
        return math.prod(numbers)
    if any(map(math.isnan, numbers)):
        if operator.startswith("arg"):
            return next(k for k, v in values if math.isnan(v))
        return math.nan
    if operator == "max":
        return max(numbers)
    if operator == "min":
        return min(numbers)
    if operator in ("argmax", "argmin"):
        best = (max if operator == "argmax" else min)(numbers)
        return min(k for k, v in values if v == best)
    top = max(numbers)
    if math.isinf(top):
        return top
    rest = list(numbers)
    rest.remove(top)
    return top + math.log1p(math.fsum(math.exp(v - top) for v in rest))
