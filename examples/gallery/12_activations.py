"""Activations and their derivatives.

Each function above its derivative. Where a sigmoid or a tanh saturates less than 1 % of the largest gradient passes,
and a ReLU is dead on its left side; circles mark kinks.
"""

from shared import save, texts

import graphc

x = graphc.input("x")
functions = {
    "sigmoid": graphc.sigmoid(x), "tanh": graphc.tanh(x), "ReLU": graphc.relu(x),
    "leaky ReLU": graphc.leaky_relu(x, slope=0.1), "ELU": graphc.elu(x, alpha=1.0),
    "maxout": graphc.max(0.5 * x + 1, -x),
}  # fmt: skip
slopes = {
    "sigmoid": (0.25, 0),
    "tanh": (1, 0),
    "ReLU": (1, 0),
    "leaky ReLU": (1, 0.1),
    "ELU": (1, 0),
    "maxout": (0.5, -1),
}
for name, (right, left) in slopes.items():
    back = graphc.backward(functions[name])
    assert abs(back.at(x=1e-6).grad("x") - right) < 1e-5, name
    assert abs(back.at(x=-20).grad("x") - left) < 1e-5, name

first, *others = [function.named(name) for name, function in functions.items()]
assert "dead" in texts(save(graphc.draw(first, style="curve", beside=others), "activations"))
