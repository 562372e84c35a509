"""A convolution as a product of matrices: the sparse matrix of shared weights, and patches times filters.

Each colour is one weight. One frame for each row of the product.
"""

from __future__ import annotations

from math import prod

import numpy

from graphc.drawing.fonts import printable, text_label
from graphc.drawing.grids import Grid, cell_width, numbered, said, tints
from graphc.drawing.scene import Group, Item, Path, Scene
from graphc.drawing.theme import Theme
from graphc.drawing.window import Sliding
from graphc.errors import DrawingError

__all__ = ["patches_scene", "toeplitz_scene"]

_MARGIN, _TITLE, _TEXT, _NUMBER = 18.0, 14.0, 10.5, 9.0
_HEIGHT, _LEAST = 16.0, 16.0  # of a cell
_GAP = 26.0
#: Most rows and columns of a matrix that are drawn.
_ROWS, _COLUMNS = 64, 64

Array = numpy.ndarray
_Table = tuple[tuple[str, ...], ...]


def toeplitz_scene(sliding: Sliding, *, theme: Theme, digits: int, map: int, at: int | None) -> Scene:
    """Draw ``y = T x``: all outputs as a column, a sparse matrix, and the input as a column.

    Raises
    ------
    DrawingError
        If the matrix has more than 64 rows or columns.
    """
    page = _Page(sliding, theme, digits)
    rows, columns = sliding.output.size, sliding.input.size
    page.check("toeplitz", rows, columns)
    height, width = sliding.input.shape[1:]
    cells = [[""] * columns for _ in range(rows)]
    colours: dict[tuple[int, int], str] = {}
    kinds = tints(sliding.filters.size, theme)
    uses: list[list[tuple[int, int]]] = []
    for row in range(rows):
        inside = sliding.values(row)[2]
        channel, i, j = sliding.read[row].T
        places = (channel * height + i % height) * width + j % width
        kept = [
            (int(c), int(e)) for c, e, there in zip(places.tolist(), sliding.element[row], inside, strict=True) if there
        ]
        uses.append(kept)
        for column, element in kept:
            weight = said(sliding.filters.ravel()[element], digits)
            cells[row][column] = f"{cells[row][column]}+{weight}" if cells[row][column] else weight
            colours[row, column] = kinds[element]
    matrix, column = tuple(tuple(row) for row in cells), tuple((t,) for t in _column(sliding.input, digits))
    result = tuple((t,) for t in _column(sliding.output, digits))
    filled = len(colours)
    used = len({element for row in uses for _, element in row})
    rule = f"y = T x: {used} weight{'s' * (used > 1)} fill {filled} of {rows * columns} entries; the others are 0"
    page.head(f"{page.name} as a sparse matrix", rule)
    top = page.top
    y = page.grid("y", result, _MARGIN, top)
    t = page.grid("matrix", matrix, y.right + _GAP, top)
    x = page.grid("x", column, t.right + _GAP, top)
    page.sign("=", y.right, t.left, t)
    page.sign("·", t.right, x.left, t)
    page.items += t.fills(colours)
    block = prod(sliding.places)
    page.put(y, (sliding.places[-1], 0) if len(sliding.places) > 1 else (0, 0), theme.ink)
    page.put(t, (sliding.places[-1] if len(sliding.places) > 1 else 0, width if height > 1 else 0), theme.ink)
    page.put(x, (width if height > 1 else 0, 0), theme.ink)
    for number in range(1, sliding.maps):
        for grid in (y, t):
            page.items.append(grid.outline(number * block, 0, 0, grid.columns, theme.wire, 1.4))
    for grid, text in ((y, "y"), (t, f"T   {rows} × {columns}"), (x, "x")):
        page.title_over(grid, text)
    low = t.bottom + _GAP + 4
    end = page.legend(kinds, _MARGIN, low, t.right)
    inputs = page.beside("x", "x, row by row", sliding.input, end + _GAP, low, t.right)
    results = page.beside("y", "y, row by row", sliding.output, inputs[-1].right + _GAP, low, t.right) if inputs else []
    page.extend(x)
    chosen = [at + map * block] if at is not None else range(rows)
    for frame, row in enumerate(chosen):
        marks = [y.outline(row, 0, 1, 1, theme.value), t.outline(row, 0, 1, columns, theme.value)]
        marks += [x.outline(c, 0, 1, 1, theme.value) for c, _ in uses[row]]
        for grids, seen in ((inputs, [c for c, _ in uses[row]]), (results, [row])):
            for plane, i, j in (_place(k, grids) for k in (seen if grids else ())):
                marks.append(grids[plane].outline(i, j, 1, 1, theme.value, 1.4))
        page.step(frame, len(chosen), row, marks)
    return page.scene(f"Convolution {page.name} as a sparse matrix", rule, len(chosen))


