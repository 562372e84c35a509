"""Where everything of a recurrence stands: steps on a regular grid, weights in lanes below them, strips over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy

from graphc.drawing.boxes import Boxes
from graphc.drawing.cell_lines import pieces
from graphc.drawing.fonts import number_text, printable, text_label
from graphc.drawing.scene import Box, Command, Group, Item, Path, Scene, moved, rounded
from graphc.drawing.step_parts import INPUT, TITLE, Column, boxed, columns_of, gated
from graphc.drawing.strips import BETWEEN, STRIP, Strip, cut, lowered, readable, subscripted

if TYPE_CHECKING:
    from graphc.drawing.recurrence import RecurrenceDrawing, Weight

__all__ = ["recurrence_scene"]

_MARGIN, _LEFT, _RIGHT = 16.0, 112.0, 104.0  # points: around the page, and beside the steps
_TEXT, _SMALL, _TINY = 10.5, 9.0, 7.5  # font sizes
_ARROW = 22.0  # length of an arrow
_NODE, _BROAD, _TALL = 42.0, 84.0, 26.0  # least and largest width of a state, and its height
_STUB = 22.0
_CHIP, _LANE = 74.0, 43.0  # width of a weight, and height of its lane
_SHORT = 30.0  # height of a weight
_WIDE, _ASPECT = 1250.0, 1.4  # steps stand in one line up to this width; more of them on a page of this form
_LINE = 17.0  # from one equation to the next
_FADED = 0.01
_LOOP, _SQUARE = 15.0, 8.0  # between loops; side of the mark of a delay


class _Page(Boxes):
    """Places columns of steps, line after line."""

    def __init__(self, drawing: RecurrenceDrawing) -> None:
        self.drawing = drawing
        self.cell = boxed(drawing) if drawing.strands is None else gated(drawing)
        self.before, self.columns = columns_of(drawing)
        lows = [c.low for c in self.columns]
        longest = max(subscripted([n, low], _TEXT, "").width for n in drawing.states for low in (lows[0], lows[-1]))
        self.node_width = min(max(longest + 14, _NODE), _BROAD)
        self.pitch = self.cell.width + 2 * _ARROW + self.node_width
        self.upper = _STUB
        if drawing.outputs and self.cell.inputs:
            self.upper += _STUB + 6
        if drawing.view == "rolled":
            self.upper += _LOOP * len(drawing.states) + 12
        below = 4.0
        if self.cell.inputs and drawing.inputs:
            below = _ARROW + _TALL + (12.0 if drawing.reaching else 2.0)
        self.lanes_at = self.upper + self.cell.height + below + 10
        self.line_height = self.lanes_at + _LANE * len(drawing.weights) + 14
        self.beside = min(len(self.columns), drawing.columns or self.fitting())
        right = round(_LEFT + self.beside * self.pitch, 2)
        steps = drawing.steps if isinstance(drawing.steps, int) else 1
        left, end = _LEFT, max(right, 520.0)
        if drawing.view == "unrolled" and self.beside == len(self.columns):  # each bar below its state
            left += self.pitch / 2 - self.node_width / 2
            end = left + steps * self.pitch
        super().__init__(drawing.theme, steps, round(left, 2), round(end, 2), (end - left) / steps < 30.0)
        self.begin, self.down, self.digits = drawing.begin, drawing.backward, drawing.digits
        self.width = max(right + _RIGHT, self.right + _MARGIN, 560.0)
        self.equations = [subscripted(pieces(printable(line, 200)), _TEXT, drawing.theme.ink) for line in drawing.lines]
        self.beside_loops = right + _LOOP * len(drawing.states) + 34
        if self.equations:
            widest = max(label.width for label in self.equations)
            self.width = max(self.width, self.beside_loops + widest + _MARGIN)
            self.line_height = max(self.line_height, _LINE * len(self.equations) + 40)

    def fitting(self) -> int:
        """Steps beside each other: all of them if they fit, else as many as make a page."""
        count = len(self.columns)
        if _LEFT + count * self.pitch + _RIGHT <= _WIDE:
            return count

        def form(beside: int) -> float:
            width = _LEFT + beside * self.pitch + _RIGHT
            return abs(math.log(width / (self.line_height * math.ceil(count / beside)) / _ASPECT))

        return min(range(1, count + 1), key=form)

    # ---- the whole -----------------------------------------------------------------------------------

    def scene(self) -> Scene:
        drawing, theme = self.drawing, self.theme
        self.write(
            text_label(cut(drawing.title, TITLE, self.width - 2 * _MARGIN), TITLE, theme.ink, bold=True), _MARGIN, 26
        )
        top = 30.0
        for said in self.remarks():
            top += 13
            self.write(text_label(cut(said, _SMALL, self.width - 2 * _MARGIN), _SMALL, theme.quiet), _MARGIN, top)
        top += 12
        lines = [self.columns[k : k + self.beside] for k in range(0, len(self.columns), self.beside)]
        for number, line in enumerate(lines):
            self.line(line, top, number == 0, number == len(lines) - 1)
            top += self.line_height
        for k, label in enumerate(self.equations):
            self.write(label, self.beside_loops, top - self.line_height + 40 + k * _LINE)
        if drawing.flow is not None and isinstance(drawing.steps, int):
            top = self.strips(top + 6)
        height = round(top + 4, 2)
        return Scene(round(self.width, 2), height, tuple(self.items), drawing.title, _words(drawing), paper=theme.paper)

    def remarks(self) -> list[str]:
        drawing = self.drawing
        found = []
        if drawing.view == "rolled":
            found.append("black square: a delay of one step")
        flow = drawing.flow
        if flow is not None and drawing.view != "rolled":
            measured = any(key in flow.sensitivity for key in drawing.keys)
            said = (
                "above a state and as its shade |ds/dx|: how strongly it depends on the first input; "
                if measured
                else ""
            )
            found.append(f"{said}below it |dL/ds|: how strongly the loss depends on it")
            faint = "less than 1 % of the largest dependence is left"
            found += [f"dashed outline: {faint}"] if measured else []
        if flow is not None and drawing.weights:
            arrays = any(not w.scalar for w in drawing.weights)
            term = "norm of what the step adds to the gradient" if arrays else "what the step adds to the gradient"
            whole = "at the end of a line the norm of the sum" if arrays else "at the end of a line the sum"
            if drawing.view == "rolled":
                found.append(
                    "below a weight: " + ("norm of its gradient, a sum over all steps" if arrays else "its gradient")
                )
            else:
                found.append(f"below a weight: {term}; {whole}")
        if drawing.begin:
            found.append(
                f"step 1 is not like the others and stands outside: the loop begins at t = {1 + drawing.begin}"
            )
        if drawing.strands is not None:
            found.append("inside: solid lines are linear paths, dashed ones are not")
        if drawing.hidden:
            found.append(f"{drawing.hidden} more states are not drawn")
        return found

    def line(self, columns: Sequence[Column], top: float, first: bool, last: bool) -> None:
        """A line of steps with the lanes of the weights below."""
        drawing = self.drawing
        origin = round(top + self.upper, 2)
        for k, state in enumerate(drawing.states):
            y = round(origin + self.cell.enter[k], 2)
            entry = round(_LEFT + _ARROW, 2)
            if drawing.view == "rolled":
                continue
            if first:
                box = Box(_LEFT - self.node_width, y - _TALL / 2, _LEFT, y + _TALL / 2)
                label = self.named(state, self.before, self.node_width - 6, self.theme.ink)
                self.node(
                    box, label, f"state-{k}-start", "state initial", f"{state} before the first step", self.theme.paper
                )
                self.number_below(f"state-{k}-start", box, self.start_gradient(k))
                self.arrow(f"link-{k}-start", [(_LEFT, y), (entry, y)])
            else:  # the line goes on from the one above
                before = self.columns[self.columns.index(columns[0]) - 1].low
                label = subscripted([cut(state, _TEXT, self.node_width), before], _TEXT, self.theme.quiet)
                self.write(label, _LEFT - 8 - label.width, y + 3.5)
                self.arrow(f"link-{k}-{columns[0].first}-on", [(_LEFT - 4, y), (entry, y)])
        for position, column in enumerate(columns):
            left = round(_LEFT + position * self.pitch, 2)
            self.step(
                column,
                left,
                origin,
                last_of_all=last and position == len(columns) - 1,
                ends_line=position == len(columns) - 1,
            )
        for number, weight in enumerate(drawing.weights):
            self.lane(number, weight, columns, round(top + self.lanes_at + number * _LANE, 2), first, last)

    def step(self, column: Column, left: float, origin: float, *, last_of_all: bool, ends_line: bool) -> None:
        """One step: the cell, what it reads and what it gives."""
        drawing, theme, cell = self.drawing, self.theme, self.cell
        at = column.first
        x = round(left + _ARROW, 2)
        frame = Box(x, origin, round(x + cell.width, 2), round(origin + cell.height, 2))
        drawn: list[Item] = []
        fill = theme.local_fill if cell.inputs else ""
        if column.folded:
            for shift in (6.0, 3.0):  # sheets behind, of which two edges are seen
                left, top = round(frame.left + shift, 2), round(frame.top - shift, 2)
                right, bottom = round(frame.right + shift, 2), round(frame.bottom - shift, 2)
                edges: tuple[Command, ...] = (
                    ("M", left, frame.top), ("L", left, top), ("L", right, top), ("L", right, bottom),
                    ("L", frame.right, bottom),
                )  # fmt: skip
                drawn.append(Path(edges, stroke=theme.quiet, width=0.9))
        stroke = theme.ink if cell.inputs else theme.frame
        drawn.append(rounded(frame, 5, fill=fill, stroke=stroke, width=1.2))
        contents = tuple(_renamed(moved(i, x, origin), f"{at}-") for i in cell.items)
        drawn += contents
        for k, (name, across, down) in enumerate(cell.read):
            label = self.named(name, column.read, 36.0, theme.ink)
            placed = label.centred(x + across, origin + down)
            drawn.append(Group(placed, f"input-{k}-{at}", "input", f"{printable(name)}, {column.said}"))
        self.group(drawn, f"cell-{at}", "cell", f"{drawing.symbol}, {column.said}")
        if drawing.view != "rolled":
            said = text_label(column.said, _SMALL, theme.quiet)
            middle = frame.left + cell.width / 2 - said.width / 2
            self.write(said, frame.left + 2 if drawing.outputs and cell.inputs else middle, origin - 9)
        for k, state in enumerate(drawing.states):
            self.state(k, state, column, frame, origin, last_of_all=last_of_all, ends_line=ends_line)
        if cell.inputs:
            self.read(column, frame)
            for k, output in enumerate(drawing.outputs):
                middle = frame.left + cell.width * (k + 1) / (len(drawing.outputs) + 1)
                label = self.named(output, column.low if not column.folded else column.read, 60, theme.ink)
                y = origin - self.upper + 4
                half = max(INPUT / 2, label.width / 2 + 5)
                box = Box(round(middle - half, 2), y, round(middle + half, 2), y + 22)
                self.node(box, label, f"output-{k}-{at}", "output", f"{output}, {column.said}", theme.paper)
                self.arrow(
                    f"link-output-{k}-{at}", [(middle, origin - (6 if column.folded else 0)), (middle, box.bottom)]
                )
        else:
            for k, y in enumerate(cell.given):
                output = drawing.outputs[k] if k < len(drawing.outputs) else "y"
                label = self.named(output, column.low, self.node_width - 6, theme.ink)
                where = frame.right + _ARROW
                box = Box(where, origin + y - 11, where + self.node_width, origin + y + 11)
                self.node(box, label, f"output-{k}-{at}", "output", f"{output}, {column.said}", theme.paper)
                self.arrow(f"link-output-{k}-{at}", [(frame.right, origin + y), (where, origin + y)])

    def state(
        self, k: int, state: str, column: Column, frame: Box, origin: float, *, last_of_all: bool, ends_line: bool
    ) -> None:
        """A state behind a step, shaded by how much of the first input is left in it."""
        drawing, theme, cell = self.drawing, self.theme, self.cell
        y = round(origin + cell.leave[k], 2)
        box = Box(frame.right + _ARROW, y - _TALL / 2, frame.right + _ARROW + self.node_width, y + _TALL / 2)
        last = column.last
        fill, dash, above, below = theme.paper, (), None, None
        flow = drawing.flow
        if flow is not None and drawing.view != "rolled":
            key = drawing.keys[k]
            below = float(flow.states[key][last + 1])
            sensitivity = flow.sensitivity.get(key)
            if sensitivity is not None:
                above = float(sensitivity[last])
                finite = sensitivity[numpy.isfinite(sensitivity)]
                largest = float(finite.max(initial=0.0))
                share = min(above / largest, 1.0) if largest > 0 and math.isfinite(above) else 0.0
                fill = theme.mixed(theme.value, share)
                dash = (3.0, 2.0) if share < _FADED and math.isfinite(above) else ()
        label = self.named(state, column.low, self.node_width - 6, readable(fill, theme))
        title = f"{printable(state)}_{column.low}"
        title += f": |d{printable(state)}/dx_1| = {number_text(above)}" if above is not None else ""
        title += f"; |dL/d{printable(state)}| = {number_text(below)}" if below is not None else ""
        name = f"state-{k}-{column.first}"
        wrong = any(number is not None and not math.isfinite(number) for number in (above, below))
        self.node(box, label, name, "state", title, fill, dash, wrong)
        if above is not None:
            said = text_label(
                self.fitted(above, self.node_width + 14, _TINY), _TINY, theme.value, id=f"{name}-value", classes="value"
            )
            self.write(said, (box.left + box.right) / 2 - said.width / 2, box.top - 3.5)
        self.number_below(name, box, below)
        self.arrow(f"link-{k}-{column.first}-out", [(frame.right + (6 if column.folded else 0), y), (box.left, y)])
        entry = origin + cell.enter[k]
        if drawing.view == "rolled":
            self.loop(k, box, frame, origin)
        elif not ends_line:
            start = (box.right, y)
            stop = (box.right + _ARROW, round(entry, 2))
            if cell.inputs:
                self.arrow(f"link-{k}-{column.first}-next", [start, stop])
            else:
                self.curve(f"link-{k}-{column.first}-next", start, stop)
        elif not last_of_all or k in drawing.ends:
            self.arrow(f"link-{k}-{column.first}-next", [(box.right, y), (box.right + _ARROW, y)])
            if last_of_all:
                said = text_label(self.goal(), _SMALL, theme.quiet)
                self.write(said, box.right + _ARROW + 4, y + 3.2)
        if k == 0 and k in drawing.shown and cell.inputs and drawing.view != "rolled":
            middle = (box.left + box.right) / 2
            begin = box.top - (13.0 if above is not None else 0.0)
            self.arrow(f"link-{k}-{column.first}-up", [(middle, begin), (middle, origin - self.upper + 2)])
            said = text_label(self.goal(), _TINY, theme.quiet)
            self.write(said, middle + 6, origin - self.upper + 9)

    def loop(self, k: int, box: Box, frame: Box, origin: float) -> None:
        """From a state round to where it enters the cell, with the mark of a delay."""
        y = (box.top + box.bottom) / 2
        rank = sum(other < self.cell.leave[k] for other in self.cell.leave)  # the uppermost is the innermost
        right = box.right + 14 + _LOOP * rank
        left = frame.left - _ARROW - 6 - _LOOP * rank
        up = origin - 16 - _LOOP * rank
        entry = origin + self.cell.enter[k]
        self.arrow(
            f"link-{k}-loop", [(box.right, y), (right, y), (right, up), (left, up), (left, entry), (frame.left, entry)]
        )
        middle = (box.left + box.right) / 2  # beside the arrows of outputs
        half = _SQUARE / 2
        mark = rounded(Box(middle - half, up - half, middle + half, up + half), 0, fill=self.theme.ink)
        self.group([mark], f"delay-{k}", "delay", "a delay of one step")

    def read(self, column: Column, frame: Box) -> None:
        """Inputs below the cell."""
        drawing, theme = self.drawing, self.theme
        count = len(drawing.inputs)
        for k, name in enumerate(drawing.inputs):
            label = self.named(name, column.read, 64.0, theme.ink)
            half = max((INPUT - 6) / 2, label.width / 2 + 6 if count == 1 else 0.0)
            middle = (frame.left + frame.right) / 2 + (k - (count - 1) / 2) * INPUT
            middle = max(middle, frame.left + 12 + half)  # clear of the line of the weights
            top = round(frame.bottom + _ARROW, 2)
            box = Box(round(middle - half, 2), top, round(middle + half, 2), top + _TALL)
            self.node(
                box, label, f"input-{k}-{column.first}", "input", f"{printable(name)}, {column.said}", theme.paper
            )
            self.arrow(f"link-input-{k}-{column.first}", [(middle, top), (middle, frame.bottom)])
            norms = drawing.reaching.get(name)
            if norms is not None and not column.folded and drawing.view != "rolled":
                self.number_below(f"input-{k}-{column.first}", box, float(norms[column.first]))

    def goal(self) -> str:
        """Where states that leave the repeat go."""
        return f"to {cut(self.drawing.loss, _SMALL, 60)}"

    def start_gradient(self, k: int) -> float | None:
        flow = self.drawing.flow
        return float(flow.states[self.drawing.keys[k]][0]) if flow is not None else None

    # ---- weights -------------------------------------------------------------------------------------

    def lane(self, number: int, weight: Weight, columns: Sequence[Column], top: float, first: bool, last: bool) -> None:
        """The clones of a weight with what each step adds to its gradient, and the sum."""
        drawing, theme = self.drawing, self.theme
        middle = top + _SHORT / 2
        if first:
            name = cut(weight.name, _TEXT, _LEFT - _MARGIN - 34)
            self.write(subscripted(lowered(f"dL/d{name}"), _TEXT, theme.ink), _MARGIN, middle - 2)
            self.write(text_label("= sum over t", _SMALL, theme.quiet), _MARGIN, middle + 10)
        for position, column in enumerate(columns):
            frame_left = _LEFT + position * self.pitch + _ARROW
            trunk = round(frame_left + 4, 2)
            left = round(trunk + 10, 2)
            box = Box(left, top, round(left + _CHIP, 2), top + _SHORT)
            value: float | None = None
            if weight.terms is not None:
                value = weight.between if column.folded else float(weight.terms[column.first])
                value = weight.total if drawing.view == "rolled" else value
            bars = "" if weight.scalar or value is None else "norm of "
            title = f"{printable(weight.name)}, {column.said}" + (
                f": {bars}dL/d· = {number_text(value)}" if value is not None else ""
            )
            self.chip(box, weight.name, value, weight.scalar, f"weight-{number}-{column.first}", "weight", title)
            begin = self.cell.height + self.upper + top - self.lanes_at - number * _LANE
            if number == 0:
                lowest = top + (len(drawing.weights) - 1) * _LANE + _SHORT / 2
                self.arrow(f"trunk-{column.first}", [(trunk, lowest), (trunk, begin)])
            self.arrow(f"tap-{number}-{column.first}", [(left, middle), (trunk, middle)], head=False)
            if position < len(columns) - 1 or not last:
                plus = text_label("+", TITLE, theme.gradient)
                between = (box.right + left + self.pitch - 10) / 2 if position < len(columns) - 1 else box.right + 14
                self.write(plus, between - plus.width / 2, middle + 4.5)
        if last and drawing.view != "rolled":
            left = round(_LEFT + (len(columns) - 1) * self.pitch + _ARROW + 14 + _CHIP + 26, 2)
            equals = text_label("=", TITLE, theme.gradient)
            self.write(equals, left - 13 - equals.width / 2, middle + 4.5)
            box = Box(left, top, left + _CHIP, top + _SHORT)
            value = weight.total if weight.terms is not None else None
            said = f"dL/d{weight.name}"
            title = f"the sum over all steps: dL/d{printable(weight.name)}" + (
                f" = {number_text(value)}" if value is not None else ""
            )
            self.chip(box, said, value, weight.scalar, f"sum-{number}", "sum", title)
            if weight.outside:
                note = text_label(
                    f"+ {self.fitted(weight.outside, 34, _TINY)} outside", _TINY, theme.gradient, italic=True
                )
                self.write(note, box.left, box.bottom + 8.0)

    def chip(self, box: Box, said: str, value: float | None, scalar: bool, name: str, classes: str, title: str) -> None:
        theme = self.theme
        total = classes == "sum"
        fill = theme.card_fills[1] if not total else theme.paper
        drawn: list[Item] = [rounded(box, 3, fill=fill, stroke=theme.ink, width=1.6 if total else 0.9)]
        middle = (box.left + box.right) / 2
        label = subscripted(lowered(cut(said, _SMALL, _CHIP - 8)), _SMALL, theme.ink)
        if value is None:
            drawn += label.centred(middle, (box.top + box.bottom) / 2)
        else:
            drawn += label.at(round(middle - label.width / 2, 2), round(box.top + 12, 2))
            number = self.fitted(value, _CHIP - 20, _SMALL)
            number = number if scalar else f"|·| {number}"
            below = text_label(number, _SMALL, theme.gradient, italic=True, id=f"{name}-grad", classes="grad")
            drawn += below.at(round(middle - below.width / 2, 2), round(box.bottom - 5, 2))
        self.group(drawn, name, classes, title)

    # ---- strips --------------------------------------------------------------------------------------

    def strips(self, top: float) -> float:
        flow = self.drawing.flow
        assert flow is not None
        found = []
        for name, key in zip(self.drawing.states, self.drawing.keys, strict=False):
            shown = cut(name, _TEXT, 90)
            found.append(Strip([f"|dL/d{shown}", "t", "|"], flow.states[key][1:], "gradient"))
            if key in flow.sensitivity:
                first = "T" if self.drawing.backward else str(1 + self.drawing.begin)
                found.append(Strip([f"|d{shown}", "t", "/dx", first, "|"], flow.sensitivity[key], "sensitivity"))
        for number, strip in enumerate(found):
            self.strip(number, strip, top)
            top += STRIP + self.over
        self.times(top - BETWEEN)
        return top + _MARGIN


def _renamed(item: Item, prefix: str) -> Item:
    """A copy whose ids are of one step."""
    if not isinstance(item, Group) or not item.id:
        return item
    stem, _, rest = item.id.partition("-")
    return Group(item.items, f"{stem}-{prefix}{rest}", item.classes, item.title, item.node, item.appears, item.vanishes)


def _words(drawing: RecurrenceDrawing) -> str:
    said = [f"A cell with the states {', '.join(map(printable, drawing.states))}, {drawing.view}."]
    if drawing.weights:
        names = ", ".join(printable(w.name) for w in drawing.weights)
        said.append(f"Every step has its own copy of {names}; their gradients are sums over the steps.")
    flow = drawing.flow
    if flow is not None:
        for name, key in zip(drawing.states, drawing.keys, strict=False):
            norms = flow.states[key]
            numbers = f"{number_text(norms[1])} at the first step, {number_text(norms[-1])} at the last"
            said.append(f"|dL/d{printable(name)}_t| is {numbers}.")
    return " ".join(said)


def recurrence_scene(drawing: RecurrenceDrawing) -> Scene:
    """Return the picture of a recurrence."""
    return _Page(drawing).scene()
