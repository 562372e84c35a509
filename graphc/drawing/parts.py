"""Texts of a circuit in rows: what stands above a wire, below it, and in the box before a gate.

A part is measured from the whole circuit and written from the circuit that is shown, so that what is hidden or left
to be filled in keeps its room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.drawing.circuit import BLANK, Circuit, Element, Port, share_texts
from graphc.drawing.fonts import Label, formula_label, text_label
from graphc.drawing.scene import Box, Group, Item, rounded
from graphc.drawing.theme import Theme

__all__ = [
    "NAME",
    "TAG_ROW",
    "Part",
    "Views",
    "gradient_row",
    "name_label",
    "row_items",
    "row_width",
    "tag_rows",
    "value_row",
]

_NUMBER = 12.5  # font sizes
NAME = 15.0
_TAG = 11.5
_TERM = 10.5  # of a sum, and of a worked line
_ROOM = 18.0  # least room of a number: an answer is written into it by hand
_TERM_ROOM = 13.0  # in a sum or a worked line
TAG_ROW = 11.5  # least height of a row in the box before a gate
_RIM = 2.5  # from a number that is not finite to its frame
_NOT_FINITE = frozenset(("nan", "∞", "−∞"))


@dataclass(frozen=True, slots=True)
class Views:
    """The circuit three times: whole, as it is shown, and with its answers left to be filled in.

    ``shown`` is ``exam`` in an examination, and has the answers in its key.
    """

    whole: Circuit
    shown: Circuit
    exam: Circuit


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a row."""

    label: Label
    shown: bool
    boxed: bool = False  # an answer
    least: float = 0.0  # room that is kept at least, for an answer
    gap: float = 0.0  # before it
    appears: int = 0
    shift: float = 0.0  # share of the spare room that is left of it
    tight: bool = False  # stands in a box before a gate

    @property
    def room(self) -> float:
        """Width that is kept for it."""
        width = self.label.width if self.finite else self.label.width + 2 * _RIM
        return max(width, self.least)

    @property
    def finite(self) -> bool:
        """Whether it is no number that is infinite or undefined."""
        return not self.least or self.label.text.lstrip("+− ") not in _NOT_FINITE


def row_width(row: Sequence[Part]) -> float:
    """Width of a row."""
    return sum(part.gap + part.room for part in row)


def row_items(row: Sequence[Part], x: float, baseline: float, theme: Theme, alone: float = 0.5) -> list[Item]:
    """Write a row from its left end; parts that appear later than the others are groups of their own.

    Parameters
    ----------
    alone : float
        Share of the spare room that is left of a part which is the whole row.
    """
    items: list[Item] = []
    for part in row:
        x += part.gap
        made = _part_items(part, x, baseline, theme, alone if len(row) == 1 else part.shift)
        items += [Group(tuple(made), classes="term", appears=part.appears)] if made and part.appears else made
        x += part.room
    return items


def _part_items(part: Part, x: float, baseline: float, theme: Theme, shift: float) -> list[Item]:
    items: list[Item] = []
    if part.boxed:
        centre = baseline - (part.label.ascent - part.label.descent) / 2
        half = max(part.label.height / 2 + 1, (TAG_ROW if part.tight else 14.0) / 2)
        box = rounded(
            Box(x, centre - half, x + part.room, centre + half), 2, fill=theme.paper, stroke=theme.quiet, width=0.8
        )
        items.append(
            Group((box,), classes="answer" if part.shown else "blank", title="" if part.shown else "to fill in")
        )
    if part.shown:
        left = x + (part.room - part.label.width) * (shift if part.finite and not part.boxed else 0.5)
        items += part.label.at(left, baseline)
        if not part.finite:
            top, bottom = baseline - part.label.ascent - (0.4 if part.tight else 2), baseline + part.label.descent + 0.5
            rim = Box(left - _RIM, top, left + part.label.width + _RIM, bottom)
            mark = rounded(rim, 2, stroke=theme.wrong, width=1.1, dash=(1.0, 2.0))
            items.append(Group((mark,), classes="not-finite", title="not a finite number"))
    return items


# ---------------------------------------------------------------- what stands where


def _number(whole: str, shown: str, exam: str, label: Label, **layout: Any) -> Part:
    least = layout.pop("least", _ROOM)
    return Part(label, shown not in ("", BLANK), exam == BLANK and shown != "", least if whole else 0.0, **layout)


def _joint(text: str, shown: bool, theme: Theme, size: float = _NUMBER, gap: float = 3.0, appears: int = 0) -> Part:
    return Part(text_label(text, size, theme.quiet), shown, gap=gap, appears=appears)


def name_label(element: Element, theme: Theme) -> Label | None:
    """Name of a wire as it is printed."""
    if not element.name:
        return None
    if element.name_latex:
        return formula_label(element.name_latex, element.name, NAME, theme.ink, italic=True)
    return text_label(element.name, NAME * 0.85, theme.ink, italic=True)


