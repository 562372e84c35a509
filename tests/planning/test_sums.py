"""Sums in one pass: which meet, which must not, and that plans with them compute what the reference computes."""

from __future__ import annotations

import numpy
import pytest

import graphc
from graphc.graph import topological
from graphc.graph.reference import evaluate
from graphc.planning import Plan, Target, plan
from tests.planning.interpreter import Interpreter

WITHOUT = Target(schedules=Target().schedules - {"sums"})


def judged(
    loss: graphc.Node, batch: int = 3, threads: int = 2, wrt: list[graphc.Node] | None = None, **options: object
) -> Plan:
    """A plan of values and gradients, held against the reference by the interpreter."""
    back = graphc.backward(loss, wrt)
    gradients = {node.label: back.grad(node) for node in back.wrt}
    generator = numpy.random.default_rng(batch)
    values = {}
    for node in topological([loss]):
        if node.kind in ("input", "parameter", "state"):
            shape = tuple(batch if not isinstance(e, int) else e for e in node.shape)
            values[node] = (
                numpy.abs(generator.normal(size=shape)) if node.kind == "state" else generator.normal(size=shape)
            )
    known = {**values, graphc.is_training(): numpy.array(1.0)}
    expected = evaluate([loss, *gradients.values()], known)
    planned, leaves = plan([loss], gradients, dtype="float64", **options)  # pyright: ignore[reportArgumentType]
    machine = Interpreter(planned, leaves, {n.label: v for n, v in values.items()}, {"N": batch}, threads)
    machine.run()
    for number, value in zip([planned.outputs[0], *planned.gradients.values()], expected, strict=True):
        numpy.testing.assert_allclose(machine.array(number), value, rtol=1e-8, atol=1e-10)
    return planned


def sums(planned: Plan) -> list[int]:
    """How many sums each launch of sums has."""
    kernels = [planned.kernels[launch.kernel] for launch in planned.launches]
    return [len(kernel.lines) for kernel in kernels if kernel.kind == "sums"]


def count(planned: Plan, kind: str) -> int:
    """How many launches have a kernel of a kind."""
    return sum(planned.kernels[launch.kernel].kind == kind for launch in planned.launches)


def block(second: str = "identity") -> graphc.Node:
    """A residual block, its skip with a norm of its own where asked for."""
    x = graphc.input("x", ("N", 4, 8, 8))
    layers = graphc.layers
    entry = layers.conv2d(x, 4, 3, padding="same", bias=False, name="entry")
    h = layers.conv2d(entry, 4, 3, padding="same", bias=False, name="one")
    h = graphc.relu(layers.batch_norm(h, name="norm1"))
    h = layers.batch_norm(layers.conv2d(h, 4, 3, padding="same", bias=False, name="two"), name="norm2")
    if second == "norm":
        entry = layers.batch_norm(layers.conv2d(entry, 4, 1, bias=False, name="beside"), name="norm3")
    y = graphc.relu(h + entry)
    return graphc.mean(y * graphc.input("weight", ("N", 4, 8, 8)))


@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("batch", [4, 7])
def test_the_sums_of_a_norms_gradient_share_a_pass(batch: int, shard: bool) -> None:
    """Of each norm: mean and squares of deviations together, and both sums of its gradient together."""
    for threads in (1, 3):
        planned = judged(block(), batch, threads, shard=shard)
        assert sums(planned) == [2, 2]
        assert count(planned, "moments") == count(planned, "moments_of_all") == 2
    loops = [planned.kernels[k.kernel].statement for k in planned.launches]
    assert not any(s is not None and s.operator == "sum" and len(s.reduced()) == 3 for s in loops)


def test_norms_of_one_gradient_share_a_pass() -> None:
    """Where two norms are added their upstream gradient is the same tensor: four sums, of which two are equal."""
    planned = judged(block("norm"), 4)
    assert sums(planned) == [4, 2]
    assert count(planned, "moments") == 3


def test_a_mask_before_sums_is_computed_in_their_pass() -> None:
    """The gradient of a ReLU in front of a norm is written without the schedule, and nowhere with it."""

    def masks(planned: Plan) -> int:
        return sum(launch.label == "relu.dx" for launch in planned.launches)

    x = graphc.input("x", ("N", 4, 8, 8))
    upstream = graphc.input("upstream", ("N", 4, 8, 8))
    loss = graphc.sum(graphc.relu(graphc.layers.batch_norm(x, name="norm")) * upstream)
    assert sums(judged(loss, 5, wrt=[x])) == [2]
    assert masks(judged(loss, 5, wrt=[x])) == 0
    assert not sums(judged(loss, 5, wrt=[x], target=WITHOUT))


