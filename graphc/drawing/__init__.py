"""Drawings in SVG, PDF, PNG, DOT and text, all from one geometry.

The lecture circuit has the value above each wire, the gradient below it and the local gradient at
each gate input; networks are drawn as one card a layer.
"""

from __future__ import annotations

from graphc.drawing.drawing import FORMATS, Drawing, draw, frames
from graphc.drawing.flow import FlowDrawing, flow_drawing
from graphc.drawing.notebook import notebook_bundle

__all__ = ["FORMATS", "Drawing", "FlowDrawing", "draw", "flow_drawing", "frames", "notebook_bundle"]
