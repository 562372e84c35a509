"""One view of a page: a picture whose numbers have room to change, and the data by which a script works it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphc.drawing.circuit import Circuit, Port, share_texts
from graphc.drawing.drawing import Drawing
from graphc.drawing.fonts import formula_text, number_text, text_width
from graphc.drawing.javascript import Program, program_of
from graphc.drawing.scene import Group, Item, Scene, Text
from graphc.drawing.svg import svg_text
from graphc.drawing.written import Written
from graphc.errors import DerivativeError
from graphc.formula.expression import symbols
from graphc.gradients.local import node_expression
from graphc.graph.node import Node

__all__ = ["PageView", "element_names", "page_view"]

_NUMBERED = frozenset(("above", "below", "local-gradient"))  # groups whose title says a number


@dataclass(frozen=True, eq=False)
class PageView:
    """A picture in a page.

    Attributes
    ----------
    picture : str
        The SVG element.
    data : dict
        For the script, as JSON.
    circuit : Circuit or None
    program : Program or None
        What computes every number, where they can be edited.
    """

    picture: str
    data: dict[str, Any]
    circuit: Circuit | None
    program: Program | None


def page_view(subject: Any, drawing: Written, *, digits: int, prefix: str) -> PageView:
    """Prepare a picture for a page.

    Parameters
    ----------
    subject : Run, Backward, Node or picture
        What is drawn.
    prefix : str
        Goes before every id, so that views of one page share none.
    """
    from graphc.gradients.backward import Backward
    from graphc.gradients.run import Run

    circuit = drawing.content if isinstance(drawing, Drawing) and isinstance(drawing.content, Circuit) else None
    run = subject if isinstance(subject, Run) else None
    program: Program | None = None
    note = "Numbers cannot be edited in this page." if circuit is not None else ""
    if circuit is not None and not circuit.nodes:
        run, note = None, "Gates are folded in this picture, so its numbers cannot be edited."
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
    if isinstance(drawing, Drawing) and circuit is not None and program is not None:
        # the still picture is tight around its numbers; edited ones need room, so this one is laid out wider
        scene = drawing.circuit_scene(circuit, lambda part: _with_room(part, digits))[0]
        scene = replace(scene, items=_filled(scene.items, _shown(circuit), rooms))
    else:
        scene = drawing.scene
    data = {
        "prefix": prefix,
        "frames": scene.frames,
        "captions": _captions(scene, circuit),
        "wires": _wires(circuit, run, program, digits) if circuit is not None else [],
        "rooms": rooms,
        "note": note,
    }
    if program is not None:
        description = f"{scene.title}. The numbers stand in the table below the picture and change with the inputs."
        scene = replace(scene, description=description)
    picture = svg_text(replace(scene, items=_stepped(scene.items), frames=1), prefix=prefix)
    # inside HTML the namespace is known; what can be reached by keyboard must not be a flat image
    picture = re.sub(r' xmlns="[^"]*"', "", picture, count=1)
    picture = picture.replace('role="img"', f'role="group" style="min-width: {0.6 * scene.width:.0f}pt"', 1)
    return PageView(picture, data, circuit, program)


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
    names = element_names(circuit)
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


def element_names(circuit: Circuit) -> list[str]:
    """Name of each element, as a page says it."""
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
    names = element_names(circuit)
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
