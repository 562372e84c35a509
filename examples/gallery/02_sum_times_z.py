"""The sum times z, f = (x + y) z.

With numbers and the worked line of every edge, local gradient x upstream gradient = downstream gradient, and the same
circuit with formulas.
"""

from shared import save, texts, wires

import graphc

x, y, z = graphc.inputs("x y z")
q = (x + y).named("q")
back = graphc.backward((q * z).named("f"))
run = back.at(x=-2, y=5, z=-4)

printed = wires(save(graphc.draw(run, work=True, style="circuit"), "sum_times_z"))
assert printed["q"] == ("3", "−4")
assert printed["f"] == ("−12", "1")
assert [printed[name][1] for name in "xyz"] == ["−4", "−4", "3"]
assert [float(run.local(x, q)), float(run.local(y, q))] == [1, 1]

formulas = texts(save(back.draw(), "sum_times_z_formulas"))
assert {"∂f/∂z = q", "∂f/∂q = z", "∂f/∂x = z", "∂f/∂y = z"} <= set(formulas)
