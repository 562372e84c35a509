"""Is it an X or an O?

Images of 9 x 9 pixels, -1 and +1, that are shifted and spoilt; three filters of 3 x 3 (two diagonals and a cross),
convolution, ReLU, pooling, and a fully connected vote.
"""

# %% One X, and what the filter of a falling diagonal sees in it
import numpy

import graphc

X = 2 * (numpy.eye(9) + numpy.eye(9)[::-1] > 0) - 1.0
X[[0, -1]] = -1
ring = numpy.hypot(*(numpy.indices((9, 9)) - 4))
RING = numpy.where((ring > 2.4) & (ring < 3.7), 1.0, -1.0)

falling = 2 * numpy.eye(3) - 1
rising = falling[::-1]
cross = numpy.maximum(falling, rising)
filters = numpy.stack([falling, rising, cross])[:, None]

image = graphc.input("image", ("N", 1, 9, 9))
weight = graphc.parameter("filters", (3, 1, 3, 3), initial=filters, trainable=False)
maps = graphc.layers.conv2d(image, 3, 3, bias=False, weight=weight, name="maps")
rectified = graphc.relu(maps / 9).named("rectified")  # the share of pixels that agree, 1 for a perfect match
pooled = graphc.max_pool2d(rectified, 2, padding="same").named("pooled")

share, pools = graphc.compile([maps / 9, pooled], dtype="float64")(image=X[None, None])
print(share[0, 0].round(2))
print(pools[0, 0].round(2))
assert share.shape == (1, 3, 7, 7)
assert share[0, 0, 0].round(2).tolist() == [0.78, -0.11, 0.11, 0.33, 0.56, -0.11, 0.33]
assert (numpy.diagonal(share[0, 0])[1:6] == 1).sum() >= 4  # the filter finds the falling stroke
assert share[0, 2, 3, 3] == 1  # and the cross finds the crossing
assert pools.shape == (1, 3, 4, 4)

# %% Seen as a matrix, each row holds the same nine weights at another place
matrix = graphc.toeplitz(maps)
print(f"{matrix}; each weight stands {matrix.uses.min()} times")
assert matrix.shape == (3 * 49, 81)
assert (matrix.uses == 49).all()

# %% The vote
label = graphc.input("label", ("N",), dtype="int32")
votes = graphc.layers.dense(graphc.flatten(pooled), 2, name="votes")
loss = graphc.softmax_cross_entropy(votes, label)
print(graphc.count(loss))
assert graphc.count(loss)["votes"].parameters == 2 * (3 * 4 * 4 + 1)

# %% Shifted by a pixel and with 4 of 81 pixels turned over
generator = numpy.random.default_rng(0)


def drawn(count):
    """Images and their labels: 0 for an X, 1 for an O."""
    labels = generator.integers(0, 2, count)
    images = numpy.stack([numpy.roll((X, RING)[k], generator.integers(-1, 2, 2), (0, 1)) for k in labels])
    for picture in images.reshape(count, 81):
        picture[generator.choice(81, 4, replace=False)] *= -1
    return {"image": images[:, None], "label": labels}


trainer = graphc.Trainer(
    loss, optimizer=graphc.SGD(0.1, momentum=0.9), metrics={"accuracy": graphc.accuracy(votes, label)}, seed=0
)
trainer.fit(drawn(400), batch_size=20, epochs=10)
test = drawn(200)
accuracy = float((trainer.predict("votes", image=test["image"]).argmax(axis=1) == test["label"]).mean())
print(f"accuracy on 200 new images {accuracy:.1%}")
assert accuracy >= 0.99
