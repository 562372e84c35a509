"""The verbs ``draw`` and ``frames``, and the `Drawing` they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path as FilePath
from typing import Any

from graphc.drawing.cards import Cards, cards_scene
from graphc.drawing.circuit import Circuit, read_circuit
from graphc.drawing.exam import Choice, read_choice
from graphc.drawing.folded import folded_circuit
from graphc.drawing.layout import Placement
from graphc.drawing.paper import Resized, checked_font_size, page_size, resized
from graphc.drawing.picture import circuit_scene
from graphc.drawing.scene import Scene
from graphc.drawing.styles import checked_options, style_function, style_options
from graphc.drawing.svg import svg_text
from graphc.drawing.theme import Theme, theme_named
from graphc.drawing.written import FORMATS, Written, checked_path, write_picture
from graphc.errors import DrawingError
from graphc.graph.node import Node, topological

__all__ = ["FORMATS", "Drawing", "circuit_drawing", "draw", "frames"]

_DRAW_OPTIONS = ("theme", "direction", "digits", "engine", "page", "font_size")  # of every style
_FONT_SIZES: Mapping[type, float] = {Circuit: 12.5, Cards: 10.5}  # of the numbers


@dataclass(frozen=True, eq=False, repr=False)
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
    again : functools.partial, optional
        `draw` with all that was asked for: called with other options it draws the subject in another way.
    """

    content: Circuit | Cards
    theme: Theme
    direction: str = "LR"
    asked_engine: str | None = None
    subject: Any = None
    digits: int = 4
    choice: Choice | None = None
    page: tuple[float, float] | None = None
    font_size: float | None = None
    again: partial[Any] | None = None

    @cached_property
    def _laid_out(self) -> tuple[Scene, Placement]:
        scene, placement = self._natural
        if self.page is not None or self.font_size is not None:
            scene = resized(scene, self.page, self.font_size, _FONT_SIZES[type(self.content)])
        return scene, placement

    @property
    def _natural(self) -> tuple[Scene, Placement]:
        """Scene in its own size, and where the blocks stand."""
        if isinstance(self.content, Circuit):
            return self.circuit_scene(self.content)
        return cards_scene(self.content, self.theme, self.direction, self.asked_engine)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._laid_out[0]

    def __repr__(self) -> str:
        # short, and without the answers of an examination: a notebook keeps it beside the picture
        return f"<Drawing: {self.content.title}>"

    @property
    def note(self) -> str:
        """What was folded away or laid out otherwise than asked for, in words."""
        return " ".join(filter(None, (self.content.note, self._laid_out[1].note)))

    @property
    def engine(self) -> str:
        """Name of the layout engine that served."""
        return self._laid_out[1].engine

    def circuit_scene(
        self, circuit: Circuit, change: Callable[[Circuit], Circuit] = lambda circuit: circuit
    ) -> tuple[Scene, Placement]:
        """Lay out a circuit as this picture does: its theme, direction, hidden parts and answers.

        Parameters
        ----------
        change : callable, optional
            Applied to the circuit that is measured and to those that are written.
        """
        if self.choice is None:
            return circuit_scene(change(circuit), self.theme, self.asked_engine, direction=self.direction)
        whole = self.choice.whole
        return circuit_scene(
            change(whole), self.theme, self.asked_engine, direction=self.direction, shown=change(circuit),
            exam=change(self.choice.asked), is_hidden=self.choice.is_hidden,
        )  # fmt: skip

    def key(self, path: Any = None) -> Drawing:
        """Return the answers to a picture drawn with ``exam=``: every box with what belongs into it.

        Parameters
        ----------
        path : str or path, optional
            Where to write it.

        Raises
        ------
        DrawingError
            If nothing was left to be filled in.
        """
        if self.choice is None or not self.choice.exam:
            raise DrawingError("there is no key without an examination: graphc.draw(run, exam=['gradients']).key()")
        choice = replace(self.choice, answers=True)
        made = replace(self, content=choice.written, choice=choice)
        if path is not None:
            made.save(path)
        return made

    def html(self) -> str:
        """Return one HTML file that steps through the frames; numbers of a run over scalars can be edited.

        The page of an examination only steps: a page that computes would know the answers.
        """
        from graphc.drawing.page import page_text

        if self.choice is not None and self.choice.exam:
            return page_text(Resized(self, None, None))
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
    page: str | tuple[float, float] | None = None,
    font_size: float | None = None,
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
    page : str or (float, float), optional
        ``"a4"``, ``"a4-landscape"``, ``"letter"``, ``"letter-landscape"``, ``"slide"`` (16 : 9), ``"slide-4:3"``, or
        width and height in points: the picture stands in the middle of such a page, as large as fits. Without it the
        page is as large as the picture.
    font_size : float, optional
        Size of the numbers in points; the whole picture grows with it.
    **options
        What the style has beside these; see its function in `graphc.drawing.styles.STYLES`. Circuits have ``marks``,
        ``form``, ``work``, ``patterns``, ``show``, ``hide``, ``exam``, ``answers`` and ``fold``: see
        `graphc.drawing.drawing.circuit_drawing`.

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
    if page is not None and "page" in style_options(chosen):  # the style fits itself to the page
        options["page"], page = page, None
    box = None if page is None else page_size(page)
    size = None if font_size is None else checked_font_size(font_size)
    colours = theme_named(theme)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 15:
        raise DrawingError(f"digits is the number of significant digits, 1 to 15, found {digits!r}")
    if direction not in ("LR", "TB"):
        raise DrawingError(f"unknown direction {direction!r}; known: 'LR' (left to right), 'TB' (top to bottom)")
    picture = make(root, back, run, theme=colours, direction=direction, digits=digits, engine=engine, **options)
    if box is not None or size is not None:
        picture = (
            replace(picture, page=box, font_size=size) if isinstance(picture, Drawing) else Resized(picture, box, size)
        )
    if isinstance(picture, Drawing) and picture.subject is not None:  # an examination is drawn once
        asked = {"theme": colours, "direction": direction, "digits": digits, "engine": engine, "page": page}
        again = partial(draw, subject, style=chosen, font_size=font_size, **asked, **options)
        picture = replace(picture, again=again)
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
    form: str | None = None,
    work: bool = False,
    patterns: bool = False,
    show: Any = None,
    hide: Any = None,
    exam: Any = None,
    answers: bool = False,
    fold: Any = "auto",
) -> Drawing:
    """Draw the lecture circuit; see `draw`.

    Parameters
    ----------
    marks : mapping, optional
        Verdicts of a check: node, its name, or a pair (operand, gate), to verdict; drawn as frames.
    form : str, optional
        ``"numeric"``, ``"symbolic"`` or ``"both"``: what the wires say. By default numbers where there is a run.
    work : bool, default False
        Add the worked line of each gate input: local × upstream = downstream.
    patterns : bool, default False
        Name the pattern of each gate: distributor, router, switcher.
    show, hide : iterable, optional
        Kinds of parts (`graphc.drawing.exam.KINDS`), nodes or their names, or pairs such as ``("gradients", "x")``.
        Nothing moves.
    exam : iterable, optional
        Answers, said in the same way: an empty box stands in the place of each, and no file holds them.
    answers : bool, default False
        Write the answers into their boxes, as `Drawing.key` does.
    fold : optional
        ``"auto"`` folds what would make the picture too large; False never; else names, nodes or groups of
        nodes. See `graphc.drawing.folding`.

    Raises
    ------
    DrawingError
        If an option has no meaning for this subject.
    """
    wanted = [show] if isinstance(show, str) else list(show or ())
    work, patterns = work or "work" in wanted, patterns or "patterns" in wanted

    def read(nodes: Sequence[Node] | None = None) -> Circuit:
        return read_circuit(
            root, back, run, digits=digits, marks=marks, form=form, work=work, patterns=patterns, nodes=nodes
        )

    content = folded_circuit(root, back, run, fold, read, digits=digits, keep=marks or ())
    subject = next(part for part in (run, back, root) if part is not None)
    if show is None and hide is None and exam is None and not answers:
        return Drawing(content, theme, direction, engine, subject, digits)
    choice = read_choice(content, show, hide, exam, answers)
    # whatever computes numbers anew would know the answers
    return Drawing(choice.written, theme, direction, engine, None if choice.exam else subject, digits, choice)


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
