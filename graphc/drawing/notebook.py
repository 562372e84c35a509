"""What a notebook shows of graphs, runs, tables and reports: bounded in time and size, every id unique.

A notebook shows whatever stands last in a cell, so nothing here may take long: a graph of many nodes is said in
one line instead of drawn, and a long table is cut.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from html import escape
from typing import Any

from graphc.drawing.svg import svg_text
from graphc.drawing.written import Written
from graphc.errors import GraphcError
from graphc.graph.node import topological

__all__ = ["LARGEST_GRAPH", "LARGEST_PICTURE", "LONGEST_TABLE", "notebook_bundle", "picture_bundle", "unique_svg"]

#: Nodes above which a graph is not drawn by itself: about two seconds.
LARGEST_GRAPH = 1_000
#: Characters of the SVG above which a picture is not put into a notebook's file.
LARGEST_PICTURE = 3_000_000
#: Lines of a text that are shown; of a longer one its first.
LONGEST_TABLE = 200

_shown: Counter[str] = Counter()  # how often each picture was shown: a copy needs ids of its own


def unique_svg(picture: Written) -> str:
    """Return the picture as SVG whose ids occur in no other output of this process.

    Ids carry a digest of the picture, and from the second time on a count, so that a notebook that is run again from
    its beginning gives the same outputs.
    """
    digest = hashlib.sha256(picture.svg().encode("utf-8", "replace")).hexdigest()[:8]
    _shown[digest] += 1
    count = f"-{_shown[digest]}" if _shown[digest] > 1 else ""
    return svg_text(picture.scene, prefix=f"g{digest}{count}-")


def picture_bundle(picture: Written) -> dict[str, str]:
    """Return a picture as SVG of explicit size and as text, by MIME type."""
    svg = unique_svg(picture)
    if len(svg) <= LARGEST_PICTURE:
        return {"image/svg+xml": svg, "text/plain": picture.text()}
    line = (
        f"{picture.scene.title}: a picture of {len(svg) / 1e6:.1f} MB is not shown in a notebook; save('picture.svg')"
    )
    return {"text/plain": line}


def notebook_bundle(subject: Any = None, text: str | None = None, **options: Any) -> dict[str, str]:
    """Return what a notebook shows, by MIME type.

    Parameters
    ----------
    subject : Node, Backward, Run or picture, optional
        What is drawn, where it is small enough.
    text : str, optional
        A table or report that stands below the picture; by default the table of a `Backward` or of a run.
    **options
        For `graphc.draw`.

    Returns
    -------
    dict of str to str
        ``"text/html"`` (a picture with its text folded in below, or the text alone) and ``"text/plain"``.
    """
    if isinstance(subject, Written):
        picture, line = subject, ""
    else:
        picture, line = (None, "") if subject is None else _drawn(subject, options)
        if text is None:
            text = line if line or not _has_table(subject) else str(subject)
    parts: list[str] = []
    if picture is not None:
        svg = unique_svg(picture)
        if len(svg) <= LARGEST_PICTURE:
            parts.append(f"<div>{svg}</div>")
        else:
            line = f"{picture.scene.title}: a picture of {len(svg) / 1e6:.1f} MB; draw(path) writes it into a file"
    if line:
        parts.append(f"<p>{escape(line)}</p>")
    if text and text != line:
        table = f"<pre>{escape(_cut(text))}</pre>"
        parts.append(f"<details><summary>as text</summary>{table}</details>" if picture is not None else table)
    plain = text or (picture.text() if picture is not None else line)
    return {"text/html": "\n".join(parts), "text/plain": _cut(plain)}


def _drawn(subject: Any, options: dict[str, Any]) -> tuple[Written | None, str]:
    """Draw a graph; or say in a line why it is not drawn."""
    from graphc.drawing.drawing import draw

    root = _root(subject)
    count = len(topological([root]))
    if count > LARGEST_GRAPH:
        return None, f"{root.label}: a graph of {count:,} nodes is not drawn by itself; graphc.draw(...) folds it"
    try:
        return draw(subject, **options), ""
    except GraphcError as problem:
        return None, f"{root.label}: a graph of {count:,} nodes; no picture: {problem}"


def _root(subject: Any) -> Any:
    back = getattr(subject, "back", subject)
    return getattr(back, "root", back)


def _has_table(subject: Any) -> bool:
    """Whether its text is the table of a backward pass."""
    return hasattr(_root(subject), "operands") and _root(subject) is not subject


def _cut(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= LONGEST_TABLE:
        return text
    return "\n".join([*lines[:LONGEST_TABLE], f"… {len(lines) - LONGEST_TABLE:,} more lines"])
