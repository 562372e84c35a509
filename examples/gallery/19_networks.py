"""VGG-16, GoogLeNet and U-Net on one page each.

Straight, with nine inception modules, and with links from the way down to the way up.
"""

from shared import save, texts

import graphc
from graphc.layers import conv2d, dense, dropout, inception, transposed_conv2d

label = graphc.input("label", ("N",), dtype="int32")


def classified(h, name):
    """Loss of a thousand classes."""
    return graphc.softmax_cross_entropy(dense(h, 1000, name=name), label).named("loss")


h = graphc.input("image", ("N", 3, 224, 224))
for stage, (maps, number) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
    for k in range(number):
        h = graphc.relu(conv2d(h, maps, 3, padding=1, name=f"conv{stage}_{k + 1}"))
    h = graphc.max_pool2d(h, 2)
h = graphc.relu(dense(graphc.relu(dense(graphc.flatten(h), 4096, name="fc6")), 4096, name="fc7"))
vgg = classified(h, "fc8")
assert graphc.count(vgg).parameters == 138_357_544  # 138 million
assert {"× 2", "× 3"} <= set(
    texts(save(graphc.draw(vgg, style="architecture", title="VGG-16", page=(960, 460)), "vgg16"))
)


h = graphc.relu(conv2d(graphc.input("image", ("N", 3, 224, 224)), 64, 7, stride=2, padding=3, name="conv1"))
h = graphc.relu(conv2d(graphc.max_pool2d(h, 3, stride=2, padding=1), 64, 1, name="conv2.thin"))
h = graphc.max_pool2d(graphc.relu(conv2d(h, 192, 3, padding=1, name="conv2")), 3, stride=2, padding=1)
#: Source: Szegedy et al., CVPR (2015), table 1.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32), "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64), "4b": (160, (112, 224), (24, 64), 64), "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64), "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128), "5b": (384, (192, 384), (48, 128), 128),
}  # fmt: skip
for name, sizes in MODULES.items():
    h = inception(h, *sizes, name=name)
    h = graphc.max_pool2d(h, 3, stride=2, padding=1) if name in ("3b", "4e") else h
googlenet = classified(dropout(graphc.global_average_pool2d(h), 0.4, name="drop"), "scores")
assert graphc.count(googlenet).parameters == 6_998_552
said = texts(save(graphc.draw(googlenet, style="architecture", title="GoogLeNet"), "googlenet"))
assert said.count("concat") == len(MODULES) == 9

h, skips = graphc.input("image", ("N", 1, 64, 64)), []
for level in range(2):
    h = graphc.relu(conv2d(h, 16 * 2**level, 3, padding=1, name=f"down{level + 1}"))
    skips.append(h)
    h = graphc.max_pool2d(h, 2)
h = graphc.relu(conv2d(h, 64, 3, padding=1, name="bottom"))
for level in (1, 0):
    h = transposed_conv2d(h, 16 * 2**level, 2, stride=2, name=f"up{level + 1}")
    h = graphc.relu(
        conv2d(graphc.concat((skips[level], h), axis=1), 16 * 2**level, 3, padding=1, name=f"join{level + 1}")
    )
unet = graphc.mean(conv2d(h, 2, 1, name="mask")).named("score")
assert (
    texts(save(graphc.draw(unet, style="architecture", title="U-Net", page=(1000, 190)), "u_net")).count("concat") == 2
)
