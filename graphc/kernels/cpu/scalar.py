# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""The scalar functions of the language on the CPU, one row for each name, both float types.

Each function is LLVM code built through a small value class, generic in the float type and free of
branches: a loop that calls it is vectorised. Sums, products and divisions are Numba's own operators.

Numerics: relative errors of a few units in the last place wherever the result is representable: sigmoid in
both tails, tanh, expm1 and log1p near 0, sech2 and softplus until they underflow. ``max`` and ``min`` return
the first operand at a tie and propagate NaN. Errors are measured in ``tests/kernels/test_scalar.py``.

Source of the methods: W. J. Cody and W. Waite, *Software Manual for the Elementary Functions* (1980), for
the split of ln 2; W. Kahan for ``log1p``-like sums; series of exp and atanh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["NAMES", "power", "product_step", "rounding_error", "sum_step"]

#: Constants that differ between the types: (float32, float64).
_LN2_HIGH = (0.693359375, 6.93147180369123816490e-01)
_LN2_LOW = (-2.12194440e-4, 1.90821492927058770002e-10)
_EXP_LOW, _EXP_HIGH = (-104.0, -746.0), (89.0, 710.0)
_EXP_DEGREE = (7, 13)
_ATANH_TERMS = (5, 10)  # |s| <= 0.172
_ATANH_TERMS_WIDE = (8, 17)  # |s| <= 1/3
_TANH_LIMIT = (10.0, 22.0)  # beyond it tanh rounds to 1
_MANTISSA = (23, 52)
_BIAS = (127, 1023)
_TINY = (2.0**-126, 2.0**-1022)


