"""LeNet as cards, one for each layer.

Shape, parameters, an image of the activations, mean and largest |gradient|, and the share of dead ReLU units, all of
one run over 50 handwritten digits.
"""

import numpy
from shared import save, texts

import graphc
from graphc.layers import conv2d, dense

image, label = graphc.input("image", ("N", 1, 28, 28)), graphc.input("label", ("N",), dtype="int32")
h = graphc.max_pool2d(graphc.relu(conv2d(image, 6, 5, padding="same", name="conv1")).named("first maps"), 2)
h = graphc.max_pool2d(graphc.relu(conv2d(h, 16, 5, name="conv2")), 2)
h = graphc.relu(dense(graphc.relu(dense(graphc.flatten(h), 120, name="dense3")), 84, name="dense4"))
loss = graphc.softmax_cross_entropy(dense(h, 10, name="scores"), label).named("loss")
assert graphc.count(loss).parameters == 61_706


def enlarged(digits):
    """Digits of 8 x 8 pixels as images of 28 x 28."""
    grown = numpy.kron(digits.image, numpy.ones((1, 1, 3, 3), dtype="float32"))
    return {"image": numpy.pad(grown, ((0, 0), (0, 0), (2, 2), (2, 2))), "label": digits.label}


trainer = graphc.Trainer(loss, optimizer=graphc.SGD(0.05, momentum=0.9), seed=0)
trainer.fit(enlarged(graphc.datasets.digits("train")), batch_size=50, epochs=2)
data = {name: array[:50] for name, array in enlarged(graphc.datasets.digits("test")).items()}
run = graphc.backward(loss).at(data, parameters=trainer.parameters)

said = " ".join(texts(save(graphc.draw(run, style="cards"), "lenet")))
for parameters in ("156", "2,416", "48,120", "10,164", "850", "61,706"):
    assert f"{parameters} parameters" in said, parameters
gradient = numpy.concatenate([run.grad("conv1.weight").ravel(), run.grad("conv1.bias")])
assert f"parameters {numpy.abs(gradient).mean():.2g} {numpy.abs(gradient).max():.2g}" in said
dead = numpy.mean(~(run.value("first maps") > 0).any(axis=0))
assert f"dead ReLU: {100 * dead:.2g} % of {6 * 28 * 28:,}" in said
