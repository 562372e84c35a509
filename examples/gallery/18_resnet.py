"""ResNet-50 on one page.

Fifty layers; blocks that repeat with the same gates, shapes and links are drawn once. Every text is at least 7 points
high on an A4 page.
"""

from shared import save, smallest_letters, texts

import graphc
from graphc.layers import batch_norm, conv2d, dense, residual


def normed(x, maps, size, name, stride=1):
    """Convolution and batch normalisation."""
    return batch_norm(
        conv2d(x, maps, size, stride=stride, padding=size // 2, bias=False, name=name), name=f"{name}.norm"
    )


def block(x, maps, name, stride, *, first):
    """Bottleneck of three convolutions beside a link."""

    def branch(x):
        h = graphc.relu(normed(x, maps, 1, f"{name}.reduce"))
        return normed(graphc.relu(normed(h, maps, 3, f"{name}.conv", stride)), 4 * maps, 1, f"{name}.expand")

    skip = (lambda x: normed(x, 4 * maps, 1, f"{name}.project", stride)) if first else None
    return graphc.relu(residual(x, branch, projection=skip))


h = graphc.relu(normed(graphc.input("image", ("N", 3, 224, 224)), 64, 7, "stem", 2))
h = graphc.max_pool2d(h, 3, stride=2, padding=1)
for stage, (maps, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 2):
    for number in range(1, blocks + 1):
        h = block(h, maps, f"stage{stage}.{number}", 2 if number == 1 and stage > 2 else 1, first=number == 1)
scores = dense(graphc.global_average_pool2d(h), 1000, name="scores")
loss = graphc.softmax_cross_entropy(scores, graphc.input("label", ("N",), dtype="int32")).named("loss")

assert graphc.count(loss).parameters == 25_557_032
path = save(graphc.draw(loss, style="architecture", title="ResNet-50"), "resnet")
assert {"× 2", "× 3", "× 5"} <= set(texts(path))
assert smallest_letters(path) >= 7
