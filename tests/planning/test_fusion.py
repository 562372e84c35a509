"""Fusion: the same numbers from fewer launches, and nothing fused that must stay."""

from __future__ import annotations

import importlib

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.reference import evaluate
from graphc.planning import Plan, Target, plan
from tests.planning.interpreter import Interpreter

UNARY = [
    graphc.relu,
    graphc.tanh,
    graphc.sigmoid,
    lambda h: h * 0.5,
    lambda h: 1.5 - h,
    lambda h: h / (1.0 + h * h),
    lambda h: graphc.where(h > 0.1, h, 0.2 * h),
]


def values_of(roots: list[graphc.Node], batch: int, seed: int) -> dict[graphc.Node, numpy.ndarray]:
    generator = numpy.random.default_rng(seed)
    values = {}
    for node in topological(roots):
        if node.kind in ("input", "parameter", "state"):
            shape = tuple(batch if not isinstance(e, int) else e for e in node.shape)
            values[node] = generator.normal(size=shape) if node.is_float else generator.integers(0, 3, shape)
            if node.kind == "state" and node.is_float:  # a variance among them
                values[node] = 0.5 + numpy.abs(values[node])
    return values


def judged(
    loss: graphc.Node, batch: int = 3, seed: int = 0, sizes: tuple[str, ...] = ("N",), target: Target | None = None
) -> tuple[Plan, Plan]:
    """Plans without and with fusion, both held against the reference by the interpreter."""
    back = graphc.backward(loss)
    gradients = {node.label: back.grad(node) for node in back.wrt}
    values = values_of([loss], batch, seed)
    expected = evaluate([loss, *gradients.values()], values)
    plans = []
    for fuse in (False, True):
        planned, leaves = plan([loss], gradients, dtype="float64", fuse=fuse, target=target)
        machine = Interpreter(planned, leaves, {n.label: v for n, v in values.items()}, dict.fromkeys(sizes, batch))
        machine.run()
        numbers = [planned.outputs[0], *planned.gradients.values()]
        for name, number, value in zip(["loss", *gradients], numbers, expected, strict=True):
            found = machine.array(number)
            numpy.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-11, err_msg=f"{name}, fuse={fuse}")
        plans.append(planned)
    return plans[0], plans[1]


def labels(planned: Plan) -> list[str]:
    return [launch.label for launch in planned.launches]


def planned_labels(outputs: graphc.Node | list[graphc.Node], **options: object) -> list[str]:
    nodes = outputs if isinstance(outputs, list) else [outputs]
    return labels(plan(nodes, shard=False, **options)[0])  # pyright: ignore[reportArgumentType]


def random_graph(seed: int) -> graphc.Node:
    """A graph of elementwise gates, broadcasts, windows, reductions, reshapes and parts."""
    draw = numpy.random.default_rng(seed)
    pool = [graphc.input("x", ("N", 2, 4, 4)), graphc.parameter("p", (2, 4, 4)), graphc.parameter("q", (2, 1, 1))]
    for _ in range(int(draw.integers(4, 12))):
        a, b = (pool[int(k)] for k in draw.integers(0, len(pool), 2))
        choice = int(draw.integers(0, 9))
        if choice < 3:
            pool.append(UNARY[int(draw.integers(0, len(UNARY)))](a))
        elif choice == 3:
            pool.append(a + b)
        elif choice == 4:
            pool.append(a * b)
        elif choice == 5:
            pool.append(a - graphc.mean(a, axes=-1, keepdims=True))
        elif choice == 6 and len(a.shape) == 4:
            pool.append(graphc.upsample(graphc.max_pool2d(a, 2), 2) if a.shape[2:] == (4, 4) else a)
        elif choice == 7 and len(a.shape) == 4:
            wide = graphc.flatten(a)
            pool.append(graphc.reshape(graphc.tanh(wide) * 0.5, (a.shape[0], *a.shape[1:])))
        elif choice == 8:
            pool.append(graphc.transpose(a, (*range(len(a.shape) - 2), len(a.shape) - 1, len(a.shape) - 2)))
    total = graphc.sum(pool[-1] * pool[0])
    for node in pool[-4:-1]:
        total = total + graphc.mean(node)
    return total + graphc.sum(pool[1] * 0.1) + graphc.sum(pool[2])


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_compute_the_same(seed: int) -> None:
    loss = random_graph(seed)
    alone, fused = judged(loss, batch=2 + seed % 2, seed=seed)
    assert len(fused.launches) <= len(alone.launches)


