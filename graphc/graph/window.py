"""What sliding windows share, along one, two or three spatial axes: attributes as numbers, and the formula text.

The last spatial axes are depth, height and width. Along height, say, output ``i`` and window element ``r`` meet
image element ``stride_h*i + dilation_h*r - top``; `slide` writes that for every axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from graphc.errors import ShapeError
from graphc.formula.definition import Definition
from graphc.graph.shapes import Shape, shape_text

__all__ = [
    "check_ranks",
    "convolution",
    "convolution_formula",
    "is_padded",
    "pair",
    "pool_rule",
    "pooling",
    "slide",
    "window_attributes",
    "window_definition",
    "window_numbers",
]

Prepare = Callable[[tuple[Shape, ...], dict[str, Any]], Mapping[str, Any]]


class _Axis(NamedTuple):
    letter: str  # suffix of stride_h, dilation_h, pad_h, size_h
    output: str  # axis of the result
    window: str  # axis of the window
    before: str  # attribute: padding before the first element


_AXES = (_Axis("d", "h", "q", "front"), _Axis("h", "i", "r", "top"), _Axis("w", "j", "s", "left"))
_COUNTS = ("", "", ", or a pair of them", ", or three of them")
_DATA = ("", "signals (N, C, W)", "images (N, C, H, W)", "volumes (N, C, D, H, W)")


# ---- attributes --------------------------------------------------------------------------------------


def window_numbers(value: Any, name: str, minimum: int, rank: int) -> tuple[int, ...]:
    """Return one whole number for each of ``rank`` spatial axes, from one number or as many.

    Raises
    ------
    ShapeError
        If it is neither, or a number is below the minimum.
    """
    items = (value,) * rank if hasattr(value, "__index__") else value
    if (
        not isinstance(items, tuple | list)
        or len(items) != rank
        or any(isinstance(i, bool) or not hasattr(i, "__index__") or int(i) < minimum for i in items)
    ):
        raise ShapeError(f"{name}={value!r} must be a whole number of at least {minimum}{_COUNTS[rank]}")
    return tuple(int(i) for i in items)


def pair(value: Any, name: str, minimum: int) -> tuple[int, int]:
    """Return ``(vertical, horizontal)`` from one whole number or two."""
    vertical, horizontal = window_numbers(value, name, minimum, 2)
    return vertical, horizontal


def _paddings(
    padding: Any, extents: Shape, window: Shape, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding before each spatial axis, and in all.

    ``"valid"`` adds nothing; ``"same"`` keeps ``ceil(extent / stride)`` outputs, the odd element after;
    ``"full"`` adds the window less one on every side; a number for an axis adds as much on both sides.
    """
    rank = len(extents)
    if not isinstance(padding, str):
        before = window_numbers(padding, "padding", 0, rank)
        return before, tuple(2 * number for number in before)
    if padding == "valid":
        return (0,) * rank, (0,) * rank
    if padding not in ("same", "full"):
        several = ("a number", "a number, a pair", "a number, three numbers")[rank - 1]
        raise ShapeError(f"padding={padding!r} must be {several}, 'valid', 'same' or 'full'")
    before, total = [], []
    for extent, size, step, spread in zip(extents, window, stride, dilation, strict=True):
        if not isinstance(extent, int) or not isinstance(size, int):
            raise ShapeError(f"padding={padding!r} needs image and window extents that are numbers")
        reach = spread * (size - 1) + 1  # elements that one window spans
        if padding == "full":
            before.append(reach - 1)
            total.append(2 * (reach - 1))
        else:
            total.append(max((-(-extent // step) - 1) * step + reach - extent, 0))
            before.append(total[-1] // 2)
    return tuple(before), tuple(total)


def window_attributes(attributes: Mapping[str, Any], extents: Shape, window: Shape) -> dict[str, Any]:
    """Add the numbers that the formulas use: ``stride_h``, ``dilation_h``, ``top``, ``pad_h`` and so on.

    Parameters
    ----------
    attributes : mapping
        ``stride``, ``dilation`` (1 where absent) and ``padding`` (0 where absent) as the user gave them.
    extents, window : tuple
        Spatial extents of the data and of the window.

    Raises
    ------
    ShapeError
        If one of them is no such number, or the padding needs extents that are only known at run time.
    """
    rank = len(extents)
    stride = window_numbers(attributes.get("stride", 1), "stride", 1, rank)
    dilation = window_numbers(attributes.get("dilation", 1), "dilation", 1, rank)
    before, total = _paddings(attributes.get("padding", 0), extents, window, stride, dilation)
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in attributes.items()}
    for k, axis in enumerate(_AXES[-rank:]):
        found |= {
            f"stride_{axis.letter}": stride[k],
            f"dilation_{axis.letter}": dilation[k],
            axis.before: before[k],
            f"pad_{axis.letter}": total[k],
        }
    return found


def check_ranks(name: str, rank: int, shapes: tuple[Shape, ...], filters: str = "") -> None:
    """Refuse data or filters of another rank; ``filters`` is the layout, such as ``"(K, C, R, S)"``."""
    ranks = [rank + 2, *([filters.count(",") + 1] if filters else [])]
    if [len(shape) for shape in shapes] != ranks:
        wanted = _DATA[rank] + (f" and filters {filters}" if filters else "")
        raise ShapeError(f"{name} needs {wanted}, found {' and '.join(map(shape_text, shapes))}")


# ---- text --------------------------------------------------------------------------------------------


def slide(rank: int, *, dilated: bool = True) -> str:
    """Write the spatial indices of the data: ``stride_h*i + dilation_h*r - top,...``."""
    return ",".join(
        f"stride_{a.letter}*{a.output} + {f'dilation_{a.letter}*' if dilated else ''}{a.window} - {a.before}"
        for a in _AXES[-rank:]
    )


def is_padded(attributes: Mapping[str, Any]) -> bool:
    """Whether a window may reach outside the data."""
    return any(attributes.get(f"pad_{axis.letter}") for axis in _AXES)


def window_definition(
    text: str,
    attributes: Mapping[str, Any],
    window: Sequence[str],
    outside: int | str = 0,
    **extents: str,
) -> Definition:
    """Return a definition with the output extents ``(size + padding - dilation*(window - 1) - 1)//stride + 1``.

    Parameters
    ----------
    text : str
        The formula; the data are ``x``, with the spatial axes from 2.
    window : sequence of str
        Text of each window extent.
    outside : int or str
        What a read beyond the data means.
    **extents
        Further extents.
    """
    found = {}
    for d, (axis, size) in enumerate(zip(_AXES[-len(window) :], window, strict=True), 2):
        reach = f"dilation_{axis.letter}*({size} - 1)"
        found[axis.output] = f"(size(x,{d}) + pad_{axis.letter} - {reach} - 1)//stride_{axis.letter} + 1"
    return Definition(text, {"x": outside} if is_padded(attributes) else {}, found | extents)


# ---- convolutions ------------------------------------------------------------------------------------


def convolution(name: str, rank: int) -> Prepare:
    """Return the attribute rule of a convolution with ``rank`` spatial axes, groups included."""

    def prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
        check_ranks(name, rank, shapes, f"(K, C, {', '.join('QRS'[-rank:])})")
        (_, channels, *extents), (maps, seen, *window) = shapes
        found = window_attributes(attributes, tuple(extents), tuple(window))
        groups = attributes["groups"]
        if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
            raise ShapeError(f"groups={groups!r} must be a whole number of at least 1")
        if groups == 1:
            return found
        if not isinstance(channels, int) or not isinstance(maps, int) or channels % groups or maps % groups:
            raise ShapeError(
                f"groups={groups} must divide the channels of the image, {channels}, and of the result, {maps}"
            )
        if seen != channels // groups:
            raise ShapeError(
                f"with groups={groups} each filter sees {channels // groups} channels, "
                f"but w has {seen}: {shape_text(shapes[1])}"
            )
        return found

    return prepare


def convolution_formula(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
    """Write a convolution for the rank of its operands and the attributes that were prepared for it."""
    rank, groups = len(shapes[0]) - 2, attributes.get("groups", 1)
    places, window = ",".join(a.output for a in _AXES[-rank:]), [a.window for a in _AXES[-rank:]]
    k, c, extents = "k", "c", {}
    if groups > 1:
        outputs, inputs = int(str(shapes[1][0])) // groups, int(str(shapes[1][1]))
        k, c = f"{outputs}*g+k", f"{inputs}*g+c"
        extents = {"g": str(groups), "k": str(outputs), "y.1": str(outputs * groups)}
    product = f"x[n,{c},{slide(rank)}] * w[{k},c,{','.join(window)}]"
    text = f"y[n,{k},{places}] = sum({product}, c, {', '.join(window)})"
    return window_definition(text, attributes, [f"size(w,{d + 2})" for d in range(rank)], **extents)


# ---- pools -------------------------------------------------------------------------------------------


def pooling(name: str, rank: int) -> Prepare:
    """Return the attribute rule of a pool with ``rank`` spatial axes; a stride of None is the window."""

    def prepare(shapes: tuple[Shape, ...], attributes: dict[str, Any]) -> Mapping[str, Any]:
        check_ranks(name, rank, shapes)
        size = window_numbers(attributes["size"], "size", 1, rank)
        stride = size if attributes["stride"] is None else attributes["stride"]
        found = window_attributes({**attributes, "stride": stride}, shapes[0][2:], size)
        axes = _AXES[-rank:]
        if any(found[axis.before] >= extent for axis, extent in zip(axes, size, strict=True)):
            raise ShapeError(
                f"padding={attributes['padding']!r} must be smaller than the window {size}, or a window sees nothing"
            )
        return found | {f"size_{axis.letter}": extent for axis, extent in zip(axes, size, strict=True)}

    return prepare


def pool_rule(body: str) -> Callable[[tuple[Shape, ...], Mapping[str, Any]], Definition]:
    """Return the rule of a pool: ``{x}`` in the body is the read of the data and ``{window}`` the reduced axes.

    Elements outside the data take no part.
    """

    def rule(shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Definition:
        axes = _AXES[-(len(shapes[0]) - 2) :]
        read = f"x[n,c,{slide(len(axes), dilated=False)}]"
        written = body.format(x=read, window=", ".join(a.window for a in axes))
        sizes = [f"size_{a.letter}" for a in axes]
        own = dict(zip((a.window for a in axes), sizes, strict=True))
        text = f"y[n,c,{','.join(a.output for a in axes)}] = {written}"
        return window_definition(text, attributes, sizes, "skip", **own)

    return rule
