r"""Writes scenes as TikZ: a figure for ``\input``, a standalone document, overlays for beamer.

Coordinates are those of the scene and of the SVG: one unit is 1/72 inch and the y axis points down.
Every text is scaled to the width that the layout measured, so that nothing meets whatever font the
document uses. The text is plain ASCII and holds no ``#`` but in names, where it is escaped: a figure
may also be pasted into a beamer frame.

Source: T. Tantau, "The TikZ and PGF Packages", sections 12 to 17 (figures, coordinates, paths, nodes);
T. Tantau, J. Wright, V. Miletić, "The beamer class", section 9 (overlays).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby

from graphc.drawing.scene import Group, Item, Path, Scene, Text, numbers_of, visible
from graphc.errors import DrawingError

__all__ = ["tikz_document", "tikz_frames", "tikz_text"]

_LONGEST = 16000.0  # points; TeX counts no length beyond 16383
_LINE = 110  # characters of a line, where it can be broken

#: What appears and vanishes: first frame, and the first frame without it (None: it stays).
_Span = tuple[int, int | None]


def tikz_text(scene: Scene) -> str:
    r"""Write a scene as one ``tikzpicture``, for ``\input`` in a document that loads tikz.

    Raises
    ------
    DrawingError
        If the picture is larger than TeX can count.
    """
    head = _comments(scene, r"Figure for \input; the preamble needs \usepackage{tikz}.")
    return "\n".join([*head, *_figure(scene, [((0, None), visible(scene.items, None))])]) + "\n"


def tikz_document(scene: Scene) -> str:
    """Write a scene as a document that pdflatex compiles as is, its page as large as the picture.

    Raises
    ------
    DrawingError
        If the picture is larger than TeX can count.
    """
    lines = [
        *_comments(scene, "Compile with pdflatex."),
        r"\documentclass[tikz]{standalone}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{helvet}",
        r"\begin{document}",
        *_figure(scene, [((0, None), visible(scene.items, None))]),
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def tikz_frames(scene: Scene) -> str:
    r"""Write all frames as one ``tikzpicture`` for a beamer frame, its parts in ``\onslide``.

    Frame ``k`` of the scene, counted from 0, is overlay ``k + 1``.

    Raises
    ------
    DrawingError
        If the picture is larger than TeX can count.
    """
    head = _comments(
        scene,
        rf"Figure of {scene.frames} overlays; the preamble needs \documentclass{{beamer}} and \usepackage{{tikz}}.",
        r"Use: \begin{frame}\centering\resizebox{\textwidth}{!}{\input{FILE}}\end{frame}",
    )
    parts = [
        (span, tuple(item for _, item in run)) for span, run in groupby(_spans(scene.items, (0, None)), lambda p: p[0])
    ]
    return "\n".join([*head, *_figure(scene, parts, scene.frames)]) + "\n"


# ---------------------------------------------------------------- the figure


def _comments(scene: Scene, *usage: str) -> list[str]:
    said = [" ".join(part.split()) for part in (scene.title, scene.description)]
    return [f"% {line}" for line in (*said, *usage) if line]


def _figure(scene: Scene, parts: list[tuple[_Span, tuple[Item, ...]]], frames: int = 1) -> list[str]:
    if max(scene.width, scene.height) > _LONGEST:
        raise DrawingError(
            f"a picture of {scene.width:.0f} by {scene.height:.0f} points is larger than TeX can count "
            f"({_LONGEST:.0f} points); write .svg or .pdf and include that"
        )
    body: list[str] = []
    for (first, end), items in parts:
        lines = [line for item in items for line in _item(item)]
        if not lines:
            continue
        if (first, end) == (0, None):
            body += lines
        else:
            body += [rf"\onslide<{first + 1}-{'' if end is None else end}>{{%", *lines, "}"]
    if frames > 1:
        body.append(rf"\onslide<{frames}->{{}}% the last overlay, even where nothing new appears on it")
    colours = sorted({code for _, items in parts for code in _colours(items)} | {scene.paper.upper()})
    corner = f"({_number(scene.width)},{_number(scene.height)})"
    return [
        r"\begin{tikzpicture}[x=1bp, y=-1bp, line cap=round, line join=round,",
        r"  every node/.style={anchor=base west, inner sep=0pt, outer sep=0pt, font=\sffamily}]",
        *(rf"\definecolor{{{_colour(code)}}}{{HTML}}{{{code}}}" for code in colours),
        rf"\path[use as bounding box, fill={_colour(scene.paper)}] (0,0) rectangle {corner};",
        *body,
        r"\end{tikzpicture}%",
    ]


def _spans(items: tuple[Item, ...], around: _Span) -> Iterator[tuple[_Span, Item]]:
    """Cut the items into pieces that appear and vanish as a whole, in drawing order."""
    for item in items:
        if not isinstance(item, Group):
            yield around, item
            continue
        first = max(around[0], item.appears)
        ends = [end for end in (around[1], item.vanishes) if end is not None]
        end = min(ends, default=None)
        if end is None or first < end:
            yield from _spans(item.items, (first, end))


def _colours(items: tuple[Item, ...]) -> Iterator[str]:
    for item in items:
        if isinstance(item, Group):
            yield from _colours(item.items)
        elif isinstance(item, Text):
            yield item.colour.upper()
        else:
            yield from (code.upper() for code in (item.fill, item.stroke) if code)


def _colour(code: str) -> str:
    return f"graphc{code.upper()}"


def _number(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _item(item: Item) -> list[str]:
    if isinstance(item, Group):
        inside = [line for child in item.items for line in _item(child)]
        return [f"% {item.id}", *inside] if item.id and inside else inside
    return _text(item) if isinstance(item, Text) else _path(item)


# ---------------------------------------------------------------- outlines


def _path(path: Path) -> list[str]:
    options: list[str] = []
    if path.fill:
        options.append(f"fill={_colour(path.fill)}")
    if path.stroke:
        options += [f"draw={_colour(path.stroke)}", f"line width={_number(path.width)}bp"]
        if path.dash:
            # an odd list counts twice, as in SVG: strokes and gaps change places
            lengths = path.dash * 2 if len(path.dash) % 2 else path.dash
            kinds = ("on", "off") * (len(lengths) // 2)
            dashes = " ".join(f"{kind} {_number(d)}bp" for kind, d in zip(kinds, lengths, strict=True))
            options.append(f"dash pattern={dashes}")
    if not options:
        return []
    words = [rf"\path[{', '.join(options)}]"]
    for command in path.commands:
        numbers = [_number(v) for v in numbers_of(command)]
        points = [f"({x},{y})" for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        if command[0] == "M":
            words.append(points[0])
        elif command[0] == "L":
            words.append(f"-- {points[0]}")
        elif command[0] == "C":
            words.append(f".. controls {points[0]} and {points[1]} .. {points[2]}")
        else:
            words.append("-- cycle")
    return _wrapped(words, ";")


def _wrapped(words: list[str], end: str) -> list[str]:
    """Join words to lines that editors and version control can show."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 1 > _LINE:
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    lines[-1] += end
    return lines


