"""Layers: gates with parameters. Images are N, C, H, W; dense weights are (units, features)."""

from graphc.layers.batch_norm import batch_norm
from graphc.layers.blocks import branches, dense_block, fire, inception, residual, squeeze_excitation
from graphc.layers.conv1d import conv1d
from graphc.layers.conv2d import conv2d
from graphc.layers.dense import dense
from graphc.layers.depthwise_conv2d import depthwise_conv2d
from graphc.layers.dropout import dropout, spatial_dropout
from graphc.layers.embedding import embedding
from graphc.layers.group_norm import group_norm
from graphc.layers.layer_norm import layer_norm
from graphc.layers.locally_connected2d import locally_connected2d
from graphc.layers.maxout import maxout
from graphc.layers.separable_conv2d import separable_conv2d
from graphc.layers.transposed_conv2d import transposed_conv2d

__all__ = [
    "batch_norm",
    "branches",
    "conv1d",
    "conv2d",
    "dense",
    "dense_block",
    "depthwise_conv2d",
    "dropout",
    "embedding",
    "fire",
    "group_norm",
    "inception",
    "layer_norm",
    "locally_connected2d",
    "maxout",
    "residual",
    "separable_conv2d",
    "spatial_dropout",
    "squeeze_excitation",
    "transposed_conv2d",
]
