"""Do the deltas of the textbook follow from the graph?

A net with one hidden layer and a squared error. Textbooks derive the error signals of its units by hand; here they
are the gradients of the two sums, and the network is then trained, one example after the other.
"""

# %% Two nets: tanh units with linear outputs, and sigmoid units throughout
import numpy

import graphc

generator = numpy.random.default_rng(0)


def net(hidden, output):
    """Squared error of a net with 3 inputs, 4 hidden units and 2 outputs."""
    x, t = graphc.input("x", (1, 3)), graphc.input("t", (1, 2))
    a_j = graphc.layers.dense(x, 4, bias=False, name="w_ji").named("a_j")
    z = hidden(a_j).named("z")
    a_k = graphc.layers.dense(z, 2, bias=False, name="w_kj").named("a_k")
    y = output(a_k).named("y")
    return graphc.squared_error(y, t, reduction="sum").named("E")


nets = {"tanh": net(graphc.tanh, lambda a: 1.0 * a), "sigmoid": net(graphc.sigmoid, graphc.sigmoid)}

# %% delta_k and delta_j of the textbook are the gradients at a_k and a_j
data = {"x": generator.normal(size=(1, 3)), "t": generator.uniform(size=(1, 2))}
w_ji, w_kj = generator.normal(size=(4, 3)), generator.normal(size=(2, 4))
for name, loss in nets.items():
    run = graphc.backward(loss).at(data | {"w_ji.weight": w_ji, "w_kj.weight": w_kj})
    y, z, x, t = run.value("y"), run.value("z"), data["x"], data["t"]
    if name == "tanh":
        delta_k = y - t
        delta_j = (1 - z**2) * (delta_k @ w_kj)
    else:
        delta_k = y * (1 - y) * (y - t)
        delta_j = z * (1 - z) * (delta_k @ w_kj)
    print(f"{name}: delta_k = {run.grad('a_k').round(4)}, delta_j = {run.grad('a_j').round(4)}")
    assert numpy.allclose(run.grad("a_k"), delta_k, rtol=1e-12)
    assert numpy.allclose(run.grad("a_j"), delta_j, rtol=1e-12)
    assert numpy.allclose(run.grad("w_kj.weight"), delta_k.T @ z, rtol=1e-12)  # delta_k z_j
    assert numpy.allclose(run.grad("w_ji.weight"), delta_j.T @ x, rtol=1e-12)  # delta_j x_i

# %% Updated after every example: the compiled step does what the formulas by hand do
rate = 0.5
step = graphc.compile([nets["sigmoid"]], optimizer=graphc.SGD(rate), dtype="float64")
step.parameters["w_ji.weight"][...], step.parameters["w_kj.weight"][...] = w_ji, w_kj
for _ in range(100):
    x, t = generator.normal(size=(1, 3)), generator.uniform(size=(1, 2))
    step(x=x, t=t)
    z = 1 / (1 + numpy.exp(-x @ w_ji.T))
    y = 1 / (1 + numpy.exp(-z @ w_kj.T))
    delta_k = y * (1 - y) * (y - t)
    delta_j = z * (1 - z) * (delta_k @ w_kj)
    w_kj, w_ji = w_kj - rate * delta_k.T @ z, w_ji - rate * delta_j.T @ x
difference = max(
    numpy.abs(step.parameters["w_ji.weight"] - w_ji).max(), numpy.abs(step.parameters["w_kj.weight"] - w_kj).max()
)
print(f"largest difference after 100 examples: {difference:.1e}")
assert difference < 1e-12
