"""Writes a picture as one HTML file that steps through its frames and, for scalar circuits, computes.

Nothing is loaded from anywhere. In a scalar circuit every input has a number field: forward values, gradients
and local gradients are printed to JavaScript from the formulas that graphc itself evaluates, so an edited
input changes every number in the page. Text of the user travels as data, never as script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from graphc.drawing.circuit import Circuit
from graphc.drawing.fonts import formula_text, number_text, text_width
from graphc.drawing.picture import circuit_scene
from graphc.drawing.scene import Group, Item, Scene, Text
from graphc.drawing.svg import svg_text
from graphc.drawing.written import Written
from graphc.errors import DerivativeError, DrawingError
from graphc.formula.expression import Expression, Number, Symbol, symbols
from graphc.gradients.local import elementwise, local_body, node_expression
from graphc.graph.node import Node, topological

__all__ = ["page_text", "to_javascript"]

_PREFIX = "c-"  # of every id in the picture, so that none meets an id of the page
_NUMBERED = frozenset(("above", "below", "local-gradient"))  # groups whose title says a number

# ---------------------------------------------------------------- expressions as JavaScript

#: How a function is written; ``{0}`` and ``{1}`` are operands. Conditions are 0 and 1, as in the formulas.
_JAVASCRIPT: Mapping[str, str] = {
    "or": "({0} !== 0 || {1} !== 0 ? 1 : 0)",
    "and": "({0} !== 0 && {1} !== 0 ? 1 : 0)",
    "not": "({0} !== 0 ? 0 : 1)",
    "less": "({0} < {1} ? 1 : 0)",
    "less_equal": "({0} <= {1} ? 1 : 0)",
    "greater": "({0} > {1} ? 1 : 0)",
    "greater_equal": "({0} >= {1} ? 1 : 0)",
    "equal": "({0} === {1} ? 1 : 0)",
    "not_equal": "({0} !== {1} ? 1 : 0)",
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "div": "({0} / {1})",
    "floordiv": "m.floordiv({0}, {1})",
    "neg": "(-{0})",
    "pow": "m.pow({0}, {1})",
    "exp": "Math.exp({0})",
    "log": "Math.log({0})",
    "log1p": "Math.log1p({0})",
    "expm1": "Math.expm1({0})",
    "sqrt": "Math.sqrt({0})",
    "sin": "Math.sin({0})",
    "cos": "Math.cos({0})",
    "tanh": "Math.tanh({0})",
    "sech2": "m.sech2({0})",
    "erf": "m.erf({0})",
    "erfc": "m.erfc({0})",
    "sigmoid": "m.sigmoid({0})",
    "softplus": "m.softplus({0})",
    "softsign": "m.softsign({0})",
    "logaddexp": "m.logaddexp({0}, {1})",
    "abs": "Math.abs({0})",
    "sign": "Math.sign({0})",
    "max": "m.max({0}, {1})",
    "min": "m.min({0}, {1})",
    "select": "({0} !== 0 ? {1} : {2})",
}


def to_javascript(expression: Expression, names: Mapping[str, str]) -> str:
    """Write an expression as JavaScript over doubles.

    Parameters
    ----------
    expression : Expression
        What to write.
    names : mapping
        JavaScript of each symbol.

    Raises
    ------
    DrawingError
        If the expression has a symbol without a name, or a random number.
    """
    if isinstance(expression, Number):
        return _literal(expression.value)
    if isinstance(expression, Symbol):
        if expression.name not in names:
            raise DrawingError(f"the symbol {expression.name!r} has no JavaScript name")
        return names[expression.name]
    written = _JAVASCRIPT.get(expression.function)
    if written is None:
        raise DrawingError(f"the function {expression.function} is not computed in a page")
    return written.format(*(to_javascript(operand, names) for operand in expression.operands))


def _literal(value: Fraction | float) -> str:
    number = float(value)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "(-Infinity)"
    text = repr(number).removesuffix(".0")
    return f"({text})" if text.startswith("-") else text  # "- -2" would read as a decrement


# ---------------------------------------------------------------- what the page computes


@dataclass(frozen=True, slots=True)
class _Program:
    """Straight-line code over slots, and which slot holds what the picture shows."""

    lines: tuple[str, ...]
    start: tuple[float, ...]  # of every slot: leaves are read, the others are computed
    value: Mapping[int, int]  # element -> slot
    gradient: Mapping[int, int]
    edge: Mapping[tuple[int, int], int]  # (element of the gate, operand position) -> slot
    local: Mapping[tuple[int, int], int]


def _program(run: Any, circuit: Circuit) -> _Program | str:
    """Code for every number in the picture, or the reason why the page cannot compute them."""
    back, drawn = run.back, circuit.nodes
    edges = [(k, p) for k, node in enumerate(drawn) for p in range(len(node.operands)) if (node, p) in back.edges]
    gradients = {k: back.grad(node) for k, node in enumerate(drawn) if back.has_grad(node)}
    roots = [back.root, *gradients.values(), *(back.edges[drawn[k], p] for k, p in edges)]
    order = topological(roots)
    if any(node.shape != () for node in order):
        return "The graph has arrays, so numbers cannot be edited in this page; steps and numbers are shown."
    if any(e.mark or any(p.mark for p in e.ports) for e in circuit.elements):
        return "The frames are the verdicts of a check at these numbers, so numbers cannot be edited in this page."
    slots = {node: number for number, node in enumerate(order)}
    lines: list[str] = []
    start: list[float] = []
    local: dict[tuple[int, int], int] = {}
    try:
        for node, slot in slots.items():
            if node.formula is None:
                given = run.given.get(node, node.value)
                if given is None:
                    raise DrawingError(f"no value for {node.label!r}")
                start.append(float(np.asarray(given).reshape(())))
                continue
            start.append(0.0)
            if not elementwise(node.formula):
                raise DrawingError(f"the gate {node.gate} is not elementwise")
            body = node.formula.statements[0].body
            lines.append(f"v[{slot}] = {to_javascript(body, _placeholders(node, slots))};")
        for k, position in edges:
            node = drawn[k]
            local[k, position] = len(start)
            slope = local_body(node.formula, position)
            lines.append(f"v[{len(start)}] = {to_javascript(slope, _placeholders(node, slots))};")
            start.append(0.0)
    except DrawingError as reason:
        return f"Numbers cannot be edited in this page: {reason}."
    return _Program(
        tuple(lines),
        tuple(start),
        {k: slots[node] for k, node in enumerate(drawn)},
        {k: slots[node] for k, node in gradients.items()},
        {(k, p): slots[back.edges[drawn[k], p]] for k, p in edges},
        local,
    )


def _placeholders(node: Node, slots: Mapping[Node, int]) -> dict[str, str]:
    """Placeholder of each read of a node's formula -> its slot."""
    formula = node.formula
    assert formula is not None
    by_name = dict(zip(formula.inputs, node.operands, strict=True))
    return {p: f"v[{slots[by_name[access.tensor]]}]" for p, access in formula.statements[0].reads}