def test_a_sum_that_needs_another_waits_for_it() -> None:
    x = graphc.input("x", ("N", 3, 8, 8))
    mean = graphc.mean(x, axes=(0, 2, 3), keepdims=True)
    spread = graphc.mean((x - mean) * (x - mean), axes=(0, 2, 3))
    planned = judged(graphc.sum(spread * graphc.sum(x * x, axes=(0, 2, 3))))
    assert sums(planned)[:2] == [1, 2]


def deviations(x: graphc.Node, mean: graphc.Node) -> graphc.Node:
    return graphc.gate("v[c] = sum((x[n,c,i,j] - m[c])**2/(size(x,0)*size(x,2)*size(x,3)), n, i, j)", name="spread")(
        x, mean
    )


MEAN = "m[c] = sum(x[n,c,i,j]/(size(x,0)*size(x,2)*size(x,3)), n, i, j)"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_deviations_from_the_mean_of_the_same_maps_are_moments(batch: int, threads: int) -> None:
    for shape in ((3, 8, 8), (2, 5, 7)):
        x = graphc.input("x", ("N", *shape))
        mean = graphc.gate(MEAN, name="mean")(x)
        spread = deviations(x, mean)
        planned = judged(graphc.sum(mean * spread), batch, threads, wrt=[x])
        assert count(planned, "moments") == 1
        assert len([stage for stage in planned.stages if stage.shard]) <= 4


@pytest.mark.parametrize("case", ["another map", "another mean", "not all terms", "a cube"])
def test_other_deviations_are_sums(case: str) -> None:
    x, y = graphc.input("x", ("N", 3, 8, 8)), graphc.input("y", ("N", 3, 8, 8))
    mean = graphc.gate(MEAN, name="mean")(x)
    if case == "another map":
        spread = deviations(y, mean)
    elif case == "another mean":
        spread = deviations(x, graphc.parameter("p", (3,)))
    elif case == "not all terms":
        mean = graphc.gate("m[c] = sum(x[n,c,i,j]/size(x,0), n, i, j)", name="mean")(x)
        spread = deviations(x, mean)
    else:
        spread = graphc.gate("v[c] = sum((x[n,c,i,j] - m[c])**3/size(x,0), n, i, j)", name="cube")(x, mean)
    total = graphc.sum(mean * spread)
    judged(total, 5, wrt=[x])
    planned, _ = plan([total])
    assert not count(planned, "moments")
    assert sums(planned)


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 3)])
def test_sums_over_one_map_meet_whatever_else_they_read(axes: tuple[int, ...]) -> None:
    x, y = graphc.input("x", ("N", 3, 8, 40)), graphc.input("y", ("N", 3, 8, 40))
    total = graphc.sum(graphc.sum(x, axes=axes) * graphc.sum(x * y, axes=axes) * graphc.sum(y * y, axes=axes))
    planned, _ = plan([total], dtype="float64")
    # rows that stay are a second axis of the result, which no kernel of sums has
    assert sums(planned) == ([3] if axes == (0, 2, 3) else [])


def test_other_maps_do_not_meet() -> None:
    x, y, z = (graphc.input(name, ("N", 3, 8, 8)) for name in "xyz")
    wide = graphc.input("wide", ("N", 3, 8, 9))
    axes = (0, 2, 3)
    total = graphc.sum(x * y, axes=axes) * graphc.sum(z, axes=axes) * graphc.sum(wide, axes=axes)
    planned, _ = plan([graphc.sum(total)], dtype="float64")
    assert sums(planned) == [1, 1, 1]


@pytest.mark.parametrize("schedules", [Target(), WITHOUT])
def test_maps_of_three_axes(schedules: Target) -> None:
    x, y = graphc.input("x", ("N", 3, 4, 5, 7)), graphc.parameter("y", (3, 4, 1, 7))
    loss = graphc.sum(graphc.sum(x, axes=(0, 2, 3, 4)) * graphc.sum(x * y, axes=(0, 2, 3, 4)))
    planned = judged(loss, 5, wrt=[x], target=schedules)
    # what y is read at in between keeps rows and columns apart, and rows twice
    assert sums(planned) == ([1] if "sums" in schedules.schedules else [])


def test_short_rows_and_other_functions_stay_loops() -> None:
    x = graphc.input("x", ("N", 3, 5, 5))
    w = graphc.input("w", ("N", 3, 8, 8))
    for node in (graphc.sum(x, axes=(0, 2, 3)), graphc.sum(graphc.exp(w), axes=(0, 2, 3)), graphc.sum(w, axes=(0, 1))):
        planned, _ = plan([node], dtype="float64")
        assert not sums(planned)


def test_gradients_of_biases_are_sums() -> None:
    x = graphc.input("x", ("N", 2, 8, 8))
    loss = graphc.sum(graphc.layers.conv2d(x, 3, 3, padding="same", name="conv") * graphc.input("t", ("N", 3, 8, 8)))
    assert sums(judged(loss, 5)) == [1]
