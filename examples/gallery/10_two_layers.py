"""A net with two layers and a squared error.

The errors of the textbooks are gradients in the middle of the circuit: delta_k = y_k - t_k at the output, and delta_j
= (1 - z_j^2) sum_k w_kj delta_k at the hidden units.
"""

from shared import save, wires

import graphc

x1, x2, t = graphc.inputs("x1 x2 t")
w11, w12, w21, w22, v1, v2 = graphc.inputs("w11 w12 w21 w22 v1 v2")
a1, a2 = (w11 * x1 + w12 * x2).named("a1"), (w21 * x1 + w22 * x2).named("a2")
z1, z2 = graphc.tanh(a1).named("z1"), graphc.tanh(a2).named("z2")
y = (v1 * z1 + v2 * z2).named("y")
error = (0.5 * (y - t) ** 2).named("E")
data = {"x1": 1, "x2": 0.5, "w11": 0.4, "w12": -0.6, "w21": -0.5, "w22": 0.8, "v1": 1, "v2": -1.5, "t": 1}
run = graphc.backward(error).at(data)

delta_k = float(run.value(y)) - data["t"]
assert abs(run.grad("y") - delta_k) < 1e-12
for v, z, a, w in (("v1", "z1", "a1", "w11"), ("v2", "z2", "a2", "w21")):
    delta_j = (1 - float(run.value(z)) ** 2) * data[v] * delta_k
    assert abs(run.grad(a) - delta_j) < 1e-12
    assert abs(run.grad(v) - delta_k * float(run.value(z))) < 1e-12
    assert abs(run.grad(w) - delta_j * data["x1"]) < 1e-12

printed = wires(save(run.draw(), "two_layers"))
assert float(printed["y"][1].replace("−", "-")) == float(f"{delta_k:.4g}")