class _Value:
    """An LLVM value with Python operators; numbers become constants of its type."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value
        self.kind = 1 if isinstance(value.type, ir.DoubleType) else 0

    def _of(self, other: Any) -> Any:
        return other.value if isinstance(other, _Value) else ir.Constant(self.value.type, float(other))

    def _new(self, value: Any) -> _Value:
        return _Value(self.builder, value)

    def __add__(self, other: Any) -> _Value:
        return self._new(self.builder.fadd(self.value, self._of(other)))

    def __radd__(self, other: Any) -> _Value:
        return self + other

    def __sub__(self, other: Any) -> _Value:
        return self._new(self.builder.fsub(self.value, self._of(other)))

    def __rsub__(self, other: Any) -> _Value:
        return self._new(self.builder.fsub(self._of(other), self.value))

    def __mul__(self, other: Any) -> _Value:
        return self._new(self.builder.fmul(self.value, self._of(other)))

    def __rmul__(self, other: Any) -> _Value:
        return self * other

    def __truediv__(self, other: Any) -> _Value:
        return self._new(self.builder.fdiv(self.value, self._of(other)))

    def __rtruediv__(self, other: Any) -> _Value:
        return self._new(self.builder.fdiv(self._of(other), self.value))

    def __neg__(self) -> _Value:
        return self._new(self.builder.fneg(self.value))

    def compare(self, operator: str, other: Any) -> Any:
        """Ordered comparison: false where an operand is NaN."""
        return self.builder.fcmp_ordered(operator, self.value, self._of(other))

    def is_nan(self) -> Any:
        return self.builder.fcmp_unordered("uno", self.value, self.value)

    def choose(self, condition: Any, first: Any, second: Any) -> _Value:
        return self._new(self.builder.select(condition, self._of(first), self._of(second)))

    def intrinsic(self, name: str, *others: Any) -> _Value:
        arguments = [self.value, *(self._of(o) for o in others)]
        suffix = "f64" if self.kind else "f32"
        return self.function(f"llvm.{name}.{suffix}", arguments)

    def library(self, name: str) -> _Value:
        """Call the C library: the float version has the suffix f."""
        return self.function(name if self.kind else name + "f", [self.value], pure=True)

    def function(self, name: str, arguments: list[Any], pure: bool = False) -> _Value:
        module = self.builder.module
        function = module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(self.value.type, [a.type for a in arguments])
            function = ir.Function(module, kind, name)
            if pure:
                function.attributes.add("nounwind")
                function.attributes.add("readnone")
        return self._new(self.builder.call(function, arguments))

    def pick(self, pair: tuple[Any, Any]) -> Any:
        """The entry of a (float32, float64) pair."""
        return pair[self.kind]

    # ---- integers of the same width --------------------------------------------------------------

    def integer_type(self) -> Any:
        return ir.IntType(64 if self.kind else 32)

    def bits(self) -> Any:
        return self.builder.bitcast(self.value, self.integer_type())

    def from_bits(self, bits: Any) -> _Value:
        return self._new(self.builder.bitcast(bits, self.value.type))

    def constant_bits(self, value: int) -> Any:
        return ir.Constant(self.integer_type(), value)

    def power_of_two(self, exponent: Any) -> _Value:
        """2**exponent for an int32 in the normal range, exactly."""
        builder = self.builder
        wide = builder.sext(exponent, self.integer_type()) if self.kind else exponent
        biased = builder.add(wide, self.constant_bits(self.pick(_BIAS)))
        return self.from_bits(builder.shl(biased, self.constant_bits(self.pick(_MANTISSA))))


def _reduced(x: _Value, low: float, high: float) -> tuple[Any, _Value]:
    """Split a clamped x into ``k*ln(2) + r`` with |r| <= ln(2)/2; k is an int32."""
    # written so that NaN becomes the limit: a NaN must not reach the conversion to an integer
    clamped = x.choose(x.compare(">", low), x, low)
    clamped = clamped.choose(clamped.compare("<", high), clamped, high)
    k = (clamped * (1 / math.log(2))).intrinsic("rint")
    r = (clamped - k * x.pick(_LN2_HIGH)) - k * x.pick(_LN2_LOW)
    return x.builder.fptosi(k.value, ir.IntType(32)), r


def _exp_series(r: _Value) -> _Value:
    """(exp(r) - 1) / r."""
    degree = r.pick(_EXP_DEGREE)
    total = r * (1 / math.factorial(degree)) + 1 / math.factorial(degree - 1)
    for n in range(degree - 2, 0, -1):
        total = total * r + 1 / math.factorial(n)
    return total


def _exp(x: _Value) -> _Value:
    k, r = _reduced(x, x.pick(_EXP_LOW), x.pick(_EXP_HIGH))
    builder = x.builder
    half = builder.ashr(k, ir.Constant(ir.IntType(32), 1))
    # two factors: 2**k itself overflows or is subnormal where exp(x) need not be
    scaled = (_exp_series(r) * r + 1) * x.power_of_two(half) * x.power_of_two(builder.sub(k, half))
    return x.choose(x.is_nan(), x, scaled)


def _expm1(x: _Value) -> _Value:
    high = x.pick(_EXP_HIGH)
    k, r = _reduced(x, -60.0, high)
    half = x.power_of_two(x.builder.sub(k, ir.Constant(ir.IntType(32), 1)))
    result = (half * (_exp_series(r) * r) + (half - 0.5)) * 2
    # where k is 0 the small difference must not pass through the sum
    zero = x.builder.icmp_signed("==", k, ir.Constant(ir.IntType(32), 0))
    result = x.choose(zero, _exp_series(r) * r, result)
    result = x.choose(x.compare("==", 0), x, result)
    return x.choose(x.is_nan(), x, result)


def _atanh_series(s: _Value, terms: int) -> _Value:
    """2 * atanh(s)."""
    square = s * s
    total = square * (2 / (2 * terms + 1)) + 2 / (2 * terms - 1)
    for n in range(terms - 2, 0, -1):
        total = total * square + 2 / (2 * n + 1)
    return s * 2 + s * (square * total)


def _log(x: _Value) -> _Value:
    builder = x.builder
    small = x.compare("<", x.pick(_TINY))
    shift = 2.0 ** x.pick(_MANTISSA)
    normal = x.choose(small, x * shift, x)
    # m in [sqrt(1/2), sqrt(2)): take sqrt(1/2) off the bits, so that the exponent rounds the right way
    mantissa = x.pick(_MANTISSA)
    root = x.from_bits(x.constant_bits(0))._of(math.sqrt(0.5))
    offset = builder.bitcast(root, x.integer_type())
    bits = builder.sub(normal.bits(), offset)
    exponent = builder.ashr(bits, x.constant_bits(mantissa))
    low = builder.and_(bits, x.constant_bits((1 << mantissa) - 1))
    m = x.from_bits(builder.add(low, offset))
    if x.kind:
        exponent = builder.trunc(exponent, ir.IntType(32))
    k = x._new(builder.sitofp(exponent, x.value.type))
    k = x.choose(small, k - mantissa, k)
    f = m - 1
    result = k * x.pick(_LN2_HIGH) + (_atanh_series(f / (f + 2), x.pick(_ATANH_TERMS)) + k * x.pick(_LN2_LOW))
    result = x.choose(x.compare("==", 0), -math.inf, result)
    result = x.choose(x.compare("<", 0), math.nan, result)
    result = x.choose(x.compare("==", math.inf), x, result)
    return x.choose(x.is_nan(), x, result)


def _log1p_unit(e: _Value) -> _Value:
    """log(1 + e) for 0 <= e <= 1."""
    return _atanh_series(e / (e + 2), e.pick(_ATANH_TERMS_WIDE))


def _log1p(x: _Value) -> _Value:
    total = x + 1
    # log(1 + x) = log(u) + (x - (u - 1)) / u, with u the rounded sum
    result = _log(total) + (x - (total - 1)) / total
    special = x.builder.or_(total.compare("==", 0), x.compare("==", math.inf))
    result = x.choose(special, _log(total), result)
    return x.choose(x.compare("==", 0), x, result)


def _absolute(x: _Value) -> _Value:
    return x.intrinsic("fabs")


def _tanh(x: _Value) -> _Value:
    a = _absolute(x)
    limit = x.pick(_TANH_LIMIT)
    a = a.choose(a.compare(">", limit), limit, a)
    grown = _expm1(a + a)
    return (grown / (grown + 2)).intrinsic("copysign", x)


def _sigmoid(x: _Value) -> _Value:
    e = _exp(-_absolute(x))
    return x.choose(x.compare(">", 0), x._new(x._of(1.0)), e) / (e + 1)


def _softplus(x: _Value) -> _Value:
    positive = x.choose(x.compare("<", 0), 0.0, x)
    return positive + _log1p_unit(_exp(-_absolute(x)))


def _softsign(x: _Value) -> _Value:
    a = _absolute(x)
    # inf/inf at infinity
    return x.choose(a.compare("==", math.inf), _sign(x), x / (a + 1))


def _sech2(x: _Value) -> _Value:
    e = _exp(_absolute(x) * -2)
    return (e * 4) / ((e + 1) * (e + 1))


def _sign(x: _Value) -> _Value:
    result = x.choose(x.compare("<", 0), -1.0, x)  # zeros and NaN are returned as they are
    return x.choose(x.compare(">", 0), 1.0, result)


def _max(x: _Value, y: _Value) -> _Value:
    result = x.choose(y.compare(">", x), y, x)
    return x.choose(y.is_nan(), y, result)


def _min(x: _Value, y: _Value) -> _Value:
    result = x.choose(y.compare("<", x), y, x)
    return x.choose(y.is_nan(), y, result)


def _logaddexp(x: _Value, y: _Value) -> _Value:
    distance = _absolute(x - y)
    distance = x.choose(x.compare("==", y), 0.0, distance)  # equal infinities
    return _max(x, y) + _log1p_unit(_exp(-distance))


def _pow(x: _Value, y: _Value) -> _Value:
    return x.intrinsic("pow", y)


def _defined(function: Callable[..., _Value], arity: int) -> Any:
    def typed(*kinds: Any) -> Any:
        kinds = tuple(types.unliteral(k) for k in kinds)
        if kinds[0] not in (types.float32, types.float64) or len(set(kinds)) != 1:
            return None

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return function(*(_Value(builder, a) for a in arguments)).value

        return kinds[0](*kinds), codegen

    if arity == 1:

        @intrinsic
        def unary(typingctx: Any, x: Any) -> Any:
            return typed(x)

        return unary

    @intrinsic
    def binary(typingctx: Any, x: Any, y: Any) -> Any:
        return typed(x, y)

    return binary


@intrinsic
def _random_bits(typingctx: Any, key: Any, step: Any, element: Any) -> Any:
    """24 bits of Philox-2x32-10 with counter (element, step).

    Source: Salmon, Moraes, Dror, Shaw, SC (2011), section 3.3.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, wide = ir.IntType(32), ir.IntType(64)
        key, second, first = (builder.trunc(a, word) for a in arguments)
        for round_ in range(10):
            if round_:
                key = builder.add(key, ir.Constant(word, 0x9E3779B9))
            product = builder.mul(builder.zext(first, wide), ir.Constant(wide, 0xD256D193))
            high = builder.trunc(builder.lshr(product, ir.Constant(wide, 32)), word)
            first, second = builder.xor(builder.xor(high, key), second), builder.trunc(product, word)
        return builder.zext(builder.lshr(first, ir.Constant(word, 8)), wide)

    return types.int64(types.int64, types.int64, types.int64), codegen


