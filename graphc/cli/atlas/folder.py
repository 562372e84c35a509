"""The atlas as a folder: an index, one page for each gate, and their pictures."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path

from graphc.cli.atlas.page import GENERATED, entry, plain_text
from graphc.cli.atlas.pictures import GENERATED_PICTURE, pictures
from graphc.graph import registry

__all__ = ["images", "index", "pages", "write"]


def index() -> str:
    """Return the atlas' table of contents as Markdown."""
    rows = ["| gate | formula | meaning |", "|---|---|---|"]
    for name in registry.names():
        gate = registry.gate(name)
        formula = "<br>".join(f"`{line.strip()}`" for line in gate.text().strip().splitlines())
        summary = plain_text((inspect.getdoc(registry.function(name)) or "").splitlines()[0])
        rows.append(f"| [{name}]({name}.md) | {formula} | {summary.replace('|', chr(92) + '|')} |")
    return "\n".join(
        [
            "# Gate atlas",
            "",
            GENERATED,
            "",
            "Every gate is one formula in one file of `graphc/gates`; these pages are derived from it, as are the",
            "derivatives, the kernels and the labels on drawings. `graphc gates NAME` prints a page.",
            "",
            *rows,
            "",
        ]
    )


def pages() -> Mapping[str, str]:
    """Return the atlas: text by file name."""
    return {"README.md": index()} | {f"{name}.md": entry(name) for name in registry.names()}


def images() -> Mapping[str, str]:
    """Return the pictures of the atlas: SVG text by file name."""
    return {file: text for name in registry.names() for file, text in pictures(name).items()}


def write(folder: str | Path) -> list[Path]:
    """Write the atlas into a folder; pages and pictures of gates that are gone are removed.

    Parameters
    ----------
    folder : str or Path
        Created if it does not exist; pictures go into its folder ``images``. Only files that this module generated
        are removed.

    Returns
    -------
    list of Path
        Files that were written because their text changed.
    """
    target = Path(folder)
    wanted = {target / name: text for name, text in pages().items()}
    wanted |= {target / "images" / name: text for name, text in images().items()}
    (target / "images").mkdir(parents=True, exist_ok=True)
    for path in sorted([*target.glob("*.md"), *(target / "images").glob("*.svg")]):
        mark = GENERATED if path.suffix == ".md" else GENERATED_PICTURE
        if path not in wanted and mark in path.read_text(encoding="utf-8"):
            path.unlink()
    changed = []
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
