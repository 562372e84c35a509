// Scalar functions of the formulas that JavaScript lacks or rounds otherwise; none overflows or cancels.
const functions = {
  max: (a, b) => (a >= b || a !== a ? a : b),
  min: (a, b) => (a <= b || a !== a ? a : b),
  pow(a, b) {
    // unlike IEEE's pow, ** makes NaN of 1 to the power NaN and of a unit to an infinite power
    return a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b;
  },
  floordiv(a, b) {
    if (b === 0 || Math.abs(a) === Infinity) return a / b;
    const rest = a % b;
    let quotient = (a - rest) / b;
    if (rest !== 0 && b < 0 !== rest < 0) quotient -= 1;
    const whole = Math.floor(quotient);
    return quotient - whole > 0.5 ? whole + 1 : whole;
  },
  sigmoid(x) {
    const e = Math.exp(-Math.abs(x));
    return (x < 0 ? e : 1) / (1 + e);
  },
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  sech2(x) {
    const e = Math.exp(-2 * Math.abs(x));
    return (4 * e) / ((1 + e) * (1 + e));
  },
  softsign: (x) => (Math.abs(x) === Infinity ? Math.sign(x) : x / (1 + Math.abs(x))),
  logaddexp(a, b) {
    if (a === b) return a + Math.LN2;
    return functions.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
  },
  erf(x) {
    if (Math.abs(x) > 2) return x < 0 ? functions.erfc(-x) - 1 : 1 - functions.erfc(x);
    // Abramowitz and Stegun 7.1.6: every term has the sign of x, so nothing cancels
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n += 1) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  },
  erfc(x) {
    if (!(x > 1)) return x < -2 ? 2 - functions.erfc(-x) : 1 - functions.erf(x);
    // Abramowitz and Stegun 7.1.14, the continued fraction, from its tail
    let tail = x;
    for (let n = 200; n > 0; n -= 1) tail = x + n / 2 / tail;
    return Math.exp(-x * x) / (Math.sqrt(Math.PI) * tail);
  },
};

// Ties go to the even digit, as in Python; JavaScript rounds them up. A tie shows within 60 digits.
function fixed(x, places) {
  const exact = x.toFixed(Math.min(places + 60, 100));
  const cut = exact.length - (Math.min(places + 60, 100) - places);
  const kept = exact.slice(0, cut).replace(/\.$/, "");
  return /^50*$/.test(exact.slice(cut)) && /[02468]$/.test(kept) ? kept : x.toFixed(places);
}
function exponential(x, places) {
  const [mantissa, power] = x.toExponential(places + 60).split("e");
  const kept = mantissa.slice(0, places + 2).replace(/\.$/, "");
  const rest = mantissa.slice(places + 2);
  return /^50*$/.test(rest) && /[02468]$/.test(kept) ? `${kept}e${power}` : x.toExponential(places);
}
const trimmed = (text) => (text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
function numberText(x, digits) {
  if (x !== x) return "nan";
  const sign = x < 0 ? "−" : "";
  const size = Math.abs(x);
  if (size === Infinity) return `${sign}∞`;
  if (Number.isInteger(x) && size < 1e6) return `${sign}${size}`;
  const [mantissa, exponent] = exponential(size, digits - 1).split("e");
  const power = Number(exponent);
  if (power >= -4 && power < Math.max(6, digits)) return sign + trimmed(fixed(size, Math.max(digits - 1 - power, 0)));
  return `${sign}${trimmed(mantissa)}e${power < 0 ? "−" : ""}${Math.abs(power)}`;
}