#: Functions that generated kernels import by these names.
NAMES: Mapping[str, Any] = {
    "exp": _defined(_exp, 1),
    "log": _defined(_log, 1),
    "log1p": _defined(_log1p, 1),
    "expm1": _defined(_expm1, 1),
    "sqrt": _defined(lambda x: x.intrinsic("sqrt"), 1),
    "sin": _defined(lambda x: x.library("sin"), 1),
    "cos": _defined(lambda x: x.library("cos"), 1),
    "erf": _defined(lambda x: x.library("erf"), 1),
    "erfc": _defined(lambda x: x.library("erfc"), 1),
    "tanh": _defined(_tanh, 1),
    "sech2": _defined(_sech2, 1),
    "sigmoid": _defined(_sigmoid, 1),
    "softplus": _defined(_softplus, 1),
    "softsign": _defined(_softsign, 1),
    "logaddexp": _defined(_logaddexp, 2),
    "absolute": _defined(_absolute, 1),
    "sign": _defined(_sign, 1),
    "maximum": _defined(_max, 2),
    "minimum": _defined(_min, 2),
    "power": _defined(_pow, 2),
    "random_bits": _random_bits,
    "floor": _defined(lambda x: x.intrinsic("floor"), 1),
    # steps of reductions: operations that the vectoriser may reorder
    "largest": _defined(lambda x, y: x.intrinsic("maximum", y), 2),
    "smallest": _defined(lambda x, y: x.intrinsic("minimum", y), 2),
}


