"""The neuron with its tail folded into one sigmoid.

Four gates become one, whose local gradient is f (1 - f): 0.7311 x 0.2689 = 0.1966. The gradients of the weights stay
what they were.
"""

from shared import save, texts, wires

import graphc

w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
s = (w0 * x0 + w1 * x1 + w2).named("s")
run = graphc.backward(graphc.sigmoid(s).named("f")).at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)

path = save(run.draw(), "folded_neuron")
printed = wires(path)
assert printed["s"] == ("1", "0.1966")
assert printed["f"] == ("0.7311", "1")
gradients = {name: printed[name][1] for name in ("w0", "x0", "w1", "x1", "w2")}
assert gradients == {"w0": "−0.1966", "x0": "0.3932", "w1": "−0.3932", "x1": "−0.5898", "w2": "0.1966"}
assert "f·(1 − f)" in texts(path)
