"""Writes the frames of a scene as one animated GIF, through the PNG rasteriser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc.drawing.png import png_bytes
from graphc.drawing.scene import Scene
from graphc.errors import DrawingError

__all__ = ["gif_bytes"]

_LARGEST = 4000  # pixels; every frame is held as a whole by what shows it
_FREQUENT = 200  # colours taken by their count: more than any theme has


def gif_bytes(
    scene: Scene, dots_per_inch: float = 120.0, milliseconds: int = 1200, last_milliseconds: int = 3600
) -> bytes:
    """Write all frames of a scene as one GIF that starts again after the last.

    All frames have one size and one table of colours. Equal scenes give equal bytes.

    Raises
    ------
    DrawingError
        If matplotlib or Pillow is not installed.
    """
    try:
        import matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]
        from PIL import Image
    except ImportError as missing:
        raise DrawingError(
            "a GIF needs matplotlib and Pillow, which are not installed; run  pip install 'graphc[draw]'  "
            "or write .pdf or .svg, which need nothing"
        ) from missing
    dots = min(dots_per_inch, _LARGEST * 72 / max(scene.width, scene.height))
    pages = [png_bytes(scene, frame, dots) for frame in range(scene.frames)]
    counts: Counter[int] = Counter()
    for page in pages:
        counts.update(
            dict(zip(*(found.tolist() for found in np.unique(_pixels(page), return_counts=True)), strict=True))
        )
    codes, palette, nearest = _palette(counts)
    pictures: list[Any] = []
    for page in pages:
        picture = Image.fromarray(nearest[np.searchsorted(codes, _pixels(page))])
        picture.putpalette(palette)
        pictures.append(picture)
    durations = [milliseconds] * (len(pictures) - 1) + [last_milliseconds]
    out = BytesIO()
    pictures[0].save(
        out, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False
    )
    return out.getvalue()


def _pixels(page: bytes) -> npt.NDArray[np.int32]:
    """Return the colours of a PNG, red, green and blue packed into one number."""
    from PIL import Image

    with Image.open(BytesIO(page)) as picture:
        red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB"), dtype=np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _palette(counts: Mapping[int, int]) -> tuple[npt.NDArray[np.int32], bytes, npt.NDArray[np.uint8]]:
    """Choose 256 colours: the most frequent ones, then those that are farthest from all chosen.

    Returns
    -------
    tuple
        All colours in ascending order, the table of colours, and for each colour its place in the
        table. Surfaces and letters keep their exact shade; rare blends of an edge take the nearest.
    """
    codes = np.array(sorted(counts), dtype=np.int32)
    chosen = sorted(counts, key=lambda code: (-counts[code], code))[:_FREQUENT]
    nearest = np.zeros(codes.shape, dtype=np.uint8)
    least = np.full(codes.shape, np.iinfo(np.int32).max, dtype=np.int32)
    for place in range(256):
        if place == len(chosen):
            if not least.any():
                break
            chosen.append(int(codes[np.argmax(least)]))
        parts = [((codes >> shift & 255) - (chosen[place] >> shift & 255)) ** 2 for shift in (16, 8, 0)]
        distance = parts[0] + parts[1] + parts[2]
        nearest[distance < least] = place
        least = np.minimum(least, distance)
    return codes, b"".join(code.to_bytes(3, "big") for code in chosen), nearest
