"""The language of claims: Python text, LaTeX and Unicode mathematics over the names of a graph, never evaluated."""

from graphc.checking.language.shapes import shape_of
from graphc.checking.language.text import claim_text

__all__ = ["claim_text", "shape_of"]
