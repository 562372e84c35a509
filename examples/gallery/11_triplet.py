"""The triplet loss: an anchor nearer to the positive than to the negative, by a margin.

|a - p|^2 = 1, |a - n|^2 = 1, margin 1/2: the loss is 1/2, and its gradient at the anchor is 2 (n - p).
"""

from shared import save, wires

import graphc

a, p, n = (graphc.input(name, (2,)) for name in "apn")
far, near = graphc.sum((a - p) ** 2).named("d_p"), graphc.sum((a - n) ** 2).named("d_n")
run = graphc.backward(graphc.max(0, far - near + 0.5).named("L")).at(a=[0, 0], p=[1, 0], n=[0, 1])

assert run.grad("a").tolist() == [-2, 2]
assert run.grad("p").tolist() == [2, 0]
assert run.grad("n").tolist() == [0, -2]
printed = wires(save(graphc.draw(run, style="circuit"), "triplet"))
assert printed["L"] == ("0.5", "1")
