"""The verbs ``draw`` and ``frames``, and the `Drawing` they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from graphc.drawing.cards import Cards, cards_scene, read_cards
from graphc.drawing.circuit import Circuit, read_circuit
from graphc.drawing.layout import Placement
from graphc.drawing.picture import circuit_scene
from graphc.drawing.scene import Scene
from graphc.drawing.styles import checked_options, style_function
from graphc.drawing.svg import svg_text
from graphc.drawing.theme import Theme, theme_named
from graphc.drawing.written import FORMATS, Written, checked_path, write_picture
from graphc.errors import DrawingError
from graphc.graph.node import Node, topological

__all__ = ["FORMATS", "Drawing", "cards_drawing", "circuit_drawing", "draw", "frames"]

_DRAW_OPTIONS = ("theme", "direction", "digits", "engine")  # of every style


@dataclass(frozen=True, eq=False)
class Drawing(Written):
    """A picture, laid out once and written in any format.

    Attributes
    ----------
    scene : Scene
        Outlines and texts in points.
    content : Circuit or Cards
        What the picture says.
    engine : str
        The layout engine that placed it: ``"layered"``, ``"pygraphviz"`` or ``"dot"``.
    """

    content: Circuit | Cards
    theme: Theme
    direction: str = "LR"
    asked_engine: str | None = None
    subject: Any = None
    digits: int = 4

    @cached_property
    def _laid_out(self) -> tuple[Scene, Placement]:
        if isinstance(self.content, Circuit):
            return circuit_scene(self.content, self.theme, self.asked_engine)
        return cards_scene(self.content, self.theme, self.direction, self.asked_engine)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._laid_out[0]

    @property
    def engine(self) -> str:
        """Name of the layout engine that served."""
        return self._laid_out[1].engine

    def html(self) -> str:
        """Return one HTML file that steps through the frames; numbers of a run over scalars can be edited."""
        from graphc.drawing.page import page_text

        return page_text(self if self.subject is None else self.subject, self, digits=self.digits)

    def dot(self) -> str:
        """Return DOT text for Graphviz."""
        from graphc.drawing.dot import cards_dot, circuit_dot

        if isinstance(self.content, Circuit):
            return circuit_dot(self.content, self.theme)
        return cards_dot(self.content, self.theme)

    def text(self) -> str:
        """Return the picture as indented text."""
        from graphc.drawing.text import cards_text, circuit_text

        return circuit_text(self.content) if isinstance(self.content, Circuit) else cards_text(self.content)

    def writers(self) -> Mapping[str, Callable[[], str | bytes]]:
        """What writes each of `FORMATS`."""
        return {**super().writers(), ".dot": self.dot}


def draw(
    subject: Any,
    path: Any = None,
    *,
    style: str | None = None,
    theme: str | Theme = "default",
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    **options: Any,
) -> Any:
    """Draw a graph: value above each wire, gradient below, local gradient at each gate input.

    Parameters
    ----------
    subject : Run, Backward or Node
        A run gives numbers, a `Backward` closed forms, a node the structure alone.
    path : str or path, optional
        Where to write it; the suffix decides (.svg .pdf .tex .tikz .png .dot .txt .html).
        Without it nothing is written.
    style : str, optional
        ``"circuit"``, ``"cards"`` (one box a layer), or another of `graphc.drawing.styles.STYLES`. By default
        cards for graphs with parameters or with arrays of rank 2 and more.
    theme : str or Theme, default ``"default"``
        ``"default"`` (dark blue values, dark orange gradients), ``"classic"`` (green, red), ``"print"`` (greys)
        or ``"dark"`` (light on dark paper).
    direction : str, default ``"LR"``
        ``"LR"`` (left to right) or ``"TB"`` (top to bottom).
    digits : int, default 4
        Significant digits of printed numbers.
    engine : str, optional
        Layout engine ``"layered"`` (the default), ``"pygraphviz"`` or ``"dot"``.
    **options
        What the style has beside these; see its function.

    Returns
    -------
    Drawing or another picture
        Has ``save``, ``svg``, ``pdf``, ``png``, ``tex``, ``tikz``, ``html`` and ``text``.

    Raises
    ------
    DrawingError
        If the subject, an option or the suffix is unknown, or the file cannot be written.
    """
    if path is not None:
        checked_path(path, tuple(FORMATS))  # before any work
    root, back, run = _parts(subject)
    options = {name: value for name, value in options.items() if value is not None}
    chosen = style or ("circuit" if "marks" in options else _natural_style(root))
    make = style_function(chosen)
    checked_options(chosen, options, _DRAW_OPTIONS)
    colours = theme_named(theme)
    if not isinstance(digits, int) or not 1 <= digits <= 15:
        raise DrawingError(f"digits is the number of significant digits, 1 to 15, found {digits!r}")
    if direction not in ("LR", "TB"):
        raise DrawingError(f"unknown direction {direction!r}; known: 'LR' (left to right), 'TB' (top to bottom)")
    picture = make(root, back, run, theme=colours, direction=direction, digits=digits, engine=engine, **options)
    if path is not None:
        picture.save(path)
    return picture


def circuit_drawing(
    root: Node,
    back: Any,
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
    marks: Mapping[Any, Any] | None = None,
) -> Drawing:
    """Draw the lecture circuit; see `draw`.

    Parameters
    ----------
    marks : mapping, optional
        Verdicts of a check: node, its name, or a pair (operand, gate), to verdict; drawn as frames.
    """
    if direction != "LR":
        raise DrawingError(
            "a circuit runs from left to right, since its wires carry the value above and the "
            "gradient below; direction='TB' is for style='cards'"
        )
    content = read_circuit(root, back, run, digits=digits, marks=marks)
    return Drawing(content, theme, direction, engine, run or back or root, digits)


def cards_drawing(
    root: Node,
    back: Any,
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,
) -> Drawing:
    """Draw a network as cards, one a layer; see `draw`."""
    return Drawing(read_cards(root, run, digits=digits), theme, direction, engine, run or back or root, digits)


def frames(subject: Any, path: Any, *, style: str = "circuit", **options: Any) -> list[FilePath]:
    """Draw the forward and then the backward pass, one gate a frame, all on the same page box.

    Parameters
    ----------
    subject : Run
        The evaluated graph; a `Backward` or a node works too and shows less.
    path : str or path
        ``steps.pdf`` gives one file with a page a frame, ``steps.gif`` an animation, ``steps.tex``
        (or .tikz) a TikZ figure with beamer overlays; ``steps.svg`` and ``steps.png`` give
        ``steps-01.svg``, ``steps-02.svg``, ...
    style : str, default ``"circuit"``
        Any style whose picture has steps.
    **options
        As in `draw`.

    Returns
    -------
    list of pathlib.Path
        The files written.

    Raises
    ------
    DrawingError
        If the suffix is none of these, the picture has no steps, a package that it needs is not installed,
        or a file cannot be written.
    """
    target = checked_path(path, (".pdf", ".gif", ".tex", ".tikz", ".svg", ".png"))
    scene, kind = draw(subject, style=style, **options).scene, target.suffix.lower()
    if scene.frames < 2:
        raise DrawingError(f"a picture with style={style!r} has no steps here; graphc.draw writes it as one picture")
    if kind == ".pdf":
        from graphc.drawing.pdf import pdf_bytes

        write_picture(target, pdf_bytes(scene, range(scene.frames)))
        return [target]
    if kind == ".gif":
        from graphc.drawing.gif import gif_bytes

        write_picture(target, gif_bytes(scene))
        return [target]
    if kind in (".tex", ".tikz"):
        from graphc.drawing.tikz import tikz_frames

        write_picture(target, tikz_frames(scene).encode("utf-8", "replace"))
        return [target]
    places = max(2, len(str(scene.frames)))
    written: list[FilePath] = []
    for frame in range(scene.frames):
        if kind == ".svg":
            data = svg_text(scene, frame).encode("utf-8", "replace")
        else:
            from graphc.drawing.png import png_bytes

            data = png_bytes(scene, frame)
        file = target.with_name(f"{target.stem}-{frame + 1:0{places}d}{target.suffix}")
        write_picture(file, data)
        written.append(file)
    return written


# ---------------------------------------------------------------- reading what was asked


def _parts(subject: Any) -> tuple[Node, Any, Any]:
    """Root, Backward or None, Run or None."""
    from graphc.gradients.backward import Backward
    from graphc.gradients.run import Run

    if isinstance(subject, Node):
        return subject, None, None
    if isinstance(subject, Backward):
        return subject.root, subject, None
    if isinstance(subject, Run):
        return subject.back.root, subject.back, subject
    raise DrawingError(
        f"draw needs a node, graphc.backward(node) or a run (graphc.backward(node).at(...)), "
        f"found {type(subject).__name__}"
    )


def _natural_style(root: Node) -> str:
    arrays = any(node.kind == "parameter" or len(node.shape) >= 2 for node in topological([root]))
    return "cards" if arrays else "circuit"
