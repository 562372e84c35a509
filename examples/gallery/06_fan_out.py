"""A value that is used twice: the gradients add.

x goes into a product and into a sum; each sends its part back, and the gradient of x is their sum.
"""

from shared import save, texts, wires

import graphc

x, y = graphc.inputs("x y")
f = (x * y + x).named("f")
run = graphc.backward(f).at(x=4, y=-3)

path = save(run.draw(), "fan_out")
assert wires(path) == {**wires(path), "x": ("4", "−2"), "y": ("−3", "4"), "f": ("−8", "1")}
said = texts(path)
assert said[said.index("=") - 2 : said.index("=") + 2] == ["1", "− 3", "=", "−2"]
