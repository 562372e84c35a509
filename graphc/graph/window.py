"""What sliding windows share: strides, paddings and dilations as pairs of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.errors import ShapeError
from graphc.formula.size import Extent

__all__ = ["output_extent", "pair", "resolve_padding"]


def pair(value: Any, name: str, minimum: int) -> tuple[int, int]:
    """Return ``(vertical, horizontal)`` from one whole number or two.

    Raises
    ------
    ShapeError
        If it is neither, or a number is below the minimum.
    """
    items = (value, value) if hasattr(value, "__index__") else value
    if (
        not isinstance(items, tuple | list)
        or len(items) != 2
        or any(isinstance(i, bool) or not hasattr(i, "__index__") or int(i) < minimum for i in items)
    ):
        raise ShapeError(f"{name}={value!r} must be a whole number of at least {minimum}, or a pair of them")
    return int(items[0]), int(items[1])


def resolve_padding(
    padding: Any, extents: tuple[Extent, Extent], window: tuple[Extent, Extent], stride: tuple[int, int],
    dilation: tuple[int, int],
) -> Mapping[str, int]:  # fmt: skip
    """Return ``top``, ``left`` (before) and ``pad_h``, ``pad_w`` (in all) for a padding.

    ``"valid"`` adds nothing; ``"same"`` keeps ``ceil(extent / stride)`` outputs, the odd element after;
    ``"full"`` adds the window less one on every side; a number or a pair adds as much on both sides.

    Raises
    ------
    ShapeError
        If the padding is none of these, or needs extents that are only known at run time.
    """
    if not isinstance(padding, str):
        vertical, horizontal = pair(padding, "padding", 0)
        return {"top": vertical, "left": horizontal, "pad_h": 2 * vertical, "pad_w": 2 * horizontal}
    if padding == "valid":
        return {"top": 0, "left": 0, "pad_h": 0, "pad_w": 0}
    if padding not in ("same", "full"):
        raise ShapeError(f"padding={padding!r} must be a number, a pair, 'valid', 'same' or 'full'")
    if any(not isinstance(extent, int) for extent in (*extents, *window)):
        raise ShapeError(f"padding={padding!r} needs image and window extents that are numbers")
    total, before = [], []
    for extent, size, step, spread in zip(extents, window, stride, dilation, strict=True):
        reach = spread * (int(str(size)) - 1) + 1  # elements that one window spans
        if padding == "full":
            total.append(2 * (reach - 1))
            before.append(reach - 1)
        else:
            outputs = -(-int(str(extent)) // step)
            total.append(max((outputs - 1) * step + reach - int(str(extent)), 0))
            before.append(total[-1] // 2)
    return {"top": before[0], "left": before[1], "pad_h": total[0], "pad_w": total[1]}


def output_extent(dimension: int, letter: str, window: str) -> str:
    """Text of the output extent ``(size + padding - dilation*(window - 1) - 1)//stride + 1``."""
    return f"(size(x,{dimension}) + pad_{letter} - dilation_{letter}*({window} - 1) - 1)//stride_{letter} + 1"
