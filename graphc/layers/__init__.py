"""Layers: gates with parameters. Images are N, C, H, W; dense weights are (units, features)."""

from graphc.layers.conv2d import conv2d
from graphc.layers.dense import dense

__all__ = ["conv2d", "dense"]
