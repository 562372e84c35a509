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
from dataclasses import replace
from html import escape
from importlib.resources import files
from typing import Any

from graphc.drawing.circuit import Circuit, Port, share_texts
from graphc.drawing.fonts import formula_text, number_text, text_width
from graphc.drawing.javascript import Program, program_of
from graphc.drawing.scene import Group, Item, Scene, Text
from graphc.drawing.svg import svg_text
from graphc.drawing.theme import THEMES
from graphc.drawing.written import Written
from graphc.errors import DerivativeError
from graphc.formula.expression import symbols
from graphc.gradients.local import node_expression
from graphc.graph.node import Node

__all__ = ["page_text"]

_PREFIX = "c-"  # of every id in the picture, so that none meets an id of the page
_NUMBERED = frozenset(("above", "below", "local-gradient"))  # groups whose title says a number

# ---------------------------------------------------------------- the picture in the page


def _with_room(circuit: Circuit, digits: int) -> Circuit:
    """Give every number that an edit can change the room of a long one."""
    widest = "−0.0" + "0" * digits

    def wide(text: str) -> str:
        return max(text, widest, key=lambda t: text_width(t, 1.0)) if text else text

    def wide_port(port: Port) -> Port:
        # a local gradient that is a constant is written as its number
        number = port.number if port.formula == port.number else wide(port.number)
        return replace(port, number=number, upstream=wide(port.upstream), sent=wide(port.sent))

    elements = tuple(
        replace(
            e,
            value=wide(e.value),
            gradient=e.gradient if e.root else wide(e.gradient),
            ports=tuple(wide_port(p) for p in e.ports),
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
            line = f"wire-{port.operand}-work-{e.index}-{port.position}"
            shown |= {f"{line}-upstream": port.upstream, f"{line}-downstream": port.sent}
        for (gate, position), term in zip(e.shares, share_texts(circuit, e), strict=False):
            shown[f"wire-{e.index}-share-{gate}-{position}"] = term
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


def _wires(circuit: Circuit, run: Any, program: Program | None, digits: int) -> list[dict[str, Any]]:
    index = {node.label: k for k, node in enumerate(circuit.nodes)}
    names = _names(circuit)
    found: list[dict[str, Any]] = []
    for e, node in zip(circuit.elements, circuit.nodes or (None,) * len(circuit.elements), strict=True):
        ports: list[dict[str, Any]] = []
        for p in e.ports:
            down = ""
            if run is not None and node is not None and (node, p.position) in run.back.edges:
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
            "formula": _parts(node, index) if e.symbol and node is not None else [],
            "value": e.value,
            "gradient": e.gradient,
            "shares": e.shares,
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
    program: Program | None = None
    note = "Numbers cannot be edited in this page." if circuit is not None else ""
    if circuit is not None and not circuit.nodes:
        run, note = None, "Gates are folded in this picture, so numbers cannot be edited in this page."
    elif circuit is not None and any(e.gradient.startswith("∂") for e in circuit.elements) and run is not None:
        note = "The picture shows formulas, so numbers cannot be edited in this page."
    elif circuit is not None and run is not None:
        made = program_of(run, circuit)
        program, note = (None, made) if isinstance(made, str) else (made, "")
    elif run is not None:
        note = "Numbers can be edited in the page of a scalar graph drawn with style='circuit'."
    elif circuit is not None and isinstance(subject, Node | Backward):
        note = "The picture has no numbers to edit: give the inputs values with graphc.backward(node).at(...)."
    rooms: dict[str, tuple[float, float, bool]] = {}
    if circuit is not None and program is not None:
        # the still picture is tight around its numbers; edited ones need room, so this one is laid out wider
        scene = drawing.circuit_scene(circuit, lambda part: _with_room(part, digits))[0]
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
        f"<style>\n{_colours(drawing, scene)}{(assets / 'page.css').read_text(encoding='utf-8')}</style>",
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


def _colours(drawing: Any, scene: Scene) -> str:
    """Colours of the page around the picture, which are those of the picture."""
    by_paper = {theme.paper: theme for theme in reversed(list(THEMES.values()))}
    theme = getattr(drawing, "theme", None) or by_paper.get(scene.paper, THEMES["default"])
    named = {
        "paper": scene.paper, "ink": theme.ink, "quiet": theme.quiet, "frame": theme.frame, "fill": theme.local_fill,
        "value": theme.value, "wrong": theme.wrong,
    }  # fmt: skip
    return f":root {{ {' '.join(f'--{name}: #{code};' for name, code in named.items())} }}\n"


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


def _fields(circuit: Circuit, program: Program) -> list[str]:
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
