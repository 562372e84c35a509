"""Perceptron, Adaline or linear support vector machine: which line do they draw?

The three have the same unit, ``w·x + b``, and differ in the loss alone: misclassified points, squared distances to
the targets -1 and +1, or points within a margin.
"""

# %% Two clouds that a line separates, and one far point of the second class
import numpy

import graphc

generator = numpy.random.default_rng(1)
first, second = generator.normal([-2, 0], 0.5, (30, 2)), generator.normal([2, 0], 0.5, (30, 2))
points = numpy.vstack([first, second, [[14.0, 6.0]]])
targets = numpy.repeat([-1.0, 1.0], [30, 31])[:, None]

# %% One unit and three losses
x, t = graphc.input("x", ("N", 2)), graphc.input("t", ("N", 1))


def unit():
    """``w·x + b`` with everything at 0."""
    return graphc.layers.dense(x, 1, name="unit", initial=graphc.zeros())


def train(scores, loss, rate, steps):
    """Gradient descent on all points; returns weight, bias, wrong points and the distance of the nearest one."""
    step = graphc.compile([loss, scores], optimizer=graphc.SGD(rate), dtype="float64")
    for _ in range(steps):
        value, _ = step(x=points, t=targets)
    weight, bias = step.parameters["unit.weight"][0].copy(), float(step.parameters["unit.bias"][0])
    margin = ((points @ weight + bias) * targets[:, 0]).min() / numpy.linalg.norm(weight)
    wrong = int((numpy.sign(points @ weight + bias) != targets[:, 0]).sum())
    print(f"  w = {weight.round(3)}, b = {bias:.3f}, {wrong} wrong, margin {margin:.3f}, loss {float(value):.4f}")
    return weight, bias, wrong, margin


# %% The perceptron stops as soon as no point is wrong
print("perceptron")
scores = unit()
_, _, wrong, loose = train(scores, graphc.perceptron_loss(scores, t), 0.1, 200)
assert wrong == 0

# %% Adaline finds the least squares: far points on the right side pull at it, too
print("Adaline")
scores = unit()
weight, bias, *_ = train(scores, graphc.squared_error(scores, t), 0.02, 4000)
design = numpy.hstack([points, numpy.ones((61, 1))])
normal = numpy.linalg.lstsq(design, targets, rcond=None)[0][:, 0]
assert numpy.allclose([*weight, bias], normal, atol=1e-3)

# %% The support vector machine looks for the widest margin; few points decide
print("linear support vector machine")
scores = unit()
(weight_node,) = [n for n in graphc.graph.topological([scores]) if n.label == "unit.weight"]
loss = graphc.binary_hinge(scores, t) + graphc.l2(weight_node, 1e-3)
weight, bias, wrong, wide = train(scores, loss, 0.05, 20_000)
assert wrong == 0
assert wide > loose
support = numpy.flatnonzero((points @ weight + bias) * targets[:, 0] < 1.02)
print(f"  {len(support)} of {len(points)} points hold the margin")
assert 2 <= len(support) <= 6
