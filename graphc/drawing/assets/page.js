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

const data = JSON.parse(document.getElementById("data").textContent);
const picture = document.querySelector("figure svg");
const byId = (id) => document.getElementById(id);
const inPicture = (id) => byId(data.prefix + id);

// ---- steps

const stepped = [...picture.querySelectorAll(".step")].map((group) => {
  const of = (word) => group.getAttribute("class").match(new RegExp(`(?:^| )${word}-(\\d+)`));
  const until = of("until");
  return { group, from: Number(of("from")[1]), until: until ? Number(until[1]) : Infinity };
});
let frame = data.frames - 1;
function show() {
  for (const { group, from, until } of stepped) {
    group.style.display = frame >= from && frame < until ? "inline" : "none";
  }
}
function go(to) {
  frame = Math.min(Math.max(to, 0), data.frames - 1);
  show();
  if (!byId("step")) return;
  const caption = data.captions[frame];
  byId("step").textContent = `Step ${frame + 1} of ${data.frames}${caption ? `: ${caption}` : ""}`;
  for (const [id, end] of [["first", 0], ["previous", 0], ["next", data.frames - 1], ["last", data.frames - 1]]) {
    byId(id).setAttribute("aria-disabled", String(frame === end));
  }
  explain(explained);
}
const moves = {
  Home: () => go(0),
  End: () => go(data.frames - 1),
  ArrowLeft: () => go(frame - 1),
  ArrowRight: () => go(frame + 1),
  " ": () => go(frame === data.frames - 1 ? 0 : frame + 1),
};
document.addEventListener("keydown", (event) => {
  const taken = event.target.closest && event.target.closest("input, summary");
  const pressed = event.key === " " && event.target.closest && event.target.closest("button");
  if (taken || pressed || event.ctrlKey || event.altKey || event.metaKey || !(event.key in moves)) return;
  if (data.frames < 2) return;
  moves[event.key]();
  event.preventDefault();
});
for (const [id, key] of [["first", "Home"], ["previous", "ArrowLeft"], ["next", "ArrowRight"], ["last", "End"]]) {
  if (byId(id)) byId(id).addEventListener("click", moves[key]);
}

// ---- explanations

let explained = -1;
const isShown = (id) => {
  const text = inPicture(id);
  const group = text && text.closest(".step");
  return !group || group.style.display !== "none";
};
const wireOf = (k) => data.wires[k];
const LATER = "shown in a later step";
const valueOf = (k) => (isShown(`wire-${k}-value`) ? wireOf(k).value : LATER);
const gradientOf = (k) => (isShown(`wire-${k}-gradient`) ? wireOf(k).gradient : LATER);
const isShape = (text) => text.startsWith("(");
const bracketed = (text) => (/^−/.test(text) ? `(${text})` : text);
function lines(k) {
  const wire = wireOf(k);
  const said = [];
  const filled = (of) => wire.formula.map((part) => (typeof part === "number" ? of(part) : part)).join("");
  if (!wire.symbol) {
    const joint = isShape(wire.value) ? ", shape " : " = ";
    said.push(`${wire.kind} ${wire.name}${wire.value ? joint + wire.value : ""}`);
  } else {
    said.push(`gate ${wire.symbol}${wire.formula.length ? `: ${wire.name} = ${filled((n) => wireOf(n).name)}` : ""}`);
    const operands = wire.formula.filter((part) => typeof part === "number").map(valueOf);
    if (isShape(wire.value)) {
      said.push(`shape ${wire.value}`);
    } else if (wire.value) {
      const numeric = wire.formula.length && valueOf(k) !== LATER && !operands.some((v) => isShape(v) || !v);
      said.push(`value ${numeric ? `${filled((n) => bracketed(valueOf(n)))} = ` : ""}${valueOf(k)}`);
    }
  }
  const sent = [];
  for (const reader of data.wires) {
    for (const port of reader.ports) if (port.wire === k && port.down) sent.push(bracketed(port.down));
  }
  if (wire.gradient) {
    const sum = sent.length > 1 && gradientOf(k) !== LATER ? `${sent.join(" + ")} = ` : "";
    said.push(`gradient ${sum}${gradientOf(k)}`);
  }
  for (const port of wire.ports) {
    if (!port.local && !port.formula) continue;
    const shown = isShown(`wire-${port.wire}-local-${k}-${port.position}`);
    const formula = port.formula && port.formula !== port.local ? `${port.formula} = ` : "";
    const numbers = port.local && port.down && shown;
    const worked = numbers
      ? `: local ${formula}${port.local} × upstream ${wire.gradient} = downstream ${port.down}`
      : `: local ${port.formula || LATER}`;
    said.push(`to ${wireOf(port.wire).name}${worked}`);
  }
  return said;
}
function explain(k) {
  const place = byId("explanation");
  if (!place || k < 0) return;
  explained = k;
  place.replaceChildren(...lines(k).map((text, number) => {
    const line = document.createElement("p");
    line.textContent = text;
    if (number === 0) line.className = "name";
    return line;
  }));
}
function named(k) {
  for (const id of [`gate-${k}`, `wire-${k}`]) {
    const group = inPicture(id);
    if (group) group.setAttribute("aria-label", id[0] === "g" || !wireOf(k).symbol ? lines(k)[0] : `wire ${wireOf(k).name}`);
  }
}
data.wires.forEach((wire, k) => {
  const group = inPicture(wire.symbol ? `gate-${k}` : `wire-${k}`);
  if (!group) return;
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "img");
  named(k);
  const places = [inPicture(`gate-${k}`), inPicture(`wire-${k}`)];
  for (const port of wire.ports) places.push(inPicture(`wire-${port.wire}-local-${k}-${port.position}-tag`));
  for (const place of places) if (place) place.addEventListener("pointerenter", () => explain(k));
  group.addEventListener("focus", () => explain(k));
});

