"""Writes a picture as one HTML file that steps through its frames, folds, and, for scalar circuits, computes.

Nothing is loaded from anywhere. In a scalar circuit every input has a number field: forward values, gradients
and local gradients are printed to JavaScript from the formulas that graphc itself evaluates, so an edited
input changes every number in the page. Parts fold and unfold by showing another picture that was laid out beforehand.
Text of the user travels as data, never as script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from graphc.drawing.circuit import Circuit
from graphc.drawing.javascript import Program
from graphc.drawing.page_view import PageView, element_names, page_view
from graphc.drawing.scene import Scene
from graphc.drawing.theme import THEMES
from graphc.drawing.views import Views, fold_views
from graphc.drawing.written import Written

__all__ = ["page_text"]


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

    if isinstance(subject, Written):
        drawing = subject
    elif drawing is None:
        drawing = draw(subject, digits=digits)
    states = fold_views(drawing) if isinstance(drawing, Drawing) else None
    pictures = [state.picture for state in states.states] if states is not None else [drawing]
    views = [page_view(subject, picture, digits=digits, prefix=_prefix(k)) for k, picture in enumerate(pictures)]
    computing = next((k for k, view in enumerate(views) if view.program is not None), None)
    program = None if computing is None else views[computing].program
    data = {
        "digits": digits,
        "computing": computing,
        "start": _finite(program.start) if program is not None else [],
        "views": [view.data for view in views],
        "states": _states(states),
    }
    scene = drawing.scene
    assets = files("graphc.drawing") / "assets"
    lines = "\n".join(program.lines) if program is not None else ""
    behaviour = "".join((assets / name).read_text(encoding="utf-8") for name in ("functions.js", "page.js"))
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
        *_toolbar(views, states),
        '<figure id="picture">',
        *(_view(k, "div", [view.picture]) for k, view in enumerate(views)),
        "</figure>",
        *(_EXPLANATION if any(view.data["wires"] for view in views) else ()),
        *(_fields(views[computing].circuit, program, hidden=computing > 0) if computing is not None else ()),
        f'<p id="note" role="status">{escape(views[0].data["note"])}</p>',
        *(_view(k, "details", _table(view.data["wires"])) for k, view in enumerate(views) if view.data["wires"]),
        "</main>",
        f'<script type="application/json" id="data">{_json(data)}</script>',
        f"<script>{script}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(out) + "\n"


def _prefix(number: int) -> str:
    """What goes before the ids of a view, so that none meets an id of the page or of another view."""
    return f"c{number or ''}-"


def _states(states: Views | None) -> dict[str, Any]:
    """Which clusters are unfolded in each view, and which block of its picture stands for which cluster."""
    if states is None:
        return {"unfolded": [[]], "blocks": [{}]}
    return {
        "unfolded": [sorted(state.unfolded) for state in states.states],
        "blocks": [state.blocks for state in states.states],
    }


def _view(number: int, element: str, parts: Sequence[str]) -> str:
    """An element that belongs to one view; a page shows the first until its script runs."""
    hidden = " hidden" if number else ""
    inside = "\n".join(parts)
    return f'<{element} class="view" data-view="{number}"{hidden}>\n{inside}</{element}>'


def _toolbar(views: Sequence[PageView], states: Views | None) -> list[str]:
    stepping = max(view.data["frames"] for view in views) > 1
    out: list[str] = ['<div id="tools">', *(_CONTROLS if stepping else ())]
    if states is not None and states.clusters:
        out.append('<div id="folds" role="group" aria-label="Parts that fold and unfold">')
        for k, label in enumerate(states.clusters):
            shown = str(k in states.states[0].unfolded).lower()
            out.append(
                f'<button type="button" data-cluster="{k}" aria-controls="picture" aria-expanded="{shown}">'
                f"{escape(_whole(label))}</button>"
            )
        out.append("</div>")
    return [*out, _SAVE, "</div>"]


def _finite(values: Sequence[float]) -> list[float | str]:
    """Numbers for JSON, which has no infinities: those travel as text."""
    return [v if math.isfinite(v) else {"nan": "NaN", "inf": "Infinity"}.get(str(v), "-Infinity") for v in values]


def _json(data: Any) -> str:
    """JSON that cannot end the script element it stands in; every character beyond ASCII is escaped."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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
    '<span id="step" role="status" aria-live="polite"></span>',
    "</div>",
)

_SAVE = '<button type="button" id="save">Save this view as SVG</button>'

_EXPLANATION = (
    '<section id="explanation" aria-live="polite" aria-label="Explanation">',
    "<p>Point at a gate or a wire, or move to it with the Tab key, to read its formula and its numbers.</p>",
    "</section>",
)


def _fields(circuit: Circuit | None, program: Program | None, *, hidden: bool) -> list[str]:
    assert circuit is not None
    assert program is not None
    out = [f'<form id="inputs"{" hidden" if hidden else ""}>', "<fieldset><legend>Inputs</legend>"]
    names = element_names(circuit)
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
    out = ["<summary>All numbers</summary>", f"<table><thead><tr>{heads}</tr></thead><tbody>"]
    for k, wire in enumerate(wires):
        cells = "".join(f'<td class="{c}">{escape(_whole(str(wire[c])))}</td>' for c in ("symbol", "value", "gradient"))
        out.append(f'<tr data-wire="{k}"><th scope="row">{escape(_whole(str(wire["name"])))}</th>{cells}</tr>')
    return [*out, "</tbody></table>"]
