"""Layers: gates with parameters. Images are N, C, H, W; dense weights are (units, features)."""

from graphc.layers.batch_norm import batch_norm
from graphc.layers.blocks import branches, dense_block, fire, inception, residual, squeeze_excitation
from graphc.layers.conv1d import conv1d
from graphc.layers.conv2d import conv2d
from graphc.layers.conv_lstm import conv_lstm
from graphc.layers.crf import crf, viterbi
from graphc.layers.dense import dense
from graphc.layers.depthwise_conv2d import depthwise_conv2d
from graphc.layers.dropout import dropout, spatial_dropout
from graphc.layers.embedding import embedding
from graphc.layers.group_norm import group_norm
from graphc.layers.gru import gru
from graphc.layers.layer_norm import layer_norm
from graphc.layers.locally_connected2d import locally_connected2d
from graphc.layers.lstm import lstm
from graphc.layers.maxout import maxout
from graphc.layers.recurrence import carried, step_mask
from graphc.layers.rnn import rnn
from graphc.layers.separable_conv2d import separable_conv2d
from graphc.layers.transposed_conv2d import transposed_conv2d

__all__ = [
    "batch_norm",
    "branches",
    "carried",
    "conv1d",
    "conv2d",
    "conv_lstm",
    "crf",
    "dense",
    "dense_block",
    "depthwise_conv2d",
    "dropout",
    "embedding",
    "fire",
    "group_norm",
    "gru",
    "inception",
    "layer_norm",
    "locally_connected2d",
    "lstm",
    "maxout",
    "residual",
    "rnn",
    "separable_conv2d",
    "spatial_dropout",
    "squeeze_excitation",
    "step_mask",
    "transposed_conv2d",
    "viterbi",
]
