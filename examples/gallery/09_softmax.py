"""Softmax and cross-entropy of the cat image.

Scores 3.2, 5.1 and -1.7 become 24.53, 164.0 and 0.1827, then 0.13, 0.869 and 0.001; the true class costs -ln 0.13 =
2.0404. The gradient at the scores is the softmax, less 1 at the true class.
"""

from shared import save, wires

import graphc

scores = graphc.inputs("cat car frog")
unnormalised = [graphc.exp(score) for score in scores]
total = (unnormalised[0] + unnormalised[1] + unnormalised[2]).named("Z")
p = (unnormalised[0] / total).named("p")
run = graphc.backward((-graphc.log(p)).named("L")).at(cat=3.2, car=5.1, frog=-1.7)

printed = wires(save(run.draw(), "softmax"))
assert printed["p"][0] == "0.13"
assert printed["L"] == ("2.04", "1")
assert round(float(run.value("L")), 4) == 2.0404
gradients = [round(float(run.grad(score)), 4) for score in scores]
assert gradients == [-0.87, 0.869, 0.001]  # 0.13 - 1, 0.869, 0.001
assert [printed[score.name][1] for score in scores][:2] == ["−0.87", "0.869"]