# ---------------------------------------------------------------- the picture in the page


def _with_room(circuit: Circuit, digits: int) -> Circuit:
    """Give every number that an edit can change the room of a long one."""
    widest = "−0.0" + "0" * digits

    def wide(text: str) -> str:
        return max(text, widest, key=lambda t: text_width(t, 1.0)) if text else text

    elements = tuple(
        replace(
            e,
            value=wide(e.value),
            gradient=e.gradient if e.root else wide(e.gradient),
            # a local gradient that is a constant is written as its number
            ports=tuple(p if p.formula == p.number else replace(p, number=wide(p.number)) for p in e.ports),
        )
        for e in circuit.elements
    )
    return replace(circuit, elements=elements)


def _shown(circuit: Circuit) -> dict[str, str]:
    """Id in the picture -> the number printed there."""
    shown: dict[str, str] = {}
    for e in circuit.elements:
        shown[f"wire-{e.index}-value"] = e.value
        shown[f"wire-{e.index}-gradient"] = e.gradient
        for port in e.ports:
            shown[_local_id(e.index, port.operand, port.position)] = port.number
    return shown


def _local_id(gate: int, operand: int, position: int) -> str:
    return f"wire-{operand}-local-{gate}-{position}"


def _filled(
    items: Iterable[Item], shown: Mapping[str, str], rooms: dict[str, tuple[float, float, bool]]
) -> tuple[Item, ...]:
    """Put the numbers into their rooms; ``rooms`` collects left end, width and whether to centre."""
    items = tuple(items)
    # after "name =" a number starts where the words end
    centred = sum(isinstance(item, Text) for item in items) == 1 or not any(
        isinstance(item, Text) and item.id.endswith("-value") for item in items
    )
    made: list[Item] = []
    for item in items:
        if isinstance(item, Group):
            item = replace(item, items=_filled(item.items, shown, rooms))
        elif isinstance(item, Text) and item.id in shown:
            text = shown[item.id]
            length = text_width(text, item.size, item.bold)
            rooms[item.id] = (round(item.x, 2), round(item.length, 2), centred)
            item = replace(item, text=text, length=length, x=item.x + centred * (item.length - length) / 2)
        made.append(item)
    return tuple(made)