def residual() -> graphc.Node:
    x, label = graphc.input("x", ("N", 3, 6, 6)), graphc.input("label", ("N",), dtype="int32")
    layers = graphc.layers
    h = graphc.relu(layers.batch_norm(layers.conv2d(x, 4, 3, padding="same", bias=False, name="c0"), name="n0"))
    r = graphc.relu(layers.batch_norm(layers.conv2d(h, 4, 3, padding="same", bias=False, name="c1"), name="n1"))
    r = layers.batch_norm(layers.conv2d(r, 4, 3, padding="same", bias=False, name="c2"), name="n2")
    h = layers.dropout(graphc.flatten(graphc.relu(h + r)), 0.25, name="drop")
    return graphc.softmax_cross_entropy(layers.dense(h, 3, name="scores"), label)


def perceptron() -> graphc.Node:
    x, label = graphc.input("x", ("N", 7)), graphc.input("label", ("N",), dtype="int32")
    h = graphc.relu(graphc.layers.dense(x, 5, name="one"))
    h = graphc.layers.dropout(graphc.tanh(graphc.layers.dense(h, 6, name="two")), 0.5, name="drop")
    return graphc.softmax_cross_entropy(graphc.layers.dense(h, 3, name="scores"), label)


@pytest.mark.parametrize("build", [residual, perceptron])
def test_networks_compute_the_same_in_fewer_launches(build) -> None:
    alone, fused = judged(build())
    assert len(fused.launches) < len(alone.launches)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("build", [residual, perceptron, lambda: random_graph(3), lambda: random_graph(8)])
