"""The product f = x y.

Value above each wire, gradient below, local gradient in the box before the gate: the other factor. If x grows by h, f
grows by -3 h.
"""

from shared import save, wires

import graphc

x, y = graphc.inputs("x y")
run = graphc.backward((x * y).named("f")).at(x=4, y=-3)

assert wires(save(run.draw(), "product")) == {"x": ("4", "−3"), "y": ("−3", "4"), "f": ("−12", "1")}

h = 0.25  # if x grows by h, how does f change?
grown = graphc.backward(run.back.root).at(x=4 + h, y=-3)
assert grown.value("f") - run.value("f") == h * run.grad("x") == -0.75
