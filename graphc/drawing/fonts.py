"""Measured text: Helvetica from its published widths, printed numbers, formula outlines.

The picture is laid out from these widths alone, so it is the same on every machine and in every
format. Formulas are outlines of the `ziamath` package where it is installed, plain text where not.

Source: Adobe Font Metrics of the core 14 fonts (Helvetica, Helvetica-Bold, Symbol).
"""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

from graphc.drawing.scene import Command, Item, Path, Text, moved, numbers_of
from graphc.formula.expression import Call, Expression, Number, Symbol, to_text

__all__ = [
    "SYMBOL_CODES",
    "Label",
    "formula_label",
    "formula_text",
    "has_outlines",
    "measured",
    "number_text",
    "printable",
    "text_label",
    "text_width",
]

# Widths of the characters 32 to 126, thousandths of the font size.
_REGULAR = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722,
    722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722,
    667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556,
    556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500,
    500, 334, 260, 334, 584,
)  # fmt: skip
_BOLD = (
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722,
    722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722,
    667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611,
    611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556,
    500, 389, 280, 389, 584,
)  # fmt: skip
_OTHER = {
    "×": 584, "÷": 584, "±": 584, "·": 278, "²": 333, "³": 333, "¹": 333, "°": 400,
    "–": 556, "—": 1000, "•": 350, "…": 1000, "‖": 520,
}  # fmt: skip

_SYMBOL_NAMES = {
    45: "−", 163: "≤", 165: "∞", 172: "←", 173: "↑", 174: "→", 175: "↓", 179: "≥", 182: "∂", 185:
    "≠", 187: "≈", 206: "∈", 209: "∇", 213: "∏", 214: "√", 217: "∧", 218: "∨", 229: "∑", 242: "∫",
    **{65 + k: c for k, c in enumerate("ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ")},
    **{97 + k: c for k, c in enumerate("αβχδεφγηιϕκλμνοπθρστυϖωξψζ")},
}  # fmt: skip
#: Code of a character in the PDF core font Symbol.
SYMBOL_CODES: Mapping[str, int] = {character: code for code, character in _SYMBOL_NAMES.items()}

_SYMBOL_WIDTHS = {
    "−": 584, "≤": 549, "∞": 713, "←": 987, "↑": 603, "→": 987, "↓": 603, "≥": 549, "∂": 520, "≠":
    549, "≈": 549, "∈": 713, "∇": 713, "∏": 823, "√": 549, "∧": 603, "∨": 603, "∑": 713, "∫": 274,
}  # fmt: skip


#: Room of a character whose width is not known: that of a wide capital.
_ROOM = 800


def _character_width(character: str, bold: bool) -> int | None:
    """Thousandths of the font size; None where it is not known."""
    code = ord(character)
    if 32 <= code < 127:
        return (_BOLD if bold else _REGULAR)[code - 32]
    width = _OTHER.get(character) or _SYMBOL_WIDTHS.get(character)
    if width is not None:
        return width
    if unicodedata.combining(character):
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 1000
    # an accented letter is as wide as the letter
    base = unicodedata.normalize("NFD", character)[0]
    return _character_width(base, bold) if base != character and ord(base) < 127 else None