# ---------------------------------------------------------------- texts


def _text(text: Text) -> list[str]:
    if not text.text.strip() or text.length <= 0:
        return []  # a box without ink cannot be scaled
    size = f"{_number(text.size)}bp"
    # the strokes of bold mathematics are as strong as those of upright sans serif letters
    font = rf"\fontsize{{{size}}}{{{size}}}\boldmath"
    if text.bold:
        font += r"\bfseries"
    if text.italic:
        font += r"\itshape"
    shown = (
        rf"\node[text={_colour(text.colour)}] at ({_number(text.x)},{_number(text.y)}) "
        rf"{{\resizebox{{{_number(text.length)}bp}}{{\height}}{{{font}\selectfont {_escaped(text.text)}}}}};"
    )
    return [shown]


#: An empty box, as in the PDF, for a character that stock pdflatex has no glyph of.
_BOX = r"{\fboxsep=0pt\,\fbox{\phantom{M}}\,}"

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}", "$": r"\$",
    "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"{\char34}", "ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}",
    "ø": r"{\o}", "Ø": r"{\O}", "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}", "§": r"\S{}",
    "¶": r"\P{}", "£": r"\pounds{}", "©": r"\copyright{}", "®": r"\textregistered{}",
    "™": r"\texttrademark{}", "€": r"\texteuro{}", "¿": r"\textquestiondown{}",
    "¡": r"\textexclamdown{}", "–": r"\textendash{}", "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}", "’": r"\textquoteright{}", "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}", "•": r"\textbullet{}", "…": "...", "†": r"\dag{}",
    "‡": r"\ddag{}", "\xa0": r"\ ",
}  # fmt: skip

