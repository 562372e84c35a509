"""How wrong is a linear classifier, and which way should its scores move?

Three images (a cat, a car, a frog) and their scores, as a lecture writes them: the hinge loss, the softmax, and
what a penalty on the weights adds.
"""

# %% Scores of three images: columns of W x
import numpy

import graphc

columns = [[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]]
classes = ["cat", "car", "frog"]

scores = graphc.input("scores", ("N", 3))
label = graphc.input("label", ("N",), dtype="int32")

# %% The hinge: how much each wrong class comes within 1 of the true one
each = graphc.multiclass_hinge(scores, label, margin=1.0, reduction="none").named("each")
hinge = graphc.mean(each).named("hinge")
run = graphc.backward(hinge).at(scores=columns, label=[0, 1, 2])
for name, value in zip(classes, run.value("each"), strict=True):
    print(f"hinge of the {name:<5}{value:5.1f}")
print(f"mean           {run.value('hinge'):8.4f}")
assert run.value("each").round(9).tolist() == [2.9, 0.0, 12.9]
assert round(float(run.value("hinge")), 4) == 5.2667

# %% Its gradient: every class that comes too close pushes itself down and the true class up
print(3 * run.grad("scores"))
assert (3 * run.grad("scores")).round(9).tolist() == [[-1, 1, 0], [0, 0, 0], [1, 1, -2]]

# %% The softmax of the cat, and its cross-entropy
outputs = [graphc.softmax(scores), graphc.softmax_cross_entropy(scores, label)]
p, entropy = graphc.compile(outputs, dtype="float64")(scores=columns[:1], label=[0])
print("softmax", p.round(4), " cross-entropy", entropy.round(4), "nats")
assert p[0].round(4).tolist() == [0.13, 0.869, 0.001]
assert round(float(entropy), 4) == 2.0404
assert round(float(entropy) / numpy.log(10), 4) == 0.8861

run = graphc.backward(graphc.softmax_cross_entropy(scores, label)).at(scores=columns[:1], label=[0])
print("gradient", run.grad("scores").round(4))  # the softmax, less 1 at the true class
assert run.grad("scores")[0].round(4).tolist() == [-0.87, 0.869, 0.001]

# %% Two classifiers with equal scores: the penalty prefers weights that are spread
x = graphc.input("x", (1, 4))
for weights, l1, l2 in (([1.0, 0, 0, 0], 1.0, 1.0), ([0.25, 0.25, 0.25, 0.25], 1.0, 0.25)):
    w = graphc.parameter("w", (4,), initial=weights)
    outputs = [x @ w, graphc.l1(w, 1.0), graphc.l2(w, 1.0)]
    score, first, second = (float(numpy.squeeze(value)) for value in graphc.compile(outputs)(x=[[1.0, 1, 1, 1]]))
    print(f"w = {weights}: score {score:g}, sum |w| = {first:g}, sum w^2 = {second:g}")
    assert (score, first, second) == (1.0, l1, l2)
