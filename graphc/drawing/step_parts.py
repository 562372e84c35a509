"""What a recurrence is made of: columns of steps, and the cell as a box or with its operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphc.drawing.fonts import printable, text_label, text_width
from graphc.drawing.path_picture import cell_picture, operation_sizes
from graphc.drawing.scene import Group, Item, moved
from graphc.drawing.strand_layout import place

if TYPE_CHECKING:
    from graphc.drawing.recurrence import RecurrenceDrawing

__all__ = ["INPUT", "ROW", "TITLE", "Cell", "Column", "boxed", "columns_of", "gated"]

TITLE = 13.0  # font size
ROW, INPUT = 54.0, 46.0  # points: from one state to the next below it; room for an input


@dataclass(frozen=True)
class Column:
    """Steps ``first`` to ``last``, from 0, drawn as one; how they, their states and their inputs are numbered."""

    first: int
    last: int
    said: str
    low: str
    read: str

    @property
    def folded(self) -> bool:
        """Whether it stands for several steps."""
        return self.last > self.first


def columns_of(drawing: RecurrenceDrawing) -> tuple[str, list[Column]]:
    """How the states before the first step are numbered, and the columns."""
    count, down, begin = drawing.steps, drawing.backward, drawing.begin
    if drawing.view == "rolled":
        return "t−1", [Column(0, 0, "t", "t", "t")]
    if drawing.view == "unrolled":
        assert isinstance(count, int)
        names = [str(count - k if down else k + 1 + begin) for k in range(count)]
        return str(count + 1) if down else str(begin), [Column(k, k, f"t = {n}", n, n) for k, n in enumerate(names)]
    last = count if isinstance(count, int) else 3  # of a number that is not known only the ends are drawn
    if down:
        return "T+1", [
            Column(0, 0, "t = T", "T", "T"),
            Column(1, last - 2, "t = T−1 … 2", "2", "T−1 … 2"),
            Column(last - 1, last - 1, "t = 1", "1", "1"),
        ]
    one, two = str(1 + begin), str(2 + begin)
    return str(begin), [
        Column(0, 0, f"t = {one}", one, one),
        Column(1, last - 2, f"t = {two} … T−1", "T−1", f"{two} … T−1"),
        Column(last - 1, last - 1, "t = T", "T", "T"),
    ]


@dataclass(frozen=True)
class Cell:
    """The cell at the origin: a box with its contents, where states enter and leave it, and where inputs arrive."""

    width: float
    height: float
    enter: tuple[float, ...]
    leave: tuple[float, ...]
    given: tuple[float, ...]  # heights at which outputs leave on the right
    items: tuple[Item, ...]
    inputs: bool  # whether inputs arrive from below
    read: tuple[tuple[str, float, float], ...] = ()  # names of inputs inside of the box, and where they stand


def boxed(drawing: RecurrenceDrawing) -> Cell:
    """The cell as a box with its name."""
    states, inputs = len(drawing.states), len(drawing.inputs)
    width = max(58.0, text_width(printable(drawing.symbol, 16), TITLE, True) + 16, INPUT * inputs + 14)
    height = max(ROW * states - 8, 40.0)
    rows = tuple(23.0 + ROW * k for k in range(states))
    said = text_label(printable(drawing.symbol, 16), TITLE, drawing.theme.ink, bold=True)
    return Cell(width, height, rows, rows, (), said.centred(width / 2, height / 2), True)


def gated(drawing: RecurrenceDrawing) -> Cell:
    """The operations of a step in a frame; states are points of its rim."""
    assert drawing.strands is not None
    strands, count = drawing.strands, len(drawing.states)
    sizes = operation_sizes(strands)
    for o in strands.operations:
        if o.kind == "sink" or (o.kind == "source" and o.state >= 0):
            sizes[o.number] = (0.0, ROW / 2 - 8, ROW / 2 - 8)
    placed = place(strands, sizes, {}, 30.0)
    rim = 12.0
    ends = {o.number for o in strands.operations if o.kind != "operation"}
    read = [(o.symbol, placed.boxes[o.number]) for o in strands.of_kind("source") if o.state < 0]
    picture = cell_picture(strands, {}, drawing.theme, placed, backward=False)
    kept = [i for i in picture if not (isinstance(i, Group) and i.id in {f"gate-{n}" for n in ends})]

    def heights(kind: str, state: int) -> list[float]:
        return [
            round((b.top + b.bottom) / 2 + rim, 2)
            for o in strands.operations
            if o.kind == kind and o.state == state
            for b in [placed.boxes[o.number]]
        ]

    middle = placed.height / 2 + rim
    enter = tuple((heights("source", k) or [middle])[0] for k in range(count))
    leave = tuple((heights("sink", k) or [middle])[0] for k in range(count))
    return Cell(
        placed.width, placed.height + 2 * rim, enter, leave, tuple(heights("sink", -1)),
        tuple(moved(i, 0.0, rim) for i in kept), False,
        tuple((name, (b.left + b.right) / 2, (b.top + b.bottom) / 2 + rim) for name, b in read),
    )  # fmt: skip