// ---- numbers

const slots = data.start.map(Number);
// a number that is none is underlined, in the page and in a saved view
function marked(element) {
  if (/nan|∞/.test(element.textContent)) element.setAttribute("text-decoration", "underline");
  else element.removeAttribute("text-decoration");
}
function write(id, text) {
  const element = inPicture(id);
  const room = data.rooms[id];
  if (!element || !room) return;
  const [left, width, centred] = room;
  element.textContent = text;
  marked(element);
  element.removeAttribute("textLength");
  const length = element.getComputedTextLength();
  if (length > width) element.setAttribute("textLength", String(width));
  element.setAttribute("x", String(left + (centred ? Math.max(width - length, 0) / 2 : 0)));
}
function update() {
  compute(slots, functions);
  for (const { group } of stepped) group.style.display = "inline"; // some browsers measure only what is displayed
  const shown = (slot) => numberText(slots[slot], data.digits);
  data.wires.forEach((wire, k) => {
    const row = document.querySelector(`tr[data-wire="${k}"]`);
    for (const [what, slot] of [["value", wire.at], ["gradient", wire.back]]) {
      if (slot === undefined || wire[what] === "") continue; // what is hidden stays so
      wire[what] = shown(slot);
      const cell = row.querySelector(`.${what}`);
      cell.textContent = wire[what];
      cell.dataset.exact = String(slots[slot]);
      write(`wire-${k}-${what}`, wire[what]);
    }
    for (const port of wire.ports) {
      if (port.edge === undefined) continue;
      const constant = port.formula === port.local;
      if (port.local !== "") port.local = shown(port.slope);
      if (constant) port.formula = port.local;
      port.down = shown(port.edge);
      write(`wire-${port.wire}-local-${k}-${port.position}`, port.local);
      write(`wire-${port.wire}-work-${k}-${port.position}-upstream`, shown(wire.back));
      write(`wire-${port.wire}-work-${k}-${port.position}-downstream`, port.down);
    }
  });
  data.wires.forEach((wire, k) => {
    wire.shares.forEach(([gate, position], place) => {
      const term = wireOf(gate).ports.find((port) => port.position === position).down;
      const signed = term.startsWith("−") ? `− ${term.slice(1)}` : `+ ${term}`;
      write(`wire-${k}-share-${gate}-${position}`, place === 0 ? term : signed);
    });
  });
  show();
  data.wires.forEach((wire, k) => named(k));
  explain(explained);
}
Object.keys(data.rooms).map(inPicture).filter(Boolean).forEach(marked);
const fields = [...document.querySelectorAll("#inputs input")];
for (const field of fields) {
  field.addEventListener("input", () => {
    const wrong = field.value.trim() === "" || !field.checkValidity();
    field.setAttribute("aria-invalid", String(wrong));
    if (wrong) return; // the numbers stay those of the last number that was one
    slots[wireOf(field.dataset.wire).at] = Number(field.value);
    update();
  });
}
if (byId("inputs")) {
  byId("inputs").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    data.start.forEach((number, slot) => { slots[slot] = Number(number); });
    for (const field of fields) {
      field.value = field.defaultValue;
      field.setAttribute("aria-invalid", "false");
    }
    update();
  });
}

// ---- saving

if (byId("save")) {
  byId("save").addEventListener("click", () => {
    const copy = picture.cloneNode(true);
    copy.removeAttribute("style");
    for (const group of copy.querySelectorAll(".step")) if (group.style.display === "none") group.remove();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
    link.download = "circuit.svg";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000); // some browsers are still reading
  });
}
go(frame);
