"""Networks of the lectures that the drawing tests share, as users would declare them."""

from __future__ import annotations

from typing import Any

import graphc
from graphc.layers import batch_norm, branches, conv2d, dense, inception, residual


def _loss(scores: Any) -> Any:
    label = graphc.input("label", ("N",), dtype="int32")
    return graphc.softmax_cross_entropy(scores, label).named("loss")


def _normed(x: Any, maps: int, size: int, name: str, stride: int = 1, *, relu: bool = True) -> Any:
    h = conv2d(x, maps, size, stride=stride, padding=size // 2, bias=False, name=name)
    h = batch_norm(h, name=f"{name}.norm")
    return graphc.relu(h) if relu else h


def resnet50() -> Any:
    """Source: He et al., CVPR (2016), table 1."""
    h = _normed(graphc.input("image", ("N", 3, 224, 224)), 64, 7, "stem", 2)
    h = graphc.max_pool2d(h, 3, stride=2, padding=1)
    for stage, (maps, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 2):
        for block in range(1, blocks + 1):
            h = _bottleneck(h, maps, f"stage{stage}.{block}", 2 if block == 1 and stage > 2 else 1, first=block == 1)
    return _loss(dense(graphc.global_average_pool2d(h), 1000, name="scores"))


def _bottleneck(x: Any, maps: int, name: str, stride: int, *, first: bool) -> Any:
    def branch(x: Any) -> Any:
        h = _normed(x, maps, 1, f"{name}.reduce")
        h = _normed(h, maps, 3, f"{name}.conv", stride)
        return _normed(h, 4 * maps, 1, f"{name}.expand", relu=False)

    def project(x: Any) -> Any:
        return _normed(x, 4 * maps, 1, f"{name}.project", stride, relu=False)

    return graphc.relu(residual(x, branch, projection=project if first else None))


def residual_blocks(maps: list[int]) -> Any:
    """Blocks of one size whose inner convolutions have so many maps."""
    h = graphc.input("x", ("N", 8, 16, 16))
    for number, inner in enumerate(maps):
        name = f"block{number}"

        def branch(x: Any, name: str = name, inner: int = inner) -> Any:
            return _normed(_normed(x, inner, 3, f"{name}.one"), 8, 3, f"{name}.two", relu=False)

        h = graphc.relu(residual(h, branch))
    return graphc.mean(h).named("out")


def vgg16() -> Any:
    """Source: Simonyan, Zisserman, ICLR (2015), table 1, column D."""
    h = graphc.input("image", ("N", 3, 224, 224))
    for stage, (maps, layers) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for number in range(1, layers + 1):
            h = graphc.relu(conv2d(h, maps, 3, padding=1, name=f"conv{stage}_{number}"))
        h = graphc.max_pool2d(h, 2)
    h = graphc.relu(dense(graphc.flatten(h), 4096, name="fc6"))
    return _loss(dense(graphc.relu(dense(h, 4096, name="fc7")), 1000, name="fc8"))


def inceptions() -> Any:
    """Four inception modules, the last three alike."""
    h = graphc.relu(conv2d(graphc.input("image", ("N", 3, 32, 32)), 64, 3, padding=1, name="stem"))
    h = inception(h, 64, (48, 64), (16, 32), 32, name="a")
    for name in "bcd":
        h = inception(h, 64, (96, 64), (16, 32), 32, name=name)
    return _loss(dense(graphc.global_average_pool2d(h), 10, name="scores"))


def two_towers() -> Any:
    """An image and a text, compared."""
    h, g = graphc.input("photo", ("N", 3, 64, 64)), graphc.input("words", ("N", 300))
    for number in range(1, 4):
        h = graphc.max_pool2d(graphc.relu(conv2d(h, 16 * 2**number, 3, padding=1, name=f"see{number}")), 2)
    for number in range(1, 5):
        g = graphc.relu(dense(g, 128, name=f"read{number}"))
    joint = graphc.concat((dense(graphc.flatten(h), 128, name="see"), g), axis=1)
    return _loss(dense(graphc.relu(dense(joint, 64, name="joint")), 2, name="match"))


def u_net() -> Any:
    """Source: Ronneberger, Fischer, Brox, MICCAI (2015), figure 1."""
    h, skips = graphc.input("image", ("N", 1, 32, 32)), []
    for number in range(3):
        h = graphc.relu(conv2d(h, 8 * 2**number, 3, padding=1, name=f"down{number}"))
        skips.append(h)
        h = graphc.max_pool2d(h, 2)
    h = graphc.relu(conv2d(h, 64, 3, padding=1, name="bottom"))
    for number in (2, 1, 0):
        h = graphc.layers.transposed_conv2d(h, 8 * 2**number, 2, stride=2, name=f"up{number}")
        h = graphc.relu(
            conv2d(branches(h, [lambda x, k=number: skips[k], lambda x: x]), 8, 3, padding=1, name=f"join{number}")
        )
    return graphc.mean(conv2d(h, 2, 1, name="mask")).named("score")


def dense_net() -> Any:
    """A dense block: each layer sees the maps of all earlier ones."""
    h = conv2d(graphc.input("image", ("N", 3, 32, 32)), 16, 3, padding=1, bias=False, name="stem")
    h = graphc.layers.dense_block(h, 4, 12, name="block")
    return _loss(dense(graphc.global_average_pool2d(h), 10, name="scores"))
