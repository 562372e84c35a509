"""Feature maps and filters as grids of small images, with the scale of their shades."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy

from graphc.drawing.fonts import number_text, printable, text_label
from graphc.drawing.grids import numbered
from graphc.drawing.products import slides
from graphc.drawing.scene import Box, Group, Item, Scene
from graphc.drawing.sheet import Sheet, find_node, needs_run, one_example
from graphc.drawing.theme import Theme
from graphc.drawing.tiles import coloured, downsampled, scale_bar, scale_of, shaded, tile
from graphc.errors import DrawingError
from graphc.graph.node import Node, topological
from graphc.graph.shapes import shape_text

__all__ = ["feature_maps", "filters"]

_MARGIN, _TITLE, _TEXT, _SMALL, _GAP = 18.0, 14.0, 10.0, 7.5, 7.0
_WIDE, _TALL = 560.0, 400.0  # points of a row and of a column of images
_CELLS = 20_000  # most rectangles of a picture
_MOST = 64  # images

Array = numpy.ndarray


def feature_maps(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given it
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,  # noqa: ARG001 - every style is given it
    node: Any = None,
    example: int = 0,
) -> Sheet:
    """Draw what a layer makes of one example, one grey image a map.

    Parameters
    ----------
    node : Node or str, optional
        The node whose value is drawn, shape (N, C, H, W) or (C, H, W), or (N, C, W) as one image. By default the
        activation behind the first convolution.
    example : int, default 0
        Which example of the batch.

    Returns
    -------
    Sheet

    Raises
    ------
    DrawingError
        If there is no run, no such node or example, or the value is no image.

    Notes
    -----
    All maps share one scale, from the smallest value (or 0, where none is negative) to the largest. At most 64 maps
    are drawn; where there are more than 20,000 elements, images are means of blocks.
    """
    _from_left(direction)
    run = needs_run(run, "feature_maps")
    chosen = _first_activation(root) if node is None else find_node(root, node)
    value = numpy.asarray(run.value(chosen), dtype="float64")
    batched = value.ndim == 4 or (value.ndim in (2, 3) and not isinstance(chosen.shape[0], int))
    if batched:
        value = one_example(value, example, chosen)
    if value.ndim not in (2, 3) or not value.size:
        raise DrawingError(
            f"style='feature_maps' draws images: {chosen.label!r} has the shape {shape_text(chosen.shape)}"
            f"{', a vector for each example' if value.ndim == 1 else ''}; needed is (N, C, H, W) or (C, H, W)\n"
            f"  declared at {chosen.site}\n  Try: node= with a convolution, its activation, or a pool",
            node=chosen,
            site=chosen.site,
        )
    maps = value.reshape(-1, *value.shape[-2:])
    counted = f"{len(maps)} map{'s' * (len(maps) > 1)} of {maps.shape[1]} × {maps.shape[2]}"
    said = f"{counted}" + (f", example {example}" if batched else "")
    page = _Page(theme, digits, f"{'Feature maps of ' if chosen.operands else 'Input '}{_named(chosen)}", said)
    images = [_Image(f"map-{k}", str(k), plane[None]) for k, plane in enumerate(maps)]
    return page.sheet(images, "map", _columns(len(images)))


def filters(
    root: Node,
    back: Any,  # noqa: ARG001 - every style is given it
    run: Any,
    *,
    theme: Theme,
    direction: str = "LR",
    digits: int = 4,
    engine: str | None = None,  # noqa: ARG001 - every style is given it
    parameter: Any = None,
    shape: Any = None,
) -> Sheet:
    """Draw the weights of a layer, one image a filter: in colours where it sees three channels, grey otherwise.

    Parameters
    ----------
    parameter : Node or str, optional
        The weight, shape (K, C, R, S), (K, C, W) or (K, features); its layer's name is enough. By default the first
        one with four axes.
    shape : tuple of int, optional
        What the features of a dense layer are: (height, width) or (3, height, width) for example.

    Returns
    -------
    Sheet

    Raises
    ------
    DrawingError
        If there is no such parameter, it has no value, or it holds no images.

    Notes
    -----
    With other than one or three channels, each filter is a row and each channel a column. All images share one scale,
    from the smallest weight to the largest. At most 64 filters (16 × 16 images) are drawn.
    """
    _from_left(direction)
    chosen = _weight(root, parameter)
    value = _value_of(chosen, run)
    planes = _filter_planes(chosen, value, shape)
    channels = planes.shape[1]
    height, width = planes.shape[2:]
    counted = f"{len(planes)} filter{'s' * (len(planes) > 1)} of {channels} × {height} × {width}"
    title = f"Filters {printable(chosen.label, 30)}"
    if channels == 3:
        page = _Page(theme, digits, title, f"{counted}; the three channels are red, green and blue")
    elif channels == 1:
        page = _Page(theme, digits, title, counted)
    else:
        page = _Page(theme, digits, title, f"{counted}; one row a filter, one column a channel")
        kept = planes[:16, :16]
        page.left_out = (
            "" if kept.size == planes.size else f"{len(kept)} filters and {kept.shape[1]} channels are drawn"
        )
        images = [
            _Image(f"filter-{k}-{c}", str(k) if c == 0 else "", plane[None])
            for k, row in enumerate(kept)
            for c, plane in enumerate(row)
        ]
        return page.sheet(images, "filter", kept.shape[1], scale=_extremes(planes), beside=True)
    images = [_Image(f"filter-{k}", str(k), item) for k, item in enumerate(planes)]
    return page.sheet(images, "filter", _columns(len(images)), scale=_extremes(planes))


def _from_left(direction: str) -> None:
    if direction != "LR":
        raise DrawingError("images are drawn from left to right; direction='TB' is for style='cards'")


def _first_activation(root: Node) -> Node:
    """Return the last of the gates that follow the first convolution one by one and keep its shape."""
    nodes = topological([root])
    found = next((node for node in nodes if slides(node) and len(node.shape) == 4), None)
    if found is None:
        raise DrawingError(
            f"the graph of {root.label!r} has no convolution; say node= with a node of shape (N, C, H, W)",
            node=root,
            site=root.site,
        )
    while True:
        readers = [node for node in nodes if any(operand is found for operand in node.operands)]
        if len(readers) != 1 or readers[0].shape != found.shape:
            return found
        found = readers[0]


def _named(node: Node) -> str:
    """Name a node; one without a name after the layer that it follows."""
    gates, before = [node.gate or node.kind], node
    while before.name is None and before.operands and before.operands[0].shape == node.shape:
        before = before.operands[0]
        gates.append(before.gate or before.kind)
    if before is node or before.name is None:
        return printable(node.name or node.gate or node.label, 30)
    return f"{printable(before.name, 30)} after {', '.join(reversed(gates[:-1]))}"


def _columns(count: int) -> int:
    """Return how many images a row has: a row wider than high, and few places left empty."""
    count = min(count, _MOST)
    ideal = math.sqrt(2 * count)
    near = range(max(1, round(0.75 * ideal)), max(2, round(1.4 * ideal)) + 1)
    return min(near, key=lambda c: (-(-count // c) * c - count, abs(math.log(c / ideal))))


def _weight(root: Node, asked: Any) -> Node:
    weights = [node for node in topological([root]) if node.kind == "parameter"]
    if asked is None:
        found = next((node for node in weights if len(node.shape) == 4), None)
        if found is None:
            listed = ", ".join(repr(node.label) for node in weights[:12]) or "no parameters"
            raise DrawingError(
                f"the graph of {root.label!r} has no parameter with four axes; say parameter= with one of {listed}",
                node=root,
                site=root.site,
            )
        return found
    layer = [node for node in weights if node.label == f"{asked}.weight"]
    chosen = layer[0] if layer else find_node(root, asked, "parameter")
    if chosen.kind != "parameter":
        listed = ", ".join(repr(node.label) for node in weights[:12])
        raise DrawingError(
            f"parameter={chosen.label!r} is no parameter but the {chosen.kind} of shape {shape_text(chosen.shape)}; "
            f"parameters: {listed}\n  declared at {chosen.site}",
            node=chosen,
            site=chosen.site,
        )
    return chosen


def _value_of(parameter: Node, run: Any) -> Array:
    if run is not None:
        return numpy.asarray(run.value(parameter), dtype="float64")
    if isinstance(parameter.initial, numpy.ndarray):
        return numpy.asarray(parameter.initial, dtype="float64")
    raise DrawingError(
        f"{parameter.label!r} has no value yet: draw a run, graphc.backward(node).at(..., parameters=...)\n"
        f"  declared at {parameter.site}",
        node=parameter,
        site=parameter.site,
    )


def _filter_planes(parameter: Node, value: Array, shape: Any) -> Array:
    """Return filters as (K, C, H, W)."""

    def refuse(why: str) -> DrawingError:
        return DrawingError(
            f"style='filters' draws images: {parameter.label!r} has the shape {shape_text(parameter.shape)}; {why}\n"
            f"  declared at {parameter.site}",
            node=parameter,
            site=parameter.site,
        )

    if not value.size:
        raise refuse("it has no element")
    if shape is not None:
        given = tuple(shape) if isinstance(shape, tuple | list) else ()
        whole = len(given) in (2, 3) and all(isinstance(e, int) and e > 0 for e in given)
        if not whole or value.ndim != 2 or math.prod(given) != value.shape[1]:
            raise refuse(f"shape={shape!r} must be (height, width) or (channels, height, width) of its features")
        return value.reshape(len(value), *((1,) if len(given) == 2 else ()), *given)
    if value.ndim == 4:
        return value
    if value.ndim == 3:
        return value[:, None]
    if value.ndim == 2:
        raise refuse("say what the features of a unit are, such as shape=(28, 28)")
    raise refuse("needed is (K, C, R, S)")


def _extremes(values: Array) -> tuple[float, float]:
    finite = values[numpy.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


@dataclass(frozen=True)
class _Image:
    id: str
    label: str
    planes: Array  # one, or three for red, green and blue


class _Page:
    def __init__(self, theme: Theme, digits: int, title: str, said: str) -> None:
        self.theme, self.digits, self.title, self.said = theme, digits, title, said
        self.left_out = ""

    def sheet(
        self, images: list[_Image], kind: str, columns: int, scale: tuple[float, float] | None = None,
        beside: bool = False,
    ) -> Sheet:  # fmt: skip
        """Draw images in rows of ``columns``, numbered below, or beside the first of each row."""
        theme = self.theme
        every = numpy.stack([image.planes for image in images])
        scale = scale or scale_of(every)
        if len(images) > _MOST and not beside:
            self.left_out = f"the first {_MOST} of {len(images)} {kind}s are drawn"
            images = images[:_MOST]
        height, width = every.shape[-2:]
        most = max(4, int(math.sqrt(_CELLS / len(images))))
        small = downsampled(images[0].planes, most).shape[-2:]
        columns = min(columns, len(images))
        rows, under = -(-len(images) // columns), _GAP - 2 if beside else 15.0
        share = min(max(width / height, 1 / 3), 3.0)  # width over height of an image
        across = min((_WIDE + _GAP) / columns - _GAP, share * (_TALL / rows - under), 110.0 * max(share, 1.0))
        across = round(max(across, 20.0 * share), 2)
        down = round(across / share, 2)
        left = _MARGIN + (20.0 if beside else 0.0)
        row_height = down + under
        items: list[Item] = [
            *text_label(self.title, _TITLE, theme.ink, bold=True).at(_MARGIN, _MARGIN + 8),
            *text_label(self.said, _TEXT, theme.quiet).at(_MARGIN, _MARGIN + 24),
        ]
        top = _MARGIN + 40.0
        for number, image in enumerate(images):
            row, column = divmod(number, columns)
            x, y = round(left + column * (across + _GAP), 2), round(top + row * row_height, 2)
            items.append(self._image(image, Box(x, y, round(x + across, 2), round(y + down, 2)), most, scale, beside))
        low = top + rows * row_height + 10.0
        bar = Box(_MARGIN, round(low, 2), _MARGIN + 130.0, round(low + 10.0, 2))
        items.append(Group(scale_bar(scale, bar, theme, 3, colours=every.shape[1] == 3), id="scale", classes="scale"))
        notes = [
            (f"scale of all {kind}s" if len(images) > 1 else "scale") + (", each colour" if every.shape[1] == 3 else "")
        ]
        if small != (height, width):
            notes.append(f"drawn as means, {small[0]} × {small[1]}")
        if self.left_out:
            notes.append(self.left_out)
        lost = int((~numpy.isfinite(every)).sum())
        if lost:
            notes.append(f"{lost:,} values are not finite")
        end = bar.right + 12.0
        notes_wide = 0.0
        for number, note in enumerate(notes):
            label = text_label(note, _SMALL + 1, theme.wrong if "not finite" in note else theme.quiet)
            items += label.at(end, round(low + 8.0 + 11.0 * number, 2))
            notes_wide = max(notes_wide, label.width)
        heads = [text_label(self.title, _TITLE, "", bold=True).width, text_label(self.said, _TEXT, "").width]
        right = max(left + columns * (across + _GAP) - _GAP, end + notes_wide, *(w + _MARGIN for w in heads))
        bottom = low + max(22.0, 11.0 * len(notes) + 2)
        said = f"{self.title}. {self.said}. Smallest {number_text(scale[0], 4)}, largest {number_text(scale[1], 4)}."
        said += f" {self.left_out}." if self.left_out else ""
        scene = Scene(
            round(right + _MARGIN, 2), round(bottom + 8.0, 2), tuple(items), self.title, said, paper=theme.paper
        )
        return Sheet(scene, self._text(images, said))

    def _image(self, image: _Image, box: Box, most: int, scale: tuple[float, float], beside: bool) -> Group:
        theme = self.theme
        planes = downsampled(image.planes, most)
        colours = coloured(planes, scale, theme) if len(planes) == 3 else shaded(planes[0], scale, theme)
        items: list[Item] = [*tile(colours, box, theme.frame)]
        if image.label:
            label = text_label(image.label, _SMALL, theme.quiet, classes="number")
            if beside:
                items += label.at(round(box.left - 6 - label.width, 2), round((box.top + box.bottom) / 2 + 2.6, 2))
            else:
                items += label.at(round((box.left + box.right - label.width) / 2, 2), round(box.bottom + 9, 2))
        low, high = _extremes(image.planes)
        title = f"{image.id.replace('-', ' ')}: {number_text(low, 3)} to {number_text(high, 3)}"
        return Group(tuple(items), id=image.id, classes="image", title=title)

    def _text(self, images: list[_Image], said: str) -> str:
        lines = [self.title, "", said, ""]
        for image in images:
            low, high = _extremes(image.planes)
            mean = number_text(float(numpy.mean(image.planes)), 3)
            name = image.id.replace("-", " ")
            lines.append(f"{name}: {number_text(low, 3)} to {number_text(high, 3)}, mean {mean}")
            if image.planes.size <= 100:
                for plane in image.planes:
                    table = numbered(plane, self.digits)
                    width = max(len(cell) for row in table for cell in row)
                    lines += ["  " + " ".join(cell.rjust(width) for cell in row) for row in table]
        return "\n".join(lines) + "\n"