#: What the mathematics of plain LaTeX draws, without any package. TeX leaves more room around the
#: minus and the cross than sans serif fonts do: squeezed into the measured width, × would look like X.
_MATHEMATICS = {
    "−": r"\mkern-1mu-\mkern-1mu", "×": r"\mkern-2mu\times\mkern-2mu", "÷": r"\div", "±": r"\pm",
    "·": r"\cdot", "°": r"^{\circ}", "¬": r"\neg", "µ": r"\mu", "«": r"\ll", "»": r"\gg",
    "‖": r"\|", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "≡": r"\equiv",
    "∞": r"\infty", "∂": r"\partial",
    "∇": r"\nabla", "∈": r"\in", "∉": r"\notin", "∏": r"\textstyle\prod", "∑": r"\textstyle\sum",
    "∫": r"\textstyle\int", "√": r"\surd", "∧": r"\wedge", "∨": r"\vee", "∀": r"\forall",
    "∃": r"\exists", "∅": r"\emptyset", "∪": r"\cup", "∩": r"\cap", "⊂": r"\subset",
    "⊙": r"\odot", "⊕": r"\oplus", "⊗": r"\otimes", "∘": r"\circ", "⋅": r"\cdot", "⋯": r"\cdots",
    "⟨": r"\langle", "⟩": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil",
    "⌉": r"\rceil", "ℓ": r"\ell", "′": r"{}^{\prime}", "←": r"\leftarrow", "↑": r"\uparrow",
    "→": r"\rightarrow", "↓": r"\downarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow",
    "⇐": r"\Leftarrow", "ϑ": r"\vartheta", "ϕ": r"\phi", "ϖ": r"\varpi", "ϵ": r"\epsilon",
    "ς": r"\varsigma", "φ": r"\varphi", "ε": r"\varepsilon", "ο": "o",
    **{c: rf"^{{{v}}}" for c, v in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵀ", "0123456789+-nT", strict=True)},
    **{c: f"_{{{v}}}" for c, v in zip("₀₁₂₃₄₅₆₇₈₉₊₋ₜ", "0123456789+-t", strict=True)},
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu",
    "ξ": r"\xi", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "υ": r"\upsilon",
    "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta",
    "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi",
    "Ψ": r"\Psi", "Ω": r"\Omega",
    # capitals that look like Latin ones have no name of their own
    **{c: rf"\mathrm{{{v}}}" for c, v in zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)},
}  # fmt: skip

#: Combining mark: the accent in text and in mathematics (empty: none).
_ACCENTS = {
    "\u0300": ("`", "grave"), "\u0301": ("'", "acute"), "\u0302": ("^", "hat"),
    "\u0303": ("~", "tilde"), "\u0304": ("=", "bar"), "\u0306": ("u", "breve"),
    "\u0307": (".", "dot"), "\u0308": ('"', "ddot"), "\u030a": ("r", "mathring"),
    "\u030b": ("H", ""), "\u030c": ("v", "check"), "\u0323": ("d", ""), "\u0327": ("c", ""),
}  # fmt: skip


def _escaped(text: str) -> str:
    """Write a text in plain ASCII that means the same whatever encoding and fonts the document has."""
    out: list[str] = []
    for base, marks in _clusters(text):
        if base == " ":
            # a space at an end, or after another, would be lost
            out.append(" " if out and not out[-1].endswith(" ") else r"\ ")
            continue
        piece = _character(base, marks)
        before = out[-1] if out else ""
        if (piece in _JOINING and piece == before) or (piece == "`" and before in ("?", "!")):
            out.append("{}")  # else the two become one glyph
        out.append(piece)
    if out and out[-1] == " ":
        out[-1] = r"\ "
    return "".join(out)


_JOINING = frozenset("-`',")


def _clusters(text: str) -> Iterator[tuple[str, str]]:
    """Yield characters with the accents on them."""
    base, marks = "", ""
    for composed in text:
        # what has a form of its own keeps it: the decomposition of a box is that box
        known = composed in _SPECIAL or composed in _MATHEMATICS
        for character in composed if known else unicodedata.normalize("NFD", composed):
            if unicodedata.combining(character):
                marks += character
                continue
            if base:
                yield base, marks
            base, marks = character, ""
    if base:
        yield base, marks


def _character(base: str, marks: str) -> str:
    accents = [_ACCENTS[mark] for mark in marks if mark in _ACCENTS]
    if base in _MATHEMATICS:
        shown = _MATHEMATICS[base]
        for _, name in accents:
            shown = rf"\{name}{{{shown}}}" if name else shown
        return rf"\ensuremath{{{shown}}}"
    if base in _SPECIAL:
        return _SPECIAL[base]
    if not 32 <= ord(base) < 127:
        return _BOX
    shown = base
    for name, _ in accents:
        shown = rf"\{name}{{{shown}}}"
    return shown
