"""The sliding window: input, filter and output as grids of numbers, and the worked sum of one output element."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy

from graphc.drawing.fonts import Label, printable, text_label
from graphc.drawing.grids import Grid, cell_width, numbered, said
from graphc.drawing.products import Products
from graphc.drawing.scene import Group, Item, Scene
from graphc.drawing.theme import Theme
from graphc.errors import DrawingError

__all__ = ["Sliding", "window_scene"]

_MARGIN, _TITLE, _TEXT, _NUMBER, _SMALL = 18.0, 14.0, 10.5, 12.0, 7.5
_GAP = 34.0  # between grids
_PLANES = 12.0  # between the planes of one grid
#: Largest input plane with its padding, planes of the input, and elements of the output that are drawn.
_EXTENT, _CHANNELS, _OUTPUTS = 16, 3, 144

Array = numpy.ndarray


@dataclass(frozen=True)
class Sliding:
    """A convolution of one example with its numbers.

    Outputs are ordered by map and place. Signals are images of one row.

    Attributes
    ----------
    input : array, shape (C, H, W)
    output : array, shape (K, H', W')
    filters : array, shape (..., R, S)
        The weight as it is declared.
    read : array, shape (outputs, terms, 3)
        Channel, row and column of what an output reads; rows and columns may lie in the padding.
    element : array, shape (outputs, terms)
        Element of the weight, row-major.
    places : tuple of int
        Extents of a map.
    """

    products: Products
    input: Array
    output: Array
    filters: Array
    read: Array
    element: Array
    places: tuple[int, ...]

    @staticmethod
    def of(products: Products, image: Array, weight: Array, result: Array) -> Sliding:
        """Put the products in order by output, with the numbers of one example."""
        spatial, node = products.spatial, products.result
        if spatial not in (1, 2):
            raise DrawingError(
                f"{node.label!r} slides a window along {spatial} axes; one or two are drawn\n  declared at {node.site}",
                node=node,
                site=node.site,
            )
        shape = products.input_shape
        leading = len(shape) - spatial
        rows = numpy.zeros((len(products.read), 3), dtype="int64")
        if leading:
            rows[:, 0] = numpy.ravel_multi_index(tuple(products.read[:, :leading].T), shape[:leading])
        rows[:, 3 - spatial :] = products.read[:, leading:]
        count = prod(products.output_shape)
        terms = len(rows) // max(count, 1)
        element = numpy.ravel_multi_index(tuple(products.element.T), products.weight_shape)
        places = products.output_shape[len(products.output_shape) - spatial :]

        def planes(array: Array) -> Array:
            return array.reshape(-1, *array.shape[-2:]) if spatial == 2 else array.reshape(-1, 1, array.shape[-1])

        filters = weight if weight.ndim > 1 and spatial == 2 else weight.reshape(*weight.shape[:-1], 1, -1)
        return Sliding(
            products, planes(image), planes(result), filters,
            rows.reshape(count, terms, 3), element.reshape(count, terms), places,
        )  # fmt: skip

    @property
    def maps(self) -> int:
        """Number of output maps."""
        return len(self.output)

    def values(self, output: int) -> tuple[Array, Array, Array]:
        """What an output reads, the weights that it meets, and which reads lie inside of the input."""
        channel, row, column = self.read[output].T
        height, width = self.input.shape[1:]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        seen = numpy.where(inside, self.input[channel, row % height, column % width], 0)
        return seen, self.filters.ravel()[self.element[output]], inside

    def settings(self) -> str:
        """Stride, padding and the like that the user chose, in words."""
        application = self.products.result.application
        if application is None or application.gate is None:
            return ""
        shown: list[str] = []
        for name, usual in application.gate.attributes.items():
            value = application.attributes.get(name)
            if value != usual and value is not None:
                parts = value if isinstance(value, tuple | list) else (value,)
                shown.append(f"{name.replace('_', ' ')} {' × '.join(map(str, parts))}")
        return ", ".join(shown)


def window_scene(sliding: Sliding, *, theme: Theme, digits: int, map: int, at: int | None) -> Scene:
    """Draw the window on the input, its filter, and the worked sum; one frame for each output element.

    Raises
    ------
    DrawingError
        If a plane has more than 16 × 16 elements with its padding, there are more than 3 channels, or more than 144
        outputs.
    """
    return _Window(sliding, theme, digits, map, at).scene()


class _Window:
    def __init__(self, sliding: Sliding, theme: Theme, digits: int, map: int, at: int | None) -> None:
        self.sliding, self.theme, self.digits = sliding, theme, digits
        self.name = printable(sliding.products.result.label, 30)
        places = prod(sliding.places)
        self.first = map * places  # output of the first frame
        outputs = range(map * places, (map + 1) * places)
        self.shown = [self.first + at] if at is not None else list(outputs)
        read = sliding.read[outputs.start : outputs.stop]
        self.channels = sorted(set(read[..., 0].ravel().tolist()))
        height, width = sliding.input.shape[1:]
        self.low = (min(0, int(read[..., 1].min())), min(0, int(read[..., 2].min())))
        high = (max(height - 1, int(read[..., 1].max())), max(width - 1, int(read[..., 2].max())))
        self.extents = (high[0] - self.low[0] + 1, high[1] - self.low[1] + 1)
        self._check(places)
        self.output = sliding.output[map]
        self.texts_in = [numbered(self._padded(c), digits) for c in self.channels]
        self.texts_out = numbered(self.output, digits)
        weights = sliding.filters.ravel()[numpy.unique(sliding.element[outputs.start : outputs.stop])]
        widest = [cell_width(t, _NUMBER, 30.0) for t in (*self.texts_in, self.texts_out, numbered([weights], digits))]
        self.cell = (max(widest), 30.0)

    def _check(self, places: int) -> None:
        node = self.sliding.products.result
        found = ""
        if max(self.extents) > _EXTENT:
            height, width = self.extents
            found = f"an input of {height} × {width} elements with its padding, at most {_EXTENT} × {_EXTENT}"
        elif len(self.channels) > _CHANNELS:
            found = f"{len(self.channels)} channels, at most {_CHANNELS}"
        elif places > _OUTPUTS:
            found = f"{places} outputs of a map, at most {_OUTPUTS}"
        if found:
            raise DrawingError(
                f"view='window' writes every number: {node.label!r} has {found} can be read on a page\n"
                f"  declared at {node.site}\n  Try: the same convolution on a small image, such as 5 × 5",
                node=node,
                site=node.site,
            )

    def _padded(self, channel: int) -> Array:
        plane = numpy.full(self.extents, 0, dtype=self.sliding.input.dtype)
        height, width = self.sliding.input.shape[1:]
        plane[-self.low[0] : height - self.low[0], -self.low[1] : width - self.low[1]] = self.sliding.input[channel]
        return plane

    def scene(self) -> Scene:
        theme, cell = self.theme, self.cell
        rows, columns = self._window(self.shown[0])
        count = len(self.channels)
        tall = [count * self.extents[0] * cell[1] + (count - 1) * _PLANES]
        tall += [count * len(rows) * cell[1] + (count - 1) * _PLANES, len(self.output) * cell[1]]
        top, reach = _MARGIN + 58.0, max(tall)
        lefts = [_MARGIN]
        for width in (self.extents[1], len(columns)):
            lefts.append(lefts[-1] + width * cell[0] + _GAP)

        def grids(name: str, tables: list[tuple[tuple[str, ...], ...]], number: int) -> list[Grid]:
            start = top + (reach - tall[number]) / 2
            step = len(tables[0]) * cell[1] + _PLANES
            return [
                Grid(f"{name}-{k}" if len(tables) > 1 else name, table, lefts[number], start + k * step, *cell, _NUMBER)
                for k, table in enumerate(tables)
            ]

        self.inputs = grids("input", self.texts_in, 0)
        self.filters = grids("filter", self._filter(self.shown[0]), 1)
        (self.result,) = grids("output", [self.texts_out], 2)
        self.right = self.result.right
        edges, items = self._still(top, reach)
        frames, bottom = [], 0.0
        sums = [self._sum(output) for output in self.shown]
        wide = [label.width + _MARGIN for label in (*self._heading(), *(label for lines in sums for label in lines))]
        self.width = max(self.right, *wide) + _MARGIN
        for frame, (output, lines) in enumerate(zip(self.shown, sums, strict=True)):
            group, low = self._frame(frame, output, lines, top + reach + 26.0)
            frames.append(group)
            bottom = max(bottom, low)
        # numbers come last: the marks of a frame lie under them
        under, over = zip(*frames, strict=True)
        scene_items = (*edges, *under, *items, *over)
        title = f"Convolution {self.name} as a sliding window"
        return Scene(
            round(self.width, 2), round(bottom + _MARGIN - 16, 2), scene_items, title, self._words(),
            len(self.shown), theme.paper,
        )  # fmt: skip

    def _window(self, output: int) -> tuple[list[int], list[int]]:
        read = self.sliding.read[output]
        return sorted(set(read[:, 1].tolist())), sorted(set(read[:, 2].tolist()))

    def _filter(self, output: int) -> list[tuple[tuple[str, ...], ...]]:
        """Weights of an output, one table a channel, where the window meets them."""
        rows, columns = self._window(output)
        _, weights, _ = self.sliding.values(output)
        tables = numpy.full((len(self.channels), len(rows), len(columns)), 0, dtype=weights.dtype)
        for (channel, row, column), weight in zip(self.sliding.read[output].tolist(), weights, strict=True):
            tables[self.channels.index(channel), rows.index(row), columns.index(column)] = weight
        return [numbered(table, self.digits) for table in tables]

    def _heading(self) -> tuple[Label, Label]:
        settings = self.sliding.settings()
        title = "a filter slides over the input" if self._shared() else "a filter of its own at each place of the input"
        rule = (
            f"each output element is the sum of products of the window and {'the' if self._shared() else 'its'} filter"
        )
        return (
            text_label(f"{self.name}: {title}", _TITLE, self.theme.ink, bold=True),
            text_label(rule + (f"; {settings}" if settings else ""), _TEXT, self.theme.quiet),
        )

    def _still(self, top: float, reach: float) -> tuple[list[Item], list[Item]]:
        """What no frame changes: the fills below the marks of a frame, and everything above them."""
        theme, sliding = self.theme, self.sliding
        title, below = self._heading()
        items: list[Item] = [*title.at(_MARGIN, _MARGIN + 8), *below.at(_MARGIN, _MARGIN + 25)]
        height, width = sliding.input.shape[1:]
        heads = [
            (self.inputs[0], f"input {height} × {width}"),
            (self.filters[0], f"filter {self.filters[0].rows} × {self.filters[0].columns}"),
            (self.result, f"output {self.result.rows} × {self.result.columns}"),
        ]
        for grid, text in heads:
            label = text_label(text, _TEXT, theme.ink)
            items += label.at(round(grid.left, 2), round(grid.top - 6, 2))
        dim: dict[tuple[int, int], str] = {}
        edges: list[Item] = []
        for row in range(self.extents[0]):
            for column in range(self.extents[1]):
                inner = 0 <= row + self.low[0] < height and 0 <= column + self.low[1] < width
                if not inner:
                    dim[row, column] = theme.quiet
        for grid in self.inputs:
            edges += grid.fills(dict.fromkeys(dim, theme.local_fill))
            items += grid.lines(theme.frame, theme.wire)
            if dim:
                items.append(grid.outline(-self.low[0], -self.low[1], height, width, theme.wire, 1.6))
            items.append(grid.texts(theme.ink, dim))
        for grid in self.filters:
            items += grid.lines(theme.frame, theme.wire)
            if self._shared():
                items.append(grid.texts(theme.value))
        items += self.result.lines(theme.frame, theme.wire)
        if len(self.shown) == 1:  # no frames: the other elements are there from the start
            others = [p for p in range(self.output.size) if p != self.shown[0] - self.first]
            for place in others:
                items += self.result.text(*divmod(place, self.result.columns), theme.quiet)
        middle = top + reach / 2
        for sign, left, right in (
            ("*", self.inputs[0].right, self.filters[0].left), ("=", self.filters[0].right, self.result.left)
        ):  # fmt: skip
            label = text_label(sign, 18.0, theme.ink)
            items += label.centred(round((left + right) / 2, 2), round(middle, 2))
        return edges, items

    def _frame(self, frame: int, output: int, lines: list[Label], low: float) -> tuple[tuple[Group, Group], float]:
        """Marks below and above the numbers, of one output element."""
        theme, last = self.theme, frame + 1 == len(self.shown)
        gone = None if last else frame + 1
        place = output - self.first
        row, column = divmod(place, self.result.columns)
        light = theme.mixed(theme.accent, 0.45)
        rows, columns = self._window(output)
        under: list[Item] = []
        over: list[Item] = []
        cells = [(c, i - self.low[0], j - self.low[1]) for c, i, j in self.sliding.read[output].tolist()]
        _, weights, _ = self.sliding.values(output)
        for k, grid in enumerate(self.inputs):
            own = {(i, j): light for c, i, j in cells if c == self.channels[k]}
            under += grid.fills(own)
            span = (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
            over.append(grid.outline(rows[0] - self.low[0], columns[0] - self.low[1], *span, theme.value, 2.0))
        for (channel, i, j), weight in zip(cells, weights, strict=True):
            box = self.inputs[self.channels.index(channel)].box(i, j)
            label = text_label(f"×{said(weight, self.digits)}", _SMALL, theme.value, classes="weight")
            if label.width < self.cell[0] - 4:
                over += label.at(round(box.right - label.width - 2, 2), round(box.bottom - 2.5, 2))
        under += self.result.fills({(row, column): light})
        over.append(self.result.outline(row, column, 1, 1, theme.value, 2.0))
        if not self._shared():
            for grid in (
                Grid(g.id, t, g.left, g.top, *self.cell, _NUMBER)
                for g, t in zip(self.filters, self._filter(output), strict=True)
            ):
                over.append(grid.texts(theme.value))
        baseline = low
        for label in lines:
            over += label.at(_MARGIN, round(baseline, 2))
            baseline += 16.0
        title = f"output row {row + 1}, column {column + 1}"
        marks = Group(tuple(under), id=f"mark-{place}", classes="window", appears=frame, vanishes=gone)
        shown = Group(tuple(over), id=f"step-{place}", classes="window", title=title, appears=frame, vanishes=gone)
        number = Group(self.result.text(row, column, theme.ink, bold=True), classes="output", appears=frame)
        return (marks, Group((number, shown), classes="step")), baseline

    def _shared(self) -> bool:
        """Whether every output of the map meets the same weights."""
        part = self.sliding.element[self.first : self.first + self.output.size]
        return bool((part == part[0]).all())

    def _sum(self, output: int) -> list[Label]:
        """The worked sum in lines."""
        theme, digits = self.theme, self.digits
        seen, weights, _ = self.sliding.values(output)
        row, column = divmod(output - self.first, self.result.columns)
        pieces: list[list[tuple[str, str, bool]]] = []
        for k, (x, w) in enumerate(zip(seen, weights, strict=True)):
            factor = said(w, digits)
            factor = f"({factor})" if factor.startswith("−") else factor
            sign = [] if k == 0 else [(" + ", theme.quiet, False)]
            pieces.append(
                [
                    *sign,
                    (said(x, digits), theme.ink, False),
                    ("·", theme.quiet, False),
                    (factor, theme.value, False),
                ]
            )
        value = said(self.output[row, column], digits)
        pieces.append([(" = ", theme.quiet, False), (value, theme.ink, True)])
        limit = max(self.right - _MARGIN, 520.0)
        lines: list[Label] = []
        current: list[tuple[str, str, bool]] = [(f"output({row + 1}, {column + 1}) = ", theme.quiet, False)]
        for piece in pieces:
            if _joined([*current, *piece]).width > limit:
                lines.append(_joined(current))
                current = [("      ", theme.quiet, False)]
            current += piece
        return [*lines, _joined(current)]

    def _words(self) -> str:
        words = [
            f"{self.name}: a window on an input of {self.extents[0]} by {self.extents[1]} elements, padding included."
        ]
        words += ["".join(label.text for label in self._sum(output)) + "." for output in self.shown[:36]]
        return " ".join(words)


def _joined(pieces: list[tuple[str, str, bool]]) -> Label:
    """Set pieces of text one after the other."""
    items: list[Item] = []
    at = 0.0
    for text, colour, bold in pieces:
        label = text_label(text, _TEXT + 1, colour, bold=bold)
        items += label.at(round(at, 2), 0.0) if text.strip() else ()
        at += label.width
    return Label(tuple(items), at, 0.72 * _TEXT, 0.21 * _TEXT, "".join(text for text, _, _ in pieces))
