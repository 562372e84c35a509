"""What every picture has in common: it is laid out once, shown in notebooks and written in any format."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from graphc.drawing.scene import Scene
from graphc.drawing.svg import svg_text
from graphc.errors import DrawingError, did_you_mean
from graphc.files import replace_file

__all__ = ["FORMATS", "Written", "checked_path", "write_picture"]

#: What a file suffix means.
FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".svg": "vector picture for pages and slides",
        ".pdf": "vector picture for print and LaTeX",
        ".tex": "document for pdflatex",
        ".tikz": "TikZ figure for \\input",
        ".png": "raster picture",
        ".dot": "text for Graphviz",
        ".txt": "indented text",
        ".html": "page for the browser that steps and computes",
    }
)
_FRAMES = {".gif": "animation"}  # what only frames writes


class Written(ABC):
    """A picture with a scene and a text."""

    @property
    @abstractmethod
    def scene(self) -> Scene:
        """Outlines and texts in points."""

    @abstractmethod
    def text(self) -> str:
        """Return what the picture says as text."""

    def svg(self) -> str:
        """Return the picture as SVG text."""
        return svg_text(self.scene)

    def pdf(self) -> bytes:
        """Return the picture as a PDF of one page."""
        from graphc.drawing.pdf import pdf_bytes

        return pdf_bytes(self.scene)

    def png(self) -> bytes:
        """Return the picture as PNG, 200 dots per inch.

        Raises
        ------
        DrawingError
            If matplotlib is not installed.
        """
        from graphc.drawing.png import png_bytes

        return png_bytes(self.scene)

    def tex(self) -> str:
        """Return the picture as a LaTeX document that pdflatex compiles.

        Raises
        ------
        DrawingError
            If the picture is larger than TeX can count.
        """
        from graphc.drawing.tikz import tikz_document

        return tikz_document(self.scene)

    def tikz(self) -> str:
        r"""Return the picture as a TikZ figure, for ``\input`` in a document that loads tikz.

        Raises
        ------
        DrawingError
            If the picture is larger than TeX can count.
        """
        from graphc.drawing.tikz import tikz_text

        return tikz_text(self.scene)

    def html(self) -> str:
        """Return the picture as one HTML file that asks for no other file."""
        from graphc.drawing.page import page_text

        return page_text(self)

    def __str__(self) -> str:
        return self.text()

    def _repr_svg_(self) -> str:
        from graphc.drawing.notebook import unique_svg

        return unique_svg(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython
        from graphc.drawing.notebook import picture_bundle

        return picture_bundle(self)

    def writers(self) -> Mapping[str, Callable[[], str | bytes]]:
        """What writes each format, by suffix."""
        return {
            ".svg": self.svg, ".pdf": self.pdf, ".tex": self.tex, ".tikz": self.tikz, ".png": self.png,
            ".txt": self.text, ".html": self.html,
        }  # fmt: skip

    def save(self, path: Any) -> FilePath:
        """Write the picture; the suffix decides the format.

        Parameters
        ----------
        path : str or path
            Ends in a suffix of `writers`.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        DrawingError
            If the suffix is unknown or the file cannot be written; no partial file is left.
        """
        writers = self.writers()
        target = checked_path(path, tuple(writers))
        made = writers[target.suffix.lower()]()
        write_picture(target, made if isinstance(made, bytes) else made.encode("utf-8", "replace"))
        return target


def checked_path(path: Any, known: Sequence[str]) -> FilePath:
    """Return a path whose suffix is known; raises `DrawingError` where it is not."""
    try:
        target = FilePath(os.fspath(path))
    except TypeError:
        raise DrawingError(f"a path is a text or a pathlib.Path, found {type(path).__name__}") from None
    suffix = target.suffix.lower()
    if suffix in known:
        return target
    shown = ", ".join(f"{s} ({({**FORMATS, **_FRAMES})[s]})" for s in known)
    if suffix in _FRAMES:
        raise DrawingError(f"{suffix} is an animation: run.frames({target.name!r}); for one picture: {shown}")
    asked = f"the suffix {suffix!r} of {str(path)!r}" if suffix else f"{str(path)!r}, which has no suffix"
    raise DrawingError(f"cannot write {asked}; the suffix decides the format: {shown}{did_you_mean(suffix, known)}")


def write_picture(target: FilePath, data: bytes) -> None:
    """Write a file whole or not at all; raises `DrawingError` where it cannot be written."""
    try:
        replace_file(target, data)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        folder = str(target.parent)
        advice = "" if target.parent.is_dir() else f"; the folder {folder!r} does not exist: create it first"
        raise DrawingError(f"cannot write {str(target)!r}: {reason}{advice}") from problem
