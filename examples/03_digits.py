"""Can a network whose kernels were derived from formulas read handwriting?

A convolutional network on 1,797 real digits of 8 x 8 pixels, a fifth of them kept back for the test.
"""

# %% Declare: layers make the parameters, gates the rest
import tempfile
from pathlib import Path

import graphc

image = graphc.input("image", ("N", 1, 8, 8))
label = graphc.input("label", ("N",), dtype="int32")
h = graphc.layers.conv2d(image, 16, 3, padding="same", name="conv1")
h = graphc.max_pool2d(graphc.relu(h), 2)
h = graphc.layers.conv2d(h, 32, 3, padding="same", name="conv2")
h = graphc.max_pool2d(graphc.relu(h), 2)
h = graphc.relu(graphc.layers.dense(graphc.flatten(h), 64, name="hidden"))
scores = graphc.layers.dense(h, 10, name="scores")
loss = graphc.softmax_cross_entropy(scores, label)
print(graphc.count(loss))

# %% Train: large steps first, then smaller ones to settle
trainer = graphc.Trainer(
    loss,
    optimizer=graphc.SGD(0.05, momentum=0.9),
    metrics={"accuracy": graphc.accuracy(scores, label)},
    seed=0,
)
train, test = graphc.datasets.digits("train"), graphc.datasets.digits("test")
for rate, epochs in ((0.05, 12), (0.01, 4)):
    trainer.optimizer.learning_rate = rate
    trainer.fit(train, batch_size=32, epochs=epochs, validation=test)
print(trainer.history)

# %% Keep it, and go on from there
folder = Path(tempfile.mkdtemp())
trainer.history.plot(folder / "loss.svg")
again = graphc.Trainer.load(trainer.save(folder / "digits.graphc"))
predicted = again.predict("scores", image=test.image).argmax(axis=1)

accuracy = float((predicted == test.label).mean())
print(f"test accuracy {accuracy:.2%}; wrote {folder}")
assert accuracy >= 0.96
