"""The neuron in eight gates, f = 1/(1 + exp(-(w0 x0 + w1 x1 + w2))).

Two products, two sums, times -1, exp, plus 1 and 1/x; nine gradients, the 1 at the end among them.
"""

from shared import save, wires

import graphc

w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
negated = -1 * (w0 * x0 + w1 * x1 + w2)
run = graphc.backward((1 / (graphc.exp(negated) + 1)).named("f")).at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)
assert sum(node.kind == "gate" for node in run.back.nodes) == 8

printed = wires(save(run.draw(), "neuron"))
assert printed["f"] == ("0.7311", "1")
gradients = {name: printed[name][1] for name in ("w0", "x0", "w1", "x1", "w2")}
assert gradients == {"w0": "−0.1966", "x0": "0.3932", "w1": "−0.3932", "x1": "−0.5898", "w2": "0.1966"}
every = list(printed.values())
for value in ("−2", "6", "4", "1", "−1", "0.3679", "1.368"):
    assert value in [above for above, _ in every]
assert [below for _, below in every].count("−0.5344") == 2
