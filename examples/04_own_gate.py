"""What does it take to add a gate of my own?

Its formula. The derivative, the kernel and the drawing follow from the same line of text.
"""

# %% An activation that nobody has put into the registry
import numpy

import graphc

squareplus = graphc.gate("y = (x + sqrt(x**2 + b)) / 2", name="squareplus", b=4.0)

x = graphc.input("x")
f = squareplus(x).named("f")
back = graphc.backward(f)
print("df/dx =", back.formula("x"))
assert abs(float(back.at(x=0.0).grad("x")) - 0.5) < 1e-15

# %% A filter with weights, written with indices: the gradient of the weights is a sum over the batch
blur = graphc.gate(
    "y[n,i] = sum(x[n,stride*i+r] * w[r], r)",
    name="blur",
    stride=1,
)
signal = graphc.input("signal", ("N", 50))
target = graphc.input("target", ("N", 48))
w = graphc.parameter("w", (3,))
loss = graphc.mean((blur(signal, w) - target) ** 2)
print(graphc.backward(loss).formula("w"))

# %% Train it: the weights of the filter that made the data come back
generator = numpy.random.default_rng(0)
true = numpy.array([0.25, 0.5, 0.25])
signals = generator.normal(size=(200, 50))
targets = signals[:, :-2] * true[0] + signals[:, 1:-1] * true[1] + signals[:, 2:] * true[2]
trainer = graphc.Trainer(loss, optimizer=graphc.SGD(0.2, momentum=0.5))
trainer.fit({"signal": signals, "target": targets}, batch_size=20, epochs=8)
print("found", trainer.parameters["w"])
assert numpy.abs(trainer.parameters["w"] - true).max() < 1e-3