def patches_scene(
    sliding: Sliding,
    *,
    theme: Theme,
    digits: int,
    map: int,  # noqa: ARG001 - all maps are drawn
    at: int | None,
) -> Scene:
    """Draw what the window sees at each place as the rows of a matrix, times the filters as columns.

    Raises
    ------
    DrawingError
        If weights are not shared, filters see different channels, or a matrix has more than 64 rows or columns.
    """
    page = _Page(sliding, theme, digits)
    node = sliding.products.result
    places, terms, maps = prod(sliding.places), sliding.read.shape[1], sliding.maps
    page.check("patches", places, terms + maps)
    read = sliding.read.reshape(maps, places, terms, 3)
    element = sliding.element.reshape(maps, places, terms)
    if not (element == element[:, :1]).all() or not (read == read[:1]).all():
        why = "its weights differ from place to place" if (read == read[:1]).all() else "its filters see other channels"
        raise DrawingError(
            f"view='patches' needs one matrix of filters for all places; {node.label!r} has none, since {why}\n"
            f"  declared at {node.site}\n  Try: view='toeplitz'",
            node=node,
            site=node.site,
        )
    seen = [sliding.values(row)[0] for row in range(places)]
    weights = sliding.filters.ravel()[element[:, 0]].T  # (terms, maps)
    output = sliding.output.reshape(maps, places).T
    kinds = tints(terms, theme)
    rule = (
        f"each row holds what the window sees at one place, each column one filter: {places} × {terms} times "
        f"{terms} × {maps}"
    )
    page.head(f"{page.name} as patches times filters", rule)
    inputs = [numbered(plane, digits) for plane in sliding.input]
    results = [numbered(plane, digits) for plane in sliding.output]
    patches, filters = numbered(seen, digits), numbered(weights, digits)
    product = numbered(output, digits)
    tall = max(len(patches), len(filters), _stack(inputs), _stack(results)) * _HEIGHT
    left = _MARGIN
    xs = page.planes("x", inputs, left, tall)
    p = page.grid("patches", patches, xs[0].right + 1.6 * _GAP, page.top + (tall - len(patches) * _HEIGHT) / 2)
    f = page.grid("filters", filters, p.right + _GAP, page.top + (tall - len(filters) * _HEIGHT) / 2)
    y = page.grid("y", product, f.right + _GAP, page.top + (tall - len(product) * _HEIGHT) / 2)
    maps_drawn = page.planes("map", results, y.right + 1.6 * _GAP, tall)
    page.items += p.fills({(row, k): theme.mixed(kinds[k], 0.55) for row in range(places) for k in range(terms)})
    page.items += f.fills({(k, m): kinds[k] for k in range(terms) for m in range(maps)})
    page.arrow(xs[0].right, p.left, page.top + tall / 2)
    page.sign("·", p.right, f.left, p)
    page.sign("=", f.right, y.left, p)
    page.arrow(y.right, maps_drawn[0].left, page.top + tall / 2)
    for grid in (*xs, p, f, y, *maps_drawn):
        page.put(grid, (0, 0), theme.ink)
        page.extend(grid)
    window = terms // max(len(sliding.input), 1)
    for number in range(1, len(sliding.input)):
        page.items.append(p.outline(0, number * window, places, 0, theme.wire, 1.0))
    for grid, text in ((xs[0], "input"), (p, "patches"), (f, "filters"), (y, "product"), (maps_drawn[0], "output")):
        page.title_over(grid, text)
    chosen = [at] if at is not None else range(places)
    height, width = sliding.input.shape[1:]
    for frame, row in enumerate(chosen):
        marks: list[Path] = [p.outline(row, 0, 1, terms, theme.value), y.outline(row, 0, 1, maps, theme.value)]
        inside = sorted({(c, i, j) for c, i, j in read[0, row].tolist() if 0 <= i < height and 0 <= j < width})
        for channel, i, j in inside:
            marks.append(xs[channel].outline(i, j, 1, 1, theme.value, 1.4))
        marks += [grid.outline(*divmod(row, grid.columns), 1, 1, theme.value) for grid in maps_drawn]
        page.step(frame, len(chosen), row, marks)
    return page.scene(f"Convolution {page.name} as patches times filters", rule, len(chosen))


