"""How much does each weight of a neuron matter?

The neuron f = 1/(1 + exp(-(w0*x0 + w1*x1 + w2))), one gate for each operation. Going backwards, every edge
carries [local gradient] x [upstream gradient].
"""

# %% Declare: names on nodes are names in tables and drawings
import tempfile
from pathlib import Path

import graphc

w0, x0, w1, x1, w2 = graphc.inputs("w0 x0 w1 x1 w2")
s = (w0 * x0 + w1 * x1 + w2).named("s")
e = graphc.exp(-s).named("e")
f = (1 / (1 + e)).named("f")

# %% Differentiate: every gradient is a node again, with a closed form
back = graphc.backward(f)
print("df/dw0 =", back.formula("w0"))

# %% Work it through with numbers
run = back.at(w0=2, x0=-1, w1=-3, x1=-2, w2=-3)
print(run)

# %% Draw it: value above each wire, gradient below, local gradient before each gate
folder = Path(tempfile.mkdtemp())
run.draw(folder / "neuron.svg")
run.draw(folder / "neuron.pdf")
print("wrote", folder / "neuron.svg")

# %% What the lecture prints
printed = {"w0": -0.20, "x0": 0.39, "w1": -0.39, "x1": -0.59, "w2": 0.20}
for name, value in printed.items():
    assert round(float(run.grad(name)), 2) == value, name
assert (folder / "neuron.svg").stat().st_size > 0