def test_compiled_plans_compute_the_same(build, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = build()
    values = {n.label: v for n, v in values_of([loss], 3, 1).items()}
    module = importlib.import_module("graphc.kernels.compile")
    results, launches = [], []
    for fuse in (False, True):
        chosen = {"fuse": fuse}
        monkeypatch.setattr(module, "plan", lambda *a, chosen=chosen, **k: plan(*a, **{**k, **chosen}))
        step = graphc.compile(loss, gradients=True, dtype=dtype)
        launches.append(len(step.plan.launches))
        for name, array in step.parameters.items():
            array[...] = values[name]
        inputs = {n.label: values[n.label] for n in topological([loss]) if n.kind == "input"}
        results.append(step(**inputs))
    assert launches[1] < launches[0]
    ((first,), gradients), ((second,), others) = results
    tolerance = 3e-5 if dtype == "float32" else 1e-12
    numpy.testing.assert_allclose(second, first, rtol=tolerance)
    for name, value in gradients.items():
        scale = numpy.abs(value).max() + 1e-30
        numpy.testing.assert_allclose(others[name] / scale, value / scale, atol=tolerance, err_msg=name)


# ---- what is fused ---------------------------------------------------------------------------------


def test_a_chain_is_one_launch() -> None:
    x = graphc.input("x", ("N", 5))
    planned, _ = plan([graphc.relu(graphc.exp(x * 2.0) - 1.0)])
    assert labels(planned) == ["mul · exp · sub · relu"]
    assert planned.launches[0].buffers == (planned.outputs[0], 0)
    assert str(planned.launches[0].work) == "20*N"


def test_a_bias_is_added_where_it_is_read() -> None:
    x, w = graphc.input("x", ("N", 4)), graphc.parameter("w", (4, 4))
    alone, fused = judged(graphc.sum(graphc.relu(graphc.layers.dense(x @ w, 4, name="one")) * 2.0))
    assert any(label == "bias one" for label in labels(alone))
    assert not any(label == "bias one" for label in labels(fused))
    assert any("bias one · relu.dx" in label for label in labels(fused))


def test_an_elementwise_gate_goes_into_a_reduction() -> None:
    x = graphc.input("x", ("N", 3))
    assert planned_labels(graphc.sum(graphc.exp(x))) == ["exp · sum"]


def test_dropout_draws_the_same_elements_inside_another_kernel() -> None:
    x, key = graphc.input("x", ("N", 3)), graphc.input("key", (2,), dtype="int32")
    y = graphc.tanh(graphc.transpose(graphc.dropout(x, key), (1, 0)))
    planned, leaves = plan([y], dtype="float64")
    assert len(planned.launches) == 1
    values = {"x": numpy.arange(1.0, 13.0).reshape(4, 3), "key": numpy.array([5, 7])}
    machine = Interpreter(planned, leaves, values, {"N": 4})
    machine.run()
    (expected,) = evaluate([y], {x: values["x"], key: values["key"]})
    assert 0 < (expected == 0).sum() < 12
    numpy.testing.assert_allclose(machine.array(planned.outputs[0]), expected)


def test_what_adds_to_every_element_takes_what_was_there() -> None:
    add = graphc.gate("y[i] = exp(x[i])\ny[i] += x[i]*z[i]", name="both")
    x, z = graphc.input("x", (3,)), graphc.input("z", (3,))
    planned, leaves = plan([add(x, z)], dtype="float64")
    assert labels(planned) == ["both"]
    machine = Interpreter(planned, leaves, {"x": [1.0, 2, 3], "z": [4.0, 5, 6]}, {})
    machine.run()
    numpy.testing.assert_allclose(machine.array(planned.outputs[0]), numpy.exp([1, 2, 3]) + numpy.array([4, 10, 18]))


def test_batch_norm_writes_its_input_gradient_once() -> None:
    def written(planned: Plan) -> int:
        return sum(launch.label.startswith("batch_norm.dx") and "size(t0" in planned.kernels[launch.kernel].key()
                   for launch in planned.launches)  # fmt: skip

    x = graphc.parameter("x", (4, 3, 5))
    w = graphc.constant(numpy.arange(60.0).reshape(4, 3, 5))
    alone, fused = judged(graphc.sum(graphc.layers.batch_norm(x, name="n") * w), sizes=())
    assert (written(alone), written(fused)) == (2, 1)


def test_equal_pairs_share_a_kernel() -> None:
    h = graphc.input("x", ("N", 8))
    for k in range(6):
        h = graphc.relu(graphc.layers.dense(h, 4 + k % 2, name=f"d{k}"))
    planned, _ = plan([h])
    fused = [launch.kernel for launch in planned.launches if "relu" in launch.label]
    assert len(fused) == 6
    assert len(set(fused)) == 1
    assert len(planned.kernels) == 2  # no kernel is kept that nothing launches


# ---- what is not -----------------------------------------------------------------------------------


def test_what_a_caller_reads_is_written() -> None:
    x = graphc.input("x", ("N", 5))
    h = graphc.exp(x)
    assert planned_labels([graphc.relu(h), h]) == ["exp", "relu"]
    assert planned_labels(graphc.relu(h), gradients={"h": h}) == ["exp", "relu"]
    state = graphc.state("s", (5,))
    assert planned_labels(graphc.relu(state * 2.0), updates=[(state, state * 2.0)]) == ["mul", "relu"]


def test_a_matrix_product_needs_memory() -> None:
    x, w = graphc.input("x", ("N", 5)), graphc.parameter("w", (5, 6))
    assert planned_labels(graphc.exp(x) @ w) == ["exp", "matmul w"]


def test_what_is_dear_is_computed_once() -> None:
    x, w = graphc.input("x", ("N", 5)), graphc.parameter("w", (5,))
    h = graphc.exp(x)
    assert planned_labels([graphc.relu(h), h - 1.0]) == ["exp", "relu", "sub"]
    row = graphc.exp(w)  # one reader, but N times
    assert planned_labels(x * row) == ["exp w", "mul"]
    assert planned_labels(x * (w + 1.0)) == ["add w · mul"]


def test_several_readers_move_no_more_than_before() -> None:
    shape = ("N", 5)
    a, b, c = (graphc.input(name, shape) for name in "abc")
    two = [graphc.relu(a + b), (a + b) * c]
    assert sorted(planned_labels(two)) == ["add · mul", "add · relu"]
    four = [*two, 2.0 - (a + b), (a + b) / c]
    assert "add" in planned_labels(four)
    assert "add" in planned_labels([graphc.relu(a + b + c), (a + b + c) * c])


def test_windows_are_not_fused() -> None:
    x = graphc.input("x", ("N", 2, 4, 4))
    assert planned_labels(graphc.max_pool2d(graphc.relu(x), 2, stride=1)) == ["relu", "max_pool2d"]
    assert planned_labels(graphc.average_pool2d(graphc.relu(x), 2)) == ["relu", "average_pool2d"]
    # side by side they are: tests/planning/test_pooling.py
    assert planned_labels(graphc.max_pool2d(graphc.relu(x), 2)) == ["relu · max_pool2d"]


def test_another_shape_is_not_fused() -> None:
    x = graphc.input("x", ("N", 2, 3))
    planned, _ = plan([graphc.tanh(graphc.flatten(graphc.relu(x)))])
    assert labels(planned) == ["relu", "tanh"]


def test_whole_numbers_stay_apart() -> None:
    x = graphc.input("x", ("N",), dtype="int32")
    y = x + 1
    assert planned_labels(y * y) == ["add", "mul"]


def test_kernels_stay_small() -> None:
    h = graphc.input("x", (4,))
    for k in range(60):
        h = h * h + float(k)
    planned, _ = plan([h])
    from graphc.formula.expression import operation_count

    bodies = [kernel.statement.body for kernel in planned.kernels if kernel.statement is not None]
    assert 2 < len(planned.launches) < 60
    assert max(map(operation_count, bodies)) <= 40
    many = [graphc.input(f"x{k}", (4,)) for k in range(20)]
    total = many[0]
    for node in many[1:]:
        total = total + node
    planned, _ = plan([total])
    assert max(len(launch.buffers) - 1 for launch in planned.launches) == 8


def test_what_is_added_to_later_is_read_before() -> None:
    # h is computed from t before the third line adds to t: it must not move into the fourth
    lines = ["t[i] = x[i]*x[i]", "h[i] = 2*t[i]", "t[i] += x[i]", "y[i] = h[i]*t[i]"]
    x = graphc.input("x", (3,))
    y = graphc.gate("\n".join(lines), name="g")(x)
    alone, fused = (plan([y], dtype="float64", fuse=fuse) for fuse in (False, True))
    assert len(alone[0].launches) == 4
    for planned, leaves in (alone, fused):
        machine = Interpreter(planned, leaves, {"x": [1.0, 2.0, 3.0]}, {})
        machine.run()
        numpy.testing.assert_allclose(machine.array(planned.outputs[0]), [4.0, 48.0, 216.0])


def test_looking_for_numbers_that_are_not_finite_names_the_gate() -> None:
    x = graphc.input("x", (3,))
    step = graphc.compile(graphc.exp(graphc.log(x).named("inner")) * 2.0, check_numerics=True, dtype="float64")
    with pytest.raises(graphc.DataError, match="the result of log inner has 1 NaN"):
        step(x=[1.0, -1.0, 2.0])