def _place(k: int, grids: list[Grid]) -> tuple[int, int, int]:
    """Plane, row and column of element ``k`` of planes of one size."""
    plane, rest = divmod(k, grids[0].rows * grids[0].columns)
    return plane, *divmod(rest, grids[0].columns)


def _column(array: Array, digits: int) -> list[str]:
    return [said(v, digits) for v in array.ravel()]


def _stack(tables: list[_Table]) -> int:
    return sum(len(table) + 1 for table in tables) - 1


class _Page:
    """Title, grids and marks, put on a page from top to bottom."""

    def __init__(self, sliding: Sliding, theme: Theme, digits: int) -> None:
        self.sliding, self.theme, self.digits = sliding, theme, digits
        self.name = printable(sliding.products.result.label, 30)
        self.items: list[Item] = []
        self.over: list[Item] = []
        self.top, self.right, self.low = _MARGIN + 60.0, 0.0, 0.0

    def check(self, view: str, rows: int, columns: int) -> None:
        """Refuse what cannot be read on a page."""
        node = self.sliding.products.result
        if rows > _ROWS or columns > _COLUMNS:
            raise DrawingError(
                f"view={view!r} writes every number: {node.label!r} needs a matrix of {rows} × {columns}, at most "
                f"{_ROWS} × {_COLUMNS} can be read on a page\n  declared at {node.site}\n"
                "  Try: the same convolution on a small image, such as 5 × 5; graphc.toeplitz and graphc.patches give "
                "the matrices of any size as arrays",
                node=node,
                site=node.site,
            )

    def head(self, title: str, rule: str) -> None:
        """Write the title and a line below."""
        theme, settings = self.theme, self.sliding.settings()
        rule = f"{rule}; {settings}" if settings else rule
        heading = text_label(title, _TITLE, theme.ink, bold=True)
        below = text_label(rule, _TEXT, theme.quiet)
        self.items += [*heading.at(_MARGIN, _MARGIN + 8), *below.at(_MARGIN, _MARGIN + 25)]
        self.right = max(heading.width, below.width) + _MARGIN

    def grid(self, name: str, table: _Table, left: float, top: float) -> Grid:
        """Return a grid as wide as its numbers."""
        width = cell_width(table, _NUMBER, _LEAST)
        return Grid(name, table, round(left, 2), round(top, 2), width, _HEIGHT, _NUMBER)

    def planes(self, name: str, tables: list[_Table], left: float, tall: float) -> list[Grid]:
        """Return grids below each other, in the middle of the page."""
        top = self.top + (tall - _stack(tables) * _HEIGHT) / 2
        found = []
        for number, table in enumerate(tables):
            found.append(self.grid(f"{name}-{number}" if len(tables) > 1 else name, table, left, top))
            top = found[-1].bottom + _HEIGHT
        width = max(grid.width for grid in found)
        return [Grid(g.id, g.cells, g.left, g.top, width, g.height, g.size) for g in found]

    def put(self, grid: Grid, every: tuple[int, int], colour: str) -> None:
        """Draw lines and numbers of a grid."""
        self.items += grid.lines(self.theme.frame, self.theme.wire, every)
        self.items.append(grid.texts(colour))

    def title_over(self, grid: Grid, text: str) -> None:
        """Write what a grid is above it."""
        self.items += text_label(text, _TEXT, self.theme.ink, bold=True).at(grid.left, round(grid.top - 6, 2))

    def extend(self, grid: Grid) -> None:
        """Make the page large enough for a grid."""
        self.right, self.low = max(self.right, grid.right), max(self.low, grid.bottom)

    def sign(self, text: str, left: float, right: float, beside: Grid) -> None:
        """Write a sign between two grids."""
        label = text_label(text, 16.0, self.theme.ink, bold=text == "·")
        self.items += label.centred(round((left + right) / 2, 2), round((beside.top + beside.bottom) / 2, 2))

    def arrow(self, left: float, right: float, y: float) -> None:
        """Draw an arrow between two grids."""
        ink, end = self.theme.wire, round(right - 6, 2)
        y = round(y, 2)
        self.items.append(Path((("M", round(left + 6, 2), y), ("L", end - 4, y)), stroke=ink, width=1.2))
        self.items.append(Path((("M", end, y), ("L", end - 6, y - 3.2), ("L", end - 6, y + 3.2), ("Z",)), fill=ink))

    def beside(self, name: str, text: str, array: Array, left: float, top: float, right: float) -> list[Grid]:
        """Draw planes side by side, if there is room for all of them."""
        grids: list[Grid] = []
        for number, plane in enumerate(array):
            grids.append(self.grid(f"{name}-plane-{number}", numbered(plane, self.digits), left, top))
            left = grids[-1].right + _HEIGHT
        if grids[-1].right > right:
            return []
        for grid in grids:
            self.put(grid, (0, 0), self.theme.ink)
            self.extend(grid)
        self.title_over(grids[0], text)
        return grids

    def legend(self, kinds: tuple[str, ...], left: float, top: float, right: float) -> float:
        """Draw the filters in their colours, from left to right as far as there is room; returns where they end."""
        filters = self.sliding.filters
        rows, columns = filters.shape[-2:]
        planes = filters.reshape(-1, rows, columns)
        label = text_label("weights", _TEXT, self.theme.ink, bold=True)
        self.items += label.at(left, round(top - 6, 2))
        for number, plane in enumerate(planes):
            grid = self.grid(f"weight-{number}", numbered(plane, self.digits), left, top)
            if grid.right > right:
                more = text_label(f"… {len(planes) - number} more", _TEXT, self.theme.quiet)
                self.items += more.at(round(left, 2), round(top + 12, 2))
                return right
            first = number * rows * columns
            self.items += grid.fills(
                {(r, c): kinds[first + r * columns + c] for r in range(rows) for c in range(columns)}
            )
            self.put(grid, (0, 0), self.theme.ink)
            self.low = max(self.low, grid.bottom)
            left = grid.right + _HEIGHT
        return left - _HEIGHT

    def step(self, frame: int, frames: int, row: int, marks: list[Path]) -> None:
        """Mark a row and what it is made of, in one frame; the last stays."""
        gone = None if frame + 1 == frames else frame + 1
        self.over.append(Group(tuple(marks), id=f"row-{row}", classes="step", appears=frame, vanishes=gone))

    def scene(self, title: str, rule: str, frames: int) -> Scene:
        """Put everything together."""
        width, height = round(self.right + _MARGIN, 2), round(self.low + _MARGIN, 2)
        numbers = ", ".join(_column(self.sliding.output, self.digits)[:200])
        words = f"{rule}. Outputs: {numbers}."
        return Scene(width, height, (*self.items, *self.over), title, words, frames, self.theme.paper)