def _stepped(items: Iterable[Item]) -> tuple[Item, ...]:
    """Write the frames of a group into its classes, and drop titles whose numbers would grow stale."""
    made: list[Item] = []
    for item in items:
        if isinstance(item, Group):
            classes = item.classes
            if item.appears or item.vanishes is not None:
                until = "" if item.vanishes is None else f" until until-{item.vanishes}"
                classes = f"{classes} step from-{item.appears}{until}".strip()
            title = "" if item.classes in _NUMBERED else item.title
            item = replace(item, items=_stepped(item.items), classes=classes, title=title, appears=0, vanishes=None)
        made.append(item)
    return tuple(made)


def _groups(items: Iterable[Item]) -> Iterator[Group]:
    for item in items:
        if isinstance(item, Group):
            yield item
            yield from _groups(item.items)


def _captions(scene: Scene, circuit: Circuit | None) -> list[str]:
    """What each frame adds, in words."""
    captions = [""] * scene.frames
    if circuit is None:
        return captions
    names = _names(circuit)
    said: dict[int, str] = {0: "the inputs", scene.frames - 1: "every number"}
    for group in _groups(scene.items):
        if not group.id.startswith("gate-"):
            continue
        element = circuit.elements[int(group.id.removeprefix("gate-"))]
        lights = [inner.appears for inner in _groups(group.items) if inner.classes == "now"]
        for frame, way in zip(lights, ("forward", "backward"), strict=False):
            what = f"gives {names[element.index]}" if way == "forward" else "sends gradients to its inputs"
            said[frame] = f"{way}, gate {element.symbol} {what}"
    for frame in range(scene.frames):
        captions[frame] = said.get(frame, "backward, the gradient at the output")
    return captions


def _names(circuit: Circuit) -> list[str]:
    return [e.name or f"wire {e.index}" for e in circuit.elements]


# ---------------------------------------------------------------- data for the script

_MARK = "\x00"  # cannot be in a name, which is one printable line


def _parts(node: Node, index: Mapping[str, int]) -> list[str | int]:
    """The formula of a gate, split into plain text and elements, so that names and numbers can be put in."""
    try:
        expression = node_expression(node)
    except DerivativeError:
        return []
    if any(name not in index for name in symbols(expression)):
        return []
    text = formula_text(expression, {label: f"{_MARK}{k}{_MARK}" for label, k in index.items()})
    pieces = re.split(_MARK, text)
    return [int(piece) if k % 2 else piece for k, piece in enumerate(pieces) if piece]


