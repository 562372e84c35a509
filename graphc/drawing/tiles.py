"""Arrays as small images made of filled rectangles: vectors in every format, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy

from graphc.drawing.fonts import number_text, text_label
from graphc.drawing.grids import rectangles
from graphc.drawing.scene import Box, Item, rounded
from graphc.drawing.theme import Theme

__all__ = ["LEVELS", "coloured", "downsampled", "scale_bar", "scale_of", "shaded", "thumbnail", "tile"]

#: Steps from the colour of the page to that of the ink.
LEVELS = 16
_LAP = 0.15  # points; neighbours lap over, or the page shines through between them

Array = numpy.ndarray
Colours = Sequence[Sequence[str]]


def scale_of(values: Array) -> tuple[float, float]:
    """Return the smallest and the largest finite value; zero is the smallest where none is negative."""
    finite = values[numpy.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    return min(float(finite.min()), 0.0), float(finite.max())


def shaded(plane: Array, scale: tuple[float, float], theme: Theme) -> list[list[str]]:
    """Return a colour for each element: the page for the smallest value, ink for the largest.

    What is not finite has the colour of what is wrong.
    """
    low, high = scale
    reach = high - low if high > low else 1.0
    with numpy.errstate(invalid="ignore"):
        steps = numpy.rint(numpy.clip((plane - low) / reach, 0.0, 1.0) * (LEVELS - 1))
    ramp = [theme.mixed(theme.ink, k / (LEVELS - 1)) for k in range(LEVELS)]
    return [[ramp[int(step)] if numpy.isfinite(step) else theme.wrong for step in row] for row in steps.tolist()]


def coloured(planes: Array, scale: tuple[float, float], theme: Theme) -> list[list[str]]:
    """Return a colour for each element of three planes, red, green and blue, in 16 steps each."""
    low, high = scale
    reach = high - low if high > low else 1.0
    with numpy.errstate(invalid="ignore"):
        steps = numpy.rint(numpy.clip((planes - low) / reach, 0.0, 1.0) * 15)
    rows = []
    for row in numpy.moveaxis(steps, 0, -1).tolist():
        known = [all(numpy.isfinite(element)) for element in row]
        rows.append(
            ["".join(f"{17 * int(c):02X}" for c in e) if k else theme.wrong for e, k in zip(row, known, strict=True)]
        )
    return rows


def downsampled(plane: Array, most: int) -> Array:
    """Return means of blocks, at most ``most`` along each of the last two axes; smaller planes stay as they are."""
    for axis in (-2, -1):
        extent = plane.shape[axis]
        if extent > most:
            parts = numpy.array_split(plane, most, axis=axis)
            plane = numpy.concatenate([part.mean(axis=axis, keepdims=True) for part in parts], axis=axis)
    return plane


def tile(colours: Colours, box: Box, rim: str = "") -> tuple[Item, ...]:
    """Draw an image: the commonest colour as background, the others as runs of rectangles, one outline a colour.

    Parameters
    ----------
    rim : str
        Colour of a line around the image.
    """
    rows, columns = len(colours), len(colours[0]) if colours else 0
    if not rows or not columns:
        return (rounded(box, 0, stroke=rim, width=0.6),) if rim else ()
    width, height = (box.right - box.left) / columns, (box.bottom - box.top) / rows
    counted = Counter(colour for row in colours for colour in row)
    common = min(counted, key=lambda colour: (-counted[colour], colour))
    runs: dict[str, list[Box]] = {}
    for i, row in enumerate(colours):
        start = 0
        for j in range(1, columns + 1):
            if j < columns and row[j] == row[start]:
                continue
            if row[start] != common:
                right, bottom = box.left + j * width, box.top + (i + 1) * height
                lap = (_LAP * (j < columns), _LAP * (i + 1 < rows))
                place = Box(box.left + start * width, box.top + i * height, right + lap[0], bottom + lap[1])
                runs.setdefault(row[start], []).append(place)
            start = j
    items: list[Item] = [rectangles([box], common)]
    items += [rectangles(boxes, colour) for colour, boxes in sorted(runs.items())]
    if rim:
        items.append(rounded(box, 0, stroke=rim, width=0.6))
    return tuple(items)


def thumbnail(
    example: Array, theme: Theme, size: float, most: int = 12, planes: int = 4
) -> tuple[tuple[Item, ...], float]:
    """Draw one example of a layer small: some of its maps side by side, or the elements of a vector in a block.

    Parameters
    ----------
    example : array
        Of any rank; a vector is read row by row.
    size : float
        Height in points.
    most : int
        Largest number of rows and columns of an image; larger ones are drawn as means.
    planes : int
        Most maps that are drawn.

    Returns
    -------
    items : tuple of Item
        With the upper left corner at the origin.
    width : float
        In points.
    """
    scale = scale_of(example)
    gap = 2.0
    if example.ndim < 2:
        block = _block(example.ravel(), most * 2)
        width = round(min(size * block.shape[1] / block.shape[0], 4 * size), 2)
        return tile(shaded(block, scale, theme), Box(0.0, 0.0, width, size), theme.frame), width
    maps = example.reshape(-1, *example.shape[-2:])[:planes]
    items: list[Item] = []
    left = 0.0
    for plane in maps:
        small = downsampled(plane, most)
        width = round(min(max(size * plane.shape[1] / plane.shape[0], size / 4), 3 * size), 2)
        items += tile(shaded(small, scale, theme), Box(left, 0.0, round(left + width, 2), size), theme.frame)
        left = round(left + width + gap, 2)
    return tuple(items), round(left - gap, 2)


def _block(values: Array, columns: int) -> Array:
    """Fold a vector into rows; what is left over is zero, and long ones become means."""
    most = columns * columns // 2
    if len(values) > most:
        values = numpy.array([part.mean() for part in numpy.array_split(values, most)])
    width = min(len(values), columns) or 1
    rows = -(-len(values) // width) or 1
    padded = numpy.zeros(rows * width)
    padded[: len(values)] = values
    return padded.reshape(rows, width)


def scale_bar(
    scale: tuple[float, float], box: Box, theme: Theme, digits: int, *, colours: bool = False
) -> tuple[Item, ...]:
    """Draw the shades from the smallest to the largest value, with numbers at both ends and at zero.

    Parameters
    ----------
    colours : bool, default False
        For images in colours: from black to white, whatever the theme.
    """
    low, high = scale
    ramp = numpy.linspace(low, high, LEVELS)[None] if high > low else numpy.zeros((1, 1))
    shades = coloured(numpy.stack([ramp] * 3), scale, theme) if colours else shaded(ramp, scale, theme)
    items: list[Item] = [*tile(shades, box, theme.frame)]
    baseline = round(box.bottom + 9.5, 2)
    first, last = (text_label(number_text(v, digits), 8.0, theme.ink, classes="scale") for v in (low, high))
    items += first.at(box.left, baseline)
    if high > low:
        items += last.at(round(box.right - last.width, 2), baseline)
    if low < 0 < high:
        zero = text_label("0", 8.0, theme.ink, classes="scale")
        middle = box.left - low / (high - low) * (box.right - box.left)
        if box.left + first.width + 8 < middle < box.right - last.width - 8:
            items += zero.at(round(middle - zero.width / 2, 2), baseline)
    return tuple(items)
