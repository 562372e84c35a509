# ruff: noqa: ARG001 - Numba fixes the signatures of intrinsics and their code generators
"""The scalar functions of the language on the CPU, one row for each name, both float types.

Each function is LLVM code built through a small value class, generic in the float type and free of
branches: a loop that calls it is vectorised. Sums, products and divisions are Numba's own operators.

Numerics: errors of float32, in units in the last place of the exact result, over all float32 numbers:

===================  ======================================================
at most 0.5          sqrt; sums, products and divisions
at most 1            exp, log, sin, cos
at most 2            expm1, log1p, tanh, sigmoid, softplus, softsign, sech2, erf, erfc
===================  ======================================================

The bounds hold for subnormal numbers too and are tested in ``tests/kernels/test_ulp.py``; float64 is within 4 epsilons
on the points of ``tests/kernels/test_scalar.py``. Without an instruction that rounds a product and a sum together, 2
becomes 4 and 1 becomes 2. ``max`` and ``min`` return the first operand at a tie and propagate NaN. Powers with a
fractional exponent, and in float64 sin, cos, erf and erfc are calls of the C library, one element at a time; all else
runs in vectors.

How one rounding comes to decide: the main term of a sum is exact, or what its rounding loses is known and joins the
small terms.

Sources of the methods: W. J. Cody and W. Waite, *Software Manual for the Elementary Functions* (1980), for the split of
ln 2 and the split of tanh; M. Payne and R. Hanek, SIGNUM Newsletter 18 (1983), for the remainder by pi/2; T. J. Dekker,
Numer. Math. 18 (1971), for exact sums; W. Kahan for ``log1p``; M. M. Shepherd and J. G. Laframboise, Math. Comp. 36
(1981), for erfc as ``exp(-x**2)`` times a slowly varying function; series of exp and atanh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["NAMES", "power", "product_step", "rounding_error", "sum_step"]

#: Constants that differ between the types: (float32, float64).
_LN2_HIGH = (0.693359375, 6.93147180369123816490e-01)
_LN2_LOW = (-2.12194440e-4, 1.90821492927058770002e-10)
_EXP_LOW, _EXP_HIGH = (-107.0, -750.0), (89.0, 710.0)
#: Exponents by which powers of two are raised, so that those of all arguments from the lowest to 0 are normal numbers.
_RAISED = (28, 60)
_EXP_SERIES = tuple(1 / math.factorial(n) for n in range(2, 14))  # float64
_ATANH_TERMS = (5, 10)  # |s| <= 0.172
_ATANH_TERMS_WIDE = (8, 17)  # |s| <= 1/3
_TANH_LIMIT = (10.0, 22.0)  # beyond it tanh rounds to 1

# Polynomials for float32: least squares in relative error at Chebyshev nodes, derived again by
# ``tests/kernels/test_ulp.py``.
#: (exp(x) - 1 - x)/x**2 up to |x| = 0.37, error 2e-10.
_EXP_NEAR = (0.5000000115, 0.1666666592, 0.04166615292, 0.008333459898, 0.001395395172, 0.0001982390911)
#: (tanh(x)/x - 1)/x**2 in x**2, relative error of tanh 3e-9 below the split.
_TANH_SPLIT = 0.6
_TANH_SMALL = (-0.3333329618, 0.133318803, -0.05378039939, 0.02078514762, -0.005883233055)
#: erf(x)/x - 1 in x**2 below the split; log(erfc(x))/x above it; beyond the limit erf rounds to 1. Errors 2e-8, 4e-9.
_ERF_SPLIT, _ERF_LIMIT = 0.92, 4.0
_ERF_SMALL = (0.1283791495, -0.3761249396, 0.1128182299, -0.02676697632, 0.004993842056, -0.0005994792367)
_ERF_LARGE = (-1.128527637, -0.6356700298, -0.1053303198, 0.02293723464, -0.003230823385, 0.0002160555948)
#: erfc(x)*exp(x**2)*(1 + x) - 3/4 in 43/64 - 2/(1 + x), error 5e-9 up to the limit, beyond which erfc is 0.
#: Of the numbers c in c - 2/(1 + x), 43/64 leaves the smallest error of erfc over all numbers.
_ERFC_LIMIT = 10.2
_ERFC = (
    0.01770863153, -0.2918232701, -0.06267747623, 0.05465192981, 0.03261072762, -0.005694171195, -0.01579255229,
    -0.006943460147, 0.002583318318, 0.004869057575, 0.002495452754, 0.0003696712142, -0.0001332308372, -4.374504118e-5,
)  # fmt: skip
#: 32 zero bits, then the first bits of 2/pi.
_TWO_OVER_PI = (
    0x00000000,
    0xA2F9836E,
    0x4E441529,
    0xFC2757D1,
    0xF534DDC0,
    0xDB629599,
    0x3C439041,
    0xFE5163AB,
)
#: pi/2 in two parts.
_HALF_PI = (1.57079637050628662109375, -4.37113900018624283e-8)
#: (sin(r)/r - 1)/r**2 and (cos(r) - 1 + r**2/2)/r**4 in r**2 up to |r| = 0.8. Errors 5e-9, 2e-10.
_SIN_NEAR = (-0.1666665289, 0.008332057408, -0.0001950166614)
_COS_NEAR = (0.04166664246, -0.001388716604, 2.441651817e-5)
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

    def constant_of(self, number: float) -> _Value:
        """A number of the same type."""
        return self._new(self._of(number))

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

    def times_plus(self, factor: Any, summand: Any) -> _Value:
        """``self * factor + summand``, rounded once where the processor has such an instruction."""
        return self.intrinsic("fmuladd", factor, summand)

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


def _reduced(x: _Value, low: float, high: float) -> tuple[Any, _Value, _Value]:
    """Split a clamped x into ``k*ln(2) + r + rest`` with |r| <= ln(2)/2, r exact; k is an int32."""
    # written so that NaN becomes the limit: a NaN must not reach the conversion to an integer
    clamped = x.choose(x.compare(">", low), x, low)
    clamped = clamped.choose(clamped.compare("<", high), clamped, high)
    k = (clamped * (1 / math.log(2))).intrinsic("rint")
    return x.builder.fptosi(k.value, ir.IntType(32)), clamped - k * x.pick(_LN2_HIGH), k * -x.pick(_LN2_LOW)


def _polynomial(x: _Value, coefficients: tuple[float, ...]) -> _Value:
    """``coefficients[0] + coefficients[1]*x + ...`` in halves that do not wait for each other (Estrin's scheme).

    Where much else hangs on the result, a chain of multiply-adds keeps too few numbers in flight: a processor looks
    ahead some hundred operations.
    """
    terms: list[Any] = list(coefficients)
    power = x
    while len(terms) > 1:
        pairs = [terms[k : k + 2] for k in range(0, len(terms), 2)]
        terms = [power * pair[1] + pair[0] if len(pair) == 2 else pair[0] for pair in pairs]
        power = power * power
    return terms[0]


def _horner(x: _Value, coefficients: tuple[float, ...]) -> _Value:
    """The same with the fewest operations, one after the other."""
    total = x * coefficients[-1] + coefficients[-2]
    for coefficient in reversed(coefficients[:-2]):
        total = total * x + coefficient
    return total


def _exp_terms(r: _Value) -> _Value:
    """exp(r) - 1 - r for |r| <= 0.37."""
    return r * r * _polynomial(r, r.pick((_EXP_NEAR, _EXP_SERIES)))


def _exp_parts(x: _Value, more: _Value | None = None) -> tuple[Any, _Value, _Value]:
    """exp(x + more) as ``2**k * (main + rest)``; ``more`` is small."""
    k, r, rest = _reduced(x, x.pick(_EXP_LOW), x.pick(_EXP_HIGH))
    if more is not None:
        rest = rest + more
    main = r + 1
    # what 1 + r loses to rounding is known exactly, and joins the small terms
    return k, main, (r - (main - 1)) + (rest + _exp_terms(r + rest))


def _scaled(value: _Value, k: Any) -> _Value:
    """``value * 2**k`` by two factors: 2**k overflows or is subnormal where the result need not be."""
    half = value.builder.ashr(k, ir.Constant(ir.IntType(32), 1))
    return value * value.power_of_two(half) * value.power_of_two(value.builder.sub(k, half))


def _exp_raised(x: _Value, raised: Any) -> _Value:
    """exp(x) * 2**raised, where the power of two that belongs to x is a normal number once it is raised; NaN stays.

    Adding a large number rounds x/ln(2) to the whole number k, and leaves k and the bias of exponents in the last bits
    of the mantissa: shifted to the exponent they are 2**(k + raised).
    """
    mantissa, bias = x.pick(_MANTISSA), x.pick(_BIAS)
    large = raised + (1.5 * 2.0**mantissa + bias)
    shifted = x.times_plus(1 / math.log(2), large)
    k = shifted - large
    r, rest = x - k * x.pick(_LN2_HIGH), k * -x.pick(_LN2_LOW)
    main = r + 1
    # what 1 + r loses to rounding is known exactly, and joins the small terms
    value = main + ((r - (main - 1)) + (rest + _exp_terms(r + rest)))
    return value * x.from_bits(x.builder.shl(shifted.bits(), x.constant_bits(mantissa)))


def _exp(x: _Value) -> _Value:
    # 2**k overflows or is subnormal where the result need not be: half way down and up again, or the other way
    low, high, most = x.pick(_EXP_LOW), x.pick(_EXP_HIGH), x.pick(_RAISED)
    clamped = x.choose(x.compare("<", low), low, x)
    clamped = x.choose(clamped.compare(">", high), high, clamped)
    negative = x.compare("<", 0)
    raised = x.choose(negative, float(most), float(-most))
    return _exp_raised(clamped, raised) * x.choose(negative, 2.0**-most, 2.0**most)


def _exp_of_negative(x: _Value) -> _Value:
    """exp(x) for x <= 0 or NaN."""
    low, most = x.pick(_EXP_LOW), x.pick(_RAISED)
    return _exp_raised(x.choose(x.compare("<", low), low, x), x.constant_of(float(most))) * 2.0**-most


def _expm1(x: _Value) -> _Value:
    k, r, rest = _reduced(x, -60.0, x.pick(_EXP_HIGH))
    rest = rest + _exp_terms(r + rest)
    half = x.power_of_two(x.builder.sub(k, ir.Constant(ir.IntType(32), 1)))
    result = ((half * r + (half - 0.5)) + half * rest) * 2
    # where k is 0 the small difference must not pass through the sum
    zero = x.builder.icmp_signed("==", k, ir.Constant(ir.IntType(32), 0))
    result = x.choose(zero, r + rest, result)
    result = x.choose(x.compare("==", 0), x, result)
    return x.choose(x.is_nan(), x, result)


def _log_one_plus(f: _Value, terms: int) -> _Value:
    """log(1 + f) by 2*atanh(s) with s = f/(2 + f)."""
    s = f / (f + 2)
    square = s * s
    # 2*s = f - s*f: written so, the rounding of s counts only in small terms
    return f - s * (f - square * _horner(square, tuple(2 / (2 * n + 1) for n in range(1, terms + 1))))


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
    result = k * x.pick(_LN2_HIGH) + (_log_one_plus(f, x.pick(_ATANH_TERMS)) + k * x.pick(_LN2_LOW))
    result = x.choose(x.compare("==", 0), -math.inf, result)
    result = x.choose(x.compare("<", 0), math.nan, result)
    result = x.choose(x.compare("==", math.inf), x, result)
    return x.choose(x.is_nan(), x, result)


def _log1p_unit(e: _Value) -> _Value:
    """log(1 + e) for 0 <= e <= 1."""
    return _log_one_plus(e, e.pick(_ATANH_TERMS_WIDE))


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
    if x.kind:
        grown = _expm1(a + a)
        return (grown / (grown + 2)).intrinsic("copysign", x)
    square = a * a
    small = a + a * (square * _polynomial(square, _TANH_SMALL))
    large = 1 - 2 / (_exp_raised(a + a, a.constant_of(0.0)) + 1)
    return a.choose(a.compare("<", _TANH_SPLIT), small, large).intrinsic("copysign", x)


def _erf(x: _Value) -> _Value:
    if x.kind:
        return x.library("erf")
    a = _absolute(x)
    a = a.choose(a.compare(">", _ERF_LIMIT), _ERF_LIMIT, a)
    square = a * a
    small = a + a * _polynomial(square, _ERF_SMALL)
    large = 1 - _exp(a * _polynomial(a, _ERF_LARGE))
    return a.choose(a.compare("<", _ERF_SPLIT), small, large).intrinsic("copysign", x)


def _erfc(x: _Value) -> _Value:
    if x.kind:
        return x.library("erfc")
    a = _absolute(x)
    a = a.choose(a.compare(">", _ERFC_LIMIT), _ERFC_LIMIT, a)
    # a**2 = high**2 + (a - high)*(a + high), where high has so few digits that its square is exact
    high = x.from_bits(x.builder.and_(a.bits(), x.constant_bits(0xFFFFF000)))
    k, main, rest = _exp_parts(-(high * high), (high - a) * (high + a))
    # erfc(a)*exp(a**2) = t*(3/4 + f), with t = 1/(1 + a) and f a polynomial in 43/64 - 2*t, at most 1/4
    t, missing = _inverse_of_one_plus(a)
    f = _polynomial(43 / 64 - 2 * t - 2 * missing, _ERFC)
    main = main.times_plus(0.75, main.times_plus(f, rest * (f + 0.75)))
    tail = _scaled(main.times_plus(t, main * missing), k)
    result = x.choose(x.compare("<", 0), 2 - tail, tail)
    return x.choose(x.is_nan(), x, result)


def _inverse_of_one_plus(a: _Value) -> tuple[_Value, _Value]:
    """1/(1 + a) for a >= 0, and what that loses to the rounding of sum and quotient."""
    total = a + 1
    inverse = 1 / total
    above = a.compare(">", 1)
    lost = a.choose(above, 1.0, a) - (total - a.choose(above, a, 1.0))
    return inverse, inverse * ((-total).times_plus(inverse, 1.0) - lost * inverse)


def _sigmoid(x: _Value) -> _Value:
    e = _exp_of_negative(-_absolute(x))
    total = e + 1
    inverse = 1 / total
    # what the sum and the quotient lost, as a part of the result
    missing = (-total).times_plus(inverse, 1.0) - (e - (total - 1)) * inverse
    result = x.choose(x.compare(">", 0), 1.0, e) * inverse
    return result.times_plus(missing, result)


def _softplus(x: _Value) -> _Value:
    positive = x.choose(x.compare("<", 0), 0.0, x)
    return positive + _log1p_unit(_exp_of_negative(-_absolute(x)))


def _quarter_turns(x: _Value) -> tuple[Any, _Value, _Value]:
    """Split a float32 into ``q*pi/2 + r + rest`` with |r| <= pi/4; q is an int32 whose last two bits count.

    All of it is integer arithmetic on as many bits of 2/pi as the exponent asks for: no number is too large.
    """
    builder = x.builder
    word, wide = ir.IntType(32), ir.IntType(64)

    def number(value: int, kind: Any = word) -> Any:
        return ir.Constant(kind, value)

    exponent = builder.and_(builder.lshr(x.bits(), number(23)), number(0xFF))
    # x = m * 2**(exponent - 150): quarter turns times 2**94 are m times the 96 bits of 2/pi from `start` on
    start = builder.sub(exponent, number(120))
    place = builder.ashr(start, number(5))

    def chosen(first: int) -> Any:
        """The word of the table at ``place + first``."""
        found = number(_TWO_OVER_PI[first])
        for k in range(1, 5):
            beyond = builder.icmp_signed(">=", place, number(k))
            found = builder.select(beyond, number(_TWO_OVER_PI[k + first]), found)
        return found

    table = [chosen(k) for k in range(4)]
    kind = ir.FunctionType(word, [word] * 3)
    funnel = cgutils.get_or_insert_function(builder.module, kind, "llvm.fshl.i32")
    shift = builder.and_(start, number(31))

    def window(k: int) -> Any:
        return builder.zext(builder.call(funnel, [table[k], table[k + 1], shift]), wide)

    m = builder.zext(builder.or_(builder.and_(x.bits(), number(0x7FFFFF)), number(0x800000)), wide)
    turns = builder.lshr(builder.mul(m, window(2)), number(32, wide))
    turns = builder.add(turns, builder.mul(m, window(1)))
    turns = builder.add(turns, builder.shl(builder.mul(m, window(0)), number(32, wide)))
    # two bits of whole quarters, 62 of a fraction that is taken between -1/2 and 1/2, as sign and size
    q = builder.trunc(builder.lshr(builder.add(turns, number(1 << 61, wide)), number(62, wide)), word)
    fraction = builder.shl(turns, number(2, wide))
    size = builder.xor(fraction, builder.ashr(fraction, number(63, wide)))
    high = builder.trunc(builder.lshr(size, number(39, wide)), word)  # 24 bits: exact in a float
    low = builder.trunc(builder.and_(builder.lshr(size, number(8, wide)), number(0x7FFFFFFF, wide)), word)
    f = x._new(builder.sitofp(high, x.value.type)) * 2.0**-25
    more = x._new(builder.sitofp(low, x.value.type)) * 2.0**-56
    product = f * _HALF_PI[0]
    less = f.times_plus(_HALF_PI[0], -product) + (f * _HALF_PI[1] + more * _HALF_PI[0])
    r = product + less
    rest = less - (r - product)
    # turns of negative numbers are negative; small numbers are their own remainder
    sign = builder.ashr(x.bits(), number(31))
    q = builder.sub(builder.xor(q, sign), sign)
    other = builder.trunc(builder.lshr(fraction, number(32, wide)), word)
    turned = builder.and_(builder.xor(x.bits(), other), number(0x80000000))
    r, rest = (x.from_bits(builder.xor(part.bits(), turned)) for part in (r, rest))
    small = _absolute(x).compare("<", 0.5)
    return builder.select(small, number(0), q), x.choose(small, x, r), x.choose(small, 0.0, rest)


def _wave(x: _Value, quarter: int) -> _Value:
    """sin(x + quarter*pi/2) of a float32."""
    builder = x.builder
    q, r, rest = _quarter_turns(x)
    q = builder.add(q, ir.Constant(ir.IntType(32), quarter))
    square = r * r
    sine = r + (r * (square * _polynomial(square, _SIN_NEAR)) + rest)
    half = square * 0.5
    main = 1 - half
    cosine = main + (((1 - main) - half) + (square * (square * _polynomial(square, _COS_NEAR)) - r * rest))
    one = ir.Constant(ir.IntType(32), 1)
    odd = builder.icmp_signed("!=", builder.and_(q, one), ir.Constant(ir.IntType(32), 0))
    result = x.choose(odd, cosine, sine)
    sign = builder.shl(builder.and_(q, ir.Constant(ir.IntType(32), 2)), ir.Constant(ir.IntType(32), 30))
    result = x.from_bits(builder.xor(result.bits(), sign))
    return x.choose(_absolute(x).compare("<", math.inf), result, x - x)


def _sin(x: _Value) -> _Value:
    return x.library("sin") if x.kind else x.choose(x.compare("==", 0), x, _wave(x, 0))


def _cos(x: _Value) -> _Value:
    return x.library("cos") if x.kind else _wave(x, 1)


def _softsign(x: _Value) -> _Value:
    a = _absolute(x)
    # inf/inf at infinity
    return x.choose(a.compare("==", math.inf), _sign(x), x / (a + 1))


def _sech2(x: _Value) -> _Value:
    k, main, rest = _exp_parts(_absolute(x) * -2)
    e4 = _scaled(main + rest, x.builder.add(k, ir.Constant(ir.IntType(32), 2)))
    inverse, missing = _inverse_of_one_plus(e4 * 0.25)
    first = e4 * inverse
    # the rounding of the first product, and twice that of the inverse
    lost = e4.times_plus(inverse, -first) + e4 * missing * 2
    result = first.times_plus(inverse, lost * inverse)
    return x.choose(x.is_nan(), x, result)


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
    return _max(x, y) + _log1p_unit(_exp_of_negative(-distance))


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
    "sin": _defined(_sin, 1),
    "cos": _defined(_cos, 1),
    "erf": _defined(_erf, 1),
    "erfc": _defined(_erfc, 1),
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
