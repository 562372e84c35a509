"""Runs every script of this folder and writes docs/gallery.md with the pictures.

``python examples/gallery/build.py`` from the root of the repository; a script that breaks its promise stops it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["HERE", "entry", "page", "run", "scripts"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HEAD = """# Gallery

One script for each drawing of the lectures; each asserts the numbers it draws. This page is made by
`python examples/gallery/build.py`.
"""
SECTIONS = {
    "01": "Circuits", "08": "Losses and activations", "13": "Convolution and pooling", "16": "Networks",
    "20": "Recurrence and language", "26": "Slides",
}  # fmt: skip


def scripts() -> list[Path]:
    """Return the scripts in the order of the page."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def run(script: Path, folder: Path) -> tuple[list[Path], str]:
    """Run a script; return the files it wrote and what else it printed. An assertion that fails stops."""
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(folder)],
        capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    if result.returncode:
        raise SystemExit(f"{script.name}\n{result.stderr}")
    lines = result.stdout.splitlines()
    return (
        [Path(line) for line in lines if Path(line).parent == folder],
        "\n".join(line for line in lines if Path(line).parent != folder),
    )


def entry(script: Path, pictures: list[str], printed: str) -> str:
    """Return the part of the page that belongs to a script; its docstring is title and caption."""
    title, _, caption = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").partition("\n\n")
    alt = title.rstrip(".").replace("\n", " ")
    images = "\n\n".join(f"![{alt}](images/gallery/{name})" for name in pictures)
    table = f"```\n{printed}\n```\n\n" if printed else ""
    return f"### {alt}\n\n{caption.strip()}\n\n{images}\n\n{table}[{script.name}](../examples/gallery/{script.name})\n"


def page(pictures: dict[Path, tuple[list[str], str]]) -> str:
    """Return docs/gallery.md."""
    parts = [HEAD]
    for script, (names, printed) in pictures.items():
        if script.name[:2] in SECTIONS:
            parts.append(f"## {SECTIONS[script.name[:2]]}\n")
        parts.append(entry(script, names, printed))
    return "\n".join(parts)


def main() -> None:
    """Run the scripts and write the page."""
    folder = ROOT / "docs" / "images" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for script in scripts():
        written, printed = run(script, folder)
        for path in written:
            if path.suffix == ".pdf":  # pages show SVG and GIF
                path.unlink()
        pictures[script] = [path.name for path in written if path.suffix != ".pdf"], printed
        print(script.name, *pictures[script][0])
    (ROOT / "docs" / "gallery.md").write_text(page(pictures), encoding="utf-8")


if __name__ == "__main__":
    main()
