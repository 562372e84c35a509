const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const inPicture = (id) => byId(data.prefix + id);

// ---- views: the same graph with parts folded or unfolded, one of them shown

const views = page.views.map((data, number) => {
  const [place, table] = ["figure .view", "details.view"].map((kind) =>
    document.querySelector(`${kind}[data-view="${number}"]`));
  const picture = place.querySelector("svg");
  const stepped = [...picture.querySelectorAll(".step[class*=from-]")].map((group) => {
    const of = (word) => group.getAttribute("class").match(new RegExp(`(?:^| )${word}-(\\d+)`));
    const until = of("until");
    return { group, from: Number(of("from")[1]), until: until ? Number(until[1]) : Infinity };
  });
  return { data, place, table, picture, stepped };
});
let current = 0;
let { data, picture, stepped } = views[current];

// ---- steps

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
  byId("controls").hidden = data.frames < 2;
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
for (const view of views) {
  ({ data, picture, stepped } = view);
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
}
({ data, picture, stepped } = views[current]);

// ---- numbers

const slots = page.start.map(Number);
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
  const shown = (slot) => numberText(slots[slot], page.digits);
  data.wires.forEach((wire, k) => {
    const row = views[current].table.querySelector(`tr[data-wire="${k}"]`);
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
for (const view of views) {
  for (const id of Object.keys(view.data.rooms)) {
    const text = byId(view.data.prefix + id);
    if (text) marked(text);
  }
}
const fields = [...document.querySelectorAll("#inputs input")];
for (const field of fields) {
  field.addEventListener("input", () => {
    const wrong = field.value.trim() === "" || !field.checkValidity();
    field.setAttribute("aria-invalid", String(wrong));
    if (wrong) return; // the numbers stay those of the last number that was one
    slots[wireOf(field.dataset.wire).at] = Number(field.value);
    update();
    offer();
  });
}
if (byId("inputs")) {
  byId("inputs").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    page.start.forEach((number, slot) => { slots[slot] = Number(number); });
    for (const field of fields) {
      field.value = field.defaultValue;
      field.setAttribute("aria-invalid", "false");
    }
    update();
    offer();
  });
}

// ---- folding

const clusters = [...document.querySelectorAll("#folds button")];
const opened = (number) => new Set(page.states.unfolded[number]);
const same = (one, other) => one.size === other.size && [...one].every((k) => other.has(k));
const stateOf = (wanted) => page.states.unfolded.findIndex((k) => same(new Set(k), wanted));
// numbers of the other views are those of the beginning
const edited = () => fields.some((field) => field.value !== field.defaultValue);
function target(cluster) {
  const wanted = opened(current);
  const opens = !wanted.delete(cluster);
  if (opens) wanted.add(cluster);
  const found = stateOf(wanted);
  // where parts do not unfold together, one takes the place of another
  return found >= 0 ? found : stateOf(new Set(opens ? [cluster] : []));
}
function offer() {
  clusters.forEach((button, cluster) => {
    button.setAttribute("aria-expanded", String(opened(current).has(cluster)));
    button.setAttribute("aria-disabled", String(edited() || target(cluster) < 0));
  });
  const wait = clusters.length && edited() ? "Parts fold and unfold with the numbers of the beginning: reset the inputs first." : "";
  byId("note").textContent = wait || data.note;
}
function turn(number) {
  const atEnd = frame === data.frames - 1;
  const moved = number !== current;
  current = number;
  ({ data, picture, stepped } = views[current]);
  views.forEach(({ place, table }, k) => {
    place.hidden = k !== current;
    if (table) table.hidden = k !== current;
  });
  if (byId("inputs")) byId("inputs").hidden = current !== page.computing;
  if (moved && explained >= 0) {
    explained = -1; // another picture counts its wires otherwise
    byId("explanation").replaceChildren();
  }
  go(atEnd ? data.frames - 1 : frame);
  offer();
}
function fold(cluster) {
  const number = target(cluster);
  if (edited() || number < 0) return;
  turn(number);
  const pressed = document.activeElement === clusters[cluster] ? "" : clusters[cluster].textContent;
  if (pressed && number >= 0) clusters[cluster].focus(); // the block that had the focus is gone
}
clusters.forEach((button, cluster) => button.addEventListener("click", () => fold(cluster)));
views.forEach((view, number) => {
  for (const [id, cluster] of Object.entries(page.states.blocks[number])) {
    const block = byId(view.data.prefix + id);
    if (!block) continue;
    block.classList.add("folds");
    block.addEventListener("dblclick", () => fold(cluster));
    block.addEventListener("keydown", (event) => {
      if (event.key === "Enter") fold(cluster);
    });
  }
});

// ---- saving

if (byId("save")) {
  byId("save").addEventListener("click", () => {
    const copy = picture.cloneNode(true);
    copy.removeAttribute("style");
    for (const element of copy.querySelectorAll("[tabindex]")) element.removeAttribute("tabindex");
    for (const group of copy.querySelectorAll(".step")) if (group.style.display === "none") group.remove();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
    link.download = "circuit.svg";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000); // some browsers are still reading
  });
}
turn(0);
