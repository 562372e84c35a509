"""AlexNet, its architecture and its table.

Two columns as groups, 61 million parameters, 0.72 billion multiply-adds; the table says the memory and the operations
of every layer. A deck's formula gives 57 rows for the first layer with full overlap; it holds for stride 1 only.
"""

from shared import save, texts

import graphc


def conv(h, maps, size, name, **options):
    """Convolution and ReLU."""
    return graphc.relu(graphc.layers.conv2d(h, maps, size, name=name, **options))


image, label = graphc.input("image", ("N", 3, 227, 227)), graphc.input("label", ("N",), dtype="int32")
h = graphc.max_pool2d(graphc.local_response_norm(conv(image, 96, 11, "conv1", stride=4)), 3, stride=2)
h = graphc.max_pool2d(graphc.local_response_norm(conv(h, 256, 5, "conv2", padding=2, groups=2)), 3, stride=2)
h = conv(h, 384, 3, "conv3", padding=1)
h = conv(h, 384, 3, "conv4", padding=1, groups=2)
h = graphc.flatten(graphc.max_pool2d(conv(h, 256, 3, "conv5", padding=1, groups=2), 3, stride=2))
for name in ("dense6", "dense7"):
    h = graphc.layers.dropout(graphc.relu(graphc.layers.dense(h, 4096, name=name)), name=f"{name}.drop")
loss = graphc.softmax_cross_entropy(graphc.layers.dense(h, 1000, name="dense8"), label).named("loss")

count = graphc.count(loss)
assert count.parameters == 60_965_224
assert count["conv1"].parameters == 34_944
assert count["conv1"].activations == 290_400
print(count)
said = " ".join(texts(save(graphc.draw(loss, style="architecture", title="AlexNet", page=(1000, 340)), "alexnet")))
for text in ("96 × 55 × 55", "256 × 27 × 27", "384 × 13 × 13"):
    assert text in said
full = graphc.layers.conv2d(graphc.input("x", ("N", 3, 224, 224)), 96, 11, stride=4, padding="full", name="full")
assert full.shape[2:] == (59, 59)  # not 57
