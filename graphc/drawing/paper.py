"""Pictures in another size: a font size, or a page with the picture in its middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from graphc.drawing.scene import Item, Scene, moved, scaled, texts
from graphc.drawing.written import Written
from graphc.errors import DrawingError, did_you_mean

__all__ = ["PAGES", "Resized", "checked_font_size", "page_size", "resized"]

#: Pages by name: width and height in points (1/72 inch).
PAGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "a4": (595.28, 841.89), "a4-landscape": (841.89, 595.28), "letter": (612.0, 792.0),
        "letter-landscape": (792.0, 612.0), "slide": (960.0, 540.0), "slide-4:3": (720.0, 540.0),
    }
)  # fmt: skip

_BORDER = 24.0  # points that a page keeps free around the picture
_LARGEST = 2.0  # a small picture is enlarged no further to fill its page
_USUAL = 12.0  # font size of a picture without text


def page_size(page: Any) -> tuple[float, float]:
    """Return width and height of a page in points.

    Raises
    ------
    DrawingError
        If the page is neither in `PAGES` nor a pair of lengths.
    """
    if isinstance(page, str):
        if page not in PAGES:
            raise DrawingError(f"no page is called {page!r}; known: {', '.join(PAGES)}{did_you_mean(page, PAGES)}")
        return PAGES[page]
    numbers = tuple(page) if isinstance(page, tuple | list) else ()
    if len(numbers) == 2 and all(isinstance(n, int | float) and 72 <= n <= 14400 for n in numbers):
        return float(numbers[0]), float(numbers[1])
    raise DrawingError(
        f"page is a name ({', '.join(PAGES)}) or (width, height) in points, 72 to 14400 each, found {page!r}"
    )


def checked_font_size(size: Any) -> float:
    """Return a font size in points; raises `DrawingError` where it is none."""
    if isinstance(size, bool) or not isinstance(size, int | float) or not 1 <= size <= 200:
        raise DrawingError(f"font_size is the size of the numbers in points, 1 to 200, found {size!r}")
    return float(size)


def _usual_size(scene: Scene) -> float:
    """Font size of most characters."""
    count: Counter[float] = Counter()
    for text in texts(scene.items):
        count[text.size] += len(text.text)
    return max(count, key=lambda size: (count[size], size), default=_USUAL)


def resized(
    scene: Scene, page: tuple[float, float] | None, font_size: float | None, usual: float | None = None
) -> Scene:
    """Scale a scene and put it on a page; relative positions stay as they are.

    Parameters
    ----------
    page : (float, float), optional
        The page; the picture is as large as fits, where no font size is asked for.
    font_size : float, optional
        New size of what now has the usual size.
    usual : float, optional
        By default the size of most characters.

    Raises
    ------
    DrawingError
        If the picture with this font size is larger than the page.
    """
    usual = _usual_size(scene) if usual is None else usual
    factor = 1.0 if font_size is None else font_size / usual
    if page is None:
        return _scaled_scene(scene, factor)
    room = (page[0] - 2 * _BORDER, page[1] - 2 * _BORDER)
    fits = min(room[0] / scene.width, room[1] / scene.height)
    if font_size is None:
        factor = min(fits, _LARGEST)
    elif factor > fits + 1e-9:
        raise DrawingError(
            f"with font_size={font_size:g} the picture has {scene.width * factor:.0f} by {scene.height * factor:.0f} "
            f"points; on a page of {page[0]:.0f} by {page[1]:.0f} the largest font_size is {usual * fits:.3g}"
        )
    small = _scaled_scene(scene, factor)
    dx, dy = (page[0] - small.width) / 2, (page[1] - small.height) / 2
    items: tuple[Item, ...] = tuple(moved(item, dx, dy) for item in small.items)
    return replace(small, width=page[0], height=page[1], items=items)


def _scaled_scene(scene: Scene, factor: float) -> Scene:
    items = tuple(scaled(item, factor) for item in scene.items)
    return replace(
        scene, width=round(scene.width * factor, 2), height=round(scene.height * factor, 2), items=items
    )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Resized(Written):
    """Another picture in another size, or on a page."""

    picture: Written
    page: tuple[float, float] | None
    font_size: float | None

    def __repr__(self) -> str:
        return f"<Resized: {self.picture!r}>"

    @cached_property
    def _scene(self) -> Scene:
        return resized(self.picture.scene, self.page, self.font_size)

    @property
    def scene(self) -> Scene:
        """Outlines and texts in points."""
        return self._scene

    def text(self) -> str:
        """Return what the picture says as text."""
        return self.picture.text()

    def html(self) -> str:
        """Return the picture as one HTML file, which the browser scales."""
        return self.picture.html()
