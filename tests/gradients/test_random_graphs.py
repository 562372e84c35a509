"""Random graphs of smooth gates: gradients against central differences, and compiled against the reference."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.errors import GraphcError

OWN = [
    graphc.gate("y[i,j] = x[j,i]", name="transpose"),
    graphc.gate("y[i] = x[i,i]", name="diagonal"),
    graphc.gate("y[i,j] = x[i] * x[j]", name="outer"),
    graphc.gate("y[i] = sum(x[i+r] * x[i], r)", name="neighbours", extents={"i": "size(x,0) - 1", "r": "2"}),
    graphc.gate("y[i] = logsumexp(x[i,j] * x[i,j], j)", name="soft_maximum"),
    graphc.gate("y[i,j] = exp(x[i,j]) / sum(exp(x[i,k]), k)", name="softmax"),
    graphc.gate("y[i,j] = prod(x[i,j,k], k)", name="product"),
    graphc.gate("y[i] = x[2*i]", name="every_other"),
]
SHAPES = [(), (3,), (1,), (2, 3), (2, 1), (1, 3), (2, 2, 3), (3, 3), (3, 2)]


def draw(generator: numpy.random.Generator) -> tuple[graphc.Node, dict[str, numpy.ndarray]]:
    """A scalar over random gates; shapes that do not fit are refused at declaration and drawn again."""
    data: dict[str, numpy.ndarray] = {}
    pool: list[graphc.Node] = []
    for k in range(generator.integers(2, 5)):
        shape = SHAPES[generator.integers(len(SHAPES))]
        pool.append(graphc.input(f"v{k}", shape, dtype="float64"))
        data[f"v{k}"] = generator.uniform(0.5, 1.5, shape)
    wanted = len(pool) + int(generator.integers(4, 12))
    for _ in range(200):
        if len(pool) >= wanted:
            break
        a, b = pool[generator.integers(len(pool))], pool[generator.integers(len(pool))]
        axis = int(generator.integers(3))
        keepdims, own = bool(generator.integers(2)), OWN[generator.integers(len(OWN))]
        choices = [
            lambda a=a, b=b: a + b,
            lambda a=a, b=b: a - b,
            lambda a=a, b=b: a * b,
            lambda a=a, b=b: a / graphc.exp(graphc.tanh(b)),
            lambda a=a: graphc.tanh(a),
            lambda a=a: graphc.sigmoid(a),
            lambda a=a: graphc.exp(-1.0 * a * a),
            lambda a=a, b=b: a @ b,
            lambda a=a, axis=axis, keepdims=keepdims: graphc.sum(a, axes=axis, keepdims=keepdims),
            lambda a=a, axis=axis, keepdims=keepdims: graphc.mean(a, axes=axis, keepdims=keepdims),
            lambda a=a: graphc.reshape(a, (-1,)),
            lambda a=a, own=own: own(a),
        ]
        try:
            pool.append(choices[generator.integers(len(choices))]())
        except GraphcError:
            continue
    terms = [graphc.sum(node) if node.shape else node for node in pool[-3:]]
    return terms[0] + terms[1] * terms[2], data


def assert_gradients(seed: int) -> tuple[graphc.Backward, graphc.Run, dict[str, numpy.ndarray]]:
    generator = numpy.random.default_rng(seed)
    root, data = draw(generator)
    back = graphc.backward(root)
    names = {node.name for node in back.nodes}
    data = {name: array for name, array in data.items() if name in names}
    run = back.at(data)
    for node in back.wrt:
        assert node.name is not None
        gradient = run.grad(node)
        direction = generator.uniform(-1, 1, gradient.shape)
        step = 1e-3

        def moved(t: float, name: str = node.name, direction: numpy.ndarray = direction) -> float:
            return float(back.at(data | {name: data[name] + t * direction}).value(root))

        numeric = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step)
        scale = float(numpy.abs(gradient * direction).sum()) + abs(numeric) + 1e-3
        assert abs(numeric - float((gradient * direction).sum())) <= 1e-7 * scale, f"seed {seed}, {node.name}"
    return back, run, data


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_gradients_of_random_graphs_are_their_slopes(first: int) -> None:
    for seed in range(first, first + 20):
        back, _, _ = assert_gradients(seed)
        assert len(back.nodes) > 3


@pytest.mark.parametrize("seed", range(200, 212))
def test_random_graphs_compile_to_the_reference(seed: int) -> None:
    back, run, data = assert_gradients(seed)
    names = [node.name for node in back.wrt]
    (value,), gradients = graphc.compile([back.root], gradients=names, dtype="float64")(**data)
    assert float(value) == pytest.approx(float(run.value(back.root)), rel=1e-10)
    for name in names:
        expected = run.grad(name)
        worst = float(numpy.abs(numpy.asarray(gradients[name]) - expected).max(initial=0))
        assert worst <= 1e-10 * max(float(numpy.abs(expected).max(initial=0)), 1e-3), f"seed {seed}, {name}"
