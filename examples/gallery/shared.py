"""What the scripts of the gallery share: where they write, and what a written picture says."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["SVG", "folder", "save", "says_frames", "says_norm", "smallest_letters", "texts", "wires"]

SVG = "{http://www.w3.org/2000/svg}"


def folder() -> Path:
    """Return the folder that the command line names, else the current one."""
    return Path(sys.argv[1] if len(sys.argv) > 1 else ".")


def save(picture, name):
    """Write a picture as ``name``.svg and return the path."""
    path = picture.save(folder() / f"{name}.svg")
    print(path)
    return path


def _elements(path, tag=None):
    return ElementTree.parse(path).iter(tag)  # noqa: S314 - a file that was just written


def texts(path):
    """Return every text in a picture, in drawing order; formulas are read from their labels."""
    found = []
    for element in _elements(path):
        said = element.text if element.tag == f"{SVG}text" else element.get("aria-label")
        if said:
            found.append(said)
    return found


def says_frames(path):
    """Print the path of a file of frames and return how many it has."""
    print(path)
    if path.suffix == ".gif":
        from PIL import Image

        with Image.open(path) as picture:
            return picture.n_frames
    return path.read_bytes().count(b"/Type /Page ")


def smallest_letters(path):
    """Return the smallest font size in a picture, in points."""
    return min(float(element.get("font-size")) for element in _elements(path, f"{SVG}text"))


def says_norm(path, array):
    """Say whether a picture has the norm of an array, ``|·| 1.23``, to the digits that it prints."""
    printed = [text.removeprefix("|·| ").replace("−", "-") for text in texts(path) if text.startswith("|·| ")]
    size = sum(float(element) ** 2 for element in array.ravel()) ** 0.5
    return any(abs(float(text) - size) <= 5e-3 * size for text in printed)


def wires(path):
    """Return (value, gradient) as printed, by the label of the node, or by the id of a wire without one."""
    found = {}
    for group in _elements(path, f"{SVG}g"):
        if group.get("class") == "wire":
            printed = {text.get("id", "").rpartition("-")[2]: text.text for text in group.iter(f"{SVG}text")}
            found[group.get("data-node") or group.get("id")] = (printed.get("value", ""), printed.get("gradient", ""))
    return found