def value_row(views: Views, k: int, theme: Theme) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Name beside the value, and formula and value with the signs between them."""
    whole, shown, exam = (circuit.elements[k] for circuit in (views.whole, views.shown, views.exam))
    named: list[Part] = []
    row: list[Part] = []
    name = name_label(whole, theme) if whole.symbol and not whole.root else None
    if name is not None:
        named.append(Part(name, bool(shown.name)))
    if whole.expression:
        if name is not None:
            row.append(_joint("=", bool(shown.name and shown.expression), theme))
        label = _expression_label(whole, theme)
        gap = 3.0 if row else 0.0
        row.append(_number(whole.expression, shown.expression, exam.expression, label, gap=gap, shift=1.0))
    if whole.value:
        is_number = not whole.value.startswith("(")  # a shape is not what the name equals
        if is_number and (row or name is not None):
            before = shown.expression if whole.expression else shown.name
            row.append(_joint("=", bool(before and shown.value), theme))
        label = text_label(
            whole.value, _NUMBER, theme.value, bold=theme.value_bold, id=f"wire-{k}-value", classes="value"
        )
        gap = 3.0 if named or row else 0.0
        gap = gap if is_number else 2 * gap
        row.append(_number(whole.value if is_number else "", shown.value, exam.value, label, gap=gap))
    return tuple(named), tuple(row)


def _expression_label(element: Element, theme: Theme) -> Label:
    if element.expression_latex:
        return formula_label(element.expression_latex, element.expression, _NUMBER, theme.value, italic=True)
    return text_label(element.expression, _NUMBER * 0.92, theme.value, italic=True)


def gradient_row(views: Views, k: int, theme: Theme, steps: dict[int, int]) -> tuple[Part, ...]:
    """Terms of a sum, name and number of the gradient.

    Parameters
    ----------
    steps : dict
        Frame in which each gate sends its gradients.
    """
    whole, shown, exam = (circuit.elements[k] for circuit in (views.whole, views.shown, views.exam))
    row: list[Part] = []
    if whole.gradient_name:
        row.append(Part(_gradient_label(whole, whole.gradient_name, theme), bool(shown.gradient_name)))
        row.append(_joint("=", bool(shown.gradient_name), theme))
    if whole.shares:
        kept = bool(shown.shares)
        terms = share_texts(views.whole, whole)
        counted = len(terms) < len(whole.shares)
        blank = [t.endswith(BLANK) for t in share_texts(views.exam, whole)] if not counted else [False]
        seen = [t.endswith(BLANK) for t in share_texts(views.shown, whole)] if not counted else [False]
        for n, term in enumerate(terms):
            gate, position = whole.shares[n]
            id = "" if counted else f"wire-{k}-share-{gate}-{position}"
            label = text_label(term, _TERM, theme.gradient, italic=True, id=id, classes="share")
            appears = max(steps.values(), default=0) if counted else steps.get(gate, 0)
            gap = 4.0 if row else 0.0
            least = 0.0 if counted else _TERM_ROOM
            row.append(Part(label, kept and not seen[n], kept and blank[n], least, gap, appears, 0.0 if n else 1.0))
        row.append(_joint("=", kept, theme, _TERM, 4.0))
    if whole.gradient:
        if whole.gradient_latex and not whole.gradient_name:
            label = _gradient_label(whole, whole.gradient, theme)
        else:
            label = text_label(
                whole.gradient, _NUMBER, theme.gradient, italic=True, id=f"wire-{k}-gradient", classes="gradient"
            )
        row.append(_number(whole.gradient, shown.gradient, exam.gradient, label, gap=4.0 if row else 0.0))
    return tuple(row)


def _gradient_label(element: Element, plain: str, theme: Theme) -> Label:
    if element.gradient_latex:
        return formula_label(element.gradient_latex, plain, _NUMBER, theme.gradient, italic=True)
    return text_label(plain, _NUMBER, theme.gradient, italic=True)


def tag_rows(views: Views, k: int, entry: int, theme: Theme) -> tuple[tuple[Part, ...], ...]:
    """Rows of the box before a gate: formula, number and, where it is asked for, the worked line."""
    whole, shown, exam = (circuit.elements[k].ports[entry] for circuit in (views.whole, views.shown, views.exam))
    at = f"{k}-{whole.position}"
    rows: list[tuple[Part, ...]] = []
    if whole.formula and whole.formula != whole.number:
        if whole.latex:
            label = formula_label(whole.latex, whole.formula, _TAG, theme.local, classes="local")
        else:
            label = text_label(whole.formula, _TAG, theme.local)
        rows.append((_number(whole.formula, shown.formula, exam.formula, label, tight=True),))
    row: list[Part] = []
    worked = views.whole.with_work and bool(whole.upstream and (whole.number or whole.formula))
    if whole.number:
        size = _TERM if worked else _TAG
        label = text_label(whole.number, size, theme.local, id=f"wire-{whole.operand}-local-{at}", classes="local")
        least = _TERM_ROOM if worked else _ROOM
        row.append(_number(whole.number, shown.number, exam.number, label, shift=1.0, tight=True, least=least))
    if worked:
        row += _worked(whole, shown, exam, f"wire-{whole.operand}-work-{at}", theme)
    if row:
        rows.append(tuple(row))
    return tuple(rows)


def _worked(whole: Port, shown: Port, exam: Port, id: str, theme: Theme) -> Iterable[Part]:
    kept = bool(shown.upstream)
    yield _joint("×", kept, theme, _TERM, 4.0)
    for text, seen, asked, which in (
        (whole.upstream, shown.upstream, exam.upstream, "upstream"),
        (whole.sent, shown.sent, exam.sent, "downstream"),
    ):
        if not text:
            continue
        if which == "downstream":
            yield _joint("=", kept, theme, _TERM, 4.0)
        label = text_label(text, _TERM, theme.gradient, italic=True, id=f"{id}-{which}", classes=which)
        shift = 0.5 if which == "upstream" else 0.0
        seen = seen if kept else ""
        yield _number(text, seen, asked, label, gap=4.0, shift=shift, tight=True, least=_TERM_ROOM)
