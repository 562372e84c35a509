"""The picture of gradient flow through time: states that fade from step to step, and strips of bars below.

The picture follows from the arrays of a `Flow` alone and knows no cell: which gates are open and which path keeps the
gradient shows in the numbers. Equal flows give the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy

from graphc.drawing.fonts import number_text, printable, text_label, text_width
from graphc.drawing.scene import Box, Group, Item, Path, Scene, line, rounded
from graphc.drawing.strips import BETWEEN, STRIP, Strip, Strips, cut, plain_text, readable, reduced, short, subscripted
from graphc.drawing.theme import Theme, theme_named
from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean

if TYPE_CHECKING:
    from graphc.gradients.flow import Flow

__all__ = ["FlowDrawing", "flow_drawing"]

_MARGIN, _LEFT, _LEAST = 16.0, 86.0, 520.0  # points: around the page, left of the first step, and its least width
_TITLE, _TEXT, _SMALL, _TINY = 13.0, 10.5, 9.0, 7.5  # font sizes
_NARROW, _WIDE = 30.0, 76.0  # width of a step
_BOX, _ROW = 30.0, 54.0  # height of a box and of a row of boxes
#: More steps than `_UNFOLDED` are folded but for `_ENDS` at both ends; `_FOLD` is the width of the fold, in steps.
_UNFOLDED, _ENDS, _FOLD = 24, 4, 3.0
#: Strips of gates that are drawn.
_GATES = 12
#: A state below this share of the largest is outlined by dashes.
_FADED = 0.01


@dataclass(frozen=True, eq=False)
class FlowDrawing(Written):
    """The flow through a repeat, drawn once and written in any format.

    Attributes
    ----------
    flow : Flow
        What is drawn.
    gates : tuple of str
        Tensors that have a strip of their own.
    """

    flow: Flow
    gates: tuple[str, ...]
    theme: Theme

    @cached_property
    def _drawn(self) -> Scene:
        return _Page(self).scene()

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._drawn

    def text(self) -> str:
        """Return the numbers of every step as a table."""
        columns: dict[str, numpy.ndarray] = {}
        for name, norms in self.flow.states.items():
            columns[f"|dL/d{printable(name)}|"] = norms[1:]
        for name, norms in self.flow.sensitivity.items():
            columns[f"|d{printable(name)}/dx_1|"] = norms
        for name in self.gates:
            columns[f"mean {printable(name)}"] = self.flow.values[name]
        widths = [max(len(title), 9) for title in columns]
        rows = ["  ".join(["step", *(title.rjust(w) for title, w in zip(columns, widths, strict=True))])]
        for t, numbers in enumerate(zip(*columns.values(), strict=True), 1):
            shown = [number_text(n).rjust(w) for n, w in zip(numbers, widths, strict=True)]
            rows.append("  ".join([f"{t:>4}", *shown]))
        return "\n".join([self.scene.title, "", *rows]) + "\n"


def flow_drawing(flow: Flow, *, theme: str = "default", gates: Sequence[str] | None = None) -> FlowDrawing:
    """Draw how gradients pass through a repeat, step by step.

    Each state is a row of boxes, one a step, shaded by |ds_t/dx_1|: how much of the first input is left. Below are
    bars over time of |dL/ds_t|, of |ds_t/dx_1|, and of the means of gates: how open they are.

    Parameters
    ----------
    flow : Flow
        From `Run.flow`.
    theme : str, default ``"default"``
        Colours, as for `draw`.
    gates : sequence of str, optional
        Tensors of the cell whose means are drawn. By default those whose means stay between 0 and 1, as those of a
        gate do, the first 12 of them.

    Returns
    -------
    FlowDrawing
        Shows itself in notebooks; ``save`` writes it as .svg, .pdf, .png or .txt.

    Raises
    ------
    DrawingError
        If there is no such theme or tensor, or if the flow has no state or no step.
    """
    colours = theme_named(theme)
    if not any(len(norms) > 1 for norms in flow.states.values()):
        raise DrawingError(f"the flow through {flow.name!r} has no state and step to draw; measure it by Run.flow")
    if gates is None:
        inside = [name for name, means in flow.values.items() if numpy.all((means >= 0) & (means <= 1))]
        return FlowDrawing(flow, tuple(inside[:_GATES]), colours)
    for name in gates:
        if name not in flow.values:
            known = ", ".join(map(repr, flow.values)) or "none"
            hint = did_you_mean(name, flow.values)
            raise DrawingError(f"the cell {flow.name!r} makes no tensor {name!r}; it makes {known}{hint}")
    return FlowDrawing(flow, tuple(dict.fromkeys(gates)), colours)


def _of_loss(name: str) -> list[str]:
    return [f"|dL/d{name}", "t", "|"]


def _of_input(name: str) -> list[str]:
    return [f"|d{name}", "t", "/dx", "1", "|"]


class _Page(Strips):
    """Places rows of boxes, then strips of bars, below one another."""

    def __init__(self, drawing: FlowDrawing) -> None:
        self.drawing, self.flow = drawing, drawing.flow
        steps = max(len(norms) for norms in self.flow.states.values()) - 1
        folded = steps > _UNFOLDED
        columns = 2 * _ENDS + _FOLD if folded else float(steps)
        self.column = min(max(648.0 / columns, _NARROW), _WIDE)
        super().__init__(drawing.theme, steps, _LEFT, round(_LEFT + columns * self.column, 2), folded)
        self.width = max(self.right + _MARGIN, _LEAST)

    def wrapped(self, text: str, baseline: float) -> float:
        """Write text in lines as wide as the page; returns the baseline of the last."""
        said = ""
        for word in text.split():
            longer = f"{said} {word}".strip()
            if said and text_width(longer, _SMALL) > self.width - 2 * _MARGIN:
                self.write(text_label(said, _SMALL, self.theme.quiet), _MARGIN, baseline)
                baseline, longer = baseline + 13, word
            said = longer
        self.write(text_label(said, _SMALL, self.theme.quiet), _MARGIN, baseline)
        return baseline

    def scene(self) -> Scene:
        theme, flow = self.theme, self.flow
        title = f"Gradient flow through {cut(flow.name, _TITLE, 260)}, {self.steps} step{'s' * (self.steps > 1)}"
        self.write(text_label(title, _TITLE, theme.ink, bold=True), _MARGIN, 26)
        unmeasured = [name for name in flow.states if name not in flow.sensitivity]
        said = "Boxes show how strongly a state depends on the first input"
        if unmeasured:
            names = ", ".join(cut(_own(self.flow, name), _SMALL, 90) for name in unmeasured[:8])
            names += f" and {len(unmeasured) - 8} others" if len(unmeasured) > 8 else ""
            loss = "how strongly the loss depends on a state"
            said = f"{said}, or {loss} where that was not measured ({names})"
            if len(unmeasured) == len(flow.states):
                said = f"Boxes show {loss}; how strongly it depends on the first input was not measured"
        said += ", as a share of the largest of the row; dashes: below 1 %."
        top = self.wrapped(said, 43) + 15
        for number, name in enumerate(flow.states):
            self.row(number, name, top)
            top += _ROW
        top += 2
        strips: list[Strip] = []
        for name, norms in flow.states.items():
            shown = cut(_own(self.flow, name), _TEXT, 90)
            strips.append(Strip(_of_loss(shown), norms[1:], "gradient"))
            if name in flow.sensitivity:
                strips.append(Strip(_of_input(shown), flow.sensitivity[name], "sensitivity"))
        gates = self.drawing.gates
        strips += [Strip([f"mean of {cut(name, _TEXT, 90)}", "t"], flow.values[name], "gate") for name in gates]
        for number, strip in enumerate(strips):
            self.strip(number, strip, top)
            top += STRIP + self.over
        self.times(top - BETWEEN)
        height = round(top + _MARGIN + 4, 2)
        return Scene(self.width, height, tuple(self.items), title, _words(flow, self.steps), paper=theme.paper)

    # ---- rows of boxes -------------------------------------------------------------------------

    def row(self, number: int, name: str, top: float) -> None:
        theme = self.theme
        measured = name in self.flow.sensitivity
        values = self.flow.sensitivity[name] if measured else self.flow.states[name][1:]
        values = numpy.asarray(values, dtype="float64")
        quantity = _of_input if measured else _of_loss
        name = _own(self.flow, name)
        what = quantity(printable(name))
        colour = theme.value if measured else theme.gradient
        finite = values[numpy.isfinite(values)]
        largest = float(finite.max(initial=0.0))
        shares = numpy.clip(values / largest if largest > 0 else numpy.zeros_like(values), 0.0, 1.0)
        width = round(min(self.column * 0.64, 44.0), 2)
        middle = top + _BOX / 2
        label = subscripted([cut(name, _TEXT, 30), "t"], _TEXT, theme.ink)
        self.write(label, _MARGIN, middle + 3.5)
        self.write(subscripted(quantity(cut(name, _SMALL, 30)), _SMALL, theme.quiet), _MARGIN, top + _BOX + 10)
        if measured:
            entry = subscripted(["x", "1"], _SMALL, theme.ink)
            end = self.left - 14
            self.write(entry, end - entry.width - 2, middle + 3)
            self.arrow(f"link-{number}-x", end, self.left + (self.column - width) / 2, middle)
        before = 0.0
        for first, last, left, span in self.places():
            alone = first == last
            broad = width if alone else span - (self.column - width)
            box = Box(*(round(v, 2) for v in (left + (span - broad) / 2, top, left + (span + broad) / 2, top + _BOX)))
            drawn: list[Item] = []
            part = shares[first - 1 : last]
            known = numpy.isfinite(values[first - 1 : last]).all()
            bands = reduced(numpy.nan_to_num(part), 12)
            for k, share in enumerate(bands):
                ends = [round(box.left + (box.right - box.left) * j / len(bands), 2) for j in (k, k + 1)]
                if not alone:
                    drawn.append(rounded(Box(ends[0], top, ends[1], box.bottom), 0, fill=theme.mixed(colour, share)))
            faded = bool((part < _FADED).all())
            fill = theme.mixed(colour, float(part[0])) if alone and known else theme.paper if alone else ""
            drawn.append(
                rounded(
                    box, 4 if alone else 0, fill=fill, stroke=theme.ink if known else theme.wrong,
                    width=1.0 if known else 2.0, dash=(3.0, 2.0) if faded and known else (),
                )
            )  # fmt: skip
            if alone:
                inside = subscripted([cut(name, _TEXT, 200), str(first)], _TEXT, readable(fill, theme))
                if inside.width > broad - 4:
                    inside = text_label(str(first), _SMALL, readable(fill, theme))
                drawn += inside.centred((box.left + box.right) / 2, middle)
                said = short(float(values[first - 1]), self.column - 5)
            else:
                ends = [short(float(values[t - 1]), self.column - 5) for t in (first, last)]
                said = f"t = {first} … {last}: {ends[0]} … {ends[1]}"
            below = text_label(said, _TINY, theme.ink)
            drawn += below.at(round(left + (span - below.width) / 2, 2), round(box.bottom + 10, 2))
            title = f"{printable(name)}_{first}: " if alone else f"{printable(name)}, t = {first} … {last}: "
            numbers = [number_text(values[t - 1]) for t in dict.fromkeys((first, last))]
            title += f"{plain_text(what)} = {' … '.join(numbers)}"
            self.items.append(Group(tuple(drawn), id=f"state-{number}-{first}", classes="state", title=title))
            if before:
                self.arrow(f"link-{number}-{first}", before, box.left, middle)
            before = box.right

    def places(self) -> Iterator[tuple[int, int, float, float]]:
        """First and last step, left end and width of each box of a row."""
        if not self.folded:
            for t in range(1, self.steps + 1):
                yield t, t, self.left + (t - 1) * self.column, self.column
            return
        for t in range(1, _ENDS + 1):
            yield t, t, self.left + (t - 1) * self.column, self.column
        yield _ENDS + 1, self.steps - _ENDS, self.left + _ENDS * self.column, _FOLD * self.column
        for k in range(_ENDS):
            left = self.left + (_ENDS + _FOLD + k) * self.column
            yield self.steps - _ENDS + 1 + k, self.steps - _ENDS + 1 + k, left, self.column

    def arrow(self, name: str, start: float, end: float, y: float) -> None:
        ink = self.theme.wire
        start, end = round(start + 0.8, 2), round(end - 0.8, 2)
        head = Path((("M", end, y), ("L", end - 5, y - 2.6), ("L", end - 5, y + 2.6), ("Z",)), fill=ink)
        self.items.append(Group((line(start, y, end - 4, y, ink, 1.1), head), id=name, classes="link"))


def _own(flow: Flow, name: str) -> str:
    """Name of a state without that of its layer, where no other state has it."""
    short = name.rpartition(".")[2]
    return short if sum(other.rpartition(".")[2] == short for other in flow.states) == 1 else name


def _words(flow: Flow, steps: int) -> str:
    said = [f"States of {printable(flow.name)} over {steps} step{'s' * (steps > 1)}."]
    for name, norms in flow.states.items():
        own = printable(_own(flow, name))
        rows = [(f"|dL/d{own}_t|", norms[1:])]
        if name in flow.sensitivity:
            rows.append((f"|d{own}_t/dx_1|", flow.sensitivity[name]))
        said += [f"{what} is {number_text(n[0])} at the first, {number_text(n[-1])} at the last." for what, n in rows]
    return " ".join(said)