def power(exponent: int) -> Any:
    """Return the function ``x**exponent`` by repeated multiplication, of 1/x for negative exponents."""

    def product(x: _Value) -> _Value:
        base = x if exponent > 0 else 1 / x
        remaining, result = abs(exponent), None
        while remaining:
            if remaining & 1:
                result = base if result is None else result * base
            remaining >>= 1
            if remaining:
                base = base * base
        return x.choose(x.is_nan(), 1.0, 1.0) if result is None else result

    return _defined(product, 1)


def _reordered(operation: str) -> Any:
    @intrinsic
    def step(typingctx: Any, total: Any, value: Any) -> Any:
        total, value = types.unliteral(total), types.unliteral(value)
        if total != value:
            return None

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            # only here may LLVM reorder: everything else keeps the order written
            return getattr(builder, operation)(*arguments, flags=("reassoc", "nsz", "contract"))

        return total(total, value), codegen

    return step


#: ``total + value`` and ``total * value`` inside a reduction.
sum_step, product_step = _reordered("fadd"), _reordered("fmul")


def _rounding_error(total: _Value, value: _Value) -> _Value:
    result = total + value
    part = result - total
    return (total - (result - part)) + (value - part)


#: What ``total + value`` loses to rounding (D. E. Knuth, TAOCP vol. 2, 4.2.2, theorem B).
rounding_error = _defined(_rounding_error, 2)