def _wires(circuit: Circuit, run: Any, program: _Program | None, digits: int) -> list[dict[str, Any]]:
    index = {node.label: k for k, node in enumerate(circuit.nodes)}
    names = _names(circuit)
    found: list[dict[str, Any]] = []
    for e, node in zip(circuit.elements, circuit.nodes, strict=True):
        ports: list[dict[str, Any]] = []
        for p in e.ports:
            down = ""
            if run is not None and (node, p.position) in run.back.edges:
                sent = run.edge(node, p.position)
                down = number_text(float(sent.reshape(())), digits) if sent.size == 1 else ""
            port: dict[str, Any] = {
                "wire": p.operand, "position": p.position, "formula": p.formula, "local": p.number, "down": down,
            }  # fmt: skip
            if program is not None and (e.index, p.position) in program.edge:
                port["edge"] = program.edge[e.index, p.position]
                port["slope"] = program.local[e.index, p.position]
            ports.append(port)
        wire: dict[str, Any] = {
            "name": names[e.index],
            "symbol": e.symbol,
            "kind": e.kind,
            "formula": _parts(node, index) if e.symbol else [],
            "value": e.value,
            "gradient": e.gradient,
            "ports": ports,
        }
        if program is not None:
            wire["at"] = program.value[e.index]
            if e.index in program.gradient:
                wire["back"] = program.gradient[e.index]
        found.append(wire)
    return found


def _finite(values: Sequence[float]) -> list[float | str]:
    """Numbers for JSON, which has no infinities: those travel as text."""
    return [v if math.isfinite(v) else {"nan": "NaN", "inf": "Infinity"}.get(str(v), "-Infinity") for v in values]