def measured(text: str) -> bool:
    """Whether the width of a text is known, and not only room for it."""
    return all(_character_width(character, bold=False) is not None for character in text)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a text in points, or room for it where its script has no table (`measured`)."""
    widths = (_character_width(character, bold) for character in text)
    return sum(_ROOM if width is None else width for width in widths) * size / 1000


def printable(text: str, limit: int = 40) -> str:
    """Return a name on one line: control characters escaped as in Python, long names cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def number_text(value: float, digits: int = 4) -> str:
    """Print a number to significant digits: true minus sign, never ``-0``, never a false ``0``.

    >>> number_text(-0.19661193), number_text(-0.0), number_text(3e-7), number_text(-12.0)
    ('−0.1966', '0', '3e−7', '−12')
    """
    value = float(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if -4 <= power < max(6, digits):
        text = f"{value:.{max(digits - 1 - power, 0)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{mantissa.rstrip('0').rstrip('.')}e{power}"
    return text.replace("-", "−")


@dataclass(frozen=True, slots=True)
class Label:
    """Something to print, its baseline starting at the origin."""

    items: tuple[Item, ...]
    width: float
    ascent: float
    descent: float
    text: str  # what it says, in plain characters

    @property
    def height(self) -> float:
        """Height in points."""
        return self.ascent + self.descent

    def at(self, x: float, baseline: float) -> tuple[Item, ...]:
        """Return the items with the baseline starting at a point."""
        return tuple(moved(item, x, baseline) for item in self.items)

    def centred(self, x: float, y: float) -> tuple[Item, ...]:
        """Return the items with the middle of the ink at a point."""
        return self.at(x - self.width / 2, y + (self.ascent - self.descent) / 2)


def text_label(
    text: str,
    size: float,
    colour: str,
    *,
    bold: bool = False,
    italic: bool = False,
    id: str = "",
    classes: str = "",
) -> Label:
    """Measure one line of text."""
    width = text_width(text, size, bold)
    item = Text(0.0, 0.0, text, round(width, 2), size, colour, bold, italic, id, classes)
    return Label((item,), width, 0.72 * size, 0.21 * size, text)


def has_outlines() -> bool:
    """Say whether formulas can be drawn as outlines."""
    return _ziamath() is not None


def _ziamath() -> Any:
    try:
        with warnings.catch_warnings():
            # it opens its fonts by a function deprecated in Python 3.11 and 3.12 only
            warnings.simplefilter("ignore", DeprecationWarning)
            import ziamath
    except ImportError:
        return None
    return ziamath


@lru_cache(maxsize=4096)
def _outline(latex: str, size: float) -> tuple[tuple[Command, ...], float, float, float]:
    """Commands with the baseline starting at the origin, width, ascent, descent."""
    ziamath = _ziamath()
    before = ziamath.config.svg2
    ziamath.config.svg2 = False  # outlines in place, not through <symbol> and <use>
    try:
        svg = ziamath.Latex(latex, size=size, inline=True).svgxml()
    finally:
        ziamath.config.svg2 = before
    commands: list[Command] = []
    for element in svg.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "path":
            commands += _path_commands(element.get("d", ""))
        elif tag == "rect":
            x, y, w, h = (float(element.get(key, 0)) for key in ("x", "y", "width", "height"))
            commands += [("M", x, y), ("L", x + w, y), ("L", x + w, y + h), ("L", x, y + h), ("Z",)]
    if not commands:
        return (), 0.0, 0.0, 0.0
    xs = [v for c in commands for v in numbers_of(c)[::2]]
    ys = [v for c in commands for v in numbers_of(c)[1::2]]
    left = min(xs)
    shifted = tuple(
        (c[0], *(round(v - left, 3) if k % 2 == 0 else round(v, 3) for k, v in enumerate(numbers_of(c))))
        for c in commands
    )
    return shifted, max(xs) - left, -min(ys), max(ys)


def _path_commands(data: str) -> list[Command]:
    """Read absolute M, L, Q, C, Z path data; quadratic curves become cubic."""
    commands: list[Command] = []
    here = (0.0, 0.0)
    for letter, numbers in re.findall(r"([MLQCZ])([^MLQCZ]*)", data):
        values = [float(v) for v in re.findall(r"[-+.\deE]+", numbers)]
        if letter == "Z":
            commands.append(("Z",))
            continue
        if letter == "Q":
            qx, qy, x, y = values
            values = [
                here[0] + 2 / 3 * (qx - here[0]), here[1] + 2 / 3 * (qy - here[1]),
                x + 2 / 3 * (qx - x), y + 2 / 3 * (qy - y), x, y,
            ]  # fmt: skip
            letter = "C"
        here = (values[-2], values[-1])
        commands.append((letter, *values))
    # ziafont opens each contour with a line to where it already is
    return [
        c for before, c in pairwise([("Z",), *commands]) if not (before[0] == "M" and c == ("L", *numbers_of(before)))
    ]


def formula_label(
    latex: str, plain: str, size: float, colour: str, *, italic: bool = False, classes: str = ""
) -> Label:
    """Lay out a formula: outlines of ``latex`` where ziamath is installed, else ``plain`` text."""
    if not has_outlines():
        return text_label(plain, size * 0.92, colour, italic=italic, classes=classes)
    commands, width, ascent, descent = _outline(latex, size)
    return Label((Path(commands, fill=colour, label=plain),), width, ascent, descent, plain)


def formula_text(expression: Expression, names: Mapping[str, str] | None = None) -> str:
    """Write an expression on one line of plain characters, as one would in a letter."""
    names = names or {}
    if isinstance(expression, Symbol):
        return names.get(expression.name, expression.name)
    if isinstance(expression, Number):
        if isinstance(expression.value, Fraction | float):
            text = to_text(expression) if isinstance(expression.value, Fraction) else f"{expression.value:g}"
            return text.replace("-", "−")
        return str(expression.value).replace("-", "−")

    def inside(operand: Expression, loose: frozenset[str]) -> str:
        text = formula_text(operand, names)
        negative = isinstance(operand, Number) and operand.value < 0
        return f"({text})" if negative or (isinstance(operand, Call) and operand.function in loose) else text

    sums = frozenset(("add", "sub", "neg", "select"))
    products = sums | {"mul", "div", "floordiv"}
    name, operands = expression.function, expression.operands
    if name == "add":
        return f"{formula_text(operands[0], names)} + {inside(operands[1], frozenset(('neg',)))}"
    if name == "sub":
        return f"{formula_text(operands[0], names)} − {inside(operands[1], sums)}"
    if name == "mul":
        return f"{inside(operands[0], sums)}·{inside(operands[1], sums)}"
    if name == "div":
        return f"{inside(operands[0], sums)}/{inside(operands[1], products)}"
    if name == "neg":
        return f"−{inside(operands[0], sums)}"
    if name == "pow":
        base = inside(operands[0], products | {"pow"})
        exponent = operands[1]
        if exponent in (Number(2), Number(3)):
            return base + "  ²³"[int(exponent.value)]
        return f"{base}^{inside(exponent, products)}"
    if name == "abs":
        return f"|{formula_text(operands[0], names)}|"
    shown = {"sigmoid": "σ", "sech2": "sech²"}.get(name, name)
    infix = {
        "less": "<", "less_equal": "≤", "greater": ">", "greater_equal": "≥", "equal": "=",
        "not_equal": "≠", "and": "∧", "or": "∨",
    }.get(name)  # fmt: skip
    texts = [formula_text(operand, names) for operand in operands]
    if infix:
        return f"{texts[0]} {infix} {texts[1]}"
    if name == "select" and operands[2] == Number(0):
        return f"[{texts[0]}]" if operands[1] == Number(1) else f"{texts[1]}·[{texts[0]}]"
    if name == "select":
        return f"({texts[1]} if {texts[0]} else {texts[2]})"
    return f"{shown}({', '.join(texts)})"