def _json(data: Any) -> str:
    """JSON that cannot end the script element it stands in; every character beyond ASCII is escaped."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# ---------------------------------------------------------------- the page


def page_text(subject: Any, drawing: Any = None, *, digits: int = 4) -> str:
    """Write a picture as one HTML file without any reference to another file.

    Parameters
    ----------
    subject : Run, Backward, Node or a picture
        What is drawn. Numbers of a run over scalars can be edited in the page.
    drawing : Drawing, optional
        The picture of the subject, made with the same ``digits``; by default ``draw(subject, digits=digits)``.
    digits : int, default 4
        Significant digits of printed numbers.

    Returns
    -------
    str
        The same text for the same graph and numbers.

    Raises
    ------
    DrawingError
        If the subject cannot be drawn.
    """
    from graphc.drawing.drawing import Drawing, draw
    from graphc.gradients.backward import Backward
    from graphc.gradients.run import Run

    if isinstance(subject, Written):
        drawing = subject
    elif drawing is None:
        drawing = draw(subject, digits=digits)
    circuit = drawing.content if isinstance(drawing, Drawing) and isinstance(drawing.content, Circuit) else None
    run = subject if isinstance(subject, Run) else None
    program: _Program | None = None
    note = "Numbers cannot be edited in this page." if circuit is not None else ""
    if circuit is not None and run is not None:
        made = _program(run, circuit)
        program, note = (None, made) if isinstance(made, str) else (made, "")
    elif run is not None:
        note = "Numbers can be edited in the page of a scalar graph drawn with style='circuit'."
    elif circuit is not None and isinstance(subject, Node | Backward):
        note = "The picture has no numbers to edit: give the inputs values with graphc.backward(node).at(...)."
    rooms: dict[str, tuple[float, float, bool]] = {}
    if circuit is not None and program is not None:
        # the still picture is tight around its numbers; edited ones need room, so this one is laid out wider
        scene = circuit_scene(_with_room(circuit, digits), drawing.theme, drawing.asked_engine)[0]
        scene = replace(scene, items=_filled(scene.items, _shown(circuit), rooms))
    else:
        scene = drawing.scene
    wires = _wires(circuit, run, program, digits) if circuit is not None else []
    data = {
        "prefix": _PREFIX,
        "digits": digits,
        "frames": scene.frames,
        "captions": _captions(scene, circuit),
        "wires": wires,
        "rooms": rooms,
        "start": _finite(program.start) if program is not None else [],
    }
    if program is not None:
        description = f"{scene.title}. The numbers stand in the table below the picture and change with the inputs."
        scene = replace(scene, description=description)
    picture = svg_text(replace(scene, items=_stepped(scene.items), frames=1), prefix=_PREFIX)
    # inside HTML the namespace is known; what can be reached by keyboard must not be a flat image
    picture = re.sub(r' xmlns="[^"]*"', "", picture, count=1)
    picture = picture.replace('role="img"', f'role="group" style="min-width: {0.6 * scene.width:.0f}pt"', 1)
    assets = files("graphc.drawing") / "assets"
    lines = "\n".join(program.lines) if program is not None else ""
    behaviour = (assets / "page.js").read_text(encoding="utf-8")
    script = f'"use strict";\nfunction compute(v, m) {{\n{lines}\n}}\n{behaviour}'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = escape(_whole(scene.title))
    out = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{title}</title>",
        f"<style>\n{(assets / 'page.css').read_text(encoding='utf-8')}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{title}</h1>",
        *(_CONTROLS if scene.frames > 1 else ()),
        f"<figure>\n{picture}</figure>",
        *(_EXPLANATION if wires else ()),
        *(_fields(circuit, program) if circuit is not None and program is not None else ()),
        *([f'<p id="note">{escape(note)}</p>'] if note else ()),
        *(_table(wires) if wires else ()),
        "</main>",
        f'<script type="application/json" id="data">{_json(data)}</script>',
        f"<script>{script}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(out) + "\n"


def _whole(text: str) -> str:
    """Text without lone surrogates, which no encoding can carry."""
    return text.encode("utf-8", "replace").decode()


_CONTROLS = (
    '<div id="controls" role="toolbar" aria-label="Steps">',
    '<button type="button" id="first" aria-keyshortcuts="Home">First</button>',
    '<button type="button" id="previous" aria-keyshortcuts="ArrowLeft">Back</button>',
    '<button type="button" id="next" aria-keyshortcuts="ArrowRight Space">Forward</button>',
    '<button type="button" id="last" aria-keyshortcuts="End">Last</button>',
    '<button type="button" id="save">Save this view as SVG</button>',
    '<span id="step" role="status" aria-live="polite"></span>',
    "</div>",
)

_EXPLANATION = (
    '<section id="explanation" aria-live="polite" aria-label="Explanation">',
    "<p>Point at a gate or a wire, or move to it with the Tab key, to read its formula and its numbers.</p>",
    "</section>",
)


def _fields(circuit: Circuit, program: _Program) -> list[str]:
    out = ['<form id="inputs">', "<fieldset><legend>Inputs</legend>"]
    names = _names(circuit)
    for e, node in zip(circuit.elements, circuit.nodes, strict=True):
        if e.symbol or node.kind == "constant":
            continue
        value = program.start[program.value[e.index]]
        written = repr(value).removesuffix(".0") if math.isfinite(value) else ""
        step = "any" if node.is_float else "1"
        out.append(
            f'<label>{escape(_whole(names[e.index]))} <input type="number" step="{step}" value="{written}" '
            f'data-wire="{e.index}" autocomplete="off"></label>'
        )
    out += ['<button type="button" id="reset">Reset</button>', "</fieldset>", "</form>"]
    return out


def _table(wires: Sequence[Mapping[str, Any]]) -> list[str]:
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("wire", "gate", "value", "gradient"))
    out = ["<details><summary>All numbers</summary>", f"<table><thead><tr>{heads}</tr></thead><tbody>"]
    for k, wire in enumerate(wires):
        cells = "".join(f'<td class="{c}">{escape(_whole(str(wire[c])))}</td>' for c in ("symbol", "value", "gradient"))
        out.append(f'<tr data-wire="{k}"><th scope="row">{escape(_whole(str(wire["name"])))}</th>{cells}</tr>')
    return [*out, "</tbody></table></details>"]
